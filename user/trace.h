/* SPDX-License-Identifier: GPL-2.0 */
/* A running trace of one VM. */
#ifndef KVMTAINT_TRACE_H
#define KVMTAINT_TRACE_H

#include "engine.h"
#include "options.h"
#include "output.h"
#include "policy.h"
#include "record.h"
#include "target.h"
#include "trap.h"

/* What the loop waits for, beside the engine. */
struct trace_events {
	int signal_fd; /* INT, TERM, HUP */
	int pid_fd; /* readable when the VMM has ended */
	int timer_fd; /* once a second */
};

struct trace {
	const struct options *options;
	struct trace_events events;
	struct target target;
	int lock;
	struct policy *policy;
	const struct policy_dfa *dfa;
	struct record_context record;
	struct engine *engine;
	struct output *output;
	struct trap_set traps;
	bool planted;
	int changed_sites; /* last seen: traps that are not there any more */
};

/* Blocks the signals and opens all; STATUS_OK or what went wrong, told. */
enum exit_status trace_events_open(struct trace_events *events, pid_t pid);
void trace_events_close(struct trace_events *events);

/* Until a signal, the VM's end or the output's; *reason: of the stop record. */
enum exit_status trace_loop(struct trace *t, const char **reason);

#endif
