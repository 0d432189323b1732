/* SPDX-License-Identifier: GPL-2.0 */
/* Behind the numbers that system calls name: processes, and System V queues and memory. */
#ifndef KVMTAINT_SYSCALL_LOOKUP_BPF_H
#define KVMTAINT_SYSCALL_LOOKUP_BPF_H

#include "carrier.bpf.h"

/* include/linux/xarray.h: XA_CHUNK_SHIFT where BASE_SMALL is off; the mark of a node's pointer. */
#define XA_SHIFT    6
#define XA_NODE	    2ULL
#define XA_MARKS    3ULL
#define XA_LEVELS   11

#define IPC_MSG_IDS 1 /* ipc/util.h */
#define IPC_SHM_IDS 2
/* CONFIG: IPCMNI_SHIFT, and with the boot option ipcmni_extend: index of an id. */
#define IPCMNI_SHIFT	    15
#define IPCMNI_EXTEND_SHIFT 24

/* The entry with this index in a guest's xarray; 0: none. */
__noinline u64 xarray_load(struct event *e, u64 head, u64 index)
{
	u64 entry, node;
	u8 shift;

	if (!e)
		return 0;
	entry = g64(e, head);
	if ((entry & XA_MARKS) != XA_NODE)
		return index ? 0 : entry;
	for (u32 level = 0; level < XA_LEVELS; level++) {
		node = entry - XA_NODE;
		shift = g8(e, node + guest.xa_node_shift);
		/* The root covers no more than this. */
		if (!level && shift + XA_SHIFT < 64 && index >> (shift + XA_SHIFT))
			return 0;
		if (shift >= 64 || e->failed)
			return 0;
		entry = g64(e, node + guest.xa_node_slots + (index >> shift & 63) * 8);
		if ((entry & XA_MARKS) != XA_NODE || entry < 4096)
			return entry & XA_MARKS ? 0 : entry;
	}
	return 0;
}

/* The thread with this number in the actor's PID namespace; 0: none. */
static __always_inline u64 task_of_pid(struct event *e, u32 nr)
{
	u64 pid = g64(e, actor_task(e) + guest.task_thread_pid), ns, task;

	ns = g64(e, pid + guest.pid_numbers + (u64)g32(e, pid + guest.pid_level) * guest.upid_size +
			    guest.upid_ns);
	pid = xarray_load(e, ns + guest.pid_ns_idr, nr);
	if (!pid || guest.pid_tasks == KT_ABSENT || guest.task_pid_links == KT_ABSENT)
		return 0;
	/* The first list is of the tasks that it is the thread id of. */
	task = g64(e, pid + guest.pid_tasks);
	return task ? task - guest.task_pid_links : 0;
}

static __always_inline u64 ipc_namespace(struct event *e)
{
	return g64(e, g64(e, actor_task(e) + guest.task_nsproxy) + guest.nsproxy_ipc_ns);
}

/* The struct file of the System V shared memory with this id; 0: none. */
static __always_inline u64 shm_file_of(struct event *e, u32 id)
{
	u64 ids, found;

	if (guest.shm_file == KT_ABSENT || guest.ipc_ids_idr == KT_ABSENT)
		return 0;
	ids = ipc_namespace(e) + guest.ipc_ns_ids + (u64)IPC_SHM_IDS * guest.ipc_ids_size;
	found = xarray_load(e, ids + guest.ipc_ids_idr, id & ((1U << IPCMNI_SHIFT) - 1));
	if (!found || g32(e, found + guest.ipc_perm_id) != id)
		found = xarray_load(e, ids + guest.ipc_ids_idr,
				    id & ((1U << IPCMNI_EXTEND_SHIFT) - 1));
	return found ? g64(e, found + guest.shm_file) : 0;
}

/*
 * A System V queue becomes the carrier at hand. It is known by its id, part of
 * which is a sequence number: no other queue of the namespace gets it soon.
 */
static __always_inline void carrier_is_queue(struct event *e, u32 id)
{
	if (guest.nsproxy_ipc_ns == KT_ABSENT)
		return;
	carrier_is_object(e, KT_KIND_MESSAGE, ipc_namespace(e) ^ (u64)id << 8);
	carrier_tag(e, 0);
}

#endif
