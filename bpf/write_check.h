/* SPDX-License-Identifier: GPL-2.0 */
/* Whether a word of guest memory may be written: asked by BPF, and tested natively. */
#ifndef KVMTAINT_WRITE_CHECK_H
#define KVMTAINT_WRITE_CHECK_H

#include "kvmtaint.h"

/* include/uapi/linux/kvm.h; whatever other flag a memslot has, it is not plain RAM. */
#define KT_SLOT_LOG_DIRTY (1U << 0)

/*
 * May size bytes at host address hva be written, which a walk over the guest's
 * page tables found in slot? current: the memslots are still those of the walk.
 * enum kt_obstacle; 0: yes.
 */
static inline __u32 kt_write_check(const struct kt_slot *slot, __u64 hva, __u32 size, int current)
{
	__u64 offset = hva - slot->hva, bytes = (__u64)slot->npages << 12;

	if (!current)
		return KT_OBSTACLE_STALE_MEMSLOT;
	if (!hva || offset >= bytes || size > bytes - offset)
		return KT_OBSTACLE_NOT_RAM;
	/* The walk proved this page, not the next. */
	if ((hva & 4095) + size > 4096)
		return KT_OBSTACLE_NOT_RAM;
	if (slot->flags & ~KT_SLOT_LOG_DIRTY)
		return KT_OBSTACLE_READ_ONLY;
	return slot->flags ? KT_OBSTACLE_DIRTY_LOG : KT_OBSTACLE_NONE;
}

#endif
