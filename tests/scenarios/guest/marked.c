// SPDX-License-Identifier: GPL-2.0
/*
 * marked: makes exactly N calls of one kind, for counting VM exits.
 *
 *   marked OP N [READY GO DONE END]
 *
 * Everything that OP needs is made before. With the four paths, READY is
 * touched then, the calls begin once GO exists, DONE is touched after the last
 * one, and the program goes on to its exit once END exists: exits counted
 * between READY and DONE are those of the calls (touch and stat of these files
 * make none of their own, but for what the guest does besides). N may be 0.
 * Prints "OP N nanoseconds-per-call". Its file lies in the working directory.
 *
 * A row of the table says what one call is; "pipe" is one write and one read.
 * The rows -peek and -read-empty do the receiving half alone, so that the
 * difference is the sending half.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define BYTES 64

static int a = -1, b = -1; /* the descriptors at hand: a sends, b receives */
static struct sockaddr_storage address;
static socklen_t address_length;
static char buf[BYTES];
static char path[64] = "marked-XXXXXX";

static void check(bool good, const char *what)
{
	if (!good)
		die("%s", what);
}

/* What the calls need. */

static void need_nothing(void)
{
}

static void need_file(void)
{
	a = b = mkstemp(path);
	check(a >= 0 && write(a, buf, BYTES) == BYTES, path);
}

/* a is the slave, b the master. */
static void need_pty(void)
{
	struct termios raw = {};

	cfmakeraw(&raw);
	check(!openpty(&b, &a, NULL, &raw, NULL), "pty");
}

static void need_null(void)
{
	a = open("/dev/null", O_RDWR);
	check(a >= 0, "/dev/null");
}

static void need_pipe(void)
{
	int ends[2];

	check(!pipe(ends), "pipe");
	a = ends[1];
	b = ends[0];
}

static void need_pair(int type)
{
	int ends[2];

	check(!socketpair(AF_UNIX, type, 0, ends), "socketpair");
	a = ends[0];
	b = ends[1];
}

static void need_stream_pair(void)
{
	need_pair(SOCK_STREAM);
}

static void need_dgram_pair(void)
{
	need_pair(SOCK_DGRAM);
}

static void need_seqpacket_pair(void)
{
	need_pair(SOCK_SEQPACKET);
}

/* Binds b to an address of its family, which the system chooses. */
static void need_bound(int family, int type)
{
	struct sockaddr_in *in = (void *)&address;
	struct sockaddr_in6 *in6 = (void *)&address;

	address.ss_family = family;
	address_length = family == AF_UNIX   ? sizeof(sa_family_t)
			 : family == AF_INET ? sizeof(*in)
					     : sizeof(*in6);
	if (family == AF_INET)
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (family == AF_INET6)
		in6->sin6_addr = in6addr_loopback;
	b = socket(family, type, 0);
	check(b >= 0 && !bind(b, (void *)&address, address_length), "bind");
	address_length = sizeof(address);
	check(!getsockname(b, (void *)&address, &address_length), "getsockname");
	check(type != SOCK_STREAM || !listen(b, 128), "listen");
}

static void need_sender(int family, int type, bool connected)
{
	need_bound(family, type);
	a = socket(family, type, 0);
	check(a >= 0, "socket");
	if (connected)
		check(!connect(a, (void *)&address, address_length), "connect");
	if (connected && type == SOCK_STREAM) {
		b = accept(b, NULL, NULL);
		check(b >= 0, "accept");
	}
}

static void need_tcp4(void)
{
	need_sender(AF_INET, SOCK_STREAM, true);
}

static void need_tcp6(void)
{
	need_sender(AF_INET6, SOCK_STREAM, true);
}

static void need_udp4(void)
{
	need_sender(AF_INET, SOCK_DGRAM, true);
}

static void need_udp6(void)
{
	need_sender(AF_INET6, SOCK_DGRAM, true);
}

static void need_udp4_address(void)
{
	need_sender(AF_INET, SOCK_DGRAM, false);
}

static void need_unix_address(void)
{
	need_sender(AF_UNIX, SOCK_DGRAM, false);
}

static void need_listener(void)
{
	need_bound(AF_INET, SOCK_STREAM);
}

static void need_unix_listener(void)
{
	need_bound(AF_UNIX, SOCK_STREAM);
}

static void need_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN };

	need_pipe();
	a = epoll_create1(0);
	check(!epoll_ctl(a, EPOLL_CTL_ADD, b, &event), "epoll_ctl");
}

/* A message that waits in b; peeking leaves it there. */
static void need_message(void (*need)(void))
{
	need();
	check(write(a, buf, BYTES) == BYTES, "write");
}

static void need_stream_message(void)
{
	need_message(need_stream_pair);
}

static void need_dgram_message(void)
{
	need_message(need_dgram_pair);
}

static void need_tcp4_message(void)
{
	need_message(need_tcp4);
}

static void need_udp4_message(void)
{
	need_message(need_udp4);
}

/* Nothing to read in b, which says so at once. */
static void need_emptiness(void (*need)(void))
{
	need();
	check(!fcntl(b, F_SETFL, O_NONBLOCK), "fcntl");
}

static void need_empty_pipe(void)
{
	need_emptiness(need_pipe);
}

static void need_empty_stream(void)
{
	need_emptiness(need_stream_pair);
}

static void need_empty_tcp4(void)
{
	need_emptiness(need_tcp4);
}

static void need_empty_udp4(void)
{
	need_emptiness(need_udp4);
}

/* A page of the program, and one of its file. */
static volatile char *page;

static void need_page(void)
{
	page = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(page != MAP_FAILED, "mmap");
}

static void need_file_page(void)
{
	need_file();
	page = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, a, 0);
	check(page != MAP_FAILED, "mmap");
}

/* The calls. */

static void call_getpid(void)
{
	syscall(SYS_getpid);
}

static void call_read_file(void)
{
	lseek(b, 0, SEEK_SET);
	check(read(b, buf, BYTES) == BYTES, "read");
}

static void call_write_file(void)
{
	lseek(a, 0, SEEK_SET);
	check(write(a, buf, BYTES) == BYTES, "write");
}

static void call_pread(void)
{
	check(pread(b, buf, BYTES, 0) == BYTES, "pread");
}

static void call_pwrite(void)
{
	check(pwrite(a, buf, BYTES, 0) == BYTES, "pwrite");
}

static void call_write(void)
{
	check(write(a, buf, BYTES) == BYTES, "write");
}

static void call_open_close(void)
{
	int fd = open(path, O_RDONLY);

	check(fd >= 0, path);
	close(fd);
}

static void call_stat(void)
{
	struct stat st;

	check(!stat(path, &st), path);
}

static void call_write_read(void)
{
	check(write(a, buf, BYTES) == BYTES && read(b, buf, BYTES) == BYTES, "write and read");
}

static void call_send_recv(void)
{
	check(send(a, buf, BYTES, 0) == BYTES && recv(b, buf, BYTES, 0) == BYTES, "send and recv");
}

static void call_sendto_recv(void)
{
	check(sendto(a, buf, BYTES, 0, (void *)&address, address_length) == BYTES &&
		      recv(b, buf, BYTES, 0) == BYTES,
	      "sendto and recv");
}

static void call_connect_accept(void)
{
	struct linger now = { .l_onoff = 1 };
	int client = socket(address.ss_family, SOCK_STREAM, 0), server;

	check(!connect(client, (void *)&address, address_length), "connect");
	server = accept(b, NULL, NULL);
	check(server >= 0, "accept");
	/* A reset leaves no TIME_WAIT behind, so ports do not run out. */
	setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(client);
	close(server);
}

static void call_connect(void)
{
	check(!connect(a, (void *)&address, address_length), "connect");
}

static void call_peek(void)
{
	check(recv(b, buf, BYTES, MSG_PEEK) == BYTES, "recv");
}

static void call_read_empty(void)
{
	check(read(b, buf, BYTES) < 0 && errno == EAGAIN, "read");
}

static void call_socket_close(int family, int type)
{
	int fd = socket(family, type, 0);

	check(fd >= 0, "socket");
	close(fd);
}

static void call_unix_close(void)
{
	call_socket_close(AF_UNIX, SOCK_STREAM);
}

static void call_tcp_close(void)
{
	call_socket_close(AF_INET, SOCK_STREAM);
}

static void call_udp_close(void)
{
	call_socket_close(AF_INET, SOCK_DGRAM);
}

static void call_pipe_close(void)
{
	int ends[2];

	check(!pipe(ends), "pipe");
	close(ends[0]);
	close(ends[1]);
}

static void call_create_unlink(void)
{
	int fd = open("marked-new", O_CREAT | O_EXCL | O_WRONLY, 0600);

	check(fd >= 0, "marked-new");
	close(fd);
	check(!unlink("marked-new"), "unlink");
}

static void call_rename(void)
{
	char other[sizeof(path)];

	snprintf(other, sizeof(other), "%s", path);
	other[0] ^= 'm' ^ 'M';
	check(!rename(path, other), "rename");
	memcpy(path, other, sizeof(path));
}

static void need_mq(void)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = BYTES };

	a = mq_open("/marked", O_RDWR | O_CREAT, 0600, &attr);
	check(a >= 0 && !mq_unlink("/marked"), "mq_open");
}

static void call_mq(void)
{
	check(!mq_send(a, buf, BYTES, 0) && mq_receive(a, buf, BYTES, NULL) == BYTES, "mq");
}

static void need_msg(void)
{
	a = msgget(IPC_PRIVATE, 0600);
	check(a >= 0, "msgget");
}

static void call_msg(void)
{
	struct {
		long type;
		char text[BYTES];
	} message = { .type = 1 };

	check(!msgsnd(a, &message, BYTES, 0) && msgrcv(a, &message, BYTES, 0, 0) == BYTES, "msg");
}

/* What ls -l asks of a file. */
static void call_getxattr(void)
{
	getxattr(path, "security.selinux", buf, BYTES);
}

static void call_get_acl(void)
{
	getxattr(path, "system.posix_acl_access", buf, BYTES);
}

static void call_ioctl(void)
{
	struct winsize size;

	check(!ioctl(a, TIOCGWINSZ, &size), "ioctl");
}

static void call_symlink(void)
{
	check(!symlink("text", "marked-link") && readlink("marked-link", buf, BYTES) == 4 &&
		      !unlink("marked-link"),
	      "symlink");
}

/* The first touch of a page, each time. */
static void call_fault(void)
{
	page[0] = 1;
	check(!madvise((void *)page, BYTES, MADV_DONTNEED), "madvise");
}

static void call_epoll(void)
{
	struct epoll_event event;

	check(epoll_wait(a, &event, 1, 0) == 0, "epoll_wait");
}

static void call_poll(void)
{
	struct pollfd wanted = { .fd = b, .events = POLLIN };

	check(poll(&wanted, 1, 0) == 0, "poll");
}

static void call_select(void)
{
	struct timeval now = {};
	fd_set wanted;

	FD_ZERO(&wanted);
	FD_SET(b, &wanted);
	check(select(b + 1, &wanted, NULL, NULL, &now) == 0, "select");
}

/* io_uring(7), as far as one read at a time needs it. */
static struct {
	int fd;
	struct io_uring_params params;
	char *rings;
	struct io_uring_sqe *sqes;
} uring;

static void need_uring(void)
{
	size_t size;

	need_file();
	uring.fd = syscall(SYS_io_uring_setup, 1, &uring.params);
	check(uring.fd >= 0 && uring.params.features & IORING_FEAT_SINGLE_MMAP, "io_uring_setup");
	size = uring.params.cq_off.cqes + uring.params.cq_entries * sizeof(struct io_uring_cqe) +
	       uring.params.sq_entries * sizeof(unsigned int);
	uring.rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, uring.fd,
			   IORING_OFF_SQ_RING);
	uring.sqes = mmap(NULL, sizeof(*uring.sqes), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, uring.fd, IORING_OFF_SQES);
	check(uring.rings != MAP_FAILED && (void *)uring.sqes != MAP_FAILED, "mmap of io_uring");
}

static void call_uring_read(void)
{
	unsigned int *tail = (void *)(uring.rings + uring.params.sq_off.tail),
		     *head = (void *)(uring.rings + uring.params.cq_off.head),
		     *mask = (void *)(uring.rings + uring.params.cq_off.ring_mask);
	struct io_uring_cqe *cqes = (void *)(uring.rings + uring.params.cq_off.cqes);

	*uring.sqes = (struct io_uring_sqe){
		.opcode = IORING_OP_READ, .fd = a, .addr = (uintptr_t)buf, .len = BYTES
	};
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	check(syscall(SYS_io_uring_enter, uring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1,
	      "io_uring_enter");
	check(cqes[*head & *mask].res == BYTES, "read by io_uring");
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
}

static void call_fork(void)
{
	pid_t pid = fork();

	check(pid >= 0, "fork");
	if (!pid)
		_exit(0);
	reap(pid);
}

static void call_exec(void)
{
	char *program[] = { "/bin/true", NULL };
	pid_t pid = fork();

	check(pid >= 0, "fork");
	if (!pid) {
		execv(program[0], program);
		_exit(127);
	}
	reap(pid);
}

static void call_mmap(void)
{
	void *map = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE, a, 0);

	check(map != MAP_FAILED, "mmap");
	munmap(map, BYTES);
}

static void call_mmap_anonymous(void)
{
	void *map = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(map != MAP_FAILED, "mmap");
	munmap(map, BYTES);
}

static const struct {
	const char *name;
	void (*need)(void);
	void (*call)(void);
} rows[] = {
	{ "getpid", need_nothing, call_getpid },
	{ "read", need_file, call_read_file },
	{ "write", need_file, call_write_file },
	{ "pread", need_file, call_pread },
	{ "pwrite", need_file, call_pwrite },
	{ "write-null", need_null, call_write },
	{ "open-close", need_file, call_open_close },
	{ "stat", need_file, call_stat },
	{ "mmap", need_file, call_mmap },
	{ "mmap-anonymous", need_nothing, call_mmap_anonymous },
	{ "pipe", need_pipe, call_write_read },
	{ "unix-stream", need_stream_pair, call_send_recv },
	{ "unix-stream-write-read", need_stream_pair, call_write_read },
	{ "unix-dgram", need_dgram_pair, call_send_recv },
	{ "unix-dgram-sendto", need_unix_address, call_sendto_recv },
	{ "unix-seqpacket", need_seqpacket_pair, call_send_recv },
	{ "unix-connect-accept", need_unix_listener, call_connect_accept },
	{ "tcp", need_tcp4, call_send_recv },
	{ "tcp-write-read", need_tcp4, call_write_read },
	{ "tcp6", need_tcp6, call_send_recv },
	{ "tcp-connect-accept", need_listener, call_connect_accept },
	{ "udp", need_udp4, call_send_recv },
	{ "udp-write-read", need_udp4, call_write_read },
	{ "udp-sendto", need_udp4_address, call_sendto_recv },
	{ "udp6", need_udp6, call_send_recv },
	{ "pipe-read-empty", need_empty_pipe, call_read_empty },
	{ "pipe-close", need_nothing, call_pipe_close },
	{ "unix-stream-peek", need_stream_message, call_peek },
	{ "unix-stream-read-empty", need_empty_stream, call_read_empty },
	{ "unix-dgram-peek", need_dgram_message, call_peek },
	{ "unix-dgram-connect", need_unix_address, call_connect },
	{ "unix-socket-close", need_nothing, call_unix_close },
	{ "tcp-peek", need_tcp4_message, call_peek },
	{ "tcp-read-empty", need_empty_tcp4, call_read_empty },
	{ "tcp-socket-close", need_nothing, call_tcp_close },
	{ "udp-peek", need_udp4_message, call_peek },
	{ "udp-read-empty", need_empty_udp4, call_read_empty },
	{ "udp-connect", need_udp4_address, call_connect },
	{ "udp-socket-close", need_nothing, call_udp_close },
	{ "create-unlink", need_nothing, call_create_unlink },
	{ "rename", need_file, call_rename },
	{ "mq", need_mq, call_mq },
	{ "msg", need_msg, call_msg },
	{ "getxattr", need_file, call_getxattr },
	{ "get-acl", need_file, call_get_acl },
	{ "symlink", need_nothing, call_symlink },
	{ "ioctl", need_pty, call_ioctl },
	{ "pty", need_pty, call_write_read },
	{ "page-fault", need_page, call_fault },
	{ "page-fault-file", need_file_page, call_fault },
	{ "epoll", need_epoll, call_epoll },
	{ "poll", need_pipe, call_poll },
	{ "select", need_pipe, call_select },
	{ "uring-read", need_uring, call_uring_read },
	{ "fork", need_nothing, call_fork },
	{ "exec", need_nothing, call_exec },
};

static void usage(void)
{
	fprintf(stderr, "usage: marked OP N [READY GO DONE END]\nOP is one of");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		fprintf(stderr, " %s", rows[i].name);
	fprintf(stderr, "\n");
	exit(2);
}

int main(int argc, char **argv)
{
	struct timespec from, to;
	size_t row = 0;
	long n;

	while (argc > 2 && row < sizeof(rows) / sizeof(*rows) && strcmp(rows[row].name, argv[1]))
		row++;
	if ((argc != 3 && argc != 7) || row == sizeof(rows) / sizeof(*rows))
		usage();
	n = strtol(argv[2], NULL, 0);
	rows[row].need();
	if (argc == 7) {
		touch(argv[3]);
		wait_for_path(argv[4]);
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (long i = 0; i < n; i++)
		rows[row].call();
	clock_gettime(CLOCK_MONOTONIC, &to);
	if (argc == 7) {
		touch(argv[5]);
		wait_for_path(argv[6]);
	}
	unlink(path);
	printf("%s %ld %.1f\n", argv[1], n,
	       n ? ((to.tv_sec - from.tv_sec) * 1e9 + to.tv_nsec - from.tv_nsec) / n : 0);
	return 0;
}
