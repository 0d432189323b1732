/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Walks over mappings that the guest may be changing: the items of an event one by
 * one, each in passes until two agree, and what does not settle is kept for later.
 * What a pass looks at is in mapping.bpf.h.
 */
#ifndef KVMTAINT_MAPPING_PASS_BPF_H
#define KVMTAINT_MAPPING_PASS_BPF_H

#include "carrier_file.bpf.h"

/* kernel/locking/rwsem.c: RWSEM_WRITER_LOCKED */
#define WRITER_LOCKED 1

#define PASSES_MAX    8
#define TRIES_MAX     64

enum mapping_stage {
	NEXT_ITEM,
	MEDIUM,
	FIRST_PASS,
	THREADS,
	MM_BEGIN,
	VMA_LIST,
	MAPLE_NODE,
	MAPLE_LEAF,
	FILE_TREE,
	PASS_END,
	WALK_DONE
};
enum mapping_found {
	FOUND_NOTHING,
	FOUND_FILE, /* or disk, that the process at hand has mapped */
	FOUND_SPLICED, /* file or pipe, that it splices into */
	FOUND_PROCESS,
	FOUND_MEDIUM
};

/* --- what could not be settled ------------------------------------------- */

/* It is settled for these labels; others may have been put meanwhile. */
static __always_inline void unsettled_clear(struct kt_grown *item)
{
	struct kt_object_key key = { .gva = item->carrier };
	struct kt_grown *kept = bpf_map_lookup_elem(&unsettled, &key);
	u64 before;

	if (!kept)
		return;
	before = __sync_fetch_and_and(&kept->labels, ~item->labels);
	if ((before & item->labels) && !(before & ~item->labels))
		__sync_fetch_and_add(&unsettled_count, -1);
}

/* An item that no pass could be trusted with is kept for the next event. */
static __always_inline void unsettled_put(struct event *e, struct kt_grown *item)
{
	struct kt_object_key key = { .gva = item->carrier };
	struct kt_grown *kept;

	if (++item->tries > TRIES_MAX) {
		unsettled_clear(item);
		event_fail(e, KT_LOST_WALK_BOUND, item->carrier);
		return;
	}
	for (int attempt = 0; attempt < 3; attempt++) {
		kept = bpf_map_lookup_elem(&unsettled, &key);
		if (!kept) {
			u64 labels = item->labels;

			item->labels = 0;
			bpf_map_update_elem(&unsettled, &key, item, BPF_NOEXIST);
			item->labels = labels;
			kept = bpf_map_lookup_elem(&unsettled, &key);
			if (!kept)
				continue;
		}
		kept->tries = item->tries;
		if (!__sync_fetch_and_or(&kept->labels, item->labels))
			__sync_fetch_and_add(&unsettled_count, 1);
		if (bpf_map_lookup_elem(&unsettled, &key) == kept)
			return;
	}
	event_fail(e, KT_LOST_WALK_BOUND, item->carrier);
}

static long settle_step(void *map, struct kt_object_key *key, struct kt_grown *kept,
			struct event **at_hand)
{
	struct event *e = *at_hand;
	struct kt_grown *grown;

	if (!kept->labels) {
		bpf_map_delete_elem(&unsettled, key);
		return 0;
	}
	grown = work_new(e, key->gva);
	if (!grown)
		return 1;
	*grown = *kept;
	grown->readers = 0;
	return 0;
}

/* --- passes -------------------------------------------------------------- */

static __always_inline struct kt_grown *mapping_item(struct event *e)
{
	u32 at = e->walk_at;

	return at < e->grown_count ? bpf_map_lookup_elem(&work, &at) : NULL;
}

static __always_inline void mapping_lock(struct event *e, u64 lock, s32 count)
{
	/* PREEMPT_RT has no such word: there the passes alone tell. */
	e->map.lock = count == KT_ABSENT ? 0 : lock + (u32)count;
	if (e->map.lock && (g64(e, e->map.lock) & WRITER_LOCKED))
		e->map.torn = 1;
}

/* A pass over the item at hand begins. */
static __always_inline void pass_begin(struct event *e)
{
	struct mapping_walk *m = &e->map;
	u64 root;

	m->pass++;
	m->sum_before = m->sum;
	m->sum = 0;
	m->torn = 0;
	m->lock = 0;
	m->depth = 0;
	if (m->is_process) {
		m->at = g64(e, m->signal + guest.signal_thread_head);
		m->stage = THREADS;
		return;
	}
	mapping_lock(e, m->mapping, guest.mapping_rwsem);
	root = g64(e, m->mapping + guest.mapping_i_mmap);
	if (root) {
		m->tree[0] = root;
		m->depth = 1;
	}
	m->stage = FILE_TREE;
}

/* What was left unsettled is no member any more: it is gone. */
static __always_inline bool mapping_is_over(struct kt_grown *item)
{
	struct kt_object_key key = { .gva = item->key.ino };
	struct kt_file_key file = item->key;

	if (item->kind == KT_KIND_PROCESS)
		return !bpf_map_lookup_elem(&processes, &key);
	return !bpf_map_lookup_elem(&files, &file);
}

/* Takes the next item that can have mappings. */
__noinline int mapping_next(struct event *e)
{
	struct mapping_walk *m;
	struct kt_grown *item;

	if (!e)
		return 0;
	m = &e->map;
	item = mapping_item(e);
	if (!item) {
		m->stage = WALK_DONE;
		return 0;
	}
	if (e->settling && mapping_is_over(item)) {
		unsettled_clear(item);
		e->walk_at++;
		return 0;
	}
	m->labels = item->labels;
	m->cause = item->cause;
	m->pass = 0;
	m->sum = 0;
	m->quiet = 0;
	m->is_process = item->kind == KT_KIND_PROCESS;
	if (m->is_process) {
		m->task = item->carrier;
		m->signal = item->signal;
		m->mm = g64(e, m->task + guest.task_mm);
		/* The one thread of a process stands at the trap: nothing of it moves. */
		m->quiet = e->hook != KT_HOOK_NONE && m->task == e->task && m->mm &&
			   g32(e, m->mm + guest.mm_users) == 1;
	} else if (item->kind == KT_KIND_FILE) {
		work_at_hand(e, item);
		m->mapping = g64(e, item->carrier + guest.inode_mapping);
	} else {
		e->walk_at++;
		return 0;
	}
	m->stage = m->is_process ? FIRST_PASS : MEDIUM;
	return 0;
}

/* The item's mappings come now. */
static __always_inline void mapping_first_pass(struct event *e)
{
	struct kt_grown *item = mapping_item(e);

	if (!item || guest.mm_owner == KT_ABSENT) {
		event_fail(e, KT_LOST_WALK_BOUND, e->carrier);
		e->map.stage = WALK_DONE;
		return;
	}
	work_at_hand(e, item);
	pass_begin(e);
}

/* What failed for good is said at the end, and does not end the walk. */
static __always_inline void mapping_keep_failure(struct event *e)
{
	if (!e->failed_before) {
		e->failed_before = e->failed;
		e->failed_before_at = e->failed_at;
	}
	e->failed = 0;
}

/* Judges a pass: another one, or the item is done. */
__noinline int pass_end(struct event *e)
{
	struct mapping_walk *m;
	struct kt_grown *item;

	if (!e)
		return 0;
	m = &e->map;
	item = mapping_item(e);
	if (m->lock && (g64(e, m->lock) & WRITER_LOCKED))
		m->torn = 1;
	if (comes_again(e) || !item)
		return 0;
	/* A pointer into nowhere: what was read was on its way out. */
	if (e->failed == KT_LOST_GUEST_MEMORY)
		m->torn = 1;
	else if (e->failed)
		mapping_keep_failure(e);
	e->failed = 0;
	if (!m->torn && (m->quiet || (m->pass > 1 && m->sum == m->sum_before))) {
		if (e->settling)
			unsettled_clear(item);
	} else if (m->pass < PASSES_MAX) {
		pass_begin(e);
		return 0;
	} else {
		unsettled_put(e, item);
	}
	e->walk_at++;
	m->stage = NEXT_ITEM;
	return 0;
}

#endif
