/* SPDX-License-Identifier: GPL-2.0 */
/* Where records go: to stdout and a file, line by line, in the order of seq. */
#ifndef KVMTAINT_OUTPUT_H
#define KVMTAINT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

struct output;

struct output_options {
	const struct record_context *record; /* read at every record: keep it fresh */
	const char *path; /* appended to; NULL: no file */
	bool use_stdout;
	int abort_fd; /* readable: give up on a reader that does not read; -1 */
	uint64_t (*next_seq)(void *ctx);
	void *next_seq_ctx;
	void (*idle)(void *ctx); /* every 10 ms while lines are written; may be NULL. May */
	void *idle_ctx; /* call output_take(), output_queue(), output_lost() */
};

/* 0; or -errno with one clear line in err when the file cannot be opened. */
int output_open(const struct output_options *opt, struct output **out, char *err, size_t err_len);
void output_free(struct output *output);

/*
 * An engine_record_fn: takes one record of a drain. 0 or -ENOMEM. When 100,000
 * lines wait for a slow reader records are dropped, which leaves a hole.
 */
int output_take(void *output, const struct kt_record *rec, size_t len);

/* Queues a line made with seq; takes ownership of it. 0 or -ENOMEM. */
int output_queue(struct output *output, uint64_t seq, char *line);

/* Queues a lost record of user space. 0 or -ENOMEM. */
int output_lost(struct output *output, const char *reason, uint64_t count);

/*
 * After a drain: writes what is in order, for 100 ms at most; the rest the next time. What comes
 * behind a hole is held back for 200 ms; a hole that stays becomes a "lost" record. all: hold
 * nothing back, and write everything. 0; -EPIPE when stdout is closed; -ENOSPC (or why the file
 * fails) when nothing is left to write to.
 */
int output_flush(struct output *output, bool all);

/* Until output_flush() has something to do by itself: ms; -1: nothing waits. */
int output_timeout_ms(const struct output *output);

/* Lines that the file did not take. */
uint64_t output_file_lost(const struct output *output);

#endif
