// SPDX-License-Identifier: GPL-2.0
/*
 * A VM that stands for a verdict: told of when it does, and let go on by the
 * operator (`kvmtaint resume`), by time, or because the trace ends.
 */
#include <stdio.h>
#include <string.h>

#include "control.h"
#include "trace.h"

static void say(struct trace *t, const struct pause_record *pause)
{
	uint64_t seq = trace_next_seq(t);

	output_queue(t->output, seq, record_pause_line(&t->record, seq, pause));
}

/* Whether the pause for record seq was told of; from now on it is. */
static bool was_told(struct trace_pause *p, const struct engine_hold *hold)
{
	bool told = p->told[hold->vcpu] == hold->seq;

	p->told[hold->vcpu] = hold->seq;
	return told;
}

void trace_pause_look(struct trace *t)
{
	struct engine_hold hold;
	uint32_t vcpu = 0;

	while (t->engine && engine_next_hold(t->engine, &vcpu, &hold)) {
		struct pause_record pause = {
			.cause = hold.seq,
			.vcpu = hold.vcpu,
			.verdict = KT_VERDICT_PAUSED,
		};
		uint64_t stood;

		if (was_told(&t->pause, &hold))
			continue;
		stood = hold.failed ? 0 : engine_wait_standstill(t->engine);
		if (stood) {
			pause.ns = stood > hold.hook_ns ? stood - hold.hook_ns : 0;
			t->pause.since_ns[hold.vcpu] = stood;
		} else {
			pause.verdict = KT_VERDICT_FAILED;
			pause.obstacle = hold.failed ? KT_OBSTACLE_NOT_STOPPED
						     : KT_OBSTACLE_RUNNING;
			t->pause.since_ns[hold.vcpu] = record_now();
		}
		say(t, &pause);
		if (hold.failed)
			engine_release(t->engine, hold.vcpu, false);
	}
}

/* One vCPU; false: it stands on, because what it was to send cannot be stopped. */
static bool release(struct trace *t, const struct engine_hold *hold, bool allow, const char *by,
		    bool insist, enum kt_obstacle *obstacle)
{
	struct pause_record pause = {
		.resumed = true,
		.cause = hold->seq,
		.vcpu = hold->vcpu,
		.by = by,
		.ns = record_now() - t->pause.since_ns[hold->vcpu],
		.verdict = allow || !hold->leak ? KT_VERDICT_ALLOWED : KT_VERDICT_BLOCKED,
	};

	*obstacle = engine_release(t->engine, hold->vcpu, !allow && hold->leak);
	if (*obstacle) {
		pause.verdict = KT_VERDICT_FAILED;
		pause.obstacle = *obstacle;
		if (!insist)
			return false;
		engine_release(t->engine, hold->vcpu, false);
	}
	say(t, &pause);
	return true;
}

struct released {
	unsigned int on, stuck; /* vCPUs */
	enum kt_obstacle obstacle; /* of those that are stuck */
};

/* All that stand since before (CLOCK_MONOTONIC ns). insist: even what cannot be stopped. */
static struct released release_all(struct trace *t, bool allow, const char *by, bool insist,
				   uint64_t before)
{
	struct released result = {};
	struct engine_hold hold;
	uint32_t vcpu = 0;

	trace_pause_look(t);
	while (t->engine && engine_next_hold(t->engine, &vcpu, &hold)) {
		enum kt_obstacle obstacle;

		if (t->pause.since_ns[hold.vcpu] > before)
			continue;
		if (release(t, &hold, allow, by, insist, &obstacle)) {
			result.on++;
		} else {
			result.stuck++;
			result.obstacle = obstacle;
		}
	}
	return result;
}

static void answer(void *ctx, const char *request, char *text)
{
	struct trace *t = ctx;
	bool allow = !strcmp(request, "allow-once");
	struct released released = {};

	if (allow || !strcmp(request, "resume"))
		released = release_all(t, allow, "operator", false, UINT64_MAX);
	if (released.stuck)
		snprintf(
			text, CONTROL_LEN,
			"stands what the VM stands before cannot be stopped (%s); --allow-once lets"
			" it leave",
			record_obstacle_name(released.obstacle));
	else if (released.on)
		snprintf(text, CONTROL_LEN, "ok the VM goes on: %s",
			 allow ? "what it stood before leaves" : "what it stood before is stopped");
	else
		snprintf(text, CONTROL_LEN, "the VM of process %d is not paused", t->options->pid);
	if (t->engine)
		engine_go_on(t->engine);
}

void trace_pause_serve(struct trace *t)
{
	control_serve(t->pause.control_fd, answer, t);
}

void trace_pause_every_second(struct trace *t)
{
	uint64_t patience = t->options->pause_timeout * 1000000000ULL, now = record_now();

	trace_pause_look(t);
	if (!patience || now < patience)
		return;
	/* What cannot be stopped stands on: its time is never over. */
	if (release_all(t, t->options->timeout_allows, "timeout", false, now - patience).on)
		engine_go_on(t->engine);
}

void trace_pause_end(struct trace *t)
{
	release_all(t, t->options->timeout_allows, "end", true, UINT64_MAX);
}

enum exit_status trace_pause_open(struct trace *t)
{
	char err[256] = "";

	t->pause.control_fd = control_open(t->options->pid, err, sizeof(err));
	return t->pause.control_fd < 0 ? status_fail(STATUS_INTERNAL, "%s", err) : STATUS_OK;
}

void trace_pause_close(struct trace *t)
{
	control_close(t->options->pid, t->pause.control_fd);
	t->pause.control_fd = -1;
}
