/* SPDX-License-Identifier: GPL-2.0 */
/* carrier's channels: what they are called, and how each end is opened. */
#ifndef CHANNEL_H
#define CHANNEL_H

#include "guest.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

enum kind { CH_FD, CH_FILE, CH_TMPFILE, CH_FIFO, CH_SOCKET };

struct channel {
	enum kind kind;
	int fd; /* -1: closed */
	int listener; /* -1: none */
	int type; /* SOCK_* */
	const char *path;
	struct sockaddr_storage address;
	socklen_t length;
	bool by_address; /* name the receiver at every send */
};

struct options {
	const char *comm, *call, *from, *ready, *gate, *done, *until, *blocked, *forward;
	size_t size;
	int count;
	bool listen, connect, unconnected, request, poll, read_first, new_netns, pause;
};

struct source {
	int fd; /* -1: clean bytes */
	char *data;
};

static void usage(void);

/* Waiting. */

static const struct {
	const char *name;
	long nr;
} sleeping_calls[] = {
	{ "read", SYS_read },		{ "readv", SYS_readv },
	{ "recvfrom", SYS_recvfrom },	{ "recvmsg", SYS_recvmsg },
	{ "poll", SYS_poll },		{ "recvmmsg", SYS_recvmmsg },
	{ "accept", SYS_accept },	{ "splice", SYS_splice },
	{ "nanosleep", SYS_nanosleep }, { "openat", SYS_openat },
	{ "select", SYS_select },	{ "clock_nanosleep", SYS_clock_nanosleep },
	{ "pause", SYS_pause },		{ "pselect6", SYS_pselect6 },
	{ "sendfile", SYS_sendfile },
};

/* Waits until the process sleeps in the system call; the kernel says "running" until it does. */
static void wait_blocked(pid_t pid, const char *call)
{
	char path[64], text[256];
	long nr = -1;

	for (size_t i = 0; i < sizeof(sleeping_calls) / sizeof(*sleeping_calls); i++)
		if (!strcmp(sleeping_calls[i].name, call))
			nr = sleeping_calls[i].nr;
	if (nr < 0)
		die("no such call: %s", call);
	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	for (;;) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n;
		char *end;

		if (fd < 0)
			die("%s", path);
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (n < 0)
			die("%s", path);
		text[n] = 0;
		if (strtol(text, &end, 10) == nr && *end == ' ')
			return;
		sleep_ms(2);
	}
}

static void wait_peer(const char *peer)
{
	char *call;
	long pid;

	if (!peer)
		return;
	pid = strtol(peer, &call, 10);
	if (*call != ':')
		usage();
	wait_blocked(pid, call + 1);
}

/* Channels. */

static const char *after(const char *text, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) ? NULL : text + n;
}

static void parse_inet(struct channel *ch, const char *text)
{
	struct sockaddr_in6 *in6 = (void *)&ch->address;
	struct sockaddr_in *in = (void *)&ch->address;
	char host[INET6_ADDRSTRLEN] = "";
	const char *slash = strrchr(text, '/');

	if (!slash || (size_t)(slash - text) >= sizeof(host))
		usage();
	memcpy(host, text, slash - text);
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(atoi(slash + 1));
		ch->length = sizeof(*in);
	} else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(atoi(slash + 1));
		ch->length = sizeof(*in6);
	} else {
		usage();
	}
}

static void parse_unix(struct channel *ch, const char *name)
{
	struct sockaddr_un *un = (void *)&ch->address;
	size_t n = strlen(name);

	if (!n || n >= sizeof(un->sun_path))
		usage();
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, name, n);
	ch->length = offsetof(struct sockaddr_un, sun_path) + n + 1;
	if (*name == '@') {
		un->sun_path[0] = 0;
		ch->length--;
	} else {
		ch->path = name;
	}
}

static struct channel parse_channel(const char *text)
{
	static const struct {
		const char *prefix;
		enum kind kind;
		int type;
		void (*parse)(struct channel *ch, const char *text);
	} forms[] = {
		{ "fd:", CH_FD, 0, NULL },
		{ "file:", CH_FILE, 0, NULL },
		{ "tmpfile:", CH_TMPFILE, 0, NULL },
		{ "fifo:", CH_FIFO, 0, NULL },
		{ "tcp:", CH_SOCKET, SOCK_STREAM, parse_inet },
		{ "udp:", CH_SOCKET, SOCK_DGRAM, parse_inet },
		{ "unix-stream:", CH_SOCKET, SOCK_STREAM, parse_unix },
		{ "unix-dgram:", CH_SOCKET, SOCK_DGRAM, parse_unix },
		{ "unix-seqpacket:", CH_SOCKET, SOCK_SEQPACKET, parse_unix },
	};
	struct channel ch = { .fd = -1, .listener = -1 };

	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		const char *rest = after(text, forms[i].prefix);

		if (!rest)
			continue;
		ch.kind = forms[i].kind;
		ch.type = forms[i].type;
		if (forms[i].parse)
			forms[i].parse(&ch, rest);
		else if (ch.kind == CH_FD)
			ch.fd = atoi(rest);
		else
			ch.path = rest;
		return ch;
	}
	usage();
	return ch;
}

static int new_socket(const struct channel *ch)
{
	int one = 1, fd = socket(ch->address.ss_family, ch->type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (ch->address.ss_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return fd;
}

/* Binds (and for streams listens) once; later calls take the next connection. */
static void open_passive(struct channel *ch, const struct options *opt)
{
	bool stream = ch->type != SOCK_DGRAM;

	if (ch->fd < 0 && ch->listener < 0) {
		int fd = new_socket(ch);

		if (ch->address.ss_family == AF_UNIX && ch->path)
			unlink(ch->path);
		if (bind(fd, (void *)&ch->address, ch->length) || (stream && listen(fd, 8)))
			die("bind");
		*(stream ? &ch->listener : &ch->fd) = fd;
		touch(opt->ready);
		wait_for_path(opt->gate);
	}
	if (stream) {
		ch->fd = accept(ch->listener, NULL, NULL);
		if (ch->fd < 0)
			die("accept");
	}
}

/* Connects, waiting for the other side to be there. */
static void open_active(struct channel *ch, const struct options *opt)
{
	bool by_address = opt->unconnected || (opt->call && !strcmp(opt->call, "fastopen"));

	ch->fd = new_socket(ch);
	ch->by_address = by_address;
	if (opt->request && ch->type == SOCK_DGRAM && ch->address.ss_family == AF_UNIX) {
		/* Autobind: the answer needs an address to go to. */
		sa_family_t family = AF_UNIX;

		if (bind(ch->fd, (void *)&family, sizeof(family)))
			die("autobind");
	}
	while (!by_address && connect(ch->fd, (void *)&ch->address, ch->length)) {
		if (errno != ECONNREFUSED && errno != ENOENT)
			die("connect");
		sleep_ms(5);
	}
	touch(opt->ready);
}

static void open_path(struct channel *ch, bool writing, const struct options *opt)
{
	char directory[256];
	int flags = writing ? O_CREAT | O_WRONLY | O_TRUNC : O_RDONLY;

	switch (ch->kind) {
	case CH_FIFO:
		if (mkfifo(ch->path, 0600) && errno != EEXIST)
			die("%s", ch->path);
		touch(opt->ready);
		ch->fd = open(ch->path, (writing ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
		break;
	case CH_TMPFILE:
		snprintf(directory, sizeof(directory), "%s", ch->path);
		*strrchr(directory, '/') = 0;
		ch->fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
		break;
	default:
		ch->fd = open(ch->path, flags | O_CLOEXEC, 0644);
		touch(opt->ready);
		break;
	}
	if (ch->fd < 0)
		die("%s", ch->path);
}

static void open_channel(struct channel *ch, bool writing, const struct options *opt)
{
	if (ch->kind == CH_FD)
		touch(opt->ready);
	else if (ch->kind != CH_SOCKET)
		open_path(ch, writing, opt);
	else if (opt->listen || (!writing && !opt->connect))
		open_passive(ch, opt);
	else
		open_active(ch, opt);
	wait_for_path(opt->gate);
}

/* Ends one message's use of the channel; what serves many messages stays open. */
static void close_channel(struct channel *ch)
{
	char from[64];

	if (ch->kind == CH_TMPFILE) {
		snprintf(from, sizeof(from), "/proc/self/fd/%d", ch->fd);
		if (linkat(AT_FDCWD, from, AT_FDCWD, ch->path, AT_SYMLINK_FOLLOW))
			die("linkat %s", ch->path);
	}
	if (ch->kind == CH_FD || (ch->kind == CH_SOCKET && ch->type == SOCK_DGRAM))
		return;
	close(ch->fd);
	ch->fd = -1;
}

#endif
