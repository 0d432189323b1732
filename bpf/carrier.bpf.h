/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The rules, over any carrier: a process that reads takes the carrier's labels
 * (P2, P6), a carrier that is written takes the process's (P3, P5). A handler
 * says which carrier (carrier_is_*), then read_from() or write_to().
 *
 * Labels are only ever ORed in, so that two vCPUs that unite at once lose none.
 */
#ifndef KVMTAINT_CARRIER_BPF_H
#define KVMTAINT_CARRIER_BPF_H

#include "object.bpf.h"
#include "work.bpf.h"

/* Who brings the labels that a carrier takes. */
enum bringer {
	BY_POLICY,
	BY_ACTOR,
	BY_GIVEN, /* e->given */
	BY_MAPPER, /* the process that is walked has it mapped */
	BY_CONTENT, /* e->given, a file that is stored in it */
	BY_MEDIUM, /* e->given, the disk or image that it is stored in */
	BY_WIRE, /* another VM: e->given */
};

/* Labels of the carrier, and e->cause. */
static __always_inline u64 carrier_labels(struct event *e)
{
	struct kt_managed *managed = carrier_managed(e), *shared = NULL;
	struct kt_object_key mm = {};
	u64 labels = managed ? managed->labels : 0;

	if (managed)
		e->cause = managed->cause;
	else
		labels = overflow(e->carrier_kind, &e->cause);
	if (e->carrier_kind == KT_KIND_PROCESS && shared_mm_count) {
		mm.gva = mm_key(e, e->carrier, 0);
		shared = bpf_map_lookup_elem(&shared_mms, &mm);
	}
	if (shared && (shared->labels & ~labels)) {
		e->cause = shared->cause;
		labels |= shared->labels;
	}
	return labels;
}

/* --- processes join ------------------------------------------------------ */

/* Gives labels to everyone in an address space, by its key, that several processes share. */
static __always_inline void shared_mm_add(u64 mm, u64 labels, u64 cause)
{
	struct kt_object_key key = { .gva = mm };
	struct kt_managed *shared = bpf_map_lookup_elem(&shared_mms, &key);

	if (shared && (labels & ~__sync_fetch_and_or(&shared->labels, labels)))
		shared->cause = cause;
	if (!shared && shared_mm_lost &&
	    (labels & ~__sync_fetch_and_or(&overflow_labels[KT_KIND_MEMORY], labels)))
		overflow_cause[KT_KIND_MEMORY] = cause;
}

/* Where the labels that a process takes come from. */
enum origin {
	FROM_ACTOR,
	FROM_CARRIER, /* at hand */
	FROM_GIVEN, /* e->given */
};

/* The process of task takes labels. Returns 1 when it grew. */
__noinline int process_join(struct event *e, u64 task, u64 labels, u32 from)
{
	struct kt_object_key key = {};
	struct kt_managed *managed;
	struct fresh *fresh;
	u64 grown = 0, cause, signal;
	bool known;

	if (!e || !labels)
		return 0;
	signal = g64(e, task + guest.task_signal);
	key.gva = process_key(e, task, 1);
	if (!key.gva)
		return 0;
	/* The usual case: it has them all, and so have those whom it shares memory with. */
	managed = bpf_map_lookup_elem(&processes, &key);
	known = managed;
	if (!managed && !(labels & ~overflow_labels[KT_KIND_PROCESS]))
		return 0;
	if (managed && (!(labels & ~managed->told) ||
			(!(labels & ~managed->labels) && work_noted(e, signal, labels, 0))))
		return 0;
	cause = e->cause;
	record_begin(e, KT_RECORD_SPREAD);
	record_actor(e);
	describe_process(e, &e->record.target, task);
	if (from == FROM_CARRIER)
		describe_carrier(e, &e->record.source);
	else if (from == FROM_GIVEN)
		e->record.source = e->given;
	else
		e->record.source = e->record.actor;
	fresh = fresh_entry();
	if (!fresh || comes_again(e))
		return 0;
	fresh->process.managed.labels = 0;
	fresh->process.managed.told = 0;
	fresh->process.managed.own = 0;
	fresh->process.managed.cause = 0;
	fresh->process.managed.since_ns = bpf_ktime_get_ns();
	fresh->process.sent = 0;
	fresh->process.sent_cause = 0;
	fresh->process.pid = e->record.target.pid;
	fresh->process.uid = e->record.target.uid;
	__builtin_memcpy(fresh->process.comm, e->record.target.comm, KT_COMM_LEN);
	managed = processes_add(e, &key, &fresh->process, labels, &grown);
	if (comes_again(e))
		return 0;
	if (!managed) {
		set_overflowed(e, KT_KIND_PROCESS, labels, cause);
		managed = bpf_map_lookup_elem(&processes, &key);
		if (managed)
			__sync_fetch_and_or(&managed->labels, labels);
		return 0;
	}
	if (!known)
		keep_overflow(managed, KT_KIND_PROCESS, &grown);
	if (!grown) {
		work_process(e, managed, task, signal, key.gva, labels);
		return 0;
	}
	e->record.cause = cause;
	e->record.previous = managed->cause;
	e->record.labels = managed->labels;
	e->record.added = grown;
	managed->cause = record_emit(e);
	if (pause_on_spread && e->flow != KT_FLOW_BEFORE_ATTACH &&
	    (grown & ~__sync_fetch_and_or(&touched, grown))) {
		e->freeze = managed->cause;
		e->freeze_state = KT_HELD_SPREAD;
	}
	if (shared_mm_count)
		shared_mm_add(mm_key(e, g64(e, task + guest.task_mm), 0), labels, e->record.seq);
	work_process(e, managed, task, signal, key.gva, labels);
	return 1;
}

#include "pending.bpf.h"
#include "storage_leak.bpf.h"

/* --- carriers join ------------------------------------------------------- */

/* The last component of the file's path, for people who read the map. */
static __always_inline void name_file(struct event *e, char *name)
{
	u64 dentry;
	u32 len;

	__builtin_memset(name, 0, KT_NAME_LEN);
	dentry = e->file ? g64(e, e->file + guest.file_path_dentry) : e->dentry;
	if (!dentry)
		return;
	if (!e->file && e->leaf)
		dentry = e->leaf + 4 - guest.dentry_name_len;
	len = g32(e, dentry + guest.dentry_name_len);
	len = guest_copy(e, g64(e, dentry + guest.dentry_name), len);
	if (len > KT_NAME_LEN - 1)
		len = KT_NAME_LEN - 1;
	bpf_probe_read_kernel(name, len, e->scratch);
}

/* NULL: the set is full, or the event comes again. */
static __always_inline struct kt_managed *carrier_union(struct event *e, u64 labels, u64 *grown)
{
	struct kt_object_key object = { .gva = e->key.ino };
	struct kt_managed managed = { .since_ns = bpf_ktime_get_ns() };
	struct kt_file_key file = e->key;
	struct fresh *fresh = fresh_entry();

	if (!fresh)
		return NULL;
	switch (e->carrier_kind) {
	case KT_KIND_FILE:
		name_file(e, fresh->file.name);
		fresh->file.managed = managed;
		if (comes_again(e))
			return NULL;
		return files_add(e, &file, &fresh->file, labels, grown);
	case KT_KIND_PIPE:
		fresh->pipe.managed = managed;
		fresh->pipe.ino = e->carrier_ino;
		return pipes_add(e, &object, &fresh->pipe, labels, grown);
	case KT_KIND_SOCKET:
		fresh->socket.managed = managed;
		fresh->socket.ino = socket_ino(e, e->carrier);
		fresh->socket.family = g16(e, e->carrier + guest.skc_family);
		fresh->socket.type = g16(e, e->carrier + guest.sk_type);
		if (comes_again(e))
			return NULL;
		return sockets_add(e, &object, &fresh->socket, labels, grown);
	case KT_KIND_MESSAGE:
		fresh->message.managed = managed;
		fresh->message.recorded = 1;
		return messages_add(e, &object, &fresh->message, labels, grown);
	case KT_KIND_KEY:
		fresh->key.managed = managed;
		fresh->key.serial = e->record.target.ino;
		bpf_probe_read_kernel(fresh->key.description, KT_NAME_LEN - 1,
				      e->record.target.name);
		return keys_add(e, &object, &fresh->key, labels, grown);
	case KT_KIND_DISK:
		fresh->disk.managed = managed;
		bpf_probe_read_kernel(fresh->disk.name, KT_DISK_NAME, e->record.target.name);
		return disks_add(e, &object, &fresh->disk, labels, grown);
	case KT_KIND_TERMINAL:
		fresh->terminal.managed = managed;
		__builtin_memcpy(fresh->terminal.name, e->record.target.name, KT_TTY_LEN);
		return terminals_add(e, &object, &fresh->terminal, labels, grown);
	case KT_KIND_FUSE:
		fresh->fuse.managed = managed;
		return fuse_add(e, &object, &fresh->fuse, labels, grown);
	}
	return NULL;
}

/* The carrier at hand finds no room in its set. */
static __always_inline int carrier_overflowed(struct event *e, u64 labels, u64 cause)
{
	struct kt_managed *managed;

	set_overflowed(e, e->carrier_kind, labels, cause);
	managed = carrier_managed(e);
	if (managed)
		__sync_fetch_and_or(&managed->labels, labels);
	overflow(e->carrier_kind, &e->cause);
	work_carrier(e, managed, labels);
	return 0;
}

/* Who is on the CPU only shows what e->given did before, in a call that is over. */
static __always_inline void bring_given(struct event *e)
{
	e->record.source = e->record.actor = e->given;
	e->record.flags &= ~(KT_RECORD_HAS_SYSCALL | KT_RECORD_COMPAT | KT_RECORD_KTHREAD |
			     KT_RECORD_IO_WORKER);
}

/* Labels that come to a file or disk from outside may be in all that is stored in it. */
static __always_inline void own_add(struct kt_managed *managed, u64 labels, u32 from)
{
	if (from != BY_CONTENT && (labels & ~managed->own))
		__sync_fetch_and_or(&managed->own, labels);
}

/*
 * The carrier at hand takes labels; e->cause explains them. Readers that passed their
 * hook before the labels were there join now. Labels that are there already are
 * no reason to go on before the vCPU that brought them has told the readers.
 */
__noinline int carrier_join(struct event *e, u64 labels, u32 from)
{
	struct kt_managed *managed;
	u64 grown = 0, cause = 0;
	bool known;

	if (!e || !labels)
		return 0;
	if (ends_unseen && (e->carrier_kind == KT_KIND_SOCKET || e->carrier_kind == KT_KIND_PIPE ||
			    e->carrier_kind == KT_KIND_MESSAGE))
		e->key.ino = life_key(e, e->carrier, e->tag, e->carrier_kind, 1);
	managed = carrier_managed(e);
	if (managed)
		own_add(managed, labels, from);
	if (managed && (!(labels & ~managed->told) ||
			(!(labels & ~managed->labels) && work_noted(e, e->carrier, labels, 0))))
		return 0;
	/* In no set, it counts as having them: but readers may have come before that. */
	known = managed;
	if (!known && !(labels & ~overflow(e->carrier_kind, &cause))) {
		e->cause = cause;
		work_carrier(e, managed, labels);
		return 0;
	}
	cause = e->cause;
	record_begin(e, KT_RECORD_SPREAD);
	if (from == BY_WIRE)
		e->record.source = e->given;
	else
		record_actor(e);
	describe_carrier(e, &e->record.target);
	if (from == BY_ACTOR)
		e->record.source = e->record.actor;
	else if (from == BY_MAPPER)
		describe_process(e, &e->record.source, e->map.task);
	else if (from == BY_GIVEN)
		bring_given(e);
	else if (from == BY_CONTENT || from == BY_MEDIUM)
		e->record.source = e->given;
	if (comes_again(e))
		return 0;
	managed = carrier_union(e, labels, &grown);
	if (comes_again(e))
		return 0;
	if (!managed)
		return carrier_overflowed(e, labels, cause);
	own_add(managed, labels, from);
	if (!known)
		keep_overflow(managed, e->carrier_kind, &grown);
	if (!grown) {
		e->cause = managed->cause;
		work_carrier(e, managed, labels);
		return 0;
	}
	e->record.cause = cause;
	e->record.previous = managed->cause;
	e->record.labels = managed->labels;
	e->record.added = grown;
	managed->cause = record_emit(e);
	e->cause = e->record.seq;
	work_carrier(e, managed, labels);
	return 1;
}

/*
 * The acting thread cannot be known as a reader: whoever labels the carrier
 * later will not find it, so it is taken to have read everything.
 */
static __always_inline void reader_overflowed(struct event *e)
{
	if (actor_is_kthread(e) || !(all_labels & ~actor_labels(e)))
		return;
	record_begin(e, KT_RECORD_LOST);
	record_actor(e);
	e->record.lost = KT_LOST_PENDING_FULL;
	e->record.labels = all_labels;
	if (comes_again(e))
		return;
	e->cause = record_emit(e);
	process_join(e, e->task, all_labels, FROM_CARRIER);
}

/*
 * The labels of what is read reach the reader. Alone, where the guest's own locks let
 * nobody write between this hook and the end of the read: there is no race, so nothing
 * to publish.
 */
static __always_inline void read_locked(struct event *e, u32 flow)
{
	u64 labels = carrier_labels(e);

	e->flow = flow;
	if (!labels)
		return;
	if (!actor_is_kthread(e))
		process_join(e, e->task, labels, FROM_CARRIER);
	else if (e->carrier_kind == KT_KIND_FILE)
		served_leak(e, labels);
}

/* P2, P6: who reads a managed carrier becomes managed. Sockets: socket_is_read(). */
static __always_inline void read_from(struct event *e, u32 flow)
{
	e->flow = flow;
	if (!pending_publish(e))
		reader_overflowed(e);
	read_locked(e, flow);
}

/* P3, P5: what a managed process writes becomes managed. */
static __always_inline void write_to(struct event *e, u32 flow)
{
	u64 labels = actor_labels(e);

	e->flow = flow;
	if (labels)
		carrier_join(e, labels, BY_ACTOR);
}

/* The same for what may be a file or a disk: that may be outside the guest. */
static __always_inline void write_to_storage(struct event *e, u32 flow)
{
	u64 labels = actor_labels(e);

	e->flow = flow;
	if (!labels)
		return;
	carrier_join(e, labels, BY_ACTOR);
	if (e->carrier_kind == KT_KIND_FILE || e->carrier_kind == KT_KIND_DISK)
		storage_leak(e, e->task, labels, BY_ACTOR);
}

/* The same for another process's memory: that process becomes managed. */
static __always_inline void poke_into(struct event *e)
{
	u64 labels = actor_labels(e);

	e->flow = KT_FLOW_POKE;
	if (labels)
		process_join(e, e->file, labels, FROM_ACTOR);
}

#endif
