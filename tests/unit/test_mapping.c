// SPDX-License-Identifier: GPL-2.0
/*
 * Shared memory, natively over RAM images: who maps what is read from the guest's
 * own structures. The first tests use what the image's processes really mapped,
 * the others lay processes over it, hostile ones at the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#include "mapping_world.h"

#define MAP_SHARED_FLAG 1
#define FMODE_READ	1
#define FMODE_WRITE	2

static int set_up(void **state)
{
	const char *series = *state;
	struct mapping_world *m = calloc(1, sizeof(*m));
	const struct kt_guest *g;

	*state = m;
	m->w.objects_max = 1024;
	if (!world_open(&m->w, series))
		return 0;
	g = &m->w.profile->guest;
	m->small = m->w.objects; /* a multiple: the first small object takes a new slot */
	for (uint32_t n = 0; n < FILES_MAX; n++)
		make_file(m, n, series);
	m->pipe_file = file_of(&m->w, series, m->w.holder, "pipe_read");
	m->pipe = peek(&m->w, m->pipe_file + g->file_private_data, 8);
	return 0;
}

static const char *series_at_hand;

static int tear_down(void **state)
{
	free(*state);
	*state = (void *)series_at_hand;
	return 0;
}

static struct mapping_world *world(void **state)
{
	struct mapping_world *m = *state;

	if (!m->w.engine)
		skip();
	return m;
}

static void people(struct mapping_world *m, uint32_t count)
{
	for (uint32_t n = 0; n < count; n++)
		make_person(m, n);
}

/* --- what the image's own processes mapped ---------------------------------- */

static uint64_t secret_of_image(struct mapping_world *m)
{
	return file_of(&m->w, series_at_hand, m->w.holder, "secret");
}

static void who_maps_a_file_learns_what_comes_into_it(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;
	uint64_t secret = secret_of_image(m), inode = peek(&m->w, secret + g->file_inode, 8);
	const struct kt_record *file, *holder;

	assert_int_equal(EVENT(m, file_permission, m->w.bystander, secret, MAY_READ), 0);
	file = spread_to(m, inode);
	holder = spread_to(m, peek(&m->w, m->w.holder + g->task_signal, 8));
	assert_int_equal(holder->cause, file->seq);
	assert_int_equal(holder->flow, KT_FLOW_MMAP);
	assert_int_equal(holder->source.kind, KT_KIND_FILE);
	assert_int_equal(holder->target.pid, image_number(series_at_hand, "holder.pid"));
	assert_int_equal(m->count, 3);
}

static void what_a_process_maps_shared_takes_what_it_learns(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;
	uint64_t inode = peek(&m->w, secret_of_image(m) + g->file_inode, 8);
	uint64_t signal = peek(&m->w, m->w.holder + g->task_signal, 8);
	const struct kt_record *file;

	manage(&m->w, "pipes", m->pipe, 4);
	assert_int_equal(EVENT(m, file_permission, m->w.holder, m->pipe_file, MAY_READ), 0);
	file = spread_to(m, inode);
	assert_int_equal(file->labels, 4);
	assert_int_equal(file->flow, KT_FLOW_MMAP);
	assert_int_equal(file->source.kind, KT_KIND_PROCESS);
	assert_int_equal(file->source.gva, signal);
	assert_int_equal(file->cause, spread_to(m, signal)->seq);
	assert_int_equal(file->path_len, strlen("/tmp/secret.txt"));
	assert_memory_equal(file->path, "/tmp/secret.txt", file->path_len);
	assert_int_equal(m->count, 2);
}

/* --- processes laid over it ------------------------------------------------- */

static void what_a_process_maps_of_fuse_its_server_is_told(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;
	uint64_t sb = copy_of(&m->w, peek(&m->w, m->files[0].inode + g->inode_sb, 8));
	uint64_t type = small_object(m), name = small_object(m), mount = small_object(m);
	uint64_t connection = mount - g->text_gva + g->text_gpa + g->direct_map;
	int32_t at = m->w.profile->modules.fuse_mount_fc;

	memcpy((void *)(uintptr_t)(name + m->w.moved), "fuse", 5);
	set(&m->w, type + g->fs_type_name, name, 8);
	set(&m->w, sb + g->sb_magic, 0x65735546, 8);
	set(&m->w, sb + g->sb_type, type, 8);
	set(&m->w, sb + g->sb_fs_info, connection, 8);
	/* Any address will do for the connection: its own mount's. */
	set(&m->w, mount + (at == KT_ABSENT ? 0 : at), connection, 8);
	set(&m->w, m->files[0].inode + g->inode_sb, sb, 8);
	people(m, 1);
	add_vma(m, 0, &m->files[0], SHARED_RW);
	build_mm(m, 0);
	assert_int_equal(learns(m, 0, 1), 0);
	assert_int_equal(file_labels(m, 0), 1);
	assert_int_equal(labels_of(&m->w, "fuse", &connection), 1);
	assert_int_equal(spread_to(m, connection)->source.kind, KT_KIND_PROCESS);
	assert_int_equal(m->count, 3);
}

static void labels_go_along_a_chain_of_shared_files(void **state)
{
	struct mapping_world *m = world(state);
	enum { LENGTH = 12 };

	people(m, LENGTH);
	for (uint32_t n = 0; n < LENGTH; n++) {
		if (n)
			add_vma(m, n, &m->files[n - 1], SHARED_RW);
		add_vma(m, n, NULL, VM_READ);
		add_vma(m, n, &m->files[n], SHARED_RW);
		build_mm(m, n);
	}
	assert_int_equal(learns(m, 0, 1), 0);
	for (uint32_t n = 0; n < LENGTH; n++) {
		assert_int_equal(process_labels(m, n), 1);
		assert_int_equal(file_labels(m, n), 1);
		assert_int_equal(spread_to(m, m->files[n].inode)->cause,
				 spread_to(m, signal_of(&m->w, n))->seq);
		if (n)
			assert_int_equal(spread_to(m, signal_of(&m->w, n))->cause,
					 spread_to(m, m->files[n - 1].inode)->seq);
	}
	assert_int_equal(m->count, 2 * LENGTH);
	/* All of it is done: the same once more says nothing. */
	assert_int_equal(learns(m, 0, 1), 0);
	assert_int_equal(m->count, 0);
	/* And from the other end, another label. */
	assert_int_equal(learns(m, LENGTH - 1, 2), 0);
	assert_int_equal(m->count, 2 * LENGTH);
	assert_int_equal(process_labels(m, 0), 3);
}

static void a_private_mapping_reads_and_never_writes(void **state)
{
	struct mapping_world *m = world(state);

	people(m, 3);
	add_vma(m, 0, &m->files[0], PRIVATE_RO);
	build_mm(m, 0);
	add_vma(m, 1, &m->files[0], SHARED_RW);
	build_mm(m, 1);
	build_mm(m, 2);
	assert_int_equal(learns(m, 0, 1), 0);
	assert_int_equal(m->count, 1);
	assert_int_equal(process_labels(m, 1), 0);
	assert_int_equal(learns(m, 2, 2), 0);
	assert_int_equal(EVENT(m, file_permission, task(&m->w, 2), m->files[0].file, MAY_WRITE), 0);
	assert_int_equal(process_labels(m, 0), 3);
	assert_int_equal(process_labels(m, 1), 2);
}

/* do_mmap() takes VM_SHARED away where the file was opened for reading alone. */
static void two_who_can_only_read_a_file_share_nothing(void **state)
{
	struct mapping_world *m = world(state);

	people(m, 2);
	for (uint32_t n = 0; n < 2; n++) {
		add_vma(m, n, &m->files[0], VM_READ | VM_MAYSHARE);
		build_mm(m, n);
	}
	assert_int_equal(learns(m, 0, 1), 0);
	assert_int_equal(m->count, 1);
	assert_int_equal(file_labels(m, 0), 0);
	assert_int_equal(process_labels(m, 1), 0);
}

static void all_of_many_mappings_are_found(void **state)
{
	struct mapping_world *m = world(state);
	enum { COUNT = 50 };

	people(m, 1);
	for (uint32_t i = 0; i < COUNT; i++)
		add_vma(m, 0, i < FILES_MAX ? &m->files[i] : NULL, SHARED_RW);
	build_mm(m, 0);
	assert_int_equal(learns(m, 0, 1), 0);
	for (uint32_t i = 0; i < FILES_MAX; i++)
		assert_int_equal(file_labels(m, i), 1);
	assert_int_equal(m->count, 1 + FILES_MAX);
}

static void all_of_many_mappers_are_found_once(void **state)
{
	struct mapping_world *m = world(state);

	people(m, PEOPLE_MAX);
	for (uint32_t n = 0; n < PEOPLE_MAX; n++) {
		add_vma(m, n, &m->files[0], SHARED_RW);
		build_mm(m, n);
	}
	assert_int_equal(learns(m, 7, 1), 0);
	assert_int_equal(m->count, PEOPLE_MAX + 1);
	for (uint32_t n = 0; n < PEOPLE_MAX; n++) {
		assert_int_equal(process_labels(m, n), 1);
		assert_int_equal(spreads_to(m, signal_of(&m->w, n)), 1);
	}
}

static void a_child_is_not_walked_for_what_its_parent_has(void **state)
{
	struct mapping_world *m = world(state);

	people(m, 2);
	for (uint32_t n = 0; n < 2; n++)
		build_mm(m, n);
	assert_int_equal(learns(m, 0, 1), 0);
	/* Its parent did not have this one: a walk would mark it. */
	add_vma(m, 1, &m->files[0], SHARED_RW);
	build_mm(m, 1);
	assert_int_equal(EVENT(m, task_new, task(&m->w, 0), task(&m->w, 1)), 0);
	assert_int_equal(m->count, 1);
	assert_int_equal(process_labels(m, 1), 1);
	assert_int_equal(file_labels(m, 0), 0);
	assert_int_equal(learns(m, 1, 3), 0);
	assert_int_equal(file_labels(m, 0), 3);
}

static void what_was_shared_before_attach_counts(void **state)
{
	struct mapping_world *m = world(state);

	people(m, 3);
	for (uint32_t n = 0; n < 3; n++) {
		add_vma(m, n, &m->files[n / 2], SHARED_RW);
		build_mm(m, n);
	}
	assert_int_equal(engine_before_attach(m->w.engine, GVA(task(&m->w, 0)),
					      GVA(secret_of_image(m)), false, true),
			 0);
	assert_int_equal(process_labels(m, 0), 1);
	assert_int_equal(file_labels(m, 0), 1);
	assert_int_equal(process_labels(m, 1), 1);
	assert_int_equal(process_labels(m, 2), 0);
}

/* --- while mappings are made ------------------------------------------------- */

static void maps(struct mapping_world *m, uint64_t current, uint32_t file, uint32_t mode)
{
	set(&m->w, m->files[file].file + m->w.profile->guest.file_mode, mode, 4);
	assert_int_equal(EVENT(m, mmap_file, current, m->files[file].file, 1, MAP_SHARED_FLAG), 0);
}

static void what_is_about_to_be_mapped_counts(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;
	uint64_t second = task(&m->w, 1);

	/* Task 1 is a thread of task 0. */
	people(m, 1);
	build_mm(m, 0);
	set(&m->w, second + g->task_signal, signal_of(&m->w, 0), 8);
	set(&m->w, second + g->task_mm, m->people[0].mm, 8);
	set(&m->w, task(&m->w, 0) + g->task_thread_node, second + g->task_thread_node, 8);
	set(&m->w, second + g->task_thread_node, signal_of(&m->w, 0) + g->signal_thread_head, 8);
	maps(m, second, 0, FMODE_READ | FMODE_WRITE);
	assert_int_equal(m->count, 0);
	assert_int_equal(learns(m, 0, 1), 0);
	assert_int_equal(file_labels(m, 0), 1);
	assert_int_equal(spread_to(m, m->files[0].inode)->source.gva, signal_of(&m->w, 0));
	/* A file opened for reading alone is not written. */
	maps(m, second, 1, FMODE_READ);
	assert_int_equal(learns(m, 0, 2), 0);
	assert_int_equal(file_labels(m, 1), 0);
	/* Past its next hook a thread has done its mapping; this one was undone. */
	maps(m, second, 2, FMODE_READ | FMODE_WRITE);
	assert_int_equal(file_labels(m, 2), 3);
	assert_int_equal(EVENT(m, file_permission, second, m->pipe_file, MAY_READ), 0);
	assert_int_equal(learns(m, 0, 4), 0);
	assert_int_equal(file_labels(m, 2), 3);
}

static void what_a_writer_has_locked_is_walked_again_before_the_next_event(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;
	struct shared_file *f = &m->files[0];

	people(m, 3);
	add_vma(m, 0, f, SHARED_RW);
	for (uint32_t n = 0; n < 3; n++)
		build_mm(m, n);
	assert_int_equal(learns(m, 2, 1), 0);
	/* mprotect(2) of task 0 has its VMA taken out, and will put it back. */
	set(&m->w, f->mapping + g->mapping_i_mmap, 0, 8);
	set(&m->w, f->mapping + g->mapping_rwsem, 1, 8);
	assert_int_equal(EVENT(m, file_permission, task(&m->w, 2), f->file, MAY_WRITE), 0);
	assert_int_equal(process_labels(m, 0), 0);
	set(&m->w, f->mapping + g->mapping_i_mmap, f->vmas[0] + g->vma_rb, 8);
	set(&m->w, f->mapping + g->mapping_rwsem, 0, 8);
	/* What task 0 writes next is already judged by what it could read. */
	assert_int_equal(EVENT(m, file_permission, task(&m->w, 0), m->files[1].file, MAY_WRITE), 0);
	assert_int_equal(process_labels(m, 0), 1);
	assert_int_equal(file_labels(m, 1), 1);
	assert_int_equal(EVENT(m, file_permission, task(&m->w, 1), m->files[2].file, MAY_WRITE), 0);
	assert_int_equal(m->count, 0);
}

static void a_lock_that_is_never_let_go_is_said(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;
	size_t lost = 0;

	people(m, 2);
	set(&m->w, m->people[0].mm + g->mm_lock, 1, 8);
	build_mm(m, 0);
	build_mm(m, 1);
	assert_int_equal(learns(m, 0, 1), 0);
	for (int i = 0; i < 80; i++) {
		assert_int_equal(
			EVENT(m, file_permission, task(&m->w, 1), m->files[0].file, MAY_READ), 0);
		for (size_t r = 0; r < m->count; r++)
			lost += m->records[r].type == KT_RECORD_LOST &&
				m->records[r].lost == KT_LOST_WALK_BOUND;
	}
	assert_int_equal(lost, 1);
}

/* --- userfaultfd ------------------------------------------------------------- */

static void userfaultfd_copies_into_another_process(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;
	uint64_t context = small_object(m), target;
	const uint64_t pointer = 1ULL << 63;

	people(m, 3);
	for (uint32_t n = 0; n < 3; n++)
		build_mm(m, n);
	set(&m->w, context + g->uffd_mm, m->people[1].mm, 8);
	for (int form = 0; form < 2; form++) {
		target = form ? m->people[2].mm : context;
		assert_int_equal(EVENT(m, uffd_copy, task(&m->w, 0), target, 0, 0, 4096,
				       form ? pointer : 0),
				 0);
		assert_int_equal(m->count, form ? 1 : 0);
		if (!form)
			assert_int_equal(learns(m, 0, 1), 0);
	}
	assert_int_equal(process_labels(m, 2), 1);
	assert_int_equal(m->records[0].flow, KT_FLOW_USERFAULT);
	assert_int_equal(m->records[0].source.gva, signal_of(&m->w, 0));
	assert_int_equal(EVENT(m, uffd_copy, task(&m->w, 0), context, 0, 0, 4096, 0), 0);
	assert_int_equal(process_labels(m, 1), 1);
}

/* --- names -------------------------------------------------------------------- */

static void memory_without_a_folder_has_a_name(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;
	uint64_t file = m->files[0].file, dentry;
	const struct kt_record *record;

	people(m, 1);
	dentry = copy_of(&m->w, peek(&m->w, file + g->file_path_dentry, 8));
	set(&m->w, dentry + g->dentry_parent, dentry, 8);
	set(&m->w, file + g->file_path_dentry, dentry, 8);
	add_vma(m, 0, &m->files[0], SHARED_RW);
	build_mm(m, 0);
	assert_int_equal(learns(m, 0, 1), 0);
	record = spread_to(m, m->files[0].inode);
	assert_int_equal(record->path_len, strlen("/plain.txt"));
	assert_memory_equal(record->path, "/plain.txt", record->path_len);
}

/* --- hostile guests ------------------------------------------------------------ */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* Task 0 learns something over what was laid there; it must end, and soon. */
static void must_end(struct mapping_world *m)
{
	uint64_t before = now_ns();

	learns(m, 0, 1);
	assert_int_equal(process_labels(m, 0), 1);
	assert_true(now_ns() - before < 10000000000ULL);
}

static void cycles_of_mappings_end(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;

	people(m, 1);
	for (int i = 0; i < 20; i++)
		add_vma(m, 0, NULL, VM_READ);
	build_mm(m, 0);
	if (has_tree(m)) {
		uint64_t root = peek(&m->w, m->people[0].mm + g->mm_mt + g->maple_root, 8);

		for (int i = 0; i < 10; i++)
			set(&m->w, (root & ~255ULL) + g->maple_arange_slot + 8 * i, root, 8);
	} else {
		set(&m->w, m->people[0].vmas[19] + g->vma_next, m->people[0].vmas[3], 8);
	}
	must_end(m);
}

static void cycles_of_mappers_end(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;
	struct shared_file *f = &m->files[0];

	people(m, 1);
	for (int i = 0; i < 3; i++)
		add_vma(m, 0, f, SHARED_RW);
	build_mm(m, 0);
	set(&m->w, f->vmas[2] + g->vma_rb + g->rb_left, f->vmas[0] + g->vma_rb, 8);
	set(&m->w, f->vmas[2] + g->vma_rb + g->rb_right, f->vmas[0] + g->vma_rb, 8);
	must_end(m);
	assert_int_equal(file_labels(m, 0), 1);
}

static void a_cycle_of_threads_ends(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;
	uint64_t at = task(&m->w, 0) + g->task_thread_node;

	people(m, 1);
	build_mm(m, 0);
	set(&m->w, at, at, 8);
	must_end(m);
}

static void wild_pointers_end(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;
	const uint64_t wild[] = { 0xdead000000000100,
				  1,
				  8,
				  ~0ULL,
				  0x0fffffffffffff1e,
				  m->w.profile->guest.text_gva | 0x1e };
	struct shared_file *f = &m->files[0];
	uint64_t *places, vma;

	people(m, 1);
	vma = add_vma(m, 0, f, SHARED_RW);
	places = (uint64_t[]){
		m->people[0].mm + (has_tree(m) ? g->mm_mt + g->maple_root : g->mm_mmap),
		vma + g->vma_file,
		vma + g->vma_mm,
		m->people[0].mm + g->mm_owner,
		vma + g->vma_rb + g->rb_left,
		f->inode + g->inode_mapping,
		f->file + g->file_path_dentry,
		f->file + g->file_inode,
		signal_of(&m->w, 0) + g->signal_thread_head,
		task(&m->w, 0) + g->task_mm,
	};
	for (size_t place = 0; place < 10; place++) {
		for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
			uint64_t before, signal = signal_of(&m->w, 0);

			build_mm(m, 0);
			before = peek(&m->w, places[place], 8);
			set(&m->w, places[place], wild[i], 8);
			must_end(m);
			set(&m->w, places[place], before, 8);
			bpf_map_delete_elem(engine_map_fd(m->w.engine, "processes"), &signal);
			forget_file(m, 0);
		}
	}
	/* What was left unsettled goes with its objects; the engine still works. */
	build_mm(m, 0);
	assert_int_equal(learns(m, 0, 2), 0);
	assert_int_equal(file_labels(m, 0), 2);
}

/* A tree of 2^16 one-byte ranges is not walked to its end for every label. */
static void more_than_can_be_walked_is_said(void **state)
{
	struct mapping_world *m = world(state);
	const struct kt_guest *g = &m->w.profile->guest;
	uint64_t node;

	if (!has_tree(m))
		skip();
	people(m, 1);
	build_mm(m, 0);
	node = small_object(m);
	set(&m->w, node + g->maple_parent, 1, 8);
	/* Fifteen levels of one node, whose last slot covers all that is left. */
	set(&m->w, m->people[0].mm + g->mm_mt + g->maple_root, node | 2 << 3 | 2, 8);
	for (int i = 0; i < 16; i++)
		set(&m->w, node + g->maple_range_slot + 8 * i, node | 2 << 3 | 4, 8);
	must_end(m);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST(who_maps_a_file_learns_what_comes_into_it),
		TEST(what_a_process_maps_shared_takes_what_it_learns),
		TEST(what_a_process_maps_of_fuse_its_server_is_told),
		TEST(labels_go_along_a_chain_of_shared_files),
		TEST(a_private_mapping_reads_and_never_writes),
		TEST(two_who_can_only_read_a_file_share_nothing),
		TEST(all_of_many_mappings_are_found),
		TEST(all_of_many_mappers_are_found_once),
		TEST(a_child_is_not_walked_for_what_its_parent_has),
		TEST(what_was_shared_before_attach_counts),
		TEST(what_is_about_to_be_mapped_counts),
		TEST(what_a_writer_has_locked_is_walked_again_before_the_next_event),
		TEST(a_lock_that_is_never_let_go_is_said),
		TEST(userfaultfd_copies_into_another_process),
		TEST(memory_without_a_folder_has_a_name),
		TEST(cycles_of_mappings_end),
		TEST(cycles_of_mappers_end),
		TEST(a_cycle_of_threads_ends),
		TEST(wild_pointers_end),
		TEST(more_than_can_be_walked_is_said),
	};
	int failed = 0;

	for (size_t i = 0; i < IMAGE_COUNT; i++) {
		series_at_hand = image_series[i];
		failed += run_on_images("mappings", &series_at_hand, 1, tests,
					sizeof(tests) / sizeof(tests[0]));
	}
	return failed;
}
