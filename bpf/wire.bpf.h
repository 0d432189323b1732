/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Data that goes from one traced VM to another of the same host. The sending VM's
 * engine says, before its guest goes on, on which wire labels leave: a TCP
 * connection, by its sequence numbers, which neither equal addresses nor NAT
 * change; or a port of an address. The receiving VM's engine looks when a socket
 * is read from.
 *
 * Who waits in its read already passes no hook any more before it has the data. So
 * each new label on a wire moves the shared epoch, and a VM's next event, whoever's
 * it is, first looks at all readers. It cannot come too late: data arrive after the
 * sender's event, and nobody can do anything with them that matters without an event.
 * Both sides write, then read, with a locked instruction in between, as readers
 * and writers of one VM do (pending.bpf.h).
 */
#ifndef KVMTAINT_WIRE_BPF_H
#define KVMTAINT_WIRE_BPF_H

#include "sock_tables.bpf.h"

#define EEXIST	     17
#define NUMBER_TRIES 4

/* What is looked at for wires costs so much: see scan_goes_on(). */
#define DEVICE_READS  4
#define ADDRESS_READS 16 /* with a look for each VM */
#define READER_READS  10

static __always_inline u64 slot_bit(u32 slot)
{
	return 1ULL << (slot & (KT_WIRE_VMS - 1));
}

static __always_inline bool slot_is_live(u32 slot)
{
	struct kt_wire_state *state = wires_state();

	return state && slot < KT_WIRE_VMS && slot != wire_slot && (state->live & slot_bit(slot));
}

/* --- which wire ------------------------------------------------------------ */

/*
 * Where the numbers of both directions of a connection began: what does not
 * change while it lives. They are read twice, as the guest moves each pair in two steps.
 */
static __always_inline void wire_numbers(struct event *e, u64 sk, u32 *received, u32 *sent)
{
	u32 una, acked, nxt, bytes;

	for (u32 i = 0; i < NUMBER_TRIES; i++) {
		una = g32(e, sk + guest.tcp_snd_una);
		acked = g32(e, sk + guest.tcp_bytes_acked);
		nxt = g32(e, sk + guest.tcp_rcv_nxt);
		bytes = g32(e, sk + guest.tcp_bytes_received);
		*received = nxt - bytes;
		*sent = una - acked;
		if (una == g32(e, sk + guest.tcp_snd_una) &&
		    acked == g32(e, sk + guest.tcp_bytes_acked) &&
		    nxt == g32(e, sk + guest.tcp_rcv_nxt) &&
		    bytes == g32(e, sk + guest.tcp_bytes_received))
			break;
	}
}

static __always_inline void wire_key_numbered(struct kt_wire_key *key, u32 received, u32 sent)
{
	key->address[0] = (u64)received << 32 | sent;
	key->address[1] = 0;
	key->port = 0;
	key->protocol = IPPROTO_TCP;
	key->slot = KT_WIRE_NUMBERED;
	key->pad = 0;
}

/*
 * The same wire as the other end knows it; nth of NUMBERS_SEEN: who opened the
 * connection counts its SYN among the bytes that were acknowledged.
 */
#define NUMBERS_SEEN 4
static __always_inline void wire_key_reversed(struct kt_wire_key *key, u32 nth, u32 received,
					      u32 sent)
{
	wire_key_numbered(key, sent + (nth & 1), received - (nth >> 1));
}

/* --- sending ---------------------------------------------------------------- */

/* Sets e->wire_key to the wire on which sk sends to e->to; protocol 0: none that is shared. */
__noinline int wire_of(struct event *e, u64 sk)
{
	u32 received, sent;
	u16 protocol;
	u8 state;

	if (!e)
		return 0;
	__builtin_memset(&e->wire_key, 0, sizeof(e->wire_key));
	protocol = g16(e, sk + guest.sk_protocol);
	if ((e->to.family != AF_INET && e->to.family != AF_INET6) ||
	    (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP))
		return 0;
	state = g8(e, sk + guest.skc_state);
	if (protocol == IPPROTO_TCP && state != TCP_CLOSE && state != TCP_SYN_SENT) {
		wire_numbers(e, sk, &received, &sent);
		wire_key_numbered(&e->wire_key, received, sent);
		return 0;
	}
	if (!e->found_group && !is_group(&e->to)) {
		e->wire_key.address[0] = low(&e->to);
		e->wire_key.address[1] = high(&e->to);
	}
	e->wire_key.port = e->to.port;
	e->wire_key.protocol = protocol;
	e->wire_key.slot = wire_slot;
	return 0;
}

/* There is no room for the wire: from now on whatever the other VMs receive may be on it. */
static __always_inline void wire_overflowed(struct event *e, struct kt_wire_state *state)
{
	u32 slot = wire_slot;
	struct kt_wire_vm *own = bpf_map_lookup_elem(&wire_vms, &slot);
	u64 grown;

	if (!own)
		return;
	grown = e->record.labels & ~__sync_fetch_and_or(&own->overflow, e->record.labels);
	if (!grown)
		return;
	e->record.cause = e->record.seq;
	e->record.type = KT_RECORD_LOST;
	e->record.lost = KT_LOST_WIRE_FULL;
	e->record.flags &= ~KT_RECORD_HAS_BYTES;
	e->record.bytes = 0;
	e->record.labels = own->overflow;
	e->record.added = grown;
	own->overflow_cause = record_emit(e);
	__sync_fetch_and_or(&state->overflow, slot_bit(slot));
	__sync_fetch_and_add(&state->epoch, 1);
}

/* The leak that e->record tells of goes out on the wire e->wire_key. */
__noinline int wire_publish(struct event *e)
{
	struct kt_wire_state *state = wires_state();
	struct kt_wire fresh = {}, *wire;
	struct kt_wire_key key;
	bool is_new = false;
	int failed; /* not long: see set.bpf.h */

	if (!e || !state)
		return 0;
	key = e->wire_key;
	fresh.labels = e->record.labels;
	fresh.cause = e->record.seq;
	fresh.run = wire_run;
	fresh.used_ns = bpf_ktime_get_ns();
	fresh.slot = wire_slot;
	wire = bpf_map_lookup_elem(&wires, &key);
	if (!wire) {
		failed = bpf_map_update_elem(&wires, &key, &fresh, BPF_NOEXIST);
		if (failed && failed != -EEXIST) {
			wire_overflowed(e, state);
			return 0;
		}
		if (!failed) {
			__sync_fetch_and_add(&state->count, 1);
			is_new = true;
		}
		wire = bpf_map_lookup_elem(&wires, &key);
	}
	/* Another connection's numbers, or those of a run that is over. */
	if (wire && wire->run != wire_run)
		is_new = !bpf_map_update_elem(&wires, &key, &fresh, BPF_EXIST);
	else if (wire && !is_new) {
		wire->used_ns = fresh.used_ns;
		if (fresh.labels & ~__sync_fetch_and_or(&wire->labels, fresh.labels)) {
			wire->cause = fresh.cause;
			is_new = true;
		}
	}
	if (!is_new)
		return 0;
	if (key.slot != KT_WIRE_NUMBERED)
		__sync_fetch_and_or(&state->ports[bounded(key.port >> 6, 1023)],
				    1ULL << (key.port & 63));
	__sync_fetch_and_add(&state->epoch, 1);
	return 0;
}

/* --- labels of other VMs ------------------------------------------------------ */

/* A bit for a label of this name, which the policy does not have; NULL: all 64 are in use. */
static __always_inline u32 *label_new(const char *name)
{
	u32 slot = wire_slot, bit = __sync_fetch_and_add(&labels_used, 1);
	struct kt_wire_vm *own = bpf_map_lookup_elem(&wire_vms, &slot);

	if (!own || bit >= KT_LABELS_MAX) {
		__sync_fetch_and_add(&labels_used, -1);
		return NULL;
	}
	bpf_probe_read_kernel(own->labels[bounded(bit, KT_LABELS_MAX - 1)], KT_LABEL_LEN, name);
	bpf_map_update_elem(&label_bits, name, &bit, BPF_NOEXIST);
	return bpf_map_lookup_elem(&label_bits, name);
}

static long label_step(u32 bit, struct event **at_hand)
{
	struct event *e = *at_hand;
	u32 slot = e->wire_from, *ours;
	struct kt_wire_vm *vm = bpf_map_lookup_elem(&wire_vms, &slot);

	if (!vm)
		return 1;
	if (!(e->wire_labels >> (bit & 63) & 1))
		return 0;
	ours = bpf_map_lookup_elem(&label_bits, vm->labels[bounded(bit, KT_LABELS_MAX - 1)]);
	if (!ours)
		ours = bpf_map_lookup_elem(&label_bits, vm->from);
	if (!ours)
		ours = label_new(vm->from);
	e->wire_translated |= ours ? 1ULL << (*ours & 63) : all_labels;
	return 0;
}

/* Labels of the VM in a slot as this VM calls them: by name, else by the VM's own. */
__noinline u64 wire_labels(struct event *e, u32 slot, u64 labels)
{
	if (!e)
		return 0;
	e->wire_from = slot;
	e->wire_labels = labels;
	e->wire_translated = 0;
	walk(e, KT_LABELS_MAX, label_step);
	return e->wire_translated;
}

/* --- receiving ------------------------------------------------------------------ */

static __always_inline struct kt_wire *wire_found(struct event *e)
{
	u32 at = e->wire_count;

	if (at >= WIRES_FOUND) {
		event_fail(e, KT_LOST_WALK_BOUND, e->carrier);
		return NULL;
	}
	e->wire_count = at + 1;
	return &e->wires_found[at & (WIRES_FOUND - 1)];
}

/* Adds the wire of this key to those that were found, if another VM sends on it. */
static __always_inline void wire_look(struct event *e, struct kt_wire_key *key)
{
	struct kt_wire *wire = bpf_map_lookup_elem(&wires, key), *found;
	struct kt_wire_vm *vm;
	u32 slot;

	if (!wire)
		return;
	slot = wire->slot;
	vm = bpf_map_lookup_elem(&wire_vms, &slot);
	if (!vm || !slot_is_live(slot) || vm->run != wire->run)
		return;
	found = wire_found(e);
	if (found)
		*found = *wire;
}

static long wire_slot_step(u32 slot, struct event **at_hand)
{
	struct event *e = *at_hand;
	struct kt_wire_key key = e->wire_key;

	if (!slot_is_live(slot))
		return 0;
	key.slot = slot;
	wire_look(e, &key);
	return 0;
}

static long wire_overflow_step(u32 slot, struct event **at_hand)
{
	struct kt_wire_state *state = wires_state();
	struct kt_wire_vm *vm = bpf_map_lookup_elem(&wire_vms, &slot);
	struct event *e = *at_hand;
	struct kt_wire *found;

	if (!state || !vm)
		return 1;
	if (!slot_is_live(slot) || !(state->overflow & slot_bit(slot)))
		return 0;
	found = wire_found(e);
	if (!found)
		return 1;
	found->labels = vm->overflow;
	found->cause = vm->overflow_cause;
	found->slot = slot;
	return 0;
}

/* All VMs' wires to this address, on the port and by the protocol of e->wire_key. */
static __always_inline void wires_to(struct event *e, u64 first, u64 second)
{
	e->wire_key.address[0] = first;
	e->wire_key.address[1] = second;
	walk(e, KT_WIRE_VMS, wire_slot_step);
}

static long wire_address4_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;

	if (!e->walk_node || e->failed ||
	    !scan_goes_on(e, ADDRESS_READS * read_cost(e->walk_node), e->walk_node))
		return 1;
	wires_to(e, g32(e, e->walk_node + guest.ifa_local), 0);
	e->walk_node = g64(e, e->walk_node + guest.ifa_next);
	return 0;
}

static long wire_address6_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u64 node = e->walk_node, address;

	if (!node || node == e->walk_mount || e->failed ||
	    !scan_goes_on(e, ADDRESS_READS * read_cost(node), node))
		return 1;
	address = node - guest.inet6_ifaddr_list + guest.inet6_ifaddr_addr;
	wires_to(e, g64(e, address), g64(e, address + 8));
	e->walk_node = g64(e, node);
	return 0;
}

/* The addresses of one device; a socket of IPv6 may receive by both protocols. */
static long wire_device_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u64 node = e->walk_dentry, device = node - guest.netdev_list, in;

	if (node == e->net + guest.net_dev_base_head || e->failed ||
	    !scan_goes_on(e, DEVICE_READS * read_cost(node), node))
		return 1;
	in = g64(e, device + guest.netdev_ip_ptr);
	e->walk_node = in ? g64(e, in + guest.in_device_ifa_list) : 0;
	walk(e, ADDRESSES_MAX, wire_address4_step);
	if (e->from.family == AF_INET6 && guest.netdev_ip6_ptr != KT_ABSENT) {
		in = g64(e, device + guest.netdev_ip6_ptr);
		e->walk_mount = in + guest.inet6_addr_list;
		e->walk_node = in ? g64(e, e->walk_mount) : 0;
		walk(e, ADDRESSES_MAX, wire_address6_step);
	}
	e->walk_dentry = g64(e, node);
	return 0;
}

/* Wires to the local address of sk, e->from; where it has none, to all of its namespace. */
static __always_inline void wires_by_address(struct event *e, u64 sk, u16 protocol)
{
	__builtin_memset(&e->wire_key, 0, sizeof(e->wire_key));
	e->wire_key.port = e->from.port;
	e->wire_key.protocol = protocol;
	wires_to(e, 0, 0);
	endpoint_unmap(&e->from);
	if (low(&e->from) | high(&e->from)) {
		wires_to(e, low(&e->from), high(&e->from));
		return;
	}
	scan_open(e);
	e->net = g64(e, sk + guest.skc_net);
	e->walk_dentry = g64(e, e->net + guest.net_dev_base_head);
	walk(e, DEVICES_MAX, wire_device_step);
}

/* Fills e->wires_found[0 .. e->wire_count) with the wires that end at sk. */
__noinline int wires_find(struct event *e, u64 sk)
{
	struct kt_wire_state *state = wires_state();
	struct kt_wire_key key;
	u32 received, sent;
	u16 protocol, family;

	if (!e || !state)
		return 0;
	e->wire_count = 0;
	if (!state->count && !state->overflow)
		return 0;
	family = g16(e, sk + guest.skc_family);
	protocol = g16(e, sk + guest.sk_protocol);
	if ((family != AF_INET && family != AF_INET6) ||
	    (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP))
		return 0;
	if (protocol == IPPROTO_TCP) {
		wire_numbers(e, sk, &received, &sent);
		for (u32 nth = 0; nth < NUMBERS_SEEN; nth++) {
			wire_key_reversed(&key, nth, received, sent);
			wire_look(e, &key);
		}
	}
	socket_endpoints(e, sk, &e->from, &e->to);
	if (state->ports[bounded(e->from.port >> 6, 1023)] >> (e->from.port & 63) & 1)
		wires_by_address(e, sk, protocol);
	if (state->overflow && (!e->to.port || !is_loopback(&e->to)))
		walk(e, KT_WIRE_VMS, wire_overflow_step);
	return 0;
}

/* The socket takes what its wires bring. */
static __always_inline void wires_join(struct event *e, u64 sk)
{
	struct kt_wire_vm *vm;
	struct kt_wire *wire;
	u64 labels;
	u32 slot;

	for (u32 i = 0; i < WIRES_FOUND; i++) {
		if (i >= e->wire_count || comes_again(e))
			break;
		wire = &e->wires_found[i];
		slot = wire->slot;
		vm = bpf_map_lookup_elem(&wire_vms, &slot);
		if (!vm)
			break;
		__builtin_memset(&e->given, 0, sizeof(e->given));
		e->given.kind = KT_KIND_VM;
		e->given.pid = vm->pid;
		e->given.ino = wire->cause;
		bpf_probe_read_kernel(e->given.name, KT_NAME_LEN, vm->name);
		e->given.name_len = KT_NAME_LEN;
		labels = wire_labels(e, slot, wire->labels);
		carrier_is_socket(e, sk);
		e->cause = 0;
		e->flow = KT_FLOW_WIRE;
		carrier_join(e, labels, BY_WIRE);
	}
}

/* The socket at hand is about to be read from, and its reader is published. */
__noinline int wires_read(struct event *e)
{
	u64 sk;

	if (!e)
		return 0;
	sk = e->carrier;
	wires_find(e, sk);
	wires_join(e, sk);
	carrier_is_socket(e, sk);
	return 0;
}

static long wire_reader_step(u32 slot, struct event **at_hand)
{
	struct event *e = *at_hand;
	volatile struct kt_reader *reader = bpf_map_lookup_elem(&readers, &slot);
	u64 sk;

	if (!reader || comes_again(e))
		return 1;
	sk = reader->carrier;
	if (!sk || reader->kind != KT_KIND_SOCKET)
		return 0;
	if (!scan_goes_on(e, READER_READS * read_cost(sk), sk))
		return 1;
	wires_find(e, sk);
	wires_join(e, sk);
	return 0;
}

static __always_inline bool wires_are_new(void)
{
	struct kt_wire_state *state = wires_state();

	return state && state->epoch != wires_seen;
}

/* Every socket that somebody may be reading takes what came on its wires. */
static __always_inline void wires_scan(struct event *e)
{
	struct kt_wire_state *state = wires_state();

	if (!state)
		return;
	e->wires_epoch = state->epoch;
	if (e->wires_epoch == wires_seen)
		return;
	scan_open(e);
	walk(e, slots_used, wire_reader_step);
}

/* The socket sk is freed: nobody will read what its connection brought. */
__noinline int wire_drop(struct event *e, u64 sk)
{
	struct kt_wire_state *state = wires_state();
	struct kt_wire_key key;
	struct kt_wire *wire;
	u32 received, sent;

	if (!e || !state || !state->count || g16(e, sk + guest.sk_protocol) != IPPROTO_TCP ||
	    (g16(e, sk + guest.skc_family) != AF_INET && g16(e, sk + guest.skc_family) != AF_INET6))
		return 0;
	wire_numbers(e, sk, &received, &sent);
	for (u32 nth = 0; nth < NUMBERS_SEEN; nth++) {
		wire_key_reversed(&key, nth, received, sent);
		wire = bpf_map_lookup_elem(&wires, &key);
		if (wire && wire->slot != wire_slot && !bpf_map_delete_elem(&wires, &key))
			__sync_fetch_and_add(&state->count, -1);
	}
	return 0;
}

#endif
