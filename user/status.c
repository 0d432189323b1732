// SPDX-License-Identifier: GPL-2.0
/* From errors to exit statuses, and errors to people. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"
#include "status.h"

struct meaning {
	int error;
	enum exit_status status;
};

enum exit_status status_fail(enum exit_status status, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int len;

	/* Names from the command line and the guest may hold anything. */
	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	fputs("kvmtaint: ", stderr);
	if (len >= 0)
		escape_text(stderr, text, len);
	fputc('\n', stderr);
	if (len >= 0)
		free(text);
	return status;
}

static enum exit_status look_up(const struct meaning *table, size_t count, int error)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (table[i].error == -error)
			return table[i].status;
	return STATUS_INTERNAL;
}

#define LOOK_UP(table, error) look_up(table, sizeof(table) / sizeof((table)[0]), error)

enum exit_status status_of_vm(int error)
{
	static const struct meaning table[] = {
		{ ESRCH, STATUS_NO_PROCESS }, { ENODEV, STATUS_NO_VM },
		{ ENOTUNIQ, STATUS_NO_VM },   { ENOTSUP, STATUS_ENCRYPTED },
		{ ENOSYS, STATUS_HOST },      { EPERM, STATUS_PERMISSION },
		{ E2BIG, STATUS_MEMSLOTS },
	};

	return LOOK_UP(table, error);
}

enum exit_status status_of_profile(int error)
{
	static const struct meaning table[] = {
		{ ENOENT, STATUS_NO_KERNEL }, { ENODATA, STATUS_NO_BTF },
		{ ENOSYS, STATUS_NO_HOOKS },  { EBUSY, STATUS_HOOK_IN_USE },
		{ EPERM, STATUS_LKRG },	      { EPROTO, STATUS_PROFILE },
		{ ESRCH, STATUS_NO_PROCESS },
	};

	return LOOK_UP(table, error);
}

enum exit_status status_of_standstill(int error)
{
	static const struct meaning table[] = {
		{ ESRCH, STATUS_NO_PROCESS }, { EPERM, STATUS_PERMISSION },
		{ EBUSY, STATUS_HELD },	      { ETIMEDOUT, STATUS_HELD },
		{ EFAULT, STATUS_PROFILE },   { EADDRINUSE, STATUS_HOOK_IN_USE },
	};

	return LOOK_UP(table, error);
}

enum exit_status status_of_shim(int error)
{
	static const struct meaning table[] = {
		{ ENOENT, STATUS_NO_SHIM },   { EPROTO, STATUS_SHIM_VERSION },
		{ ENOSYS, STATUS_SHIM_HOST }, { EBUSY, STATUS_SHIM_BUSY },
		{ EPERM, STATUS_PERMISSION }, { ENOTSUP, STATUS_ENCRYPTED },
		{ ESRCH, STATUS_NO_PROCESS },
	};

	return LOOK_UP(table, error);
}
