// SPDX-License-Identifier: GPL-2.0
/* The loop of a trace: records out, and an eye on everything that can change. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "trace.h"

enum source { SOURCE_ENGINE, SOURCE_SIGNAL, SOURCE_VMM, SOURCE_TIMER, SOURCE_COUNT };

enum exit_status trace_events_open(struct trace_events *events, pid_t pid)
{
	const struct itimerspec second = { .it_interval.tv_sec = 1, .it_value.tv_sec = 1 };
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	events->signal_fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	events->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	events->pid_fd = syscall(SYS_pidfd_open, pid, 0);
	if (events->pid_fd < 0)
		return status_fail(STATUS_NO_PROCESS, "process %d went away", pid);
	if (events->signal_fd < 0 || events->timer_fd < 0 ||
	    timerfd_settime(events->timer_fd, 0, &second, NULL))
		return status_fail(STATUS_INTERNAL, "cannot wait for events: %s", strerror(errno));
	return STATUS_OK;
}

void trace_events_close(struct trace_events *events)
{
	int *fds[] = { &events->signal_fd, &events->timer_fd, &events->pid_fd };
	size_t i;

	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] > 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

/* Traps that vanish are a reboot, or somebody in the guest: either way a loss. */
static void verify_traps(struct trace *t)
{
	const char *first = "";
	int changed = trap_verify(&t->traps, &first);

	if (changed < 0 || changed == t->changed_sites)
		return;
	if (changed > t->changed_sites) {
		status_fail(STATUS_OK,
			    "%d of %zu traps are gone from the guest (first: %s): did it"
			    " reboot, or patch itself?",
			    changed, t->traps.count, first);
		output_lost(t->output, "trap_changed", changed);
	}
	t->changed_sites = changed;
}

static void every_second(struct trace *t)
{
	uint64_t ticks;
	int64_t skipped;

	if (read(t->events.timer_fd, &ticks, sizeof(ticks)) < 0)
		return;
	t->record.clock_offset_ns = record_clock_offset();
	skipped = engine_tick(t->engine);
	if (skipped > 0)
		output_lost(t->output, record_lost_name(KT_LOST_RECURSION), skipped);
	verify_traps(t);
}

static int watch(int epoll, int fd, enum source source)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = source };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int open_epoll(struct trace *t)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll >= 0 && !watch(epoll, engine_fd(t->engine), SOURCE_ENGINE) &&
	    !watch(epoll, t->events.signal_fd, SOURCE_SIGNAL) &&
	    !watch(epoll, t->events.pid_fd, SOURCE_VMM) &&
	    !watch(epoll, t->events.timer_fd, SOURCE_TIMER))
		return epoll;
	if (epoll >= 0)
		close(epoll);
	return -1;
}

static enum exit_status flush(struct trace *t, const char **reason)
{
	int rc = output_flush(t->output, false);

	if (!rc)
		return STATUS_OK;
	/* Given up on a slow reader because a signal came. */
	if (rc == -ETIMEDOUT) {
		*reason = "signal";
		return STATUS_STDOUT;
	}
	*reason = t->options->quiet ? "output_full" : "output_closed";
	return t->options->quiet ? STATUS_OUTPUT : STATUS_STDOUT;
}

/* One round; *reason set: the trace is over. */
static enum exit_status wait_once(struct trace *t, int epoll, const char **reason)
{
	struct epoll_event events[SOURCE_COUNT];
	const char *end = NULL;
	enum exit_status status;
	int i, n, drained;

	n = epoll_wait(epoll, events, SOURCE_COUNT, output_timeout_ms(t->output));
	if (n < 0 && errno != EINTR)
		return status_fail(STATUS_INTERNAL, "epoll_wait: %s", strerror(errno));
	for (i = 0; i < n; i++) {
		if (events[i].data.u32 == SOURCE_TIMER)
			every_second(t);
		else if (events[i].data.u32 == SOURCE_VMM)
			end = "vm_gone";
		else if (events[i].data.u32 == SOURCE_SIGNAL && !end)
			end = "signal";
	}
	drained = engine_drain(t->engine, output_take, t->output);
	if (drained < 0)
		return status_fail(STATUS_INTERNAL, "cannot take records: %s", strerror(-drained));
	status = flush(t, reason);
	if (!status && end)
		*reason = end;
	return status;
}

enum exit_status trace_loop(struct trace *t, const char **reason)
{
	int epoll = open_epoll(t);
	enum exit_status status = STATUS_OK;
	const char *end = NULL;

	if (epoll < 0)
		return status_fail(STATUS_INTERNAL, "cannot wait for events: %s", strerror(errno));
	/* The start record goes out at once. */
	status = flush(t, &end);
	while (!status && !end)
		status = wait_once(t, epoll, &end);
	close(epoll);
	if (end)
		*reason = end;
	return status;
}
