// SPDX-License-Identifier: GPL-2.0
/* Guest memory through memslots (of this very process) and through an image. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/guest_mem.h"

#define PAGE 4096UL

/* Two slots with a hole between them, and a third right behind the second. */
struct fixture {
	uint8_t *ram;
	struct guest_mem *mem;
};

static int set_up(void **state)
{
	static struct fixture fixture;
	struct kt_slot slots[3] = { { 0, 4, 0, 0 }, { 8, 4, 0, 0 }, { 12, 4, 0, 0 } };

	fixture.ram =
		mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(fixture.ram, MAP_FAILED);
	slots[0].hva = (uintptr_t)fixture.ram;
	slots[1].hva = (uintptr_t)fixture.ram + 32 * PAGE;
	slots[2].hva = (uintptr_t)fixture.ram + 16 * PAGE;
	assert_int_equal(guest_mem_open_vm(getpid(), slots, 3, &fixture.mem), 0);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	guest_mem_close(fixture->mem);
	munmap(fixture->ram, 64 * PAGE);
	return 0;
}

static void test_slots_bound_reads(void **state)
{
	struct fixture *fixture = *state;
	char buf[32];

	assert_int_equal(guest_mem_end(fixture->mem), 16 * PAGE);
	assert_int_equal(guest_mem_read(fixture->mem, GPA(4 * PAGE - 16), buf, 16), 0);
	assert_int_equal(guest_mem_read(fixture->mem, GPA(4 * PAGE - 16), buf, 17), -EFAULT);
	assert_int_equal(guest_mem_read(fixture->mem, GPA(6 * PAGE), buf, 1), -EFAULT);
	assert_int_equal(guest_mem_read(fixture->mem, GPA(16 * PAGE), buf, 1), -EFAULT);
	assert_int_equal(guest_mem_read(fixture->mem, GPA(UINT64_MAX - 8), buf, 32), -EFAULT);
}

static void test_across_slots(void **state)
{
	struct fixture *fixture = *state;
	char buf[8] = "";

	assert_int_equal(guest_mem_write(fixture->mem, GPA(12 * PAGE - 4), "abcdefg", 8), 0);
	assert_memory_equal(fixture->ram + 36 * PAGE - 4, "abcd", 4);
	assert_memory_equal(fixture->ram + 16 * PAGE, "efg", 4);
	assert_int_equal(guest_mem_read(fixture->mem, GPA(12 * PAGE - 4), buf, 8), 0);
	assert_string_equal(buf, "abcdefg");
}

static bool touched(const void *page)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	assert_int_equal(pread(fd, &entry, 8, (uintptr_t)page / PAGE * 8), 8);
	close(fd);
	return entry >> 62;
}

static void test_heads_leave_untouched(void **state)
{
	struct fixture *fixture = *state;
	char heads[16 * 4];

	memcpy(fixture->ram + 33 * PAGE, "head", 4);
	guest_mem_read_heads(fixture->mem, 0, 16, heads, 4);
	assert_memory_equal(heads + 9 * 4, "head", 4);
	for (int i = 0; i < 16 * 4; i++)
		assert_true(heads[i] == 0 || i / 4 == 9);
	assert_false(touched(fixture->ram + 34 * PAGE));
	assert_false(touched(fixture->ram));
}

/* A page that the VMM cannot read itself does not hide those behind it. */
static void test_heads_step_over_holes(void **state)
{
	struct fixture *fixture = *state;
	char heads[4 * 4];

	for (int i = 0; i < 4; i++)
		memcpy(fixture->ram + i * PAGE, "head", 4);
	assert_int_equal(mprotect(fixture->ram + PAGE, PAGE, PROT_NONE), 0);
	guest_mem_read_heads(fixture->mem, 0, 4, heads, 4);
	assert_memory_equal(heads, "head\0\0\0\0headhead", 16);
	assert_int_equal(guest_mem_read(fixture->mem, GPA(PAGE), heads, 4), -EFAULT);
}

static void test_update(void **state)
{
	struct fixture *fixture = *state;
	struct kt_slot slots[2] = { { 0, 4, 0, 0 }, { 4, 1, 0, 0 } };
	uint8_t byte = 1;

	slots[0].hva = slots[1].hva = (uintptr_t)fixture->ram;
	fixture->ram[0] = 7;
	assert_int_equal(guest_mem_update(fixture->mem, slots, 2), 0);
	assert_int_equal(guest_mem_read(fixture->mem, GPA(4 * PAGE), &byte, 1), 0);
	assert_int_equal(byte, 7);
	assert_int_equal(guest_mem_read(fixture->mem, GPA(8 * PAGE), &byte, 1), -EFAULT);
	slots[1].gfn = 3;
	assert_int_equal(guest_mem_update(fixture->mem, slots, 2), -EINVAL);
	assert_int_equal(guest_mem_read(fixture->mem, GPA(4 * PAGE), &byte, 1), 0);
}

static void test_bad_slots(void **state)
{
	struct kt_slot slots[2] = { { 0, 4, 0, 4096 }, { 3, 4, 0, 65536 } };
	struct guest_mem *mem = NULL;

	assert_int_equal(guest_mem_open_vm(getpid(), slots, 2, &mem), -EINVAL);
	slots[1].gfn = UINT64_MAX - 1;
	assert_int_equal(guest_mem_open_vm(getpid(), slots, 2, &mem), -EINVAL);
	slots[1] = (struct kt_slot){ UINT64_MAX - 1, UINT32_MAX, 0, 65536 };
	assert_int_equal(guest_mem_open_vm(getpid(), slots, 2, &mem), -EINVAL);
	assert_null(mem);
}

static void test_image(void **state)
{
	char path[] = "/tmp/kvmtaint-image.XXXXXX", buf[8] = "";
	int fd = mkstemp(path);
	struct guest_mem *mem;

	assert_int_equal(ftruncate(fd, 8 * PAGE), 0);
	assert_int_equal(pwrite(fd, "image", 6, 5 * PAGE), 6);
	close(fd);
	assert_int_equal(guest_mem_open_image(path, &mem), 0);
	unlink(path);
	assert_int_equal(guest_mem_end(mem), 8 * PAGE);
	assert_int_equal(guest_mem_read(mem, GPA(5 * PAGE), buf, 6), 0);
	assert_string_equal(buf, "image");
	assert_int_equal(guest_mem_read(mem, GPA(8 * PAGE - 1), buf, 2), -EFAULT);
	assert_int_equal(guest_mem_write(mem, GPA(0), "x", 1), -EROFS);
	guest_mem_close(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ "reads end where slots end", test_slots_bound_reads, set_up, tear_down, NULL },
		{ "reads and writes cross adjoining slots", test_across_slots, set_up, tear_down,
		  NULL },
		{ "a scan leaves untouched memory untouched", test_heads_leave_untouched, set_up,
		  tear_down, NULL },
		{ "a scan steps over unreadable pages", test_heads_step_over_holes, set_up,
		  tear_down, NULL },
		{ "other slots take the place of the first ones", test_update, set_up, tear_down,
		  NULL },
		{ "overlapping and overflowing slots are refused", test_bad_slots, NULL, NULL,
		  NULL },
		{ "an image reads like RAM and cannot be written", test_image, NULL, NULL, NULL },
	};

	return cmocka_run_group_tests_name("guest memory", tests, NULL, NULL);
}
