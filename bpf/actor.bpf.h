/* SPDX-License-Identifier: GPL-2.0 */
/* Who acts: the guest thread on the vCPU, and the process that it belongs to. */
#ifndef KVMTAINT_ACTOR_BPF_H
#define KVMTAINT_ACTOR_BPF_H

#include "guest.bpf.h"

/* include/linux/sched.h, unchanged from 5.10 to 7.x */
#define PF_IO_WORKER 0x00000010
#define PF_KTHREAD   0x00200000

/* struct pt_regs of x86-64 (arch/x86/include/asm/ptrace.h): fixed by the ABI. */
#define PT_REGS_ORIG_AX (15 * 8)
#define PT_REGS_AX	(10 * 8)
#define PT_REGS_BX	(5 * 8)
#define PT_REGS_SI	(13 * 8)
#define PT_REGS_DI	(14 * 8)
#define PT_REGS_SS	(20 * 8)
#define X32_CALL	0x40000000 /* in numbers of the x32 ABI */
#define TS_COMPAT	0x0002 /* thread_info.status, arch/x86/include/asm/thread_info.h */
#define USER_DS		0x2b
#define FRED_PADDING	16 /* TOP_OF_KERNEL_STACK_PADDING with CONFIG_X86_FRED */

/* One step of the search for the CPU that has the vCPU's APIC id. */
static long percpu_step(u32 cpu, void *ctx)
{
	struct event *e = *(struct event **)ctx;
	u64 base = g64(e, guest.sym_per_cpu_offset + cpu * 8ULL);
	u32 id = guest.apicid_width == 4 ? g32(e, base + guest.sym_cpu_to_apicid)
					 : g16(e, base + guest.sym_cpu_to_apicid);

	if (e->failed)
		return 1;
	if (id != e->vcpu)
		return 0;
	e->percpu_base = base;
	return 1;
}

/*
 * A CPU that user space has not told of: it came up within the last second. The
 * guest's own table knows it. Without a base there is no current, and no event.
 */
__noinline int percpu_find(struct event *e)
{
	u32 cpus = KT_VCPUS_MAX;

	if (!e)
		return 0;
	if (guest.sym_nr_cpu_ids)
		cpus = g32(e, guest.sym_nr_cpu_ids);
	if (cpus > KT_VCPUS_MAX)
		cpus = KT_VCPUS_MAX;
	walk(e, cpus, percpu_step);
	if (!e->percpu_base && !e->failed)
		event_fail(e, KT_LOST_GUEST_MEMORY, guest.sym_per_cpu_offset);
	return 0;
}

/*
 * Whether the system call that the thread is in has a 32-bit process's number and registers. Any
 * process may make such ones, by int 0x80: its code segment does not tell.
 */
static __always_inline bool call_is_compat(struct event *e, u64 task)
{
	return g32(e, task + guest.task_status) & TS_COMPAT;
}

static __always_inline u64 actor_task(struct event *e)
{
	if (!e->task)
		e->task = g64(e, e->percpu_base + guest.sym_current_task);
	return e->task;
}

static __always_inline u64 actor_signal(struct event *e)
{
	if (!e->signal)
		e->signal = g64(e, actor_task(e) + guest.task_signal);
	return e->signal;
}

static __always_inline u64 actor_mm(struct event *e)
{
	if (!e->mm)
		e->mm = g64(e, actor_task(e) + guest.task_mm);
	return e->mm;
}

/*
 * A kernel thread is no process: it works for whoever asked it to, and would
 * hand one process's labels to the next. io_uring's workers are threads of
 * their process and carry PF_IO_WORKER instead.
 */
static __always_inline bool actor_is_kthread(struct event *e)
{
	if (!e->task_flags)
		e->task_flags = g32(e, actor_task(e) + guest.task_flags);
	return e->task_flags & PF_KTHREAD;
}

__noinline u64 process_key(struct event *e, u64 task, u32 make);
__noinline u64 life_key(struct event *e, u64 address, u64 tag, u32 kind, u32 make);

/* An address space has a number of its own, that no other ever gets (x86's ctx_id). */
static __always_inline u64 mm_key(struct event *e, u64 mm, u32 make)
{
	if (!ends_unseen || !mm)
		return mm;
	return life_key(e, mm, g64(e, mm + guest.mm_ctx_id), KT_KIND_MEMORY, make);
}

/* Labels of the process with this key in its set; *cause: of its last growth. */
static __always_inline u64 process_labels(u64 process_key_, u64 *cause)
{
	struct kt_object_key key = { .gva = process_key_ };
	struct kt_process *process = bpf_map_lookup_elem(&processes, &key);

	if (!process)
		return overflow(KT_KIND_PROCESS, cause);
	*cause = process->managed.cause;
	return process->managed.labels;
}

/*
 * Labels of the process that acts, and e->cause. Processes that share an
 * address space (vfork, CLONE_VM) share labels until one of them execs.
 */
__noinline u64 actor_labels(struct event *e)
{
	struct kt_object_key key = {};
	struct kt_managed *shared;
	u64 labels, theirs, their_cause = 0, cause = 0;

	if (!e)
		return 0;
	actor_signal(e);
	labels = process_labels(ends_unseen ? process_key(e, e->task, 0) : e->signal, &cause);
	if (shared_mm_count) {
		key.gva = mm_key(e, actor_mm(e), 0);
		shared = bpf_map_lookup_elem(&shared_mms, &key);
		theirs = shared ? shared->labels : overflow(KT_KIND_MEMORY, &their_cause);
		if (theirs & ~labels) {
			cause = shared ? shared->cause : their_cause;
			labels |= theirs;
		}
	}
	if (!labels || actor_is_kthread(e))
		return 0;
	e->cause = cause;
	return labels;
}

/* The open file that a descriptor of the acting process names; 0: none. */
__noinline u64 file_of_descriptor(struct event *e, u32 fd)
{
	u64 table;

	if (!e)
		return 0;
	table = g64(e, g64(e, actor_task(e) + guest.task_files) + guest.files_fdt);
	if (!table || fd >= g32(e, table + guest.fdt_max_fds))
		return 0;
	return g64(e, g64(e, table + guest.fdt_fd) + 8ULL * fd);
}

/*
 * The guest address of a thread's saved user registers, which are at the top
 * of its kernel stack; 0 when it has none (a kernel thread or an io_uring worker).
 */
__noinline u64 user_regs(struct event *e, u64 task)
{
	u64 regs;

	if (!e)
		return 0;
	regs = g64(e, task + guest.task_stack) + guest.kernel_stack_size - guest.pt_regs_size;
	if (g64(e, regs + PT_REGS_SS) == USER_DS)
		return regs;
	regs -= FRED_PADDING;
	if ((g64(e, regs + PT_REGS_SS) & 0xffff) == USER_DS)
		return regs;
	return 0;
}

#endif
