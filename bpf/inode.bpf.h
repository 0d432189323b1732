/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which file an inode is: (file system, inode number, generation). A file of
 * overlayfs is the file of the upper or lower layer that has its data: some hooks
 * see the one (mmap), others both, and who looks into a layer the other alone.
 */
#ifndef KVMTAINT_INODE_BPF_H
#define KVMTAINT_INODE_BPF_H

#include "carrier_fuse.bpf.h"

/* include/uapi/linux/stat.h */
#define S_IFMT		     0170000
#define S_IFSOCK	     0140000
#define S_IFREG		     0100000
#define S_IFBLK		     0060000
#define S_IFDIR		     0040000
#define S_IFIFO		     0010000

#define OVERLAYFS_MAGIC	     0x794c7630 /* include/uapi/linux/magic.h */
#define OVERLAYFS_LAYERS_MAX 3 /* FILESYSTEM_MAX_STACK_DEPTH, and one */

/*
 * File systems whose "regular files" are views of kernel state, not storage: a
 * managed process that writes one and a clean one that reads it share nothing.
 * Since 6.16 anonymous inodes call themselves regular too (commit cfd86ef7e8e7).
 * include/uapi/linux/magic.h
 */
static __always_inline bool fs_is_storage(u64 magic)
{
	switch (magic) {
	case 0x00009fa0: /* proc */
	case 0x62656572: /* sysfs */
	case 0x0027e0eb: /* cgroup */
	case 0x63677270: /* cgroup2 */
	case 0x64626720: /* debugfs */
	case 0x74726163: /* tracefs */
	case 0x73636673: /* securityfs */
	case 0xf97cff8c: /* selinuxfs */
	case 0x43415d53: /* smackfs */
	case 0xcafe4a11: /* bpf */
	case 0x62656570: /* configfs */
	case 0x42494e4d: /* binfmt_misc */
	case 0xde5e81e4: /* efivarfs */
	case 0x6165676c: /* pstore */
	case 0x19800202: /* mqueue */
	case 0x09041934: /* anonymous inodes */
	case 0x6e736673: /* nsfs */
	case 0x50494446: /* pidfs */
		return false;
	}
	return true;
}

#define INODE_GLANCE 128 /* mode, superblock, number; from 6.12 on the generation too */
#define SB_GLANCE    256

/*
 * Which file system: a device number is another's after an unmount, and another
 * one after the next mount, where it is not a disk's own (btrfs, loop, tmpfs).
 */
static __always_inline u32 fs_identity(struct event *e, u64 sb, u32 dev)
{
	u64 low, high, mixed;

	guest_glance(e, sb + guest.sb_uuid, 16);
	low = e->glance[0];
	high = e->glance[1];
	mixed = (low ^ high * 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;
	return low | high ? mixed >> 32 : dev;
}

/* What an inode says of itself; its kind (S_IFMT). */
static __always_inline u32 inode_look(struct event *e, u64 inode, u64 *sb, struct kt_file_key *key)
{
	guest_glance(e, inode, INODE_GLANCE);
	*sb = glanced(e, inode, guest.inode_sb, 8, INODE_GLANCE);
	key->ino = glanced(e, inode, guest.inode_ino, 8, INODE_GLANCE);
	key->generation = glanced(e, inode, guest.inode_generation, 4, INODE_GLANCE);
	return glanced(e, inode, guest.inode_mode, 2, INODE_GLANCE) & S_IFMT;
}

/* And its file system: the magic number. */
__noinline u64 sb_look(struct event *e, u64 sb, struct kt_file_key *key)
{
	u64 magic;
	u32 dev;

	if (!e || !key)
		return 0;
	guest_glance(e, sb, SB_GLANCE);
	magic = glanced(e, sb, guest.sb_magic, 8, SB_GLANCE);
	e->bdev = glanced(e, sb, guest.sb_bdev, 8, SB_GLANCE);
	dev = glanced(e, sb, guest.sb_dev, 4, SB_GLANCE);
	key->fs = fs_is_storage(magic) ? fs_identity(e, sb, dev) : 0;
	return magic;
}

/* A word of a guest's module, whose layout is not sure: not mapped is no failure, but 0. */
static __always_inline u64 try64(struct event *e, u64 gva)
{
	u32 before = e->failed;
	u64 value = g64(e, gva);

	if (e->failed == KT_LOST_GUEST_MEMORY && !before)
		e->failed = 0;
	return value;
}

/* An inode shows itself: its mapping is its own, which names it as its host. */
static __always_inline bool is_regular_inode(struct event *e, u64 inode)
{
	u64 mapping;

	if (inode - guest.direct_map >= guest.direct_map_size)
		return false;
	mapping = try64(e, inode + guest.inode_mapping);
	return mapping - inode < (u32)guest.inode_size &&
	       try64(e, mapping + guest.mapping_host) == inode &&
	       ((u16)try64(e, inode + guest.inode_mode) & S_IFMT) == S_IFREG;
}

static __always_inline u64 regular_inode_of(struct event *e, u64 dentry)
{
	u64 inode;

	if (dentry - guest.direct_map >= guest.direct_map_size)
		return 0;
	inode = try64(e, dentry + guest.dentry_inode);
	return is_regular_inode(e, inode) ? inode : 0;
}

/*
 * The inode that has the data of an inode of overlayfs, if nothing tells what struct
 * ovl_inode looks like; 0: it does not show. Behind its vfs_inode is, in all
 * releases, the upper dentry. Then the lower inode (up to 5.18), or the lower
 * layer and dentry (commit ffa5723c6d25), or from 6.5 on (commit 0af950f57fef) a
 * pointer to { number of layers, { layer, dentry } }.
 */
static __always_inline u64 overlay_layer_untold(struct event *e, u64 inode)
{
	u64 end = inode + guest.inode_size, lower = g64(e, end + 8), found;

	found = regular_inode_of(e, g64(e, end));
	if (!found && lower - guest.direct_map < guest.direct_map_size)
		found = regular_inode_of(e, try64(e, lower + 16));
	if (!found)
		found = regular_inode_of(e, try64(e, end + 16));
	if (!found && is_regular_inode(e, lower))
		found = lower;
	return found;
}

static __always_inline u64 overlay_layer(struct event *e, u64 inode)
{
	u64 object = inode - modules.ovl_inode, found, lower;

	if (modules.ovl_inode == KT_ABSENT)
		return overlay_layer_untold(e, inode);
	found = regular_inode_of(e, g64(e, object + modules.ovl_upper));
	if (found)
		return found;
	if (modules.ovl_lower_inode != KT_ABSENT) {
		lower = g64(e, object + modules.ovl_lower_inode);
		return is_regular_inode(e, lower) ? lower : 0;
	}
	if (modules.ovl_lower_dentry != KT_ABSENT)
		return regular_inode_of(e, g64(e, object + modules.ovl_lower_dentry));
	lower = g64(e, object + modules.ovl_lower_entry);
	if (lower - guest.direct_map >= guest.direct_map_size)
		return 0;
	return regular_inode_of(
		e, try64(e, lower + modules.ovl_entry_stack + modules.ovl_path_dentry));
}

/* The inode with the data, through as many overlays as lie on each other. */
__noinline u64 overlay_bottom(struct event *e, u64 inode)
{
	u64 next;

	if (!e)
		return 0;
	for (u32 i = 0; i < OVERLAYFS_LAYERS_MAX; i++) {
		if (g64(e, g64(e, inode + guest.inode_sb) + guest.sb_magic) != OVERLAYFS_MAGIC)
			break;
		next = overlay_layer(e, inode);
		if (!next)
			break;
		inode = next;
	}
	return inode;
}

/* The regular file of an inode that was looked at becomes the carrier at hand; false: not one. */
static __always_inline bool carrier_is_looked(struct event *e, u64 inode, u64 sb,
					      struct kt_file_key *key)
{
	u64 magic = sb_look(e, sb, key), bottom;

	if (!fs_is_storage(magic))
		return false;
	e->name_key = *key;
	e->key = *key;
	e->overlaid = 0;
	if (magic == OVERLAYFS_MAGIC) {
		bottom = overlay_bottom(e, inode);
		e->overlaid = bottom != inode;
		inode = bottom;
		inode_look(e, inode, &sb, key);
		magic = sb_look(e, sb, key);
		e->key = *key;
		/* The overlay's own numbers are a layer's, and without generations. */
		e->name_key.generation = key->generation ^ key->fs ^ (u32)key->ino * 0x9e3779b9U;
	}
	e->fuse = magic == FUSE_SUPER_MAGIC ? sb : 0;
	e->carrier_kind = KT_KIND_FILE;
	e->carrier = inode;
	return !e->failed;
}

static __always_inline bool carrier_is_inode(struct event *e, u64 inode)
{
	struct kt_file_key key = {};
	u64 sb;

	inode_look(e, inode, &sb, &key);
	return carrier_is_looked(e, inode, sb, &key);
}

#endif
