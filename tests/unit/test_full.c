// SPDX-License-Identifier: GPL-2.0
/*
 * Tables that are full: the engine, natively over a RAM image, with room for a
 * few objects only. What could not be stored counts as managed, and is said.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "replay_world.h"

#define SERIES	     "6.12"
#define MAY_WRITE    2
#define MAY_READ     4
#define TCP_SYN_SENT 2 /* include/net/tcp_states.h */
#define WRITER	     (POOL - 1)
#define WRITER_2     (POOL - 2)
#define PIPES	     16
#define ROOM	     4 /* objects in each set, readers */
#define KEPT_MAX     64

struct full {
	struct world w;
	uint64_t file[PIPES], pipe[PIPES];
	struct kt_record records[KEPT_MAX]; /* of the last hook */
	size_t count;
	uint64_t last_seq, holes; /* of all records so far */
};

static int keep(void *ctx, const struct kt_record *record, size_t len)
{
	struct full *f = ctx;

	if (f->last_seq)
		f->holes += record->seq - f->last_seq - 1;
	f->last_seq = record->seq;
	if (f->count < KEPT_MAX)
		memcpy(&f->records[f->count++], record, offsetof(struct kt_record, path));
	return 0;
}

static void drain(struct full *f)
{
	f->count = 0;
	assert_true(engine_drain(f->w.engine, keep, f) >= 0);
}

static void hook(struct full *f, enum kt_hook which, uint32_t n, uint64_t a0, uint64_t a1)
{
	assert_int_equal(run_hook(&f->w, 0, which, task(&f->w, n), a0, a1), 0);
	drain(f);
}

static void reads(struct full *f, uint32_t n, uint32_t pipe)
{
	hook(f, KT_HOOK_file_permission, n, f->file[pipe], MAY_READ);
}

static void writes(struct full *f, uint32_t n, uint32_t pipe)
{
	hook(f, KT_HOOK_file_permission, n, f->file[pipe], MAY_WRITE);
}

static uint64_t process_labels(struct full *f, uint32_t n)
{
	uint64_t signal = signal_of(&f->w, n);

	return labels_of(&f->w, "processes", &signal);
}

static uint64_t pipe_labels(struct full *f, uint32_t pipe)
{
	return labels_of(&f->w, "pipes", &f->pipe[pipe]);
}

/* The record of the last hook by type; fails the test unless there is just one. */
static const struct kt_record *the(struct full *f, enum kt_record_type type)
{
	const struct kt_record *found = NULL;

	for (size_t i = 0; i < f->count; i++) {
		if (f->records[i].type != type)
			continue;
		assert_null(found);
		found = &f->records[i];
	}
	assert_non_null(found);
	return found;
}

/* WRITER, whose label is 1, fills the set of pipes: those from ROOM on do not fit. */
static uint64_t fill_pipes(struct full *f)
{
	manage(&f->w, "processes", signal_of(&f->w, WRITER), 1);
	for (uint32_t i = 0; i < ROOM; i++) {
		writes(f, WRITER, i);
		the(f, KT_RECORD_SPREAD);
		assert_int_equal(pipe_labels(f, i), 1);
	}
	writes(f, WRITER, ROOM);
	assert_int_equal(f->count, 1);
	return the(f, KT_RECORD_LOST)->seq;
}

/* --- carriers -------------------------------------------------------------- */

static void a_full_set_is_said_once_with_its_name_and_labels(void **state)
{
	struct full *f = *state;
	const struct kt_record *lost;

	fill_pipes(f);
	lost = the(f, KT_RECORD_LOST);
	assert_int_equal(lost->lost, KT_LOST_SET_FULL);
	assert_int_equal(lost->target.kind, KT_KIND_PIPE);
	assert_int_equal(lost->target.gva, f->pipe[ROOM]);
	assert_int_equal(lost->labels, 1);
	assert_int_equal(lost->actor.pid, 1000 + WRITER);
	writes(f, WRITER, ROOM);
	writes(f, WRITER, ROOM + 1);
	assert_int_equal(f->count, 0);
	manage(&f->w, "processes", signal_of(&f->w, WRITER_2), 2);
	writes(f, WRITER_2, ROOM + 1);
	lost = the(f, KT_RECORD_LOST);
	assert_int_equal(lost->labels, 3);
	assert_int_equal(lost->added, 2);
	/* WRITER_2's own cause, not that of what did not fit before. */
	assert_int_equal(lost->cause, 0);
}

static void what_is_not_in_a_full_set_counts_as_managed(void **state)
{
	struct full *f = *state;
	uint64_t said = fill_pipes(f);

	reads(f, 0, ROOM);
	assert_int_equal(process_labels(f, 0), 1);
	assert_int_equal(the(f, KT_RECORD_SPREAD)->cause, said);
	/* Nobody wrote to this one: it cannot be told from those that did not fit. */
	reads(f, 1, PIPES - 1);
	assert_int_equal(process_labels(f, 1), 1);
	assert_int_equal(the(f, KT_RECORD_SPREAD)->cause, said);
}

static void what_is_in_a_full_set_is_known_exactly(void **state)
{
	struct full *f = *state;

	fill_pipes(f);
	manage(&f->w, "processes", signal_of(&f->w, WRITER_2), 2);
	writes(f, WRITER_2, ROOM);
	the(f, KT_RECORD_LOST);
	reads(f, 0, 0);
	assert_int_equal(process_labels(f, 0), 1);
}

static void a_reader_that_waits_on_what_does_not_fit_is_told(void **state)
{
	struct full *f = *state;

	reads(f, 0, ROOM + 1);
	reads(f, 1, ROOM + 2);
	fill_pipes(f);
	assert_int_equal(process_labels(f, 0), 0);
	writes(f, WRITER, ROOM + 1);
	assert_int_equal(process_labels(f, 0), 1);
	/* Its pipe has had nothing since it looked. */
	assert_int_equal(process_labels(f, 1), 0);
}

static void a_new_member_keeps_what_it_counted_as_having(void **state)
{
	struct full *f = *state;

	fill_pipes(f);
	hook(f, KT_HOOK_pipe_free, WRITER, f->pipe[0], 0);
	manage(&f->w, "processes", signal_of(&f->w, WRITER_2), 2);
	writes(f, WRITER_2, ROOM);
	assert_int_equal(the(f, KT_RECORD_SPREAD)->labels, 3);
	assert_int_equal(pipe_labels(f, ROOM), 3);
}

static void a_named_file_that_does_not_fit_is_no_less_managed(void **state)
{
	struct full *f = *state;
	struct kt_file_key key = { .ino = 12345 };
	struct kt_file other = {};
	uint64_t secret = file_of(&f->w, SERIES, f->w.holder, "secret"), holder;

	for (int i = 0; i < ROOM; i++, key.ino++)
		assert_int_equal(bpf_map_update_elem(engine_map_fd(f->w.engine, "files"), &key,
						     &other, BPF_ANY),
				 0);
	hook(f, KT_HOOK_file_permission, 0, secret, MAY_READ);
	assert_int_equal(the(f, KT_RECORD_LOST)->target.kind, KT_KIND_FILE);
	assert_int_equal(process_labels(f, 0), 1);
	/* And so does whoever has it mapped. */
	holder = peek(&f->w, f->w.holder + f->w.profile->guest.task_signal, 8);
	assert_int_equal(labels_of(&f->w, "processes", &holder), 1);
}

static uint64_t socket_of(struct full *f, const char *name)
{
	uint64_t file = file_of(&f->w, SERIES, f->w.holder, name);

	return peek(&f->w, file + f->w.profile->guest.file_private_data, 8);
}

/* A connection whose other end is no socket yet: what it sends waits in a table. */
static void data_that_is_too_early_and_does_not_fit_may_be_on_any_socket(void **state)
{
	struct full *f = *state;
	const struct kt_guest *g = &f->w.profile->guest;
	uint64_t socket = copy_of(&f->w, socket_of(f, "tcp4_client"));
	uint64_t sk = copy_of(&f->w, peek(&f->w, socket + g->socket_sk, 8));
	struct kt_object_key key = { .gva = 1 };
	char nothing[1024] = "";

	for (; key.gva <= ROOM; key.gva++)
		assert_int_equal(bpf_map_update_elem(engine_map_fd(f->w.engine, "early"), &key,
						     nothing, BPF_ANY),
				 0);
	set(&f->w, socket + g->socket_sk, sk, 8);
	set(&f->w, sk + g->skc_state, TCP_SYN_SENT, 1);
	manage(&f->w, "processes", signal_of(&f->w, WRITER), 1);
	hook(f, KT_HOOK_socket_sendmsg, WRITER, socket, 0);
	assert_int_equal(the(f, KT_RECORD_LOST)->target.kind, KT_KIND_SOCKET);
	assert_int_equal(the(f, KT_RECORD_LOST)->labels, 1);
	hook(f, KT_HOOK_socket_recvmsg, 0, socket_of(f, "tcp4_server"), 0);
	assert_int_equal(process_labels(f, 0), 1);
}

/* --- processes, address spaces --------------------------------------------- */

static void a_process_that_does_not_fit_counts_as_managed(void **state)
{
	struct full *f = *state;
	uint64_t said;

	manage(&f->w, "pipes", f->pipe[0], 1);
	for (uint32_t n = 0; n < ROOM - 1; n++)
		manage(&f->w, "processes", signal_of(&f->w, 100 + n), 2);
	reads(f, 0, 0);
	the(f, KT_RECORD_SPREAD);
	reads(f, 1, 0);
	said = the(f, KT_RECORD_LOST)->seq;
	assert_int_equal(the(f, KT_RECORD_LOST)->target.kind, KT_KIND_PROCESS);
	assert_int_equal(the(f, KT_RECORD_LOST)->target.pid, 1001);
	assert_int_equal(process_labels(f, 1), 0);
	writes(f, 1, 1);
	assert_int_equal(pipe_labels(f, 1), 1);
	assert_int_equal(the(f, KT_RECORD_SPREAD)->cause, said);
	reads(f, 1, 0);
	assert_int_equal(f->count, 0);
}

static void an_address_space_that_does_not_fit_may_be_anyones(void **state)
{
	struct full *f = *state;
	const struct kt_guest *g = &f->w.profile->guest;
	int shared = engine_map_fd(f->w.engine, "shared_mms");
	struct kt_managed none = {};

	for (uint64_t mm = 1; mm <= ROOM; mm++)
		assert_int_equal(bpf_map_update_elem(shared, &mm, &none, BPF_ANY), 0);
	manage(&f->w, "pipes", f->pipe[0], 1);
	for (uint32_t n = 0; n < 3; n++)
		set(&f->w, task(&f->w, n) + g->task_mm, 0xffff888000001000 + 64 * n, 8);
	set(&f->w, task(&f->w, 3) + g->task_mm, 0xffff888000001000, 8);
	/* 0 makes 3, which shares its memory, as vfork() does. */
	hook(f, KT_HOOK_task_new, 0, task(&f->w, 3), 0);
	assert_int_equal(the(f, KT_RECORD_LOST)->lost, KT_LOST_SET_FULL);
	assert_int_equal(the(f, KT_RECORD_LOST)->target.kind, KT_KIND_MEMORY);
	writes(f, 0, 1);
	assert_int_equal(pipe_labels(f, 1), 0);
	reads(f, 3, 0);
	assert_int_equal(process_labels(f, 3), 1);
	/* What 3 has read 0 has too, and all others for whom nobody can tell. */
	writes(f, 0, 1);
	assert_int_equal(pipe_labels(f, 1), 1);
	writes(f, 1, 2);
	assert_int_equal(pipe_labels(f, 2), 1);
}

/* --- readers, records ------------------------------------------------------ */

static void a_reader_that_cannot_be_known_has_read_everything(void **state)
{
	struct full *f = *state;
	const struct kt_record *lost;

	for (uint32_t n = 0; n < ROOM; n++) {
		reads(f, n, n);
		assert_int_equal(f->count, 0);
	}
	reads(f, ROOM, 0);
	lost = the(f, KT_RECORD_LOST);
	assert_int_equal(lost->lost, KT_LOST_PENDING_FULL);
	assert_int_equal(lost->actor.pid, 1000 + ROOM);
	assert_int_equal(the(f, KT_RECORD_SPREAD)->cause, lost->seq);
	assert_int_equal(process_labels(f, ROOM), 1);
	reads(f, ROOM, 1);
	assert_int_equal(f->count, 0);
	/* A thread that exits makes room. */
	hook(f, KT_HOOK_task_exit, 0, task(&f->w, 0), 1);
	reads(f, ROOM + 1, 0);
	assert_int_equal(f->count, 0);
	assert_int_equal(process_labels(f, ROOM + 1), 0);
}

static void a_full_ring_loses_records_and_no_membership(void **state)
{
	struct full *f = *state;
	uint64_t counters[KT_COUNT_MAX];

	manage(&f->w, "pipes", f->pipe[0], 1);
	for (uint32_t i = 0; i < 20000; i++) {
		run_hook(&f->w, 0, KT_HOOK_file_permission, task(&f->w, 0), f->file[0], MAY_READ);
		run_hook(&f->w, 0, KT_HOOK_task_exit, task(&f->w, 0), task(&f->w, 0), 1);
	}
	run_hook(&f->w, 0, KT_HOOK_file_permission, task(&f->w, 1), f->file[0], MAY_READ);
	assert_int_equal(process_labels(f, 0), 0);
	assert_int_equal(process_labels(f, 1), 1);
	assert_int_equal(engine_counters(f->w.engine, counters), 0);
	assert_true(counters[KT_COUNT_RECORDS_LOST] > 0);
	drain(f);
	/* What the ring had no room for shows as a hole before the next record. */
	writes(f, 1, 1);
	assert_int_equal(f->holes, counters[KT_COUNT_RECORDS_LOST]);
	assert_int_equal(the(f, KT_RECORD_SPREAD)->added, 1);
	assert_int_equal(pipe_labels(f, 1), 1);
}

/* --- fixture --------------------------------------------------------------- */

static int set_up(void **state)
{
	struct full *f = calloc(1, sizeof(*f));

	*state = f;
	f->w.objects_max = ROOM;
	f->w.readers_max = ROOM;
	if (!world_open(&f->w, SERIES))
		skip();
	for (int i = 0; i < PIPES; i++)
		f->file[i] = fifo_of(&f->w, SERIES, &f->pipe[i]);
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_set_is_said_once_with_its_name_and_labels),
		TEST(what_is_not_in_a_full_set_counts_as_managed),
		TEST(what_is_in_a_full_set_is_known_exactly),
		TEST(a_reader_that_waits_on_what_does_not_fit_is_told),
		TEST(a_new_member_keeps_what_it_counted_as_having),
		TEST(a_named_file_that_does_not_fit_is_no_less_managed),
		TEST(data_that_is_too_early_and_does_not_fit_may_be_on_any_socket),
		TEST(a_process_that_does_not_fit_counts_as_managed),
		TEST(an_address_space_that_does_not_fit_may_be_anyones),
		TEST(a_reader_that_cannot_be_known_has_read_everything),
		TEST(a_full_ring_loses_records_and_no_membership),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
