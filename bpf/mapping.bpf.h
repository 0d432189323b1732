/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared memory: System V, POSIX, memfd, anonymous, and mapped files. All of it
 * is inodes. When a process takes labels, so does every file that it has mapped
 * shared and may write; when a file takes labels, so does every process that has
 * it mapped (also privately: a page that was not copied yet shows later data).
 * Who maps what is not kept here but read from the guest when it counts: a
 * process's VMAs by its mm, a file's by its i_mmap. What a file is stored in is
 * looked for on the same way: it takes the file's labels.
 *
 * What a mapping may become by mprotect(2) counts (VM_MAYWRITE, and any mapping
 * as readable): a hook there would cost every start of a program exits.
 *
 * A mapping that is being made has passed its hook but is not linked. The mapper
 * is published as a reader and, for the other direction, with the file that it
 * maps (kt_reader.fills). Labels are added before either is looked for, and both
 * before the walk: by the time the mapper's entry is gone the mapping is linked.
 *
 * The guest goes on meanwhile on other vCPUs. A pass counts only when nobody held
 * the lock for writing at its start and end, and another pass met the same; what
 * does not settle is walked again before the next event's handler.
 */
#ifndef KVMTAINT_MAPPING_BPF_H
#define KVMTAINT_MAPPING_BPF_H

#include "mapping_pass.bpf.h"

/* include/linux/mm.h, the same from 5.10 to 7.x */
#define VM_SHARED   0x00000008
#define VM_MAYWRITE 0x00000020

/* The maple tree: see user/attach_scan_mm.c. */
#define MAPLE_SIZE	256
#define MAPLE_MASK	255ULL
#define MAPLE_TYPE(p)	((p) >> 3 & 15)
#define MAPLE_LEAF_64	1
#define MAPLE_RANGE_64	2
#define MAPLE_ARANGE_64 3
#define MAPLE_ROOT	2ULL
#define MAPLE_POINTER	3ULL
#define MAPLE_DEPTH	16

/* Steps of one event, a few guest reads each: about two milliseconds, then the VM is stopped. */
#define STEPS_LIVE    (1 << 13)
#define STEPS_STOPPED (1 << 18)

/* --- a process ----------------------------------------------------------- */

/* What a VMA is of, or what a thread fills, becomes the carrier at hand. */
static __always_inline u32 mapping_is_of(struct event *e, u64 file)
{
	u64 inode = g64(e, file + guest.file_inode);
	u32 kind = g16(e, inode + guest.inode_mode) & S_IFMT;

	e->file = file;
	e->dentry = 0;
	if (kind == S_IFREG)
		return carrier_is_inode(e, inode) ? FOUND_FILE : FOUND_NOTHING;
	if (kind == S_IFBLK)
		return carrier_is_disk(e, disk_of_file(e, file)) ? FOUND_FILE : FOUND_NOTHING;
	if (kind == S_IFIFO) {
		carrier_is_pipe(e, g64(e, file + guest.file_private_data),
				g64(e, inode + guest.inode_ino));
		return FOUND_FILE;
	}
	return FOUND_NOTHING;
}

static __always_inline u32 vma_of_process(struct event *e, u64 vma)
{
	u64 flags = g64(e, vma + guest.vma_flags), file;

	e->map.sum += vma;
	if (!(flags & VM_SHARED) || !(flags & VM_MAYWRITE))
		return FOUND_NOTHING;
	file = g64(e, vma + guest.vma_file);
	return file ? mapping_is_of(e, file) : FOUND_NOTHING;
}

/* One thread of the process: what is it about to map, or asleep on the way to splice into? */
__noinline int mapping_thread(struct event *e)
{
	struct kt_reader *reader;
	struct mapping_walk *m;
	u64 task, file = 0;
	u32 found, by = 0;

	if (!e)
		return 0;
	m = &e->map;
	if (m->at == m->signal + guest.signal_thread_head) {
		m->stage = MM_BEGIN;
		return FOUND_NOTHING;
	}
	task = m->at - guest.task_thread_node;
	if (g64(e, task + guest.task_signal) != m->signal) {
		m->torn = 1;
		m->stage = MM_BEGIN;
		return FOUND_NOTHING;
	}
	m->at = g64(e, m->at);
	m->sum += task;
	/* The leader may have left its memory behind. */
	if (!m->mm)
		m->mm = g64(e, task + guest.task_mm);
	reader = reader_of(task);
	if (reader) {
		file = reader->fills;
		by = reader->fills_by;
	}
	if (!file || !thread_may_read(e, task))
		return FOUND_NOTHING;
	found = mapping_is_of(e, file);
	return found == FOUND_FILE && by == KT_FLOW_WRITE ? FOUND_SPLICED : found;
}

/* Where the VMAs begin: a list up to 6.0, a maple tree from 6.1 on. */
static __always_inline void mapping_mm(struct event *e)
{
	struct mapping_walk *m = &e->map;

	m->cursor = 0;
	m->high = ~0ULL;
	if (!m->mm) {
		m->stage = PASS_END;
		return;
	}
	mapping_lock(e, m->mm, guest.mm_lock);
	if (guest.mm_mt == KT_ABSENT) {
		m->at = g64(e, m->mm + guest.mm_mmap);
		m->stage = VMA_LIST;
		return;
	}
	m->at = g64(e, m->mm + guest.mm_mt + guest.maple_root);
	m->stage = (m->at & MAPLE_POINTER) == MAPLE_ROOT ? MAPLE_NODE : PASS_END;
}

/* The list is sorted by address: one that is not, or has a cycle, is torn. */
__noinline int mapping_list(struct event *e)
{
	struct mapping_walk *m;
	u64 vma, start;

	if (!e)
		return 0;
	m = &e->map;
	vma = m->at;
	if (!vma) {
		m->stage = PASS_END;
		return FOUND_NOTHING;
	}
	start = g64(e, vma + guest.vma_start);
	if (start < m->cursor || e->failed) {
		m->torn = 1;
		m->stage = PASS_END;
		return FOUND_NOTHING;
	}
	m->cursor = start + 1;
	m->at = g64(e, vma + guest.vma_next);
	return vma_of_process(e, vma);
}

/* The last address that a slot of the maple node at hand covers. */
static __always_inline u64 maple_last(struct mapping_walk *m, u32 slot)
{
	u64 last;

	if (slot + 1 >= m->slots)
		return m->high;
	last = m->words[bounded(m->pivot_at + slot, NODE_WORDS - 1)];
	/* As mas_logical_pivot(): 0 behind the first is a pivot that was never set. */
	return last || !slot ? last : m->high;
}

/* Brings the node at m->at in; false: it is none, or a dead one (points to itself). */
static __always_inline bool maple_load(struct event *e)
{
	struct mapping_walk *m = &e->map;
	u64 node = m->at & ~MAPLE_MASK;
	u32 type = MAPLE_TYPE(m->at);

	if (type == MAPLE_ARANGE_64) {
		m->pivot_at = (u32)guest.maple_arange_pivot / 8;
		m->slot_at = (u32)guest.maple_arange_slot / 8;
	} else if (type == MAPLE_LEAF_64 || type == MAPLE_RANGE_64) {
		m->pivot_at = (u32)guest.maple_range_pivot / 8;
		m->slot_at = (u32)guest.maple_range_slot / 8;
	} else {
		return false;
	}
	m->slots = m->slot_at - m->pivot_at + 1;
	if (++m->depth > MAPLE_DEPTH || guest_copy(e, node, MAPLE_SIZE) != MAPLE_SIZE)
		return false;
	bpf_probe_read_kernel(m->words, MAPLE_SIZE, e->scratch);
	return (m->words[bounded((u32)guest.maple_parent / 8, NODE_WORDS - 1)] & ~MAPLE_MASK) !=
	       node;
}

/*
 * One step down to the leaf that covers the cursor. The cursor only grows and
 * each way down is short: no cycle of a hostile tree can hold the walk.
 */
__noinline int mapping_node(struct event *e)
{
	struct mapping_walk *m;
	u64 last = 0;
	u32 slot;

	if (!e)
		return 0;
	m = &e->map;
	if (!maple_load(e))
		goto torn;
	for (slot = 0; slot < 16; slot++) {
		last = maple_last(m, slot);
		if (m->cursor <= last || slot + 1 >= m->slots)
			break;
	}
	if (last < m->cursor || last > m->high)
		goto torn;
	if (MAPLE_TYPE(m->at) == MAPLE_LEAF_64) {
		m->slot = slot;
		m->stage = MAPLE_LEAF;
		return 0;
	}
	m->high = last;
	m->at = m->words[bounded(m->slot_at + slot, NODE_WORDS - 1)];
	return 0;
torn:
	m->torn = 1;
	m->stage = PASS_END;
	return 0;
}

/* One slot of a leaf. */
__noinline int mapping_leaf(struct event *e)
{
	struct mapping_walk *m;
	u64 entry, last;

	if (!e)
		return 0;
	m = &e->map;
	last = maple_last(m, m->slot);
	if (last < m->cursor || last > m->high) {
		m->torn = 1;
		m->stage = PASS_END;
		return FOUND_NOTHING;
	}
	entry = m->words[bounded(m->slot_at + m->slot, NODE_WORDS - 1)];
	m->slot++;
	m->cursor = last + 1;
	if (last == ~0ULL) {
		m->stage = PASS_END;
	} else if (last == m->high) {
		m->at = g64(e, m->mm + guest.mm_mt + guest.maple_root);
		m->high = ~0ULL;
		m->depth = 0;
		m->stage = MAPLE_NODE;
	}
	/* XA_ZERO_ENTRY marks where a failed fork stopped copying. */
	if (!entry || entry & MAPLE_POINTER)
		return FOUND_NOTHING;
	return vma_of_process(e, entry);
}

/* --- a file -------------------------------------------------------------- */

/* One node of i_mmap: whose is the VMA? mm->owner goes to m->found. */
__noinline int mapping_tree(struct event *e)
{
	struct mapping_walk *m;
	u64 node, vma, child, mm;

	if (!e)
		return 0;
	m = &e->map;
	if (!m->depth || e->failed) {
		m->stage = PASS_END;
		return FOUND_NOTHING;
	}
	m->depth--;
	node = m->tree[bounded(m->depth, TREE_DEPTH - 1)];
	for (u32 side = 0; side < 2; side++) {
		child = g64(e, node + (side ? guest.rb_left : guest.rb_right));
		if (!child)
			continue;
		if (m->depth >= TREE_DEPTH) {
			m->torn = 1;
			m->stage = PASS_END;
			return FOUND_NOTHING;
		}
		m->tree[bounded(m->depth, TREE_DEPTH - 1)] = child;
		m->depth++;
	}
	vma = node - guest.vma_rb;
	m->sum += vma;
	mm = g64(e, vma + guest.vma_mm);
	m->found = g64(e, mm + guest.mm_owner);
	return m->found && !e->failed ? FOUND_PROCESS : FOUND_NOTHING;
}

/* --- what a file is stored in -------------------------------------------- */

/* The disk or image under the file at hand becomes the carrier at hand, the file e->given. */
__noinline int mapping_medium(struct event *e)
{
	struct kt_object *given;
	struct kt_grown *item;

	if (!e)
		return 0;
	e->map.stage = FIRST_PASS;
	item = mapping_item(e);
	if (!item)
		return FOUND_NOTHING;
	given = &e->given;
	__builtin_memset(given, 0, sizeof(*given));
	given->kind = KT_KIND_FILE;
	given->gva = item->carrier;
	given->dev = inode_dev(e, item->carrier);
	given->ino = item->key.ino;
	given->generation = item->key.generation;
	e->content_written = item->written;
	if (carrier_is_medium(e, g64(e, g64(e, item->carrier + guest.inode_sb) + guest.sb_bdev)))
		return FOUND_MEDIUM;
	return FOUND_NOTHING;
}

/* --- all of it ----------------------------------------------------------- */

static __always_inline u32 mapping_move(struct event *e)
{
	switch (e->map.stage) {
	case NEXT_ITEM:
		mapping_next(e);
		break;
	case MEDIUM:
		return mapping_medium(e);
	case FIRST_PASS:
		mapping_first_pass(e);
		break;
	case THREADS:
		return mapping_thread(e);
	case MM_BEGIN:
		mapping_mm(e);
		break;
	case VMA_LIST:
		return mapping_list(e);
	case MAPLE_NODE:
		mapping_node(e);
		break;
	case MAPLE_LEAF:
		return mapping_leaf(e);
	case FILE_TREE:
		return mapping_tree(e);
	case PASS_END:
		pass_end(e);
		break;
	}
	return FOUND_NOTHING;
}

static long mapping_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u32 found = mapping_move(e);

	if (comes_again(e) || e->map.stage == WALK_DONE)
		return 1;
	/* What is on its way out is not followed, but walked again. */
	if (e->failed == KT_LOST_GUEST_MEMORY) {
		e->map.stage = PASS_END;
		return 0;
	}
	e->cause = e->map.cause;
	e->flow = found == FOUND_MEDIUM	   ? KT_FLOW_STORED
		  : found == FOUND_SPLICED ? KT_FLOW_WRITE
					   : KT_FLOW_MMAP;
	if (found == FOUND_PROCESS) {
		process_join(e, e->map.found, e->map.labels, FROM_CARRIER);
	} else if (found == FOUND_FILE || found == FOUND_SPLICED) {
		carrier_join(e, e->map.labels, BY_MAPPER);
		if (e->carrier_kind != KT_KIND_PIPE)
			storage_leak(e, e->map.task, e->map.labels, BY_MAPPER);
		/* What is stored in a file on FUSE is written back to its server. */
		e->cause = e->map.cause;
		if (e->fuse && carrier_is_fuse(e, fuse_of_super(e, e->fuse)))
			carrier_join(e, e->map.labels, BY_MAPPER);
	} else if (found == FOUND_MEDIUM) {
		carrier_join(e, e->map.labels, BY_CONTENT);
		if (e->content_written)
			storage_leak(e, actor_task(e), e->map.labels, BY_CONTENT);
	}
	return 0;
}

/*
 * Walks the mappings of all that grew. One that takes too long with a vCPU
 * waiting is done again with the VM stopped.
 */
static __always_inline void mappings_walk(struct event *e)
{
	u32 steps = e->mode == LIVE ? STEPS_LIVE : STEPS_STOPPED;

	if (e->failed && !comes_again(e))
		mapping_keep_failure(e);
	e->map.stage = NEXT_ITEM;
	walk(e, steps, mapping_step);
	if (e->map.stage == WALK_DONE || comes_again(e))
		return;
	if (e->mode == LIVE)
		event_fail(e, KT_LOST_HOST_MEMORY, e->slot.hva);
	else
		event_fail(e, KT_LOST_WALK_BOUND, e->walk_at);
	e->walk_at = e->grown_count;
}

/*
 * userfaultfd copies into the memory of another process: mcopy_atomic(dst_mm,
 * dst_start, src_start, len, mmap_changing, mode), mfill_atomic_copy() with the
 * same arguments from 6.4 on, and (ctx, dst_start, src_start, len, flags) from
 * 6.9 on (commit 867a43a34ff8). Only the older two have a pointer as the fifth.
 */
static __always_inline void on_uffd_copy(struct event *e)
{
	u64 mm = e->args[0], labels;

	if ((s64)e->args[4] >= 0)
		mm = g64(e, mm + guest.uffd_mm);
	if (mm == actor_mm(e) || guest.mm_owner == KT_ABSENT)
		return;
	labels = actor_labels(e);
	e->flow = KT_FLOW_USERFAULT;
	process_join(e, g64(e, mm + guest.mm_owner), labels, FROM_ACTOR);
}

#endif
