/* SPDX-License-Identifier: GPL-2.0 */
/*
 * INET and INET6. A send is local when the receiving socket is found in this
 * guest: then that socket becomes managed. What is addressed to this guest but
 * received by nobody is a leak of kind "unresolved" (DNAT may carry it out), and
 * everything else has left the machine.
 *
 * The receiver is looked for in the guest's own hash tables, scanned whole, a
 * page at a time: once per connection, when it first carries a label. Their
 * hash functions and secrets differ by release, their layout does not.
 */
#ifndef KVMTAINT_CARRIER_INET_BPF_H
#define KVMTAINT_CARRIER_INET_BPF_H

#include "carrier.bpf.h"

#define AF_INET		2
#define AF_INET6	10
#define IPPROTO_TCP	6
#define IPPROTO_UDP	17
#define IPPROTO_UDPLITE	136
#define TCP_TIME_WAIT	6	/* include/net/tcp_states.h */
#define TCP_NEW_SYN_RECV 12

#define CHAIN_MAX	128	/* sockets in one hash bucket */
#define DEVICES_MAX	256
#define ADDRESSES_MAX	64	/* of one device */
#define BUCKETS_MAX	(1U << 20)

/* --- endpoints ----------------------------------------------------------- */

static __always_inline u64 low(const struct kt_endpoint *ep)
{
	return *(const u64 *)ep->address;
}

static __always_inline u64 high(const struct kt_endpoint *ep)
{
	return *(const u64 *)(ep->address + 8);
}

static __always_inline void endpoint_set(struct kt_endpoint *ep, u64 first, u64 second)
{
	*(u64 *)ep->address = first;
	*(u64 *)(ep->address + 8) = second;
}

/* An IPv4 address in IPv6 clothes (::ffff:a.b.c.d) becomes IPv4. */
static __always_inline void endpoint_unmap(struct kt_endpoint *ep)
{
	u64 second = high(ep);

	if (ep->family == AF_INET6 && !low(ep) && (u32)second == 0xffff0000) {
		ep->family = AF_INET;
		endpoint_set(ep, second >> 32, 0);
	}
}

/* The addresses of a socket itself; both ends get the family AF_INET if mapped. */
__noinline int socket_endpoints(struct event *e, u64 sk, struct kt_endpoint *local,
				struct kt_endpoint *remote)
{
	u16 family;

	if (!e || !local || !remote)
		return 0;
	family = g16(e, sk + guest.skc_family);
	local->family = remote->family = family;
	local->port = g16(e, sk + guest.skc_num);
	remote->port = __builtin_bswap16(g16(e, sk + guest.skc_dport));
	if (family == AF_INET) {
		endpoint_set(local, g32(e, sk + guest.skc_rcv_saddr), 0);
		if (!low(local))
			endpoint_set(local, g32(e, sk + guest.inet_saddr), 0);
		endpoint_set(remote, g32(e, sk + guest.skc_daddr), 0);
	} else if (family == AF_INET6 && guest.skc_v6_daddr != KT_ABSENT) {
		endpoint_set(local, g64(e, sk + guest.skc_v6_rcv_saddr),
			     g64(e, sk + guest.skc_v6_rcv_saddr + 8));
		endpoint_set(remote, g64(e, sk + guest.skc_v6_daddr),
			     g64(e, sk + guest.skc_v6_daddr + 8));
		endpoint_unmap(remote);
		if (remote->family == AF_INET) {
			local->family = AF_INET;
			endpoint_set(local, g32(e, sk + guest.skc_rcv_saddr), 0);
		}
	}
	return 0;
}

/* The destination that the message names, over the socket's own. */
static __always_inline void message_destination(struct event *e, u64 msg)
{
	u64 name = g64(e, msg + guest.msg_name);
	u32 len = name ? g32(e, msg + guest.msg_namelen) : 0;
	u16 family;

	if (len < 8)
		return;
	family = g16(e, name);
	if (family == AF_INET6 && len >= 24) {
		e->to.family = AF_INET6;
		endpoint_set(&e->to, g64(e, name + 8), g64(e, name + 16));
		endpoint_unmap(&e->to);
	} else if (family == AF_INET || !family) {
		e->to.family = AF_INET;
		endpoint_set(&e->to, g32(e, name + 4), 0);
	} else {
		return;
	}
	e->to.port = __builtin_bswap16(g16(e, name + 2));
}

static __always_inline bool is_loopback(const struct kt_endpoint *ep)
{
	if (ep->family == AF_INET)
		return ep->address[0] == 127;
	return !low(ep) && high(ep) == 1ULL << 56;
}

/* --- is it an address of this guest? ------------------------------------- */

static long address4_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	if (!e->walk_node || e->failed)
		return 1;
	if (g32(e, e->walk_node + guest.ifa_local) == (u32)low(&e->to)) {
		e->found_any = 1;
		return 1;
	}
	e->walk_node = g64(e, e->walk_node + guest.ifa_next);
	return 0;
}

static long address6_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u64 node = e->walk_node, address;

	if (!node || node == e->walk_mount || e->failed)
		return 1;
	address = node - guest.inet6_ifaddr_list + guest.inet6_ifaddr_addr;
	if (g64(e, address) == low(&e->to) && g64(e, address + 8) == high(&e->to)) {
		e->found_any = 1;
		return 1;
	}
	e->walk_node = g64(e, node);
	return 0;
}

static long device_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u64 node = e->walk_dentry, device = node - guest.netdev_list, in;

	if (node == e->net + guest.net_dev_base_head || e->failed || e->found_any)
		return 1;
	if (e->to.family == AF_INET) {
		in = g64(e, device + guest.netdev_ip_ptr);
		e->walk_node = in ? g64(e, in + guest.in_device_ifa_list) : 0;
		walk(e, ADDRESSES_MAX, address4_step);
	} else if (guest.netdev_ip6_ptr != KT_ABSENT) {
		in = g64(e, device + guest.netdev_ip6_ptr);
		e->walk_mount = in + guest.inet6_addr_list;
		e->walk_node = in ? g64(e, e->walk_mount) : 0;
		walk(e, ADDRESSES_MAX, address6_step);
	}
	e->walk_dentry = g64(e, node);
	return 0;
}

/* 1 when e->to is loopback or an address of a device in the network namespace. */
__noinline int is_own_address(struct event *e)
{
	if (!e)
		return 0;
	if (is_loopback(&e->to))
		return 1;
	e->found_any = 0;
	e->walk_dentry = g64(e, e->net + guest.net_dev_base_head);
	walk(e, DEVICES_MAX, device_step);
	return e->found_any;
}

/* --- receivers ----------------------------------------------------------- */

/*
 * How well a socket matches as the receiver of what goes from e->from to
 * e->to; 0: not at all. As the guest's own lookup does: connected before bound
 * before wildcard (net/ipv4/udp.c compute_score(), inet_match()).
 */
static __always_inline u32 receiver_score(struct event *e, u64 sk)
{
	u32 score = 1;
	u16 family, dport;

	if (g16(e, sk + guest.skc_num) != e->to.port)
		return 0;
	if (g64(e, sk + guest.skc_net) != e->net)
		return 0;
	dport = __builtin_bswap16(g16(e, sk + guest.skc_dport));
	if (dport && dport != e->from.port)
		return 0;
	family = g16(e, sk + guest.skc_family);
	if (e->to.family == AF_INET) {
		u32 bound = g32(e, sk + guest.skc_rcv_saddr), peer = g32(e, sk + guest.skc_daddr);

		if (bound && bound != (u32)low(&e->to))
			return 0;
		if (dport && low(&e->from) && peer != (u32)low(&e->from))
			return 0;
		score += (bound != 0) + (family == AF_INET);
	} else {
		u64 bound0, bound1;

		if (family != AF_INET6)
			return 0;
		bound0 = g64(e, sk + guest.skc_v6_rcv_saddr);
		bound1 = g64(e, sk + guest.skc_v6_rcv_saddr + 8);
		if ((bound0 | bound1) && (bound0 != low(&e->to) || bound1 != high(&e->to)))
			return 0;
		if (dport && (low(&e->from) | high(&e->from)) &&
		    (g64(e, sk + guest.skc_v6_daddr) != low(&e->from) ||
		     g64(e, sk + guest.skc_v6_daddr + 8) != high(&e->from)))
			return 0;
		score += (bound0 | bound1) != 0;
	}
	return score + (dport ? 4 : 0);
}

static long chain_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u64 node = e->walk_node, sk = node - guest.skc_node;
	u32 score;
	u8 state;

	if (!node || (node & 1) || e->failed)
		return 1;
	e->walk_node = g64(e, node);
	state = g8(e, sk + guest.skc_state);
	if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV)
		return 0;
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

/* One hash bucket; an odd value ends a list of the "nulls" kind. */
__noinline int bucket_scan(struct event *e, u64 first)
{
	if (!e || !first || (first & 1))
		return 0;
	e->walk_node = first;
	if (walk(e, CHAIN_MAX, chain_step) >= CHAIN_MAX)
		event_fail(e, KT_LOST_WALK_BOUND, first);
	return 0;
}

/* Scans the buckets in one chunk of the table; a bucket starts with its list head. */
static long table_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u32 len, stride = e->walk_mount;
	u64 first;

	len = guest_copy(e, e->table, SCRATCH_SIZE);
	if (len < 8 || len > SCRATCH_SIZE)
		return 1;
	for (u32 at = 0; at <= SCRATCH_SIZE - 8; at += 8) {
		if (at + 8 > len)
			break;
		if (at & (stride - 1))
			continue;
		first = *(u64 *)(e->scratch + at);
		if (first && !(first & 1))
			bucket_scan(e, first);
	}
	e->table += len;
	return e->table >= e->walk_dentry;
}

/*
 * Looks for the receiver of what goes from e->from to e->to in a table of
 * buckets of stride bytes (8 or 16). e->found[0 .. e->found_count) are the best.
 */
static __always_inline void table_scan(struct event *e, u64 table, u32 buckets, u32 stride)
{
	e->found_count = 0;
	e->found_score = 0;
	if (buckets > BUCKETS_MAX) {
		event_fail(e, KT_LOST_WALK_BOUND, table);
		return;
	}
	e->table = table;
	e->walk_dentry = table + (u64)buckets * stride;
	e->walk_mount = stride;
	walk(e, BUCKETS_MAX * 16 / SCRATCH_SIZE, table_step);
}

__noinline int tcp_receiver(struct event *e)
{
	u64 info = 0;

	if (!e)
		return 0;
	/* A network namespace may have a table of its own since 6.1 (commit d1e5e6408b30). */
	if (guest.net_tcp_hashinfo != KT_ABSENT)
		info = g64(e, e->net + guest.net_tcp_hashinfo);
	if (!info)
		info = guest.sym_tcp_hashinfo;
	table_scan(e, g64(e, info + guest.hashinfo_ehash),
		   g32(e, info + guest.hashinfo_ehash_mask) + 1, guest.ehash_bucket_size);
	/* A listener is no receiver: established sockets know both ports. */
	return e->found_score > 4 ? e->found_count : 0;
}

__noinline int udp_receiver(struct event *e)
{
	u64 table = 0;

	if (!e)
		return 0;
	/* Per namespace since 6.2 (commit 9804985bf27f). */
	if (guest.net_udp_table != KT_ABSENT)
		table = g64(e, e->net + guest.net_udp_table);
	if (!table)
		table = guest.sym_udp_table;
	table_scan(e, g64(e, table + guest.udp_table_hash),
		   g32(e, table + guest.udp_table_mask) + 1, guest.udp_hslot_size);
	return e->found_count;
}

/* --- sending ------------------------------------------------------------- */

/* P7: classified data leaves. One record for each send. */
__noinline int leak(struct event *e, u64 sk, u32 kind, u64 bytes)
{
	u64 labels;

	if (!e)
		return 0;
	labels = actor_labels(e);
	record_begin(e, KT_RECORD_LEAK);
	record_actor(e);
	e->record.leak_kind = kind;
	e->record.bytes = bytes;
	e->record.flags |= KT_RECORD_HAS_BYTES;
	e->record.labels = labels;
	e->record.cause = e->cause;
	e->record.source = e->record.actor;
	e->record.target.kind = KT_KIND_SOCKET;
	e->record.target.gva = sk;
	e->record.target.ino = socket_ino(e, sk);
	e->record.target.family = g16(e, sk + guest.skc_family);
	e->record.target.type = g16(e, sk + guest.sk_type);
	e->record.target.protocol = g16(e, sk + guest.sk_protocol);
	if (e->record.target.family == AF_INET || e->record.target.family == AF_INET6) {
		e->record.target.local = e->from;
		e->record.target.remote = e->to;
	}
	if (!comes_again(e))
		record_emit(e);
	return 0;
}

/* Gives the actor's labels to each receiver that was found. */
static __always_inline void receivers_join(struct event *e)
{
	u32 total = e->found_count;

	for (u32 i = 0; i < FOUND_MAX; i++) {
		if (i >= total)
			break;
		carrier_is_socket(e, e->found[i]);
		write_to(e, KT_FLOW_SEND);
	}
}

/* True when the cached receiver still is the other end of this connection. */
static __always_inline bool route_holds(struct event *e, const struct kt_route *route)
{
	return g16(e, route->peer + guest.skc_num) == e->to.port &&
	       g16(e, route->peer + guest.skc_dport) == __builtin_bswap16(e->from.port) &&
	       g64(e, route->peer + guest.skc_net) == e->net;
}

__noinline int inet_send(struct event *e, u64 sk, u64 msg, u64 size)
{
	struct kt_object_key key = { .gva = sk };
	struct kt_route *route, fresh = {};
	u32 protocol, found = 0;

	if (!e)
		return 0;
	protocol = g16(e, sk + guest.sk_protocol);
	e->net = g64(e, sk + guest.skc_net);
	socket_endpoints(e, sk, &e->from, &e->to);
	if (msg && (protocol != IPPROTO_TCP || !e->to.port))
		message_destination(e, msg);
	fresh.ports = (u64)e->from.port << 32 | (u64)e->to.port << 16 | e->to.family;
	fresh.address[0] = low(&e->to);
	fresh.address[1] = high(&e->to);
	route = bpf_map_lookup_elem(&routes, &key);
	if (route && route->ports == fresh.ports && route->address[0] == fresh.address[0] &&
	    route->address[1] == fresh.address[1]) {
		if (!route->peer)
			return leak(e, sk, KT_LEAK_REMOTE, size);
		if (protocol == IPPROTO_TCP && route_holds(e, route)) {
			carrier_is_socket(e, route->peer);
			write_to(e, KT_FLOW_SEND);
			return 0;
		}
	}
	if (protocol == IPPROTO_TCP)
		found = tcp_receiver(e);
	else if (protocol == IPPROTO_UDP && is_own_address(e))
		found = udp_receiver(e);
	if (found) {
		fresh.peer = e->found[0];
		if (protocol == IPPROTO_TCP)
			bpf_map_update_elem(&routes, &key, &fresh, BPF_ANY);
		receivers_join(e);
		return 0;
	}
	if (e->failed)
		return 0;
	if (is_own_address(e))
		return leak(e, sk, KT_LEAK_UNRESOLVED, size);
	bpf_map_update_elem(&routes, &key, &fresh, BPF_ANY);
	return leak(e, sk, KT_LEAK_REMOTE, size);
}

#endif
