/* SPDX-License-Identifier: GPL-2.0 */
/* Ways to send on a connected socket, and ways to receive, for the channels of any family. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include "channel.h"

#include <sys/socket.h>

#define TO_L1_V4  "10.9.0.1"
#define TO_L1_V6  "fd00:9::1"
#define OWN_V4	  "10.9.0.2"
#define OWN_V6	  "fd00:9::2"
#define SINK_PORT 9000

/* The socket address of an IPv4 or IPv6 address; returns its length. */
socklen_t address_of(const char *host, int port, struct sockaddr_storage *address);

/* A socket of this type that is connected to HOST; or -errno. */
int connect_to(const char *host, int port, int type);

/* A connected pair through HOST, an address of this guest: fd[0] receives, fd[1] sends. */
int inet_pair(struct run *r, const char *host, int type);

/* Sends all on r->fd[1]: 0 or -errno. */
int by_send(struct run *r, const void *data, size_t size);
int by_write(struct run *r, const void *data, size_t size);
int by_writev(struct run *r, const void *data, size_t size);
int by_sendmsg(struct run *r, const void *data, size_t size);
int by_sendmmsg(struct run *r, const void *data, size_t size);
int by_sendfile(struct run *r, const void *unused, size_t size); /* of the source */
int by_splice(struct run *r, const void *unused, size_t size); /* of the source, by a pipe */
int by_zerocopy(struct run *r, const void *data, size_t size);
int by_uring_send(struct run *r, const void *data, size_t size);
int by_uring_sendmsg(struct run *r, const void *data, size_t size);
int by_uring_send_zc(struct run *r, const void *data, size_t size);
int by_uring_write(struct run *r, const void *data, size_t size);
int by_uring_sqpoll(struct run *r, const void *data, size_t size);

/* Receives all on r->fd[0]. */
int by_recv(struct run *r, void *data, size_t size);
int by_read(struct run *r, void *data, size_t size);
int by_readv(struct run *r, void *data, size_t size);
int by_recvmsg(struct run *r, void *data, size_t size);
int by_recvmmsg(struct run *r, void *data, size_t size);
int by_peek(struct run *r, void *data, size_t size);
int by_splice_out(struct run *r, void *data, size_t size);
int by_uring_recv(struct run *r, void *data, size_t size);
int by_uring_recvmsg(struct run *r, void *data, size_t size);
int by_uring_read(struct run *r, void *data, size_t size);

/* Which hooks see the receiver in this call, one of the above: with these off, and the sender's on,
 * the channel is missed too. "" of all others. */
const char *hooks_of_receive(int (*receive)(struct run *r, void *data, size_t size));

#endif
