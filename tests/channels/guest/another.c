// SPDX-License-Identifier: GPL-2.0
/*
 * Channels through another process's memory. All processes of a
 * channel are forks of one: an address means the same in each. What number the
 * receiver must know goes through an eventfd.
 */
#include "channel.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/*
 * r->data: memory of its own in each process, at the same address, where 32-bit calls reach it too;
 * twice what is sent, for what they need beside it
 */
static int setup_memory(struct run *r)
{
	r->data = memory32(2 * CHANNEL_SIZE);
	r->fd[0] = eventfd(0, EFD_CLOEXEC);
	return r->data ? result(r->fd[0]) : -ENOMEM;
}

static void teardown_memory(struct run *r)
{
	munmap(r->data, 2 * CHANNEL_SIZE);
}

static int tell_number(int fd, uint64_t number)
{
	return write_all(fd, &number, sizeof(number));
}

/* 0: none came */
static uint64_t hear_number(int fd)
{
	uint64_t number;

	return read_all(fd, &number, sizeof(number)) ? 0 : number;
}

/* The sender only says who it is; its copy stays in its memory, at r->data. */
static int send_hold(struct run *r, const void *data, size_t size)
{
	memcpy(r->data, data, size);
	return tell_number(r->fd[0], getpid());
}

/* The sender has put it into this process's memory. */
static int receive_held(struct run *r, void *data, size_t size)
{
	memcpy(data, r->data, size);
	return 0;
}

static int moved(ssize_t n, size_t size)
{
	return n < 0 ? -errno : n == (ssize_t)size ? 0 : -EBADMSG;
}

/* --- process_vm_readv, process_vm_writev --------------------------------- */

static int receive_vm_readv(struct run *r, void *data, size_t size)
{
	struct iovec to = { data, size }, from = { r->data, size };

	return moved(process_vm_readv(hear_number(r->fd[0]), &to, 1, &from, 1, 0), size);
}

static int send_vm_writev(struct run *r, const void *data, size_t size)
{
	struct iovec from = { (void *)data, size }, to = { r->data, size };

	return moved(process_vm_writev(r->receiver, &from, 1, &to, 1, 0), size);
}

CHANNEL(vm_readv, .name = "memory/process_vm_readv", .hook = "remote_pages", .carrier = "",
	.setup = setup_memory, .send = send_hold, .receive = receive_vm_readv,
	.teardown = teardown_memory);
CHANNEL(vm_writev, .name = "memory/process_vm_writev", .hook = "remote_pages", .carrier = "",
	.setup = setup_memory, .send = send_vm_writev, .receive = receive_held,
	.teardown = teardown_memory);

/* --- /proc/PID/mem ------------------------------------------------------- */

static int open_mem(pid_t pid, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	return open(path, flags | O_CLOEXEC);
}

static int receive_mem(struct run *r, void *data, size_t size)
{
	int fd = open_mem(hear_number(r->fd[0]), O_RDONLY);
	int error = fd < 0 ? -errno : moved(pread(fd, data, size, (off_t)r->data), size);

	close(fd);
	return error;
}

static int send_mem(struct run *r, const void *data, size_t size)
{
	int fd = open_mem(r->receiver, O_WRONLY);
	int error = fd < 0 ? -errno : moved(pwrite(fd, data, size, (off_t)r->data), size);

	close(fd);
	return error;
}

CHANNEL(mem_read, .name = "memory/proc-mem-read", .hook = "file_permission", .carrier = "",
	.setup = setup_memory, .send = send_hold, .receive = receive_mem,
	.teardown = teardown_memory);
CHANNEL(mem_write, .name = "memory/proc-mem-write", .hook = "file_permission", .carrier = "",
	.setup = setup_memory, .send = send_mem, .receive = receive_held,
	.teardown = teardown_memory);

/* --- ptrace -------------------------------------------------------------- */

static int attach(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL))
		return -errno;
	return waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status) ? 0 : -ECHILD;
}

static int detach(pid_t pid, int error)
{
	return error ? error : result(ptrace(PTRACE_DETACH, pid, NULL, NULL));
}

static int receive_peek(struct run *r, void *data, size_t size)
{
	pid_t pid = hear_number(r->fd[0]);
	int error = attach(pid);
	long *to = data;

	errno = 0;
	for (size_t i = 0; !error && i < size / sizeof(long); i++) {
		to[i] = ptrace(PTRACE_PEEKDATA, pid, (long *)r->data + i, NULL);
		error = -errno;
	}
	return detach(pid, error);
}

static int send_poke(struct run *r, const void *data, size_t size)
{
	int error = attach(r->receiver);
	const long *from = data;

	for (size_t i = 0; !error && i < size / sizeof(long); i++)
		error = result(ptrace(PTRACE_POKEDATA, r->receiver, (long *)r->data + i, from[i]));
	return detach(r->receiver, error);
}

CHANNEL(peek, .name = "memory/ptrace-peek", .hook = "ptrace", .carrier = "", .setup = setup_memory,
	.send = send_hold, .receive = receive_peek, .teardown = teardown_memory);
CHANNEL(poke, .name = "memory/ptrace-poke", .hook = "ptrace", .carrier = "", .setup = setup_memory,
	.send = send_poke, .receive = receive_held, .teardown = teardown_memory);

/* By the calls of 32-bit processes: four bytes at a time. */

#define PTRACE32 26

static int setup_memory32(struct run *r)
{
	return has_calls32() ?: setup_memory(r);
}

static int ptrace32(int request, pid_t pid, const void *at, const void *data)
{
	return call32(PTRACE32, request, pid, (uintptr_t)at, (uintptr_t)data);
}

static int receive_peek32(struct run *r, void *data, size_t size)
{
	uint32_t *from = r->data, *word = from + CHANNEL_SIZE / sizeof(*word), *to = data;
	pid_t pid = hear_number(r->fd[0]);
	int error = attach(pid);

	for (size_t i = 0; !error && i < size / sizeof(*word); i++) {
		error = ptrace32(PTRACE_PEEKDATA, pid, from + i, word);
		to[i] = *word;
	}
	return detach(pid, error);
}

static int send_poke32(struct run *r, const void *data, size_t size)
{
	int error = attach(r->receiver);
	const uint32_t *from = data;
	uint32_t *to = r->data;

	for (size_t i = 0; !error && i < size / sizeof(*to); i++)
		error = ptrace32(PTRACE_POKEDATA, r->receiver, to + i, (void *)(uintptr_t)from[i]);
	return detach(r->receiver, error);
}

CHANNEL(peek32, .name = "memory/ptrace-peek-32-bit", .hook = "compat_ptrace", .carrier = "",
	.setup = setup_memory32, .send = send_hold, .receive = receive_peek32,
	.teardown = teardown_memory);
CHANNEL(poke32, .name = "memory/ptrace-poke-32-bit", .hook = "compat_ptrace", .carrier = "",
	.setup = setup_memory32, .send = send_poke32, .receive = receive_held,
	.teardown = teardown_memory);

NOT_COVERED(arguments, "`/proc/PID/cmdline`, `environ` and `comm`",
	    "`ps` reads them of everybody; the first two are followed with `--follow-arguments`");
NOT_COVERED(
	tracing,
	"BPF programs, uprobes, perf and `/proc/kcore`, by which the guest's root reads user memory",
	"they copy without a function that could be trapped for them alone");
