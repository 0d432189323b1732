// SPDX-License-Identifier: GPL-2.0
/* Channels through System V and POSIX message queues. */
#include "channel.h"

#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>

struct message {
	long type;
	char text[CHANNEL_SIZE];
};

static int setup_sysv(struct run *r)
{
	r->number[0] = msgget(IPC_PRIVATE, 0600);
	return result(r->number[0]);
}

static void teardown_sysv(struct run *r)
{
	msgctl(r->number[0], IPC_RMID, NULL);
}

static int send_sysv(struct run *r, const void *data, size_t size)
{
	struct message message = { .type = 7 };

	memcpy(message.text, data, size);
	return result(msgsnd(r->number[0], &message, size, 0));
}

static int receive_sysv_by(struct run *r, void *data, size_t size, long type, int flags)
{
	struct message message;
	ssize_t n = msgrcv(r->number[0], &message, size, type, flags);

	if (n < 0)
		return -errno;
	memcpy(data, message.text, size);
	return 0;
}

static int receive_sysv(struct run *r, void *data, size_t size)
{
	return receive_sysv_by(r, data, size, 7, 0);
}

/* A copy of the message; those before it are still there. */
static int receive_sysv_copy(struct run *r, void *data, size_t size)
{
	return receive_sysv_by(r, data, size, r->round - 1, MSG_COPY | IPC_NOWAIT);
}

CHANNEL(sysv_msgsnd, .name = "sysv/msgsnd", .hook = "msg_alloc,msg_store", .carrier = "message",
	.flags = BOTH, .setup = setup_sysv, .send = send_sysv, .receive = receive_sysv,
	.teardown = teardown_sysv);
CHANNEL(sysv_msg_copy, .name = "sysv/msgrcv-copy", .hook = "msg_copy", .carrier = "message",
	.setup = setup_sysv, .send = send_sysv, .receive = receive_sysv_copy,
	.teardown = teardown_sysv);

/* The queue has no name any more when the channel starts: only descriptors. */
static int setup_mq(struct run *r)
{
	struct mq_attr attr = { .mq_maxmsg = 4, .mq_msgsize = CHANNEL_SIZE };
	char name[32];

	snprintf(name, sizeof(name), "/channel-%d", getpid());
	r->fd[0] = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	if (r->fd[0] < 0)
		return errno == ENOSYS ? absent("CONFIG_POSIX_MQUEUE is off") : -errno;
	return result(mq_unlink(name));
}

static int send_mq(struct run *r, const void *data, size_t size)
{
	return result(mq_send(r->fd[0], data, size, 1));
}

static int receive_mq(struct run *r, void *data, size_t size)
{
	ssize_t n = mq_receive(r->fd[0], data, size, NULL);

	return n < 0 ? -errno : n == (ssize_t)size ? 0 : -EBADMSG;
}

CHANNEL(posix_mq, .name = "posix/mq_send", .hook = "msg_alloc,msg_store", .carrier = "message",
	.flags = BOTH, .setup = setup_mq, .send = send_mq, .receive = receive_mq);

NOT_COVERED(binder, "binder",
	    "a system of its own behind one ioctl; Debian's cloud kernels have none");
NOT_COVERED(notified, "registers that a seccomp supervisor is notified of, and what it answers",
	    "six words of each call; ptrace's are followed");
NOT_COVERED(semaphores, "semaphores' values, signals' payloads, mq_notify",
	    "a few bits at a time, by system calls that programs use to synchronise");
