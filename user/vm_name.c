// SPDX-License-Identifier: GPL-2.0
/* What to call a VM: the name its operator gave QEMU, else the VMM's own. */
#include <string.h>

#include "cleanup.h"
#include "vm.h"

#define CMDLINE_MAX 65536

static void read_comm(pid_t pid, char *out, size_t len)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(out, len, f))
		snprintf(out, len, "vm-%d", pid);
	out[strcspn(out, "\n")] = '\0';
}

/*
 * QEMU's -name is "NAME[,key=value...]" or "[key=value,...]guest=NAME[,...]"; a
 * comma in the name is doubled (qemu(1), QemuOpts).
 */
static void parse_qemu_name(const char *arg, char *out, size_t len)
{
	const char *start = arg;
	size_t n = 0;

	if (!strncmp(arg, "guest=", 6)) {
		start = arg + 6;
	} else if (strstr(arg, ",guest=")) {
		start = strstr(arg, ",guest=") + 7;
	}
	while (*start && n + 1 < len) {
		if (*start == ',' && *++start != ',')
			break;
		out[n++] = *start++;
	}
	out[n] = '\0';
}

void vm_read_name(pid_t pid, char *out, size_t len)
{
	_cleanup_free_ char *args = malloc(CMDLINE_MAX + 1);
	_cleanup_fclose_ FILE *f = NULL;
	char path[64];
	size_t size, at;

	out[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	f = fopen(path, "re");
	if (f && args) {
		size = fread(args, 1, CMDLINE_MAX, f);
		args[size] = '\0';
		for (at = 0; at < size; at += strlen(args + at) + 1) {
			const char *arg = args + at;

			if (strcmp(arg, "-name") && strcmp(arg, "--name"))
				continue;
			at += strlen(arg) + 1;
			if (at < size)
				parse_qemu_name(args + at, out, len);
			break;
		}
	}
	if (!out[0])
		read_comm(pid, out, len);
}
