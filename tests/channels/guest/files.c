// SPDX-License-Identifier: GPL-2.0
/* Channels through a regular file: ways to write one, and ways to read one. */
#include "uring.h"

#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGE 4096

static char page[PAGE] __attribute__((aligned(PAGE)));

/* --- by which call a descriptor is written or read ----------------------- */

typedef ssize_t (*transfer)(int fd, void *data, size_t size);

static int whole(ssize_t moved, size_t size)
{
	return moved < 0 ? -errno : (size_t)moved == size ? 0 : -EIO;
}

static int write_file_by(struct run *r, const void *data, size_t size, int flags, transfer by)
{
	int fd = open_in_dir(r, "file", O_WRONLY | O_CREAT | O_TRUNC | flags), error;

	if (fd < 0)
		return fd;
	error = whole(by(fd, (void *)data, size), size);
	close(fd);
	return error;
}

static int read_source_by(struct run *r, void *data, size_t size, int flags, transfer by)
{
	int fd = open(r->source, O_RDONLY | O_CLOEXEC | flags), error;

	if (fd < 0)
		return -errno;
	error = whole(by(fd, data, size), size);
	close(fd);
	return error;
}

static int receive_file(struct run *r, void *data, size_t size)
{
	int fd = open_in_dir(r, "file", O_RDONLY), error;

	if (fd < 0)
		return fd;
	error = read_all(fd, data, size);
	close(fd);
	return error;
}

static ssize_t by_write(int fd, void *data, size_t size)
{
	return write(fd, data, size);
}

static ssize_t by_read(int fd, void *data, size_t size)
{
	return read(fd, data, size);
}

static ssize_t by_pwrite(int fd, void *data, size_t size)
{
	return pwrite(fd, data, size, 0);
}

static ssize_t by_pread(int fd, void *data, size_t size)
{
	return pread(fd, data, size, 0);
}

static ssize_t by_writev(int fd, void *data, size_t size)
{
	struct iovec vector[] = { { data, size / 2 },
				  { (char *)data + size / 2, size - size / 2 } };

	return writev(fd, vector, 2);
}

static ssize_t by_readv(int fd, void *data, size_t size)
{
	struct iovec vector[] = { { data, size / 2 },
				  { (char *)data + size / 2, size - size / 2 } };

	return readv(fd, vector, 2);
}

static ssize_t by_pwritev2(int fd, void *data, size_t size)
{
	struct iovec vector = { data, size };

	return pwritev2(fd, &vector, 1, 0, RWF_DSYNC);
}

static ssize_t by_preadv2(int fd, void *data, size_t size)
{
	struct iovec vector = { data, size };

	return preadv2(fd, &vector, 1, 0, RWF_HIPRI);
}

static ssize_t by_aio(int fd, void *data, size_t size, int opcode)
{
	struct iocb block = { .aio_fildes = fd,
			      .aio_lio_opcode = opcode,
			      .aio_buf = (uintptr_t)data,
			      .aio_nbytes = size };
	struct iocb *list[] = { &block };
	struct io_event event = {};
	aio_context_t context = 0;

	if (syscall(SYS_io_setup, 1, &context) || syscall(SYS_io_submit, context, 1, list) != 1 ||
	    syscall(SYS_io_getevents, context, 1, 1, &event, NULL) != 1)
		return -1;
	syscall(SYS_io_destroy, context);
	errno = event.res < 0 ? -event.res : 0;
	return event.res < 0 ? -1 : event.res;
}

static ssize_t by_aio_write(int fd, void *data, size_t size)
{
	return by_aio(fd, data, size, IOCB_CMD_PWRITE);
}

static ssize_t by_aio_read(int fd, void *data, size_t size)
{
	return by_aio(fd, data, size, IOCB_CMD_PREAD);
}

static ssize_t by_uring(int fd, void *data, size_t size, int opcode, unsigned how)
{
	struct io_uring_sqe request = {
		.opcode = opcode, .fd = fd, .addr = (uintptr_t)data, .len = size
	};
	int done = uring_do(how, &request);

	errno = done < 0 ? -done : 0;
	return done < 0 ? -1 : done;
}

static int setup_uring(struct run *r)
{
	(void)r;
	return uring_setup_check(IORING_OP_READ);
}

/* Two channels for each pair of calls: one writes a file with it, one reads the source. */
#define WRITES(id, text, flags, by, ready)                                                         \
	static int send_##id(struct run *r, const void *data, size_t size)                         \
	{                                                                                          \
		return write_file_by(r, data, size, flags, by);                                    \
	}                                                                                          \
	CHANNEL(id, .name = "file/" text, .hook = "file_permission", .carrier = "file",            \
		.setup = ready, .send = send_##id, .receive = receive_file)
#define READS(id, text, flags_, by, ready)                                                         \
	static int receive_##id(struct run *r, void *data, size_t size)                            \
	{                                                                                          \
		return read_source_by(r, data, size, flags_, by);                                  \
	}                                                                                          \
	CHANNEL(id, .name = "file/" text, .hook = "file_permission", .flags = READS_SOURCE,        \
		.setup = ready, .receive = receive_##id)

WRITES(plain_write, "write", 0, by_write, NULL);
READS(plain_read, "read", 0, by_read, NULL);
WRITES(append, "append", O_APPEND, by_write, NULL);
WRITES(pwrite, "pwrite", 0, by_pwrite, NULL);
READS(pread, "pread", 0, by_pread, NULL);
WRITES(writev, "writev", 0, by_writev, NULL);
READS(readv, "readv", 0, by_readv, NULL);
WRITES(pwritev2, "pwritev2", 0, by_pwritev2, NULL);
READS(preadv2, "preadv2", 0, by_preadv2, NULL);
WRITES(direct_write, "direct-write", O_DIRECT, by_write, NULL);
READS(direct_read, "direct-read", O_DIRECT, by_read, NULL);
WRITES(aio_write, "aio-write", 0, by_aio_write, NULL);
READS(aio_read, "aio-read", 0, by_aio_read, NULL);
READS(aio_direct_read, "aio-direct-read", O_DIRECT, by_aio_read, NULL);

#define URING(id, text, how)                                                                       \
	static ssize_t by_##id##_write(int fd, void *data, size_t size)                            \
	{                                                                                          \
		return by_uring(fd, data, size, IORING_OP_WRITE, how);                             \
	}                                                                                          \
	static ssize_t by_##id##_read(int fd, void *data, size_t size)                             \
	{                                                                                          \
		return by_uring(fd, data, size, IORING_OP_READ, how);                              \
	}                                                                                          \
	WRITES(id##_write, text "-write", 0, by_##id##_write, setup_uring);                        \
	READS(id##_read, text "-read", 0, by_##id##_read, setup_uring)

URING(uring, "uring", URING_INLINE);
URING(uring_worker, "uring-worker", URING_WORKER);
URING(uring_sqpoll, "uring-sqpoll", URING_SQPOLL | URING_FIXED);
URING(uring_fixed, "uring-fixed", URING_FIXED);

/* --- mapped -------------------------------------------------------------- */

static int receive_mmap(struct run *r, void *data, size_t size)
{
	int fd = open(r->source, O_RDONLY | O_CLOEXEC);
	char *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	close(fd);
	if (map == MAP_FAILED)
		return -errno;
	memcpy(data, map, size);
	munmap(map, size);
	return 0;
}
CHANNEL(mmap_read, .name = "file/mmap-private-read", .hook = "mmap_file", .flags = READS_SOURCE,
	.receive = receive_mmap);

/* --- from file to file inside the kernel --------------------------------- */

/* Opens source and DIR/file; calls by(in, out); the sender itself never sees the bytes. */
static int copy_by(struct run *r, size_t size, ssize_t (*by)(int in, int out, size_t size))
{
	int in = open(r->source, O_RDONLY | O_CLOEXEC), out, error;

	if (in < 0)
		return -errno;
	out = open_in_dir(r, "file", O_WRONLY | O_CREAT | O_TRUNC);
	if (out < 0)
		return out;
	error = whole(by(in, out, size), size);
	close(in);
	close(out);
	return error;
}

static ssize_t by_sendfile(int in, int out, size_t size)
{
	return sendfile(out, in, NULL, size);
}

static ssize_t by_copy_file_range(int in, int out, size_t size)
{
	return copy_file_range(in, NULL, out, NULL, size, 0);
}

static ssize_t by_splice(int in, int out, size_t size)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) || splice(in, NULL, ends[1], NULL, size, 0) != (ssize_t)size)
		return -1;
	return splice(ends[0], NULL, out, NULL, size, 0);
}

#define COPIES(id, text, by, way, hooks)                                                           \
	static int send_##id(struct run *r, const void *data, size_t size)                         \
	{                                                                                          \
		(void)data;                                                                        \
		return copy_by(r, size, by);                                                       \
	}                                                                                          \
	CHANNEL(id, .name = "file/" text, .hook = hooks, .carrier = way, .flags = COPIES_SOURCE,   \
		.send = send_##id, .receive = receive_file)

COPIES(sendfile, "sendfile", by_sendfile, "file", "file_permission");
COPIES(copy_file_range, "copy-file-range", by_copy_file_range, "file", "file_permission");
COPIES(splice, "splice", by_splice, "file", "file_permission");

/* --- the file under another name, or none -------------------------------- */

static int move_written(struct run *r, const void *data, size_t size,
			int (*move)(const char *, const char *))
{
	int error = write_file_by(r, data, size, 0, by_write);

	unlink(in_dir(r, "other"));
	return error ? error : result(move(in_dir(r, "file"), in_dir(r, "other")));
}

static int receive_other(struct run *r, void *data, size_t size)
{
	int fd = open_in_dir(r, "other", O_RDONLY), error;

	if (fd < 0)
		return fd;
	error = read_all(fd, data, size);
	close(fd);
	return error;
}

#define NAMES(id, text, call, now)                                                                 \
	static int send_##id(struct run *r, const void *data, size_t size)                         \
	{                                                                                          \
		return move_written(r, data, size, call);                                          \
	}                                                                                          \
	CHANNEL(id, .name = "file/" text, .hook = "file_permission", .carrier = "file", .at = now, \
		.send = send_##id, .receive = receive_other)

NAMES(renamed, "rename", rename, "other");
NAMES(hard_link, "hard-link", link, "file");
NAMES(symlinked, "symlink", symlink, "file");

static int send_truncated(struct run *r, const void *data, size_t size)
{
	int fd = open_in_dir(r, "file", O_WRONLY | O_CREAT | O_TRUNC);
	int error = fd < 0 ? fd : write_all(fd, page, 100);

	if (!error && (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET)))
		error = -errno;
	if (!error)
		error = write_all(fd, data, size);
	if (!error)
		error = result(truncate(in_dir(r, "file"), size));
	close(fd);
	return error;
}
CHANNEL(truncate, .name = "file/truncate", .hook = "file_permission", .carrier = "file",
	.send = send_truncated, .receive = receive_file);

static int send_tmpfile(struct run *r, const void *data, size_t size)
{
	int fd = open(r->dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	char link[40];
	int error = fd < 0 ? -errno : write_all(fd, data, size);

	unlink(in_dir(r, "file"));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (!error)
		error = result(
			linkat(AT_FDCWD, link, AT_FDCWD, in_dir(r, "file"), AT_SYMLINK_FOLLOW));
	close(fd);
	return error;
}
CHANNEL(tmpfile, .name = "file/tmpfile-linkat", .hook = "file_permission", .carrier = "file",
	.send = send_tmpfile, .receive = receive_file);

static int setup_unlinked(struct run *r)
{
	r->fd[0] = open_in_dir(r, "file", O_RDWR | O_CREAT);
	return r->fd[0] < 0 ? r->fd[0] : result(unlink(in_dir(r, "file")));
}

static int setup_open(struct run *r)
{
	r->fd[0] = open_in_dir(r, "file", O_RDWR | O_CREAT);
	return r->fd[0] < 0 ? r->fd[0] : 0;
}

static int send_to_open(struct run *r, const void *data, size_t size)
{
	return whole(pwrite(r->fd[0], data, size, 0), size);
}

static int receive_from_open(struct run *r, void *data, size_t size)
{
	return whole(pread(r->fd[0], data, size, 0), size);
}
CHANNEL(unlinked, .name = "file/unlinked-but-open", .hook = "file_permission", .carrier = "file",
	.at = "#0", .setup = setup_unlinked, .send = send_to_open, .receive = receive_from_open);
CHANNEL(inherited, .name = "file/inherited-descriptor", .hook = "file_permission",
	.carrier = "file", .setup = setup_open, .send = send_to_open, .receive = receive_from_open);
