/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VMCOREINFO: what a Linux kernel writes down about itself for crash dumps
 * (kernel/vmcore_info.c, before 6.9 kernel/crash_core.c), found in guest RAM.
 */
#ifndef KVMTAINT_VMCOREINFO_H
#define KVMTAINT_VMCOREINFO_H

#include <stdbool.h>

#include "guest_mem.h"

struct vmcoreinfo {
	char release[65];
	char build_id[41]; /* hex; "" before 5.14 (commit 0935288c6e00) */
	gpa_t found; /* where the text lies */
	uint64_t phys_base; /* image bytes: gpa = gva - __START_KERNEL_map + phys_base */
	uint64_t kernel_offset; /* KASLR displacement, bytes */
	uint32_t levels; /* 4 or 5 */
	/* Guest virtual addresses; 0 where the note has none. */
	uint64_t stext;
	uint64_t init_top_pgt;
	uint64_t init_uts_ns;
	/* Tables of kallsyms: since 6.0 (commit 5fd8fea935a1). */
	uint64_t kallsyms_names;
	uint64_t kallsyms_num_syms;
	uint64_t kallsyms_token_table;
	uint64_t kallsyms_token_index;
	uint64_t kallsyms_offsets;
	uint64_t kallsyms_relative_base; /* none since 7.2: offsets are place-relative */
};

/* The note's text starts so; at most one page of it is read. */
#define VMCOREINFO_START "OSRELEASE="
#define VMCOREINFO_SIZE	 4096

/*
 * Reads a note of at most len bytes (it ends at the first NUL). 0; -EINVAL when
 * it is not a complete note of an x86-64 kernel; *out is then unchanged.
 */
int vmcoreinfo_parse(const char *text, size_t len, struct vmcoreinfo *out);

/*
 * Calls visit for each different note in RAM, lowest address first, until it
 * returns true. The same kernel shows up twice (its buffer and its ELF note);
 * kernels that ran before a reboot, and forgeries by guest users, show up too:
 * the visitor judges. Returns how many notes were seen; -errno.
 */
int vmcoreinfo_find(struct guest_mem *mem, bool (*visit)(const struct vmcoreinfo *, void *),
		    void *context);

#endif
