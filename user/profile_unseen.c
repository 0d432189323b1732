// SPDX-License-Identifier: GPL-2.0
/* What is not seen of a guest for want of a hook, a field or a symbol: vmlinux-guest/unseen.def. */
#include "profile_build.h"

#include <stddef.h>
#include <string.h>

static const struct {
	const char *where, *what;
} unseen[KT_HOOK_MAX] = {
#define GUEST_UNSEEN(id, where, what) [KT_HOOK_##id] = { where, what },
#define GUEST_UNSEEN_FIELD(id, hook, what)
#define GUEST_UNSEEN_SYMBOL(id, hook, what)
#include "../vmlinux-guest/unseen.def"
};

#define GUEST_UNSEEN(id, where, what) +1
#define GUEST_UNSEEN_FIELD(id, hook, what)
#define GUEST_UNSEEN_SYMBOL(id, hook, what)
_Static_assert(0
#include "../vmlinux-guest/unseen.def"
		       == KT_HOOK_MAX,
	       "each hook has a row in unseen.def");

/* Names of fields and symbols as the guest has them. */
enum {
#define GUEST_FIELD(id, need, names)  FIELD_##id,
#define GUEST_SIZE(id, need, names)   FIELD_##id,
#define GUEST_SYMBOL(id, need, names) SYMBOL_##id,
#include "../vmlinux-guest/fields.def"
#include "../vmlinux-guest/symbols.def"
#undef GUEST_FIELD
#undef GUEST_SIZE
#undef GUEST_SYMBOL
};

static const char *const names_of[] = {
#define GUEST_FIELD(id, need, names)  [FIELD_##id] = names,
#define GUEST_SIZE(id, need, names)   [FIELD_##id] = names,
#define GUEST_SYMBOL(id, need, names) [SYMBOL_##id] = names,
#include "../vmlinux-guest/fields.def"
#include "../vmlinux-guest/symbols.def"
#undef GUEST_FIELD
#undef GUEST_SIZE
#undef GUEST_SYMBOL
};

static const struct {
	size_t at, size; /* in struct kt_guest */
	int name;
	int hook;
	const char *what;
} blind[] = {
#define GUEST_UNSEEN(id, where, what)
#define GUEST_UNSEEN_FIELD(id, hook, what)                                                         \
	{ offsetof(struct kt_guest, id), sizeof(int32_t), FIELD_##id, KT_HOOK_##hook, what },
#define GUEST_UNSEEN_SYMBOL(id, hook, what)                                                        \
	{ offsetof(struct kt_guest, sym_##id), sizeof(uint64_t), SYMBOL_##id, KT_HOOK_##hook,      \
	  what },
#include "../vmlinux-guest/unseen.def"
};

#define BLIND_COUNT (sizeof(blind) / sizeof(*blind))

void profile_find_unseen(struct profile_build *build)
{
	for (size_t h = 0; h < KT_HOOK_MAX; h++) {
		bool *unneeded = &build->profile->unneeded[h];

		*unneeded = !unseen[h].what;
		if (unseen[h].where[0])
			*unneeded |= guest_types_offset(build->types, unseen[h].where) == KT_ABSENT;
	}
}

const char *profile_unseen(const struct guest_profile *profile, size_t hook)
{
	if (profile->hooks[hook].function.v || profile->unneeded[hook])
		return NULL;
	return unseen[hook].what;
}

static bool is_there(const struct guest_profile *profile, size_t i)
{
	const char *value = (const char *)&profile->guest + blind[i].at;
	uint64_t symbol;
	int32_t field;

	if (blind[i].size == sizeof(symbol)) {
		memcpy(&symbol, value, sizeof(symbol));
		return symbol;
	}
	memcpy(&field, value, sizeof(field));
	return field != KT_ABSENT;
}

bool profile_next_gap(const struct guest_profile *profile, size_t *at, struct profile_gap *gap)
{
	for (; *at < KT_HOOK_MAX; ++*at) {
		gap->unseen = profile_unseen(profile, *at);
		if (!gap->unseen)
			continue;
		gap->hook = true;
		gap->name = profile_hook_name((*at)++);
		return true;
	}
	for (; *at < KT_HOOK_MAX + BLIND_COUNT; ++*at) {
		size_t i = *at - KT_HOOK_MAX;

		if (!profile->hooks[blind[i].hook].function.v || is_there(profile, i))
			continue;
		gap->hook = false;
		gap->name = names_of[blind[i].name];
		gap->unseen = blind[i].what;
		++*at;
		return true;
	}
	return false;
}
