/* SPDX-License-Identifier: GPL-2.0 */
/* What bpf/vm.bpf.c finds of a VM, as user/vm.c takes it. */
#ifndef KVMTAINT_BPF_VM_H
#define KVMTAINT_BPF_VM_H

#include "kvmtaint.h"

/* KVM_X86_*_VM of the host's uapi (6.8 and later), named here for older headers. */
#define KT_VM_DEFAULT	   0
#define KT_VM_SW_PROTECTED 1
#define KT_VM_SEV	   2
#define KT_VM_SEV_ES	   3
#define KT_VM_SNP	   4
#define KT_VM_TDX	   5

/* What a vCPU's registers tell of the kernel that runs on it. */
struct kt_vcpu {
	__u32 id; /* its APIC id */
	__u32 is_nested; /* it runs a guest of its own: the rest is not known */
	__u64 lstar; /* where SYSCALL enters; 0: nothing was set up */
	__u64 cr3; /* 0: not known (Intel) */
};

/* Where find_vm's walk over the memslots stands. */
struct kt_slot_walk {
	__u64 node; /* struct rb_node */
	__u32 state;
	__u32 index; /* which of gfn_node[] links the active tree */
};

struct kt_vm_scan {
	__u64 kvm; /* host kernel address of struct kvm; 0: none seen */
	__u64 generation_after; /* of the memslots, read again after the walk */
	__u32 vms; /* different VMs of this process */
	__u32 foreign; /* kvm-vm files of another process's VM */
	__u32 no_kvm; /* this kernel has no struct kvm */
	__u32 broken; /* a read of KVM's structures failed */
	__u32 vm_type;
	__u32 sev; /* SEV is active */
	__u32 sev_es;
	__u32 created_vcpus;
	__u32 vcpus; /* found */
	__u32 tgid; /* of the VMM, in the initial PID namespace */
	__u32 knows_lstar; /* kt_vcpu.lstar can be read on this host */
	struct kt_vcpu vcpu[KT_VCPUS_MAX];
	struct kt_memory memory;
};

#endif
