// SPDX-License-Identifier: GPL-2.0
/*
 * Channels through what a file system lies on: a disk, or the image file of a loop device.
 * The disks are RAM disks, and each is used once: what was on one stays on it.
 */
#include "channel.h"

#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>

#define BLOCK	     4096
#define DISK_KIB     4096
#define PARTITION_AT (1L << 20) /* bytes */

/* number[0]: where on the disk the bytes of m/file are; fd[0]: the disk or image, to be read. */
#define AT    number[0]
#define DRIVE number[1] /* of the RAM disk */

static char block[BLOCK] __attribute__((aligned(BLOCK)));

/* --- a file system with one file, whose place is known -------------------- */

/* Makes m/file, and finds where its bytes lie. */
static int make_file(struct run *r, long start)
{
	int fd = open_in_dir(r, "m/file", O_RDWR | O_CREAT), where = 0, size = 0, error;

	if (fd < 0)
		return fd;
	memset(block, '-', BLOCK);
	error = write_all(fd, block, BLOCK);
	if (!error && (fsync(fd) || ioctl(fd, FIGETBSZ, &size) || ioctl(fd, FIBMAP, &where)))
		error = -errno;
	close(fd);
	r->AT = start + (long)where * size;
	return error ? error : where ? 0 : -ENODATA;
}

static int make_fs(struct run *r, const char *path)
{
	char *make[] = { "mkfs.ext4", "-q",	      "-F",	    "-b", "4096",
			 "-O",	      "^has_journal", (char *)path, NULL };

	if (mkdir(in_dir(r, "m"), 0700))
		return -errno;
	return run_program(make);
}

static int write_by_file(struct run *r, const void *data, size_t size)
{
	int fd = open_in_dir(r, "m/file", O_RDWR), error;

	if (fd < 0)
		return fd;
	error = write_all(fd, data, size) ?: result(fsync(fd));
	close(fd);
	return error;
}

static int read_at(const char *path, long at, int flags, void *data, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags), error = 0;

	if (fd < 0)
		return -errno;
	/* What is in the page cache may be older than the disk. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (pread(fd, block, size, at) != (ssize_t)size)
		error = errno ? -errno : -EIO;
	close(fd);
	memcpy(data, block, size);
	return error;
}

static int write_at(const char *path, long at, int flags, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags), error = 0;

	if (fd < 0)
		return -errno;
	memcpy(block, data, size);
	if (pwrite(fd, block, size, at) != (ssize_t)size || fsync(fd))
		error = -errno;
	close(fd);
	return error;
}

/* The file's pages are read from below, not from its own cache. */
static int read_by_file(struct run *r, void *data, size_t size)
{
	return read_at(in_dir(r, "m/file"), 0, O_DIRECT, data, size);
}

static void unmount(struct run *r)
{
	umount2(in_dir(r, "m"), MNT_DETACH);
}

/* --- disks ---------------------------------------------------------------- */

static const char *disk(const struct run *r)
{
	static char path[32];

	snprintf(path, sizeof(path), "/dev/ram%ld", r->DRIVE);
	return path;
}

static int take_disk(struct run *r)
{
	char used[40];

	run_program(
		(char *[]){ "modprobe", "brd", "rd_nr=40", "rd_size=4096", "max_part=4", NULL });
	for (r->DRIVE = 0; !access(disk(r), F_OK); r->DRIVE++) {
		snprintf(used, sizeof(used), "/run/used.ram%ld", r->DRIVE);
		if (!mkdir(used, 0700))
			return result(symlink(disk(r), in_dir(r, "disk")));
	}
	return absent("the kernel has no RAM disks");
}

static int setup_disk(struct run *r)
{
	return take_disk(r) ?: make_fs(r, disk(r))
		       ?: result(mount(disk(r), in_dir(r, "m"), "ext4", 0, NULL))
		       ?: make_file(r, 0);
}

static int read_disk(struct run *r, void *data, size_t size)
{
	return read_at(disk(r), r->AT, 0, data, size);
}

static int read_disk_directly(struct run *r, void *data, size_t size)
{
	return read_at(disk(r), r->AT, O_DIRECT, data, size);
}

static int read_disk_mapped(struct run *r, void *data, size_t size)
{
	int fd = open(disk(r), O_RDONLY | O_CLOEXEC);
	void *map;

	if (fd < 0)
		return -errno;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, r->AT);
	close(fd);
	if (map == MAP_FAILED)
		return -errno;
	memcpy(data, map, size);
	munmap(map, size);
	return 0;
}

#define DISK(id, text, hooks, way, places, sends, receives)                                        \
	CHANNEL(id, .name = "disk/" text, .hook = hooks, .carrier = way, .at = places,             \
		.setup = setup_disk, .send = sends, .receive = receives, .teardown = unmount)

DISK(under_file, "read-under-file", "file_permission", "file,disk", "m/file,disk", write_by_file,
     read_disk);
DISK(under_file_direct, "read-under-file-direct", "file_permission", "file,disk", "m/file,disk",
     write_by_file, read_disk_directly);
DISK(under_file_mapped, "mmap-under-file", "mmap_file", "file,disk", "m/file,disk", write_by_file,
     read_disk_mapped);

static int write_disk(struct run *r, const void *data, size_t size)
{
	return write_at(disk(r), r->AT, 0, data, size);
}

static int write_disk_directly(struct run *r, const void *data, size_t size)
{
	return write_at(disk(r), r->AT, O_DIRECT, data, size);
}

static int write_disk_mapped(struct run *r, const void *data, size_t size)
{
	int fd = open(disk(r), O_RDWR | O_CLOEXEC), error;
	void *map;

	if (fd < 0)
		return -errno;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, r->AT);
	close(fd);
	if (map == MAP_FAILED)
		return -errno;
	memcpy(map, data, size);
	error = result(msync(map, size, MS_SYNC));
	munmap(map, size);
	return error;
}
DISK(raw, "raw", "file_permission", "disk", "disk", write_disk, read_disk);
DISK(raw_mapped, "raw-mmap", "mmap_file", "disk", "disk", write_disk_mapped, read_disk_directly);
DISK(over_file, "write-under-file", "file_permission", "disk,file", "disk,m/file",
     write_disk_directly, read_by_file);

/* A file in the same file system that is not the one that was written. */
static int setup_two(struct run *r)
{
	int error = setup_disk(r), fd;

	if (error)
		return error;
	fd = open_in_dir(r, "m/other", O_WRONLY | O_CREAT);
	error = write_all(fd, block, BLOCK);
	close(fd);
	return error;
}

static int read_other(struct run *r, void *data, size_t size)
{
	return read_at(in_dir(r, "m/other"), 0, O_DIRECT, data, size);
}
CHANNEL(other_file, .name = "disk/other-file", .hook = "", .carrier = "", .flags = SILENT,
	.setup = setup_two, .send = write_by_file, .receive = read_other, .teardown = unmount);

/* The file system is in a partition; the whole disk is read. */
static int setup_partition(struct run *r)
{
	unsigned char table[512] = { [450] = 0x83, [510] = 0x55, [511] = 0xaa };
	uint32_t first = PARTITION_AT / 512, sectors = (DISK_KIB - 1024) * 2;
	char part[40];
	int error = take_disk(r), fd;

	if (error)
		return error;
	memcpy(table + 454, &first, 4);
	memcpy(table + 458, &sectors, 4);
	fd = open(disk(r), O_RDWR | O_CLOEXEC);
	error = write_all(fd, table, sizeof(table)) ?: result(fsync(fd));
	if (!error)
		error = result(ioctl(fd, BLKRRPART));
	close(fd);
	snprintf(part, sizeof(part), "%sp1", disk(r));
	for (int tries = 0; !error && access(part, F_OK) && tries < 200; tries++)
		usleep(10000);
	return error ?: make_fs(r, part)
			?: result(mount(part, in_dir(r, "m"), "ext4", 0, NULL))
			?: make_file(r, PARTITION_AT);
}
CHANNEL(partition, .name = "disk/whole-disk-under-file", .hook = "file_permission",
	.carrier = "file,disk", .at = "m/file,disk", .setup = setup_partition,
	.send = write_by_file, .receive = read_disk_directly, .teardown = unmount);

/* --- image files ---------------------------------------------------------- */

static int mount_image(struct run *r)
{
	return run_program((char *[]){ "mount", "-o", "loop", (char *)in_dir(r, "image"),
				       (char *)in_dir(r, "m"), NULL });
}

static int setup_image(struct run *r)
{
	int fd = open_in_dir(r, "image", O_RDWR | O_CREAT), error;

	run_program((char *[]){ "modprobe", "loop", NULL });
	error = result(ftruncate(fd, DISK_KIB << 10));
	close(fd);
	return error ?: make_fs(r, in_dir(r, "image")) ?: mount_image(r) ?: make_file(r, 0);
}

static void unmount_image(struct run *r)
{
	umount(in_dir(r, "m"));
}

static int read_image(struct run *r, void *data, size_t size)
{
	return read_at(in_dir(r, "image"), r->AT, 0, data, size);
}

static int write_image(struct run *r, const void *data, size_t size)
{
	return write_at(in_dir(r, "image"), r->AT, 0, data, size);
}

/* The loop device that the file system is on: its number is that of m's st_dev. */
static int read_loop(struct run *r, void *data, size_t size)
{
	struct stat st;
	char path[32];

	if (stat(in_dir(r, "m"), &st))
		return -errno;
	snprintf(path, sizeof(path), "/dev/loop%u", (unsigned)st.st_dev & 0xff);
	return read_at(path, r->AT, 0, data, size);
}

#define IMAGE(id, text, places, sends, receives)                                                   \
	CHANNEL(id, .name = "image/" text, .hook = "file_permission", .carrier = "file,file",      \
		.at = places, .setup = setup_image, .send = sends, .receive = receives,            \
		.teardown = unmount_image)

IMAGE(image_read, "read-under-file", "m/file,image", write_by_file, read_image);
IMAGE(image_loop, "read-loop-device", "m/file,image", write_by_file, read_loop);
IMAGE(image_write, "write-under-file", "image,m/file", write_image, read_by_file);

/* The source itself is made a loop device, which the policy does not name. */
static int setup_loop(struct run *r)
{
	(void)r;
	run_program((char *[]){ "modprobe", "loop", NULL });
	return access("/dev/loop-control", F_OK) ? absent("the kernel has no loop devices") : 0;
}

static int read_source_by_loop(struct run *r, void *data, size_t size)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int number = ioctl(control, LOOP_CTL_GET_FREE), loop, source, error;
	char path[32];

	close(control);
	snprintf(path, sizeof(path), "/dev/loop%d", number);
	loop = open(path, O_RDONLY | O_CLOEXEC);
	source = open(r->source, O_RDONLY | O_CLOEXEC);
	if (number < 0 || loop < 0 || source < 0)
		return -errno;
	error = result(ioctl(loop, LOOP_SET_FD, source));
	close(source);
	if (error)
		return error;
	error = read_at(path, 0, 0, data, size);
	ioctl(loop, LOOP_CLR_FD);
	close(loop);
	return error;
}
CHANNEL(loop_source, .name = "image/named-by-policy", .hook = "file_permission", .carrier = "",
	.flags = READS_SOURCE, .setup = setup_loop, .receive = read_source_by_loop);

/* What an image has by a file in it is in no other file of it. */
static int setup_image_two(struct run *r)
{
	int error = setup_image(r), fd;

	if (error)
		return error;
	fd = open_in_dir(r, "m/other", O_WRONLY | O_CREAT);
	error = write_all(fd, block, BLOCK);
	close(fd);
	return error;
}
CHANNEL(image_other, .name = "image/other-file", .hook = "", .carrier = "", .flags = SILENT,
	.setup = setup_image_two, .send = write_by_file, .receive = read_other,
	.teardown = unmount_image);

/* --- out of the guest ----------------------------------------------------- */

static const char *spare(const struct run *r)
{
	static char path[16];

	snprintf(path, sizeof(path), "/dev/vd%c", (int)r->DRIVE);
	return path;
}

/* The disk with the serial "spare", which the lab gives the guest for this. */
static int setup_spare(struct run *r)
{
	char path[64], serial[21] = "";

	for (r->DRIVE = 'a'; r->DRIVE <= 'z'; r->DRIVE++) {
		int fd;

		snprintf(path, sizeof(path), "/sys/block/vd%c/serial", (int)r->DRIVE);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, serial, sizeof(serial) - 1) >= 5 && !memcmp(serial, "spare", 5)) {
			close(fd);
			return result(symlink(spare(r), in_dir(r, "disk")));
		}
		close(fd);
	}
	return absent("the guest has no disk to spare");
}

static int leak_written(struct run *r, const void *data, size_t size)
{
	return write_at(spare(r), 0, 0, data, size);
}

static int leak_written_directly(struct run *r, const void *data, size_t size)
{
	return write_at(spare(r), 0, O_DIRECT, data, size);
}

#define DEVICE(id, text, sends)                                                                    \
	CHANNEL(id, .name = "leak/disk/" text, .hook = "file_permission", .flags = LEAK,           \
		.leak = "kind=device", .at = "disk", .setup = setup_spare, .send = sends)

DEVICE(spare_write, "write", leak_written);
DEVICE(spare_direct, "o-direct", leak_written_directly);

NOT_COVERED(device_mapper, "device mapper (LVM, LUKS), md: a disk that lies on other disks",
	    "each is a disk of its own here; who reads the disk below it raw is not marked");
NOT_COVERED(mapped_disk,
	    "a disk that a process has mapped, when a file on it becomes managed later",
	    "who maps it afterwards is marked, and who reads it");
NOT_COVERED(targets, "ksmbd and in-kernel iSCSI targets of the guest that send a managed file out",
	    "kernel threads read it, which are no process; nfsd's are known by their name");
NOT_COVERED(far_disks, "disks of other machines that look like any other: iSCSI, NVMe over fabrics",
	    "a file on nbd, rbd or DRBD is a leak; these disks are known by name");
NOT_COVERED(
	served_disks,
	"disks that a process of the guest serves: ublk, TCMU, VDUSE; nbd to a server in the guest",
	"the server takes requests by ways that pass no function of their own; nbd is a leak");
NOT_COVERED(
	device_commands,
	"commands that a process gives to a device itself: SG_IO, `/dev/sg*`, `/dev/bsg`, `/dev/ng*`, NVMe "
	"by io_uring, VFIO, UIO, `ioperm`",
	"by root; each driver has its own, and with the last three no function sees the data");
NOT_COVERED(swap, "swap disks and files, zram, read raw", "which process's page is where changes");
NOT_COVERED(
	own_ioctls,
	"ioctls of one file system that copy or swap content: `btrfs send` and `BTRFS_IOC_TREE_SEARCH`,"
	" `EXT4_IOC_MOVE_EXT`, `XFS_IOC_EXCHANGE_RANGE`",
	"each is a way of its own; backup of the whole, and defragmentation, by root");
