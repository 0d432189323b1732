/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What file systems lie on: disks, and the image files of loop devices.
 *
 * A disk and its partitions are one carrier, its gendisk. A loop device is none:
 * it is the file behind it. Labels go two ways, and must not turn round:
 *
 * - up: a file's labels join its disk or image (mapping.bpf.h), for those who read
 *   it raw. So all labels of all files are in it, and no file may take them.
 * - down: what came into a disk or image by another way, its kt_managed.own, may
 *   be in any of its files, and joins them when they are touched (carrier_file.bpf.h).
 *
 * Loop devices' threads and workers are kernel threads: no actors.
 */
#ifndef KVMTAINT_CARRIER_BLOCK_BPF_H
#define KVMTAINT_CARRIER_BLOCK_BPF_H

#include "inode.bpf.h"

#define LOOP_MAJOR 7 /* include/uapi/linux/major.h */

/*
 * Where struct loop_device has lo_backing_file, if nothing tells: from 5.15 on, since
 * transfer functions went (commit 47e9624616c8), and before.
 */
#define LOOP_FILE     96
#define LOOP_FILE_OLD 240

/* The disk of an open block device; 0: the guest has none. */
static __always_inline u64 disk_of_file(struct event *e, u64 file)
{
	u64 inode;

	if (guest.bdev_disk == KT_ABSENT || guest.bdev_inode == KT_ABSENT)
		return 0;
	/* The mapping is the device's; f_inode is that of its node. */
	inode = g64(e, g64(e, file + guest.file_mapping) + guest.mapping_host);
	return g64(e, inode - guest.bdev_inode + guest.bdev_disk);
}

static __always_inline u64 loop_file_at(struct event *e, u64 field)
{
	u64 file = try64(e, field), inode;

	if (file - guest.direct_map >= guest.direct_map_size)
		return 0;
	inode = try64(e, file + guest.file_inode);
	return is_regular_inode(e, inode) && try64(e, file + guest.file_mapping) ==
						     try64(e, inode + guest.inode_mapping)
		       ? file
		       : 0;
}

/* The open file behind a loop device; 0: it has none, or is none. */
static __always_inline u64 loop_file(struct event *e, u64 disk)
{
	u64 device, file;

	if (g32(e, disk + guest.disk_major) != LOOP_MAJOR)
		return 0;
	device = g64(e, disk + guest.disk_private);
	if (modules.loop_file != KT_ABSENT)
		return loop_file_at(e, device + modules.loop_file);
	file = loop_file_at(e, device + LOOP_FILE);
	return file ?: loop_file_at(e, device + LOOP_FILE_OLD);
}

/*
 * A disk, or the image file of a loop device, becomes the carrier at hand. Returns
 * S_IFBLK or S_IFREG; 0: neither.
 */
__noinline int carrier_is_disk(struct event *e, u64 disk)
{
	u64 file;

	if (!e || !disk || e->failed)
		return 0;
	file = loop_file(e, disk);
	if (file) {
		e->file = file;
		e->dentry = 0;
		return carrier_is_inode(e, g64(e, file + guest.file_inode)) ? S_IFREG : 0;
	}
	e->carrier_kind = KT_KIND_DISK;
	e->carrier = disk;
	e->overlaid = 0;
	e->fuse = 0;
	e->key.ino = disk;
	e->key.fs = 0;
	e->key.generation = 0;
	return e->failed ? 0 : S_IFBLK;
}

/* What a file system lies on, its s_bdev, becomes the carrier at hand; 0: nothing, and none does.
 */
static __always_inline int carrier_is_medium(struct event *e, u64 bdev)
{
	if (!bdev || guest.bdev_disk == KT_ABSENT)
		return 0;
	e->file = 0;
	e->dentry = 0;
	return carrier_is_disk(e, g64(e, bdev + guest.bdev_disk));
}

/* del_gendisk(disk): another one may be made at its address. */
static __always_inline void on_disk_gone(struct event *e)
{
	struct kt_object_key key = { .gva = e->args[0] };
	struct kt_disk *disk = bpf_map_lookup_elem(&disks, &key);

	if (!disk)
		return;
	record_begin(e, KT_RECORD_GONE);
	carrier_is_object(e, KT_KIND_DISK, key.gva);
	describe_carrier(e, &e->record.target);
	if (comes_again(e))
		return;
	set_leave(e, &disk->managed, &disks, &key);
	record_emit(e);
}

/* The file at hand steps aside for what it is stored in, and comes back. */
static __always_inline void content_keep(struct event *e)
{
	e->content.carrier = e->carrier;
	e->content.file = e->file;
	e->content.dentry = e->dentry;
	e->content.key = e->key;
	e->content.name_key = e->name_key;
	e->content.overlaid = e->overlaid;
	e->content.fuse = e->fuse;
}

static __always_inline void content_at_hand(struct event *e)
{
	e->carrier_kind = KT_KIND_FILE;
	e->carrier = e->content.carrier;
	e->file = e->content.file;
	e->dentry = e->content.dentry;
	e->key = e->content.key;
	e->name_key = e->content.name_key;
	e->overlaid = e->content.overlaid;
	e->fuse = e->content.fuse;
}

#endif
