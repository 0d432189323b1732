/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host kernel's own types that kvmtaint reads to find a VM: only the members
 * that are used, relocated by libbpf (CO-RE) to the running kernel. KVM's come
 * from the BTF of kvm.ko, or of vmlinux where KVM is built in.
 *
 * Checked against 6.1, 6.12 and 6.18: memslots are a red-black tree by gfn, and
 * vCPUs an xarray, since 5.17 (commits a54d806688fe, c5b077549136).
 */
#ifndef KVM_HOST_BPF_H
#define KVM_HOST_BPF_H

#define HOST_TYPE __attribute__((preserve_access_index))

struct qstr {
	const unsigned char *name;
} HOST_TYPE;

struct dentry {
	struct qstr d_name;
} HOST_TYPE;

struct path {
	struct dentry *dentry;
} HOST_TYPE;

struct super_block {
	unsigned long s_magic;
} HOST_TYPE;

struct inode {
	struct super_block *i_sb;
} HOST_TYPE;

struct file {
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
} HOST_TYPE;

struct mm_struct;

struct task_struct {
	int tgid;
	struct mm_struct *mm;
} HOST_TYPE;

struct bpf_iter__task_file {
	struct task_struct *task;
	struct file *file;
} HOST_TYPE;

struct rb_node {
	unsigned long __rb_parent_color;
	struct rb_node *rb_right;
	struct rb_node *rb_left;
} HOST_TYPE;

struct rb_root {
	struct rb_node *rb_node;
} HOST_TYPE;

struct xarray {
	void *xa_head;
} HOST_TYPE;

struct xa_node {
	unsigned char shift;
	void *slots[1]; /* the array's real length comes from CO-RE */
} HOST_TYPE;

struct kvm_memory_slot {
	struct rb_node gfn_node[2];
	__u64 base_gfn;
	unsigned long npages;
	unsigned long userspace_addr;
	__u32 flags;
} HOST_TYPE;

struct kvm_memslots {
	__u64 generation;
	struct rb_root gfn_tree;
	int node_idx;
} HOST_TYPE;

struct kvm_arch {
	__u8 vm_type; /* KVM_X86_*_VM; unsigned long in 6.8 to 6.10, absent before */
} HOST_TYPE;

typedef struct {
	int counter;
} atomic_t;

struct kvm {
	struct mm_struct *mm;
	struct kvm_memslots *memslots[1]; /* [1], where it exists, is SMM's */
	struct xarray vcpu_array;
	atomic_t online_vcpus;
	int created_vcpus;
	struct kvm_arch arch;
} HOST_TYPE;

struct kvm_vcpu_arch {
	__u32 hflags;
} HOST_TYPE;

struct kvm_vcpu {
	struct kvm *kvm;
	int vcpu_id;
	struct kvm_vcpu_arch arch;
} HOST_TYPE;

/* kvm_amd.ko alone. */
struct vmcb_save_area {
	__u64 cr3;
	__u64 lstar;
} HOST_TYPE;

struct vmcb {
	struct vmcb_save_area save;
} HOST_TYPE;

struct vcpu_svm {
	struct vmcb *vmcb;
	_Bool guest_gif;
} HOST_TYPE;

/*
 * kvm_intel.ko alone. Slot 1 is MSR_LSTAR: vmx_uret_msrs_list[] begins with
 * SYSCALL_MASK, LSTAR, STAR since 5.11 (commit ee9d22e08d13).
 */
struct vmx_uret_msr {
	__u64 data;
} HOST_TYPE;

struct vcpu_vmx {
	struct vmx_uret_msr guest_uret_msrs[2];
} HOST_TYPE;

/* The container of struct kvm on AMD. */
struct kvm_sev_info {
	_Bool active;
	_Bool es_active;
} HOST_TYPE;

struct kvm_svm {
	struct kvm_sev_info sev_info;
} HOST_TYPE;

#endif
