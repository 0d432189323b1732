/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sockets, as far as all families are alike: which family's file says where a send
 * goes, reads, and the end. AF_ALG is a carrier that has no more than this.
 */
#ifndef KVMTAINT_CARRIER_SOCKET_BPF_H
#define KVMTAINT_CARRIER_SOCKET_BPF_H

#include "carrier_netlink.bpf.h"
#include "carrier_packet.bpf.h"
#include "carrier_unix.bpf.h"
#include "carrier_vsock.bpf.h"

#define AF_ALG 38

/* A managed process sends: where does it go? */
static __always_inline void socket_is_sent_to(struct event *e, u64 sk, u64 msg, u64 size)
{
	u16 family;

	if (!actor_labels(e))
		return;
	family = g16(e, sk + guest.skc_family);
	e->flow = KT_FLOW_SEND;
	switch (family) {
	case AF_UNIX:
		unix_send(e, sk);
		break;
	case AF_INET:
	case AF_INET6:
		inet_send(e, sk, msg, size);
		break;
	case AF_NETLINK:
		netlink_send(e, sk, msg);
		break;
	case AF_PACKET:
		packet_send(e, sk, msg, size);
		break;
	case AF_VSOCK:
		vsock_send(e, sk, msg, size);
		break;
	case AF_ALG:
		/* What goes in comes out of the same socket, transformed. */
		carrier_is_socket(e, sk);
		write_to(e, KT_FLOW_SEND);
		break;
	}
}

/* security_socket_sendmsg(sock, msg, size) */
static __always_inline void on_socket_sendmsg(struct event *e)
{
	e->message = e->args[1];
	if (actor_labels(e))
		socket_is_sent_to(e, g64(e, e->args[0] + guest.socket_sk), e->args[1], e->args[2]);
}

/* sock_sendpage(file, page, offset, size, ...), up to 6.4 */
static __always_inline void on_sock_sendpage(struct event *e)
{
	if (actor_labels(e))
		socket_is_sent_to(
			e, g64(e, g64(e, e->args[0] + guest.file_private_data) + guest.socket_sk),
			0, e->args[3]);
}

/* A socket is read from: what comes too early, or from another VM, is looked for first. */
static __always_inline void socket_is_read(struct event *e, u64 sk)
{
	if (early_count)
		early_read(e, sk);
	carrier_is_socket(e, sk);
	e->flow = KT_FLOW_RECEIVE;
	if (!pending_publish(e))
		reader_overflowed(e);
	if (wires_shared())
		wires_read(e);
	read_locked(e, KT_FLOW_RECEIVE);
}

/* security_socket_recvmsg(sock, msg, size, flags) */
static __always_inline void on_socket_recvmsg(struct event *e)
{
	socket_is_read(e, g64(e, e->args[0] + guest.socket_sk));
}

/* tcp_zerocopy_receive(sk, zc, ...) */
static __always_inline void on_tcp_zerocopy_receive(struct event *e)
{
	socket_is_read(e, e->args[0]);
}

/* security_sk_free(sk) */
static __always_inline void on_sk_free(struct event *e)
{
	struct kt_object_key key = { .gva = e->args[0] }, entry = { .gva = socket_key(e, key.gva) };
	struct kt_socket *socket = bpf_map_lookup_elem(&sockets, &entry);

	if (early_count)
		early_freed(e, key.gva);
	if (wires_shared())
		wire_drop(e, key.gva);
	bpf_map_delete_elem(&routes, &key);
	if (!socket)
		return;
	record_begin(e, KT_RECORD_GONE);
	describe_socket(e, &e->record.target, key.gva);
	if (comes_again(e))
		return;
	e->record.target.ino = socket->ino;
	set_leave(e, &socket->managed, &sockets, &entry);
	record_emit(e);
}

#endif
