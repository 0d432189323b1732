/* SPDX-License-Identifier: GPL-2.0 */
/*
 * UNIX domain sockets: the receiver of a stream or sequenced-packet socket is its
 * peer; that of a datagram is what security_unix_may_send is asked about.
 */
#ifndef KVMTAINT_CARRIER_UNIX_BPF_H
#define KVMTAINT_CARRIER_UNIX_BPF_H

#include "carrier.bpf.h"

#define AF_UNIX	   1
#define NR_CONNECT 42 /* x86-64 */
#define ENOSYS	   38

static __always_inline void unix_send(struct event *e, u64 sk)
{
	u64 peer;

	if (g16(e, sk + guest.sk_type) == SOCK_DGRAM)
		return;
	peer = g64(e, sk + guest.unix_peer);
	if (!peer)
		return;
	carrier_is_socket(e, peer);
	write_to(e, KT_FLOW_SEND);
}

/* Within a call its result is -ENOSYS; io_uring's work is done on the way out, when that is known.
 */
static __always_inline bool actor_connects(struct event *e)
{
	u64 regs = e->task_flags & PF_IO_WORKER ? 0 : user_regs(e, e->task);

	return regs && !call_is_compat(e, e->task) &&
	       g64(e, regs + PT_REGS_ORIG_AX) == NR_CONNECT &&
	       (s64)g64(e, regs + PT_REGS_AX) == -ENOSYS;
}

/* security_unix_may_send(sock, other): for each datagram, and when connect() asks. */
static __always_inline void on_unix_may_send(struct event *e)
{
	if (!actor_labels(e) || actor_connects(e))
		return;
	carrier_is_socket(e, g64(e, e->args[1] + guest.socket_sk));
	write_to(e, KT_FLOW_SEND);
}

#endif
