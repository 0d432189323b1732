/* SPDX-License-Identifier: GPL-2.0 */
/* What the engine's own files share. */
#ifndef KVMTAINT_ENGINE_INTERNAL_H
#define KVMTAINT_ENGINE_INTERNAL_H

#include <bpf/libbpf.h>

#include "engine.h"
#include "kvmtaint.skel.h"

struct engine {
	struct kvmtaint *skel;
	struct bpf_link *links[2];
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

	int guard_pipe;
	pid_t guard;
};

int engine_on_record(void *engine, void *data, size_t len);
int engine_on_deferred(void *engine, void *data, size_t len);

/* True when a signal has stopped the process. */
bool process_is_stopped(pid_t pid);

/*
 * The guard: a child that lets the VM go on should kvmtaint die while the
 * engine holds it for a page. 0 or -errno.
 */
int guard_start(struct engine *engine);
void guard_stop(struct engine *engine);

#endif
