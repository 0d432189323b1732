// SPDX-License-Identifier: GPL-2.0
/* The way to a record, from files of records: whole, cut, appended to, hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/path.h"
#include "user/record.h"

#define FILE_OF(inode, path) "{\"kind\":\"file\",\"inode\":" #inode ",\"path\":\"" path "\"}"
#define START(seq)	     "{\"seq\":" #seq ",\"type\":\"start\",\"labels\":[\"a\",\"b\"]}\n"
#define SPREAD(seq, flow, target, labels, added, cause, previous)                                  \
	"{\"seq\":" #seq ",\"type\":\"spread\",\"flow\":\"" flow "\",\"target\":" target           \
	",\"labels\":[" labels "],\"added\":[" added "],\"cause\":" #cause                         \
	",\"previous\":" #previous "}\n"
#define LEAK(seq, labels, cause)                                                                   \
	"{\"seq\":" #seq ",\"type\":\"leak\",\"labels\":[" labels "],\"cause\":" #cause "}\n"

#define A "\"a\""
#define B "\"b\""
#define P "{\"kind\":\"process\",\"pid\":7,\"comm\":\"p\"}"

/* Two secrets meet in process p; b comes later, and p's leak is explained by its last record. */
static const char meeting[] = START(1) SPREAD(2, "policy", FILE_OF(1, "/a"), A, A, 0, 0)
	SPREAD(3, "read", P, A, A, 2, 0) SPREAD(4, "policy", FILE_OF(2, "/b"), B, B, 0, 0)
		SPREAD(5, "read", P, A "," B, B, 4, 3) LEAK(6, A "," B, 5);

static struct path_file opened(const char *text, int expected)
{
	char name[] = "/tmp/kvmtaint.path.XXXXXX", err[200] = "";
	struct path_file file;
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(path_open(&file, name, err, sizeof(err)), expected);
	assert_int_equal(!!*err, !!expected);
	unlink(name);
	close(fd);
	return file;
}

#define VM_OF(pid, at) "\"time\":\"" at "\",\"vm\":{\"pid\":" #pid ",\"name\":\"n\"},"
#define S	       "{\"kind\":\"socket\",\"family\":\"inet\"}"

/* What process p of VM 1 leaks, VM 2 receives by a socket; there the label has another name. */
static const char sender[] = "{" VM_OF(
	1, "01") "\"seq\":1,\"type\":\"start\",\"labels\":[" A "]}\n"
		 "{" VM_OF(1,
			   "02") "\"seq\":2,\"type\":\"spread\",\"flow\":\"policy\",\"target\":" P
				 ",\"labels\":[" A "],\"added\":[" A
				 "],\"cause\":0,\"previous\":0}\n"
				 "{" VM_OF(1, "03") "\"seq\":3,\"type\":\"leak\",\"labels\":[" A
						    "],\"cause\":2}\n";
#define RECEIVER(at, label)                                                                                        \
	"{" VM_OF(                                                                                                 \
		2,                                                                                                 \
		"00") "\"seq\":1,\"type\":\"start\",\"labels\":[]}\n"                                              \
		      "{" VM_OF(                                                                                   \
			      2,                                                                                   \
			      at) "\"seq\":2,\"type\":\"spread\",\"flow\":\"wire\",\"target\":" S                  \
				  ",\"labels\":[" label "],\"added\":[" label                                      \
				  "],\"cause\":0,\"previous\":0,"                                                  \
				  "\"remote_cause\":{\"vm\":{\"pid\":1,\"name\":\"n\"},\"seq\":3}}\n"              \
				  "{" VM_OF(                                                                       \
					  2,                                                                       \
					  "09") "\"seq\":3,\"type\":\"spread\",\"flow\":\"receive\",\"target\":" P \
						",\"labels\":[" label "],\"added\":[" label                        \
						"],\"cause\":2,\"previous\":0}\n"

/* The numbers of the way's records as "2 3 6", and whether it is whole. */
static void way_with_is(struct path_file *file, const struct path_others *others, uint64_t seq,
			const char *label, const char *expected, bool expected_whole)
{
	struct json_object *steps, *number;
	char text[400] = "";
	bool whole;

	steps = path_follow(file, others, seq, label, &whole);
	assert_non_null(steps);
	for (size_t i = 0; i < json_object_array_length(steps); i++) {
		json_object_object_get_ex(json_object_array_get_idx(steps, i), "seq", &number);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
			 json_object_get_string(number));
	}
	assert_string_equal(text, expected);
	assert_int_equal(whole, expected_whole);
	json_object_put(steps);
}

static void way_is(struct path_file *file, uint64_t seq, const char *label, const char *expected,
		   bool expected_whole)
{
	way_with_is(file, NULL, seq, label, expected, expected_whole);
}

static void put_line(FILE *to, const struct record_context *ctx, const struct kt_record *record)
{
	char *line = record_line(ctx, record, offsetof(struct kt_record, path));

	assert_non_null(line);
	fputs(line, to);
	free(line);
}

static void test_each_label_has_its_own_way(void **state)
{
	struct path_file file = opened(meeting, 0);

	way_is(&file, 6, "a", "2 3 5 6", true);
	way_is(&file, 6, "b", "4 5 6", true);
	way_is(&file, 3, "a", "2 3", true);
	path_close(&file);
}

/* A process that learns as many secrets as there can be, one after the other, and leaks them all.
 */
static void test_each_of_64_labels_has_its_own_way(void **state)
{
	struct kt_record record = { .actor = { .kind = KT_KIND_PROCESS, .pid = 7 } };
	struct policy *policy = policy_new();
	struct record_context ctx = { .vm_name = "n", .policy = policy };
	char *text = NULL, rule[64], label[16], way[400] = "", err[200];
	struct path_file file;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	for (int i = 0; i < KT_LABELS_MAX; i++) {
		snprintf(rule, sizeof(rule), "label-%d=/srv/%d", i, i);
		assert_int_equal(policy_add(policy, rule, err, sizeof(err)), 0);
	}
	fputs(START(1), to);
	for (int i = 0; i < KT_LABELS_MAX; i++) {
		record.type = KT_RECORD_SPREAD;
		record.seq = 2 + 2 * i;
		record.flow = KT_FLOW_POLICY;
		record.target = (struct kt_object){ .kind = KT_KIND_FILE, .ino = i };
		record.labels = record.added = 1ULL << i;
		record.cause = record.previous = 0;
		put_line(to, &ctx, &record);
		record.seq++;
		record.flow = KT_FLOW_READ;
		record.target = record.actor;
		record.labels = i ? ~0ULL >> (63 - i) : 1;
		record.cause = record.seq - 1;
		record.previous = i ? record.seq - 2 : 0;
		put_line(to, &ctx, &record);
	}
	record.type = KT_RECORD_LEAK;
	record.cause = record.seq++;
	put_line(to, &ctx, &record);
	fclose(to);
	file = opened(text, 0);
	for (int i = 0; i < KT_LABELS_MAX; i++) {
		snprintf(label, sizeof(label), "label-%d", i);
		snprintf(way, sizeof(way), "%d %d", 2 + 2 * i, 3 + 2 * i);
		for (int at = i + 1; at < KT_LABELS_MAX; at++)
			snprintf(way + strlen(way), sizeof(way) - strlen(way), " %d", 3 + 2 * at);
		strcat(way, " 130");
		way_is(&file, 130, label, way, true);
	}
	path_close(&file);
	free(text);
	policy_free(policy);
}

static void test_label_that_never_came_has_no_way(void **state)
{
	struct path_file file = opened(meeting, 0);

	way_is(&file, 3, "b", "", false);
	way_is(&file, 99, "a", "", false);
	path_close(&file);
}

static void test_gone_goes_by_previous(void **state)
{
	struct path_file file = opened(
		START(1) SPREAD(2, "policy", FILE_OF(1, "/a"), A, A, 0, 0) SPREAD(
			3, "read", P, A, A, 2,
			0) "{\"seq\":4,\"type\":\"gone\",\"labels\":[\"a\"],\"cause\":0,\"previous\":3}\n",
		0);

	way_is(&file, 4, "a", "2 3 4", true);
	path_close(&file);
}

static void test_missing_record_makes_it_not_whole(void **state)
{
	struct path_file file = opened(START(1) SPREAD(3, "read", P, A, A, 2, 0) LEAK(4, A, 3), 0);

	way_is(&file, 4, "a", "3 4", false);
	path_close(&file);
}

static void test_cause_of_zero_is_whole_for_the_policy_only(void **state)
{
	struct path_file file = opened(START(1) SPREAD(2, "read", P, A, A, 0, 0) LEAK(3, A, 2), 0);

	way_is(&file, 3, "a", "2 3", false);
	path_close(&file);
}

static void test_causes_that_do_not_go_back_end_the_walk(void **state)
{
	struct path_file file = opened(START(1) SPREAD(2, "read", P, A, A, 3, 0)
					       SPREAD(3, "read", P, A, A, 2, 0)
						       SPREAD(4, "read", P, A, A, 4, 0),
				       0);

	way_is(&file, 3, "a", "2 3", false);
	way_is(&file, 4, "a", "4", false);
	path_close(&file);
}

static void test_last_of_several_runs_counts(void **state)
{
	struct path_file file =
		opened(START(1) SPREAD(2, "policy", FILE_OF(1, "/a"), A, A, 0, 0) LEAK(3, A, 2)
			       START(1) SPREAD(2, "policy", FILE_OF(2, "/b"), B, B, 0, 0),
		       0);

	assert_int_equal(file.runs, 2);
	assert_null(path_record(&file, 3));
	way_is(&file, 2, "b", "2", true);
	way_is(&file, 2, "a", "", false);
	path_close(&file);
}

static void test_line_that_is_being_written_is_passed_over(void **state)
{
	struct path_file file = opened(START(1) LEAK(2, A, 1) "{\"seq\":3,\"ty", 0);

	assert_int_equal(file.count, 2);
	path_close(&file);
}

static void test_what_is_no_record_is_refused(void **state)
{
	static const char *const lines[] = {
		"hello\n",
		"[1]\n",
		"{\"seq\":\"1\",\"type\":\"leak\"}\n",
		"{\"seq\":-4,\"type\":\"leak\"}\n",
		"{\"seq\":1,\"type\":2}\n",
		"{\"type\":\"leak\"}\n",
		"\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		opened(lines[i], -EBADMSG);
}

static void test_labels_of_another_type_are_no_labels(void **state)
{
	struct path_file file = opened("{\"seq\":1,\"type\":\"leak\",\"labels\":[null,1,{}]}\n"
				       "{\"seq\":2,\"type\":\"leak\",\"labels\":\"a\"}\n",
				       0);

	way_is(&file, 1, "a", "", false);
	way_is(&file, 2, "a", "", false);
	path_close(&file);
}

static void test_way_goes_on_in_the_other_vms_file(void **state)
{
	struct path_file files[] = { opened(meeting, 0), opened(sender, 0) };
	struct path_others others = { files, 2 };
	struct path_file same = opened(RECEIVER("04", A), 0);
	struct path_file named = opened(RECEIVER("04", "\"from:n\""), 0);

	way_is(&same, 3, "a", "2 3", false);
	way_with_is(&same, &others, 3, "a", "2 3 2 3", true);
	way_with_is(&named, &others, 3, "from:n", "2 3 2 3", true);
	path_close(&same);
	path_close(&named);
	path_close(&files[0]);
	path_close(&files[1]);
}

/* The number may be one of a run before: what it names must not be later. */
static void test_way_does_not_cross_into_the_future(void **state)
{
	struct path_file file = opened(sender, 0);
	struct path_others others = { &file, 1 };
	struct path_file early = opened(RECEIVER("02", A), 0);

	way_with_is(&early, &others, 3, "a", "2 3", false);
	path_close(&early);
	path_close(&file);
}

static void test_file_must_be_a_regular_one(void **state)
{
	struct path_file file;
	char err[200] = "";

	assert_int_equal(path_open(&file, "/tmp", err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "regular"));
	assert_int_equal(path_open(&file, "/nonexistent", err, sizeof(err)), -ENOENT);
	path_close(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_label_has_its_own_way),
		cmocka_unit_test(test_each_of_64_labels_has_its_own_way),
		cmocka_unit_test(test_label_that_never_came_has_no_way),
		cmocka_unit_test(test_gone_goes_by_previous),
		cmocka_unit_test(test_missing_record_makes_it_not_whole),
		cmocka_unit_test(test_cause_of_zero_is_whole_for_the_policy_only),
		cmocka_unit_test(test_causes_that_do_not_go_back_end_the_walk),
		cmocka_unit_test(test_last_of_several_runs_counts),
		cmocka_unit_test(test_line_that_is_being_written_is_passed_over),
		cmocka_unit_test(test_what_is_no_record_is_refused),
		cmocka_unit_test(test_labels_of_another_type_are_no_labels),
		cmocka_unit_test(test_way_goes_on_in_the_other_vms_file),
		cmocka_unit_test(test_way_does_not_cross_into_the_future),
		cmocka_unit_test(test_file_must_be_a_regular_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
