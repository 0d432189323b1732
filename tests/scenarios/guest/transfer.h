/* SPDX-License-Identifier: GPL-2.0 */
/* carrier's transfers: one function for every system call that can move a message. */
#ifndef TRANSFER_H
#define TRANSFER_H

#include "channel.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define REQUEST_SIZE 16 /* bytes of the clean request that asks for an answer */

/* Receiving: every function moves what one call of its name gives. */

#define RECEIVE(name) static ssize_t receive_##name(int fd, char *buf, size_t size)

RECEIVE(read)
{
	return read(fd, buf, size);
}

RECEIVE(readv)
{
	struct iovec iov[] = { { buf, size / 2 }, { buf + size / 2, size - size / 2 } };

	return readv(fd, iov, 2);
}

RECEIVE(recv)
{
	return recv(fd, buf, size, 0);
}

RECEIVE(recvfrom)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);

	return recvfrom(fd, buf, size, 0, (void *)&from, &length);
}

RECEIVE(recvmsg)
{
	struct iovec iov = { buf, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return recvmsg(fd, &msg, 0);
}

RECEIVE(recvmmsg)
{
	struct iovec iov = { buf, size };
	struct mmsghdr msg = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };

	return recvmmsg(fd, &msg, 1, 0, NULL) == 1 ? (ssize_t)msg.msg_len : -1;
}

RECEIVE(peek)
{
	return recv(fd, buf, size, MSG_PEEK | MSG_WAITALL);
}

RECEIVE(splice)
{
	int own[2];
	ssize_t n;

	if (pipe(own))
		die("pipe");
	n = splice(fd, NULL, own[1], NULL, size, 0);
	if (n > 0)
		read_fully(own[0], buf, n);
	close(own[0]);
	close(own[1]);
	return n;
}

typedef ssize_t (*receive_fn)(int fd, char *buf, size_t size);

static receive_fn find_receive(const char *name)
{
	static const struct {
		const char *name;
		receive_fn fn;
	} calls[] = {
		{ "read", receive_read },	{ "readv", receive_readv },
		{ "recv", receive_recv },	{ "recvfrom", receive_recvfrom },
		{ "recvmsg", receive_recvmsg }, { "recvmmsg", receive_recvmmsg },
		{ "peek", receive_peek },	{ "splice", receive_splice },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (!strcmp(calls[i].name, name ? name : "read"))
			return calls[i].fn;
	usage();
	return NULL;
}

/* Receives one message of opt->size bytes, or dies. */
static void receive_message(struct channel *ch, char *buf, const struct options *opt)
{
	receive_fn receive = find_receive(opt->call);
	size_t done = 0;

	if (opt->poll)
		fcntl(ch->fd, F_SETFL, fcntl(ch->fd, F_GETFL) | O_NONBLOCK);
	while (done < opt->size) {
		struct pollfd wanted = { .fd = ch->fd, .events = POLLIN };
		ssize_t n;

		if (opt->poll && poll(&wanted, 1, -1) != 1)
			die("poll");
		n = receive(ch->fd, buf + done, opt->size - done);
		if (!n && !done && ch->kind == CH_FIFO) {
			/* The writer before has gone; wait for the next one. */
			close(ch->fd);
			open_path(ch, false, opt);
			continue;
		}
		if (n < 0 && errno == EAGAIN && opt->poll)
			continue;
		if (n <= 0)
			die("received %zu of %zu bytes", done, opt->size);
		done += n;
	}
}

/* Sending. */

static void load_source(struct source *src, const struct options *opt)
{
	char *buf = malloc(MESSAGE_MAX);
	const char *from = opt->from ? opt->from : "read";
	size_t size = opt->size;

	src->data = buf;
	if (src->fd < 0) {
		fill_clean(buf, size);
	} else if (!strcmp(from, "mmap")) {
		char *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, src->fd, 0);

		if (map == MAP_FAILED)
			die("mmap");
		memcpy(buf, map, size);
	} else if (!strcmp(from, "pread")) {
		if (pread(src->fd, buf, size, 0) != (ssize_t)size)
			die("pread");
	} else if (!strcmp(from, "readv")) {
		if (receive_readv(src->fd, buf, size) != (ssize_t)size)
			die("readv");
	} else {
		read_fully(src->fd, buf, size);
	}
}

static ssize_t send_mmsg(int fd, struct msghdr *msg)
{
	struct mmsghdr mmsg = { .msg_hdr = *msg };

	return sendmmsg(fd, &mmsg, 1, 0) == 1 ? (ssize_t)mmsg.msg_len : -1;
}

/* One call of the given name that moves bytes from memory; -2: no such call. */
static ssize_t send_bytes(const char *call, struct channel *ch, char *buf, size_t size)
{
	struct sockaddr *to = ch->by_address ? (void *)&ch->address : NULL;
	socklen_t to_length = to ? ch->length : 0;
	struct iovec iov[] = { { buf, size / 2 }, { buf + size / 2, size - size / 2 } };
	struct msghdr msg = {
		.msg_name = to, .msg_namelen = to_length, .msg_iov = iov, .msg_iovlen = 2
	};

	if (!strcmp(call, "write"))
		return write(ch->fd, buf, size);
	if (!strcmp(call, "writev"))
		return writev(ch->fd, iov, 2);
	if (!strcmp(call, "send"))
		return send(ch->fd, buf, size, 0);
	if (!strcmp(call, "sendto"))
		return sendto(ch->fd, buf, size, 0, to, to_length);
	if (!strcmp(call, "fastopen"))
		return sendto(ch->fd, buf, size, MSG_FASTOPEN, to, to_length);
	if (!strcmp(call, "sendmsg"))
		return sendmsg(ch->fd, &msg, 0);
	if (!strcmp(call, "sendmmsg"))
		return send_mmsg(ch->fd, &msg);
	return -2;
}

/* From a pipe's end the file goes by one splice, to anything else through a pipe. */
static ssize_t splice_file(int from, int to, size_t size)
{
	int own[2];
	struct stat st;
	ssize_t n;

	if (fstat(to, &st))
		die("fstat");
	if (S_ISFIFO(st.st_mode))
		return splice(from, NULL, to, NULL, size, 0);
	if (pipe(own))
		die("pipe");
	n = splice(from, NULL, own[1], NULL, size, 0);
	return n > 0 ? splice(own[0], NULL, to, NULL, n, 0) : n;
}

static bool moved_by_kernel(const char *call)
{
	return !strcmp(call, "sendfile") || !strcmp(call, "splice") ||
	       !strcmp(call, "copy_file_range");
}

static ssize_t send_in_kernel(const char *call, int from, int to, size_t size)
{
	if (!strcmp(call, "sendfile"))
		return sendfile(to, from, NULL, size);
	if (!strcmp(call, "splice"))
		return splice_file(from, to, size);
	return copy_file_range(from, NULL, to, NULL, size, 0);
}

static void send_message(struct channel *ch, struct source *src, const struct options *opt)
{
	const char *call = opt->call ? opt->call : "write";
	bool in_kernel = moved_by_kernel(call);
	size_t done = 0;

	while (done < opt->size) {
		size_t left = opt->size - done;
		ssize_t n = in_kernel ? send_in_kernel(call, src->fd, ch->fd, left)
				      : send_bytes(call, ch, src->data + done, left);

		if (n == -2)
			usage();
		if (n <= 0)
			die("%s: sent %zu of %zu bytes", call, done, opt->size);
		done += n;
	}
}

/* Takes the request; a datagram's answer goes to where it came from. */
static void serve_request(struct channel *ch)
{
	char request[REQUEST_SIZE];

	ch->length = sizeof(ch->address);
	if (recvfrom(ch->fd, request, sizeof(request), 0, (void *)&ch->address, &ch->length) !=
	    sizeof(request))
		die("request");
	ch->by_address = ch->type == SOCK_DGRAM;
}

static void send_request(struct channel *ch)
{
	char request[REQUEST_SIZE];

	fill_clean(request, sizeof(request));
	write_fully(ch->fd, request, sizeof(request));
}

#endif
