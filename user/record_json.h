/* SPDX-License-Identifier: GPL-2.0 */
/* Helpers over json-c that never let a guest's byte through unchecked. */
#ifndef KVMTAINT_RECORD_JSON_H
#define KVMTAINT_RECORD_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <json-c/json.h>

/* Keys here are literals, and each comes once in an object: they are neither copied nor looked for.
 */
void json_add_new(struct json_object *to, const char *key, struct json_object *value);

/*
 * Adds "key": the bytes as an escaped string; and, where they are not UTF-8,
 * "key_hex" with all of them, so that nothing is lost.
 */
void json_add_bytes(struct json_object *to, const char *key, const char *bytes, size_t len);

/* Adds a string of our own; a guest address as "0x..." (JSON numbers end at 2^53). */
void json_add_string(struct json_object *to, const char *key, const char *value);
void json_add_address(struct json_object *to, const char *key, uint64_t value);
void json_add_number(struct json_object *to, const char *key, uint64_t value);

/* The object as one line with '\n'; consumes it. NULL: out of memory. */
char *json_take_line(struct json_object *object);

#endif
