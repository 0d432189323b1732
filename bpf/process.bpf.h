/* SPDX-License-Identifier: GPL-2.0 */
/* Processes come and go: P4 (a child inherits) and P8 (exit leaves the set). */
#ifndef KVMTAINT_PROCESS_BPF_H
#define KVMTAINT_PROCESS_BPF_H

#include "carrier.bpf.h"

/* From now on any two processes may share memory; the count never gets to 0 again. */
static __always_inline void shared_mms_full(struct event *e, u64 mm)
{
	if (__sync_lock_test_and_set(&shared_mm_lost, 1))
		return;
	__sync_fetch_and_add(&shared_mm_count, 1);
	record_begin(e, KT_RECORD_LOST);
	record_actor(e);
	e->record.lost = KT_LOST_SET_FULL;
	e->record.target = e->record.actor;
	e->record.target.kind = KT_KIND_MEMORY;
	e->record.target.gva = mm;
	overflow_cause[KT_KIND_MEMORY] = record_emit(e);
}

/* Two processes use mm from now on: what one learns the other knows. */
static __always_inline void mm_is_shared(struct event *e, u64 mm, u64 labels)
{
	struct kt_object_key key = { .gva = mm_key(e, mm, 1) };
	struct kt_managed fresh = { .since_ns = bpf_ktime_get_ns() };

	if (!bpf_map_update_elem(&shared_mms, &key, &fresh, BPF_NOEXIST))
		__sync_fetch_and_add(&shared_mm_count, 1);
	else if (!bpf_map_lookup_elem(&shared_mms, &key))
		shared_mms_full(e, mm);
	if (labels)
		shared_mm_add(key.gva, labels, e->cause);
}

/* mm is a new address space: whoever had its address before is no matter. */
static __always_inline void mm_is_new(u64 mm)
{
	struct kt_object_key key = { .gva = mm };

	if (shared_mm_count && !bpf_map_delete_elem(&shared_mms, &key))
		__sync_fetch_and_add(&shared_mm_count, -1);
}

/*
 * wake_up_new_task(p): every thread and process starts here. A new process has
 * its parent's labels or none, whatever its address meant before.
 */
static __always_inline void on_task_new(struct event *e)
{
	u64 task = e->args[0], signal = g64(e, task + guest.task_signal), mm, labels;
	struct kt_object_key key = { .gva = signal };

	pending_forget(task);
	if (signal == actor_signal(e) || e->failed)
		return;
	bpf_map_delete_elem(&processes, &key);
	if (g32(e, task + guest.task_flags) & PF_KTHREAD)
		return;
	labels = actor_labels(e);
	mm = g64(e, task + guest.task_mm);
	if (mm && mm == actor_mm(e))
		mm_is_shared(e, mm, labels);
	else
		mm_is_new(mm);
	e->flow = KT_FLOW_FORK;
	process_join(e, task, labels, FROM_ACTOR);
}

/* P8: the process of task has ended, and leaves its set if it is there. */
static __always_inline void process_leave(struct event *e, u64 task)
{
	struct kt_object_key key = { .gva = process_key(e, task, 0) };
	struct kt_process *process = bpf_map_lookup_elem(&processes, &key);

	if (!process)
		return;
	record_begin(e, KT_RECORD_GONE);
	describe_process(e, &e->record.target, task);
	if (comes_again(e))
		return;
	set_leave(e, &process->managed, &processes, &key);
	record_emit(e);
}

/* taskstats_exit(task, last), acct_collect(code, last), do_exit(code) */
static __always_inline void on_task_exit(struct event *e)
{
	u64 task = e->alternative == 0 ? e->args[0] : actor_task(e);
	bool last;

	pending_forget(task);
	if (e->alternative == 2)
		last = g32(e, g64(e, task + guest.task_signal) + guest.signal_live) == 1;
	else
		last = (u32)e->args[1];
	if (last)
		process_leave(e, task);
}

/*
 * security_bprm_check(bprm), before the old address space is left: what was
 * shared with it stays with the process, the new one is its own.
 */
static __always_inline void on_bprm_check(struct event *e)
{
	u64 labels;

	if (!shared_mm_count)
		return;
	labels = actor_labels(e);
	e->flow = KT_FLOW_SHARED_MM;
	process_join(e, actor_task(e), labels, FROM_ACTOR);
	mm_is_new(g64(e, e->args[0] + guest.bprm_mm));
}

#endif
