// SPDX-License-Identifier: GPL-2.0
/* What in the guest would notice, or suffer from, changed text. */
#include "profile_build.h"

#include <errno.h>
#include <string.h>

#define MODULES_MAX 4096
#define OPS_MAX	    1024
#define NAME_LEN    56 /* MODULE_NAME_LEN on 64 bits */

/* LKRG hashes the kernel's text and kills or panics on a change (lkrg.org); p_lkrg before 0.9. */
static bool is_lkrg(const char *name)
{
	return !strcmp(name, "lkrg") || !strcmp(name, "p_lkrg");
}

/* Walks the module list; *count modules were seen. Whether LKRG is one of them. */
static bool find_lkrg(struct profile_build *build, unsigned int *count)
{
	const struct kt_guest *guest = &build->profile->guest;
	uint64_t head = guest->sym_modules, at;
	char name[NAME_LEN + 1] = "";

	*count = 0;
	if (!head || guest->module_list == KT_ABSENT || guest->module_name == KT_ABSENT ||
	    guest_read(build->mem, guest, GVA(head), &at, 8))
		return false;
	for (; at != head && *count < MODULES_MAX; ++*count) {
		uint64_t module = at - guest->module_list;

		if (guest_read(build->mem, guest, GVA(module + guest->module_name), name,
			       NAME_LEN) ||
		    guest_read(build->mem, guest, GVA(at), &at, 8))
			return false;
		if (is_lkrg(name))
			return true;
	}
	return false;
}

bool profile_has_lkrg(struct profile_build *build)
{
	unsigned int count;

	return find_lkrg(build, &count);
}

/* How many users ftrace has in the guest, whatever functions they trace. */
static unsigned int ftrace_users(struct profile_build *build)
{
	const struct kt_guest *guest = &build->profile->guest;
	unsigned int count = 0;
	uint64_t at;

	if (!guest->sym_ftrace_ops_list || !guest->sym_ftrace_list_end ||
	    guest->ftrace_ops_next == KT_ABSENT ||
	    guest_read(build->mem, guest, GVA(guest->sym_ftrace_ops_list), &at, 8))
		return 0;
	while (at && at != guest->sym_ftrace_list_end && count < OPS_MAX) {
		count++;
		if (guest_read(build->mem, guest, GVA(at + guest->ftrace_ops_next), &at, 8))
			break;
	}
	return count;
}

int profile_guards(struct profile_build *build)
{
	unsigned int modules, users = ftrace_users(build);

	if (find_lkrg(build, &modules))
		return profile_step(
			build, "guards", -EPERM,
			"LKRG guards the guest's text: a trap would look like an attack");
	return profile_step(build, "guards", 0, "no LKRG among %u modules, %u ftrace users",
			    modules, users);
}
