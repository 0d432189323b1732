// SPDX-License-Identifier: GPL-2.0
/*
 * Files of overlayfs, by the engine run natively over RAM images of five guest kernels:
 * which file of a layer one is, when it ends, and whether its name was judged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "storage_world.h"

/* --- the file that has the data ------------------------------------------------ */

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

/* --- verdicts and ends -------------------------------------------------------- */

/* An overlay's file over a layer's, as the guest's dentry cache has them. */
struct overlaid {
	uint64_t file, dentry, inode; /* the overlay's own */
	uint64_t layer, layer_dentry;
};

static void is_named(struct play *p, uint64_t dentry, uint64_t inode, uint32_t users)
{
	put(p, inode + p->g->inode_dentry, dentry + p->g->dentry_alias, 8);
	put(p, dentry + p->g->dentry_lockref_count, users, 4);
}

static struct overlaid overlaid(struct play *p)
{
	uint64_t layer = make_file(p, make_sb(p, EXT4, "ext4", 0));
	struct overlaid o = { .layer = inode_of(p, layer) };

	o.layer_dentry = make_dentry(p, o.layer);
	o.file = make_overlaid(p, o.layer_dentry, 0, 0);
	o.dentry = peek(&p->w, o.file + p->g->file_path_dentry, 8);
	o.inode = inode_of(p, o.file);
	is_named(p, o.dentry, o.inode, 1);
	is_named(p, o.layer_dentry, o.layer, 1);
	return o;
}

static void is_deleted(struct play *p, const struct overlaid *o)
{
	put(p, o->inode + p->g->inode_nlink, 0, 4);
	put(p, o->layer + p->g->inode_nlink, 0, 4);
	hook3(p, KT_HOOK_dentry_delete, SENDER, o->dentry, 0, 0);
}

static uint64_t layers_labels(struct play *p, const struct overlaid *o)
{
	struct kt_file_key key = { .ino = peek(&p->w, o->layer + p->g->inode_ino, 8),
				   .fs = fs_of(&p->w, peek(&p->w, o->layer + p->g->inode_sb, 8)) };

	return labels_of(&p->w, "files", &key);
}

static void a_deleted_file_of_an_overlay_is_gone(void **state)
{
	struct play *p = play(state);
	struct overlaid o = overlaid(p);

	sender_knows(p);
	writes(p, SENDER, o.file);
	assert_int_equal(layers_labels(p, &o), 1);
	is_deleted(p, &o);
	assert_int_equal(record_of(p, KT_RECORD_GONE, KT_KIND_FILE)->target.gva, o.layer);
	assert_int_equal(layers_labels(p, &o), 0);
}

/* Opened in the layer itself. */
static void who_has_its_layer_open_keeps_it(void **state)
{
	struct play *p = play(state);
	struct overlaid o = overlaid(p);

	put(p, o.layer_dentry + p->g->dentry_lockref_count, 2, 4);
	sender_knows(p);
	writes(p, SENDER, o.file);
	is_deleted(p, &o);
	assert_int_equal(layers_labels(p, &o), 1);
}

/* Its number in the overlay is that of the file in the layer, and so may come again. */
static void another_file_in_the_layer_is_judged_anew(void **state)
{
	struct play *p = play(state);
	struct overlaid o = overlaid(p);
	uint64_t root = make_dentry(p, 0), tmp = make_dentry(p, 0);

	hook3(p, KT_HOOK_mmap_file, RECEIVER, o.file, 1, 0);
	assert_int_equal(process(p, RECEIVER), 0);
	put(p, o.layer + p->g->inode_generation, 7, 4);
	put(p, tmp + p->g->dentry_parent, root, 8);
	put(p, tmp + p->g->dentry_name, text(p, "tmp"), 8);
	put(p, tmp + p->g->dentry_name_len, 3, 4);
	put(p, o.dentry + p->g->dentry_parent, tmp, 8);
	put(p, o.dentry + p->g->dentry_name, text(p, "secret.txt"), 8);
	put(p, o.dentry + p->g->dentry_name_len, 10, 4);
	hook3(p, KT_HOOK_mmap_file, RECEIVER, o.file, 1, 0);
	assert_int_equal(process(p, RECEIVER), 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST(an_overlays_file_is_its_upper_one),
		TEST(an_overlays_file_is_its_lower_inode),
		TEST(an_overlays_file_is_its_lower_path),
		TEST(an_overlays_file_is_in_its_lower_stack),
		TEST(an_overlay_of_nonsense_is_a_file_of_its_own),
		TEST(an_overlays_upper_file_is_where_its_module_tells),
		TEST(an_overlays_lower_inode_is_where_its_module_tells),
		TEST(an_overlays_lower_path_is_where_its_module_tells),
		TEST(an_overlays_lower_stack_is_where_its_module_tells),
		TEST(an_overlay_told_wrongly_is_a_file_of_its_own),
		TEST(a_deleted_file_of_an_overlay_is_gone),
		TEST(who_has_its_layer_open_keeps_it),
		TEST(another_file_in_the_layer_is_judged_anew),
	};

	memset(&untold, 0xff, sizeof(untold)); /* KT_ABSENT */
	return run_on_all_images("overlay", tests, sizeof(tests) / sizeof(tests[0]));
}
