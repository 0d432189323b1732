// SPDX-License-Identifier: GPL-2.0
/* channel.h, as far as it is the same for all; and waiting. */
#include "coordinator.h"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>

static char why_absent[128];

int absent(const char *why)
{
	snprintf(why_absent, sizeof(why_absent), "%s", why);
	return ABSENT;
}

const char *absent_why(void)
{
	return why_absent;
}

int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return -errno;
	return status ? -ECHILD : 0;
}

int read_all(int fd, void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(fd, (char *)data + done, size - done);

		if (n <= 0)
			return n ? -errno : -EPIPE;
		done += n;
	}
	return 0;
}

int write_all(int fd, const void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const char *)data + done, size - done);

		if (n <= 0)
			return n ? -errno : -EPIPE;
		done += n;
	}
	return 0;
}

const char *in_dir(const struct run *r, const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", r->dir, name);
	return path;
}

int open_in_dir(const struct run *r, const char *name, int flags)
{
	int fd = open(in_dir(r, name), flags | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

int mount_at(const char *what, const char *where, const char *type, const char *options)
{
	if (mkdir(where, 0755) && errno != EEXIST)
		return -errno;
	if (!mount(what, where, type, 0, options))
		return 0;
	return errno == ENODEV ? absent("the kernel has no such file system") : -errno;
}

int run_program(char *const *words)
{
	pid_t pid = fork();
	int null;

	if (pid)
		return pid < 0 ? -errno : reap(pid);
	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	execvp(words[0], words);
	_exit(127);
}

long call32(int number, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	long result;

	asm volatile("int $0x80"
		     : "=a"(result)
		     : "a"((long)number), "b"(a), "c"(b), "d"(c), "S"(d)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

int has_calls32(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(call32(20 /* getpid */, 0, 0, 0, 0) != getpid());
	return pid < 0 ? -errno : reap(pid) ? absent("no system calls of 32-bit processes") : 0;
}

void *memory32(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void sleep_ms(long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

static char state_of(pid_t pid)
{
	char path[32], text[256];
	const char *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	end = strrchr(text, ')');
	return end ? end[2] : 0;
}

/* The receiver has nothing to do but to wait in its call once it sleeps for long. */
bool sleeps(pid_t pid)
{
	int asleep = 0;

	for (int left = WAIT_MS / 4; left > 0 && asleep < 6; left--) {
		asleep = state_of(pid) == 'S' ? asleep + 1 : 0;
		sleep_ms(4);
	}
	return asleep >= 6;
}

int pass_descriptor(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {}, byte = 'x';
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	return result(sendmsg(socket, &message, 0));
}

int take_descriptor(int socket)
{
	char control[CMSG_SPACE(sizeof(int))] = {}, byte;
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header;
	int fd = -1;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(header), sizeof(int));
	return fd < 0 ? -EBADF : fd;
}
