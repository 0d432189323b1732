// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "shim.h"

#define fail(code, ...) (snprintf(err, err_len, __VA_ARGS__), -(code))

#define DEVICE		"/dev/" KVMTAINT_SHIM_NAME
#define TRIES		50 /* while the guest's debug registers are under way */
#define TRY_WAIT_US	20000

/* The series that shim/Makefile builds for. */
static bool host_is_supported(const char *release)
{
	static const char *const series[] = { "6.1.", "6.12." };

	for (size_t i = 0; i < sizeof(series) / sizeof(series[0]); i++)
		if (!strncmp(release, series[i], strlen(series[i])))
			return true;
	return false;
}

int shim_open(char *err, size_t err_len)
{
	struct utsname host;
	int fd, version;

	fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		uname(&host);
		if (!host_is_supported(host.release))
			return fail(ENOSYS,
				    "the shim is for hosts of Linux 6.1 and 6.12, this is %s:"
				    " --trap patch needs no module",
				    host.release);
		return fail(ENOENT, "no " DEVICE ": the module " KVMTAINT_SHIM_NAME
				    " is not loaded (modprobe " KVMTAINT_SHIM_NAME ")");
	}
	if (fd < 0)
		return fail(errno == EACCES ? EPERM : errno, "cannot open " DEVICE ": %s",
			    strerror(errno));
	version = ioctl(fd, KVMTAINT_SHIM_IOC_VERSION);
	if (version == KVMTAINT_SHIM_VERSION)
		return fd;
	close(fd);
	if (version < 0)
		return fail(EPROTO, DEVICE " is not the shim's: %s", strerror(errno));
	return fail(EPROTO,
		    "the loaded module " KVMTAINT_SHIM_NAME " has interface version %d, this"
		    " kvmtaint needs %d: build and load the one that came with it",
		    version, KVMTAINT_SHIM_VERSION);
}

/* What ARM's errors mean. */
static int explain(int error, pid_t pid, char *err, size_t err_len)
{
	switch (error) {
	case EBUSY:
		return fail(
			EBUSY,
			"the debug registers of the VM of process %d are in use: its VMM debugs it"
			" (QEMU's gdbstub), or somebody else armed the shim",
			pid);
	case EAGAIN:
		return fail(EBUSY,
			    "the VM of process %d stands in the middle of its own use of debug"
			    " registers: let it run",
			    pid);
	case EOPNOTSUPP:
		return fail(ENOTSUP,
			    "the VM of process %d hides its registers from the host (SEV-ES)", pid);
	case ESRCH:
	case ENODEV:
	case ENOTUNIQ:
		return fail(ESRCH, "process %d no longer runs one VM", pid);
	case ENOSPC:
		return fail(EBUSY, "the shim has no room for so many vCPUs");
	default:
		return fail(error, "cannot arm the shim: %s", strerror(error));
	}
}

int shim_arm(int fd, pid_t pid, const struct breakpoint *points, size_t count, char *err,
	     size_t err_len)
{
	struct kvmtaint_shim_arm arm = { .pid = pid, .count = count };
	int tries = TRIES;

	for (size_t i = 0; i < count; i++)
		arm.address[i] = points[i].address.v;
	while (ioctl(fd, KVMTAINT_SHIM_IOC_ARM, &arm)) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || !--tries)
			return explain(errno, pid, err, err_len);
		usleep(TRY_WAIT_US);
	}
	return 0;
}

int shim_disarm(int fd)
{
	return ioctl(fd, KVMTAINT_SHIM_IOC_DISARM) ? -errno : 0;
}

int shim_check(int fd, struct kvmtaint_shim_state *state)
{
	return ioctl(fd, KVMTAINT_SHIM_IOC_CHECK, state) ? -errno : 0;
}
