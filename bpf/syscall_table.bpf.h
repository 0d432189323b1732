/* SPDX-License-Identifier: GPL-2.0 */
/* The table of system calls, and the registers of a thread that enters one. */
#ifndef KVMTAINT_SYSCALL_TABLE_BPF_H
#define KVMTAINT_SYSCALL_TABLE_BPF_H

#include "actor.bpf.h"

enum syscall_kind {
	SYSCALL_NOTHING,
	SYSCALL_WAIT, /* for what an earlier call began: a read may still be under way */
	SYSCALL_FLOW, /* between two open files, or with the caller's memory */
	SYSCALL_WRITEV, /* the same, of an iovec */
	SYSCALL_GETSOCKOPT,
	SYSCALL_VMSPLICE,
	SYSCALL_IOCTL,
	SYSCALL_SENDTO,
	SYSCALL_SENDMSG,
	SYSCALL_SENDMMSG,
	SYSCALL_MMAP,
	SYSCALL_SHMAT,
	SYSCALL_MSGSND,
	SYSCALL_MSGRCV,
	SYSCALL_MQ_SEND,
	SYSCALL_MQ_RECEIVE,
	SYSCALL_GETXATTR,
	SYSCALL_SETXATTR,
	SYSCALL_AIO,
	SYSCALL_CLOSE,
	SYSCALL_NAMES, /* paths may name other files afterwards */
	SYSCALL_FORK,
	SYSCALL_VFORK,
	SYSCALL_CLONE,
	SYSCALL_CLONE3,
	SYSCALL_EXEC,
	SYSCALL_EXIT,
	SYSCALL_PEEK,
	SYSCALL_POKE,
	SYSCALL_PTRACE,
	SYSCALL_SOCKETCALL,
	SYSCALL_IPC,
};

#define SYSCALLS_MAX			  512
#define ABSENT				  (SYSCALLS_MAX - 1) /* no system call has this number */
#define NO				  7 /* nor an argument this */
#define ROW(number, kind, in, out, bytes) [number] = { SYSCALL_##kind, in, out, bytes },

/* By number; the rows of calls that one of the tables does not have are all at ABSENT. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winitializer-overrides"
static const struct syscall_row syscall_rows[SYSCALLS_MAX] = {
#define SYSCALL(name, number, number32, kind, in, out, bytes) ROW(number, kind, in, out, bytes)
#include "syscalls.def"
#undef SYSCALL
	[ABSENT] = {},
};

static const struct syscall_row syscall_rows32[SYSCALLS_MAX] = {
#define SYSCALL(name, number, number32, kind, in, out, bytes) ROW(number32, kind, in, out, bytes)
#include "syscalls.def"
#undef SYSCALL
	[ABSENT] = {},
};
#pragma clang diagnostic pop

/*
 * Number and arguments, from the registers of a thread that stands at the entry
 * e->alternative. 32-bit processes: as the vDSO enters (arch/x86/entry/vdso/vdso32/
 * system_call.S), where SYSCALL takes its second argument in EBP; a sixth argument
 * is then on the user stack, and is not read.
 */
static __always_inline void syscall_arguments(struct event *e, const unsigned long *regs)
{
	u32 entry = e->alternative;

	e->syscall = (u32)regs[REG_RAX];
	if (entry == KT_ENTRY_SYSCALL) {
		e->args[0] = regs[REG_RDI];
		e->args[1] = regs[REG_RSI];
		e->args[2] = regs[REG_RDX];
		e->args[3] = regs[REG_R10];
		e->args[4] = regs[REG_R8];
		e->args[5] = regs[REG_R9];
		return;
	}
	e->args[0] = (u32)regs[REG_RBX];
	e->args[1] = (u32)regs[entry == KT_ENTRY_SYSCALL32 ? REG_RBP : REG_RCX];
	e->args[2] = (u32)regs[REG_RDX];
	e->args[3] = (u32)regs[REG_RSI];
	e->args[4] = (u32)regs[REG_RDI];
	e->args[5] = entry == KT_ENTRY_INT80 ? (u32)regs[REG_RBP] : 0;
}

static __always_inline bool syscall_is_compat(const struct event *e)
{
	return e->alternative != KT_ENTRY_SYSCALL;
}

/* Argument number which, from 0. */
static __always_inline u64 syscall_argument(const struct event *e, u32 which)
{
	return which < 6 ? e->args[bounded(which, 7)] : 0;
}

/* The row of a number of 64-bit processes becomes the event's. */
static __always_inline void syscall_is(struct event *e, u32 number)
{
	e->row = syscall_rows[bounded(number, SYSCALLS_MAX - 1)];
}

/* From now on addresses of the acting process can be read; see guest_hva(). */
static __always_inline void user_memory(struct event *e)
{
	u64 mm = actor_mm(e);

	if (mm && !e->user_pgd)
		e->user_pgd = g64(e, mm + guest.mm_pgd) - guest.direct_map;
}

/*
 * socketcall(2) and ipc(2) (include/uapi/linux/net.h, ipc.h): which call is meant,
 * by its number of 64-bit processes.
 */
static __always_inline u32 socketcall_number(u32 call)
{
	switch (call) {
	case 9: /* SYS_SEND */
	case 11: /* SYS_SENDTO */
		return 44;
	case 10: /* SYS_RECV */
	case 12: /* SYS_RECVFROM */
		return 45;
	case 15: /* SYS_GETSOCKOPT */
		return 55;
	case 16: /* SYS_SENDMSG */
		return 46;
	case 17: /* SYS_RECVMSG */
		return 47;
	case 19: /* SYS_RECVMMSG */
		return 299;
	case 20: /* SYS_SENDMMSG */
		return 307;
	}
	return ABSENT;
}

static __always_inline u32 ipc_number(u32 call)
{
	switch (call & 0xffff) {
	case 11: /* MSGSND */
		return 69;
	case 12: /* MSGRCV */
		return 70;
	case 21: /* SHMAT */
		return 30;
	}
	return ABSENT;
}

static __always_inline void socketcall_unfold(struct event *e)
{
	u32 call = e->args[0];
	u64 from = e->args[1];

	syscall_is(e, socketcall_number(call));
	if (e->row.kind == SYSCALL_NOTHING)
		return;
	user_memory(e);
	/* Those that are looked at: SYS_SENDTO's destination are the last two. */
	e->args[4] = e->args[5] = 0;
	for (u32 i = 0; i < 6; i++)
		if (i < 3 || (i > 3 && call == 11))
			e->args[i] = g32(e, from + 4 * i);
}

/* Of a call that is many: whether it has a next, after e->step. What is beyond most is lost. */
static __always_inline void syscall_has_next(struct event *e, u64 count, u32 most, u64 object)
{
	e->goes_on = e->step < count && !e->failed;
	if (!e->goes_on || e->step < most)
		return;
	e->goes_on = 0;
	event_fail(e, KT_LOST_WALK_BOUND, object);
}

/* Finds the event's row. */
static __always_inline void syscall_find(struct event *e)
{
	const struct syscall_row nothing = {};
	u64 number = e->syscall;

	e->row = nothing;
	if (number >= SYSCALLS_MAX)
		return;
	if (!syscall_is_compat(e)) {
		syscall_is(e, number);
		return;
	}
	e->row = syscall_rows32[bounded(number, SYSCALLS_MAX - 1)];
	if (e->row.kind == SYSCALL_SOCKETCALL) {
		socketcall_unfold(e);
	} else if (e->row.kind == SYSCALL_IPC) {
		syscall_is(e, ipc_number(e->args[0]));
		e->args[0] = e->args[1];
	}
}

#endif
