// SPDX-License-Identifier: GPL-2.0
/* Ways out of the guest by a file system that L1 keeps: NFS, and virtiofs. */
#include "channel.h"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>

#define L1_NFS "10.9.0.1:/"

static int setup_nfs(struct run *r)
{
	char *mounts[] = { "mount",
			   "-t",
			   "nfs4",
			   "-o",
			   "soft,timeo=30,retrans=2",
			   L1_NFS,
			   (char *)in_dir(r, "m"),
			   NULL };

	if (run_program((char *[]){ "modprobe", "nfsv4", NULL }))
		return absent("the kernel has no NFS");
	if (mkdir(in_dir(r, "m"), 0700))
		return -errno;
	return run_program(mounts) ? absent("the lab serves no NFS") : 0;
}

static int setup_virtiofs(struct run *r)
{
	int error;

	run_program((char *[]){ "modprobe", "virtiofs", NULL });
	error = mount_at("share", in_dir(r, "m"), "virtiofs", NULL);
	return error == -EINVAL || error == -ENOENT ? absent("the lab shares no folder") : error;
}

static void unmount(struct run *r)
{
	umount2(in_dir(r, "m"), MNT_DETACH);
}

static int by_write(struct run *r, const void *data, size_t size)
{
	int fd = open_in_dir(r, "m/file", O_WRONLY | O_CREAT | O_TRUNC), error;

	if (fd < 0)
		return fd;
	error = write_all(fd, data, size);
	close(fd);
	return error;
}

/* Each sender has a file of its own: the share outlives the round, and who maps a file reads it. */
static int by_mmap(struct run *r, const void *data, size_t size)
{
	char name[32];
	int fd, error;
	void *map;

	snprintf(name, sizeof(name), "m/mapped.%d", getpid());
	fd = open_in_dir(r, name, O_RDWR | O_CREAT | O_TRUNC);
	if (fd < 0)
		return fd;
	error = result(ftruncate(fd, size));
	map = error ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	r->fd[0] = fd;
	if (map == MAP_FAILED)
		return error ? error : -errno;
	memcpy(map, data, size);
	error = result(msync(map, size, MS_SYNC));
	munmap(map, size);
	return error;
}

static int by_sendfile(struct run *r, const void *data, size_t size)
{
	int in = open(r->source, O_RDONLY | O_CLOEXEC), error;
	int out = open_in_dir(r, "m/sent", O_WRONLY | O_CREAT | O_TRUNC);

	(void)data;
	error = in < 0 || out < 0 ? -EIO : result(sendfile(out, in, NULL, size));
	close(in);
	close(out);
	return error;
}

static int by_splice(struct run *r, const void *data, size_t size)
{
	int out = open_in_dir(r, "m/spliced", O_WRONLY | O_CREAT | O_TRUNC), ends[2], error;

	if (out < 0)
		return out;
	if (pipe(ends))
		return -errno;
	error = write_all(ends[1], data, size);
	if (!error && splice(ends[0], NULL, out, NULL, size, 0) != (ssize_t)size)
		error = -errno;
	close(out);
	close(ends[0]);
	close(ends[1]);
	return error;
}

#define SHARE(id, share, type, server, text, hooks, more, place, sends)                            \
	CHANNEL(share##_##id, .name = "leak/" #share "/" text, .hook = hooks,                      \
		.flags = LEAK | (more),                                                            \
		.leak = "kind=filesystem destination.filesystem=" type                             \
			" destination.server=" server,                                             \
		.at = place, .setup = setup_##share, .send = sends, .teardown = unmount)
#define NFS(id, text, hooks, more, place, sends)                                                   \
	SHARE(id, nfs, "nfs4", L1_NFS, text, hooks, more, place, sends)
#define VIRTIOFS(id, text, hooks, more, place, sends)                                              \
	SHARE(id, virtiofs, "virtiofs", "share", text, hooks, more, place, sends)

NFS(write, "write", "file_permission", 0, "m/file", by_write);
NFS(mmap, "mmap", "mmap_file", 0, "#0", by_mmap);
NFS(sendfile, "sendfile", "file_permission", COPIES_SOURCE, "m/sent", by_sendfile);
NFS(splice, "splice", "file_permission,splice", 0, "m/spliced", by_splice);
VIRTIOFS(write, "write", "file_permission", 0, "m/file", by_write);
VIRTIOFS(mmap, "mmap", "mmap_file", 0, "#0", by_mmap);
VIRTIOFS(sendfile, "sendfile", "file_permission", COPIES_SOURCE, "m/sent", by_sendfile);
VIRTIOFS(splice, "splice", "file_permission,splice", 0, "m/spliced", by_splice);
