// SPDX-License-Identifier: GPL-2.0
/*
 * Channels through a FUSE file system, whose server is the sender or the receiver
 * itself: it speaks the protocol of /dev/fuse (include/uapi/linux/fuse.h).
 */
#include "channel.h"

#include <linux/fuse.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/xattr.h>

#define DEVICE	 0
#define FILE_FD	 1
#define FILE_INO 2
#define FOREVER	 86400 /* s */
#define ROOM	 (CHANNEL_SIZE + 4096 + sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))

/* What the server gives, or is given, and what ends it. */
struct server {
	int device;
	uint32_t last; /* it ends when it has answered this request ... */
	int times; /* ... so often */
	void *data;
	size_t size;
};

static void fill_attr(struct fuse_attr *attr, uint64_t ino)
{
	attr->ino = ino;
	attr->mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0600;
	attr->nlink = 1;
	attr->size = ino == FUSE_ROOT_ID ? 0 : CHANNEL_SIZE;
}

static int answer(int device, uint64_t unique, int error, const void *data, size_t size)
{
	char reply[sizeof(struct fuse_out_header) + CHANNEL_SIZE];
	struct fuse_out_header head = { .len = sizeof(head) + size,
					.unique = unique,
					.error = error };

	memcpy(reply, &head, sizeof(head));
	memcpy(reply + sizeof(head), data, size);
	return write(device, reply, head.len) == (ssize_t)head.len || errno == ENOENT ? 0 : -errno;
}

static int answer_init(int device, const struct fuse_in_header *in)
{
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION,
				     .minor = FUSE_KERNEL_MINOR_VERSION,
				     .max_write = CHANNEL_SIZE };

	return answer(device, in->unique, 0, &out, sizeof(out));
}

static int answer_write(const struct server *server, const struct fuse_in_header *in)
{
	const struct fuse_write_in *write_in = (const void *)(in + 1);
	struct fuse_write_out out = { .size = write_in->size };

	if (server->data && write_in->size <= server->size)
		memcpy(server->data, write_in + 1, write_in->size);
	return answer(server->device, in->unique, 0, &out, sizeof(out));
}

static int answer_setxattr(const struct server *server, const struct fuse_in_header *in)
{
	const char *end = (const char *)in + in->len;

	/* The value is what the request ends with, behind its header and the name. */
	if (server->data && in->len > sizeof(*in) + server->size)
		memcpy(server->data, end - server->size, server->size);
	return answer(server->device, in->unique, 0, NULL, 0);
}

static int answer_one(const struct server *server, const struct fuse_in_header *in)
{
	struct fuse_entry_out entry = { .nodeid = FILE_INO,
					.entry_valid = FOREVER,
					.attr_valid = FOREVER };
	struct fuse_attr_out attr = { .attr_valid = FOREVER };
	struct fuse_open_out opened = { .open_flags = FOPEN_DIRECT_IO };

	switch (in->opcode) {
	case FUSE_INIT:
		return answer_init(server->device, in);
	case FUSE_LOOKUP:
		fill_attr(&entry.attr, FILE_INO);
		return answer(server->device, in->unique, 0, &entry, sizeof(entry));
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		fill_attr(&attr.attr, in->nodeid);
		return answer(server->device, in->unique, 0, &attr, sizeof(attr));
	case FUSE_OPEN:
		return answer(server->device, in->unique, 0, &opened, sizeof(opened));
	case FUSE_READ:
		return answer(server->device, in->unique, 0, server->data, server->size);
	case FUSE_WRITE:
		return answer_write(server, in);
	case FUSE_SETXATTR:
		return answer_setxattr(server, in);
	case FUSE_RELEASE:
		return answer(server->device, in->unique, 0, NULL, 0);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return 0;
	}
	/* Never asked again; a close that asks nobody (FUSE_FLUSH) cannot block. */
	return answer(server->device, in->unique, -ENOSYS, NULL, 0);
}

/* Serves until its end has come. 0 or -errno. */
static int serve(struct server *server)
{
	char room[ROOM] __attribute__((aligned(8)));
	const struct fuse_in_header *in = (const void *)room;
	int error = 0;

	while (!error && server->times) {
		ssize_t n = read(server->device, room, sizeof(room));

		if (n < 0 && errno != EINTR && errno != EAGAIN && errno != ENOENT)
			return -errno;
		if (n < (ssize_t)sizeof(*in))
			continue;
		error = answer_one(server, in);
		server->times -= in->opcode == server->last;
	}
	return error;
}

/* --- how each begins and ends ---------------------------------------------- */

static void *serve_opening(void *server)
{
	return (void *)(intptr_t)serve(server);
}

/* The coordinator opens the file twice: the first close learns that none asks for the server. */
static int open_file(struct run *r)
{
	struct server server = { .device = r->fd[DEVICE], .last = FUSE_OPEN, .times = 2 };
	const char *path = in_dir(r, "mnt/file");
	pthread_t thread;
	void *status;
	int fd;

	if (pthread_create(&thread, NULL, serve_opening, &server))
		return -EAGAIN;
	fd = open(path, O_RDWR | O_CLOEXEC);
	close(fd);
	r->fd[FILE_FD] = fd < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
	if (r->fd[FILE_FD] < 0) {
		pthread_cancel(thread);
		pthread_join(thread, NULL);
		return -EIO;
	}
	pthread_join(thread, &status);
	return (int)(intptr_t)status;
}

static int setup_fuse(struct run *r)
{
	char *words[] = { "modprobe", "fuse", NULL };
	char options[100];
	int error;

	run_program(words);
	r->fd[DEVICE] = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (r->fd[DEVICE] < 0)
		return absent("the kernel has no FUSE");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0",
		 r->fd[DEVICE]);
	error = mount_at("channel", in_dir(r, "mnt"), "fuse", options);
	if (error)
		return error;
	error = open_file(r);
	if (error)
		umount2(in_dir(r, "mnt"), MNT_DETACH);
	return error;
}

static void teardown_fuse(struct run *r)
{
	close(r->fd[FILE_FD]);
	r->fd[FILE_FD] = -1;
	close(r->fd[DEVICE]);
	r->fd[DEVICE] = -1;
	umount2(in_dir(r, "mnt"), MNT_DETACH);
}

/* --- to the server ---------------------------------------------------------- */

static int serve_one(struct run *r, uint32_t opcode, void *data, size_t size)
{
	struct server server = {
		.device = r->fd[DEVICE], .last = opcode, .times = 1, .data = data, .size = size
	};

	return serve(&server);
}

static int send_write(struct run *r, const void *data, size_t size)
{
	ssize_t n = pwrite(r->fd[FILE_FD], data, size, 0);

	return n < 0 ? -errno : (size_t)n == size ? 0 : -EIO;
}

static int receive_write(struct run *r, void *data, size_t size)
{
	return serve_one(r, FUSE_WRITE, data, size);
}

static int send_setxattr(struct run *r, const void *data, size_t size)
{
	return result(fsetxattr(r->fd[FILE_FD], "user.channel", data, size, 0));
}

static int receive_setxattr(struct run *r, void *data, size_t size)
{
	return serve_one(r, FUSE_SETXATTR, data, size);
}

/* --- from the server -------------------------------------------------------- */

static int send_answer(struct run *r, const void *data, size_t size)
{
	return serve_one(r, FUSE_READ, (void *)data, size);
}

static int receive_read(struct run *r, void *data, size_t size)
{
	ssize_t n = pread(r->fd[FILE_FD], data, size, 0);

	return n < 0 ? -errno : (size_t)n == size ? 0 : -EIO;
}

/* Each waits for the other, so that the receiver is always in its call first. */
#define FUSE(id, text, hooks, sends, receives)                                                     \
	CHANNEL(id, .name = "fuse/" text, .hook = hooks, .carrier = "fuse", .flags = BLOCKED,      \
		.setup = setup_fuse, .send = sends, .receive = receives,                           \
		.teardown = teardown_fuse)

FUSE(write, "to-server", "file_permission", send_write, receive_write);
FUSE(xattr, "xattr-to-server", "inode_setxattr", send_setxattr, receive_setxattr);
FUSE(answer, "from-server", "file_permission", send_answer, receive_read);

NOT_COVERED(fuse_names,
	    "what FUSE hands to its server beside the content of files and xattrs: names",
	    "as all names");
NOT_COVERED(
	fuse_uring, "FUSE over io_uring (6.14), CUSE",
	"the server takes requests by commands of io_uring, which pass no function of their own");
