// SPDX-License-Identifier: GPL-2.0
/*
 * Races, natively: the BPF engine is run by two threads on two CPUs with no lock
 * between them, as two vCPUs run it. Every round has a process and a carrier that
 * the engine does not know, and both are taken out again by the hooks that the
 * guest itself passes (exit, release).
 *
 * KT_RACE_ROUNDS: rounds of each test (those in which both sides scan: a tenth);
 * 20,000 without it.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <x86intrin.h>
#include <cmocka.h>

#include "replay_world.h"

#define SERIES	  "6.12"
#define MAY_WRITE 2
#define MAY_READ  4
#define WRITER	  (POOL - 1) /* tasks that are no reader */
#define WRITER_2  (POOL - 2)
#define READERS	  (POOL - 8)

/* Two threads that meet before and after every round. The first one is the test's own. */
struct duel {
	struct world w;
	void (*side[2])(struct duel *, uint32_t round);
	void (*clean[2])(struct duel *, uint32_t round); /* after it; side 1's may be NULL */
	void (*judge)(struct duel *, uint32_t round); /* in between, by the test */
	uint32_t rounds;
	int32_t lead; /* side 0 starts so many TSC ticks after side 1 */
	uint32_t spread; /* give or take so many */
	uint64_t random[2];
	int64_t trouble[2]; /* of a hook: enum kt_lost or -errno */
	_Alignas(64) uint32_t met[2];

	/* The carriers of the test at hand; see make_*. */
	uint64_t read_arg[POOL], write_arg[POOL], carrier[POOL];
	enum kt_hook read_hook, write_hook, free_hook;
	const char *carrier_set;
	struct kt_file_key *file_keys; /* where the carriers are files */
	bool someone_waits; /* a reader, for what two writers write */

	/* What was counted. */
	uint64_t by_reader, by_writer, missed, twice, label[2], early;
	struct kt_record last;
	uint64_t added, carrier_added, spreads;
};

/* --- two threads ----------------------------------------------------------- */

static uint32_t rounds_wanted(void)
{
	const char *text = getenv("KT_RACE_ROUNDS");

	return text ? strtoul(text, NULL, 0) : 20000;
}

static uint32_t random_of(struct duel *d, int side)
{
	uint64_t x = d->random[side];

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	d->random[side] = x;
	return x >> 32;
}

/* Waits for the other side. It may be off its CPU: this machine has other work. */
static void meet(struct duel *d, int side)
{
	uint32_t mine = d->met[side] + 1;
	uint32_t spins = 0;

	__atomic_store_n(&d->met[side], mine, __ATOMIC_SEQ_CST);
	while ((int32_t)(__atomic_load_n(&d->met[!side], __ATOMIC_ACQUIRE) - mine) < 0) {
		_mm_pause();
		if (++spins % 20000 == 0)
			sched_yield();
	}
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void wait_turn(struct duel *d, int side, int32_t lead)
{
	int64_t ticks = side ? -lead : lead;
	uint64_t from = __rdtsc();

	if (ticks < 0)
		ticks = 0;
	ticks += random_of(d, side) % (d->spread + 1);
	while ((int64_t)(__rdtsc() - from) < ticks)
		;
}

static void round_of(struct duel *d, int side, uint32_t round)
{
	int32_t lead = d->lead;

	meet(d, side);
	wait_turn(d, side, lead);
	d->side[side](d, round);
	meet(d, side);
	if (!side)
		d->judge(d, round);
	if (d->clean[side])
		d->clean[side](d, round);
}

static void *second(void *arg)
{
	struct duel *d = arg;

	pin(1);
	for (uint32_t round = 0; round < d->rounds; round++)
		round_of(d, 1, round);
	return NULL;
}

/* Both sides, d->rounds times; then nothing may have gone wrong in a hook. */
static void fight(struct duel *d)
{
	struct timespec from, to;
	pthread_t other;
	cpu_set_t before;

	sched_getaffinity(0, sizeof(before), &before);
	if (CPU_COUNT(&before) < 2)
		skip();
	d->random[0] = 88172645463325252ULL;
	d->random[1] = 0x9e3779b97f4a7c15ULL;
	d->spread = 4000;
	d->rounds = d->rounds ? d->rounds : rounds_wanted();
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(pthread_create(&other, NULL, second, d), 0);
	pin(0);
	for (uint32_t round = 0; round < d->rounds; round++)
		round_of(d, 0, round);
	pthread_join(other, NULL);
	sched_setaffinity(0, sizeof(before), &before);
	clock_gettime(CLOCK_MONOTONIC, &to);
	print_message("%u rounds in %.1f s\n", d->rounds,
		      to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9);
	assert_int_equal(d->trouble[0], 0);
	assert_int_equal(d->trouble[1], 0);
}

static void hook(struct duel *d, int side, enum kt_hook which, uint64_t current, uint64_t a0,
		 uint64_t a1)
{
	int64_t result = run_hook(&d->w, side, which, current, a0, a1);

	if (result)
		d->trouble[side] = result;
}

/* --- records --------------------------------------------------------------- */

static int keep(void *ctx, const struct kt_record *record, size_t len)
{
	struct duel *d = ctx;

	if (record->type != KT_RECORD_SPREAD)
		return 0;
	if (record->target.kind != KT_KIND_PROCESS) {
		d->carrier_added |= record->added;
		return 0;
	}
	d->spreads++;
	d->added |= record->added;
	memcpy(&d->last, record, offsetof(struct kt_record, path));
	return 0;
}

/* Takes the records of a round; how many say that a process became managed. */
static uint64_t take_records(struct duel *d)
{
	d->spreads = 0;
	d->added = d->carrier_added = 0;
	engine_drain(d->w.engine, keep, d);
	return d->spreads;
}

static uint64_t process_labels(struct duel *d, uint32_t n)
{
	uint64_t signal = signal_of(&d->w, n);

	return labels_of(&d->w, "processes", &signal);
}

/* --- carriers -------------------------------------------------------------- */

static void make_pipes(struct duel *d)
{
	struct world *w = &d->w;

	for (int i = 0; i < POOL; i++)
		d->read_arg[i] = d->write_arg[i] = fifo_of(w, SERIES, &d->carrier[i]);
	d->read_hook = d->write_hook = KT_HOOK_file_permission;
	d->free_hook = KT_HOOK_pipe_free;
	d->carrier_set = "pipes";
}

/* Connected stream sockets: [0] sends, [1] receives. */
static void make_sockets(struct duel *d)
{
	struct world *w = &d->w;
	const struct kt_guest *g = &w->profile->guest;
	uint64_t socket[2], sk[2];

	for (int side = 0; side < 2; side++) {
		socket[side] = peek(w,
				    file_of(w, SERIES, w->holder,
					    side ? "unix_stream_1" : "unix_stream_0") +
					    g->file_private_data,
				    8);
		sk[side] = peek(w, socket[side] + g->socket_sk, 8);
	}
	for (int i = 0; i < POOL; i++) {
		uint64_t from;

		d->write_arg[i] = copy_of(w, socket[0]);
		d->read_arg[i] = copy_of(w, socket[1]);
		from = copy_of(w, sk[0]);
		d->carrier[i] = copy_of(w, sk[1]);
		set(w, d->write_arg[i] + g->socket_sk, from, 8);
		set(w, d->read_arg[i] + g->socket_sk, d->carrier[i], 8);
		set(w, from + g->unix_peer, d->carrier[i], 8);
	}
	d->read_hook = KT_HOOK_socket_recvmsg;
	d->write_hook = KT_HOOK_socket_sendmsg;
	d->free_hook = KT_HOOK_sk_free;
	d->carrier_set = "sockets";
}

static void make_files(struct duel *d)
{
	struct world *w = &d->w;
	const struct kt_guest *g = &w->profile->guest;
	uint64_t plain = file_of(w, SERIES, w->bystander, "plain");
	uint64_t inode = peek(w, plain + g->file_inode, 8);

	d->file_keys = calloc(POOL, sizeof(*d->file_keys));
	for (int i = 0; i < POOL; i++) {
		d->write_arg[i] = copy_of(w, plain);
		d->carrier[i] = copy_of(w, inode);
		set(w, d->write_arg[i] + g->file_inode, d->carrier[i], 8);
		set(w, d->carrier[i] + g->inode_ino, 1000000 + i, 8);
		d->file_keys[i].ino = 1000000 + i;
		d->file_keys[i].fs = fs_of(w, peek(w, inode + g->inode_sb, 8));
		d->file_keys[i].generation = peek(w, inode + g->inode_generation, 4);
	}
	d->write_hook = KT_HOOK_file_permission;
	d->carrier_set = "files";
}

/* --- readers against writers ----------------------------------------------- */

static void reader_reads(struct duel *d, uint32_t round)
{
	hook(d, 0, d->read_hook, task(&d->w, round % READERS), d->read_arg[round % POOL], MAY_READ);
}

static void writer_writes(struct duel *d, uint32_t round)
{
	hook(d, 1, d->write_hook, task(&d->w, WRITER), d->write_arg[round % POOL], MAY_WRITE);
}

static void reader_exits(struct duel *d, uint32_t round)
{
	hook(d, 0, KT_HOOK_task_exit, task(&d->w, round % READERS), task(&d->w, round % READERS),
	     1);
}

static void carrier_is_freed(struct duel *d, uint32_t round)
{
	hook(d, 1, d->free_hook, task(&d->w, WRITER), d->carrier[round % POOL], 0);
}

/* Who saw it is who acted; the start moves to where both see it equally often. */
static void judge_reader(struct duel *d, uint32_t round)
{
	uint64_t records = take_records(d);

	if (process_labels(d, round % READERS) != 1) {
		d->missed++;
		return;
	}
	if (records != 1) {
		d->twice++;
	} else if (d->last.actor.gva == signal_of(&d->w, WRITER)) {
		d->by_writer++;
		d->lead += 16;
	} else {
		d->by_reader++;
		d->lead -= 16;
	}
}

static struct duel *reader_against_writer(void **state, void (*make)(struct duel *))
{
	struct duel *d = *state;

	make(d);
	manage(&d->w, "processes", signal_of(&d->w, WRITER), 1);
	d->side[0] = reader_reads;
	d->side[1] = writer_writes;
	d->clean[0] = reader_exits;
	d->clean[1] = carrier_is_freed;
	d->judge = judge_reader;
	fight(d);
	print_message("%s: the reader itself saw the label in %lu rounds, the writer's scan found"
		      " the reader in %lu, missed in %lu (recorded otherwise than once: %lu)\n",
		      d->carrier_set, d->by_reader, d->by_writer, d->missed, d->twice);
	return d;
}

static void no_race_is_missed(void **state, void (*make)(struct duel *))
{
	struct duel *d = reader_against_writer(state, make);

	assert_int_equal(d->missed, 0);
	assert_int_equal(d->twice, 0);
	/* Else nothing raced. */
	assert_true(d->by_reader > d->rounds / 100);
	assert_true(d->by_writer > d->rounds / 100);
}

static void no_race_on_a_pipe_is_missed(void **state)
{
	no_race_is_missed(state, make_pipes);
}

static void no_race_on_a_unix_socket_is_missed(void **state)
{
	no_race_is_missed(state, make_sockets);
}

/* The mutation: these very races do find a miss when there is one to find. */
static void without_the_scan_races_are_missed(void **state)
{
	struct duel *d = *state;
	uint32_t scan = KT_HOOK_SYSCALL + 1;

	assert_int_equal(bpf_map_delete_elem(engine_map_fd(d->w.engine, "handlers"), &scan), 0);
	d->rounds = 20000;
	reader_against_writer(state, make_pipes);
	assert_true(d->missed > 0);
	assert_true(d->by_reader > 0);
	assert_int_equal(d->by_writer, 0);
}

/* --- labels unite ---------------------------------------------------------- */

/* Different ones, so that a lost one shows. */
static void choose_labels(struct duel *d, uint32_t round)
{
	d->label[0] = 1ULL << round % 64;
	d->label[1] = 1ULL << (round / 64 + 1 + round) % 64;
	if (d->label[0] == d->label[1])
		d->label[1] = d->label[0] << 1 ? d->label[0] << 1 : 1;
}

/* Two threads of one process each read a pipe that carries a label of its own. */
static void thread_reads(struct duel *d, int side, uint32_t round)
{
	hook(d, side, KT_HOOK_file_permission, task(&d->w, 2 * (round % 64) + side),
	     d->read_arg[(round * 2 + side) % 128], MAY_READ);
}

static void thread_0_reads(struct duel *d, uint32_t round)
{
	thread_reads(d, 0, round);
}

static void thread_1_reads(struct duel *d, uint32_t round)
{
	thread_reads(d, 1, round);
}

static void threads_exit(struct duel *d, uint32_t round)
{
	uint32_t n = 2 * (round % 64);

	hook(d, 0, KT_HOOK_task_exit, task(&d->w, n + 1), task(&d->w, n + 1), 0);
	hook(d, 0, KT_HOOK_task_exit, task(&d->w, n), task(&d->w, n), 1);
}

static void judge_union(struct duel *d, uint32_t round)
{
	uint64_t want = 1ULL << (round * 2 % 64) | 1ULL << ((round * 2 + 1) % 64);

	take_records(d);
	if (process_labels(d, 2 * (round % 64)) != want)
		d->missed++;
	else if (d->added != want)
		d->twice++;
	d->by_reader += d->spreads == 2;
}

static void labels_that_unite_in_a_process_are_all_kept(void **state)
{
	struct duel *d = *state;

	make_pipes(d);
	for (uint32_t n = 0; n < 128; n++) {
		manage(&d->w, "pipes", d->carrier[n], 1ULL << n % 64);
		/* Every second task is a thread of the one before. */
		set(&d->w, task(&d->w, n) + d->w.profile->guest.task_signal,
		    signal_of(&d->w, n & ~1U), 8);
	}
	d->side[0] = thread_0_reads;
	d->side[1] = thread_1_reads;
	d->clean[0] = threads_exit;
	d->judge = judge_union;
	fight(d);
	print_message("labels lost: %lu, not in the records: %lu; two records: %lu\n", d->missed,
		      d->twice, d->by_reader);
	assert_int_equal(d->missed, 0);
	assert_int_equal(d->twice, 0);
}

/* Two processes, each with a label of its own, write to one carrier; a reader may wait on it. */
static void writer_n_writes(struct duel *d, int side, uint32_t round)
{
	uint64_t mine = 0;

	hook(d, side, d->write_hook, task(&d->w, side ? WRITER_2 : WRITER),
	     d->write_arg[round % POOL], MAY_WRITE);
	if (!d->someone_waits)
		return;
	/* The data go into the carrier now: whoever waits must have the label already. */
	mine = process_labels(d, round % READERS);
	if ((mine & d->label[side]) != d->label[side])
		__atomic_fetch_add(&d->early, 1, __ATOMIC_RELAXED);
}

static void writer_0_writes(struct duel *d, uint32_t round)
{
	writer_n_writes(d, 0, round);
}

static void writer_1_writes(struct duel *d, uint32_t round)
{
	writer_n_writes(d, 1, round);
}

static const void *carrier_key(struct duel *d, uint32_t round)
{
	return d->file_keys ? (const void *)&d->file_keys[round % POOL] : &d->carrier[round % POOL];
}

static void judge_writers(struct duel *d, uint32_t round)
{
	uint64_t want = d->label[0] | d->label[1];

	take_records(d);
	if (labels_of(&d->w, d->carrier_set, carrier_key(d, round)) != want ||
	    (d->someone_waits && process_labels(d, round % READERS) != want))
		d->missed++;
	else if ((d->someone_waits ? d->added : d->carrier_added) != want)
		d->twice++;
}

static void next_labels(struct duel *d, uint32_t round)
{
	choose_labels(d, round);
	manage(&d->w, "processes", signal_of(&d->w, WRITER), d->label[0]);
	manage(&d->w, "processes", signal_of(&d->w, WRITER_2), d->label[1]);
}

/* Everything is taken out; then the next reader comes, before the writers do. */
static void next_reader(struct duel *d, uint32_t round)
{
	if (d->someone_waits)
		reader_exits(d, round);
	if (d->file_keys)
		bpf_map_delete_elem(engine_map_fd(d->w.engine, "files"), carrier_key(d, round));
	else
		hook(d, 0, d->free_hook, task(&d->w, WRITER), d->carrier[round % POOL], 0);
	if (d->label[0] != d->label[1])
		next_labels(d, round + 1);
	if (d->someone_waits)
		reader_reads(d, round + 1);
}

static void two_writers(struct duel *d, bool someone_waits)
{
	d->side[0] = writer_0_writes;
	d->side[1] = writer_1_writes;
	d->clean[0] = next_reader;
	d->judge = judge_writers;
	d->someone_waits = someone_waits;
	if (someone_waits) {
		d->rounds = rounds_wanted() / 10;
		reader_reads(d, 0);
	}
	fight(d);
	print_message("labels lost: %lu, not in the records: %lu, too late: %lu\n", d->missed,
		      d->twice, d->early);
	assert_int_equal(d->missed, 0);
	assert_int_equal(d->twice, 0);
	assert_int_equal(d->early, 0);
}

static void labels_that_unite_in_a_pipe_are_all_kept(void **state)
{
	make_pipes(*state);
	next_labels(*state, 0);
	two_writers(*state, false);
}

static void labels_that_unite_in_a_file_are_all_kept(void **state)
{
	make_files(*state);
	next_labels(*state, 0);
	two_writers(*state, false);
}

static void a_waiting_reader_gets_the_labels_of_both(void **state)
{
	make_sockets(*state);
	next_labels(*state, 0);
	two_writers(*state, true);
}

/*
 * Both bring the same label: the second finds it there, but must not go on to
 * write before the first has told the readers.
 */
static void a_writer_does_not_overtake_the_scan_of_another(void **state)
{
	struct duel *d = *state;

	make_pipes(d);
	d->label[0] = d->label[1] = 1;
	manage(&d->w, "processes", signal_of(&d->w, WRITER), 1);
	manage(&d->w, "processes", signal_of(&d->w, WRITER_2), 1);
	two_writers(d, true);
}

/* --- fixture --------------------------------------------------------------- */

static int set_up(void **state)
{
	struct duel *d = calloc(1, sizeof(*d));

	*state = d;
	if (!world_open(&d->w, SERIES))
		skip();
	return 0;
}

static int tear_down(void **state)
{
	struct duel *d = *state;

	free(d->file_keys);
	free(d);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_race_on_a_pipe_is_missed),
		TEST(no_race_on_a_unix_socket_is_missed),
		TEST(without_the_scan_races_are_missed),
		TEST(labels_that_unite_in_a_process_are_all_kept),
		TEST(labels_that_unite_in_a_pipe_are_all_kept),
		TEST(labels_that_unite_in_a_file_are_all_kept),
		TEST(a_waiting_reader_gets_the_labels_of_both),
		TEST(a_writer_does_not_overtake_the_scan_of_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
