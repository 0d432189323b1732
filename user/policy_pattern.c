// SPDX-License-Identifier: GPL-2.0
/* Parses path patterns. The guest's paths are bytes: no locale, no UTF-8. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/kvmtaint.h"
#include "policy_pattern.h"

#define fail(code, ...) (snprintf(err, err_len, __VA_ARGS__), -(code))

static void set_add(struct byte_set *set, unsigned int byte)
{
	set->bits[byte >> 6] |= 1ULL << (byte & 63);
}

static void set_remove(struct byte_set *set, unsigned int byte)
{
	set->bits[byte >> 6] &= ~(1ULL << (byte & 63));
}

/* No path holds NUL, so that no set does. */
static struct byte_set set_all(void)
{
	struct byte_set set = { { ~1ULL, ~0ULL, ~0ULL, ~0ULL } };

	return set;
}

static struct byte_set set_component(void)
{
	struct byte_set set = set_all();

	set_remove(&set, '/');
	return set;
}

static int add_class(struct byte_set *set, const char *name, size_t len)
{
	static const struct {
		const char *name;
		int (*is)(int);
	} classes[] = {
		{ "alnum", isalnum }, { "alpha", isalpha }, { "blank", isblank },
		{ "cntrl", iscntrl }, { "digit", isdigit }, { "graph", isgraph },
		{ "lower", islower }, { "print", isprint }, { "punct", ispunct },
		{ "space", isspace }, { "upper", isupper }, { "xdigit", isxdigit },
	};
	size_t i, byte;

	for (i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (strlen(classes[i].name) != len || memcmp(classes[i].name, name, len))
			continue;
		for (byte = 1; byte < 128; byte++)
			if (classes[i].is(byte))
				set_add(set, byte);
		return 0;
	}
	return -EINVAL;
}

/* One byte of a bracket expression at *at, unquoted; -1 at the end. */
static int bracket_byte(const char **at)
{
	if (**at == '\\')
		(*at)++;
	if (!**at)
		return -1;
	return (unsigned char)*(*at)++;
}

/* "[...]" with *at behind the '['; leaves it behind the ']'. */
static int parse_bracket(const char **at, struct byte_set *out, char *err, size_t err_len)
{
	struct byte_set set = {};
	bool negated = **at == '!' || **at == '^', first = true;
	const char *end;
	int low, high;

	for (*at += negated; **at != ']' || first; first = false) {
		if ((*at)[0] == '[' && ((*at)[1] == '.' || (*at)[1] == '='))
			return fail(EINVAL, "[. .] and [= =] are not supported");
		end = (*at)[0] == '[' && (*at)[1] == ':' ? strstr(*at + 2, ":]") : NULL;
		if (end) {
			if (add_class(&set, *at + 2, end - *at - 2))
				return fail(EINVAL, "unknown class [:%.*s:]", (int)(end - *at - 2),
					    *at + 2);
			*at = end + 2;
			continue;
		}
		low = bracket_byte(at);
		high = low;
		if ((*at)[0] == '-' && (*at)[1] && (*at)[1] != ']') {
			(*at)++;
			high = bracket_byte(at);
		}
		if (low < 0 || high < 0)
			return fail(EINVAL, "'[' without ']'");
		if (low == '/' || high == '/')
			return fail(EINVAL, "'/' cannot stand in [ ]");
		if (low > high)
			return fail(EINVAL, "empty range %c-%c in [ ]", low, high);
		for (; low <= high; low++)
			set_add(&set, low);
	}
	(*at)++;
	if (negated) {
		struct byte_set all = set_all();
		int i;

		for (i = 0; i < 4; i++)
			set.bits[i] = all.bits[i] & ~set.bits[i];
	}
	set_remove(&set, '/');
	*out = set;
	return 0;
}

static struct pattern_step one_byte(unsigned char byte)
{
	struct pattern_step step = { .op = STEP_ONE };

	set_add(&step.set, byte);
	return step;
}

/* '*', '**' or '**' with its '/', with *at on the first star. */
static struct pattern_step parse_star(const char **at, bool after_slash)
{
	struct pattern_step step = { .op = STEP_MANY, .set = set_component() };
	bool twice = (*at)[1] == '*';

	while (**at == '*')
		(*at)++;
	if (!twice)
		return step;
	step.set = set_all();
	/* "a/ ** /b" is also "a/b", as in .gitignore. */
	if (after_slash && **at == '/') {
		step.op = STEP_DIRS;
		(*at)++;
	}
	return step;
}

/* One step at *at. Moves it on. */
static int parse_step(const char **at, bool after_slash, struct pattern_step *step, char *err,
		      size_t err_len)
{
	switch (**at) {
	case '*':
		*step = parse_star(at, after_slash);
		return 0;
	case '?':
		(*at)++;
		*step = (struct pattern_step){ .op = STEP_ONE, .set = set_component() };
		return 0;
	case '[':
		(*at)++;
		*step = (struct pattern_step){ .op = STEP_ONE };
		return parse_bracket(at, &step->set, err, err_len);
	case '\\':
		if (!(*at)[1])
			return fail(EINVAL, "'\\' at the end");
		(*at)++;
		break;
	}
	*step = one_byte(*(*at)++);
	return 0;
}

/* Slashes and "." that no path of a guest holds; -EINVAL at "..". */
static int skip_empty_components(const char **at, char *err, size_t err_len)
{
	for (;;) {
		if ((*at)[0] == '/')
			(*at)++;
		else if ((*at)[0] == '.' && (*at)[1] == '/')
			*at += 2;
		else
			break;
	}
	if ((*at)[0] == '.' && (*at)[1] == '.' && ((*at)[2] == '/' || !(*at)[2]))
		return fail(EINVAL, "'..' is never part of a file's path");
	if ((*at)[0] == '.' && !(*at)[1])
		return fail(EINVAL, "'.' is never part of a file's path");
	return 0;
}

int pattern_init(struct pattern *pattern, const char *text, char *err, size_t err_len)
{
	const char *at = text;
	bool after_slash = false;
	int rc = 0;

	if (strlen(text) >= KT_PATH_MAX)
		return fail(EINVAL, "longer than %d bytes", KT_PATH_MAX - 1);
	if (text[0] != '/')
		return fail(EINVAL, "not an absolute path of the guest");
	/* Every step takes at least a byte of text; a trailing '/' adds two. */
	pattern->count = 0;
	pattern->steps = calloc(strlen(text) + 2, sizeof(*pattern->steps));
	if (!pattern->steps)
		return fail(ENOMEM, "out of memory");
	while (*at && !rc) {
		struct pattern_step *step = &pattern->steps[pattern->count++];

		rc = parse_step(&at, after_slash, step, err, err_len);
		if (step->op == STEP_DIRS)
			pattern->steps[pattern->count++].op = STEP_UNTIL_SLASH;
		after_slash = at[-1] == '/';
		if (!rc && after_slash)
			rc = skip_empty_components(&at, err, err_len);
	}
	if (rc) {
		pattern_deinit(pattern);
		return rc;
	}
	if (after_slash) {
		pattern->steps[pattern->count++] = (struct pattern_step){ STEP_ONE, set_all() };
		pattern->steps[pattern->count++] = (struct pattern_step){ STEP_MANY, set_all() };
	}
	return 0;
}

void pattern_deinit(struct pattern *pattern)
{
	free(pattern->steps);
	pattern->steps = NULL;
	pattern->count = 0;
}
