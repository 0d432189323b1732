/* SPDX-License-Identifier: GPL-2.0 */
/* What a command works on: a VM, its memory, and the kernel in it. */
#ifndef KVMTAINT_TARGET_H
#define KVMTAINT_TARGET_H

#include "guest_mem.h"
#include "options.h"
#include "profile.h"
#include "status.h"
#include "vm.h"

struct target {
	struct vm_info *vm; /* NULL: a RAM image */
	struct vm_finder *finder; /* NULL: a RAM image */
	struct guest_mem *mem;
	struct guest_profile *profile;
};

/*
 * Finds the VM that the options name and opens its memory. STATUS_OK, or what
 * went wrong, told on stderr. target_close() in both cases.
 */
enum exit_status target_open_vm(struct target *target, const struct options *options);
enum exit_status target_open_image(struct target *target, const struct options *options);

/*
 * Looks at the VM again: vCPUs and memslots. 0 or -errno as vm_find(), with one
 * line in err; what was known then stays.
 */
int target_refresh(struct target *target, char *err, size_t err_len);

/*
 * Builds the profile. witness: the vCPU on which the kernel runs; NULL: the first
 * that has one. 0 or -errno as guest_profile_build(), not told; target->profile
 * is set in both cases but when there is no memory.
 */
int target_profile(struct target *target, const struct kt_vcpu *witness);

/* The line of the profile's step that failed. */
const char *target_profile_error(const struct target *target);

void target_close(struct target *target);

#endif
