/* SPDX-License-Identifier: GPL-2.0 */
/* One place that lines are written to: whole lines, or none of a line. */
#ifndef KVMTAINT_SINK_H
#define KVMTAINT_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sink {
	int fd; /* -1: not in use */
	const char *name; /* for the operator; the caller's */
	int abort_fd; /* readable: wait for a slow reader no longer; -1: none */
	void (*idle)(void *ctx); /* called every 10 ms while lines are written; NULL: not */
	void *idle_ctx;
	uint64_t served_ns; /* when it was; CLOCK_MONOTONIC */
	bool is_file; /* regular: a cut line can be taken back */
	int error; /* errno of the last write; 0: it works */
	uint64_t missed; /* lines since error was set */
	uint64_t missed_ever;
	uint64_t recovered; /* lines missed before it worked again, not yet told */
};

void sink_init_stdout(struct sink *sink, int abort_fd);

/*
 * Opens for appending, makes it (mode 0600) if it is new. A regular file is locked
 * (flock(2)) until sink_deinit(). 0; -errno and a line in err: -EWOULDBLOCK when
 * another process has it locked.
 */
int sink_open_file(struct sink *sink, const char *path, int abort_fd, char *err, size_t err_len);
void sink_deinit(struct sink *sink);

/*
 * Writes a line. The first failure is told on stderr; each later line is tried
 * again, as a full disk may be emptied. A closed pipe is final.
 */
void sink_write(struct sink *sink, const char *line);

/* Lines that were missed before the sink worked again; told once. */
uint64_t sink_take_recovered(struct sink *sink);

#endif
