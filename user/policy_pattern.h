/* SPDX-License-Identifier: GPL-2.0 */
/* One path pattern as a list of steps; see user/policy.h for the grammar. */
#ifndef KVMTAINT_POLICY_PATTERN_H
#define KVMTAINT_POLICY_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct byte_set {
	uint64_t bits[4];
};

static inline bool byte_set_has(const struct byte_set *set, unsigned int byte)
{
	return set->bits[byte >> 6] >> (byte & 63) & 1;
}

enum pattern_op {
	STEP_ONE, /* one byte of set */
	STEP_MANY, /* any number of bytes of set */
	STEP_DIRS, /* go on behind the next step as well as with it */
	STEP_UNTIL_SLASH, /* any bytes, the last of them '/' */
};

struct pattern_step {
	enum pattern_op op;
	struct byte_set set;
};

struct pattern {
	struct pattern_step *steps;
	size_t count;
};

/*
 * Parses an absolute pattern. 0; -ENOMEM; or -EINVAL with what is wrong in err.
 * Free with pattern_deinit().
 */
int pattern_init(struct pattern *pattern, const char *text, char *err, size_t err_len);
void pattern_deinit(struct pattern *pattern);

#endif
