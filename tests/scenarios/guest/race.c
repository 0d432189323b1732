// SPDX-License-Identifier: GPL-2.0
/*
 * race: a clean reader against a managed writer, on two CPUs.
 *
 *   race pipe|stream|dgram RACES LIST [-b BURST] FILE...      (1 to 64 FILEs)
 *
 * Each FILE has a label of its own. A round is one reader process on CPU 0, one
 * writer process on CPU 1, and a new pipe (UNIX socket pair) for each FILE. Both
 * are children of this process, which never touches classified data. Race i of
 * a round:
 *
 *   - the writer reads FILE i and so takes label i; all labels it had before, the
 *     reader has as well;
 *   - the reader tells it to go by a signal, which is no carrier;
 *   - the writer writes 64 secret bytes into pipe i, the reader reads them from
 *     pipe i, each after a short random delay.
 *
 * So one race adds one label to the reader, and a process serves 64 races. With
 * one FILE a round is one race. With -b the writer goes on for BURST races after
 * one signal: fewer of them meet, but where two vCPUs share one CPU, as in the
 * lab, BURST 8 is 12 times faster and BURST 64 39 times (a signal costs a time slice).
 *
 * The delays follow the moment at which readers find the data half of the time,
 * so that both orders and what lies between are met; how many readers slept in
 * the read is printed at the end.
 *
 * A miss: LIST has one line "COMM PID RACES" for each reader, in order, written
 * by this clean process once the reader's exit status said that every race gave
 * it 64 secret bytes. COMM is unique ("r" and a hexadecimal number). The records
 * must have RACES spread records for a process with this comm, which each add
 * exactly one label: a record that adds two, or a label that never comes, is a
 * missed race. The exit status is 1 when a race gave no data.
 */
#include "guest.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define FILES_MAX    64
#define SECRET_SIZE  64
#define FAILED	     200 /* exit status of a reader that got no data */
#define DELAY_MAX_NS 50000 /* where vCPUs share one CPU, no delay would balance them */

static char **files;
static int file_count, burst = 1;
static int readers[FILES_MAX], writers[FILES_MAX]; /* the ends of each carrier */
static uint64_t random_state = 88172645463325252ULL;

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

/* Spins for up to twice the delay; not at all when it is negative. */
static void spin(int64_t delay)
{
	uint64_t until;

	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	if (delay <= 0)
		return;
	until = now_ns() + random_state % (2 * delay);
	while (now_ns() < until)
		;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("CPU %d", cpu);
}

static void make_carriers(int type)
{
	for (int i = 0; i < file_count; i++) {
		int ends[2];

		if (type ? socketpair(AF_UNIX, type, 0, ends) : pipe(ends))
			die("carrier");
		readers[i] = ends[0];
		writers[i] = ends[1];
	}
}

static void close_carriers(void)
{
	for (int i = 0; i < file_count; i++) {
		close(readers[i]);
		close(writers[i]);
	}
}

static void be_writer(unsigned int round, int64_t delay)
{
	char comm[16], secret[MESSAGE_SIZE];
	sigset_t set;
	int signal;

	snprintf(comm, sizeof(comm), "w%x", round);
	set_comm(comm);
	pin(1);
	random_state += round * 0x9e3779b97f4a7c15ULL;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	for (int i = 0; i < file_count; i++) {
		read_path(files[i], secret);
		if (i % burst == 0)
			sigwait(&set, &signal);
		spin(-delay);
		write_fully(writers[i], secret, SECRET_SIZE);
	}
	_exit(0);
}

static long times_slept(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_nvcsw;
}

/* Exit status: in how many races it slept, or FAILED. */
static void be_reader(unsigned int round, pid_t writer, int64_t delay)
{
	char comm[16], got[SECRET_SIZE];
	int slept = 0;

	snprintf(comm, sizeof(comm), "r%x", round);
	set_comm(comm);
	pin(0);
	random_state += round * 2654435761ULL;
	for (int i = 0; i < file_count; i++) {
		long before = times_slept();

		memset(got, 0, sizeof(got));
		if (i % burst == 0 && kill(writer, SIGRTMIN))
			_exit(FAILED);
		spin(delay);
		if (read(readers[i], got, sizeof(got)) != SECRET_SIZE || !got[0])
			_exit(FAILED);
		slept += times_slept() > before;
	}
	_exit(slept);
}

static pid_t fork_or_die(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	return pid;
}

/* One round; returns the reader's exit status, and its pid. */
static int one_round(int type, unsigned int round, int64_t delay, pid_t *reader)
{
	pid_t writer;
	int status;

	make_carriers(type);
	writer = fork_or_die();
	if (!writer)
		be_writer(round, delay);
	*reader = fork_or_die();
	if (!*reader)
		be_reader(round, writer, delay);
	close_carriers();
	if (waitpid(*reader, &status, 0) != *reader || !WIFEXITED(status))
		die("reader %u", round);
	if (WEXITSTATUS(status) >= FAILED)
		kill(writer, SIGKILL);
	else
		reap(writer);
	return WEXITSTATUS(status);
}

/* SOCK_* of a kind of carrier; 0: a pipe. */
static int carrier_type(const char *name)
{
	static const struct {
		const char *name;
		int type;
	} kinds[] = {
		{ "pipe", 0 },
		{ "stream", SOCK_STREAM },
		{ "unix", SOCK_STREAM },
		{ "dgram", SOCK_DGRAM },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return kinds[i].type;
	return -1;
}

static void usage(void)
{
	fprintf(stderr, "usage: race pipe|stream|dgram RACES LIST [-b BURST] FILE...\n");
	exit(2);
}

static FILE *parse(int argc, char **argv)
{
	sigset_t set;
	FILE *list;

	if (argc < 5 || carrier_type(argv[1]) < 0)
		usage();
	files = argv + 4;
	if (!strcmp(*files, "-b") && argc > 6) {
		burst = atoi(files[1]);
		files += 2;
	}
	file_count = argv + argc - files;
	if (file_count > FILES_MAX || burst < 1)
		usage();
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	list = fopen(argv[3], "we");
	if (!list)
		die("%s", argv[3]);
	return list;
}

int main(int argc, char **argv)
{
	FILE *list = parse(argc, argv);
	uint64_t races = 0, slept = 0, wanted = strtoull(argv[2], NULL, 0);
	int status = 0, type = carrier_type(argv[1]);
	int64_t delay = 0; /* ns; above 0 the reader's, below the writer's */
	unsigned int round = 0;
	pid_t reader;

	for (; races < wanted; races += file_count, round++) {
		int64_t step;

		status = one_round(type, round, delay, &reader);
		if (status >= FAILED)
			break;
		fprintf(list, "r%x %d %d\n", round, reader, file_count);
		slept += status;
		step = llabs(delay) / 8 + 50;
		delay += 2 * status > file_count ? step : -step;
		delay = delay > DELAY_MAX_NS ? DELAY_MAX_NS : delay;
		delay = delay < -DELAY_MAX_NS ? -DELAY_MAX_NS : delay;
	}
	fclose(list);
	printf("%s: %llu races by %u readers, slept in the read in %llu, delay %lld ns%s\n",
	       argv[1], (unsigned long long)races, round, (unsigned long long)slept,
	       (long long)delay, status < FAILED ? "" : ": a race gave no data");
	return status >= FAILED;
}
