/* SPDX-License-Identifier: GPL-2.0 */
/* Holds a whole VMM still for a moment, so that no vCPU is in guest mode. */
#ifndef KVMTAINT_STANDSTILL_H
#define KVMTAINT_STANDSTILL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Stops every thread of process pid, calls fn(ctx), and lets them go on. Uses
 * ptrace(2) from a thread of its own: whenever that thread or this process
 * ends, for whatever reason, the kernel lets the VMM run on. A VMM that was
 * stopped by someone else (SIGSTOP) stays stopped; a signal that was on its way
 * is delivered.
 *
 * *held_ns (may be NULL): from the first request to stop until the last thread
 * was let go, ns. Returns what fn returned; or, with one clear line in err and
 * fn not called:
 *   -ESRCH     the process is gone
 *   -EBUSY     another process traces it
 *   -EPERM     not allowed to trace it
 *   -ETIMEDOUT a thread did not stop within 5 s (uninterruptible sleep)
 */
int standstill(pid_t pid, int (*fn)(void *ctx), void *ctx, uint64_t *held_ns, char *err,
	       size_t err_len);

#endif
