/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Regular files, and the hooks that every kind of file passes. Which file an
 * inode is: inode.bpf.h. What lies under one: carrier_block.bpf.h.
 *
 * Names may come and go. A file is judged by the policy when the guest first
 * touches it; a clean verdict is cached until a rename, link or mount may have
 * changed what it is called.
 */
#ifndef KVMTAINT_CARRIER_FILE_BPF_H
#define KVMTAINT_CARRIER_FILE_BPF_H

#include "carrier_block.bpf.h"
#include "carrier_device.bpf.h"
#include "carrier_socket.bpf.h"

/* include/linux/fs.h */
#define MAY_WRITE	    0x02
#define MAY_READ	    0x04
#define MAY_APPEND	    0x08
#define FMODE_READ	    0x1
#define FMODE_WRITE	    0x2
#define MAP_TYPE	    0x0f
#define MAP_SHARED	    0x01
#define MAP_SHARED_VALIDATE 0x03

#define BTRFS_SUPER_MAGIC   0x9123683e /* include/uapi/linux/magic.h */

#define ALIASES_MAX	    64 /* names of one inode in the guest's dentry cache */
#define JUDGE_GRACE_NS	    2000000000ULL /* a rename takes effect within this time after its hook */

/* Judges one more name of an inode that has several, as the mount at hand has it. */
static long alias_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;

	if (!e->walk_node || e->failed)
		return 1;
	e->labels |= path_judge(e, e->judge_mount, e->walk_node - guest.dentry_alias);
	e->walk_node = g64(e, e->walk_node);
	return 0;
}

/* Whether the dentry is of a file that was opened by its handle while no name of it was cached. */
static __always_inline bool is_disconnected(struct event *e, u64 dentry)
{
	return g64(e, dentry + guest.dentry_parent) == dentry &&
	       g32(e, dentry + guest.dentry_name_len) == 1 &&
	       g8(e, g64(e, dentry + guest.dentry_name)) == '/';
}

/*
 * First touch: what the policy says of the file at hand. A file with several
 * links, or open without a name, is judged by all its names that the guest's dentry
 * cache holds, every time, because the next name may be looked up later.
 */
__noinline u64 file_judge(struct event *e)
{
	u64 labels, now, dentry;
	struct kt_file_key key;
	u32 epoch;

	if (!e || !dfa_loaded)
		return 0;
	key = e->name_key;
	epoch = policy_epoch;
	now = bpf_ktime_get_ns();
	count(KT_COUNT_JUDGED);
	if (e->file) {
		e->judge_mount = g64(e, e->file + guest.file_path_mnt);
		dentry = g64(e, e->file + guest.file_path_dentry);
	} else {
		e->judge_mount = e->mount ? e->mount + guest.mount_mnt : 0;
		dentry = e->dentry;
	}
	labels = path_judge(e, e->judge_mount, dentry);
	if (g32(e, e->carrier + guest.inode_nlink) > 1 || is_disconnected(e, dentry)) {
		e->labels = labels;
		e->walk_node = g64(e, e->carrier + guest.inode_dentry);
		if (walk(e, ALIASES_MAX, alias_step) >= ALIASES_MAX)
			event_fail(e, KT_LOST_WALK_BOUND, e->carrier);
		return e->labels;
	}
	/* Without an open file its mount is a guess: no verdict to keep. */
	if (!labels && e->file && !e->failed && now >= judge_again_until)
		bpf_map_update_elem(&judged, &key, &epoch, BPF_ANY);
	return labels;
}

/* Whether the policy has judged this name of the file at hand since names last changed. */
static __always_inline bool file_is_judged(struct event *e)
{
	struct kt_file_key key = e->key, name = e->name_key;
	struct kt_file *managed = bpf_map_lookup_elem(&files, &key);
	u32 *epoch;

	/* An event that is done again must find whom it has not told yet. */
	if (managed && (managed->managed.labels & ~managed->managed.told))
		return false;
	if (managed && !e->overlaid)
		return managed->judged_epoch == policy_epoch;
	epoch = bpf_map_lookup_elem(&judged, &name);
	return epoch && *epoch == policy_epoch;
}

/* The policy's labels join the file at hand, if it was not judged before. */
static __always_inline void policy_touch(struct event *e)
{
	struct kt_file_key key = e->key;
	struct kt_file *managed;
	u64 labels;

	if (file_is_judged(e))
		return;
	labels = file_judge(e);
	e->cause = 0;
	e->flow = KT_FLOW_POLICY;
	if (labels)
		carrier_join(e, labels, BY_POLICY);
	managed = bpf_map_lookup_elem(&files, &key);
	if (managed && e->file && !e->failed && bpf_ktime_get_ns() >= judge_again_until)
		managed->judged_epoch = policy_epoch;
}

/*
 * What the disk or image under the file at hand has by itself, not by the files
 * in it, any file may hold: it joins the file.
 */
static __always_inline void medium_touch(struct event *e, u64 bdev)
{
	struct kt_managed *medium;
	u64 labels;

	if (!bdev)
		return;
	content_keep(e);
	if (!carrier_is_medium(e, bdev)) {
		content_at_hand(e);
		return;
	}
	if (e->carrier_kind == KT_KIND_FILE)
		policy_touch(e);
	medium = carrier_managed(e);
	if (medium) {
		labels = medium->own;
		e->cause = medium->cause;
	} else {
		labels = overflow(e->carrier_kind, &e->cause);
	}
	if (labels)
		describe_carrier(e, &e->given);
	content_at_hand(e);
	e->flow = KT_FLOW_STORED;
	e->content_written = 0;
	if (labels)
		carrier_join(e, labels, BY_MEDIUM);
}

static __always_inline void file_first_touch(struct event *e)
{
	u64 bdev = e->bdev;

	policy_touch(e);
	medium_touch(e, bdev);
}

/* What a dentry names becomes the carrier at hand; false: it is no carrier. */
static __always_inline bool carrier_is_dentry(struct event *e, u64 dentry)
{
	u64 inode = g64(e, dentry + guest.dentry_inode);

	e->file = 0;
	e->dentry = dentry;
	e->leaf = 0;
	if (!inode || !carrier_is_inode(e, inode))
		return false;
	e->mount = mount_of(e, g64(e, inode + guest.inode_sb));
	file_first_touch(e);
	return true;
}

#define MEMORY_FILE 1 /* no value of S_IFMT */

/*
 * A file of /proc that shows a process's memory: mem always, environ and cmdline
 * when the operator asks for it (ps and its like read these of everybody).
 */
static __always_inline int carrier_is_memory_file(struct event *e, u64 file, u64 inode)
{
	u64 operations = g64(e, file + guest.file_op), mm, pid, task;

	if (operations == guest.sym_proc_mem_operations ||
	    (follow_arguments && operations == guest.sym_proc_environ_operations)) {
		mm = g64(e, file + guest.file_private_data);
		if (!mm || guest.mm_owner == KT_ABSENT)
			return 0;
		return carrier_is_memory(e, mm, g64(e, mm + guest.mm_owner)) ? MEMORY_FILE : 0;
	}
	if (!follow_arguments || operations != guest.sym_proc_cmdline_operations)
		return 0;
	/* struct pid's list of the tasks that it is the thread id of */
	pid = g64(e, inode - guest.proc_inode_vfs_inode + guest.proc_inode_pid);
	task = pid ? g64(e, pid + guest.pid_tasks) : 0;
	if (!task)
		return 0;
	task -= guest.task_pid_links;
	return carrier_is_memory(e, g64(e, task + guest.task_mm), task) ? MEMORY_FILE : 0;
}

/*
 * The open file becomes the carrier at hand; false: it is no carrier. S_IFCHR: a
 * device, of which carrier_device.bpf.h knows whether it is one.
 */
__noinline int carrier_is_file(struct event *e, u64 file)
{
	struct kt_file_key key = {};
	u64 inode, sb, pipe;
	u32 kind;

	if (!e)
		return 0;
	inode = g64(e, file + guest.file_inode);
	kind = inode_look(e, inode, &sb, &key);
	e->file = file;
	e->dentry = 0;
	switch (kind) {
	case S_IFREG:
		if (!carrier_is_looked(e, inode, sb, &key))
			return carrier_is_memory_file(e, file, inode);
		file_first_touch(e);
		return S_IFREG;
	case S_IFBLK:
		kind = carrier_is_disk(e, disk_of_file(e, file));
		if (kind == S_IFREG)
			file_first_touch(e);
		return kind;
	case S_IFIFO:
		/* rpc_pipefs has nodes that call themselves pipes, and are none. */
		pipe = g64(e, inode + guest.inode_pipe);
		if (!pipe || g64(e, file + guest.file_private_data) != pipe)
			return 0;
		carrier_is_pipe(e, pipe, key.ino);
		return S_IFIFO;
	case S_IFSOCK:
		carrier_is_socket(e,
				  g64(e, g64(e, file + guest.file_private_data) + guest.socket_sk));
		return S_IFSOCK;
	case S_IFCHR:
		return S_IFCHR;
	}
	return 0;
}

/* Handlers of hooks that see an open file, and flows between two of them. */
static __always_inline void file_is_read(struct event *e, u64 file)
{
	u32 kind = carrier_is_file(e, file);

	if (kind == S_IFCHR)
		kind = device_to_read(e, file);
	if (kind == S_IFSOCK)
		socket_is_read(e, e->carrier);
	else if (kind == S_IFREG && e->fuse)
		fuse_is_read(e, KT_FLOW_READ);
	else if (kind)
		read_from(e, pending_flow(e->carrier_kind));
	else if (!e->failed)
		pending_done(e);
}

/* A socket's send has a hook of its own, which knows where it goes. */
static __always_inline void file_is_written(struct event *e, u64 file)
{
	u32 kind = carrier_is_file(e, file);

	if (kind == MEMORY_FILE)
		poke_into(e);
	else if (kind == S_IFCHR)
		device_is_written(e, file);
	else if (kind && kind != S_IFSOCK)
		write_to_storage(e, KT_FLOW_WRITE);
	if (kind == S_IFREG && e->fuse)
		fuse_is_written(e, KT_FLOW_WRITE);
}

/* security_file_permission(file, mask) */
static __always_inline void on_file_permission(struct event *e)
{
	u32 mask = e->args[1];

	if (mask & MAY_READ)
		file_is_read(e, e->args[0]);
	if (mask & (MAY_WRITE | MAY_APPEND))
		file_is_written(e, e->args[0]);
}

/*
 * security_mmap_file(file, prot, flags), also on the way of shmat(2): what is
 * mapped is read; what a managed process maps shared, of a file that it may
 * write, is written. Whatever prot says: mprotect(2) has no hook. What else
 * comes of a mapping is in mapping.bpf.h.
 */
static __always_inline void file_is_mapped(struct event *e, u64 file, u32 flags)
{
	u32 type = flags & MAP_TYPE;
	bool writes;
	u32 kind;

	kind = file ? carrier_is_file(e, file) : 0;
	if (kind != S_IFREG && kind != S_IFBLK)
		return;
	writes = (type == MAP_SHARED || type == MAP_SHARED_VALIDATE) &&
		 (g32(e, file + guest.file_mode) & FMODE_WRITE);
	read_from(e, KT_FLOW_MMAP);
	if (writes) {
		pending_publish_fill(e, file, KT_FLOW_MMAP);
		write_to_storage(e, KT_FLOW_MMAP);
	}
	if (e->fuse)
		fuse_is_mapped(e, writes);
}

static __always_inline void on_mmap_file(struct event *e)
{
	file_is_mapped(e, e->args[0], e->args[2]);
}

/* Names are about to change: verdicts that depend on them are void. */
static __always_inline void names_change(struct event *e, u64 dentry)
{
	u64 inode = g64(e, dentry + guest.dentry_inode);
	struct kt_file *managed;

	judge_again_until = bpf_ktime_get_ns() + JUDGE_GRACE_NS;
	if (!inode)
		return;
	if ((g16(e, inode + guest.inode_mode) & S_IFMT) == S_IFDIR) {
		__sync_fetch_and_add(&policy_epoch, 1);
		return;
	}
	if (!carrier_is_inode(e, inode))
		return;
	bpf_map_delete_elem(&judged, &e->name_key);
	managed = bpf_map_lookup_elem(&files, &e->key);
	if (managed)
		managed->judged_epoch = 0;
}

/* security_inode_rename(old_dir, old_dentry, new_dir, new_dentry): they may be exchanged */
static __always_inline void on_inode_rename(struct event *e)
{
	names_change(e, e->args[1]);
	names_change(e, e->args[3]);
}

/* security_inode_link(old_dentry, dir, new_dentry) */
static __always_inline void on_inode_link(struct event *e)
{
	names_change(e, e->args[0]);
}

/* Mounts move: any path may now lead elsewhere. */
static __always_inline void on_sb_mount(struct event *e)
{
	judge_again_until = bpf_ktime_get_ns() + JUDGE_GRACE_NS;
	__sync_fetch_and_add(&policy_epoch, 1);
}

#define on_move_mount	on_sb_mount
#define on_sb_pivotroot on_sb_mount

/*
 * Whether nobody can reach the inode any more but by this name, which is in use by its
 * caller alone. Who opened it by another name that is deleted, or made it without one
 * (O_TMPFILE), has a dentry of its own. On btrfs a snapshot's file may be the same key.
 */
static __always_inline bool is_last_name(struct event *e, u64 dentry, u64 inode)
{
	u64 alias = dentry + guest.dentry_alias;

	return !g32(e, inode + guest.inode_nlink) &&
	       g32(e, dentry + guest.dentry_lockref_count) == 1 &&
	       g64(e, inode + guest.inode_dentry) == alias && !g64(e, alias) &&
	       g64(e, g64(e, inode + guest.inode_sb) + guest.sb_magic) != BTRFS_SUPER_MAGIC;
}

/* The file at hand is gone; dentry: the name it had, or 0. */
__noinline int file_leaves(struct event *e, u64 dentry)
{
	struct kt_file *managed;
	struct kt_file_key key;

	if (!e)
		return 0;
	key = e->key;
	managed = bpf_map_lookup_elem(&files, &key);
	if (!managed)
		return 0;
	record_begin(e, KT_RECORD_GONE);
	record_actor(e);
	e->file = 0;
	e->dentry = dentry;
	e->leaf = 0;
	e->mount = 0;
	describe_carrier(e, &e->record.target);
	if (comes_again(e))
		return 0;
	set_leave(e, &managed->managed, &files, &key);
	record_emit(e);
	return 0;
}

/* Whether nobody but an overlay's inode has the file that holds its data, whose last link went. */
static __always_inline bool layer_is_left(struct event *e)
{
	u64 alias = g64(e, e->carrier + guest.inode_dentry);

	return alias && is_last_name(e, alias - guest.dentry_alias, e->carrier);
}

/*
 * d_delete(dentry), after an unlink that succeeded: with no link and no user
 * left the file is gone. One that is still open stays: it may yet be read.
 */
static __always_inline void on_dentry_delete(struct event *e)
{
	u64 dentry = e->args[0], inode = g64(e, dentry + guest.dentry_inode);

	if (!inode || g32(e, inode + guest.inode_nlink) || !carrier_is_inode(e, inode))
		return;
	/* Its number may be the next file's, and not all file systems have generations. */
	bpf_map_delete_elem(&judged, &e->name_key);
	if (is_last_name(e, dentry, inode) && (!e->overlaid || layer_is_left(e)))
		file_leaves(e, dentry);
}

/* shmem_evict_inode(inode): nobody has it any more, and tmpfs keeps nothing elsewhere. */
static __always_inline void on_shmem_evict(struct event *e)
{
	if (carrier_is_inode(e, e->args[0]))
		file_leaves(e, 0);
}

#endif
