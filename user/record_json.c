// SPDX-License-Identifier: GPL-2.0
/* JSON values for records. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"
#include "record_json.h"

/* Printed as they are, by json-c too. */
static bool is_simple(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] < ' ' || bytes[i] > '~' || bytes[i] == '"' || bytes[i] == '\\')
			return false;
	return true;
}

/* json-c passes bytes that are not UTF-8, and C1 controls, through: print our own form. */
static struct json_object *escaped_string(const char *bytes, size_t len)
{
	struct json_object *string;
	char *text = NULL;
	size_t text_len;
	FILE *out;

	if (is_simple(bytes, len))
		return json_object_new_string_len(bytes, len);
	string = json_object_new_string_len("", 0);
	out = open_memstream(&text, &text_len);
	if (!out || !string) {
		if (out)
			fclose(out);
		free(text);
		return string;
	}
	escape_json(out, bytes, len);
	fclose(out);
	json_object_set_serializer(string, json_object_userdata_to_json_string, text,
				   json_object_free_userdata);
	return string;
}

static void add_hex(struct json_object *to, const char *key, const char *bytes, size_t len)
{
	char *hex = malloc(2 * len + 1), name[64];
	size_t i;

	if (!hex)
		return;
	for (i = 0; i < len; i++)
		sprintf(hex + 2 * i, "%02x", (unsigned char)bytes[i]);
	snprintf(name, sizeof(name), "%s_hex", key);
	json_object_object_add(to, name, json_object_new_string_len(hex, 2 * len));
	free(hex);
}

void json_add_new(struct json_object *to, const char *key, struct json_object *value)
{
	json_object_object_add_ex(to, key, value,
				  JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_ADD_CONSTANT_KEY);
}

void json_add_bytes(struct json_object *to, const char *key, const char *bytes, size_t len)
{
	json_add_new(to, key, escaped_string(bytes, len));
	if (!escape_is_utf8(bytes, len))
		add_hex(to, key, bytes, len);
}

void json_add_string(struct json_object *to, const char *key, const char *value)
{
	json_add_new(to, key, json_object_new_string(value));
}

void json_add_address(struct json_object *to, const char *key, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)value);
	json_add_string(to, key, text);
}

void json_add_number(struct json_object *to, const char *key, uint64_t value)
{
	json_add_new(to, key, json_object_new_uint64(value));
}

char *json_take_line(struct json_object *object)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	char *line = text ? malloc(len + 2) : NULL;

	if (line) {
		memcpy(line, text, len);
		memcpy(line + len, "\n", 2);
	}
	json_object_put(object);
	return line;
}
