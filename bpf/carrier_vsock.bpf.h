/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vsock: to the host and to other VMs a leak; over the loopback transport to the
 * socket at the other end. Its table is in a module, which has no symbols here:
 * every connected socket hangs in a ring whose head lies in the table.
 */
#ifndef KVMTAINT_CARRIER_VSOCK_BPF_H
#define KVMTAINT_CARRIER_VSOCK_BPF_H

#include "carrier_inet.bpf.h"

#define AF_VSOCK	40
#define VSOCK_HASH_SIZE 251 /* net/vmw_vsock/af_vsock.c, since 3.9 */
#define VSOCK_NAME	16 /* sizeof(struct sockaddr_vm) */

/* A vsock address in a record: cid, then port, in the host's byte order. */
static __always_inline void vsock_endpoint(struct event *e, struct kt_endpoint *ep, u64 address)
{
	ep->family = AF_VSOCK;
	ep->port = 0;
	endpoint_set(ep, g32(e, address + VM_CID) | (u64)g32(e, address + VM_PORT) << 32, 0);
}

static long ring_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;

	if (e->walk_node - guest.direct_map >= guest.direct_map_size || e->failed)
		return 1;
	e->walk_node = g64(e, e->walk_node);
	return 0;
}

/*
 * The receiver joins; returns how many were found. The ring of sk starts at
 * vsock_connected_table[(remote cid ^ local port) % VSOCK_HASH_SIZE].
 */
__noinline int vsock_receiver_join(struct event *e, u64 sk)
{
	u64 local = sk + modules.vsock_local, remote = sk + modules.vsock_remote;
	u32 index;

	if (!e)
		return 0;
	scan_begin(e, SCAN_VSOCK, modules.vsock_connected);
	e->seek = sk;
	e->walk_node = g64(e, sk + modules.vsock_connected);
	if (walk(e, CHAIN_MAX, ring_step) >= CHAIN_MAX || e->failed)
		return 0;
	index = (g32(e, remote + VM_CID) ^ g32(e, local + VM_PORT)) % VSOCK_HASH_SIZE;
	table_scan(e, e->walk_node - index * 16ULL, VSOCK_HASH_SIZE, 16);
	receivers_join(e);
	return e->found_count;
}

static __always_inline void vsock_send(struct event *e, u64 sk, u64 msg, u64 size)
{
	u32 len;
	u64 local = sk + modules.vsock_local, remote = sk + modules.vsock_remote;
	u64 name = message_name(e, msg, &len);
	bool named = len >= VSOCK_NAME;

	/* Not the layout that we know: the leak is told, its address is not. */
	if (g16(e, local) != AF_VSOCK || g16(e, remote) != AF_VSOCK) {
		e->from.family = e->to.family = 0;
		leak(e, sk, KT_LEAK_REMOTE, size);
		return;
	}
	vsock_endpoint(e, &e->from, local);
	vsock_endpoint(e, &e->to, named ? name : remote);
	if (g16(e, sk + guest.sk_type) != SOCK_DGRAM && vsock_receiver_join(e, sk))
		return;
	send_leaks(e, sk,
		   (u32)low(&e->to) == VMADDR_CID_LOCAL ? KT_LEAK_UNRESOLVED : KT_LEAK_REMOTE,
		   size);
}

#endif
