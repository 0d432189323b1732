// SPDX-License-Identifier: GPL-2.0
/*
 * lineage: how processes come to be, and to end, around the read of a secret.
 *
 *   lineage HOW FILE OUT       one party reads FILE, another one writes OUT
 *   lineage HOW FILE CMD...    FILE is read, then CMD is executed
 *   lineage swarm FILE N       N short processes read FILE and use a pipe and a socket each
 *   lineage crowd N            the same with clean bytes, and every one answers its parent
 *
 * OUT is a path, made anew, or tcp:ADDRESS/PORT (IPv4). The processes are told
 * apart by comm: "parent" reads, unless said otherwise; "child" is what HOW
 * makes. HOW is one of the rows of the table at the end.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define STACK_SIZE 65536

/* What the parties share: threads and CLONE_VM children see one copy of it. */
static struct {
	char **args;
	char message[MESSAGE_SIZE];
	volatile int was_read;
} shared;

/* Writes the message where OUT says. */
static void emit(const char *out, const char *message)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	char host[INET_ADDRSTRLEN] = "";
	const char *slash = strrchr(out, '/');
	int fd;

	if (strncmp(out, "tcp:", 4)) {
		write_path(out, message);
		return;
	}
	memcpy(host, out + 4, slash - out - 4);
	inet_pton(AF_INET, host, &in.sin_addr);
	in.sin_port = htons(atoi(slash + 1));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (void *)&in, sizeof(in)))
		die("%s", out);
	write_fully(fd, message, MESSAGE_SIZE);
	close(fd);
}

static void read_secret(void)
{
	read_path(shared.args[0], shared.message);
	shared.was_read = 1;
}

static void emit_secret(void)
{
	while (!shared.was_read)
		sleep_ms(1);
	emit(shared.args[1], shared.message);
}

static void execute(void)
{
	execvp(shared.args[1], shared.args + 1);
	die("%s", shared.args[1]);
}

static pid_t fork_or_die(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid)
		set_comm("child");
	return pid;
}

/* Rows: what each proves stands in the table. */

static void how_fork(void)
{
	pid_t pid;

	read_secret();
	pid = fork_or_die();
	if (!pid) {
		emit_secret();
		_exit(0);
	}
	reap(pid);
}

static void how_fork_before(void)
{
	char clean[MESSAGE_SIZE];
	int go[2];
	pid_t pid;

	if (pipe(go))
		die("pipe");
	pid = fork_or_die();
	if (!pid) {
		/* Hang-up of the pipe says that the parent has read; no byte moves. */
		close(go[1]);
		if (read(go[0], clean, 1))
			die("no end of file");
		fill_clean(clean, sizeof(clean));
		emit(shared.args[1], clean);
		_exit(0);
	}
	close(go[0]);
	read_secret();
	close(go[1]);
	reap(pid);
}

static void how_daemon(void)
{
	pid_t pid;

	read_secret();
	pid = fork_or_die();
	if (!pid) {
		pid_t middle = getpid();

		if (setsid() < 0 || fork_or_die())
			_exit(0);
		while (getppid() == middle)
			sleep_ms(1);
		emit_secret();
		_exit(0);
	}
	reap(pid);
}

static void how_exec(void)
{
	read_secret();
	execute();
}

static void how_fork_exec(void)
{
	pid_t pid;

	read_secret();
	pid = fork_or_die();
	if (!pid)
		execute();
	reap(pid);
}

static void how_spawn(void)
{
	pid_t pid;

	read_secret();
	if (posix_spawnp(&pid, shared.args[1], NULL, NULL, shared.args + 1, environ))
		die("posix_spawn");
	reap(pid);
}

static int child_reads(void *unused)
{
	(void)unused;
	set_comm("child");
	read_secret();
	_exit(0);
}

static int child_emits(void *unused)
{
	(void)unused;
	set_comm("child");
	emit_secret();
	_exit(0);
}

static pid_t clone_or_die(int (*fn)(void *), int flags)
{
	char *stack = malloc(STACK_SIZE);
	pid_t pid = clone(fn, stack + STACK_SIZE, flags | SIGCHLD, NULL);

	if (pid < 0)
		die("clone");
	return pid;
}

static void how_vfork_reads(void)
{
	reap(clone_or_die(child_reads, CLONE_VM | CLONE_VFORK));
	emit_secret();
}

static void how_clone_vm(void)
{
	pid_t pid = clone_or_die(child_emits, CLONE_VM);

	read_secret();
	reap(pid);
}

static void *thread_reads(void *unused)
{
	read_secret();
	return unused;
}

static void *thread_emits(void *unused)
{
	emit_secret();
	return unused;
}

static pthread_t start_thread(void *(*fn)(void *))
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, fn, NULL);
	if (errno)
		die("pthread_create");
	return thread;
}

static void how_thread(void)
{
	pthread_t sender = start_thread(thread_emits), reader = start_thread(thread_reads);

	pthread_join(reader, NULL);
	pthread_join(sender, NULL);
}

/* The state letter that the kernel gives the leader of this process. */
static char leader_state(void)
{
	char path[64], text[512] = "";
	const char *end;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	close(fd);
	end = strrchr(text, ')');
	return end ? end[2] : 0;
}

static void *thread_outlives(void *unused)
{
	while (leader_state() != 'Z')
		sleep_ms(1);
	read_secret();
	emit_secret();
	exit(unused != NULL);
}

static void how_leader_exits(void)
{
	start_thread(thread_outlives);
	pthread_exit(NULL);
}

static void *thread_executes(void *unused)
{
	read_secret();
	execute();
	return unused;
}

static void how_thread_exec(void)
{
	pthread_join(start_thread(thread_executes), NULL);
}

/* Uses a pipe and a socket of its own, as sender and as receiver. */
static void pass_through(const char *message)
{
	char back[MESSAGE_SIZE];
	int ends[2];

	if (pipe(ends))
		die("pipe");
	write_fully(ends[1], message, MESSAGE_SIZE);
	read_fully(ends[0], back, MESSAGE_SIZE);
	close(ends[0]);
	close(ends[1]);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		die("socketpair");
	write_fully(ends[1], message, MESSAGE_SIZE);
	read_fully(ends[0], back, MESSAGE_SIZE);
	close(ends[0]);
	close(ends[1]);
}

static void how_swarm(void)
{
	for (int left = atoi(shared.args[1]); left > 0; left--) {
		pid_t pid = fork_or_die();

		if (!pid) {
			set_comm("swarm");
			read_secret();
			pass_through(shared.message);
			_exit(0);
		}
		reap(pid);
	}
}

static void how_crowd(void)
{
	char byte;
	int answer[2];

	set_comm("crowd");
	fill_clean(shared.message, sizeof(shared.message));
	if (pipe(answer))
		die("pipe");
	for (int left = atoi(shared.args[0]); left > 0; left--) {
		pid_t pid = fork_or_die();

		if (!pid) {
			set_comm("crowd");
			pass_through(shared.message);
			write_fully(answer[1], "x", 1);
			_exit(0);
		}
		read_fully(answer[0], &byte, 1);
		reap(pid);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
	const char *proves;
} rows[] = {
	{ "fork", how_fork, "the child, forked after the read, writes OUT" },
	{ "fork-before", how_fork_before, "the child, forked before the read, writes clean bytes" },
	{ "daemon", how_daemon, "a grandchild that init adopted writes OUT, later" },
	{ "exec", how_exec, "the reader itself executes CMD" },
	{ "fork-exec", how_fork_exec, "a child of the reader executes CMD" },
	{ "spawn", how_spawn, "posix_spawn (CLONE_VFORK) of CMD by the reader" },
	{ "vfork-reads", how_vfork_reads, "a CLONE_VM child reads, the parent writes OUT" },
	{ "clone-vm", how_clone_vm, "the parent reads, a CLONE_VM child made before writes OUT" },
	{ "thread", how_thread, "one thread reads, another one writes OUT" },
	{ "leader-exits", how_leader_exits,
	  "a thread reads and writes OUT when its leader is dead" },
	{ "thread-exec", how_thread_exec, "a thread that is not the leader reads, executes CMD" },
	{ "swarm", how_swarm, "managed addresses and pids are freed" },
	{ "crowd", how_crowd, "whoever gets them next is clean" },
};

static void usage(void)
{
	fprintf(stderr, "usage: lineage HOW FILE OUT|CMD...|N\n       lineage crowd N\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		fprintf(stderr, "  %-13s %s\n", rows[i].name, rows[i].proves);
	exit(2);
}

int main(int argc, char **argv)
{
	const char *how = argc > 2 ? argv[1] : "";

	if (argc < (strcmp(how, "crowd") ? 4 : 3))
		usage();
	alarm(DEADLINE_S);
	set_comm("parent");
	shared.args = argv + 2;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (strcmp(rows[i].name, how))
			continue;
		rows[i].run();
		return 0;
	}
	usage();
}
