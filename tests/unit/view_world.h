/* SPDX-License-Identifier: GPL-2.0 */
/* The system-call view over a RAM image: processes of the tests' own that enter their kernel. */
#ifndef KVMTAINT_TESTS_VIEW_WORLD_H
#define KVMTAINT_TESTS_VIEW_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <cmocka.h>

#include "replay_world.h"

#define RECORDS_MAX  64
#define GETPID	     39
#define USER_DS	     0x2b
#define FRED_PADDING 16 /* TOP_OF_KERNEL_STACK_PADDING with CONFIG_X86_FRED */
#define BORN	     (1ULL << 60) /* start times of the tests' own processes */

struct view {
	struct world w;
	const char *series;
	bool there;
	uint32_t next; /* task of the pool */
	uint64_t files; /* the holder's table of open files */
	uint64_t user; /* a page of the bystander's stack, which all tasks have mapped */
	uint8_t *user_host;
	enum kt_entry entry;
	struct kt_record records[RECORDS_MAX];
	size_t count;
	uint32_t result; /* enum kt_lost of the last event */
};

/* --- the guest ------------------------------------------------------------- */

static inline uint8_t *physical(const struct view *v, uint64_t gpa)
{
	size_t count;

	return (uint8_t *)(uintptr_t)(guest_mem_slots(v->w.mem, &count)[0].hva + gpa);
}

/* Where this process has a guest user address of a process, made writable. */
static inline uint8_t *user_page(const struct view *v, uint64_t mm, uint64_t address)
{
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t entry = peek(&v->w, mm + g->mm_pgd, 8) - g->direct_map;
	uint8_t *page;

	for (int shift = 39; shift >= 12; shift -= 9) {
		memcpy(&entry,
		       physical(v, (entry & 0xffffffffff000ULL) + (address >> shift & 511) * 8), 8);
		assert_true(entry & 1);
	}
	page = physical(v, entry & 0xffffffffff000ULL);
	assert_int_equal(mprotect(page, 4096, PROT_READ | PROT_WRITE), 0);
	return page;
}

/* Changes the image (this process's private copy of it) at an address of the direct map. */
static inline void poke(const struct view *v, uint64_t gva, uint64_t value, size_t size)
{
	uint8_t *at = physical(v, gva - v->w.profile->guest.direct_map);

	assert_int_equal(mprotect((void *)((uintptr_t)at & ~4095UL), 8192, PROT_READ | PROT_WRITE),
			 0);
	memcpy(at, &value, size);
}

/* A process that nobody has seen: a child of init, with an address space of its own. */
static inline uint64_t newcomer(struct view *v)
{
	const struct kt_guest *g = &v->w.profile->guest;
	uint32_t n = v->next++;
	uint64_t at = task(&v->w, n), mm = copy_of(&v->w, peek(&v->w, at + g->task_mm, 8));

	set(&v->w, at + g->task_files, v->files, 8);
	set(&v->w, at + g->task_start_time, BORN + n, 8);
	set(&v->w, at + g->task_real_parent, find_task(&v->w, 1), 8);
	set(&v->w, at + g->task_mm, mm, 8);
	set(&v->w, signal_of(&v->w, n) + g->signal_live, 1, 4);
	set(&v->w, mm + g->mm_start_stack, 0x7ffc00000000 + n * 4096ULL, 8);
	set(&v->w, mm + g->mm_ctx_id, 1000000 + n, 8);
	return at;
}

static inline uint64_t descriptor(const struct view *v, const char *name)
{
	char key[64];

	snprintf(key, sizeof(key), "%s.fd", name);
	return image_number(v->series, key);
}

static inline uint64_t sock_of(const struct view *v, const char *name)
{
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t file = file_of(&v->w, v->series, v->w.holder, name);

	return peek(&v->w, peek(&v->w, file + g->file_private_data, 8) + g->socket_sk, 8);
}

static inline uint64_t pipe_of(const struct view *v)
{
	return peek(&v->w,
		    file_of(&v->w, v->series, v->w.holder, "pipe_write") +
			    v->w.profile->guest.file_private_data,
		    8);
}

/* --- system calls ----------------------------------------------------------- */

static inline int keep(void *ctx, const struct kt_record *record, size_t len)
{
	struct view *v = ctx;

	assert_true(v->count < RECORDS_MAX && len <= sizeof(*record));
	memset(&v->records[v->count], 0, sizeof(*record));
	memcpy(&v->records[v->count++], record, len);
	return 0;
}

/* A thread enters its kernel. Its records are v->records[0 .. v->count). */
static inline void enter(struct view *v, uint64_t current, uint64_t number, const uint64_t args[6])
{
	const struct kt_guest *g = &v->w.profile->guest;
	const uint64_t entries[] = {
		[KT_ENTRY_SYSCALL] = g->sym_entry_syscall,
		[KT_ENTRY_SYSCALL32] = g->sym_entry_syscall32,
		[KT_ENTRY_SYSENTER32] = g->sym_entry_sysenter32,
		[KT_ENTRY_INT80] = g->sym_entry_int80,
	};
	struct kt_deferred input = {
		.site = entries[v->entry],
		/* By which "current" is read from the task's group_leader: itself. */
		.percpu_base = current + g->task_group_leader - g->sym_current_task,
		.syscall = number,
	};

	memcpy(input.args, args, sizeof(input.args));
	for (int i = 0; i < 64; i++) {
		assert_int_equal(engine_replay(v->w.engine, &input, true), 0);
		if (input.result != KT_LOST_HOST_MEMORY)
			break;
		(void)*(volatile char *)(uintptr_t)input.fault;
	}
	v->result = input.result;
	v->count = 0;
	assert_true(engine_drain(v->w.engine, keep, v) >= 0);
}

#define CALL(v, current, number, ...)                                                              \
	do {                                                                                       \
		enter(v, current, number, (const uint64_t[6]){ __VA_ARGS__ });                     \
		assert_int_equal((v)->result, 0);                                                  \
	} while (0)

static inline uint64_t labels(const struct view *v, uint64_t current)
{
	uint64_t signal = peek(&v->w, current + v->w.profile->guest.task_signal, 8);

	return labels_of(&v->w, "processes", &signal);
}

/* A process that has read the secret. */
static inline uint64_t knower(struct view *v)
{
	uint64_t at = newcomer(v);

	CALL(v, at, SYS_read, descriptor(v, "secret"));
	assert_int_equal(labels(v, at), 1);
	return at;
}

static inline const struct kt_record *record_of(const struct view *v, uint32_t type)
{
	for (size_t i = 0; i < v->count; i++)
		if (v->records[i].type == type)
			return &v->records[i];
	return NULL;
}

/* --- fixture ----------------------------------------------------------------- */

static inline int set_up(void **state)
{
	struct view *v = calloc(1, sizeof(*v));
	const struct kt_guest *g;
	uint64_t regs, mm;

	v->series = *state;
	*state = v;
	v->w.trap = TRAP_SHIM;
	v->there = world_open(&v->w, v->series);
	if (!v->there)
		return 0;
	g = &v->w.profile->guest;
	v->files = peek(&v->w, v->w.holder + g->task_files, 8);
	regs = peek(&v->w, v->w.bystander + g->task_stack, 8) + g->kernel_stack_size -
	       g->pt_regs_size;
	/* pt_regs.ss; kernels that know FRED leave room above. */
	if (peek(&v->w, regs + 20 * 8, 8) != USER_DS)
		regs -= FRED_PADDING;
	v->user = peek(&v->w, regs + 19 * 8, 8) & ~4095ULL; /* pt_regs.sp */
	mm = peek(&v->w, v->w.bystander + g->task_mm, 8);
	v->user_host = user_page(v, mm, v->user);
	memset(v->user_host, 0, 4096);
	return 0;
}

static inline int tear_down(void **state)
{
	free(*state);
	return 0;
}

static inline struct view *view(void **state)
{
	struct view *v = *state;

	if (!v->there)
		skip();
	return v;
}

static inline void clear(const struct view *v, const char *name)
{
	int fd = engine_map_fd(v->w.engine, name);
	uint64_t key;

	while (!bpf_map_get_next_key(fd, NULL, &key))
		assert_int_equal(bpf_map_delete_elem(fd, &key), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
