// SPDX-License-Identifier: GPL-2.0
/* What the guest's structures look like: its own BTF. */
#include "profile_build.h"

#include <bpf/btf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BTF_MAX		(64ULL << 20) /* bytes; 7.3 has 5.3 MB */
#define STACK_DEFAULT	(16U << 10) /* THREAD_SIZE, arch/x86/include/asm/page_64_types.h */
#define STACK_MAX	(128U << 10)
#define STACK_END_MAGIC 0x57AC6E9DULL /* include/uapi/linux/magic.h */

int profile_types(struct profile_build *build)
{
	struct guest_profile *profile = build->profile;
	const struct kt_guest *guest = &profile->guest;
	uint64_t size = guest->sym_stop_btf - guest->sym_start_btf;
	char why[120] = "out of memory";
	void *blob;
	int err;

	if (!guest->sym_start_btf || !guest->sym_stop_btf || !size || size > BTF_MAX)
		return profile_step(build, "types", -ENODATA,
				    "the guest has no BTF (CONFIG_DEBUG_INFO_BTF is off)");
	blob = malloc(size);
	if (!blob)
		return profile_step(build, "types", -ENOMEM, "%s", why);
	err = guest_read(build->mem, guest, GVA(guest->sym_start_btf), blob, size);
	if (err)
		snprintf(why, sizeof(why), "the BTF at %#" PRIx64 " cannot be read",
			 (uint64_t)guest->sym_start_btf);
	else
		err = guest_types_new(blob, size, &build->types, why, sizeof(why));
	free(blob);
	if (err)
		return profile_step(build, "types", err == -ENOMEM ? err : -ENODATA, "%s", why);
	return profile_step(build, "types", 0, "%" PRIu64 " bytes of BTF, %u types", size,
			    btf__type_cnt(guest_types_btf(build->types)) - 1);
}

enum { NEED_MUST, NEED_WHERE_PRESENT };

static const struct {
	const char *names;
	size_t at; /* in struct kt_guest */
	int need;
	bool size;
} wanted[] = {
#define GUEST_FIELD(id, need, names) { names, offsetof(struct kt_guest, id), NEED_##need, false },
#define GUEST_SIZE(id, need, names)  { names, offsetof(struct kt_guest, id), NEED_##need, true },
#include "../vmlinux-guest/fields.def"
#undef GUEST_FIELD
#undef GUEST_SIZE
};

int profile_fields(struct profile_build *build)
{
	char missing[150] = "";
	size_t count = sizeof(wanted) / sizeof(wanted[0]), absent = 0, used = 0;

	for (size_t i = 0; i < count; i++) {
		int32_t value = wanted[i].size ? guest_types_size(build->types, wanted[i].names)
					       : guest_types_offset(build->types, wanted[i].names);

		memcpy((char *)&build->profile->guest + wanted[i].at, &value, sizeof(value));
		if (value != KT_ABSENT)
			continue;
		absent++;
		if (wanted[i].need == NEED_MUST && used < sizeof(missing))
			used += snprintf(missing + used, sizeof(missing) - used, " %s",
					 wanted[i].names);
	}
	if (missing[0])
		return profile_step(build, "fields", -EPROTO, "the guest's BTF lacks%s", missing);
	return profile_step(build, "fields", 0, "%zu of %zu (the others are optional)",
			    count - absent, count);
}

/*
 * THREAD_SIZE is the size of union thread_union; init_task's own stack must have
 * it as alignment and the end marker (set_task_stack_end_magic()) at its bottom.
 */
int profile_stack(struct profile_build *build)
{
	struct kt_guest *guest = &build->profile->guest;
	int32_t size = guest_types_size(build->types, "thread_union");
	uint64_t stack = 0, magic = 0;

	if (size == KT_ABSENT)
		size = STACK_DEFAULT;
	if (guest_read(build->mem, guest, GVA(guest->sym_init_task + guest->task_stack), &stack,
		       8) ||
	    guest_read(build->mem, guest, GVA(stack), &magic, 8) || magic != STACK_END_MAGIC ||
	    size < 4096 || size > (int32_t)STACK_MAX || (size & (size - 1)) || stack % size)
		return profile_step(build, "kernel stack", -EPROTO,
				    "init_task's stack at %#" PRIx64 " is not one of %d bytes",
				    stack, size);
	guest->kernel_stack_size = size;
	return profile_step(build, "kernel stack", 0, "%d KiB", size >> 10);
}
