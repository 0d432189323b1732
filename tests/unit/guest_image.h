/* SPDX-License-Identifier: GPL-2.0 */
/* The RAM images that scripts/ram-image saves, for tests. */
#ifndef KVMTAINT_TESTS_GUEST_IMAGE_H
#define KVMTAINT_TESTS_GUEST_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/guest_mem.h"

static const char *const image_series[] = { "5.10", "6.1", "6.12", "6.18", "7" };

#define IMAGE_COUNT (sizeof(image_series) / sizeof(image_series[0]))

/* Path of a file of an image: $KT_IMAGES or .cache/images, series, name. */
static inline const char *image_path(const char *series, const char *name)
{
	static char path[4096];
	const char *top = getenv("KT_IMAGES");

	snprintf(path, sizeof(path), "%s/%s/%s", top ? top : ".cache/images", series, name);
	return path;
}

/* What the guest itself said, of "key=value" lines; false: it did not. */
static inline bool image_fact(const char *series, const char *key, char *value, size_t len)
{
	FILE *file = fopen(image_path(series, "facts"), "r");
	size_t key_len = strlen(key);
	bool found = false;
	char line[4096];

	while (file && !found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		found = !strncmp(line, key, key_len) && line[key_len] == '=';
		if (found)
			snprintf(value, len, "%s", line + key_len + 1);
	}
	if (file)
		fclose(file);
	return found;
}

/* A fact that is a number; 0 where there is none. */
static inline uint64_t image_number(const char *series, const char *key)
{
	char value[4096];

	return image_fact(series, key, value, sizeof(value)) ? strtoull(value, NULL, 0) : 0;
}

#endif
