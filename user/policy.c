// SPDX-License-Identifier: GPL-2.0
/* The rules of a policy and their labels. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "policy_internal.h"

#define DEFAULT_LABEL	"secret"
#define LABEL_LEN_MAX	63

#define fail(code, ...) (snprintf(err, err_len, __VA_ARGS__), -(code))

struct policy *policy_new(void)
{
	return calloc(1, sizeof(struct policy));
}

void policy_free(struct policy *policy)
{
	unsigned int i;
	size_t r;

	if (!policy)
		return;
	for (i = 0; i < policy->label_count; i++)
		free(policy->labels[i]);
	for (r = 0; r < policy->rule_count; r++)
		pattern_deinit(&policy->rules[r].pattern);
	free(policy->rules);
	policy_sinks_deinit(policy);
	policy_dfa_deinit(&policy->dfa);
	free(policy);
}

/* Labels end up in records and map dumps: nothing that needs quoting there. */
static int check_label(const char *label, size_t len, char *err, size_t err_len)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";

	if (!len || len > LABEL_LEN_MAX)
		return fail(EINVAL, "a label has 1 to %d characters", LABEL_LEN_MAX);
	if (strspn(label, allowed) < len)
		return fail(EINVAL, "a label is made of letters, digits, '_', '.' and '-'");
	return 0;
}

/* The bit of a label, made if it is new; -ENOMEM, -E2BIG. */
static int label_bit(struct policy *policy, const char *label, size_t len, char *err,
		     size_t err_len)
{
	unsigned int i;

	for (i = 0; i < policy->label_count; i++)
		if (strlen(policy->labels[i]) == len && !memcmp(policy->labels[i], label, len))
			return i;
	if (i == KT_LABELS_MAX)
		return fail(E2BIG, "more than %d different labels", KT_LABELS_MAX);
	policy->labels[i] = strndup(label, len);
	if (!policy->labels[i])
		return fail(ENOMEM, "out of memory");
	policy->label_count++;
	return i;
}

static int add_rule(struct policy *policy, const struct policy_rule *rule)
{
	struct policy_rule *grown;

	grown = reallocarray(policy->rules, policy->rule_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	policy->rules = grown;
	policy->rules[policy->rule_count++] = *rule;
	return 0;
}

/* As policy_add(), err without the rule's text. */
static int parse_rule(struct policy *policy, const char *text, char *err, size_t err_len)
{
	struct policy_rule rule = {};
	const char *pattern = text, *label = DEFAULT_LABEL;
	size_t len = strlen(DEFAULT_LABEL);
	int rc;

	if (text[0] != '/' && text[0] != '!' && strchr(text, '=')) {
		label = text;
		len = strcspn(text, "=");
		pattern = text + len + 1;
		rc = check_label(label, len, err, err_len);
		if (rc)
			return rc;
	}
	rule.exclude = pattern[0] == '!';
	rc = pattern_init(&rule.pattern, pattern + rule.exclude, err, err_len);
	if (rc)
		return rc;
	if (rule.exclude && label != text) {
		rule.labels = ~0ULL;
	} else {
		rc = label_bit(policy, label, len, err, err_len);
		if (rc >= 0)
			rule.labels = 1ULL << rc;
	}
	if (rc >= 0)
		rc = add_rule(policy, &rule);
	if (rc < 0)
		pattern_deinit(&rule.pattern);
	return rc < 0 ? rc : 0;
}

int policy_add(struct policy *policy, const char *rule, char *err, size_t err_len)
{
	char why[160] = "out of memory";
	int rc = parse_rule(policy, rule, why, sizeof(why));

	if (rc)
		snprintf(err, err_len, "secret '%.200s'%s: %s", rule,
			 strlen(rule) > 200 ? " (cut)" : "", why);
	return rc;
}

/* Where the first one is that is in no file's name: a pattern with it matches nothing. -1: none. */
static ssize_t control_character(const char *line, ssize_t len)
{
	for (ssize_t at = 0; at < len; at++)
		if ((unsigned char)line[at] < ' ' || line[at] == 0x7f)
			return at;
	return -1;
}

int policy_add_file(struct policy *policy, const char *path, char *err, size_t err_len)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	char why[400];
	size_t room = 0, number = 0;
	ssize_t len, at;
	int rc = 0;

	if (!f)
		return fail(errno, "cannot read policy %s: %s", path, strerror(errno));
	errno = 0;
	while (!rc && (len = getline(&line, &room, f)) >= 0) {
		number++;
		if (len && line[len - 1] == '\n')
			line[--len] = '\0';
		if (!len || line[0] == '#')
			continue;
		at = control_character(line, len);
		if (at >= 0)
			rc = fail(EINVAL, "%s:%zu: a control character, byte 0x%02x%s", path,
				  number, line[at],
				  line[at] == '\r' ? ": end lines as Linux does" : "");
		else if (policy_is_sink(line))
			rc = policy_add_sink(policy, line, why, sizeof(why));
		else
			rc = policy_add(policy, line, why, sizeof(why));
		if (rc && at < 0)
			snprintf(err, err_len, "%s:%zu: %s", path, number, why);
	}
	if (!rc && ferror(f))
		return fail(errno, "cannot read policy %s: %s", path, strerror(errno));
	return rc;
}

int policy_compile(struct policy *policy, const struct policy_dfa **out, char *err, size_t err_len)
{
	int rc = policy_build_dfa(policy->rules, policy->rule_count, &policy->dfa);

	if (rc == -E2BIG)
		return fail(E2BIG, "the policy is too complex: its rules together need more than"
				   " 65,535 states; use fewer '*' and '**' in one pattern");
	if (rc)
		return fail(-rc, "cannot compile the policy: %s", strerror(-rc));
	*out = &policy->dfa;
	return 0;
}

uint64_t policy_judge(const struct policy_dfa *dfa, const char *path, size_t len)
{
	uint32_t state = 1;
	size_t i;

	for (i = 0; i < len && state; i++)
		state = dfa->transitions[state * dfa->classes + dfa->class_of[(uint8_t)path[i]]];
	return dfa->labels[state];
}

const char *policy_label(const struct policy *policy, unsigned int bit)
{
	return bit < policy->label_count ? policy->labels[bit] : NULL;
}
