// SPDX-License-Identifier: GPL-2.0
#include "attach_scan_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "cleanup.h"

#define READS_MAX	(1U << 23) /* about ten seconds of process_vm_readv(2) */
#define REPORTS_MAX	(1U << 18) /* of regular files; each has its path judged */
#define TASKS_MAX	(1U << 20) /* of one list */
#define FDS_MAX		(1U << 20) /* of one table; fs.nr_open's default */
#define ROUNDS_MAX	8 /* over the task list */
#define TRIES_MAX	4 /* at one process */
#define PAGE_SIZE	4096U
#define TASK_OFFSET_MAX (64U << 10) /* task_struct has about 10 KiB */
#define TASK_SPAN_MAX	(16U << 10)
#define SET_KEEP	4096 /* slots that a cleared set keeps */

#define PF_KTHREAD	0x00200000U /* include/linux/sched.h, the same from 2.6 to 7.x */

/* --- sets ---------------------------------------------------------------- */

/* The guest chooses a and b, but cannot know which have slots that are near each other. */
static size_t pair_slot(const struct pair_set *set, uint64_t a, uint64_t b)
{
	unsigned __int128 product = a ^ set->secret[0];
	size_t slot;

	product *= b ^ set->secret[1];
	slot = (size_t)(product ^ product >> 64) & (set->size - 1);

	while (set->slots[slot].a && (set->slots[slot].a != a || set->slots[slot].b != b))
		slot = (slot + 1) & (set->size - 1);
	return slot;
}

bool pair_set_has(const struct pair_set *set, uint64_t a, uint64_t b)
{
	return set->size && set->slots[pair_slot(set, a, b)].a;
}

static int pair_set_grow(struct pair_set *set)
{
	struct pair_set bigger = { .size = set->size ? set->size * 2 : 64, .count = set->count };

	if (getrandom(bigger.secret, sizeof(bigger.secret), 0) != sizeof(bigger.secret))
		return -EIO;
	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < set->size; i++) {
		const struct pair *pair = &set->slots[i];

		if (pair->a)
			bigger.slots[pair_slot(&bigger, pair->a, pair->b)] = *pair;
	}
	free(set->slots);
	*set = bigger;
	return 0;
}

int pair_set_add(struct pair_set *set, uint64_t a, uint64_t b)
{
	size_t slot;
	int err = set->count * 2 >= set->size ? pair_set_grow(set) : 0;

	if (err)
		return err;
	slot = pair_slot(set, a, b);
	if (set->slots[slot].a)
		return 0;
	set->slots[slot] = (struct pair){ a, b };
	set->count++;
	return 1;
}

static void pair_set_free(struct pair_set *set)
{
	free(set->slots);
	*set = (struct pair_set){ 0 };
}

void pair_set_clear(struct pair_set *set)
{
	if (set->size > SET_KEEP)
		pair_set_free(set);
	else if (set->count)
		memset(set->slots, 0, set->size * sizeof(*set->slots));
	set->count = 0;
}

/* As pair_set_add(), with an error as the end of the scan. */
static bool add_new(struct attach_walk *walk, struct pair_set *set, uint64_t a, uint64_t b)
{
	int rc = pair_set_add(set, a, b);

	if (rc < 0)
		walk->end = rc;
	return rc == 1;
}

/* --- reading ------------------------------------------------------------- */

bool span_over(struct span *span, const int32_t *offsets, size_t count, size_t limit)
{
	size_t from = limit, to = 0;

	for (size_t i = 0; i < count; i++) {
		if (offsets[i] < 0 || (size_t)offsets[i] > limit)
			return false;
		if ((size_t)offsets[i] < from)
			from = offsets[i];
		if ((size_t)offsets[i] + 16 > to)
			to = (size_t)offsets[i] + 16;
	}
	*span = (struct span){ from, to - from };
	return true;
}

bool attach_read(struct attach_walk *walk, uint64_t gva, void *buf, size_t len)
{
	if (walk->end || !walk->reads_left || (int64_t)gva >= 0)
		return false;
	walk->reads_left--;
	return !guest_read(walk->mem, walk->guest, GVA(gva), buf, len);
}

bool attach_report(struct attach_walk *walk, uint64_t file, bool shared_writable)
{
	uint64_t inode;
	uint16_t mode;
	int rc;

	if (pair_set_has(&walk->judged, file, shared_writable))
		return true;
	if (!attach_read(walk, file + walk->guest->file_inode, &inode, sizeof(inode)) ||
	    !attach_read(walk, inode + walk->guest->inode_mode, &mode, sizeof(mode)))
		return false;
	if (S_ISREG(mode) && walk->result->reported == REPORTS_MAX)
		return false;
	if (!add_new(walk, &walk->judged, file, shared_writable))
		return false;
	if (!S_ISREG(mode))
		return true;
	walk->result->reported++;
	rc = walk->fn(walk->ctx, GVA(walk->task), GVA(file), shared_writable);
	if (rc < 0)
		walk->end = rc;
	return rc >= 0;
}

/* --- tasks --------------------------------------------------------------- */

/* The lists that a task is on. */
enum { BY_TASKS, BY_THREAD, LISTS };

enum { NEXT, PREV };

struct link {
	uint64_t to[2];
};

struct task {
	uint64_t gva, mm, files, signal;
	uint32_t flags, tgid;
	struct link links[LISTS];
};

static bool task_layout(struct attach_walk *walk)
{
	const struct kt_guest *g = walk->guest;
	const int32_t offsets[] = { g->task_mm,	  g->task_files, g->task_signal,     g->task_flags,
				    g->task_tgid, g->task_tasks, g->task_thread_node };

	return span_over(&walk->task_span, offsets, sizeof(offsets) / sizeof(offsets[0]),
			 TASK_OFFSET_MAX) &&
	       walk->task_span.len <= TASK_SPAN_MAX;
}

static struct link link_at(const struct span *span, const char *bytes, int32_t offset)
{
	return (struct link){ { span_u64(span, bytes, offset),
				span_u64(span, bytes, offset + 8) } };
}

static bool read_task(struct attach_walk *walk, uint64_t gva, struct task *task)
{
	const struct span *span = &walk->task_span;
	const struct kt_guest *g = walk->guest;
	char bytes[TASK_SPAN_MAX];

	if (!attach_read(walk, gva + span->from, bytes, span->len))
		return false;
	task->gva = gva;
	task->mm = span_u64(span, bytes, g->task_mm);
	task->files = span_u64(span, bytes, g->task_files);
	task->signal = span_u64(span, bytes, g->task_signal);
	task->flags = span_u32(span, bytes, g->task_flags);
	task->tgid = span_u32(span, bytes, g->task_tgid);
	task->links[BY_TASKS] = link_at(span, bytes, g->task_tasks);
	task->links[BY_THREAD] = link_at(span, bytes, g->task_thread_node);
	return true;
}

struct tasks {
	struct task *items;
	size_t count, size;
};

static bool tasks_push(struct attach_walk *walk, struct tasks *tasks, const struct task *task)
{
	if (tasks->count == tasks->size) {
		size_t size = tasks->size ? tasks->size * 2 : 64;
		struct task *items = reallocarray(tasks->items, size, sizeof(*items));

		if (!items) {
			walk->end = -ENOMEM;
			return false;
		}
		tasks->items = items;
		tasks->size = size;
	}
	tasks->items[tasks->count++] = *task;
	return true;
}

static void cleanup_tasks(struct tasks *tasks)
{
	free(tasks->items);
}

typedef bool (*task_fn)(struct attach_walk *walk, const struct task *task, struct tasks *tasks);

/*
 * Hands the tasks of the circular list at head to fn, from its front (way NEXT)
 * or its end (PREV). Each must point back to the one before it: list_del_rcu()
 * and the reuse of a freed task change prev, so a list that changes under the
 * walk, and a cycle beside the head, show. False: such a list, or fn said so.
 */
static bool walk_way(struct attach_walk *walk, uint64_t head, int list, int way, task_fn fn,
		     struct tasks *tasks)
{
	int32_t offset = list == BY_TASKS ? walk->guest->task_tasks : walk->guest->task_thread_node;
	uint64_t before = head, at;
	struct link link;

	if (!attach_read(walk, head, &link, sizeof(link)))
		return false;
	at = link.to[way];
	for (uint32_t i = 0; at != head; i++) {
		struct task task;

		if (i == TASKS_MAX || !read_task(walk, at - offset, &task) ||
		    task.links[list].to[!way] != before || !fn(walk, &task, tasks))
			return false;
		before = at;
		at = task.links[list].to[way];
	}
	return attach_read(walk, head, &link, sizeof(link)) && link.to[!way] == before;
}

/* A torn list is also walked from its other end: what lies behind the tear counts. */
static bool walk_tasks(struct attach_walk *walk, uint64_t head, int list, task_fn fn,
		       struct tasks *tasks)
{
	if (walk_way(walk, head, list, NEXT, fn, tasks))
		return true;
	walk_way(walk, head, list, PREV, fn, tasks);
	return false;
}

/* --- one process --------------------------------------------------------- */

/*
 * All descriptors of a files_struct. The table may be swapped for a bigger one
 * meanwhile (expand_fdtable()): then the walk was over a copy that grows stale.
 */
static bool scan_files(struct attach_walk *walk, uint64_t files)
{
	const struct kt_guest *g = walk->guest;
	uint64_t table, array, page[PAGE_SIZE / 8], again;
	uint32_t max;
	bool whole;

	if (!attach_read(walk, files + g->files_fdt, &table, sizeof(table)) ||
	    !attach_read(walk, table + g->fdt_max_fds, &max, sizeof(max)) ||
	    !attach_read(walk, table + g->fdt_fd, &array, sizeof(array)))
		return false;
	whole = max <= FDS_MAX;
	if (!whole)
		max = FDS_MAX;
	for (uint32_t fd = 0, part; fd < max; fd += part) {
		part = (PAGE_SIZE - (array + 8 * fd) % PAGE_SIZE + 7) / 8;
		if (part > max - fd)
			part = max - fd;
		if (part > PAGE_SIZE / 8)
			part = PAGE_SIZE / 8;
		if (!attach_read(walk, array + 8 * fd, page, 8 * part))
			return false;
		for (uint32_t i = 0; i < part; i++) {
			if (!page[i])
				continue;
			walk->descriptors++;
			if (!attach_report(walk, page[i], false))
				whole = false;
		}
	}
	return whole && attach_read(walk, files + g->files_fdt, &again, sizeof(again)) &&
	       again == table;
}

static bool collect_thread(struct attach_walk *walk, const struct task *task, struct tasks *tasks)
{
	if (task->signal != tasks->items[0].signal)
		return false;
	if (task->gva == tasks->items[0].gva || (!task->mm && !task->files))
		return true;
	return tasks_push(walk, tasks, task);
}

/* The thread that stands for its process: the first that has memory, else files. */
static const struct task *representative(const struct tasks *threads)
{
	const struct task *with_files = NULL;

	for (size_t i = 0; i < threads->count; i++) {
		if (threads->items[i].mm)
			return &threads->items[i];
		if (threads->items[i].files && !with_files)
			with_files = &threads->items[i];
	}
	return with_files;
}

/*
 * All threads are looked at, not one: each may have left the common descriptor
 * table (unshare(2), CLONE_FILES), and an exited leader has none. *alive: there
 * was something to see. False: the process changed under the walk.
 */
static bool scan_once(struct attach_walk *walk, const struct task *leader, bool *alive)
{
	_cleanup_(cleanup_tasks) struct tasks threads = { 0 };
	const struct task *stands;
	struct task now;
	bool whole;

	*alive = false;
	walk->descriptors = walk->mappings = 0;
	if (!read_task(walk, leader->gva, &now) || now.tgid != leader->tgid)
		return walk->reads_left; /* gone */
	if (!tasks_push(walk, &threads, &now))
		return false;
	whole = walk_tasks(walk, now.signal + walk->guest->signal_thread_head, BY_THREAD,
			   collect_thread, &threads);
	stands = representative(&threads);
	if (!stands)
		return whole; /* exited */
	*alive = true;
	walk->task = stands->gva;
	pair_set_clear(&walk->nodes);
	for (size_t i = 0; i < threads.count && !walk->end; i++) {
		uint64_t files = threads.items[i].files;

		if (files && add_new(walk, &walk->nodes, files, 0) && !scan_files(walk, files))
			whole = false;
	}
	if (stands->mm && !attach_mm(walk, stands->mm))
		whole = false;
	return whole;
}

static void scan_process(struct attach_walk *walk, const struct task *leader)
{
	bool alive = false, whole = false;

	pair_set_clear(&walk->judged);
	for (int i = 0; i < TRIES_MAX && !whole && !walk->end; i++)
		whole = scan_once(walk, leader, &alive);
	if (!whole)
		walk->result->incomplete++;
	if (!alive)
		return;
	walk->result->processes++;
	walk->result->descriptors += walk->descriptors;
	walk->result->mappings += walk->mappings;
}

/* --- all processes ------------------------------------------------------- */

/* A thread group of user space that is new to the scan; a reused task has another tgid. */
static bool collect_process(struct attach_walk *walk, const struct task *task, struct tasks *tasks)
{
	if (task->flags & PF_KTHREAD)
		return true;
	if (add_new(walk, &walk->known, task->gva, task->tgid))
		tasks_push(walk, tasks, task);
	return !walk->end;
}

/*
 * Round after round until one sees the whole list and nobody new in it: a child
 * of a process that had been looked at is the hooks' to follow, one of a process
 * that had not is found in the next round.
 */
static bool scan_processes(struct attach_walk *walk)
{
	uint64_t head = walk->guest->sym_init_task + walk->guest->task_tasks;
	_cleanup_(cleanup_tasks) struct tasks found = { 0 };

	for (int round = 0; round < ROUNDS_MAX; round++) {
		bool whole;

		found.count = 0;
		whole = walk_tasks(walk, head, BY_TASKS, collect_process, &found);
		for (size_t i = 0; i < found.count && !walk->end; i++)
			scan_process(walk, &found.items[i]);
		if (walk->end || (whole && !found.count))
			return true;
	}
	return false;
}

int attach_scan(struct guest_mem *mem, const struct guest_profile *profile, attach_scan_fn fn,
		void *ctx, struct attach_scan_result *out)
{
	struct attach_walk walk = {
		.mem = mem,
		.guest = &profile->guest,
		.fn = fn,
		.ctx = ctx,
		.result = out,
		.reads_left = READS_MAX,
	};

	*out = (struct attach_scan_result){ 0 };
	if (!task_layout(&walk) || !attach_mm_layout(&walk))
		return -EPROTO;
	if (!scan_processes(&walk))
		out->incomplete++;
	out->reads = READS_MAX - walk.reads_left;
	pair_set_free(&walk.known);
	pair_set_free(&walk.judged);
	pair_set_free(&walk.nodes);
	return walk.end;
}
