/* SPDX-License-Identifier: GPL-2.0 */
/* How a VM is trapped, and where the breakpoints go when it is the shim that does it. */
#ifndef KVMTAINT_BREAKPOINTS_H
#define KVMTAINT_BREAKPOINTS_H

#include <stddef.h>

#include "../bpf/kvmtaint.h"
#include "profile.h"

enum trap_kind {
	TRAP_PATCH, /* INVD in the guest's text, at every hook */
	TRAP_SHIM, /* breakpoints where system calls enter */
	TRAP_SHIM_HOOKS, /* breakpoints on the few hooks that the profile still has */
};

/* As --trap and the records call it. */
const char *trap_kind_name(enum trap_kind kind);

struct breakpoint {
	char name[64]; /* guest function */
	gva_t address;
	struct kt_site site;
};

/*
 * The breakpoints of kind, for a guest. How many; none for TRAP_PATCH. A function
 * is stopped at its first byte, which may be an endbr64, and not at ftrace's NOP:
 * tools of the guest that write over the NOP do not matter.
 */
size_t breakpoints_of(enum trap_kind kind, const struct guest_profile *profile,
		      struct breakpoint out[KT_BREAKPOINTS_MAX]);

#endif
