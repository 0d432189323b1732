/* SPDX-License-Identifier: GPL-2.0 */
/* The carrier at hand: which object it is, where its entry is, and how a record shows it. */
#ifndef KVMTAINT_OBJECT_BPF_H
#define KVMTAINT_OBJECT_BPF_H

#include "life.bpf.h"

/* --- which carrier ------------------------------------------------------- */

/* e->key.ino is the key of what is no file. */
static __always_inline void carrier_tag(struct event *e, u64 tag)
{
	e->tag = tag;
	e->key.ino = ends_unseen ? life_key(e, e->carrier, tag, e->carrier_kind, 0) : e->carrier;
}

static __always_inline void carrier_is_socket(struct event *e, u64 sk)
{
	e->carrier_kind = KT_KIND_SOCKET;
	e->carrier = sk;
	e->file = 0;
	carrier_tag(e, ends_unseen ? socket_tag(e, sk) : 0);
}

static __always_inline void carrier_is_pipe(struct event *e, u64 pipe, u64 ino)
{
	e->carrier_ino = ino;
	e->carrier_kind = KT_KIND_PIPE;
	e->carrier = pipe;
	e->file = 0;
	carrier_tag(e, ino & TAG_LOW);
}

static __always_inline void carrier_is_object(struct event *e, u32 kind, u64 gva)
{
	e->carrier_kind = kind;
	e->carrier = gva;
	e->file = 0;
	e->tag = 0;
	e->key.ino = gva;
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
	struct kt_object_key key = { .gva = e->key.ino };
	struct kt_file_key file = e->key;

	switch (e->carrier_kind) {
	case KT_KIND_FILE:
		return bpf_map_lookup_elem(&files, &file);
	case KT_KIND_SOCKET:
		return bpf_map_lookup_elem(&sockets, &key);
	case KT_KIND_PIPE:
		return bpf_map_lookup_elem(&pipes, &key);
	case KT_KIND_PROCESS:
		key.gva = process_key(e, e->file, 0);
		return bpf_map_lookup_elem(&processes, &key);
	case KT_KIND_MESSAGE:
		return bpf_map_lookup_elem(&messages, &key);
	case KT_KIND_KEY:
		return bpf_map_lookup_elem(&keys, &key);
	case KT_KIND_DISK:
		return bpf_map_lookup_elem(&disks, &key);
	case KT_KIND_TERMINAL:
		return bpf_map_lookup_elem(&terminals, &key);
	case KT_KIND_FUSE:
		return bpf_map_lookup_elem(&fuse, &key);
	}
	return NULL;
}

/* --- describing carriers ------------------------------------------------- */

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

/* Inline: hosts of 6.1 count 32 bytes of stack for each call, and the way here is long. */
static __always_inline void describe_socket(struct event *e, struct kt_object *o, u64 sk)
{
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
}

static __always_inline u32 inode_dev(struct event *e, u64 inode)
{
	return g32(e, g64(e, inode + guest.inode_sb) + guest.sb_dev);
}

/*
 * A mount of the file system: the first, mostly the only one. A list up to 6.17, then
 * a pointer.
 */
static __always_inline u64 mount_of(struct event *e, u64 sb)
{
	u64 first;

	if (guest.sb_mounts == KT_ABSENT)
		return 0;
	first = g64(e, sb + guest.sb_mounts);
	if (guest.mount_instance == KT_ABSENT)
		return first;
	return first == sb + guest.sb_mounts ? 0 : first - guest.mount_instance;
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

/* A key's serial number and description, up to the end of a page; the number comes after its
 * allocation. */
static __always_inline void describe_key(struct event *e, struct kt_object *o, u64 key)
{
	u64 description;
	u32 len;

	o->kind = KT_KIND_KEY;
	o->gva = key;
	o->ino = g32(e, key + guest.key_serial);
	description = g64(e, key + guest.key_description);
	len = page_left(description);
	len = guest_copy(e, description, len < KT_ADDR_LEN - 1 ? len : KT_ADDR_LEN - 1);
	if (len >= KT_ADDR_LEN)
		return;
	bpf_probe_read_kernel(o->name, len, e->scratch);
	o->name_len = len;
}

/* The whole disk's number and name; the path of the node that is open, if one is. */
static __always_inline void describe_disk(struct event *e, struct kt_object *o)
{
	u32 major = g32(e, e->carrier + guest.disk_major);

	o->kind = KT_KIND_DISK;
	o->gva = e->carrier;
	o->dev = major << 20 | (g32(e, e->carrier + guest.disk_first_minor) & 0xfffff);
	if (guest_copy(e, e->carrier + guest.disk_name, KT_DISK_NAME) == KT_DISK_NAME) {
		bpf_probe_read_kernel(o->name, KT_DISK_NAME, e->scratch);
		o->name_len = KT_DISK_NAME;
	}
	if (!e->file)
		return;
	describe_path(e);
	record_path(e);
}

/* A terminal's name, of the kernel's own making: a driver's and a number. */
static __always_inline void describe_terminal(struct event *e, struct kt_object *o, u64 tty)
{
	o->kind = KT_KIND_TERMINAL;
	o->gva = tty;
	if (guest_copy(e, tty + guest.tty_name, KT_TTY_LEN) != KT_TTY_LEN)
		return;
	bpf_probe_read_kernel(o->name, KT_TTY_LEN, e->scratch);
	o->name_len = KT_TTY_LEN;
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
	case KT_KIND_DISK:
		describe_disk(e, o);
		break;
	case KT_KIND_TERMINAL:
		describe_terminal(e, o, e->carrier);
		break;
	case KT_KIND_MESSAGE:
	case KT_KIND_FUSE:
		o->kind = e->carrier_kind;
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

#endif
