// SPDX-License-Identifier: GPL-2.0
/* What a scan finds in RAM images of real guests. */
#include "attach_world.h"

static void secret_is_found_open_and_mapped(void **state)
{
	struct world *w = world(state);
	uint64_t file = file_of(w, w->holder, image_number(w->series, "secret.fd"));
	double seconds = scan(w);

	print_message("%s: %lu processes, %lu descriptors, %lu mappings, %lu reported, %lu reads, "
		      "%.2f ms\n",
		      w->series, w->result.processes, w->result.descriptors, w->result.mappings,
		      w->result.reported, w->result.reads, seconds * 1e3);
	assert_int_equal(w->result.incomplete, 0);
	assert_int_equal(calls_with(w, w->holder, file, false), 1);
	assert_int_equal(calls_with(w, w->holder, file, true), 1);
	assert_int_equal(calls_of_file(w, file), 2);
	assert_int_equal(peek(w, inode_of(w, file) + w->profile->guest.inode_ino, 8),
			 image_number(w->series, "secret.ino"));
	assert_int_equal(peek(w, w->holder + w->profile->guest.task_tgid, 4),
			 image_number(w->series, "holder.pid"));
}

static void plain_file_is_the_bystanders_alone(void **state)
{
	struct world *w = world(state);
	uint64_t file = file_of(w, w->bystander, image_number(w->series, "plain.fd"));

	scan(w);
	assert_int_equal(peek(w, inode_of(w, file) + w->profile->guest.inode_ino, 8),
			 image_number(w->series, "plain.ino"));
	assert_int_equal(calls_with(w, w->bystander, file, false), 1);
	assert_int_equal(calls_of_file(w, file), 1);
}

static void only_regular_files_once_each_and_no_kernel_thread(void **state)
{
	static const char *const others[] = { "pipe_read",     "pipe_write",   "fifo",
					      "unix_stream_0", "unix_dgram_0", "unix_named",
					      "tcp4_listener", "tcp6_client",  "udp_bound" };
	struct world *w = world(state);
	const struct kt_guest *g = &w->profile->guest;

	scan(w);
	assert_true(w->count > 0 && w->count < CALLS_MAX);
	for (size_t i = 0; i < w->count; i++) {
		const struct call *c = &w->calls[i];

		assert_true(S_ISREG(peek(w, inode_of(w, c->file) + g->inode_mode, 2)));
		assert_int_equal(calls_with(w, c->task, c->file, c->shared_writable), 1);
		assert_int_not_equal(mm_of(w, c->task), 0);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		char key[64];

		snprintf(key, sizeof(key), "%s.fd", others[i]);
		assert_int_equal(
			calls_of_file(w, file_of(w, w->holder, image_number(w->series, key))), 0);
	}
}

static int refuse(void *ctx, gva_t task, gva_t file, bool shared_writable)
{
	++*(int *)ctx;
	return -ENOSPC;
}

static void a_negative_answer_ends_the_scan(void **state)
{
	struct world *w = world(state);
	int calls = 0;

	assert_int_equal(attach_scan(w->mem, w->profile, refuse, &calls, &w->result), -ENOSPC);
	assert_int_equal(calls, 1);
}

/* Turns the spinner's task into another thread of the holder. */
static void make_thread(struct world *w)
{
	const struct kt_guest *g = &w->profile->guest;
	uint64_t out = w->spinner + g->task_tasks, in = w->spinner + g->task_thread_node;
	uint64_t signal = peek(w, w->holder + g->task_signal, 8);
	uint64_t head = signal + g->signal_thread_head, last = peek(w, head + 8, 8);
	uint64_t next = peek(w, out, 8), prev = peek(w, out + 8, 8);

	poke(w, next + 8, prev);
	poke(w, prev, next);
	poke(w, w->spinner + g->task_signal, signal);
	poke(w, w->spinner + g->task_mm, mm_of(w, w->holder));
	poke(w, last, in);
	poke(w, in, head);
	poke(w, in + 8, last);
	poke(w, head + 8, in);
}

static void an_exited_leader_leaves_its_threads_to_be_seen(void **state)
{
	struct world *w = world(state);
	const struct kt_guest *g = &w->profile->guest;
	uint64_t file = file_of(w, w->holder, image_number(w->series, "secret.fd"));

	make_thread(w);
	poke(w, w->spinner + g->task_files, files_of(w, w->holder));
	poke(w, w->holder + g->task_files, 0);
	poke(w, w->holder + g->task_mm, 0);
	scan(w);
	assert_int_equal(w->result.incomplete, 0);
	assert_int_equal(calls_with(w, w->spinner, file, false), 1);
	assert_int_equal(calls_with(w, w->spinner, file, true), 1);
	assert_int_equal(calls_of_file(w, file), 2);
}

static void a_thread_with_a_table_of_its_own_is_seen(void **state)
{
	struct world *w = world(state);
	uint64_t plain = file_of(w, w->bystander, image_number(w->series, "plain.fd"));

	make_thread(w);
	poke(w, w->spinner + w->profile->guest.task_files, files_of(w, w->bystander));
	scan(w);
	assert_int_equal(w->result.incomplete, 0);
	assert_int_equal(calls_with(w, w->holder, plain, false), 1);
	assert_int_equal(calls_with(w, w->bystander, plain, false), 1);
}

static void a_shared_mapping_that_may_become_writable_counts(void **state)
{
	static const struct {
		uint64_t flags;
		bool shared_writable;
	} cases[] = {
		{ 0x8 | 0x2 | 0x20, true }, /* VM_SHARED, VM_WRITE, VM_MAYWRITE */
		{ 0x8 | 0x20, true },
		{ 0x2 | 0x20, false }, /* private */
		{ 0x8, false },
	};
	struct world *w = world(state);
	uint64_t file = file_of(w, w->holder, image_number(w->series, "secret.fd"));
	uint64_t vma = vma_of_file(w, first_vmas(w, w->holder), file, true);

	assert_int_not_equal(vma, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		poke(w, vma + w->profile->guest.vma_flags, cases[i].flags | 0x1 | 0x10);
		scan(w);
		assert_int_equal(calls_with(w, w->holder, file, true), cases[i].shared_writable);
		assert_int_equal(calls_with(w, w->holder, file, false), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(secret_is_found_open_and_mapped),
		EACH(plain_file_is_the_bystanders_alone),
		EACH(only_regular_files_once_each_and_no_kernel_thread),
		EACH(a_negative_answer_ends_the_scan),
		EACH(an_exited_leader_leaves_its_threads_to_be_seen),
		EACH(a_thread_with_a_table_of_its_own_is_seen),
		EACH(a_shared_mapping_that_may_become_writable_counts),
	};

	_Static_assert(IMAGE_COUNT == 5, "EACH");
	return cmocka_run_group_tests(tests, setup, teardown);
}
