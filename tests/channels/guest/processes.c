// SPDX-License-Identifier: GPL-2.0
/* Channels from a process to what it makes. */
#include "channel.h"

static int send_fork(struct run *r, const void *data, size_t size)
{
	r->heir = fork();
	if (!r->heir)
		heir_ends(data, size);
	return r->heir < 0 ? -errno : reap(r->heir);
}
CHANNEL(fork, .name = "process/fork", .hook = "task_new", .flags = HEIR, .send = send_fork);
