// SPDX-License-Identifier: GPL-2.0
/* Opens what a command works on. */
#include <stdlib.h>
#include <string.h>

#include "target.h"

enum exit_status target_open_vm(struct target *target, const struct options *options)
{
	char err[512] = "";
	int rc;

	*target = (struct target){ .vm = calloc(1, sizeof(*target->vm)) };
	if (!target->vm)
		return status_fail(STATUS_INTERNAL, "out of memory");
	rc = vm_find(options->pid, target->vm, err, sizeof(err));
	if (rc)
		return status_fail(status_of_vm(rc), "%s", err);
	rc = guest_mem_open_vm(options->pid, target->vm->memory.slots, target->vm->memory.count,
			       &target->mem);
	if (rc)
		return status_fail(status_of_vm(rc), "cannot open the memory of process %d: %s",
				   options->pid, strerror(-rc));
	return STATUS_OK;
}

enum exit_status target_open_image(struct target *target, const struct options *options)
{
	int rc;

	*target = (struct target){};
	rc = guest_mem_open_image(options->image, &target->mem);
	if (rc)
		return status_fail(STATUS_IMAGE, "cannot read %s: %s", options->image,
				   strerror(-rc));
	return STATUS_OK;
}

int target_profile(struct target *target)
{
	struct guest_cpu cpu = {};

	if (target->vm)
		cpu = (struct guest_cpu){ .cr3 = target->vm->cr3, .lstar = target->vm->lstar };
	return guest_profile_build_for(target->mem, cpu.lstar || cpu.cr3 ? &cpu : NULL,
				       &target->profile);
}

const char *target_profile_error(const struct target *target)
{
	const struct guest_profile *profile = target->profile;
	size_t i;

	for (i = 0; profile && i < profile->step_count; i++)
		if (!profile->steps[i].ok)
			return profile->steps[i].detail;
	return "the guest's kernel cannot be read";
}

void target_close(struct target *target)
{
	guest_profile_free(target->profile);
	guest_mem_close(target->mem);
	free(target->vm);
	*target = (struct target){};
}
