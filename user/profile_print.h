/* SPDX-License-Identifier: GPL-2.0 */
/* A guest profile for people and for programs: `kvmtaint probe`. */
#ifndef KVMTAINT_PROFILE_PRINT_H
#define KVMTAINT_PROFILE_PRINT_H

#include <stdio.h>

#include "profile.h"

struct json_object; /* json-c */

/*
 * One line a step, "ok" or "NO" first; one, "--" first, for each hook whose lack
 * costs something; then one a hook with verbose.
 */
void profile_print_text(const struct guest_profile *profile, bool verbose, FILE *out);

/* The same as one JSON object; free with json_object_put(). NULL: out of memory. */
struct json_object *profile_json(const struct guest_profile *profile);

#endif
