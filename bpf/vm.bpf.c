// SPDX-License-Identifier: GPL-2.0
/*
 * From the open files of a process to its VM: the file named "kvm-vm" holds
 * struct kvm, and that the memslots and vCPUs. Nothing waits for a VM exit.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "kvm_host.bpf.h"
#include "vm.h"

char LICENSE[] SEC("license") = "GPL";

#define ANON_INODE_FS_MAGIC 0x09041934 /* include/uapi/linux/magic.h */
#define MEMSLOT_INVALID	    (1UL << 16) /* KVM_MEMSLOT_INVALID: on its way out */

/* include/linux/xarray.h: an internal entry is a node when it is not tiny. */
#define XA_INTERNAL 2
#define XA_TAG_MASK 3
#define XA_LEVELS   4 /* 64^4 vCPUs: more than any kernel allows */

const volatile __u32 host_is_amd; /* else kvm is no kvm_svm: do not look at its end */

const char vm_file_name[] = "kvm-vm";

struct kt_vm_scan scan;

enum walk_state { GO_DOWN, VISIT, GO_UP };

/*
 * Not on the stack: hosts before 6.7 verify a callback of bpf_loop() as if it ran
 * once (commit ab5cfac139ab), see there what state is at first, and take out
 * the code of all the other states.
 */
struct kt_slot_walk walk;

static void keep_slot(void)
{
	struct kvm_memory_slot *slot;
	struct kt_slot *out;
	__u64 offset;
	__u32 i = scan.memory.count;

	offset = bpf_core_field_offset(struct kvm_memory_slot, gfn_node) +
		 walk.index * bpf_core_type_size(struct rb_node);
	slot = (struct kvm_memory_slot *)(walk.node - offset);
	if (BPF_CORE_READ(slot, flags) & MEMSLOT_INVALID)
		return;
	if (i >= KT_SLOTS_MAX) {
		scan.memory.overflow = 1;
		return;
	}
	out = &scan.memory.slots[i];
	if (bpf_core_read(&out->gfn, sizeof(out->gfn), &slot->base_gfn))
		scan.broken = 1;
	out->npages = BPF_CORE_READ(slot, npages);
	out->hva = BPF_CORE_READ(slot, userspace_addr);
	scan.memory.count = i + 1;
}

/* One edge of an in-order walk; parents make a stack needless. */
static long walk_step(__u32 i __attribute__((unused)), void *ctx __attribute__((unused)))
{
	struct rb_node *node = (struct rb_node *)walk.node;
	struct rb_node *next;

	switch (walk.state) {
	case GO_DOWN:
		next = BPF_CORE_READ(node, rb_left);
		if (next)
			walk.node = (__u64)next;
		else
			walk.state = VISIT;
		return 0;
	case VISIT:
		keep_slot();
		if (scan.memory.overflow)
			return 1;
		next = BPF_CORE_READ(node, rb_right);
		if (next)
			walk.node = (__u64)next;
		walk.state = next ? GO_DOWN : GO_UP;
		return 0;
	default:
		/* The colour is in the two low bits. */
		next = (struct rb_node *)(BPF_CORE_READ(node, __rb_parent_color) & ~3UL);
		if (!next)
			return 1;
		if (BPF_CORE_READ(next, rb_left) == node)
			walk.state = VISIT;
		walk.node = (__u64)next;
		return 0;
	}
}

static void read_memslots(struct kvm *kvm)
{
	struct kvm_memslots *slots, *after;

	if (bpf_core_read(&slots, sizeof(slots), &kvm->memslots[0]) || !slots) {
		scan.broken = 1;
		return;
	}
	scan.memory.generation = BPF_CORE_READ(slots, generation);
	walk.state = GO_DOWN;
	walk.index = BPF_CORE_READ(slots, node_idx) & 1;
	walk.node = (__u64)BPF_CORE_READ(slots, gfn_tree.rb_node);
	/* An edge is passed twice and a node visited once: 6 steps a slot are ample. */
	if (walk.node)
		bpf_loop(6 * (KT_SLOTS_MAX + 1), walk_step, NULL, 0);
	bpf_core_read(&after, sizeof(after), &kvm->memslots[0]);
	scan.generation_after = BPF_CORE_READ(after, generation);
}

/* The entry at index of the xarray whose head is entry; 0: none. */
static __u64 xa_entry(__u64 entry, __u32 index)
{
	__u32 slots = bpf_core_field_size(((struct xa_node *)0)->slots) / sizeof(void *);
	int level;

	for (level = 0; level < XA_LEVELS; level++) {
		struct xa_node *node;
		__u64 at;

		if ((entry & XA_TAG_MASK) != XA_INTERNAL || entry <= 4096)
			break;
		node = (struct xa_node *)(entry - XA_INTERNAL);
		at = index >> (BPF_CORE_READ(node, shift) & 31);
		at &= slots - 1;
		at = (__u64)node + bpf_core_field_offset(struct xa_node, slots) + at * 8;
		if (bpf_probe_read_kernel(&entry, sizeof(entry), (void *)at))
			return 0;
	}
	return (entry & XA_TAG_MASK) ? 0 : entry;
}

/* vcpu->arch.hflags: runs a nested guest; host.bpf.h tells why there are two. */
#define HF_GUEST_MASK	  (1U << 0)
#define HF_GUEST_MASK_OLD (1U << 5)

static _Bool is_nested(struct kvm_vcpu *vcpu)
{
	__u32 mask = HF_GUEST_MASK | HF_GUEST_MASK_OLD;

	if (host_is_amd && bpf_core_type_exists(struct vcpu_svm))
		mask = bpf_core_field_exists(((struct vcpu_svm *)0)->guest_gif) ? HF_GUEST_MASK
										: HF_GUEST_MASK_OLD;
	return BPF_CORE_READ(vcpu, arch.hflags) & mask;
}

/*
 * Where the vCPU's kernel takes system calls, and its page tables. Intel's CR3
 * is in the VMCS, which BPF cannot read.
 */
static void read_witness(struct kvm_vcpu *vcpu, struct kt_vcpu *out)
{
	if (is_nested(vcpu)) {
		out->is_nested = 1;
		return;
	}
	if (host_is_amd && bpf_core_type_exists(struct vcpu_svm)) {
		struct vmcb *vmcb = BPF_CORE_READ((struct vcpu_svm *)vcpu, vmcb);

		scan.knows_lstar = 1;
		out->lstar = BPF_CORE_READ(vmcb, save.lstar);
		out->cr3 = BPF_CORE_READ(vmcb, save.cr3);
	} else if (!host_is_amd && bpf_core_type_exists(struct vcpu_vmx) &&
		   bpf_core_field_exists(((struct vcpu_vmx *)0)->guest_uret_msrs)) {
		struct vcpu_vmx *vmx = (struct vcpu_vmx *)vcpu;

		scan.knows_lstar = 1;
		bpf_core_read(&out->lstar, sizeof(out->lstar), &vmx->guest_uret_msrs[1].data);
	}
}

static long vcpu_step(__u32 i, void *ctx)
{
	struct kvm *kvm = *(struct kvm **)ctx;
	struct kvm_vcpu *vcpu;
	__u64 head = (__u64)BPF_CORE_READ(kvm, vcpu_array.xa_head);
	__u32 n = scan.vcpus;

	if (i >= (__u32)BPF_CORE_READ(kvm, online_vcpus.counter))
		return 1;
	vcpu = (struct kvm_vcpu *)xa_entry(head, i);
	if (!vcpu)
		return 0;
	if (n >= KT_VCPUS_MAX)
		return 1;
	scan.vcpu[n].id = BPF_CORE_READ(vcpu, vcpu_id);
	read_witness(vcpu, &scan.vcpu[n]);
	scan.vcpus = n + 1;
	return 0;
}

static void read_protection(struct kvm *kvm)
{
	/* KVM_SEV_INIT makes an encrypted guest of a default VM: both must be asked. */
	if (bpf_core_field_exists(kvm->arch.vm_type)) {
		__u64 type = 0;

		bpf_core_read(&type, bpf_core_field_size(kvm->arch.vm_type), &kvm->arch.vm_type);
		scan.vm_type = type;
	}
	if (host_is_amd && bpf_core_type_exists(struct kvm_svm) &&
	    bpf_core_field_exists(((struct kvm_svm *)0)->sev_info.active)) {
		struct kvm_svm *svm = (struct kvm_svm *)kvm;

		scan.sev = BPF_CORE_READ(svm, sev_info.active);
		scan.sev_es = BPF_CORE_READ(svm, sev_info.es_active);
	}
}

/* Any file can be called "kvm-vm"; only an anonymous inode's name is the kernel's. */
static int is_vm_file(struct file *file)
{
	char name[16] = {};
	const unsigned char *at;

	if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) != ANON_INODE_FS_MAGIC)
		return 0;
	at = BPF_CORE_READ(file, f_path.dentry, d_name.name);
	if (bpf_probe_read_kernel_str(name, sizeof(name), at) < 0)
		return 0;
	return bpf_strncmp(name, sizeof(name), vm_file_name) == 0;
}

SEC("iter/task_file")
int find_vm(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct kvm *kvm;

	if (!task || !file || !is_vm_file(file))
		return 0;
	if (!bpf_core_type_exists(struct kvm)) {
		scan.no_kvm = 1;
		return 0;
	}
	kvm = BPF_CORE_READ(file, private_data);
	if (!kvm || (__u64)kvm == scan.kvm)
		return 0;
	/* The file can be passed on; the guest's RAM is where the VM was made. */
	if (BPF_CORE_READ(kvm, mm) != BPF_CORE_READ(task, mm)) {
		scan.foreign++;
		return 0;
	}
	scan.vms++;
	if (scan.vms > 1)
		return 0;
	scan.kvm = (__u64)kvm;
	scan.tgid = BPF_CORE_READ(task, tgid);
	scan.created_vcpus = BPF_CORE_READ(kvm, created_vcpus);
	bpf_loop(KT_VCPUS_MAX, vcpu_step, &kvm, 0);
	read_protection(kvm);
	read_memslots(kvm);
	return 0;
}
