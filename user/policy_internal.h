/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of the policy share; nobody else includes it. */
#ifndef KVMTAINT_POLICY_INTERNAL_H
#define KVMTAINT_POLICY_INTERNAL_H

#include "policy.h"
#include "policy_pattern.h"

struct policy_rule {
	uint64_t labels; /* given, or taken away */
	bool exclude;
	struct pattern pattern;
};

/* A rule of where a label may go; which bit the label has is known when all are read. */
struct policy_sink {
	char *label; /* NULL: all */
	uint32_t prefix; /* bits of the address; of no address: 0 */
	struct kt_sink_rule rule;
};

struct policy {
	char *labels[KT_LABELS_MAX];
	unsigned int label_count;
	struct policy_rule *rules;
	size_t rule_count;
	struct policy_sink *sinks;
	size_t sink_count;
	struct kt_sink_rule sink_rules[KT_SINK_RULES_MAX];
	struct policy_dfa dfa;
};

/* Fills dfa from rules; -E2BIG, -ENOMEM. Frees what it held before. */
int policy_build_dfa(const struct policy_rule *rules, size_t count, struct policy_dfa *dfa);
void policy_dfa_deinit(struct policy_dfa *dfa);

/* Whether a line of a file is a rule for policy_add_sink(). */
bool policy_is_sink(const char *line);
void policy_sinks_deinit(struct policy *policy);

#endif
