/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The interface of kvmtaint_shim.ko: breakpoints in a KVM guest, each hit of which
 * is a VM exit that KVM's own tracepoints show and that the VMM never sees.
 *
 * Opening the device needs CAP_SYS_ADMIN. What an open file has armed is disarmed
 * when it is closed, however that comes about.
 */
#ifndef KVMTAINT_SHIM_H
#define KVMTAINT_SHIM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define KVMTAINT_SHIM_NAME    "kvmtaint_shim"
#define KVMTAINT_SHIM_VERSION 1 /* of this interface */
#define KVMTAINT_SHIM_POINTS  4 /* breakpoints of a CPU */

/* ARM: breakpoints in the VM that a process runs, in place of those that the file had armed. */
struct kvmtaint_shim_arm {
	__s32 pid; /* of the VMM, in the caller's PID namespace */
	__u32 count; /* of address, 1 to KVMTAINT_SHIM_POINTS */
	__u64 address[KVMTAINT_SHIM_POINTS]; /* guest linear addresses, of the kernel's half */
};

/* CHECK: arms what has lost its breakpoints, and tells how it stands. */
struct kvmtaint_shim_state {
	__u32 vcpus; /* that the VM has */
	__u32 armed; /* of these, now */
	__u32 rearmed; /* of these, since they were found without */
	__u32 pad;
};

/*
 * ARM's errors, beside those of any ioctl: -ESRCH no such process, -ENODEV it runs no
 * VM, -ENOTUNIQ several; -EBUSY the VM is armed by another file, or its VMM debugs
 * it; -EOPNOTSUPP the host may not see the guest's registers (SEV-ES); -ENOSPC more
 * vCPUs than can be in the module's hands; -EAGAIN the guest's debug registers are
 * under way, later it may work. In each case nothing is armed.
 */
#define KVMTAINT_SHIM_IOC_VERSION _IO(0xb7, 0x40) /* returns KVMTAINT_SHIM_VERSION */
#define KVMTAINT_SHIM_IOC_ARM	  _IOW(0xb7, 0x41, struct kvmtaint_shim_arm)
#define KVMTAINT_SHIM_IOC_DISARM  _IO(0xb7, 0x42)
#define KVMTAINT_SHIM_IOC_CHECK	  _IOR(0xb7, 0x43, struct kvmtaint_shim_state)

#endif
