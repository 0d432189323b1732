// SPDX-License-Identifier: GPL-2.0
/* Channels through a core dump. */
#include "coordinator.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define CORE_PATTERN	"/proc/sys/kernel/core_pattern"
#define CORE_PIPE_LIMIT "/proc/sys/kernel/core_pipe_limit"
#define MARK_SIZE	16

static char pattern_before[128];

static int write_setting(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int error = fd < 0 ? -errno : write_all(fd, text, strlen(text));

	close(fd);
	return error;
}

static int set_pattern(const char *pattern)
{
	int fd = open(CORE_PATTERN, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, pattern_before, sizeof(pattern_before) - 1);

	close(fd);
	if (n <= 0)
		return -errno;
	pattern_before[n] = 0;
	return write_setting(CORE_PATTERN, pattern);
}

static int setup_core(struct run *r)
{
	return set_pattern(in_dir(r, "core"));
}

static void teardown_core(struct run *r)
{
	(void)r;
	write_setting(CORE_PATTERN, pattern_before);
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

/* --- to a program ----------------------------------------------------------- */

/* The kernel executes this program, with the name of who dies; who dies waits for its end. */
static int setup_helper(struct run *r)
{
	char program[64], pattern[128];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n <= 0)
		return -errno;
	program[n] = 0;
	snprintf(pattern, sizeof(pattern), "|%s helper %s %%e", program, r->dir);
	return write_setting(CORE_PIPE_LIMIT, "1") ?: set_pattern(pattern);
}

static void teardown_helper(struct run *r)
{
	write_setting(CORE_PIPE_LIMIT, "0");
	teardown_core(r);
}

int be_helper(const char *dir, const char *dying)
{
	struct run r = { .dir = dir };
	char name[16], bytes[1 << 16];
	struct stat st;
	int number, core;
	ssize_t n;

	snprintf(name, sizeof(name), "%s", dying);
	if (strchr(name, 's'))
		*strchr(name, 's') = 'h';
	prctl(PR_SET_NAME, name);
	unlink(in_dir(&r, "core"));
	number = open_in_dir(&r, "pipe", O_WRONLY | O_CREAT | O_TRUNC);
	core = open_in_dir(&r, "core", O_WRONLY | O_CREAT | O_TRUNC);
	if (core < 0 || fstat(0, &st) || write_all(number, &st.st_ino, sizeof(st.st_ino)))
		return 1;
	while ((n = read(0, bytes, sizeof(bytes))) > 0)
		if (write_all(core, bytes, n))
			return 1;
	return n < 0;
}

static int receive_from_helper(struct run *r, void *data, size_t size)
{
	int fd = open_in_dir(r, "pipe", O_RDONLY);
	int error = fd < 0 ? fd : read_all(fd, r->number, sizeof(r->number[0]));

	close(fd);
	return error ? error : receive_core(r, data, size);
}

CHANNEL(core_pipe, .name = "core/pipe", .hook = "dump_emit", .carrier = "process,pipe,process,file",
	.at = "-,=0,-,core", .setup = setup_helper, .send = send_core,
	.receive = receive_from_helper, .teardown = teardown_helper);
