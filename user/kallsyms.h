/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest kernel's symbol table, decoded from its RAM (kernel/kallsyms.c,
 * scripts/kallsyms.c). Modules are not in it.
 */
#ifndef KVMTAINT_KALLSYMS_H
#define KVMTAINT_KALLSYMS_H

#include <stdbool.h>
#include <stddef.h>

#include "guest_mem.h"
#include "vmcoreinfo.h"

struct kallsyms;

struct kallsyms_symbol {
	const char *name; /* owned by the table */
	uint64_t address; /* guest virtual; per-CPU symbols up to 6.14: an offset */
	char type; /* as nm(1) prints it */
};

/* Where the kernel image lies: one physically contiguous run. */
struct kallsyms_image {
	gva_t gva;
	gpa_t gpa;
};

/*
 * Decodes the table of the kernel that info describes: from the addresses in
 * info, or (before 6.0) by looking for the token table in the image. 0; -EPROTO
 * with one line in why; -ENOMEM. Paired with kallsyms_free().
 */
int kallsyms_load(struct guest_mem *mem, const struct kallsyms_image *image,
		  const struct vmcoreinfo *info, struct kallsyms **out, char *why, size_t why_len);
void kallsyms_free(struct kallsyms *symbols);

size_t kallsyms_count(const struct kallsyms *symbols);

/* How the addresses are encoded, for people. */
const char *kallsyms_encoding(const struct kallsyms *symbols);

/* Symbol i of kallsyms_count(), in the guest's order. */
struct kallsyms_symbol kallsyms_symbol(const struct kallsyms *symbols, size_t i);

/*
 * The symbol called name: the global one where there are several (*matches says
 * how many; may be NULL). False: none, or several and none or more than one of
 * them global.
 */
bool kallsyms_find(const struct kallsyms *symbols, const char *name, struct kallsyms_symbol *out,
		   size_t *matches);

/* The last symbol at or below address, for messages. False: none. */
bool kallsyms_at(const struct kallsyms *symbols, gva_t address, struct kallsyms_symbol *out);

#endif
