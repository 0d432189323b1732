// SPDX-License-Identifier: GPL-2.0
/*
 * bench/records SECONDS [FILE]: how many records a second get from the engine to FILE, or
 * without it to stdout, as kvmtaint itself writes them (JSON, in the order of seq), with none
 * lost; and what becomes of them when there are more. One thread is the guest: its sends
 * each leak. The other one is kvmtaint's loop. Prints a JSON object on stderr.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>

#include "bench_world.h"
#include "user/output.h"

struct bench_records {
	struct bench_world b;
	struct output *output;
	struct record_context context;
	uint64_t rate; /* records a second; 0: as many as it can */
	double seconds;
	uint64_t made;
	double worst_ns; /* that one event took, of four in a row */
	atomic_bool done;
};

static double now(void)
{
	return engine_now_ns() / 1e9;
}

/* Of this thread. */
static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void *guest(void *arg)
{
	struct bench_records *r = arg;
	double begin = now(), took;

	r->made = 0;
	r->worst_ns = 0;
	while ((took = now() - begin) < r->seconds) {
		/* Bursts, as a tick of the clock is the shortest sleep. */
		if (r->rate && r->made > took * r->rate) {
			usleep(100);
			continue;
		}
		run_program(r->b.skel->progs.time_events, r->b.vcpu);
		r->made += BENCH_BATCH;
		for (int i = 0; i < BENCH_BATCH; i++)
			if (r->b.bench->ns[i] > r->worst_ns)
				r->worst_ns = r->b.bench->ns[i];
	}
	r->seconds = took;
	r->done = true;
	return NULL;
}

/* As trace_loop() does it. */
static void kvmtaint_loop(struct bench_records *r)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	bool last = false;

	epoll_ctl(epoll, EPOLL_CTL_ADD, engine_fd(r->b.w.engine), &event);
	while (!last) {
		last = r->done;
		epoll_wait(epoll, &event, 1, last ? 0 : 10);
		if (engine_drain(r->b.w.engine, output_take, r->output) < 0 ||
		    output_flush(r->output, last))
			die("the records cannot be written");
	}
	close(epoll);
}

struct outcome {
	double rate; /* that were made, a second */
	double written; /* that got out, a second */
	uint64_t lost;
	double worst_ns;
	double cpu_us; /* of kvmtaint's thread, for each that got out */
};

static struct outcome run_for(struct bench_records *r, uint64_t rate, double seconds)
{
	uint64_t lost = counter(&r->b, KT_COUNT_RECORDS_LOST);
	double begin = now(), cpu = cpu_seconds(), took;
	struct outcome o;
	pthread_t thread;

	r->rate = rate;
	r->seconds = seconds;
	r->done = false;
	pthread_create(&thread, NULL, guest, r);
	kvmtaint_loop(r);
	pthread_join(thread, NULL);
	took = now() - begin;
	o.lost = counter(&r->b, KT_COUNT_RECORDS_LOST) - lost;
	o.rate = r->made / r->seconds;
	o.written = (r->made - o.lost) / took;
	o.worst_ns = r->worst_ns;
	o.cpu_us = (cpu_seconds() - cpu) / (r->made - o.lost) * 1e6;
	fprintf(stderr, "# %8.0f records a second: %8.0f written, %8lu lost, %.1f us of CPU each\n",
		o.rate, o.written, o.lost, o.cpu_us);
	return o;
}

int main(int argc, char **argv)
{
	static struct bench_records r;
	struct output_options opt = {};
	double seconds = argc > 1 ? atof(argv[1]) : 2;
	uint64_t low = 0, high = 1000000;
	struct outcome o, beyond;
	char err[256] = "";
	uint64_t socket;

	bench_world_open(&r.b, 0);
	touch_image(&r.b);
	manage_processes(&r.b);
	socket = remote_connection(&r.b);
	for (int i = 0; i < BENCH_BATCH; i++)
		event(&r.b, i, KT_HOOK_socket_sendmsg, MANAGED + i, socket, 0, 10);
	r.context.vm_pid = getpid();
	r.context.vm_name = "bench";
	r.context.policy = r.b.w.policy;
	opt.record = &r.context;
	opt.path = argc > 2 ? argv[2] : NULL;
	opt.use_stdout = !opt.path;
	opt.abort_fd = -1;
	opt.next_seq = engine_next_seq;
	opt.next_seq_ctx = r.b.w.engine;
	if (output_open(&opt, &r.output, err, sizeof(err)))
		die("%s", err);
	run_for(&r, 10000, 1);
	beyond = run_for(&r, 0, seconds);
	/* The highest rate at which nothing is lost, to a tenth; then it must hold for longer. */
	if (beyond.written < high)
		high = beyond.written * 1.2;
	while (high - low > high / 10) {
		uint64_t rate = (low + high) / 2;

		o = run_for(&r, rate, seconds);
		if (o.lost || o.rate < 0.95 * rate)
			high = rate;
		else
			low = rate;
	}
	o = run_for(&r, low, 3 * seconds);
	fprintf(stderr,
		"{\"without_loss\": %.0f, \"lost\": %lu, \"cpu_us\": %.2f, \"beyond\": {\"made\": %.0f, \"written\": %.0f,"
		" \"lost_a_second\": %.0f, \"event_at_most_ns\": %.0f}}\n",
		o.rate, o.lost, beyond.cpu_us, beyond.rate, beyond.written, beyond.lost / seconds,
		beyond.worst_ns);
	return 0;
}
