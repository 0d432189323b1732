// SPDX-License-Identifier: GPL-2.0
/* `kvmtaint --vm PID`: everything set up in order, and taken down in reverse. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach_scan.h"
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
	if (!rc)
		rc = policy_compile(t->policy, &t->dfa, err, sizeof(err));
	return rc ? status_fail(STATUS_POLICY, "%s", err) : STATUS_OK;
}

static enum exit_status find_vm(struct trace *t)
{
	enum exit_status status = target_open_vm(&t->target, t->options);

	if (status)
		return status;
	t->record = (struct record_context){
		.format = t->options->format,
		.vm_pid = t->options->pid,
		.vm_name = t->target.vm->name,
		.policy = t->policy,
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

static void tell_unseen(const struct guest_profile *profile)
{
	char buf[120];

	for (size_t h = 0; h < KT_HOOK_MAX; h++) {
		const char *unseen = profile_unseen(profile, h, buf, sizeof(buf));

		if (unseen)
			status_fail(STATUS_OK, "no trap for %s in this guest; not seen: %s",
				    profile_hook_name(h), unseen);
	}
}

static enum exit_status read_profile(struct trace *t)
{
	const struct options *o = t->options;
	int rc = target_profile(&t->target);

	if (rc)
		return status_fail(status_of_profile(rc), "%s", target_profile_error(&t->target));
	for (size_t i = 0; i < o->without_hook_count; i++)
		t->target.profile->hooks[profile_hook_id(o->without_hooks[i])] =
			(struct profile_hook){};
	tell_unseen(t->target.profile);
	return STATUS_OK;
}

static enum exit_status load_engine(struct trace *t)
{
	char pin_dir[64], err[512] = "";
	struct engine_options opt = {
		.vm = t->target.vm,
		.profile = t->target.profile,
		.dfa = t->dfa,
		.mem = t->target.mem,
		.objects_max = t->options->objects_max,
		.readers_max = t->options->readers_max,
		.pin_dir = pin_dir,
		.follow_arguments = t->options->follow_arguments,
	};
	int rc = pin_dir_prepare(t->options->pid, pin_dir, sizeof(pin_dir), err, sizeof(err));

	if (!rc)
		rc = engine_load(&opt, &t->engine, err, sizeof(err));
	if (!rc)
		return STATUS_OK;
	return status_fail(rc == -EPERM || rc == -EACCES ? STATUS_PERMISSION : STATUS_HOST, "%s",
			   err);
}

/* While stdout's reader is slow: the VM may be waiting for the engine's slow path. */
static void keep_draining(void *ctx)
{
	struct trace *t = ctx;

	engine_drain(t->engine, output_take, t->output);
}

static enum exit_status open_output(struct trace *t)
{
	struct output_options opt = {
		.record = &t->record,
		.path = t->options->output,
		.use_stdout = !t->options->quiet,
		.abort_fd = t->events.signal_fd,
		.next_seq = engine_next_seq,
		.next_seq_ctx = t->engine,
		.idle = keep_draining,
		.idle_ctx = t,
	};
	char err[512] = "";

	if (output_open(&opt, &t->output, err, sizeof(err)))
		return status_fail(STATUS_OUTPUT, "%s", err);
	return STATUS_OK;
}

static int tell_engine(void *ctx, gva_t task, gva_t file, bool shared_writable)
{
	struct trace *t = ctx;

	int rc = engine_before_attach(t->engine, task, file, shared_writable, false);

	/* The traps are armed: the VM may be waiting for a page meanwhile. */
	engine_drain(t->engine, output_take, t->output);
	return rc;
}

/* Who held classified files before the traps: what is not seen whole is said. */
static void scan_guest(struct trace *t)
{
	struct attach_scan_result seen;
	int rc;

	if (t->options->no_scan)
		return;
	rc = attach_scan(t->target.mem, t->target.profile, tell_engine, t, &seen);
	if (rc == -EOPNOTSUPP)
		status_fail(STATUS_OK, "who held classified files before is not known: the host's"
			    " /proc/kallsyms shows no page_offset_base (CONFIG_KALLSYMS_ALL,"
			    " kernel.kptr_restrict); --no-scan does without");
	else if (rc)
		status_fail(STATUS_OK, "who held classified files before is not fully known: %s",
			    strerror(-rc));
	if (rc || seen.incomplete)
		output_lost(t->output, "before_attach", seen.incomplete ? seen.incomplete : 1);
	if (t->options->verbose)
		fprintf(stderr,
			"kvmtaint: %llu processes looked at, %llu open and %llu mapped"
			" files\n",
			(unsigned long long)seen.processes, (unsigned long long)seen.descriptors,
			(unsigned long long)seen.mappings);
}

static enum exit_status plant(struct trace *t)
{
	char err[512] = "";
	uint64_t seq, held_ns = 0;
	int rc;

	/* The first number, although the line tells how long planting took. */
	seq = engine_next_seq(t->engine);
	trap_set_init(&t->traps, t->options->pid, t->target.mem, t->target.profile);
	rc = trap_plant(&t->traps, &held_ns, err, sizeof(err));
	if (rc)
		return status_fail(rc == -EBUSY && strstr(err, "NOP") ? STATUS_HOOK_IN_USE
								      : status_of_standstill(rc),
				   "%s", err);
	t->planted = true;
	if (t->options->verbose)
		fprintf(stderr, "kvmtaint: %zu traps planted, the VM stood still for %llu us\n",
			t->traps.count, (unsigned long long)held_ns / 1000);
	if (output_queue(t->output, seq,
			 record_start_line(&t->record, seq, t->target.profile, held_ns)))
		return status_fail(STATUS_INTERNAL, "out of memory");
	scan_guest(t);
	return STATUS_OK;
}

static enum exit_status unplant(struct trace *t)
{
	char err[512] = "";
	int rc;

	if (!t->planted)
		return STATUS_OK;
	rc = trap_remove(&t->traps, NULL, NULL, err, sizeof(err));
	if (rc && rc != -ESRCH)
		return status_fail(STATUS_TRAPS,
				   "the traps stay in the guest, where they do no harm:"
				   " %s; later: kvmtaint release --vm %d",
				   err, t->options->pid);
	return STATUS_OK;
}

/* The last records, and how it was. */
static enum exit_status finish(struct trace *t, const char *reason)
{
	uint64_t counters[KT_COUNT_MAX] = {}, seq;
	int rc;

	engine_drain(t->engine, output_take, t->output);
	engine_counters(t->engine, counters);
	seq = engine_next_seq(t->engine);
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
	enum exit_status status = plant(t);

	if (!t->planted)
		return status;
	if (!status)
		status = trace_loop(t, &reason);
	status = first_of(status, unplant(t));
	return first_of(status, finish(t, reason));
}

enum exit_status command_trace(const struct options *options)
{
	static enum exit_status (*const steps[])(struct trace *) = {
		load_policy, find_vm, take_lock, read_profile, load_engine, open_output, run,
	};
	struct trace t = { .options = options, .lock = -1 };
	enum exit_status status = STATUS_OK;
	size_t i;

	for (i = 0; !status && i < sizeof(steps) / sizeof(steps[0]); i++)
		status = steps[i](&t);
	output_free(t.output);
	engine_free(t.engine);
	trace_events_close(&t.events);
	policy_free(t.policy);
	target_close(&t.target);
	vm_lock_release(options->pid, t.lock);
	return status;
}
