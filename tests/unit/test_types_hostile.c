// SPDX-License-Identifier: GPL-2.0
/* Types that a guest made up to cost time, and lists of modules that change under the reader. */
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "attach_world.h"
#include "user/guest_types.h"

#define QUESTIONS 300 /* as many as a profile asks */

/* --- types --------------------------------------------------------------- */

struct blob {
	uint8_t *bytes;
	size_t len;
};

struct one_member {
	struct btf_type type;
	struct btf_member member;
};

/* BTF of size bytes: the types, and for strings what is left: "", "aaa..." and no more. */
static struct blob blob_of(const void *types, size_t len, size_t name_len, size_t size)
{
	struct btf_header header = {
		.magic = BTF_MAGIC,
		.version = BTF_VERSION,
		.hdr_len = sizeof(header),
		.type_len = len,
		.str_off = len,
		.str_len = size - sizeof(header) - len,
	};
	struct blob blob = { calloc(1, size), size };

	assert_non_null(blob.bytes);
	assert_true(name_len + 2 <= header.str_len);
	memcpy(blob.bytes, &header, sizeof(header));
	memcpy(blob.bytes + sizeof(header), types, len);
	memset(blob.bytes + sizeof(header) + len + 1, 'a', name_len);
	return blob;
}

/*
 * As many structs as go into size bytes, all of one name. base: how long the strings are that
 * come before, of a module's the kernel's own.
 */
static struct blob one_name(size_t name_len, size_t size, uint32_t base)
{
	size_t count =
		(size - sizeof(struct btf_header) - name_len - 2) / sizeof(struct one_member);
	struct one_member *types = calloc(count, sizeof(*types));
	struct blob blob;

	assert_non_null(types);
	for (size_t i = 0; i < count; i++) {
		types[i].type.name_off = types[i].member.name_off = base + 1;
		types[i].type.info = BTF_KIND_STRUCT << 24 | 1;
	}
	blob = blob_of(types, count * sizeof(*types), name_len, size);
	free(types);
	return blob;
}

/* A struct, and a union without a name in it, whose 16 members are that union by typedefs. */
static struct blob tree(void)
{
	enum { BRANCHES = 16, TYPEDEFS = 14 };
	struct {
		struct one_member top;
		struct btf_type branching;
		struct btf_member branches[BRANCHES];
		struct btf_type typedefs[TYPEDEFS];
	} types = {
		.top.type = { .name_off = 1, .info = BTF_KIND_STRUCT << 24 | 1 },
		.top.member.type = 2,
		.branching.info = BTF_KIND_UNION << 24 | BRANCHES,
	};

	for (size_t i = 0; i < BRANCHES; i++)
		types.branches[i].type = 3;
	for (size_t i = 0; i < TYPEDEFS; i++) {
		types.typedefs[i].info = BTF_KIND_TYPEDEF << 24;
		types.typedefs[i].type = i + 1 < TYPEDEFS ? i + 4 : 2;
	}
	return blob_of(&types, sizeof(types), 3, sizeof(types) + 64);
}

/* How long it takes to find out that there is no member "b" in struct "aaa...". */
static double seconds_of(const struct blob *blob, int name_len)
{
	double from = cpu_seconds();
	struct guest_types *types;
	char question[512], why[200];

	memset(question, 'a', name_len);
	strcpy(question + name_len, ".b");
	assert_int_equal(guest_types_new(blob->bytes, blob->len, &types, why, sizeof(why)), 0);
	for (int i = 0; i < QUESTIONS; i++)
		assert_int_equal(guest_types_offset(types, question), KT_ABSENT);
	guest_types_free(types);
	return cpu_seconds() - from;
}

static void a_name_of_megabytes_that_all_types_have(void **state)
{
	for (size_t size = 1 << 20; size <= 4 << 20; size *= 2) {
		struct blob blob = one_name(size / 2, size, 0);

		assert_true(seconds_of(&blob, 100) < 1);
		free(blob.bytes);
	}
}

static void a_name_that_all_types_have(void **state)
{
	struct blob blob = one_name(100, 64 << 20, 0);

	assert_true(seconds_of(&blob, 100) < 4);
	free(blob.bytes);
}

/* 16^16 members; each of 64 modules may have them. */
static void types_that_nest_without_end(void **state)
{
	struct blob blob = tree();
	double seconds = 0;

	for (int i = 0; i < 64; i++)
		seconds += seconds_of(&blob, 3);
	assert_true(seconds < 1);
	free(blob.bytes);
}

/* A name may be long, and there may be two of it. */
static void what_is_asked_for_is_found(void **state)
{
	static const struct one_member types[] = {
		{ { .name_off = 1, .info = BTF_KIND_STRUCT << 24 | 1 },
		  { .name_off = 2, .offset = 64 } },
		{ { .name_off = 1, .info = BTF_KIND_STRUCT << 24 | 1 },
		  { .name_off = 127, .offset = 128 } },
	};
	struct blob blob = blob_of(types, sizeof(types), 128, 256);
	struct guest_types *found;
	char question[256], why[200];

	assert_int_equal(guest_types_new(blob.bytes, blob.len, &found, why, sizeof(why)), 0);
	memset(question, 'a', 128);
	strcpy(question + 128, ".aa");
	assert_int_equal(guest_types_offset(found, question), 16);
	guest_types_free(found);
	free(blob.bytes);
}

/* --- modules ------------------------------------------------------------- */

/* What the modules of each world teach. */
static struct kt_modules taught[IMAGE_COUNT];

static bool learn(struct world *w)
{
	return profile_learn_modules(w->mem, w->profile);
}

static void forget(struct world *w)
{
	struct guest_profile *profile = w->profile;

	memset(&profile->modules, 0xff, sizeof(profile->modules));
	memset(&profile->newest_module, 0, sizeof(profile->newest_module));
	memset(profile->parsed, 0, sizeof(profile->parsed));
	profile->parse_count = 0;
}

static bool knows_all(const struct world *w)
{
	return !memcmp(&w->profile->modules, &taught[w - worlds], sizeof(taught[0]));
}

static int setup_modules(void **state)
{
	int rc = setup(state);

	for (size_t i = 0; i < IMAGE_COUNT; i++) {
		if (!worlds[i].mem)
			continue;
		forget(&worlds[i]);
		learn(&worlds[i]);
		taught[i] = worlds[i].profile->modules;
	}
	return rc;
}

/* A world of which nothing is known that modules teach. */
static struct world *modules_of(void **state)
{
	struct world *w = world(state);

	forget(w);
	return w;
}

/* The struct btf of a module, and the module's place in the list. */
static uint64_t find_module(const struct world *w, const char *name, uint64_t *at)
{
	const struct kt_guest *g = &w->profile->guest;
	uint64_t btf;

	for (*at = peek(w, g->sym_btf_modules, 8); *at != g->sym_btf_modules;
	     *at = peek(w, *at, 8)) {
		btf = peek(w, *at - g->btf_module_list + g->btf_module_btf, 8);
		if (!strcmp(host(w, btf + g->btf_name), name))
			return btf;
	}
	fail_msg("%s: no module %s", w->series, name);
	return 0;
}

/*
 * Puts a module in front of the list: itself and its struct btf in page. Its types have size
 * bytes at data.
 */
static void add_module(struct world *w, uint64_t page, const char *name, uint64_t data,
		       uint64_t size)
{
	const struct kt_guest *g = &w->profile->guest;
	uint64_t btf = page + PAGE / 2, bytes = 0;

	memcpy(&bytes, name, strlen(name));
	poke(w, page + g->btf_module_list, peek(w, g->sym_btf_modules, 8));
	poke(w, page + g->btf_module_btf, btf);
	poke(w, btf + g->btf_data_size, size);
	poke(w, btf + g->btf_data, data);
	poke(w, btf + g->btf_name, bytes);
	poke(w, g->sym_btf_modules, page + g->btf_module_list);
}

static void what_could_not_be_read_is_read_later(void **state)
{
	struct world *w = modules_of(state);
	const struct kt_guest *g = &w->profile->guest;
	uint64_t at, btf = find_module(w, "loop", &at);
	const uint64_t places[] = {
		g->sym_btf_modules, /* the head */
		at, /* the module behind */
		at - g->btf_module_list + g->btf_module_btf,
		btf + g->btf_data,
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		forget(w);
		poke(w, places[i], 0xffffdeadbeef0000);
		learn(w);
		assert_false(knows_all(w));
		restore(w);
		assert_true(learn(w));
		assert_true(knows_all(w));
		assert_false(learn(w));
	}
}

/* The list is empty but for one, and that is freed; its memory is another's then. */
static void a_module_in_the_place_of_another_is_seen(void **state)
{
	struct world *w = modules_of(state);
	const struct kt_guest *g = &w->profile->guest;
	uint64_t at, btf = find_module(w, "loop", &at), page = scratch(w, 1);
	uint64_t data = peek(w, btf + g->btf_data, 8), size = peek(w, btf + g->btf_data_size, 4);
	const struct {
		const char *name;
		uint64_t data, size;
	} before[] = { { "pool", data, size }, { "loop", page, size }, { "loop", data, 30 } };

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		forget(w);
		poke(w, g->sym_btf_modules, g->sym_btf_modules);
		assert_false(learn(w));
		add_module(w, page, before[i].name, before[i].data, before[i].size);
		assert_false(learn(w));
		poke(w, g->sym_btf_modules, g->sym_btf_modules);
		add_module(w, page, "loop", data, size);
		assert_true(learn(w));
		assert_int_equal(w->profile->modules.loop_file, taught[w - worlds].loop_file);
		restore(w);
	}
}

/* A walk that comes to no end is tried again at each call, and costs each little. */
static void a_list_that_is_never_whole_costs_little(void **state)
{
	enum { MODULES = 1023 };
	struct world *w = modules_of(state);
	uint64_t pages = scratch(w, MODULES);
	double from, seconds = 0;

	poke(w, w->profile->guest.sym_btf_modules, 0xffffdeadbeef0000);
	for (int i = 0; i < MODULES; i++)
		add_module(w, pages + i * PAGE, "loop", pages, 24);
	for (int i = 0; i < 5; i++) {
		from = cpu_seconds();
		assert_false(learn(w));
		seconds = cpu_seconds() - from;
		assert_true(seconds < 1);
	}
	print_message("             %s: %.3f s a walk\n", w->series, seconds);
	assert_int_equal(w->profile->parse_count, PROFILE_PARSES_MAX);
}

/*
 * Twenty modules with 4 MiB of types each that teach nothing, before those of the guest: no call
 * takes long, each goes on where the last had to end, and in the end all is known.
 */
static void modules_of_many_types_do_not_take_one_call(void **state)
{
	enum { MODULES = 20, SIZE = 4 << 20 };
	struct world *w = modules_of(state);
	uint64_t data = scratch(w, SIZE / PAGE + MODULES), pages = data + SIZE;
	uint32_t base =
		peek(w, w->profile->guest.sym_start_btf + offsetof(struct btf_header, str_len), 4);
	struct blob blob = one_name(100, SIZE, base);
	double from, seconds, worst = 0;
	int calls = 0;

	memcpy(host(w, data), blob.bytes, SIZE);
	for (int i = 0; i < MODULES; i++)
		add_module(w, pages + i * PAGE, "loop", data, SIZE);
	for (; calls <= MODULES && !knows_all(w); calls++) {
		from = cpu_seconds();
		learn(w);
		seconds = cpu_seconds() - from;
		worst = seconds > worst ? seconds : worst;
	}
	memset(host(w, data), 0, SIZE);
	free(blob.bytes);
	print_message("             %s: %d calls, %.3f s at most\n", w->series, calls, worst);
	assert_true(knows_all(w));
	assert_true(worst < 1);
	assert_int_equal(calls, MODULES + 1);
	assert_false(learn(w));
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

/* Modules of 5.10 have no types. */
#define EACH_WITH_TYPES(test)                                                                      \
	cmocka_unit_test_prestate_setup_teardown(test, NULL, undo, &worlds[1]),                    \
		cmocka_unit_test_prestate_setup_teardown(test, NULL, undo, &worlds[2]),            \
		cmocka_unit_test_prestate_setup_teardown(test, NULL, undo, &worlds[3]),            \
		cmocka_unit_test_prestate_setup_teardown(test, NULL, undo, &worlds[4])

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_of_megabytes_that_all_types_have),
		cmocka_unit_test(a_name_that_all_types_have),
		cmocka_unit_test(types_that_nest_without_end),
		cmocka_unit_test(what_is_asked_for_is_found),
		EACH_WITH_TYPES(what_could_not_be_read_is_read_later),
		EACH_WITH_TYPES(a_module_in_the_place_of_another_is_seen),
		EACH_WITH_TYPES(a_list_that_is_never_whole_costs_little),
		EACH_WITH_TYPES(modules_of_many_types_do_not_take_one_call),
	};

	libbpf_set_print(quiet);
	return cmocka_run_group_tests(tests, setup_modules, teardown);
}
