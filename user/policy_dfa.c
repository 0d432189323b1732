// SPDX-License-Identifier: GPL-2.0
/*
 * Subset construction: all patterns as one non-deterministic automaton, then as
 * a deterministic one over classes of bytes that no pattern tells apart.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "policy_internal.h"

#define STATES_MAX 65535
#define WORK_MAX   100000000UL /* NFA steps taken: about a second */
#define BUCKETS	   65536

/* An NFA state is a step of a rule, or the place behind its last one. */
struct nfa {
	const struct policy_rule *rules;
	const struct pattern_step **step; /* NULL: the rule matches here */
	uint32_t *rule_of;
	size_t count;
};

/* One DFA state: a sorted set of NFA states. */
struct subset {
	uint32_t *members;
	uint32_t count;
	uint32_t next; /* in its bucket; 0: last (state 0 is in none) */
};

struct builder {
	struct nfa nfa;
	struct policy_dfa *dfa;
	struct subset *subsets;
	uint32_t room;
	uint32_t *buckets;
	uint32_t *now; /* the set being gathered */
	uint32_t now_count;
	uint32_t *seen; /* stamp of the last gathering that took a state */
	uint32_t stamp;
	size_t work;
};

void policy_dfa_deinit(struct policy_dfa *dfa)
{
	free(dfa->transitions);
	free(dfa->labels);
	*dfa = (struct policy_dfa){};
}

static int nfa_init(struct nfa *nfa, const struct policy_rule *rules, size_t count)
{
	static const struct pattern_step dead = { .op = STEP_ONE };
	size_t i, s, n = 1;

	for (i = 0; i < count; i++)
		n += rules[i].pattern.count + 1;
	*nfa = (struct nfa){ .rules = rules };
	nfa->step = calloc(n, sizeof(*nfa->step));
	nfa->rule_of = calloc(n, sizeof(*nfa->rule_of));
	if (!nfa->step || !nfa->rule_of)
		return -ENOMEM;
	/* A dead state keeps the start apart from DFA state 0 where there is no rule. */
	nfa->rule_of[0] = UINT32_MAX;
	nfa->step[nfa->count++] = &dead;
	for (i = 0; i < count; i++) {
		for (s = 0; s <= rules[i].pattern.count; s++) {
			nfa->rule_of[nfa->count] = i;
			nfa->step[nfa->count++] =
				s < rules[i].pattern.count ? &rules[i].pattern.steps[s] : NULL;
		}
	}
	return 0;
}

/* Splits every class that set cuts in two. */
static void refine(struct policy_dfa *dfa, const struct byte_set *set)
{
	int split[256]; /* old class -> class of its bytes inside set */
	bool outside[256] = {};
	unsigned int byte;

	memset(split, -1, sizeof(split));
	for (byte = 0; byte < 256; byte++)
		if (!byte_set_has(set, byte))
			outside[dfa->class_of[byte]] = true;
	for (byte = 0; byte < 256; byte++) {
		uint8_t old = dfa->class_of[byte];

		if (!byte_set_has(set, byte) || !outside[old])
			continue;
		if (split[old] < 0)
			split[old] = dfa->classes++;
		dfa->class_of[byte] = split[old];
	}
}

static void make_classes(struct builder *b)
{
	static const struct byte_set slash = { { 1ULL << '/' } }, nul = { { 1 } };
	size_t i;

	b->dfa->classes = 1;
	refine(b->dfa, &nul);
	refine(b->dfa, &slash);
	for (i = 0; i < b->nfa.count; i++)
		if (b->nfa.step[i])
			refine(b->dfa, &b->nfa.step[i]->set);
}

/* Adds NFA state s, and what it reaches without a byte, to the gathered set. */
static void gather(struct builder *b, uint32_t s)
{
	const struct pattern_step *step;

	for (;;) {
		if (b->seen[s] == b->stamp)
			return;
		b->seen[s] = b->stamp;
		b->work++;
		b->now[b->now_count++] = s;
		step = b->nfa.step[s];
		if (!step || step->op == STEP_ONE || step->op == STEP_UNTIL_SLASH)
			return;
		if (step->op == STEP_DIRS)
			gather(b, s + 2);
		s++;
	}
}

static int compare_states(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return a < b ? -1 : a > b;
}

static uint64_t judge_subset(const struct builder *b, const uint32_t *members, uint32_t count)
{
	uint64_t given = 0, taken = 0;
	uint32_t i;

	for (i = 0; i < count; i++) {
		const struct policy_rule *rule;

		if (b->nfa.step[members[i]])
			continue;
		rule = &b->nfa.rules[b->nfa.rule_of[members[i]]];
		if (rule->exclude)
			taken |= rule->labels;
		else
			given |= rule->labels;
	}
	return given & ~taken;
}

static int grow(struct builder *b)
{
	uint32_t room = b->room ? 2 * b->room : 256;
	struct policy_dfa *dfa = b->dfa;
	void *p;

	p = reallocarray(b->subsets, room, sizeof(*b->subsets));
	if (!p)
		return -ENOMEM;
	b->subsets = p;
	p = reallocarray(dfa->transitions, room, dfa->classes * sizeof(*dfa->transitions));
	if (!p)
		return -ENOMEM;
	dfa->transitions = p;
	p = reallocarray(dfa->labels, room, sizeof(*dfa->labels));
	if (!p)
		return -ENOMEM;
	dfa->labels = p;
	b->room = room;
	return 0;
}

/* The DFA state of the gathered set, made if it is new; -errno. */
static int intern(struct builder *b)
{
	uint32_t bytes = b->now_count * sizeof(*b->now), hash = 2166136261U, i, *bucket;
	struct policy_dfa *dfa = b->dfa;

	if (!b->now_count && dfa->states)
		return 0;
	qsort(b->now, b->now_count, sizeof(*b->now), compare_states);
	for (i = 0; i < b->now_count; i++)
		hash = (hash ^ b->now[i]) * 16777619U;
	bucket = &b->buckets[(hash ^ hash >> 16) % BUCKETS];
	for (i = *bucket; i; i = b->subsets[i].next)
		if (b->subsets[i].count == b->now_count &&
		    !memcmp(b->subsets[i].members, b->now, bytes))
			return i;
	if (dfa->states == STATES_MAX)
		return -E2BIG;
	if (dfa->states == b->room && grow(b))
		return -ENOMEM;
	i = dfa->states;
	b->subsets[i] = (struct subset){ malloc(bytes + 1), b->now_count, *bucket };
	dfa->states++;
	if (!b->subsets[i].members)
		return -ENOMEM;
	memcpy(b->subsets[i].members, b->now, bytes);
	if (i)
		*bucket = i;
	memset(&dfa->transitions[(size_t)i * dfa->classes], 0,
	       dfa->classes * sizeof(*dfa->transitions));
	dfa->labels[i] = judge_subset(b, b->now, b->now_count);
	return i;
}

static void begin_gathering(struct builder *b)
{
	b->stamp++;
	b->now_count = 0;
}

/* Where byte leads from NFA state s. */
static void follow(struct builder *b, uint32_t s, unsigned int byte)
{
	const struct pattern_step *step = b->nfa.step[s];

	b->work++;
	if (!step || step->op == STEP_DIRS)
		return;
	if (step->op == STEP_UNTIL_SLASH) {
		if (byte)
			gather(b, s);
		if (byte == '/')
			gather(b, s + 1);
	} else if (byte_set_has(&step->set, byte)) {
		gather(b, step->op == STEP_MANY ? s : s + 1);
	}
}

static int expand(struct builder *b, uint32_t state, const uint8_t *byte_of)
{
	uint32_t class, m;
	int target;

	for (class = 0; class < b->dfa->classes; class ++) {
		begin_gathering(b);
		for (m = 0; m < b->subsets[state].count; m++)
			follow(b, b->subsets[state].members[m], byte_of[class]);
		if (b->work > WORK_MAX)
			return -E2BIG;
		target = intern(b);
		if (target < 0)
			return target;
		b->dfa->transitions[(size_t)state * b->dfa->classes + class] = target;
	}
	return 0;
}

static int construct(struct builder *b)
{
	uint8_t byte_of[256];
	uint32_t state;
	size_t i;
	int rc;

	for (i = 0; i < 256; i++)
		byte_of[b->dfa->class_of[255 - i]] = 255 - i;
	begin_gathering(b);
	rc = intern(b); /* state 0: dead */
	if (rc < 0)
		return rc;
	begin_gathering(b);
	for (i = 0; i < b->nfa.count; i++)
		if (!i || b->nfa.rule_of[i] != b->nfa.rule_of[i - 1])
			gather(b, i);
	rc = intern(b);
	if (rc < 0)
		return rc;
	for (state = 1; state < b->dfa->states; state++) {
		rc = expand(b, state, byte_of);
		if (rc)
			return rc;
	}
	return 0;
}

static void builder_deinit(struct builder *b)
{
	uint32_t i;

	for (i = 0; i < b->dfa->states; i++)
		free(b->subsets[i].members);
	free(b->subsets);
	free(b->buckets);
	free(b->now);
	free(b->seen);
	free(b->nfa.step);
	free(b->nfa.rule_of);
}

int policy_build_dfa(const struct policy_rule *rules, size_t count, struct policy_dfa *dfa)
{
	struct builder b = { .dfa = dfa };
	int rc;

	policy_dfa_deinit(dfa);
	rc = nfa_init(&b.nfa, rules, count);
	if (!rc) {
		b.buckets = calloc(BUCKETS, sizeof(*b.buckets));
		b.now = calloc(b.nfa.count + 1, sizeof(*b.now));
		b.seen = calloc(b.nfa.count + 1, sizeof(*b.seen));
		if (!b.buckets || !b.now || !b.seen)
			rc = -ENOMEM;
	}
	if (!rc) {
		make_classes(&b);
		rc = construct(&b);
	}
	builder_deinit(&b);
	if (rc)
		policy_dfa_deinit(dfa);
	return rc;
}
