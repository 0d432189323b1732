// SPDX-License-Identifier: GPL-2.0
/* A lock file for each VM, held with flock(2): it cannot outlive its holder. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm_lock.h"

/* A killed kvmtaint's guard (user/guard.c) may hold the file a moment longer. */
#define TRIES		20
#define TRY_PAUSE_US	25000
#define LOCK_TRY_MS	10

#define fail(code, ...) (snprintf(err, err_len, __VA_ARGS__), -(code))

static void lock_path(pid_t pid, char *buf, size_t len)
{
	snprintf(buf, len, VM_LOCK_DIR "/%d.lock", pid);
}

/* Whether path still names the file that fd is: its last holder may have removed it. */
static int is_current(int fd, const char *path)
{
	struct stat ours, named;

	return !fstat(fd, &ours) && !stat(path, &named) && ours.st_ino == named.st_ino &&
	       ours.st_dev == named.st_dev;
}

static int try_take(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), rc;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		rc = errno == EWOULDBLOCK ? -EEXIST : -errno;
		close(fd);
		return rc;
	}
	if (is_current(fd, path))
		return fd;
	close(fd);
	return -EEXIST;
}

static int read_holder(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		close(fd);
	}
	return atoi(text);
}

int vm_lock_take(pid_t pid, char *err, size_t err_len)
{
	char path[64];
	int fd, tries;

	lock_path(pid, path, sizeof(path));
	if (mkdir(VM_LOCK_DIR, 0700) && errno != EEXIST)
		return fail(errno, "cannot make %s: %s", VM_LOCK_DIR, strerror(errno));
	for (tries = 0; tries < TRIES; tries++) {
		if (tries)
			usleep(TRY_PAUSE_US);
		fd = try_take(path);
		if (fd != -EEXIST)
			break;
	}
	if (fd == -EEXIST)
		return fail(EEXIST, "another kvmtaint (process %d) traces the VM of process %d",
			    read_holder(path), pid);
	if (fd < 0)
		return fail(-fd, "cannot lock %s: %s", path, strerror(-fd));
	if (ftruncate(fd, 0) || dprintf(fd, "%d\n", getpid()) < 0)
		return fd; /* only the other side's message is poorer */
	return fd;
}

int host_lock_take(unsigned int wait_ms)
{
	int fd, error;

	if (mkdir(VM_LOCK_DIR, 0700) && errno != EEXIST)
		return -errno;
	fd = open(VM_LOCK_DIR "/host.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		error = errno;
		if ((error != EWOULDBLOCK && error != EINTR) || wait_ms < LOCK_TRY_MS) {
			close(fd);
			return -error;
		}
		usleep(LOCK_TRY_MS * 1000);
		wait_ms -= LOCK_TRY_MS;
	}
	return fd;
}

void vm_lock_release(pid_t pid, int fd)
{
	char path[64];

	if (fd < 0)
		return;
	lock_path(pid, path, sizeof(path));
	unlink(path);
	close(fd);
}
