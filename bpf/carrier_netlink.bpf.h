/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Netlink between processes: to a port, or to a group. What goes to the kernel
 * (port 0, no group) reaches no other process and is no flow; but for uevents,
 * which it passes on to the group of those that it makes itself.
 */
#ifndef KVMTAINT_CARRIER_NETLINK_BPF_H
#define KVMTAINT_CARRIER_NETLINK_BPF_H

#include "carrier_inet.bpf.h"

#define AF_NETLINK	       16
#define NETLINK_PROTOCOLS      32 /* MAX_LINKS, include/uapi/linux/netlink.h */
#define NETLINK_NAME	       12 /* sizeof(struct sockaddr_nl) */

#define NETLINK_KOBJECT_UEVENT 15
#define UEVENT_GROUP	       1 /* uevent_net_broadcast(), lib/kobject_uevent.c */

/* As netlink_sendmsg() reads it: the message's name over the socket's own; the lowest group. */
static __always_inline void netlink_destination(struct event *e, u64 sk, u64 msg, u32 *port,
						u32 *group)
{
	u32 len, mask;
	u64 name = message_name(e, msg, &len);

	if (len < NETLINK_NAME) {
		*port = g32(e, sk + guest.netlink_dst_portid);
		*group = g32(e, sk + guest.netlink_dst_group);
		return;
	}
	*port = g32(e, name + 4);
	mask = g32(e, name + 8);
	*group = 0;
	for (u32 bit = 0; bit < 32; bit++)
		if (!*group && (mask >> bit & 1))
			*group = bit + 1;
}

static __always_inline void netlink_hash_scan(struct event *e, u64 buckets)
{
	if (g32(e, buckets + guest.bucket_table_nest))
		event_fail(e, KT_LOST_WALK_BOUND, buckets);
	else
		table_scan(e, buckets + guest.bucket_table_buckets,
			   g32(e, buckets + guest.bucket_table_size), 8);
}

/* Every socket with this port in the sender's namespace; a table that grows is two tables. */
__noinline int netlink_port_join(struct event *e, u64 table, u64 port)
{
	u64 buckets, future;

	if (!e)
		return 0;
	scan_begin(e, SCAN_NETLINK, guest.netlink_node);
	e->wanted = port;
	buckets = g64(e, table + guest.netlink_table_hash);
	netlink_hash_scan(e, buckets);
	future = g64(e, buckets + guest.bucket_table_future);
	if (future)
		netlink_hash_scan(e, future);
	receivers_join(e);
	return 0;
}

__noinline int netlink_group_join(struct event *e, u64 table, u64 group)
{
	if (!e)
		return 0;
	scan_begin(e, SCAN_NETLINK_GROUP, guest.skc_bind_node);
	e->wanted = group;
	bucket_scan(e, g64(e, table + guest.netlink_table_mc));
	receivers_join(e);
	return 0;
}

static __always_inline void netlink_send(struct event *e, u64 sk, u64 msg)
{
	u32 protocol = g16(e, sk + guest.sk_protocol), port, group;
	u64 table;

	if (protocol >= NETLINK_PROTOCOLS)
		return;
	netlink_destination(e, sk, msg, &port, &group);
	if (protocol == NETLINK_KOBJECT_UEVENT && !port && !group)
		group = UEVENT_GROUP;
	table = g64(e, guest.sym_nl_table) + (u64)protocol * guest.netlink_table_size;
	e->net = g64(e, sk + guest.skc_net);
	e->seek = sk;
	if (group)
		netlink_group_join(e, table, group);
	if (port)
		netlink_port_join(e, table, port);
}

#endif
