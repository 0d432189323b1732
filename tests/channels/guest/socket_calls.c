// SPDX-License-Identifier: GPL-2.0
/* sockets.h */
#include "sockets.h"
#include "uring.h"

#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static int whole(ssize_t moved, size_t size)
{
	return moved < 0 ? -errno : (size_t)moved == size ? 0 : -EIO;
}

/* --- addresses ----------------------------------------------------------- */

socklen_t address_of(const char *host, int port, struct sockaddr_storage *address)
{
	struct sockaddr_in6 *in6 = (void *)address;
	struct sockaddr_in *in = (void *)address;

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return sizeof(*in);
	}
	inet_pton(AF_INET6, host, &in6->sin6_addr);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	return sizeof(*in6);
}

int connect_to(const char *host, int port, int type)
{
	struct sockaddr_storage to;
	socklen_t length = address_of(host, port, &to);
	int fd = socket(to.ss_family, type | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (void *)&to, length)) {
		close(fd);
		return -errno;
	}
	return fd < 0 ? -errno : fd;
}

static int port_of(int fd)
{
	struct sockaddr_in6 name;
	socklen_t length = sizeof(name);

	getsockname(fd, (void *)&name, &length);
	return ntohs(name.sin6_port); /* where sockaddr_in has it too */
}

int inet_pair(struct run *r, const char *host, int type)
{
	struct sockaddr_storage at;
	socklen_t length = address_of(host, 0, &at);
	int fd = socket(at.ss_family, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (void *)&at, length))
		return -errno;
	if (type == SOCK_STREAM && listen(fd, 1))
		return -errno;
	r->fd[1] = connect_to(host, port_of(fd), type);
	if (r->fd[1] < 0)
		return r->fd[1];
	r->fd[0] = fd;
	if (type == SOCK_STREAM) {
		r->fd[0] = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		close(fd);
	}
	return result(r->fd[0]);
}

/* --- sending ------------------------------------------------------------- */

int by_send(struct run *r, const void *data, size_t size)
{
	return whole(send(r->fd[1], data, size, 0), size);
}

int by_write(struct run *r, const void *data, size_t size)
{
	return whole(write(r->fd[1], data, size), size);
}

int by_writev(struct run *r, const void *data, size_t size)
{
	struct iovec vector[] = { { (void *)data, size / 2 },
				  { (char *)data + size / 2, size - size / 2 } };

	return whole(writev(r->fd[1], vector, 2), size);
}

int by_sendmsg(struct run *r, const void *data, size_t size)
{
	struct iovec vector = { (void *)data, size };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

	return whole(sendmsg(r->fd[1], &message, 0), size);
}

int by_sendmmsg(struct run *r, const void *data, size_t size)
{
	struct iovec vector = { (void *)data, size };
	struct mmsghdr message = { .msg_hdr = { .msg_iov = &vector, .msg_iovlen = 1 } };

	if (sendmmsg(r->fd[1], &message, 1, 0) != 1)
		return -errno;
	return whole(message.msg_len, size);
}

int by_sendfile(struct run *r, const void *unused, size_t size)
{
	int in = open(r->source, O_RDONLY | O_CLOEXEC), error;

	(void)unused;
	if (in < 0)
		return -errno;
	error = whole(sendfile(r->fd[1], in, NULL, size), size);
	close(in);
	return error;
}

int by_splice(struct run *r, const void *unused, size_t size)
{
	int in = open(r->source, O_RDONLY | O_CLOEXEC), ends[2], error;

	(void)unused;
	if (in < 0 || pipe2(ends, O_CLOEXEC))
		return -errno;
	error = whole(splice(in, NULL, ends[1], NULL, size, 0), size);
	if (!error)
		error = whole(splice(ends[0], NULL, r->fd[1], NULL, size, 0), size);
	close(in);
	close(ends[0]);
	close(ends[1]);
	return error;
}

int by_zerocopy(struct run *r, const void *data, size_t size)
{
	int one = 1;

	if (setsockopt(r->fd[1], SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		return -errno;
	return whole(send(r->fd[1], data, size, MSG_ZEROCOPY), size);
}

static int uring_whole(unsigned how, int opcode, int fd, const void *data, unsigned size,
		       size_t whole_size)
{
	struct io_uring_sqe request = {
		.opcode = opcode, .fd = fd, .addr = (uintptr_t)data, .len = size
	};

	return uring_all(how, &request, whole_size);
}

int by_uring_send(struct run *r, const void *data, size_t size)
{
	return uring_whole(URING_INLINE, IORING_OP_SEND, r->fd[1], data, size, size);
}

int by_uring_sendmsg(struct run *r, const void *data, size_t size)
{
	struct iovec vector = { (void *)data, size };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

	return uring_whole(URING_WORKER, IORING_OP_SENDMSG, r->fd[1], &message, 1, size);
}

int by_uring_send_zc(struct run *r, const void *data, size_t size)
{
	return uring_whole(URING_INLINE, IORING_OP_SEND_ZC, r->fd[1], data, size, size);
}

int by_uring_write(struct run *r, const void *data, size_t size)
{
	return uring_whole(URING_INLINE, IORING_OP_WRITE, r->fd[1], data, size, size);
}

int by_uring_sqpoll(struct run *r, const void *data, size_t size)
{
	return uring_whole(URING_SQPOLL | URING_FIXED, IORING_OP_SEND, r->fd[1], data, size, size);
}

/* --- receiving ----------------------------------------------------------- */

int by_recv(struct run *r, void *data, size_t size)
{
	return whole(recv(r->fd[0], data, size, MSG_WAITALL), size);
}

int by_read(struct run *r, void *data, size_t size)
{
	return read_all(r->fd[0], data, size);
}

int by_readv(struct run *r, void *data, size_t size)
{
	struct iovec vector[] = { { data, size / 2 },
				  { (char *)data + size / 2, size - size / 2 } };

	return whole(readv(r->fd[0], vector, 2), size);
}

int by_recvmsg(struct run *r, void *data, size_t size)
{
	struct iovec vector = { data, size };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

	return whole(recvmsg(r->fd[0], &message, MSG_WAITALL), size);
}

int by_recvmmsg(struct run *r, void *data, size_t size)
{
	struct iovec vector = { data, size };
	struct mmsghdr message = { .msg_hdr = { .msg_iov = &vector, .msg_iovlen = 1 } };

	if (recvmmsg(r->fd[0], &message, 1, MSG_WAITALL, NULL) != 1)
		return -errno;
	return whole(message.msg_len, size);
}

/* Peeks; the secret stays in the queue, so that it came by this alone. */
int by_peek(struct run *r, void *data, size_t size)
{
	static char again[CHANNEL_SIZE];
	int error = whole(recv(r->fd[0], data, size, MSG_PEEK), size);

	return error || r->round == 2 ? error : whole(recv(r->fd[0], again, size, 0), size);
}

int by_splice_out(struct run *r, void *data, size_t size)
{
	int ends[2], error = 0;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	for (size_t done = 0; done < size && !error;) {
		ssize_t n = splice(r->fd[0], NULL, ends[1], NULL, size - done, 0);

		error = n <= 0 ? -errno ?: -EPIPE : read_all(ends[0], (char *)data + done, n);
		done += n;
	}
	close(ends[0]);
	close(ends[1]);
	return error;
}

int by_uring_recv(struct run *r, void *data, size_t size)
{
	return uring_whole(URING_INLINE, IORING_OP_RECV, r->fd[0], data, size, size);
}

int by_uring_recvmsg(struct run *r, void *data, size_t size)
{
	struct iovec vector = { data, size };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

	return uring_whole(URING_WORKER, IORING_OP_RECVMSG, r->fd[0], &message, 1, size);
}

int by_uring_read(struct run *r, void *data, size_t size)
{
	return uring_whole(URING_INLINE, IORING_OP_READ, r->fd[0], data, size, size);
}

const char *hooks_of_receive(int (*receive)(struct run *r, void *data, size_t size))
{
	static int (*const calls[])(struct run *, void *, size_t) = {
		by_recv, by_recvmsg, by_recvmmsg, by_peek, by_uring_recv, by_uring_recvmsg,
	};
	static int (*const reads[])(struct run *, void *, size_t) = { by_read, by_readv,
								      by_uring_read };

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (receive == calls[i])
			return "socket_recvmsg";
	for (size_t i = 0; i < sizeof(reads) / sizeof(*reads); i++)
		if (receive == reads[i])
			return "file_permission,socket_recvmsg";
	return "";
}
