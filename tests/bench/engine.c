// SPDX-License-Identifier: GPL-2.0
/*
 * bench/engine [EVENTS]: what an event costs the host natively, by so many of each, and
 * what an exit costs that is no trap. Prints one JSON object. Each event is timed by
 * itself, from the first instruction of kvm_exit's program to the last of kvm_entry's;
 * what the clock itself costs is taken off. See bench_world.h for what is real in it.
 *
 * bench/engine loop NAME: that event for ever, to be profiled.
 */
#include <sys/prctl.h>

#include "scenes.h"

static const struct scene scenes[] = {
	{ .name = "read_unmanaged", .begin = files_are_clean, .next = read_clean },
	{ .name = "write_unmanaged", .begin = files_are_clean, .next = write_clean },
	{ .name = "pipe_read_unmanaged", .next = pipe_read_clean },
	{ .name = "unix_send_unmanaged", .next = send_clean },
	{ .name = "unix_receive_unmanaged", .next = receive_clean },
	{ .name = "tcp_send_unmanaged",
	  .begin = a_connection_of_the_image,
	  .next = inet_send_clean },
	{ .name = "udp_send_unmanaged", .begin = udp_of_the_image, .next = inet_send_clean },
	{ .name = "udp_receive_unmanaged", .begin = udp_of_the_image, .next = udp_receive_clean },
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
	  .next = inet_send_managed },
	{ .name = "udp_send_managed", .begin = udp_of_the_image, .next = inet_send_managed },
	{ .name = "udp_receive_managed", .begin = udp_of_the_image, .next = udp_receive_managed },
	{ .name = "fork_managed", .second = "exit_managed", .next = fork_managed, .records = 1 },
	{ .name = "remote_send_managed",
	  .begin = a_remote_connection,
	  .next = inet_send_managed,
	  .records = 1,
	  .leaks = true },
};

#define SCENES (sizeof(scenes) / sizeof(scenes[0]))

/* --- measuring ---------------------------------------------------------------- */

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
	       " %.1f, \"attached\": %.1f, \"attached_empty\": %.1f}\n",
	       other > own ? other : own, other, own, attached, empty);
	fprintf(stderr,
		"an exit that is no trap: of another VM %.1f ns, of this VM %.1f ns; attached, of"
		" another VM %.1f ns, where two empty programs take %.1f ns\n",
		other, own, attached, empty);
}

/* --- main ----------------------------------------------------------------------- */

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
	static struct stage stage;
	uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000;
	struct units units;

	pin();
	stage_open(&stage, 0);
	if (argc > 2 && !strcmp(argv[1], "loop"))
		loop(&stage, argv[2]);
	units = measure_units(&stage);
	printf("{\n \"read_user_ns\": %.1f,\n \"read_kernel_ns\": %.1f,\n \"lookup_ns\": %.1f,\n"
	       " \"clock_ns\": %.1f,\n",
	       units.read_user, units.read_kernel, units.lookup, units.clock);
	fprintf(stderr, "unit: bpf_probe_read_user %.1f ns (probe_read_kernel %.1f, lookup %.1f)\n",
		units.read_user, units.read_kernel, units.lookup);
	print_engine(&stage, events, units);
	print_exits(&stage);
	printf("}\n");
	return 0;
}
