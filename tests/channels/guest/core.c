// SPDX-License-Identifier: GPL-2.0
/* Channels through a core dump. */
#include "channel.h"

#include <sys/mman.h>
#include <sys/resource.h>

#define CORE_PATTERN "/proc/sys/kernel/core_pattern"
#define MARK_SIZE    16

static char pattern_before[128];

static int write_pattern(const char *text)
{
	int fd = open(CORE_PATTERN, O_WRONLY | O_CLOEXEC);
	int error = fd < 0 ? -errno : write_all(fd, text, strlen(text));

	close(fd);
	return error;
}

static int setup_core(struct run *r)
{
	int fd = open(CORE_PATTERN, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, pattern_before, sizeof(pattern_before) - 1);

	close(fd);
	if (n <= 0)
		return -errno;
	pattern_before[n] = 0;
	return write_pattern(in_dir(r, "core"));
}

static void teardown_core(struct run *r)
{
	(void)r;
	write_pattern(pattern_before);
}

/* What stands before the data in the dump; in no other place of this program. */
static void make_mark(unsigned char *mark)
{
	for (int i = 0; i < MARK_SIZE; i++)
		mark[i] = 0xa5 ^ i * 7;
}

static void __attribute__((noreturn)) die_with(const void *data, size_t size)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned char *page = mmap(NULL, 2 * CHANNEL_SIZE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	setrlimit(RLIMIT_CORE, &all);
	make_mark(page);
	memcpy(page + MARK_SIZE, data, size);
	abort();
}

static int send_core(struct run *r, const void *data, size_t size)
{
	pid_t pid;
	int status;

	unlink(in_dir(r, "core"));
	r->heir = pid = fork();
	if (!pid)
		die_with(data, size);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	return WCOREDUMP(status) ? 0 : -ENOEXEC;
}

static int receive_core(struct run *r, void *data, size_t size)
{
	unsigned char mark[MARK_SIZE], *core, *found;
	int fd = open_in_dir(r, "core", O_RDONLY);
	off_t length = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	int error = -EBADMSG;

	if (fd < 0 || lseek(fd, 0, SEEK_SET))
		return -EBADF;
	make_mark(mark);
	core = malloc(length);
	if (!read_all(fd, core, length)) {
		found = memmem(core, length, mark, MARK_SIZE);
		if (found && found + MARK_SIZE + size <= core + length) {
			memcpy(data, found + MARK_SIZE, size);
			error = 0;
		}
	}
	free(core);
	close(fd);
	return error;
}

/* The sender's child dies: it is one process more on the way. */
CHANNEL(core_file, .name = "core/file", .hook = "dump_emit", .carrier = "process,file",
	.at = "-,core", .setup = setup_core, .send = send_core, .receive = receive_core,
	.teardown = teardown_core);
