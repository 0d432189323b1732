// SPDX-License-Identifier: GPL-2.0
/* One request and one answer a connection: SOCK_SEQPACKET keeps each in one piece. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "vm_lock.h"

#define PATIENCE_MS 100 /* of the tracer with who connects: a VM may be waiting for it */

static struct sockaddr_un address_of(pid_t pid)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), VM_LOCK_DIR "/%d.control", pid);
	return address;
}

int control_open(pid_t pid, char *err, size_t err_len)
{
	struct sockaddr_un address = address_of(pid);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), code;
	mode_t mask = umask(0177);

	/* The lock is ours: whoever left one behind is gone. */
	unlink(address.sun_path);
	if (fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 8)) {
		umask(mask);
		return fd;
	}
	code = errno;
	umask(mask);
	if (fd >= 0)
		close(fd);
	snprintf(err, err_len, "cannot listen on %s: %s", address.sun_path, strerror(code));
	return -code;
}

void control_close(pid_t pid, int fd)
{
	struct sockaddr_un address = address_of(pid);

	if (fd < 0)
		return;
	unlink(address.sun_path);
	close(fd);
}

static bool is_root(int fd)
{
	struct ucred peer = { .uid = -1 };
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) && !peer.uid;
}

void control_serve(int fd, void (*fn)(void *ctx, const char *request, char *answer), void *ctx)
{
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	struct pollfd speaks = { .fd = peer, .events = POLLIN };
	char request[CONTROL_LEN], answer[CONTROL_LEN] = "";
	ssize_t n;

	if (peer < 0)
		return;
	if (is_root(peer) && poll(&speaks, 1, PATIENCE_MS) == 1) {
		n = recv(peer, request, sizeof(request) - 1, MSG_DONTWAIT);
		if (n > 0) {
			request[n] = '\0';
			fn(ctx, request, answer);
			(void)!send(peer, answer, strlen(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
		}
	}
	close(peer);
}

int control_ask(pid_t pid, const char *request, char answer[CONTROL_LEN])
{
	struct sockaddr_un address = address_of(pid);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), rc = 0;
	ssize_t n = -1;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		rc = errno == ECONNREFUSED ? -ENOENT : -errno;
	else if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 ||
		 (n = recv(fd, answer, CONTROL_LEN - 1, 0)) <= 0)
		rc = n ? -errno : -ECONNRESET;
	else
		answer[n] = '\0';
	close(fd);
	return rc;
}
