// SPDX-License-Identifier: GPL-2.0
/*
 * The guard. For the slow path the engine stops the VM until user space has
 * brought a page in, for a verdict until the operator has decided. Should kvmtaint
 * be killed just then nobody would let the VM go on: so a child waits for its end,
 * and does. What was to be sent is stopped first, where it can be and should.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine_internal.h"

#define WATCH_US    10000
#define WATCH_TIMES 100 /* 1 s: links go within milliseconds of their last owner */

/* What kvmtaint had open, a lock or a pipe, must not outlive it here. */
static void close_all_but(int a, int b)
{
	int low = a < b ? a : b, high = a < b ? b : a;

	if (low > 0)
		close_range(0, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0U, 0);
}

static void guard_run(struct engine *engine, int pipe_fd, int pidfd)
{
	ssize_t n;
	sigset_t all;
	char byte;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	prctl(PR_SET_NAME, "kvmtaint-guard");
	setsid();
	close_all_but(pipe_fd, pidfd);
	while ((n = read(pipe_fd, &byte, 1)) < 0 && errno == EINTR)
		;
	/* A clean end says a byte: the programs are gone, and every stop was served. */
	if (n == 1)
		_exit(0);
	/* Death closes this pipe before the programs are gone: they may stop the VM yet. */
	for (int i = 0; i < WATCH_TIMES; i++) {
		hold_release_all(engine, engine->stop_if_orphaned);
		if (hold_may_go_on(engine) && process_is_stopped(engine->pid))
			syscall(SYS_pidfd_send_signal, pidfd, SIGCONT, NULL, 0);
		usleep(WATCH_US);
	}
	_exit(0);
}

int guard_start(struct engine *engine)
{
	int ends[2], pidfd;

	pidfd = syscall(SYS_pidfd_open, engine->pid, 0);
	if (pidfd < 0)
		return -errno;
	if (pipe2(ends, O_CLOEXEC)) {
		close(pidfd);
		return -errno;
	}
	engine->guard = fork();
	if (engine->guard < 0) {
		int ret = -errno;

		close(ends[0]);
		close(ends[1]);
		close(pidfd);
		return ret;
	}
	if (!engine->guard) {
		close(ends[1]);
		guard_run(engine, ends[0], pidfd);
	}
	close(ends[0]);
	close(pidfd);
	engine->guard_pipe = ends[1];
	return 0;
}

void guard_stop(struct engine *engine)
{
	char byte = 0;

	if (engine->guard_pipe < 0)
		return;
	hold_release_all(engine, engine->stop_if_orphaned);
	/* The last stop may still be on its way through irq_work. */
	if (hold_may_go_on(engine) && process_is_stopped(engine->pid))
		kill(engine->pid, SIGCONT);
	(void)!write(engine->guard_pipe, &byte, 1);
	close(engine->guard_pipe);
	engine->guard_pipe = -1;
	while (waitpid(engine->guard, NULL, 0) < 0 && errno == EINTR)
		;
}
