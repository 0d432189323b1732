/* SPDX-License-Identifier: GPL-2.0 */
/* A running trace of one VM. */
#ifndef KVMTAINT_TRACE_H
#define KVMTAINT_TRACE_H

#include "boot_watch.h"
#include "engine.h"
#include "options.h"
#include "output.h"
#include "policy.h"
#include "record.h"
#include "shim.h"
#include "target.h"
#include "trap.h"

/* What the loop waits for, beside the engine. */
struct trace_events {
	int signal_fd; /* INT, TERM, HUP */
	int pid_fd; /* readable when the VMM has ended */
	int timer_fd; /* once a second */
	int look_fd; /* when trace_guest_look() wants to be called again */
};

/* The guest's kernel, as far as it is known (user/trace_guest.c). */
struct trace_guest {
	struct boot_watch *watch;
	uint64_t seen_lstar[KT_VCPUS_MAX]; /* of each vCPU, when last looked at */
	uint32_t newest; /* on which vCPU it changed last; KT_VCPUS_MAX: none */
	uint64_t looked_ns; /* CLOCK_MONOTONIC */

	bool armed, ever_armed; /* this kernel; any */
	uint64_t armed_count; /* kernels so far */
	uint64_t lstar; /* of the armed kernel; 0: not known */
	uint64_t mark; /* init_task's stack canary: another one at each boot */
	uint64_t clock; /* jiffies_64 when last looked at */
	unsigned char told[KT_SITES_MAX][TRAP_LEN]; /* bytes of a site that records told of */

	uint64_t waiting_ns; /* since when a kernel is there that cannot be armed; 0: none */
	bool refusal_told;
};

/* vCPUs that stand for a verdict (user/trace_pause.c). */
struct trace_pause {
	int control_fd; /* `kvmtaint resume` comes here; -1: not open */
	uint64_t told[KT_VCPUS_MAX]; /* seq of the record for which it was last told to stand */
	uint64_t since_ns[KT_VCPUS_MAX]; /* since when it stands, CLOCK_MONOTONIC */
};

struct trace {
	const struct options *options;
	struct trace_events events;
	struct target target;
	int lock;
	struct policy *policy;
	const struct policy_dfa *dfa;
	const struct kt_sink_rule *sinks; /* of policy */
	uint32_t sink_count;
	struct record_context record;
	struct wires wires; /* shared with the other VMs of this host */
	struct engine *engine; /* NULL: no kernel is armed */
	struct engine *polled; /* whose records the loop waits for */
	struct engine_kept kept; /* of the engines before */
	struct output *output;
	struct trap_set traps; /* --trap patch */
	int shim; /* the others: the device; -1: not opened */
	bool started; /* the start record is out */
	bool planted; /* either kind of trap is in */
	struct trace_guest guest;
	struct trace_pause pause;
};

/* How an attempt to arm went wrong; all zero: it did not. */
struct trace_failure {
	enum exit_status status;
	bool early; /* the kernel is not there yet: it may well go right later */
	char why[600];
};

#define trace_fail(failure, code, ...)                                                             \
	((failure)->status = (code), snprintf((failure)->why, sizeof((failure)->why), __VA_ARGS__))

/* The number of the next record that user space makes; ctx: the trace. */
uint64_t trace_next_seq(void *ctx);

/* Blocks the signals and opens all; STATUS_OK or what went wrong, told. */
enum exit_status trace_events_open(struct trace_events *events, pid_t pid);
void trace_events_close(struct trace_events *events);

/* Until a signal, the VM's end or the output's; *reason: of the stop record. */
enum exit_status trace_loop(struct trace *t, const char **reason);

/*
 * Arms the kernel that runs, or begins to wait for one, and queues the start
 * record. STATUS_OK or what went wrong, told; t->started: the record is queued.
 */
enum exit_status trace_guest_begin(struct trace *t);
void trace_guest_close(struct trace *t);

/*
 * Looks whether the armed kernel still runs, or whether one runs that can be
 * armed, and does what follows. Called once a second, when a CPU set up its
 * system calls, and when look_fd says so.
 */
enum exit_status trace_guest_look(struct trace *t);

/* A CPU set up its system calls: looks now, or soon when it has just looked. */
enum exit_status trace_guest_wake(struct trace *t);

/* Once a second: traps, CPUs, the kernel. */
enum exit_status trace_guest_every_second(struct trace *t);

struct guest_record;

/* Queues a guest record. */
enum exit_status trace_guest_say(struct trace *t, const struct guest_record *guest);

/* --- the traps of either kind (user/trace_traps.c) --- */

/* Opens what the kind needs, before there is a kernel to trap. */
enum exit_status trace_traps_open(struct trace *t);
void trace_traps_close(struct trace *t);

/* Leaves the hooks in the profile that are to be trapped; what will not be seen is told. */
void trace_traps_choose(struct trace *t);

/* *held_ns: for how long the VM stood still for it. */
void trace_traps_set(struct trace *t, uint64_t *held_ns, struct trace_failure *failure);

/* The kernel is gone. Patched traps stay where they are: that memory may hold anything by now. */
void trace_traps_forget(struct trace *t);

/* How many traps are not as they should be; negative: it cannot be known now. */
int trace_traps_verify(struct trace *t);

/* Tells of them, and puts them back where that does no harm. */
enum exit_status trace_traps_tell(struct trace *t, int changed);

/* --- a VM that stands for a verdict (user/trace_pause.c) --- */

/* Listens for `kvmtaint resume`. STATUS_OK or what went wrong, told. */
enum exit_status trace_pause_open(struct trace *t);
void trace_pause_close(struct trace *t);

/* After a drain: tells of vCPUs that stand now. */
void trace_pause_look(struct trace *t);
void trace_pause_every_second(struct trace *t);

/* `kvmtaint resume` asks. */
void trace_pause_serve(struct trace *t);

/* The trace ends: whatever stands may go on when the engine is gone. */
void trace_pause_end(struct trace *t);

/* Takes the traps out, where there are any. */
enum exit_status trace_traps_remove(struct trace *t);

#endif
