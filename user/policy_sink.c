// SPDX-License-Identifier: GPL-2.0
/* The policy's other half: what becomes of a label that is about to leave, by where it goes. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "policy_internal.h"
#include "record.h"

#define fail(code, ...) (snprintf(err, err_len, __VA_ARGS__), -(code))

enum kt_verdict policy_action(const char *word, size_t len)
{
	static const struct {
		const char *word;
		enum kt_verdict action;
	} actions[] = {
		{ "allow", KT_VERDICT_ALLOWED },
		{ "report", KT_VERDICT_REPORTED },
		{ "block", KT_VERDICT_BLOCKED },
		{ "pause", KT_VERDICT_PAUSED },
	};

	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strlen(actions[i].word) == len && !memcmp(actions[i].word, word, len))
			return actions[i].action;
	return KT_VERDICT_NONE;
}

bool policy_is_sink(const char *line)
{
	size_t len = strcspn(line, " ");

	return line[len] == ' ' && policy_action(line, len) != KT_VERDICT_NONE;
}

/* A decimal number from 0 to max, and nothing behind it; -1. */
static long number(const char *text, long max)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 5 || text[digits])
		return -1;
	return atol(text) <= max ? atol(text) : -1;
}

/* Splits "CIDR:PORT" and "[CIDR]:PORT"; *port: the port's text, or NULL. false: malformed. */
static bool split_port(char *text, char **cidr, char **port)
{
	char *end;

	*port = NULL;
	*cidr = text;
	if (text[0] == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		*cidr = text + 1;
		*port = end[1] ? end + 2 : NULL;
		*end = '\0';
		return true;
	}
	end = strchr(text, ':');
	/* Two colons without brackets are an IPv6 address, whole. */
	if (end && !strchr(end + 1, ':')) {
		*end = '\0';
		*port = end + 1;
	}
	return true;
}

static void fill_mask(struct kt_sink_rule *rule, uint32_t prefix)
{
	unsigned char *mask = (unsigned char *)rule->mask;

	memset(rule->mask, 0, sizeof(rule->mask));
	for (uint32_t bit = 0; bit < prefix; bit++)
		mask[bit / 8] |= 0x80 >> bit % 8;
	rule->address[0] &= rule->mask[0];
	rule->address[1] &= rule->mask[1];
}

/* The kind of leak of this name, as records have it; 0: none. */
static uint32_t leak_kind(const char *name)
{
	uint32_t kind = KT_LEAK_REMOTE;

	while (strcmp(record_leak_name(kind), "unknown") && strcmp(record_leak_name(kind), name))
		kind++;
	return strcmp(name, "unknown") && !strcmp(record_leak_name(kind), name) ? kind : 0;
}

static int parse_destination(const char *text, struct policy_sink *sink, char *err, size_t err_len)
{
	_cleanup_free_ char *copy = strdup(text);
	struct kt_sink_rule *rule = &sink->rule;
	char *cidr, *port, *slash;
	long bits, n;

	if (!copy)
		return fail(ENOMEM, "out of memory");
	rule->leak_kind = leak_kind(text);
	if (rule->leak_kind)
		return 0;
	if (!split_port(copy, &cidr, &port))
		return fail(EINVAL, "'%.80s' is not CIDR, CIDR:PORT or [CIDR]:PORT", text);
	slash = strchr(cidr, '/');
	if (slash)
		*slash++ = '\0';
	rule->family = strchr(cidr, ':') ? AF_INET6 : AF_INET;
	bits = rule->family == AF_INET ? 32 : 128;
	if (inet_pton(rule->family, cidr, rule->address) != 1)
		return fail(EINVAL, "'%.80s' is no IP address", cidr);
	n = slash ? number(slash, bits) : bits;
	if (n < 0)
		return fail(EINVAL, "a prefix length is a number from 0 to %ld, not '%.20s'", bits,
			    slash);
	sink->prefix = n;
	fill_mask(rule, n);
	n = port ? number(port, 65535) : 0;
	if (n < 0 || (port && !n))
		return fail(EINVAL, "a port is a number from 1 to 65535, not '%.20s'", port);
	rule->port = n;
	return 0;
}

static int parse_sink(struct policy_sink *sink, const char *text, char *err, size_t err_len)
{
	size_t word = strcspn(text, " "), len;

	sink->rule.action = policy_action(text, word);
	if (!text[word] || sink->rule.action == KT_VERDICT_NONE)
		return fail(EINVAL,
			    "such a rule is \"ACTION LABEL[=DESTINATION]\"; ACTION is allow,"
			    " report, block or pause");
	text += word + strspn(text + word, " ");
	len = strcspn(text, "=");
	if (!len)
		return fail(EINVAL, "a label is missing ('*' for all)");
	if (len != 1 || text[0] != '*') {
		sink->label = strndup(text, len);
		if (!sink->label)
			return fail(ENOMEM, "out of memory");
	}
	return text[len] ? parse_destination(text + len + 1, sink, err, err_len) : 0;
}

int policy_add_sink(struct policy *policy, const char *rule, char *err, size_t err_len)
{
	struct policy_sink sink = {}, *grown;
	char why[200];
	int rc = parse_sink(&sink, rule, why, sizeof(why));

	if (!rc) {
		grown = reallocarray(policy->sinks, policy->sink_count + 1, sizeof(*grown));
		if (grown)
			policy->sinks = grown;
		else
			rc = fail(ENOMEM, "out of memory");
	}
	if (rc) {
		free(sink.label);
		return fail(-rc, "rule '%.200s': %s", rule, why);
	}
	policy->sinks[policy->sink_count++] = sink;
	return 0;
}

void policy_sinks_deinit(struct policy *policy)
{
	for (size_t i = 0; i < policy->sink_count; i++)
		free(policy->sinks[i].label);
	free(policy->sinks);
}

/* Which of two rules decides, where both fit. */
static int by_precedence(const void *x, const void *y)
{
	const struct policy_sink *a = x, *b = y;

	if (!a->rule.family != !b->rule.family)
		return a->rule.family ? -1 : 1;
	if (!a->rule.leak_kind != !b->rule.leak_kind)
		return a->rule.leak_kind ? -1 : 1;
	if (a->prefix != b->prefix)
		return a->prefix > b->prefix ? -1 : 1;
	if (!a->rule.port != !b->rule.port)
		return a->rule.port ? -1 : 1;
	/* One that names the label, before one for all. */
	if (!a->label != !b->label)
		return a->label ? -1 : 1;
	return (int)b->rule.action - (int)a->rule.action;
}

static int find_label(const struct policy *policy, const char *label, __u64 *bits)
{
	for (unsigned int i = 0; i < policy->label_count; i++) {
		if (!strcmp(policy->labels[i], label)) {
			*bits = 1ULL << i;
			return 0;
		}
	}
	return -ENOENT;
}

int policy_sinks(struct policy *policy, enum kt_verdict fallback, const struct kt_sink_rule **out,
		 uint32_t *count, char *err, size_t err_len)
{
	bool plain = fallback <= KT_VERDICT_REPORTED;
	size_t i;

	if (policy->sink_count)
		qsort(policy->sinks, policy->sink_count, sizeof(*policy->sinks), by_precedence);
	if (policy->sink_count >= KT_SINK_RULES_MAX)
		return fail(E2BIG, "more than %d rules of where labels may go",
			    KT_SINK_RULES_MAX - 1);
	for (i = 0; i < policy->sink_count; i++) {
		struct policy_sink *sink = &policy->sinks[i];

		policy->sink_rules[i] = sink->rule;
		policy->sink_rules[i].labels = ~0ULL;
		if (sink->label && find_label(policy, sink->label, &policy->sink_rules[i].labels))
			return fail(ENOENT, "no secret has the label '%.63s'", sink->label);
		plain &= sink->rule.action == KT_VERDICT_REPORTED;
	}
	policy->sink_rules[i] = (struct kt_sink_rule){ .labels = ~0ULL, .action = fallback };
	*out = policy->sink_rules;
	*count = plain ? 0 : i + 1;
	return 0;
}
