// SPDX-License-Identifier: GPL-2.0
/* Channels through a regular file that sender and receiver reach by different mounts or file
 * systems. */
#include "channel.h"

#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>

static int write_at(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), error;

	if (fd < 0)
		return -errno;
	error = write_all(fd, data, size);
	close(fd);
	return error;
}

static int read_at(const char *path, void *data, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error;

	if (fd < 0)
		return -errno;
	error = read_all(fd, data, size);
	close(fd);
	return error;
}

static int send_file(struct run *r, const void *data, size_t size)
{
	return write_at(in_dir(r, "m/file"), data, size);
}

static int receive_file(struct run *r, void *data, size_t size)
{
	return read_at(in_dir(r, "m/file"), data, size);
}

static void unmount(struct run *r)
{
	umount2(in_dir(r, "m"), MNT_DETACH);
}

static int setup_bind(struct run *r)
{
	if (mkdir(in_dir(r, "a"), 0700) || mkdir(in_dir(r, "m"), 0700))
		return -errno;
	return result(mount(in_dir(r, "a"), in_dir(r, "m"), NULL, MS_BIND, NULL));
}

static int receive_behind(struct run *r, void *data, size_t size)
{
	return read_at(in_dir(r, "a/file"), data, size);
}
CHANNEL(bind, .name = "mount/bind", .hook = "file_permission", .carrier = "file", .at = "m/file",
	.setup = setup_bind, .send = send_file, .receive = receive_behind, .teardown = unmount);

/* The same by open_tree() and move_mount(), as mount(8) does it from util-linux 2.39 on. */
static int setup_moved(struct run *r)
{
	int tree, error;

	if (mkdir(in_dir(r, "a"), 0700) || mkdir(in_dir(r, "m"), 0700))
		return -errno;
	tree = syscall(SYS_open_tree, AT_FDCWD, in_dir(r, "a"), OPEN_TREE_CLONE | O_CLOEXEC);
	if (tree < 0)
		return -errno;
	error = result(syscall(SYS_move_mount, tree, "", AT_FDCWD, in_dir(r, "m"),
			       MOVE_MOUNT_F_EMPTY_PATH));
	close(tree);
	return error;
}
CHANNEL(moved, .name = "mount/move_mount", .hook = "file_permission", .carrier = "file",
	.at = "m/file", .setup = setup_moved, .send = send_file, .receive = receive_behind,
	.teardown = unmount);

static int setup_tmpfs(struct run *r)
{
	return mount_at("tmpfs", in_dir(r, "m"), "tmpfs", NULL);
}
CHANNEL(tmpfs, .name = "mount/tmpfs", .hook = "file_permission", .carrier = "file", .at = "m/file",
	.setup = setup_tmpfs, .send = send_file, .receive = receive_file, .teardown = unmount);

static int setup_overlay(struct run *r)
{
	char options[400];

	if (mkdir(in_dir(r, "l"), 0700) || mkdir(in_dir(r, "u"), 0700) ||
	    mkdir(in_dir(r, "w"), 0700))
		return -errno;
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", in_dir(r, "l"),
		 in_dir(r, "u"), in_dir(r, "w"));
	run_program((char *[]){ "modprobe", "overlay", NULL });
	return write_at(in_dir(r, "l/file"), "clean", 5)
		       ?: mount_at("overlay", in_dir(r, "m"), "overlay", options);
}

/* Opened for writing without O_TRUNC: copied up with what the lower one holds. */
static int send_copied_up(struct run *r, const void *data, size_t size)
{
	int fd = open_in_dir(r, "m/file", O_WRONLY);

	return fd < 0 ? fd : write_all(fd, data, size);
}
CHANNEL(overlay, .name = "mount/overlay", .hook = "file_permission", .carrier = "file",
	.at = "u/file", .setup = setup_overlay, .send = send_copied_up, .receive = receive_file,
	.teardown = unmount);

static int receive_upper(struct run *r, void *data, size_t size)
{
	return read_at(in_dir(r, "u/file"), data, size);
}
CHANNEL(overlay_upper, .name = "mount/overlay-upper", .hook = "file_permission", .carrier = "file",
	.at = "u/file", .setup = setup_overlay, .send = send_copied_up, .receive = receive_upper,
	.teardown = unmount);

/* The lower file is secret, and read through the overlay. */
static int send_lower(struct run *r, const void *data, size_t size)
{
	return write_at(in_dir(r, "l/lower"), data, size);
}

static int receive_lower(struct run *r, void *data, size_t size)
{
	return read_at(in_dir(r, "m/lower"), data, size);
}
CHANNEL(overlay_lower, .name = "mount/overlay-lower", .hook = "file_permission", .carrier = "file",
	.at = "l/lower", .setup = setup_overlay, .send = send_lower, .receive = receive_lower,
	.teardown = unmount);

/* One for each round: a file is copied up once. */
static const char *of_round(struct run *r, const char *layer)
{
	static char name[16];

	snprintf(name, sizeof(name), "%s/%d", layer, r->round);
	return in_dir(r, name);
}

static int send_lower_of_round(struct run *r, const void *data, size_t size)
{
	return write_at(of_round(r, "l"), data, size);
}

/* A third process opens the secret lower file for writing: the kernel copies it up. */
static int receive_copied_up(struct run *r, void *data, size_t size)
{
	pid_t pid = fork();
	int error;

	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(open(of_round(r, "m"), O_RDWR | O_CLOEXEC) < 0);
	r->heir = pid;
	error = reap(pid);
	return error ? error : read_at(of_round(r, "u"), data, size);
}
CHANNEL(overlay_copied_up, .name = "mount/overlay-copied-up", .hook = "file_permission",
	.carrier = "file,process,file", .at = "l/2,-,u/2", .setup = setup_overlay,
	.send = send_lower_of_round, .receive = receive_copied_up, .teardown = unmount);

/* Stored through a mapping: only the overlay's own inode passes a hook. */
static int send_mapped(struct run *r, const void *data, size_t size)
{
	int fd = open_in_dir(r, "m/file", O_RDWR),
	    error = fd < 0 ? fd : result(ftruncate(fd, size));
	void *map = error ? MAP_FAILED
			  : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	if (map == MAP_FAILED)
		return error ? error : -errno;
	memcpy(map, data, size);
	munmap(map, size);
	return 0;
}
CHANNEL(overlay_mapped, .name = "mount/overlay-mmap-upper", .hook = "mmap_file", .carrier = "file",
	.at = "u/file", .setup = setup_overlay, .send = send_mapped, .receive = receive_upper,
	.teardown = unmount);

/* The other way: what is in the upper layer is read by a new mapping of the overlay's file. */
static int map_file(struct run *r, const char *name, void *data, size_t size)
{
	int fd = open_in_dir(r, name, O_RDONLY);
	void *map = fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (map == MAP_FAILED)
		return fd < 0 ? fd : -errno;
	close(fd);
	memcpy(data, map, size);
	munmap(map, size);
	return 0;
}

static int receive_by_map(struct run *r, void *data, size_t size)
{
	return map_file(r, "m/file", data, size);
}
CHANNEL(overlay_read_mapped, .name = "mount/overlay-mmap-read", .hook = "mmap_file",
	.carrier = "file", .at = "u/file", .setup = setup_overlay, .send = send_copied_up,
	.receive = receive_by_map, .teardown = unmount);

static int receive_lower_by_map(struct run *r, void *data, size_t size)
{
	return map_file(r, "m/lower", data, size);
}
CHANNEL(overlay_lower_mapped, .name = "mount/overlay-mmap-lower", .hook = "mmap_file",
	.carrier = "file", .at = "l/lower", .setup = setup_overlay, .send = send_lower,
	.receive = receive_lower_by_map, .teardown = unmount);

/* The receiver has a mount namespace of its own, in which the file is elsewhere. */
static int receive_in_namespace(struct run *r, void *data, size_t size)
{
	if (!r->number[0]) {
		if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mkdir(in_dir(r, "n"), 0700) ||
		    mount(in_dir(r, "m"), in_dir(r, "n"), NULL, MS_BIND, NULL))
			return -errno;
		r->number[0] = 1;
	}
	return read_at(in_dir(r, "n/file"), data, size);
}

static int setup_folder(struct run *r)
{
	return result(mkdir(in_dir(r, "m"), 0700));
}
CHANNEL(namespace, .name = "mount/namespace", .hook = "file_permission", .carrier = "file",
	.at = "m/file", .setup = setup_folder, .send = send_file, .receive = receive_in_namespace);

/* --- file systems that share blocks between files ------------------------ */

static int setup_image(struct run *r, char *type, char *size)
{
	char program[16];
	int error;

	snprintf(program, sizeof(program), "mkfs.%s", type);
	run_program((char *[]){ "modprobe", "loop", NULL });
	if (run_program((char *[]){ "modprobe", type, NULL }))
		return absent("the kernel has no such file system");
	error = run_program((char *[]){ "truncate", "-s", size, (char *)in_dir(r, "image"), NULL });
	if (!error)
		error = run_program((char *[]){ program, "-q", (char *)in_dir(r, "image"), NULL });
	if (error || mkdir(in_dir(r, "m"), 0700))
		return error ? error : -errno;
	return run_program((char *[]){ "mount", "-o", "loop", (char *)in_dir(r, "image"),
				       (char *)in_dir(r, "m"), NULL });
}

static int setup_xfs(struct run *r)
{
	return setup_image(r, "xfs", "310M");
}

static int setup_btrfs(struct run *r)
{
	return setup_image(r, "btrfs", "120M");
}

static void unmount_image(struct run *r)
{
	umount(in_dir(r, "m"));
}

/* A process that never saw the bytes clones the file that the sender wrote. */
static int receive_clone(struct run *r, void *data, size_t size)
{
	int in = open_in_dir(r, "m/file", O_RDONLY);
	int out = open_in_dir(r, "m/clone", O_RDWR | O_CREAT | O_TRUNC), error;

	if (in < 0 || out < 0)
		return in < 0 ? in : out;
	error = result(ioctl(out, FICLONE, in));
	close(in);
	if (!error)
		error = read_all(out, data, size);
	close(out);
	return error;
}

/* The sender clones: only the clone is read. */
static int send_clone(struct run *r, const void *data, size_t size)
{
	int in = open_in_dir(r, "m/file", O_RDWR | O_CREAT | O_TRUNC);
	int out = open_in_dir(r, "m/clone", O_RDWR | O_CREAT | O_TRUNC), error;

	if (in < 0 || out < 0)
		return in < 0 ? in : out;
	error = write_all(in, data, size);
	return error ? error : result(ioctl(out, FICLONE, in));
}

static int receive_the_clone(struct run *r, void *data, size_t size)
{
	return read_at(in_dir(r, "m/clone"), data, size);
}
CHANNEL(xfs_reflink, .name = "mount/xfs-reflink", .hook = "file_permission", .carrier = "file",
	.at = "m/clone", .setup = setup_xfs, .send = send_clone, .receive = receive_the_clone,
	.teardown = unmount_image);
CHANNEL(xfs_reflink_read, .name = "mount/xfs-reflink-by-receiver", .hook = "file_permission",
	.carrier = "file", .at = "m/file", .setup = setup_xfs, .send = send_file,
	.receive = receive_clone, .teardown = unmount_image);
CHANNEL(btrfs_reflink, .name = "mount/btrfs-reflink", .hook = "file_permission", .carrier = "file",
	.at = "m/clone", .setup = setup_btrfs, .send = send_clone, .receive = receive_the_clone,
	.teardown = unmount_image);
