/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests of carriers by the engine run natively over RAM images of five guest
 * kernels. Two processes, SENDER and RECEIVER, are copies of the image's own; so are
 * the objects between them. Includers bring cmocka.
 */
#ifndef KVMTAINT_TEST_PLAY_WORLD_H
#define KVMTAINT_TEST_PLAY_WORLD_H

#include "replay_world.h"

#define SENDER	    0
#define RECEIVER    1
#define RECORDS_MAX 16
#define MAY_WRITE   2
#define MAY_READ    4

struct play {
	struct world w;
	const char *series;
	struct kt_record records[RECORDS_MAX];
	size_t count;
};

static inline int keep(void *ctx, const struct kt_record *record, size_t len)
{
	struct play *p = ctx;

	assert_true(p->count < RECORDS_MAX);
	memset(&p->records[p->count], 0, sizeof(*record));
	memcpy(&p->records[p->count++], record, len);
	return 0;
}

static inline void hook4(struct play *p, enum kt_hook hook, uint32_t who, uint64_t a0, uint64_t a1,
			 uint64_t a2, uint64_t a3)
{
	uint64_t args[4] = { a0, a1, a2, a3 };

	assert_true(p->w.profile->hooks[hook].site.v);
	assert_int_equal(run_hook_with(&p->w, 0, hook, task(&p->w, who), args), 0);
	p->count = 0;
	assert_true(engine_drain(p->w.engine, keep, p) >= 0);
}

static inline void hook(struct play *p, enum kt_hook which, uint32_t who, uint64_t a0, uint64_t a1)
{
	hook4(p, which, who, a0, a1, 0, 0);
}

static inline uint64_t process(struct play *p, uint32_t who)
{
	uint64_t key = signal_of(&p->w, who);

	return labels_of(&p->w, "processes", &key);
}

/* Labels of an object of a set that is known by its address. */
static inline uint64_t object(struct play *p, const char *set_name, uint64_t gva)
{
	return labels_of(&p->w, set_name, &gva);
}

static inline void sender_knows(struct play *p)
{
	uint64_t file = file_of(&p->w, p->series, p->w.holder, "secret");

	hook(p, KT_HOOK_file_permission, SENDER, file, MAY_READ);
	assert_int_equal(process(p, SENDER), 1);
}

/* An object that is only an address with zeroes. */
static inline uint64_t blank(struct play *p)
{
	uint64_t at = copy_of(&p->w, p->w.bystander);

	memset((void *)(uintptr_t)(at + p->w.moved), 0, OBJECT_SIZE);
	return at;
}

static inline uint64_t text(struct play *p, const char *bytes)
{
	uint64_t at = blank(p);

	memcpy((void *)(uintptr_t)(at + p->w.moved), bytes, strlen(bytes) + 1);
	return at;
}

static inline uint64_t dentry_of(struct play *p, const char *name)
{
	return peek(&p->w,
		    file_of(&p->w, p->series, p->w.holder, name) +
			    p->w.profile->guest.file_path_dentry,
		    8);
}

/* A regular file of its own: a dentry and inode that the policy does not name. */
static inline uint64_t plain_dentry(struct play *p, uint32_t mode)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t from = dentry_of(p, "secret"), at = copy_of(&p->w, from), inode = blank(p);
	uint64_t name = text(p, "plain");

	set(&p->w, inode + g->inode_mode, mode, 2);
	set(&p->w, inode + g->inode_nlink, 1, 4);
	set(&p->w, inode + g->inode_ino, 4711, 8);
	set(&p->w, inode + g->inode_sb,
	    peek(&p->w, peek(&p->w, from + g->dentry_inode, 8) + g->inode_sb, 8), 8);
	set(&p->w, at + g->dentry_inode, inode, 8);
	set(&p->w, at + g->dentry_name, name, 8);
	set(&p->w, at + g->dentry_name_len, 5, 4);
	return at;
}

/* *state: the image's series before, the play after. options: how its world is opened. */
static inline int play_open(void **state, const struct world *options)
{
	struct play *p = calloc(1, sizeof(*p));

	p->series = *state;
	p->w = *options;
	*state = p;
	world_open(&p->w, p->series);
	return 0;
}

static inline int tear_down(void **state)
{
	struct play *p = *state;

	*state = (void *)p->series;
	free(p);
	return 0;
}

static inline struct play *play(void **state)
{
	struct play *p = *state;

	if (!p->w.engine)
		skip();
	return p;
}

#endif
