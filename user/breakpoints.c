// SPDX-License-Identifier: GPL-2.0
/* The guest addresses that the shim is given. */
#include <stdio.h>

#include "breakpoints.h"
#include "trap.h"

_Static_assert(KT_ENTRY_MAX <= KT_BREAKPOINTS_MAX, "every entry needs a debug register");

const char *trap_kind_name(enum trap_kind kind)
{
	static const char *const names[] = {
		[TRAP_PATCH] = "patch",
		[TRAP_SHIM] = "shim",
		[TRAP_SHIM_HOOKS] = "shim-hooks",
	};

	return names[kind];
}

static size_t entries(const struct kt_guest *guest, struct breakpoint *out)
{
	const struct {
		const char *name;
		uint64_t address;
	} all[KT_ENTRY_MAX] = {
		[KT_ENTRY_SYSCALL] = { "entry_SYSCALL_64", guest->sym_entry_syscall },
		[KT_ENTRY_SYSCALL32] = { "entry_SYSCALL_compat", guest->sym_entry_syscall32 },
		[KT_ENTRY_SYSENTER32] = { "entry_SYSENTER_compat", guest->sym_entry_sysenter32 },
		[KT_ENTRY_INT80] = { "entry_INT80", guest->sym_entry_int80 },
	};
	size_t count = 0;

	for (uint32_t i = 0; i < KT_ENTRY_MAX; i++) {
		struct breakpoint *at = &out[count];

		if (!all[i].address)
			continue;
		*at = (struct breakpoint){
			.address = GVA(all[i].address),
			.site = { .hook = KT_HOOK_SYSCALL, .alternative = i },
		};
		snprintf(at->name, sizeof(at->name), "%s", all[i].name);
		count++;
	}
	return count;
}

static size_t hooks(const struct guest_profile *profile, struct breakpoint *out)
{
	size_t count = 0;

	for (uint32_t h = 0; h < KT_HOOK_MAX && count < KT_BREAKPOINTS_MAX; h++) {
		struct breakpoint *at = &out[count];

		if (!profile->hooks[h].function.v)
			continue;
		*at = (struct breakpoint){
			.address = profile->hooks[h].function,
			.site = { .hook = h, .alternative = profile->hooks[h].alternative },
		};
		trap_hook_name(profile, h, at->name, sizeof(at->name));
		count++;
	}
	return count;
}

size_t breakpoints_of(enum trap_kind kind, const struct guest_profile *profile,
		      struct breakpoint out[KT_BREAKPOINTS_MAX])
{
	switch (kind) {
	case TRAP_SHIM:
		return entries(&profile->guest, out);
	case TRAP_SHIM_HOOKS:
		return hooks(profile, out);
	default:
		return 0;
	}
}
