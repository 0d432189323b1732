// SPDX-License-Identifier: GPL-2.0
/* Channels through sockets of this guest. */
#include "channel.h"

#include <sys/socket.h>

static int setup_pair(struct run *r)
{
	return result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r->fd));
}

static int send_write(struct run *r, const void *data, size_t size)
{
	return write_all(r->fd[1], data, size);
}

static int receive_read(struct run *r, void *data, size_t size)
{
	return read_all(r->fd[0], data, size);
}
CHANNEL(pair, .name = "unix/socketpair", .hook = "socket_sendmsg,socket_recvmsg",
	.carrier = "socket", .flags = BOTH, .setup = setup_pair, .send = send_write,
	.receive = receive_read);
