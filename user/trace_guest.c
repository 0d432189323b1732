// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's kernel: waited for, armed, watched, given up when it is gone. What
 * is kept from one kernel to the next is struct engine_kept.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>

#include "attach_scan.h"
#include "pin_dir.h"
#include "trace.h"

#define MS		  1000000ULL
#define LOOK_AGAIN_NS	  (100 * MS) /* while a kernel is waited for */
#define LOOK_GAP_NS	  (50 * MS) /* a guest that writes MSRs in a loop is looked at no more often */
#define FIRST_PATIENCE	  (3000 * MS) /* with a kernel that does not add up, at the start */
#define PATIENCE	  (30000 * MS) /* later: it boots, beside what is left of the one before */
#define SYSTEM_SCHEDULING 1 /* enum system_states: from here on processes can run */

/* --- arming -------------------------------------------------------------- */

static void look_again(struct trace *t, uint64_t in_ns)
{
	const struct itimerspec when = { .it_value = { in_ns / 1000000000, in_ns % 1000000000 } };

	timerfd_settime(t->events.look_fd, 0, &when, NULL);
}

/* Reads a word of the guest's data; false: this guest does not have it. */
static bool read_word(struct trace *t, uint64_t gva, uint64_t *out, size_t len)
{
	*out = 0;
	return gva && !guest_read(t->target.mem, &t->target.profile->guest, GVA(gva), out, len);
}

static bool read_mark(struct trace *t, uint64_t *mark)
{
	const struct kt_guest *guest = &t->target.profile->guest;

	if (guest->task_stack_canary == KT_ABSENT)
		return false;
	return read_word(t, guest->sym_init_task + guest->task_stack_canary, mark, sizeof(*mark));
}

/* Before its initcalls a kernel still patches itself, and brings its CPUs up. */
static bool is_half_booted(struct trace *t)
{
	uint64_t state;

	return read_word(t, t->target.profile->guest.sym_system_state, &state, sizeof(uint32_t)) &&
	       state < SYSTEM_SCHEDULING;
}

static const struct kt_vcpu *witness(struct trace *t)
{
	const struct vm_info *vm = t->target.vm;
	uint32_t newest = t->guest.newest;

	if (newest < vm->vcpu_count && vm->vcpu[newest].lstar)
		return &vm->vcpu[newest];
	return vm_first_witness(vm);
}

static void profile_kernel(struct trace *t, struct trace_failure *failure)
{
	const struct kt_vcpu *on = witness(t);
	int rc;

	/*
	 * Firmware runs, or a kernel that has not come far. RAM may hold the one
	 * before, whole: only who was never there before may take what he finds.
	 */
	if (!on && t->target.vm->knows_lstar && t->guest.ever_armed &&
	    !boot_watch_fred(t->guest.watch)) {
		failure->early = true;
		trace_fail(failure, STATUS_NO_KERNEL, "no kernel has set up its system calls yet");
		return;
	}
	rc = target_profile(&t->target, on);
	/* Breakpoints do not mind what else is at a function, nor who guards the text. */
	if (t->options->trap != TRAP_PATCH && (rc == -EBUSY || rc == -EPERM))
		rc = 0;
	if (rc) {
		trace_fail(failure, status_of_profile(rc), "%s", target_profile_error(&t->target));
		failure->early = rc == -ENOENT || (t->target.profile && is_half_booted(t));
	} else if (is_half_booted(t)) {
		trace_fail(failure, STATUS_NO_KERNEL, "the kernel has only begun to boot");
		failure->early = true;
	}
}

static void load_engine(struct trace *t, struct trace_failure *failure)
{
	char pin_dir[64], err[512] = "";
	struct engine_options opt = {
		.vm = t->target.vm,
		.profile = t->target.profile,
		.dfa = t->dfa,
		.mem = t->target.mem,
		.trap = t->options->trap,
		.objects_max = t->options->objects_max,
		.readers_max = t->options->readers_max,
		.follow_arguments = t->options->follow_arguments,
		.terminals = t->options->terminals,
		.pin_dir = pin_dir,
		.kept = &t->kept,
		.wires = &t->wires,
		.sinks = t->sinks,
		.sink_count = t->sink_count,
		.pause_on_spread = t->options->pause_on_spread,
		.tell_allowed = t->options->verbose,
		.stop_if_orphaned = !t->options->timeout_allows,
	};
	int rc = pin_dir_prepare(t->options->pid, pin_dir, sizeof(pin_dir), err, sizeof(err));

	if (!rc)
		rc = engine_load(&opt, &t->engine, err, sizeof(err));
	if (rc)
		trace_fail(failure, rc == -EPERM || rc == -EACCES ? STATUS_PERMISSION : STATUS_HOST,
			   "%s", err);
}

static int retire_engine(struct trace *t)
{
	int rc;

	engine_drain(t->engine, output_take, t->output);
	rc = engine_retire(t->engine, &t->kept);
	t->engine = t->polled = NULL;
	return rc;
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
		status_fail(STATUS_OK,
			    "who held classified files before is not known: the host's"
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

static void remember_kernel(struct trace *t)
{
	struct trace_guest *g = &t->guest;
	const struct kt_vcpu *on = witness(t);
	size_t i;

	g->armed = g->ever_armed = true;
	g->armed_count++;
	g->lstar = on ? on->lstar : 0;
	if (!read_mark(t, &g->mark))
		g->mark = 0;
	read_word(t, t->target.profile->guest.sym_jiffies, &g->clock, sizeof(g->clock));
	for (i = 0; i < KT_SITES_MAX; i++)
		memcpy(g->told[i], TRAP_INVD, TRAP_LEN);
	g->newest = KT_VCPUS_MAX;
	g->waiting_ns = 0;
	g->refusal_told = false;
}

enum exit_status trace_guest_say(struct trace *t, const struct guest_record *guest)
{
	uint64_t seq = trace_next_seq(t);

	if (output_queue(t->output, seq, record_guest_line(&t->record, seq, guest)))
		return status_fail(STATUS_INTERNAL, "out of memory");
	return STATUS_OK;
}

/* Profile, engine, traps. The record takes its number before the first trap can. */
static void arm(struct trace *t, struct trace_failure *failure)
{
	uint64_t held_ns = 0, seq;
	char *line;

	profile_kernel(t, failure);
	if (failure->status)
		return;
	trace_traps_choose(t);
	load_engine(t, failure);
	if (failure->status)
		return;
	seq = trace_next_seq(t);
	trace_traps_set(t, &held_ns, failure);
	if (failure->status) {
		if (!engine_return_seq(t->engine, seq))
			output_queue(t->output, seq,
				     record_guest_line(
					     &t->record, seq,
					     &(struct guest_record){ .event = GUEST_REFUSED,
								     .reason = failure->why }));
		retire_engine(t);
		return;
	}
	line = t->started ? record_guest_line(&t->record, seq,
					      &(struct guest_record){ .event = GUEST_ARMED,
								      .profile = t->target.profile,
								      .held_ns = held_ns })
			  : record_start_line(&t->record, seq, t->target.profile, held_ns);
	if (output_queue(t->output, seq, line))
		trace_fail(failure, STATUS_INTERNAL, "out of memory");
	t->started = true;
	remember_kernel(t);
	scan_guest(t);
}

/* --- looking ------------------------------------------------------------- */

/*
 * Takes down where each vCPU's kernel takes system calls. True when one has
 * changed to something that is neither nothing nor the armed kernel's: CPUs that
 * another kernel does not use may keep the value of the one before for ever.
 */
static bool note_changes(struct trace *t)
{
	struct trace_guest *g = &t->guest;
	const struct vm_info *vm = t->target.vm;
	bool another = false;
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++) {
		uint64_t lstar = vm->vcpu[i].lstar;

		if (vm->vcpu[i].is_nested || lstar == g->seen_lstar[i])
			continue;
		g->seen_lstar[i] = lstar;
		if (!lstar || lstar == g->lstar)
			continue;
		g->newest = i;
		another = true;
	}
	return another;
}

static bool all_were_reset(const struct vm_info *vm)
{
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpu[i].is_nested || vm->vcpu[i].lstar)
			return false;
	return vm->vcpu_count > 0;
}

/* By what it was noticed that the armed kernel is gone; NULL: it is there. */
static const char *why_gone(struct trace *t, bool another)
{
	const struct trace_guest *g = &t->guest;
	uint64_t mark;

	if (another)
		return "system_calls";
	if (g->lstar && all_were_reset(t->target.vm))
		return "reset";
	/* The same value in LSTAR, the same place: but not the same boot. */
	if (g->mark && read_mark(t, &mark) && mark != g->mark)
		return "memory";
	return NULL;
}

static enum exit_status give_up_kernel(struct trace *t, const char *why)
{
	int rc;

	trace_pause_end(t);
	rc = retire_engine(t);
	t->guest.armed = false;
	t->guest.lstar = 0;
	trace_traps_forget(t);
	boot_watch_forget(t->guest.watch);
	if (rc)
		return status_fail(STATUS_INTERNAL, "cannot keep the managed files: %s",
				   strerror(-rc));
	return trace_guest_say(t, &(struct guest_record){ .event = GUEST_GONE,
							  .profile = t->target.profile,
							  .reason = why });
}

/* After loadvm: the kernel is the same, but its past is another one. */
static enum exit_status look_at_clock(struct trace *t)
{
	uint64_t now, before = t->guest.clock;
	enum exit_status status;
	int rc;

	if (!read_word(t, t->target.profile->guest.sym_jiffies, &now, sizeof(now)))
		return STATUS_OK;
	t->guest.clock = now;
	if ((int64_t)(now - before) >= 0)
		return STATUS_OK;
	status = trace_guest_say(t, &(struct guest_record){ .event = GUEST_RESTORED });
	rc = engine_forget_caches(t->engine);
	if (rc && !status)
		status = status_fail(STATUS_INTERNAL, "cannot empty the engine's caches: %s",
				     strerror(-rc));
	scan_guest(t);
	return status;
}

static bool is_final(const struct trace *t, const struct trace_failure *failure)
{
	uint64_t patience = t->guest.ever_armed ? PATIENCE : FIRST_PATIENCE;

	if (failure->early)
		return false;
	return failure->status != STATUS_PROFILE || record_now() - t->guest.waiting_ns > patience;
}

/*
 * A kernel that cannot be traced ends a trace that has not begun; later it is
 * told of, once, and the next one is waited for.
 */
static enum exit_status judge_failure(struct trace *t, const struct trace_failure *failure)
{
	struct trace_guest *g = &t->guest;

	if (failure->early)
		g->waiting_ns = 0;
	else if (!g->waiting_ns)
		g->waiting_ns = record_now();
	if (!is_final(t, failure))
		return STATUS_OK;
	if (!g->ever_armed)
		return status_fail(failure->status, "%s", failure->why);
	if (g->refusal_told)
		return STATUS_OK;
	g->refusal_told = true;
	status_fail(STATUS_OK, "the guest's kernel cannot be traced: %s", failure->why);
	return trace_guest_say(t, &(struct guest_record){ .event = GUEST_REFUSED,
							  .reason = failure->why });
}

static enum exit_status try_to_arm(struct trace *t)
{
	struct trace_failure failure = {};
	uint64_t began = record_now(), took;
	enum exit_status status = STATUS_OK;

	arm(t, &failure);
	if (!failure.status)
		return STATUS_OK;
	if (t->options->verbose)
		fprintf(stderr, "kvmtaint: not yet: %s\n", failure.why);
	status = judge_failure(t, &failure);
	/* A RAM that takes long to search is searched less often. */
	took = record_now() - began;
	look_again(t, 2 * took > LOOK_AGAIN_NS ? 2 * took : LOOK_AGAIN_NS);
	return status;
}

enum exit_status trace_guest_look(struct trace *t)
{
	enum exit_status status = STATUS_OK;
	const char *why;
	char err[512] = "";
	bool another;
	int rc;

	t->guest.looked_ns = record_now();
	boot_watch_rearm(t->guest.watch);
	rc = target_refresh(&t->target, err, sizeof(err));
	if (rc) {
		/* Its end comes through pid_fd; slots that keep changing settle. */
		look_again(t, LOOK_AGAIN_NS);
		return rc == -ESRCH || rc == -EAGAIN || rc == -ENODEV
			       ? STATUS_OK
			       : status_fail(status_of_vm(rc), "%s", err);
	}
	another = note_changes(t);
	if (t->guest.armed) {
		why = why_gone(t, another);
		status = why ? give_up_kernel(t, why) : look_at_clock(t);
	}
	if (!status && !t->guest.armed)
		status = try_to_arm(t);
	return status;
}

enum exit_status trace_guest_wake(struct trace *t)
{
	uint64_t since = record_now() - t->guest.looked_ns;

	if (since >= LOOK_GAP_NS)
		return trace_guest_look(t);
	boot_watch_take(t->guest.watch);
	look_again(t, LOOK_GAP_NS - since);
	return STATUS_OK;
}

/* --- once a second ------------------------------------------------------- */

enum exit_status trace_guest_every_second(struct trace *t)
{
	uint64_t percpu_base[KT_VCPUS_MAX], kernel = t->guest.armed_count;
	struct kt_modules modules;
	enum exit_status status;
	int changed = t->guest.armed ? trace_traps_verify(t) : 0;

	/* A kernel that is gone takes its traps with it: that is looked at first. */
	status = trace_guest_look(t);
	if (t->guest.armed_count != kernel)
		changed = 0;
	if (status || !t->guest.armed)
		return status;
	if (guest_profile_cpus(t->target.mem, t->target.profile, percpu_base) > 0 &&
	    engine_set_cpus(t->engine, percpu_base))
		return status_fail(STATUS_INTERNAL, "cannot tell the engine of a CPU: %s",
				   strerror(errno));
	if (profile_learn_modules(t->target.mem, t->target.profile)) {
		modules = profile_modules(t->target.profile);
		engine_set_modules(t->engine, &modules);
		if (t->options->verbose)
			fprintf(stderr,
				"kvmtaint: a module came whose types tell what it looks like\n");
	}
	return trace_traps_tell(t, changed);
}

/* --- begin and end ------------------------------------------------------- */

static enum exit_status begin_waiting(struct trace *t)
{
	uint64_t seq = trace_next_seq(t);

	if (output_queue(t->output, seq, record_start_line(&t->record, seq, NULL, 0)))
		return status_fail(STATUS_INTERNAL, "out of memory");
	t->started = true;
	look_again(t, LOOK_AGAIN_NS);
	return STATUS_OK;
}

enum exit_status trace_guest_begin(struct trace *t)
{
	struct trace_failure failure = {};
	char err[256] = "";

	t->guest.newest = KT_VCPUS_MAX;
	/* Before the first look, so that a boot that begins meanwhile is not missed. */
	if (boot_watch_open(t->target.vm->tgid, &t->guest.watch, err, sizeof(err)))
		return status_fail(STATUS_HOST, "%s", err);
	note_changes(t);
	t->guest.newest = KT_VCPUS_MAX;
	arm(t, &failure);
	if (!failure.status)
		return STATUS_OK;
	t->guest.waiting_ns = record_now();
	if (t->options->no_wait || is_final(t, &failure))
		return status_fail(failure.status, "%s", failure.why);
	if (t->options->verbose)
		fprintf(stderr, "kvmtaint: waiting for a kernel: %s\n", failure.why);
	return begin_waiting(t);
}

void trace_guest_close(struct trace *t)
{
	boot_watch_close(t->guest.watch);
}
