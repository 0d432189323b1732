/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Character devices: which of them carry data from one process to another
 * (terminals, /dev/fuse), and which out of the guest. All others (null, zero,
 * random, input, ...) are neither.
 */
#ifndef KVMTAINT_CARRIER_DEVICE_BPF_H
#define KVMTAINT_CARRIER_DEVICE_BPF_H

#include "carrier_tty.bpf.h"
#include "carrier_fuse.bpf.h"
#include "verdict.bpf.h"

#define S_IFCHR 0020000

/* Documentation/admin-guide/devices.txt; a dev_t as include/linux/kdev_t.h has it. */
#define DEV_T(major, minor) ((u32)(major) << 20 | (minor))
#define DEV_KMSG	    DEV_T(1, 11)
#define DEV_TUN		    DEV_T(10, 200)
#define DEV_FUSE	    DEV_T(10, 229)

/* What is written to the device of this name, of len bytes, leaves as far as we can see. */
__noinline int device_leak(struct event *e, u32 kind, u64 name, u32 len)
{
	u64 labels;

	if (!e)
		return 0;
	labels = actor_labels(e);
	record_begin(e, KT_RECORD_LEAK);
	record_actor(e);
	e->record.leak_kind = kind;
	e->record.labels = labels;
	e->record.cause = e->cause;
	e->record.source = e->record.actor;
	e->record.target.kind = KT_KIND_DEVICE;
	len = guest_copy(e, name, len < KT_NAME_LEN ? len : KT_NAME_LEN);
	if (len <= KT_NAME_LEN) {
		bpf_probe_read_kernel(e->record.target.name, len, e->scratch);
		e->record.target.name_len = len;
	}
	return leak_end(e, 0);
}

static __always_inline u32 device_number(struct event *e, u64 file)
{
	return g32(e, g64(e, file + guest.file_inode) + guest.inode_rdev);
}

/* A module's name, in words of eight bytes. */
#define MODULE_VIRTIO_C 0x635f6f6974726976ULL /* virtio_c */
#define MODULE_ONSOLE	0x00656c6f736e6fULL /* onsole */
#define MODULE_TAP	0x00706174ULL /* tap, of macvtap and ipvtap */

/*
 * What leaves by a device whose number is given out at run time: a virtio-serial port,
 * or the tap of a network device. Its operations may be those of a module, of which the
 * guest's kallsyms say nothing here. 0: it is neither.
 */
static __always_inline u32 leak_by_module(struct event *e, u64 file)
{
	u64 operations = g64(e, file + guest.file_op), owner, name;

	if (!operations)
		return 0;
	if (operations == guest.sym_port_fops)
		return KT_LEAK_CONSOLE;
	if (guest.fops_owner == KT_ABSENT || guest.module_name == KT_ABSENT)
		return 0;
	owner = g64(e, operations + guest.fops_owner);
	if (!owner)
		return 0;
	name = g64(e, owner + guest.module_name);
	if (name == MODULE_VIRTIO_C && g64(e, owner + guest.module_name + 8) == MODULE_ONSOLE)
		return KT_LEAK_CONSOLE;
	return (u32)name == MODULE_TAP ? KT_LEAK_UNRESOLVED : 0;
}

/* The open device becomes the carrier that is read; false: reading it is no flow. */
__noinline int device_to_read(struct event *e, u64 file)
{
	u64 tty;

	if (!e)
		return 0;
	if (device_number(e, file) == DEV_FUSE)
		return carrier_is_fuse(e, fuse_of_device(e, file));
	if (follow_terminals == KT_TERMINALS_SHOWN)
		return 0;
	tty = tty_of_file(e, file);
	return tty && tty_to_read(e, tty);
}

/* A process wrote to an open device: it leaves, or somebody else reads it, or it is nothing. */
__noinline int device_is_written(struct event *e, u64 file)
{
	u64 tty, dentry;
	u32 kind = 0;

	if (!e || !actor_labels(e))
		return 0;
	switch (device_number(e, file)) {
	case DEV_FUSE:
		if (carrier_is_fuse(e, fuse_of_device(e, file)))
			write_to(e, KT_FLOW_WRITE);
		return 0;
	case DEV_KMSG:
		kind = KT_LEAK_CONSOLE;
		break;
	case DEV_TUN:
		kind = KT_LEAK_UNRESOLVED;
		break;
	default:
		tty = tty_of_file(e, file);
		if (tty)
			tty_is_written(e, tty);
		else
			kind = leak_by_module(e, file);
	}
	if (!kind)
		return 0;
	dentry = g64(e, file + guest.file_path_dentry);
	return device_leak(e, kind, g64(e, dentry + guest.dentry_name),
			   g32(e, dentry + guest.dentry_name_len));
}

#endif
