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

struct policy {
	char *labels[KT_LABELS_MAX];
	unsigned int label_count;
	struct policy_rule *rules;
	size_t rule_count;
	struct policy_dfa dfa;
};

/* Fills dfa from rules; -E2BIG, -ENOMEM. Frees what it held before. */
int policy_build_dfa(const struct policy_rule *rules, size_t count, struct policy_dfa *dfa);
void policy_dfa_deinit(struct policy_dfa *dfa);

#endif
