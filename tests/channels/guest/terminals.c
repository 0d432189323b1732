// SPDX-License-Identifier: GPL-2.0
/* Channels through a pty. The suite runs kvmtaint with --terminals both. */
#include "channel.h"

#include <sys/ioctl.h>
#include <termios.h>

#define MASTER 0
#define SLAVE  1
#define SIZE   1024 /* a terminal holds less than 4,096 bytes */

/* Bytes go through as they are, and no line has to end. */
static int open_pty(struct run *r, tcflag_t echo)
{
	struct termios mode;
	int master = r->fd[MASTER] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (master < 0 || grantpt(master) || unlockpt(master))
		return -errno;
	r->fd[SLAVE] = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (r->fd[SLAVE] < 0 || tcgetattr(r->fd[SLAVE], &mode))
		return -errno;
	cfmakeraw(&mode);
	mode.c_lflag |= echo;
	return result(tcsetattr(r->fd[SLAVE], TCSANOW, &mode));
}

static int setup_silent(struct run *r)
{
	return open_pty(r, 0);
}

static int setup_echoing(struct run *r)
{
	return open_pty(r, ECHO);
}

static int write_slave(struct run *r, const void *data, size_t size)
{
	return write_all(r->fd[SLAVE], data, size);
}

static int write_master(struct run *r, const void *data, size_t size)
{
	return write_all(r->fd[MASTER], data, size);
}

static int read_master(struct run *r, void *data, size_t size)
{
	return read_all(r->fd[MASTER], data, size);
}

static int read_slave(struct run *r, void *data, size_t size)
{
	return read_all(r->fd[SLAVE], data, size);
}

#define PTY(id, text, hooks, bytes, ready, sends, receives)                                        \
	CHANNEL(id, .name = "terminal/" text, .hook = hooks, .carrier = "terminal", .flags = BOTH, \
		.size = bytes, .setup = ready, .send = sends, .receive = receives)

PTY(output, "slave-to-master", "file_permission", SIZE, setup_silent, write_slave, read_master);
PTY(input, "master-to-slave", "file_permission", SIZE, setup_silent, write_master, read_slave);
PTY(echo, "echo", "file_permission", SIZE, setup_echoing, write_master, read_master);

/* --- TIOCSTI: what nobody typed ------------------------------------------- */

/* From 6.2 on it may be forbidden (dev.tty.legacy_tiocsti), but not to root. */
static int setup_tiocsti(struct run *r)
{
	int error = open_pty(r, 0);

	if (!error && ioctl(r->fd[SLAVE], TIOCSTI, "x"))
		return absent("TIOCSTI is forbidden");
	return error ? error : result(tcflush(r->fd[SLAVE], TCIFLUSH));
}

static int send_tiocsti(struct run *r, const void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (ioctl(r->fd[SLAVE], TIOCSTI, (const char *)data + i))
			return -errno;
	return 0;
}
PTY(tiocsti, "tiocsti", "tiocsti", 64, setup_tiocsti, send_tiocsti, read_slave);

NOT_COVERED(
	selection, "the selection of a virtual console (`TIOCL_SETSEL`, paste), `/dev/vcs`",
	"a screen that somebody looks at: what a managed process writes on it is a leak already");