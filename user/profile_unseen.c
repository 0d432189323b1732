// SPDX-License-Identifier: GPL-2.0
/* What is not seen of a guest for want of a hook, a field or a symbol: vmlinux-guest/unseen.def. */
#include "profile_build.h"

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

bool profile_next_gap(const struct guest_profile *profile, size_t *at, struct profile_gap *gap)
{
	const struct kt_guest *guest = &profile->guest;
	const struct {
		bool absent;
		enum kt_hook hook;
		struct profile_gap gap;
	} others[] = {
#define GUEST_UNSEEN(id, where, what)
#define GUEST_UNSEEN_FIELD(id, hook, what)                                                         \
	{ guest->id == KT_ABSENT, KT_HOOK_##hook, { false, names_of[FIELD_##id], what } },
#define GUEST_UNSEEN_SYMBOL(id, hook, what)                                                        \
	{ !guest->sym_##id, KT_HOOK_##hook, { false, names_of[SYMBOL_##id], what } },
#include "../vmlinux-guest/unseen.def"
	};

	while (*at < KT_HOOK_MAX) {
		size_t hook = (*at)++;

		*gap = (struct profile_gap){ true, profile_hook_name(hook),
					     profile_unseen(profile, hook) };
		if (gap->unseen)
			return true;
	}
	while (*at < KT_HOOK_MAX + sizeof(others) / sizeof(*others)) {
		size_t i = (*at)++ - KT_HOOK_MAX;

		*gap = others[i].gap;
		if (others[i].absent && profile->hooks[others[i].hook].function.v)
			return true;
	}
	return false;
}
