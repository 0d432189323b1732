// SPDX-License-Identifier: GPL-2.0
#include "profile.h"

#include <bpf/btf.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "profile_build.h"

#define KERNELS_MAX 8 /* plausible kernels in one RAM: that of each reboot, at worst */

/* In this order; the first that fails ends the profile. */
static int (*const steps[])(struct profile_build *build) = {
	profile_page_tables, profile_symbols, profile_image,	    profile_direct_map,
	profile_types,	     profile_fields,  profile_stack,	    profile_cpus,
	profile_hooks,	     profile_guards,  profile_module_types,
};

int profile_step(struct profile_build *build, const char *name, int err, const char *fmt, ...)
{
	struct guest_profile *profile = build->profile;
	struct profile_step *step;
	va_list ap;

	if (profile->step_count == PROFILE_STEPS_MAX)
		return err;
	step = &profile->steps[profile->step_count++];
	step->name = name;
	step->ok = !err;
	va_start(ap, fmt);
	vsnprintf(step->detail, sizeof(step->detail), fmt, ap);
	va_end(ap);
	/* Names in it come from the guest; a terminal must not obey them. */
	for (char *c = step->detail; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	return err;
}

void guest_profile_free(struct guest_profile *profile)
{
	if (!profile)
		return;
	kallsyms_free(profile->symbols);
	btf__free(profile->types);
	free(profile);
}

/* The kernels of a RAM that a scan accepted. */
struct kernels {
	struct guest_mem *mem;
	const struct guest_cpu *cpu;
	struct vmcoreinfo info[KERNELS_MAX];
	size_t count;
};

static bool collect(const struct vmcoreinfo *info, void *context)
{
	struct kernels *kernels = context;

	for (size_t i = 0; i < kernels->count; i++)
		if (kernels->info[i].stext == info->stext &&
		    kernels->info[i].phys_base == info->phys_base)
			return false;
	if (profile_plausible(kernels->mem, info, kernels->cpu))
		kernels->info[kernels->count++] = *info;
	/* Only one kernel has the vCPU's page tables. */
	return kernels->count == KERNELS_MAX ||
	       (kernels->count && kernels->cpu && kernels->cpu->cr3);
}

/* Runs all steps for one kernel. *out is always set. */
static int build_one(struct guest_mem *mem, const struct vmcoreinfo *info,
		     const struct guest_cpu *cpu, struct guest_profile **out)
{
	struct profile_build build = { .mem = mem, .info = *info, .cpu = cpu };
	int err = 0;

	build.profile = calloc(1, sizeof(*build.profile));
	if (!build.profile)
		return -ENOMEM;
	memcpy(build.profile->release, info->release, sizeof(info->release));
	memcpy(build.profile->build_id, info->build_id, sizeof(info->build_id));
	profile_step(&build, "vmcoreinfo", 0, "Linux %s at guest physical %#" PRIx64, info->release,
		     info->found.v);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !err; i++)
		err = steps[i](&build);
	if (build.types)
		build.profile->types = guest_types_detach(build.types);
	guest_types_free(build.types);
	*out = build.profile;
	return err;
}

/* A profile that only says why there is none. */
static int failed(struct guest_profile **out, int err, const char *detail)
{
	struct profile_build build = { .profile = calloc(1, sizeof(*build.profile)) };

	if (!build.profile)
		return -ENOMEM;
	*out = build.profile;
	return profile_step(&build, "vmcoreinfo", err, "%s", detail);
}

/*
 * Whether a kernel that failed with err is there at all: these errors come from
 * one that was understood.
 */
static bool understood(int err)
{
	return !err || err == -ENODATA || err == -ENOSYS || err == -EBUSY || err == -EPERM;
}

int guest_profile_build_for(struct guest_mem *mem, const struct guest_cpu *cpu,
			    struct guest_profile **out)
{
	struct kernels kernels = { .mem = mem, .cpu = cpu };
	struct guest_cpu less = { 0 };
	struct guest_profile *best = NULL, *profile;
	int seen, err, result = -ENOENT;

	*out = NULL;
	seen = vmcoreinfo_find(mem, collect, &kernels);
	if (!kernels.count && seen > 0 && cpu && cpu->cr3 && cpu->lstar) {
		/*
		 * The CR3 of a vCPU's last exit may be gone with its process. LSTAR
		 * then decides alone; should two kernels remain, none is taken.
		 */
		less.lstar = cpu->lstar;
		kernels.cpu = &less;
		seen = vmcoreinfo_find(mem, collect, &kernels);
	}
	if (seen < 0)
		return failed(out, seen, "out of memory");
	if (!kernels.count)
		return failed(
			out, -ENOENT,
			seen ? "no Linux kernel runs here: what VMCOREINFO describes is gone"
			     : "no Linux kernel in this RAM: not booted yet, or no VMCOREINFO");
	for (size_t i = 0; i < kernels.count; i++) {
		profile = NULL;
		err = build_one(mem, &kernels.info[i], cpu, &profile);
		if (best && understood(err) && understood(result)) {
			guest_profile_free(best);
			guest_profile_free(profile);
			return failed(
				out, -EPROTO,
				"two kernels in this RAM: only a vCPU's CR3 tells which runs");
		}
		if (!best || understood(err)) {
			guest_profile_free(best);
			best = profile;
			result = err;
		} else {
			guest_profile_free(profile);
		}
	}
	*out = best;
	return best ? result : -ENOMEM;
}

int guest_profile_build(struct guest_mem *mem, struct guest_profile **out)
{
	return guest_profile_build_for(mem, NULL, out);
}
