// SPDX-License-Identifier: GPL-2.0
/* What is not seen of a guest for want of a hook: vmlinux-guest/unseen.def. */
#include "profile_build.h"

#include <stdio.h>

static const struct {
	const char *names; /* alternatives of hooks.def */
} hooks[KT_HOOK_MAX] = {
#define GUEST_HOOK(id, need, program, names) { names },
#include "../vmlinux-guest/hooks.def"
#undef GUEST_HOOK
};

static const struct {
	bool told;
	const char *where, *what;
} unseen[KT_HOOK_MAX] = {
#define GUEST_UNSEEN(id, where, what) [KT_HOOK_##id] = { true, where, what },
#include "../vmlinux-guest/unseen.def"
#undef GUEST_UNSEEN
};

void profile_find_unseen(struct profile_build *build)
{
	for (size_t h = 0; h < KT_HOOK_MAX; h++) {
		bool *unneeded = &build->profile->unneeded[h];

		if (!unseen[h].told)
			continue;
		*unneeded = !unseen[h].what;
		if (unseen[h].where[0])
			*unneeded |= guest_types_offset(build->types, unseen[h].where) == KT_ABSENT;
	}
}

const char *profile_unseen(const struct guest_profile *profile, size_t hook, char *buf, size_t len)
{
	if (profile->hooks[hook].function.v || profile->unneeded[hook])
		return NULL;
	if (unseen[hook].told)
		return unseen[hook].what;
	snprintf(buf, len, "whatever passes %s", hooks[hook].names);
	return buf;
}
