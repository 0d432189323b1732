/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guest programs share: small helpers that end the program when
 * something fails. A failed scenario must say why, so every message names the
 * program's comm; a program that works prints nothing, because its standard
 * output may be a carrier.
 */
#ifndef GUEST_H
#define GUEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_SIZE 4096 /* bytes: what the lab puts into $FILE */
#define DEADLINE_S   50 /* nothing in a scenario may take longer */
#define MESSAGE_MAX  65536

static inline __attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...)
{
	char comm[16] = "?";
	int error = errno;
	va_list args;

	prctl(PR_GET_NAME, comm);
	fprintf(stderr, "%s: ", comm);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(error));
	exit(1);
}

static inline void set_comm(const char *comm)
{
	if (comm)
		prctl(PR_SET_NAME, comm);
}

static inline void sleep_ms(long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&time, &time) && errno == EINTR)
		;
}

/* Waits until @path exists. Only stat() is used: no data flows. */
static inline void wait_for_path(const char *path)
{
	struct stat st;

	while (path && stat(path, &st))
		sleep_ms(2);
}

/* Creates @path without writing into it, so that even a managed process may. */
static inline void touch(const char *path)
{
	int fd;

	if (!path)
		return;
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		die("%s", path);
	close(fd);
}

/* Bytes that are nobody's secret. */
static inline void fill_clean(char *buf, size_t size)
{
	for (size_t i = 0; i < size; i++)
		buf[i] = "clean..\n"[i % 8];
}

/* Reads @size bytes of @fd or dies. */
static inline void read_fully(int fd, char *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, buf + done, size - done);

		if (n <= 0)
			die("read: %zu of %zu bytes", done, size);
		done += n;
	}
}

static inline void write_fully(int fd, const char *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = write(fd, buf + done, size - done);

		if (n <= 0)
			die("write: %zu of %zu bytes", done, size);
		done += n;
	}
}

/* Reads the first MESSAGE_SIZE bytes of @path; the caller is managed from here on. */
static inline void read_path(const char *path, char *buf)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("%s", path);
	read_fully(fd, buf, MESSAGE_SIZE);
	close(fd);
}

/* Writes a message into @path, made anew. */
static inline void write_path(const char *path, const char *buf)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		die("%s", path);
	write_fully(fd, buf, MESSAGE_SIZE);
	close(fd);
}

/* Waits for the child @pid and dies unless it ended with status 0. */
static inline void reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		die("waitpid %d", pid);
	if (status) {
		errno = ECHILD;
		die("child %d ended with status 0x%x", pid, status);
	}
}

#endif
