/* SPDX-License-Identifier: GPL-2.0 */
/* One request at a time through a ring of one's own, by the plain system calls. */
#ifndef URING_H
#define URING_H

#include "channel.h"

#include <linux/io_uring.h>

enum uring_how {
	URING_INLINE = 0,
	URING_WORKER = 1 << 0, /* IOSQE_ASYNC: by a thread of the io-wq pool */
	URING_SQPOLL = 1 << 1, /* by the ring's own thread; no system call */
	URING_FIXED = 1 << 2, /* the file is registered with the ring */
};

/*
 * Does one request (opcode, fd, addr, len, off, msg_flags... are the caller's) in a fresh
 * ring; returns its result, or -errno.
 */
int uring_do(unsigned how, const struct io_uring_sqe *request);

/* The same for a request that moves so many bytes: 0, or -errno; -EIO when it moved fewer. */
int uring_all(unsigned how, const struct io_uring_sqe *request, size_t size);

/* Absent where the kernel has no io_uring, or not this operation. */
int uring_setup_check(unsigned opcode);

#endif
