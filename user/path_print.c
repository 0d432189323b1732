// SPDX-License-Identifier: GPL-2.0
/*
 * What `kvmtaint path` prints. The records are a file's, which anybody may have written: no
 * string of them is printed but through escape.h.
 */
#include <inttypes.h>
#include <string.h>

#include "cleanup.h"
#include "escape.h"
#include "path_internal.h"

/* --- JSON ------------------------------------------------------------------ */

static void print_json_object(struct json_object *object)
{
	bool first = true;

	putchar('{');
	json_object_object_foreach(object, key, value) {
		if (!first)
			putchar(',');
		first = false;
		escape_json(stdout, key, strlen(key));
		putchar(':');
		path_print_json(value);
	}
	putchar('}');
}

static void print_json_array(struct json_object *array)
{
	putchar('[');
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		if (i)
			putchar(',');
		path_print_json(json_object_array_get_idx(array, i));
	}
	putchar(']');
}

void path_print_json(struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_object:
		print_json_object(value);
		break;
	case json_type_array:
		print_json_array(value);
		break;
	case json_type_string:
		escape_json(stdout, json_object_get_string(value),
			    json_object_get_string_len(value));
		break;
	default:
		fputs(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN), stdout);
	}
}

/* --- text ------------------------------------------------------------------ */

static void print_string(const char *text)
{
	escape_text(stdout, text, strlen(text));
}

static void print_object(struct json_object *record, const char *key)
{
	struct json_object *thing;
	const char *kind, *name;

	if (!json_object_object_get_ex(record, key, &thing)) {
		printf("?");
		return;
	}
	kind = path_string(thing, "kind");
	name = path_string(thing, !strcmp(kind, "file")	     ? "path"
				  : !strcmp(kind, "process") ? "comm"
				  : !strcmp(kind, "key")     ? "description"
							     : "name");
	if (!strcmp(kind, "socket")) {
		print_string(path_string(thing, "family"));
		putchar(' ');
	}
	print_string(kind);
	if (*name) {
		putchar(' ');
		print_string(name);
	}
	if (path_number(thing, "pid"))
		printf(" (pid %" PRIu64 ")", path_number(thing, "pid"));
	else if (path_number(thing, "inode"))
		printf(" (inode %" PRIu64 ")", path_number(thing, "inode"));
}

static void print_destination(struct json_object *record)
{
	static const char *const more[] = { "server", "path" };
	struct json_object *to;
	const char *storage;

	if (!json_object_object_get_ex(record, "destination", &to)) {
		print_string(path_string(record, "kind"));
		return;
	}
	storage = *path_string(to, "filesystem") ? path_string(to, "filesystem")
						 : path_string(to, "name");
	if (*storage) {
		print_string(storage);
		for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
			if (*path_string(to, more[i])) {
				putchar(' ');
				print_string(path_string(to, more[i]));
			}
		return;
	}
	if (!json_object_object_get_ex(to, "family", NULL)) {
		print_string(path_string(record, "kind"));
		putchar(' ');
		print_string(path_string(to, "device"));
		return;
	}
	print_string(*path_string(to, "transport") ? path_string(to, "transport")
						   : path_string(to, "family"));
	if (*path_string(to, "address")) {
		putchar(' ');
		print_string(path_string(to, "address"));
	}
	if (path_number(to, "port"))
		printf(" port %" PRIu64, path_number(to, "port"));
}

/* The system call, in a column of its own. */
static void print_call(const char *call)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *out = *call ? open_memstream(&text, &len) : NULL;

	if (out) {
		escape_text(out, call, strlen(call));
		fclose(out);
	}
	printf("%14s%s", text ? text : "-", text ? "()" : "  ");
}

static void print_step(struct json_object *record)
{
	const char *type = path_string(record, "type"), *verdict = path_string(record, "verdict");
	struct json_object *actor;

	printf("%8" PRIu64 "  ", path_number(record, "seq"));
	print_call(path_string(record, "syscall"));
	if (path_is_send(type)) {
		printf("  => ");
		print_destination(record);
		if (json_object_object_get_ex(record, "bytes", NULL))
			printf(", %" PRIu64 " bytes", path_number(record, "bytes"));
		if (*verdict && strcmp(verdict, "reported")) {
			printf(", ");
			print_string(verdict);
		}
	} else {
		printf("  -> ");
		print_object(record, "target");
		printf("  [");
		print_string(!strcmp(type, "spread") ? path_string(record, "flow") : type);
		if (json_object_object_get_ex(record, "process", &actor)) {
			printf(", by ");
			print_string(path_string(actor, "comm"));
		}
		putchar(']');
	}
	putchar('\n');
}

/* Where a way begins that does not begin with the policy. */
static void print_gap(const struct path_way *way)
{
	struct json_object *cause = NULL, *vm;

	if (json_object_array_length(way->records))
		cause = path_remote_cause(json_object_array_get_idx(way->records, 0),
					  way->first_label);
	if (!cause || !json_object_object_get_ex(cause, "vm", &vm)) {
		printf("          (what came before is not in the records)\n");
		return;
	}
	printf("          (from VM ");
	print_string(path_string(vm, "name"));
	printf(" (pid %" PRIu64 "), record %" PRIu64 " of its kvmtaint: %s)\n",
	       path_number(vm, "pid"), path_number(cause, "seq"),
	       way->vm_given ? "the files given do not have it, or it does not fit"
			     : "--with its file");
}

static bool same_vm(struct json_object *a, struct json_object *b)
{
	struct json_object *first, *second;

	return json_object_object_get_ex(a, "vm", &first) &&
	       json_object_object_get_ex(b, "vm", &second) &&
	       path_number(first, "pid") == path_number(second, "pid") &&
	       !strcmp(path_string(first, "name"), path_string(second, "name"));
}

static void print_vm(struct json_object *record)
{
	struct json_object *vm;

	if (!json_object_object_get_ex(record, "vm", &vm))
		return;
	printf("  in VM ");
	print_string(path_string(vm, "name"));
	printf(" (pid %" PRIu64 ")\n", path_number(vm, "pid"));
}

void path_print_way(const struct path_way *way, bool name_vms)
{
	size_t count = json_object_array_length(way->records), i;
	struct json_object *step, *before = NULL;

	for (i = 1; i < count && !name_vms; i++)
		name_vms = !same_vm(json_object_array_get_idx(way->records, i - 1),
				    json_object_array_get_idx(way->records, i));
	printf("label ");
	print_string(way->label);
	if (strcmp(way->label, way->first_label)) {
		printf(" (first: ");
		print_string(way->first_label);
		putchar(')');
	}
	putchar('\n');
	if (!way->whole)
		print_gap(way);
	for (i = 0; i < count; i++, before = step) {
		step = json_object_array_get_idx(way->records, i);
		if (name_vms && (!before || !same_vm(before, step)))
			print_vm(step);
		print_step(step);
	}
}
