// SPDX-License-Identifier: GPL-2.0
#include "vmcoreinfo.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_SHIFT  12
#define PAGE_SIZE   (1UL << PAGE_SHIFT)
#define VALUE_MAX   96 /* bytes of a value that is looked at */
#define NOTE_HEADER 24 /* an ELF note's header (12 bytes) and the name "VMCOREINFO", padded */
#define HEAD_LEN    40 /* both places where the text can start, and enough to know it */
#define SCAN_PAGES  2048
#define SEEN_MAX    65536 /* different notes looked at; a guest user can make any number */

/* Copies the value of the line "key=" to value; false when there is no such line. */
static bool value_of(const char *text, size_t len, const char *key, char value[VALUE_MAX])
{
	size_t key_len = strlen(key);
	const char *end = text + len;

	for (const char *line = text; line < end;) {
		const char *next = memchr(line, '\n', end - line);
		size_t line_len = (next ? next : end) - line;

		if (line_len > key_len && line_len - key_len <= VALUE_MAX &&
		    !memcmp(line, key, key_len) && line[key_len] == '=') {
			memcpy(value, line + key_len + 1, line_len - key_len - 1);
			value[line_len - key_len - 1] = 0;
			return true;
		}
		line += line_len + 1;
	}
	return false;
}

/* A number in the given base; the kernel prints phys_base signed. */
static bool number_of(const char *text, size_t len, const char *key, int base, uint64_t *out)
{
	char value[VALUE_MAX], *end;

	if (!value_of(text, len, key, value) || !value[0])
		return false;
	errno = 0;
	*out = value[0] == '-' ? (uint64_t)strtoll(value, &end, base) : strtoull(value, &end, base);
	return !errno && !*end;
}

static bool text_of(const char *text, size_t len, const char *key, char *out, size_t out_len,
		    int (*allowed)(int))
{
	char value[VALUE_MAX];

	if (!value_of(text, len, key, value) || !value[0] || strlen(value) >= out_len)
		return false;
	for (const char *c = value; *c; c++)
		if (!allowed((unsigned char)*c))
			return false;
	memcpy(out, value, strlen(value) + 1);
	return true;
}

static int release_char(int c)
{
	return isalnum(c) || (c && strchr(".-+_~", c));
}

int vmcoreinfo_parse(const char *text, size_t len, struct vmcoreinfo *out)
{
	struct vmcoreinfo info = { 0 };
	uint64_t page_size = 0, l5 = 0;
	const struct {
		const char *key;
		uint64_t *value;
	} symbols[] = {
		{ "SYMBOL(_stext)", &info.stext },
		{ "SYMBOL(init_top_pgt)", &info.init_top_pgt },
		{ "SYMBOL(init_uts_ns)", &info.init_uts_ns },
		{ "SYMBOL(kallsyms_names)", &info.kallsyms_names },
		{ "SYMBOL(kallsyms_num_syms)", &info.kallsyms_num_syms },
		{ "SYMBOL(kallsyms_token_table)", &info.kallsyms_token_table },
		{ "SYMBOL(kallsyms_token_index)", &info.kallsyms_token_index },
		{ "SYMBOL(kallsyms_offsets)", &info.kallsyms_offsets },
		{ "SYMBOL(kallsyms_relative_base)", &info.kallsyms_relative_base },
		{ "KERNELOFFSET", &info.kernel_offset },
	};

	len = strnlen(text, len);
	if (!text_of(text, len, "OSRELEASE", info.release, sizeof(info.release), release_char) ||
	    !isdigit((unsigned char)info.release[0]))
		return -EINVAL;
	text_of(text, len, "BUILD-ID", info.build_id, sizeof(info.build_id), isxdigit);
	if (!number_of(text, len, "PAGESIZE", 10, &page_size) || page_size != PAGE_SIZE ||
	    !number_of(text, len, "NUMBER(phys_base)", 10, &info.phys_base))
		return -EINVAL;
	number_of(text, len, "NUMBER(pgtable_l5_enabled)", 10, &l5);
	info.levels = l5 ? 5 : 4;
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++)
		if (!number_of(text, len, symbols[i].key, 16, symbols[i].value))
			*symbols[i].value = 0;
	if (!info.stext || !info.init_top_pgt)
		return -EINVAL;
	*out = info;
	return 0;
}

static bool same_note(const struct vmcoreinfo *a, const struct vmcoreinfo *b)
{
	return !strcmp(a->release, b->release) && a->phys_base == b->phys_base &&
	       a->stext == b->stext && a->init_top_pgt == b->init_top_pgt;
}

struct scan {
	struct guest_mem *mem;
	bool (*visit)(const struct vmcoreinfo *info, void *context);
	void *context;
	struct vmcoreinfo last;
	int seen;
	bool stop;
};

static void look_at(struct scan *scan, gpa_t where)
{
	struct vmcoreinfo info = { 0 };
	char text[VMCOREINFO_SIZE];
	size_t len = sizeof(text);

	/* A note of the last page of a slot ends there. */
	if (guest_mem_read(scan->mem, where, text, len)) {
		len = PAGE_SIZE - (where.v & (PAGE_SIZE - 1));
		if (guest_mem_read(scan->mem, where, text, len))
			return;
	}
	if (vmcoreinfo_parse(text, len, &info))
		return;
	info.found = where;
	if (scan->seen && same_note(&scan->last, &info))
		return;
	scan->last = info;
	scan->seen++;
	scan->stop = scan->visit(&info, scan->context) || scan->seen >= SEEN_MAX;
}

/*
 * The text lies at the start of a page (vmcoreinfo_data) and behind the header
 * of an ELF note that starts a page (vmcoreinfo_note): nothing else is looked at.
 */
static void scan_heads(struct scan *scan, uint64_t gfn, const char *heads, size_t count)
{
	static const size_t starts[] = { 0, NOTE_HEADER };

	for (size_t i = 0; i < count && !scan->stop; i++) {
		const char *head = heads + i * HEAD_LEN;

		for (size_t j = 0; j < 2 && !scan->stop; j++)
			if (!memcmp(head + starts[j], VMCOREINFO_START,
				    sizeof(VMCOREINFO_START) - 1))
				look_at(scan, GPA(((gfn + i) << PAGE_SHIFT) + starts[j]));
	}
}

int vmcoreinfo_find(struct guest_mem *mem, bool (*visit)(const struct vmcoreinfo *, void *),
		    void *context)
{
	struct scan scan = { .mem = mem, .visit = visit, .context = context };
	const struct kt_slot *slots;
	char *heads;
	size_t count;

	heads = malloc(SCAN_PAGES * HEAD_LEN);
	if (!heads)
		return -ENOMEM;
	slots = guest_mem_slots(mem, &count);
	for (size_t i = 0; i < count; i++) {
		uint64_t end = slots[i].gfn + slots[i].npages;

		for (uint64_t gfn = slots[i].gfn; gfn < end && !scan.stop; gfn += SCAN_PAGES) {
			size_t part = end - gfn < SCAN_PAGES ? end - gfn : SCAN_PAGES;

			guest_mem_read_heads(mem, gfn, part, heads, HEAD_LEN);
			scan_heads(&scan, gfn, heads, part);
		}
	}
	free(heads);
	return scan.seen;
}
