// SPDX-License-Identifier: GPL-2.0
/* The file-backed mappings of one address space. */
#include "attach_scan_internal.h"

#include <errno.h>

#define VMAS_MAX       (1U << 20) /* vm.max_map_count defaults to 65530 */
#define VMA_OFFSET_MAX 1024U /* vm_area_struct has about 200 bytes */

/* include/linux/mm.h */
#define VM_WRITE    0x00000002U
#define VM_SHARED   0x00000008U
#define VM_MAYWRITE 0x00000020U

/*
 * The maple tree: lib/maple_tree.c, "Interesting implementation details" (6.1,
 * commit 54a611b60590). A node has 256 bytes and is aligned to them; the low
 * byte of a pointer to it holds its type in bits 3 to 6, and bit 1 when it is
 * the root. A node points back to its parent; bit 0 there: it is the root. A
 * dead node points to itself. pivot[i] is the last index of slot[i].
 */
#define NODE_SIZE    256U
#define NODE_WORDS   (NODE_SIZE / 8)
#define NODE_MASK    255ULL
#define TYPE_SHIFT   3
#define TYPE_MASK    15U
#define POINTER_MASK 3ULL /* of an entry: 0 for a VMA, else a value or xa_mk_internal() */
#define ROOT_NODE    2ULL
#define ROOT_PARENT  1ULL
#define DEPTH_MAX    16 /* 5 levels hold more VMAs than a process may have */

enum { MAPLE_DENSE, MAPLE_LEAF_64, MAPLE_RANGE_64, MAPLE_ARANGE_64 };

struct mm_walk {
	struct attach_walk *walk;
	uint64_t mm;
	uint32_t vmas;
};

/* Where a node of one type has its pivots and slots, in words. */
struct node_layout {
	uint32_t pivot, slot, slots;
};

/* False: the offsets do not fit a node. There is one pivot less than slots, but in a short node. */
static bool node_layout(int32_t pivot, int32_t slot, struct node_layout *out)
{
	if (pivot < 0 || pivot % 8 || slot % 8 || slot <= pivot || slot >= (int32_t)NODE_SIZE)
		return false;
	out->pivot = pivot / 8;
	out->slot = slot / 8;
	out->slots = out->slot - out->pivot + 1;
	return out->slot + out->slots <= NODE_WORDS;
}

static bool layout_of(const struct kt_guest *g, unsigned int type, struct node_layout *out)
{
	switch (type) {
	case MAPLE_LEAF_64:
	case MAPLE_RANGE_64:
		return node_layout(g->maple_range_pivot, g->maple_range_slot, out);
	case MAPLE_ARANGE_64:
		return node_layout(g->maple_arange_pivot, g->maple_arange_slot, out);
	default:
		return false; /* dense: not in use up to 7.x, and never for VMAs */
	}
}

bool attach_mm_layout(struct attach_walk *walk)
{
	const struct kt_guest *g = walk->guest;
	const int32_t offsets[] = { g->vma_start, g->vma_mm,   g->vma_flags,
				    g->vma_file,  g->vma_next, g->vma_prev };
	struct node_layout unused;
	bool is_list = g->mm_mt == KT_ABSENT;

	if (!span_over(&walk->vma_span, offsets, is_list ? 6 : 4, VMA_OFFSET_MAX))
		return false;
	if (is_list)
		return g->mm_mmap != KT_ABSENT;
	return g->maple_root >= 0 && g->maple_node_size == (int32_t)NODE_SIZE &&
	       g->maple_parent >= 0 && g->maple_parent < (int32_t)NODE_SIZE &&
	       g->maple_parent % 8 == 0 && layout_of(g, MAPLE_RANGE_64, &unused) &&
	       layout_of(g, MAPLE_ARANGE_64, &unused);
}

/* Reads a VMA to bytes (of the span); false also when it is not of this mm (any more). */
static bool read_vma(struct mm_walk *m, uint64_t vma, char *bytes)
{
	const struct span *span = &m->walk->vma_span;

	return m->vmas++ < VMAS_MAX && attach_read(m->walk, vma + span->from, bytes, span->len) &&
	       span_u64(span, bytes, m->walk->guest->vma_mm) == m->mm;
}

/*
 * VM_MAYWRITE counts as writable: mprotect(2) can make such a mapping writable,
 * and no hook of ours sees that. A shared mapping of a file that was opened for
 * reading alone has neither flag (do_mmap() takes VM_SHARED away as well).
 */
static bool report_vma(struct mm_walk *m, const char *bytes)
{
	const struct span *span = &m->walk->vma_span;
	uint64_t file = span_u64(span, bytes, m->walk->guest->vma_file);
	uint64_t flags = span_u64(span, bytes, m->walk->guest->vma_flags);

	if (!file)
		return true;
	m->walk->mappings++;
	return attach_report(m->walk, file,
			     (flags & VM_SHARED) && (flags & (VM_WRITE | VM_MAYWRITE)));
}

/* Up to 6.0: mm->mmap, sorted by address. */
static bool walk_list(struct mm_walk *m)
{
	const struct span *span = &m->walk->vma_span;
	const struct kt_guest *g = m->walk->guest;
	char bytes[VMA_OFFSET_MAX + 16];
	uint64_t vma, before = 0, start, last = 0;
	bool whole = true;

	if (!attach_read(m->walk, m->mm + g->mm_mmap, &vma, sizeof(vma)))
		return false;
	while (vma) {
		if (!read_vma(m, vma, bytes))
			return false;
		start = span_u64(span, bytes, g->vma_start);
		if (span_u64(span, bytes, g->vma_prev) != before || (before && start <= last))
			return false;
		if (!report_vma(m, bytes))
			whole = false;
		before = vma;
		last = start;
		vma = span_u64(span, bytes, g->vma_next);
	}
	return whole;
}

static bool walk_node(struct mm_walk *m, uint64_t pointer, uint64_t parent, uint64_t low,
		      uint64_t high, unsigned int depth);

/* What slot holds: nothing, a VMA of a leaf, or a node below. */
static bool walk_slot(struct mm_walk *m, bool leaf, uint64_t entry, uint64_t node, uint64_t low,
		      uint64_t high, unsigned int depth)
{
	char bytes[VMA_OFFSET_MAX + 16];

	if (!leaf)
		return walk_node(m, entry, node, low, high, depth + 1);
	/* XA_ZERO_ENTRY marks where a failed fork stopped copying (6.8, commit d24062914837). */
	if (!entry || entry & POINTER_MASK)
		return true;
	return read_vma(m, entry, bytes) && report_vma(m, bytes);
}

/*
 * The node behind an encoded pointer, for the indexes low to high; parent 0: the
 * root. A walk visits no node twice, so that a hostile tree ends. What lies
 * beside a torn part is visited all the same.
 */
static bool walk_node(struct mm_walk *m, uint64_t pointer, uint64_t parent, uint64_t low,
		      uint64_t high, unsigned int depth)
{
	uint64_t node = pointer & ~NODE_MASK, word[NODE_WORDS], up;
	unsigned int type = pointer >> TYPE_SHIFT & TYPE_MASK;
	struct node_layout layout;
	bool whole = true;
	int rc;

	if (depth == DEPTH_MAX || !node || !layout_of(m->walk->guest, type, &layout))
		return false;
	rc = pair_set_add(&m->walk->nodes, node, 0);
	if (rc < 0)
		m->walk->end = rc;
	if (rc != 1 || !attach_read(m->walk, node, word, sizeof(word)))
		return false;
	up = word[m->walk->guest->maple_parent / 8];
	if (parent ? up & ROOT_PARENT || (up & ~NODE_MASK) != parent : !(up & ROOT_PARENT))
		return false;
	for (uint32_t i = 0; i < layout.slots; i++) {
		uint64_t last = i + 1 < layout.slots ? word[layout.pivot + i] : high;

		/* As mas_logical_pivot(): 0 behind the first is a pivot that was never set. */
		if (!last && i)
			last = high;
		if (last < low || last > high)
			return false;
		if (!walk_slot(m, type == MAPLE_LEAF_64, word[layout.slot + i], node, low, last,
			       depth))
			whole = false;
		if (last == high)
			break;
		low = last + 1;
	}
	return whole;
}

/* From 6.1: mm->mm_mt. */
static bool walk_tree(struct mm_walk *m)
{
	const struct kt_guest *g = m->walk->guest;
	uint64_t root;

	if (!attach_read(m->walk, m->mm + g->mm_mt + g->maple_root, &root, sizeof(root)))
		return false;
	if (!root)
		return true;
	/* A single entry in place of a root is for index 0 alone: no VMA. */
	if ((root & POINTER_MASK) != ROOT_NODE)
		return false;
	pair_set_clear(&m->walk->nodes);
	return walk_node(m, root, 0, 0, UINT64_MAX, 0);
}

/*
 * map_count tells whether something came or went under the walk: outside RCU
 * mode (a process of one thread) maple nodes are changed in place.
 */
bool attach_mm(struct attach_walk *walk, uint64_t mm)
{
	struct mm_walk m = { .walk = walk, .mm = mm };
	uint64_t at = mm + walk->guest->mm_map_count;
	uint32_t before, after;
	bool whole;

	if (!attach_read(walk, at, &before, sizeof(before)))
		return false;
	whole = walk->guest->mm_mt == KT_ABSENT ? walk_list(&m) : walk_tree(&m);
	return whole && attach_read(walk, at, &after, sizeof(after)) && before == m.vmas &&
	       after == m.vmas;
}
