/* SPDX-License-Identifier: GPL-2.0 */
/*
 * FUSE: the server, a process, reads from /dev/fuse what others write to the files
 * of its file system, and writes there what they read. All of one connection
 * (struct fuse_conn) is one carrier, both ways: the server is one process, and so
 * has all labels of what it was given in all that it gives.
 *
 * A file of it is beside that a file like any other, with labels of its own.
 */
#ifndef KVMTAINT_CARRIER_FUSE_BPF_H
#define KVMTAINT_CARRIER_FUSE_BPF_H

#include "carrier.bpf.h"

#define FUSE_SUPER_MAGIC 0x65735546 /* include/uapi/linux/magic.h */
#define FUSE_NAME	 0x65737566 /* "fuse", of fuse and fuseblk; virtiofs has no process behind it */

/*
 * If nothing tells where the member is: up to 6.18 the connection is the first both of a
 * mount (since 5.10, commit fcee216beb9c) and of an open /dev/fuse (since 4.2, commit
 * c3696046beb3); in 7.3 a fuse_chan is between.
 */
static __always_inline u64 fuse_member(struct event *e, u64 object, s32 offset)
{
	if (object - guest.direct_map >= guest.direct_map_size)
		return 0;
	return g64(e, object + (offset == KT_ABSENT ? 0 : offset));
}

/*
 * The connection of an open /dev/fuse; 0: it has none. 6.18 marks a file that is not
 * mounted yet by a small number instead of a pointer.
 */
static __always_inline u64 fuse_of_device(struct event *e, u64 file)
{
	u64 device = g64(e, file + guest.file_private_data);

	if (modules.fuse_chan_conn == KT_ABSENT)
		return fuse_member(e, device, modules.fuse_dev_fc);
	return fuse_member(e, fuse_member(e, device, modules.fuse_dev_chan),
			   modules.fuse_chan_conn);
}

/* The connection of a file system whose magic is FUSE's; 0: there is no server. */
static __always_inline u64 fuse_of_super(struct event *e, u64 sb)
{
	u64 type = g64(e, sb + guest.sb_type);

	if (g32(e, g64(e, type + guest.fs_type_name)) != FUSE_NAME)
		return 0;
	return fuse_member(e, g64(e, sb + guest.sb_fs_info), modules.fuse_mount_fc);
}

static __always_inline bool carrier_is_fuse(struct event *e, u64 connection)
{
	if (connection - guest.direct_map >= guest.direct_map_size)
		return false;
	carrier_is_object(e, KT_KIND_FUSE, connection);
	return true;
}

/*
 * The file at hand, on FUSE, is read. The thread can be known as a reader of one
 * thing: of the connection, by which all that is written to the file goes too.
 */
__noinline int fuse_is_read(struct event *e, u32 flow)
{
	u64 connection;

	if (!e)
		return 0;
	connection = fuse_of_super(e, e->fuse);
	if (!connection) {
		read_from(e, flow);
		return 0;
	}
	read_locked(e, flow);
	if (carrier_is_fuse(e, connection))
		read_from(e, flow);
	return 0;
}

/* The file at hand, on FUSE, was written: the server reads it next. */
__noinline int fuse_is_written(struct event *e, u32 flow)
{
	if (e && carrier_is_fuse(e, fuse_of_super(e, e->fuse)))
		write_to(e, flow);
	return 0;
}

/* It is mapped: that thread is known as a reader of the file, for its mapping's sake. */
__noinline int fuse_is_mapped(struct event *e, u32 writes)
{
	if (!e || !carrier_is_fuse(e, fuse_of_super(e, e->fuse)))
		return 0;
	read_locked(e, KT_FLOW_MMAP);
	if (writes)
		write_to(e, KT_FLOW_MMAP);
	return 0;
}

/* generic_shutdown_super(sb): from now on its server gets and gives nothing. */
static __always_inline void on_super_shutdown(struct event *e)
{
	struct kt_object_key key = {};
	struct kt_fuse *found;

	if (g64(e, e->args[0] + guest.sb_magic) != FUSE_SUPER_MAGIC)
		return;
	key.gva = fuse_of_super(e, e->args[0]);
	found = bpf_map_lookup_elem(&fuse, &key);
	if (!found)
		return;
	record_begin(e, KT_RECORD_GONE);
	e->record.target.kind = KT_KIND_FUSE;
	e->record.target.gva = key.gva;
	set_leave(e, &found->managed, &fuse, &key);
	record_emit(e);
}

#endif
