/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Keys: struct key. A keyring holds keys, not data, and is no carrier. Payloads
 * are written and read under the guest's own locks (key_construction_mutex, key->sem).
 */
#ifndef KVMTAINT_CARRIER_KEY_BPF_H
#define KVMTAINT_CARRIER_KEY_BPF_H

#include "carrier.bpf.h"

#define NR_KEYCTL    250 /* x86-64 */
#define NR_KEYCTL_32 288
#define KEYCTL_READ  11

static __always_inline void carrier_is_key(struct event *e, u64 key)
{
	carrier_is_object(e, KT_KIND_KEY, key);
}

/* generic_key_instantiate(key, prep), of every type that keeps its payload as it came */
static __always_inline void on_key_instantiate(struct event *e)
{
	if (!actor_labels(e))
		return;
	carrier_is_key(e, e->args[0]);
	write_to(e, KT_FLOW_WRITE);
}

/* user_update(key, prep) */
#define on_key_update on_key_instantiate

/* request_key_auth_instantiate(key, prep): the payload has the caller's callout data. */
#define on_key_request on_key_instantiate

/* True in keyctl(KEYCTL_READ, ...), and where a process hides which call it is in. */
static __always_inline bool actor_reads_key(struct event *e)
{
	u64 regs = user_regs(e, actor_task(e));
	u32 nr;

	if (!regs)
		return !actor_is_kthread(e);
	nr = g64(e, regs + PT_REGS_ORIG_AX);
	if (call_is_compat(e, actor_task(e)))
		return nr == NR_KEYCTL_32 && g32(e, regs + PT_REGS_BX) == KEYCTL_READ;
	return (nr & ~X32_CALL) == NR_KEYCTL && g32(e, regs + PT_REGS_DI) == KEYCTL_READ;
}

/*
 * key_validate(key): the last question before the payload is copied out, with
 * key->sem held. Others ask it too, to look a key up.
 */
static __always_inline void on_key_validate(struct event *e)
{
	carrier_is_key(e, e->args[0]);
	if (carrier_labels(e) && actor_reads_key(e))
		read_locked(e, KT_FLOW_READ);
}

/* security_key_free(key), by the guest's garbage collector */
static __always_inline void on_key_free(struct event *e)
{
	struct kt_object_key key = { .gva = e->args[0] };
	struct kt_key *found = bpf_map_lookup_elem(&keys, &key);

	if (!found)
		return;
	record_begin(e, KT_RECORD_GONE);
	describe_key(e, &e->record.target, key.gva);
	if (comes_again(e))
		return;
	set_leave(e, &found->managed, &keys, &key);
	record_emit(e);
}

#endif
