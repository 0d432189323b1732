/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Processes as the system-call view sees them: nobody says when one begins, and
 * one that is killed makes no system call to end with. So each is looked at when
 * it makes its first: that is the moment at which it inherits.
 *
 * From whom? Its parent is there to be asked, unless it has ended meanwhile: then
 * the child has been given to init or to a subreaper. For these a managed process
 * that makes a child leaves its labels with the print of its address space, which
 * the child has too. What its parent learns between the fork and the child's first
 * system call the child has as well: that errs on the safe side.
 */
#ifndef KVMTAINT_SYSCALL_PROCESS_BPF_H
#define KVMTAINT_SYSCALL_PROCESS_BPF_H

#include "carrier_file.bpf.h"
#include "carrier_memory.bpf.h"
#include "process.bpf.h"
#include "syscall_lookup.bpf.h"
#include "syscall_table.bpf.h"

/* include/uapi/linux/sched.h */
#define CLONE_VM     0x00000100
#define CLONE_PARENT 0x00008000
#define CLONE_THREAD 0x00010000

/* include/linux/sched/signal.h */
#define SIGNAL_GROUP_EXIT 0x00000004
#define SIGNAL_UNKILLABLE 0x00000040 /* init of a PID namespace */

static __always_inline u64 process_start(struct event *e, u64 task)
{
	return g64(e, g64(e, task + guest.task_group_leader) + guest.task_start_time);
}

/*
 * The first system call of all: whoever is there now was made before anybody was
 * managed. The last in the list of processes is the youngest.
 */
static __always_inline void know_the_living(struct event *e)
{
	u64 youngest = g64(e, guest.sym_init_task + guest.task_tasks + 8) - guest.task_tasks;
	u64 start = g64(e, youngest + guest.task_start_time);

	if (!e->failed)
		__sync_val_compare_and_swap(&born_since, 0, start + 1);
}

/*
 * True when the acting process has not been seen as it is now: it is new, or it
 * executes another program.
 */
static __always_inline bool actor_is_new(struct event *e)
{
	struct kt_object_key key = { .gva = actor_signal(e) };
	struct kt_known *seen = bpf_map_lookup_elem(&known, &key);

	if (!born_since)
		know_the_living(e);
	return !seen || seen->mm != actor_mm(e) || seen->start != process_start(e, e->task);
}

/* True when children of this process may have lost their true parent. */
static __always_inline bool may_adopt(struct event *e, u64 signal)
{
	struct kt_object_key key = { .gva = signal };
	struct kt_known *seen = bpf_map_lookup_elem(&known, &key);

	return !seen || seen->exits || g8(e, signal + guest.signal_subreaper) & 1 ||
	       g32(e, signal + guest.signal_flags) & (SIGNAL_GROUP_EXIT | SIGNAL_UNKILLABLE);
}

/* The acting process takes what its parent had; called before it is known. */
static __always_inline void inherit(struct event *e)
{
	u64 leader = g64(e, e->task + guest.task_group_leader);
	u64 parent = g64(e, leader + guest.task_real_parent), labels, cause = 0;
	struct kt_object_key key = {};
	struct kt_family *family;

	e->flow = KT_FLOW_FORK;
	labels = process_labels(process_key(e, parent, 0), &cause);
	if (labels && !(g32(e, parent + guest.task_flags) & PF_KTHREAD)) {
		describe_process(e, &e->given, parent);
		e->cause = cause;
		process_join(e, e->task, labels, FROM_GIVEN);
	}
	key.gva = mm_print(e, actor_mm(e));
	family = bpf_map_lookup_elem(&families, &key);
	if (!family || !(family->siblings || may_adopt(e, g64(e, parent + guest.task_signal))))
		return;
	e->given = family->parent;
	e->cause = family->cause;
	process_join(e, e->task, family->labels, FROM_GIVEN);
}

/*
 * The acting process is new, or executes another program: the text of that is
 * read by whoever executes it.
 */
static __always_inline void on_syscall_new_actor(struct event *e)
{
	struct kt_object_key key = { .gva = actor_signal(e) };
	struct kt_known fresh = { .start = process_start(e, e->task), .mm = actor_mm(e) };
	struct kt_known *seen = bpf_map_lookup_elem(&known, &key);
	bool first = !seen || seen->start != fresh.start;
	u64 program;

	if (first && fresh.start >= born_since)
		inherit(e);
	program = !first && fresh.mm ? g64(e, fresh.mm + guest.mm_exe_file) : 0;
	if (program && carrier_is_file(e, program) == S_IFREG)
		read_from(e, KT_FLOW_READ);
	if (!comes_again(e))
		bpf_map_update_elem(&known, &key, &fresh, BPF_ANY);
}

/* --- fork, exec, exit ------------------------------------------------------- */

/* A managed process makes a child that may outlive it before it is seen. */
static __always_inline void family_grows(struct event *e, u64 labels, bool sibling)
{
	struct kt_object_key key = { .gva = mm_print(e, actor_mm(e)) };
	struct fresh *fresh = fresh_entry();
	struct kt_family *family;

	if (!fresh || !labels)
		return;
	describe_process(e, &fresh->family.parent, actor_task(e));
	fresh->family.labels = labels;
	fresh->family.cause = e->cause;
	fresh->family.siblings = sibling;
	if (comes_again(e) || !bpf_map_update_elem(&families, &key, &fresh->family, BPF_NOEXIST))
		return;
	family = bpf_map_lookup_elem(&families, &key);
	if (!family)
		return;
	/* The last who made a child is the likeliest parent of the next that is met. */
	family->parent = fresh->family.parent;
	family->cause = fresh->family.cause;
	__sync_fetch_and_or(&family->labels, labels);
	if (sibling)
		family->siblings = 1;
}

static __always_inline void on_syscall_fork(struct event *e, u64 flags)
{
	u64 labels = actor_labels(e);

	if (flags & CLONE_THREAD)
		return;
	if (flags & CLONE_VM)
		mm_is_shared(e, actor_mm(e), labels);
	family_grows(e, labels, flags & CLONE_PARENT);
}

/* The old address space is left: what was shared with it stays with the process. */
static __always_inline void on_syscall_exec(struct event *e)
{
	u64 labels;

	if (!shared_mm_count)
		return;
	labels = actor_labels(e);
	e->flow = KT_FLOW_SHARED_MM;
	process_join(e, e->task, labels, FROM_ACTOR);
}

/*
 * The acting process ends with its last thread. It is marked before its labels go:
 * who looks for them as a child finds one or the other.
 */
static __always_inline void on_syscall_exit(struct event *e)
{
	struct kt_object_key key = { .gva = actor_signal(e) };
	struct kt_known *seen = bpf_map_lookup_elem(&known, &key);

	if (seen)
		__sync_lock_test_and_set(&seen->exits, 1);
	process_leave(e, e->task);
}

/* --- another's memory ------------------------------------------------------- */

static __always_inline void on_syscall_memory(struct event *e, enum direction direction, u32 pid)
{
	u64 task = task_of_pid(e, pid);

	if (!direction || !task || !carrier_is_memory(e, g64(e, task + guest.task_mm), task))
		return;
	if (direction == PEEK)
		read_from(e, KT_FLOW_PEEK);
	else
		poke_into(e);
}

static __always_inline void on_syscall_process(struct event *e)
{
	switch (e->row.kind) {
	case SYSCALL_FORK:
		on_syscall_fork(e, 0);
		break;
	case SYSCALL_VFORK:
		on_syscall_fork(e, CLONE_VM);
		break;
	case SYSCALL_CLONE:
		on_syscall_fork(e, e->args[0]);
		break;
	case SYSCALL_CLONE3:
		/* struct clone_args begins with them. */
		user_memory(e);
		on_syscall_fork(e, g64(e, e->args[0]));
		break;
	case SYSCALL_EXEC:
		on_syscall_exec(e);
		break;
	case SYSCALL_EXIT:
		pending_forget(actor_task(e));
		/* Other threads run on until they are killed: then it leaves like who is killed. */
		if (g32(e, actor_signal(e) + guest.signal_live) == 1)
			on_syscall_exit(e);
		break;
	case SYSCALL_PEEK:
		on_syscall_memory(e, PEEK, e->args[0]);
		break;
	case SYSCALL_POKE:
		on_syscall_memory(e, POKE, e->args[0]);
		break;
	case SYSCALL_PTRACE:
		on_syscall_memory(e, ptrace_direction(e->args[0]), e->args[1]);
		break;
	}
}

#endif
