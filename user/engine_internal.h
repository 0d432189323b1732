/* SPDX-License-Identifier: GPL-2.0 */
/* What the engine's own files share. */
#ifndef KVMTAINT_ENGINE_INTERNAL_H
#define KVMTAINT_ENGINE_INTERNAL_H

#include <bpf/libbpf.h>

#include "engine.h"
#include "kvmtaint.skel.h"

struct engine {
	struct kvmtaint *skel;
	struct bpf_link *links[3];
	struct ring_buffer *records;
	struct ring_buffer *deferred;
	int epoll;
	char *pin_dir;
	pid_t pid; /* of the VMM */
	uint64_t percpu_base[KT_VCPUS_MAX]; /* as the map has it */

	engine_record_fn record_fn;
	void *record_ctx;
	uint64_t recursion_misses;
	uint64_t stops_ended; /* how many of the engine's stops have been served */
	uint64_t let_go_ns; /* when the VM was last let go, CLOCK_MONOTONIC; 0: long ago */
	struct kt_held *held; /* the map, by vCPU; NULL: nothing is ever held */
	bool stop_if_orphaned;

	int guard_pipe;
	pid_t guard;
};

int engine_on_record(void *engine, void *data, size_t len);
int engine_on_deferred(void *engine, void *data, size_t len);

/* True when a signal has stopped the process. */
bool process_is_stopped(pid_t pid);

/* CLOCK_MONOTONIC, ns. */
uint64_t engine_now_ns(void);

/* user/engine_hold.c: maps the table of vCPUs that stand; 0 or -errno. */
int hold_open(struct engine *engine);
void hold_close(struct engine *engine);

/* Does to a send what block does, from outside; the VM stands. */
enum kt_obstacle hold_stop_send(pid_t pid, const struct kt_held *held);

/* Carries out what the engine asked for in the slow path of a vCPU's event. */
void hold_serve_asked(struct engine *engine, uint32_t vcpu);

/* Lets all vCPUs go on, with what they were to send stopped where it can be. */
void hold_release_all(struct engine *engine, bool stop);

/* Whether the engine ever stopped the VM, and neither it nor anybody else wants it to stand. */
bool hold_may_go_on(struct engine *engine);

/*
 * The guard: a child that lets the VM go on should kvmtaint die while the
 * engine holds it for a page. 0 or -errno.
 */
int guard_start(struct engine *engine);
void guard_stop(struct engine *engine);

#endif
