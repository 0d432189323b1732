// SPDX-License-Identifier: GPL-2.0
/* What is not seen of a guest for want of a hook: vmlinux-guest/unseen.def. */
#include "profile_build.h"

static const struct {
	const char *where, *what;
} unseen[KT_HOOK_MAX] = {
#define GUEST_UNSEEN(id, where, what) [KT_HOOK_##id] = { where, what },
#include "../vmlinux-guest/unseen.def"
#undef GUEST_UNSEEN
};

#define GUEST_UNSEEN(id, where, what) +1
_Static_assert(0
#include "../vmlinux-guest/unseen.def"
		       == KT_HOOK_MAX,
	       "each hook has a row in unseen.def");
#undef GUEST_UNSEEN

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
