/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What took labels in the event at hand, and whom they reach from there: the
 * threads that are reading a carrier (pending.bpf.h), those that share memory
 * with it (mapping.bpf.h). Handlers only note what grew; programs of their own
 * do the rest before the event ends, and may note more.
 *
 * "told" of an object are the labels for which all this is done. Until then
 * whoever meets the object does it once more, so that nobody goes on before the
 * vCPU that is at it has finished, and an event that is done again starts over.
 */
#ifndef KVMTAINT_WORK_BPF_H
#define KVMTAINT_WORK_BPF_H

/* Nothing grew yet. */
static __always_inline void work_reset(struct event *e)
{
	e->id++;
	e->grown_count = 0;
	e->told_at = 0;
	e->walk_at = 0;
	e->settling = 0;
	e->arrived = 0;
	e->failed_before = 0;
}

static __always_inline s32 *readers_of(u64 carrier)
{
	u32 bucket = (carrier >> 6) * 0x9e3779b97f4a7c15ULL >> 52;

	return bpf_map_lookup_elem(&reader_counts, &bucket);
}

/*
 * Whether object is noted for these labels in this event; note: now it is. What
 * reaches each other by memory would be walked for ever without.
 */
__noinline int work_noted(struct event *e, u64 object, u64 labels, u32 note)
{
	u32 first = (object >> 4) * 0x9e3779b97f4a7c15ULL >> 40, at;
	struct kt_noted *noted;

	if (!e)
		return 0;
	for (u32 i = 0; i < NOTED_PROBES; i++) {
		at = (first + i) % NOTED_SLOTS;
		noted = bpf_map_lookup_elem(&noted_objects, &at);
		if (!noted)
			return 0;
		if (noted->id == e->id && noted->object != object)
			continue;
		if (noted->id == e->id && !(labels & ~noted->labels))
			return 1;
		if (!note)
			return 0;
		if (noted->id != e->id)
			noted->labels = 0;
		noted->id = e->id;
		noted->object = object;
		noted->labels |= labels;
		return 0;
	}
	return 0;
}

/* Where the next item goes; NULL: there are too many. */
static __always_inline struct kt_grown *work_new(struct event *e, u64 what)
{
	u32 at = e->grown_count;
	struct kt_grown *grown = bpf_map_lookup_elem(&work, &at);

	if (!grown) {
		event_fail(e, KT_LOST_WALK_BOUND, what);
		return NULL;
	}
	e->grown_count = at + 1;
	return grown;
}

/* The carrier at hand, which managed stands for (NULL: its set is full), took labels. */
static __always_inline void work_carrier(struct event *e, struct kt_managed *managed, u64 labels)
{
	s32 *bucket = readers_of(e->carrier);
	bool has_readers = !bucket || __sync_fetch_and_add(bucket, 0);
	struct kt_grown *grown;

	if (!has_readers && e->carrier_kind != KT_KIND_FILE) {
		if (managed)
			__sync_fetch_and_or(&managed->told, labels);
		return;
	}
	grown = work_noted(e, e->carrier, labels, 1) ? NULL : work_new(e, e->carrier);
	if (!grown)
		return;
	grown->carrier = e->carrier;
	grown->file = e->file;
	grown->dentry = e->dentry;
	grown->signal = 0;
	grown->labels = labels;
	grown->cause = e->cause;
	grown->key = e->key;
	grown->kind = e->carrier_kind;
	grown->readers = has_readers;
	grown->tries = 0;
	grown->written = e->flow == KT_FLOW_STORED ? e->content_written : e->flow != KT_FLOW_POLICY;
	grown->arrived = e->flow == KT_FLOW_WIRE;
}

/*
 * The process of task, which managed stands for, took labels. What a child has
 * mapped its parent had, and labelled.
 */
static __always_inline void work_process(struct event *e, struct kt_managed *managed, u64 task,
					 u64 signal, u64 key, u64 labels)
{
	u64 mm = g64(e, task + guest.task_mm);
	s32 *bucket = readers_of(mm);
	bool has_readers = mm && (!bucket || __sync_fetch_and_add(bucket, 0));
	struct kt_grown *grown;

	if (!has_readers && (e->flow == KT_FLOW_FORK || e->flow == KT_FLOW_SHARED_MM)) {
		__sync_fetch_and_or(&managed->told, labels);
		return;
	}
	grown = work_noted(e, signal, labels, 1) ? NULL : work_new(e, task);
	if (!grown)
		return;
	grown->carrier = task;
	grown->file = 0;
	grown->signal = signal;
	grown->key.ino = key;
	grown->labels = labels;
	grown->cause = managed->cause;
	grown->kind = KT_KIND_PROCESS;
	grown->mm = mm;
	grown->dentry = 0;
	grown->readers = has_readers;
	grown->tries = 0;
	grown->written = 0;
	grown->arrived = 0;
}

/* Item grown becomes what is at hand. */
static __always_inline void work_at_hand(struct event *e, const struct kt_grown *grown)
{
	e->carrier = grown->carrier;
	e->carrier_kind = grown->kind;
	e->key = grown->key;
	e->file = grown->file;
	e->dentry = grown->dentry;
	e->cause = grown->cause;
	e->labels = grown->labels;
	e->arrived = grown->arrived;
}

static long work_told_step(u32 at, struct event **at_hand)
{
	struct event *e = *at_hand;
	struct kt_object_key key = {};
	struct kt_managed *managed;
	struct kt_grown *grown;

	if (at >= e->grown_count)
		return 1;
	grown = bpf_map_lookup_elem(&work, &at);
	if (!grown)
		return 1;
	work_at_hand(e, grown);
	key.gva = grown->key.ino;
	if (grown->kind == KT_KIND_PROCESS)
		managed = bpf_map_lookup_elem(&processes, &key);
	else
		managed = carrier_managed(e);
	if (managed)
		__sync_fetch_and_or(&managed->told, grown->labels);
	return 0;
}

/*
 * All work is done, or as much of it as can be: a lost record says what is not.
 * Only an event that is done again is to find it undone.
 */
static __always_inline void work_end(struct event *e)
{
	if (!comes_again(e))
		walk(e, GROWN_MAX, work_told_step);
	if (e->failed_before && !e->failed) {
		e->failed = e->failed_before;
		e->failed_at = e->failed_before_at;
	}
	e->grown_count = 0;
}

#endif
