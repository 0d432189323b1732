// SPDX-License-Identifier: GPL-2.0
/*
 * carrier: moves one message over one channel, with a chosen system call at
 * each end. See usage() for the grammar.
 *
 * The two ends are started by a clean shell and share no managed ancestor. The
 * sender is clean while it opens its channel and synchronises; only then does
 * it read SOURCE, unless --read-first says otherwise. Synchronisation uses
 * stat() and /proc, never a carrier.
 */
#include "guest.h"
#include "transfer.h"

#include <net/if.h>
#include <pty.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

static const char usage_text[] =
	"usage: carrier send SOURCE CHANNEL [OPTION]...\n"
	"       carrier recv CHANNEL [OPTION]...\n"
	"       carrier read SOURCE [OPTION]...\n"
	"       carrier pair KIND [--early] [--blocked CALL] -- SENDER... -- RECEIVER...\n"
	"       carrier wait PATH...\n"
	"       carrier blocked PID CALL\n"
	"SOURCE   PATH, fd:N, or - (clean bytes)\n"
	"CHANNEL  fd:N file:PATH tmpfile:PATH fifo:PATH tcp:ADDRESS/PORT udp:ADDRESS/PORT\n"
	"         unix-stream:NAME unix-dgram:NAME unix-seqpacket:NAME (@NAME: abstract)\n"
	"KIND     pipe stream dgram seqpacket eventfd pty: both ends become fd 3\n"
	"both     --comm NAME --call CALL --size BYTES --ready PATH (touched when open or bound)\n"
	"         --gate PATH (waited for before the data moves) --done PATH (touched after)\n"
	"         --until PATH (waited for before the exit) --pause (sleep until killed)\n"
	"         --listen | --connect (default: the receiver listens) --new-netns\n"
	"send     --from read|pread|readv|mmap --read-first (read SOURCE before opening CHANNEL)\n"
	"         --blocked PID:CALL (wait until PID sleeps in CALL) --request (be asked first)\n"
	"         --unconnected --call write|writev|send|sendto|sendmsg|sendmmsg|fastopen|\n"
	"         sendfile|splice|copy_file_range\n"
	"recv     --count N (messages) --poll (non-blocking) --request (ask first)\n"
	"         --forward CHANNEL (pass every message on) --call read|readv|recv|recvfrom|\n"
	"         recvmsg|recvmmsg|peek|splice\n";

static void usage(void)
{
	fputs(usage_text, stderr);
	exit(2);
}

/* Commands. */

static struct source open_source(const char *text)
{
	struct source src = { .fd = -1 };
	const char *number = after(text, "fd:");

	if (number)
		src.fd = atoi(number);
	else if (strcmp(text, "-"))
		src.fd = open(text, O_RDONLY | O_CLOEXEC);
	else
		return src;
	if (src.fd < 0)
		die("%s", text);
	return src;
}

static void enter_new_netns(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET))
		die("unshare");
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &request))
		die("lo up");
	close(fd);
}

static void do_send(const char *source, const char *channel, const struct options *opt)
{
	struct channel ch = parse_channel(channel);
	struct source src = open_source(source);
	bool in_kernel = opt->call && moved_by_kernel(opt->call);

	if (opt->read_first)
		load_source(&src, opt);
	open_channel(&ch, true, opt);
	if (opt->request)
		serve_request(&ch);
	wait_peer(opt->blocked);
	if (!in_kernel && !src.data)
		load_source(&src, opt);
	send_message(&ch, &src, opt);
	close_channel(&ch);
}

static void do_recv(const char *channel, const struct options *opt)
{
	struct channel ch = parse_channel(channel);
	const struct options plain = { .size = opt->size };
	struct source message = { .fd = -1, .data = malloc(MESSAGE_MAX) };

	for (int i = 0; i < opt->count; i++) {
		if (ch.fd < 0 || ch.listener >= 0 || (!i && ch.kind == CH_FD))
			open_channel(&ch, false, opt);
		if (opt->request)
			send_request(&ch);
		receive_message(&ch, message.data, opt);
		close_channel(&ch);
		if (opt->forward) {
			struct channel out = parse_channel(opt->forward);

			open_channel(&out, true, &plain);
			send_message(&out, &message, &plain);
			close_channel(&out);
		}
	}
}

static void make_pair(const char *kind, int ends[2])
{
	int rc, type = !strcmp(kind, "dgram")	    ? SOCK_DGRAM
		       : !strcmp(kind, "seqpacket") ? SOCK_SEQPACKET
						    : SOCK_STREAM;

	if (!strcmp(kind, "pipe"))
		rc = pipe2(ends, O_CLOEXEC);
	else if (!strcmp(kind, "eventfd"))
		rc = (ends[0] = ends[1] = eventfd(0, EFD_CLOEXEC)) < 0;
	else if (!strcmp(kind, "pty"))
		rc = openpty(&ends[0], &ends[1], NULL, NULL, NULL);
	else
		rc = socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends);
	if (rc)
		die("%s", kind);
}

static pid_t start_with_end(char **command, int end)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	if (end == 3)
		fcntl(3, F_SETFD, 0);
	else if (dup2(end, 3) < 0)
		die("dup2");
	execvp(command[0], command);
	die("%s", command[0]);
}

/* Splits @argv at the next "--" and returns what follows it. */
static char **next_part(char **argv)
{
	while (*argv && strcmp(*argv, "--"))
		argv++;
	if (!*argv || !argv[1])
		usage();
	*argv = NULL;
	return argv + 1;
}

/* This process makes the pair and stays clean: it only ever writes clean bytes. */
static void do_pair(char **argv)
{
	char **sender = next_part(argv), **receiver = next_part(sender);
	const char *kind = argv[0], *blocked = NULL;
	char clean[MESSAGE_SIZE];
	bool early = false;
	pid_t pids[2];
	int ends[2];

	for (argv++; *argv; argv++) {
		if (!strcmp(*argv, "--early"))
			early = true;
		else if (!strcmp(*argv, "--blocked") && argv[1])
			blocked = *++argv;
		else
			usage();
	}
	make_pair(kind, ends);
	pids[0] = start_with_end(receiver, ends[0]);
	if (early) {
		fill_clean(clean, sizeof(clean));
		write_fully(ends[1], clean, sizeof(clean));
	}
	if (blocked)
		wait_blocked(pids[0], blocked);
	pids[1] = start_with_end(sender, ends[1]);
	close(ends[0]);
	if (ends[1] != ends[0])
		close(ends[1]);
	reap(pids[1]);
	reap(pids[0]);
}

static struct options parse_options(char **argv)
{
	struct options opt = { .size = MESSAGE_SIZE, .count = 1 };
	const struct {
		const char *name;
		const char **text;
		bool *flag;
	} table[] = {
		{ "--comm", &opt.comm, NULL },
		{ "--done", &opt.done, NULL },
		{ "--call", &opt.call, NULL },
		{ "--from", &opt.from, NULL },
		{ "--ready", &opt.ready, NULL },
		{ "--gate", &opt.gate, NULL },
		{ "--until", &opt.until, NULL },
		{ "--blocked", &opt.blocked, NULL },
		{ "--forward", &opt.forward, NULL },
		{ "--listen", NULL, &opt.listen },
		{ "--connect", NULL, &opt.connect },
		{ "--poll", NULL, &opt.poll },
		{ "--unconnected", NULL, &opt.unconnected },
		{ "--request", NULL, &opt.request },
		{ "--read-first", NULL, &opt.read_first },
		{ "--new-netns", NULL, &opt.new_netns },
		{ "--pause", NULL, &opt.pause },
	};
	const size_t n = sizeof(table) / sizeof(*table);
	size_t i;

	for (; *argv; argv++) {
		for (i = 0; i < n && strcmp(*argv, table[i].name); i++)
			;
		if (i < n && table[i].flag)
			*table[i].flag = true;
		else if (!argv[1])
			usage();
		else if (i < n)
			*table[i].text = *++argv;
		else if (!strcmp(*argv, "--size"))
			opt.size = strtoul(*++argv, NULL, 0);
		else if (!strcmp(*argv, "--count"))
			opt.count = atoi(*++argv);
		else
			usage();
	}
	if (!opt.size || opt.size > MESSAGE_MAX)
		usage();
	return opt;
}

int main(int argc, char **argv)
{
	const char *command = argc > 2 ? argv[1] : "";
	bool sends = !strcmp(command, "send"), reads = !strcmp(command, "read");
	struct options opt;

	alarm(DEADLINE_S);
	if (!strcmp(command, "pair")) {
		do_pair(argv + 2);
	} else if (!strcmp(command, "wait")) {
		for (argv += 2; *argv; argv++)
			wait_for_path(*argv);
	} else if (!strcmp(command, "blocked") && argc == 4) {
		wait_blocked(atoi(argv[2]), argv[3]);
	} else if ((sends && argc > 3) || reads || !strcmp(command, "recv")) {
		opt = parse_options(argv + (sends ? 4 : 3));
		set_comm(opt.comm);
		if (opt.new_netns)
			enter_new_netns();
		if (sends) {
			do_send(argv[2], argv[3], &opt);
		} else if (reads) {
			struct source src = open_source(argv[2]);

			wait_for_path(opt.gate);
			load_source(&src, &opt);
			touch(opt.ready);
		} else {
			do_recv(argv[2], &opt);
		}
		touch(opt.done);
		/* How long others take is for the scenario to say, which ends all of us. */
		if (opt.until)
			alarm(0);
		wait_for_path(opt.until);
		if (opt.pause)
			pause();
	} else {
		usage();
	}
	return 0;
}
