// SPDX-License-Identifier: GPL-2.0
/* Channels through a pipe or FIFO: ways to fill one, and ways to empty one. */
#include "channel.h"
#include "uring.h"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define PAGE 4096

static char page[PAGE] __attribute__((aligned(PAGE)));

static int whole(ssize_t moved, size_t size)
{
	return moved < 0 ? -errno : (size_t)moved == size ? 0 : -EIO;
}

/* --- what both ends can do ----------------------------------------------- */

static int setup_pipe(struct run *r)
{
	return result(pipe2(r->fd, O_CLOEXEC));
}

static int setup_fifo(struct run *r)
{
	if (mkfifo(in_dir(r, "fifo"), 0600))
		return -errno;
	r->fd[0] = open_in_dir(r, "fifo", O_RDONLY | O_NONBLOCK);
	r->fd[1] = open_in_dir(r, "fifo", O_WRONLY);
	return result(fcntl(r->fd[0], F_SETFL, 0));
}

static int send_write(struct run *r, const void *data, size_t size)
{
	return write_all(r->fd[1], data, size);
}

static int receive_read(struct run *r, void *data, size_t size)
{
	return read_all(r->fd[0], data, size);
}

#define PIPE_AT(id, text, hooks, place, ready, sends, receives)                                    \
	CHANNEL(id, .name = text, .hook = hooks, .carrier = "pipe", .at = place, .flags = BOTH,    \
		.setup = ready, .send = sends, .receive = receives)
#define PIPE(id, text, hooks, ready, sends, receives)                                              \
	PIPE_AT(id, text, hooks, "#0", ready, sends, receives)

PIPE(write, "pipe/write", "file_permission", setup_pipe, send_write, receive_read);
PIPE(fifo, "pipe/fifo", "file_permission", setup_fifo, send_write, receive_read);

static int send_writev(struct run *r, const void *data, size_t size)
{
	struct iovec vector[] = { { (void *)data, size / 2 },
				  { (char *)data + size / 2, size - size / 2 } };

	return whole(writev(r->fd[1], vector, 2), size);
}

static int receive_readv(struct run *r, void *data, size_t size)
{
	struct iovec vector[] = { { data, size / 2 },
				  { (char *)data + size / 2, size - size / 2 } };

	return whole(readv(r->fd[0], vector, 2), size);
}
PIPE(writev, "pipe/writev", "file_permission", setup_pipe, send_writev, receive_readv);

/* --- mapped in: vmsplice -------------------------------------------------- */

static int send_vmsplice(struct run *r, const void *data, size_t size)
{
	struct iovec vector = { page, size };

	memcpy(page, data, size);
	return whole(vmsplice(r->fd[1], &vector, 1, 0), size);
}
PIPE(vmsplice_in, "pipe/vmsplice-in", "vmsplice", setup_pipe, send_vmsplice, receive_read);

static int receive_vmsplice(struct run *r, void *data, size_t size)
{
	struct iovec vector = { data, size };

	return whole(vmsplice(r->fd[0], &vector, 1, 0), size);
}
PIPE(vmsplice_out, "pipe/vmsplice-out", "vmsplice", setup_pipe, send_write, receive_vmsplice);

#define VMSPLICE32 316

/* Its struct iovec. */
struct vector32 {
	uint32_t base, length;
};

static int setup_pipe32(struct run *r)
{
	int error = has_calls32();

	if (!error)
		error = setup_pipe(r);
	r->data = error ? NULL : memory32(2 * PAGE);
	return !error && !r->data ? -ENOMEM : error;
}

static void teardown_pipe32(struct run *r)
{
	munmap(r->data, 2 * PAGE);
}

/* Its first page has the bytes, the second what tells where they are. */
static int vmsplice32(struct run *r, int fd, size_t size)
{
	struct vector32 *vector = (void *)((char *)r->data + PAGE);

	vector->base = (uintptr_t)r->data;
	vector->length = size;
	return whole(call32(VMSPLICE32, fd, (uintptr_t)vector, 1, 0), size);
}

static int send_vmsplice32(struct run *r, const void *data, size_t size)
{
	memcpy(r->data, data, size);
	return vmsplice32(r, r->fd[1], size);
}

static int receive_vmsplice32(struct run *r, void *data, size_t size)
{
	int error = vmsplice32(r, r->fd[0], size);

	memcpy(data, r->data, size);
	return error;
}

CHANNEL(vmsplice_in32, .name = "pipe/vmsplice-in-32-bit", .hook = "vmsplice32", .carrier = "pipe",
	.flags = BOTH, .setup = setup_pipe32, .send = send_vmsplice32, .receive = receive_read,
	.teardown = teardown_pipe32);
CHANNEL(vmsplice_out32, .name = "pipe/vmsplice-out-32-bit", .hook = "vmsplice32", .carrier = "pipe",
	.flags = BOTH, .setup = setup_pipe32, .send = send_write, .receive = receive_vmsplice32,
	.teardown = teardown_pipe32);

/* --- from or to a file, inside the kernel --------------------------------- */

static int setup_pipe_and_file(struct run *r)
{
	int error = setup_pipe(r);

	if (!error) {
		r->fd[2] = open_in_dir(r, "file", O_RDWR | O_CREAT);
		error = r->fd[2] < 0 ? r->fd[2] : 0;
	}
	return error;
}

static int with_source(struct run *r, size_t size, ssize_t (*move)(int in, int out, size_t size))
{
	int in = open(r->source, O_RDONLY | O_CLOEXEC), error;

	if (in < 0)
		return -errno;
	error = whole(move(in, r->fd[1], size), size);
	close(in);
	return error;
}

static ssize_t by_splice(int in, int out, size_t size)
{
	return splice(in, NULL, out, NULL, size, 0);
}

static ssize_t by_sendfile(int in, int out, size_t size)
{
	return sendfile(out, in, NULL, size);
}

static int send_splice(struct run *r, const void *data, size_t size)
{
	(void)data;
	return with_source(r, size, by_splice);
}

static int send_sendfile(struct run *r, const void *data, size_t size)
{
	(void)data;
	return with_source(r, size, by_sendfile);
}

CHANNEL(splice_in, .name = "pipe/splice-in", .hook = "splice,splice_file_to_pipe",
	.carrier = "pipe", .flags = BOTH | COPIES_SOURCE, .setup = setup_pipe, .send = send_splice,
	.receive = receive_read);
CHANNEL(sendfile_in, .name = "pipe/sendfile-in",
	.hook = "file_permission,splice,splice_file_to_pipe", .carrier = "pipe",
	.flags = BOTH | COPIES_SOURCE, .setup = setup_pipe, .send = send_sendfile,
	.receive = receive_read);

/* The receiver moves the bytes on into a file, and maps that. */
static int receive_splice(struct run *r, void *data, size_t size)
{
	loff_t start = 0;
	int error = whole(splice(r->fd[0], NULL, r->fd[2], &start, size, 0), size);

	return error ? error : whole(pread(r->fd[2], data, size, 0), size);
}
PIPE(splice_out, "pipe/splice-out", "splice", setup_pipe_and_file, send_write, receive_splice);

/* --- from pipe to pipe ---------------------------------------------------- */

static int setup_two_pipes(struct run *r)
{
	return setup_pipe(r) ?: result(pipe2(r->fd + 2, O_CLOEXEC));
}

static int receive_second(struct run *r, void *data, size_t size)
{
	return read_all(r->fd[2], data, size);
}

/* The first pipe was filled by the sender, so that the sender is what the second gets it from. */
static int send_through(struct run *r, const void *data, size_t size)
{
	int error = write_all(r->fd[1], data, size);

	return error ? error : whole(splice(r->fd[0], NULL, r->fd[3], NULL, size, 0), size);
}

static int send_tee(struct run *r, const void *data, size_t size)
{
	int error = write_all(r->fd[1], data, size);

	if (!error)
		error = whole(tee(r->fd[0], r->fd[3], size, 0), size);
	return error ? error : read_all(r->fd[0], page, size);
}

PIPE_AT(pipe_to_pipe, "pipe/pipe-to-pipe", "splice", "#2", setup_two_pipes, send_through,
	receive_second);
PIPE_AT(tee, "pipe/tee", "tee", "#2", setup_two_pipes, send_tee, receive_second);

static int receive_tee(struct run *r, void *data, size_t size)
{
	int error = whole(tee(r->fd[0], r->fd[3], size, 0), size);

	if (!error)
		error = read_all(r->fd[2], data, size);
	/* The secret stays in the first pipe: it came by tee(2) alone. */
	return error || r->round == 2 ? error : read_all(r->fd[0], page, size);
}
PIPE(tee_by_receiver, "pipe/tee-by-receiver", "tee", setup_two_pipes, send_write, receive_tee);

/* --- by io_uring ----------------------------------------------------------- */

static int setup_uring_pipe(struct run *r)
{
	return uring_setup_check(IORING_OP_READ) ?: setup_pipe(r);
}

static int uring_read(struct run *r, unsigned how, void *data, size_t size)
{
	struct io_uring_sqe request = {
		.opcode = IORING_OP_READ, .fd = r->fd[0], .addr = (uintptr_t)data, .len = size
	};

	return uring_all(how, &request, size);
}

static int send_uring_write(struct run *r, const void *data, size_t size)
{
	struct io_uring_sqe request = {
		.opcode = IORING_OP_WRITE, .fd = r->fd[1], .addr = (uintptr_t)data, .len = size
	};

	return uring_all(URING_INLINE, &request, size);
}

static int receive_uring_read(struct run *r, void *data, size_t size)
{
	return uring_read(r, URING_INLINE, data, size);
}

static int receive_uring_worker(struct run *r, void *data, size_t size)
{
	return uring_read(r, URING_WORKER, data, size);
}

PIPE(uring_rw, "uring/pipe-read-write", "file_permission", setup_uring_pipe, send_uring_write,
     receive_uring_read);
PIPE(uring_worker, "uring/pipe-worker", "file_permission", setup_uring_pipe, send_uring_write,
     receive_uring_worker);

static int setup_uring_splice(struct run *r)
{
	return uring_setup_check(IORING_OP_SPLICE) ?: setup_pipe_and_file(r);
}

static int setup_uring_tee(struct run *r)
{
	return uring_setup_check(IORING_OP_TEE) ?: setup_two_pipes(r);
}

/* From in to out, which begin where they are (-1), or at 0. */
static int uring_move(int opcode, int in, uint64_t in_at, int out, uint64_t out_at, size_t size)
{
	struct io_uring_sqe request = { .opcode = opcode,
					.fd = out,
					.off = out_at,
					.splice_fd_in = in,
					.splice_off_in = in_at,
					.len = size };

	return uring_all(URING_INLINE, &request, size);
}

static int send_uring_splice(struct run *r, const void *data, size_t size)
{
	int in = open(r->source, O_RDONLY | O_CLOEXEC), error;

	(void)data;
	if (in < 0)
		return -errno;
	error = uring_move(IORING_OP_SPLICE, in, 0, r->fd[1], -1, size);
	close(in);
	return error;
}

static int receive_uring_splice(struct run *r, void *data, size_t size)
{
	int error = uring_move(IORING_OP_SPLICE, r->fd[0], -1, r->fd[2], 0, size);

	return error ? error : whole(pread(r->fd[2], data, size, 0), size);
}

static int send_uring_tee(struct run *r, const void *data, size_t size)
{
	int error = write_all(r->fd[1], data, size);

	if (!error)
		error = uring_move(IORING_OP_TEE, r->fd[0], 0, r->fd[3], 0, size);
	return error ? error : read_all(r->fd[0], page, size);
}

CHANNEL(uring_splice_in, .name = "uring/pipe-splice-in", .hook = "splice,splice_file_to_pipe",
	.carrier = "pipe", .flags = BOTH | COPIES_SOURCE, .setup = setup_uring_splice,
	.send = send_uring_splice, .receive = receive_read);
PIPE(uring_splice_out, "uring/pipe-splice-out", "splice", setup_uring_splice, send_write,
     receive_uring_splice);
PIPE_AT(uring_tee, "uring/pipe-tee", "tee", "#2", setup_uring_tee, send_uring_tee, receive_second);
