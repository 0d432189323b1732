// SPDX-License-Identifier: GPL-2.0
/* Order, holes, and outputs that stop taking lines. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <json-c/json.h>
#include <cmocka.h>

#include "../../user/output.h"

struct bench {
	char path[64];
	uint64_t seq;
	struct policy *policy;
	struct record_context ctx;
	struct output *out;
};

static uint64_t count_up(void *ctx)
{
	return ++*(uint64_t *)ctx;
}

static void open_bench(struct bench *b, const char *path)
{
	struct output_options opt = {
		.record = &b->ctx, .abort_fd = -1, .next_seq = count_up, .next_seq_ctx = &b->seq
	};
	char err[256];

	*b = (struct bench){ .policy = policy_new() };
	b->ctx = (struct record_context){ .vm_pid = 1, .vm_name = "x", .policy = b->policy };
	strcpy(b->path, path ? path : "/tmp/kvmtaint-output-XXXXXX");
	if (!path)
		close(mkstemp(b->path));
	opt.path = b->path;
	opt.record = &b->ctx;
	opt.next_seq_ctx = &b->seq;
	assert_int_equal(output_open(&opt, &b->out, err, sizeof(err)), 0);
}

static void close_bench(struct bench *b)
{
	output_free(b->out);
	policy_free(b->policy);
	unlink(b->path);
}

static void take(struct bench *b, uint64_t seq)
{
	struct kt_record r = { .seq = seq, .type = KT_RECORD_GONE };

	if (seq > b->seq)
		b->seq = seq;
	assert_int_equal(output_take(b->out, &r, offsetof(struct kt_record, path)), 0);
}

/* "1 2 lost(3-4)5 ..." of the records in the file. */
static void assert_file(struct bench *b, const char *want)
{
	char line[4096], got[4096] = "";
	FILE *f = fopen(b->path, "r");

	while (fgets(line, sizeof(line), f)) {
		struct json_object *o = json_tokener_parse(line), *v, *m, *first, *last;

		assert_non_null(o);
		assert_int_equal(line[strlen(line) - 1], '\n');
		json_object_object_get_ex(o, "seq", &v);
		sprintf(got + strlen(got), "%s%d", *got ? " " : "", json_object_get_int(v));
		if (json_object_object_get_ex(o, "missing", &m)) {
			json_object_object_get_ex(m, "first", &first);
			json_object_object_get_ex(m, "last", &last);
			sprintf(got + strlen(got), "(lost %d-%d)", json_object_get_int(first),
				json_object_get_int(last));
		}
		json_object_put(o);
	}
	fclose(f);
	assert_string_equal(got, want);
}

static void one_drain_is_sorted(void **state)
{
	struct bench b;

	open_bench(&b, NULL);
	take(&b, 3);
	take(&b, 1);
	take(&b, 2);
	assert_int_equal(output_flush(b.out, false), 0);
	assert_file(&b, "1 2 3");
	assert_int_equal(output_timeout_ms(b.out), -1);
	close_bench(&b);
}

static void what_follows_a_hole_waits_for_it(void **state)
{
	struct bench b;

	open_bench(&b, NULL);
	take(&b, 1);
	take(&b, 3);
	take(&b, 4);
	output_flush(b.out, false);
	assert_file(&b, "1");
	assert_true(output_timeout_ms(b.out) > 0);
	take(&b, 2);
	output_flush(b.out, false);
	assert_file(&b, "1 2 3 4");
	close_bench(&b);
}

static void a_hole_that_stays_is_told(void **state)
{
	struct bench b;

	open_bench(&b, NULL);
	take(&b, 1);
	take(&b, 4);
	take(&b, 5);
	output_flush(b.out, false);
	usleep(250000);
	output_flush(b.out, false);
	assert_file(&b, "1 4 5 6(lost 2-3)");
	take(&b, 7);
	output_flush(b.out, false);
	assert_file(&b, "1 4 5 6(lost 2-3) 7");
	/* Later than that it is still worth having. */
	take(&b, 2);
	output_flush(b.out, false);
	assert_file(&b, "1 4 5 6(lost 2-3) 7 2");
	close_bench(&b);
}

static void the_end_holds_nothing_back(void **state)
{
	struct bench b;

	open_bench(&b, NULL);
	take(&b, 2);
	take(&b, 9);
	output_lost(b.out, "recursion", 3);
	output_flush(b.out, true);
	assert_file(&b, "2 9 10 11(lost 1-1) 12(lost 3-8)");
	close_bench(&b);
}

static void full_disk_is_told_once_and_lines_stay_whole(void **state)
{
	struct bench b;
	struct rlimit before, tight;
	struct stat st;
	uint64_t seq;

	/* A file size limit fails as a full disk does: in the middle of a line. */
	signal(SIGXFSZ, SIG_IGN);
	open_bench(&b, NULL);
	getrlimit(RLIMIT_FSIZE, &before);
	tight = before;
	tight.rlim_cur = 1000;
	setrlimit(RLIMIT_FSIZE, &tight);
	for (seq = 1; seq <= 20; seq++) {
		take(&b, seq);
		output_flush(b.out, false);
	}
	assert_int_equal(output_flush(b.out, false), -EFBIG);
	assert_true(output_file_lost(b.out) > 0);
	stat(b.path, &st);
	assert_true(st.st_size < 1000);
	setrlimit(RLIMIT_FSIZE, &before);
	take(&b, 21);
	assert_int_equal(output_flush(b.out, false), 0);
	assert_int_equal(b.seq, 22); /* the lost record that tells how many */
	close_bench(&b);
}

static void dev_full(void **state)
{
	struct bench b;

	open_bench(&b, "/dev/full");
	b.path[0] = '\0';
	take(&b, 1);
	assert_int_equal(output_flush(b.out, false), -ENOSPC);
	assert_int_equal(output_file_lost(b.out), 1);
	close_bench(&b);
}

static void closed_reader(void **state)
{
	struct output_options opt = { .abort_fd = -1, .use_stdout = true, .next_seq = count_up };
	struct bench b;
	int ends[2], console = dup(STDOUT_FILENO), rc;
	char err[64];

	signal(SIGPIPE, SIG_IGN);
	open_bench(&b, NULL);
	output_free(b.out);
	opt.record = &b.ctx;
	opt.next_seq_ctx = &b.seq;
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	fflush(stdout);
	dup2(ends[1], STDOUT_FILENO);
	close(ends[1]);
	rc = output_open(&opt, &b.out, err, sizeof(err));
	if (!rc) {
		take(&b, 1);
		rc = output_flush(b.out, false);
	}
	dup2(console, STDOUT_FILENO);
	close(console);
	assert_int_equal(rc, -EPIPE);
	close_bench(&b);
}

static void reader_that_does_not_read_can_be_left(void **state)
{
	struct output_options opt = { .use_stdout = true, .next_seq = count_up };
	struct bench b;
	int ends[2], stop[2], console = dup(STDOUT_FILENO), rc, i;
	char err[64];

	open_bench(&b, NULL);
	output_free(b.out);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(pipe(stop), 0);
	assert_int_equal(write(stop[1], "x", 1), 1);
	opt.abort_fd = stop[0];
	opt.record = &b.ctx;
	opt.next_seq_ctx = &b.seq;
	fflush(stdout);
	dup2(ends[1], STDOUT_FILENO);
	rc = output_open(&opt, &b.out, err, sizeof(err));
	for (i = 1; !rc && i < 2000; i++) {
		take(&b, i);
		rc = output_flush(b.out, false);
	}
	dup2(console, STDOUT_FILENO);
	close(console);
	close(ends[0]);
	close(ends[1]);
	close(stop[0]);
	close(stop[1]);
	assert_int_equal(rc, -ETIMEDOUT);
	close_bench(&b);
}

static void count_call(void *ctx)
{
	++*(int *)ctx;
}

/* A page of the pipe every few milliseconds: never so slow that poll(2) says so. */
static pid_t steady_reader(const int ends[2])
{
	char page[4096];
	pid_t pid = fork();

	if (pid)
		return pid;
	close(ends[1]);
	while (read(ends[0], page, sizeof(page)) > 0)
		usleep(3000);
	_exit(0);
}

static void others_are_served_while_a_reader_is_slow_and_steady(void **state)
{
	struct output_options opt = {
		.use_stdout = true, .abort_fd = -1, .next_seq = count_up, .idle = count_call
	};
	struct bench b;
	int ends[2], console = dup(STDOUT_FILENO), calls = 0, rc, left;
	char err[64];
	pid_t reader;

	open_bench(&b, NULL);
	output_free(b.out);
	assert_int_equal(pipe(ends), 0);
	reader = steady_reader(ends);
	opt.record = &b.ctx;
	opt.next_seq_ctx = &b.seq;
	opt.idle_ctx = &calls;
	fflush(stdout);
	dup2(ends[1], STDOUT_FILENO);
	rc = output_open(&opt, &b.out, err, sizeof(err));
	for (int i = 1; !rc && i < 4000; i++)
		take(&b, i);
	rc = rc ?: output_flush(b.out, false);
	/* The rest is for the next time, which is at once. */
	left = output_timeout_ms(b.out);
	dup2(console, STDOUT_FILENO);
	close(console);
	close(ends[0]);
	close(ends[1]);
	kill(reader, SIGKILL);
	waitpid(reader, NULL, 0);
	assert_int_equal(rc, 0);
	assert_int_equal(left, 0);
	assert_in_range(calls, 3, 11);
	close_bench(&b);
}

static void a_file_is_written_by_one_alone(void **state)
{
	struct output_options opt = { .abort_fd = -1 };
	struct output *second = NULL;
	struct bench b;
	char err[256] = "";

	open_bench(&b, NULL);
	opt.path = b.path;
	assert_int_equal(output_open(&opt, &second, err, sizeof(err)), -EWOULDBLOCK);
	assert_non_null(strstr(err, b.path));
	assert_null(second);
	close_bench(&b);
}

/* A run that was killed while it wrote; the next one. */
static void a_cut_line_is_not_continued(void **state)
{
	char path[] = "/tmp/kvmtaint-cut-XXXXXX", line[64];
	int fd = mkstemp(path);
	struct bench b;
	FILE *f;

	assert_int_equal(write(fd, "{\"seq\":7", 8), 8);
	close(fd);
	open_bench(&b, path);
	take(&b, 1);
	assert_int_equal(output_flush(b.out, false), 0);
	f = fopen(path, "r");
	assert_non_null(fgets(line, sizeof(line), f));
	assert_string_equal(line, "{\"seq\":7\n");
	assert_non_null(fgets(line, sizeof(line), f));
	assert_memory_equal(line, "{\"seq\":1,", 9);
	fclose(f);
	close_bench(&b);
}

static void unwritable_path(void **state)
{
	struct output_options opt = { .path = "/nonexistent/x", .abort_fd = -1 };
	struct output *out = NULL;
	char err[256] = "";

	assert_int_equal(output_open(&opt, &out, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent/x"));
	assert_null(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_drain_is_sorted),
		cmocka_unit_test(what_follows_a_hole_waits_for_it),
		cmocka_unit_test(a_hole_that_stays_is_told),
		cmocka_unit_test(the_end_holds_nothing_back),
		cmocka_unit_test(full_disk_is_told_once_and_lines_stay_whole),
		cmocka_unit_test(dev_full),
		cmocka_unit_test(closed_reader),
		cmocka_unit_test(reader_that_does_not_read_can_be_left),
		cmocka_unit_test(others_are_served_while_a_reader_is_slow_and_steady),
		cmocka_unit_test(a_file_is_written_by_one_alone),
		cmocka_unit_test(a_cut_line_is_not_continued),
		cmocka_unit_test(unwritable_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
