// SPDX-License-Identifier: GPL-2.0
/* Channels through shared memory: mapped files, System V, POSIX, memfd, anonymous. */
#include "channel.h"

#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define SHARED_SIZE 8192
#define BELL	    (SHARED_SIZE - 64) /* where who waits is woken, behind the data */

/* --- waiting in shared memory -------------------------------------------- */

static long futex(void *word, int operation, uint32_t value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static void ring(char *memory)
{
	__atomic_add_fetch((uint32_t *)(memory + BELL), 1, __ATOMIC_SEQ_CST);
	futex(memory + BELL, FUTEX_WAKE, INT32_MAX);
}

/* Until somebody rings: the bell of a round says its number. */
static void wait_for(char *memory, uint32_t rings)
{
	uint32_t *bell = (uint32_t *)(memory + BELL), seen;

	while ((seen = __atomic_load_n(bell, __ATOMIC_SEQ_CST)) < rings)
		futex(bell, FUTEX_WAIT, seen);
}

/* --- files --------------------------------------------------------------- */

static char *map_fd(int fd, int prot, int flags)
{
	char *memory = mmap(NULL, SHARED_SIZE, prot, flags, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* DIR/name, mapped; made when it is not there. NULL and errno. */
static char *map_file(struct run *r, const char *name, int prot, int flags)
{
	int fd = open_in_dir(r, name, O_RDWR | O_CREAT);
	char *memory = NULL;

	if (fd >= 0 && !ftruncate(fd, SHARED_SIZE))
		memory = map_fd(fd, prot, flags);
	close(fd);
	return memory;
}

static int send_into(char *memory, const void *data, size_t size)
{
	if (!memory)
		return -errno;
	memcpy(memory, data, size);
	ring(memory);
	return result(munmap(memory, SHARED_SIZE));
}

/* What is in memory when it has rung so often. */
static int receive_rung(char *memory, uint32_t rings, void *data, size_t size)
{
	if (!memory)
		return -errno;
	wait_for(memory, rings);
	memcpy(data, memory, size);
	return result(munmap(memory, SHARED_SIZE));
}

static int receive_from(struct run *r, char *memory, void *data, size_t size)
{
	return receive_rung(memory, r->round, data, size);
}

static int send_mmap(struct run *r, const void *data, size_t size)
{
	return send_into(map_file(r, "file", PROT_READ | PROT_WRITE, MAP_SHARED), data, size);
}

static int receive_read(struct run *r, void *data, size_t size)
{
	int fd = open_in_dir(r, "file", O_RDONLY), error;

	if (fd < 0)
		return fd;
	error = read_all(fd, data, size);
	close(fd);
	return error;
}

CHANNEL(mmap_write, .name = "memory/mmap-shared-write", .hook = "mmap_file", .carrier = "file",
	.send = send_mmap, .receive = receive_read);

static int send_msync(struct run *r, const void *data, size_t size)
{
	char *memory = map_file(r, "file", PROT_READ | PROT_WRITE, MAP_SHARED);

	if (!memory)
		return -errno;
	memcpy(memory, data, size);
	return result(msync(memory, SHARED_SIZE, MS_SYNC));
}

CHANNEL(msync_write, .name = "memory/msync", .hook = "mmap_file", .carrier = "file",
	.send = send_msync, .receive = receive_read);

static int receive_mmap(struct run *r, void *data, size_t size)
{
	return receive_from(r, map_file(r, "file", PROT_READ | PROT_WRITE, MAP_SHARED), data, size);
}

CHANNEL(mmap_both, .name = "memory/mmap-both", .hook = "mmap_file", .carrier = "file",
	.flags = BOTH, .send = send_mmap, .receive = receive_mmap);

/* The receiver mapped the file before it was written; no page of it was copied yet. */
static int send_write(struct run *r, const void *data, size_t size)
{
	int fd = open_in_dir(r, "file", O_WRONLY | O_CREAT), error;

	if (fd < 0)
		return fd;
	error = write_all(fd, data, size);
	close(fd);
	return error;
}

static int receive_private(struct run *r, void *data, size_t size)
{
	char *memory = map_file(r, "file", PROT_READ, MAP_PRIVATE);
	char before[sizeof(long)];

	if (!memory)
		return -errno;
	/* Round 2 finds what round 1 left there. */
	memcpy(before, memory, sizeof(before));
	while (!memcmp(memory, before, sizeof(before)))
		usleep(1000);
	usleep(20000);
	memcpy(data, memory, size);
	return result(munmap(memory, SHARED_SIZE));
}

CHANNEL(private_later, .name = "memory/mmap-private-written-later",
	.hook = "mmap_file,file_permission", .carrier = "file", .flags = BLOCKED,
	.send = send_write, .receive = receive_private);

/* Both may do nothing with what they mapped until mprotect(2). */
static int send_mprotect(struct run *r, const void *data, size_t size)
{
	char *memory = map_file(r, "file", PROT_NONE, MAP_SHARED);

	if (!memory || mprotect(memory, SHARED_SIZE, PROT_READ | PROT_WRITE))
		return -errno;
	return send_into(memory, data, size);
}

static int receive_mprotect(struct run *r, void *data, size_t size)
{
	char *memory = map_file(r, "file", PROT_NONE, MAP_SHARED);

	if (!memory || mprotect(memory, SHARED_SIZE, PROT_READ))
		return -errno;
	return receive_from(r, memory, data, size);
}

CHANNEL(mprotected, .name = "memory/mprotect", .hook = "mmap_file", .carrier = "file",
	.flags = BLOCKED, .send = send_mprotect, .receive = receive_mprotect);

/* --- the sender mapped before it knew anything ---------------------------- */

static int learn_into(struct run *r, char *memory, size_t size)
{
	char *data = malloc(size);
	int fd = open(r->source, O_RDONLY | O_CLOEXEC), error;

	if (!memory || !data || fd < 0)
		return -errno;
	error = read_all(fd, data, size);
	close(fd);
	if (!error)
		error = send_into(memory, data, size);
	free(data);
	return error;
}

static int send_mapped_before(struct run *r, const void *data, size_t size)
{
	(void)data;
	return learn_into(r, map_file(r, "file", PROT_READ | PROT_WRITE, MAP_SHARED), size);
}

CHANNEL(mapped_before, .name = "memory/mapped-before-it-knew", .hook = "file_permission",
	.carrier = "file", .flags = BOTH | COPIES_SOURCE, .send = send_mapped_before,
	.receive = receive_mmap);

/* --- System V ------------------------------------------------------------- */

static int setup_shm(struct run *r)
{
	r->number[0] = shmget(IPC_PRIVATE, SHARED_SIZE, IPC_CREAT | 0600);
	if (r->number[0] >= 0)
		return 0;
	return errno == ENOSYS ? absent("the kernel has no System V IPC") : -errno;
}

static char *attach(struct run *r, int flags)
{
	char *memory = shmat(r->number[0], NULL, flags);

	return memory == (void *)-1 ? NULL : memory;
}

static int send_shm(struct run *r, const void *data, size_t size)
{
	char *memory = attach(r, 0);

	if (!memory)
		return -errno;
	memcpy(memory, data, size);
	ring(memory);
	return result(shmdt(memory));
}

static int receive_shm(struct run *r, void *data, size_t size)
{
	char *memory = attach(r, SHM_RDONLY);

	if (!memory)
		return -errno;
	wait_for(memory, r->round);
	memcpy(data, memory, size);
	return result(shmdt(memory));
}

static void teardown_shm(struct run *r)
{
	shmctl(r->number[0], IPC_RMID, NULL);
}

/* Its inode number is its id. */
CHANNEL(shm, .name = "sysv/shmat", .hook = "mmap_file", .carrier = "file", .at = "=0",
	.flags = BOTH, .setup = setup_shm, .send = send_shm, .receive = receive_shm,
	.teardown = teardown_shm);

/* --- POSIX, memfd --------------------------------------------------------- */

#define POSIX_NAME "/kvmtaint-channel"

static char *map_posix(void)
{
	int fd = shm_open(POSIX_NAME, O_RDWR | O_CREAT, 0600);
	char *memory = NULL;

	if (fd >= 0 && !ftruncate(fd, SHARED_SIZE))
		memory = map_fd(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	close(fd);
	return memory;
}

static int send_posix(struct run *r, const void *data, size_t size)
{
	(void)r;
	return send_into(map_posix(), data, size);
}

static int receive_posix(struct run *r, void *data, size_t size)
{
	return receive_from(r, map_posix(), data, size);
}

static void teardown_posix(struct run *r)
{
	(void)r;
	shm_unlink(POSIX_NAME);
}

CHANNEL(posix, .name = "posix/shm_open", .hook = "mmap_file", .carrier = "file",
	.at = "/dev/shm" POSIX_NAME, .flags = BOTH, .send = send_posix, .receive = receive_posix,
	.teardown = teardown_posix);

static int setup_memfd(struct run *r)
{
	r->fd[0] = memfd_create("channel", MFD_CLOEXEC);
	if (r->fd[0] < 0)
		return errno == ENOSYS ? absent("the kernel has no memfd_create") : -errno;
	return result(ftruncate(r->fd[0], SHARED_SIZE));
}

static int send_memfd(struct run *r, const void *data, size_t size)
{
	return send_into(map_fd(r->fd[0], PROT_READ | PROT_WRITE, MAP_SHARED), data, size);
}

/* Through a descriptor of its own for the same memory. */
static int receive_memfd(struct run *r, void *data, size_t size)
{
	char path[40], *memory;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->fd[0]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	memory = map_fd(fd, PROT_READ, MAP_SHARED);
	close(fd);
	return receive_from(r, memory, data, size);
}

CHANNEL(memfd, .name = "memory/memfd", .hook = "mmap_file", .carrier = "file", .at = "#0",
	.flags = BOTH, .setup = setup_memfd, .send = send_memfd, .receive = receive_memfd);

/* For a descriptor that one hands to the other. */
static int setup_passed(struct run *r)
{
	return result(socketpair(AF_UNIX, SOCK_DGRAM, 0, r->fd));
}

static int send_passed(struct run *r, const void *data, size_t size)
{
	int fd = take_descriptor(r->fd[0]), error;

	if (fd < 0)
		return fd;
	error = send_into(map_fd(fd, PROT_READ | PROT_WRITE, MAP_SHARED), data, size);
	close(fd);
	return error;
}

/* The receiver makes the memory, and hands it to the sender; it is new in each round. */
static int receive_passed(struct run *r, void *data, size_t size)
{
	int fd = memfd_create("passed", MFD_CLOEXEC), error;
	char *memory;

	if (fd < 0 || ftruncate(fd, SHARED_SIZE))
		return -errno;
	memory = map_fd(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	error = memory ? pass_descriptor(r->fd[1], fd) : -errno;
	close(r->fd[2]);
	r->fd[2] = fd;
	return error ? error : receive_rung(memory, 1, data, size);
}

CHANNEL(memfd_passed, .name = "memory/memfd-scm-rights", .hook = "mmap_file", .carrier = "file",
	.at = "#2", .flags = BLOCKED, .setup = setup_passed, .send = send_passed,
	.receive = receive_passed);

static int send_memfd_write(struct run *r, const void *data, size_t size)
{
	long done = pwrite(r->fd[0], data, size, 0);
	uint32_t rings = r->round;

	if (done != (long)size || pwrite(r->fd[0], &rings, sizeof(rings), BELL) != sizeof(rings))
		return -EIO;
	return 0;
}

static int receive_memfd_poll(struct run *r, void *data, size_t size)
{
	char *memory = map_fd(r->fd[0], PROT_READ, MAP_SHARED);

	if (!memory)
		return -errno;
	while (*(volatile uint32_t *)(memory + BELL) < (uint32_t)r->round)
		usleep(1000);
	memcpy(data, memory, size);
	return result(munmap(memory, SHARED_SIZE));
}

CHANNEL(memfd_write, .name = "memory/memfd-written", .hook = "file_permission", .carrier = "file",
	.at = "#0", .flags = BLOCKED, .setup = setup_memfd, .send = send_memfd_write,
	.receive = receive_memfd_poll);

/* --- across fork ----------------------------------------------------------- */

/* The heir is there, and clean, before its parent reads the source. */
static int send_to_child(struct run *r, char *memory, size_t size)
{
	if (!memory)
		return -errno;
	/* A file's bell has rung in the round before. */
	memset(memory + BELL, 0, sizeof(uint32_t));
	r->heir = fork();
	if (!r->heir) {
		wait_for(memory, 1);
		heir_ends(memory, size);
	}
	if (r->heir < 0)
		return -errno;
	return learn_into(r, memory, size) ?: reap(r->heir);
}

/* What is mapped has no descriptor but this: fd[0]. */
static int send_to_child_nameless(struct run *r, char *memory, size_t size)
{
	char path[80];

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)memory,
		 (unsigned long)memory + SHARED_SIZE);
	r->fd[0] = open(path, O_PATH | O_CLOEXEC);
	return send_to_child(r, memory, size);
}

static int send_anonymous(struct run *r, const void *data, size_t size)
{
	(void)data;
	return send_to_child_nameless(
		r, map_fd(-1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS), size);
}

CHANNEL(anonymous, .name = "memory/anonymous-across-fork", .hook = "file_permission",
	.carrier = "file", .at = "#0", .flags = HEIR | COPIES_SOURCE, .send = send_anonymous);

static int send_dev_zero(struct run *r, const void *data, size_t size)
{
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	char *memory = map_fd(fd, PROT_READ | PROT_WRITE, MAP_SHARED);

	(void)data;
	close(fd);
	return send_to_child_nameless(r, memory, size);
}

CHANNEL(dev_zero, .name = "memory/dev-zero-across-fork", .hook = "file_permission",
	.carrier = "file", .at = "#0", .flags = HEIR | COPIES_SOURCE, .send = send_dev_zero);

static int send_file_across_fork(struct run *r, const void *data, size_t size)
{
	(void)data;
	return send_to_child(r, map_file(r, "file", PROT_READ | PROT_WRITE, MAP_SHARED), size);
}

CHANNEL(file_across_fork, .name = "memory/file-across-fork", .hook = "file_permission",
	.carrier = "file", .flags = HEIR | COPIES_SOURCE, .send = send_file_across_fork);

/* --- a futex alone ---------------------------------------------------------- */

/* Two who can only read a page, but wake each other on it. */
static int setup_futex(struct run *r)
{
	int fd = open_in_dir(r, "bell", O_RDWR | O_CREAT), error;

	if (fd < 0)
		return fd;
	error = result(ftruncate(fd, SHARED_SIZE));
	close(fd);
	r->fd[0] = open_in_dir(r, "bell", O_RDONLY);
	return error ? error : r->fd[0] < 0 ? r->fd[0] : 0;
}

static int send_futex(struct run *r, const void *data, size_t size)
{
	char *memory = map_fd(r->fd[0], PROT_READ, MAP_SHARED);
	long woken = 0;

	(void)data;
	(void)size;
	if (!memory)
		return -errno;
	for (int i = 0; i < 1000 && !woken; i++) {
		woken = futex(memory + BELL, FUTEX_WAKE, 1);
		usleep(1000);
	}
	return woken == 1 ? 0 : -EAGAIN;
}

static int receive_futex(struct run *r, void *data, size_t size)
{
	char *memory = map_fd(r->fd[0], PROT_READ, MAP_SHARED);

	(void)data;
	(void)size;
	if (!memory)
		return -errno;
	return result(futex(memory + BELL, FUTEX_WAIT, 0));
}

CHANNEL(futex_only, .name = "memory/futex-alone", .hook = "mmap_file", .carrier = "",
	.flags = SILENT | BLOCKED, .setup = setup_futex, .send = send_futex,
	.receive = receive_futex);

/* --- userfaultfd -------------------------------------------------------------- */

static int setup_uffd(struct run *r)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	int error = fd < 0 ? errno : 0;

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api))
		error = errno;
	close(fd);
	if (error)
		return error == ENOSYS ? absent("the kernel has no userfaultfd") : -error;
	return setup_passed(r);
}

/* The page is where both were forked to have nothing. */
#define UFFD_PAGE ((char *)0x200000000000)

static int receive_uffd(struct run *r, void *data, size_t size)
{
	struct uffdio_register region = { .range = { (uintptr_t)UFFD_PAGE, 4096 },
					  .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC), error;
	char *page = mmap(UFFD_PAGE, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (fd < 0 || page == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &region))
		return -errno;
	error = pass_descriptor(r->fd[0], fd);
	if (!error)
		memcpy(data, page, size);
	munmap(page, 4096);
	close(fd);
	return error;
}

static int send_uffd(struct run *r, const void *data, size_t size)
{
	char page[4096] = {};
	struct uffdio_copy copy = { .dst = (uintptr_t)UFFD_PAGE,
				    .src = (uintptr_t)page,
				    .len = sizeof(page) };
	int fd = take_descriptor(r->fd[1]), error;

	if (fd < 0)
		return fd;
	memcpy(page, data, size);
	error = result(ioctl(fd, UFFDIO_COPY, &copy));
	close(fd);
	return error;
}

CHANNEL(uffd, .name = "memory/userfaultfd-copy", .hook = "uffd_copy", .carrier = "",
	.flags = BLOCKED, .setup = setup_uffd, .send = send_uffd, .receive = receive_uffd);
