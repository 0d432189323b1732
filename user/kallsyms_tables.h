/* SPDX-License-Identifier: GPL-2.0 */
/* The raw tables of kallsyms, copied from guest RAM: what kallsyms.c decodes. */
#ifndef KVMTAINT_KALLSYMS_TABLES_H
#define KVMTAINT_KALLSYMS_TABLES_H

#include "kallsyms.h"

#define KALLSYMS_TOKENS	   256
#define KALLSYMS_COUNT_MAX (1U << 22) /* symbols; 7.3 has 198,000 */

struct kallsyms_tables {
	uint32_t count; /* symbols */
	uint8_t *names; /* compressed names, one after the other */
	size_t names_len; /* bytes, an upper bound */
	char *tokens;
	size_t tokens_len; /* bytes */
	uint16_t token_index[KALLSYMS_TOKENS];
	int32_t *offsets; /* count of them */
	uint64_t offsets_gva; /* guest virtual address of offsets[0] */
	uint64_t relative_base; /* 0: none */
};

/* As kallsyms_load(). Paired with kallsyms_tables_free(). */
int kallsyms_tables_read(struct guest_mem *mem, const struct kallsyms_image *image,
			 const struct vmcoreinfo *info, struct kallsyms_tables *out, char *why,
			 size_t why_len);

/* The same without addresses: looks for the tables in the image's bytes. */
int kallsyms_tables_search(struct guest_mem *mem, const struct kallsyms_image *image,
			   struct kallsyms_tables *out, char *why, size_t why_len);

void kallsyms_tables_free(struct kallsyms_tables *tables);

/*
 * The length of the compressed name at at, in bytes, and in *head the bytes that
 * the length itself takes: two since 6.1 (commit 73bbb94466fd) where the first
 * has its top bit set. 0: it does not fit into left bytes.
 */
size_t kallsyms_name_len(const uint8_t *at, size_t left, size_t *head);

#endif
