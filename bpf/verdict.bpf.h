/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Verdicts: what becomes of a send that is to leak. leak_end() asks the policy. A
 * verdict beyond "reported" is carried out when the handler has ended, by programs
 * of their own (verdict.bpf.h's second half is theirs alone): where nothing but
 * reports is asked for they are not loaded, and no loaded program can write.
 *
 * block: the message loses its data before the guest's kernel looks at them.
 * security_socket_sendmsg() is asked with the msghdr that is sent afterwards; its
 * msg_iter.count is read again behind the hook (sock_sendmsg_nosec()). Set to 0,
 * nothing can be sent. So that the program gets an error, rather than write() == 0 or
 * an empty datagram, the message also gets a control message that is none: its
 * length lies where the count was. TCP, UDP, raw, ping and packet sockets refuse that
 * with EINVAL before they do anything (CMSG_OK()); vsock has no control messages,
 * and refuses MSG_OOB. An error is also what keeps sendmmsg() from sending the next
 * message to the same address without asking the hook (used_address).
 *
 * pause: the vCPU does not enter the guest: SIGSTOP stops the VMM, and whoever lets
 * it go on before time has come finds it stopped again, at kvm_entry.
 */
#ifndef KVMTAINT_VERDICT_BPF_H
#define KVMTAINT_VERDICT_BPF_H

#include "record.bpf.h"
#include "write_check.h"

#define MSG_OOB	     1
#define AF_VSOCK     40
#define CMSGHDR_SIZE 16 /* the least that the guest's kernel takes for a control message */

/* --- the policy ----------------------------------------------------------- */

static long judge_step(u32 at, struct event **at_hand)
{
	struct event *e = *at_hand;
	const struct kt_endpoint *to = &e->record.target.remote;
	struct kt_sink_rule *rule = bpf_map_lookup_elem(&sinks, &at);
	u64 labels;

	if (!rule || !e->undecided)
		return 1;
	labels = rule->labels & e->undecided;
	if (!labels || (rule->leak_kind && rule->leak_kind != e->record.leak_kind))
		return 0;
	if (rule->family &&
	    (rule->family != to->family || (rule->port && rule->port != to->port) ||
	     ((*(const u64 *)to->address ^ rule->address[0]) & rule->mask[0]) ||
	     ((*(const u64 *)(to->address + 8) ^ rule->address[1]) & rule->mask[1])))
		return 0;
	e->undecided &= ~labels;
	if (rule->action > e->record.verdict)
		e->record.verdict = rule->action;
	return 0;
}

/* --- how a send can be stopped --------------------------------------------- */

/* Adds a word to the plan. The enum kt_obstacle that is in the way; 0: none. */
__noinline int plan_write(struct event *e, u64 gva, u64 fresh, u32 size)
{
	struct kt_write *write;
	u32 at, obstacle;
	u64 hva;

	if (!e)
		return KT_OBSTACLE_NOT_RAM;
	at = e->plan.write_count;
	if (at >= KT_WRITES_MAX || (size != 4 && size != 8))
		return KT_OBSTACLE_NOT_RAM;
	write = &e->plan.writes[at];
	hva = guest_where(e, gva);
	obstacle = kt_write_check(&e->slot, hva, size, memory_is_current(e));
	if (obstacle)
		return obstacle;
	write->hva = hva;
	write->size = size;
	write->fresh = fresh;
	write->old = host_read(e, hva, size);
	write->pad = 0;
	if (write->old != fresh)
		e->plan.write_count = at + 1;
	return KT_OBSTACLE_NONE;
}

static __always_inline u32 plan_message(struct event *e, u64 msg)
{
	u64 count = msg + guest.msg_iter_count;
	u32 obstacle, flags;

	if (guest.msg_iter_count == KT_ABSENT || guest.msg_control == KT_ABSENT ||
	    guest.msg_controllen == KT_ABSENT || guest.msg_flags == KT_ABSENT)
		return KT_OBSTACLE_NO_FIELD;
	/* An event that is done again for a page may have stopped it before. */
	if (!g64(e, count) && g64(e, msg + guest.msg_control) == count)
		return KT_OBSTACLE_NONE;
	if (g64(e, count) != e->args[2])
		return KT_OBSTACLE_CHANGED;
	obstacle = plan_write(e, count, 0, 8);
	if (!obstacle)
		obstacle = plan_write(e, msg + guest.msg_control, count, 8);
	if (!obstacle)
		obstacle = plan_write(e, msg + guest.msg_controllen, CMSGHDR_SIZE, 8);
	/* Not the address that sendmmsg() may send to again unasked, nor one to connect to. */
	if (!obstacle)
		obstacle = plan_write(e, msg + guest.msg_namelen, 0, 4);
	if (!obstacle && e->record.target.family == AF_VSOCK) {
		flags = g32(e, msg + guest.msg_flags);
		obstacle = plan_write(e, msg + guest.msg_flags, flags | MSG_OOB, 4);
	}
	return obstacle;
}

/* Fills e->plan; nothing is written yet. */
static __always_inline void verdict_plan(struct event *e, u64 message)
{
	e->plan.write_count = 0;
	e->plan.obstacle = plan_message(e, message);
}

/* --- a leak ------------------------------------------------------------------- */

/*
 * The one way in: e->record is a leak, complete, its destination in target.remote
 * (family 0: one that has no address); the record has its number then. message: guest
 * address of the msghdr that is sent, and no other record may follow before the
 * handler ends, as this one waits for what comes of it. 0: nothing can be stopped, so that "block"
 * is a pause too; the record is out at once, and the VM stands when the event is over.
 */
__noinline int leak_end(struct event *e, u64 message)
{
	u32 verdict;

	if (!e || comes_again(e))
		return 0;
	e->undecided = e->record.labels;
	e->record.verdict = KT_VERDICT_NONE;
	if (sink_count)
		walk(e, sink_count, judge_step);
	verdict = e->record.verdict;
	if (can_hold && verdict > KT_VERDICT_REPORTED && message) {
		verdict_plan(e, message);
		if (comes_again(e))
			return 0;
		record_number(e);
		e->verdict = verdict;
		return 0;
	}
	if (verdict == KT_VERDICT_ALLOWED) {
		e->record.type = KT_RECORD_ALLOWED;
		/* What comes of it elsewhere is explained by what it came from. */
		e->record.seq = e->record.cause;
		if (tell_allowed)
			record_emit(e);
		return 0;
	}
	if (verdict > KT_VERDICT_REPORTED) {
		e->record.verdict = KT_VERDICT_PAUSED;
		if (verdict == KT_VERDICT_BLOCKED)
			e->record.obstacle = KT_OBSTACLE_NO_MESSAGE;
		e->freeze = record_emit(e);
		e->freeze_state = KT_HELD_LEAK;
		return 0;
	}
	e->record.verdict = KT_VERDICT_REPORTED;
	record_emit(e);
	return 0;
}

/* --- block ------------------------------------------------------------------- */

/*
 * Writes one word of guest RAM. That its memslot is current is enough for the
 * write to land where the walk meant: a VMM that takes a memslot away waits for
 * this vCPU, which counts as in guest mode here and has interrupts off
 * (kvm_flush_remote_tlbs() under kvm_set_memslot()), before it may reuse the addresses.
 */
static __always_inline bool write_word(struct event *e, const struct kt_write *write, u64 value)
{
	u32 half = value;

	if (!memory_is_current(e))
		return false;
	if (write->size == 4)
		return !bpf_probe_write_user((void *)write->hva, &half, 4);
	return !bpf_probe_write_user((void *)write->hva, &value, 8);
}

/* Carries the plan out, in the vCPU's thread: all of it or nothing. enum kt_obstacle. */
static __always_inline u32 plan_carry_out(struct event *e)
{
	u32 done = 0;

	for (u32 i = 0; i < KT_WRITES_MAX; i++) {
		if (i >= e->plan.write_count)
			break;
		if (!write_word(e, &e->plan.writes[i], e->plan.writes[i].fresh))
			break;
		done = i + 1;
	}
	if (done >= e->plan.write_count)
		return KT_OBSTACLE_NONE;
	for (u32 i = 0; i < KT_WRITES_MAX; i++)
		if (i < done)
			write_word(e, &e->plan.writes[i], e->plan.writes[i].old);
	return memory_is_current(e) ? KT_OBSTACLE_NOT_WRITABLE : KT_OBSTACLE_STALE_MEMSLOT;
}

/* --- pause ------------------------------------------------------------------- */

/* Whether this vCPU is not to enter the guest. */
static __always_inline bool is_held(u32 vcpu)
{
	struct kt_held *stands = bpf_map_lookup_elem(&held, &vcpu);

	return stands && stands->state && stands->state != KT_HELD_FAILED;
}

/*
 * The vCPU at hand stands from now on; seq: of the record that is out already, or 0.
 * enum kt_obstacle. In the slow path the VM stands already, and no test stops itself.
 */
static __always_inline u32 hold(struct event *e, u32 state, u64 seq)
{
	u32 vcpu = e->vcpu;
	struct kt_held *stands = bpf_map_lookup_elem(&held, &vcpu);

	if (!stands)
		return KT_OBSTACLE_NOT_STOPPED;
	if (stands->state && stands->state != KT_HELD_FAILED)
		return KT_OBSTACLE_NONE;
	if (!stands->state)
		__sync_fetch_and_add(&held_count, 1);
	__builtin_memcpy(stands, &e->plan, sizeof(*stands));
	stands->hook_ns = bpf_ktime_get_ns();
	stands->seq = seq;
	stands->state = state;
	__sync_fetch_and_add(&holds_sent, 1);
	if (e->mode != LIVE || !stop_vm())
		return KT_OBSTACLE_NONE;
	if (seq) {
		stands->state = KT_HELD_FAILED;
	} else {
		stands->state = KT_HELD_NONE;
		__sync_fetch_and_add(&held_count, -1);
	}
	return KT_OBSTACLE_NOT_STOPPED;
}

/* The record that tells of it is out. */
static __always_inline void hold_said(struct event *e, u64 seq)
{
	u32 vcpu = e->vcpu;
	struct kt_held *stands = bpf_map_lookup_elem(&held, &vcpu);

	if (stands)
		stands->seq = seq;
}

#endif
