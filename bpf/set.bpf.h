/* SPDX-License-Identifier: GPL-2.0 */
/* The managed sets: how an object enters one, and what a full one means. */
#ifndef KVMTAINT_SET_BPF_H
#define KVMTAINT_SET_BPF_H

#include "record.bpf.h"

#define ENOMEM 12

/*
 * Defines <set>_add(e, key, fresh, add, grown): the entry of key, made from *fresh if
 * there is none, with labels add united in; *grown are those it did not have.
 * NULL: the set is full; or the event comes again, because at kvm_entry, with interrupts
 * off, the host's allocator has a few entries at hand for each CPU (four in a map that
 * is new: prefill_mem_cache() of kernel/bpf/memalloc.c) and gets no more. (Up to 6.3 it is an
 * int that comes back, whose sign is not in the register's upper half.) An entry may be deleted
 * and its memory reused between lookup and OR, so the key must still lead to it afterwards.
 */
#define DEFINE_SET(set, key_type, value_type)                                                      \
	static __always_inline struct kt_managed *set##_add(                                       \
		struct event *e, key_type *key, value_type *fresh, u64 add, u64 *grown)            \
	{                                                                                          \
		value_type *value, *again;                                                         \
                                                                                                   \
		for (int attempt = 0; attempt < 3; attempt++) {                                    \
			value = bpf_map_lookup_elem(&set, key);                                    \
			if (!value) {                                                              \
				if ((int)bpf_map_update_elem(&set, key, fresh, BPF_NOEXIST) ==     \
					    -ENOMEM &&                                             \
				    e->mode == LIVE) {                                             \
					event_fail(e, KT_LOST_HOST_MEMORY, 0);                     \
					return NULL;                                               \
				}                                                                  \
				value = bpf_map_lookup_elem(&set, key);                            \
				if (!value)                                                        \
					continue;                                                  \
			}                                                                          \
			*grown = add & ~__sync_fetch_and_or(&value->managed.labels, add);          \
			again = bpf_map_lookup_elem(&set, key);                                    \
			if (again == value)                                                        \
				return &again->managed;                                            \
		}                                                                                  \
		return NULL;                                                                       \
	}

static __always_inline struct fresh *fresh_entry(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&fresh_entries, &zero);
}

DEFINE_SET(files, struct kt_file_key, struct kt_file)
DEFINE_SET(processes, struct kt_object_key, struct kt_process)
DEFINE_SET(sockets, struct kt_object_key, struct kt_socket)
DEFINE_SET(pipes, struct kt_object_key, struct kt_pipe)
DEFINE_SET(messages, struct kt_object_key, struct kt_message)
DEFINE_SET(keys, struct kt_object_key, struct kt_key)
DEFINE_SET(disks, struct kt_object_key, struct kt_disk)
DEFINE_SET(terminals, struct kt_object_key, struct kt_terminal)
DEFINE_SET(fuse, struct kt_object_key, struct kt_fuse)

/*
 * The set could not take the object that e->record tells of: from now on what is
 * not in it counts as having the labels. One record says so, and explains them.
 * Another vCPU may have found room for the object meanwhile: the caller looks
 * for it after this, the other looks at overflow_labels after it has put it in,
 * so that one of them sees the other.
 */
static __always_inline void set_overflowed(struct event *e, u32 kind, u64 labels, u64 cause)
{
	u32 at = bounded(kind, KT_KINDS_MAX - 1);
	u64 grown = labels & ~__sync_fetch_and_or(&overflow_labels[at], labels);

	if (!grown)
		return;
	e->record.type = KT_RECORD_LOST;
	e->record.lost = KT_LOST_SET_FULL;
	e->record.cause = cause;
	e->record.labels = overflow_labels[at];
	e->record.added = grown;
	overflow_cause[at] = record_emit(e);
}

/*
 * managed is new in its set: it keeps what it counted as having before. Read
 * only now, when who finds the set full finds the entry.
 */
static __always_inline void keep_overflow(struct kt_managed *managed, u32 kind, u64 *grown)
{
	u64 labels = overflow_labels[bounded(kind, KT_KINDS_MAX - 1)];

	if (labels)
		*grown |= labels & ~__sync_fetch_and_or(&managed->labels, labels);
}

/* What e->record tells of leaves its set: managed is its entry there, and no more after this. */
static __always_inline void set_leave(struct event *e, const struct kt_managed *managed, void *set,
				      const void *key)
{
	e->record.labels = managed->labels;
	e->record.previous = managed->cause;
	bpf_map_delete_elem(set, key);
}

#endif
