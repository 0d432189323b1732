// SPDX-License-Identifier: GPL-2.0
/*
 * The guest profile when guest memory lies: changed copies of real RAM images,
 * read as the memory of a running VMM (this process). $KT_FUZZ: rounds of random
 * damage for each image.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "guest_image.h"
#include "user/kallsyms_tables.h"
#include "user/profile.h"
#include "user/profile_print.h"
#include "user/vmcoreinfo.h"

#define PAGE	    4096UL
#define ROUNDS	    25
#define SECONDS_MAX 10.0 /* of one profile; real ones take 0.1 */
#define SPARE_GPA   0x10000UL /* low memory that the kernel keeps clear of */
#define REGIONS_MAX 48

/* Guest memory that one kind of damage goes to. */
struct region {
	uint64_t gpa;
	size_t len; /* bytes */
};

struct image {
	const char *series;
	bool opened;
	struct guest_mem *original, *mem;
	uint8_t *ram; /* behind mem; changes stay here */
	size_t size;
	struct guest_profile *profile; /* of the sound image */
	struct region regions[REGIONS_MAX];
	size_t region_count;
};

static uint64_t seed;

static uint64_t next_random(void) /* xorshift64* */
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545F4914F6CDD1DULL;
}

static void open_image(struct image *image)
{
	struct kt_slot slot = { 0 };
	const struct kt_slot *slots;
	volatile uint8_t *ram;
	size_t count;
	FILE *file;

	if (guest_mem_open_image(image_path(image->series, "ram.raw"), &image->original))
		return;
	slots = guest_mem_slots(image->original, &count);
	image->size = slots[0].npages * PAGE;
	file = fopen(image_path(image->series, "ram.raw"), "r");
	assert_non_null(file);
	image->ram = mmap(NULL, image->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fileno(file), 0);
	fclose(file);
	assert_ptr_not_equal(image->ram, MAP_FAILED);
	/*
	 * A VMM's RAM is in its page tables. What is only read of a file may be a large folio of
	 * the page cache: a write to any of it takes all of it out of them.
	 */
	ram = image->ram;
	for (size_t at = 0; at < image->size; at += PAGE)
		ram[at] = ram[at];
	slot.npages = slots[0].npages;
	slot.hva = (uintptr_t)image->ram;
	assert_int_equal(guest_mem_open_vm(getpid(), &slot, 1, &image->mem), 0);
	assert_int_equal(guest_profile_build(image->mem, &image->profile), 0);
}

static struct image *image_of(void **state)
{
	struct image *image = *state;

	if (!image->opened) {
		image->opened = true;
		open_image(image);
	}
	if (!image->mem)
		skip();
	return image;
}

static gpa_t physical(struct image *image, uint64_t gva)
{
	gpa_t gpa = { 0 };

	assert_int_equal(guest_translate(image->mem, &image->profile->guest, GVA(gva), &gpa), 0);
	return gpa;
}

static void put(struct image *image, uint64_t gpa, const void *bytes, size_t len)
{
	assert_true(gpa + len <= image->size);
	memcpy(image->ram + gpa, bytes, len);
}

static void restore(struct image *image, uint64_t gpa, size_t len)
{
	assert_int_equal(guest_mem_read(image->original, GPA(gpa), image->ram + gpa, len), 0);
}

/* Profiles the changed memory; the error must be one that profile.h names. */
static struct guest_profile *build(struct image *image, int *err)
{
	static const int known[] = { 0, -ENOENT, -ENODATA, -ENOSYS, -EBUSY, -EPERM, -EPROTO };
	struct guest_profile *profile = NULL;
	struct timespec from, to;
	bool ok = false;

	clock_gettime(CLOCK_MONOTONIC, &from);
	*err = guest_profile_build(image->mem, &profile);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_true(to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9 < SECONDS_MAX);
	assert_non_null(profile);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		ok |= *err == known[i];
	assert_true(ok);
	assert_true(profile->step_count > 0);
	assert_int_equal(profile->steps[profile->step_count - 1].ok, !*err);
	return profile;
}

static void expect(struct image *image, int wanted)
{
	int err;
	struct guest_profile *profile = build(image, &err);

	if (err != wanted)
		profile_print_text(profile, false, stderr);
	assert_int_equal(err, wanted);
	guest_profile_free(profile);
}

static void test_empty_ram(void **state)
{
	struct kt_slot slot = { .npages = 64 };
	struct image image = { 0 };
	void *ram = calloc(64, PAGE);

	slot.hva = (uintptr_t)ram;
	assert_int_equal(guest_mem_open_vm(getpid(), &slot, 1, &image.mem), 0);
	expect(&image, -ENOENT);
	guest_mem_close(image.mem);
	free(ram);
}

static void test_hook_in_use(void **state)
{
	static const struct {
		uint8_t bytes[5];
		int err;
	} cases[] = {
		{ { 0xe8, 0x00, 0x10, 0x00, 0x00 }, -EBUSY }, /* ftrace, into the image */
		{ { 0xe8, 0x00, 0x00, 0x00, 0x20 }, -EBUSY }, /* ftrace, to a trampoline */
		{ { 0xe9, 0x00, 0x00, 0x00, 0x20 }, -EBUSY }, /* kprobe, optimised */
		{ { 0xcc, 0x1f, 0x44, 0x00, 0x00 }, -EBUSY }, /* kprobe */
		{ { 0x55, 0x48, 0x89, 0xe5, 0x90 }, -ENOSYS }, /* no ftrace at all */
	};
	struct image *image = image_of(state);
	uint64_t site = image->profile->hooks[KT_HOOK_socket_sendmsg].site_gpa.v;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put(image, site, cases[i].bytes, 5);
		expect(image, cases[i].err);
	}
	restore(image, site, 5);
	expect(image, 0);
}

static void test_alternate_hook(void **state)
{
	static const uint8_t call[5] = { 0xe8, 0x00, 0x00, 0x00, 0x20 };
	struct image *image = image_of(state);
	const struct profile_hook *first = &image->profile->hooks[KT_HOOK_task_exit];
	struct guest_profile *profile;
	int err;

	put(image, first->site_gpa.v, call, 5);
	profile = build(image, &err);
	restore(image, first->site_gpa.v, 5);
	assert_int_equal(err, 0);
	assert_int_equal(profile->hooks[KT_HOOK_task_exit].alternative, first->alternative + 1);
	assert_int_not_equal(profile->hooks[KT_HOOK_task_exit].site.v, first->site.v);
	guest_profile_free(profile);
}

static void test_trap_of_a_killed_run(void **state)
{
	static const uint8_t trap[5] = { 0x2e, 0x2e, 0x2e, 0x0f, 0x08 };
	struct image *image = image_of(state);
	struct guest_profile *profile;
	int err;

	for (size_t i = 0; i < KT_HOOK_MAX; i++)
		if (image->profile->hooks[i].function.v)
			put(image, image->profile->hooks[i].site_gpa.v, trap, 5);
	profile = build(image, &err);
	for (size_t i = 0; i < KT_HOOK_MAX; i++)
		if (image->profile->hooks[i].function.v)
			restore(image, image->profile->hooks[i].site_gpa.v, 5);
	assert_int_equal(err, 0);
	assert_memory_equal(profile->nop, image->profile->nop, sizeof(profile->nop));
	for (size_t i = 0; i < KT_HOOK_MAX; i++)
		assert_int_equal(profile->hooks[i].is_trap, profile->hooks[i].function.v != 0);
	guest_profile_free(profile);
}

/* Puts a module called name into the guest's list; its successor is at next. */
static void add_module(struct image *image, const char *name, uint64_t next)
{
	const struct kt_guest *guest = &image->profile->guest;
	uint64_t list = guest->direct_map + SPARE_GPA + guest->module_list;

	put(image, physical(image, guest->sym_modules).v, &list, 8);
	put(image, SPARE_GPA + guest->module_list, &next, 8);
	put(image, SPARE_GPA + guest->module_name, name, strlen(name) + 1);
}

static void test_lkrg(void **state)
{
	struct image *image = image_of(state);
	const struct kt_guest *guest = &image->profile->guest;
	uint64_t site = image->profile->hooks[KT_HOOK_task_new].site_gpa.v;

	add_module(image, "lkrg", guest->sym_modules);
	expect(image, -EPERM);
	add_module(image, "p_lkrg", guest->sym_modules);
	expect(image, -EPERM);
	put(image, site, "\xcc", 1); /* LKRG's own kprobe does not hide it */
	expect(image, -EPERM);
	restore(image, site, 1);
	add_module(image, "loop", guest->direct_map + SPARE_GPA + guest->module_list);
	expect(image, 0);
	restore(image, physical(image, guest->sym_modules).v, 8);
	restore(image, SPARE_GPA, PAGE);
}

static void lists_modules(struct image *image, uint64_t gva)
{
	put(image, physical(image, image->profile->guest.sym_btf_modules).v, &gva, 8);
}

/* A list of modules' types, and types, that the guest made up: nothing is learned, and it ends. */
static void test_forged_modules(void **state)
{
	struct image *image = image_of(state);
	const struct kt_guest *guest = &image->profile->guest;
	struct guest_profile *profile = image->profile;
	struct kt_modules known = profile->modules;
	uint64_t spare = guest->direct_map + SPARE_GPA, btf = spare + 512, data = spare + 2048;
	uint64_t ring = spare + guest->btf_module_list;
	uint32_t sizes[] = { 0, 24, 512, 4U << 20, UINT32_MAX };

	/* Up to 5.10 no module has types. */
	if (!guest->sym_btf_modules || guest->btf_module_list == KT_ABSENT) {
		assert_false(profile_learn_modules(image->mem, profile));
		return;
	}
	memset(&profile->modules, 0xff, sizeof(known));
	put(image, SPARE_GPA + guest->btf_module_list, &ring, 8);
	put(image, SPARE_GPA + guest->btf_module_btf, &btf, 8);
	put(image, SPARE_GPA + 512 + guest->btf_name, "loop", 5);
	put(image, SPARE_GPA + 512 + guest->btf_data, &data, 8);
	/* A header that promises much. */
	put(image, SPARE_GPA + 2048, "\x9f\xeb\x01\0\x18\0\0\0\0\0\0\0\xff\xff\xff\x7f", 16);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		put(image, SPARE_GPA + 512 + guest->btf_data_size, &sizes[i], 4);
		lists_modules(image, ring);
		profile->newest_module = (struct profile_module){ 0 };
		profile->parse_count = 0;
		assert_false(profile_learn_modules(image->mem, profile));
		assert_true(profile->parse_count <= 64);
	}
	/* Nobody has an address like these. */
	lists_modules(image, 1);
	assert_false(profile_learn_modules(image->mem, profile));
	lists_modules(image, UINT64_MAX - 7);
	assert_false(profile_learn_modules(image->mem, profile));
	/* However often it comes with something new, it is read so often and no more. */
	profile->parse_count = 64;
	restore(image, physical(image, guest->sym_btf_modules).v, 8);
	assert_false(profile_learn_modules(image->mem, profile));
	profile->parse_count = 0;
	profile->newest_module = (struct profile_module){ 0 };
	assert_true(profile_learn_modules(image->mem, profile));
	profile->modules = known;
	restore(image, SPARE_GPA, PAGE);
}

static void test_no_btf(void **state)
{
	struct image *image = image_of(state);
	uint64_t btf = physical(image, image->profile->guest.sym_start_btf).v;

	memset(image->ram + btf, 0, PAGE);
	expect(image, -ENODATA);
	restore(image, btf, PAGE);
}

static bool first_note(const struct vmcoreinfo *info, void *context)
{
	*(struct vmcoreinfo *)context = *info;
	return true;
}

/* An unprivileged guest program can fill its own pages with what it likes. */
static void test_forged_note(void **state)
{
	static const char line[] = "NUMBER(phys_base)=";
	struct image *image = image_of(state);
	struct vmcoreinfo info;
	char text[VMCOREINFO_SIZE], *at;
	uint64_t gpa;

	assert_true(vmcoreinfo_find(image->mem, first_note, &info) > 0);
	assert_int_equal(guest_mem_read(image->mem, info.found, text, sizeof(text)), 0);
	text[sizeof(text) - 1] = 0;
	at = strstr(text, line);
	assert_non_null(at);
	for (gpa = SPARE_GPA; gpa < SPARE_GPA + 32 * PAGE; gpa += PAGE) {
		at[sizeof(line) - 1] = '1' + gpa / PAGE % 9;
		put(image, gpa, text, sizeof(text));
	}
	expect(image, 0);
	restore(image, SPARE_GPA, 32 * PAGE);
}

/* Two bytes of the table stand for a name of 500: a million of them would be 500 MB. */
static void test_swelling_names(void **state)
{
	struct image *image = image_of(state);
	const struct kt_guest *guest = &image->profile->guest;
	struct kallsyms_image where = { GVA(guest->text_gva), GPA(guest->text_gpa) };
	uint64_t names, tokens, index, count;
	struct kallsyms_tables tables;
	struct rusage before, after;
	struct vmcoreinfo info;
	char token[501], why[200];
	uint16_t first = 0;
	uint32_t many;

	assert_true(vmcoreinfo_find(image->mem, first_note, &info) > 0);
	if (!info.kallsyms_names)
		skip();
	assert_int_equal(kallsyms_tables_read(image->mem, &where, &info, &tables, why, sizeof(why)),
			 0);
	names = physical(image, info.kallsyms_names).v;
	tokens = physical(image, info.kallsyms_token_table).v;
	index = physical(image, info.kallsyms_token_index).v;
	count = physical(image, info.kallsyms_num_syms).v;
	many = tables.names_len / 2;
	memset(token, 'a', sizeof(token) - 1);
	token[sizeof(token) - 1] = 0;
	for (size_t i = 0; i < many; i++)
		put(image, names + 2 * i, "\1\0", 2);
	put(image, tokens, token, sizeof(token));
	put(image, index, &first, sizeof(first));
	put(image, count, &many, sizeof(many));
	getrusage(RUSAGE_SELF, &before);
	expect(image, -EPROTO);
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 200 << 10);
	restore(image, names, tables.names_len);
	restore(image, tokens, sizeof(token));
	restore(image, index, sizeof(first));
	restore(image, count, sizeof(many));
	kallsyms_tables_free(&tables);
}

static void add_region(struct image *image, uint64_t gpa, size_t len)
{
	assert_true(image->region_count < REGIONS_MAX && gpa + len <= image->size);
	image->regions[image->region_count++] = (struct region){ gpa, len };
}

static bool add_note(const struct vmcoreinfo *info, void *context)
{
	struct image *image = context;

	add_region(image, info->found.v, info->found.v % PAGE ? PAGE - 24 : PAGE);
	return false;
}

/* The page tables on the way to gva. */
static void add_tables(struct image *image, uint64_t gva)
{
	uint64_t table = image->profile->guest.pgd_gpa;

	for (unsigned int level = image->profile->guest.levels; level; level--) {
		uint64_t entry, index = gva >> (12 + (level - 1) * 9) & 511;

		add_region(image, table + index * 8, 8);
		memcpy(&entry, image->ram + table + index * 8, 8);
		if (!(entry & 1) || (level <= 3 && entry & 0x80))
			break;
		table = entry & 0x000ffffffffff000ULL;
	}
}

static void add_kallsyms(struct image *image)
{
	const struct kt_guest *guest = &image->profile->guest;
	struct kallsyms_image where = { GVA(guest->text_gva), GPA(guest->text_gpa) };
	struct kallsyms_tables tables;
	struct vmcoreinfo info;
	char why[200];

	vmcoreinfo_find(image->mem, first_note, &info);
	assert_int_equal(kallsyms_tables_read(image->mem, &where, &info, &tables, why, sizeof(why)),
			 0);
	add_region(image, physical(image, tables.offsets_gva).v, tables.count * 4UL);
	if (info.kallsyms_names) {
		add_region(image, physical(image, info.kallsyms_num_syms).v, 8);
		add_region(image, physical(image, info.kallsyms_names).v, tables.names_len);
		add_region(image, physical(image, info.kallsyms_names).v, 64);
		add_region(image, physical(image, info.kallsyms_token_table).v, tables.tokens_len);
		add_region(image, physical(image, info.kallsyms_token_index).v, 512);
	} else { /* all in one go, behind the offsets */
		add_region(image, physical(image, tables.offsets_gva).v + tables.count * 4UL,
			   tables.names_len + 4096);
		add_region(image, physical(image, tables.offsets_gva).v + tables.count * 4UL, 64);
	}
	kallsyms_tables_free(&tables);
}

/* The first of the modules that have types, and what leads to them. */
static void add_modules(struct image *image)
{
	const struct kt_guest *guest = &image->profile->guest;
	uint64_t at, btf, data;

	if (!guest->sym_btf_modules || guest->btf_module_list == KT_ABSENT)
		return;
	memcpy(&at, image->ram + physical(image, guest->sym_btf_modules).v, 8);
	at = physical(image, at - guest->btf_module_list).v;
	memcpy(&btf, image->ram + at + guest->btf_module_btf, 8);
	btf = physical(image, btf).v;
	memcpy(&data, image->ram + btf + guest->btf_data, 8);
	add_region(image, physical(image, guest->sym_btf_modules).v, 8);
	add_region(image, at, 64);
	add_region(image, btf, 256);
	add_region(image, physical(image, data).v, 24);
	add_region(image, physical(image, data).v, PAGE / 2);
}

static void add_regions(struct image *image)
{
	const struct kt_guest *guest = &image->profile->guest;
	uint64_t btf = physical(image, guest->sym_start_btf).v;

	if (image->region_count)
		return;
	vmcoreinfo_find(image->mem, add_note, image);
	add_kallsyms(image);
	add_region(image, btf, 24);
	add_region(image, btf, guest->sym_stop_btf - guest->sym_start_btf);
	add_region(image, btf, 65536);
	add_tables(image, guest->text_gva);
	add_tables(image, guest->direct_map + guest->text_gpa);
	add_region(image, guest->pgd_gpa, PAGE);
	add_region(image, physical(image, guest->sym_per_cpu_offset).v, 64);
	add_region(image, physical(image, guest->sym_page_offset_base).v, 8);
	add_region(image, physical(image, guest->sym_modules).v, 16);
	add_modules(image);
	add_region(image, physical(image, guest->sym_ftrace_ops_list).v, 8);
	add_region(image, physical(image, guest->sym_nr_cpu_ids).v, 4);
	add_region(image, physical(image, guest->sym_init_task + guest->task_stack).v, 8);
	for (int i = 0; i < 2; i++)
		add_region(
			image,
			physical(image, image->profile->percpu_base[i] + guest->sym_current_task).v,
			8);
	add_region(image, image->profile->hooks[KT_HOOK_file_permission].site_gpa.v, 5);
}

/* One piece of damage to a region. */
static void damage(struct image *image, const struct region *region)
{
	static const uint64_t words[] = {
		0, 1, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, UINT64_MAX
	};
	uint8_t *ram = image->ram + region->gpa;
	size_t at = next_random() % region->len, len = 1 + next_random() % 64;
	uint64_t word = words[next_random() % 8];

	if (len > region->len - at)
		len = region->len - at;
	switch (next_random() % 5) {
	case 0:
		for (size_t i = 0; i < len; i++)
			ram[at + i] = next_random();
		break;
	case 1:
		memset(ram, (int)next_random(), region->len < 65536 ? region->len : 65536);
		break;
	case 2:
		at = at / 4 * 4;
		memcpy(ram + at, &word, region->len - at < 8 ? region->len - at : 8);
		break;
	case 3:
		ram[at] ^= 1 << next_random() % 8;
		break;
	case 4:
		memmove(ram + at, ram + next_random() % (region->len - len + 1), len);
		break;
	}
}

static void test_random_damage(void **state)
{
	struct image *image = image_of(state);
	int rounds = getenv("KT_FUZZ") ? atoi(getenv("KT_FUZZ")) : ROUNDS, failures = 0, err;

	add_regions(image);
	seed = 20261122;
	for (int round = 0; round < rounds; round++) {
		size_t hits = 1 + next_random() % 3, hit[3];
		struct guest_profile *profile;

		for (size_t i = 0; i < hits; i++) {
			hit[i] = next_random() % image->region_count;
			for (uint64_t n = 1 + next_random() % 4; n; n--)
				damage(image, &image->regions[hit[i]]);
		}
		profile = build(image, &err);
		json_object_put(profile_json(profile));
		failures += err != 0;
		guest_profile_free(profile);
		for (size_t i = 0; i < hits; i++)
			restore(image, image->regions[hit[i]].gpa, image->regions[hit[i]].len);
	}
	print_message("             %d of %d damaged kernels were refused\n", failures, rounds);
	expect(image, 0);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void **state);
	} proofs[] = {
		{ "a hook that the guest uses itself is refused, and named", test_hook_in_use },
		{ "where a hook is in use its alternative is taken", test_alternate_hook },
		{ "traps of a killed run are taken over", test_trap_of_a_killed_run },
		{ "LKRG is refused, and a circular module list ends", test_lkrg },
		{ "forged lists of modules teach nothing", test_forged_modules },
		{ "a kernel without BTF is refused", test_no_btf },
		{ "forged VMCOREINFO notes do not hide the kernel", test_forged_note },
		{ "names that swell without end are refused", test_swelling_names },
		{ "random damage neither crashes nor hangs the profile", test_random_damage },
	};
	enum { PROOFS = sizeof(proofs) / sizeof(proofs[0]) };
	static struct CMUnitTest tests[IMAGE_COUNT * PROOFS + 1];
	static struct image images[IMAGE_COUNT];
	static char names[IMAGE_COUNT * PROOFS][96];
	int failed;

	libbpf_set_print(quiet);
	for (size_t i = 0; i < IMAGE_COUNT * PROOFS; i++) {
		images[i / PROOFS].series = image_series[i / PROOFS];
		snprintf(names[i], sizeof(names[i]), "Linux %s: %s", image_series[i / PROOFS],
			 proofs[i % PROOFS].name);
		tests[i] = (struct CMUnitTest){ names[i], proofs[i % PROOFS].run, NULL, NULL,
						&images[i / PROOFS] };
	}
	tests[IMAGE_COUNT * PROOFS] = (struct CMUnitTest){ "empty RAM holds no kernel",
							   test_empty_ram, NULL, NULL, NULL };
	failed = cmocka_run_group_tests_name("profile of hostile guests", tests, NULL, NULL);
	for (size_t i = 0; i < IMAGE_COUNT; i++) {
		guest_profile_free(images[i].profile);
		guest_mem_close(images[i].mem);
		guest_mem_close(images[i].original);
		if (images[i].ram)
			munmap(images[i].ram, images[i].size);
	}
	return failed;
}
