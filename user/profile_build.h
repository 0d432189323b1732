/* SPDX-License-Identifier: GPL-2.0 */
/* The steps that guest_profile_build() (profile.c) consists of. */
#ifndef KVMTAINT_PROFILE_BUILD_H
#define KVMTAINT_PROFILE_BUILD_H

#include "guest_types.h"
#include "kallsyms.h"
#include "profile.h"
#include "vmcoreinfo.h"

/* What a build knows beside the profile that it fills. */
struct profile_build {
	struct guest_mem *mem;
	struct guest_profile *profile;
	struct vmcoreinfo info;
	const struct guest_cpu *cpu; /* the witness; may be NULL */
	struct kallsyms_image image;
	struct guest_types *types;
};

/*
 * Each step fills its part of the profile and records itself once, through
 * profile_step(). 0, or one of guest_profile_build()'s errors.
 */
int profile_page_tables(struct profile_build *build); /* profile_image.c */
int profile_symbols(struct profile_build *build); /* profile_image.c */
int profile_image(struct profile_build *build); /* profile_image.c */
int profile_direct_map(struct profile_build *build); /* profile_image.c */
int profile_types(struct profile_build *build); /* profile_types.c */
int profile_fields(struct profile_build *build); /* profile_types.c */
int profile_stack(struct profile_build *build); /* profile_types.c */
int profile_cpus(struct profile_build *build); /* profile_cpus.c */
int profile_hooks(struct profile_build *build); /* profile_hooks.c */
int profile_guards(struct profile_build *build); /* profile_guards.c */
int profile_module_types(struct profile_build *build); /* profile_modules.c */

/* Says which hooks this guest does without; needs its types. profile_unseen.c */
void profile_find_unseen(struct profile_build *build);

/* Whether the Linux Kernel Runtime Guard is among the guest's modules. */
bool profile_has_lkrg(struct profile_build *build);

/* Records a step: ok when err is 0. Returns err. */
int profile_step(struct profile_build *build, const char *name, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Whether the page tables that info names map the kernel where info says, and
 * whether cpu (may be NULL) runs on them. Cheap: a forgery costs a few reads.
 */
bool profile_plausible(struct guest_mem *mem, const struct vmcoreinfo *info,
		       const struct guest_cpu *cpu);

/*
 * The first of alternatives ("a|b") that the guest has; *which gets its number.
 * 0; -ENOENT: none; -ENOTUNIQ: the name is not unique.
 */
int profile_find_symbol(const struct kallsyms *symbols, const char *alternatives,
			struct kallsyms_symbol *out, uint32_t *which);

#endif
