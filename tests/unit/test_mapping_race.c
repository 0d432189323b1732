// SPDX-License-Identifier: GPL-2.0
/*
 * A mapping is made on one vCPU while labels come on another: the engine is run by
 * two threads on two CPUs, and the mapping is linked in between as the guest's
 * kernel does it, under its lock. KT_RACE_ROUNDS: rounds of each; 20,000 without.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <x86intrin.h>
#include <cmocka.h>

#include "mapping_world.h"

#define SERIES		 "6.12"
#define WRITER		 (POOL - 1)
#define PEOPLE		 64
#define GATE		 0 /* the file by which labels come to the mapper, where they do */
#define FILES		 (FILES_MAX - 1)
#define MAP_SHARED_FLAG	 1
#define MAP_PRIVATE_FLAG 2

struct duel {
	struct mapping_world m;
	bool process_grows; /* else the file that is mapped does */
	uint64_t root[PEOPLE]; /* maple root with the new mapping in it */
	uint32_t rounds, missed, trouble, before, after;
	uint64_t random[2];
	_Alignas(64) uint32_t met[2];
};

static uint32_t file_at(uint32_t round)
{
	return 1 + round % FILES;
}

static uint32_t person_at(uint32_t round)
{
	return round % PEOPLE;
}

static uint32_t strike(struct duel *d, uint32_t vcpu, enum kt_hook hook, uint64_t current,
		       uint64_t a0, uint64_t a1, uint64_t a2)
{
	const struct kt_guest *g = &d->m.w.profile->guest;
	struct kt_deferred input = {
		.args = { a0, a1, a2 },
		.site = d->m.w.profile->hooks[hook].site.v,
		.percpu_base = current + g->task_group_leader - g->sym_current_task,
		.vcpu = vcpu,
	};

	for (int i = 0; i < 64; i++) {
		if (engine_replay(d->m.w.engine, &input, true))
			return UINT32_MAX;
		if (input.result != KT_LOST_HOST_MEMORY)
			break;
		(void)*(volatile char *)(uintptr_t)input.fault;
	}
	if (input.result)
		__atomic_add_fetch(&d->trouble, 1, __ATOMIC_RELAXED);
	return input.result;
}

/* A store that other CPUs see at once, as the guest's own are. */
static void link_word(struct duel *d, uint64_t gva, uint64_t value)
{
	__atomic_store_n((uint64_t *)(uintptr_t)(gva + d->m.w.moved), value, __ATOMIC_SEQ_CST);
}

/* mmap(2): the hook, the mapping, and then the thread's next hook. */
static void mapper(struct duel *d, uint32_t round)
{
	const struct kt_guest *g = &d->m.w.profile->guest;
	uint32_t n = person_at(round);
	struct shared_file *f = &d->m.files[file_at(round)];
	struct person *p = &d->m.people[n];
	uint64_t thread = task(&d->m.w, n);

	strike(d, 0, KT_HOOK_mmap_file, thread, f->file, 1,
	       d->process_grows ? MAP_SHARED_FLAG : MAP_PRIVATE_FLAG);
	link_word(d, p->mm + g->mm_lock, 1);
	link_word(d, f->mapping + g->mapping_rwsem, 1);
	link_word(d, p->mm + g->mm_mt + g->maple_root, d->root[n]);
	link_word(d, f->mapping + g->mapping_i_mmap, f->vmas[0] + g->vma_rb);
	link_word(d, f->mapping + g->mapping_rwsem, 0);
	link_word(d, p->mm + g->mm_lock, 0);
	strike(d, 0, KT_HOOK_file_permission, thread, d->m.pipe_file, MAY_READ, 0);
}

static void writer(struct duel *d, uint32_t round)
{
	uint32_t file = d->process_grows ? GATE : file_at(round);

	strike(d, 1, KT_HOOK_file_permission, task(&d->m.w, WRITER), d->m.files[file].file,
	       MAY_WRITE, 0);
}

static int count_mmap(void *ctx, const struct kt_record *record, size_t len)
{
	struct duel *d = ctx;

	(void)len;
	if (record->type != KT_RECORD_SPREAD || record->target.kind != KT_KIND_PROCESS)
		return 0;
	if (record->actor.gva == signal_of(&d->m.w, WRITER))
		d->before++;
	else
		d->after++;
	return 0;
}

/* What is unsettled is walked before the next event: that comes first. */
static void judge(struct duel *d, uint32_t round)
{
	const struct kt_guest *g = &d->m.w.profile->guest;
	uint32_t n = person_at(round), file = file_at(round);
	uint64_t thread = task(&d->m.w, n);

	strike(d, 0, KT_HOOK_file_permission, d->m.w.bystander, d->m.pipe_file, MAY_READ, 0);
	d->missed += process_labels(&d->m, n) != 1 || file_labels(&d->m, file) != 1;
	strike(d, 0, KT_HOOK_task_exit, thread, thread, 1, 0);
	forget_file(&d->m, file);
	forget_file(&d->m, GATE);
	link_word(d, d->m.files[file].mapping + g->mapping_i_mmap, 0);
	link_word(d, d->m.people[n].mm + g->mm_mt + g->maple_root, 0);
	engine_drain(d->m.w.engine, count_mmap, d);
}

/* --- two threads ----------------------------------------------------------- */

static void meet(struct duel *d, int side)
{
	uint32_t mine = d->met[side] + 1, spins = 0;

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

/* Each comes at any time of what the other does, which takes about this long. */
static void wait_turn(struct duel *d, int side)
{
	uint64_t from = __rdtsc(), ticks;

	d->random[side] = d->random[side] * 6364136223846793005ULL + 1442695040888963407ULL;
	ticks = (d->random[side] >> 33) % 30000;
	while (__rdtsc() - from < ticks)
		;
}

/* The GATE's tree and the file's are this round's mapper's. */
static void prepare(struct duel *d, uint32_t round)
{
	const struct kt_guest *g = &d->m.w.profile->guest;
	struct person *p = &d->m.people[person_at(round)];
	struct shared_file *f = &d->m.files[file_at(round)];

	f->vmas[0] = p->vmas[0];
	set(&d->m.w, p->vmas[0] + g->vma_file, f->file, 8);
	set(&d->m.w, f->file + g->file_mode, 3, 4);
	link_word(d, d->m.files[GATE].mapping + g->mapping_i_mmap,
		  d->process_grows ? p->vmas[1] + g->vma_rb : 0);
}

static void *second(void *arg)
{
	struct duel *d = arg;

	pin(1);
	for (uint32_t round = 0; round < d->rounds; round++) {
		meet(d, 1);
		wait_turn(d, 1);
		writer(d, round);
		meet(d, 1);
	}
	return NULL;
}

static void fight(struct duel *d)
{
	pthread_t other;
	cpu_set_t before;

	sched_getaffinity(0, sizeof(before), &before);
	if (CPU_COUNT(&before) < 2)
		skip();
	assert_int_equal(pthread_create(&other, NULL, second, d), 0);
	pin(0);
	for (uint32_t round = 0; round < d->rounds; round++) {
		prepare(d, round);
		meet(d, 0);
		wait_turn(d, 0);
		mapper(d, round);
		meet(d, 0);
		judge(d, round);
	}
	pthread_join(other, NULL);
	sched_setaffinity(0, sizeof(before), &before);
	print_message("%u rounds: the writer found the mapper in %u, the mapper saw the labels in"
		      " %u, missed %u\n",
		      d->rounds, d->before, d->after, d->missed);
}

/* --- tests ----------------------------------------------------------------- */

static int set_up(void **state)
{
	struct duel *d = calloc(1, sizeof(*d));
	const struct kt_guest *g;
	const char *rounds = getenv("KT_RACE_ROUNDS");

	*state = d;
	d->random[1] = 88172645463325252ULL;
	d->m.w.objects_max = 1024;
	if (!world_open(&d->m.w, SERIES))
		return 0;
	g = &d->m.w.profile->guest;
	d->rounds = rounds ? strtoul(rounds, NULL, 0) : 20000;
	d->m.small = d->m.w.objects;
	for (uint32_t n = 0; n < FILES_MAX; n++)
		make_file(&d->m, n, SERIES);
	d->m.pipe_file = file_of(&d->m.w, SERIES, d->m.w.holder, "pipe_read");
	for (uint32_t n = 0; n < PEOPLE; n++) {
		struct person *p = &d->m.people[n];

		make_person(&d->m, n);
		/* More than one user: no pass alone is trusted. */
		set(&d->m.w, p->mm + g->mm_users, 2, 4);
		add_vma(&d->m, n, NULL, SHARED_RW);
		build_mm(&d->m, n);
		d->root[n] = peek(&d->m.w, p->mm + g->mm_mt + g->maple_root, 8);
		set(&d->m.w, p->mm + g->mm_mt + g->maple_root, 0, 8);
		add_vma(&d->m, n, NULL, SHARED_RW);
	}
	manage(&d->m.w, "processes", signal_of(&d->m.w, WRITER), 1);
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static struct duel *duel(void **state)
{
	struct duel *d = *state;

	if (!d->m.w.engine)
		skip();
	return d;
}

static void a_file_that_grows_while_it_is_mapped_reaches_the_mapper(void **state)
{
	struct duel *d = duel(state);

	fight(d);
	assert_int_equal(d->missed, 0);
	assert_int_equal(d->trouble, 0);
	assert_true(d->before > d->rounds / 100);
	assert_true(d->after > d->rounds / 100);
}

static void a_process_that_grows_while_it_maps_reaches_the_file(void **state)
{
	struct duel *d = duel(state);

	d->process_grows = true;
	fight(d);
	assert_int_equal(d->missed, 0);
	assert_int_equal(d->trouble, 0);
}

/* The mutation: these races do find a miss when there is one to find. */
static void without_the_walk_mappers_are_missed(void **state)
{
	struct duel *d = duel(state);
	uint32_t handler = KT_HOOK_SYSCALL + 2;

	assert_int_equal(bpf_map_delete_elem(engine_map_fd(d->m.w.engine, "handlers"), &handler),
			 0);
	d->rounds = 2000;
	fight(d);
	assert_true(d->missed > 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_that_grows_while_it_is_mapped_reaches_the_mapper),
		TEST(a_process_that_grows_while_it_maps_reaches_the_file),
		TEST(without_the_walk_mappers_are_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
