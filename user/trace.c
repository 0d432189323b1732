// SPDX-License-Identifier: GPL-2.0
/* `kvmtaint --vm PID`: everything set up in order, and taken down in reverse. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "pin_dir.h"
#include "trace.h"
#include "vm_lock.h"

static enum exit_status load_policy(struct trace *t)
{
	const struct options *o = t->options;
	char err[600] = "out of memory";
	size_t i;
	int rc = 0;

	t->policy = policy_new();
	if (!t->policy)
		return status_fail(STATUS_INTERNAL, "out of memory");
	for (i = 0; !rc && i < o->secret_count; i++)
		rc = policy_add(t->policy, o->secrets[i], err, sizeof(err));
	for (i = 0; !rc && i < o->policy_file_count; i++)
		rc = policy_add_file(t->policy, o->policy_files[i], err, sizeof(err));
	if (!rc &&
	    (o->want_default || (!o->no_default && !o->secret_count && !o->policy_file_count)))
		rc = policy_add_default(t->policy, err, sizeof(err));
	for (i = 0; !rc && i < o->sink_count; i++)
		rc = policy_add_sink(t->policy, o->sinks[i], err, sizeof(err));
	if (!rc)
		rc = policy_sinks(t->policy, o->on_leak ? o->on_leak : KT_VERDICT_REPORTED,
				  &t->sinks, &t->sink_count, err, sizeof(err));
	if (!rc)
		rc = policy_compile(t->policy, &t->dfa, err, sizeof(err));
	return rc ? status_fail(STATUS_POLICY, "%s", err) : STATUS_OK;
}

static enum exit_status find_vm(struct trace *t)
{
	enum exit_status status = target_open_vm(&t->target, t->options);

	if (status)
		return status;
	t->wires = (struct wires){
		.dir = PIN_SHARED,
		.pid = t->options->pid,
		.name = t->target.vm->name,
		.policy = t->policy,
		.max = t->options->wires_max,
	};
	t->record = (struct record_context){
		.format = t->options->format,
		.trap = t->options->trap,
		.vm_pid = t->options->pid,
		.vm_name = t->target.vm->name,
		.policy = t->policy,
		.wires = &t->wires,
		.clock_offset_ns = record_clock_offset(),
	};
	return trace_events_open(&t->events, t->options->pid);
}

static enum exit_status take_lock(struct trace *t)
{
	char err[256] = "";

	t->lock = vm_lock_take(t->options->pid, err, sizeof(err));
	if (t->lock >= 0)
		return STATUS_OK;
	return status_fail(t->lock == -EEXIST ? STATUS_LOCKED : STATUS_PERMISSION, "%s", err);
}

/* While stdout's reader is slow: the VM may be waiting for the engine's slow path, or be paused. */
static void keep_serving(void *ctx)
{
	struct trace *t = ctx;

	if (!t->engine)
		return;
	engine_drain(t->engine, output_take, t->output);
	trace_pause_serve(t);
	trace_pause_every_second(t);
}

uint64_t trace_next_seq(void *ctx)
{
	struct trace *t = ctx;

	return t->engine ? engine_next_seq(t->engine) : ++t->kept.seq;
}

static enum exit_status open_output(struct trace *t)
{
	struct output_options opt = {
		.record = &t->record,
		.path = t->options->output,
		.use_stdout = !t->options->quiet,
		.abort_fd = t->events.signal_fd,
		.next_seq = trace_next_seq,
		.next_seq_ctx = t,
		.idle = keep_serving,
		.idle_ctx = t,
	};
	char err[512] = "";

	if (output_open(&opt, &t->output, err, sizeof(err)))
		return status_fail(STATUS_OUTPUT, "%s", err);
	return STATUS_OK;
}

/* The last records, and how it was. */
static enum exit_status finish(struct trace *t, const char *reason)
{
	uint64_t counters[KT_COUNT_MAX] = {}, seq;
	int rc;

	if (t->engine) {
		engine_drain(t->engine, output_take, t->output);
		engine_counters(t->engine, counters);
	} else {
		engine_kept_counters(&t->kept, counters);
	}
	seq = trace_next_seq(t);
	output_queue(t->output, seq, record_stop_line(&t->record, seq, reason, counters));
	rc = output_flush(t->output, true);
	if (rc == -EPIPE || rc == -ETIMEDOUT)
		return STATUS_STDOUT;
	return rc || output_file_lost(t->output) ? STATUS_OUTPUT : STATUS_OK;
}

/* The first thing that went wrong is the one that is told. */
static enum exit_status first_of(enum exit_status a, enum exit_status b)
{
	return a ? a : b;
}

static enum exit_status run(struct trace *t)
{
	const char *reason = "error";
	enum exit_status status = trace_guest_begin(t);

	if (!t->started)
		return status;
	if (!status)
		status = trace_loop(t, &reason);
	trace_pause_end(t);
	status = first_of(status, trace_traps_remove(t));
	return first_of(status, finish(t, reason));
}

enum exit_status command_trace(const struct options *options)
{
	static enum exit_status (*const steps[])(struct trace *) = {
		load_policy, find_vm,	       take_lock, trace_traps_open,
		open_output, trace_pause_open, run,
	};
	struct trace t = { .options = options, .lock = -1, .shim = -1, .pause.control_fd = -1 };
	enum exit_status status = STATUS_OK;
	size_t i;

	for (i = 0; !status && i < sizeof(steps) / sizeof(steps[0]); i++)
		status = steps[i](&t);
	/* What it held back may still make records. */
	engine_free(t.engine);
	output_free(t.output);
	engine_kept_deinit(&t.kept);
	wires_leave(&t.wires);
	trace_guest_close(&t);
	trace_traps_close(&t);
	trace_pause_close(&t);
	trace_events_close(&t.events);
	policy_free(t.policy);
	target_close(&t.target);
	vm_lock_release(options->pid, t.lock);
	return status;
}
