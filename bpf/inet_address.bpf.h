/* SPDX-License-Identifier: GPL-2.0 */
/* INET endpoints, and whose an address is: this guest's, in which network namespace. */
#ifndef KVMTAINT_INET_ADDRESS_BPF_H
#define KVMTAINT_INET_ADDRESS_BPF_H

#include "carrier.bpf.h"

#define AF_INET	      2
#define AF_INET6      10

#define DEVICES_MAX   256 /* of one network namespace */
#define ADDRESSES_MAX 64 /* of one device */

/* --- how much one event looks at ------------------------------------------- */

/*
 * Reads of guest memory that an event looks through the guest's tables and lists
 * with: each walk has a bound, but one may be within another, and a hostile guest
 * would have a CPU of the host stand in their product for hours, interrupts off. An
 * honest guest's 524,288 buckets with 150,000 sockets are less.
 */
#define SCAN_READS (1 << 19)
#define READ_WALK  6 /* of an address out of the direct map: by page tables */

/* Before a walk: the event's reads are counted from its first on. */
static __always_inline void scan_open(struct event *e)
{
	if (e->scan_event != e->id) {
		e->scan_event = e->id;
		e->scan_left = SCAN_READS;
	}
}

static __always_inline u32 read_cost(u64 gva)
{
	return gva - guest.direct_map < guest.direct_map_size ? 1 : READ_WALK;
}

/* What costs so many reads, at gva, is about to be looked at; false: that is too much. */
static __always_inline bool scan_goes_on(struct event *e, u32 reads, u64 gva)
{
	if (e->scan_left < reads) {
		event_fail(e, KT_LOST_WALK_BOUND, gva);
		return false;
	}
	e->scan_left -= reads;
	return true;
}

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

#define SOCK_GLANCE 128 /* what of struct sock_common is wanted here */

/*
 * The addresses of a socket itself; both ends get the family AF_INET if mapped. Leaves the
 * first SOCK_GLANCE bytes of the sock in e->glance.
 */
__noinline int socket_endpoints(struct event *e, u64 sk, struct kt_endpoint *local,
				struct kt_endpoint *remote)
{
	u32 mapped;
	u16 family;

	if (!e || !local || !remote)
		return 0;
	guest_glance(e, sk, SOCK_GLANCE);
	family = glanced(e, sk, guest.skc_family, 2, SOCK_GLANCE);
	local->family = remote->family = family;
	local->port = glanced(e, sk, guest.skc_num, 2, SOCK_GLANCE);
	remote->port = __builtin_bswap16(glanced(e, sk, guest.skc_dport, 2, SOCK_GLANCE));
	mapped = glanced(e, sk, guest.skc_rcv_saddr, 4, SOCK_GLANCE);
	if (family == AF_INET) {
		endpoint_set(local, mapped, 0);
		if (!mapped)
			endpoint_set(local, g32(e, sk + guest.inet_saddr), 0);
		endpoint_set(remote, glanced(e, sk, guest.skc_daddr, 4, SOCK_GLANCE), 0);
	} else if (family == AF_INET6 && guest.skc_v6_daddr != KT_ABSENT) {
		endpoint_set(local, glanced(e, sk, guest.skc_v6_rcv_saddr, 8, SOCK_GLANCE),
			     glanced(e, sk, guest.skc_v6_rcv_saddr + 8, 8, SOCK_GLANCE));
		endpoint_set(remote, glanced(e, sk, guest.skc_v6_daddr, 8, SOCK_GLANCE),
			     glanced(e, sk, guest.skc_v6_daddr + 8, 8, SOCK_GLANCE));
		endpoint_unmap(remote);
		if (remote->family == AF_INET) {
			local->family = AF_INET;
			endpoint_set(local, mapped, 0);
		}
	}
	return 0;
}

/*
 * The guest address of the name in a message (struct msghdr; 0: there is none),
 * and its length. At a system call's entry it is where the program has it.
 */
static __always_inline u64 message_name(struct event *e, u64 msg, u32 *len)
{
	u64 name = 0;

	*len = 0;
	if (system_calls) {
		name = e->name;
		if (name)
			*len = e->name_len;
	} else if (msg) {
		name = g64(e, msg + guest.msg_name);
		if (name)
			*len = g32(e, msg + guest.msg_namelen);
	}
	return name;
}

/* The destination that the message names, over the socket's own. */
static __always_inline void message_destination(struct event *e, u64 msg)
{
	u32 len;
	u64 name = message_name(e, msg, &len);
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

/* The unspecified address, too, is this host as a destination. */
static __always_inline bool is_loopback(const struct kt_endpoint *ep)
{
	if (ep->family == AF_INET)
		return ep->address[0] == 127 || !(u32)low(ep);
	return !low(ep) && (high(ep) == 1ULL << 56 || !high(ep));
}

/* Multicast, and the broadcast address of every network. */
static __always_inline bool is_group(const struct kt_endpoint *ep)
{
	if (ep->family == AF_INET)
		return (ep->address[0] & 0xf0) == 0xe0 || (u32)low(ep) == 0xffffffff;
	return ep->address[0] == 0xff;
}

/* --- is it an address of a namespace? ------------------------------------- */

static long address4_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u32 wanted = low(&e->to), mask, network;

	if (!e->walk_node || e->failed ||
	    !scan_goes_on(e, 5 * read_cost(e->walk_node), e->walk_node))
		return 1;
	if (g32(e, e->walk_node + guest.ifa_local) == wanted) {
		e->found_any = 1;
		return 1;
	}
	/* As fib_add_ifaddr() makes broadcast routes; up to 5.13 the network's own address was one.
	 */
	mask = g32(e, e->walk_node + guest.ifa_mask);
	network = g32(e, e->walk_node + guest.ifa_address) & mask;
	if (wanted == g32(e, e->walk_node + guest.ifa_broadcast) ||
	    (__builtin_bswap32(~mask) >= 3 && (wanted == network || wanted == (network | ~mask))))
		e->found_group = 1;
	e->walk_node = g64(e, e->walk_node + guest.ifa_next);
	return 0;
}

static long address6_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u64 node = e->walk_node, address;

	if (!node || node == e->walk_mount || e->failed ||
	    !scan_goes_on(e, 3 * read_cost(node), node))
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

	if (node == e->net + guest.net_dev_base_head || e->failed || e->found_any ||
	    !scan_goes_on(e, 4 * read_cost(node), node))
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

/*
 * 1 when e->to is the address of a device in the network namespace e->net.
 * e->found_group: it is the broadcast address of one.
 */
__noinline int is_device_address(struct event *e)
{
	if (!e)
		return 0;
	scan_open(e);
	e->found_any = 0;
	e->found_group = 0;
	e->walk_dentry = g64(e, e->net + guest.net_dev_base_head);
	walk(e, DEVICES_MAX, device_step);
	return e->found_any;
}

/* 1 when e->to is this host, seen from the network namespace e->net. */
static __always_inline bool is_own_address(struct event *e)
{
	e->found_group = 0;
	return is_loopback(&e->to) || is_device_address(e);
}

/* --- network namespaces --------------------------------------------------- */

static long net_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u64 node = e->walk_node;

	if (!node || node == guest.sym_net_namespace_list || e->failed)
		return 1;
	if (e->net_count >= NETS_MAX) {
		event_fail(e, KT_LOST_WALK_BOUND, node);
		return 1;
	}
	e->nets[bounded(e->net_count, NETS_MAX - 1)] = node - guest.net_list;
	e->net_count++;
	e->walk_node = g64(e, node);
	return 0;
}

/* Fills e->nets[0 .. e->net_count) with all network namespaces of the guest. */
__noinline int nets_collect(struct event *e)
{
	if (!e)
		return 0;
	e->net_count = 0;
	e->walk_node = g64(e, guest.sym_net_namespace_list);
	walk(e, NETS_MAX + 1, net_step);
	return e->net_count;
}

#endif
