/* SPDX-License-Identifier: GPL-2.0 */
/* The BPF engine: loaded for one VM and one guest kernel, its maps pinned, its records drained. */
#ifndef KVMTAINT_ENGINE_H
#define KVMTAINT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/kvmtaint.h"
#include "breakpoints.h"
#include "guest_mem.h"
#include "policy.h"
#include "profile.h"
#include "vm.h"
#include "wires.h"

struct engine;

/*
 * What outlives a guest kernel, between the engine for one and that for the next:
 * the managed files, the counters, and how far seq is. All zero: nothing yet.
 */
struct engine_kept {
	int files, counters; /* maps; 0: none */
	char *pin_dir;
	uint64_t seq; /* the last one given */
	uint64_t overflow_labels; /* of files that their set could not take */
	uint64_t overflow_cause;
	uint32_t policy_epoch;
};

struct engine_options {
	const struct vm_info *vm; /* NULL: no VM, as in the native tests */
	const struct guest_profile *profile;
	const struct policy_dfa *dfa; /* NULL: no policy */
	struct guest_mem *mem;
	enum trap_kind trap;
	uint32_t objects_max; /* that one set may hold; 0: each set's own default */
	bool follow_arguments; /* reading /proc/PID/cmdline and environ is a flow */
	enum kt_terminals terminals; /* what of a terminal is a flow */
	uint32_t readers_max; /* threads that may be known as readers; 0: 65,536 */
	const char *pin_dir; /* where to pin the maps; NULL: nowhere */
	const struct engine_kept *kept; /* of the engine before; NULL: none */
	struct wires *wires; /* shared with other VMs; NULL: nothing */
	/* Verdicts. Only what these ask for is loaded. */
	const struct kt_sink_rule *sinks; /* the first that fits decides; none: report */
	uint32_t sink_count;
	bool pause_on_spread; /* the VM stands at the first touch of each label */
	bool tell_allowed; /* a record for each allowed send */
	bool stop_if_orphaned; /* should kvmtaint be killed, what waits is stopped, not sent */
	/* Of benchmarks: a file with the types of an AMD host that is made up; NULL: this host. */
	const char *host_btf;
};

/*
 * Loads the engine; with a VM, attaches it to KVM's tracepoints. From then on
 * every trap is acted on. 0; or -errno with one clear line in err.
 */
int engine_load(const struct engine_options *opt, struct engine **out, char *err, size_t err_len);

/* Detaches and unpins. A VM that waits for a page goes on. NULL is fine. */
void engine_free(struct engine *engine);

/*
 * Ends the engine as its guest kernel is gone, and keeps what outlives it; drain
 * it before. 0 or -errno, and then nothing was kept; engine is freed in both cases.
 */
int engine_retire(struct engine *engine, struct engine_kept *kept);

/* Frees what was kept, and unpins it. */
void engine_kept_deinit(struct engine_kept *kept);

/* Readable when records wait; stays with the engine. */
int engine_fd(struct engine *engine);

/* One record of len bytes; the path may be cut short. Negative ends the drain. */
typedef int (*engine_record_fn)(void *ctx, const struct kt_record *record, size_t len);

/* Hands all waiting records to fn. Number of records, or fn's negative value. */
int engine_drain(struct engine *engine, engine_record_fn fn, void *ctx);

/* The next number of the sequence that BPF's own records take theirs from. */
uint64_t engine_next_seq(void *engine);

/* Gives back a number that was not used; false: a later one is in use. */
bool engine_return_seq(struct engine *engine, uint64_t seq);

/* Sums of all CPUs. 0 or -errno. */
int engine_counters(struct engine *engine, uint64_t out[KT_COUNT_MAX]);
int engine_kept_counters(const struct engine_kept *kept, uint64_t out[KT_COUNT_MAX]);

/*
 * Where each guest CPU's own memory is, by APIC id, as the profile tells it now;
 * 0: no such CPU. 0 or -errno.
 */
int engine_set_cpus(struct engine *engine, const uint64_t percpu_base[KT_VCPUS_MAX]);

/* What the guest's modules look like, as the profile tells it now. */
void engine_set_modules(struct engine *engine, const struct kt_modules *modules);

/* The guest's state was set back (loadvm): forgets what was remembered for speed. 0 or -errno. */
int engine_forget_caches(struct engine *engine);

/*
 * Once a second: events that the kernel skipped because a program was already
 * running on the CPU (recursion_misses), since the last call; each may be a
 * missed flow. 0 or more, or -errno.
 */
int64_t engine_tick(struct engine *engine);

/*
 * Runs the handler of input->site over these registers, outside a vCPU: guest
 * memory comes from the VMM's page tables, or with own_memory from the caller's
 * own mapping (native tests). Threads may replay at the same time, each for a
 * vCPU of its own. 0, or -errno; input->result and fault are the event's (enum
 * kt_lost; 0: done).
 */
int engine_replay(struct engine *engine, struct kt_deferred *input, bool own_memory);

/*
 * Tells the engine that before it was attached a process (its task_struct) had
 * a file open or mapped; writable: mapped shared and writable. What cannot be
 * read is a lost record of the drain that follows. 0 or -errno; -EOPNOTSUPP:
 * this host hides where its direct map is, so nothing can be read from here.
 */
int engine_before_attach(struct engine *engine, gva_t task, gva_t file, bool writable,
			 bool own_memory);

/* A vCPU that stands for a verdict (user/engine_hold.c). */
struct engine_hold {
	uint32_t vcpu;
	uint64_t seq; /* of the leak or spread record */
	uint64_t hook_ns; /* CLOCK_MONOTONIC, when the decision fell */
	bool leak; /* it stands before a send */
	bool failed; /* it was to stand, as record seq says, and does not */
	enum kt_obstacle obstacle; /* why the send cannot be stopped */
};

/* The first vCPU from *vcpu on that stands, and *vcpu behind it; false: none. */
bool engine_next_hold(struct engine *engine, uint32_t *vcpu, struct engine_hold *out);

/* Waits until every thread of the VMM stands. CLOCK_MONOTONIC ns; 0: it does not. */
uint64_t engine_wait_standstill(struct engine *engine);

/*
 * Lets a vCPU go on; it does when engine_go_on() is called. stop: what it was to
 * send stays here. enum kt_obstacle: why that cannot be, and then it stands on.
 */
enum kt_obstacle engine_release(struct engine *engine, uint32_t vcpu, bool stop);

/* The VM goes on, unless something else holds it: another vCPU, or whoever else stopped it. */
void engine_go_on(struct engine *engine);

/* File descriptor of a map by name, for tests; -ENOENT. */
int engine_map_fd(struct engine *engine, const char *name);

#endif
