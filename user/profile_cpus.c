// SPDX-License-Identifier: GPL-2.0
/* The guest's CPUs: per-CPU areas by APIC id, and what runs on each. */
#include "profile_build.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define NR_CPUS_MAX 8192 /* CONFIG_NR_CPUS of distribution kernels */
#define BAD_APICID  0xffffu /* arch/x86/include/asm/apicdef.h: where ids have 32 bits, too */

/* Width of an APIC id, bytes: measured 2 up to 6.1 and 4 from 6.12 on. */
static size_t apicid_width(const struct profile_build *build)
{
	return guest_types_variable_size(build->types, "x86_cpu_to_apicid") == 4 ? 4 : 2;
}

static uint32_t cpus_possible(struct guest_mem *mem, const struct kt_guest *guest)
{
	uint32_t count = 0;

	if (!guest->sym_nr_cpu_ids ||
	    guest_read(mem, guest, GVA(guest->sym_nr_cpu_ids), &count, sizeof(count)))
		return KT_VCPUS_MAX;
	return count < NR_CPUS_MAX ? count : NR_CPUS_MAX;
}

int guest_profile_cpus(struct guest_mem *mem, const struct guest_profile *profile,
		       uint64_t percpu_base[KT_VCPUS_MAX])
{
	const struct kt_guest *guest = &profile->guest;
	uint32_t possible = cpus_possible(mem, guest), width = guest->apicid_width, cpus = 0;

	memset(percpu_base, 0, KT_VCPUS_MAX * sizeof(*percpu_base));
	for (uint32_t cpu = 0; cpu < possible; cpu++) {
		uint32_t apicid = 0;
		uint64_t base;

		/* The sum wraps since 6.15: per-CPU symbols are then image addresses. */
		if (guest_read(mem, guest, GVA(guest->sym_per_cpu_offset + cpu * 8ULL), &base, 8) ||
		    guest_read(mem, guest, GVA(base + guest->sym_cpu_to_apicid), &apicid, width) ||
		    apicid == BAD_APICID || apicid == UINT32_MAX)
			continue; /* possible, but not there */
		if (apicid >= KT_VCPUS_MAX || percpu_base[apicid] || !base)
			return -EPROTO;
		percpu_base[apicid] = base;
		cpus++;
	}
	return cpus;
}

/*
 * The name of the task that base's CPU runs, or "-" before that CPU was first
 * brought up; false when this is no task.
 */
static bool current_comm(struct profile_build *build, uint64_t base, char comm[KT_COMM_LEN + 1])
{
	const struct kt_guest *guest = &build->profile->guest;
	uint64_t task;

	comm[KT_COMM_LEN] = 0;
	if (guest_read(build->mem, guest, GVA(base + guest->sym_current_task), &task, 8))
		return false;
	if (!task) {
		strcpy(comm, "-");
		return true;
	}
	return !guest_read(build->mem, guest, GVA(task + guest->task_comm), comm, KT_COMM_LEN) &&
	       comm[0];
}

int profile_cpus(struct profile_build *build)
{
	struct guest_profile *profile = build->profile;
	char comm[KT_COMM_LEN + 1], shown[120] = "";
	size_t used = 0;
	int cpus;

	profile->guest.apicid_width = apicid_width(build);
	cpus = guest_profile_cpus(build->mem, profile, profile->percpu_base);
	if (cpus < 0)
		return profile_step(build, "cpus", cpus,
				    "two CPUs claim one APIC id, or it is above %d",
				    KT_VCPUS_MAX - 1);
	for (uint32_t id = 0; id < KT_VCPUS_MAX; id++) {
		if (!profile->percpu_base[id])
			continue;
		if (!current_comm(build, profile->percpu_base[id], comm))
			return profile_step(
				build, "cpus", -EPROTO,
				"the CPU with APIC id %u does not run anything that looks"
				" like a task",
				id);
		if (used < sizeof(shown))
			used += snprintf(shown + used, sizeof(shown) - used, " %s", comm);
	}
	profile->cpus = cpus;
	if (!cpus)
		return profile_step(build, "cpus", -EPROTO, "no CPU of the guest is up");
	return profile_step(build, "cpus", 0, "%u, running:%s", profile->cpus, shown);
}
