// SPDX-License-Identifier: GPL-2.0
/* Rules, labels and the automaton; against fnmatch(3) where both know the grammar. */
#include <errno.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../user/policy.h"

#define RULES(...) ((const char *const[]){ __VA_ARGS__, NULL })

struct compiled {
	struct policy *policy;
	const struct policy_dfa *dfa;
};

static struct compiled compile(const char *const *rules)
{
	struct compiled c = { .policy = policy_new() };
	char err[512] = "";

	for (; *rules; rules++)
		if (policy_add(c.policy, *rules, err, sizeof(err)))
			fail_msg("%s", err);
	if (policy_compile(c.policy, &c.dfa, err, sizeof(err)))
		fail_msg("%s", err);
	return c;
}

static uint64_t judge(const struct compiled *c, const char *path)
{
	return policy_judge(c->dfa, path, strlen(path));
}

/* The label's bit; 0 when the policy has no such label. */
static uint64_t bit(const struct compiled *c, const char *label)
{
	unsigned int i;

	for (i = 0; policy_label(c->policy, i); i++)
		if (!strcmp(policy_label(c->policy, i), label))
			return 1ULL << i;
	return 0;
}

static void grammar(void **state)
{
	static const struct {
		const char *rule, *path;
		bool match;
	} cases[] = {
		{ "/etc/shadow", "/etc/shadow", true },
		{ "/etc/shadow", "/etc/shadow-", false },
		{ "/etc/shadow", "/etc/shado", false },
		{ "/etc/shadow", "/x/etc/shadow", false },
		{ "/srv/hr/", "/srv/hr/a", true },
		{ "/srv/hr/", "/srv/hr/a/b/c", true },
		{ "/srv/hr/", "/srv/hr", false },
		{ "/srv/hr/", "/srv/hr/", false },
		{ "/srv/hr/", "/srv/hrx", false },
		{ "/", "/anything/at/all", true },
		{ "/a*c", "/abc", true },
		{ "/a*c", "/a/c", false },
		{ "/a?c", "/a/c", false },
		{ "/a?c", "/axc", true },
		{ "/a**c", "/a/b/c", true },
		{ "/a/**/c", "/a/c", true },
		{ "/a/**/c", "/a/b/c", true },
		{ "/a/**/c", "/a/b/d/c", true },
		{ "/a/**/c", "/a/bc", false },
		{ "/a/**/c", "/ac", false },
		{ "/**/id_*", "/id_rsa", true },
		{ "/**/id_*", "/home/u/.ssh/id_rsa", true },
		{ "/**/id_*", "/home/id_rsa/x", false },
		{ "/a/**", "/a/b/c", true },
		{ "/a/**/", "/a/b", true },
		{ "/home/*/.ssh/", "/home/u/.ssh/k", true },
		{ "/home/*/.ssh/", "/home/u/v/.ssh/k", false },
		{ "/[a-c]x", "/bx", true },
		{ "/[!a-c]x", "/bx", false },
		{ "/[^a-c]x", "/dx", true },
		{ "/[^a-c]x", "//x", false },
		{ "/[]a]", "/]", true },
		{ "/[a\\]]", "/]", true },
		{ "/[[:digit:]_]", "/7", true },
		{ "/[[:digit:]_]", "/_", true },
		{ "/[[:digit:]_]", "/x", false },
		{ "/a\\*", "/a*", true },
		{ "/a\\*", "/ab", false },
		{ "/a=b", "/a=b", true },
		{ "/a b\n\xff", "/a b\n\xff", true },
		{ "/a//b/./c", "/a/b/c", true },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct compiled c = compile(RULES(cases[i].rule));

		if (!!judge(&c, cases[i].path) != cases[i].match)
			fail_msg("%s on %s", cases[i].rule, cases[i].path);
		policy_free(c.policy);
	}
}

static void labels_unite_and_exclusions_take_away(void **state)
{
	struct compiled c = compile(RULES("hr=/srv/hr/", "pay=/srv/*/pay*", "/srv/hr/x",
					  "hr=!/srv/**/*.pub", "!/srv/hr/none"));

	assert_string_equal(policy_label(c.policy, 0), "hr");
	assert_int_equal(judge(&c, "/srv/hr/a"), bit(&c, "hr"));
	assert_int_equal(judge(&c, "/srv/hr/pay1"), bit(&c, "hr") | bit(&c, "pay"));
	assert_int_equal(judge(&c, "/srv/hr/x"), bit(&c, "hr") | bit(&c, "secret"));
	assert_int_equal(judge(&c, "/srv/hr/pay.pub"), bit(&c, "pay"));
	assert_int_equal(judge(&c, "/srv/hr/none"), 0);
	assert_int_equal(judge(&c, "/srv"), 0);
	assert_null(policy_label(c.policy, 3));
	assert_null(policy_label(c.policy, 64));
	policy_free(c.policy);
}

static void no_rules_match_nothing(void **state)
{
	struct policy *policy = policy_new();
	const struct policy_dfa *dfa;
	char err[256];

	assert_int_equal(policy_compile(policy, &dfa, err, sizeof(err)), 0);
	assert_int_equal(policy_judge(dfa, "/etc/shadow", 11), 0);
	assert_int_equal(policy_judge(dfa, "", 0), 0);
	assert_true(dfa->states >= 2);
	policy_free(policy);
}

static void malformed_rules_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"etc/shadow",
		"=/etc/shadow",
		"a b=/x",
		"a/b=/x",
		"x=",
		"x=etc",
		"!",
		"!x",
		"/[a",
		"/[",
		"/[!",
		"/[]",
		"/[a-",
		"/[a\\",
		"/[z-a]",
		"/[a/b]",
		"/[[:nope:]]",
		"/[[.a.]]",
		"/[[=a=]]",
		"/x\\",
		"/..",
		"/a/../b",
		"/a/.",
		"caf\xc3\xa9=/x",
		"0123456789012345678901234567890123456789012345678901234567890123=/x",
	};
	struct policy *policy = policy_new();
	char err[512];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err[0] = '\0';
		if (policy_add(policy, bad[i], err, sizeof(err)) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
		assert_null(strchr(err, '\n'));
		assert_true(strlen(err) > 10);
	}
	assert_null(policy_label(policy, 0));
	policy_free(policy);
}

static void too_long_rule_is_refused(void **state)
{
	struct policy *policy = policy_new();
	static char rule[100000];
	char err[512];

	memset(rule, 'a', sizeof(rule) - 1);
	rule[0] = '/';
	assert_int_equal(policy_add(policy, rule, err, sizeof(err)), -EINVAL);
	rule[KT_PATH_MAX] = '\0';
	assert_int_equal(policy_add(policy, rule, err, sizeof(err)), -EINVAL);
	rule[KT_PATH_MAX - 1] = '\0';
	assert_int_equal(policy_add(policy, rule, err, sizeof(err)), 0);
	policy_free(policy);
}

static void sixty_four_labels_fit(void **state)
{
	struct policy *policy = policy_new();
	const struct policy_dfa *dfa;
	char rule[64], err[256];
	int i;

	for (i = 0; i < KT_LABELS_MAX; i++) {
		snprintf(rule, sizeof(rule), "l%d=/f%d", i, i);
		assert_int_equal(policy_add(policy, rule, err, sizeof(err)), 0);
	}
	assert_int_equal(policy_add(policy, "one-more=/x", err, sizeof(err)), -E2BIG);
	assert_int_equal(policy_add(policy, "l63=/x", err, sizeof(err)), 0);
	assert_int_equal(policy_compile(policy, &dfa, err, sizeof(err)), 0);
	assert_int_equal(policy_judge(dfa, "/f63", 4), 1ULL << 63);
	policy_free(policy);
}

static void exploding_rules_end_in_an_error(void **state)
{
	struct policy *policy = policy_new();
	const struct policy_dfa *dfa = NULL;
	char err[512] = "", rule[256];
	struct timespec from, to;
	int i;

	for (i = 0; i < 40; i++) {
		memset(rule, '?', sizeof(rule));
		memcpy(rule, "/**a", 4);
		rule[4 + 30 + i] = '\0';
		assert_int_equal(policy_add(policy, rule, err, sizeof(err)), 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(policy_compile(policy, &dfa, err, sizeof(err)), -E2BIG);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_true(to.tv_sec - from.tv_sec < 20);
	assert_null(dfa);
	policy_free(policy);
}

static void random_text(char *out, const char *alphabet, int max)
{
	int n = rand() % max;
	int i;

	*out++ = '/';
	for (i = 0; i < n; i++)
		*out++ = alphabet[rand() % strlen(alphabet)];
	*out = '\0';
}

/* Patterns on whose meaning fnmatch(FNM_PATHNAME) and policy.h agree. */
static void random_pattern(char *out)
{
	static const char *const atoms[] = {
		"a",	 "b",	"c",   "/",	      "*", "?", "[ab]", "[!a]",	   "[^bc]",
		"[a-c]", "\\*", "\\a", "[[:alpha:]]", ".", "x", "[]a]", "[a\\-c]",
	};
	const char *atom;
	int n = rand() % 9, i;
	char last = '/';

	strcpy(out, "/");
	for (i = 0; i < n; i++) {
		atom = atoms[rand() % (sizeof(atoms) / sizeof(atoms[0]))];
		/* Not: "**", "//", components "." and "..". */
		if ((last == '*' && atom[0] == '*') ||
		    (last == '/' && (atom[0] == '/' || atom[0] == '.')))
			continue;
		strcat(out, atom);
		last = atom[0] == '\\' ? 'a' : atom[0];
	}
	if (last == '/')
		strcat(out, "a");
}

static void agrees_with_fnmatch(void **state)
{
	char pattern[256], path[64], err[256];
	int i, j, matches = 0;

	srand(1);
	for (i = 0; i < 4000; i++) {
		struct compiled c = { .policy = policy_new() };

		random_pattern(pattern);
		assert_int_equal(policy_add(c.policy, pattern, err, sizeof(err)), 0);
		assert_int_equal(policy_compile(c.policy, &c.dfa, err, sizeof(err)), 0);
		for (j = 0; j < 200; j++) {
			bool want;

			random_text(path, "aabbc/x.*]-", 8);
			want = !fnmatch(pattern, path, FNM_PATHNAME);
			matches += want;
			if (!!judge(&c, path) != want)
				fail_msg("pattern %s path %s: fnmatch says %d", pattern, path,
					 want);
		}
		policy_free(c.policy);
	}
	assert_true(matches > 1000);
}

static void many_rules_agree_with_each_alone(void **state)
{
	char pattern[20][256], path[64], err[256];
	int i, j, k;

	srand(2);
	for (i = 0; i < 100; i++) {
		struct compiled c = { .policy = policy_new() };

		for (k = 0; k < 20; k++) {
			char rule[sizeof(pattern[0]) + 16];

			random_pattern(pattern[k]);
			snprintf(rule, sizeof(rule), "l%d=%.255s", k, pattern[k]);
			assert_int_equal(policy_add(c.policy, rule, err, sizeof(err)), 0);
		}
		assert_int_equal(policy_compile(c.policy, &c.dfa, err, sizeof(err)), 0);
		for (j = 0; j < 200; j++) {
			uint64_t want = 0;

			random_text(path, "aabbc/x.*]-", 8);
			for (k = 0; k < 20; k++)
				if (!fnmatch(pattern[k], path, FNM_PATHNAME))
					want |= 1ULL << k;
			assert_int_equal(judge(&c, path), want);
		}
		policy_free(c.policy);
	}
}

static void hostile_paths_stay_inside_the_table(void **state)
{
	struct compiled c = compile(RULES("/home/*/.ssh/id_*", "x=/**/a?[!b]**"));
	static char path[100000];
	size_t i;
	int round;

	srand(3);
	for (round = 0; round < 50; round++) {
		for (i = 0; i < sizeof(path); i++)
			path[i] = rand();
		policy_judge(c.dfa, path, sizeof(path));
	}
	assert_int_equal(policy_judge(c.dfa, "/home/a\0b/.ssh/id_x", 19), 0);
	for (i = 0; i < c.dfa->states * c.dfa->classes; i++)
		assert_true(c.dfa->transitions[i] < c.dfa->states);
	for (i = 0; i < 256; i++)
		assert_true(c.dfa->class_of[i] < c.dfa->classes);
	for (i = 0; i < c.dfa->classes; i++)
		assert_int_equal(c.dfa->transitions[i], 0);
	policy_free(c.policy);
}

static void shipped_default(void **state)
{
	static const struct {
		const char *path, *label;
	} cases[] = {
		{ "/etc/shadow", "shadow" },
		{ "/etc/shadow-", "shadow" },
		{ "/etc/gshadow", "shadow" },
		{ "/etc/passwd", NULL },
		{ "/etc/ssh/ssh_host_ed25519_key", "ssh-host-key" },
		{ "/etc/ssh/ssh_host_ed25519_key.pub", NULL },
		{ "/etc/ssh/sshd_config", NULL },
		{ "/root/.ssh/id_rsa", "ssh-user-key" },
		{ "/root/.ssh/id_rsa.pub", NULL },
		{ "/home/u/.ssh/id_ed25519", "ssh-user-key" },
		{ "/home/u/.ssh/id_ed25519.pub", NULL },
		{ "/home/u/.ssh/known_hosts", NULL },
		{ "/etc/ssl/private/a/b.key", "tls-key" },
		{ "/etc/ssl/certs/ca.pem", NULL },
		{ "/etc/letsencrypt/live/example.org/privkey.pem", "tls-key" },
		{ "/etc/letsencrypt/live/example.org/fullchain.pem", NULL },
		{ "/etc/kubernetes/pki/ca.key", "kubernetes" },
		{ "/etc/kubernetes/pki/etcd/ca.key", "kubernetes" },
		{ "/etc/kubernetes/pki/ca.crt", NULL },
		{ "/etc/krb5.keytab", "kerberos" },
		{ "/home/u/.aws/credentials", "cloud" },
		{ "/root/.docker/config.json", "cloud" },
		{ "/home/u/.gnupg/private-keys-v1.d/AB.key", "gnupg" },
		{ "/home/u/.netrc", "login" },
		{ "/root/.pgpass", "login" },
		{ "/root/.kube/config", "kubernetes" },
		{ "/etc/NetworkManager/system-connections/wifi.nmconnection", "network" },
		{ "/etc/wireguard/wg0.conf", "network" },
	};
	struct compiled c = { .policy = policy_new() };
	char err[512];
	size_t i;

	assert_int_equal(policy_add_default(c.policy, err, sizeof(err)), 0);
	assert_int_equal(policy_compile(c.policy, &c.dfa, err, sizeof(err)), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t want = cases[i].label ? bit(&c, cases[i].label) : 0;

		if (judge(&c, cases[i].path) != want || (cases[i].label && !want))
			fail_msg("%s", cases[i].path);
	}
	/* BPF holds the table: a default that grows wild should be seen here. */
	assert_true(c.dfa->states < 2000);
	policy_free(c.policy);
}

static void policy_file(void **state)
{
	char path[] = "/tmp/kvmtaint-policy-XXXXXX", err[512] = "";
	const char text[] = "# comment\n\nhr=/srv/hr/\n/a#b\nbad\n";
	struct policy *policy = policy_new();
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_int_equal(policy_add_file(policy, path, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, ":5: "));
	assert_int_equal(ftruncate(fd, sizeof(text) - 1 - 4), 0);
	assert_int_equal(policy_add_file(policy, path, err, sizeof(err)), 0);
	/* Of another system: a pattern that ends in it would match nothing. */
	assert_int_equal(pwrite(fd, "hr=/srv/hr\r\n", 12, 11), 12);
	assert_int_equal(policy_add_file(policy, path, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, ":3: a control character, byte 0x0d"));
	unlink(path);
	close(fd);
	assert_int_equal(policy_add_file(policy, path, err, sizeof(err)), -ENOENT);
	assert_int_equal(policy_add_file(policy, "/", err, sizeof(err)), -EISDIR);
	policy_free(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grammar),
		cmocka_unit_test(labels_unite_and_exclusions_take_away),
		cmocka_unit_test(no_rules_match_nothing),
		cmocka_unit_test(malformed_rules_are_refused),
		cmocka_unit_test(too_long_rule_is_refused),
		cmocka_unit_test(sixty_four_labels_fit),
		cmocka_unit_test(exploding_rules_end_in_an_error),
		cmocka_unit_test(agrees_with_fnmatch),
		cmocka_unit_test(many_rules_agree_with_each_alone),
		cmocka_unit_test(hostile_paths_stay_inside_the_table),
		cmocka_unit_test(shipped_default),
		cmocka_unit_test(policy_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
