// SPDX-License-Identifier: GPL-2.0
/*
 * `kvmtaint path FILE SEQ [--with FILE]`. A record's cause explains what its target got new; so for
 * one label the way goes by cause where the record added it, and by previous,
 * to the target's own earlier record, where it did not. Both lead to lower
 * numbers only, and from one VM to another the way goes back in time: so every walk
 * ends, whatever the files say.
 */
#include "path.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "commands.h"
#include "escape.h"
#include "record_json.h"

/* --- the file ------------------------------------------------------------ */

static uint64_t number_of(struct json_object *record, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(record, key, &value) ||
	    !json_object_is_type(value, json_type_int))
		return 0;
	return json_object_get_uint64(value);
}

static const char *string_of(struct json_object *record, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(record, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

static const char *label_at(struct json_object *labels, size_t i)
{
	struct json_object *label = json_object_array_get_idx(labels, i);

	return json_object_is_type(label, json_type_string) ? json_object_get_string(label) : "";
}

/* A line as a record; NULL: it is none. */
static struct json_object *parse(const char *line)
{
	struct json_object *record = json_tokener_parse(line);

	if (record && json_object_is_type(record, json_type_object) && number_of(record, "seq") &&
	    *string_of(record, "type"))
		return record;
	json_object_put(record);
	return NULL;
}

static int add_place(struct path_file *file, uint64_t seq, off_t at, size_t *room)
{
	struct path_place *grown;

	/* Numbers begin again where another run appended to the file. */
	if (!file->runs || (file->count && seq <= file->places[file->count - 1].seq)) {
		file->runs++;
		file->count = 0;
	}
	if (file->count == *room) {
		*room = *room ? 2 * *room : 1024;
		grown = reallocarray(file->places, *room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		file->places = grown;
	}
	file->places[file->count++] = (struct path_place){ .seq = seq, .at = at };
	return 0;
}

static int read_places(struct path_file *file, const char *name, char *err, size_t err_len)
{
	struct json_object *record;
	size_t room = 0, size = 0;
	unsigned int number = 0;
	char *line = NULL;
	ssize_t len;
	off_t at = 0;
	int rc = 0;

	while (!rc && (len = getline(&line, &size, file->file)) > 0 && line[len - 1] == '\n') {
		number++;
		record = parse(line);
		if (!record) {
			snprintf(err, err_len, "%s: line %u is no record of kvmtaint", name,
				 number);
			rc = -EBADMSG;
			break;
		}
		rc = add_place(file, number_of(record, "seq"), at, &room);
		json_object_put(record);
		at += len;
	}
	free(line);
	if (rc == -ENOMEM)
		snprintf(err, err_len, "out of memory");
	if (!rc && ferror(file->file)) {
		rc = -EIO;
		snprintf(err, err_len, "%s: %s", name, strerror(EIO));
	}
	return rc;
}

int path_open(struct path_file *file, const char *name, char *err, size_t err_len)
{
	struct stat st;
	int rc;

	*file = (struct path_file){};
	file->file = fopen(name, "re");
	if (!file->file || fstat(fileno(file->file), &st)) {
		rc = -errno;
		snprintf(err, err_len, "%s: %s", name, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		rc = -EINVAL;
		snprintf(err, err_len, "%s: not a regular file", name);
	} else {
		rc = read_places(file, name, err, err_len);
	}
	if (rc)
		path_close(file);
	return rc;
}

void path_close(struct path_file *file)
{
	if (file->file)
		fclose(file->file);
	free(file->places);
	*file = (struct path_file){};
}

static int compare_places(const void *key, const void *at)
{
	uint64_t seq = *(const uint64_t *)key, other = ((const struct path_place *)at)->seq;

	return seq < other ? -1 : seq > other;
}

struct json_object *path_record(struct path_file *file, uint64_t seq)
{
	struct path_place *place = file->count ? bsearch(&seq, file->places, file->count,
							 sizeof(*place), compare_places)
					       : NULL;
	struct json_object *record = NULL;
	char *line = NULL;
	size_t size = 0;

	if (place && !fseeko(file->file, place->at, SEEK_SET) &&
	    getline(&line, &size, file->file) > 0)
		record = parse(line);
	free(line);
	return record;
}

/* --- the way ------------------------------------------------------------- */

static bool has_label(struct json_object *record, const char *key, const char *label)
{
	struct json_object *labels;

	if (!json_object_object_get_ex(record, key, &labels) ||
	    !json_object_is_type(labels, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(labels); i++)
		if (!strcmp(label_at(labels, i), label))
			return true;
	return false;
}

/* Data left, were to leave, or went where they may. */
static bool is_send(const char *type)
{
	return !strcmp(type, "leak") || !strcmp(type, "allowed");
}

/* The number of the record before this one; 0: the policy explains it, or nothing does. */
static uint64_t step_back(struct json_object *record, const char *label)
{
	const char *type = string_of(record, "type");

	if (is_send(type) || !strcmp(type, "lost"))
		return number_of(record, "cause");
	if (!strcmp(type, "spread") && has_label(record, "added", label))
		return number_of(record, "cause");
	return number_of(record, "previous");
}

/* What another VM's kvmtaint says of the record's cause; NULL: it is not from there. */
static struct json_object *remote_cause(struct json_object *record, const char *label)
{
	struct json_object *cause;

	return has_label(record, "added", label) &&
			       json_object_object_get_ex(record, "remote_cause", &cause)
		       ? cause
		       : NULL;
}

static bool same_vm(struct json_object *a, struct json_object *b)
{
	struct json_object *first, *second;

	return json_object_object_get_ex(a, "vm", &first) &&
	       json_object_object_get_ex(b, "vm", &second) &&
	       number_of(first, "pid") == number_of(second, "pid") &&
	       !strcmp(string_of(first, "name"), string_of(second, "name"));
}

/*
 * The record of another VM that this cause names, which was before the one that names
 * it: a number may be another run's. *file: the one that it is in.
 */
static struct json_object *cross_over(const struct path_others *others, struct json_object *cause,
				      struct json_object *record, struct path_file **file)
{
	struct json_object *other;

	for (size_t i = 0; others && i < others->count; i++) {
		other = path_record(&others->files[i], number_of(cause, "seq"));
		if (other && same_vm(other, cause) &&
		    strcmp(string_of(other, "time"), string_of(record, "time")) < 0) {
			*file = &others->files[i];
			return other;
		}
		json_object_put(other);
	}
	return NULL;
}

/* What a label is called where it came from: the same, or one that is not known here. */
static const char *label_there(struct json_object *record, const char *label)
{
	struct json_object *labels;

	if (has_label(record, "labels", label) ||
	    !json_object_object_get_ex(record, "labels", &labels) ||
	    !json_object_is_type(labels, json_type_array))
		return label;
	return label_at(labels, 0);
}

static bool is_first(struct json_object *record, const char *label)
{
	return !strcmp(string_of(record, "flow"), "policy") && has_label(record, "added", label);
}

static struct json_object *reversed(struct json_object *steps)
{
	struct json_object *forward = json_object_new_array();

	for (size_t i = json_object_array_length(steps); forward && i > 0; i--)
		json_object_array_add(forward,
				      json_object_get(json_object_array_get_idx(steps, i - 1)));
	json_object_put(steps);
	return forward;
}

struct json_object *path_follow(struct path_file *file, const struct path_others *others,
				uint64_t seq, const char *label, bool *whole)
{
	struct json_object *steps = json_object_new_array(), *cause;
	struct json_object *record = path_record(file, seq);
	uint64_t before;

	*whole = false;
	while (steps && record && has_label(record, "labels", label)) {
		json_object_array_add(steps, record);
		*whole = is_first(record, label);
		before = *whole ? 0 : step_back(record, label);
		cause = *whole ? NULL : remote_cause(record, label);
		if (cause) {
			record = cross_over(others, cause, record, &file);
			label = record ? label_there(record, label) : label;
		} else if (before && before < number_of(record, "seq")) {
			record = path_record(file, before);
		} else {
			record = NULL;
		}
	}
	json_object_put(record);
	return steps ? reversed(steps) : NULL;
}

/* --- what is printed ----------------------------------------------------- */

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
	kind = string_of(thing, "kind");
	name = string_of(thing, !strcmp(kind, "file")	   ? "path"
				: !strcmp(kind, "process") ? "comm"
				: !strcmp(kind, "key")	   ? "description"
							   : "name");
	if (!strcmp(kind, "socket"))
		printf("%s ", string_of(thing, "family"));
	print_string(kind);
	if (*name) {
		putchar(' ');
		print_string(name);
	}
	if (number_of(thing, "pid"))
		printf(" (pid %" PRIu64 ")", number_of(thing, "pid"));
	else if (number_of(thing, "inode"))
		printf(" (inode %" PRIu64 ")", number_of(thing, "inode"));
}

static void print_destination(struct json_object *record)
{
	static const char *const more[] = { "server", "path" };
	struct json_object *to;
	const char *storage;

	if (!json_object_object_get_ex(record, "destination", &to)) {
		print_string(string_of(record, "kind"));
		return;
	}
	storage = *string_of(to, "filesystem") ? string_of(to, "filesystem")
					       : string_of(to, "name");
	if (*storage) {
		print_string(storage);
		for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
			if (*string_of(to, more[i])) {
				putchar(' ');
				print_string(string_of(to, more[i]));
			}
		return;
	}
	if (!json_object_object_get_ex(to, "family", NULL)) {
		print_string(string_of(record, "kind"));
		putchar(' ');
		print_string(string_of(to, "device"));
		return;
	}
	print_string(*string_of(to, "transport") ? string_of(to, "transport")
						 : string_of(to, "family"));
	if (*string_of(to, "address")) {
		putchar(' ');
		print_string(string_of(to, "address"));
	}
	if (number_of(to, "port"))
		printf(" port %" PRIu64, number_of(to, "port"));
}

static void print_step(struct json_object *record)
{
	const char *call = string_of(record, "syscall"), *type = string_of(record, "type");
	const char *verdict = string_of(record, "verdict");
	struct json_object *actor;

	printf("%8" PRIu64 "  %14s%s  ", number_of(record, "seq"), *call ? call : "-",
	       *call ? "()" : "  ");
	if (is_send(type)) {
		printf("=> ");
		print_destination(record);
		if (json_object_object_get_ex(record, "bytes", NULL))
			printf(", %" PRIu64 " bytes", number_of(record, "bytes"));
		if (*verdict && strcmp(verdict, "reported"))
			printf(", %s", verdict);
	} else {
		printf("-> ");
		print_object(record, "target");
		printf("  [%s", !strcmp(type, "spread") ? string_of(record, "flow") : type);
		if (json_object_object_get_ex(record, "process", &actor)) {
			printf(", by ");
			print_string(string_of(actor, "comm"));
		}
		putchar(']');
	}
	putchar('\n');
}

/* Where a way begins that does not begin with the policy. */
static void print_gap(struct json_object *steps, const char *label)
{
	struct json_object *cause = NULL, *vm;

	if (json_object_array_length(steps))
		cause = remote_cause(json_object_array_get_idx(steps, 0), label);
	if (!cause || !json_object_object_get_ex(cause, "vm", &vm)) {
		printf("          (what came before is not in the records)\n");
		return;
	}
	printf("          (from VM ");
	print_string(string_of(vm, "name"));
	printf(" (pid %" PRIu64 "), record %" PRIu64 " of its kvmtaint: --with its file)\n",
	       number_of(vm, "pid"), number_of(cause, "seq"));
}

static void print_vm(struct json_object *record)
{
	struct json_object *vm;

	if (!json_object_object_get_ex(record, "vm", &vm))
		return;
	printf("  in VM ");
	print_string(string_of(vm, "name"));
	printf(" (pid %" PRIu64 ")\n", number_of(vm, "pid"));
}

static void print_way(struct json_object *steps, const char *label, bool whole)
{
	size_t count = json_object_array_length(steps), i;
	struct json_object *step, *before = NULL;
	bool several = count && !same_vm(json_object_array_get_idx(steps, 0),
					 json_object_array_get_idx(steps, count - 1));

	printf("label ");
	print_string(label);
	putchar('\n');
	if (!whole)
		print_gap(steps, label);
	for (i = 0; i < count; i++, before = step) {
		step = json_object_array_get_idx(steps, i);
		if (several && (!before || !same_vm(before, step)))
			print_vm(step);
		print_step(step);
	}
}

static void add_way(struct json_object *ways, struct json_object *steps, const char *label,
		    bool whole)
{
	struct json_object *way = json_object_new_object();

	json_add_string(way, "label", label);
	json_object_object_add(way, "whole", json_object_new_boolean(whole));
	json_object_object_add(way, "records", json_object_get(steps));
	json_object_array_add(ways, way);
}

/* All labels of the record, one after the other. */
static enum exit_status tell(struct path_file *file, const struct path_others *others,
			     const struct options *options, struct json_object *labels)
{
	struct json_object *all = json_object_new_object(), *ways = json_object_new_array();
	enum exit_status status = STATUS_OK;
	bool whole;

	for (size_t i = 0; i < json_object_array_length(labels); i++) {
		const char *label = label_at(labels, i);
		struct json_object *steps = path_follow(file, others, options->seq, label, &whole);

		if (!whole)
			status = STATUS_RECORDS;
		if (options->json)
			add_way(ways, steps, label, whole);
		else
			print_way(steps, label, whole);
		json_object_put(steps);
	}
	json_add_number(all, "seq", options->seq);
	json_object_object_add(all, "ways", ways);
	if (options->json)
		printf("%s\n",
		       json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN |
								   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(all);
	if (status)
		status_fail(status, "%s: records on the way are missing", options->records);
	return status;
}

static int open_others(struct path_others *others, const struct options *options, char *err,
		       size_t err_len)
{
	int rc = 0;

	others->files = calloc(options->with_count, sizeof(*others->files));
	if (options->with_count && !others->files) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	while (!rc && others->count < options->with_count) {
		rc = path_open(&others->files[others->count], options->with[others->count], err,
			       err_len);
		others->count += !rc;
	}
	return rc;
}

static void close_others(struct path_others *others)
{
	while (others->count)
		path_close(&others->files[--others->count]);
	free(others->files);
}

enum exit_status command_path(const struct options *options)
{
	struct json_object *record = NULL, *labels = NULL;
	struct path_others others = {};
	enum exit_status status;
	struct path_file file;
	char err[400];

	if (path_open(&file, options->records, err, sizeof(err)))
		return status_fail(STATUS_RECORDS, "%s", err);
	if (open_others(&others, options, err, sizeof(err))) {
		close_others(&others);
		path_close(&file);
		return status_fail(STATUS_RECORDS, "%s", err);
	}
	record = path_record(&file, options->seq);
	if (!record)
		status = status_fail(STATUS_RECORDS, "%s: no record %" PRIu64 "%s",
				     options->records, options->seq,
				     file.runs > 1 ? " in the last of the runs that wrote it" : "");
	else if (!json_object_object_get_ex(record, "labels", &labels) ||
		 !json_object_is_type(labels, json_type_array) ||
		 !strcmp(string_of(record, "type"), "start"))
		status = status_fail(STATUS_RECORDS,
				     "%s: record %" PRIu64 " is a '%s': only to spread, leak and"
				     " gone does a path lead",
				     options->records, options->seq, string_of(record, "type"));
	else
		status = tell(&file, &others, options, labels);
	json_object_put(record);
	close_others(&others);
	path_close(&file);
	if (!status && (fflush(stdout) || ferror(stdout)))
		status = status_fail(STATUS_STDOUT, "cannot write to stdout: %s", strerror(errno));
	return status;
}
