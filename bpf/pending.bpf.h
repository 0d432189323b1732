/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Readers that race with writers.
 *
 * A read hook runs before the data is copied, and before the reader sleeps: a
 * writer on another vCPU may label the carrier in between. So a reader
 * publishes (thread, carrier), then tests the carrier's labels; who adds labels
 * to a carrier then looks for its readers. Each does a full barrier in the
 * middle (a locked instruction), so at least one of the two sees the other.
 *
 * Threads have slots in an array, so that a scan goes through those in use, in
 * place: a walk over a hash map next to deletions may lose its way.
 *
 * An entry lives until the thread's next read or its exit, longer than the
 * read itself. That errs on the safe side; a thread that sleeps in a system
 * call that reads nothing is told apart when it is found.
 */
#ifndef KVMTAINT_PENDING_BPF_H
#define KVMTAINT_PENDING_BPF_H

#define SCANS_MAX 16 /* of one program run; what is left takes another */

/* A slot for a thread that reads for the first time; NULL: all are taken. */
static __always_inline struct kt_reader *reader_new(struct kt_object_key *task)
{
	struct kt_reader *reader;
	u32 slot;

	if (bpf_map_pop_elem(&free_slots, &slot))
		slot = __sync_fetch_and_add(&slots_used, 1);
	reader = bpf_map_lookup_elem(&readers, &slot);
	if (!reader) {
		__sync_fetch_and_add(&slots_used, -1);
		return NULL;
	}
	if (bpf_map_update_elem(&reader_slots, task, &slot, BPF_NOEXIST)) {
		bpf_map_push_elem(&free_slots, &slot, BPF_ANY);
		return NULL;
	}
	reader->task = task->gva;
	return reader;
}

/* The slot now holds carrier (0: none), and the buckets know. */
static __always_inline void reader_reads(struct kt_reader *reader, u64 carrier)
{
	s32 *bucket = carrier ? readers_of(carrier) : NULL;
	u64 before;

	if (bucket)
		__sync_fetch_and_add(bucket, 1);
	before = __sync_lock_test_and_set(&reader->carrier, carrier);
	bucket = before ? readers_of(before) : NULL;
	if (bucket)
		__sync_fetch_and_add(bucket, -1);
}

static __always_inline struct kt_reader *reader_of(u64 task)
{
	struct kt_object_key key = { .gva = task };
	u32 *slot = bpf_map_lookup_elem(&reader_slots, &key);

	return slot ? bpf_map_lookup_elem(&readers, slot) : NULL;
}

/* Publishes that the acting thread reads the carrier at hand; false: no slot is free. */
static __always_inline bool pending_publish(struct event *e)
{
	struct kt_object_key key = { .gva = actor_task(e) };
	struct kt_reader *reader;
	u32 *slot;

	/* Its page is absent: nobody to publish, and the event comes again. */
	if (!key.gva)
		return true;
	slot = bpf_map_lookup_elem(&reader_slots, &key);
	reader = slot ? bpf_map_lookup_elem(&readers, slot) : reader_new(&key);
	if (!reader) {
		count(KT_COUNT_PENDING_LOST);
		return false;
	}
	/*
	 * Who reads the same again was published then, and that is still there: nobody but
	 * the thread itself takes it out.
	 */
	if (reader->carrier == e->carrier && reader->kind == e->carrier_kind && !reader->fills)
		return true;
	reader->fills = 0;
	reader->kind = e->carrier_kind;
	reader_reads(reader, e->carrier);
	return true;
}

/*
 * The acting thread reads something that is no carrier: its read before is over.
 * Were it kept, what is made later at the same address would find this reader.
 */
static __always_inline void pending_done(struct event *e)
{
	struct kt_reader *reader = reader_of(actor_task(e));

	if (!reader || !reader->carrier)
		return;
	reader->fills = 0;
	reader_reads(reader, 0);
}

/*
 * Publishes that the acting thread, a reader already, is about to fill a file with what
 * it reads: it maps it so that what it stores is in the file, and the mapping is not
 * there yet, or it splices into it, and no hook comes when it wakes. Who labels its
 * process meanwhile would not find the file.
 */
static __always_inline void pending_publish_fill(struct event *e, u64 file, u32 flow)
{
	struct kt_reader *reader = reader_of(actor_task(e));

	if (!reader || !reader->carrier)
		return;
	reader->fills_by = flow;
	__sync_lock_test_and_set(&reader->fills, file);
}

/* A thread begins or ends: what its address read before is nobody's. */
static __always_inline void pending_forget(u64 task)
{
	struct kt_object_key key = { .gva = task };
	u32 *known = bpf_map_lookup_elem(&reader_slots, &key), slot;
	struct kt_reader *reader;

	if (!known)
		return;
	slot = *known;
	reader = bpf_map_lookup_elem(&readers, &slot);
	if (reader) {
		reader->fills = 0;
		reader_reads(reader, 0);
	}
	bpf_map_delete_elem(&reader_slots, &key);
	bpf_map_push_elem(&free_slots, &slot, BPF_ANY);
}

#define NR_IOCTL     16
#define FICLONE	     0x40049409 /* include/uapi/linux/fs.h */
#define FICLONERANGE 0x4020940d

/* x86-64 system calls in which a thread that sleeps may be about to read a carrier. */
static __always_inline bool syscall_reads(u32 nr)
{
	switch (nr) {
	case 0: /* read */
	case 9: /* mmap */
	case 25: /* mremap */
	case 30: /* shmat */
	case 17: /* pread64 */
	case 19: /* readv */
	case 40: /* sendfile */
	case 45: /* recvfrom */
	case 47: /* recvmsg */
	case 55: /* getsockopt */
	case 59: /* execve */
	case 70: /* msgrcv: in the system-call view a queue is a carrier */
	case 208: /* io_getevents */
	case 209: /* io_submit */
	case 216: /* remap_file_pages */
	case 219: /* restart_syscall */
	case 243: /* mq_timedreceive */
	case 275: /* splice */
	case 276: /* tee */
	case 278: /* vmsplice */
	case 295: /* preadv */
	case 299: /* recvmmsg */
	case 322: /* execveat */
	case 326: /* copy_file_range */
	case 327: /* preadv2 */
	case 333: /* io_pgetevents */
	case 426: /* io_uring_enter */
		return true;
	case 89: /* readlink */
	case 101: /* ptrace */
	case 191: /* getxattr */
	case 192: /* lgetxattr */
	case 193: /* fgetxattr */
	case 267: /* readlinkat */
	case 310: /* process_vm_readv */
	case 464: /* getxattrat */
		return true;
	}
	return false;
}

/*
 * False only when the thread cannot be in a read: it is off the CPU, and the
 * user registers at the top of its stack show another system call, or none
 * (preempted in user mode: orig_ax is then no system call number). The numbers of
 * 32-bit processes and of x32 are not looked at.
 */
/* on_cpu is an int up to 7.x, then a byte: the low byte serves both. */
static __always_inline bool thread_may_read(struct event *e, u64 task)
{
	u32 flags = g32(e, task + guest.task_flags), nr;
	u64 regs;

	/* Who was killed made no call to end with. */
	if (ends_unseen && g32(e, task + guest.task_exit_state))
		return false;
	if (g8(e, task + guest.task_on_cpu) || (flags & (PF_KTHREAD | PF_IO_WORKER)))
		return true;
	regs = user_regs(e, task);
	if (!regs || call_is_compat(e, task))
		return true;
	nr = g64(e, regs + PT_REGS_ORIG_AX);
	if (nr == NR_IOCTL) {
		nr = g64(e, regs + PT_REGS_SI);
		return nr == FICLONE || nr == FICLONERANGE;
	}
	return syscall_reads(nr) || nr >> 30 == X32_CALL >> 30;
}

static long pending_step(u32 slot, struct event **at_hand)
{
	struct event *e = *at_hand;
	volatile struct kt_reader *reader = bpf_map_lookup_elem(&readers, &slot);
	u64 task;

	if (!reader)
		return 1;
	if (reader->carrier != e->carrier)
		return 0;
	task = reader->task;
	/* Else the thread has gone, and the slot may be another's. */
	if (reader->carrier != e->carrier)
		return 0;
	/* What came by itself the thread may have read, and gone on, before this event. */
	if (!e->arrived && (task == e->task || !thread_may_read(e, task)))
		return 0;
	if (!(g32(e, task + guest.task_flags) & PF_KTHREAD))
		process_join(e, task, e->labels, FROM_CARRIER);
	return 0;
}

/* The first item of the event's work, from told_at on, that somebody may be reading. */
static long pending_next_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	struct kt_grown *grown;
	u32 at = e->told_at;

	if (at >= e->grown_count)
		return 1;
	grown = bpf_map_lookup_elem(&work, &at);
	if (!grown || grown->readers)
		return 1;
	e->told_at = at + 1;
	return 0;
}

static __always_inline u32 pending_flow(u32 kind)
{
	if (kind == KT_KIND_SOCKET)
		return KT_FLOW_RECEIVE;
	return kind == KT_KIND_PROCESS ? KT_FLOW_PEEK : KT_FLOW_READ;
}

/*
 * Every thread that may be reading a carrier that grew takes its labels. Runs
 * as a program of its own, once the handler is done.
 */
static __always_inline void pending_scan(struct event *e)
{
	struct kt_grown *grown;
	u32 at;

	for (u32 i = 0; i < SCANS_MAX; i++) {
		walk(e, GROWN_MAX, pending_next_step);
		at = e->told_at;
		grown = at < e->grown_count ? bpf_map_lookup_elem(&work, &at) : NULL;
		if (!grown)
			break;
		e->told_at = at + 1;
		work_at_hand(e, grown);
		e->flow = pending_flow(grown->kind);
		/* Who reads its memory is known by the address space. */
		if (grown->kind == KT_KIND_PROCESS) {
			e->carrier = grown->mm;
			e->file = grown->carrier;
		}
		count(KT_COUNT_SCANS);
		walk(e, slots_used, pending_step);
	}
}

#endif
