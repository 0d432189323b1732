// SPDX-License-Identifier: GPL-2.0
/* Ways out of the guest: the sinks of L1 are at port 9000. */
#include "channel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int send_tcp4(struct run *r, const void *data, size_t size)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9000) };

	inet_pton(AF_INET, "10.9.0.1", &to.sin_addr);
	r->fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r->fd[0] < 0 || connect(r->fd[0], (void *)&to, sizeof(to)))
		return -errno;
	return result(send(r->fd[0], data, size, 0));
}
CHANNEL(tcp4, .name = "leak/tcp4/send", .hook = "socket_sendmsg", .flags = LEAK,
	.leak = "kind=remote destination.transport=tcp destination.address=10.9.0.1 destination.port=9000",
	.send = send_tcp4);
