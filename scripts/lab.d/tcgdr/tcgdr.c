// SPDX-License-Identifier: GPL-2.0
/*
 * tcgdr: makes breakpoints of a nested guest work in QEMU's TCG. Its VMRUN loads DR7
 * from the VMCB without setting up the breakpoints that DR7 enables; but those that
 * are set up stay over VMRUN. So the same ones are enabled in the host's own DR7 while
 * interrupts are off around VMRUN. For the lab's L1 alone: real CPUs need nothing.
 *
 * And an interrupt that KVM injects reaches the nested guest once. TCG's VMRUN delivers
 * it and still takes it for an exception to be delivered (helper_vmrun() leaves
 * CPUState.exception_index set): should TCG leave its loop for a reason of its own
 * before the next exit, the guest gets it again, with interrupts off, and locks up on
 * a spin lock of its own. An interrupt of the host that is pending at VMRUN makes the
 * next exit the first thing that happens.
 */
#include <linux/irq_work.h>
#include <linux/kvm_host.h>
#include <linux/module.h>
#include <linux/tracepoint.h>
#include <asm/debugreg.h>

extern struct tracepoint __tracepoint_kvm_entry, __tracepoint_kvm_exit;

static void nothing(struct irq_work *work)
{
}

static DEFINE_PER_CPU(struct irq_work, interrupt);

static void on_entry(void *data, struct kvm_vcpu *vcpu)
{
	if (vcpu->arch.interrupt.injected)
		irq_work_queue(this_cpu_ptr(&interrupt));
	/* A guest of the guest has its own DR7. */
	if (vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP && !(vcpu->arch.hflags & HF_GUEST_MASK))
		set_debugreg(vcpu->arch.guest_debug_dr7, 7);
}

static void on_exit(void *data, struct kvm_vcpu *vcpu)
{
	if (vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP)
		set_debugreg(DR7_FIXED_1, 7);
}

static int __init tcgdr_init(void)
{
	int cpu, ret;

	for_each_possible_cpu(cpu)
		*per_cpu_ptr(&interrupt, cpu) = IRQ_WORK_INIT_HARD(nothing);
	ret = tracepoint_probe_register(&__tracepoint_kvm_entry, on_entry, NULL);
	if (ret)
		return ret;
	ret = tracepoint_probe_register(&__tracepoint_kvm_exit, on_exit, NULL);
	if (ret)
		tracepoint_probe_unregister(&__tracepoint_kvm_entry, on_entry, NULL);
	return ret;
}

static void __exit tcgdr_exit(void)
{
	int cpu;

	tracepoint_probe_unregister(&__tracepoint_kvm_entry, on_entry, NULL);
	tracepoint_probe_unregister(&__tracepoint_kvm_exit, on_exit, NULL);
	tracepoint_synchronize_unregister();
	for_each_possible_cpu(cpu)
		irq_work_sync(per_cpu_ptr(&interrupt, cpu));
}

module_init(tcgdr_init);
module_exit(tcgdr_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Breakpoints of nested guests under TCG");
