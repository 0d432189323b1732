/* SPDX-License-Identifier: GPL-2.0 */
/* From the pid of a VMM to its VM: memory, vCPUs, name. */
#ifndef KVMTAINT_VM_H
#define KVMTAINT_VM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../bpf/kvmtaint.h"

#define VM_NAME_LEN 64

struct vm_info {
	pid_t pid; /* of the VMM, as the caller's namespace sees it */
	uint32_t tgid;			/* the same, as the initial namespace sees it: BPF does */
	char name[VM_NAME_LEN]; /* QEMU's -name, else the VMM's comm; raw bytes */
	uint64_t kvm; /* host kernel address of struct kvm */
	uint32_t vcpus; /* created */
	uint32_t vcpu_id_count; /* of vcpu_ids; less than vcpus while some come up */
	uint32_t vcpu_ids[KT_VCPUS_MAX]; /* in the order of creation */
	uint64_t cr3, lstar; /* of a vCPU that runs a kernel; 0: not known */
	struct kt_memory memory; /* address space 0, sorted by gfn */
};

/*
 * Finds the VM of process pid through its open files. Nothing of the VMM is
 * touched or stopped. 0, and *out; or -errno with one clear line in err, and
 * *out unchanged:
 *   -ESRCH     no such process, or pid is a thread of one
 *   -ENODEV    the process runs no VM
 *   -ENOTUNIQ  the process runs several VMs
 *   -ENOTSUP   the guest's memory is encrypted (SEV, SEV-ES, SNP, TDX) or private
 *   -ENOSYS    the host kernel has no BTF, or is too old (before 6.1)
 *   -EPERM     not root (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_SYS_ADMIN)
 *   -E2BIG     more than KT_SLOTS_MAX memslots
 *   -EAGAIN    the memslots kept changing while they were read
 */
int vm_find(pid_t pid, struct vm_info *out, char *err, size_t err_len);

/* The guest's name from the VMM's command line; falls back to its comm. */
void vm_read_name(pid_t pid, char *out, size_t len);

#endif
