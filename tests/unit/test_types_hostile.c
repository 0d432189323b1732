// SPDX-License-Identifier: GPL-2.0
/* Types that a guest made up to cost time: of the kernel, and of modules. */
#include <bpf/btf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "bpf/kvmtaint.h"
#include "user/guest_types.h"

#define QUESTIONS 300 /* as many as a profile asks */

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

/* As many structs as go into size bytes, all of one name. */
static struct blob one_name(size_t name_len, size_t size)
{
	size_t count =
		(size - sizeof(struct btf_header) - name_len - 2) / sizeof(struct one_member);
	struct one_member *types = calloc(count, sizeof(*types));
	struct blob blob;

	assert_non_null(types);
	for (size_t i = 0; i < count; i++) {
		types[i].type.name_off = types[i].member.name_off = 1;
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

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
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
		struct blob blob = one_name(size / 2, size);

		assert_true(seconds_of(&blob, 100) < 1);
		free(blob.bytes);
	}
}

static void a_name_that_all_types_have(void **state)
{
	struct blob blob = one_name(100, 64 << 20);

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_of_megabytes_that_all_types_have),
		cmocka_unit_test(a_name_that_all_types_have),
		cmocka_unit_test(types_that_nest_without_end),
		cmocka_unit_test(what_is_asked_for_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
