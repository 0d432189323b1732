/* SPDX-License-Identifier: GPL-2.0 */
/*
 * RAM images for the tests of attach_scan(): private copies in this process,
 * read as a VM's memory is (process_vm_readv), so that tests can rewrite guests.
 */
#ifndef KVMTAINT_TESTS_ATTACH_WORLD_H
#define KVMTAINT_TESTS_ATTACH_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "guest_image.h"
#include "user/attach_scan.h"

#define CALLS_MAX 65536
#define UNDO_MAX  (1 << 18)
#define PAGE	  4096UL

struct call {
	uint64_t task, file;
	bool shared_writable;
};

struct undo {
	void *at;
	uint64_t value;
};

static struct world {
	const char *series;
	char *ram;
	size_t size;
	struct guest_mem *mem;
	struct guest_profile *profile;
	uint64_t holder, bystander, spinner; /* their task_struct */
	struct call calls[CALLS_MAX];
	size_t count;
	struct attach_scan_result result;
	struct undo undo[UNDO_MAX];
	size_t undo_count;
} worlds[IMAGE_COUNT];

/* --- the guest's memory --------------------------------------------------- */

static inline void *host(const struct world *w, uint64_t gva)
{
	gpa_t gpa;

	assert_int_equal(guest_translate(w->mem, &w->profile->guest, GVA(gva), &gpa), 0);
	assert_true(gpa.v + 8 <= w->size);
	return w->ram + gpa.v;
}

static inline uint64_t peek(const struct world *w, uint64_t gva, size_t size)
{
	uint64_t value = 0;

	assert_int_equal(guest_read(w->mem, &w->profile->guest, GVA(gva), &value, size), 0);
	return value;
}

/* Rewrites eight bytes of the guest until restore(). */
static inline void poke(struct world *w, uint64_t gva, uint64_t value)
{
	struct undo *undo = &w->undo[w->undo_count++];

	assert_true(w->undo_count < UNDO_MAX);
	undo->at = host(w, gva);
	memcpy(&undo->value, undo->at, sizeof(value));
	memcpy(undo->at, &value, sizeof(value));
}

static inline void restore(struct world *w)
{
	while (w->undo_count) {
		struct undo *undo = &w->undo[--w->undo_count];

		memcpy(undo->at, &undo->value, sizeof(undo->value));
	}
}

static inline uint64_t direct(const struct world *w, uint64_t gpa)
{
	return w->profile->guest.direct_map + gpa;
}

/* Guest address of pages that hold nothing. */
static inline uint64_t scratch(const struct world *w, size_t pages)
{
	static const char zeros[PAGE];
	size_t run = 0;

	for (uint64_t at = 0x1000000; at < w->size; at += PAGE) {
		run = memcmp(w->ram + at, zeros, PAGE) ? 0 : run + 1;
		if (run == pages)
			return direct(w, at - (pages - 1) * PAGE);
	}
	fail_msg("%s: no %zu empty pages", w->series, pages);
	return 0;
}

static inline uint64_t find_task(const struct world *w, uint32_t pid)
{
	const struct kt_guest *g = &w->profile->guest;
	uint64_t head = g->sym_init_task + g->task_tasks;

	for (uint64_t at = peek(w, head, 8); at != head; at = peek(w, at, 8))
		if (peek(w, at - g->task_tasks + g->task_pid, 4) == pid)
			return at - g->task_tasks;
	fail_msg("%s: no task %u", w->series, pid);
	return 0;
}

static inline uint64_t files_of(const struct world *w, uint64_t task)
{
	return peek(w, task + w->profile->guest.task_files, 8);
}

static inline uint64_t mm_of(const struct world *w, uint64_t task)
{
	return peek(w, task + w->profile->guest.task_mm, 8);
}

static inline uint64_t table_of(const struct world *w, uint64_t task)
{
	return peek(w, files_of(w, task) + w->profile->guest.files_fdt, 8);
}

static inline uint64_t file_of(const struct world *w, uint64_t task, uint64_t fd)
{
	return peek(w, peek(w, table_of(w, task) + w->profile->guest.fdt_fd, 8) + 8 * fd, 8);
}

static inline uint64_t inode_of(const struct world *w, uint64_t file)
{
	return peek(w, file + w->profile->guest.file_inode, 8);
}

/* Where the VMAs of a task begin, and the first of them or the root node behind it. */
static inline uint64_t vmas_at(const struct world *w, uint64_t task)
{
	const struct kt_guest *g = &w->profile->guest;

	return mm_of(w, task) + (g->mm_mt == KT_ABSENT ? g->mm_mmap : g->mm_mt + g->maple_root);
}

static inline bool has_tree(const struct world *w)
{
	return w->profile->guest.mm_mt != KT_ABSENT;
}

static inline uint64_t first_vmas(const struct world *w, uint64_t task)
{
	uint64_t value = peek(w, vmas_at(w, task), 8);

	return has_tree(w) ? value & ~255UL : value;
}

/*
 * The VMA of the holder's that maps file: of the list, or of any node below
 * this one that has it among its words (a handful of VMAs: two levels at most).
 */
static inline uint64_t vma_of_file(const struct world *w, uint64_t at, uint64_t file, bool deeper)
{
	const struct kt_guest *g = &w->profile->guest;
	uint64_t mm = mm_of(w, w->holder), found = 0, value;

	for (; !has_tree(w) && at; at = peek(w, at + g->vma_next, 8))
		if (peek(w, at + g->vma_file, 8) == file)
			return at;
	for (int i = 1; has_tree(w) && i < 32 && !found; i++) {
		uint64_t entry = peek(w, at + 8 * i, 8);

		if ((int64_t)entry >= 0 || guest_read(w->mem, g, GVA(entry & ~255UL), &value, 8))
			continue;
		if (!(entry & 7) && peek(w, entry + g->vma_mm, 8) == mm &&
		    peek(w, entry + g->vma_file, 8) == file)
			found = entry;
		else if ((entry & 7) == 4 && deeper && (peek(w, entry & ~255UL, 8) & ~255UL) == at)
			found = vma_of_file(w, entry & ~255UL, file, false);
	}
	return found;
}

/* --- scans ---------------------------------------------------------------- */

static inline int note(void *ctx, gva_t task, gva_t file, bool shared_writable)
{
	struct world *w = ctx;

	if (w->count < CALLS_MAX)
		w->calls[w->count] = (struct call){ task.v, file.v, shared_writable };
	w->count++;
	return 0;
}

static inline double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static inline double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static inline double scan(struct world *w)
{
	double start = now();

	w->count = 0;
	assert_int_equal(attach_scan(w->mem, w->profile, note, w, &w->result), 0);
	assert_int_equal(w->count, w->result.reported);
	return now() - start;
}

static inline size_t calls_with(const struct world *w, uint64_t task, uint64_t file,
				bool shared_writable)
{
	size_t found = 0;

	for (size_t i = 0; i < w->count && i < CALLS_MAX; i++)
		found += w->calls[i].task == task && w->calls[i].file == file &&
			 w->calls[i].shared_writable == shared_writable;
	return found;
}

static inline size_t calls_of_file(const struct world *w, uint64_t file)
{
	return calls_with(w, w->holder, file, false) + calls_with(w, w->holder, file, true) +
	       calls_with(w, w->bystander, file, false) + calls_with(w, w->bystander, file, true) +
	       calls_with(w, w->spinner, file, false) + calls_with(w, w->spinner, file, true);
}

static inline bool open_world(struct world *w, const char *series)
{
	struct kt_slot slot = { 0 };
	struct guest_mem *image;
	int fd = open(image_path(series, "ram.raw"), O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return false;
	assert_int_equal(fstat(fd, &st), 0);
	w->series = series;
	w->size = st.st_size;
	w->ram = mmap(NULL, w->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	assert_ptr_not_equal(w->ram, MAP_FAILED);
	slot.npages = w->size / PAGE;
	slot.hva = (uintptr_t)w->ram;
	assert_int_equal(guest_mem_open_vm(getpid(), &slot, 1, &w->mem), 0);
	/* Not through w->mem: pages that this process never touched count as never written. */
	assert_int_equal(guest_mem_open_image(image_path(series, "ram.raw"), &image), 0);
	assert_int_equal(guest_profile_build(image, &w->profile), 0);
	guest_mem_close(image);
	w->holder = find_task(w, image_number(series, "holder.pid"));
	w->bystander = find_task(w, image_number(series, "bystander.pid"));
	w->spinner = find_task(w, image_number(series, "spinner.pid"));
	return true;
}

/* The world behind state, or a skipped test. */
static inline struct world *world(void **state)
{
	struct world *w = *state;

	if (!w->mem)
		skip();
	return w;
}

static inline int setup(void **state)
{
	for (size_t i = 0; i < IMAGE_COUNT; i++)
		open_world(&worlds[i], image_series[i]);
	return 0;
}

static inline int teardown(void **state)
{
	for (size_t i = 0; i < IMAGE_COUNT; i++) {
		if (!worlds[i].mem)
			continue;
		guest_profile_free(worlds[i].profile);
		guest_mem_close(worlds[i].mem);
		munmap(worlds[i].ram, worlds[i].size);
	}
	return 0;
}

static inline int undo(void **state)
{
	restore(*state);
	return 0;
}

#define EACH(test)                                                                                 \
	cmocka_unit_test_prestate_setup_teardown(test, NULL, undo, &worlds[0]),                    \
		cmocka_unit_test_prestate_setup_teardown(test, NULL, undo, &worlds[1]),            \
		cmocka_unit_test_prestate_setup_teardown(test, NULL, undo, &worlds[2]),            \
		cmocka_unit_test_prestate_setup_teardown(test, NULL, undo, &worlds[3]),            \
		cmocka_unit_test_prestate_setup_teardown(test, NULL, undo, &worlds[4])

#endif
