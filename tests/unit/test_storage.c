// SPDX-License-Identifier: GPL-2.0
/*
 * Disks, images behind loop devices, overlays and file systems of other machines, by
 * the engine run natively over RAM images of five guest kernels. The files are made
 * of the guest's own field offsets, and lie in its direct map, as a guest's do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

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

static int keep(void *ctx, const struct kt_record *record, size_t len)
{
	struct play *p = ctx;

	assert_true(p->count < RECORDS_MAX);
	memset(&p->records[p->count], 0, sizeof(*record));
	memcpy(&p->records[p->count++], record, len);
	return 0;
}

static void hook3(struct play *p, enum kt_hook hook, uint32_t who, uint64_t a0, uint64_t a1,
		  uint64_t a2)
{
	uint64_t args[4] = { a0, a1, a2 };

	assert_int_equal(run_hook_with(&p->w, 0, hook, task(&p->w, who), args), 0);
	p->count = 0;
	assert_true(engine_drain(p->w.engine, keep, p) >= 0);
}

static void writes(struct play *p, uint32_t who, uint64_t file)
{
	hook3(p, KT_HOOK_file_permission, who, file, MAY_WRITE, 0);
}

static void reads(struct play *p, uint32_t who, uint64_t file)
{
	hook3(p, KT_HOOK_file_permission, who, file, MAY_READ, 0);
}

static uint64_t process(struct play *p, uint32_t who)
{
	uint64_t key = signal_of(&p->w, who);

	return labels_of(&p->w, "processes", &key);
}

static void sender_knows(struct play *p)
{
	reads(p, SENDER, file_of(&p->w, p->series, p->w.holder, "secret"));
	assert_int_equal(process(p, SENDER), 1);
}

/* The first record that says so; the test fails where there is none. */
static const struct kt_record *record_of(struct play *p, uint32_t type, uint32_t target)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->records[i].type == type && p->records[i].target.kind == target)
			return &p->records[i];
	fail_msg("no record of type %u with a target of kind %u among %zu", type, target, p->count);
	return NULL;
}

/* --- the guest's objects ---------------------------------------------------- */

/* An object of zeroes; its address in the direct map. */
static uint64_t blank(struct play *p)
{
	uint64_t at = copy_of(&p->w, p->w.bystander);

	memset((void *)(uintptr_t)(at + p->w.moved), 0, OBJECT_SIZE);
	return at - p->g->text_gva + p->g->text_gpa + p->g->direct_map;
}

static void put(struct play *p, uint64_t at, uint64_t value, size_t size)
{
	set(&p->w, at - p->g->direct_map - p->g->text_gpa + p->g->text_gva, value, size);
}

static uint64_t text(struct play *p, const char *bytes)
{
	uint64_t at = blank(p);

	for (size_t i = 0; bytes[i]; i++)
		put(p, at + i, bytes[i], 1);
	return at;
}

static uint64_t make_disk(struct play *p, const char *name, uint32_t major)
{
	uint64_t disk = blank(p);

	put(p, disk + p->g->disk_major, major, 4);
	put(p, disk + p->g->disk_first_minor, 16, 4);
	for (size_t i = 0; name[i]; i++)
		put(p, disk + p->g->disk_name + i, name[i], 1);
	return disk;
}

static uint64_t make_bdev(struct play *p, uint64_t disk)
{
	uint64_t bdev = blank(p);

	put(p, bdev + p->g->bdev_disk, disk, 8);
	return bdev;
}

static uint64_t make_sb(struct play *p, uint64_t magic, const char *type, uint64_t bdev)
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
static uint64_t make_inode(struct play *p, uint64_t sb, uint32_t mode)
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

static uint64_t make_dentry(struct play *p, uint64_t inode)
{
	uint64_t dentry = blank(p);

	put(p, dentry + p->g->dentry_inode, inode, 8);
	put(p, dentry + p->g->dentry_parent, dentry, 8);
	put(p, dentry + p->g->dentry_name, text(p, "plain"), 8);
	put(p, dentry + p->g->dentry_name_len, 5, 4);
	return dentry;
}

static uint64_t open_inode(struct play *p, uint64_t inode, uint64_t mapping)
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

static uint64_t make_file(struct play *p, uint64_t sb)
{
	uint64_t inode = make_inode(p, sb, S_IFREG);

	return open_inode(p, inode, peek(&p->w, inode + p->g->inode_mapping, 8));
}

/* An open block device: the node's inode, and the device's own mapping. */
static uint64_t make_node(struct play *p, uint64_t bdev)
{
	uint64_t mapping = blank(p);

	put(p, mapping + p->g->mapping_host, bdev + p->g->bdev_inode, 8);
	return open_inode(p, make_inode(p, make_sb(p, EXT4, "devtmpfs", 0), S_IFBLK), mapping);
}

static uint64_t make_loop_at(struct play *p, uint64_t file, uint32_t at)
{
	uint64_t disk = make_disk(p, "loop0", LOOP_MAJOR), loop = blank(p);

	put(p, loop + at, file, 8);
	put(p, disk + p->g->disk_private, loop, 8);
	return disk;
}

/* A loop device with this open file behind it, of a guest whose modules tell nothing. */
static uint64_t make_loop(struct play *p, uint64_t file)
{
	return make_loop_at(p, file, strcmp(p->series, "5.10") ? 96 : 240);
}

/* --- fixture ------------------------------------------------------------------ */

static int open_play(void **state, const struct kt_sink_rule *sinks, uint32_t count)
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

static int set_up(void **state)
{
	return open_play(state, NULL, 0);
}

static int set_up_to_pause(void **state)
{
	static const struct kt_sink_rule pause = { .labels = ~0ULL, .action = KT_VERDICT_PAUSED };

	return open_play(state, &pause, 1);
}

static int tear_down(void **state)
{
	struct play *p = *state;

	*state = (void *)p->series;
	free(p);
	return 0;
}

static struct play *play(void **state)
{
	struct play *p = *state;

	if (!p->w.engine)
		skip();
	return p;
}

/* --- disks -------------------------------------------------------------------- */

static void a_managed_file_is_read_from_its_raw_disk(void **state)
{
	struct play *p = play(state);
	uint64_t bdev = make_bdev(p, make_disk(p, "vdb", 254)), sb = make_sb(p, EXT4, "ext4", bdev);
	const struct kt_record *record;
	uint64_t file = make_file(p, sb), other = make_file(p, sb), node = make_node(p, bdev), seq;

	sender_knows(p);
	writes(p, SENDER, file);
	assert_int_equal(p->count, 2);
	seq = record_of(p, KT_RECORD_SPREAD, KT_KIND_FILE)->seq;
	record = record_of(p, KT_RECORD_SPREAD, KT_KIND_DISK);
	assert_int_equal(record->flow, KT_FLOW_STORED);
	assert_int_equal(record->cause, seq);
	assert_string_equal(record->target.name, "vdb");
	assert_int_equal(record->target.dev, 254 << 20 | 16);
	seq = record->seq;
	reads(p, OTHER, other);
	assert_int_equal(p->count, 0);
	assert_int_equal(process(p, OTHER), 0);
	reads(p, RECEIVER, node);
	assert_int_equal(process(p, RECEIVER), 1);
	assert_int_equal(record_of(p, KT_RECORD_SPREAD, KT_KIND_PROCESS)->cause, seq);
}

static void who_reads_a_raw_disk_first_is_told(void **state)
{
	struct play *p = play(state);
	uint64_t bdev = make_bdev(p, make_disk(p, "vdb", 254));
	uint64_t file = make_file(p, make_sb(p, EXT4, "ext4", bdev)), node = make_node(p, bdev);

	sender_knows(p);
	reads(p, RECEIVER, node);
	assert_int_equal(process(p, RECEIVER), 0);
	writes(p, SENDER, file);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void a_disk_written_raw_may_be_in_each_of_its_files(void **state)
{
	struct play *p = play(state);
	uint64_t bdev = make_bdev(p, make_disk(p, "vdb", 254));
	uint64_t file = make_file(p, make_sb(p, EXT4, "ext4", bdev)), node = make_node(p, bdev);
	const struct kt_record *leak;
	uint64_t seq;

	sender_knows(p);
	writes(p, SENDER, node);
	assert_int_equal(p->count, 2);
	seq = record_of(p, KT_RECORD_SPREAD, KT_KIND_DISK)->seq;
	leak = record_of(p, KT_RECORD_LEAK, KT_KIND_DISK);
	assert_int_equal(leak->leak_kind, KT_LEAK_DEVICE);
	assert_string_equal(leak->target.name, "vdb");
	reads(p, RECEIVER, file);
	assert_int_equal(process(p, RECEIVER), 1);
	assert_int_equal(record_of(p, KT_RECORD_SPREAD, KT_KIND_FILE)->cause, seq);
	assert_int_equal(record_of(p, KT_RECORD_SPREAD, KT_KIND_FILE)->source.kind, KT_KIND_DISK);
	/* What the process is known to have written there is no news. */
	writes(p, SENDER, node);
	assert_int_equal(p->count, 0);
}

static void a_disk_in_the_guests_memory_is_no_leak(void **state)
{
	struct play *p = play(state);
	uint64_t node = make_node(p, make_bdev(p, make_disk(p, "ram0", 1)));

	sender_knows(p);
	writes(p, SENDER, node);
	assert_int_equal(p->count, 1);
	record_of(p, KT_RECORD_SPREAD, KT_KIND_DISK);
}

static void a_mapped_disk_is_read_and_written(void **state)
{
	struct play *p = play(state);
	uint64_t node = make_node(p, make_bdev(p, make_disk(p, "vdb", 254)));

	sender_knows(p);
	hook3(p, KT_HOOK_mmap_file, SENDER, node, 3, MAP_SHARED);
	record_of(p, KT_RECORD_SPREAD, KT_KIND_DISK);
	record_of(p, KT_RECORD_LEAK, KT_KIND_DISK);
	hook3(p, KT_HOOK_mmap_file, RECEIVER, node, 1, 2);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void a_file_on_another_machines_disk_is_a_leak(void **state)
{
	struct play *p = play(state);
	uint64_t sb = make_sb(p, EXT4, "ext4", make_bdev(p, make_disk(p, "nbd3", 43)));
	uint64_t file = make_file(p, sb);

	sender_knows(p);
	writes(p, SENDER, file);
	assert_int_equal(record_of(p, KT_RECORD_LEAK, KT_KIND_DISK)->leak_kind, KT_LEAK_DEVICE);
}

/* --- images --------------------------------------------------------------------- */

static void a_file_in_an_image_is_in_the_image(void **state)
{
	struct play *p = play(state);
	uint64_t disk = make_disk(p, "vdb", 254);
	uint64_t image = make_file(p, make_sb(p, EXT4, "ext4", make_bdev(p, disk)));
	uint64_t bdev = make_bdev(p, make_loop(p, image)), sb = make_sb(p, EXT4, "ext4", bdev);
	uint64_t file = make_file(p, sb), other = make_file(p, sb);

	sender_knows(p);
	writes(p, SENDER, file);
	/* The file, the image, and the disk that the image is on. */
	assert_int_equal(p->count, 3);
	assert_int_equal(p->records[1].target.kind, KT_KIND_FILE);
	assert_int_equal(p->records[1].cause, p->records[0].seq);
	assert_int_equal(p->records[2].target.kind, KT_KIND_DISK);
	assert_int_equal(p->records[2].cause, p->records[1].seq);
	reads(p, OTHER, other);
	assert_int_equal(process(p, OTHER), 0);
	reads(p, RECEIVER, image);
	assert_int_equal(process(p, RECEIVER), 1);
	/* The loop device is the image. */
	reads(p, OTHER, make_node(p, bdev));
	assert_int_equal(process(p, OTHER), 1);
}

static void an_image_that_is_written_is_in_its_files(void **state)
{
	struct play *p = play(state);
	uint64_t image = make_file(p, make_sb(p, EXT4, "ext4", 0));
	uint64_t bdev = make_bdev(p, make_loop(p, image));
	uint64_t file = make_file(p, make_sb(p, EXT4, "ext4", bdev));

	sender_knows(p);
	/* By a file in it first: then what is written to it has no new label. */
	writes(p, SENDER, make_file(p, make_sb(p, EXT4, "ext4", bdev)));
	reads(p, OTHER, file);
	assert_int_equal(process(p, OTHER), 0);
	writes(p, SENDER, image);
	reads(p, RECEIVER, file);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void a_loop_device_is_as_its_module_tells(void **state)
{
	struct play *p = play(state);
	struct kt_modules told = untold;
	uint64_t image = make_file(p, make_sb(p, EXT4, "ext4", 0));

	told.loop_file = 480;
	engine_set_modules(p->w.engine, &told);
	sender_knows(p);
	writes(p, SENDER,
	       make_file(p, make_sb(p, EXT4, "ext4", make_bdev(p, make_loop_at(p, image, 480)))));
	reads(p, RECEIVER, image);
	assert_int_equal(process(p, RECEIVER), 1);
	/* Where it would be if nothing told is something else. */
	reads(p, OTHER, make_node(p, make_bdev(p, make_loop(p, image))));
	assert_int_equal(process(p, OTHER), 0);
}

/* --- overlays --------------------------------------------------------------------- */

static uint64_t inode_of(struct play *p, uint64_t file)
{
	return peek(&p->w, file + p->g->file_inode, 8);
}

/* An inode of an overlay; up to three words lie behind it, as in struct ovl_inode. */
static uint64_t make_overlaid(struct play *p, uint64_t upper, uint64_t second, uint64_t third)
{
	uint64_t file = make_file(p, make_sb(p, OVERLAYFS, "overlay", 0));
	uint64_t end = inode_of(p, file) + p->g->inode_size;

	put(p, end, upper, 8);
	put(p, end + 8, second, 8);
	put(p, end + 16, third, 8);
	return file;
}

static void maps_and_layer_knows(struct play *p, uint64_t overlaid, uint64_t layer)
{
	sender_knows(p);
	hook3(p, KT_HOOK_mmap_file, SENDER, overlaid, 3, MAP_SHARED);
	assert_int_equal(record_of(p, KT_RECORD_SPREAD, KT_KIND_FILE)->target.ino,
			 peek(&p->w, inode_of(p, layer) + p->g->inode_ino, 8));
	reads(p, RECEIVER, layer);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void an_overlays_file_is_its_upper_one(void **state)
{
	struct play *p = play(state);
	uint64_t layer = make_file(p, make_sb(p, EXT4, "ext4", 0));

	maps_and_layer_knows(p, make_overlaid(p, make_dentry(p, inode_of(p, layer)), 0, 0), layer);
}

static void an_overlays_file_is_its_lower_inode(void **state)
{
	struct play *p = play(state);
	uint64_t layer = make_file(p, make_sb(p, EXT4, "ext4", 0));

	maps_and_layer_knows(p, make_overlaid(p, 0, inode_of(p, layer), 0), layer);
}

static void an_overlays_file_is_its_lower_path(void **state)
{
	struct play *p = play(state);
	uint64_t layer = make_file(p, make_sb(p, EXT4, "ext4", 0)), dentry;

	dentry = make_dentry(p, inode_of(p, layer));
	maps_and_layer_knows(p, make_overlaid(p, 0, blank(p), dentry), layer);
}

static void an_overlays_file_is_in_its_lower_stack(void **state)
{
	struct play *p = play(state);
	uint64_t layer = make_file(p, make_sb(p, EXT4, "ext4", 0)), stack = blank(p);

	put(p, stack, 1, 4);
	put(p, stack + 8, blank(p), 8);
	put(p, stack + 16, make_dentry(p, inode_of(p, layer)), 8);
	maps_and_layer_knows(p, make_overlaid(p, 0, stack, 0), layer);
}

/* Far behind the inode, where no release has it. */
#define TOLD_BEFORE 32
#define TOLD_UPPER  64
#define TOLD_LOWER  72

/* lower: where in struct kt_modules is told by what way the layer below is found. */
static struct kt_modules told_overlay(const struct play *p, size_t lower)
{
	struct kt_modules told = untold;

	told.ovl_inode = TOLD_BEFORE;
	told.ovl_upper = TOLD_BEFORE + p->g->inode_size + TOLD_UPPER;
	*(int32_t *)((char *)&told + lower) = told.ovl_upper + TOLD_LOWER - TOLD_UPPER;
	told.ovl_entry_stack = 40;
	told.ovl_path_dentry = 16;
	return told;
}

static uint64_t make_told(struct play *p, const struct kt_modules *told, uint32_t at,
			  uint64_t value)
{
	uint64_t file = make_file(p, make_sb(p, OVERLAYFS, "overlay", 0));

	engine_set_modules(p->w.engine, told);
	put(p, inode_of(p, file) + p->g->inode_size + at, value, 8);
	return file;
}

static void an_overlays_upper_file_is_where_its_module_tells(void **state)
{
	struct play *p = play(state);
	struct kt_modules told = told_overlay(p, offsetof(struct kt_modules, ovl_lower_inode));
	uint64_t layer = make_file(p, make_sb(p, EXT4, "ext4", 0));

	maps_and_layer_knows(p, make_told(p, &told, TOLD_UPPER, make_dentry(p, inode_of(p, layer))),
			     layer);
}

static void an_overlays_lower_inode_is_where_its_module_tells(void **state)
{
	struct play *p = play(state);
	struct kt_modules told = told_overlay(p, offsetof(struct kt_modules, ovl_lower_inode));
	uint64_t layer = make_file(p, make_sb(p, EXT4, "ext4", 0));

	maps_and_layer_knows(p, make_told(p, &told, TOLD_LOWER, inode_of(p, layer)), layer);
}

static void an_overlays_lower_path_is_where_its_module_tells(void **state)
{
	struct play *p = play(state);
	struct kt_modules told = told_overlay(p, offsetof(struct kt_modules, ovl_lower_dentry));
	uint64_t layer = make_file(p, make_sb(p, EXT4, "ext4", 0));

	maps_and_layer_knows(p, make_told(p, &told, TOLD_LOWER, make_dentry(p, inode_of(p, layer))),
			     layer);
}

static void an_overlays_lower_stack_is_where_its_module_tells(void **state)
{
	struct play *p = play(state);
	struct kt_modules told = told_overlay(p, offsetof(struct kt_modules, ovl_lower_entry));
	uint64_t layer = make_file(p, make_sb(p, EXT4, "ext4", 0)), stack = blank(p);

	put(p, stack + 40 + 16, make_dentry(p, inode_of(p, layer)), 8);
	maps_and_layer_knows(p, make_told(p, &told, TOLD_LOWER, stack), layer);
}

static void an_overlay_told_wrongly_is_a_file_of_its_own(void **state)
{
	struct play *p = play(state);
	struct kt_modules told = told_overlay(p, offsetof(struct kt_modules, ovl_lower_entry));
	uint64_t layer = make_file(p, make_sb(p, EXT4, "ext4", 0)), overlaid;

	/* Not where the module tells, but where the releases have it. */
	overlaid = make_told(p, &told, 0, make_dentry(p, inode_of(p, layer)));
	sender_knows(p);
	writes(p, SENDER, overlaid);
	reads(p, RECEIVER, overlaid);
	assert_int_equal(process(p, RECEIVER), 1);
	reads(p, OTHER, layer);
	assert_int_equal(process(p, OTHER), 0);
}

static void an_overlay_of_nonsense_is_a_file_of_its_own(void **state)
{
	struct play *p = play(state);
	uint64_t wild = p->g->direct_map + p->g->direct_map_size - 4096, overlaid;

	overlaid = make_overlaid(p, wild, wild, wild);
	sender_knows(p);
	writes(p, SENDER, overlaid);
	reads(p, RECEIVER, overlaid);
	assert_int_equal(process(p, RECEIVER), 1);
}

/* --- file systems of other machines ----------------------------------------------- */

static void a_file_that_a_server_keeps_is_a_leak(void **state)
{
	static const char *const types[] = { "9p",   "virtiofs", "nfs",	   "nfs4",    "cifs",
					     "smb3", "ceph",	 "vboxsf", "orangefs" };
	struct play *p = play(state);
	uint64_t cause = 0;

	sender_knows(p);
	for (size_t i = 0; i < p->count; i++)
		if (p->records[i].target.pid == 1000 + SENDER)
			cause = p->records[i].seq;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint64_t file = make_file(p, make_sb(p, 0x6969, types[i], 0));
		const struct kt_record *leak;

		writes(p, SENDER, file);
		assert_int_equal(p->count, 2);
		leak = record_of(p, KT_RECORD_LEAK, KT_KIND_FILE);
		assert_int_equal(leak->leak_kind, KT_LEAK_FILESYSTEM);
		assert_int_equal(leak->cause, cause);
		assert_string_equal(leak->target.fs_type, types[i]);
		assert_int_equal(leak->target.name_len, 10);
		assert_memory_equal(leak->target.name, "10.9.0.1:/", 10);
		assert_int_equal(leak->path_len, 6);
		assert_memory_equal(leak->path, "/plain", 6);
		writes(p, SENDER, file);
		assert_int_equal(p->count, 0);
	}
}

static void a_file_of_the_guest_is_no_leak(void **state)
{
	static const char *const types[] = { "ext4", "tmpfs", "fuse", "nfs4x", "virtiofs2", "" };
	struct play *p = play(state);

	sender_knows(p);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		writes(p, SENDER, make_file(p, make_sb(p, EXT4, types[i], 0)));
		assert_int_equal(p->count, 1);
		record_of(p, KT_RECORD_SPREAD, KT_KIND_FILE);
	}
}

static void each_process_that_writes_it_leaks(void **state)
{
	struct play *p = play(state);
	uint64_t file = make_file(p, make_sb(p, 0x6969, "nfs4", 0));

	sender_knows(p);
	writes(p, SENDER, file);
	reads(p, RECEIVER, file);
	writes(p, RECEIVER, file);
	assert_int_equal(p->count, 1);
	assert_int_equal(record_of(p, KT_RECORD_LEAK, KT_KIND_FILE)->source.pid, 1000 + RECEIVER);
}

static void the_vm_stands_before_each_write(void **state)
{
	struct play *p = play(state);
	uint64_t file = make_file(p, make_sb(p, 0x6969, "nfs4", 0));

	sender_knows(p);
	for (int n = 0; n < 3; n++) {
		const struct kt_record *leak;
		struct engine_hold hold;
		uint32_t vcpu = 0;

		writes(p, SENDER, file);
		leak = record_of(p, KT_RECORD_LEAK, KT_KIND_FILE);
		assert_int_equal(leak->verdict, KT_VERDICT_PAUSED);
		assert_true(engine_next_hold(p->w.engine, &vcpu, &hold));
		assert_int_equal(hold.seq, leak->seq);
		/* Nothing in memory could stop it; it is let go on once. */
		assert_int_equal(engine_release(p->w.engine, hold.vcpu, true),
				 KT_OBSTACLE_NO_MESSAGE);
		assert_int_equal(engine_release(p->w.engine, hold.vcpu, false), 0);
	}
}

#define PF_KTHREAD 0x00200000

static void a_file_that_nfsd_serves_is_a_leak(void **state)
{
	struct play *p = play(state);
	uint64_t file = make_file(p, make_sb(p, EXT4, "ext4", 0)), seq;
	const struct kt_record *leak;

	sender_knows(p);
	writes(p, SENDER, file);
	seq = record_of(p, KT_RECORD_SPREAD, KT_KIND_FILE)->seq;
	for (uint32_t who = RECEIVER; who <= OTHER; who++) {
		set(&p->w, task(&p->w, who) + p->g->task_flags, PF_KTHREAD, 4);
		set(&p->w, task(&p->w, who) + p->g->task_comm, 0x6473666e, 8);
	}
	reads(p, RECEIVER, file);
	assert_int_equal(process(p, RECEIVER), 0);
	assert_int_equal(p->count, 1);
	leak = record_of(p, KT_RECORD_LEAK, KT_KIND_FILE);
	assert_string_equal(leak->target.fs_type, "nfsd");
	assert_int_equal(leak->cause, seq);
	/* One record, whichever of its threads reads on. */
	reads(p, OTHER, file);
	assert_int_equal(p->count, 0);
}

static void a_file_that_another_kernel_thread_reads_is_no_leak(void **state)
{
	struct play *p = play(state);
	uint64_t file = make_file(p, make_sb(p, EXT4, "ext4", 0));

	sender_knows(p);
	writes(p, SENDER, file);
	set(&p->w, task(&p->w, OTHER) + p->g->task_flags, PF_KTHREAD, 4);
	set(&p->w, task(&p->w, OTHER) + p->g->task_comm, 0x706f6f6c, 8); /* "loop" */
	reads(p, OTHER, file);
	assert_int_equal(p->count, 0);
	assert_int_equal(process(p, OTHER), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST(a_managed_file_is_read_from_its_raw_disk),
		TEST(who_reads_a_raw_disk_first_is_told),
		TEST(a_disk_written_raw_may_be_in_each_of_its_files),
		TEST(a_disk_in_the_guests_memory_is_no_leak),
		TEST(a_mapped_disk_is_read_and_written),
		TEST(a_file_on_another_machines_disk_is_a_leak),
		TEST(a_file_in_an_image_is_in_the_image),
		TEST(an_image_that_is_written_is_in_its_files),
		TEST(an_overlays_file_is_its_upper_one),
		TEST(an_overlays_file_is_its_lower_inode),
		TEST(an_overlays_file_is_its_lower_path),
		TEST(an_overlays_file_is_in_its_lower_stack),
		TEST(an_overlay_of_nonsense_is_a_file_of_its_own),
		TEST(a_loop_device_is_as_its_module_tells),
		TEST(an_overlays_upper_file_is_where_its_module_tells),
		TEST(an_overlays_lower_inode_is_where_its_module_tells),
		TEST(an_overlays_lower_path_is_where_its_module_tells),
		TEST(an_overlays_lower_stack_is_where_its_module_tells),
		TEST(an_overlay_told_wrongly_is_a_file_of_its_own),
		TEST(a_file_that_a_server_keeps_is_a_leak),
		TEST(a_file_of_the_guest_is_no_leak),
		TEST(each_process_that_writes_it_leaks),
		TEST(a_file_that_nfsd_serves_is_a_leak),
		TEST(a_file_that_another_kernel_thread_reads_is_no_leak),
		cmocka_unit_test_setup_teardown(the_vm_stands_before_each_write, set_up_to_pause,
						tear_down),
	};

	memset(&untold, 0xff, sizeof(untold)); /* KT_ABSENT */
	return run_on_all_images("storage", tests, sizeof(tests) / sizeof(tests[0]));
}
