// SPDX-License-Identifier: GPL-2.0
/* Channels through sockets of this guest. */
#include "sockets.h"
#include "uring.h"

#include <net/if.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/un.h>

/* --- connected pairs ----------------------------------------------------- */

static int setup_stream(struct run *r)
{
	return result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r->fd));
}

static int setup_dgram(struct run *r)
{
	return result(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, r->fd));
}

static int setup_seqpacket(struct run *r)
{
	return result(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, r->fd));
}

static socklen_t unix_address(struct run *r, struct sockaddr_un *un, bool abstract)
{
	int length;

	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	length = snprintf(un->sun_path + abstract, sizeof(un->sun_path) - abstract, "%s",
			  in_dir(r, "s"));
	return offsetof(struct sockaddr_un, sun_path) + abstract + length;
}

/* A pair that found each other by name. */
static int setup_named(struct run *r, int type, bool abstract)
{
	struct sockaddr_un un;
	socklen_t length = unix_address(r, &un, abstract);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	r->fd[1] = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (bind(fd, (void *)&un, length) || (type != SOCK_DGRAM && listen(fd, 1)) ||
	    connect(r->fd[1], (void *)&un, length))
		return -errno;
	r->fd[0] = fd;
	if (type != SOCK_DGRAM) {
		r->fd[0] = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		close(fd);
	}
	return result(r->fd[0]);
}

static int setup_named_stream(struct run *r)
{
	return setup_named(r, SOCK_STREAM, false);
}

static int setup_abstract(struct run *r)
{
	return setup_named(r, SOCK_STREAM, true);
}

static int setup_named_dgram(struct run *r)
{
	return setup_named(r, SOCK_DGRAM, false);
}

static int setup_named_seqpacket(struct run *r)
{
	return setup_named(r, SOCK_SEQPACKET, false);
}

#define INET_SETUP(id, host, type)                                                                 \
	static int setup_##id(struct run *r)                                                       \
	{                                                                                          \
		return inet_pair(r, host, type);                                                   \
	}

INET_SETUP(tcp4, "127.0.0.1", SOCK_STREAM)
INET_SETUP(tcp4_own, OWN_V4, SOCK_STREAM)
INET_SETUP(tcp6, "::1", SOCK_STREAM)
INET_SETUP(tcp6_own, OWN_V6, SOCK_STREAM)
INET_SETUP(udp4, "127.0.0.1", SOCK_DGRAM)
INET_SETUP(udp4_own, OWN_V4, SOCK_DGRAM)
INET_SETUP(udp6, "::1", SOCK_DGRAM)
INET_SETUP(udp6_own, OWN_V6, SOCK_DGRAM)

#define SOCKET(id, text, hooks, ready, sends, receives)                                            \
	CHANNEL(id, .name = text, .hook = hooks, .carrier = "socket", .flags = BOTH,               \
		.setup = ready, .send = sends, .receive = receives)

SOCKET(pair, "unix/socketpair", "socket_sendmsg", setup_stream, by_send, by_recv);
SOCKET(pair_dgram, "unix/socketpair-dgram", "unix_may_send", setup_dgram, by_send, by_recv);
SOCKET(pair_seqpacket, "unix/socketpair-seqpacket", "socket_sendmsg", setup_seqpacket, by_send,
       by_recv);
SOCKET(stream, "unix/stream", "socket_sendmsg", setup_named_stream, by_send, by_recv);
SOCKET(stream_rw, "unix/stream-read-write", "socket_sendmsg", setup_named_stream, by_write,
       by_read);
SOCKET(stream_v, "unix/stream-readv-writev", "socket_sendmsg", setup_named_stream, by_writev,
       by_readv);
SOCKET(stream_msg, "unix/stream-msg", "socket_sendmsg", setup_named_stream, by_sendmsg, by_recvmsg);
SOCKET(stream_mmsg, "unix/stream-mmsg", "socket_sendmsg", setup_named_stream, by_sendmmsg,
       by_recvmmsg);
SOCKET(stream_peek, "unix/stream-peek", "socket_sendmsg", setup_named_stream, by_send, by_peek);
SOCKET(stream_splice, "unix/stream-splice-out", "socket_sendmsg", setup_named_stream, by_send,
       by_splice_out);
SOCKET(abstract, "unix/abstract", "socket_sendmsg", setup_abstract, by_send, by_recv);
SOCKET(seqpacket, "unix/seqpacket", "socket_sendmsg", setup_named_seqpacket, by_send, by_recv);
SOCKET(dgram, "unix/dgram-connected", "unix_may_send", setup_named_dgram, by_send, by_recv);
SOCKET(dgram_mmsg, "unix/dgram-mmsg", "unix_may_send", setup_named_dgram, by_sendmmsg, by_recvmmsg);

SOCKET(tcp4, "tcp4/loopback", "socket_sendmsg", setup_tcp4, by_send, by_recv);
SOCKET(tcp4_own, "tcp4/own-address", "socket_sendmsg", setup_tcp4_own, by_send, by_recv);
SOCKET(tcp4_rw, "tcp4/read-write", "socket_sendmsg", setup_tcp4, by_write, by_read);
SOCKET(tcp4_v, "tcp4/readv-writev", "socket_sendmsg", setup_tcp4, by_writev, by_readv);
SOCKET(tcp4_msg, "tcp4/msg", "socket_sendmsg", setup_tcp4, by_sendmsg, by_recvmsg);
SOCKET(tcp4_mmsg, "tcp4/mmsg", "socket_sendmsg", setup_tcp4, by_sendmmsg, by_recvmmsg);
SOCKET(tcp4_peek, "tcp4/peek", "socket_sendmsg", setup_tcp4, by_send, by_peek);
SOCKET(tcp4_splice_out, "tcp4/splice-out", "socket_sendmsg", setup_tcp4, by_send, by_splice_out);
SOCKET(tcp4_zerocopy, "tcp4/msg-zerocopy", "socket_sendmsg", setup_tcp4_own, by_zerocopy, by_recv);
SOCKET(tcp6, "tcp6/loopback", "socket_sendmsg", setup_tcp6, by_send, by_recv);
SOCKET(tcp6_own, "tcp6/own-address", "socket_sendmsg", setup_tcp6_own, by_send, by_recv);

SOCKET(udp4, "udp4/loopback", "socket_sendmsg", setup_udp4, by_send, by_recv);
SOCKET(udp4_own, "udp4/own-address", "socket_sendmsg", setup_udp4_own, by_send, by_recv);
SOCKET(udp4_rw, "udp4/read-write", "socket_sendmsg", setup_udp4, by_write, by_read);
SOCKET(udp4_mmsg, "udp4/mmsg", "socket_sendmsg", setup_udp4, by_sendmmsg, by_recvmmsg);
SOCKET(udp4_peek, "udp4/peek", "socket_sendmsg", setup_udp4, by_send, by_peek);
SOCKET(udp4_splice_out, "udp4/splice-out", "socket_sendmsg", setup_udp4, by_send, by_splice_out);
SOCKET(udp4_zerocopy, "udp4/msg-zerocopy", "socket_sendmsg", setup_udp4_own, by_zerocopy, by_recv);
SOCKET(udp6, "udp6/loopback", "socket_sendmsg", setup_udp6, by_send, by_recv);
SOCKET(udp6_own, "udp6/own-address", "socket_sendmsg", setup_udp6_own, by_send, by_recv);

/* --- from the file into the socket, inside the kernel --------------------- */

#define COPIES(id, text, hooks, ready, sends)                                                      \
	CHANNEL(id, .name = text, .hook = hooks, .carrier = "socket",                              \
		.flags = BOTH | COPIES_SOURCE, .setup = ready, .send = sends, .receive = by_recv)

COPIES(unix_sendfile, "unix/sendfile", "socket_sendmsg,sock_sendpage", setup_named_stream,
       by_sendfile);
COPIES(unix_splice, "unix/splice-in", "socket_sendmsg,sock_sendpage", setup_named_stream,
       by_splice);
COPIES(tcp4_sendfile, "tcp4/sendfile", "socket_sendmsg,sock_sendpage", setup_tcp4, by_sendfile);
COPIES(tcp4_splice, "tcp4/splice-in", "socket_sendmsg,sock_sendpage", setup_tcp4, by_splice);
COPIES(udp4_sendfile, "udp4/sendfile", "socket_sendmsg,sock_sendpage", setup_udp4, by_sendfile);

/* --- io_uring ------------------------------------------------------------ */

#define URING_SETUP(id, opcode, ready)                                                             \
	static int setup_##id(struct run *r)                                                       \
	{                                                                                          \
		return uring_setup_check(opcode) ?: ready(r);                                      \
	}

URING_SETUP(uring_tcp4, IORING_OP_SEND, setup_tcp4)
URING_SETUP(uring_unix, IORING_OP_SEND, setup_named_stream)
URING_SETUP(uring_zc, IORING_OP_SEND_ZC, setup_tcp4_own)
URING_SETUP(uring_zc_udp, IORING_OP_SEND_ZC, setup_udp4_own)

SOCKET(uring_send, "uring/tcp4-send", "socket_sendmsg", setup_uring_tcp4, by_uring_send, by_recv);
SOCKET(uring_recv, "uring/tcp4-recv", "socket_sendmsg", setup_uring_tcp4, by_send, by_uring_recv);
SOCKET(uring_msg, "uring/tcp4-msg", "socket_sendmsg", setup_uring_tcp4, by_uring_sendmsg,
       by_uring_recvmsg);
SOCKET(uring_rw, "uring/tcp4-read-write", "socket_sendmsg", setup_uring_tcp4, by_uring_write,
       by_uring_read);
SOCKET(uring_sqpoll, "uring/tcp4-sqpoll", "socket_sendmsg", setup_uring_tcp4, by_uring_sqpoll,
       by_recv);
SOCKET(uring_unix_send, "uring/unix-send-recv", "socket_sendmsg", setup_uring_unix, by_uring_send,
       by_uring_recv);
SOCKET(uring_send_zc, "uring/tcp4-send-zc", "socket_sendmsg", setup_uring_zc, by_uring_send_zc,
       by_recv);
SOCKET(uring_send_zc_udp, "uring/udp4-send-zc", "socket_sendmsg", setup_uring_zc_udp,
       by_uring_send_zc, by_recv);

/* --- datagrams to an address ---------------------------------------------- */

static int setup_unix_by_address(struct run *r)
{
	struct sockaddr_un un;
	socklen_t length = unix_address(r, &un, false);

	r->fd[0] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r->fd[1] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return result(bind(r->fd[0], (void *)&un, length));
}

static int send_unix_to(struct run *r, const void *data, size_t size)
{
	struct sockaddr_un un;
	socklen_t length = unix_address(r, &un, false);

	return result(sendto(r->fd[1], data, size, 0, (void *)&un, length));
}
SOCKET(dgram_to, "unix/dgram-by-address", "unix_may_send", setup_unix_by_address, send_unix_to,
       by_recv);

static int setup_udp_to(struct run *r, const char *host, int port)
{
	struct sockaddr_storage at;
	socklen_t length = address_of(host, port, &at);

	r->number[0] = port;
	r->fd[0] = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r->fd[1] = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return result(bind(r->fd[0], (void *)&at, length));
}

static int send_udp_to(struct run *r, const char *host, const void *data, size_t size)
{
	struct sockaddr_storage to;
	socklen_t length = address_of(host, r->number[0], &to);

	return result(sendto(r->fd[1], data, size, 0, (void *)&to, length));
}

#define BY_ADDRESS(id, text, bound, host, port)                                                    \
	static int setup_##id(struct run *r)                                                       \
	{                                                                                          \
		return setup_udp_to(r, bound, port);                                               \
	}                                                                                          \
	static int send_##id(struct run *r, const void *data, size_t size)                         \
	{                                                                                          \
		return send_udp_to(r, host, data, size);                                           \
	}                                                                                          \
	SOCKET(id, text, "socket_sendmsg", setup_##id, send_##id, by_recv)

BY_ADDRESS(udp4_to, "udp4/by-address", "0.0.0.0", "127.0.0.1", 7101);
BY_ADDRESS(udp4_to_own, "udp4/by-own-address", "0.0.0.0", OWN_V4, 7102);
BY_ADDRESS(udp6_to, "udp6/by-address", "::", "::1", 7103);
BY_ADDRESS(udp6_to_own, "udp6/by-own-address", "::", OWN_V6, 7104);

/* The first device that is not the loopback. */
static int bind_to_device(int fd)
{
	struct if_nameindex *devices = if_nameindex(), *at = devices;
	int error = -ENODEV;

	while (at && at->if_name && !strcmp(at->if_name, "lo"))
		at++;
	if (at && at->if_name)
		error = result(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, at->if_name,
					  strlen(at->if_name) + 1));
	if_freenameindex(devices);
	return error;
}

/* fd[2] fits better by its address, but is bound to another device: the guest passes it over. */
static int setup_udp4_device(struct run *r)
{
	struct sockaddr_storage at;
	socklen_t length = address_of("127.0.0.1", 7105, &at);
	int one = 1, error;

	r->fd[2] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	error = bind_to_device(r->fd[2]);
	if (error)
		return error;
	if (setsockopt(r->fd[2], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(r->fd[2], (void *)&at, length))
		return -errno;
	length = address_of("0.0.0.0", 7105, &at);
	r->number[0] = 7105;
	r->fd[0] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r->fd[1] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (setsockopt(r->fd[0], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		return -errno;
	return result(bind(r->fd[0], (void *)&at, length));
}
SOCKET(udp4_device, "udp4/beside-bound-to-device", "socket_sendmsg", setup_udp4_device,
       send_udp4_to, by_recv);

NOT_COVERED(shared_ring,
	    "an io_uring, or its registered buffers, that two processes hold; IORING_OP_MSG_RING",
	    "who submits a request is taken for the one who reads or sends");
NOT_COVERED(error_queue, "the error queue of a socket that two processes hold (MSG_ERRQUEUE)",
	    "what comes back is the sender's own; its socket is not marked by what it sends");
NOT_COVERED(nflog, "packets that a process reads by NFLOG or NFQUEUE",
	    "as those that a process sniffs");
NOT_COVERED(kept_text,
	    "text that the kernel keeps and gives back: of nftables, ipset, an interface's alias, "
	    "socket filters, names of sockets, limits, window sizes, exit statuses",
	    "each is a call of its own, and few bytes");
NOT_COVERED(sockmap, "sockmaps, and BPF maps read and written by bpf(2)",
	    "BPF programs of the guest's root move the bytes");
NOT_COVERED(zcrx, "io_uring zero copy receive (IORING_OP_RECV_ZC, 6.15)",
	    "the network card writes into the process's memory; needs a card that can");

/* --- TCP's own ways ------------------------------------------------------- */

/* The kernel says how much of the structure it knows: copybuf_len came in 5.11 (18fb76ed5386). */
static int setup_zerocopy(struct run *r)
{
	struct tcp_zerocopy_receive how = {};
	socklen_t length = sizeof(how);
	int error = setup_tcp4(r);

	if (!error && getsockopt(r->fd[0], IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &how, &length) &&
	    errno == ENOPROTOOPT)
		return absent("no TCP_ZEROCOPY_RECEIVE");
	if (!error && length < offsetof(struct tcp_zerocopy_receive, copybuf_len) + sizeof(int))
		return absent("no copy of what fills no page");
	return error;
}

/* getsockopt(TCP_ZEROCOPY_RECEIVE) copies what does not fill a page into the caller's buffer. */
static int receive_zerocopy(struct run *r, void *data, size_t size)
{
	struct tcp_zerocopy_receive how = { .copybuf_address = (uintptr_t)data,
					    .copybuf_len = size };
	socklen_t length = sizeof(how);
	struct tcp_info info;
	socklen_t info_length;
	char *map = mmap(NULL, 1 << 16, PROT_READ, MAP_SHARED, r->fd[0], 0);

	if (map == MAP_FAILED)
		return -errno;
	do {
		info_length = sizeof(info);
		if (getsockopt(r->fd[0], IPPROTO_TCP, TCP_INFO, &info, &info_length))
			return -errno;
	} while (info.tcpi_bytes_received < (r->round == 1 ? size : 2 * size));
	how.address = (uintptr_t)map;
	how.length = size;
	if (getsockopt(r->fd[0], IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &how, &length))
		return -errno;
	if (how.length)
		memcpy(data, map, how.length);
	else if (how.copybuf_len != (int)size)
		return -EIO;
	munmap(map, 1 << 16);
	return 0;
}
CHANNEL(zerocopy_receive, .name = "tcp4/zerocopy-receive", .hook = "tcp_zerocopy_receive",
	.carrier = "socket", .setup = setup_zerocopy, .send = by_send, .receive = receive_zerocopy);
