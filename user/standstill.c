// SPDX-License-Identifier: GPL-2.0
/* Stops all threads of a VMM with ptrace(2), without a way to leave it stopped. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "cleanup.h"
#include "standstill.h"

#define STOP_TIMEOUT_NS 5000000000ULL
#define POLL_PAUSE_NS	20000
#define ROUNDS_MAX	10000 /* of listing threads; each catches at least one more */

/* Every early return of this file: one line for the operator, and its errno. */
#define fail(job, code, ...) (snprintf((job)->err, (job)->err_len, __VA_ARGS__), -(code))

struct held_thread {
	pid_t tid;
	bool stopped;
	bool gone;
	int signal; /* to deliver when it goes on; 0: none */
};

struct standstill_job {
	pid_t pid;
	int (*fn)(void *ctx);
	void *ctx;
	char *err;
	size_t err_len;
	struct held_thread *threads;
	size_t count, room;
	uint64_t since_ns; /* 0: nothing was asked to stop yet */
	uint64_t held_ns;
	int rc;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* A value of /proc/PID/task/TID/status as a number, its letter for State; -1: none. */
static int thread_status(pid_t pid, pid_t tid, const char *key)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[256];
	size_t len = strlen(key);

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, len) && line[len] == ':')
			return !strcmp(key, "State") ? line[len + 2] : atoi(line + len + 1);
	return -1;
}

static bool is_dead(pid_t pid, pid_t tid)
{
	int state = thread_status(pid, tid, "State");

	return state == -1 || state == 'Z' || state == 'X';
}

static bool is_known(const struct standstill_job *job, pid_t tid)
{
	size_t i;

	for (i = 0; i < job->count; i++)
		if (job->threads[i].tid == tid && !job->threads[i].gone)
			return true;
	return false;
}

static int seize(struct standstill_job *job, pid_t tid)
{
	struct held_thread *grown;
	int tracer, code;

	if (job->count == job->room) {
		job->room = job->room ? 2 * job->room : 64;
		grown = realloc(job->threads, job->room * sizeof(*grown));
		if (!grown)
			return fail(job, ENOMEM, "out of memory");
		job->threads = grown;
	}
	if (!job->since_ns)
		job->since_ns = now_ns();
	if (ptrace(PTRACE_SEIZE, tid, 0, 0)) {
		code = errno;
		if (code == ESRCH || is_dead(job->pid, tid))
			return 0;
		tracer = thread_status(job->pid, tid, "TracerPid");
		if (tracer > 0)
			return fail(job, EBUSY,
				    "process %d is traced by process %d (gdb, strace?);"
				    " end that first",
				    job->pid, tracer);
		return fail(job, code, "not allowed to trace process %d (CAP_SYS_PTRACE, Yama): %s",
			    job->pid, strerror(code));
	}
	job->threads[job->count++] = (struct held_thread){ .tid = tid };
	ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	return 0;
}

/* Asks every thread that is listed now and not known yet; how many, or -errno. */
static int seize_new(struct standstill_job *job)
{
	struct dirent *entry;
	char path[64];
	size_t before = job->count;
	DIR *dir;
	int rc = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", job->pid);
	dir = opendir(path);
	if (!dir)
		return fail(job, ESRCH, "process %d went away", job->pid);
	while (!rc && (entry = readdir(dir)) != NULL) {
		pid_t tid = atoi(entry->d_name);

		if (tid > 0 && !is_known(job, tid))
			rc = seize(job, tid);
	}
	closedir(dir);
	return rc ? rc : (int)(job->count - before);
}

/*
 * Looks once whether the thread stopped. What it stopped for decides what it
 * gets back: a signal that it was just being given, or nothing (our interrupt,
 * or a group stop, which the kernel resumes by itself on detach).
 */
static void look(struct held_thread *thread)
{
	int status;
	pid_t rc = waitpid(thread->tid, &status, __WALL | __WNOTHREAD | WNOHANG);

	if (rc == 0)
		return;
	if (rc < 0 || !WIFSTOPPED(status)) {
		thread->gone = true;
		return;
	}
	thread->stopped = true;
	if (status >> 16 != PTRACE_EVENT_STOP)
		thread->signal = WSTOPSIG(status);
}

static int wait_all_stopped(struct standstill_job *job)
{
	const struct timespec pause = { .tv_nsec = POLL_PAUSE_NS };
	size_t i, waiting;

	for (;;) {
		pid_t last = 0;

		for (i = 0, waiting = 0; i < job->count; i++) {
			struct held_thread *thread = &job->threads[i];

			if (!thread->stopped && !thread->gone)
				look(thread);
			if (!thread->stopped && !thread->gone) {
				waiting++;
				last = thread->tid;
			}
		}
		if (!waiting)
			return 0;
		if (now_ns() - job->since_ns > STOP_TIMEOUT_NS)
			return fail(job, ETIMEDOUT,
				    "thread %d of process %d does not stop"
				    " (state %c): is its storage stuck?",
				    last, job->pid, thread_status(job->pid, last, "State"));
		nanosleep(&pause, NULL);
	}
}

static int stop_all(struct standstill_job *job)
{
	int round, rc;

	/* A thread that is not stopped yet can make more: done when a look at the
	 * list finds none after all known ones stand. */
	for (round = 0; round < ROUNDS_MAX; round++) {
		rc = seize_new(job);
		if (rc < 0)
			return rc;
		if (!rc && round)
			return job->count ? 0 : fail(job, ESRCH, "process %d went away", job->pid);
		rc = wait_all_stopped(job);
		if (rc)
			return rc;
	}
	return fail(job, ETIMEDOUT, "process %d makes threads faster than they can be stopped",
		    job->pid);
}

static void release_all(struct standstill_job *job)
{
	size_t i;

	for (i = 0; i < job->count; i++)
		if (job->threads[i].stopped)
			ptrace(PTRACE_DETACH, job->threads[i].tid, 0, (long)job->threads[i].signal);
	if (job->since_ns)
		job->held_ns = now_ns() - job->since_ns;
}

static bool any_stopped(const struct standstill_job *job)
{
	size_t i;

	for (i = 0; i < job->count; i++)
		if (job->threads[i].stopped)
			return true;
	return false;
}

/* Returning ends the thread, and with it the kernel lets go what is still held. */
static void *run_job(void *arg)
{
	struct standstill_job *job = arg;

	job->rc = stop_all(job);
	if (!job->rc && !any_stopped(job))
		job->rc = fail(job, ESRCH, "process %d went away", job->pid);
	if (!job->rc)
		job->rc = job->fn(job->ctx);
	release_all(job);
	return NULL;
}

int standstill(pid_t pid, int (*fn)(void *ctx), void *ctx, uint64_t *held_ns, char *err,
	       size_t err_len)
{
	struct standstill_job job = {
		.pid = pid,
		.fn = fn,
		.ctx = ctx,
		.err = err,
		.err_len = err_len,
	};
	sigset_t all, before;
	pthread_t thread;
	int rc;

	/* Signals to this process are the main thread's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, NULL, run_job, &job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return fail(&job, rc, "cannot start a thread: %s", strerror(rc));
	pthread_join(thread, NULL);
	free(job.threads);
	if (held_ns)
		*held_ns = job.held_ns;
	return job.rc;
}
