// SPDX-License-Identifier: GPL-2.0
/* The engine at work: records, counters, replays, and the slow path. */
#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "engine_internal.h"

#define REPLAYS_MAX 64 /* pages that one event may touch and find absent */

int engine_fd(struct engine *engine)
{
	return engine->epoll;
}

int engine_on_record(void *ctx, void *data, size_t len)
{
	struct engine *engine = ctx;

	return engine->record_fn ? engine->record_fn(engine->record_ctx, data, len) : 0;
}

uint64_t engine_next_seq(void *ctx)
{
	struct engine *engine = ctx;

	return __sync_add_and_fetch(&engine->skel->bss->record_seq, 1);
}

bool engine_return_seq(struct engine *engine, uint64_t seq)
{
	return __sync_bool_compare_and_swap(&engine->skel->bss->record_seq, seq, seq - 1);
}

static int sum_counters(int fd, uint64_t out[KT_COUNT_MAX])
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ uint64_t *each = NULL;

	if (cpus < 0)
		return cpus;
	each = calloc(cpus, sizeof(*each));
	if (!each)
		return -ENOMEM;
	for (uint32_t i = 0; i < KT_COUNT_MAX; i++) {
		if (bpf_map_lookup_elem(fd, &i, each))
			return -errno;
		out[i] = 0;
		for (int cpu = 0; cpu < cpus; cpu++)
			out[i] += each[cpu];
	}
	return 0;
}

int engine_counters(struct engine *engine, uint64_t out[KT_COUNT_MAX])
{
	return sum_counters(bpf_map__fd(engine->skel->maps.counters), out);
}

int engine_kept_counters(const struct engine_kept *kept, uint64_t out[KT_COUNT_MAX])
{
	return kept->counters ? sum_counters(kept->counters, out) : 0;
}

/* Takes every entry out of a hash map whose keys have key_size bytes (at most 64). */
static int empty_map(int fd)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info), left;
	char key[64];

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	for (left = info.max_entries; left && !bpf_map_get_next_key(fd, NULL, key); left--)
		if (bpf_map_delete_elem(fd, key) && errno != ENOENT)
			return -errno;
	return 0;
}

int engine_forget_caches(struct engine *engine)
{
	int ret = empty_map(bpf_map__fd(engine->skel->maps.routes));

	if (!ret)
		ret = empty_map(bpf_map__fd(engine->skel->maps.elsewhere));
	if (!ret)
		ret = empty_map(bpf_map__fd(engine->skel->maps.judged));
	__atomic_fetch_add(&engine->skel->data->policy_epoch, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&engine->skel->bss->born_since, 0, __ATOMIC_SEQ_CST);
	return ret;
}

int64_t engine_tick(struct engine *engine)
{
	uint64_t misses = 0, before = engine->recursion_misses;
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, engine->skel->obj)
	{
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);
		int fd = bpf_program__fd(prog);

		/* kvm_exit's only counts; hosts from 7.0 run it preemptibly, and skip it now and
		 * then. */
		if (fd < 0 || prog == engine->skel->progs.on_kvm_exit)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &len))
			return -errno;
		misses += info.recursion_misses;
	}
	engine->recursion_misses = misses;
	return misses - before;
}

/* --- replays ------------------------------------------------------------- */

static int run(struct bpf_program *prog, const uint64_t *args, size_t size)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = size);

	return bpf_prog_test_run_opts(bpf_program__fd(prog), &opts) ? -errno : 0;
}

int engine_replay(struct engine *engine, struct kt_deferred *input, bool own_memory)
{
	int fd = bpf_map__fd(engine->skel->maps.replay_input), ret;
	uint64_t args[2] = { own_memory, input->vcpu };
	uint32_t vcpu = input->vcpu % KT_VCPUS_MAX;

	input->result = 0;
	if (bpf_map_update_elem(fd, &vcpu, input, BPF_ANY))
		return -errno;
	ret = run(engine->skel->progs.replay, args, sizeof(args));
	if (ret)
		return ret;
	return bpf_map_lookup_elem(fd, &vcpu, input) ? -errno : 0;
}

/* --- the slow path ------------------------------------------------------- */

#define STOP_WAIT_US 200
#define STOP_WAITS   500 /* 100 ms: a stop that was sent arrives within microseconds */
#define LATE_STOP_NS 3000000000ULL

uint64_t engine_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* By /proc/PID/stat, field 3 (proc(5)). */
bool process_is_stopped(pid_t pid)
{
	char path[64], line[512] = "", *state;
	_cleanup_fclose_ FILE *f = NULL;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return false;
	state = strrchr(line, ')');
	return state && state[1] && state[2] == 'T';
}

/* Brings the page of the VMM at hva into memory; 0: it was no page that was missing. 0 or -errno.
 */
static int fault_in(pid_t pid, uint64_t hva)
{
	char byte;
	struct iovec to = { &byte, 1 }, from = { (void *)(uintptr_t)hva, 1 };

	if (!hva)
		return 0;
	return process_vm_readv(pid, &to, 1, &from, 1, 0) == 1 ? 0 : -errno;
}

static void say_lost(struct engine *engine, const struct kt_deferred *event)
{
	struct kt_record record = {
		.seq = engine_next_seq(engine),
		.time_ns = engine_now_ns(),
		.type = KT_RECORD_LOST,
		.lost = event->result,
		.bytes = event->fault,
		.vcpu = event->vcpu,
		.hook = KT_HOOK_NONE,
		.syscall = -1,
	};

	if (engine->record_fn)
		engine->record_fn(engine->record_ctx, &record, offsetof(struct kt_record, path));
}

int engine_before_attach(struct engine *engine, gva_t task, gva_t file, bool writable,
			 bool own_memory)
{
	int fd = bpf_map__fd(engine->skel->maps.replay_input), ret;
	uint64_t args[4] = { own_memory, task.v, file.v, writable };
	pid_t whose = own_memory ? getpid() : engine->pid;
	struct kt_deferred event;
	uint32_t zero = 0;

	if (!own_memory && !engine->skel->rodata->host_direct_map_symbol)
		return -EOPNOTSUPP;
	for (int i = 0; i < REPLAYS_MAX; i++) {
		event = (struct kt_deferred){ 0 };
		if (bpf_map_update_elem(fd, &zero, &event, BPF_ANY))
			return -errno;
		ret = run(engine->skel->progs.before_attach, args, sizeof(args));
		if (ret)
			return ret;
		if (bpf_map_lookup_elem(fd, &zero, &event))
			return -errno;
		if (event.result != KT_LOST_HOST_MEMORY || fault_in(whose, event.fault))
			break;
	}
	if (event.result)
		say_lost(engine, &event);
	return 0;
}

/* True when every stop that the engine sent has been served. */
static bool all_served(struct engine *engine)
{
	return engine->stops_ended >=
	       __atomic_load_n(&engine->skel->bss->stops_sent, __ATOMIC_SEQ_CST);
}

/*
 * BPF's signal leaves the kernel through irq_work, after the event is in the
 * ring: with two vCPUs at once the second stop can come behind our SIGCONT.
 * Never leave the VM in one of our own stops.
 */
static void end_late_stop(struct engine *engine)
{
	if (!engine->let_go_ns || !all_served(engine))
		return;
	if (engine_now_ns() - engine->let_go_ns > LATE_STOP_NS)
		engine->let_go_ns = 0;
	else if (hold_may_go_on(engine) && process_is_stopped(engine->pid))
		kill(engine->pid, SIGCONT);
}

void engine_go_on(struct engine *engine)
{
	if (!all_served(engine) || !hold_may_go_on(engine))
		return;
	kill(engine->pid, SIGCONT);
	engine->let_go_ns = engine_now_ns();
	for (int i = 0; i < 5; i++) {
		usleep(STOP_WAIT_US);
		end_late_stop(engine);
	}
}

/*
 * An event met a page that is not in memory. The VM stands (the engine sent
 * SIGSTOP at the hook): bring the page in, do the event again, let the VM go on.
 * Whatever happens the VM goes on; what could not be read is a lost record.
 */
int engine_on_deferred(void *ctx, void *data, size_t len)
{
	struct engine *engine = ctx;
	struct kt_deferred event;

	if (len < sizeof(event))
		return 0;
	memcpy(&event, data, sizeof(event));
	for (int i = 0; i < STOP_WAITS && !process_is_stopped(engine->pid); i++)
		usleep(STOP_WAIT_US);
	event.result = KT_LOST_HOST_MEMORY;
	for (int i = 0; i < REPLAYS_MAX && event.result == KT_LOST_HOST_MEMORY; i++)
		if (fault_in(engine->pid, event.fault) || engine_replay(engine, &event, false))
			break;
	if (event.result)
		say_lost(engine, &event);
	hold_serve_asked(engine, event.vcpu);
	engine->stops_ended++;
	engine_go_on(engine);
	return 0;
}

int engine_drain(struct engine *engine, engine_record_fn fn, void *ctx)
{
	int ret;

	engine->record_fn = fn;
	engine->record_ctx = ctx;
	/* The slow path first: a VM stands still for it. */
	ret = ring_buffer__consume(engine->deferred);
	if (ret < 0)
		return ret;
	end_late_stop(engine);
	return ring_buffer__consume(engine->records);
}
