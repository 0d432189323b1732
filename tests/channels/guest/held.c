// SPDX-License-Identifier: GPL-2.0
/* Channels that begin before kvmtaint comes: the source is held open, or mapped. */
#include "coordinator.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static pid_t fork_holder(struct play *play, int round, const char *role)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	call_myself(play, role, 0);
	round_is(play, round);
	play->run.receiver = getpid();
	tell(play->line[SENT], answer(play->channel->send(&play->run, NULL, play->size), 0));
	hear(play->line[GO]);
	tell(play->line[RESULT], answer(receive_and_compare(play, round), 0));
	hear(play->line[DONE]);
	_exit(0);
}

static void hold_one(struct play *play, int round)
{
	bool fresh = round == FRESH_ROUND;
	uint64_t heard;

	if (!begin(play, fresh))
		return;
	play->receivers[0] = fork_holder(play, round, fresh ? "f" : "r");
	heard = hear_in_time(play->line[SENT]);
	if (!heard || error_of(heard))
		fail(play, round, "hold", heard ? error_of(heard) : -ETIMEDOUT);
}

void hold(struct play *play)
{
	play->held_public = malloc(sizeof(*play));
	*play->held_public = *play;
	hold_one(play, 2);
	hold_one(play->held_public, FRESH_ROUND);
}

static bool release_one(struct play *play, int round)
{
	uint64_t heard;

	if (!play->failed) {
		tell(play->line[GO], 1);
		heard = hear_in_time(play->line[RESULT]);
		if (!heard || error_of(heard))
			fail(play, round, "receive", heard ? error_of(heard) : -ETIMEDOUT);
	}
	if (play->receivers[0] > 0) {
		kill(play->receivers[0], SIGKILL);
		waitpid(play->receivers[0], NULL, 0);
	}
	end(play, round == FRESH_ROUND, false);
	return !play->failed;
}

int release(struct play *play)
{
	bool good = release_one(play, 2) & release_one(play->held_public, FRESH_ROUND);

	play->receivers[1] = play->held_public->receivers[0];
	if (play->held_public->failed)
		memcpy(play->why, play->held_public->why, sizeof(play->why));
	return good ? 0 : -1;
}

/* --- the channels --------------------------------------------------------- */

static int hold_open(struct run *r, const void *unused, size_t size)
{
	(void)unused;
	(void)size;
	r->fd[0] = open(r->source, O_RDONLY | O_CLOEXEC);
	return result(r->fd[0]);
}

static int receive_open(struct run *r, void *data, size_t size)
{
	return pread(r->fd[0], data, size, 0) == (ssize_t)size ? 0 : -EIO;
}
CHANNEL(opened, .name = "file/opened-before-attach", .hook = "scan,file_permission",
	.flags = READS_SOURCE | HELD, .send = hold_open, .receive = receive_open);

static int hold_mapped(struct run *r, const void *unused, size_t size)
{
	int fd = open(r->source, O_RDONLY | O_CLOEXEC);

	(void)unused;
	r->data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return r->data == MAP_FAILED ? -errno : 0;
}

static int receive_mapped(struct run *r, void *data, size_t size)
{
	memcpy(data, r->data, size);
	return 0;
}
CHANNEL(mapped, .name = "file/mapped-before-attach", .hook = "scan", .flags = READS_SOURCE | HELD,
	.send = hold_mapped, .receive = receive_mapped);
