// SPDX-License-Identifier: GPL-2.0
/*
 * Planting and removing on a fake VMM: a child with threads that count, and a
 * private region that stands for guest RAM.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../user/standstill.h"
#include "../../user/trap.h"

#define RAM_SIZE    (1UL << 20)
#define SITES	    20
#define THREADS	    6
#define SITE_GPA(i) (0x1000UL * (i) + 4)
#define ROM_GPA	    (RAM_SIZE - 0x1000 + 4) /* a NOP that cannot be written */

/* Shared with the fake VMM. */
struct board {
	_Atomic uint64_t ticks[THREADS];
	_Atomic uint64_t storm; /* threads that came and went */
	_Atomic uint64_t signals;
	_Atomic int ready;
	char *ram;
};

struct fake {
	pid_t pid;
	struct board *board;
	struct guest_mem *mem;
	struct trap_set set;
};

static struct board *vmm_board; /* in the child alone */

static void *tick(void *arg)
{
	for (;;) {
		(*(_Atomic uint64_t *)arg)++;
		usleep(100);
	}
	return NULL;
}

static void *short_life(void *arg)
{
	vmm_board->storm++;
	return NULL;
}

static void *storm(void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (;;)
		if (pthread_create(&thread, &attr, short_life, NULL))
			usleep(1000);
	return NULL;
}

static void count_signal(int sig)
{
	vmm_board->signals++;
}

static void run_fake_vmm(struct board *board, int storms)
{
	pthread_t thread;
	int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	vmm_board = board;
	signal(SIGUSR1, count_signal);
	board->ram =
		mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(board->ram, 0xcc, RAM_SIZE);
	for (i = 0; i < SITES; i++)
		memcpy(board->ram + SITE_GPA(i), TRAP_NOP, TRAP_LEN);
	memcpy(board->ram + ROM_GPA, TRAP_NOP, TRAP_LEN);
	mprotect(board->ram + ROM_GPA - 4, 4096, PROT_READ);
	for (i = 0; i < THREADS; i++)
		pthread_create(&thread, NULL, tick, &board->ticks[i]);
	for (i = 0; i < storms; i++)
		pthread_create(&thread, NULL, storm, NULL);
	board->ready = 1;
	for (;;)
		pause();
}

static struct fake start_fake(int storms)
{
	struct fake f = {};
	struct kt_slot slot = { .gfn = 0, .npages = RAM_SIZE / 4096 };
	int i;

	f.board = mmap(NULL, sizeof(*f.board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	f.pid = fork();
	if (!f.pid)
		run_fake_vmm(f.board, storms);
	while (!f.board->ready)
		usleep(1000);
	slot.hva = (uintptr_t)f.board->ram;
	assert_int_equal(guest_mem_open_vm(f.pid, &slot, 1, &f.mem), 0);
	f.set = (struct trap_set){ .pid = f.pid, .mem = f.mem, .count = SITES };
	memcpy(f.set.nop, TRAP_NOP, TRAP_LEN);
	for (i = 0; i < SITES; i++) {
		snprintf(f.set.sites[i].name, sizeof(f.set.sites[i].name), "site_%d", i);
		f.set.sites[i].gpa = GPA(SITE_GPA(i));
	}
	return f;
}

static void stop_fake(struct fake *f)
{
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	guest_mem_close(f->mem);
	munmap(f->board, sizeof(*f->board));
}

static void assert_runs(struct fake *f)
{
	int i, wait;

	for (i = 0; i < THREADS; i++) {
		uint64_t before = f->board->ticks[i];

		for (wait = 0; wait < 2000 && f->board->ticks[i] == before; wait++)
			usleep(1000);
		assert_int_not_equal(f->board->ticks[i], before);
	}
}

static int sites_with(struct fake *f, const char *bytes)
{
	char now[TRAP_LEN];
	int i, n = 0;

	for (i = 0; i < SITES; i++) {
		assert_int_equal(guest_mem_read(f->mem, GPA(SITE_GPA(i)), now, TRAP_LEN), 0);
		n += !memcmp(now, bytes, TRAP_LEN);
	}
	return n;
}

/* All bytes but those of the sites are as they were made. */
static void assert_rest_untouched(struct fake *f)
{
	static unsigned char ram[RAM_SIZE];
	size_t i;

	assert_int_equal(guest_mem_read(f->mem, GPA(0), ram, RAM_SIZE), 0);
	for (i = 0; i < SITES; i++)
		memset(ram + SITE_GPA(i), 0xcc, TRAP_LEN);
	memset(ram + ROM_GPA, 0xcc, TRAP_LEN);
	for (i = 0; i < RAM_SIZE; i++)
		if (ram[i] != 0xcc)
			fail_msg("byte %zu is %02x", i, ram[i]);
}

static char process_state(pid_t pid)
{
	char path[64], line[256], state = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "State: %c", &state);
	if (f)
		fclose(f);
	return state;
}

static void plant_verify_remove(void **state)
{
	struct fake f = start_fake(0);
	uint64_t held = 0;
	char err[256] = "";
	size_t removed;

	assert_int_equal(trap_verify(&f.set), SITES);
	assert_int_equal(trap_plant(&f.set, &held, err, sizeof(err)), 0);
	assert_true(held > 0 && held < 1000000000);
	assert_int_equal(sites_with(&f, TRAP_INVD), SITES);
	assert_int_equal(trap_verify(&f.set), 0);
	assert_runs(&f);
	assert_rest_untouched(&f);
	assert_int_equal(trap_remove(&f.set, &removed, &held, err, sizeof(err)), 0);
	assert_int_equal(removed, SITES);
	assert_int_equal(sites_with(&f, TRAP_NOP), SITES);
	assert_runs(&f);
	assert_rest_untouched(&f);
	stop_fake(&f);
}

static void leftover_traps_are_taken_over(void **state)
{
	struct fake f = start_fake(0);
	char err[256];
	size_t removed;

	guest_mem_write(f.mem, GPA(SITE_GPA(3)), TRAP_INVD, TRAP_LEN);
	assert_int_equal(trap_plant(&f.set, NULL, err, sizeof(err)), 0);
	assert_int_equal(sites_with(&f, TRAP_INVD), SITES);
	assert_int_equal(trap_remove(&f.set, &removed, NULL, err, sizeof(err)), 0);
	assert_int_equal(removed, SITES);
	stop_fake(&f);
}

static void foreign_bytes_refuse_the_whole_plant(void **state)
{
	struct fake f = start_fake(0);
	char err[256] = "";

	guest_mem_write(f.mem, GPA(SITE_GPA(SITES - 1)), "\xe8\x01\x02\x03\x04", 5);
	assert_int_equal(trap_plant(&f.set, NULL, err, sizeof(err)), -EADDRINUSE);
	assert_non_null(strstr(err, "site_19"));
	assert_non_null(strstr(err, "e8 01 02 03 04"));
	assert_int_equal(sites_with(&f, TRAP_NOP), SITES - 1);
	assert_int_equal(sites_with(&f, "\xe8\x01\x02\x03\x04"), 1);
	assert_runs(&f);
	stop_fake(&f);
}

static void replant_takes_the_plain_nop_alone(void **state)
{
	struct fake f = start_fake(0);
	char err[256];
	size_t planted;

	assert_int_equal(trap_plant(&f.set, NULL, err, sizeof(err)), 0);
	guest_mem_write(f.mem, GPA(SITE_GPA(4)), TRAP_NOP, TRAP_LEN);
	guest_mem_write(f.mem, GPA(SITE_GPA(5)), "\xe8\x01\x02\x03\x04", 5);
	assert_int_equal(trap_verify(&f.set), 2);
	assert_true(trap_is_nop(&f.set, &f.set.sites[4]) && !trap_is_planted(&f.set.sites[4]));
	assert_true(!trap_is_nop(&f.set, &f.set.sites[5]) && !trap_is_planted(&f.set.sites[5]));
	assert_int_equal(trap_replant(&f.set, &planted, err, sizeof(err)), 0);
	assert_int_equal(planted, 1);
	assert_int_equal(sites_with(&f, TRAP_INVD), SITES - 1);
	assert_int_equal(sites_with(&f, "\xe8\x01\x02\x03\x04"), 1);
	assert_runs(&f);
	stop_fake(&f);
}

static void remove_leaves_foreign_bytes(void **state)
{
	struct fake f = start_fake(0);
	char err[256];
	size_t removed;

	assert_int_equal(trap_plant(&f.set, NULL, err, sizeof(err)), 0);
	guest_mem_write(f.mem, GPA(SITE_GPA(5)), "\xcc\x1f\x44\x00\x00", 5);
	assert_int_equal(trap_verify(&f.set), 1);
	assert_int_equal(trap_remove(&f.set, &removed, NULL, err, sizeof(err)), 0);
	assert_int_equal(removed, SITES - 1);
	assert_int_equal(sites_with(&f, TRAP_NOP), SITES - 1);
	assert_int_equal(sites_with(&f, "\xcc\x1f\x44\x00\x00"), 1);
	stop_fake(&f);
}

static void unwritable_site_puts_the_others_back(void **state)
{
	struct fake f = start_fake(0);
	char err[256] = "";

	f.set.sites[10].gpa = GPA(ROM_GPA);
	assert_true(trap_plant(&f.set, NULL, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "cannot write"));
	assert_non_null(strstr(err, "site_10"));
	assert_int_equal(sites_with(&f, TRAP_NOP), SITES);
	f.set.sites[10].gpa = GPA(RAM_SIZE + 4);
	assert_true(trap_plant(&f.set, NULL, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "cannot read"));
	assert_int_equal(sites_with(&f, TRAP_NOP), SITES);
	assert_runs(&f);
	stop_fake(&f);
}

static void threads_born_meanwhile_are_held_too(void **state)
{
	struct fake f = start_fake(2);
	char err[256] = "";
	int i;

	for (i = 0; i < 20; i++) {
		uint64_t before = f.board->storm;

		assert_int_equal(trap_plant(&f.set, NULL, err, sizeof(err)), 0);
		assert_int_equal(trap_remove(&f.set, NULL, NULL, err, sizeof(err)), 0);
		while (f.board->storm == before)
			usleep(100);
	}
	assert_runs(&f);
	assert_int_equal(sites_with(&f, TRAP_NOP), SITES);
	stop_fake(&f);
}

static int nothing_moves(void *ctx)
{
	struct fake *f = ctx;
	uint64_t sum[2] = {};
	int i, j;

	for (j = 0; j < 2; j++) {
		for (i = 0; i < THREADS; i++)
			sum[j] += f->board->ticks[i];
		sum[j] += f->board->storm;
		if (!j)
			usleep(20000);
	}
	return sum[0] == sum[1] ? 0 : -EPROTO;
}

static void nothing_runs_in_a_standstill(void **state)
{
	struct fake f = start_fake(2);
	char err[256] = "";
	uint64_t held;
	int i;

	for (i = 0; i < 5; i++) {
		assert_int_equal(standstill(f.pid, nothing_moves, &f, &held, err, sizeof(err)), 0);
		assert_true(held >= 20000000);
	}
	assert_runs(&f);
	stop_fake(&f);
}

static int die(void *ctx)
{
	kill(getpid(), SIGKILL);
	return 0;
}

static void killed_planter_leaves_the_vmm_running(void **state)
{
	struct fake f = start_fake(1);
	char err[256];
	int i, status;

	for (i = 0; i < 30; i++) {
		pid_t planter = fork();

		if (!planter) {
			if (i < 5)
				standstill(f.pid, die, NULL, NULL, err, sizeof(err));
			for (;;) {
				trap_plant(&f.set, NULL, err, sizeof(err));
				trap_remove(&f.set, NULL, NULL, err, sizeof(err));
			}
		}
		usleep(500 + (i * 1237) % 9000);
		kill(planter, SIGKILL);
		waitpid(planter, &status, 0);
		assert_runs(&f);
		assert_int_equal(sites_with(&f, TRAP_NOP) + sites_with(&f, TRAP_INVD), SITES);
	}
	assert_int_equal(trap_remove(&f.set, NULL, NULL, err, sizeof(err)), 0);
	assert_int_equal(sites_with(&f, TRAP_NOP), SITES);
	assert_rest_untouched(&f);
	stop_fake(&f);
}

static void stopped_vmm_stays_stopped(void **state)
{
	struct fake f = start_fake(0);
	char err[256] = "";

	kill(f.pid, SIGSTOP);
	while (process_state(f.pid) != 'T')
		usleep(1000);
	assert_int_equal(trap_plant(&f.set, NULL, err, sizeof(err)), 0);
	usleep(20000);
	assert_int_equal(process_state(f.pid), 'T');
	assert_int_equal(nothing_moves(&f), 0);
	assert_int_equal(sites_with(&f, TRAP_INVD), SITES);
	kill(f.pid, SIGCONT);
	assert_runs(&f);
	stop_fake(&f);
}

static void signals_to_the_vmm_are_not_lost(void **state)
{
	struct fake f = start_fake(0);
	char err[256];
	int i, n = 0;

	/* One at a time, so that none is merged with another. */
	for (i = 0; i < 200; i++) {
		uint64_t before = f.board->signals;
		int wait;

		kill(f.pid, SIGUSR1);
		assert_int_equal(trap_plant(&f.set, NULL, err, sizeof(err)), 0);
		for (wait = 0; wait < 2000 && f.board->signals == before; wait++)
			usleep(100);
		n += f.board->signals == before + 1;
	}
	assert_int_equal(n, 200);
	stop_fake(&f);
}

static void traced_vmm_is_refused(void **state)
{
	struct fake f = start_fake(0);
	char err[256] = "";
	int ready[2];
	pid_t tracer;
	char byte;

	assert_int_equal(pipe(ready), 0);
	tracer = fork();
	if (!tracer) {
		byte = ptrace(PTRACE_SEIZE, f.pid, 0, 0) ? 'n' : 'y';
		if (write(ready[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	assert_int_equal(trap_plant(&f.set, NULL, err, sizeof(err)), -EBUSY);
	assert_non_null(strstr(err, "traced by process"));
	assert_int_equal(sites_with(&f, TRAP_NOP), SITES);
	assert_runs(&f);
	kill(tracer, SIGKILL);
	waitpid(tracer, NULL, 0);
	assert_int_equal(trap_plant(&f.set, NULL, err, sizeof(err)), 0);
	stop_fake(&f);
}

static void dead_vmm(void **state)
{
	struct fake f = start_fake(0);
	char err[256] = "";

	kill(f.pid, SIGKILL);
	/* First as a zombie, then gone. */
	while (process_state(f.pid) != 'Z')
		usleep(1000);
	assert_int_equal(trap_plant(&f.set, NULL, err, sizeof(err)), -ESRCH);
	waitpid(f.pid, NULL, 0);
	assert_int_equal(trap_plant(&f.set, NULL, err, sizeof(err)), -ESRCH);
	assert_true(trap_verify(&f.set) < 0);
	guest_mem_close(f.mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plant_verify_remove),
		cmocka_unit_test(leftover_traps_are_taken_over),
		cmocka_unit_test(foreign_bytes_refuse_the_whole_plant),
		cmocka_unit_test(replant_takes_the_plain_nop_alone),
		cmocka_unit_test(remove_leaves_foreign_bytes),
		cmocka_unit_test(unwritable_site_puts_the_others_back),
		cmocka_unit_test(threads_born_meanwhile_are_held_too),
		cmocka_unit_test(nothing_runs_in_a_standstill),
		cmocka_unit_test(killed_planter_leaves_the_vmm_running),
		cmocka_unit_test(stopped_vmm_stays_stopped),
		cmocka_unit_test(signals_to_the_vmm_are_not_lost),
		cmocka_unit_test(traced_vmm_is_refused),
		cmocka_unit_test(dead_vmm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
