/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Another process's memory and registers: ptrace and process_vm_readv/writev.
 * /proc/PID/mem is a file (carrier_file.bpf.h). Labels go from process to process.
 */
#ifndef KVMTAINT_CARRIER_MEMORY_BPF_H
#define KVMTAINT_CARRIER_MEMORY_BPF_H

#include "carrier.bpf.h"

#define FOLL_WRITE 0x01 /* include/linux/mm_types.h, the same from 5.10 to 7.x */

enum direction { NEITHER, PEEK = 1, POKE = 2, EITHER = PEEK | POKE };

/* include/uapi/linux/ptrace.h, arch/x86/include/uapi/asm/ptrace-abi.h; 32-bit alike */
static __always_inline enum direction ptrace_direction(u32 request)
{
	switch (request) {
	case 1: /* PEEKTEXT */
	case 2: /* PEEKDATA */
	case 3: /* PEEKUSR */
	case 12: /* GETREGS */
	case 14: /* GETFPREGS */
	case 18: /* GETFPXREGS */
	case 25: /* GET_THREAD_AREA */
	case 0x4201: /* GETEVENTMSG */
	case 0x4202: /* GETSIGINFO */
	case 0x4204: /* GETREGSET */
	case 0x4209: /* PEEKSIGINFO */
	case 0x420a: /* GETSIGMASK */
	case 0x420e: /* GET_SYSCALL_INFO */
		return PEEK;
	case 4: /* POKETEXT */
	case 5: /* POKEDATA */
	case 6: /* POKEUSR */
	case 13: /* SETREGS */
	case 15: /* SETFPREGS */
	case 19: /* SETFPXREGS */
	case 26: /* SET_THREAD_AREA */
	case 0x4203: /* SETSIGINFO */
	case 0x4205: /* SETREGSET */
	case 0x420b: /* SETSIGMASK */
	case 0x4212: /* SET_SYSCALL_INFO */
		return POKE;
	case 30: /* ARCH_PRCTL: its direction is in another argument */
		return EITHER;
	}
	return NEITHER;
}

/* arch_ptrace(child, request, addr, data): every request to a stopped child */
static __always_inline void on_ptrace(struct event *e)
{
	enum direction direction = ptrace_direction(e->args[1]);
	u64 child = e->args[0];

	if (!direction || !carrier_is_memory(e, g64(e, child + guest.task_mm), child))
		return;
	if (direction & PEEK)
		read_from(e, KT_FLOW_PEEK);
	if (direction & POKE)
		poke_into(e);
}

#define on_compat_ptrace on_ptrace

/* pin_user_pages_remote(mm, start, nr_pages, gup_flags, ...): permitted, about to be copied */
static __always_inline void on_remote_pages(struct event *e)
{
	u64 mm = e->args[0];

	if (guest.mm_owner == KT_ABSENT || !mm || mm == actor_mm(e) ||
	    !carrier_is_memory(e, mm, g64(e, mm + guest.mm_owner)))
		return;
	if (e->args[3] & FOLL_WRITE)
		poke_into(e);
	else
		read_from(e, KT_FLOW_PEEK);
}

#endif
