// SPDX-License-Identifier: GPL-2.0
/*
 * load: keeps a guest busy and checks everything it does.
 *
 *   load DIR
 *
 * Two processes fork, two copy files in DIR, and pairs of processes play
 * ping-pong over a pipe, a UNIX socket and a TCP connection on 127.0.0.1. Each
 * block is made from its round's number, so whoever gets it can tell whether it
 * is right. Until SIGTERM; then one line, "OK" or "BAD", with the number of
 * rounds each worker did. The exit status is 0 for OK.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define BLOCK_MAX  8192
#define FILE_SIZE  65536
#define EXEC_EVERY 16 /* forks for one exec */

static volatile sig_atomic_t stopping;
static const char *directory;

static void on_term(int signal)
{
	(void)signal;
	stopping = 1;
}

static __attribute__((noreturn)) void bad(const char *what, uint64_t round)
{
	fprintf(stderr, "load: %s: wrong bytes in round %llu\n", what, (unsigned long long)round);
	_exit(1);
}

static uint64_t next(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ULL;
	return (*state ^ *state >> 29) * 0xbf58476d1ce4e5b9ULL;
}

/* The bytes that belong to a seed. */
static void fill(unsigned char *buf, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		buf[i] = next(&seed) >> 56;
}

static bool is_filled(const unsigned char *buf, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		if (buf[i] != (unsigned char)(next(&seed) >> 56))
			return false;
	return true;
}

/* fork and exec: each child sees its parent's memory, and changes only its own. */
static void one_fork(uint64_t round)
{
	static unsigned char block[BLOCK_MAX];
	char *program[] = { "/bin/true", NULL };
	int status, wanted = round % EXEC_EVERY ? (int)(round & 0x7f) : 0;
	pid_t pid;

	fill(block, sizeof(block), round);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		if (!is_filled(block, sizeof(block), round))
			_exit(255);
		memset(block, 0, sizeof(block));
		if (round % EXEC_EVERY)
			_exit(wanted);
		/* A signal to the whole group must not look like a fault. */
		signal(SIGTERM, SIG_IGN);
		execv(program[0], program);
		_exit(254);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != wanted || !is_filled(block, sizeof(block), round))
		bad("fork", round);
}

static int open_file(const char *name, int flags)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/load-%d-%s", directory, getpid(), name);
	fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		die("%s", path);
	if (flags == O_RDONLY)
		unlink(path);
	return fd;
}

/* write, copy (by turns in the kernel and through memory), read and map again. */
static void one_copy(uint64_t round)
{
	static unsigned char block[FILE_SIZE];
	int from = open_file("from", O_CREAT | O_RDWR | O_TRUNC);
	int to = open_file("to", O_CREAT | O_RDWR | O_TRUNC);
	unsigned char *map;

	fill(block, sizeof(block), round);
	write_fully(from, (char *)block, sizeof(block));
	lseek(from, 0, SEEK_SET);
	memset(block, 0, sizeof(block));
	if (round & 1) {
		read_fully(from, (char *)block, sizeof(block));
		write_fully(to, (char *)block, sizeof(block));
	} else if (copy_file_range(from, NULL, to, NULL, FILE_SIZE, 0) != FILE_SIZE) {
		die("copy_file_range");
	}
	close(to);
	close(open_file("from", O_RDONLY));
	to = open_file("to", O_RDONLY);
	map = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, to, 0);
	read_fully(to, (char *)block, sizeof(block));
	if (map == MAP_FAILED || !is_filled(block, sizeof(block), round) ||
	    !is_filled(map, FILE_SIZE, round))
		bad("copy", round);
	munmap(map, FILE_SIZE);
	close(to);
	close(from);
}

/* Ping-pong. */

static int ball_in, ball_out;

static void one_ping(uint64_t round)
{
	static struct {
		uint64_t header[2];
		unsigned char block[BLOCK_MAX];
	} ball;
	size_t size = 1 + round * 2654435761ULL % BLOCK_MAX;

	ball.header[0] = round;
	ball.header[1] = size;
	fill(ball.block, size, round);
	/* One write: two small ones would wait for TCP's delayed acknowledgement. */
	write_fully(ball_out, (char *)&ball, sizeof(ball.header) + size);
	read_fully(ball_in, (char *)ball.block, size);
	if (!is_filled(ball.block, size, ~round))
		bad("ping", round);
}

/* Answers until the other side hangs up. */
static void be_pong(int in, int out)
{
	static unsigned char block[BLOCK_MAX];
	uint64_t header[2];

	while (read(in, header, 1) == 1) {
		read_fully(in, (char *)header + 1, sizeof(header) - 1);
		if (header[1] > BLOCK_MAX)
			bad("pong", header[0]);
		read_fully(in, (char *)block, header[1]);
		if (!is_filled(block, header[1], header[0]))
			bad("pong", header[0]);
		fill(block, header[1], ~header[0]);
		write_fully(out, (char *)block, header[1]);
	}
	_exit(0);
}

static void pipe_pair(int ping[2], int pong[2])
{
	int there[2], back[2];

	if (pipe(there) || pipe(back))
		die("pipe");
	ping[0] = back[0];
	ping[1] = there[1];
	pong[0] = there[0];
	pong[1] = back[1];
}

static void unix_pair(int ping[2], int pong[2])
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		die("socketpair");
	ping[0] = ping[1] = ends[0];
	pong[0] = pong[1] = ends[1];
}

static void tcp_pair(int ping[2], int pong[2])
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(in);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (void *)&in, length) || listen(listener, 1) ||
	    getsockname(listener, (void *)&in, &length))
		die("listen");
	ping[0] = ping[1] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(ping[0], (void *)&in, length))
		die("connect");
	pong[0] = pong[1] = accept(listener, NULL, NULL);
	close(listener);
}

/* Workers. */

static const struct {
	const char *name;
	void (*round)(uint64_t round);
	void (*pair)(int ping[2], int pong[2]); /* of ping-pong */
} workers[] = {
	{ "fork", one_fork, NULL },	 { "fork", one_fork, NULL },
	{ "copy", one_copy, NULL },	 { "copy", one_copy, NULL },
	{ "pipe", one_ping, pipe_pair }, { "unix", one_ping, unix_pair },
	{ "tcp", one_ping, tcp_pair },
};

#define WORKERS (sizeof(workers) / sizeof(*workers))

static void be_worker(size_t self, int report)
{
	uint64_t result[2] = { self, 0 };
	int ping[2], pong[2], status = 0;
	pid_t peer = 0;

	if (workers[self].pair) {
		workers[self].pair(ping, pong);
		peer = fork();
		if (peer < 0)
			die("fork");
		close(peer ? pong[0] : ping[0]);
		if (pong[1] != pong[0])
			close(peer ? pong[1] : ping[1]);
		if (!peer) {
			/* The hang-up ends it, after the last answer. */
			signal(SIGTERM, SIG_IGN);
			be_pong(pong[0], pong[1]);
		}
		ball_in = ping[0];
		ball_out = ping[1];
	}
	while (!stopping)
		workers[self].round(result[1]++);
	close(ball_out);
	if (peer && (waitpid(peer, &status, 0) != peer || status))
		bad("pong", result[1]);
	write_fully(report, (char *)result, sizeof(result));
	_exit(0);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_term, .sa_flags = SA_RESTART };
	uint64_t rounds[WORKERS] = {}, result[2];
	pid_t pids[WORKERS];
	bool good = true;
	int report[2];

	if (argc != 2) {
		fprintf(stderr, "usage: load DIR\n");
		return 2;
	}
	directory = argv[1];
	sigaction(SIGTERM, &action, NULL);
	if (pipe(report))
		die("pipe");
	for (size_t i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork");
		if (!pids[i])
			be_worker(i, report[1]);
	}
	close(report[1]);
	while (!stopping && waitpid(-1, NULL, WNOHANG) == 0)
		sleep_ms(50);
	good = stopping;
	for (size_t i = 0; i < WORKERS; i++)
		kill(pids[i], SIGTERM);
	while (read(report[0], result, sizeof(result)) == sizeof(result))
		rounds[result[0]] = result[1];
	while (waitpid(-1, NULL, 0) > 0)
		;
	for (size_t i = 0; i < WORKERS; i++)
		good = good && rounds[i];
	printf("%s", good ? "OK" : "BAD");
	for (size_t i = 0; i < WORKERS; i++)
		printf(" %s=%llu", workers[i].name, (unsigned long long)rounds[i]);
	printf("\n");
	return !good;
}
