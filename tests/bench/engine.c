// SPDX-License-Identifier: GPL-2.0
/*
 * bench/engine [events]: what an event costs the host natively, and how that grows with
 * what is managed. Prints one JSON object. Each event is timed by itself, from the
 * first instruction of kvm_exit's program to the last of kvm_entry's; what the clock
 * itself costs is taken off. See bench_world.h for what is real in it.
 *
 * bench/engine growth: growth alone, with fewer events. bench/engine loop NAME: that
 * event for ever, to be profiled.
 */
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "bench_world.h"

#define MAY_WRITE 2
#define MAY_READ  4
#define WORST	  65536 /* ns: what takes longer counts as this */

#define FEW	  10
#define MANY	  1000000
#define FIRST_INO 1000000 /* of managed files */
/* Addresses that no object has: the identities of managed ones. */
#define FIRST_SIGNAL 0xffff900000000000ULL
#define FIRST_SOCKET 0xffffa00000000000ULL
#define SPACING	     1088

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
	uint64_t tcp_client;
	uint64_t next_ino;
	uint64_t random;
	uint32_t managed; /* objects of each set that are drawn from; 0: none is drawn */
	uint64_t records, lost, leaks;
};

/* --- running ---------------------------------------------------------------- */

static int take_record(void *ctx, const struct kt_record *record, size_t len)
{
	struct stage *s = ctx;

	s->records++;
	s->lost += record->type == KT_RECORD_LOST;
	s->leaks += record->type == KT_RECORD_LEAK;
	return 0;
}

static void drain(struct stage *s)
{
	if (engine_drain(s->b.w.engine, take_record, s) < 0)
		die("cannot take the records");
	if (s->lost)
		die("an event could not be followed");
}

static void add(struct histogram *h, uint64_t ns)
{
	h->of[ns < WORST ? ns : WORST - 1]++;
	h->count++;
}

static uint32_t percentile(const struct histogram *h, double part)
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

static struct kt_file_key file_key(struct stage *s, uint64_t ino)
{
	struct world *w = &s->b.w;
	const struct kt_guest *g = &w->profile->guest;

	return (struct kt_file_key){ .ino = ino,
				     .fs = fs_of(w, peek(w, s->inode[0] + g->inode_sb, 8)),
				     .generation = peek(w, s->inode[0] + g->inode_generation, 4) };
}

static void number_files(struct stage *s, uint64_t first)
{
	for (int i = 0; i < BENCH_BATCH; i++)
		set(&s->b.w, s->inode[i] + s->b.w.profile->guest.inode_ino, first + i, 8);
}

static void files_are_clean(struct stage *s)
{
	number_files(s, 100);
}

static void files_are_managed(struct stage *s)
{
	number_files(s, FIRST_INO);
	for (int i = 0; i < BENCH_BATCH; i++) {
		struct kt_file_key key = file_key(s, FIRST_INO + i);

		manage_with(&s->b, "files", &key);
	}
}

static void sockets_are_managed(struct stage *s)
{
	for (int i = 0; i < BENCH_BATCH; i++)
		manage_with(&s->b, "sockets", &s->peer[i]);
}

static void pipes_are_managed(struct stage *s)
{
	for (int i = 0; i < BENCH_BATCH; i++)
		manage_with(&s->b, "pipes", &s->pipe[i]);
}

static void read_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_file_permission, CLEAN + i, s->file[i], MAY_READ, 0);
}

static void write_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_file_permission, CLEAN + i, s->file[i], MAY_WRITE, 0);
}

static void read_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_file_permission, MANAGED + i, s->file[i], MAY_READ, 0);
}

static void write_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_file_permission, MANAGED + i, s->file[i], MAY_WRITE, 0);
}

static void pipe_read_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_file_permission, CLEAN + i, s->pipe_file[i], MAY_READ, 0);
}

static void pipe_write_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_file_permission, MANAGED + i, s->pipe_file[i], MAY_WRITE, 0);
}

static void send_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_sendmsg, CLEAN + i, s->sender[i], 0, 10);
}

static void send_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_sendmsg, MANAGED + i, s->sender[i], 0, 10);
}

static void receive_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_recvmsg, CLEAN + i, s->receiver[i], 0, 10);
}

static void receive_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_recvmsg, MANAGED + i, s->receiver[i], 0, 10);
}

static void tcp_send_clean(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_sendmsg, CLEAN + i, s->tcp_client, 0, 10);
}

static void tcp_send_managed(struct stage *s, int i)
{
	event(&s->b, i, KT_HOOK_socket_sendmsg, MANAGED + i, s->tcp_client, 0, 10);
}

/* A child, and its end. */
static void fork_of(struct stage *s, int i, uint32_t parent)
{
	uint32_t child = CHILD + i / 2;

	if (i % 2)
		event(&s->b, i, KT_HOOK_task_exit, child, task(&s->b.w, child), 1, 0);
	else
		event(&s->b, i, KT_HOOK_task_new, parent, task(&s->b.w, child), 0, 0);
}

static void fork_clean(struct stage *s, int i)
{
	fork_of(s, i, CLEAN + i);
}

static void fork_managed(struct stage *s, int i)
{
	fork_of(s, i, MANAGED + i);
}

/* A file that the guest has not touched before: its path is judged. */
static void first_touch(struct stage *s, int i)
{
	set(&s->b.w, s->inode[i] + s->b.w.profile->guest.inode_ino, s->next_ino++, 8);
	read_clean(s, i);
}

static void a_connection_of_the_image(struct stage *s)
{
	s->tcp_client = image_socket(&s->b, "tcp4_client");
}

static void a_remote_connection(struct stage *s)
{
	s->tcp_client = remote_connection(&s->b);
}

static const struct scene scenes[] = {
	{ .name = "read_unmanaged", .begin = files_are_clean, .next = read_clean },
	{ .name = "write_unmanaged", .begin = files_are_clean, .next = write_clean },
	{ .name = "pipe_read_unmanaged", .next = pipe_read_clean },
	{ .name = "unix_send_unmanaged", .next = send_clean },
	{ .name = "unix_receive_unmanaged", .next = receive_clean },
	{ .name = "tcp_send_unmanaged",
	  .begin = a_connection_of_the_image,
	  .next = tcp_send_clean },
	{ .name = "fork_unmanaged", .second = "exit_unmanaged", .next = fork_clean },
	{ .name = "first_touch_unmanaged",
	  .begin = files_are_clean,
	  .next = first_touch,
	  .every_time = true },
	{ .name = "read_managed", .begin = files_are_managed, .next = read_managed },
	{ .name = "write_managed", .begin = files_are_managed, .next = write_managed },
	{ .name = "pipe_write_managed", .begin = pipes_are_managed, .next = pipe_write_managed },
	{ .name = "unix_send_managed", .begin = sockets_are_managed, .next = send_managed },
	{ .name = "unix_receive_managed", .begin = sockets_are_managed, .next = receive_managed },
	{ .name = "tcp_send_managed",
	  .begin = a_connection_of_the_image,
	  .next = tcp_send_managed },
	{ .name = "fork_managed", .second = "exit_managed", .next = fork_managed, .records = 1 },
	{ .name = "remote_send_managed",
	  .begin = a_remote_connection,
	  .next = tcp_send_managed,
	  .records = 1,
	  .leaks = true },
};

#define SCENES (sizeof(scenes) / sizeof(scenes[0]))

static void make_objects(struct stage *s)
{
	struct world *w = &s->b.w;
	const struct kt_guest *g = &w->profile->guest;
	uint64_t plain = file_of(w, SERIES, w->bystander, "plain");
	uint64_t fifo = file_of(w, SERIES, w->holder, "fifo");
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
		s->pipe_file[i] = copy_of(w, fifo);
		s->pipe[i] = copy_of(w, fifo);
		set(w, s->pipe_file[i] + g->file_private_data, s->pipe[i], 8);
	}
}

static void stage_open(struct stage *s)
{
	bench_world_open(&s->b, MANY + MANY / 2);
	touch_image(&s->b);
	make_objects(s);
	manage_processes(&s->b);
	s->next_ino = 1ULL << 32;
	s->random = 88172645463325252ULL;
}

static void scene_begin(struct stage *s, const struct scene *scene)
{
	if (scene->begin)
		scene->begin(s);
	for (int i = 0; i < BENCH_BATCH; i++)
		scene->next(s, i);
}

static void scene_batch(struct stage *s, const struct scene *scene)
{
	for (int i = 0; scene->every_time && i < BENCH_BATCH; i++)
		scene->next(s, i);
	run_program(s->b.skel->progs.time_events, s->b.vcpu);
}

/* --- measuring ---------------------------------------------------------------- */

struct units {
	double read_user, read_kernel, lookup, clock;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_value);
	return values[count / 2];
}

static double low(double *values, size_t count)
{
	median(values, count);
	return values[count / 20];
}

#define UNIT_RUNS 20001

static struct units measure_units(struct stage *s)
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

static void check_records(struct stage *s, const struct scene *scene, uint64_t events)
{
	drain(s);
	if (s->records != events * scene->records)
		die("%s: %lu records of %lu events", scene->name, s->records, events);
	if (s->leaks != (scene->leaks ? events : 0))
		die("%s: %lu leaks of %lu events", scene->name, s->leaks, events);
}

static void measure(struct stage *s, const struct scene *scene, uint64_t events,
		    struct histogram *first, struct histogram *second, double clock)
{
	uint64_t ns, traps, judged;

	memset(first, 0, sizeof(*first));
	memset(second, 0, sizeof(*second));
	scene_begin(s, scene);
	for (int i = 0; i < 1000; i++) {
		scene_batch(s, scene);
		drain(s);
	}
	s->records = s->leaks = 0;
	traps = counter(&s->b, KT_COUNT_TRAPS);
	judged = counter(&s->b, KT_COUNT_JUDGED);
	for (uint64_t batch = 0; batch < events / BENCH_BATCH; batch++) {
		scene_batch(s, scene);
		for (int i = 0; i < BENCH_BATCH; i++) {
			ns = s->b.bench->ns[i];
			ns = ns > clock ? ns - clock : 0;
			add(scene->second && i % 2 ? second : first, ns);
		}
		if (batch % 64 == 0)
			drain(s);
	}
	events = events / BENCH_BATCH * BENCH_BATCH;
	if (counter(&s->b, KT_COUNT_TRAPS) - traps != events)
		die("%s: not every event was taken", scene->name);
	if (counter(&s->b, KT_COUNT_JUDGED) - judged != (scene->every_time ? events : 0))
		die("%s: paths were judged that should not have been, or the other way round",
		    scene->name);
	check_records(s, scene, events);
}

static void print_event(const char *name, const struct histogram *h, double unit, bool last)
{
	uint32_t p50 = percentile(h, 0.5), p99 = percentile(h, 0.99);

	printf("  \"%s\": {\"p50\": %u, \"p99\": %u, \"units\": %.1f, \"events\": %lu}%s\n", name,
	       p50, p99, p50 / unit, h->count, last ? "" : ",");
	fprintf(stderr, "%-24s %6u ns  p99 %6u ns  %5.1f units\n", name, p50, p99, p50 / unit);
}

static void print_engine(struct stage *s, uint64_t events, struct units units)
{
	static struct histogram first, second;

	printf(" \"engine_ns\": {\n");
	for (size_t i = 0; i < SCENES; i++) {
		measure(s, &scenes[i], scenes[i].second ? 2 * events : events, &first, &second,
			units.clock);
		print_event(scenes[i].name, &first, units.read_user,
			    i + 1 == SCENES && !scenes[i].second);
		if (scenes[i].second)
			print_event(scenes[i].second, &second, units.read_user, i + 1 == SCENES);
	}
	printf(" },\n");
}

/* --- exits that are no traps ---------------------------------------------------- */

static double exits_ns(struct bench_world *b)
{
	static double with[UNIT_RUNS], without[UNIT_RUNS];

	for (int i = 0; i < UNIT_RUNS; i++) {
		run_program(b->skel->progs.time_exits, b->vcpu);
		with[i] = (double)b->bench->ns[0] / BENCH_EXITS;
		run_program(b->skel->progs.time_no_exits, b->vcpu);
		without[i] = (double)b->bench->ns[0] / BENCH_EXITS;
	}
	return median(with, UNIT_RUNS) - median(without, UNIT_RUNS);
}

/* Another process's VM: the two programs alone, for a VMM that is not this process. */
static struct kvmtaint *programs_of_another(void)
{
	LIBBPF_OPTS(bpf_object_open_opts, how, .btf_custom_path = HOST_TYPES);
	struct kvmtaint *skel = kvmtaint__open_opts(&how);
	struct bpf_program *prog;

	if (!skel)
		die("cannot open the engine");
	bpf_object__for_each_program(prog, skel->obj) bpf_program__set_autoload(
		prog, prog == skel->progs.on_kvm_exit || prog == skel->progs.on_kvm_entry);
	skel->rodata->host_is_amd = true;
	skel->rodata->vmm_tgid = 1;
	if (kvmtaint__load(skel))
		die("cannot load the programs of kvm_exit and kvm_entry");
	return skel;
}

#define RENAMES	    1000
#define RENAME_RUNS 501

static double rename_ns(void)
{
	uint64_t from = engine_now_ns();

	for (int i = 0; i < RENAMES; i++)
		prctl(PR_SET_NAME, "bench");
	return (double)(engine_now_ns() - from) / RENAMES;
}

/*
 * Attached and driven: a program on a tracepoint that a system call passes, so that what
 * the kernel does to call it is in it.
 */
static double attached_ns(const struct bpf_program *prog)
{
	static double with[RENAME_RUNS], without[RENAME_RUNS];

	for (int i = 0; i < RENAME_RUNS; i++) {
		int fd;

		rename_ns();
		without[i] = rename_ns();
		fd = bpf_raw_tracepoint_open("task_rename", bpf_program__fd(prog));
		if (fd < 0)
			die("cannot attach to task_rename: %s", strerror(errno));
		rename_ns();
		with[i] = rename_ns();
		close(fd);
	}
	/* The system call is longer than what is added to it: undisturbed runs alone tell. */
	return low(with, RENAME_RUNS) - low(without, RENAME_RUNS);
}

static void print_exits(struct stage *s)
{
	struct kvmtaint *skel = programs_of_another(), *ours = s->b.w.engine->skel;
	double own, other, attached, empty;

	exit_reason(&s->b, SVM_EXIT_IO);
	own = exits_ns(&s->b);
	exit_reason(&s->b, SVM_EXIT_INVD);
	programs_are(&s->b, bpf_program__fd(skel->progs.on_kvm_exit),
		     bpf_program__fd(skel->progs.on_kvm_entry));
	other = exits_ns(&s->b);
	attached = attached_ns(skel->progs.on_kvm_exit) + attached_ns(skel->progs.on_kvm_entry);
	empty = 2 * attached_ns(s->b.skel->progs.nothing);
	programs_are(&s->b, bpf_program__fd(ours->progs.on_kvm_exit),
		     bpf_program__fd(ours->progs.on_kvm_entry));
	kvmtaint__destroy(skel);
	printf(" \"foreign_exit_ns\": %.1f,\n \"foreign_exit\": {\"another_vm\": %.1f, \"another_reason\":"
	       " %.1f, \"attached\": %.1f, \"attached_empty\": %.1f},\n",
	       other > own ? other : own, other, own, attached, empty);
	fprintf(stderr,
		"an exit that is no trap: of another VM %.1f ns, of this VM %.1f ns; attached, of"
		" another VM %.1f ns, where two empty programs take %.1f ns\n",
		other, own, attached, empty);
}

/* --- growth --------------------------------------------------------------------- */

static uint64_t draw(struct stage *s)
{
	uint64_t x = s->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	s->random = x;
	return (x >> 11) % s->managed;
}

static void manage_many(struct stage *s, uint32_t count)
{
	struct kt_file_key file = file_key(s, 0);
	uint64_t key;

	for (uint32_t n = 0; n < count; n++) {
		file.ino = FIRST_INO + n;
		manage_with(&s->b, "files", &file);
		key = FIRST_SIGNAL + (uint64_t)n * SPACING;
		manage_with(&s->b, "processes", &key);
		key = FIRST_SOCKET + (uint64_t)n * SPACING;
		manage_with(&s->b, "sockets", &key);
	}
	s->managed = count;
}

/* A managed process reads a file of all those that are managed. */
static void read_some_file(struct stage *s, int i)
{
	set(&s->b.w, s->inode[i] + s->b.w.profile->guest.inode_ino, FIRST_INO + draw(s), 8);
	read_managed(s, i);
}

/* A process of all those that are managed sends. */
static void some_process_sends(struct stage *s, int i)
{
	set(&s->b.w, task(&s->b.w, CLEAN + i) + s->b.w.profile->guest.task_signal,
	    FIRST_SIGNAL + draw(s) * SPACING, 8);
	send_clean(s, i);
}

static void send_to_some_socket(struct stage *s, int i)
{
	set(&s->b.w, s->from[i] + s->b.w.profile->guest.unix_peer, FIRST_SOCKET + draw(s) * SPACING,
	    8);
	send_managed(s, i);
}

/* What is in no set, while much else is. */
static void read_no_file(struct stage *s, int i)
{
	draw(s);
	read_clean(s, i);
}

static const struct {
	const char *name;
	struct scene scene;
} growth[] = {
	{ "files", { .name = "a file is read", .next = read_some_file, .every_time = true } },
	{ "processes",
	  { .name = "a process sends",
	    .begin = sockets_are_managed,
	    .next = some_process_sends,
	    .every_time = true } },
	{ "sockets",
	  { .name = "a socket is sent to", .next = send_to_some_socket, .every_time = true } },
	{ "unmanaged",
	  { .name = "a file in no set is read",
	    .begin = files_are_clean,
	    .next = read_no_file,
	    .every_time = true } },
};

#define GROWTHS (sizeof(growth) / sizeof(growth[0]))
#define ROUNDS	21

/* The median of a chunk of events. */
static double chunk(struct stage *s, const struct scene *scene, uint64_t events, double clock)
{
	static struct histogram h;

	memset(&h, 0, sizeof(h));
	scene_begin(s, scene);
	for (uint64_t batch = 0; batch < events / BENCH_BATCH; batch++) {
		scene_batch(s, scene);
		for (int i = 0; i < BENCH_BATCH; i++)
			add(&h, s->b.bench->ns[i]);
	}
	drain(s);
	if (s->records)
		die("%s: it made records", scene->name);
	return percentile(&h, 0.5) - clock;
}

/* One pair after the other, each in a world of its own: what disturbs one disturbs the other. */
static void print_growth(struct stage *few, struct stage *many, uint64_t events, double clock)
{
	double ratios[ROUNDS], of_few[ROUNDS], of_many[ROUNDS];

	few->records = many->records = 0;
	manage_many(few, FEW);
	manage_many(many, MANY);
	printf(" \"growth\": {\n");
	for (size_t i = 0; i < GROWTHS; i++) {
		/* Twice before it counts. */
		for (int round = -2; round < ROUNDS; round++) {
			double a = chunk(few, &growth[i].scene, events / ROUNDS, clock);
			double b = chunk(many, &growth[i].scene, events / ROUNDS, clock);

			if (round < 0)
				continue;
			of_few[round] = a;
			of_many[round] = b;
			ratios[round] = b / a;
		}
		fprintf(stderr, "growth, %s: %.0f ns -> %.0f ns\n", growth[i].scene.name,
			median(of_few, ROUNDS), median(of_many, ROUNDS));
		printf("  \"%s\": %.3f,\n  \"%s_ns\": [%.0f, %.0f]%s\n", growth[i].name,
		       median(ratios, ROUNDS), growth[i].name, median(of_few, ROUNDS),
		       median(of_many, ROUNDS), i + 1 < GROWTHS ? "," : "");
	}
	printf(" }\n");
}

/* --- main ----------------------------------------------------------------------- */

static void pin(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void loop(struct stage *s, const char *name)
{
	for (size_t i = 0; i < SCENES; i++) {
		if (strcmp(scenes[i].name, name))
			continue;
		scene_begin(s, &scenes[i]);
		for (;;) {
			scene_batch(s, &scenes[i]);
			drain(s);
		}
	}
	die("no event %s", name);
}

int main(int argc, char **argv)
{
	static struct stage few, many;
	bool growth_alone = argc > 1 && !strcmp(argv[1], "growth");
	uint64_t events = argc > 1 && !growth_alone ? strtoull(argv[1], NULL, 0) : 1000000;
	struct units units;

	pin();
	stage_open(&few);
	if (argc > 2 && !strcmp(argv[1], "loop"))
		loop(&few, argv[2]);
	units = measure_units(&few);
	printf("{\n \"read_user_ns\": %.1f,\n \"read_kernel_ns\": %.1f,\n \"lookup_ns\": %.1f,\n"
	       " \"clock_ns\": %.1f,\n",
	       units.read_user, units.read_kernel, units.lookup, units.clock);
	fprintf(stderr, "unit: bpf_probe_read_user %.1f ns (probe_read_kernel %.1f, lookup %.1f)\n",
		units.read_user, units.read_kernel, units.lookup);
	if (!growth_alone) {
		print_engine(&few, events, units);
		print_exits(&few);
	}
	stage_open(&many);
	print_growth(&few, &many, growth_alone ? 100000 : events, units.clock);
	printf("}\n");
	return 0;
}
