/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host kernel: where KVM keeps a vCPU's state. The only file that knows
 * AMD from Intel and one host release from another; CO-RE picks from the
 * running kernel's BTF. Lowest host: 6.1 (bpf_loop, kvm_exit's arguments).
 */
#ifndef KVMTAINT_HOST_BPF_H
#define KVMTAINT_HOST_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

typedef __u64 u64;
typedef __u32 u32;
typedef __u16 u16;
typedef __u8 u8;
typedef __s32 s32;
typedef __s64 s64;

#define CORE __attribute__((preserve_access_index))

struct mm_struct {
	void *pgd;
} CORE;

struct kvm_memslots;

struct kvm {
	struct mm_struct *mm;
	struct kvm_memslots *memslots[2];
} CORE;

struct rb_node {
	struct rb_node *rb_right, *rb_left;
} CORE;

struct rb_root {
	struct rb_node *rb_node;
} CORE;

struct kvm_memslots {
	struct rb_root gfn_tree;
	int node_idx;
	u64 generation;
} CORE;

struct kvm_memory_slot {
	struct rb_node gfn_node[2];
	u64 base_gfn;
	unsigned long npages;
	unsigned long userspace_addr;
	u32 flags;
} CORE;

struct kvm_vcpu_arch {
	unsigned long regs[17];
	u32 hflags;
} CORE;

/* Hosts from 7.2 keep RIP outside regs[]. */
struct kvm_vcpu_arch___rip {
	unsigned long rip;
} CORE;

struct kvm_vcpu {
	struct kvm *kvm;
	int vcpu_id;
	int vcpu_idx;
	struct kvm_vcpu_arch arch;
} CORE;

struct vmcb_control_area {
	u32 exit_code;
} CORE;

struct vmcb_seg {
	u64 base;
} CORE;

struct vmcb_save_area {
	struct vmcb_seg gs;
	u8 cpl;
} CORE;

struct vmcb {
	struct vmcb_control_area control;
	struct vmcb_save_area save;
} CORE;

struct vcpu_svm {
	struct kvm_vcpu vcpu;
	struct vmcb *vmcb;
	bool guest_gif;
} CORE;

union vmx_exit_reason {
	u32 full;
} CORE;

struct vcpu_vmx {
	struct kvm_vcpu vcpu;
	union vmx_exit_reason exit_reason;
} CORE;

/* Hosts that share code between VMX and TDX moved it into struct vcpu_vt. */
struct vcpu_vt {
	union vmx_exit_reason exit_reason;
} CORE;

struct vcpu_vmx___vt {
	struct kvm_vcpu vcpu;
	struct vcpu_vt vt;
} CORE;

/* x86 order of kvm_vcpu_arch.regs[] (enum kvm_reg). */
enum {
	REG_RAX,
	REG_RCX,
	REG_RDX,
	REG_RBX,
	REG_RSP,
	REG_RBP,
	REG_RSI,
	REG_RDI,
	REG_R8,
	REG_R9,
	REG_RIP = 16
};

/* AMD APM vol. 2 appendix C; Intel SDM vol. 3 appendix C. */
#define SVM_EXIT_INVD	0x76
#define SVM_EXIT_WBINVD 0x89
#define VMX_EXIT_INVD	13
#define VMX_EXIT_WBINVD 54
/*
 * vcpu->arch.hflags: runs a nested guest. Bit 0 was the GIF, of AMD alone, until it
 * became vcpu_svm.guest_gif in 6.3 (commit 916b54a7688b).
 */
#define HF_GUEST_MASK	  (1U << 0)
#define HF_GUEST_MASK_OLD (1U << 5)

extern const volatile bool host_is_amd;

/* True when vcpu's last exit was an INVD, or the WBINVD that QEMU's TCG makes of it. */
static __always_inline bool host_exit_is_trap(struct kvm_vcpu *vcpu)
{
	u32 reason;

	if (host_is_amd) {
		if (!bpf_core_type_exists(struct vcpu_svm))
			return false;
		reason = BPF_CORE_READ((struct vcpu_svm *)vcpu, vmcb, control.exit_code);
		return reason == SVM_EXIT_INVD || reason == SVM_EXIT_WBINVD;
	}
	if (bpf_core_field_exists(((struct vcpu_vmx___vt *)0)->vt))
		reason = BPF_CORE_READ((struct vcpu_vmx___vt *)vcpu, vt.exit_reason.full);
	else if (bpf_core_field_exists(((struct vcpu_vmx *)0)->exit_reason))
		reason = BPF_CORE_READ((struct vcpu_vmx *)vcpu, exit_reason.full);
	else
		return false;
	reason &= 0xffff;
	return reason == VMX_EXIT_INVD || reason == VMX_EXIT_WBINVD;
}

static __always_inline bool host_vcpu_is_nested(struct kvm_vcpu *vcpu)
{
	u32 mask = HF_GUEST_MASK | HF_GUEST_MASK_OLD;

	if (host_is_amd && bpf_core_type_exists(struct vcpu_svm))
		mask = bpf_core_field_exists(((struct vcpu_svm *)0)->guest_gif) ? HF_GUEST_MASK
										: HF_GUEST_MASK_OLD;
	return BPF_CORE_READ(vcpu, arch.hflags) & mask;
}

static __always_inline u64 host_vcpu_rip(struct kvm_vcpu *vcpu, const unsigned long *regs)
{
	if (bpf_core_field_exists(((struct kvm_vcpu_arch___rip *)0)->rip)) {
		struct kvm_vcpu_arch___rip *arch = (void *)vcpu;

		arch = (void *)arch + bpf_core_field_offset(struct kvm_vcpu, arch);
		return BPF_CORE_READ(arch, rip);
	}
	return regs[REG_RIP];
}

/*
 * The guest's GS base and privilege level, where the host can see them. AMD
 * keeps both in the VMCB; Intel's are in the VMCS, which BPF cannot read: 0,
 * and the caller goes by the vCPU's APIC id.
 */
static __always_inline u64 host_vcpu_gs_base(struct kvm_vcpu *vcpu)
{
	if (!host_is_amd || !bpf_core_type_exists(struct vcpu_svm))
		return 0;
	return BPF_CORE_READ((struct vcpu_svm *)vcpu, vmcb, save.gs.base);
}

/*
 * The guest's current privilege level. Intel: 0, because INVD in user mode
 * raises #GP before it exits (Intel SDM vol. 3, 26.1.1), and RIP is checked to
 * be a trap site, which lies in the kernel's text.
 */
static __always_inline u32 host_vcpu_cpl(struct kvm_vcpu *vcpu)
{
	if (!host_is_amd || !bpf_core_type_exists(struct vcpu_svm))
		return 0;
	return BPF_CORE_READ((struct vcpu_svm *)vcpu, vmcb, save.cpl);
}

#endif
