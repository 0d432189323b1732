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
	if (!rc)
		rc = vm_finder_open(&target->finder, err, sizeof(err));
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

int target_refresh(struct target *target, char *err, size_t err_len)
{
	uint64_t generation = target->vm->memory.generation;
	int rc = vm_finder_look(target->finder, target->vm->pid, target->vm, err, err_len);

	if (!rc && target->vm->memory.generation != generation) {
		rc = guest_mem_update(target->mem, target->vm->memory.slots,
				      target->vm->memory.count);
		if (rc)
			snprintf(err, err_len, "the VM's memory is not as KVM describes it: %s",
				 strerror(-rc));
	}
	return rc;
}

int target_profile(struct target *target, const struct kt_vcpu *witness)
{
	struct guest_cpu cpu = {};

	if (!witness && target->vm)
		witness = vm_first_witness(target->vm);
	/* A FRED guest has no LSTAR, firmware has neither: page tables tell them apart. */
	if (!witness && target->vm && target->vm->vcpu_count && target->vm->vcpu[0].cr3)
		witness = &target->vm->vcpu[0];
	if (witness)
		cpu = (struct guest_cpu){ .cr3 = witness->cr3, .lstar = witness->lstar };
	guest_profile_free(target->profile);
	return guest_profile_build_for(target->mem, witness ? &cpu : NULL, &target->profile);
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
	vm_finder_close(target->finder);
	free(target->vm);
	*target = (struct target){};
}
