// SPDX-License-Identifier: GPL-2.0
#include "kallsyms.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kallsyms_tables.h"

#define NAME_MAX_LEN 512 /* KSYM_NAME_LEN since 6.1 (commit b8a94bfb3395); 128 before */
#define ANCHORS_MIN  2
#define TEXT_MAX     (64UL << 20) /* of all names; 7.3 has 5 MiB */

/* How offsets[i] becomes an address. */
enum encoding {
	ABSOLUTE_PERCPU, /* up to 6.14 on SMP: per-CPU symbols are >= 0, others base - 1 - offset */
	BASE_UNSIGNED, /* since 6.15 (commit 01157ddc58dc), and up to 6.14 without SMP */
	PLACE_RELATIVE, /* since 7.2: the address of the offset itself is the base */
	ENCODINGS,
};

static const char *const encoding_names[ENCODINGS] = {
	[ABSOLUTE_PERCPU] = "absolute-percpu",
	[BASE_UNSIGNED] = "base + unsigned",
	[PLACE_RELATIVE] = "place-relative",
};

struct kallsyms {
	size_t count;
	enum encoding encoding;
	uint64_t *addresses;
	size_t *names; /* offset of each in text: type, name, NUL */
	char *text;
	size_t text_len, text_size;
	uint32_t *buckets; /* hash of the name -> index + 1; linear probing */
	size_t bucket_mask;
	uint32_t *by_address; /* indices, ascending address */
};

void kallsyms_free(struct kallsyms *symbols)
{
	if (!symbols)
		return;
	free(symbols->addresses);
	free(symbols->names);
	free(symbols->text);
	free(symbols->buckets);
	free(symbols->by_address);
	free(symbols);
}

size_t kallsyms_count(const struct kallsyms *symbols)
{
	return symbols->count;
}

const char *kallsyms_encoding(const struct kallsyms *symbols)
{
	return encoding_names[symbols->encoding];
}

struct kallsyms_symbol kallsyms_symbol(const struct kallsyms *symbols, size_t i)
{
	const char *text = symbols->text + symbols->names[i];

	return (struct kallsyms_symbol){
		.name = text + 1,
		.address = symbols->addresses[i],
		.type = text[0],
	};
}

/* Expands one name, with its type letter first, to out. Its length; 0: malformed. */
static size_t expand(const struct kallsyms_tables *tables, const uint8_t *codes, size_t len,
		     char *out)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		size_t at = tables->token_index[codes[i]];

		for (; at < tables->tokens_len && tables->tokens[at]; at++) {
			if (used == NAME_MAX_LEN)
				return 0;
			out[used++] = tables->tokens[at];
		}
		if (at >= tables->tokens_len)
			return 0;
	}
	out[used] = 0;
	return used >= 2 ? used : 0;
}

static int append(struct kallsyms *symbols, const char *name, size_t len)
{
	/* Two bytes of a hostile table may stand for a name of 512. */
	if (len >= TEXT_MAX - symbols->text_len)
		return -EPROTO;
	if (symbols->text_size - symbols->text_len <= len) {
		size_t size = symbols->text_size + symbols->text_size / 2 + (1UL << 20);
		char *text = realloc(symbols->text, size);

		if (!text)
			return -ENOMEM;
		symbols->text = text;
		symbols->text_size = size;
	}
	memcpy(symbols->text + symbols->text_len, name, len + 1);
	symbols->names[symbols->count++] = symbols->text_len;
	symbols->text_len += len + 1;
	return 0;
}

static int decode_names(struct kallsyms *symbols, const struct kallsyms_tables *tables)
{
	char name[NAME_MAX_LEN + 1];
	size_t at = 0;
	int rc;

	for (uint32_t i = 0; i < tables->count; i++) {
		size_t head, len, used;

		len = kallsyms_name_len(tables->names + at, tables->names_len - at, &head);
		used = len ? expand(tables, tables->names + at + head, len, name) : 0;
		if (!used)
			return -EPROTO;
		rc = append(symbols, name, used);
		if (rc)
			return rc;
		at += head + len;
	}
	return 0;
}

/* FNV-1a, 32 bits: http://www.isthe.com/chongo/tech/comp/fnv */
static uint32_t hash_of(const char *name)
{
	uint32_t hash = 2166136261U;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619U;
	return hash;
}

/*
 * Names repeat in real kernels a few hundred times at most; a hostile table of
 * equal names would make probing quadratic, so a run is bounded, and all of them.
 */
#define PROBES_MAX    4096
#define PROBES_A_NAME 64 /* on average */

static void index_names(struct kallsyms *symbols)
{
	size_t budget = symbols->count * PROBES_A_NAME;

	for (size_t i = 0; i < symbols->count; i++) {
		size_t slot = hash_of(symbols->text + symbols->names[i] + 1);
		int probes = 0;

		while (symbols->buckets[slot & symbols->bucket_mask] && budget &&
		       ++probes < PROBES_MAX) {
			budget--;
			slot++;
		}
		if (!symbols->buckets[slot & symbols->bucket_mask])
			symbols->buckets[slot & symbols->bucket_mask] = i + 1;
	}
}

static uint64_t address_of(const struct kallsyms_tables *tables, enum encoding encoding, size_t i)
{
	int64_t offset = tables->offsets[i];

	switch (encoding) {
	case ABSOLUTE_PERCPU:
		return offset >= 0 ? (uint64_t)offset : tables->relative_base - 1 - offset;
	case BASE_UNSIGNED:
		return tables->relative_base + (uint32_t)offset;
	default:
		return tables->offsets_gva + i * 4 + offset;
	}
}

bool kallsyms_find(const struct kallsyms *symbols, const char *name, struct kallsyms_symbol *out,
		   size_t *matches)
{
	size_t slot = hash_of(name), all = 0, global = 0, i;
	struct kallsyms_symbol symbol, best = { 0 };

	for (int probes = 0; probes < PROBES_MAX; probes++, slot++) {
		i = symbols->buckets[slot & symbols->bucket_mask];
		if (!i)
			break;
		symbol = kallsyms_symbol(symbols, i - 1);
		if (strcmp(symbol.name, name))
			continue;
		all++;
		if (symbol.type >= 'A' && symbol.type <= 'Z') {
			global++;
			best = symbol;
		} else if (all == 1) {
			best = symbol;
		}
	}
	if (matches)
		*matches = all;
	if (!all || (all > 1 && global != 1))
		return false;
	*out = best;
	return true;
}

/*
 * The encoding is not written anywhere: it is the one under which the symbols
 * that VMCOREINFO also names come out right.
 */
static int choose_encoding(struct kallsyms *symbols, const struct kallsyms_tables *tables,
			   const struct vmcoreinfo *info)
{
	const struct {
		const char *name;
		uint64_t address;
	} anchors[] = {
		{ "_stext", info->stext },
		{ "init_top_pgt", info->init_top_pgt },
		{ "init_uts_ns", info->init_uts_ns },
	};

	for (int encoding = 0; encoding < ENCODINGS; encoding++) {
		int right = 0, wrong = 0;

		for (size_t i = 0; i < symbols->count; i++)
			symbols->addresses[i] = address_of(tables, encoding, i);
		symbols->encoding = encoding;
		for (size_t i = 0; i < sizeof(anchors) / sizeof(anchors[0]); i++) {
			struct kallsyms_symbol symbol;

			if (!anchors[i].address ||
			    !kallsyms_find(symbols, anchors[i].name, &symbol, NULL))
				continue;
			if (symbol.address == anchors[i].address)
				right++;
			else
				wrong++;
		}
		if (!wrong && right >= ANCHORS_MIN)
			return 0;
	}
	return -EPROTO;
}

static int compare_addresses(const void *a, const void *b, void *addresses)
{
	uint64_t left = ((const uint64_t *)addresses)[*(const uint32_t *)a];
	uint64_t right = ((const uint64_t *)addresses)[*(const uint32_t *)b];

	return left < right ? -1 : left > right;
}

static void index_addresses(struct kallsyms *symbols)
{
	bool sorted = true;

	for (size_t i = 0; i < symbols->count; i++) {
		symbols->by_address[i] = i;
		sorted &= !i || symbols->addresses[i - 1] <= symbols->addresses[i];
	}
	if (!sorted)
		qsort_r(symbols->by_address, symbols->count, sizeof(uint32_t), compare_addresses,
			symbols->addresses);
}

bool kallsyms_at(const struct kallsyms *symbols, gva_t address, struct kallsyms_symbol *out)
{
	size_t low = 0, high = symbols->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (symbols->addresses[symbols->by_address[middle]] <= address.v)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return false;
	*out = kallsyms_symbol(symbols, symbols->by_address[low - 1]);
	return true;
}

static struct kallsyms *kallsyms_new(size_t count)
{
	struct kallsyms *symbols = calloc(1, sizeof(*symbols));
	size_t buckets = 1;

	if (!symbols)
		return NULL;
	while (buckets < count * 2)
		buckets *= 2;
	symbols->bucket_mask = buckets - 1;
	symbols->addresses = calloc(count, sizeof(*symbols->addresses));
	symbols->names = calloc(count, sizeof(*symbols->names));
	symbols->buckets = calloc(buckets, sizeof(*symbols->buckets));
	symbols->by_address = calloc(count, sizeof(*symbols->by_address));
	if (symbols->addresses && symbols->names && symbols->buckets && symbols->by_address)
		return symbols;
	kallsyms_free(symbols);
	return NULL;
}

int kallsyms_load(struct guest_mem *mem, const struct kallsyms_image *image,
		  const struct vmcoreinfo *info, struct kallsyms **out, char *why, size_t why_len)
{
	struct kallsyms_tables tables = { 0 };
	struct kallsyms *symbols;
	int err;

	err = kallsyms_tables_read(mem, image, info, &tables, why, why_len);
	if (err)
		return err;
	symbols = kallsyms_new(tables.count);
	err = symbols ? decode_names(symbols, &tables) : -ENOMEM;
	if (err) {
		snprintf(why, why_len, "a name of the symbol table does not decode");
	} else {
		index_names(symbols);
		err = choose_encoding(symbols, &tables, info);
		snprintf(why, why_len, "no known encoding puts _stext and init_top_pgt right");
	}
	kallsyms_tables_free(&tables);
	if (err) {
		kallsyms_free(symbols);
		return err;
	}
	index_addresses(symbols);
	*out = symbols;
	return 0;
}
