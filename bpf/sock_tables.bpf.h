/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Looking for receiving sockets in the guest's own tables.
 *
 * TCP: the receiver of a connection is the socket whose sequence numbers fit the
 * sender's. No network namespace and no address translation changes them, so one
 * rule finds a receiver behind veth, DNAT, REDIRECT, masquerading and IPVS, and
 * tells equal tuples apart. The table is scanned whole, a page at a time: its
 * hash is secret and differs by release, its layout does not. Once per
 * connection, when it first carries a label.
 *
 * UDP: by address and port, as the guest's own lookup does. Its first table is
 * hashed by port alone; that this guest does so is tested before it is used.
 */
#ifndef KVMTAINT_SOCK_TABLES_BPF_H
#define KVMTAINT_SOCK_TABLES_BPF_H

#include "inet_address.bpf.h"

#define IPPROTO_TCP	 6
#define IPPROTO_UDP	 17

#define TCP_ESTABLISHED	 1 /* include/net/tcp_states.h */
#define TCP_SYN_SENT	 2
#define TCP_SYN_RECV	 3
#define TCP_TIME_WAIT	 6
#define TCP_CLOSE	 7
#define TCP_NEW_SYN_RECV 12

#define SOCK_DGRAM	 2
#define CHAIN_MAX	 128 /* sockets in one hash bucket */
#define BUCKETS_MAX	 (1U << 20)
#define TABLE_STEPS_MAX	 (1U << 16) /* chunks of SCRATCH_SIZE: two of the largest tables */
#define CHUNK_READS	 1 /* what one costs, beside its own: see scan_goes_on() */
#define NODE_READS	 3 /* of a socket that is not it; scores say what they read beyond */

/* What is looked for: e->scan. */
enum scan {
	SCAN_TCP, /* the other end of the connection of e->seek */
	SCAN_UDP, /* the best match for a datagram e->from -> e->to in e->net */
	SCAN_UDP_ANY_PEER, /* the same, whomever the receiver is connected to */
	SCAN_UDP_GROUP, /* every member */
	SCAN_NETLINK, /* port e->wanted in e->net */
	SCAN_NETLINK_GROUP, /* members of group e->wanted in e->net */
	SCAN_VSOCK, /* the other end of e->seek */
	SCAN_UNIX, /* bound to e->unix_name, whose length as the guest counts it is e->wanted */
};

/* --- TCP ------------------------------------------------------------------- */

/*
 * Data that moves while we look: the guest's other vCPUs do not stand still. A table
 * takes milliseconds, so the numbers of e->seek are read again and again meanwhile.
 */
#define SEQUENCE_SLACK (1U << 20)
#define SEEK_READS     512 /* between two looks at them: some ten microseconds */

/* Is at in [from - slack, to + slack], modulo 2^32? */
static __always_inline bool sequence_within(u32 at, u32 from, u32 to, u32 slack)
{
	return at - (from - slack) <= to - from + 2 * slack;
}

/* Both ends agree on a connection's numbers before either is a full socket. */
static __always_inline bool is_request_of(struct event *e, u64 request)
{
	return g32(e, request + guest.request_rcv_isn) + 1 == e->snd_una &&
	       g32(e, request + guest.request_snt_isn) + 1 == e->rcv_nxt;
}

/* What e->seek has sent and got: what the other end must have got and sent. */
static __always_inline void tcp_seek(struct event *e, u64 sk)
{
	scan_open(e);
	e->seek = sk;
	e->snd_una = g32(e, sk + guest.tcp_snd_una);
	e->snd_nxt = g32(e, sk + guest.tcp_snd_nxt);
	e->rcv_nxt = g32(e, sk + guest.tcp_rcv_nxt);
	e->seek_left = e->scan_left;
}

static __always_inline void tcp_seek_on(struct event *e)
{
	u32 sent = e->snd_nxt, received = e->rcv_nxt;

	tcp_seek(e, e->seek);
	if (e->snd_nxt - sent > SEQUENCE_SLACK || e->rcv_nxt - received > SEQUENCE_SLACK)
		e->seek_moved = 1;
}

static __always_inline bool same_endpoint(const struct kt_endpoint *a, const struct kt_endpoint *b)
{
	return low(a) == low(b) && high(a) == high(b) && a->port == b->port;
}

/* 2: the numbers fit; 1: nearly, and so does a port; 0: not the other end. */
static __always_inline u32 tcp_score(struct event *e, u64 sk)
{
	u8 state = g8(e, sk + guest.skc_state);
	u32 got, una, nxt;

	if (state == TCP_TIME_WAIT)
		return 0;
	if (state == TCP_NEW_SYN_RECV) {
		if (is_request_of(e, sk))
			e->request_seen = 1;
		return 0;
	}
	if (sk == e->seek && !same_endpoint(&e->from, &e->to))
		return 0;
	got = g32(e, sk + guest.tcp_rcv_nxt);
	if (!sequence_within(got, e->snd_una, e->snd_nxt, SEQUENCE_SLACK) ||
	    !scan_goes_on(e, 4 * read_cost(sk), sk))
		return 0;
	una = g32(e, sk + guest.tcp_snd_una);
	nxt = g32(e, sk + guest.tcp_snd_nxt);
	if (!sequence_within(e->rcv_nxt, una, nxt, SEQUENCE_SLACK))
		return 0;
	if (sequence_within(got, e->snd_una, e->snd_nxt, 0) &&
	    sequence_within(e->rcv_nxt, una, nxt, 0))
		return 2;
	return g16(e, sk + guest.skc_num) == e->to.port ||
	       __builtin_bswap16(g16(e, sk + guest.skc_dport)) == e->from.port;
}

/* --- UDP ------------------------------------------------------------------- */

/* Is the receiver connected to the sender? A port that differs says no. */
static __always_inline bool udp_peer_fits(struct event *e, u64 sk, u16 dport)
{
	u64 first = low(&e->from), second = high(&e->from);

	if (dport != e->from.port)
		return false;
	if (!(first | second))
		return true;
	if (e->to.family == AF_INET)
		return g32(e, sk + guest.skc_daddr) == (u32)first;
	return g64(e, sk + guest.skc_v6_daddr) == first &&
	       g64(e, sk + guest.skc_v6_daddr + 8) == second;
}

/* Does the table's hash hold what udp_hashfn() of all releases so far says? */
enum udp_hash {
	UDP_HASH_UNKNOWN,
	UDP_HASH_HOLDS,
	UDP_HASH_DIFFERS,
};

/* The bucket of the table at hand that the port e->to has in a namespace; 0: not known. */
static __always_inline u64 udp_bucket(struct event *e, u64 net)
{
	if (guest.net_hash_mix == KT_ABSENT)
		return 0;
	return e->udp_table + ((e->to.port + g32(e, net + guest.net_hash_mix)) & e->udp_mask) *
				      (u64)guest.udp_hslot_size;
}

/* A socket of this namespace has the port: where it is tells how the table is hashed. */
static __always_inline void udp_is_hashed(struct event *e, u64 net)
{
	u64 bucket;

	e->port_used = 1;
	if (udp_hash != UDP_HASH_UNKNOWN)
		return;
	bucket = udp_bucket(e, net);
	if (bucket && !e->failed)
		udp_hash = e->bucket == bucket ? UDP_HASH_HOLDS : UDP_HASH_DIFFERS;
}

/*
 * How well a socket matches; 0: not at all. As the guest's own lookup does:
 * connected before bound before wildcard (net/ipv4/udp.c compute_score()).
 */
static __always_inline u32 udp_score(struct event *e, u64 sk)
{
	u32 score = 1;
	u64 bound, net;
	u16 family, dport;

	if (g16(e, sk + guest.skc_num) != e->to.port)
		return 0;
	net = g64(e, sk + guest.skc_net);
	udp_is_hashed(e, net);
	if (net != e->net || !scan_goes_on(e, 9 * read_cost(sk), sk))
		return 0;
	if (e->scan == SCAN_UDP && g32(e, sk + guest.skc_bound_dev_if)) {
		e->device_seen = 1;
		return 0;
	}
	dport = __builtin_bswap16(g16(e, sk + guest.skc_dport));
	if (e->scan == SCAN_UDP && dport && !udp_peer_fits(e, sk, dport))
		return 0;
	family = g16(e, sk + guest.skc_family);
	if (e->to.family == AF_INET) {
		bound = g32(e, sk + guest.skc_rcv_saddr);
		if (bound && bound != (u32)low(&e->to))
			return 0;
		score += (bound != 0) + (family == AF_INET);
	} else {
		if (family != AF_INET6)
			return 0;
		bound = g64(e, sk + guest.skc_v6_rcv_saddr + 8);
		if (bound | g64(e, sk + guest.skc_v6_rcv_saddr)) {
			if (bound != high(&e->to) ||
			    g64(e, sk + guest.skc_v6_rcv_saddr) != low(&e->to))
				return 0;
			score++;
		}
	}
	if (e->scan != SCAN_UDP)
		return 1;
	return score + (dport ? 4 : 0);
}

/* --- netlink, vsock ---------------------------------------------------------- */

static __always_inline u32 netlink_score(struct event *e, u64 sk)
{
	u32 group = e->wanted - 1;

	if (sk == e->seek || g64(e, sk + guest.skc_net) != e->net)
		return 0;
	if (e->scan == SCAN_NETLINK)
		return g32(e, sk + guest.netlink_portid) == (u32)e->wanted;
	if (group >= g32(e, sk + guest.netlink_ngroups) || !scan_goes_on(e, 2 * READ_WALK, sk))
		return 0;
	return g64(e, g64(e, sk + guest.netlink_groups) + group / 64 * 8) >> group % 64 & 1;
}

/* struct vsock_sock; its addresses are struct sockaddr_vm */
#define VM_PORT		 4 /* in sockaddr_vm */
#define VM_CID		 8
#define VMADDR_CID_LOCAL 1 /* what the loopback transport calls every sender */

static __always_inline u32 vsock_score(struct event *e, u64 sk)
{
	u64 own = e->seek, from = own + modules.vsock_local, to = own + modules.vsock_remote;
	u64 local = sk + modules.vsock_local, remote = sk + modules.vsock_remote;

	if (sk == own || !scan_goes_on(e, 6 * read_cost(sk), sk) ||
	    g64(e, own + modules.vsock_transport) != g64(e, sk + modules.vsock_transport) ||
	    g32(e, from + VM_PORT) != g32(e, remote + VM_PORT) ||
	    g32(e, to + VM_PORT) != g32(e, local + VM_PORT))
		return 0;
	return g32(e, to + VM_CID) == VMADDR_CID_LOCAL ||
	       g32(e, remote + VM_CID) == VMADDR_CID_LOCAL;
}

/* --- UNIX ------------------------------------------------------------------- */

static __always_inline u32 unix_score(struct event *e, u64 sk)
{
	u64 address, stored, wanted;
	u32 len = e->wanted, left;

	if (g16(e, sk + guest.sk_type) != SOCK_DGRAM)
		return 0;
	address = g64(e, sk + guest.unix_addr);
	if (!address || g32(e, address + guest.unix_address_len) != len + 2 ||
	    !scan_goes_on(e, (1 + len / 8) * read_cost(address), address))
		return 0;
	/* The name lies in one slab object; the words behind its end are in there, too. */
	for (u32 at = 0; at < KT_ADDR_LEN; at += 8) {
		if (at >= len)
			break;
		left = len - at;
		stored = g64(e, address + guest.unix_address_name + 2 + at);
		wanted = *(u64 *)(e->unix_name + at);
		if ((stored ^ wanted) & (left < 8 ? (1ULL << left * 8) - 1 : ~0ULL))
			return 0;
	}
	return 1;
}

/* --- scanning ---------------------------------------------------------------- */

static __always_inline u32 receiver_score(struct event *e, u64 sk)
{
	switch (e->scan) {
	case SCAN_TCP:
		return tcp_score(e, sk);
	case SCAN_NETLINK:
	case SCAN_NETLINK_GROUP:
		return netlink_score(e, sk);
	case SCAN_VSOCK:
		return vsock_score(e, sk);
	case SCAN_UNIX:
		return unix_score(e, sk);
	}
	return udp_score(e, sk);
}

static long chain_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u64 node = e->walk_node, sk = node - e->node_offset;
	u32 score;

	/* An odd value ends a list of the "nulls" kind; a head, out of the slabs, a ring. */
	if (!node || (node & 1) || e->failed ||
	    (e->scan == SCAN_VSOCK && node - guest.direct_map >= guest.direct_map_size) ||
	    !scan_goes_on(e, NODE_READS * read_cost(node), node))
		return 1;
	e->walk_node = g64(e, node);
	score = receiver_score(e, sk);
	if (!score || score < e->found_score)
		return 0;
	if (score > e->found_score)
		e->found_count = 0;
	e->found_score = score;
	if (e->found_count < FOUND_MAX) {
		e->found[e->found_count & (FOUND_MAX - 1)] = sk;
		e->found_count++;
	} else {
		event_fail(e, KT_LOST_WALK_BOUND, sk);
	}
	return 0;
}

/* One hash bucket. */
__noinline int bucket_scan(struct event *e, u64 first)
{
	if (!e || !first || (first & 1))
		return 0;
	e->walk_node = first;
	if (walk(e, CHAIN_MAX, chain_step) >= CHAIN_MAX)
		event_fail(e, KT_LOST_WALK_BOUND, first);
	return 0;
}

/* The table to scan: buckets of stride bytes (8 or 16), each starts with its list head. */
static __always_inline void table_is(struct event *e, u64 table, u32 buckets, u32 stride)
{
	if (buckets > BUCKETS_MAX) {
		event_fail(e, KT_LOST_WALK_BOUND, table);
		buckets = 0;
	}
	e->table = table;
	e->walk_dentry = table + (u64)buckets * stride;
	e->walk_mount = stride;
}

static __always_inline void tcp_table_is(struct event *e, u64 info)
{
	table_is(e, g64(e, info + guest.hashinfo_ehash),
		 g32(e, info + guest.hashinfo_ehash_mask) + 1, guest.ehash_bucket_size);
}

/* Nobody was found, but perhaps by the numbers' haste: true, once, before another look. */
static __always_inline bool tcp_looks_again(struct event *e)
{
	tcp_seek_on(e);
	if (e->found_count || !e->seek_moved || e->looked_again)
		return false;
	e->looked_again = 1;
	e->seek_moved = 0;
	e->net_at = 0;
	tcp_table_is(e, guest.sym_tcp_hashinfo);
	return true;
}

/*
 * After the last bucket of a table: the next one, of another namespace. Here and not
 * in a loop around, because the verifier allows eight frames. False: there is none.
 */
static __always_inline bool table_next(struct event *e)
{
	u64 info;

	if (e->scan != SCAN_TCP || e->failed)
		return false;
	if (e->net_at >= e->net_count)
		return tcp_looks_again(e);
	info = g64(e, e->nets[bounded(e->net_at++, NETS_MAX - 1)] + guest.net_tcp_hashinfo);
	if (info && info != guest.sym_tcp_hashinfo)
		tcp_table_is(e, info);
	return true;
}

/* Scans the buckets in one chunk of the table. */
static long table_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u64 first, left = e->walk_dentry - e->table;
	u32 len, stride = e->walk_mount;

	if (e->failed)
		return 1;
	if (e->table >= e->walk_dentry)
		return !table_next(e);
	if (!scan_goes_on(e, CHUNK_READS + read_cost(e->table), e->table))
		return 1;
	if (e->scan == SCAN_TCP && e->seek_left - e->scan_left >= SEEK_READS)
		tcp_seek_on(e);
	len = guest_copy(e, e->table, left < SCRATCH_SIZE ? left : SCRATCH_SIZE);
	if (len < 8 || len > SCRATCH_SIZE)
		return 1;
	for (u32 at = 0; at <= SCRATCH_SIZE - 8; at += 8) {
		if (at + 8 > len)
			break;
		if (at & (stride - 1))
			continue;
		first = *(u64 *)(e->scratch + at);
		/* rhashtable keeps a bucket's lock in bit 0 of its head. */
		if (e->scan == SCAN_NETLINK)
			first &= ~1ULL;
		e->bucket = e->table + at;
		if (first && !(first & 1))
			bucket_scan(e, first);
	}
	e->table += len;
	return 0;
}

/* The best matches for e->scan become e->found[0 .. e->found_count). */
static __always_inline void tables_scan(struct event *e)
{
	if (walk(e, TABLE_STEPS_MAX, table_step) >= TABLE_STEPS_MAX)
		event_fail(e, KT_LOST_WALK_BOUND, e->table);
}

__noinline int table_scan(struct event *e, u64 table, u32 buckets, u32 stride)
{
	if (!e)
		return 0;
	table_is(e, table, buckets, stride);
	tables_scan(e);
	return 0;
}

static __always_inline void scan_begin(struct event *e, u32 scan, u64 node_offset)
{
	scan_open(e);
	e->scan = scan;
	e->node_offset = node_offset;
	e->found_count = 0;
	e->found_score = 0;
}

/*
 * The other end of the connection of sk, in whatever namespace. A namespace may
 * have a table of its own since 6.1 (commit d1e5e6408b30).
 */
static __always_inline u32 tcp_receiver(struct event *e, u64 sk)
{
	scan_begin(e, SCAN_TCP, guest.skc_node);
	e->request_seen = 0;
	e->seek_moved = e->looked_again = 0;
	tcp_seek(e, sk);
	e->net_at = e->net_count = 0;
	if (guest.net_tcp_hashinfo != KT_ABSENT)
		nets_collect(e);
	tcp_table_is(e, guest.sym_tcp_hashinfo);
	tables_scan(e);
	return e->found_count;
}

static __always_inline void udp_table_scan(struct event *e)
{
	if (udp_hash == UDP_HASH_HOLDS) {
		bucket_scan(e, g64(e, udp_bucket(e, e->net)));
		return;
	}
	/* Most namespaces share a table, which another one's scan may have seen whole. */
	if (e->udp_unused == e->udp_table)
		return;
	e->port_used = 0;
	table_scan(e, e->udp_table, e->udp_mask + 1, guest.udp_hslot_size);
	if (!e->port_used && !e->failed)
		e->udp_unused = e->udp_table;
}

/*
 * The sockets of e->net that receive a datagram e->from -> e->to, by scan. A socket
 * that is bound to a device may be passed over by the guest, or not: with one all that
 * fit count. The table may be a namespace's own since 6.2 (commit 9804985bf27f).
 */
static __always_inline void udp_scan(struct event *e, u32 scan)
{
	u64 table = 0;

	scan_begin(e, scan, guest.skc_node);
	if (guest.net_udp_table != KT_ABSENT)
		table = g64(e, e->net + guest.net_udp_table);
	if (!table)
		table = guest.sym_udp_table;
	e->udp_table = g64(e, table + guest.udp_table_hash);
	e->udp_mask = g32(e, table + guest.udp_table_mask);
	e->device_seen = 0;
	udp_table_scan(e);
	if (e->device_seen) {
		scan_begin(e, SCAN_UDP_GROUP, guest.skc_node);
		udp_table_scan(e);
	}
}

#endif
