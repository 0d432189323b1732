// SPDX-License-Identifier: GPL-2.0
/* Channels through what a file carries beside its data. */
#include "channel.h"

#include <sys/xattr.h>

#define XATTR_SIZE 1024 /* fits into ext4's one block */

static int setup_file(struct run *r)
{
	r->fd[0] = open_in_dir(r, "file", O_RDWR | O_CREAT);
	return r->fd[0] < 0 ? r->fd[0] : 0;
}

static int got(ssize_t n, size_t size)
{
	return n < 0 ? -errno : n == (ssize_t)size ? 0 : -EBADMSG;
}

static int send_user(struct run *r, const void *data, size_t size)
{
	return result(setxattr(in_dir(r, "file"), "user.channel", data, size, 0));
}

static int receive_user(struct run *r, void *data, size_t size)
{
	return got(getxattr(in_dir(r, "file"), "user.channel", data, size), size);
}

static int send_trusted(struct run *r, const void *data, size_t size)
{
	return result(fsetxattr(r->fd[0], "trusted.channel", data, size, 0));
}

static int receive_trusted(struct run *r, void *data, size_t size)
{
	return got(fgetxattr(r->fd[0], "trusted.channel", data, size), size);
}

CHANNEL(xattr_user, .name = "xattr/user", .hook = "inode_setxattr,inode_getxattr",
	.carrier = "file", .size = XATTR_SIZE, .setup = setup_file, .send = send_user,
	.receive = receive_user);
CHANNEL(xattr_trusted, .name = "xattr/trusted", .hook = "inode_setxattr,inode_getxattr",
	.carrier = "file", .size = XATTR_SIZE, .setup = setup_file, .send = send_trusted,
	.receive = receive_trusted);

static const char *link_of(const struct run *r)
{
	return in_dir(r, r->round == 2 ? "link2" : "link1");
}

static int send_symlink(struct run *r, const void *data, size_t size)
{
	char text[XATTR_SIZE + 1] = "";

	memcpy(text, data, size);
	return result(symlink(text, link_of(r)));
}

static int receive_readlink(struct run *r, void *data, size_t size)
{
	return got(readlink(link_of(r), data, size), size);
}

CHANNEL(symlink_text, .name = "xattr/symlink", .hook = "inode_init,inode_readlink",
	.carrier = "file", .at = "link2", .size = XATTR_SIZE, .send = send_symlink,
	.receive = receive_readlink);

/* Short enough to lie in the inode itself. */
CHANNEL(symlink_short, .name = "xattr/symlink-short", .hook = "inode_init,inode_readlink",
	.carrier = "file", .at = "link2", .size = 40, .send = send_symlink,
	.receive = receive_readlink);

NOT_COVERED(names, "names: of files, of xattrs, of keys; a link that is followed, not read",
	    "each open and directory listing would be a flow");
NOT_COVERED(
	security_xattr, "xattrs of `security.*` and `system.*`, ACLs",
	"the kernel and its tools set and read them of every file; users cannot choose what is in them");
