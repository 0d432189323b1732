// SPDX-License-Identifier: GPL-2.0
/* Ways out of the guest by IP: the sinks of L1 are at port 9000. */
#include "sockets.h"
#include "uring.h"

#include <netinet/in.h>

#define GOES(transport, host)                                                                      \
	"kind=remote destination.transport=" transport " destination.address=" host                \
	" destination.port=9000"

static int to_tcp4(struct run *r)
{
	return r->fd[1] = connect_to(TO_L1_V4, SINK_PORT, SOCK_STREAM), r->fd[1] < 0 ? r->fd[1] : 0;
}

static int to_tcp6(struct run *r)
{
	return r->fd[1] = connect_to(TO_L1_V6, SINK_PORT, SOCK_STREAM), r->fd[1] < 0 ? r->fd[1] : 0;
}

static int to_udp4(struct run *r)
{
	return r->fd[1] = connect_to(TO_L1_V4, SINK_PORT, SOCK_DGRAM), r->fd[1] < 0 ? r->fd[1] : 0;
}

static int to_udp6(struct run *r)
{
	return r->fd[1] = connect_to(TO_L1_V6, SINK_PORT, SOCK_DGRAM), r->fd[1] < 0 ? r->fd[1] : 0;
}

/* Datagrams fit a frame, so that none is cut in pieces. */
#define LEAKS(id, text, hooks, more, opens, sends, says, bytes)                                    \
	CHANNEL(id, .name = "leak/" text, .hook = hooks, .flags = LEAK | (more), .size = bytes,    \
		.leak = says, .setup = opens, .send = sends)
#define TCP4(id, text, sends)                                                                      \
	LEAKS(tcp4_##id, "tcp4/" text, "socket_sendmsg", 0, to_tcp4, sends, GOES("tcp", TO_L1_V4), \
	      4096)
#define UDP4(id, text, sends)                                                                      \
	LEAKS(udp4_##id, "udp4/" text, "socket_sendmsg", 0, to_udp4, sends, GOES("udp", TO_L1_V4), \
	      1024)

TCP4(send, "send", by_send);
TCP4(write, "write", by_write);
TCP4(writev, "writev", by_writev);
TCP4(sendmsg, "sendmsg", by_sendmsg);
TCP4(sendmmsg, "sendmmsg", by_sendmmsg);
TCP4(zerocopy, "msg-zerocopy", by_zerocopy);
LEAKS(tcp4_sendfile, "tcp4/sendfile", "socket_sendmsg,sock_sendpage", COPIES_SOURCE, to_tcp4,
      by_sendfile, GOES("tcp", TO_L1_V4), 4096);
LEAKS(tcp4_splice, "tcp4/splice", "socket_sendmsg,sock_sendpage", COPIES_SOURCE, to_tcp4, by_splice,
      GOES("tcp", TO_L1_V4), 4096);
UDP4(send, "send", by_send);
UDP4(write, "write", by_write);
UDP4(sendmsg, "sendmsg", by_sendmsg);
UDP4(sendmmsg, "sendmmsg", by_sendmmsg);
UDP4(zerocopy, "msg-zerocopy", by_zerocopy);
LEAKS(tcp6_send, "tcp6/send", "socket_sendmsg", 0, to_tcp6, by_send, GOES("tcp", TO_L1_V6), 4096);
LEAKS(udp6_send, "udp6/send", "socket_sendmsg", 0, to_udp6, by_send, GOES("udp", TO_L1_V6), 1024);

/* --- to an address, unconnected ------------------------------------------- */

static int send_to(struct run *r, const char *host, const void *data, size_t size)
{
	struct sockaddr_storage to;
	socklen_t length = address_of(host, SINK_PORT, &to);

	r->fd[1] = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return result(sendto(r->fd[1], data, size, 0, (void *)&to, length));
}

static int send_to_v4(struct run *r, const void *data, size_t size)
{
	return send_to(r, TO_L1_V4, data, size);
}

static int send_to_v6(struct run *r, const void *data, size_t size)
{
	return send_to(r, TO_L1_V6, data, size);
}
LEAKS(udp4_sendto, "udp4/sendto", "socket_sendmsg", 0, NULL, send_to_v4, GOES("udp", TO_L1_V4),
      1024);
LEAKS(udp6_sendto, "udp6/sendto", "socket_sendmsg", 0, NULL, send_to_v6, GOES("udp", TO_L1_V6),
      1024);

/* The first bytes go with the SYN where the other end allows it, and after the handshake else. */
static int send_fastopen(struct run *r, const void *data, size_t size)
{
	struct sockaddr_storage to;
	socklen_t length = address_of(TO_L1_V4, SINK_PORT, &to);

	r->fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return result(sendto(r->fd[1], data, size, MSG_FASTOPEN, (void *)&to, length));
}
LEAKS(tcp4_fastopen, "tcp4/msg-fastopen", "socket_sendmsg", 0, NULL, send_fastopen,
      GOES("tcp", TO_L1_V4), 1024);

/* The sender connects itself, after it has read. */
static int send_connects(struct run *r, const void *data, size_t size)
{
	return to_tcp4(r) ?: by_send(r, data, size);
}
LEAKS(tcp4_connects, "tcp4/sender-connects", "socket_sendmsg", 0, NULL, send_connects,
      GOES("tcp", TO_L1_V4), 4096);

/* --- io_uring ------------------------------------------------------------ */

static int to_uring(struct run *r)
{
	return uring_setup_check(IORING_OP_SEND) ?: to_tcp4(r);
}

static int to_uring_zc(struct run *r)
{
	return uring_setup_check(IORING_OP_SEND_ZC) ?: to_tcp4(r);
}

#define URING(id, text, opens, sends)                                                              \
	LEAKS(uring_##id, "uring/" text, "socket_sendmsg", 0, opens, sends, GOES("tcp", TO_L1_V4), \
	      4096)

URING(send, "send", to_uring, by_uring_send);
URING(sendmsg, "sendmsg-worker", to_uring, by_uring_sendmsg);
URING(write, "write", to_uring, by_uring_write);
URING(sqpoll, "sqpoll", to_uring, by_uring_sqpoll);
URING(send_zc, "send-zc", to_uring_zc, by_uring_send_zc);
