/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The policy: which paths of the guest hold classified data, and under which
 * label. All rules together are compiled into one deterministic automaton over
 * the bytes of an absolute path, so that BPF judges a path in one pass.
 */
#ifndef KVMTAINT_POLICY_H
#define KVMTAINT_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "../bpf/kvmtaint.h"

/*
 * Automaton: state 0 is dead, state 1 is the start.
 * next = transitions[state * classes + class_of[byte]]; after the last byte of
 * the path labels[state] is the set of labels whose rules match (0: none).
 */
struct policy_dfa {
	uint8_t class_of[256];
	uint32_t classes;
	uint32_t states;
	uint16_t *transitions; /* states * classes */
	uint64_t *labels; /* states */
};

struct policy;

/* An empty policy; NULL when out of memory. Paired with policy_free(). */
struct policy *policy_new(void);
void policy_free(struct policy *policy);

/*
 * Adds a rule "[LABEL=]PATTERN". PATTERN is absolute; a trailing '/' means
 * everything below; '*' and '?' and '[...]' do not cross '/', '**' does (and
 * "a/ ** /b", without the spaces, is also "a/b"); '\\' quotes. Without LABEL the
 * label is "secret". "[LABEL=]!PATTERN" takes paths out again: of LABEL, or of
 * all labels; the order of rules does not matter. 0, or -errno with one clear
 * line in err: -EINVAL malformed, -E2BIG more than KT_LABELS_MAX labels.
 */
int policy_add(struct policy *policy, const char *rule, char *err, size_t err_len);

/*
 * Adds the rules of a file, one a line; empty lines and lines that start with
 * '#' are skipped. As policy_add(), or -errno of reading the file; err names
 * the file and the line.
 */
int policy_add_file(struct policy *policy, const char *path, char *err, size_t err_len);

/*
 * Adds a rule of what may become of labels that leave the machine, "ACTION
 * LABEL[=DESTINATION]": ACTION is allow, report, block or pause; LABEL is one that
 * some path rule gives, or '*' for all; DESTINATION is CIDR[:PORT], IPv6 with a port
 * as [CIDR]:PORT, or a kind of leak as records name it. Files hold such lines too. 0, or -errno and
 * err as above.
 */
int policy_add_sink(struct policy *policy, const char *rule, char *err, size_t err_len);

/* Adds the shipped default: credential stores. */
int policy_add_default(struct policy *policy, char *err, size_t err_len);

/* Compiles; -E2BIG when the automaton would exceed 65,535 states. *out is owned by policy. */
int policy_compile(struct policy *policy, const struct policy_dfa **out, char *err, size_t err_len);

/*
 * The rules of where labels may go, in the order in which they decide: the longest
 * prefix first, then those with a port, then the strictest. fallback: the action for
 * what no rule decides. *count 0: all is to be reported. Valid until policy is freed.
 * 0; -ENOENT: a rule names a label that no path has; -E2BIG, -ENOMEM; with one line.
 */
int policy_sinks(struct policy *policy, enum kt_verdict fallback, const struct kt_sink_rule **out,
		 uint32_t *count, char *err, size_t err_len);

/* "report", "block", "pause" or "allow" as a verdict; KT_VERDICT_NONE: none of these. */
enum kt_verdict policy_action(const char *word, size_t len);

/* The labels of an absolute path, by the compiled automaton. */
uint64_t policy_judge(const struct policy_dfa *dfa, const char *path, size_t len);

/* Name of label bit (0 to 63); NULL: not in use. */
const char *policy_label(const struct policy *policy, unsigned int bit);

#endif
