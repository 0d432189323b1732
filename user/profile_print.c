// SPDX-License-Identifier: GPL-2.0
#include "profile_print.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

static const char *state_of(const struct profile_hook *hook)
{
	if (!hook->function.v)
		return "absent";
	if (hook->is_trap)
		return "trap";
	return hook->foreign ? "foreign" : "free";
}

/* Whether all steps were done and well: the traps may be planted. */
static bool ready(const struct guest_profile *profile)
{
	for (size_t i = 0; i < profile->step_count; i++)
		if (!profile->steps[i].ok)
			return false;
	return profile->step_count > 0;
}

/* False when the profile ended before it looked for them. */
static bool hooks_known(const struct guest_profile *profile)
{
	for (size_t i = 0; i < profile->step_count; i++)
		if (!strcmp(profile->steps[i].name, "hooks"))
			return profile->steps[i].ok;
	return false;
}

void profile_print_text(const struct guest_profile *profile, bool verbose, FILE *out)
{
	struct profile_gap gap;
	size_t at = 0;

	for (size_t i = 0; i < profile->step_count; i++) {
		const struct profile_step *step = &profile->steps[i];

		fprintf(out, "%s  %-13s %s\n", step->ok ? "ok" : "NO", step->name, step->detail);
	}
	while (hooks_known(profile) && profile_next_gap(profile, &at, &gap))
		fprintf(out, "--  %-13s not in this guest; not seen: %s\n", gap.name, gap.unseen);
	for (size_t i = 0; verbose && i < KT_HOOK_MAX; i++) {
		const struct profile_hook *hook = &profile->hooks[i];

		fprintf(out, "    %-20s %-8s", profile_hook_name(i), state_of(hook));
		if (hook->function.v)
			fprintf(out, " %#" PRIx64 " at guest physical %#" PRIx64, hook->site.v,
				hook->site_gpa.v);
		fprintf(out, "\n");
	}
}

static void add_text(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

/* Addresses as hexadecimal text: JSON's own numbers lose bits beyond 2^53. */
static void add_address(struct json_object *object, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	add_text(object, key, text);
}

static struct json_object *steps_json(const struct guest_profile *profile)
{
	struct json_object *steps = json_object_new_array();

	for (size_t i = 0; i < profile->step_count; i++) {
		struct json_object *step = json_object_new_object();

		add_text(step, "name", profile->steps[i].name);
		json_object_object_add(step, "ok", json_object_new_boolean(profile->steps[i].ok));
		add_text(step, "detail", profile->steps[i].detail);
		json_object_array_add(steps, step);
	}
	return steps;
}

static struct json_object *hooks_json(const struct guest_profile *profile)
{
	struct json_object *hooks = json_object_new_array();

	for (size_t i = 0; i < KT_HOOK_MAX; i++) {
		const struct profile_hook *hook = &profile->hooks[i];
		struct json_object *object = json_object_new_object();
		const char *unseen;

		add_text(object, "name", profile_hook_name(i));
		add_text(object, "state", state_of(hook));
		if (hook->function.v) {
			add_address(object, "site", hook->site.v);
			add_address(object, "site_physical", hook->site_gpa.v);
		}
		unseen = hooks_known(profile) ? profile_unseen(profile, i) : NULL;
		if (unseen)
			add_text(object, "unseen", unseen);
		json_object_array_add(hooks, object);
	}
	return hooks;
}

/* Fields and symbols that something is lost with; hooks say so themselves. */
static struct json_object *absent_json(const struct guest_profile *profile)
{
	struct json_object *absent = json_object_new_array();
	struct profile_gap gap;
	size_t at = 0;

	while (hooks_known(profile) && profile_next_gap(profile, &at, &gap)) {
		struct json_object *object;

		if (gap.hook)
			continue;
		object = json_object_new_object();
		add_text(object, "name", gap.name);
		add_text(object, "unseen", gap.unseen);
		json_object_array_add(absent, object);
	}
	return absent;
}

struct json_object *profile_json(const struct guest_profile *profile)
{
	struct json_object *object = json_object_new_object();

	if (!object)
		return NULL;
	json_object_object_add(object, "ready", json_object_new_boolean(ready(profile)));
	add_text(object, "release", profile->release);
	add_text(object, "build_id", profile->build_id);
	json_object_object_add(object, "cpus", json_object_new_int64(profile->cpus));
	json_object_object_add(object, "levels", json_object_new_int64(profile->guest.levels));
	add_address(object, "text", profile->guest.text_gva);
	add_address(object, "text_physical", profile->guest.text_gpa);
	json_object_object_add(object, "steps", steps_json(profile));
	json_object_object_add(object, "hooks", hooks_json(profile));
	json_object_object_add(object, "absent", absent_json(profile));
	return object;
}
