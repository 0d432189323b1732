// SPDX-License-Identifier: GPL-2.0
/*
 * A program with two threads, one of which changes what the other's system call
 * names while that call is under way:
 *
 * exchange dup2 FILE CLEAN OUT     an io_submit() of two reads: the first waits on a
 *                                  pipe, and meanwhile the second one's descriptor, of
 *                                  CLEAN, becomes FILE's. What it got goes to OUT
 * exchange address FILE OUT        a sendmmsg() of two datagrams with FILE's text: the
 *                                  first waits, and meanwhile the second one's address
 *                                  becomes that of another process, which writes OUT
 */
#include "guest.h"

#include <linux/aio_abi.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

static pid_t waiter; /* thread id; 0: not yet started */

/* The thread is in its system call once it sleeps. */
static void wait_until_it_waits(void)
{
	char path[64], line[512], *state;
	ssize_t len;
	int fd;

	for (int i = 0; i < DEADLINE_S * 100; i++, sleep_ms(10)) {
		if (!__atomic_load_n(&waiter, __ATOMIC_SEQ_CST))
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%d/stat", waiter);
		fd = open(path, O_RDONLY);
		len = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
		if (len <= 0)
			die("%s", path);
		close(fd);
		line[len] = 0;
		state = strrchr(line, ')');
		if (state && state[2] == 'S')
			return;
	}
	die("the other thread never waited");
}

static void i_wait(void)
{
	__atomic_store_n(&waiter, gettid(), __ATOMIC_SEQ_CST);
}

static void store(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		die("%s", path);
	close(fd);
}

static char got[MESSAGE_SIZE];

/* --- the descriptor ---------------------------------------------------------- */

struct reads {
	int pipe, file;
};

static void *read_both(void *arg)
{
	const struct reads *reads = arg;
	struct iocb first = { .aio_fildes = reads->pipe, .aio_lio_opcode = IOCB_CMD_PREAD };
	struct iocb second = { .aio_fildes = reads->file, .aio_lio_opcode = IOCB_CMD_PREAD };
	struct iocb *both[] = { &first, &second };
	struct io_event events[2];
	aio_context_t context = 0;
	char byte;

	first.aio_buf = (uintptr_t)&byte;
	first.aio_nbytes = 1;
	second.aio_buf = (uintptr_t)got;
	second.aio_nbytes = sizeof(got);
	if (syscall(SYS_io_setup, 2, &context))
		die("io_setup");
	i_wait();
	if (syscall(SYS_io_submit, context, 2, both) != 2)
		die("io_submit");
	if (syscall(SYS_io_getevents, context, 2, 2, events, NULL) != 2)
		die("io_getevents");
	return NULL;
}

static int exchange_descriptor(const char *file, const char *clean, const char *out)
{
	int secret = open(file, O_RDONLY), ends[2];
	struct reads reads;
	pthread_t thread;

	reads.file = open(clean, O_RDONLY);
	if (secret < 0 || reads.file < 0 || pipe(ends))
		die("%s, %s", file, clean);
	reads.pipe = ends[0];
	if (pthread_create(&thread, NULL, read_both, &reads))
		die("pthread_create");
	wait_until_it_waits();
	if (dup2(secret, reads.file) < 0 || write(ends[1], "x", 1) != 1)
		die("dup2");
	pthread_join(thread, NULL);
	store(out, got, sizeof(got));
	return 0;
}

/* --- the address -------------------------------------------------------------- */

struct letters {
	int socket;
	struct sockaddr_un to[2];
};

static void *send_both(void *arg)
{
	struct letters *letters = arg;
	struct iovec text = { got, sizeof(got) };
	struct mmsghdr both[2] = {};

	for (int i = 0; i < 2; i++) {
		both[i].msg_hdr.msg_name = &letters->to[i];
		both[i].msg_hdr.msg_namelen = sizeof(letters->to[i]);
		both[i].msg_hdr.msg_iov = &text;
		both[i].msg_hdr.msg_iovlen = 1;
	}
	i_wait();
	if (sendmmsg(letters->socket, both, 2, 0) != 2)
		die("sendmmsg");
	return NULL;
}

static int bound(struct sockaddr_un *name, const char *path)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	name->sun_family = AF_UNIX;
	snprintf(name->sun_path, sizeof(name->sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)name, sizeof(*name)))
		die("%s", path);
	return fd;
}

static int exchange_address(const char *file, const char *out)
{
	struct sockaddr_un taker_name;
	struct letters letters;
	int decoy, taker, status, fd;
	pthread_t thread;
	pid_t child;

	decoy = bound(&letters.to[0], "decoy");
	letters.to[1] = letters.to[0];
	taker = bound(&taker_name, "taker");
	child = fork();
	if (!child) {
		set_comm("taker");
		if (recv(taker, got, sizeof(got), 0) != sizeof(got))
			die("recv");
		store(out, got, sizeof(got));
		_exit(0);
	}
	letters.socket = socket(AF_UNIX, SOCK_DGRAM, 0);
	while (sendto(letters.socket, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&letters.to[0],
		      sizeof(letters.to[0])) == 1)
		;
	if (errno != EAGAIN)
		die("filling the queue");
	fd = open(file, O_RDONLY);
	if (fd < 0 || read(fd, got, sizeof(got)) != sizeof(got))
		die("%s", file);
	if (pthread_create(&thread, NULL, send_both, &letters))
		die("pthread_create");
	wait_until_it_waits();
	letters.to[1] = taker_name;
	if (recv(decoy, &status, 1, 0) < 0)
		die("recv");
	pthread_join(thread, NULL);
	if (waitpid(child, &status, 0) != child || status)
		die("the taker failed");
	return 0;
}

int main(int argc, char **argv)
{
	alarm(DEADLINE_S);
	if (argc == 5 && !strcmp(argv[1], "dup2"))
		return exchange_descriptor(argv[2], argv[3], argv[4]);
	if (argc == 4 && !strcmp(argv[1], "address"))
		return exchange_address(argv[2], argv[3]);
	fprintf(stderr, "usage: exchange dup2 FILE CLEAN OUT | exchange address FILE OUT\n");
	return 2;
}
