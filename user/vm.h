/* SPDX-License-Identifier: GPL-2.0 */
/* From the pid of a VMM to its VM: memory, vCPUs, name. */
#ifndef KVMTAINT_VM_H
#define KVMTAINT_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../bpf/vm.h"

#define VM_NAME_LEN 64

struct vm_info {
	pid_t pid; /* of the VMM, as the caller's namespace sees it */
	uint32_t tgid; /* the same, as the initial namespace sees it: BPF does */
	char name[VM_NAME_LEN]; /* QEMU's -name, else the VMM's comm; raw bytes */
	uint64_t kvm; /* host kernel address of struct kvm */
	uint32_t vcpus; /* created */
	uint32_t vcpu_count; /* of vcpu; less than vcpus while some come up */
	struct kt_vcpu vcpu[KT_VCPUS_MAX]; /* in the order of creation */
	bool knows_lstar; /* a vCPU's lstar 0 means that nothing was set up */
	struct kt_memory memory; /* address space 0, sorted by gfn */
};

struct vm_finder;

/* Loads what vm_finder_look() runs. 0 or -errno (-EPERM, -ENOSYS), one clear line in err. */
int vm_finder_open(struct vm_finder **out, char *err, size_t err_len);
void vm_finder_close(struct vm_finder *finder);

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
int vm_finder_look(struct vm_finder *finder, pid_t pid, struct vm_info *out, char *err,
		   size_t err_len);

/* The same, once. */
int vm_find(pid_t pid, struct vm_info *out, char *err, size_t err_len);

/* The first vCPU on which a kernel has set up its system calls; NULL: none, or not known. */
const struct kt_vcpu *vm_first_witness(const struct vm_info *vm);

/* The guest's name from the VMM's command line; falls back to its comm. */
void vm_read_name(pid_t pid, char *out, size_t len);

#endif
