// SPDX-License-Identifier: GPL-2.0
/*
 * Disks, images behind loop devices and file systems of other machines, by the engine
 * run natively over RAM images of five guest kernels.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "storage_world.h"

static int set_up_to_pause(void **state)
{
	static const struct kt_sink_rule pause = { .labels = ~0ULL, .action = KT_VERDICT_PAUSED };

	return open_play(state, &pause, 1);
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

static void a_disk_that_goes_leaves(void **state)
{
	struct play *p = play(state);
	uint64_t disk = make_disk(p, "vdb", 254), bdev = make_bdev(p, disk);
	uint64_t node = make_node(p, bdev);

	sender_knows(p);
	writes(p, SENDER, node);
	assert_int_equal(labels_of(&p->w, "disks", &disk), 1);
	hook3(p, KT_HOOK_disk_gone, OTHER, disk, 0, 0);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].type, KT_RECORD_GONE);
	assert_string_equal(p->records[0].target.name, "vdb");
	/* Another one at its address. */
	reads(p, RECEIVER, node);
	assert_int_equal(process(p, RECEIVER), 0);
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
		TEST(a_disk_that_goes_leaves),
		TEST(a_disk_in_the_guests_memory_is_no_leak),
		TEST(a_mapped_disk_is_read_and_written),
		TEST(a_file_on_another_machines_disk_is_a_leak),
		TEST(a_file_in_an_image_is_in_the_image),
		TEST(an_image_that_is_written_is_in_its_files),
		TEST(a_loop_device_is_as_its_module_tells),
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
