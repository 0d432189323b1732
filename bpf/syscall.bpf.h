/* SPDX-License-Identifier: GPL-2.0 */
/* The system call view of `--trap shim`: what a thread asks for as it enters its kernel. */
#ifndef KVMTAINT_SYSCALL_BPF_H
#define KVMTAINT_SYSCALL_BPF_H

#include "pending.bpf.h"

/*
 * Number and arguments, from the registers of a thread that stands at the entry
 * e->alternative. 32-bit processes: as the vDSO enters (arch/x86/entry/vdso/vdso32/
 * system_call.S), where SYSCALL takes its second argument in EBP; a sixth argument
 * is then on the user stack, and is not read.
 */
static __always_inline void syscall_arguments(struct event *e, const unsigned long *regs)
{
	u32 entry = e->alternative;

	if (entry == KT_ENTRY_SYSCALL) {
		e->syscall = (u32)regs[REG_RAX];
		e->args[0] = regs[REG_RDI];
		e->args[1] = regs[REG_RSI];
		e->args[2] = regs[REG_RDX];
		e->args[3] = regs[REG_R10];
		e->args[4] = regs[REG_R8];
		e->args[5] = regs[REG_R9];
		return;
	}
	e->syscall = (u32)regs[REG_RAX];
	e->args[0] = (u32)regs[REG_RBX];
	e->args[1] = (u32)regs[entry == KT_ENTRY_SYSCALL32 ? REG_RBP : REG_RCX];
	e->args[2] = (u32)regs[REG_RDX];
	e->args[3] = (u32)regs[REG_RSI];
	e->args[4] = (u32)regs[REG_RDI];
	e->args[5] = entry == KT_ENTRY_INT80 ? (u32)regs[REG_RBP] : 0;
}

/* A thread enters its kernel: whatever it read before is read. */
static __always_inline void on_syscall_entry(struct event *e)
{
	actor_task(e);
}

#endif
