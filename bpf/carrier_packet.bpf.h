/* SPDX-License-Identifier: GPL-2.0 */
/* AF_PACKET: what is sent goes out of a device as it is. Always a leak. */
#ifndef KVMTAINT_CARRIER_PACKET_BPF_H
#define KVMTAINT_CARRIER_PACKET_BPF_H

#include "carrier_inet.bpf.h"

#define LL_IFINDEX 4 /* struct sockaddr_ll (include/uapi/linux/if_packet.h) */
#define LL_HALEN   11
#define LL_ADDR	   12

static long find_device_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u64 node = e->walk_dentry, device = node - guest.netdev_list;

	if (node == e->net + guest.net_dev_base_head || e->failed)
		return 1;
	if (g32(e, device + guest.netdev_ifindex) == (u32)e->wanted) {
		e->seek = device;
		return 1;
	}
	e->walk_dentry = g64(e, node);
	return 0;
}

/* The device with index e->wanted in the namespace e->net; 0: none. */
__noinline u64 device_find(struct event *e)
{
	if (!e)
		return 0;
	e->seek = 0;
	e->walk_dentry = g64(e, e->net + guest.net_dev_base_head);
	walk(e, DEVICES_MAX, find_device_step);
	return e->seek;
}

/*
 * In a record: the index in the first four bytes of the address, then the
 * hardware address, whose length is the port; the device's name is the object's.
 */
static __always_inline void packet_send(struct event *e, u64 sk, u64 msg, u64 size)
{
	u32 named, index = 0, len = 0;
	u64 name = message_name(e, msg, &named), device, address = 0;

	if (named >= LL_ADDR) {
		index = g32(e, name + LL_IFINDEX);
		len = g8(e, name + LL_HALEN);
		if (len > 8)
			len = 8;
		if (len && named >= LL_ADDR + len)
			address = g64(e, name + LL_ADDR);
		else
			len = 0;
	}
	if (!index && guest.packet_ifindex != KT_ABSENT)
		index = g32(e, sk + guest.packet_ifindex);
	e->net = g64(e, sk + guest.skc_net);
	e->wanted = index;
	device = device_find(e);
	e->given.name_len = 0;
	if (device && guest_copy(e, device + guest.netdev_name, DEVICE_NAME) == DEVICE_NAME) {
		bpf_probe_read_kernel(e->given.name, DEVICE_NAME, e->scratch);
		e->given.name_len = DEVICE_NAME;
	}
	e->from.family = 0;
	e->to.family = AF_PACKET;
	e->to.port = len;
	endpoint_set(&e->to, index | address << 32, address >> 32);
	leak(e, sk, KT_LEAK_REMOTE, size);
}

#endif
