/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the program `channels` share, and channels do not see. */
#ifndef COORDINATOR_H
#define COORDINATOR_H

#include "channel.h"

#define WAIT_MS		20000 /* nothing that a channel does takes so long */
#define SIZE_MAX_OF_ALL 65536
#define FRESH_ROUND	3 /* a public round again, with everything new */
#define ROUNDS		(FRESH_ROUND + 1)

enum line { GO, RESULT, SENT, DONE, OWN, LINES };

#define CARRIERS 4 /* no channel has more */

/* One channel being run, in all the processes that run it. */
struct play {
	const struct channel *channel;
	struct run run;
	char name[64], dir[64], source[ROUNDS][64];
	int index, round, line[LINES]; /* round: at hand, in sender and receiver */
	bool blocked, failed;
	size_t size;
	uint64_t digest[ROUNDS];
	pid_t senders[ROUNDS], heirs[ROUNDS], receivers[2];
	char why[160], carriers[CARRIERS * 256];
	struct play *held_public; /* HELD: the other holder's */
};

/* Why the channel whose setup() returned ABSENT is. */
const char *absent_why(void);

void sleep_ms(long ms);

/* Waits until the process does nothing but sleep; false: it did not in time. */
bool sleeps(pid_t pid);

/* Eventfds: a value that is not 0; 0: nothing came in time. */
void tell(int fd, uint64_t value);
uint64_t hear(int fd);
uint64_t hear_in_time(int fd);

/* A result of 0 or -errno, and the heir's pid, as the value of an eventfd. */
uint64_t answer(int error, pid_t heir);
int error_of(uint64_t heard);

/*
 * channels helper DIR DYING, which the kernel executes with a core dump as its input: keeps it in
 * DIR/core, and in DIR/pipe the inode number of the pipe that it came by. Returns an exit status.
 */
int be_helper(const char *dir, const char *dying);

/* Sets INDEX.ROLE, and a number unless it is 0, as this process's name. */
void call_myself(const struct play *play, const char *role, int number);

/*
 * Of sender or receiver, at the end of its round: tells the coordinator which descriptor or number
 * a carrier has, where only it knows.
 */
void tell_own(struct play *play, bool receiver);

/* Of the coordinator, while both are there: notes as JSON what the carriers are. */
void look_at_carriers(struct play *play, pid_t sender, pid_t receiver);

/* Of the process that calls: this round is at hand. */
void round_is(struct play *play, int round);

/* Receives and compares; 0 or -errno. */
int receive_and_compare(struct play *play, int round);

/* Notes the first thing that went wrong; false. */
bool fail(struct play *play, int round, const char *what, int error);

/* Makes folder, sources and eventfds: of rounds 1 and 2, or of the fresh one; and takes them away.
 */
bool begin(struct play *play, bool fresh);
void end(struct play *play, bool fresh, bool was_set_up);

/*
 * Channels HELD: hold() forks, before kvmtaint comes, a process that holds the secret source by the
 * channel's send(), and one that holds a public one; release() has both receive from what they
 * hold.
 */
void hold(struct play *play);
int release(struct play *play);

#endif
