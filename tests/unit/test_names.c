// SPDX-License-Identifier: GPL-2.0
/*
 * Names of files, which the policy judges: when they change, when a file has its last, and
 * how they lie in memory. By the engine run natively over RAM images of five guest kernels.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "play_world.h"

#define S_IFREG		  0100000
#define S_IFDIR		  0040000
#define BTRFS_SUPER_MAGIC 0x9123683e
#define PAGE		  4096

static int set_up(void **state)
{
	return play_open(state, &(struct world){ .terminals = KT_TERMINALS_SHOWN });
}

/* --- files ------------------------------------------------------------------ */

/* An open file, /tmp/plain: clean by the policy, which classifies /tmp/secret.txt. */
struct opened {
	uint64_t file, dentry, inode;
};

static struct opened opened(struct play *p, uint64_t ino, uint32_t mode)
{
	const struct kt_guest *g = &p->w.profile->guest;
	struct opened f = { .dentry = plain_dentry(p, mode) };

	f.inode = peek(&p->w, f.dentry + g->dentry_inode, 8);
	set(&p->w, f.inode + g->inode_ino, ino, 8);
	set(&p->w, f.inode + g->inode_dentry, f.dentry + g->dentry_alias, 8);
	set(&p->w, f.dentry + g->dentry_alias, 0, 8);
	f.file = copy_of(&p->w, file_of(&p->w, p->series, p->w.holder, "secret"));
	set(&p->w, f.file + g->file_inode, f.inode, 8);
	set(&p->w, f.file + g->file_path_dentry, f.dentry, 8);
	return f;
}

static void name_is(struct play *p, struct opened f, const char *name)
{
	const struct kt_guest *g = &p->w.profile->guest;

	set(&p->w, f.dentry + g->dentry_name, text(p, name), 8);
	set(&p->w, f.dentry + g->dentry_name_len, strlen(name), 4);
}

static void read_by(struct play *p, uint32_t who, struct opened f)
{
	hook(p, KT_HOOK_file_permission, who, f.file, MAY_READ);
}

static struct kt_file_key key_of(struct play *p, struct opened f)
{
	const struct kt_guest *g = &p->w.profile->guest;

	return (struct kt_file_key){ .ino = peek(&p->w, f.inode + g->inode_ino, 8),
				     .fs = fs_of(&p->w, peek(&p->w, f.inode + g->inode_sb, 8)) };
}

static uint64_t file_labels(struct play *p, struct opened f)
{
	struct kt_file_key key = key_of(p, f);

	return labels_of(&p->w, "files", &key);
}

/* --- names that change -------------------------------------------------------- */

/* A file that was judged by its name, then got a classified one, and which hook said so. */
static void is_judged_again(void **state, enum kt_hook which, uint64_t (*first)(struct opened f))
{
	struct play *p = play(state);
	struct opened f = opened(p, 4711, S_IFREG | 0600);

	read_by(p, RECEIVER, f);
	name_is(p, f, "secret.txt");
	/* The verdict is kept: this is what the hook is for. */
	read_by(p, RECEIVER, f);
	assert_int_equal(process(p, RECEIVER), 0);
	hook(p, which, SENDER, first ? first(f) : 0, 0);
	read_by(p, RECEIVER, f);
	assert_int_equal(process(p, RECEIVER), 1);
}

static uint64_t its_dentry(struct opened f)
{
	return f.dentry;
}

static void a_link_voids_the_verdict(void **state)
{
	is_judged_again(state, KT_HOOK_inode_link, its_dentry);
}

static void a_mount_voids_all_verdicts(void **state)
{
	is_judged_again(state, KT_HOOK_sb_mount, NULL);
}

static void a_moved_mount_voids_all_verdicts(void **state)
{
	is_judged_again(state, KT_HOOK_move_mount, NULL);
}

static void a_pivot_voids_all_verdicts(void **state)
{
	is_judged_again(state, KT_HOOK_sb_pivotroot, NULL);
}

/* Of the two that are exchanged, the one named second: other is the first. */
static void exchanged(void **state, uint32_t mode)
{
	struct play *p = play(state);
	struct opened f = opened(p, 4711, S_IFREG | 0600), second = f;
	struct opened first = opened(p, 4712, S_IFREG | 0600);

	if (mode == S_IFDIR)
		second = opened(p, 4713, S_IFDIR | 0700);
	read_by(p, RECEIVER, f);
	name_is(p, f, "secret.txt");
	read_by(p, RECEIVER, f);
	assert_int_equal(process(p, RECEIVER), 0);
	hook4(p, KT_HOOK_inode_rename, SENDER, 0, first.dentry, 0, second.dentry);
	read_by(p, RECEIVER, f);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void an_exchange_voids_both_verdicts(void **state)
{
	exchanged(state, S_IFREG);
}

static void an_exchanged_directory_voids_all_verdicts(void **state)
{
	exchanged(state, S_IFDIR);
}

/* A managed file is read between the hook of its rename and the rename. */
static void a_read_before_the_rename_is_no_verdict(void **state)
{
	struct play *p = play(state);
	struct opened f = opened(p, 4711, S_IFREG | 0600);
	struct kt_file_key key = key_of(p, f);
	struct kt_file managed = { .managed.labels = 2, .managed.told = 2 };

	assert_int_equal(bpf_map_update_elem(engine_map_fd(p->w.engine, "files"), &key, &managed,
					     BPF_ANY),
			 0);
	hook4(p, KT_HOOK_inode_rename, SENDER, 0, f.dentry, 0, blank(p));
	read_by(p, RECEIVER, f);
	assert_int_equal(process(p, RECEIVER), 2);
	name_is(p, f, "secret.txt");
	read_by(p, RECEIVER, f);
	assert_int_equal(file_labels(p, f), 3);
	assert_int_equal(process(p, RECEIVER), 3);
}

/* The guest looks up one more name of the file, below a mount: /tmp/secret.txt. */
static void gets_a_classified_name(struct play *p, struct opened f)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t named = plain_dentry(p, S_IFREG | 0600);

	set(&p->w, named + g->dentry_inode, f.inode, 8);
	set(&p->w, named + g->dentry_alias, f.dentry + g->dentry_alias, 8);
	set(&p->w, f.inode + g->inode_dentry, named + g->dentry_alias, 8);
	name_is(p, (struct opened){ .dentry = named }, "secret.txt");
}

static void a_file_of_two_links_is_judged_by_both(void **state)
{
	struct play *p = play(state);
	struct opened f = opened(p, 4711, S_IFREG | 0600);

	set(&p->w, f.inode + p->w.profile->guest.inode_nlink, 2, 4);
	read_by(p, RECEIVER, f);
	assert_int_equal(process(p, RECEIVER), 0);
	gets_a_classified_name(p, f);
	read_by(p, RECEIVER, f);
	assert_int_equal(process(p, RECEIVER), 1);
}

/* open_by_handle_at(2), or nfsd: of no name at first, until somebody looks one up. */
static void a_file_opened_by_its_handle_is_judged_once_it_has_a_name(void **state)
{
	struct play *p = play(state);
	struct opened f = opened(p, 4711, S_IFREG | 0600);

	name_is(p, f, "/");
	set(&p->w, f.dentry + p->w.profile->guest.dentry_parent, f.dentry, 8);
	read_by(p, RECEIVER, f);
	assert_int_equal(process(p, RECEIVER), 0);
	gets_a_classified_name(p, f);
	read_by(p, RECEIVER, f);
	assert_int_equal(process(p, RECEIVER), 1);
}

/* On a file system without generations the next file may be the same key. */
static void a_number_that_is_used_again_is_judged_again(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	struct opened f = opened(p, 4711, S_IFREG | 0600);

	read_by(p, RECEIVER, f);
	set(&p->w, f.inode + g->inode_nlink, 0, 4);
	hook(p, KT_HOOK_dentry_delete, SENDER, f.dentry, 0);
	set(&p->w, f.inode + g->inode_nlink, 1, 4);
	name_is(p, f, "secret.txt");
	read_by(p, RECEIVER, f);
	assert_int_equal(process(p, RECEIVER), 1);
}

/* --- the last name ------------------------------------------------------------ */

/* A managed file that has lost its last link; its name is in use by who deletes it alone. */
static struct opened unlinked(struct play *p)
{
	struct opened f = opened(p, 4711, S_IFREG | 0600);

	sender_knows(p);
	hook(p, KT_HOOK_file_permission, SENDER, f.file, MAY_WRITE);
	assert_int_equal(file_labels(p, f), 1);
	set(&p->w, f.inode + p->w.profile->guest.inode_nlink, 0, 4);
	set(&p->w, f.dentry + p->w.profile->guest.dentry_lockref_count, 1, 4);
	return f;
}

static void a_deleted_file_is_gone(void **state)
{
	struct play *p = play(state);
	struct opened f = unlinked(p);

	hook(p, KT_HOOK_dentry_delete, SENDER, f.dentry, 0);
	assert_int_equal(p->records[0].type, KT_RECORD_GONE);
	assert_int_equal(file_labels(p, f), 0);
}

static void who_has_it_open_keeps_it(void **state)
{
	struct play *p = play(state);
	struct opened f = unlinked(p);

	set(&p->w, f.dentry + p->w.profile->guest.dentry_lockref_count, 2, 4);
	hook(p, KT_HOOK_dentry_delete, SENDER, f.dentry, 0);
	assert_int_equal(file_labels(p, f), 1);
}

/* By a link that was deleted before, or made without a name (O_TMPFILE): on either side of it. */
static void who_has_it_open_by_another_name_keeps_it(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	struct opened f = unlinked(p);
	uint64_t other = blank(p), its = f.dentry + g->dentry_alias;

	set(&p->w, its, other + g->dentry_alias, 8);
	hook(p, KT_HOOK_dentry_delete, SENDER, f.dentry, 0);
	assert_int_equal(file_labels(p, f), 1);
	set(&p->w, its, 0, 8);
	set(&p->w, other + g->dentry_alias, its, 8);
	set(&p->w, f.inode + g->inode_dentry, other + g->dentry_alias, 8);
	hook(p, KT_HOOK_dentry_delete, SENDER, f.dentry, 0);
	assert_int_equal(file_labels(p, f), 1);
}

static void a_snapshot_of_btrfs_keeps_it(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	struct opened f = unlinked(p);
	uint64_t sb = peek(&p->w, f.inode + g->inode_sb, 8), copy = copy_of(&p->w, sb);

	set(&p->w, copy + g->sb_magic, BTRFS_SUPER_MAGIC, 8);
	set(&p->w, f.inode + g->inode_sb, copy, 8);
	hook(p, KT_HOOK_dentry_delete, SENDER, f.dentry, 0);
	set(&p->w, f.inode + g->inode_sb, sb, 8);
	assert_int_equal(file_labels(p, f), 1);
}

/* A memfd, or a file that was open when its last name went: no name goes with it. */
static void a_file_of_tmpfs_ends_with_its_inode(void **state)
{
	struct play *p = play(state);
	struct opened f = unlinked(p);

	hook(p, KT_HOOK_shmem_evict, RECEIVER, f.inode, 0);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].type, KT_RECORD_GONE);
	assert_int_equal(p->records[0].target.ino, 4711);
	assert_int_equal(file_labels(p, f), 0);
}

/* --- where a name lies ---------------------------------------------------------- */

/* With 16 CPUs and more a slab of dentries has several pages, and names lie across two. */
static void a_name_across_two_pages_is_read(void **state)
{
	static const char name[] = "secret.txt";
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;

	for (size_t before = 1; before < sizeof(name) - 1; before++) {
		struct opened f = opened(p, 5000 + before, S_IFREG | 0600);
		uint64_t at = blank(p);

		if (at % PAGE == 0)
			at = blank(p);
		blank(p);
		at = (at | (PAGE - 1)) + 1 - before;
		memcpy((void *)(uintptr_t)(at + p->w.moved), name, sizeof(name));
		set(&p->w, f.dentry + g->dentry_name, at, 8);
		set(&p->w, f.dentry + g->dentry_name_len, sizeof(name) - 1, 4);
		read_by(p, RECEIVER + before, f);
		assert_int_equal(process(p, RECEIVER + before), 1);
		assert_string_equal(p->records[0].path, "/tmp/secret.txt");
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST(a_link_voids_the_verdict),
		TEST(a_mount_voids_all_verdicts),
		TEST(a_moved_mount_voids_all_verdicts),
		TEST(a_pivot_voids_all_verdicts),
		TEST(a_file_of_two_links_is_judged_by_both),
		TEST(a_file_opened_by_its_handle_is_judged_once_it_has_a_name),
		TEST(a_number_that_is_used_again_is_judged_again),
		TEST(a_file_of_tmpfs_ends_with_its_inode),
		TEST(an_exchange_voids_both_verdicts),
		TEST(an_exchanged_directory_voids_all_verdicts),
		TEST(a_read_before_the_rename_is_no_verdict),
		TEST(a_deleted_file_is_gone),
		TEST(who_has_it_open_keeps_it),
		TEST(who_has_it_open_by_another_name_keeps_it),
		TEST(a_snapshot_of_btrfs_keeps_it),
		TEST(a_name_across_two_pages_is_read),
	};

	return run_on_all_images("names", tests, sizeof(tests) / sizeof(tests[0]));
}
