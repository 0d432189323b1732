/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest memory: guest virtual -> guest physical -> host virtual -> bytes.
 *
 * Two roads lead to a page. The first is the VMM's own mapping, read with
 * bpf_probe_read_user(). It fails where the host marked the page for NUMA
 * balancing, or where the guest's PKRU is loaded and denies key 0. The second
 * walks the VMM's page tables to the host's direct map and asks no permission
 * of either. When both fail the page is not there, and the slow path runs the
 * event again once user space has brought it in.
 */
#ifndef KVMTAINT_GUEST_BPF_H
#define KVMTAINT_GUEST_BPF_H

#include "state.bpf.h"

#define PAGE_SHIFT	12
#define PAGE_SIZE	(1ULL << PAGE_SHIFT)
#define PTE_PFN		0x000ffffffffff000ULL
#define PTE_PRESENT	(1ULL << 0)
#define PTE_HUGE	(1ULL << 7)
#define PTE_PROTNONE	(1ULL << 8)
#define MEMSLOT_INVALID (1UL << 16) /* KVM_MEMSLOT_INVALID: on its way out */

/* --- memslots ------------------------------------------------------------ */

/* One step of an in-order walk over kvm_memslots.gfn_tree into the snapshot. */
static long slot_walk_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	struct rb_node *node = e->slot_node;
	struct kvm_memory_slot *from;
	struct kt_memory *to;
	u32 zero = 0, at;

	if (node) {
		e->slot_stack[bounded(e->slot_depth, SLOT_STACK - 1)] = node;
		if (++e->slot_depth > SLOT_STACK)
			return 1;
		e->slot_node = BPF_CORE_READ(node, rb_left);
		return 0;
	}
	if (!e->slot_depth)
		return 1;
	e->slot_depth--;
	node = e->slot_stack[bounded(e->slot_depth, SLOT_STACK - 1)];
	e->slot_node = BPF_CORE_READ(node, rb_right);
	from = (void *)node - e->slot_offset;
	if (BPF_CORE_READ(from, flags) & MEMSLOT_INVALID)
		return 0;
	to = bpf_map_lookup_elem(&memory, &zero);
	if (!to)
		return 1;
	at = to->count;
	if (at >= KT_SLOTS_MAX) {
		to->overflow = 1;
		return 1;
	}
	to->slots[at].gfn = BPF_CORE_READ(from, base_gfn);
	to->slots[at].npages = BPF_CORE_READ(from, npages);
	to->slots[at].hva = BPF_CORE_READ(from, userspace_addr);
	to->slots[at].flags = BPF_CORE_READ(from, flags);
	to->count = at + 1;
	return 0;
}

/* Takes this CPU's snapshot again when KVM's memslots have changed since. */
__noinline int memory_refresh(struct event *e)
{
	struct kvm *kvm = (void *)vm_address;
	struct kvm_memslots *slots;
	struct kt_memory *to;
	u32 zero = 0, index;
	u64 generation;

	if (!e || !vm_address)
		return 0;
	to = bpf_map_lookup_elem(&memory, &zero);
	if (!to)
		return 0;
	slots = BPF_CORE_READ(kvm, memslots[0]);
	generation = BPF_CORE_READ(slots, generation);
	if (to->count && to->generation == generation)
		return 0;
	count(KT_COUNT_RESCANS);
	index = BPF_CORE_READ(slots, node_idx) & 1;
	to->count = 0;
	to->overflow = 0;
	e->slot_offset = bpf_core_field_offset(struct kvm_memory_slot, gfn_node) +
			 index * bpf_core_type_size(struct rb_node);
	e->slot_depth = 0;
	e->slot_node = BPF_CORE_READ(slots, gfn_tree.rb_node);
	walk(e, 2 * KT_SLOTS_MAX + 2, slot_walk_step);
	/* KVM was at it while we read: what we have may be torn. */
	if (BPF_CORE_READ(kvm, memslots[0]) != slots ||
	    BPF_CORE_READ(slots, generation) != generation) {
		to->count = 0;
		event_fail(e, KT_LOST_HOST_MEMORY, 0);
		return 0;
	}
	to->generation = generation;
	return 0;
}

/*
 * Host virtual address of a guest physical one; 0: not RAM. The search starts at a
 * zero from memory: of a constant the verifier would follow every path of it, in
 * each program anew.
 */
__noinline u64 gpa_to_hva(struct event *e, u64 gpa)
{
	u64 gfn = gpa >> PAGE_SHIFT;
	struct kt_memory *from;
	u32 zero = 0, at, next;

	if (!e)
		return 0;
	if (gfn - e->slot.gfn < e->slot.npages)
		goto found;
	from = bpf_map_lookup_elem(&memory, &zero);
	if (!from)
		return 0;
	at = bounded(from->first, KT_SLOTS_MAX - 1);
	for (u32 step = KT_SLOTS_MAX / 2; step; step /= 2) {
		next = bounded(at + step, KT_SLOTS_MAX - 1);
		if (next < from->count && from->slots[next].gfn <= gfn)
			at = next;
	}
	if (at >= from->count || gfn - from->slots[at].gfn >= from->slots[at].npages)
		return 0;
	e->slot = from->slots[at];
found:
	return e->slot.hva + ((gfn - e->slot.gfn) << PAGE_SHIFT) + (gpa & (PAGE_SIZE - 1));
}

/*
 * Whether this CPU's snapshot still is what KVM has. Every change of a memslot,
 * its flags too, makes another generation (kvm_swap_active_memslots()).
 */
__noinline int memory_is_current(struct event *e)
{
	struct kvm *kvm = (void *)vm_address;
	struct kt_memory *snapshot;
	u32 zero = 0;
	u64 now;

	if (!e)
		return 0;
	snapshot = bpf_map_lookup_elem(&memory, &zero);
	if (!snapshot)
		return 0;
	now = vm_address ? BPF_CORE_READ(kvm, memslots[0], generation) : native_generation;
	return snapshot->generation == now;
}

/* --- host memory --------------------------------------------------------- */

/*
 * Where the host's own direct map has the byte at hva of the VMM; 0: the page
 * is not in memory. A PROT_NONE entry keeps its frame number, inverted against
 * L1TF since 4.19 (commit 6b28baca9b1f).
 */
__noinline u64 host_direct(u64 hva)
{
	struct kvm *kvm = (void *)vm_address;
	u64 table, entry, mask, host_direct_map = 0;
	u32 shift;

	if (!host_direct_map_symbol || !vm_address ||
	    bpf_probe_read_kernel(&host_direct_map, 8, (void *)host_direct_map_symbol))
		return 0;
	table = (u64)BPF_CORE_READ(kvm, mm, pgd);
	for (int level = 5; level >= 1; level--) {
		if (level > (int)host_levels)
			continue;
		shift = PAGE_SHIFT + 9 * (level - 1);
		if (bpf_probe_read_kernel(&entry, sizeof(entry),
					  (void *)(table + ((hva >> shift) & 511) * 8)))
			return 0;
		if (!(entry & PTE_PRESENT)) {
			if (!(entry & PTE_PROTNONE))
				return 0;
			entry = (~entry & PTE_PFN) | (entry & ~PTE_PFN);
		}
		mask = (1ULL << shift) - 1;
		if (level == 1 || (level <= 3 && (entry & PTE_HUGE)))
			return host_direct_map + ((entry & PTE_PFN & ~mask) | (hva & mask));
		table = host_direct_map + (entry & PTE_PFN);
	}
	return 0;
}

/* Reads size (1 to 8) bytes of the VMM at hva; on failure 0 and e->failed. */
static __always_inline u64 host_read(struct event *e, u64 hva, u32 size)
{
	u64 value = 0, direct;

	if (e->mode != REPLAY && !bpf_probe_read_user(&value, size, (void *)hva))
		return value;
	value = 0;
	direct = host_direct(hva);
	if (direct && !bpf_probe_read_kernel(&value, size, (void *)direct)) {
		count(KT_COUNT_SECOND_ROAD);
		return value;
	}
	count(KT_COUNT_HOST_FAULT);
	event_fail(e, KT_LOST_HOST_MEMORY, hva);
	return 0;
}

/* --- guest virtual memory ------------------------------------------------ */

/*
 * Host virtual address of a guest kernel address; 0: not mapped, or not RAM. A
 * guest user address is one of the acting process, once a handler that reads its
 * arguments there has set e->user_pgd.
 */
static __always_inline u64 guest_hva(struct event *e, u64 gva)
{
	u64 gpa, entry, mask, hva;
	u32 shift;

	if (gva - guest.direct_map < guest.direct_map_size)
		return gpa_to_hva(e, gva - guest.direct_map);
	if (gva - guest.text_gva < guest.image_size)
		return gpa_to_hva(e, gva - guest.text_gva + guest.text_gpa);
	entry = guest.pgd_gpa;
	if (system_calls && (s64)gva >= 0) {
		entry = e->user_pgd;
		if (!entry)
			return 0;
	}
	for (int level = 5; level >= 1; level--) {
		if (level > (int)guest.levels)
			continue;
		shift = PAGE_SHIFT + 9 * (level - 1);
		hva = gpa_to_hva(e, (entry & PTE_PFN) + ((gva >> shift) & 511) * 8);
		if (!hva)
			return 0;
		entry = host_read(e, hva, 8);
		if (!(entry & PTE_PRESENT))
			return 0;
		mask = (1ULL << shift) - 1;
		if (level == 1 || (level <= 3 && (entry & PTE_HUGE))) {
			gpa = (entry & PTE_PFN & ~mask) | (gva & mask);
			return gpa_to_hva(e, gpa);
		}
	}
	return 0;
}

/* The same, out of line. e->slot is the memslot that it lies in. */
__noinline u64 guest_where(struct event *e, u64 gva)
{
	return e ? guest_hva(e, gva) : 0;
}

/*
 * Reads size (1, 2, 4 or 8) bytes at a guest kernel address. On failure 0, and
 * e->failed says why: a handler tests it once, when it is done.
 */
__noinline u64 guest_read(struct event *e, u64 gva, u32 size)
{
	u64 hva;

	if (!e || size > 8)
		return 0;
	hva = guest_hva(e, gva);
	if (!hva) {
		count(KT_COUNT_GUEST_FAULT);
		event_fail(e, KT_LOST_GUEST_MEMORY, gva);
		return 0;
	}
	return host_read(e, hva, size);
}

static __always_inline u64 g64(struct event *e, u64 gva)
{
	return guest_read(e, gva, 8);
}

static __always_inline u32 g32(struct event *e, u64 gva)
{
	return guest_read(e, gva, 4);
}

static __always_inline u16 g16(struct event *e, u64 gva)
{
	return guest_read(e, gva, 2);
}

static __always_inline u8 g8(struct event *e, u64 gva)
{
	return guest_read(e, gva, 1);
}

/* False: these bytes do not follow each other in the host, or a page is absent. */
__noinline int glance_at_once(struct event *e, u64 gva, u32 len)
{
	u64 hva, last = gva + len - 1;

	if (!e || len > GLANCE_SIZE)
		return 0;
	hva = e->mode == REPLAY ? 0 : guest_hva(e, gva);
	if (gva >> PAGE_SHIFT != last >> PAGE_SHIFT &&
	    (last - guest.direct_map >= guest.direct_map_size ||
	     ((last - guest.direct_map) >> PAGE_SHIFT) - e->slot.gfn >= e->slot.npages))
		hva = 0;
	return hva &&
	       !bpf_probe_read_user(e->glance, bounded(len, 2 * GLANCE_SIZE - 1), (void *)hva);
}

__noinline int glance_by_words(struct event *e, u64 gva, u32 len)
{
	if (!e)
		return 0;
	for (u32 i = 0; i < GLANCE_SIZE / 8; i++) {
		if (8 * i >= len)
			break;
		e->glance[i] = guest_read(e, gva + 8 * i, 8);
		/* check_cfg() of 6.1 takes no loop that falls into its head from a call. */
		asm volatile("goto +0");
	}
	return 0;
}

/*
 * Takes len bytes of an object (a multiple of 8, at most GLANCE_SIZE) into e->glance: a read
 * costs about the same for 8 bytes and for all of these.
 */
static __always_inline void guest_glance(struct event *e, u64 gva, u32 len)
{
	if (!glance_at_once(e, gva, len))
		glance_by_words(e, gva, len);
}

/* A field of the object at gva, of which len bytes are in e->glance. */
static __always_inline u64 glanced(struct event *e, u64 gva, s32 offset, u32 size, u32 len)
{
	u64 word;

	if (offset < 0 || offset + size > len)
		return guest_read(e, gva + offset, size);
	word = e->glance[bounded(offset / 8, GLANCE_SIZE / 8 - 1)] >> 8 * (offset % 8);
	return size == 8 ? word : word & ((1ULL << 8 * size) - 1);
}

static __always_inline u32 page_left(u64 gva)
{
	return PAGE_SIZE - (gva & (PAGE_SIZE - 1));
}

/*
 * Copies to e->scratch what lies at gva: from byte at on, up to byte len or the end of
 * the page. Returns the number copied, 0 on failure.
 */
static __always_inline u32 copy_of_page(struct event *e, u64 gva, u32 at, u32 len)
{
	u64 hva = guest_hva(e, gva + at), direct;
	u32 part = page_left(gva + at);
	void *to = e->scratch + bounded(at, SCRATCH_SIZE - 1);

	part = bounded(part < len - at ? part : len - at, 2 * SCRATCH_SIZE - 1);
	if (!hva) {
		count(KT_COUNT_GUEST_FAULT);
		event_fail(e, KT_LOST_GUEST_MEMORY, gva);
		return 0;
	}
	if (e->mode != REPLAY && !bpf_probe_read_user(to, part, (void *)hva))
		return part;
	direct = host_direct(hva);
	if (direct && !bpf_probe_read_kernel(to, part, (void *)direct)) {
		count(KT_COUNT_SECOND_ROAD);
		return part;
	}
	count(KT_COUNT_HOST_FAULT);
	event_fail(e, KT_LOST_HOST_MEMORY, hva);
	return 0;
}

/*
 * Copies len bytes (at most SCRATCH_SIZE) to e->scratch. Returns len, 0 on failure:
 * then the event has failed.
 */
__noinline u32 guest_copy(struct event *e, u64 gva, u32 len)
{
	u32 at;

	if (!e)
		return 0;
	if (len > SCRATCH_SIZE)
		len = SCRATCH_SIZE;
	at = copy_of_page(e, gva, 0, len);
	if (!at)
		return 0;
	return at >= len || copy_of_page(e, gva, at, len) ? len : 0;
}

/*
 * Copies a string of the guest to to, cut to size - 1 bytes. Returns its length. The
 * page behind the one that it begins in is read only if it does not end there.
 */
static __always_inline u32 guest_string(struct event *e, u64 gva, char *to, u32 size)
{
	u32 len = size - 1;
	long copied = 0;

	if (!gva)
		return 0;
	if (page_left(gva) < len)
		len = page_left(gva);
	for (u32 i = 0; i < 2; i++) {
		if (!guest_copy(e, gva, len))
			return 0;
		e->scratch[bounded(len, SCRATCH_SIZE - 1)] = 0;
		copied = bpf_probe_read_kernel_str(to, size, e->scratch);
		if (copied <= len || len == size - 1)
			break;
		len = size - 1;
	}
	return copied > 0 ? copied - 1 : 0;
}

#endif
