/* SPDX-License-Identifier: GPL-2.0 */
/* Records: what user space prints. Made only when something changed or left. */
#ifndef KVMTAINT_RECORD_BPF_H
#define KVMTAINT_RECORD_BPF_H

#include "actor.bpf.h"
#include "path.bpf.h"

#define RECORD_HEAD __builtin_offsetof(struct kt_record, path)

/* Fills o with the process of a thread. */
__noinline int describe_process(struct event *e, struct kt_object *o, u64 task)
{
	u64 word;

	if (!e || !o)
		return 0;
	o->kind = KT_KIND_PROCESS;
	o->gva = g64(e, task + guest.task_signal);
	o->pid = g32(e, task + guest.task_tgid);
	o->tid = g32(e, task + guest.task_pid);
	o->uid = g32(e, g64(e, task + guest.task_cred) + guest.cred_uid);
	word = g64(e, task + guest.task_comm);
	__builtin_memcpy(o->comm, &word, 8);
	word = g64(e, task + guest.task_comm + 8);
	__builtin_memcpy(o->comm + 8, &word, 8);
	return 0;
}

static __always_inline void record_clear(struct kt_record *record)
{
	u64 *word = (u64 *)record;

	for (u32 i = 0; i < RECORD_HEAD / 8; i++)
		word[i] = 0;
}

/* Starts e->record: everything zero but type, flow and the actor. */
__noinline int record_begin(struct event *e, u32 type)
{
	if (!e)
		return 0;
	record_clear(&e->record);
	e->record.type = type;
	e->record.flow = e->flow;
	e->record.hook = e->hook;
	e->record.vcpu = e->vcpu;
	e->record.syscall = -1;
	return 0;
}

/* Adds the acting thread and the system call it is in. */
__noinline int record_actor(struct event *e)
{
	u64 regs;

	if (!e)
		return 0;
	/* Who is on the CPU has nothing to do with what another VM sent. */
	if (e->arrived)
		return 0;
	describe_process(e, &e->record.actor, actor_task(e));
	e->record.flags |= KT_RECORD_HAS_ACTOR;
	if (actor_is_kthread(e)) {
		e->record.flags |= KT_RECORD_KTHREAD;
		return 0;
	}
	if (e->task_flags & PF_IO_WORKER) {
		e->record.flags |= KT_RECORD_IO_WORKER;
		return 0;
	}
	/* The thread that is looked at is in some other call, or in none. */
	if (e->flow == KT_FLOW_BEFORE_ATTACH || e->flow == KT_FLOW_CORE_DUMP)
		return 0;
	/* Its registers are not on the stack yet. */
	if (e->hook == KT_HOOK_SYSCALL) {
		e->record.syscall = e->syscall;
		e->record.flags |= KT_RECORD_HAS_SYSCALL;
		if (e->alternative != KT_ENTRY_SYSCALL)
			e->record.flags |= KT_RECORD_COMPAT;
		return 0;
	}
	regs = user_regs(e, e->task);
	if (!regs)
		return 0;
	e->record.syscall = g32(e, regs + PT_REGS_ORIG_AX);
	e->record.flags |= KT_RECORD_HAS_SYSCALL;
	if (call_is_compat(e, e->task))
		e->record.flags |= KT_RECORD_COMPAT;
	return 0;
}

/* Adds the path that was built last. */
__noinline int record_path(struct event *e)
{
	u32 len, at;

	if (!e)
		return 0;
	at = e->path_start;
	if (at > KT_PATH_MAX)
		return 0;
	len = KT_PATH_MAX - at;
	bpf_probe_read_kernel(e->record.path, len, e->path + at);
	e->record.path_len = len;
	if (e->path_cut)
		e->record.flags |= KT_RECORD_PATH_CUT;
	return 0;
}

/* Gives e->record its place in the sequence. */
static __always_inline void record_number(struct event *e)
{
	e->record.seq = __sync_fetch_and_add(&record_seq, 1) + 1;
}

/*
 * Writes e->record, which has its number, out. A full ring loses the record, never
 * the membership it tells of: seq then has a gap, and the loss is counted.
 */
__noinline u64 record_out(struct event *e)
{
	u32 len;

	if (!e)
		return 0;
	len = RECORD_HEAD + e->record.path_len;
	if (len > sizeof(e->record))
		len = sizeof(e->record);
	e->record.time_ns = bpf_ktime_get_ns();
	count(KT_COUNT_RECORDS);
	if (bpf_ringbuf_output(&records, &e->record, len, 0))
		count(KT_COUNT_RECORDS_LOST);
	return e->record.seq;
}

/* Numbers e->record, writes it out and returns its seq. */
static __always_inline u64 record_emit(struct event *e)
{
	record_number(e);
	return record_out(e);
}

/*
 * Stops the VMM, this vCPU before it enters the guest. The signal is this thread's own:
 * one for the process counts as sent already while another vCPU's waits to be taken,
 * and this vCPU would run on until then.
 */
static __always_inline long stop_vm(void)
{
	return bpf_send_signal_thread(SIGSTOP);
}

/* Hands the event to user space and stops the VM until it has been done again. */
static __always_inline bool event_defer(struct event *e)
{
	struct kt_deferred *again = bpf_ringbuf_reserve(&deferred, sizeof(*again), 0);

	if (!again)
		return false;
	for (int i = 0; i < 6; i++)
		again->args[i] = e->args[i];
	again->site = e->site;
	again->percpu_base = e->percpu_base;
	again->fault = e->failed_at;
	again->syscall = e->syscall;
	again->vcpu = e->vcpu;
	again->result = 0;
	__sync_fetch_and_add(&stops_sent, 1);
	bpf_ringbuf_submit(again, 0);
	return !stop_vm();
}

/* Says what failed, if anything, and forgets it. */
static __always_inline void event_say_lost(struct event *e)
{
	if (!e->failed)
		return;
	record_begin(e, KT_RECORD_LOST);
	e->record.lost = e->failed;
	e->record.bytes = e->failed_at;
	record_emit(e);
	e->failed = 0;
}

/* Ends an event: what could not be read is done again, or said. */
static __always_inline void event_done(struct event *e)
{
	struct kt_deferred *input;
	u32 vcpu = e->vcpu % KT_VCPUS_MAX;

	if (e->mode != LIVE) {
		input = bpf_map_lookup_elem(&replay_input, &vcpu);
		if (input) {
			input->result = e->failed;
			input->fault = e->failed_at;
		}
		return;
	}
	if (!e->failed || (e->failed == KT_LOST_HOST_MEMORY && event_defer(e)))
		return;
	event_say_lost(e);
}

#endif
