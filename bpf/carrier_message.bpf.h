/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Messages of System V and POSIX queues: struct msg_msg. The message is the
 * carrier, not the queue, so a clean message stays clean beside a classified one,
 * and the system call's descriptor, which another thread may be exchanging, is
 * not asked. The sender labels the message before anybody else can see it, and its
 * one receiver takes it after any wait, so that no reader races with a writer.
 *
 * An address that a message had before means nothing: each new one sets or clears
 * what its address has. One that was never received (its queue was removed, its
 * send failed) keeps its entry until then.
 */
#ifndef KVMTAINT_CARRIER_MESSAGE_BPF_H
#define KVMTAINT_CARRIER_MESSAGE_BPF_H

#include "carrier.bpf.h"

/* Records that the acting process sends labels; returns the seq, or 0: the event comes again. */
static __always_inline u64 message_record(struct event *e, u64 labels)
{
	u64 cause = e->cause;

	record_begin(e, KT_RECORD_SPREAD);
	record_actor(e);
	describe_carrier(e, &e->record.target);
	e->record.source = e->record.actor;
	if (comes_again(e))
		return 0;
	e->record.cause = cause;
	e->record.labels = labels;
	e->record.added = labels;
	return record_emit(e);
}

/* The set has no room for the message at hand: each that is not in it counts as having labels. */
static __always_inline void message_overflowed(struct event *e, u64 labels, u64 cause)
{
	u64 said;

	if (comes_again(e) || !(labels & ~overflow(KT_KIND_MESSAGE, &said)))
		return;
	record_begin(e, KT_RECORD_LOST);
	record_actor(e);
	describe_carrier(e, &e->record.target);
	if (!comes_again(e))
		set_overflowed(e, KT_KIND_MESSAGE, labels, cause);
}

/*
 * security_msg_msg_alloc(msg), when the sender's data are in it. A record for the
 * first message of a process with these labels; later ones name it as their cause.
 */
static __always_inline void on_msg_alloc(struct event *e)
{
	struct kt_object_key key = { .gva = e->args[0] }, process = { .gva = actor_signal(e) };
	u64 labels = actor_labels(e), cause, grown;
	struct kt_process *sender;
	struct fresh *fresh;
	bool known;

	bpf_map_delete_elem(&messages, &key);
	fresh = fresh_entry();
	if (!labels || !fresh)
		return;
	carrier_is_object(e, KT_KIND_MESSAGE, key.gva);
	e->flow = KT_FLOW_SEND;
	sender = bpf_map_lookup_elem(&processes, &process);
	known = sender && !(labels & ~sender->sent);
	cause = known ? sender->sent_cause : message_record(e, labels);
	if (!cause)
		return;
	if (sender && !known) {
		sender->sent_cause = cause;
		__sync_fetch_and_or(&sender->sent, labels);
	}
	fresh->message.managed.labels = 0;
	fresh->message.managed.told = labels;
	fresh->message.managed.cause = cause;
	fresh->message.managed.since_ns = bpf_ktime_get_ns();
	fresh->message.recorded = !known;
	if (!messages_add(e, &key, &fresh->message, labels, &grown))
		message_overflowed(e, labels, cause);
}

/*
 * copy_msg(src, dst): msgrcv() with MSG_COPY receives a copy; it has the labels of both.
 * The copy of what did not fit into the set is not in it either.
 */
static __always_inline void on_msg_copy(struct event *e)
{
	struct kt_object_key from = { .gva = e->args[0] }, to = { .gva = e->args[1] };
	struct kt_message *message = bpf_map_lookup_elem(&messages, &from);
	struct fresh *fresh = fresh_entry();
	u64 grown;

	if (!message || !fresh)
		return;
	fresh->message.managed = message->managed;
	fresh->message.recorded = 0;
	carrier_is_object(e, KT_KIND_MESSAGE, to.gva);
	e->flow = KT_FLOW_RECEIVE;
	if (!messages_add(e, &to, &fresh->message, message->managed.labels, &grown))
		message_overflowed(e, message->managed.labels, message->managed.cause);
}

/* store_msg(dest, msg, len): the receiver takes it; the guest frees it next. */
static __always_inline void on_msg_store(struct event *e)
{
	struct kt_object_key key = { .gva = e->args[1] };
	struct kt_message *message = bpf_map_lookup_elem(&messages, &key);
	bool recorded;

	carrier_is_object(e, KT_KIND_MESSAGE, key.gva);
	read_locked(e, KT_FLOW_RECEIVE);
	if (!message)
		return;
	recorded = message->recorded;
	record_begin(e, KT_RECORD_GONE);
	record_actor(e);
	describe_carrier(e, &e->record.target);
	if (comes_again(e))
		return;
	set_leave(e, &message->managed, &messages, &key);
	if (recorded)
		record_emit(e);
}

#endif
