/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The rules, over any carrier: a process that reads takes the carrier's labels
 * (P2, P6), a carrier that is written takes the process's (P3, P5). A handler
 * says which carrier (carrier_is_*), then read_from() or write_to().
 *
 * Labels are only ever ORed in, so that two vCPUs that unite at once lose none.
 */
#ifndef KVMTAINT_CARRIER_BPF_H
#define KVMTAINT_CARRIER_BPF_H

#include "record.bpf.h"

/* --- sets ---------------------------------------------------------------- */

/*
 * Defines managed_<set>(key, fresh, add): the entry of key, made from *fresh if
 * there is none, with labels add united in; *grown are those it did not have.
 * NULL: the set is full. An entry may be deleted and its memory reused between
 * lookup and OR, so the key must still lead to it afterwards.
 */
#define DEFINE_SET(set, key_type, value_type)						\
static __always_inline struct kt_managed *						\
set##_add(key_type *key, value_type *fresh, u64 add, u64 *grown)			\
{											\
	value_type *value, *again;							\
											\
	for (int attempt = 0; attempt < 3; attempt++) {					\
		value = bpf_map_lookup_elem(&set, key);					\
		if (!value) {								\
			bpf_map_update_elem(&set, key, fresh, BPF_NOEXIST);		\
			value = bpf_map_lookup_elem(&set, key);				\
			if (!value)							\
				continue;						\
		}									\
		*grown = add & ~__sync_fetch_and_or(&value->managed.labels, add);	\
		again = bpf_map_lookup_elem(&set, key);					\
		if (again == value)							\
			return &again->managed;						\
	}										\
	return NULL;									\
}

static __always_inline struct fresh *fresh_entry(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&fresh_entries, &zero);
}

DEFINE_SET(files, struct kt_file_key, struct kt_file)
DEFINE_SET(processes, struct kt_object_key, struct kt_process)
DEFINE_SET(sockets, struct kt_object_key, struct kt_socket)
DEFINE_SET(pipes, struct kt_object_key, struct kt_pipe)
DEFINE_SET(messages, struct kt_object_key, struct kt_message)
DEFINE_SET(keys, struct kt_object_key, struct kt_key)

/*
 * The set could not take the object that e->record tells of: from now on what is
 * not in it counts as having the labels. One record says so, and explains them.
 * Another vCPU may have found room for the object meanwhile: the caller looks
 * for it after this, the other looks at overflow_labels after it has put it in,
 * so that one of them sees the other.
 */
static __always_inline void set_overflowed(struct event *e, u32 kind, u64 labels, u64 cause)
{
	u32 at = bounded(kind, KT_KINDS_MAX - 1);
	u64 grown = labels & ~__sync_fetch_and_or(&overflow_labels[at], labels);

	if (!grown)
		return;
	e->record.type = KT_RECORD_LOST;
	e->record.lost = KT_LOST_SET_FULL;
	e->record.cause = cause;
	e->record.labels = overflow_labels[at];
	e->record.added = grown;
	overflow_cause[at] = record_emit(e);
}

/*
 * managed is new in its set: it keeps what it counted as having before. Read
 * only now, when who finds the set full finds the entry.
 */
static __always_inline void keep_overflow(struct kt_managed *managed, u32 kind, u64 *grown)
{
	u64 labels = overflow_labels[bounded(kind, KT_KINDS_MAX - 1)];

	if (labels)
		*grown |= labels & ~__sync_fetch_and_or(&managed->labels, labels);
}

/* --- which carrier ------------------------------------------------------- */

static __always_inline void carrier_is_socket(struct event *e, u64 sk)
{
	e->carrier_kind = KT_KIND_SOCKET;
	e->carrier = sk;
	e->file = 0;
}

static __always_inline void carrier_is_pipe(struct event *e, u64 pipe, u64 ino)
{
	e->carrier_ino = ino;
	e->carrier_kind = KT_KIND_PIPE;
	e->carrier = pipe;
	e->file = 0;
}

static __always_inline void carrier_is_object(struct event *e, u32 kind, u64 gva)
{
	e->carrier_kind = kind;
	e->carrier = gva;
	e->file = 0;
}

/*
 * The memory and registers of another process, known by its address space; task
 * is any of its threads. False: it is the actor's own, or there is none.
 */
static __always_inline bool carrier_is_memory(struct event *e, u64 mm, u64 task)
{
	if (!mm || !task || mm == actor_mm(e))
		return false;
	e->carrier_kind = KT_KIND_PROCESS;
	e->carrier = mm;
	e->file = task;
	return true;
}

/* The carrier's entry in its set; NULL: it is in none. */
static __always_inline struct kt_managed *carrier_managed(struct event *e)
{
	struct kt_object_key key = { .gva = e->carrier };
	struct kt_file_key file = e->key;

	switch (e->carrier_kind) {
	case KT_KIND_FILE:
		return bpf_map_lookup_elem(&files, &file);
	case KT_KIND_SOCKET:
		return bpf_map_lookup_elem(&sockets, &key);
	case KT_KIND_PIPE:
		return bpf_map_lookup_elem(&pipes, &key);
	case KT_KIND_PROCESS:
		key.gva = g64(e, e->file + guest.task_signal);
		return bpf_map_lookup_elem(&processes, &key);
	case KT_KIND_MESSAGE:
		return bpf_map_lookup_elem(&messages, &key);
	case KT_KIND_KEY:
		return bpf_map_lookup_elem(&keys, &key);
	}
	return NULL;
}

#include "work.bpf.h"

/* Labels of the carrier, and e->cause. */
static __always_inline u64 carrier_labels(struct event *e)
{
	struct kt_managed *managed = carrier_managed(e), *shared = NULL;
	struct kt_object_key mm = { .gva = e->carrier };
	u64 labels = managed ? managed->labels : 0;

	if (managed)
		e->cause = managed->cause;
	else
		labels = overflow(e->carrier_kind, &e->cause);
	if (e->carrier_kind == KT_KIND_PROCESS && shared_mm_count)
		shared = bpf_map_lookup_elem(&shared_mms, &mm);
	if (shared && (shared->labels & ~labels)) {
		e->cause = shared->cause;
		labels |= shared->labels;
	}
	return labels;
}

/* --- describing carriers ------------------------------------------------- */

/* Inode number of a socket; 0 before accept() gave it one. */
static __always_inline u64 socket_ino(struct event *e, u64 sk)
{
	u64 socket = g64(e, sk + guest.sk_socket);

	return socket ? g64(e, socket + guest.socket_alloc_inode + guest.inode_ino) : 0;
}

/* Who brings the labels that a carrier takes. */
enum bringer {
	BY_POLICY,
	BY_ACTOR,
	BY_GIVEN,	/* e->given */
	BY_MAPPER,	/* the process that is walked has it mapped */
};

__noinline int socket_endpoints(struct event *e, u64 sk, struct kt_endpoint *local,
				struct kt_endpoint *remote);

/* The name a UNIX socket is bound to. */
static __always_inline void describe_unix_name(struct event *e, struct kt_object *o, u64 sk)
{
	u64 address = g64(e, sk + guest.unix_addr);
	u32 len;

	if (!address)
		return;
	len = g32(e, address + guest.unix_address_len);
	if (len <= 2 || len > 2 + KT_ADDR_LEN)
		return;
	len = guest_copy(e, address + guest.unix_address_name + 2, len - 2);
	if (len > KT_ADDR_LEN)
		return;
	bpf_probe_read_kernel(o->name, len, e->scratch);
	o->name_len = len;
}

__noinline int describe_socket(struct event *e, struct kt_object *o, u64 sk)
{
	if (!e || !o)
		return 0;
	o->kind = KT_KIND_SOCKET;
	o->gva = sk;
	o->ino = socket_ino(e, sk);
	o->family = g16(e, sk + guest.skc_family);
	o->type = g16(e, sk + guest.sk_type);
	o->protocol = g16(e, sk + guest.sk_protocol);
	if (o->family == 1)
		describe_unix_name(e, o, sk);
	else if (o->family == 2 || o->family == 10)
		socket_endpoints(e, sk, &o->local, &o->remote);
	return 0;
}

static __always_inline u32 inode_dev(struct event *e, u64 inode)
{
	return g32(e, g64(e, inode + guest.inode_sb) + guest.sb_dev);
}

/*
 * The path of the file at hand. Files that were never in a folder (memfd, System
 * V and anonymous shared memory) have a name without a parent: /memfd:NAME,
 * /SYSV01234567, /dev/zero, as in /proc/PID/maps.
 */
static __always_inline void describe_path(struct event *e)
{
	u64 dentry = g64(e, e->file + guest.file_path_dentry);
	u64 mount = g64(e, e->file + guest.file_path_mnt);

	path_build(e, mount - guest.mount_mnt, dentry);
	if (e->path_start == KT_PATH_MAX && dentry != g64(e, mount + guest.vfsmount_root))
		path_prepend(e, dentry);
}

/* A key's serial number and description; the number comes after its allocation. */
static __always_inline void describe_key(struct event *e, struct kt_object *o, u64 key)
{
	u32 len = guest_copy(e, g64(e, key + guest.key_description), KT_ADDR_LEN - 1);

	o->kind = KT_KIND_KEY;
	o->gva = key;
	o->ino = g32(e, key + guest.key_serial);
	if (len >= KT_ADDR_LEN)
		return;
	bpf_probe_read_kernel(o->name, len, e->scratch);
	o->name_len = len;
}

/* Fills o with the carrier at hand; a file's path goes to the record's path. */
__noinline int describe_carrier(struct event *e, struct kt_object *o)
{
	if (!e || !o)
		return 0;
	switch (e->carrier_kind) {
	case KT_KIND_FILE:
		o->kind = KT_KIND_FILE;
		o->gva = e->carrier;
		o->dev = inode_dev(e, e->carrier);
		o->ino = e->key.ino;
		o->generation = e->key.generation;
		if (e->file)
			describe_path(e);
		else if (e->dentry && e->leaf)
			path_build_leaf(e, e->mount, e->dentry, e->leaf);
		else if (e->dentry)
			path_build(e, e->mount, e->dentry);
		else
			e->path_start = KT_PATH_MAX;
		record_path(e);
		break;
	case KT_KIND_PROCESS:
		describe_process(e, o, e->file);
		break;
	case KT_KIND_KEY:
		describe_key(e, o, e->carrier);
		break;
	case KT_KIND_MESSAGE:
		o->kind = KT_KIND_MESSAGE;
		o->gva = e->carrier;
		break;
	case KT_KIND_PIPE:
		o->kind = KT_KIND_PIPE;
		o->gva = e->carrier;
		o->ino = e->carrier_ino;
		break;
	case KT_KIND_SOCKET:
		describe_socket(e, o, e->carrier);
		break;
	}
	return 0;
}

/* --- processes join ------------------------------------------------------ */

/* Gives labels to everyone in an address space that several processes share. */
static __always_inline void shared_mm_add(u64 mm, u64 labels, u64 cause)
{
	struct kt_object_key key = { .gva = mm };
	struct kt_managed *shared = bpf_map_lookup_elem(&shared_mms, &key);

	if (shared && (labels & ~__sync_fetch_and_or(&shared->labels, labels)))
		shared->cause = cause;
	if (!shared && shared_mm_lost &&
	    (labels & ~__sync_fetch_and_or(&overflow_labels[KT_KIND_MEMORY], labels)))
		overflow_cause[KT_KIND_MEMORY] = cause;
}

/*
 * The process of task takes labels. from_carrier: the carrier at hand is where
 * they come from; else the acting process is. Returns 1 when it grew.
 */
__noinline int process_join(struct event *e, u64 task, u64 labels, u32 from_carrier)
{
	struct kt_object_key key = {};
	struct kt_managed *managed;
	struct fresh *fresh;
	u64 grown = 0, cause;
	bool known;

	if (!e || !labels)
		return 0;
	key.gva = g64(e, task + guest.task_signal);
	if (!key.gva)
		return 0;
	/* The usual case: it has them all, and so have those whom it shares memory with. */
	managed = bpf_map_lookup_elem(&processes, &key);
	known = managed;
	if (!managed && !(labels & ~overflow_labels[KT_KIND_PROCESS]))
		return 0;
	if (managed && (!(labels & ~managed->told) ||
			(!(labels & ~managed->labels) && work_noted(e, key.gva, labels, 0))))
		return 0;
	cause = e->cause;
	record_begin(e, KT_RECORD_SPREAD);
	record_actor(e);
	describe_process(e, &e->record.target, task);
	if (from_carrier)
		describe_carrier(e, &e->record.source);
	else
		e->record.source = e->record.actor;
	fresh = fresh_entry();
	if (!fresh || comes_again(e))
		return 0;
	fresh->process.managed.labels = 0;
	fresh->process.managed.told = 0;
	fresh->process.managed.cause = 0;
	fresh->process.managed.since_ns = bpf_ktime_get_ns();
	fresh->process.sent = 0;
	fresh->process.sent_cause = 0;
	fresh->process.pid = e->record.target.pid;
	fresh->process.uid = e->record.target.uid;
	__builtin_memcpy(fresh->process.comm, e->record.target.comm, KT_COMM_LEN);
	managed = processes_add(&key, &fresh->process, labels, &grown);
	if (!managed) {
		set_overflowed(e, KT_KIND_PROCESS, labels, cause);
		managed = bpf_map_lookup_elem(&processes, &key);
		if (managed)
			__sync_fetch_and_or(&managed->labels, labels);
		return 0;
	}
	if (!known)
		keep_overflow(managed, KT_KIND_PROCESS, &grown);
	if (!grown) {
		work_process(e, managed, task, key.gva, labels);
		return 0;
	}
	e->record.cause = cause;
	e->record.previous = managed->cause;
	e->record.labels = managed->labels;
	e->record.added = grown;
	managed->cause = record_emit(e);
	if (shared_mm_count)
		shared_mm_add(g64(e, task + guest.task_mm), labels, e->record.seq);
	work_process(e, managed, task, key.gva, labels);
	return 1;
}

#include "pending.bpf.h"

/* --- carriers join ------------------------------------------------------- */

/* The last component of the file's path, for people who read the map. */
static __always_inline void name_file(struct event *e, char *name)
{
	u64 dentry;
	u32 len;

	__builtin_memset(name, 0, KT_NAME_LEN);
	dentry = e->file ? g64(e, e->file + guest.file_path_dentry) : e->dentry;
	if (!dentry)
		return;
	if (!e->file && e->leaf)
		dentry = e->leaf + 4 - guest.dentry_name_len;
	len = g32(e, dentry + guest.dentry_name_len);
	len = guest_copy(e, g64(e, dentry + guest.dentry_name), len);
	if (len > KT_NAME_LEN - 1)
		len = KT_NAME_LEN - 1;
	bpf_probe_read_kernel(name, len, e->scratch);
}

/* NULL: the set is full, or the event comes again. */
static __always_inline struct kt_managed *carrier_union(struct event *e, u64 labels, u64 *grown)
{
	struct kt_object_key object = { .gva = e->carrier };
	struct kt_managed managed = { .since_ns = bpf_ktime_get_ns() };
	struct kt_file_key file = e->key;
	struct fresh *fresh = fresh_entry();

	if (!fresh)
		return NULL;
	switch (e->carrier_kind) {
	case KT_KIND_FILE:
		name_file(e, fresh->file.name);
		fresh->file.managed = managed;
		if (comes_again(e))
			return NULL;
		return files_add(&file, &fresh->file, labels, grown);
	case KT_KIND_PIPE:
		fresh->pipe.managed = managed;
		fresh->pipe.ino = e->carrier_ino;
		return pipes_add(&object, &fresh->pipe, labels, grown);
	case KT_KIND_SOCKET:
		fresh->socket.managed = managed;
		fresh->socket.ino = socket_ino(e, e->carrier);
		fresh->socket.family = g16(e, e->carrier + guest.skc_family);
		fresh->socket.type = g16(e, e->carrier + guest.sk_type);
		if (comes_again(e))
			return NULL;
		return sockets_add(&object, &fresh->socket, labels, grown);
	case KT_KIND_KEY:
		fresh->key.managed = managed;
		fresh->key.serial = e->record.target.ino;
		bpf_probe_read_kernel(fresh->key.description, KT_NAME_LEN - 1,
				      e->record.target.name);
		return keys_add(&object, &fresh->key, labels, grown);
	}
	return NULL;
}

/* The carrier at hand finds no room in its set. */
static __always_inline int carrier_overflowed(struct event *e, u64 labels, u64 cause)
{
	struct kt_managed *managed;

	set_overflowed(e, e->carrier_kind, labels, cause);
	managed = carrier_managed(e);
	if (managed)
		__sync_fetch_and_or(&managed->labels, labels);
	overflow(e->carrier_kind, &e->cause);
	work_carrier(e, managed, labels);
	return 0;
}

/* Who is on the CPU only shows what e->given did before, in a call that is over. */
static __always_inline void bring_given(struct event *e)
{
	e->record.source = e->record.actor = e->given;
	e->record.flags &= ~(KT_RECORD_HAS_SYSCALL | KT_RECORD_COMPAT | KT_RECORD_KTHREAD |
			     KT_RECORD_IO_WORKER);
}

/*
 * The carrier at hand takes labels; e->cause explains them. Readers that passed their
 * hook before the labels were there join now. Labels that are there already are
 * no reason to go on before the vCPU that brought them has told the readers.
 */
__noinline int carrier_join(struct event *e, u64 labels, u32 from)
{
	struct kt_managed *managed;
	u64 grown = 0, cause = 0;
	bool known;

	if (!e || !labels)
		return 0;
	managed = carrier_managed(e);
	if (managed && (!(labels & ~managed->told) ||
			(!(labels & ~managed->labels) && work_noted(e, e->carrier, labels, 0))))
		return 0;
	/* In no set, it counts as having them: but readers may have come before that. */
	known = managed;
	if (!known && !(labels & ~overflow(e->carrier_kind, &cause))) {
		e->cause = cause;
		work_carrier(e, managed, labels);
		return 0;
	}
	cause = e->cause;
	record_begin(e, KT_RECORD_SPREAD);
	record_actor(e);
	describe_carrier(e, &e->record.target);
	if (from == BY_ACTOR)
		e->record.source = e->record.actor;
	else if (from == BY_MAPPER)
		describe_process(e, &e->record.source, e->map.task);
	else if (from == BY_GIVEN)
		bring_given(e);
	if (comes_again(e))
		return 0;
	managed = carrier_union(e, labels, &grown);
	if (comes_again(e))
		return 0;
	if (!managed)
		return carrier_overflowed(e, labels, cause);
	if (!known)
		keep_overflow(managed, e->carrier_kind, &grown);
	if (!grown) {
		e->cause = managed->cause;
		work_carrier(e, managed, labels);
		return 0;
	}
	e->record.cause = cause;
	e->record.previous = managed->cause;
	e->record.labels = managed->labels;
	e->record.added = grown;
	managed->cause = record_emit(e);
	e->cause = e->record.seq;
	work_carrier(e, managed, labels);
	return 1;
}

/*
 * The acting thread cannot be known as a reader: whoever labels the carrier
 * later will not find it, so it is taken to have read everything.
 */
static __always_inline void reader_overflowed(struct event *e)
{
	if (actor_is_kthread(e) || !(all_labels & ~actor_labels(e)))
		return;
	record_begin(e, KT_RECORD_LOST);
	record_actor(e);
	e->record.lost = KT_LOST_PENDING_FULL;
	e->record.labels = all_labels;
	if (comes_again(e))
		return;
	e->cause = record_emit(e);
	process_join(e, e->task, all_labels, 1);
}

/* P2, P6: who reads a managed carrier becomes managed. */
static __always_inline void read_from(struct event *e, u32 flow)
{
	u64 labels;

	e->flow = flow;
	if (!pending_publish(e))
		reader_overflowed(e);
	labels = carrier_labels(e);
	if (labels && !actor_is_kthread(e))
		process_join(e, e->task, labels, 1);
}

/*
 * The same, where the guest's own locks let nobody write between this hook and
 * the end of the read: there is no race, so nothing to publish.
 */
static __always_inline void read_locked(struct event *e, u32 flow)
{
	u64 labels = carrier_labels(e);

	e->flow = flow;
	if (labels && !actor_is_kthread(e))
		process_join(e, e->task, labels, 1);
}

/* P3, P5: what a managed process writes becomes managed. */
static __always_inline void write_to(struct event *e, u32 flow)
{
	u64 labels = actor_labels(e);

	e->flow = flow;
	if (labels)
		carrier_join(e, labels, BY_ACTOR);
}

/* The same for another process's memory: that process becomes managed. */
static __always_inline void poke_into(struct event *e)
{
	u64 labels = actor_labels(e);

	e->flow = KT_FLOW_POKE;
	if (labels)
		process_join(e, e->file, labels, 0);
}

#endif
