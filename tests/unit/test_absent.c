// SPDX-License-Identifier: GPL-2.0
/*
 * Reads that fault: each event runs while no page at all of the guest is in
 * memory, and again with one page more, as the slow path does, until it is done.
 * What it leaves in the sets and in the records must be what the same event
 * leaves in a guest that is all there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "replay_world.h"

#define MAY_WRITE   2
#define MAY_READ    4
#define RECORDS_MAX 16

/* A guest's event, prepared while its memory can be read. */
struct event {
	enum kt_hook hook;
	uint64_t current, a0, a1;
};

struct outcome {
	struct kt_record records[RECORDS_MAX];
	size_t count;
	uint32_t replays;
};

struct absence {
	struct world w;
	const char *series;
	uint64_t hva, size; /* of the image in this process */
	struct outcome now;
};

static void all_pages(struct absence *a, int protection)
{
	assert_int_equal(mprotect((void *)(uintptr_t)a->hva, a->size, protection), 0);
}

static int keep(void *ctx, const struct kt_record *record, size_t len)
{
	struct absence *a = ctx;
	struct kt_record *to = &a->now.records[a->now.count++];

	assert_true(a->now.count <= RECORDS_MAX);
	memset(to, 0, sizeof(*to));
	memcpy(to, record, len);
	/* What differs from run to run. */
	to->time_ns = to->seq = to->cause = to->previous = 0;
	return 0;
}

/* Runs an event; absent: in a guest of which nothing is in memory. */
static void run(struct absence *a, const struct event *e, bool absent)
{
	const struct kt_guest *g = &a->w.profile->guest;
	struct kt_deferred input = {
		.args = { e->a0, e->a1 },
		.site = a->w.profile->hooks[e->hook].site.v,
		.percpu_base = e->current + g->task_group_leader - g->sym_current_task,
	};

	assert_true(input.site);
	memset(&a->now, 0, sizeof(a->now));
	if (absent)
		all_pages(a, PROT_NONE);
	for (;;) {
		assert_int_equal(engine_replay(a->w.engine, &input, true), 0);
		if (input.result != KT_LOST_HOST_MEMORY || a->now.replays++ > 200)
			break;
		assert_int_equal(mprotect((void *)(uintptr_t)(input.fault & ~4095ULL), 4096,
					  PROT_READ | PROT_WRITE),
				 0);
		/* Read-only pages of the image's file come in by a touch. */
		(void)*(volatile char *)(uintptr_t)input.fault;
	}
	all_pages(a, PROT_READ | PROT_WRITE);
	assert_int_equal(input.result, 0);
	assert_true(engine_drain(a->w.engine, keep, a) >= 0);
	if (absent)
		assert_true(a->now.replays > 0);
}

static int set_up(void **state)
{
	struct absence *a = calloc(1, sizeof(*a));
	const struct kt_slot *slots;
	size_t count;

	a->series = *state;
	*state = a;
	if (!world_open(&a->w, a->series)) {
		free(a);
		*state = NULL;
		return 0;
	}
	slots = guest_mem_slots(a->w.mem, &count);
	a->hva = slots[0].hva;
	a->size = slots[0].npages * 4096;
	all_pages(a, PROT_READ | PROT_WRITE);
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static struct absence *absence(void **state)
{
	if (!*state)
		skip();
	return *state;
}

/* An event, and the one that takes back what it did, in a guest that is all there. */
static void is_the_same_when_absent(struct absence *a, const struct event *e,
				    const struct event *undo, size_t undo_count, size_t records)
{
	struct outcome present;

	run(a, e, false);
	present = a->now;
	assert_int_equal(present.count, records);
	for (size_t i = 0; i < undo_count; i++)
		run(a, &undo[i], false);
	run(a, e, true);
	assert_int_equal(a->now.count, records);
	assert_memory_equal(a->now.records, present.records, records * sizeof(struct kt_record));
}

static uint64_t pipe_of(struct absence *a, uint64_t file)
{
	return peek(&a->w, file + a->w.profile->guest.file_private_data, 8);
}

/* --- tests ----------------------------------------------------------------- */

#define READER task(&a->w, 0)
#define WRITER task(&a->w, 1)

static void a_read_is_recorded(void **state)
{
	struct absence *a = absence(state);
	uint64_t file = file_of(&a->w, a->series, a->w.holder, "fifo"), pipe = pipe_of(a, file);
	const struct event e = { KT_HOOK_file_permission, READER, file, MAY_READ };
	const struct event undo = { KT_HOOK_task_exit, READER, READER, 1 };

	manage(&a->w, "pipes", pipe, 1);
	is_the_same_when_absent(a, &e, &undo, 1, 1);
}

/* First touch: names and mounts are read up to the root. */
static void a_classified_file_is_recognised(void **state)
{
	struct absence *a = absence(state);
	uint64_t file = file_of(&a->w, a->series, a->w.holder, "secret");
	const struct event e = { KT_HOOK_file_permission, READER, file, MAY_READ };
	const struct event undo = { KT_HOOK_task_exit, READER, READER, 1 };
	const struct event undo_holder = { KT_HOOK_task_exit, a->w.holder, a->w.holder, 1 };
	struct kt_file_key key;

	run(a, &e, false);
	/* The reader, and the holder, who has it mapped, too. */
	assert_int_equal(a->now.count, 3);
	assert_int_equal(bpf_map_get_next_key(engine_map_fd(a->w.engine, "files"), NULL, &key), 0);
	assert_int_equal(key.ino, a->now.records[0].target.ino);
	assert_int_equal(key.generation, a->now.records[0].target.generation);
	run(a, &undo, false);
	run(a, &undo_holder, false);
	assert_int_equal(bpf_map_delete_elem(engine_map_fd(a->w.engine, "files"), &key), 0);
	run(a, &e, true);
	assert_int_equal(a->now.count, 3);
	assert_int_equal(a->now.records[0].path_len, strlen("/tmp/secret.txt"));
	assert_memory_equal(a->now.records[0].path, "/tmp/secret.txt", 15);
	assert_int_equal(labels_of(&a->w, "files", &key), 1);
	assert_int_equal(a->now.records[1].target.pid, 1000);
}

/* The writer's scan finds a reader who waits, although the reader's memory is out. */
static void a_waiting_reader_is_told(void **state)
{
	struct absence *a = absence(state);
	uint64_t file = file_of(&a->w, a->series, a->w.holder, "fifo"), pipe = pipe_of(a, file);
	const struct event wait = { KT_HOOK_file_permission, READER, file, MAY_READ };
	const struct event e = { KT_HOOK_file_permission, WRITER, file, MAY_WRITE };
	const struct event undo[] = {
		{ KT_HOOK_task_exit, READER, READER, 1 },
		{ KT_HOOK_pipe_free, WRITER, pipe, 0 },
		wait,
	};
	uint64_t signal = signal_of(&a->w, 0);

	manage(&a->w, "processes", signal_of(&a->w, 1), 1);
	run(a, &wait, false);
	is_the_same_when_absent(a, &e, undo, 3, 2);
	assert_int_equal(labels_of(&a->w, "processes", &signal), 1);
}

static void a_send_on_a_unix_socket_is_recorded(void **state)
{
	struct absence *a = absence(state);
	const struct kt_guest *g = &a->w.profile->guest;
	uint64_t from = peek(
		&a->w,
		file_of(&a->w, a->series, a->w.holder, "unix_stream_0") + g->file_private_data, 8);
	uint64_t to = peek(
		&a->w,
		file_of(&a->w, a->series, a->w.holder, "unix_stream_1") + g->file_private_data, 8);
	const struct event e = { KT_HOOK_socket_sendmsg, WRITER, from, 0 };
	const struct event undo = { KT_HOOK_sk_free, WRITER, peek(&a->w, to + g->socket_sk, 8), 0 };

	manage(&a->w, "processes", signal_of(&a->w, 1), 1);
	is_the_same_when_absent(a, &e, &undo, 1, 1);
}

static void a_send_over_loopback_is_recorded(void **state)
{
	struct absence *a = absence(state);
	const struct kt_guest *g = &a->w.profile->guest;
	uint64_t from = peek(
		&a->w, file_of(&a->w, a->series, a->w.holder, "tcp4_client") + g->file_private_data,
		8);
	uint64_t to = peek(
		&a->w, file_of(&a->w, a->series, a->w.holder, "tcp4_server") + g->file_private_data,
		8);
	const struct event e = { KT_HOOK_socket_sendmsg, WRITER, from, 0 };
	const struct event undo[] = {
		{ KT_HOOK_sk_free, WRITER, peek(&a->w, to + g->socket_sk, 8), 0 },
		{ KT_HOOK_sk_free, WRITER, peek(&a->w, from + g->socket_sk, 8), 0 },
	};

	manage(&a->w, "processes", signal_of(&a->w, 1), 1);
	is_the_same_when_absent(a, &e, undo, 2, 1);
}

static void a_leak_is_recorded_once(void **state)
{
	struct absence *a = absence(state);
	const struct kt_guest *g = &a->w.profile->guest;
	uint64_t socket = peek(
		&a->w, file_of(&a->w, a->series, a->w.holder, "tcp4_client") + g->file_private_data,
		8);
	uint64_t sk = peek(&a->w, socket + g->socket_sk, 8), mine = copy_of(&a->w, sk);
	uint64_t sender = copy_of(&a->w, socket);
	const struct event e = { KT_HOOK_socket_sendmsg, WRITER, sender, 0 };
	const struct event undo = { KT_HOOK_sk_free, WRITER, mine, 0 };

	set(&a->w, sender + g->socket_sk, mine, 8);
	set(&a->w, mine + g->skc_daddr, 0x097100cb, 4); /* 203.0.113.9 */
	/* Another connection than the one it is copied from, whose other end is here. */
	set(&a->w, mine + g->tcp_snd_una, 0x1234567, 4);
	set(&a->w, mine + g->tcp_snd_nxt, 0x1234567, 4);
	set(&a->w, mine + g->tcp_rcv_nxt, 0x7654321, 4);
	manage(&a->w, "processes", signal_of(&a->w, 1), 1);
	is_the_same_when_absent(a, &e, &undo, 1, 1);
	assert_int_equal(a->now.records[0].type, KT_RECORD_LEAK);
}

static void a_child_inherits(void **state)
{
	struct absence *a = absence(state);
	const struct event e = { KT_HOOK_task_new, WRITER, READER, 0 };
	const struct event undo = { KT_HOOK_task_exit, READER, READER, 1 };

	manage(&a->w, "processes", signal_of(&a->w, 1), 1);
	is_the_same_when_absent(a, &e, &undo, 1, 1);
}

static void an_end_is_recorded_whole(void **state)
{
	struct absence *a = absence(state);
	const struct kt_guest *g = &a->w.profile->guest;
	uint64_t socket = peek(
		&a->w,
		file_of(&a->w, a->series, a->w.holder, "unix_stream_0") + g->file_private_data, 8);
	uint64_t sk = peek(&a->w, socket + g->socket_sk, 8);
	const struct event exits = { KT_HOOK_task_exit, READER, READER, 1 };
	const struct event freed = { KT_HOOK_sk_free, WRITER, sk, 0 };
	const struct event *const each[] = { &exits, &freed };

	for (size_t i = 0; i < 2; i++) {
		struct outcome present;

		for (int absent = 0; absent < 2; absent++) {
			manage(&a->w, "processes", signal_of(&a->w, 0), 1);
			manage(&a->w, "sockets", sk, 1);
			if (absent)
				present = a->now;
			run(a, each[i], absent);
			assert_int_equal(a->now.count, 1);
			assert_int_equal(a->now.records[0].type, KT_RECORD_GONE);
		}
		assert_memory_equal(a->now.records, present.records, sizeof(struct kt_record));
	}
}

static void a_message_is_recorded(void **state)
{
	struct absence *a = absence(state);
	uint64_t message = copy_of(&a->w, a->w.bystander), signal = signal_of(&a->w, 0);
	const struct event sent = { KT_HOOK_msg_alloc, WRITER, message, 0 };
	const struct event taken = { KT_HOOK_msg_store, READER, 0, message };
	const struct event exits = { KT_HOOK_task_exit, READER, READER, 1 };
	const struct event undo[] = { exits, { KT_HOOK_task_exit, WRITER, WRITER, 1 } };
	struct outcome present = {};

	for (int absent = 0; absent < 2; absent++) {
		manage(&a->w, "processes", signal_of(&a->w, 1), 1);
		run(a, &sent, absent);
		assert_int_equal(a->now.count, 1);
		run(a, &taken, absent);
		assert_int_equal(a->now.count, 2);
		assert_int_equal(labels_of(&a->w, "processes", &signal), 1);
		assert_int_equal(labels_of(&a->w, "messages", &message), 0);
		if (absent)
			assert_memory_equal(a->now.records, present.records,
					    2 * sizeof(struct kt_record));
		present = a->now;
		for (size_t i = 0; i < 2; i++)
			run(a, &undo[i], false);
	}
}

/* Whoever reads another's memory is found, although its own is out. */
static void a_reader_of_memory_is_told(void **state)
{
	struct absence *a = absence(state);
	const struct kt_guest *g = &a->w.profile->guest;
	uint64_t file = file_of(&a->w, a->series, a->w.holder, "fifo"), pipe = pipe_of(a, file);
	uint64_t mm = copy_of(&a->w, a->w.bystander), other = copy_of(&a->w, a->w.bystander);
	const struct event peek_hook = { KT_HOOK_ptrace, READER, WRITER, 2 };
	const struct event e = { KT_HOOK_file_permission, WRITER, file, MAY_READ };
	const struct event undo[] = {
		{ KT_HOOK_task_exit, READER, READER, 1 },
		{ KT_HOOK_task_exit, WRITER, WRITER, 1 },
		peek_hook,
	};

	set(&a->w, READER + g->task_mm, other, 8);
	set(&a->w, WRITER + g->task_mm, mm, 8);
	manage(&a->w, "pipes", pipe, 1);
	run(a, &peek_hook, false);
	is_the_same_when_absent(a, &e, undo, 3, 2);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST(a_read_is_recorded),
		TEST(a_classified_file_is_recognised),
		TEST(a_waiting_reader_is_told),
		TEST(a_send_on_a_unix_socket_is_recorded),
		TEST(a_send_over_loopback_is_recorded),
		TEST(a_leak_is_recorded_once),
		TEST(a_child_inherits),
		TEST(an_end_is_recorded_whole),
		TEST(a_message_is_recorded),
		TEST(a_reader_of_memory_is_told),
	};

	return run_on_all_images("absent pages", tests, sizeof(tests) / sizeof(tests[0]));
}
