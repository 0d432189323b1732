// SPDX-License-Identifier: GPL-2.0
/* Channels through a regular file: the sender writes it, the receiver reads it. */
#include "channel.h"

static int send_write(struct run *r, const void *data, size_t size)
{
	int fd = open_in_dir(r, "file", O_WRONLY | O_CREAT | O_TRUNC);

	return fd < 0 ? fd : write_all(fd, data, size);
}

static int receive_read(struct run *r, void *data, size_t size)
{
	int fd = open_in_dir(r, "file", O_RDONLY);

	return fd < 0 ? fd : read_all(fd, data, size);
}
CHANNEL(write, .name = "file/write", .hook = "file_permission", .carrier = "file",
	.send = send_write, .receive = receive_read);
