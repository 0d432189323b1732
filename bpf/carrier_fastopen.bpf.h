/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TCP fast open. sendto(MSG_FASTOPEN) passes its only LSM hook before the socket has a port;
 * the receiver comes into being by the SYN, or after it, and the data may be read
 * when the sender is gone. So what a managed process sends so to this guest is
 * kept by the connection's two ends, until the first read on the other side.
 */
#ifndef KVMTAINT_CARRIER_FASTOPEN_BPF_H
#define KVMTAINT_CARRIER_FASTOPEN_BPF_H

#include "carrier_inet.bpf.h"

static __always_inline void tuple_of(struct event *e, const struct kt_endpoint *from,
				     const struct kt_endpoint *to, struct kt_tuple *tuple)
{
	tuple->net = e->net;
	tuple->from[0] = low(from);
	tuple->from[1] = high(from);
	tuple->to[0] = low(to);
	tuple->to[1] = high(to);
	tuple->ports = (u64)from->port << 16 | to->port;
}

static __always_inline void early_forget(const struct kt_tuple *tuple)
{
	if (!bpf_map_delete_elem(&early_data, tuple))
		__sync_fetch_and_add(&early_count, -1);
}

/* tcp_fastopen_cookie_check(sk, mss, cookie): connect() is about to send its SYN. */
static __always_inline void on_tcp_fastopen(struct event *e)
{
	u64 sk = e->args[0], labels = actor_labels(e);
	struct kt_tuple tuple = {};
	struct fresh *fresh = fresh_entry();

	if (!fresh || (!labels && !early_count))
		return;
	e->net = g64(e, sk + guest.skc_net);
	socket_endpoints(e, sk, &e->from, &e->to);
	if (!is_own_address(e) || comes_again(e))
		return;
	tuple_of(e, &e->from, &e->to, &tuple);
	early_forget(&tuple);
	if (!labels)
		return;
	__builtin_memset(&fresh->early, 0, sizeof(fresh->early));
	fresh->early.labels = labels;
	fresh->early.cause = e->cause;
	describe_process(e, &fresh->early.sender, actor_task(e));
	if (comes_again(e))
		return;
	if (bpf_map_update_elem(&early_data, &tuple, &fresh->early, BPF_ANY))
		event_fail(e, KT_LOST_SET_FULL, KT_KIND_SOCKET);
	else
		__sync_fetch_and_add(&early_count, 1);
}

/* The socket at hand is read: what was sent before it was there is now in it. */
__noinline int early_arrives(struct event *e)
{
	struct kt_tuple tuple = {};
	struct kt_early *early;
	u64 sk;

	if (!e)
		return 0;
	sk = e->carrier;
	if (g16(e, sk + guest.sk_protocol) != IPPROTO_TCP)
		return 0;
	e->net = g64(e, sk + guest.skc_net);
	socket_endpoints(e, sk, &e->from, &e->to);
	tuple_of(e, &e->to, &e->from, &tuple);
	early = bpf_map_lookup_elem(&early_data, &tuple);
	if (!early)
		return 0;
	e->flow = KT_FLOW_SEND;
	e->cause = early->cause;
	bpf_probe_read_kernel(&e->sender, sizeof(e->sender), &early->sender);
	carrier_join(e, early->labels, BY_SENDER);
	if (!comes_again(e))
		early_forget(&tuple);
	return 0;
}

#endif
