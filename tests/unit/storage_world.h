/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests of files and what they lie on: disks, images, overlays, file systems. They are
 * made of the guest's own field offsets, and lie in its direct map, as a guest's do.
 * Includers bring cmocka.
 */
#ifndef KVMTAINT_TEST_STORAGE_WORLD_H
#define KVMTAINT_TEST_STORAGE_WORLD_H

#include "replay_world.h"

#define SENDER	    0
#define RECEIVER    1
#define OTHER	    2
#define RECORDS_MAX 16
#define MAY_WRITE   2
#define MAY_READ    4
#define FMODE_WRITE 2
#define S_IFREG	    0100000
#define S_IFBLK	    0060000
#define EXT4	    0xef53
#define OVERLAYFS   0x794c7630
#define LOOP_MAJOR  7

struct play {
	struct world w;
	const char *series;
	const struct kt_guest *g;
	struct kt_record records[RECORDS_MAX];
	size_t count;
	uint64_t next_ino;
};

/* Of a guest whose modules tell nothing. */
static struct kt_modules untold;

static inline int keep(void *ctx, const struct kt_record *record, size_t len)
{
	struct play *p = ctx;

	assert_true(p->count < RECORDS_MAX);
	memset(&p->records[p->count], 0, sizeof(*record));
	memcpy(&p->records[p->count++], record, len);
	return 0;
}

static inline void hook3(struct play *p, enum kt_hook hook, uint32_t who, uint64_t a0, uint64_t a1,
			 uint64_t a2)
{
	uint64_t args[4] = { a0, a1, a2 };

	assert_int_equal(run_hook_with(&p->w, 0, hook, task(&p->w, who), args), 0);
	p->count = 0;
	assert_true(engine_drain(p->w.engine, keep, p) >= 0);
}

static inline void writes(struct play *p, uint32_t who, uint64_t file)
{
	hook3(p, KT_HOOK_file_permission, who, file, MAY_WRITE, 0);
}

static inline void reads(struct play *p, uint32_t who, uint64_t file)
{
	hook3(p, KT_HOOK_file_permission, who, file, MAY_READ, 0);
}

static inline uint64_t process(struct play *p, uint32_t who)
{
	uint64_t key = signal_of(&p->w, who);

	return labels_of(&p->w, "processes", &key);
}

static inline void sender_knows(struct play *p)
{
	reads(p, SENDER, file_of(&p->w, p->series, p->w.holder, "secret"));
	assert_int_equal(process(p, SENDER), 1);
}

/* The first record that says so; the test fails where there is none. */
static inline const struct kt_record *record_of(struct play *p, uint32_t type, uint32_t target)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->records[i].type == type && p->records[i].target.kind == target)
			return &p->records[i];
	fail_msg("no record of type %u with a target of kind %u among %zu", type, target, p->count);
	return NULL;
}

/* --- the guest's objects ---------------------------------------------------- */

/* An object of zeroes; its address in the direct map. */
static inline uint64_t blank(struct play *p)
{
	uint64_t at = copy_of(&p->w, p->w.bystander);

	memset((void *)(uintptr_t)(at + p->w.moved), 0, OBJECT_SIZE);
	return at - p->g->text_gva + p->g->text_gpa + p->g->direct_map;
}

static inline void put(struct play *p, uint64_t at, uint64_t value, size_t size)
{
	set(&p->w, at - p->g->direct_map - p->g->text_gpa + p->g->text_gva, value, size);
}

static inline uint64_t text(struct play *p, const char *bytes)
{
	uint64_t at = blank(p);

	for (size_t i = 0; bytes[i]; i++)
		put(p, at + i, bytes[i], 1);
	return at;
}

static inline uint64_t make_disk(struct play *p, const char *name, uint32_t major)
{
	uint64_t disk = blank(p);

	put(p, disk + p->g->disk_major, major, 4);
	put(p, disk + p->g->disk_first_minor, 16, 4);
	for (size_t i = 0; name[i]; i++)
		put(p, disk + p->g->disk_name + i, name[i], 1);
	return disk;
}

static inline uint64_t make_bdev(struct play *p, uint64_t disk)
{
	uint64_t bdev = blank(p);

	put(p, bdev + p->g->bdev_disk, disk, 8);
	return bdev;
}

static inline uint64_t make_sb(struct play *p, uint64_t magic, const char *type, uint64_t bdev)
{
	uint64_t sb = blank(p), fs = blank(p);

	put(p, fs + p->g->fs_type_name, text(p, type), 8);
	put(p, sb + p->g->sb_magic, magic, 8);
	put(p, sb + p->g->sb_type, fs, 8);
	put(p, sb + p->g->sb_bdev, bdev, 8);
	put(p, sb + p->g->sb_dev, sb >> 11 & 0xfffff, 4);
	return sb;
}

/* Its mapping is in it, as an inode's is. */
static inline uint64_t make_inode(struct play *p, uint64_t sb, uint32_t mode)
{
	uint64_t inode = blank(p), mapping = inode + (p->g->inode_size - 256) / 8 * 8;

	put(p, inode + p->g->inode_mode, mode, 2);
	put(p, inode + p->g->inode_sb, sb, 8);
	put(p, inode + p->g->inode_ino, ++p->next_ino, 8);
	put(p, inode + p->g->inode_nlink, 1, 4);
	put(p, inode + p->g->inode_mapping, mapping, 8);
	put(p, mapping + p->g->mapping_host, inode, 8);
	return inode;
}

static inline uint64_t make_dentry(struct play *p, uint64_t inode)
{
	uint64_t dentry = blank(p);

	put(p, dentry + p->g->dentry_inode, inode, 8);
	put(p, dentry + p->g->dentry_parent, dentry, 8);
	put(p, dentry + p->g->dentry_name, text(p, "plain"), 8);
	put(p, dentry + p->g->dentry_name_len, 5, 4);
	return dentry;
}

static inline uint64_t open_inode(struct play *p, uint64_t inode, uint64_t mapping)
{
	uint64_t file = blank(p), mount = blank(p);

	put(p, mount + p->g->mount_devname, text(p, "10.9.0.1:/"), 8);
	put(p, mount + p->g->mount_parent, mount, 8);
	put(p, file + p->g->file_inode, inode, 8);
	put(p, file + p->g->file_mapping, mapping, 8);
	put(p, file + p->g->file_mode, FMODE_WRITE | 1, 4);
	put(p, file + p->g->file_path_mnt, mount + p->g->mount_mnt, 8);
	put(p, file + p->g->file_path_dentry, make_dentry(p, inode), 8);
	return file;
}

static inline uint64_t make_file(struct play *p, uint64_t sb)
{
	uint64_t inode = make_inode(p, sb, S_IFREG);

	return open_inode(p, inode, peek(&p->w, inode + p->g->inode_mapping, 8));
}

/* An open block device: the node's inode, and the device's own mapping. */
static inline uint64_t make_node(struct play *p, uint64_t bdev)
{
	uint64_t mapping = blank(p);

	put(p, mapping + p->g->mapping_host, bdev + p->g->bdev_inode, 8);
	return open_inode(p, make_inode(p, make_sb(p, EXT4, "devtmpfs", 0), S_IFBLK), mapping);
}

static inline uint64_t make_loop_at(struct play *p, uint64_t file, uint32_t at)
{
	uint64_t disk = make_disk(p, "loop0", LOOP_MAJOR), loop = blank(p);

	put(p, loop + at, file, 8);
	put(p, disk + p->g->disk_private, loop, 8);
	return disk;
}

/* A loop device with this open file behind it, of a guest whose modules tell nothing. */
static inline uint64_t make_loop(struct play *p, uint64_t file)
{
	return make_loop_at(p, file, strcmp(p->series, "5.10") ? 96 : 240);
}

static inline uint64_t inode_of(struct play *p, uint64_t file)
{
	return peek(&p->w, file + p->g->file_inode, 8);
}

/* --- fixture ------------------------------------------------------------------ */

static inline int open_play(void **state, const struct kt_sink_rule *sinks, uint32_t count)
{
	struct play *p = calloc(1, sizeof(*p));

	p->series = *state;
	p->next_ino = 1000;
	p->w.sinks = sinks;
	p->w.sink_count = count;
	*state = p;
	world_open(&p->w, p->series);
	if (!p->w.profile)
		return 0;
	p->g = &p->w.profile->guest;
	engine_set_modules(p->w.engine, &untold);
	return 0;
}

static inline int set_up(void **state)
{
	return open_play(state, NULL, 0);
}

static inline int tear_down(void **state)
{
	struct play *p = *state;

	*state = (void *)p->series;
	free(p);
	return 0;
}

static inline struct play *play(void **state)
{
	struct play *p = *state;

	if (!p->w.engine)
		skip();
	return p;
}

#endif
