/* SPDX-License-Identifier: GPL-2.0 */
/* Paths: built from the guest's own dentries and mounts, judged by the policy. */
#ifndef KVMTAINT_PATH_BPF_H
#define KVMTAINT_PATH_BPF_H

#include "guest.bpf.h"

#define PATH_DEPTH 128 /* components and mounts that one path may have */
#define NAME_MASK  (PATH_SLACK - 1)
#define NAME_LIMIT 255 /* NAME_MAX */

/* Prepends "/name" of a dentry to the path; 1: no more of it can be had. */
static __always_inline int path_prepend(struct event *e, u64 dentry)
{
	u32 at, len = g32(e, dentry + guest.dentry_name_len);

	if (len > NAME_LIMIT || len + 1 > e->path_start || e->path_start > KT_PATH_MAX) {
		e->path_cut = 1;
		return 1;
	}
	if (guest_copy(e, g64(e, dentry + guest.dentry_name), len) != len)
		return 1;
	at = e->path_start - len;
	bpf_probe_read_kernel(e->path + bounded(at, KT_PATH_MAX - 1), bounded(len, NAME_MASK),
			      e->scratch);
	at--;
	e->path[bounded(at, KT_PATH_MAX - 1)] = '/';
	e->path_start = at;
	return 0;
}

static long path_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u64 mount = e->walk_mount, dentry = e->walk_dentry, parent;

	if (mount && dentry == g64(e, mount + guest.mount_mnt + guest.vfsmount_root)) {
		parent = g64(e, mount + guest.mount_parent);
		if (parent == mount)
			return 1;
		e->walk_dentry = g64(e, mount + guest.mount_mountpoint);
		e->walk_mount = parent;
		return 0;
	}
	parent = g64(e, dentry + guest.dentry_parent);
	if (parent == dentry || e->failed)
		return 1;
	if (path_prepend(e, dentry))
		return 1;
	e->walk_dentry = parent;
	return 0;
}

/*
 * Builds the absolute path of a dentry, as seen from the root of the mount
 * namespace that mount belongs to; mount 0: within its superblock. It is in
 * e->path from e->path_start to KT_PATH_MAX; e->path_cut: the front is missing.
 */
__noinline int path_build(struct event *e, u64 mount, u64 dentry)
{
	if (!e)
		return 0;
	e->walk_mount = mount;
	e->walk_dentry = dentry;
	e->path_start = KT_PATH_MAX;
	e->path_cut = 0;
	if (walk(e, PATH_DEPTH, path_step) >= PATH_DEPTH)
		e->path_cut = 1;
	return 0;
}

/* The same for a name, a struct qstr, in the directory of dentry. */
static __always_inline int path_build_leaf(struct event *e, u64 mount, u64 dentry, u64 leaf)
{
	e->walk_mount = mount;
	e->walk_dentry = dentry;
	e->path_start = KT_PATH_MAX;
	e->path_cut = 0;
	/* { hash, len, name }, as in a dentry */
	if (path_prepend(e, leaf + 4 - guest.dentry_name_len) ||
	    walk(e, PATH_DEPTH, path_step) >= PATH_DEPTH)
		e->path_cut = 1;
	return 0;
}

static long dfa_step(u32 step, struct event **at_hand)
{
	struct event *e = *at_hand;
	u32 at = e->path_start + step, state = e->dfa_state;
	struct kt_dfa_state *from;

	if (at >= KT_PATH_MAX || !state)
		return 1;
	from = bpf_map_lookup_elem(&dfa, &state);
	if (!from)
		return 1;
	e->dfa_state = from->next[(u8)e->path[at]];
	return 0;
}

/* The labels that the policy gives to the path in e->path. */
__noinline u64 path_labels(struct event *e)
{
	struct kt_dfa_state *end;
	u32 state;

	if (!e || !dfa_loaded || e->path_start >= KT_PATH_MAX)
		return 0;
	e->dfa_state = 1;
	walk(e, KT_PATH_MAX - e->path_start, dfa_step);
	state = e->dfa_state;
	if (!state)
		return 0;
	end = bpf_map_lookup_elem(&dfa, &state);
	return end ? end->labels : 0;
}

/* Builds and judges: through the mounts, and within the superblock (bind mounts). */
static __always_inline u64 path_judge(struct event *e, u64 vfsmount, u64 dentry)
{
	u64 labels;

	path_build(e, 0, dentry);
	labels = path_labels(e);
	if (vfsmount) {
		path_build(e, vfsmount - guest.mount_mnt, dentry);
		labels |= path_labels(e);
	}
	/* Without its front a path cannot be judged. */
	if (e->path_cut)
		event_fail(e, KT_LOST_WALK_BOUND, dentry);
	return labels;
}

#endif
