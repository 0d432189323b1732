// SPDX-License-Identifier: GPL-2.0
/*
 * Terminals, consoles, FUSE and tun, by the engine run natively over RAM images of
 * five guest kernels. The devices are made up of the guest's own types.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "play_world.h"

#define S_IFCHR		  0020000
#define DEV(major, minor) ((major) << 20 | (minor))
#define FUSE_SUPER_MAGIC  0x65735546
#define FMODE_READ	  1
#define FMODE_WRITE	  2

/* --- devices --------------------------------------------------------------- */

/* An open device: /dev/plain, whatever its number and operations say. */
static uint64_t device(struct play *p, uint32_t number, uint64_t operations, uint64_t private)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t file = blank(p), dentry = plain_dentry(p, S_IFCHR | 0600);
	uint64_t inode = peek(&p->w, dentry + g->dentry_inode, 8);

	set(&p->w, inode + g->inode_rdev, number, 4);
	set(&p->w, file + g->file_inode, inode, 8);
	set(&p->w, file + g->file_path_dentry, dentry, 8);
	set(&p->w, file + g->file_op, operations, 8);
	set(&p->w, file + g->file_private_data, private, 8);
	return file;
}

static uint64_t tty(struct play *p, const char *name, uint16_t subtype)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t at = blank(p), driver = blank(p);

	memcpy((void *)(uintptr_t)(at + g->tty_name + p->w.moved), name, strlen(name) + 1);
	set(&p->w, at + g->tty_driver, driver, 8);
	set(&p->w, driver + g->tty_driver_subtype, subtype, 2);
	return at;
}

static uint64_t opened_tty(struct play *p, uint64_t tty, uint64_t operations)
{
	uint64_t private = blank(p);

	assert_true(operations);
	set(&p->w, private + p->w.profile->guest.tty_file_tty, tty, 8);
	return device(p, DEV(136, 0), operations, private);
}

struct pty {
	uint64_t tty; /* of the slave: the carrier */
	uint64_t master, slave; /* open files */
};

static struct pty pty(struct play *p)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t master = tty(p, "ptm0", 1), slave = tty(p, "pts0", 2);

	set(&p->w, master + g->tty_link, slave, 8);
	set(&p->w, slave + g->tty_link, master, 8);
	return (struct pty){ slave, opened_tty(p, master, g->sym_ptmx_fops),
			     opened_tty(p, slave, g->sym_tty_fops) };
}

static void reads(struct play *p, uint32_t who, uint64_t file)
{
	hook(p, KT_HOOK_file_permission, who, file, MAY_READ);
}

static void writes(struct play *p, uint32_t who, uint64_t file)
{
	hook(p, KT_HOOK_file_permission, who, file, MAY_WRITE);
}

/* The last hook gave one leak record, of this kind, to the device of this name. */
static void is_leak(struct play *p, uint32_t kind, const char *name)
{
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].type, KT_RECORD_LEAK);
	assert_int_equal(p->records[0].leak_kind, kind);
	assert_int_equal(p->records[0].target.kind, KT_KIND_DEVICE);
	assert_int_equal(p->records[0].labels, 1);
	assert_memory_equal(p->records[0].target.name, name, strlen(name));
}

/* --- terminals ------------------------------------------------------------- */

static void a_terminal_is_told_and_marks_nobody(void **state)
{
	struct play *p = play(state);
	struct pty t = pty(p);

	reads(p, RECEIVER, t.master);
	writes(p, RECEIVER, t.slave);
	sender_knows(p);
	writes(p, SENDER, t.master);
	assert_int_equal(p->count, 0);
	writes(p, SENDER, t.slave);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].target.kind, KT_KIND_TERMINAL);
	assert_string_equal(p->records[0].target.name, "pts0");
	assert_int_equal(object(p, "terminals", t.tty), 1);
	writes(p, SENDER, t.slave);
	assert_int_equal(p->count, 0);
	reads(p, RECEIVER, t.master);
	reads(p, RECEIVER, t.slave);
	assert_int_equal(process(p, RECEIVER), 0);
}

static void with_output_the_reader_of_the_master_joins(void **state)
{
	struct play *p = play(state);
	struct pty t = pty(p);

	sender_knows(p);
	writes(p, SENDER, t.slave);
	reads(p, RECEIVER, t.slave);
	assert_int_equal(process(p, RECEIVER), 0);
	reads(p, RECEIVER, t.master);
	assert_int_equal(process(p, RECEIVER), 1);
	assert_int_equal(p->records[0].source.kind, KT_KIND_TERMINAL);
	assert_string_equal(p->records[0].source.name, "pts0");
}

static void with_output_a_reader_that_came_first_is_told(void **state)
{
	struct play *p = play(state);
	struct pty t = pty(p);

	reads(p, RECEIVER, t.master);
	sender_knows(p);
	writes(p, SENDER, t.master);
	assert_int_equal(process(p, RECEIVER), 0);
	writes(p, SENDER, t.slave);
	assert_int_equal(p->count, 2);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void with_both_what_is_typed_is_read(void **state)
{
	struct play *p = play(state);
	struct pty t = pty(p);

	reads(p, RECEIVER, t.slave);
	assert_int_equal(process(p, RECEIVER), 0);
	sender_knows(p);
	writes(p, SENDER, t.master);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void with_both_tiocsti_is_read_and_a_freed_terminal_forgets(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	struct pty t = pty(p);

	hook(p, KT_HOOK_tiocsti, RECEIVER, t.tty, 'x');
	assert_int_equal(p->count, 0);
	sender_knows(p);
	hook(p, KT_HOOK_tiocsti, SENDER, t.tty, 'x');
	assert_int_equal(p->count, 1);
	assert_int_equal(object(p, "terminals", t.tty), 1);
	hook(p, KT_HOOK_tty_free, RECEIVER, t.tty + g->tty_hangup_work, 0);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].type, KT_RECORD_GONE);
	assert_string_equal(p->records[0].target.name, "pts0");
	reads(p, RECEIVER, t.slave);
	assert_int_equal(process(p, RECEIVER), 0);
}

/* --- out of the guest -------------------------------------------------------- */

static void what_is_printed_on_a_console_leaks(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t serial = tty(p, "ttyS0", 0), files[] = {
		opened_tty(p, serial, g->sym_tty_fops),
		opened_tty(p, serial, g->sym_console_fops),
	};
	uint64_t kmsg = device(p, DEV(1, 11), 0, 0);

	for (size_t i = 0; i < 2; i++) {
		writes(p, RECEIVER, files[i]);
		assert_int_equal(p->count, 0);
	}
	sender_knows(p);
	for (size_t i = 0; i < 2; i++) {
		writes(p, SENDER, files[i]);
		is_leak(p, KT_LEAK_CONSOLE, "ttyS0");
		assert_int_equal(object(p, "terminals", serial), 0);
	}
	writes(p, SENDER, kmsg);
	is_leak(p, KT_LEAK_CONSOLE, "plain");
	hook(p, KT_HOOK_tiocsti, SENDER, serial, 'x');
	assert_int_equal(p->count, 2);
	assert_int_equal(p->records[0].type, KT_RECORD_LEAK);
}

static void a_tap_is_known_by_its_module(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t module = blank(p), operations = blank(p), other = blank(p), others = blank(p);

	memcpy((void *)(uintptr_t)(module + g->module_name + p->w.moved), "tap", 4);
	memcpy((void *)(uintptr_t)(other + g->module_name + p->w.moved), "tape", 5);
	set(&p->w, operations + g->fops_owner, module, 8);
	set(&p->w, others + g->fops_owner, other, 8);
	sender_knows(p);
	writes(p, SENDER, device(p, DEV(237, 3), operations, 0));
	is_leak(p, KT_LEAK_UNRESOLVED, "plain");
	writes(p, SENDER, device(p, DEV(238, 3), others, 0));
	assert_int_equal(p->count, 0);
}

static void a_virtio_port_is_known_by_its_module_or_its_operations(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t module = blank(p), other = blank(p), port = blank(p), not_port = blank(p);

	memcpy((void *)(uintptr_t)(module + g->module_name + p->w.moved), "virtio_console", 15);
	memcpy((void *)(uintptr_t)(other + g->module_name + p->w.moved), "virtio_consoles", 16);
	set(&p->w, port + g->fops_owner, module, 8);
	set(&p->w, not_port + g->fops_owner, other, 8);
	sender_knows(p);
	writes(p, SENDER, device(p, DEV(240, 1), port, 0));
	is_leak(p, KT_LEAK_CONSOLE, "plain");
	if (g->sym_port_fops) {
		writes(p, SENDER, device(p, DEV(240, 1), g->sym_port_fops, 0));
		is_leak(p, KT_LEAK_CONSOLE, "plain");
	}
	writes(p, SENDER, device(p, DEV(240, 1), not_port, 0));
	assert_int_equal(p->count, 0);
}

static void tun_leaks_and_null_does_not(void **state)
{
	struct play *p = play(state);
	uint64_t operations = blank(p), null = device(p, DEV(1, 3), operations, 0);

	sender_knows(p);
	writes(p, SENDER, null);
	assert_int_equal(p->count, 0);
	reads(p, RECEIVER, null);
	assert_int_equal(process(p, RECEIVER), 0);
	writes(p, SENDER, device(p, DEV(10, 200), operations, 0));
	is_leak(p, KT_LEAK_UNRESOLVED, "plain");
}

/* --- FUSE -------------------------------------------------------------------- */

/* The same byte, where the guest's slab objects are. */
static uint64_t slab(struct play *p, uint64_t at)
{
	const struct kt_guest *g = &p->w.profile->guest;

	return at - g->text_gva + g->text_gpa + g->direct_map;
}

struct mount {
	uint64_t sb;
	uint64_t connection; /* the carrier */
	uint64_t device, file; /* open files */
	uint64_t dentry; /* of file */
};

static void link_to(struct play *p, uint64_t from, int32_t offset, uint64_t to)
{
	set(&p->w, from + (offset == KT_ABSENT ? 0 : offset), slab(p, to), 8);
}

static struct mount mount(struct play *p, const char *type_name)
{
	const struct kt_guest *g = &p->w.profile->guest;
	const struct kt_modules *m = &p->w.profile->modules;
	uint64_t dentry = plain_dentry(p, 0100600),
		 inode = peek(&p->w, dentry + g->dentry_inode, 8);
	uint64_t sb = copy_of(&p->w, peek(&p->w, inode + g->inode_sb, 8)), type = blank(p),
		 fuse_mount = blank(p), connection = blank(p);
	uint64_t opened = blank(p), chan, file;

	set(&p->w, sb + g->sb_magic, FUSE_SUPER_MAGIC, 8);
	set(&p->w, sb + g->sb_dev, DEV(0, 50), 4);
	set(&p->w, sb + g->sb_type, type, 8);
	set(&p->w, type + g->fs_type_name, text(p, type_name), 8);
	set(&p->w, sb + g->sb_fs_info, slab(p, fuse_mount), 8);
	link_to(p, fuse_mount, m->fuse_mount_fc, connection);
	if (m->fuse_chan_conn == KT_ABSENT) {
		link_to(p, opened, m->fuse_dev_fc, connection);
	} else {
		chan = blank(p);
		link_to(p, opened, m->fuse_dev_chan, chan);
		link_to(p, chan, m->fuse_chan_conn, connection);
	}
	set(&p->w, inode + g->inode_sb, sb, 8);
	file = copy_of(&p->w, file_of(&p->w, p->series, p->w.holder, "secret"));
	set(&p->w, file + g->file_inode, inode, 8);
	set(&p->w, file + g->file_path_dentry, dentry, 8);
	return (struct mount){ sb, slab(p, connection),
			       device(p, DEV(10, 229), blank(p), slab(p, opened)), file, dentry };
}

static void what_is_written_to_fuse_its_server_reads(void **state)
{
	struct play *p = play(state);
	struct mount m = mount(p, "fuse"), other = mount(p, "fuseblk");

	reads(p, RECEIVER, m.device);
	sender_knows(p);
	writes(p, SENDER, other.file);
	assert_int_equal(p->count, 2);
	assert_int_equal(process(p, RECEIVER), 0);
	writes(p, SENDER, m.file);
	assert_int_equal(object(p, "fuse", m.connection), 1);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void what_a_managed_fuse_server_answers_is_read(void **state)
{
	struct play *p = play(state);
	struct mount m = mount(p, "fuse");

	reads(p, RECEIVER, m.file);
	sender_knows(p);
	writes(p, SENDER, m.device);
	assert_int_equal(p->count, 2);
	assert_int_equal(p->records[0].target.kind, KT_KIND_FUSE);
	assert_int_equal(p->records[1].source.kind, KT_KIND_FUSE);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void set_xattr(struct play *p, uint32_t who, uint64_t dentry)
{
	bool mapped = p->w.profile->guest.vfsmount_idmap != KT_ABSENT;

	hook4(p, KT_HOOK_inode_setxattr, who, mapped ? 0 : dentry,
	      mapped ? dentry : text(p, "user.note"), mapped ? text(p, "user.note") : 0, 0);
}

static void all_ways_into_a_fuse_file_reach_its_server(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	struct mount mapped = mount(p, "fuse"), noted = mount(p, "fuse"), dumped = mount(p, "fuse");
	uint64_t params = blank(p);

	set(&p->w, mapped.file + g->file_mode, FMODE_READ | FMODE_WRITE, 4);
	set(&p->w, params + g->coredump_file, dumped.file, 8);
	sender_knows(p);
	hook4(p, KT_HOOK_mmap_file, SENDER, mapped.file, 0, MAP_PRIVATE, 0);
	assert_int_equal(object(p, "fuse", mapped.connection), 0);
	hook4(p, KT_HOOK_mmap_file, SENDER, mapped.file, 0, MAP_SHARED, 0);
	assert_int_equal(object(p, "fuse", mapped.connection), 1);
	set_xattr(p, SENDER, noted.dentry);
	assert_int_equal(object(p, "fuse", noted.connection), 1);
	hook(p, KT_HOOK_dump_emit, SENDER, params, 0);
	assert_int_equal(object(p, "fuse", dumped.connection), 1);
}

static void a_managed_fuse_server_is_read_by_a_mapping(void **state)
{
	struct play *p = play(state);
	struct mount m = mount(p, "fuse");

	sender_knows(p);
	writes(p, SENDER, m.device);
	hook4(p, KT_HOOK_mmap_file, RECEIVER, m.file, 0, MAP_PRIVATE, 0);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void a_managed_fuse_server_is_read_by_an_xattr(void **state)
{
	struct play *p = play(state);
	struct mount m = mount(p, "fuse");

	sender_knows(p);
	writes(p, SENDER, m.device);
	hook(p, KT_HOOK_inode_getxattr, RECEIVER, m.dentry, text(p, "user.note"));
	assert_int_equal(process(p, RECEIVER), 1);
}

static void a_fuse_file_system_that_is_gone_forgets(void **state)
{
	struct play *p = play(state);
	struct mount m = mount(p, "fuse");

	sender_knows(p);
	writes(p, SENDER, m.device);
	assert_int_equal(object(p, "fuse", m.connection), 1);
	hook(p, KT_HOOK_super_shutdown, RECEIVER, m.sb, 0);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].type, KT_RECORD_GONE);
	reads(p, RECEIVER, m.file);
	assert_int_equal(process(p, RECEIVER), 0);
}

static void a_fuse_device_without_a_mount_and_virtiofs_are_no_carriers(void **state)
{
	struct play *p = play(state);
	struct mount virtiofs = mount(p, "virtiofs");

	sender_knows(p);
	/* What 6.18 has before the mount, and what all have before and after it. */
	writes(p, SENDER, device(p, DEV(10, 229), blank(p), 1));
	assert_int_equal(p->count, 0);
	writes(p, SENDER, device(p, DEV(10, 229), blank(p), 0));
	assert_int_equal(p->count, 0);
	writes(p, SENDER, virtiofs.file);
	assert_int_equal(p->count, 2);
	assert_int_equal(p->records[0].type, KT_RECORD_SPREAD);
	assert_int_equal(p->records[0].target.kind, KT_KIND_FILE);
	assert_int_equal(p->records[1].type, KT_RECORD_LEAK);
	assert_int_equal(p->records[1].leak_kind, KT_LEAK_FILESYSTEM);
}

static int set_up(void **state)
{
	return play_open(state, &(struct world){ .terminals = KT_TERMINALS_SHOWN });
}

static int set_up_output(void **state)
{
	return play_open(state, &(struct world){ .terminals = KT_TERMINALS_OUTPUT });
}

static int set_up_both(void **state)
{
	return play_open(state, &(struct world){ .terminals = KT_TERMINALS_BOTH });
}

#define TEST(function)	      cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define TEST_OUTPUT(function) cmocka_unit_test_setup_teardown(function, set_up_output, tear_down)
#define TEST_BOTH(function)   cmocka_unit_test_setup_teardown(function, set_up_both, tear_down)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST(a_terminal_is_told_and_marks_nobody),
		TEST(what_is_printed_on_a_console_leaks),
		TEST(a_tap_is_known_by_its_module),
		TEST(a_virtio_port_is_known_by_its_module_or_its_operations),
		TEST(tun_leaks_and_null_does_not),
		TEST(what_is_written_to_fuse_its_server_reads),
		TEST(what_a_managed_fuse_server_answers_is_read),
		TEST(all_ways_into_a_fuse_file_reach_its_server),
		TEST(a_managed_fuse_server_is_read_by_a_mapping),
		TEST(a_managed_fuse_server_is_read_by_an_xattr),
		TEST(a_fuse_file_system_that_is_gone_forgets),
		TEST(a_fuse_device_without_a_mount_and_virtiofs_are_no_carriers),
		TEST_OUTPUT(with_output_the_reader_of_the_master_joins),
		TEST_OUTPUT(with_output_a_reader_that_came_first_is_told),
		TEST_BOTH(with_both_what_is_typed_is_read),
		TEST_BOTH(with_both_tiocsti_is_read_and_a_freed_terminal_forgets),
	};

	return run_on_all_images("devices", tests, sizeof(tests) / sizeof(tests[0]));
}
