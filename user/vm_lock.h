/* SPDX-License-Identifier: GPL-2.0 */
/* One kvmtaint a VM: two would plant and remove the same traps. */
#ifndef KVMTAINT_VM_LOCK_H
#define KVMTAINT_VM_LOCK_H

#include <stddef.h>
#include <sys/types.h>

#define VM_LOCK_DIR "/run/kvmtaint"

/*
 * Takes the lock of VMM pid. A file descriptor that holds it until
 * vm_lock_release() or the process ends; or -errno with one clear line in err:
 * -EEXIST when another kvmtaint has it.
 */
int vm_lock_take(pid_t pid, char *err, size_t err_len);
void vm_lock_release(pid_t pid, int fd);

/*
 * Waits for the lock of what all kvmtaint of this host share, up to wait_ms: one that was
 * stopped (SIGSTOP) may have it. A file descriptor that holds it until it is closed, or
 * -errno: -EWOULDBLOCK when that time was not enough.
 */
int host_lock_take(unsigned int wait_ms);

#endif
