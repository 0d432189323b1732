// SPDX-License-Identifier: GPL-2.0
/* The kernel's interface: io_uring_setup(2), io_uring_enter(2), io_uring(7). */
#include "uring.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

struct ring {
	int fd;
	struct io_uring_params params;
	char *sq, *cq; /* one mapping where the kernel has IORING_FEAT_SINGLE_MMAP: 5.4 */
	struct io_uring_sqe *sqes;
};

static unsigned *at(char *base, unsigned offset)
{
	return (unsigned *)(base + offset);
}

static int ring_open(struct ring *ring, unsigned how)
{
	size_t size;

	memset(ring, 0, sizeof(*ring));
	if (how & URING_SQPOLL) {
		ring->params.flags = IORING_SETUP_SQPOLL;
		ring->params.sq_thread_idle = 1000;
	}
	ring->fd = syscall(SYS_io_uring_setup, 4, &ring->params);
	if (ring->fd < 0)
		return -errno;
	size = ring->params.sq_off.array + ring->params.sq_entries * sizeof(unsigned);
	if (size < ring->params.cq_off.cqes + ring->params.cq_entries * sizeof(struct io_uring_cqe))
		size = ring->params.cq_off.cqes +
		       ring->params.cq_entries * sizeof(struct io_uring_cqe);
	ring->sq = ring->cq = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
				   ring->fd, IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, ring->params.sq_entries * sizeof(struct io_uring_sqe),
			  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
			  IORING_OFF_SQES);
	return ring->sq == MAP_FAILED || (void *)ring->sqes == MAP_FAILED ? -errno : 0;
}

static int ring_submit(struct ring *ring, unsigned how)
{
	unsigned *tail = at(ring->sq, ring->params.sq_off.tail);

	at(ring->sq, ring->params.sq_off.array)[0] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_SEQ_CST);
	if (!(how & URING_SQPOLL))
		return result(syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0));
	if (__atomic_load_n(at(ring->sq, ring->params.sq_off.flags), __ATOMIC_SEQ_CST) &
	    IORING_SQ_NEED_WAKEUP)
		return result(syscall(SYS_io_uring_enter, ring->fd, 1, 0, IORING_ENTER_SQ_WAKEUP,
				      NULL, 0));
	return 0;
}

/* The next completion. */
static int ring_wait(struct ring *ring, struct io_uring_cqe *cqe)
{
	unsigned *head = at(ring->cq, ring->params.cq_off.head);
	unsigned mask = *at(ring->cq, ring->params.cq_off.ring_mask);

	while (__atomic_load_n(at(ring->cq, ring->params.cq_off.tail), __ATOMIC_ACQUIRE) == *head)
		if (syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) <
			    0 &&
		    errno != EINTR)
			return -errno;
	*cqe = ((struct io_uring_cqe *)(ring->cq + ring->params.cq_off.cqes))[*head & mask];
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return 0;
}

int uring_do(unsigned how, const struct io_uring_sqe *request)
{
	struct io_uring_cqe cqe = {}, notification;
	struct ring ring;
	int error = ring_open(&ring, how), fd = request->fd;

	if (!error) {
		ring.sqes[0] = *request;
		if (how & URING_WORKER)
			ring.sqes[0].flags |= IOSQE_ASYNC;
		if (how & URING_FIXED) {
			error = result(syscall(SYS_io_uring_register, ring.fd,
					       IORING_REGISTER_FILES, &fd, 1));
			ring.sqes[0].fd = 0;
			ring.sqes[0].flags |= IOSQE_FIXED_FILE;
		}
	}
	if (!error)
		error = ring_submit(&ring, how);
	if (!error)
		error = ring_wait(&ring, &cqe);
	if (!error && (cqe.flags & IORING_CQE_F_MORE))
		error = ring_wait(&ring, &notification);
	if (ring.fd >= 0)
		close(ring.fd);
	return error ? error : cqe.res;
}

int uring_all(unsigned how, const struct io_uring_sqe *request, size_t size)
{
	int done = uring_do(how, request);

	return done < 0 ? done : (size_t)done == size ? 0 : -EIO;
}

int uring_setup_check(unsigned opcode)
{
	struct {
		struct io_uring_probe probe;
		struct io_uring_probe_op ops[64];
	} all = {};
	struct ring ring;
	int error = ring_open(&ring, URING_INLINE);

	if (error == -ENOSYS || error == -EPERM)
		return absent("no io_uring, or not allowed");
	if (error)
		return error;
	error = result(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_PROBE, &all, 64));
	close(ring.fd);
	if (error)
		return error;
	if (opcode > all.probe.last_op || !(all.probe.ops[opcode].flags & IO_URING_OP_SUPPORTED))
		return absent("io_uring has no such operation");
	return 0;
}
