/* SPDX-License-Identifier: GPL-2.0 */
/* What the guest's processes had open and mapped before kvmtaint was attached. */
#ifndef KVMTAINT_ATTACH_SCAN_H
#define KVMTAINT_ATTACH_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "guest_mem.h"
#include "profile.h"

/*
 * A process (its group leader, or a thread that still has memory where the
 * leader exited) holds a regular file (its struct file). shared_writable: the
 * process has it mapped, and what it stores there is in the file. Negative ends
 * the scan.
 */
typedef int (*attach_scan_fn)(void *ctx, gva_t task, gva_t file, bool shared_writable);

struct attach_scan_result {
	uint64_t processes; /* thread groups of user space that were alive */
	uint64_t descriptors; /* open ones of all of them, files or not */
	uint64_t mappings; /* VMAs that have a file, regular or not */
	uint64_t reported; /* calls of fn */
	uint64_t reads; /* of guest memory */
	uint64_t incomplete; /* parts that were not seen whole: see attach_scan() */
};

/*
 * Walks the guest's task list, its descriptor tables and its VMAs from outside,
 * and calls fn once for each (process, file, shared_writable) where the file is
 * a regular one. To be called when the traps are armed: what comes after, the
 * hooks see, so that nothing falls between the two.
 *
 * The guest runs on meanwhile. Every list is checked for having changed under
 * the walk and walked again, a few times; a part (the task list; one process)
 * that stays torn, cannot be read or passes a bound is counted in incomplete,
 * and what was found of it is reported all the same. No guest memory makes this
 * crash or run on: there is one budget of reads for all (2^23).
 *
 * Not seen: files that no descriptor and no VMA names (in flight in a UNIX
 * socket, registered with io_uring and closed), and what a process read from a
 * file that it closed before.
 *
 * 0; fn's negative value; -EPROTO: the profile has offsets that cannot be;
 * -ENOMEM; -EIO: no randomness. *out is set in all cases.
 */
int attach_scan(struct guest_mem *mem, const struct guest_profile *profile, attach_scan_fn fn,
		void *ctx, struct attach_scan_result *out);

#endif
