// SPDX-License-Identifier: GPL-2.0
/* The way to a record, from files of records: whole, cut, appended to, hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/commands.h"
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

#define NAME "/tmp/kvmtaint.path.XXXXXX"

static void put_file(char name[sizeof(NAME)], const char *text)
{
	int fd;

	strcpy(name, NAME);
	fd = mkstemp(name);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static struct path_file opened(const char *text, int expected)
{
	char name[sizeof(NAME)], err[200] = "";
	struct path_file file;

	put_file(name, text);
	assert_int_equal(path_open(&file, name, err, sizeof(err)), expected);
	assert_int_equal(!!*err, !!expected);
	unlink(name);
	return file;
}

/* Until restored() a standard stream goes to a file. */
static int redirected(int fd)
{
	int was = dup(fd), file = open("/tmp", O_TMPFILE | O_RDWR, 0600);

	assert_true(was >= 0 && file >= 0);
	fflush(NULL);
	dup2(file, fd);
	close(file);
	return was;
}

static void restored(int fd, int was, char *text, size_t size)
{
	ssize_t len;

	fflush(NULL);
	len = pread(fd, text, size - 1, 0);
	assert_true(len >= 0);
	text[len] = '\0';
	dup2(was, fd);
	close(was);
}

static char printed[8192], told[1024]; /* by path_prints(): stdout, stderr */

/* `kvmtaint path` of a file with this text, with another if there is one. */
static enum exit_status path_prints(const char *text, const char *with, uint64_t seq, bool json)
{
	char name[sizeof(NAME)], other[sizeof(NAME)] = "";
	const char *names[] = { other };
	struct options options = { .records = name, .seq = seq, .json = json, .with = names };
	enum exit_status status;
	int out, err;

	put_file(name, text);
	if (with)
		put_file(other, with);
	options.with_count = !!with;
	out = redirected(STDOUT_FILENO);
	err = redirected(STDERR_FILENO);
	status = command_path(&options);
	restored(STDOUT_FILENO, out, printed, sizeof(printed));
	restored(STDERR_FILENO, err, told, sizeof(told));
	unlink(name);
	unlink(other);
	return status;
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
static void chosen_way_is(struct path_file *file, const struct path_others *others, uint64_t seq,
			  const char *label, struct path_choices *choices, const char *expected,
			  bool expected_whole)
{
	struct json_object *number;
	struct path_way way;
	char text[400] = "";

	assert_int_equal(path_follow(file, others, seq, label, choices, &way), 0);
	for (size_t i = 0; i < json_object_array_length(way.records); i++) {
		json_object_object_get_ex(json_object_array_get_idx(way.records, i), "seq",
					  &number);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
			 json_object_get_string(number));
	}
	assert_string_equal(text, expected);
	assert_int_equal(way.whole, expected_whole);
	json_object_put(way.records);
}

static void way_with_is(struct path_file *file, const struct path_others *others, uint64_t seq,
			const char *label, const char *expected, bool expected_whole)
{
	chosen_way_is(file, others, seq, label, NULL, expected, expected_whole);
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

	assert_int_equal(file.vms[0].count, 2);
	assert_int_equal(file.passed_over, 0);
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

/* A record of VM pid, made at a time; rest: its members behind seq. */
#define OF(pid, at, seq, rest) "{\"seq\":" #seq "," VM_OF(pid, at) rest "}\n"
#define OF_START	       "\"type\":\"start\",\"labels\":[]"
#define OF_SPREAD(flow, target, labels, added, cause, previous)                                    \
	"\"type\":\"spread\",\"flow\":\"" flow "\",\"target\":" target ",\"labels\":[" labels      \
	"],\"added\":[" added "],\"cause\":" #cause ",\"previous\":" #previous
#define OF_LEAK(labels, cause) "\"type\":\"leak\",\"labels\":[" labels "],\"cause\":" #cause
#define OF_WIRE(labels, pid, seq)                                                                  \
	OF_SPREAD("wire", S, labels, labels, 0, 0)                                                 \
	",\"remote_cause\":{\"vm\":{\"pid\":" #pid ",\"name\":\"n\"},\"seq\":" #seq "}"

/* VM 1 sends a and b to VM 2, which calls them what it can. */
static const char sender_of_two[] = OF(1, "01", 1, OF_START)
	OF(1, "02", 2, OF_SPREAD("policy", FILE_OF(1, "/a"), A, A, 0, 0))
		OF(1, "03", 3, OF_SPREAD("policy", FILE_OF(2, "/b"), B, B, 0, 0))
			OF(1, "04", 4, OF_SPREAD("read", P, A, A, 2, 0))
				OF(1, "05", 5, OF_SPREAD("read", P, A "," B, B, 3, 4))
					OF(1, "06", 6, OF_LEAK(A "," B, 5));
#define FROM		 "\"from:n\""
#define RECEIVED(labels) OF(2, "00", 1, OF_START) OF(2, "07", 2, OF_WIRE(labels, 1, 6))

static void test_label_of_another_vm_is_one_that_has_no_name_here(void **state)
{
	struct path_file file = opened(sender_of_two, 0);
	struct path_others others = { &file, 1 };
	struct path_file second = opened(RECEIVED(A "," FROM), 0);
	struct path_file neither = opened(RECEIVED(A "," B "," FROM), 0);

	way_with_is(&second, &others, 2, "a", "2 4 5 6 2", true);
	way_with_is(&second, &others, 2, "from:n", "3 5 6 2", true);
	way_with_is(&neither, &others, 2, "from:n", "2", false);
	path_close(&file);
	path_close(&second);
	path_close(&neither);
}

static void test_label_that_stands_for_several_has_a_way_for_each(void **state)
{
	struct path_file file = opened(sender_of_two, 0);
	struct path_others others = { &file, 1 };
	struct path_file both = opened(RECEIVED(FROM), 0);
	struct path_choices choices = {};

	chosen_way_is(&both, &others, 2, "from:n", &choices, "2 4 5 6 2", true);
	assert_true(path_next_choices(&choices));
	chosen_way_is(&both, &others, 2, "from:n", &choices, "3 5 6 2", true);
	assert_false(path_next_choices(&choices));
	path_close(&file);
	path_close(&both);
	assert_int_equal(path_prints(RECEIVED(FROM), sender_of_two, 2, false), STATUS_OK);
	assert_non_null(strstr(printed, "label from:n (first: a)\n"));
	assert_non_null(strstr(printed, "label from:n (first: b)\n"));
}

/* VM 1's secret goes to VM 2 and comes back. */
static const char there_and_back[] = OF(1, "01", 1, OF_START)
	OF(1, "02", 2, OF_SPREAD("policy", FILE_OF(1, "/a"), A, A, 0, 0))
		OF(1, "03", 3, OF_LEAK(A, 2)) OF(1, "07", 4, OF_WIRE(A, 2, 3));
static const char echo[] = OF(2, "00", 1, OF_START) OF(2, "04", 2, OF_WIRE(A, 1, 3))
	OF(2, "05", 3, OF_LEAK(A, 2));

static void test_way_comes_back_into_the_first_file(void **state)
{
	struct path_file file = opened(there_and_back, 0), other = opened(echo, 0);
	struct path_others others = { &other, 1 };
	char vms[8] = "";

	way_with_is(&file, &others, 4, "a", "2 3 2 3 4", true);
	path_close(&file);
	path_close(&other);
	assert_int_equal(path_prints(there_and_back, echo, 4, false), STATUS_OK);
	for (const char *at = printed; (at = strstr(at, "in VM n (pid ")) && strlen(vms) < 7; at++)
		vms[strlen(vms)] = at[strlen("in VM n (pid ")];
	assert_string_equal(vms, "121");
}

/* The number is in runs of VM 1 in several files. */
static void test_way_goes_on_in_the_latest_run_before(void **state)
{
	struct path_file files[] = { opened(sender, 0), opened(OF(1, "04", 3, OF_LEAK(A, 2)), 0),
				     opened(OF(1, "08", 3, OF_LEAK(A, 2)), 0), opened(sender, 0) };
	struct path_others others = { files, 4 };
	struct path_file file = opened(RECEIVER("05", A), 0);

	way_with_is(&file, &others, 2, "a", "3 2", false);
	path_close(&file);
	for (size_t i = 0; i < others.count; i++)
		path_close(&files[i]);
}

static void test_gap_says_whether_the_vms_file_was_given(void **state)
{
	assert_int_equal(path_prints(there_and_back, NULL, 4, false), STATUS_RECORDS);
	assert_non_null(strstr(printed, "record 3 of its kvmtaint: --with its file)"));
	assert_int_equal(path_prints(there_and_back, OF(2, "00", 1, OF_START), 4, false),
			 STATUS_RECORDS);
	assert_non_null(strstr(printed, "record 3 of its kvmtaint: the files given do not have"));
}

/* VM 2 calls by another name what it had from VM 1 and sends to VM 3. */
static void test_gap_is_told_of_by_the_name_there(void **state)
{
	assert_int_equal(path_prints(OF(3, "06", 1, OF_WIRE(FROM, 2, 3)), echo, 1, false),
			 STATUS_RECORDS);
	assert_non_null(strstr(printed, "(from VM n (pid 1), record 3 of its kvmtaint"));
}

static void test_walk_between_files_in_a_circle_ends(void **state)
{
	struct path_file file = opened(OF(1, "09", 5, OF_WIRE(A, 2, 3))
					       OF(1, "05", 10, OF_SPREAD("read", P, A, A, 5, 0)),
				       0);
	struct path_file other = opened(OF(2, "08", 3, OF_WIRE(A, 1, 10)), 0);
	struct path_others others = { &other, 1 };

	alarm(20);
	way_with_is(&file, &others, 10, "a", "3 5 10", false);
	way_with_is(&file, &others, 10, "a", "3 5 10", false);
	alarm(0);
	path_close(&file);
	path_close(&other);
}

/* ESC, DEL, C1's CSI and a mark that turns text around, as JSON may have them. */
#define ODD "\\u001b[2J\x7f\xc2\x9b\xe2\x80\xae"

static void nothing_odd_is_printed(void)
{
	assert_null(strpbrk(printed, "\x1b\x7f"));
	assert_null(strstr(printed, "\xc2\x9b"));
	assert_null(strstr(printed, "\xe2\x80\xae"));
}

/* Every string of a record, and a key. */
static const char odd[] =
	START(1) "{\"seq\":2,\"type\":\"spread\",\"flow\":\"f" ODD "\",\"syscall\":\"s" ODD
		 "\",\"process\":{\"comm\":\"c" ODD
		 "\"},\"target\":{\"kind\":\"socket\",\"family\":\"i" ODD "\",\"name\":\"n" ODD
		 "\"},\"labels\":[\"a" ODD "\"],\"added\":[\"a" ODD "\"],\"k" ODD "\":0}\n"
		 "{\"seq\":3,\"type\":\"t" ODD "\",\"labels\":[\"a" ODD "\"],\"previous\":2}\n"
		 "{\"seq\":4,\"type\":\"leak\",\"verdict\":\"v" ODD "\",\"kind\":\"k" ODD
		 "\",\"labels\":[\"a" ODD "\"],\"cause\":3}\n";

static void test_text_obeys_no_file(void **state)
{
	static const char *const strings[] = { "f", "s", "c", "i", "n", "a", "t", "v", "k" };
	char escaped[80];

	assert_int_equal(path_prints(odd, NULL, 4, false), STATUS_RECORDS);
	nothing_odd_is_printed();
	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++) {
		snprintf(escaped, sizeof(escaped), "%s\\x1b[2J\\x7f\\xc2\\x9b\\xe2\\x80\\xae",
			 strings[i]);
		if (!strstr(printed, escaped))
			fail_msg("%s is not in %s", escaped, printed);
	}
}

static void test_json_obeys_no_file(void **state)
{
	struct json_object *json;

	assert_int_equal(path_prints(odd, NULL, 4, true), STATUS_RECORDS);
	nothing_odd_is_printed();
	assert_non_null(strstr(printed, "\"k\\u001b[2J\\u007f\\u009b\\u202e\":0"));
	assert_non_null(strstr(printed, "\"flow\":\"f\\u001b[2J\\u007f\\u009b\\u202e\""));
	json = json_tokener_parse(printed);
	assert_non_null(json);
	json_object_put(json);
}

static void test_json_has_records_as_they_are(void **state)
{
	assert_int_equal(path_prints(START(1) "{\"seq\":2,\"type\":\"gone\",\"labels\":[\"a\"],"
					      "\"x\":[null,true,-1,1.50,18446744073709551615,"
					      "\"/\\\"\\\\\xc3\xa9\"],\"y\":{}}\n",
				     NULL, 2, true),
			 STATUS_RECORDS);
	assert_string_equal(printed,
			    "{\"seq\":2,\"ways\":[{\"label\":\"a\",\"whole\":false,\"records\":["
			    "{\"seq\":2,\"type\":\"gone\",\"labels\":[\"a\"],"
			    "\"x\":[null,true,-1,1.50,18446744073709551615,"
			    "\"/\\\"\\\\\xc3\xa9\"],\"y\":{}}]}]}\n");
}

static void test_record_that_comes_late_is_in_its_place(void **state)
{
	struct path_file file =
		opened(OF(1, "01", 1, OF_START) OF(1, "04", 4, OF_SPREAD("read", P, A, A, 3, 0))
			       OF(1, "02", 2, OF_SPREAD("policy", FILE_OF(1, "/a"), A, A, 0, 0))
				       OF(1, "05", 5, OF_LEAK(A, 4))
					       OF(1, "03", 3, OF_SPREAD("read", P, A, A, 2, 0)),
		       0);

	assert_int_equal(file.runs, 1);
	way_is(&file, 5, "a", "2 3 4 5", true);
	path_close(&file);
}

/* With nothing but times to tell it from a record that comes late. */
static void test_run_without_its_start_is_another(void **state)
{
	struct path_file file =
		opened(OF(1, "01", 2, OF_SPREAD("policy", FILE_OF(1, "/a"), A, A, 0, 0))
			       OF(1, "02", 3, OF_LEAK(A, 2))
				       OF(1, "03", 2, OF_SPREAD("read", P, A, A, 0, 0)),
		       0);

	assert_int_equal(file.runs, 2);
	assert_null(path_record(&file, 3));
	way_is(&file, 2, "a", "2", false);
	path_close(&file);
}

static void test_file_may_begin_in_the_middle_of_a_run(void **state)
{
	struct path_file file =
		opened(OF(1, "01", 7, OF_SPREAD("policy", FILE_OF(1, "/a"), A, A, 0, 0))
			       OF(1, "02", 8, OF_LEAK(A, 7)) OF(1, "03", 9, OF_LEAK(A, 6)),
		       0);

	assert_int_equal(file.runs, 1);
	way_is(&file, 8, "a", "7 8", true);
	way_is(&file, 9, "a", "9", false);
	path_close(&file);
}

/* Two kvmtaints appended to the file at once; VM 2's began last. */
static const char mixed[] = OF(1, "01", 1, OF_START) OF(2, "02", 1, OF_START)
	OF(1, "03", 2, OF_SPREAD("policy", FILE_OF(1, "/a"), A, A, 0, 0))
		OF(1, "04", 3, OF_LEAK(A, 2)) OF(2, "05", 2, OF_WIRE(A, 1, 3))
			OF(1, "06", 4, OF_SPREAD("read", P, A, A, 2, 0))
				OF(2, "07", 3, OF_LEAK(A, 2)) OF(1, "08", 5, OF_LEAK(A, 4));

static void test_runs_of_several_vms_are_not_mixed(void **state)
{
	struct path_file file = opened(mixed, 0);

	assert_int_equal(file.runs, 2);
	assert_null(path_record(&file, 4));
	way_is(&file, 3, "a", "2 3 2 3", true);
	path_close(&file);
	assert_int_equal(path_prints(mixed, NULL, 5, false), STATUS_RECORDS);
	assert_non_null(strstr(told, "no record 5 in the last of the runs"));
}

static void test_cut_line_is_passed_over(void **state)
{
	static const char *const cut[] = {
		"{\"seq\":4,\"type\":\"sp\n",	      "\n", "hello\n", "[1]\n", "null\n",
		"{\"seq\":\"4\",\"type\":\"leak\"}\n"
	};
	char text[1000];

	for (size_t i = 0; i < sizeof(cut) / sizeof(*cut); i++) {
		snprintf(text, sizeof(text), "%s%s%s%s",
			 START(1) SPREAD(2, "policy", FILE_OF(1, "/a"), A, A, 0, 0), cut[i],
			 LEAK(5, A, 2) LEAK(6, A, 4), cut[i]);
		assert_int_equal(path_prints(text, NULL, 5, false), STATUS_OK);
		assert_non_null(strstr(told, "passed over: 2\n"));
		assert_ptr_equal(strchr(told, '\n'), told + strlen(told) - 1);
		assert_int_equal(path_prints(text, NULL, 6, false), STATUS_RECORDS);
	}
	assert_int_equal(path_prints(START(1) LEAK(2, A, 1), meeting, 2, false), STATUS_RECORDS);
	assert_null(strstr(told, "passed over"));
}

static void test_record_behind_a_cut_one_is_taken(void **state)
{
	struct path_file file = opened(
		START(1) SPREAD(2, "policy", FILE_OF(1, "/a"), A, A, 0, 0) LEAK(
			3, A,
			2) "{\"seq\":4,\"type\":\"spread\",\"path\":\"/{\\\"seq\\\":7,\\\"type" START(1)
			SPREAD(2, "policy", FILE_OF(2, "/b"), B, B, 0, 0) LEAK(3, B, 2),
		0);
	/* Cut where the line would have ended. */
	struct path_file whole = opened("{\"seq\":8,\"type\":\"stop\"}" START(1) LEAK(2, A, 1), 0);

	assert_int_equal(file.runs, 2);
	assert_int_equal(file.passed_over, 1);
	way_is(&file, 3, "b", "2 3", true);
	assert_int_equal(whole.runs, 2);
	assert_int_equal(whole.passed_over, 0);
	assert_null(path_record(&whole, 8));
	path_close(&file);
	path_close(&whole);
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
		cmocka_unit_test(test_label_of_another_vm_is_one_that_has_no_name_here),
		cmocka_unit_test(test_label_that_stands_for_several_has_a_way_for_each),
		cmocka_unit_test(test_way_comes_back_into_the_first_file),
		cmocka_unit_test(test_gap_says_whether_the_vms_file_was_given),
		cmocka_unit_test(test_way_goes_on_in_the_latest_run_before),
		cmocka_unit_test(test_gap_is_told_of_by_the_name_there),
		cmocka_unit_test(test_walk_between_files_in_a_circle_ends),
		cmocka_unit_test(test_text_obeys_no_file),
		cmocka_unit_test(test_json_obeys_no_file),
		cmocka_unit_test(test_json_has_records_as_they_are),
		cmocka_unit_test(test_record_that_comes_late_is_in_its_place),
		cmocka_unit_test(test_run_without_its_start_is_another),
		cmocka_unit_test(test_file_may_begin_in_the_middle_of_a_run),
		cmocka_unit_test(test_runs_of_several_vms_are_not_mixed),
		cmocka_unit_test(test_cut_line_is_passed_over),
		cmocka_unit_test(test_record_behind_a_cut_one_is_taken),
		cmocka_unit_test(test_file_must_be_a_regular_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
