// SPDX-License-Identifier: GPL-2.0
/*
 * The traps of a trace: INVD in the guest's text (user/trap.c), or breakpoints that
 * the shim keeps in its vCPUs (user/shim.c).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "trace.h"

/* Reads and writes of whatever has a descriptor, both ways over sockets, and children. */
static const char *const default_hooks[KT_BREAKPOINTS_MAX] = {
	"file_permission",
	"socket_sendmsg",
	"socket_recvmsg",
	"task_new",
};

static bool uses_shim(const struct trace *t)
{
	return t->options->trap != TRAP_PATCH;
}

enum exit_status trace_traps_open(struct trace *t)
{
	char err[256] = "";

	if (!uses_shim(t))
		return STATUS_OK;
	t->shim = shim_open(err, sizeof(err));
	return t->shim < 0 ? status_fail(status_of_shim(t->shim), "%s", err) : STATUS_OK;
}

void trace_traps_close(struct trace *t)
{
	if (t->shim >= 0)
		close(t->shim);
	t->shim = -1;
}

/* --- which -------------------------------------------------------------- */

static void leave_only(struct profile_hook hooks[KT_HOOK_MAX], const char *const *ids, size_t count)
{
	struct profile_hook kept[KT_HOOK_MAX] = {};

	for (size_t i = 0; i < count; i++)
		kept[profile_hook_id(ids[i])] = hooks[profile_hook_id(ids[i])];
	memcpy(hooks, kept, sizeof(kept));
}

void trace_traps_choose(struct trace *t)
{
	const struct options *o = t->options;
	struct profile_hook *hooks = t->target.profile->hooks;
	struct profile_gap gap;
	size_t i, at = 0;

	for (i = 0; i < o->without_hook_count; i++)
		hooks[profile_hook_id(o->without_hooks[i])] = (struct profile_hook){};
	if (o->trap == TRAP_SHIM_HOOKS && o->shim_hook_count)
		leave_only(hooks, o->shim_hooks, o->shim_hook_count);
	else if (o->trap == TRAP_SHIM_HOOKS)
		leave_only(hooks, default_hooks, KT_BREAKPOINTS_MAX);
	/* What four breakpoints do not see is a long list: it is in the start record. */
	while (!uses_shim(t) && profile_next_gap(t->target.profile, &at, &gap))
		status_fail(STATUS_OK, "no %s%s in this guest; not seen: %s",
			    gap.hook ? "trap for " : "", gap.name, gap.unseen);
}

/* --- in ----------------------------------------------------------------- */

static void plant(struct trace *t, uint64_t *held_ns, struct trace_failure *failure)
{
	char err[512] = "";
	int rc;

	trap_set_init(&t->traps, t->options->pid, t->target.mem, t->target.profile);
	rc = trap_plant(&t->traps, held_ns, err, sizeof(err));
	if (rc) {
		trace_fail(failure, status_of_standstill(rc), "%s", err);
		return;
	}
	if (t->options->verbose)
		fprintf(stderr, "kvmtaint: %zu traps planted, the VM stood still for %llu us\n",
			t->traps.count, (unsigned long long)*held_ns / 1000);
}

static void arm(struct trace *t, struct trace_failure *failure)
{
	struct breakpoint points[KT_BREAKPOINTS_MAX];
	size_t count = breakpoints_of(t->options->trap, t->target.profile, points);
	char err[256] = "";
	int rc;

	if (!count) {
		trace_fail(failure, STATUS_NO_HOOKS, "the guest has none of the chosen functions");
		return;
	}
	rc = shim_arm(t->shim, t->options->pid, points, count, err, sizeof(err));
	if (rc)
		trace_fail(failure, status_of_shim(rc), "%s", err);
	else if (t->options->verbose)
		fprintf(stderr, "kvmtaint: %zu breakpoints armed\n", count);
}

void trace_traps_set(struct trace *t, uint64_t *held_ns, struct trace_failure *failure)
{
	*held_ns = 0;
	if (uses_shim(t))
		arm(t, failure);
	else
		plant(t, held_ns, failure);
	t->planted = !failure->status;
}

/* --- watched ------------------------------------------------------------ */

int trace_traps_verify(struct trace *t)
{
	struct kvmtaint_shim_state state;
	int rc;

	if (!uses_shim(t))
		return trap_verify(&t->traps);
	rc = shim_check(t->shim, &state);
	return rc ? rc : (int)(state.rearmed + state.vcpus - state.armed);
}

/* A trap that somebody wrote over is told of, and put back where the plain NOP is. */
static enum exit_status tell_changed_sites(struct trace *t)
{
	struct guest_record guest = { .event = GUEST_CHANGED };
	enum exit_status status = STATUS_OK;
	char err[512] = "";
	size_t i, planted = 0, lost = 0;
	int rc = 0;

	for (i = 0; i < t->traps.count && !planted; i++)
		planted = trap_is_nop(&t->traps, &t->traps.sites[i]);
	if (planted)
		rc = trap_replant(&t->traps, &planted, err, sizeof(err));
	if (rc)
		status_fail(STATUS_OK, "a trap that is gone cannot be planted again: %s", err);
	for (i = 0; i < t->traps.count && !status; i++) {
		struct trap_site *site = &t->traps.sites[i];

		if (!memcmp(site->found, t->guest.told[i], TRAP_LEN))
			continue;
		memcpy(t->guest.told[i], site->found, TRAP_LEN);
		if (trap_is_planted(site))
			continue;
		guest.function = site->name;
		guest.found = site->found;
		guest.planted = !rc && trap_is_nop(&t->traps, site);
		/* Should it vanish again, that is news. */
		if (guest.planted)
			memcpy(t->guest.told[i], TRAP_INVD, TRAP_LEN);
		status = trace_guest_say(t, &guest);
		lost++;
	}
	if (lost)
		output_lost(t->output, "trap_changed", lost);
	return status;
}

enum exit_status trace_traps_tell(struct trace *t, int changed)
{
	if (changed <= 0)
		return STATUS_OK;
	if (!uses_shim(t))
		return tell_changed_sites(t);
	/* Only the VMM can have done it: KVM_SET_GUEST_DEBUG, for a debugger. */
	output_lost(t->output, "trap_changed", changed);
	return STATUS_OK;
}

/* --- out ---------------------------------------------------------------- */

void trace_traps_forget(struct trace *t)
{
	t->planted = false;
	if (uses_shim(t))
		shim_disarm(t->shim);
}

enum exit_status trace_traps_remove(struct trace *t)
{
	char err[512] = "";
	int rc;

	if (!t->planted)
		return STATUS_OK;
	if (uses_shim(t)) {
		rc = shim_disarm(t->shim);
		return rc ? status_fail(STATUS_INTERNAL, "cannot disarm the shim: %s",
					strerror(-rc))
			  : STATUS_OK;
	}
	rc = trap_remove(&t->traps, NULL, NULL, err, sizeof(err));
	if (rc && rc != -ESRCH)
		return status_fail(STATUS_TRAPS,
				   "the traps stay in the guest, where they do no harm:"
				   " %s; later: kvmtaint release --vm %d",
				   err, t->options->pid);
	return STATUS_OK;
}
