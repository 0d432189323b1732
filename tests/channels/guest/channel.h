/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a channel is to the program `channels`: one way in which a secret gets from
 * a sender to a receiver inside the guest, or out of it. tests/channels/README.md
 * tells how one is run and judged.
 *
 * A file of channels registers each by CHANNEL(); nothing else needs to know it.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHANNEL_SIZE 4096 /* bytes of a secret where the channel says nothing else */
#define CHANNEL_FDS  8
#define ABSENT	     1 /* of setup(): this guest has no such thing; see absent() */

struct run {
	const char *dir; /* empty folder of this channel, on ext4, clean */
	const char *source; /* of this round: the file that holds its bytes; not in setup() */
	int round; /* 1: unmanaged source; 2: managed source */
	int fd[CHANNEL_FDS]; /* the channel's own: what setup() opened; -1 */
	void *data; /* the channel's own: malloc'ed, or MAP_SHARED where the channel is about that
		     */
	long number[4]; /* the channel's own */
	pid_t sender, receiver; /* sender: in send() only; receiver: in both, 0 if there is none */
	/* A process that send() made: the receiver (HEIR), or the one that sends (COPIES_SOURCE).
	 */
	pid_t heir;
};

enum channel_flag {
	BLOCKED = 1 << 0, /* send() comes once the receiver sleeps in its receive() */
	BOTH = 1 << 1, /* two channels: as it is, and NAME/blocked with BLOCKED */
	LEAK = 1 << 2, /* no receiver: send() sends to L1 (10.9.0.1, fd00:9::1) and leaks */
	SILENT = 1 << 3, /* nothing may ever spread from the sender */
	READS_SOURCE = 1 << 4, /* the sender does not read the source: the receiver reads it */
	COPIES_SOURCE = 1 << 6, /* send() itself reads the source, in its own way */
	HELD = 1 << 7, /* send() runs before kvmtaint comes, in the receiver itself: it opens or
			* maps the source; setup() is not called */
	HEIR = 1 << 5, /* no receiver: send() makes one, r->heir, that checks what it has by
			  received() */
};

struct channel {
	const char *name; /* "sysv/msgsnd" */
	/* ids in vmlinux-guest/hooks.def, comma separated: with all of them off it is missed;
	 * "scan" is the scan at attach */
	const char *hook;
	/* kinds of the carriers between sender and receiver as records name them, in the
	 * order of the way: "pipe", "pipe,socket"; "": from process to process directly */
	const char *carrier;
	/* Where each of them is to be found at the end of round 2, comma separated: NAME in dir, or
	 * an absolute path ("disk" is a link to the device; no other link is followed); #N: fd[N];
	 * =N: number[N], a serial or inode number; of these two there may be one, as the receiver
	 * has it, or the sender where there is none; "-": it cannot be told. NULL: a file is
	 * "file", a pipe or socket #0, a terminal #1, a key =0. A LEAK's: the file or device it
	 * goes to. */
	const char *at;
	unsigned flags;
	size_t size; /* bytes; 0: CHANNEL_SIZE */
	const char *head; /* with this text the source begins (it is a script); NULL: none */
	const char *leak; /* LEAK: what its record says: "kind=remote destination.port=9000" */
	/* Coordinator, before the others are forked: 0, -errno, or ABSENT. */
	int (*setup)(struct run *r);
	/* Sender; data are what it just read() from the source. 0 or -errno. */
	int (*send)(struct run *r, const void *data, size_t size);
	/* Receiver: fills data with what was sent. 0 or -errno. */
	int (*receive)(struct run *r, void *data, size_t size);
	void (*teardown)(struct run *r); /* what is neither in fd[] nor in dir */
};

#define CHANNEL(id, ...)                                                                           \
	static const struct channel channel_##id = { __VA_ARGS__ };                                \
	static const struct channel *const __attribute__((used, section("channels")))              \
	channel_at_##id = &channel_##id

/* What no channel shows because it is known not to be seen; for the README. */
struct not_covered {
	const char *way, *why;
};

#define NOT_COVERED(id, way, why)                                                                  \
	static const struct not_covered not_covered_##id = { way, why };                           \
	static const struct not_covered *const __attribute__((used, section("not_covered")))       \
	not_covered_at_##id = &not_covered_##id

/* Says why this guest lacks the channel; returns ABSENT. */
int absent(const char *why);

/* Whether these are the bytes of this round's source. */
bool received(const void *data, size_t size);

/*
 * For send() of a HEIR: ends the calling process, which is the heir, with status 0
 * if data are what the source holds.
 */
void heir_ends(const void *data, size_t size) __attribute__((noreturn));

/*
 * Executes this program anew, which then checks that the variable HEIR_DATA of its
 * environment, or its last argument, or else what comes from descriptor 0, is
 * what the source holds. Returns -errno only.
 */
int heir_executes(const char *argument, char *const *environment);

/* Waits for a child; 0, or -ECHILD when it did not end with status 0. */
int reap(pid_t pid);

/* 0, or -errno, of a call that returns -1 on error. */
static inline int result(long value)
{
	return value < 0 ? -errno : 0;
}

/* All of the bytes; 0, or -errno; -EPIPE at an early end. */
int read_all(int fd, void *data, size_t size);
int write_all(int fd, const void *data, size_t size);

/* Hands a descriptor on by SCM_RIGHTS, with one byte. 0 or -errno. */
int pass_descriptor(int socket, int fd);

/* The descriptor that came so, with CLOEXEC; or -errno. */
int take_descriptor(int socket);

/* Mounts a file system; the caller's teardown has to unmount it. 0, -errno or ABSENT. */
int mount_at(const char *what, const char *where, const char *type, const char *options);

/* Runs a program of the guest, silently; 0, or -ECHILD. */
int run_program(char *const *words);

/* DIR/name, in a buffer that the fourth call after this one uses again. */
const char *in_dir(const struct run *r, const char *name);

/*
 * A system call as 32-bit processes make it (int 0x80; numbers of
 * arch/x86/entry/syscalls/syscall_32.tbl): its result, -errno on error. What it points to must
 * lie in memory of memory32().
 */
long call32(int number, unsigned long a, unsigned long b, unsigned long c, unsigned long d);

/* Whether the guest has such calls: 0, or ABSENT. */
int has_calls32(void);

/* Zeroes below 4 GiB, which a fork shares nothing of; NULL: there are none. */
void *memory32(size_t size);

/* Opens DIR/name; flags as for open(), made with mode 0600. A descriptor, or -errno. */
int open_in_dir(const struct run *r, const char *name, int flags);

#endif
