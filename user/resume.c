// SPDX-License-Identifier: GPL-2.0
/* `kvmtaint resume`: asks the kvmtaint that paused a VM to let it go on. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "control.h"

enum exit_status command_resume(const struct options *options)
{
	char answer[CONTROL_LEN];
	int rc = control_ask(options->pid, options->allow_once ? "allow-once" : "resume", answer);

	if (rc == -ENOENT)
		return status_fail(STATUS_NOT_PAUSED, "no kvmtaint traces the VM of process %d",
				   options->pid);
	if (rc)
		return status_fail(
			rc == -EACCES || rc == -EPERM ? STATUS_PERMISSION : STATUS_INTERNAL,
			"cannot ask the kvmtaint of process %d: %s", options->pid, strerror(-rc));
	if (!strncmp(answer, "ok ", 3)) {
		puts(answer + 3);
		return STATUS_OK;
	}
	if (!strncmp(answer, "stands ", 7))
		return status_fail(STATUS_UNSTOPPABLE, "%s", answer + 7);
	return status_fail(STATUS_NOT_PAUSED, "%s", answer);
}
