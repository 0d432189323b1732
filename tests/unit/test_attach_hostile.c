// SPDX-License-Identifier: GPL-2.0
/* That no guest memory can hang or crash a scan, nor pass for whole what is torn. */
#include <pthread.h>
#include <stdatomic.h>

#include "attach_world.h"
#include "user/attach_scan_internal.h"

#define TARGETS_MAX 4096
#define SECONDS_MAX 60 /* of a hostile scan; a slow machine under load takes 20 */

/* --- a guest that lies ---------------------------------------------------- */

static void task_list_cycle(struct world *w)
{
	uint64_t at = w->bystander + w->profile->guest.task_tasks;

	poke(w, at, at);
	poke(w, at + 8, at);
}

static void task_list_long_cycle(struct world *w)
{
	const struct kt_guest *g = &w->profile->guest;
	uint64_t back = g->sym_init_task + g->task_tasks;

	for (int i = 0; i < 5; i++)
		back = peek(w, back, 8);
	poke(w, w->bystander + g->task_tasks, back);
}

static void task_list_wild(struct world *w)
{
	poke(w, w->bystander + w->profile->guest.task_tasks, 0xffffdeadbeef0000);
}

static void task_list_in_user_space(struct world *w)
{
	poke(w, w->bystander + w->profile->guest.task_tasks, 0x7fff00001000);
}

static void task_list_at_the_end_of_addresses(struct world *w)
{
	poke(w, w->bystander + w->profile->guest.task_tasks, UINT64_MAX);
}

static void thread_list_cycle(struct world *w)
{
	const struct kt_guest *g = &w->profile->guest;

	poke(w, w->holder + g->task_thread_node, w->holder + g->task_thread_node);
}

static void signal_wild(struct world *w)
{
	poke(w, w->holder + w->profile->guest.task_signal, 0xffffffffffffff80);
}

static void table_huge(struct world *w)
{
	uint64_t at = table_of(w, w->holder) + w->profile->guest.fdt_max_fds;

	poke(w, at, peek(w, at, 8) | 0xffffffff);
}

static void table_over_all_memory(struct world *w)
{
	table_huge(w);
	poke(w, table_of(w, w->holder) + w->profile->guest.fdt_fd, direct(w, 0x1000003));
}

static void table_wild(struct world *w)
{
	poke(w, table_of(w, w->holder) + w->profile->guest.fdt_fd, 0xfffffffffffffff8);
}

static void file_wild(struct world *w)
{
	uint64_t array = peek(w, table_of(w, w->holder) + w->profile->guest.fdt_fd, 8);

	poke(w, array + 8, 0xdead000000000100);
}

static void mm_wild(struct world *w)
{
	poke(w, w->holder + w->profile->guest.task_mm, 0xffffffffffffffff);
}

static void vmas_of_another(struct world *w)
{
	poke(w, vmas_at(w, w->holder), peek(w, vmas_at(w, w->bystander), 8));
}

static void vmas_wild(struct world *w)
{
	poke(w, vmas_at(w, w->holder), 0xffffdeadbeef0002);
}

/* The first VMA follows itself; the first slots of the root node are the root again. */
static void vmas_cycle(struct world *w)
{
	uint64_t first = first_vmas(w, w->holder), root = peek(w, vmas_at(w, w->holder), 8);

	if (!has_tree(w)) {
		poke(w, first + w->profile->guest.vma_next, first);
		return;
	}
	/* Type arange_64, whatever the root was: pivots ascend, slots lead back. */
	poke(w, vmas_at(w, w->holder), (root & ~0x78UL) | 3 << 3);
	for (int i = 0; i < 9; i++)
		poke(w, first + w->profile->guest.maple_arange_pivot + 8 * i, 0x1000 * (i + 1));
	for (int i = 0; i < 10; i++)
		poke(w, first + w->profile->guest.maple_arange_slot + 8 * i, first | 3 << 3 | 4);
}

/* 40 levels, each of whose 16 slots are the same node of the next: 16^40 paths. */
static void maple_bomb(struct world *w)
{
	const struct kt_guest *g = &w->profile->guest;
	uint64_t base = scratch(w, 3);

	if (!has_tree(w)) {
		vmas_cycle(w);
		return;
	}
	for (int level = 0; level < 40; level++) {
		uint64_t node = base + 256 * level;

		poke(w, node + g->maple_parent, level ? node - 256 : mm_of(w, w->holder) | 1);
		for (int i = 0; i < 15; i++)
			poke(w, node + g->maple_range_pivot + 8 * i, UINT64_MAX - 16 + i);
		for (int i = 0; i < 16; i++)
			poke(w, node + g->maple_range_slot + 8 * i, (node + 256) | 2 << 3 | 4);
	}
	poke(w, vmas_at(w, w->holder), base | 2 << 3 | 2);
}

/* A freed task that was used again leads past its old neighbours. */
static void task_list_past_one(struct world *w)
{
	uint64_t at = w->holder + w->profile->guest.task_tasks;

	poke(w, at, peek(w, peek(w, at, 8), 8));
}

static void thread_of_another(struct world *w)
{
	const struct kt_guest *g = &w->profile->guest;
	uint64_t head = peek(w, w->holder + g->task_signal, 8) + g->signal_thread_head;
	uint64_t in = w->bystander + g->task_thread_node, last = peek(w, head + 8, 8);

	poke(w, last, in);
	poke(w, in, head);
	poke(w, in + 8, last);
	poke(w, head + 8, in);
}

static void table_a_little_too_long(struct world *w)
{
	uint64_t at = table_of(w, w->holder) + w->profile->guest.fdt_max_fds;

	poke(w, at, (peek(w, at, 8) & ~0xffffffffUL) | ((1 << 20) + 64));
	poke(w, table_of(w, w->holder) + w->profile->guest.fdt_fd, scratch(w, 2050));
}

static uint64_t secret_vma(struct world *w)
{
	uint64_t file = file_of(w, w->holder, image_number(w->series, "secret.fd"));

	return vma_of_file(w, first_vmas(w, w->holder), file, true);
}

static void vma_of_another(struct world *w)
{
	poke(w, secret_vma(w) + w->profile->guest.vma_mm, mm_of(w, w->bystander));
}

/* A maple node that was taken out of its tree points to itself. */
static void vmas_dead(struct world *w)
{
	const struct kt_guest *g = &w->profile->guest;
	uint64_t first = first_vmas(w, w->holder);

	poke(w, first + (has_tree(w) ? g->maple_parent : g->vma_prev), first);
}

static void map_count_off(struct world *w)
{
	uint64_t at = mm_of(w, w->holder) + w->profile->guest.mm_map_count;

	poke(w, at, peek(w, at, 8) + 1);
}

static const struct lie {
	const char *name;
	void (*tell)(struct world *w);
	bool hides_bystander; /* whose task it is about */
} lies[] = {
	{ "task list: a task that follows itself", task_list_cycle, true },
	{ "task list: back to the fifth task", task_list_long_cycle, false },
	{ "task list: a task left out", task_list_past_one, false },
	{ "task list: unmapped", task_list_wild, false },
	{ "task list: user space", task_list_in_user_space, false },
	{ "task list: the last address", task_list_at_the_end_of_addresses, false },
	{ "thread list: a thread that follows itself", thread_list_cycle, false },
	{ "thread list: a thread of another process", thread_of_another, false },
	{ "signal_struct unmapped", signal_wild, false },
	{ "2^32 - 1 descriptors", table_huge, false },
	{ "2^32 - 1 descriptors all over RAM", table_over_all_memory, false },
	{ "2^20 + 64 descriptors", table_a_little_too_long, false },
	{ "descriptor array at the end of addresses", table_wild, false },
	{ "a descriptor that is no address", file_wild, false },
	{ "mm_struct at the last address", mm_wild, false },
	{ "VMAs of another process", vmas_of_another, false },
	{ "one VMA of another process", vma_of_another, false },
	{ "VMAs unmapped", vmas_wild, false },
	{ "VMAs in a circle", vmas_cycle, false },
	{ "VMAs in an exploding tree", maple_bomb, false },
	{ "VMAs that are no longer in use", vmas_dead, false },
	{ "one VMA more than there is", map_count_off, false },
};

static size_t calls_with_any(const struct world *w, uint64_t task, uint64_t file)
{
	return calls_with(w, task, file, false) + calls_with(w, task, file, true);
}

static size_t calls_of_task(const struct world *w, uint64_t task)
{
	size_t found = 0;

	for (size_t i = 0; i < w->count && i < CALLS_MAX; i++)
		found += w->calls[i].task == task;
	return found;
}

static void every_lie_is_counted_and_hides_nothing_else(void **state)
{
	struct world *w = world(state);
	uint64_t secret = file_of(w, w->holder, image_number(w->series, "secret.fd"));
	uint64_t plain = file_of(w, w->bystander, image_number(w->series, "plain.fd"));

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const char *name = lies[i].name;
		double seconds;

		lies[i].tell(w);
		seconds = scan(w);
		restore(w);
		if (!w->result.incomplete)
			fail_msg("%s: %s: counted as complete", w->series, name);
		if (seconds > SECONDS_MAX)
			fail_msg("%s: %s: %.1f s", w->series, name, seconds);
		if (!calls_with_any(w, w->holder, secret))
			fail_msg("%s: %s: hides the secret", w->series, name);
		if (!calls_with_any(w, w->bystander, plain) && !lies[i].hides_bystander)
			fail_msg("%s: %s: hides the bystander", w->series, name);
		if (!calls_of_task(w, w->spinner))
			fail_msg("%s: %s: hides the last process", w->series, name);
	}
	scan(w);
	assert_int_equal(w->result.incomplete, 0);
}

static void a_thread_of_another_process_lends_its_files_to_nobody(void **state)
{
	struct world *w = world(state);
	uint64_t plain = file_of(w, w->bystander, image_number(w->series, "plain.fd"));

	thread_of_another(w);
	scan(w);
	assert_int_equal(calls_with_any(w, w->holder, plain), 0);
	assert_int_equal(calls_with_any(w, w->bystander, plain), 1);
}

/* CPU time of a set of as many files as a process may well have open, so far from each other. */
static double seconds_of_a_set(uint64_t stride)
{
	enum { FILES = 1 << 17 };
	struct pair_set set = { 0 };
	double from = cpu_seconds();

	for (uint64_t i = 1; i <= FILES; i++) {
		assert_false(pair_set_has(&set, i * stride, 0));
		assert_int_equal(pair_set_add(&set, i * stride, 0), 1);
	}
	for (uint64_t i = 1; i <= FILES; i++)
		assert_int_equal(pair_set_add(&set, i * stride, 0), 0);
	assert_int_equal(set.count, FILES);
	pair_set_clear(&set);
	return cpu_seconds() - from;
}

/* A guest may put its files where it likes. */
static void no_distance_of_addresses_makes_a_set_slow(void **state)
{
	/* The last one times 0x9e3779b97f4a7c15, which many a hash multiplies by, is 1. */
	const uint64_t strides[] = { 1,		 64,	     256,	 4096,
				     1ULL << 21, 1ULL << 32, 1ULL << 46, 0xf1de83e19937733dULL };

	for (size_t i = 0; i < sizeof(strides) / sizeof(strides[0]); i++) {
		double seconds = seconds_of_a_set(strides[i]);

		if (seconds > 1)
			fail_msg("%#lx: %.1f s", strides[i], seconds);
	}
}

/* --- a guest that changes under the scan ----------------------------------- */

struct storm {
	struct world *w;
	uint64_t *targets[TARGETS_MAX], values[TARGETS_MAX], wild[8];
	size_t count;
	atomic_bool over;
	unsigned int seed;
};

static void aim(struct storm *s, uint64_t gva, size_t words)
{
	for (size_t i = 0; i < words && s->count < TARGETS_MAX; i++) {
		s->targets[s->count] = host(s->w, gva + 8 * i);
		s->values[s->count] = *s->targets[s->count];
		s->count++;
	}
}

static void aim_at_task(struct storm *s, uint64_t task)
{
	const struct kt_guest *g = &s->w->profile->guest;

	aim(s, task + g->task_tasks, 2);
	aim(s, task + g->task_thread_node, 2);
	aim(s, task + g->task_signal, 1);
	aim(s, task + g->task_mm, 1);
	aim(s, task + g->task_files, 1);
	aim(s, files_of(s->w, task) + g->files_fdt, 1);
	aim(s, table_of(s->w, task), 2);
	aim(s, peek(s->w, table_of(s->w, task) + g->fdt_fd, 8), 32);
	aim(s, vmas_at(s->w, task), 1);
	aim(s, first_vmas(s->w, task), has_tree(s->w) ? 32 : 16);
}

static uint64_t junk(struct storm *s)
{
	unsigned int kind = rand_r(&s->seed) % 12;
	uint64_t value = s->values[rand_r(&s->seed) % s->count];

	if (kind < 6)
		return value;
	if (kind < 8)
		return value ^ 1UL << rand_r(&s->seed) % 64;
	if (kind < 10)
		return s->wild[rand_r(&s->seed) % 8];
	return (uint64_t)rand_r(&s->seed) << 32 | (unsigned int)rand_r(&s->seed);
}

static void *rage(void *arg)
{
	struct storm *s = arg;

	while (!s->over) {
		size_t i = rand_r(&s->seed) % s->count;

		*(volatile uint64_t *)s->targets[i] = junk(s);
		usleep(20);
		if (rand_r(&s->seed) % 4)
			*(volatile uint64_t *)s->targets[i] = s->values[i];
	}
	return NULL;
}

static void start_storm(struct storm *s, struct world *w)
{
	s->w = w;
	s->seed = 1;
	aim_at_task(s, w->holder);
	aim_at_task(s, w->bystander);
	aim_at_task(s, w->spinner);
	s->wild[1] = UINT64_MAX;
	s->wild[2] = w->holder;
	s->wild[3] = direct(w, w->size);
	s->wild[4] = direct(w, w->size - 8);
	s->wild[5] = w->profile->guest.sym_init_task;
	s->wild[6] = w->profile->guest.text_gva + w->profile->guest.image_size - 8;
	s->wild[7] = 0x8000000000000000;
}

static void calm(struct storm *s)
{
	for (size_t i = 0; i < s->count; i++)
		*s->targets[i] = s->values[i];
}

static void random_memory_never_hangs_or_crashes_it(void **state)
{
	struct world *w = world(state);
	static struct storm s;
	double worst = 0;

	memset(&s, 0, sizeof(s));
	start_storm(&s, w);
	for (int round = 0; round < 100; round++) {
		double seconds;

		for (int i = 0; i <= round % 8; i++)
			*s.targets[rand_r(&s.seed) % s.count] = junk(&s);
		seconds = scan(w);
		calm(&s);
		worst = seconds > worst ? seconds : worst;
	}
	assert_true(worst < SECONDS_MAX);
	scan(w);
	assert_int_equal(w->result.incomplete, 0);
}

static void memory_that_changes_never_hangs_or_crashes_it(void **state)
{
	struct world *w = world(state);
	static struct storm s;
	double worst = 0;
	pthread_t thread;

	memset(&s, 0, sizeof(s));
	start_storm(&s, w);
	assert_int_equal(pthread_create(&thread, NULL, rage, &s), 0);
	for (int round = 0; round < 50; round++) {
		double seconds = scan(w);

		worst = seconds > worst ? seconds : worst;
	}
	s.over = true;
	pthread_join(thread, NULL);
	calm(&s);
	assert_true(worst < SECONDS_MAX);
	scan(w);
	assert_int_equal(w->result.incomplete, 0);
}

/*
 * A consistent list of 16384 tasks, each with 2^20 descriptors that are all over
 * RAM: only the budget of reads ends this.
 */
static void a_guest_made_to_be_endless_ends(void **state)
{
	struct world *w = world(state);
	const struct kt_guest *g = &w->profile->guest;
	uint64_t base = 0x4000000, stride = 3 * PAGE, last = 0;
	uint64_t head = g->sym_init_task + g->task_tasks, files = direct(w, base);
	double seconds;

	poke(w, files + g->files_fdt, files + 1024);
	poke(w, files + 1024 + g->fdt_max_fds, 1 << 20);
	poke(w, files + 1024 + g->fdt_fd, direct(w, 0x2000000));
	last = head;
	for (uint64_t i = 0, task = base + PAGE; i < 16384 && task + stride < w->size;
	     i++, task += stride) {
		uint64_t at = direct(w, task);

		poke(w, at + g->task_files, files);
		poke(w, at + g->task_flags, 0);
		poke(w, at + g->task_mm, 0);
		poke(w, last, at + g->task_tasks);
		poke(w, at + g->task_tasks + 8, last);
		last = at + g->task_tasks;
	}
	poke(w, last, head);
	poke(w, head + 8, last);
	seconds = scan(w);
	print_message("%s: endless guest: %lu reads, %.1f s\n", w->series, w->result.reads,
		      seconds);
	assert_true(w->result.incomplete > 0);
	assert_true(seconds < SECONDS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_distance_of_addresses_makes_a_set_slow),
		EACH(every_lie_is_counted_and_hides_nothing_else),
		EACH(a_thread_of_another_process_lends_its_files_to_nobody),
		EACH(random_memory_never_hangs_or_crashes_it),
		EACH(memory_that_changes_never_hangs_or_crashes_it),
		cmocka_unit_test_prestate_setup_teardown(a_guest_made_to_be_endless_ends, NULL,
							 undo, &worlds[2]),
	};

	_Static_assert(IMAGE_COUNT == 5, "EACH");
	return cmocka_run_group_tests(tests, setup, teardown);
}
