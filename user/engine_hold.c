// SPDX-License-Identifier: GPL-2.0
/*
 * vCPUs that stand for a verdict: until the operator, or time, lets them go on.
 * Also what the engine cannot do itself when an event runs outside its vCPU.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cleanup.h"
#include "engine_internal.h"

#define STAND_WAIT_US  50
#define PF_IO_WORKER   0x00000010 /* include/linux/sched.h */
#define PF_USER_WORKER 0x00004000 /* since 6.4 (commit 54e6842d0775) */
#define STAND_WAIT_NS  5000000000ULL /* threads in the kernel's uninterruptible sleep come late */

/* An array map is laid out as one array, its elements rounded up to 8 bytes. */
_Static_assert(sizeof(struct kt_held) % 8 == 0, "struct kt_held is not the map's stride");

static size_t held_size(void)
{
	size_t page = sysconf(_SC_PAGESIZE), size = sizeof(struct kt_held) * KT_VCPUS_MAX;

	return (size + page - 1) / page * page;
}

int hold_open(struct engine *engine)
{
	void *at;

	if (!engine->skel->rodata->can_hold)
		return 0;
	at = mmap(NULL, held_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
		  bpf_map__fd(engine->skel->maps.held), 0);
	if (at == MAP_FAILED)
		return -errno;
	engine->held = at;
	return 0;
}

void hold_close(struct engine *engine)
{
	if (engine->held)
		munmap(engine->held, held_size());
	engine->held = NULL;
}

/* --- stopping a send from outside ---------------------------------------- */

/* Moves a word of the VMM's memory; true: all of it. */
static bool move_word(pid_t pid, const struct kt_write *write, uint64_t *value, bool out)
{
	struct iovec ours = { value, write->size };
	struct iovec theirs = { (void *)(uintptr_t)write->hva, write->size };
	ssize_t n = out ? process_vm_writev(pid, &ours, 1, &theirs, 1, 0)
			: process_vm_readv(pid, &ours, 1, &theirs, 1, 0);

	return n == (ssize_t)write->size;
}

/*
 * The addresses are those of the walk in the vCPU's event. They still hold: only
 * the VMM can change its memslots, and it stands.
 */
enum kt_obstacle hold_stop_send(pid_t pid, const struct kt_held *held)
{
	uint64_t now;

	if (held->obstacle && held->obstacle != KT_OBSTACLE_NOT_WRITABLE)
		return held->obstacle;
	for (uint32_t i = 0; i < held->write_count && i < KT_WRITES_MAX; i++) {
		now = 0;
		if (!move_word(pid, &held->writes[i], &now, false) || now != held->writes[i].old)
			return KT_OBSTACLE_CHANGED;
	}
	for (uint32_t i = 0; i < held->write_count && i < KT_WRITES_MAX; i++) {
		uint64_t fresh = held->writes[i].fresh;

		if (move_word(pid, &held->writes[i], &fresh, true))
			continue;
		/* All or nothing. */
		while (i--) {
			uint64_t old = held->writes[i].old;

			move_word(pid, &held->writes[i], &old, true);
		}
		return KT_OBSTACLE_NOT_WRITABLE;
	}
	return KT_OBSTACLE_NONE;
}

/* --- the table ------------------------------------------------------------ */

static void forget(struct engine *engine, struct kt_held *held)
{
	__atomic_store_n(&held->state, KT_HELD_NONE, __ATOMIC_SEQ_CST);
	__atomic_fetch_sub(&engine->skel->bss->held_count, 1, __ATOMIC_SEQ_CST);
}

bool engine_next_hold(struct engine *engine, uint32_t *vcpu, struct engine_hold *out)
{
	if (!engine->held || !__atomic_load_n(&engine->skel->bss->held_count, __ATOMIC_SEQ_CST))
		return false;
	for (uint32_t at = *vcpu; at < KT_VCPUS_MAX; at++) {
		struct kt_held *held = &engine->held[at];
		uint32_t state = __atomic_load_n(&held->state, __ATOMIC_SEQ_CST);

		if (state < KT_HELD_LEAK || !__atomic_load_n(&held->seq, __ATOMIC_SEQ_CST))
			continue;
		*out = (struct engine_hold){
			.vcpu = at,
			.seq = held->seq,
			.hook_ns = held->hook_ns,
			.leak = state == KT_HELD_LEAK,
			.failed = state == KT_HELD_FAILED,
			.obstacle = held->obstacle,
		};
		*vcpu = at + 1;
		return true;
	}
	return false;
}

enum kt_obstacle engine_release(struct engine *engine, uint32_t vcpu, bool stop)
{
	struct kt_held *held = &engine->held[vcpu];
	enum kt_obstacle obstacle = KT_OBSTACLE_NONE;

	if (stop && held->state == KT_HELD_LEAK)
		obstacle = hold_stop_send(engine->pid, held);
	if (!obstacle)
		forget(engine, held);
	return obstacle;
}

void hold_release_all(struct engine *engine, bool stop)
{
	for (uint32_t at = 0; engine->held && at < KT_VCPUS_MAX; at++) {
		struct kt_held *held = &engine->held[at];

		if (held->state == KT_HELD_NONE)
			continue;
		if (stop && (held->state == KT_HELD_LEAK || held->state == KT_HELD_ASKED))
			hold_stop_send(engine->pid, held);
		forget(engine, held);
	}
}

/* A blocked send of the slow path: done here, or the VM stands on. */
void hold_serve_asked(struct engine *engine, uint32_t vcpu)
{
	struct kt_held *held = engine->held && vcpu < KT_VCPUS_MAX ? &engine->held[vcpu] : NULL;
	struct kt_record record;
	uint32_t zero = 0;

	if (!held || held->state != KT_HELD_ASKED ||
	    bpf_map_lookup_elem(bpf_map__fd(engine->skel->maps.asked), &zero, &record))
		return;
	record.obstacle = hold_stop_send(engine->pid, held);
	record.verdict = record.obstacle ? KT_VERDICT_PAUSED : KT_VERDICT_BLOCKED;
	record.time_ns = engine_now_ns();
	if (engine->record_fn)
		engine->record_fn(engine->record_ctx, &record,
				  offsetof(struct kt_record, path) + record.path_len);
	if (!record.obstacle) {
		forget(engine, held);
		return;
	}
	held->obstacle = record.obstacle;
	held->seq = record.seq;
	__atomic_store_n(&held->state, KT_HELD_LEAK, __ATOMIC_SEQ_CST);
}

/* --- standing -------------------------------------------------------------- */

bool hold_may_go_on(struct engine *engine)
{
	struct kvmtaint__bss *bss = engine->skel->bss;

	return (bss->stops_sent || bss->holds_sent) &&
	       !__atomic_load_n(&bss->held_count, __ATOMIC_SEQ_CST) &&
	       !__atomic_load_n(&bss->stopped_by_others, __ATOMIC_SEQ_CST);
}

/*
 * Whether a thread of the process runs, or could; one that is gone does not. What
 * the kernel runs in the process's name (io_uring, vhost) never enters the guest.
 */
static bool thread_runs(pid_t pid, const char *tid)
{
	char path[300], line[512] = "", *rest, state;
	_cleanup_fclose_ FILE *f = NULL;
	unsigned int flags;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, tid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return false;
	rest = strrchr(line, ')');
	/* proc(5): state, ppid, pgrp, session, tty_nr, tpgid, flags */
	if (!rest || sscanf(rest + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
		return false;
	return !(flags & (PF_IO_WORKER | PF_USER_WORKER)) && !strchr("TtZX", state);
}

static bool all_stand(pid_t pid)
{
	struct dirent *entry;
	char path[64];
	bool runs = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!runs && (entry = readdir(dir)))
		runs = entry->d_name[0] != '.' && thread_runs(pid, entry->d_name);
	closedir(dir);
	return !runs;
}

uint64_t engine_wait_standstill(struct engine *engine)
{
	uint64_t first = engine_now_ns(), began;

	do {
		began = engine_now_ns();
		if (all_stand(engine->pid))
			return began;
		usleep(STAND_WAIT_US);
	} while (engine_now_ns() - first < STAND_WAIT_NS);
	return 0;
}
