// SPDX-License-Identifier: GPL-2.0
/* `kvmtaint release`: takes out what a killed run left in the guest's text. */
#include <errno.h>
#include <stdio.h>

#include "commands.h"
#include "target.h"
#include "trap.h"
#include "vm_lock.h"

static enum exit_status remove_traps(const struct options *options, struct target *target)
{
	struct trap_set traps;
	char err[512] = "";
	uint64_t held_ns = 0;
	size_t removed = 0;
	int rc = target_profile(target, NULL);

	/* A hook in use, or LKRG, forbids planting; taking out is all the more asked for. */
	if (target->profile)
		trap_set_init(&traps, options->pid, target->mem, target->profile);
	if (!target->profile || (rc && !traps.count))
		return status_fail(rc ? status_of_profile(rc) : STATUS_INTERNAL, "%s",
				   target_profile_error(target));
	rc = trap_remove(&traps, &removed, &held_ns, err, sizeof(err));
	if (rc)
		return status_fail(status_of_standstill(rc), "%s", err);
	printf("%zu traps taken out of %zu sites; the VM stood still for %llu us\n", removed,
	       traps.count, (unsigned long long)held_ns / 1000);
	return STATUS_OK;
}

enum exit_status command_release(const struct options *options)
{
	struct target target;
	enum exit_status status = target_open_vm(&target, options);
	char err[512] = "";
	int lock;

	if (!status) {
		lock = vm_lock_take(options->pid, err, sizeof(err));
		if (lock < 0)
			status = status_fail(lock == -EEXIST ? STATUS_LOCKED : STATUS_PERMISSION,
					     "%s", err);
		else
			status = remove_traps(options, &target);
		vm_lock_release(options->pid, lock);
	}
	target_close(&target);
	return status;
}
