// SPDX-License-Identifier: GPL-2.0
/* Whole lines to a descriptor that may be full, slow or closed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record.h"
#include "sink.h"

#define IDLE_MS 10

void sink_init_stdout(struct sink *sink, int abort_fd)
{
	struct stat st;

	*sink = (struct sink){ .fd = STDOUT_FILENO, .name = "stdout", .abort_fd = abort_fd };
	sink->is_file = !fstat(sink->fd, &st) && S_ISREG(st.st_mode);
}

/* Two that append to one file would cut each other's lines. 0 or -errno. */
static int claim(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK ? -EWOULDBLOCK : 0;
}

/* After a run that was killed in the middle of a line the next one begins a line of its own. */
static void end_cut_line(int fd, const char *path)
{
	int reader = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END);
	char last;

	if (reader < 0)
		return;
	/* What a full disk does not take the first record tells of. */
	if (size > 0 && pread(reader, &last, 1, size - 1) == 1 && last != '\n')
		(void)!write(fd, "\n", 1);
	close(reader);
}

int sink_open_file(struct sink *sink, const char *path, int abort_fd, char *err, size_t err_len)
{
	struct stat st;
	int fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);

	if (fd < 0) {
		snprintf(err, err_len, "cannot open %s for appending: %s", path, strerror(errno));
		return -errno;
	}
	*sink = (struct sink){ .fd = fd, .name = path, .abort_fd = abort_fd };
	sink->is_file = !fstat(fd, &st) && S_ISREG(st.st_mode);
	if (!sink->is_file)
		return 0;
	if (claim(fd)) {
		snprintf(err, err_len, "another kvmtaint writes to %s: give each a file of its own",
			 path);
		close(fd);
		sink->fd = -1;
		return -EWOULDBLOCK;
	}
	end_cut_line(fd, path);
	return 0;
}

void sink_deinit(struct sink *sink)
{
	if (sink->fd >= 0 && sink->fd != STDOUT_FILENO)
		close(sink->fd);
	sink->fd = -1;
}

/* Also where the reader is slow and steady, so that no wait is long. */
static void serve_others(struct sink *sink)
{
	uint64_t now = record_now();

	if (!sink->idle || now - sink->served_ns < IDLE_MS * 1000000ULL)
		return;
	sink->served_ns = now;
	sink->idle(sink->idle_ctx);
}

/* Waits until PIPE_BUF bytes can be written without blocking. 0 or -errno. */
static int wait_writable(struct sink *sink)
{
	struct pollfd fds[2] = {
		{ .fd = sink->fd, .events = POLLOUT },
		{ .fd = sink->abort_fd, .events = POLLIN },
	};

	for (;;) {
		int n = poll(fds, 2, sink->idle ? IDLE_MS : -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		serve_others(sink);
		if (n <= 0)
			continue;
		/* An error is for write() to name. */
		if (fds[0].revents)
			return 0;
		if (fds[1].revents)
			return -ETIMEDOUT;
	}
}

static int write_all(struct sink *sink, const char *line, size_t len)
{
	size_t done = 0;
	ssize_t n;
	int rc;

	while (done < len) {
		rc = wait_writable(sink);
		if (rc)
			return rc;
		n = write(sink->fd, line + done, len - done < PIPE_BUF ? len - done : PIPE_BUF);
		if (n >= 0)
			done += n;
		else if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
	return 0;
}

static void tell_failure(struct sink *sink, int error)
{
	if (sink->error)
		return;
	if (error == EPIPE)
		fprintf(stderr, "kvmtaint: nobody reads %s any more\n", sink->name);
	else if (error == ETIMEDOUT)
		fprintf(stderr,
			"kvmtaint: the reader of %s does not read: its records are dropped\n",
			sink->name);
	else
		fprintf(stderr,
			"kvmtaint: cannot write to %s: %s; its records are missing from"
			" here on\n",
			sink->name, strerror(error));
}

void sink_write(struct sink *sink, const char *line)
{
	size_t len = strlen(line);
	off_t before;
	int rc;

	if (sink->fd < 0)
		return;
	if (sink->error == EPIPE || sink->error == ETIMEDOUT) {
		sink->missed_ever++;
		return;
	}
	before = sink->is_file ? lseek(sink->fd, 0, SEEK_END) : -1;
	rc = write_all(sink, line, len);
	if (!rc) {
		if (sink->error)
			fprintf(stderr, "kvmtaint: %s takes records again; %llu are missing\n",
				sink->name, (unsigned long long)sink->missed);
		sink->recovered += sink->missed;
		sink->missed = 0;
		sink->error = 0;
		return;
	}
	/* Half a line would spoil the next one too. */
	if (before >= 0 && ftruncate(sink->fd, before))
		rc = -errno;
	tell_failure(sink, -rc);
	sink->error = -rc;
	sink->missed++;
	sink->missed_ever++;
}

uint64_t sink_take_recovered(struct sink *sink)
{
	uint64_t n = sink->recovered;

	sink->recovered = 0;
	return n;
}
