/* SPDX-License-Identifier: GPL-2.0 */
/* What happens in the world of bench_world.h, event by event, and how events are timed. */
#ifndef KVMTAINT_BENCH_SCENES_H
#define KVMTAINT_BENCH_SCENES_H

#include <sched.h>
#include <stdio.h>

#include "bench_world.h"

#define MAY_WRITE 2
#define MAY_READ  4
#define WORST	  65536 /* ns: what takes longer counts as this */
#define FIRST_INO 1000000 /* of managed files */

struct histogram {
	uint32_t of[WORST];
	uint64_t count;
};

/* One world, and the objects that its events go by. */
struct stage {
	struct bench_world b;
	uint64_t file[BENCH_BATCH], inode[BENCH_BATCH]; /* nobody named them */
	uint64_t sender[BENCH_BATCH],
		peer[BENCH_BATCH]; /* struct socket and sock of UNIX streams */
	uint64_t from[BENCH_BATCH]; /* sock of sender */
	uint64_t receiver[BENCH_BATCH];
	uint64_t pipe_file[BENCH_BATCH], pipe[BENCH_BATCH];
	uint64_t inet_sender, udp_receiver;
	uint64_t next_ino;
	uint64_t random;
	uint32_t drawn; /* so many of the managed objects take part in events */
	uint64_t records, lost, leaks;
};

/* --- running ---------------------------------------------------------------- */

static inline int take_record(void *ctx, const struct kt_record *record, size_t len)
{
	struct stage *s = ctx;

	s->records++;
	s->lost += record->type == KT_RECORD_LOST;
	s->leaks += record->type == KT_RECORD_LEAK;
	return 0;
}

static inline void drain(struct stage *s)
{
	if (engine_drain(s->b.w.engine, take_record, s) < 0)
		die("cannot take the records");
	if (s->lost)
		die("an event could not be followed");
}

static inline void add(struct histogram *h, uint64_t ns)
{
	h->of[ns < WORST ? ns : WORST - 1]++;
	h->count++;
}

static inline uint32_t percentile(const struct histogram *h, double part)
{
	uint64_t seen = 0;

	for (uint32_t ns = 0; ns < WORST; ns++) {
		seen += h->of[ns];
		if (seen >= part * h->count)
			return ns;
	}
	return WORST;
}

/* --- scenes: what happens over and over --------------------------------------- */

struct scene {
	const char *name, *second; /* of every other event, where those differ */
	void (*begin)(struct stage *s); /* once */
	void (*next)(struct stage *s, int i); /* makes event i of a batch */
	bool every_time; /* for each batch anew */
	uint32_t records; /* of each event */
	bool leaks;
};

static inline struct kt_file_key file_key(struct stage *s, uint64_t ino)
{
	struct world *w = &s->b.w;
	const struct kt_guest *g = &w->profile->guest;

	return (struct kt_file_key){ .ino = ino,
				     .fs = fs_of(w, peek(w, s->inode[0] + g->inode_sb, 8)),
				     .generation = peek(w, s->inode[0] + g->inode_generation, 4) };
}

static inline void number_files(struct stage *s, uint64_t first)
{
	for (int i = 0; i < BENCH_BATCH; i++)
		set(&s->b.w, s->inode[i] + s->b.w.profile->guest.inode_ino, first + i, 8);
}

static inline void files_are_clean(struct stage *s)
{
	number_files(s, 100);
}

static inline void files_are_managed(struct stage *s)
{
	number_files(s, FIRST_INO);
	for (int i = 0; i < BENCH_BATCH; i++) {
		struct kt_file_key key = file_key(s, FIRST_INO + i);

		manage_with(&s->b, "files", &key);
	}
}

static inline void sockets_are_managed(struct stage *s)
{
	for (int i = 0; i < BENCH_BATCH; i++)
		manage_with(&s->b, "sockets", &s->peer[i]);
}

static inline void pipes_are_managed(struct stage *s)
{
	for (int i = 0; i < BENCH_BATCH; i++)
		manage_with(&s->b, "pipes", &s->pipe[i]);
}

static inline void read_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_file_permission, CLEAN + i, s->file[i], MAY_READ, 0);
}

static inline void write_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_file_permission, CLEAN + i, s->file[i], MAY_WRITE, 0);
}

static inline void read_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_file_permission, MANAGED + i, s->file[i], MAY_READ, 0);
}

static inline void write_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_file_permission, MANAGED + i, s->file[i], MAY_WRITE, 0);
}

static inline void pipe_read_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_file_permission, CLEAN + i, s->pipe_file[i], MAY_READ, 0);
}

static inline void pipe_write_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_file_permission, MANAGED + i, s->pipe_file[i], MAY_WRITE, 0);
}

static inline void send_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_sendmsg, CLEAN + i, s->sender[i], 0, 10);
}

static inline void send_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_sendmsg, MANAGED + i, s->sender[i], 0, 10);
}

static inline void receive_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_recvmsg, CLEAN + i, s->receiver[i], 0, 10);
}

static inline void receive_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_recvmsg, MANAGED + i, s->receiver[i], 0, 10);
}

static inline void inet_send_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_sendmsg, CLEAN + i, s->inet_sender, 0, 10);
}

static inline void inet_send_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_sendmsg, MANAGED + i, s->inet_sender, 0, 10);
}

static inline void udp_receive_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_recvmsg, CLEAN + i, s->udp_receiver, 0, 10);
}

static inline void udp_receive_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_recvmsg, MANAGED + i, s->udp_receiver, 0, 10);
}

/* A child, and its end. */
static inline void fork_of(struct stage *s, int i, uint32_t parent)
{
	uint32_t child = CHILD + i / 2;

	if (i % 2)
		event(&s->b, i, KT_HOOK_task_exit, child, task(&s->b.w, child), 1, 0);
	else
		event(&s->b, i, KT_HOOK_task_new, parent, task(&s->b.w, child), 0, 0);
}

static inline void fork_clean(struct stage *s, int i)
{
	fork_of(s, i, CLEAN + i);
}

static inline void fork_managed(struct stage *s, int i)
{
	fork_of(s, i, MANAGED + i);
}

/* A file that the guest has not touched before: its path is judged. */
static inline void first_touch(struct stage *s, int i)
{
	set(&s->b.w, s->inode[i] + s->b.w.profile->guest.inode_ino, s->next_ino++, 8);
	read_clean(s, i);
}

static inline void a_connection_of_the_image(struct stage *s)
{
	s->inet_sender = image_socket(&s->b, "tcp4_client");
}

static inline void udp_of_the_image(struct stage *s)
{
	s->inet_sender = image_socket(&s->b, "udp_connected");
	s->udp_receiver = image_socket(&s->b, "udp_bound");
}

static inline void a_remote_connection(struct stage *s)
{
	s->inet_sender = remote_connection(&s->b);
}

static inline void make_objects(struct stage *s)
{
	struct world *w = &s->b.w;
	const struct kt_guest *g = &w->profile->guest;
	uint64_t plain = file_of(w, SERIES, w->bystander, "plain");
	uint64_t inode = peek(w, plain + g->file_inode, 8);
	uint64_t sender = image_socket(&s->b, "unix_stream_0"),
		 receiver = image_socket(&s->b, "unix_stream_1");

	for (int i = 0; i < BENCH_BATCH; i++) {
		uint64_t from;

		s->file[i] = copy_of(w, plain);
		s->inode[i] = copy_of(w, inode);
		set(w, s->file[i] + g->file_inode, s->inode[i], 8);
		s->sender[i] = copy_of(w, sender);
		s->receiver[i] = copy_of(w, receiver);
		from = s->from[i] = copy_of(w, peek(w, sender + g->socket_sk, 8));
		s->peer[i] = copy_of(w, peek(w, receiver + g->socket_sk, 8));
		set(w, s->sender[i] + g->socket_sk, from, 8);
		set(w, s->receiver[i] + g->socket_sk, s->peer[i], 8);
		set(w, from + g->unix_peer, s->peer[i], 8);
		s->pipe_file[i] = fifo_of(w, SERIES, &s->pipe[i]);
	}
}

static inline void stage_open(struct stage *s, uint32_t objects)
{
	bench_world_open(&s->b, objects);
	touch_image(&s->b);
	make_objects(s);
	manage_processes(&s->b);
	s->next_ino = 1ULL << 32;
	s->random = 88172645463325252ULL;
}

static inline void scene_begin(struct stage *s, const struct scene *scene)
{
	if (scene->begin)
		scene->begin(s);
	for (int i = 0; i < BENCH_BATCH; i++)
		scene->next(s, i);
}

static inline void scene_batch(struct stage *s, const struct scene *scene)
{
	for (int i = 0; scene->every_time && i < BENCH_BATCH; i++)
		scene->next(s, i);
	run_program(s->b.skel->progs.time_events, s->b.vcpu);
}

/* --- units -------------------------------------------------------------------- */

struct units {
	double read_user, read_kernel, lookup, clock;
};

static inline int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_value);
	return values[count / 2];
}

static inline double low(double *values, size_t count)
{
	median(values, count);
	return values[count / 20];
}

#define UNIT_RUNS 20001

static inline struct units measure_units(struct stage *s)
{
	static uint64_t words[BENCH_LOOP];
	static double user[UNIT_RUNS], kernel[UNIT_RUNS], lookup[UNIT_RUNS], nothing[UNIT_RUNS];
	uint64_t key = 7;

	memset(words, 1, sizeof(words));
	s->b.bench->user_address = (uintptr_t)words;
	bpf_map_update_elem(bpf_map__fd(s->b.skel->maps.some), &key, &key, BPF_ANY);
	for (int i = 0; i < UNIT_RUNS; i++) {
		run_program(s->b.skel->progs.time_nothing, 0);
		nothing[i] = s->b.bench->ns[1];
		run_program(s->b.skel->progs.time_units, 0);
		user[i] = (double)s->b.bench->ns[0] / BENCH_LOOP;
		kernel[i] = (double)s->b.bench->ns[1] / BENCH_LOOP;
		lookup[i] = (double)s->b.bench->ns[2] / BENCH_LOOP;
	}
	return (struct units){ median(user, UNIT_RUNS), median(kernel, UNIT_RUNS),
			       median(lookup, UNIT_RUNS), median(nothing, UNIT_RUNS) };
}

/* Nothing is compared that ran on different CPUs. */
static inline void pin(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

#endif
