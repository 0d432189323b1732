// SPDX-License-Identifier: GPL-2.0
/* bpffs: mounted where it is not, swept of what a dead run left. */
#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "pin_dir.h"

#define BPFFS		"/sys/fs/bpf"
#define PIN_ROOT	BPFFS "/kvmtaint"

#define fail(code, ...) (snprintf(err, err_len, __VA_ARGS__), -(code))

static int ensure_bpffs(void)
{
	struct statfs fs;

	if (statfs(BPFFS, &fs))
		return -errno;
	if (fs.f_type == BPF_FS_MAGIC)
		return 0;
	return mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") ? -errno
											 : 0;
}

/* Pins are flat: one directory of maps. */
static void remove_leftovers(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(path);
}

int pin_dir_prepare(pid_t pid, char *buf, size_t len, char *err, size_t err_len)
{
	int rc = ensure_bpffs();

	if (rc)
		return fail(-rc, "cannot mount bpffs on " BPFFS ": %s", strerror(-rc));
	if (mkdir(PIN_ROOT, 0700) && errno != EEXIST)
		return fail(errno, "cannot make " PIN_ROOT ": %s", strerror(errno));
	snprintf(buf, len, PIN_ROOT "/%d", pid);
	remove_leftovers(buf);
	return 0;
}
