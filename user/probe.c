// SPDX-License-Identifier: GPL-2.0
/* `kvmtaint probe`: what is seen of a guest, without touching it. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "profile_print.h"
#include "record_json.h"
#include "target.h"

static struct json_object *vm_json(const struct vm_info *vm)
{
	struct json_object *to = json_object_new_object();
	struct json_object *slots = json_object_new_array();
	uint32_t i;

	json_add_number(to, "pid", vm->pid);
	json_add_bytes(to, "name", vm->name, strlen(vm->name));
	json_add_number(to, "vcpus", vm->vcpus);
	for (i = 0; i < vm->memory.count; i++) {
		struct json_object *slot = json_object_new_object();

		json_add_address(slot, "gpa", vm->memory.slots[i].gfn << 12);
		json_add_number(slot, "pages", vm->memory.slots[i].npages);
		json_add_address(slot, "hva", vm->memory.slots[i].hva);
		json_object_array_add(slots, slot);
	}
	json_object_object_add(to, "memslots", slots);
	return to;
}

static void print_vm(const struct vm_info *vm)
{
	uint64_t pages = 0;
	uint32_t i;

	for (i = 0; i < vm->memory.count; i++)
		pages += vm->memory.slots[i].npages;
	printf("ok  %-13s process %d, %u vCPUs, %u memslots, %llu MiB\n", "vm", vm->pid, vm->vcpus,
	       vm->memory.count, (unsigned long long)(pages >> 8));
}

static int print_json(const struct target *target)
{
	struct json_object *to = target->profile ? profile_json(target->profile)
						 : json_object_new_object();
	char *line;

	if (!to)
		return -ENOMEM;
	if (target->vm)
		json_object_object_add(to, "vm", vm_json(target->vm));
	line = json_take_line(to);
	if (!line)
		return -ENOMEM;
	fputs(line, stdout);
	free(line);
	return 0;
}

enum exit_status command_probe(const struct options *options)
{
	struct target target;
	enum exit_status status = options->image ? target_open_image(&target, options)
						 : target_open_vm(&target, options);
	int rc;

	if (status) {
		target_close(&target);
		return status;
	}
	rc = target_profile(&target, NULL);
	if (rc)
		status = status_of_profile(rc);
	if (options->json) {
		if (print_json(&target))
			status = status_fail(STATUS_INTERNAL, "out of memory");
	} else {
		if (target.vm)
			print_vm(target.vm);
		if (target.profile)
			profile_print_text(target.profile, options->verbose, stdout);
	}
	if (status)
		status_fail(status, "%s", target_profile_error(&target));
	if (fflush(stdout) || ferror(stdout))
		status = status_fail(STATUS_STDOUT, "cannot write to stdout: %s", strerror(errno));
	target_close(&target);
	return status;
}
