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

enum source {
	SOURCE_ENGINE,
	SOURCE_SIGNAL,
	SOURCE_VMM,
	SOURCE_TIMER,
	SOURCE_BOOT,
	SOURCE_LOOK,
	SOURCE_CONTROL,
	SOURCE_COUNT
};

enum exit_status trace_events_open(struct trace_events *events, pid_t pid)
{
	const struct itimerspec second = { .it_interval.tv_sec = 1, .it_value.tv_sec = 1 };
	struct sigaction hangup;
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	/* Under nohup(1) it stays ignored. */
	sigaction(SIGHUP, NULL, &hangup);
	if (hangup.sa_handler != SIG_IGN)
		sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	events->signal_fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	events->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	events->look_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	events->pid_fd = syscall(SYS_pidfd_open, pid, 0);
	if (events->pid_fd < 0)
		return status_fail(STATUS_NO_PROCESS, "process %d went away", pid);
	if (events->signal_fd < 0 || events->timer_fd < 0 || events->look_fd < 0 ||
	    timerfd_settime(events->timer_fd, 0, &second, NULL))
		return status_fail(STATUS_INTERNAL, "cannot wait for events: %s", strerror(errno));
	return STATUS_OK;
}

void trace_events_close(struct trace_events *events)
{
	int *fds[] = { &events->signal_fd, &events->timer_fd, &events->look_fd, &events->pid_fd };
	size_t i;

	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] > 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static enum exit_status every_second(struct trace *t)
{
	uint64_t ticks;
	int64_t skipped;

	if (read(t->events.timer_fd, &ticks, sizeof(ticks)) < 0)
		return STATUS_OK;
	t->record.clock_offset_ns = record_clock_offset();
	skipped = t->engine ? engine_tick(t->engine) : 0;
	if (skipped > 0)
		output_lost(t->output, record_lost_name(KT_LOST_RECURSION), skipped);
	wires_tick(&t->wires);
	trace_pause_every_second(t);
	return trace_guest_every_second(t);
}

static enum exit_status look(struct trace *t)
{
	uint64_t ticks;

	if (read(t->events.look_fd, &ticks, sizeof(ticks)) < 0)
		return STATUS_OK;
	return trace_guest_look(t);
}

static int watch(int epoll, int fd, enum source source)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = source };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int open_epoll(struct trace *t)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll >= 0 && !watch(epoll, boot_watch_fd(t->guest.watch), SOURCE_BOOT) &&
	    !watch(epoll, t->events.look_fd, SOURCE_LOOK) &&
	    !watch(epoll, t->pause.control_fd, SOURCE_CONTROL) &&
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

static enum exit_status serve(struct trace *t, enum source source, const char **end)
{
	switch (source) {
	case SOURCE_TIMER:
		return every_second(t);
	case SOURCE_BOOT:
		return trace_guest_wake(t);
	case SOURCE_LOOK:
		return look(t);
	case SOURCE_CONTROL:
		trace_pause_serve(t);
		break;
	case SOURCE_VMM:
		*end = "vm_gone";
		break;
	case SOURCE_SIGNAL:
		if (!*end)
			*end = "signal";
		break;
	default:
		break;
	}
	return STATUS_OK;
}

/* One round; *reason set: the trace is over. */
static enum exit_status wait_once(struct trace *t, int epoll, const char **reason)
{
	struct epoll_event events[SOURCE_COUNT];
	const char *end = NULL;
	enum exit_status status = STATUS_OK;
	int i, n, drained;

	/* Each kernel has an engine of its own; closing the old one's took it out. */
	if (t->engine && t->engine != t->polled) {
		if (watch(epoll, engine_fd(t->engine), SOURCE_ENGINE))
			return status_fail(STATUS_INTERNAL, "epoll_ctl: %s", strerror(errno));
	}
	t->polled = t->engine;
	n = epoll_wait(epoll, events, SOURCE_COUNT, output_timeout_ms(t->output));
	if (n < 0 && errno != EINTR)
		return status_fail(STATUS_INTERNAL, "epoll_wait: %s", strerror(errno));
	for (i = 0; i < n && !status; i++)
		status = serve(t, events[i].data.u32, &end);
	if (status)
		return status;
	drained = t->engine ? engine_drain(t->engine, output_take, t->output) : 0;
	if (drained < 0)
		return status_fail(STATUS_INTERNAL, "cannot take records: %s", strerror(-drained));
	trace_pause_look(t);
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
