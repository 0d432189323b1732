/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Many guest processes and carriers out of one RAM image, for races: copies of
 * the image's own objects, laid over the guest's kernel text (in this process's
 * private mapping), of which the engine reads nothing.
 */
#ifndef KVMTAINT_TESTS_REPLAY_WORLD_H
#define KVMTAINT_TESTS_REPLAY_WORLD_H

#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "engine_snapshot.h"
#include "guest_image.h"

#define POOL	    256 /* objects of each kind, used in turn */
#define TASK_SIZE   16384 /* room for a task_struct; its signal_struct lies at the end */
#define SIGNAL_AT   15360
#define OBJECT_SIZE 2048 /* room for any other object */

/* One image with an engine over it. Tasks 0 to POOL - 1 run on any vCPU. */
struct world {
	struct guest_mem *mem;
	struct guest_profile *profile;
	struct policy *policy; /* /tmp/secret.txt has the first label */
	struct engine *engine;
	uint32_t objects_max, readers_max; /* of the engine; 0: its own, and enough for all tasks */
	uint64_t holder, bystander; /* tasks of the image */
	uint64_t tasks, objects; /* where the copies lie */
	uint32_t object_count;
	uint64_t moved; /* guest text gva -> this process's memory */
	bool follow_arguments;
	struct wires *wires; /* shared with another world; NULL: nothing */
	const char *rule; /* of the policy, instead of lab=/tmp/secret.txt */
	enum kt_terminals terminals;
	const struct kt_sink_rule *sinks; /* verdicts; NULL: report */
	uint32_t sink_count;
	bool pause_on_spread;
	enum trap_kind trap;
	const struct vm_info *vm; /* made up (tests/bench); NULL: none */
	const char *host_btf;
};

static inline uint64_t peek(const struct world *w, uint64_t gva, size_t size)
{
	uint64_t value = 0;

	assert_int_equal(guest_read(w->mem, &w->profile->guest, GVA(gva), &value, size), 0);
	return value;
}

/* As fs_identity() in bpf/inode.bpf.h has it. */
static inline uint32_t fs_of(const struct world *w, uint64_t sb)
{
	const struct kt_guest *g = &w->profile->guest;
	uint64_t low = peek(w, sb + g->sb_uuid, 8), high = peek(w, sb + g->sb_uuid + 8, 8);
	uint64_t mixed = (low ^ high * 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;

	return low | high ? mixed >> 32 : peek(w, sb + g->sb_dev, 4);
}

/* Changes a copy. */
static inline void set(const struct world *w, uint64_t gva, uint64_t value, size_t size)
{
	memcpy((void *)(uintptr_t)(gva + w->moved), &value, size);
}

/* A copy of the guest object at from; returns where it is in the guest. */
static inline uint64_t copy_of(struct world *w, uint64_t from)
{
	uint64_t to = w->objects + (uint64_t)OBJECT_SIZE * w->object_count++;

	assert_true(to + OBJECT_SIZE <= w->profile->guest.text_gva + w->profile->guest.image_size);
	assert_int_equal(guest_read(w->mem, &w->profile->guest, GVA(from),
				    (void *)(uintptr_t)(to + w->moved), OBJECT_SIZE),
			 0);
	return to;
}

static inline uint64_t task(const struct world *w, uint32_t n)
{
	return w->tasks + (uint64_t)TASK_SIZE * (n % POOL);
}

static inline uint64_t signal_of(const struct world *w, uint32_t n)
{
	return task(w, n) + SIGNAL_AT;
}

/* A process of its own for each task, which runs on some CPU. */
static inline void make_tasks(struct world *w)
{
	const struct kt_guest *g = &w->profile->guest;

	for (uint32_t n = 0; n < POOL; n++) {
		uint64_t at = task(w, n);

		assert_int_equal(guest_read(w->mem, g, GVA(w->bystander),
					    (void *)(uintptr_t)(at + w->moved), SIGNAL_AT),
				 0);
		set(w, at + g->task_signal, at + SIGNAL_AT, 8);
		set(w, at + g->task_group_leader, at, 8);
		set(w, at + g->task_on_cpu, 1, 4);
		set(w, at + g->task_pid, 1000 + n, 4);
		set(w, at + g->task_tgid, 1000 + n, 4);
	}
}

static inline uint64_t find_task(const struct world *w, uint32_t pid)
{
	const struct kt_guest *g = &w->profile->guest;
	uint64_t head = g->sym_init_task + g->task_tasks, at = head;

	for (int i = 0; i < 10000; i++) {
		if (peek(w, at - g->task_tasks + g->task_pid, 4) == pid)
			return at - g->task_tasks;
		at = peek(w, at, 8);
		if (at == head)
			break;
	}
	fail_msg("no task with pid %u", pid);
	return 0;
}

/* struct file behind a descriptor of a task of the image, by the name of its fact. */
static inline uint64_t file_of(const struct world *w, const char *series, uint64_t of,
			       const char *name)
{
	const struct kt_guest *g = &w->profile->guest;
	char key[64];
	uint64_t fdt;

	snprintf(key, sizeof(key), "%s.fd", name);
	fdt = peek(w, peek(w, of + g->task_files, 8) + g->files_fdt, 8);
	return peek(w, peek(w, fdt + g->fdt_fd, 8) + 8 * image_number(series, key), 8);
}

/* Where this process has its private copy of a byte of the image, which may now be changed. */
static inline void *private_byte(const struct world *w, uint64_t gva)
{
	const struct kt_slot *slots;
	uintptr_t at;
	size_t count;
	gpa_t gpa;

	assert_int_equal(guest_translate(w->mem, &w->profile->guest, GVA(gva), &gpa), 0);
	slots = guest_mem_slots(w->mem, &count);
	at = slots[0].hva + gpa.v;
	assert_int_equal(mprotect((void *)(at & ~4095UL), 8192, PROT_READ | PROT_WRITE), 0);
	return (void *)at;
}

/* An open FIFO like that of the image, with an inode and a pipe of its own; the pipe goes to *pipe.
 */
static inline uint64_t fifo_of(struct world *w, const char *series, uint64_t *pipe)
{
	const struct kt_guest *g = &w->profile->guest;
	uint64_t from = file_of(w, series, w->holder, "fifo"), file = copy_of(w, from);
	uint64_t inode = copy_of(w, peek(w, from + g->file_inode, 8));

	*pipe = copy_of(w, from);
	set(w, inode + g->inode_pipe, *pipe, 8);
	set(w, file + g->file_inode, inode, 8);
	set(w, file + g->file_private_data, *pipe, 8);
	return file;
}

/* struct socket of the image's holder, by the name of its fact. */
static inline uint64_t holders_socket(const struct world *w, const char *series, const char *name)
{
	return peek(w, file_of(w, series, w->holder, name) + w->profile->guest.file_private_data,
		    8);
}

/* run_hook() with all the arguments that a hook may look at. */
static inline int64_t run_hook_with(const struct world *w, uint32_t vcpu, enum kt_hook hook,
				    uint64_t current, const uint64_t args[4])
{
	const struct kt_guest *g = &w->profile->guest;
	struct kt_deferred input = {
		.site = w->profile->hooks[hook].site.v,
		/* By which "current" is read from the task's group_leader: itself. */
		.percpu_base = current + g->task_group_leader - g->sym_current_task,
		.vcpu = vcpu,
	};
	int ret;

	memcpy(input.args, args, 4 * sizeof(args[0]));
	for (int i = 0; i < 64; i++) {
		ret = engine_replay(w->engine, &input, true);
		if (ret)
			return ret;
		if (input.result != KT_LOST_HOST_MEMORY)
			break;
		(void)*(volatile char *)(uintptr_t)input.fault;
	}
	return input.result;
}

/*
 * Runs one hook with a task as current on a vCPU. A page of the image that is
 * not in memory is brought in, as by the slow path. The enum kt_lost of it, or
 * -errno; may be called by several threads, each with a vCPU of its own.
 */
static inline int64_t run_hook(const struct world *w, uint32_t vcpu, enum kt_hook hook,
			       uint64_t current, uint64_t a0, uint64_t a1)
{
	return run_hook_with(w, vcpu, hook, current, (uint64_t[4]){ a0, a1 });
}

static inline uint64_t labels_of(const struct world *w, const char *set_name, const void *key)
{
	struct {
		struct kt_managed managed;
		char rest[256];
	} value;

	return bpf_map_lookup_elem(engine_map_fd(w->engine, set_name), key, &value)
		       ? 0
		       : value.managed.labels;
}

/* Puts an object into a set with these labels, as if it had been managed all along. */
static inline void manage(const struct world *w, const char *set_name, uint64_t gva,
			  uint64_t labels)
{
	struct {
		struct kt_managed managed;
		char rest[256];
	} value = { .managed.labels = labels };

	assert_int_equal(
		bpf_map_update_elem(engine_map_fd(w->engine, set_name), &gva, &value, BPF_ANY), 0);
}

/* --- the world of an image -------------------------------------------------- */

/* The last world that was loaded, its engine as it was then, and of what it is. */
static struct {
	struct world w;
	struct engine_snapshot snapshot;
	const char *series;
} loaded;

static inline void make_image_fresh(const struct world *w)
{
	uint64_t text = w->tasks + w->moved;
	size_t count;
	const struct kt_slot *slots = guest_mem_slots(w->mem, &count);
	void *ram = (void *)(uintptr_t)slots[0].hva;

	/* The mapping is private: what was written to it goes, and the file's bytes come back. */
	assert_int_equal(madvise(ram, slots[0].npages * 4096, MADV_DONTNEED), 0);
	assert_int_equal(mprotect(ram, slots[0].npages * 4096, PROT_READ), 0);
	/* The text alone: data follow it, and the engine reads them. */
	assert_int_equal(mprotect((void *)(uintptr_t)text,
				  (uint64_t)POOL * TASK_SIZE + 4ULL * POOL * OBJECT_SIZE,
				  PROT_READ | PROT_WRITE),
			 0);
}

static inline void world_free(struct world *w)
{
	engine_free(w->engine);
	policy_free(w->policy);
	guest_profile_free(w->profile);
	guest_mem_close(w->mem);
}

static inline void world_load(struct world *w, const char *series)
{
	struct engine_options opt = {};
	const struct policy_dfa *dfa;
	const struct kt_slot *slots;
	char err[512] = "";
	size_t count;

	assert_int_equal(guest_mem_open_image(image_path(series, "ram.raw"), &w->mem), 0);
	assert_int_equal(guest_profile_build(w->mem, &w->profile), 0);
	slots = guest_mem_slots(w->mem, &count);
	assert_int_equal(count, 1);
	w->moved = slots[0].hva + w->profile->guest.text_gpa - w->profile->guest.text_gva;
	w->tasks = w->profile->guest.text_gva;
	w->objects = w->tasks + (uint64_t)POOL * TASK_SIZE;
	w->holder = find_task(w, image_number(series, "holder.pid"));
	w->bystander = find_task(w, image_number(series, "bystander.pid"));
	w->policy = policy_new();
	assert_int_equal(policy_add(w->policy, w->rule ? w->rule : "lab=/tmp/secret.txt", err,
				    sizeof(err)),
			 0);
	assert_int_equal(policy_compile(w->policy, &dfa, err, sizeof(err)), 0);
	opt.dfa = dfa;
	opt.profile = w->profile;
	opt.mem = w->mem;
	opt.objects_max = w->objects_max;
	opt.readers_max = w->readers_max ? w->readers_max : 4 * POOL;
	opt.follow_arguments = w->follow_arguments;
	opt.wires = w->wires;
	if (w->wires)
		w->wires->policy = w->policy;
	opt.terminals = w->terminals;
	opt.sinks = w->sinks;
	opt.sink_count = w->sink_count;
	opt.pause_on_spread = w->pause_on_spread;
	opt.trap = w->trap;
	opt.vm = w->vm;
	opt.host_btf = w->host_btf;
	if (engine_load(&opt, &w->engine, err, sizeof(err)))
		fail_msg("%s", err);
}

static inline bool is_loaded(const struct world *w, const char *series)
{
	return loaded.series && !strcmp(loaded.series, series) &&
	       loaded.w.objects_max == w->objects_max && loaded.w.readers_max == w->readers_max &&
	       loaded.w.follow_arguments == w->follow_arguments &&
	       loaded.w.terminals == w->terminals && loaded.w.trap == w->trap &&
	       loaded.w.sinks == w->sinks && loaded.w.sink_count == w->sink_count &&
	       loaded.w.pause_on_spread == w->pause_on_spread;
}

/*
 * The world of an image, in which nothing has happened; false: the image is not
 * there. Tests that ask for the same one after another share what was loaded.
 */
static inline bool world_open(struct world *w, const char *series)
{
	if (access(image_path(series, "ram.raw"), R_OK))
		return false;
	if (is_loaded(w, series)) {
		snapshot_restore(&loaded.snapshot, loaded.w.engine);
	} else {
		world_load(w, series);
		snapshot_free(&loaded.snapshot);
		world_free(&loaded.w);
		loaded.w = *w;
		loaded.series = series;
		snapshot_take(&loaded.snapshot, w->engine);
	}
	*w = loaded.w;
	make_image_fresh(w);
	make_tasks(w);
	return true;
}

/* The caller's own from now on, for world_free(): no other test gets it. */
static inline void world_take(void)
{
	snapshot_free(&loaded.snapshot);
	loaded.w = (struct world){};
	loaded.series = NULL;
}

/* --- running tests ------------------------------------------------------------ */

/* Runs the tests on each of these images, whose series is their state; how many failed. */
static inline int run_on_images(const char *what, const char *const *series, size_t series_count,
				struct CMUnitTest *tests, size_t count)
{
	int failed = 0;

	for (size_t i = 0; i < series_count; i++) {
		char name[64];

		for (size_t t = 0; t < count; t++)
			tests[t].initial_state = (void *)series[i];
		snprintf(name, sizeof(name), "%s on %s", what, series[i]);
		failed += _cmocka_run_group_tests(name, tests, count, NULL, NULL);
	}
	return failed;
}

static inline int run_on_all_images(const char *what, struct CMUnitTest *tests, size_t count)
{
	return run_on_images(what, image_series, IMAGE_COUNT, tests, count);
}

#endif
