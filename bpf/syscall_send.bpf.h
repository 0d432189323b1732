/* SPDX-License-Identifier: GPL-2.0 */
/*
 * System calls that send on a socket. Where to is read from the program's own
 * memory, before the kernel has copied it: another thread of the program can
 * exchange it in between.
 */
#ifndef KVMTAINT_SYSCALL_SEND_BPF_H
#define KVMTAINT_SYSCALL_SEND_BPF_H

#include "carrier_socket.bpf.h"
#include "syscall_table.bpf.h"

#define UNIX_BUCKETS 512 /* UNIX_HASH_SIZE, 5.10 to 7.x: bound and unbound sockets */
#define UNIX_FAMILY  2 /* bytes of an address before its path */
#define IOV_MAX	     1024 /* UIO_MAXIOV */
#define MMSG_MAX     24 /* messages of a sendmmsg(): the kernel allows 33 tail calls */

/* --- UNIX datagrams by name ----------------------------------------------- */

/* Brings the name that the call gives to e->unix_name; its length, 0: none. */
static __always_inline u32 unix_name_read(struct event *e)
{
	u32 len = e->name_len;

	__builtin_memset(e->unix_name, 0, sizeof(e->unix_name));
	if (!e->name || len <= UNIX_FAMILY)
		return 0;
	len -= UNIX_FAMILY;
	if (len > KT_ADDR_LEN)
		len = KT_ADDR_LEN;
	if (guest_copy(e, e->name + UNIX_FAMILY, len) != len)
		return 0;
	bpf_probe_read_kernel(e->unix_name, len, e->scratch);
	return len;
}

/* A path ends at its first 0, which the kernel counts; an abstract name has its length. */
static __always_inline u32 unix_name_length(struct event *e, u32 len)
{
	if (!e->unix_name[0])
		return len;
	for (u32 i = 0; i < KT_ADDR_LEN; i++)
		if (i >= len || !e->unix_name[i])
			return i + 1;
	return len + 1;
}

/* The socket that the datagram is addressed to, in e->found[0]; 0: it was not found. */
__noinline int unix_receiver(struct event *e, u64 sk)
{
	u64 buckets = guest.sym_unix_socket_table;
	u32 len;

	if (!e)
		return 0;
	len = unix_name_read(e);
	if (!len || e->failed)
		return 0;
	e->wanted = unix_name_length(e, len);
	e->seek = sk;
	scan_begin(e, SCAN_UNIX, guest.skc_node);
	if (guest.net_unix_buckets == KT_ABSENT) {
		if (buckets)
			table_scan(e, buckets, UNIX_BUCKETS, 8);
		return e->found_count;
	}
	/* Paths are found from every network namespace, abstract names in their own. */
	nets_collect(e);
	for (u32 i = 0; i < NETS_MAX; i++) {
		if (i >= e->net_count || e->failed)
			break;
		if (!e->unix_name[0] && e->nets[i] != g64(e, sk + guest.skc_net))
			continue;
		table_scan(e, g64(e, e->nets[i] + guest.net_unix_buckets), UNIX_BUCKETS, 8);
	}
	return e->found_count;
}

static __always_inline void unix_datagram(struct event *e, u64 sk)
{
	u64 peer = 0;

	if (e->name && e->name_len > UNIX_FAMILY) {
		if (unix_receiver(e, sk))
			receivers_join(e);
		else
			event_fail(e, KT_LOST_WALK_BOUND, sk);
		return;
	}
	peer = g64(e, sk + guest.unix_peer);
	if (!peer)
		return;
	carrier_is_socket(e, peer);
	write_to(e, KT_FLOW_SEND);
}

/* --- one message ------------------------------------------------------------ */

/* The acting process, which is managed, sends bytes on sk, to e->name if there is one. */
static __always_inline void message_is_sent(struct event *e, u64 sk, u64 bytes)
{
	if (g16(e, sk + guest.skc_family) == AF_UNIX && g16(e, sk + guest.sk_type) == SOCK_DGRAM)
		unix_datagram(e, sk);
	else
		socket_is_sent_to(e, sk, 0, bytes);
}

/* --- the calls ---------------------------------------------------------------- */

static long iov_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u32 word = syscall_is_compat(e) ? 4 : 8;

	if (step >= e->iov_count || e->failed)
		return 1;
	e->sent_bytes += guest_read(e, e->iov + (2ULL * step + 1) * word, word);
	return 0;
}

/* How much count segments at iov are. */
static __always_inline void iov_total(struct event *e, u64 iov, u64 count)
{
	e->iov = iov;
	e->iov_count = count;
	e->sent_bytes = 0;
	walk(e, IOV_MAX, iov_step);
}

/* struct user_msghdr at msg; of 32-bit processes struct compat_msghdr. */
static __always_inline void user_message(struct event *e, u64 msg)
{
	bool compat = syscall_is_compat(e);
	u32 word = compat ? 4 : 8;

	e->name = guest_read(e, msg, word);
	e->name_len = g32(e, msg + word);
	iov_total(e, guest_read(e, msg + 2 * word, word), guest_read(e, msg + 3 * word, word));
}

/* The next message of a sendmmsg(): each takes a run of the program. */
static __always_inline void next_message(struct event *e)
{
	u32 count = e->args[2];

	/* struct mmsghdr: a message, and what was sent of it. */
	user_message(e, e->args[1] + e->step * (syscall_is_compat(e) ? 32ULL : 64ULL));
	e->step++;
	syscall_has_next(e, count, MMSG_MAX, e->sent_sk);
}

/* e->sent_sk is the socket that is sent on. */
static __always_inline void on_syscall_send(struct event *e)
{
	/* Of requests that are looked at by another program, that one knows. */
	if (e->row.kind == SYSCALL_SENDMMSG)
		e->goes_on = 0;
	if (!actor_labels(e))
		return;
	user_memory(e);
	e->name = 0;
	e->name_len = 0;
	e->sent_bytes = syscall_argument(e, e->row.bytes);
	switch (e->row.kind) {
	case SYSCALL_WRITEV:
		iov_total(e, e->args[1], e->args[2]);
		break;
	case SYSCALL_SENDTO:
		e->name = e->args[4];
		e->name_len = e->args[5];
		break;
	case SYSCALL_SENDMSG:
		user_message(e, e->args[1]);
		break;
	case SYSCALL_SENDMMSG:
		next_message(e);
		break;
	}
	message_is_sent(e, e->sent_sk, e->sent_bytes);
}

#endif
