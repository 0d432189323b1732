// SPDX-License-Identifier: GPL-2.0
/* Channels through a pipe or FIFO. */
#include "channel.h"

static int setup_pipe(struct run *r)
{
	return result(pipe2(r->fd, O_CLOEXEC));
}

static int send_write(struct run *r, const void *data, size_t size)
{
	return write_all(r->fd[1], data, size);
}

static int receive_read(struct run *r, void *data, size_t size)
{
	return read_all(r->fd[0], data, size);
}
CHANNEL(write, .name = "pipe/write", .hook = "file_permission", .carrier = "pipe", .flags = BOTH,
	.setup = setup_pipe, .send = send_write, .receive = receive_read);
