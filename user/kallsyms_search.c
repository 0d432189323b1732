// SPDX-License-Identifier: GPL-2.0
/*
 * Finds the tables of kallsyms in a kernel image that does not say where they
 * are (VMCOREINFO before 6.0). scripts/kallsyms.c writes, in this order,
 *
 *	[offsets, relative_base, up to 6.3] num_syms, names, markers,
 *	[seqs_of_names, 6.2 and 6.3] token_table, token_index
 *	[offsets, relative_base, seqs_of_names, since 6.4]
 *
 * (moved by commit 404bad70fcf7; seqs_of_names came with 60443c88f3a8 and, in
 * stable kernels, to 6.1: three bytes a symbol). The digits are tokens of their own, so that
 * the token table holds "0\0" "1\0" ... "9\0"; token_index gives the offset of
 * each of the 256 tokens and proves the place; markers give the offset of every
 * 256th name and prove where the names begin.
 */
#include "kallsyms_tables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEARCH_MAX    (128UL << 20) /* bytes of the image that are looked through */
#define CHUNK	      (4UL << 20)
#define BEHIND_MAX    (32UL << 20) /* bytes behind the token table that a table can take */
#define TABLE_ALIGN   4 /* 8 up to 7.1, 4 since */
#define TOKEN_LEN_MAX 64 /* bytes of one token; real ones stay below 20 */
#define NAME_LEN_MAX  512 /* bytes of one compressed name */
#define MARKER_STEP   256 /* names from one marker to the next */
#define SEQ_LEN	      3 /* bytes of one entry of seqs_of_names */
#define SEQS_MAX      (SEQ_LEN * KALLSYMS_COUNT_MAX)
/* A hostile image must not keep us busy: what all candidates together may cost. */
#define HITS_MAX    64
#define WORK_BUDGET (4UL * KALLSYMS_COUNT_MAX) /* names and markers looked at */

static const char digits[] = "0\0001\0002\0003\0004\0005\0006\0007\0008\0009"; /* and a NUL */

static size_t align_up(size_t value, size_t to)
{
	return (value + to - 1) / to * to;
}

/* The part of the image that was read so far. */
struct window {
	uint8_t *bytes; /* SEARCH_MAX of room, filled as needed */
	size_t len;
};

/* Reads the image up to end, or as far as there is RAM. */
static void extend(struct guest_mem *mem, const struct kallsyms_image *image, struct window *window,
		   size_t end)
{
	while (window->len < end && window->len < SEARCH_MAX &&
	       !guest_mem_read(mem, GPA(image->gpa.v + window->len), window->bytes + window->len,
			       CHUNK))
		window->len += CHUNK;
}

/*
 * Whether a token table starts at start: 256 tokens, '0' of them at digit, then
 * (aligned to align) the index that names the offset of each: its place goes to
 * *index.
 */
static bool token_table_at(const uint8_t *bytes, size_t len, size_t start, size_t align,
			   size_t digit, size_t *index)
{
	uint16_t offsets[KALLSYMS_TOKENS];
	size_t at = start;

	for (int i = 0; i < KALLSYMS_TOKENS; i++) {
		size_t part = at < len ? strnlen((const char *)bytes + at, len - at) : 0;

		if (at + part >= len || part > TOKEN_LEN_MAX || (i == '0' && at != digit))
			return false;
		offsets[i] = at - start;
		at += part + 1;
	}
	*index = align_up(at, align);
	return *index + sizeof(offsets) <= len && !memcmp(bytes + *index, offsets, sizeof(offsets));
}

/* Goes back from the digits (token '0' is number 48) to the table's start. 0: none. */
static size_t token_table_around(const uint8_t *bytes, size_t len, size_t digit, size_t *index)
{
	size_t lowest = digit > '0' * (TOKEN_LEN_MAX + 1) ? digit - '0' * (TOKEN_LEN_MAX + 1) : 0;

	for (size_t start = digit / TABLE_ALIGN * TABLE_ALIGN; start > lowest; start -= TABLE_ALIGN)
		for (size_t align = 4; align <= 8; align += 4)
			if (token_table_at(bytes, len, start, align, digit, index))
				return start;
	return 0;
}

static uint32_t word_at(const uint8_t *bytes, size_t at)
{
	uint32_t word;

	memcpy(&word, bytes + at, sizeof(word));
	return word;
}

/*
 * Goes back from end over the markers, which grow from 0, to their start.
 * *count: how many; 0: these are no markers.
 */
static size_t markers_up_to(const uint8_t *bytes, size_t end, size_t *count, size_t *budget)
{
	size_t at = end - 4;

	*count = 0;
	if (end < 16)
		return 0;
	if (!word_at(bytes, at))
		at -= 4; /* padding */
	while (at >= 4 && word_at(bytes, at) > word_at(bytes, at - 4) && *budget) {
		++*count;
		--*budget;
		at -= 4;
	}
	if (!*count || word_at(bytes, at))
		return 0;
	++*count;
	return at;
}

/* The markers before a token table, right before it or with seqs_of_names between. */
static size_t markers_before(const uint8_t *bytes, size_t token_table, size_t *count,
			     size_t *budget)
{
	size_t lowest = token_table > SEQS_MAX ? token_table - SEQS_MAX : 16;

	for (size_t end = token_table; end > lowest; end -= TABLE_ALIGN) {
		size_t seqs = token_table - end, markers;

		markers = markers_up_to(bytes, end, count, budget);
		if (markers && (!seqs || (seqs > (*count - 1) * MARKER_STEP * SEQ_LEN &&
					  seqs < *count * MARKER_STEP * SEQ_LEN + 8)))
			return markers;
	}
	return 0;
}

/* Whether count names start at names, and each 256th lies where its marker says. */
static bool names_at(const uint8_t *bytes, size_t names, size_t count, size_t markers,
		     size_t *budget)
{
	size_t at = names;

	for (size_t i = 0; i < count; i++) {
		if (!*budget)
			return false;
		--*budget;

		size_t head, len = kallsyms_name_len(bytes + at, markers - at, &head);

		if (i % MARKER_STEP == 0 &&
		    word_at(bytes, markers + i / MARKER_STEP * 4) != at - names)
			return false;
		if (!len)
			return false;
		at += head + len;
	}
	return align_up(at, 8) >= markers;
}

/* The start of the names, and their count from num_syms before them. 0: none. */
static size_t names_before(const uint8_t *bytes, size_t markers, size_t marker_count,
			   uint32_t *count, size_t *budget)
{
	size_t last = word_at(bytes, markers + (marker_count - 1) * 4);
	size_t lowest = last + MARKER_STEP * NAME_LEN_MAX;

	if (last + 16 > markers)
		return 0;
	lowest = lowest + 16 > markers ? 16 : markers - lowest;
	for (size_t at = (markers - last) / 4 * 4; at >= lowest; at -= 4) {
		for (size_t back = 4; back <= 8; back += 4) {
			*count = word_at(bytes, at - back);
			if (*count > (marker_count - 1) * MARKER_STEP &&
			    *count <= marker_count * MARKER_STEP && *count <= KALLSYMS_COUNT_MAX &&
			    names_at(bytes, at, *count, markers, budget))
				return at;
		}
	}
	return 0;
}

/* Takes the pieces of one hit out of the image's bytes. */
static int take(const struct kallsyms_image *image, const uint8_t *bytes, size_t len,
		size_t token_table, size_t index, size_t *budget, struct kallsyms_tables *tables)
{
	size_t marker_count, markers = markers_before(bytes, token_table, &marker_count, budget);
	size_t names, offsets, size;

	if (!markers)
		return -EPROTO;
	names = names_before(bytes, markers, marker_count, &tables->count, budget);
	if (!names)
		return -EPROTO;
	/* Up to 6.3 a copy of num_syms, padded to 8, and relative_base precede the names. */
	size = tables->count * 4UL;
	offsets = names - 16 - align_up(size, 8);
	if (names < 16 + align_up(size, 8))
		return -EPROTO;
	memcpy(&tables->relative_base, bytes + names - 16, 8);
	if (tables->relative_base != image->gva.v) {
		offsets = index + KALLSYMS_TOKENS * 2;
		if (offsets + align_up(size, 8) + 8 > len)
			return -EPROTO;
		memcpy(&tables->relative_base, bytes + offsets + align_up(size, 8), 8);
		if (tables->relative_base != image->gva.v)
			tables->relative_base = 0;
	}
	tables->offsets_gva = image->gva.v + offsets;
	tables->names_len = markers - names;
	tables->tokens_len = index - token_table;
	memcpy(tables->token_index, bytes + index, sizeof(tables->token_index));
	tables->names = malloc(tables->names_len);
	tables->tokens = malloc(tables->tokens_len);
	tables->offsets = malloc(size);
	if (!tables->names || !tables->tokens || !tables->offsets)
		return -ENOMEM;
	memcpy(tables->names, bytes + names, tables->names_len);
	memcpy(tables->tokens, bytes + token_table, tables->tokens_len);
	memcpy(tables->offsets, bytes + offsets, size);
	return 0;
}

int kallsyms_tables_search(struct guest_mem *mem, const struct kallsyms_image *image,
			   struct kallsyms_tables *out, char *why, size_t why_len)
{
	struct window window = { .bytes = malloc(SEARCH_MAX) };
	size_t budget = WORK_BUDGET, at = 0, index, found;
	struct kallsyms_tables tables = { 0 };
	int err = window.bytes ? -EPROTO : -ENOMEM;

	for (int hits = 0; err == -EPROTO && hits < HITS_MAX;) {
		const uint8_t *hit =
			memmem(window.bytes + at, window.len - at, digits, sizeof(digits));

		if (!hit) {
			size_t len = window.len;

			at = len > sizeof(digits) ? len - sizeof(digits) : 0;
			extend(mem, image, &window, len + CHUNK);
			if (window.len == len)
				break;
			continue;
		}
		hits++;
		at = hit - window.bytes + 1;
		extend(mem, image, &window, at + BEHIND_MAX);
		found = token_table_around(window.bytes, window.len, at - 1, &index);
		if (!found)
			continue;
		kallsyms_tables_free(&tables);
		err = take(image, window.bytes, window.len, found, index, &budget, &tables);
	}
	free(window.bytes);
	if (err) {
		kallsyms_tables_free(&tables);
		snprintf(why, why_len, "no symbol table in the kernel image (CONFIG_KALLSYMS?)");
		return err;
	}
	*out = tables;
	return 0;
}
