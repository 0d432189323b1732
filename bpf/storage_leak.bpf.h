/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Storage that is not the guest's own: files that another machine or the host
 * keeps, and block devices. What a managed process writes there has left. (A file
 * on the guest's disk has not, though the host keeps that as well.)
 *
 * One record for each process and file or disk, and one more when it has further
 * labels: a copy of a large file is one leak, not one for each write. Where the VM is
 * paused for it each write is stopped anew. The guest's own nfsd is the other way out:
 * it reads a file for another machine.
 */
#ifndef KVMTAINT_STORAGE_LEAK_BPF_H
#define KVMTAINT_STORAGE_LEAK_BPF_H

#include "verdict.bpf.h"

/* File systems by their own names; virtiofs has no magic number but FUSE's. */
static const char outside_fs[][KT_COMM_LEN] __attribute__((aligned(8))) = {
	"9p",  "virtiofs", "nfs",  "nfs4",   "cifs",	 "smb3",   "smbfs",
	"afs", "ceph",	   "coda", "vboxsf", "orangefs", "lustre", "vmhgfs",
};

/* Disks of other machines, and disks in the guest's memory, by how their names begin. */
static const char outside_disk[][4] __attribute__((aligned(4))) = { "nbd", "rbd", "drb" };
static const char memory_disk[][4] __attribute__((aligned(4))) = { "ram", "zra" };

#define NFSD		0x6473666eULL /* "nfsd" and its NUL: the name of its threads */

#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

static __always_inline bool is_outside_fs(const char *type)
{
	const u64 *word = (const u64 *)type;

	for (u32 i = 0; i < COUNT_OF(outside_fs); i++) {
		const u64 *name = (const u64 *)outside_fs[i];

		if (word[0] == name[0] && word[1] == name[1])
			return true;
	}
	return false;
}

static __always_inline bool disk_begins(u32 name, const char (*table)[4], u32 count)
{
	for (u32 i = 0; i < count; i++)
		if ((name & 0xffffff) == *(const u32 *)table[i])
			return true;
	return false;
}

/* In which way the carrier at hand is outside; 0: it is not. */
static __always_inline u32 storage_outside(struct event *e, char *type, u32 from)
{
	u64 sb;
	u32 name;

	if (e->carrier_kind == KT_KIND_FILE) {
		sb = g64(e, e->carrier + guest.inode_sb);
		guest_string(e, g64(e, g64(e, sb + guest.sb_type) + guest.fs_type_name), type,
			     KT_COMM_LEN);
		return is_outside_fs(type) ? KT_LEAK_FILESYSTEM : 0;
	}
	name = g32(e, e->carrier + guest.disk_name);
	/* A file on a disk of the guest's is no leak; what is written to the disk itself is. */
	if (from == BY_CONTENT)
		return disk_begins(name, outside_disk, COUNT_OF(outside_disk)) ? KT_LEAK_DEVICE : 0;
	return disk_begins(name, memory_disk, COUNT_OF(memory_disk)) ? 0 : KT_LEAK_DEVICE;
}

/* What the file's mount is of: "server:/export", a share, a tag. */
static __always_inline void describe_mounted(struct event *e, struct kt_object *o)
{
	u64 mount;

	if (e->file && !e->overlaid)
		mount = g64(e, e->file + guest.file_path_mnt) - guest.mount_mnt;
	else
		mount = mount_of(e, g64(e, e->carrier + guest.inode_sb));
	if (mount)
		o->name_len =
			guest_string(e, g64(e, mount + guest.mount_devname), o->name, KT_ADDR_LEN);
}

/* Whether a record has said that these labels left by key. */
static __always_inline bool left_before(const struct kt_written_key *key, u64 labels)
{
	u64 *before = bpf_map_lookup_elem(&written_out, key);

	return before && !(labels & ~*before);
}

/* The leak at hand has its verdict. What the VM stands before may not leave, or may once. */
static __always_inline void left_now(struct event *e, const struct kt_written_key *key, u64 labels)
{
	u64 *before = bpf_map_lookup_elem(&written_out, key);

	if (e->record.verdict > KT_VERDICT_REPORTED)
		return;
	if (before)
		labels |= *before;
	bpf_map_update_elem(&written_out, key, &labels, BPF_ANY);
}

static __always_inline void leak_begin(struct event *e, u64 task, u32 kind, u64 labels, u64 cause)
{
	record_begin(e, KT_RECORD_LEAK);
	record_actor(e);
	describe_process(e, &e->record.source, task);
	describe_carrier(e, &e->record.target);
	e->record.leak_kind = kind;
	e->record.labels = labels;
	e->record.cause = cause;
}

/*
 * The process of task has written labels to the carrier at hand, itself or (BY_CONTENT)
 * by a file that is stored in it. A leak, if that is outside.
 */
__noinline int storage_leak(struct event *e, u64 task, u64 labels, u32 from)
{
	char type[KT_COMM_LEN] __attribute__((aligned(8))) = {};
	struct kt_written_key key = {};
	struct kt_object_key process = {};
	struct kt_process *managed;
	u64 cause = 0;
	u32 kind;

	if (!e || !task)
		return 0;
	kind = storage_outside(e, type, from);
	if (!kind)
		return 0;
	process.gva = process_key(e, task, 0);
	managed = bpf_map_lookup_elem(&processes, &process);
	key.process = process.gva;
	key.since_ns = managed ? managed->managed.since_ns : 0;
	key.to = e->key;
	if (left_before(&key, labels))
		return 0;
	process_labels(process.gva, &cause);
	leak_begin(e, task, kind, labels, cause);
	if (kind == KT_LEAK_FILESYSTEM) {
		__builtin_memcpy(e->record.target.fs_type, type, KT_COMM_LEN);
		describe_mounted(e, &e->record.target);
	}
	if (comes_again(e))
		return 0;
	leak_end(e, 0);
	left_now(e, &key, labels);
	return 0;
}

/*
 * A kernel thread reads the file at hand. Of these nfsd hands it to another machine,
 * whichever of its threads; to which one is in the module's own tables.
 */
__noinline int served_leak(struct event *e, u64 labels)
{
	struct kt_written_key key = {};

	if (!e || (g64(e, e->task + guest.task_comm) & 0xffffffffffULL) != NFSD)
		return 0;
	key.to = e->key;
	if (left_before(&key, labels))
		return 0;
	leak_begin(e, e->task, KT_LEAK_FILESYSTEM, labels, e->cause);
	__builtin_memcpy(e->record.target.fs_type, "nfsd", 5);
	if (comes_again(e))
		return 0;
	leak_end(e, 0);
	left_now(e, &key, labels);
	return 0;
}

#endif
