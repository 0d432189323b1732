// SPDX-License-Identifier: GPL-2.0
#include "kallsyms_tables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_MAX  (1ULL << 30) /* KERNEL_IMAGE_SIZE is at most 1 GiB */
#define TOKENS_MAX (16UL << 10) /* bytes; real ones take about 1 KiB */
#define NAMES_MAX  (64UL << 20) /* bytes; real ones take 1 to 3 MiB */

size_t kallsyms_name_len(const uint8_t *at, size_t left, size_t *head)
{
	size_t len;

	if (!left)
		return 0;
	*head = at[0] & 0x80 ? 2 : 1;
	if (*head > left)
		return 0;
	len = *head == 2 ? (at[0] & 0x7fU) | (size_t)at[1] << 7 : at[0];
	return len && len <= left - *head ? len : 0;
}

void kallsyms_tables_free(struct kallsyms_tables *tables)
{
	free(tables->names);
	free(tables->tokens);
	free(tables->offsets);
	memset(tables, 0, sizeof(*tables));
}

/* Reads len bytes of the image at gva. */
static int image_read(struct guest_mem *mem, const struct kallsyms_image *image, uint64_t gva,
		      void *buf, size_t len)
{
	uint64_t offset = gva - image->gva.v;

	if (offset >= IMAGE_MAX || len > IMAGE_MAX - offset)
		return -EFAULT;
	return guest_mem_read(mem, GPA(image->gpa.v + offset), buf, len);
}

/* Allocates len bytes and reads them from the image; NULL on any failure. */
static void *image_copy(struct guest_mem *mem, const struct kallsyms_image *image, uint64_t gva,
			size_t len)
{
	void *copy = malloc(len);

	if (copy && image_read(mem, image, gva, copy, len)) {
		free(copy);
		return NULL;
	}
	return copy;
}

static int read_tables(struct guest_mem *mem, const struct kallsyms_image *image,
		       const struct vmcoreinfo *info, struct kallsyms_tables *tables)
{
	/* names, markers, token table and token index follow each other in all versions. */
	tables->names_len = info->kallsyms_token_table - info->kallsyms_names;
	tables->tokens_len = info->kallsyms_token_index - info->kallsyms_token_table;
	if (image_read(mem, image, info->kallsyms_num_syms, &tables->count, 4) || !tables->count ||
	    tables->count > KALLSYMS_COUNT_MAX || tables->names_len < tables->count ||
	    tables->names_len > NAMES_MAX || tables->tokens_len < KALLSYMS_TOKENS ||
	    tables->tokens_len > TOKENS_MAX)
		return -EPROTO;
	if (image_read(mem, image, info->kallsyms_token_index, tables->token_index,
		       sizeof(tables->token_index)))
		return -EPROTO;
	if (info->kallsyms_relative_base &&
	    image_read(mem, image, info->kallsyms_relative_base, &tables->relative_base, 8))
		return -EPROTO;
	tables->names = image_copy(mem, image, info->kallsyms_names, tables->names_len);
	tables->tokens = image_copy(mem, image, info->kallsyms_token_table, tables->tokens_len);
	tables->offsets = image_copy(mem, image, info->kallsyms_offsets, tables->count * 4UL);
	tables->offsets_gva = info->kallsyms_offsets;
	return tables->names && tables->tokens && tables->offsets ? 0 : -EPROTO;
}

int kallsyms_tables_read(struct guest_mem *mem, const struct kallsyms_image *image,
			 const struct vmcoreinfo *info, struct kallsyms_tables *out, char *why,
			 size_t why_len)
{
	struct kallsyms_tables tables = { 0 };
	int err;

	if (!info->kallsyms_names || !info->kallsyms_offsets)
		return kallsyms_tables_search(mem, image, out, why, why_len);
	err = read_tables(mem, image, info, &tables);
	if (err) {
		kallsyms_tables_free(&tables);
		snprintf(why, why_len, "the tables that VMCOREINFO names do not fit each other");
		return err;
	}
	*out = tables;
	return 0;
}
