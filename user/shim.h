/* SPDX-License-Identifier: GPL-2.0 */
/* The other kind of trap: breakpoints that the module kvmtaint_shim keeps in the guest. */
#ifndef KVMTAINT_SHIM_USER_H
#define KVMTAINT_SHIM_USER_H

#include <stddef.h>
#include <sys/types.h>

#include "../shim/kvmtaint_shim.h"
#include "breakpoints.h"

/*
 * Opens the module's device. A descriptor, whose end disarms; or -errno with one
 * clear line in err:
 *   -ENOENT  the module is not loaded
 *   -ENOSYS  this host's kernel is not one that it supports
 *   -EPROTO  it is of another version
 *   -EPERM   not allowed
 */
int shim_open(char *err, size_t err_len);

/*
 * Arms the VM of pid with these breakpoints, in place of those before. 0; or -errno
 * with one clear line in err, and nothing is armed:
 *   -EBUSY    debug registers in use: a gdbstub, or another user of the shim
 *   -ENOTSUP  the host may not see the guest's registers
 *   -ESRCH    no such process, or it runs no VM
 */
int shim_arm(int fd, pid_t pid, const struct breakpoint *points, size_t count, char *err,
	     size_t err_len);

/* 0 or -errno. */
int shim_disarm(int fd);
int shim_check(int fd, struct kvmtaint_shim_state *state);

#endif
