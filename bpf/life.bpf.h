/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which of the objects that come to lie at an address one after the other is
 * meant. The patch trap sees an object end, and its address is then free for
 * another. The system-call view sees no end. There an address is kept with a tag,
 * what tells the object from others of its kind, and an object with another tag
 * begins a new life. A life's number is in the key of its entry, so that nobody
 * takes from the set what another vCPU has just put there.
 */
#ifndef KVMTAINT_LIFE_BPF_H
#define KVMTAINT_LIFE_BPF_H

#include "set.bpf.h"

#define LIFE_SHIFT 48
#define TAG_MASK   ((1ULL << LIFE_SHIFT) - 1)
#define TAG_LOW	   0xffffffffULL
#define TAG_HIGH   (TAG_MASK & ~TAG_LOW)

/* A tag has two parts; one that is 0 is not known. */
static __always_inline bool parts_differ(u64 a, u64 b)
{
	return a && b && a != b;
}

/* The low part of a socket's that has no inode: nobody has accepted it yet. */
#define TAG_UNACCEPTED TAG_LOW

/* What to keep for an address when an object with this tag is met there. */
static __always_inline u64 life_after(u64 before, u64 tag)
{
	if ((before & TAG_LOW) == TAG_UNACCEPTED && tag & TAG_LOW)
		before &= ~TAG_LOW;
	if (parts_differ(before & TAG_LOW, tag & TAG_LOW) ||
	    parts_differ(before & TAG_HIGH, tag & TAG_HIGH))
		return ((before >> LIFE_SHIFT) + 1) << LIFE_SHIFT | tag;
	return before | tag;
}

/* Kernel addresses begin with 16 one bits: there the number goes, and of the first life it is 0. */
static __always_inline u64 life_address(u64 address, u64 life)
{
	return address - (life >> LIFE_SHIFT << LIFE_SHIFT);
}

/* What lay at an address is gone: it leaves its set, with a record. */
static __always_inline void life_ended(struct event *e, u32 kind, u64 address, u64 gva)
{
	struct kt_object_key key = { .gva = gva };
	struct kt_message *message;
	struct kt_process *process;
	struct kt_socket *socket;
	struct kt_pipe *pipe;

	record_begin(e, KT_RECORD_GONE);
	e->record.target.kind = kind;
	e->record.target.gva = address;
	switch (kind) {
	case KT_KIND_PROCESS:
		process = bpf_map_lookup_elem(&processes, &key);
		if (!process)
			return;
		e->record.target.pid = e->record.target.tid = process->pid;
		e->record.target.uid = process->uid;
		__builtin_memcpy(e->record.target.comm, process->comm, KT_COMM_LEN);
		set_leave(e, &process->managed, &processes, &key);
		break;
	case KT_KIND_SOCKET:
		socket = bpf_map_lookup_elem(&sockets, &key);
		if (!socket)
			return;
		e->record.target.ino = socket->ino;
		e->record.target.family = socket->family;
		e->record.target.type = socket->type;
		set_leave(e, &socket->managed, &sockets, &key);
		break;
	case KT_KIND_PIPE:
		pipe = bpf_map_lookup_elem(&pipes, &key);
		if (!pipe)
			return;
		e->record.target.ino = pipe->ino;
		set_leave(e, &pipe->managed, &pipes, &key);
		break;
	case KT_KIND_MESSAGE:
		message = bpf_map_lookup_elem(&messages, &key);
		if (!message)
			return;
		set_leave(e, &message->managed, &messages, &key);
		break;
	case KT_KIND_MEMORY:
		if (!bpf_map_delete_elem(&shared_mms, &key))
			__sync_fetch_and_add(&shared_mm_count, -1);
		return;
	default:
		return;
	}
	record_emit(e);
}

/*
 * The key, in its set, of the object at address, which has this tag. make: it is
 * about to be put there, so its life must be kept. In a trace with hooks each
 * object has its address for a key.
 */
__noinline u64 life_key(struct event *e, u64 address, u64 tag, u32 kind, u32 make)
{
	struct kt_object_key key = { .gva = address };
	u64 *life, before, after;

	if (!e || !ends_unseen)
		return address;
	tag &= TAG_MASK;
	for (int attempt = 0; attempt < 4; attempt++) {
		life = bpf_map_lookup_elem(&lives, &key);
		if (!life && make) {
			bpf_map_update_elem(&lives, &key, &tag, BPF_NOEXIST);
			life = bpf_map_lookup_elem(&lives, &key);
		}
		if (!life)
			return address;
		before = *(volatile u64 *)life;
		after = life_after(before, tag);
		if (after == before)
			return life_address(address, before);
		if (__sync_val_compare_and_swap(life, before, after) != before)
			continue;
		if (before >> LIFE_SHIFT != after >> LIFE_SHIFT)
			life_ended(e, kind, address, life_address(address, before));
		return life_address(address, after);
	}
	return address;
}

/* --- tags ---------------------------------------------------------------- */

/* A process began when its leader did; one that takes the leader's place takes this too. */
__noinline u64 process_key(struct event *e, u64 task, u32 make)
{
	u64 signal, start;

	if (!e)
		return 0;
	signal = g64(e, task + guest.task_signal);
	if (!ends_unseen || !signal)
		return signal;
	start = g64(e, g64(e, task + guest.task_group_leader) + guest.task_start_time);
	return life_key(e, signal, start * 0x9e3779b97f4a7c15ULL >> 16, KT_KIND_PROCESS, make);
}

/*
 * What tells the memory of one exec from another's; a fork has the same: where
 * the stack, the heap and the mappings of a program lie is random.
 */
__noinline u64 mm_print(struct event *e, u64 mm)
{
	u64 print;

	if (!e || !mm)
		return 0;
	print = g64(e, mm + guest.mm_start_stack) * 0x9e3779b97f4a7c15ULL;
	print = (print ^ print >> 29 ^ g64(e, mm + guest.mm_mmap_base)) * 0xbf58476d1ce4e5b9ULL;
	print = (print ^ print >> 32 ^ g64(e, mm + guest.mm_start_brk)) * 0x94d049bb133111ebULL;
	return print ^ print >> 31;
}

/* Inode number of a socket; 0 before accept() gave it one. */
static __always_inline u64 socket_ino(struct event *e, u64 sk)
{
	u64 socket = g64(e, sk + guest.sk_socket);

	return socket ? g64(e, socket + guest.socket_alloc_inode + guest.inode_ino) : 0;
}

#define FAMILY_INET  2
#define FAMILY_INET6 10

/*
 * A socket's inode number, which it may get by accept(), and loses when nobody can read
 * from it any more; of a TCP connection, which is one from the start, the other end's
 * port: it stays until the end, as the own port does not.
 */
__noinline u64 socket_tag(struct event *e, u64 sk)
{
	u64 ino, tag;
	u16 family;

	if (!e)
		return 0;
	ino = socket_ino(e, sk) & TAG_LOW;
	tag = ino ? ino : TAG_UNACCEPTED;
	family = g16(e, sk + guest.skc_family);
	if ((family == FAMILY_INET || family == FAMILY_INET6) &&
	    g16(e, sk + guest.sk_protocol) == 6)
		tag |= (u64)g16(e, sk + guest.skc_dport) << 32;
	return e->failed ? 0 : tag;
}

static __always_inline u64 socket_key(struct event *e, u64 sk)
{
	return ends_unseen && sk ? life_key(e, sk, socket_tag(e, sk), KT_KIND_SOCKET, 0) : sk;
}

#endif
