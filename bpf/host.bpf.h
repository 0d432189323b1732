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

struct task_struct {
	int tgid;
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

struct kvm_debug_exit_arch {
	u32 exception;
	u64 pc;
	u64 dr6;
} CORE;

struct kvm_run {
	struct {
		struct kvm_debug_exit_arch arch;
	} debug;
} CORE;

struct kvm_vcpu {
	struct kvm *kvm;
	struct kvm_run *run;
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
	u64 kernel_gs_base;
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
	u32 exit_intr_info;
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
	REG_R10,
	REG_RIP = 16
};

/* AMD APM vol. 2 appendix C; Intel SDM vol. 3 appendix C. */
#define SVM_EXIT_DB	   0x41
#define SVM_EXIT_INVD	   0x76
#define SVM_EXIT_WBINVD	   0x89
#define VMX_EXIT_EXCEPTION 0
#define VMX_EXIT_INVD	   13
#define VMX_EXIT_WBINVD	   54
/* VM-exit interruption information (Intel SDM vol. 3, 25.9.2): valid, hardware exception, #DB. */
#define VMX_INTR_INFO_MASK 0x800007ff
#define VMX_INTR_INFO_DB   0x80000301
/* DR6 (Intel SDM vol. 3, 18.2.3): breakpoints 0 to 3; DR access, single step, task switch. */
#define DR6_BREAKPOINTS 0x0000000f
#define DR6_OTHERS	0x0000e000
/*
 * vcpu->arch.hflags: runs a nested guest. Bit 0 was the GIF, of AMD alone, until it
 * became vcpu_svm.guest_gif in 6.3 (commit 916b54a7688b).
 */
#define HF_GUEST_MASK	  (1U << 0)
#define HF_GUEST_MASK_OLD (1U << 5)

extern const volatile bool host_is_amd;

/* Of AMD; NULL: the host has none. Those below that want it are asked often: it is read once. */
static __always_inline struct vmcb *host_vmcb(struct kvm_vcpu *vcpu)
{
	if (!host_is_amd || !bpf_core_type_exists(struct vcpu_svm))
		return NULL;
	return BPF_CORE_READ((struct vcpu_svm *)vcpu, vmcb);
}

/* Why vcpu last exited, in its vendor's numbers; all ones: not known on this host. */
static __always_inline u32 host_exit_reason(struct kvm_vcpu *vcpu, struct vmcb *vmcb)
{
	if (host_is_amd)
		return vmcb ? BPF_CORE_READ(vmcb, control.exit_code) : ~0U;
	if (bpf_core_field_exists(((struct vcpu_vmx___vt *)0)->vt))
		return BPF_CORE_READ((struct vcpu_vmx___vt *)vcpu, vt.exit_reason.full) & 0xffff;
	if (bpf_core_field_exists(((struct vcpu_vmx *)0)->exit_reason))
		return BPF_CORE_READ((struct vcpu_vmx *)vcpu, exit_reason.full) & 0xffff;
	return ~0U;
}

/* True when vcpu's last exit was an INVD, or the WBINVD that QEMU's TCG makes of it. */
static __always_inline bool host_exit_is_invd(struct kvm_vcpu *vcpu, struct vmcb *vmcb)
{
	u32 reason = host_exit_reason(vcpu, vmcb);

	return host_is_amd ? reason == SVM_EXIT_INVD || reason == SVM_EXIT_WBINVD
			   : reason == VMX_EXIT_INVD || reason == VMX_EXIT_WBINVD;
}

/* True when vcpu's last exit was a #DB, whoever it is for. */
static __always_inline bool host_exit_is_debug(struct kvm_vcpu *vcpu, struct vmcb *vmcb)
{
	u32 reason = host_exit_reason(vcpu, vmcb);

	if (host_is_amd)
		return reason == SVM_EXIT_DB;
	if (reason != VMX_EXIT_EXCEPTION || !bpf_core_type_exists(struct vcpu_vmx) ||
	    !bpf_core_field_exists(((struct vcpu_vmx *)0)->exit_intr_info))
		return false;
	return (BPF_CORE_READ((struct vcpu_vmx *)vcpu, exit_intr_info) & VMX_INTR_INFO_MASK) ==
	       VMX_INTR_INFO_DB;
}

/*
 * Of a #DB: that a breakpoint at rip was the cause, and not a single step that
 * ended there. KVM notes it in struct kvm_run for a VMM that debugs the guest; the
 * shim (shim/kvmtaint_shim.c) lets it do so at its own addresses, and only there.
 */
static __always_inline bool host_debug_is_breakpoint(struct kvm_vcpu *vcpu, u64 rip)
{
	u64 dr6 = BPF_CORE_READ(vcpu, run, debug.arch.dr6);

	return BPF_CORE_READ(vcpu, run, debug.arch.pc) == rip && dr6 & DR6_BREAKPOINTS &&
	       !(dr6 & DR6_OTHERS);
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
static __always_inline u64 host_vcpu_gs_base(struct vmcb *vmcb)
{
	return vmcb ? BPF_CORE_READ(vmcb, save.gs.base) : 0;
}

/* The same where the kernel has not executed SWAPGS yet: at the entries of system calls. */
static __always_inline u64 host_vcpu_kernel_gs_base(struct vmcb *vmcb)
{
	return vmcb ? BPF_CORE_READ(vmcb, save.kernel_gs_base) : 0;
}

/*
 * The guest's current privilege level. Intel: 0, because INVD in user mode
 * raises #GP before it exits (Intel SDM vol. 3, 26.1.1), and RIP is checked to be a
 * trap site, which lies in the kernel's text; of a breakpoint that user mode hits
 * there the shim leaves nothing in kvm_run.
 */
static __always_inline u32 host_vcpu_cpl(struct vmcb *vmcb)
{
	return vmcb ? BPF_CORE_READ(vmcb, save.cpl) : 0;
}

#endif
