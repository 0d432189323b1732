/* SPDX-License-Identifier: GPL-2.0 */
/*
 * INET and INET6. A send is local when the receiving socket is found in this
 * guest, in whatever network namespace: then that socket becomes managed. What is
 * addressed to this guest but received by nobody is a leak of kind "unresolved",
 * and everything else has left the machine.
 */
#ifndef KVMTAINT_CARRIER_INET_BPF_H
#define KVMTAINT_CARRIER_INET_BPF_H

#include "wire.bpf.h"
#include "verdict.bpf.h"

#define AF_PACKET   17
#define DEVICE_NAME 16 /* IFNAMSIZ */

#define SECOND_NS   1000000000ULL
/* For how long an address that no namespace has is taken to lie elsewhere. */
#define ELSEWHERE_NS SECOND_NS

/* --- leaks ----------------------------------------------------------------- */

/*
 * P7: classified data leaves from e->from to e->to. One record for each send; the
 * last thing that a handler does, as it may leave e->record for the verdict.
 */
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
	e->record.target.local = e->from;
	e->record.target.remote = e->to;
	if (e->record.target.family == AF_PACKET && e->given.name_len) {
		__builtin_memcpy(e->record.target.name, e->given.name, DEVICE_NAME);
		e->record.target.name_len = DEVICE_NAME;
	}
	if (wires_shared())
		wire_of(e, sk);
	else
		e->wire_key.protocol = 0;
	leak_end(e, e->message);
	if (e->wire_key.protocol && !comes_again(e))
		wire_publish(e);
	return 0;
}

/*
 * A walk that ended at its bound is said now, and what nobody was found for is a
 * leak: else its verdict would be void. True: it did.
 */
static __always_inline bool bound_is_said(struct event *e)
{
	if (e->failed != KT_LOST_WALK_BOUND)
		return false;
	event_say_lost(e);
	return true;
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
		/* check_cfg() of 6.1 takes no loop that falls into its head from a call. */
		asm volatile("goto +0");
	}
}

/* --- connections that have no receiver yet ---------------------------------- */

/*
 * With TCP fast open, and in the moment before the other end of a handshake is
 * a socket, data is sent to a receiver that does not exist yet. Such a connection
 * is kept; its receiver joins when it is read from, at the next send, or when the
 * sending socket is freed, whichever comes first. (Nobody can have waited in a read
 * of a socket that did not exist.)
 */
__noinline int early_add(struct event *e, u64 sk)
{
	struct kt_object_key key = { .gva = sk };
	struct kt_early *old;
	struct fresh *fresh = fresh_entry();

	if (!e || !fresh || comes_again(e))
		return 0;
	fresh->early.labels = actor_labels(e);
	fresh->early.cause = e->cause;
	fresh->early.ino = socket_ino(e, sk);
	fresh->early.port = e->to.port;
	describe_process(e, &fresh->early.sender, actor_task(e));
	old = bpf_map_lookup_elem(&early, &key);
	if (old) {
		__sync_fetch_and_or(&old->labels, fresh->early.labels);
		return 0;
	}
	if (!bpf_map_update_elem(&early, &key, &fresh->early, BPF_NOEXIST)) {
		__sync_fetch_and_add(&early_count, 1);
		return 0;
	}
	/* The socket that is to receive it is in no set, and so counts as having it. */
	record_begin(e, KT_RECORD_LOST);
	record_actor(e);
	describe_socket(e, &e->record.target, sk);
	set_overflowed(e, KT_KIND_SOCKET, fresh->early.labels, fresh->early.cause);
	return 0;
}

__noinline int early_drop(u64 sk)
{
	struct kt_object_key key = { .gva = sk };

	if (early_count && !bpf_map_delete_elem(&early, &key))
		__sync_fetch_and_add(&early_count, -1);
	return 0;
}

/*
 * Whether the socket at hand has what came with the SYN of sk, which does not know of its
 * other end yet: it may have been accepted, and is read, on another vCPU. snd_nxt is told
 * of that SYN only after it was sent (tcp_connect()).
 */
static __always_inline bool is_syn_of(struct event *e, u64 sk)
{
	u32 from, to;

	if (g8(e, sk + guest.skc_state) != TCP_SYN_SENT)
		return false;
	from = g32(e, sk + guest.tcp_snd_una);
	to = g32(e, sk + guest.tcp_write_seq);
	return sequence_within(e->rcv_nxt, from, to, 0) &&
	       (g16(e, sk + guest.skc_num) == e->to.port ||
		__builtin_bswap16(g16(e, sk + guest.skc_dport)) == e->from.port);
}

static long early_step(void *map, struct kt_object_key *key, struct kt_early *waits,
		       struct event **at_hand)
{
	struct event *e = *at_hand;
	u64 ino;
	u16 port;

	/* In this order: the numbers are there before the state says so. */
	if (!is_syn_of(e, key->gva) && !tcp_score(e, key->gva))
		return 0;
	/*
	 * No end of a socket is seen by system calls: another may be where it was. One that
	 * was closed has no inode, and its data may still be under way: its port tells.
	 */
	ino = socket_ino(e, key->gva);
	port = __builtin_bswap16(g16(e, key->gva + guest.skc_dport));
	if (ino ? ino != waits->ino : port != waits->port)
		return 0;
	e->early = key->gva;
	return 1;
}

/* Labels of an early connection join the socket at the other end. */
static __always_inline void early_join(struct event *e, u64 sk, u64 receiver)
{
	struct kt_object_key key = { .gva = sk };
	struct kt_early *waits = bpf_map_lookup_elem(&early, &key);

	if (!waits)
		return;
	e->given = waits->sender;
	e->cause = waits->cause;
	e->flow = KT_FLOW_SEND;
	carrier_is_socket(e, receiver);
	carrier_join(e, waits->labels, BY_GIVEN);
	if (!e->failed)
		early_drop(sk);
}

/* The socket sk is about to be read from. */
__noinline int early_read(struct event *e, u64 sk)
{
	if (!e || !early_count || g16(e, sk + guest.sk_protocol) != IPPROTO_TCP)
		return 0;
	tcp_seek(e, sk);
	e->early = 0;
	socket_endpoints(e, sk, &e->from, &e->to);
	bpf_for_each_map_elem(&early, early_step, &e, 0);
	if (e->early)
		early_join(e, e->early, sk);
	return 0;
}

/* The socket sk is freed: the last moment at which its numbers are known. */
__noinline int early_freed(struct event *e, u64 sk)
{
	struct kt_object_key key = { .gva = sk };

	if (!e || !bpf_map_lookup_elem(&early, &key))
		return 0;
	socket_endpoints(e, sk, &e->from, &e->to);
	if (tcp_receiver(e, sk))
		early_join(e, sk, e->found[0]);
	if (!comes_again(e))
		early_drop(sk);
	return 0;
}

/* --- TCP --------------------------------------------------------------------- */

/*
 * True when the receiver found earlier still is the other end. It is managed
 * since: whoever freed it would have taken it from the set.
 */
static __always_inline bool route_holds(struct event *e, const struct kt_route *route)
{
	struct kt_object_key key = { .gva = socket_key(e, route->peer) };
	struct kt_socket *peer = bpf_map_lookup_elem(&sockets, &key);

	return peer && peer->managed.since_ns == route->peer_since &&
	       g8(e, route->peer + guest.skc_state) != TCP_CLOSE;
}

/* A route to e->to in the making; not on the stack, of which a deep walk leaves little. */
static __always_inline struct kt_route *route_begin(struct event *e, u64 ports)
{
	struct fresh *fresh = fresh_entry();

	if (!fresh)
		return NULL;
	__builtin_memset(&fresh->route, 0, sizeof(fresh->route));
	fresh->route.ports = ports;
	fresh->route.address[0] = low(&e->to);
	fresh->route.address[1] = high(&e->to);
	return &fresh->route;
}

/*
 * Where a route has no peer. Of other machines' addresses that stays so. At one of the
 * guest's own there is a receiver, as a rule, so that it may have been missed: it is
 * looked for again. But NAT may lead elsewhere, and each look is a scan: each wait is
 * twice as long as the one before.
 */
static __always_inline bool route_is_believed(const struct kt_route *route)
{
	return route->leak_kind != KT_LEAK_UNRESOLVED || bpf_ktime_get_ns() < route->until;
}

static __always_inline void route_waits_on(struct kt_route *route)
{
	if (route->leak_kind != KT_LEAK_UNRESOLVED)
		return;
	route->wait_s = route->wait_s ? 2 * route->wait_s : 1;
	route->until = bpf_ktime_get_ns() + route->wait_s * SECOND_NS;
}

/* The route in the making is sk's. */
__noinline int route_learn(struct event *e, u64 sk)
{
	struct kt_object_key key = { .gva = sk }, peer = {};
	struct fresh *fresh = fresh_entry();
	struct kt_socket *managed;

	if (!e || !fresh)
		return 0;
	peer.gva = socket_key(e, fresh->route.peer);
	managed = bpf_map_lookup_elem(&sockets, &peer);
	fresh->route.peer_since = managed ? managed->managed.since_ns : 0;
	if (!e->failed)
		bpf_map_update_elem(&routes, &key, &fresh->route, BPF_ANY);
	return 0;
}

__noinline int tcp_send(struct event *e, u64 sk, u64 size)
{
	struct kt_object_key key = { .gva = sk };
	struct kt_route *route, *fresh;
	bool early, at_bound;
	u8 state;

	if (!e)
		return 0;
	fresh = route_begin(e, (u64)e->from.port << 32 | (u64)e->to.port << 16 | e->to.family);
	if (!fresh)
		return 0;
	route = bpf_map_lookup_elem(&routes, &key);
	if (route && route->ports == fresh->ports && route->address[0] == fresh->address[0] &&
	    route->address[1] == fresh->address[1]) {
		if (!route->peer && route_is_believed(route))
			return leak(e, sk, route->leak_kind, size);
		if (route->peer && route_holds(e, route)) {
			carrier_is_socket(e, route->peer);
			write_to(e, KT_FLOW_SEND);
			return 0;
		}
		fresh->wait_s = route->wait_s;
	}
	state = g8(e, sk + guest.skc_state);
	/* Before it knows of another end, its numbers mean nothing. */
	early = state == TCP_CLOSE || state == TCP_SYN_SENT;
	if (!early && tcp_receiver(e, sk)) {
		fresh->peer = e->found[0];
		receivers_join(e);
		route_learn(e, sk);
		early_drop(sk);
		return 0;
	}
	if (e->failed && e->failed != KT_LOST_WALK_BOUND)
		return 0;
	fresh->leak_kind = is_own_address(e) ? KT_LEAK_UNRESOLVED : KT_LEAK_REMOTE;
	at_bound = bound_is_said(e);
	if (early || e->request_seen || state == TCP_SYN_RECV) {
		early_add(e, sk);
	} else if (!at_bound && !e->seek_moved) {
		early_drop(sk);
		route_waits_on(fresh);
		route_learn(e, sk);
	}
	return leak(e, sk, fresh->leak_kind, size);
}

/* --- datagrams ----------------------------------------------------------------- */

/*
 * Who receives e->from -> e->to in e->net joins; returns how many. scan: SCAN_UDP,
 * or SCAN_UDP_GROUP.
 */
__noinline int udp_receivers_join(struct event *e, u32 scan)
{
	if (!e)
		return 0;
	udp_scan(e, scan);
	receivers_join(e);
	return e->found_count;
}

static long udp_join_step(u32 at, struct event **at_hand)
{
	struct event *e = *at_hand;

	if (at >= e->net_count || e->failed)
		return 1;
	e->net = e->nets[bounded(at, NETS_MAX - 1)];
	if (e->net == e->home)
		return 0;
	if (!e->scan_group) {
		if (!is_device_address(e))
			return 0;
		e->known_here = 1;
	}
	/* Not udp_receivers_join(): the verifier allows eight frames. */
	udp_scan(e, e->scan_group ? SCAN_UDP_GROUP : SCAN_UDP);
	receivers_join(e);
	e->found_elsewhere += e->found_count;
	return 0;
}

/*
 * In every namespace but e->net: that has the address, or, for a group, in all.
 * Returns how many join.
 */
static __always_inline u32 udp_join_elsewhere(struct event *e, bool group)
{
	e->home = e->net;
	e->scan_group = group;
	e->found_elsewhere = 0;
	nets_collect(e);
	walk(e, NETS_MAX, udp_join_step);
	e->net = e->home;
	return e->found_elsewhere;
}

static __always_inline void elsewhere_key(struct event *e, struct kt_elsewhere_key *key)
{
	key->net = e->net;
	key->address[0] = low(&e->to);
	key->address[1] = high(&e->to);
}

/*
 * A datagram that may be received here: the receivers join. Returns the kind of
 * the leak that it is (as well), or 0.
 */
static __always_inline u32 udp_deliver(struct event *e)
{
	struct kt_elsewhere_key key = {};
	u64 now = bpf_ktime_get_ns(), *until;

	e->found_group = 0;
	e->udp_unused = 0;
	elsewhere_key(e, &key);
	until = bpf_map_lookup_elem(&elsewhere, &key);
	if (until && now < *until)
		return KT_LEAK_REMOTE;
	if (is_own_address(e)) {
		if (udp_receivers_join(e, SCAN_UDP))
			return 0;
		/* An answer through REDIRECT comes to a socket that is connected to another port.
		 */
		udp_receivers_join(e, SCAN_UDP_ANY_PEER);
		return KT_LEAK_UNRESOLVED;
	}
	if (e->found_group || is_group(&e->to)) {
		udp_receivers_join(e, SCAN_UDP_GROUP);
		udp_join_elsewhere(e, true);
		return KT_LEAK_REMOTE;
	}
	e->known_here = 0;
	if (udp_join_elsewhere(e, false))
		return 0;
	if (e->known_here)
		return KT_LEAK_UNRESOLVED;
	now += ELSEWHERE_NS;
	if (!e->failed)
		bpf_map_update_elem(&elsewhere, &key, &now, BPF_ANY);
	return KT_LEAK_REMOTE;
}

static __always_inline bool udp_is_as_remembered(struct event *e, u64 sk)
{
	struct kt_object_key key = { .gva = sk };
	struct kt_route *route = bpf_map_lookup_elem(&routes, &key);

	return route && route->ports == e->to.port && route->address[0] == low(&e->to) &&
	       route->address[1] == high(&e->to);
}

/* Which destination of a datagram was looked at; address translation may change it. */
static __always_inline void udp_remember(struct event *e, u64 sk)
{
	struct kt_object_key key = { .gva = sk };
	struct kt_route *fresh;

	if (udp_is_as_remembered(e, sk))
		return;
	fresh = route_begin(e, e->to.port);
	if (fresh)
		bpf_map_update_elem(&routes, &key, fresh, BPF_ANY);
}

/* What is sent is a leak of this kind; 0: it is none. */
static __always_inline void send_leaks(struct event *e, u64 sk, u32 kind, u64 bytes)
{
	if (!kind)
		return;
	bound_is_said(e);
	if (!e->failed)
		leak(e, sk, kind, bytes);
}

static __always_inline void inet_send(struct event *e, u64 sk, u64 msg, u64 size)
{
	u32 protocol = g16(e, sk + guest.sk_protocol), kind;

	socket_endpoints(e, sk, &e->from, &e->to);
	e->net = glanced(e, sk, guest.skc_net, 8, SOCK_GLANCE);
	if (protocol != IPPROTO_TCP || !e->to.port)
		message_destination(e, msg);
	if (protocol == IPPROTO_TCP) {
		tcp_send(e, sk, size);
		return;
	}
	if (protocol == IPPROTO_UDP) {
		udp_remember(e, sk);
		kind = udp_deliver(e);
	} else {
		kind = is_own_address(e) ? KT_LEAK_UNRESOLVED : KT_LEAK_REMOTE;
		/* What a raw socket has there is its protocol, a ping socket its identifier. */
		e->from.port = e->to.port = 0;
	}
	send_leaks(e, sk, kind, size);
}

/* --- address translation --------------------------------------------------------- */

/* Fields of struct iphdr, ipv6hdr and udphdr: fixed by the protocols. */
#define IPV4_PROTOCOL 9
#define IPV4_SADDR    12
#define IPV4_DADDR    16
#define IPV6_LENGTH   4 /* of what follows the header */
#define IPV6_NEXTHDR  6
#define IPV6_SADDR    8
#define IPV6_DADDR    24
#define IPV6_HEADER   40
#define UDP_DEST      2
#define UDP_LENGTH    4

/* Extension headers of IPv6 (RFC 8200, RFC 4302): the next one's number, and a length. */
#define IPV6_HOPOPTS	0
#define IPV6_ROUTING	43
#define IPV6_FRAGMENT	44
#define IPV6_AH		51
#define IPV6_DSTOPTS	60
#define IPV6_EXTENSIONS 8 /* that are stepped over */
#define FRAGMENT_AT	2 /* the offset, in units of 8, and three flags */

/* A datagram of sk, with its UDP header at udp, goes elsewhere than it was addressed to. */
static __always_inline void udp_is_translated(struct event *e, u64 sk, u64 udp)
{
	u32 kind;

	e->net = g64(e, sk + guest.skc_net);
	e->from.port = __builtin_bswap16(g16(e, udp));
	e->to.port = __builtin_bswap16(g16(e, udp + UDP_DEST));
	if (udp_is_as_remembered(e, sk))
		return;
	kind = udp_deliver(e);
	send_leaks(e, sk, kind, __builtin_bswap16(g16(e, udp + UDP_LENGTH)) - 8);
}

/*
 * ip_route_me_harder(net, sk, skb, ...). TCP needs none of this: its receiver is
 * found behind any translation.
 */
static __always_inline void on_route_me_harder(struct event *e)
{
	u64 skb = e->args[2], header;

	if (!e->args[1] || !actor_labels(e))
		return;
	header = g64(e, skb + guest.skb_head) + g16(e, skb + guest.skb_network_header);
	if (g8(e, header + IPV4_PROTOCOL) != IPPROTO_UDP)
		return;
	e->from.family = e->to.family = AF_INET;
	endpoint_set(&e->from, g32(e, header + IPV4_SADDR), 0);
	endpoint_set(&e->to, g32(e, header + IPV4_DADDR), 0);
	udp_is_translated(e, e->args[1], header + (g8(e, header) & 15) * 4);
}

/* How long the IPv6 extension header at a guest address is; 0: none that can be stepped over. */
static __always_inline u32 ipv6_extension(struct event *e, u32 number, u64 at)
{
	switch (number) {
	case IPV6_HOPOPTS:
	case IPV6_ROUTING:
	case IPV6_DSTOPTS:
		return 8 * (g8(e, at + 1) + 1);
	case IPV6_AH:
		return 4 * (g8(e, at + 1) + 2);
	case IPV6_FRAGMENT:
		return __builtin_bswap16(g16(e, at + FRAGMENT_AT)) >> 3 ? 0 : 8;
	}
	return 0;
}

/*
 * The UDP header behind an IPv6 header and its extensions, which the guest's NAT steps
 * over as well (ipv6_skip_exthdr()). 0: there is none, or it was not found.
 */
__noinline u64 ipv6_udp(struct event *e, u64 header)
{
	u64 at = header + IPV6_HEADER;
	u32 number, len;

	if (!e)
		return 0;
	number = g8(e, header + IPV6_NEXTHDR);
	for (u32 i = 0; i < IPV6_EXTENSIONS && number != IPPROTO_UDP; i++) {
		len = ipv6_extension(e, number, at);
		if (!len)
			return 0;
		number = g8(e, at);
		at += len;
		/* check_cfg() of 6.1 takes no loop that falls into its head from a call. */
		asm volatile("goto +0");
	}
	return number == IPPROTO_UDP ? at : 0;
}

/* ip6_route_me_harder(net, sk, skb) */
static __always_inline void on_route6_me_harder(struct event *e)
{
	u64 skb = e->args[2], header, udp;

	if (!e->args[1] || !actor_labels(e))
		return;
	header = g64(e, skb + guest.skb_head) + g16(e, skb + guest.skb_network_header);
	udp = ipv6_udp(e, header);
	if (!udp && g16(e, e->args[1] + guest.sk_protocol) != IPPROTO_UDP)
		return;
	e->from.family = e->to.family = AF_INET6;
	endpoint_set(&e->from, g64(e, header + IPV6_SADDR), g64(e, header + IPV6_SADDR + 8));
	endpoint_set(&e->to, g64(e, header + IPV6_DADDR), g64(e, header + IPV6_DADDR + 8));
	if (udp) {
		udp_is_translated(e, e->args[1], udp);
		return;
	}
	/* A datagram, but to which port is not known. */
	e->found_group = 0;
	e->from.port = e->to.port = 0;
	send_leaks(e, e->args[1], KT_LEAK_UNRESOLVED,
		   __builtin_bswap16(g16(e, header + IPV6_LENGTH)));
}

#endif
