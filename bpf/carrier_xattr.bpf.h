/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a file carries beside its data: extended attributes that users choose the
 * content of, and the text of a symbolic link. Both have the labels of the file.
 */
#ifndef KVMTAINT_CARRIER_XATTR_BPF_H
#define KVMTAINT_CARRIER_XATTR_BPF_H

#include "carrier_file.bpf.h"

#define S_IFLNK		 0120000

#define NR_READLINK	 89 /* x86-64 */
#define NR_READLINKAT	 267
#define NR_READLINK_32	 85
#define NR_READLINKAT_32 305

/* "user.*" and "trusted.*"; a name that cannot be read counts as one. */
static __always_inline bool xattr_is_data(struct event *e, u64 name)
{
	u64 word;

	if (guest_copy(e, name, 8) != 8)
		return true;
	bpf_probe_read_kernel(&word, 8, e->scratch);
	return (word & 0xffffffffffULL) == 0x2e72657375ULL || /* "user." */
	       word == 0x2e64657473757274ULL; /* "trusted." */
}

/* Of the file at hand: its labels are those of its attributes. */
static __always_inline void attribute_is_written(struct event *e)
{
	write_to_storage(e, KT_FLOW_WRITE);
	if (e->fuse)
		fuse_is_written(e, KT_FLOW_WRITE);
}

static __always_inline void attribute_is_read(struct event *e)
{
	if (e->fuse)
		fuse_is_read(e, KT_FLOW_READ);
	else
		read_from(e, KT_FLOW_READ);
}

/* security_inode_setxattr([idmap,] dentry, name, value, size, flags) */
static __always_inline void on_inode_setxattr(struct event *e)
{
	bool mapped = guest.vfsmount_idmap != KT_ABSENT;
	u64 dentry = mapped ? e->args[1] : e->args[0], name = mapped ? e->args[2] : e->args[1];

	if (!actor_labels(e) || !xattr_is_data(e, name) || !carrier_is_dentry(e, dentry))
		return;
	attribute_is_written(e);
}

/* security_inode_getxattr(dentry, name) */
static __always_inline void on_inode_getxattr(struct event *e)
{
	if (xattr_is_data(e, e->args[1]) && carrier_is_dentry(e, e->args[0]))
		attribute_is_read(e);
}

/*
 * security_inode_init_security(inode, dir, name, ...): a new inode, that nobody else can
 * see yet. Only that of a link has its text from whoever makes it.
 */
static __always_inline void on_inode_init(struct event *e)
{
	u64 inode = e->args[0], dir = e->args[1], sb, alias;

	if (!actor_labels(e) || (g16(e, inode + guest.inode_mode) & S_IFMT) != S_IFLNK ||
	    !carrier_is_inode(e, inode))
		return;
	sb = g64(e, inode + guest.inode_sb);
	alias = g64(e, dir + guest.inode_dentry);
	e->file = 0;
	e->dentry = alias ? alias - guest.dentry_alias : 0;
	e->leaf = e->args[2];
	e->mount = mount_of(e, sb);
	write_to_storage(e, KT_FLOW_WRITE);
}

/* True in readlink(2) and readlinkat(2), and where a process hides which call it is in. */
static __always_inline bool actor_reads_link(struct event *e)
{
	u64 regs = user_regs(e, actor_task(e));
	u32 nr;

	if (!regs)
		return !actor_is_kthread(e);
	nr = g64(e, regs + PT_REGS_ORIG_AX);
	if (call_is_compat(e, actor_task(e)))
		return nr == NR_READLINK_32 || nr == NR_READLINKAT_32;
	nr &= ~X32_CALL;
	return nr == NR_READLINK || nr == NR_READLINKAT;
}

/* security_inode_readlink(dentry): overlayfs asks it too, where a link is only followed. */
static __always_inline void on_inode_readlink(struct event *e)
{
	if (actor_reads_link(e) && carrier_is_dentry(e, e->args[0]))
		read_from(e, KT_FLOW_READ);
}

#endif
