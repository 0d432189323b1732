// SPDX-License-Identifier: GPL-2.0
/*
 * Files of records for `kvmtaint path`. A run of kvmtaint begins with its start record. Its
 * numbers do not always rise from line to line: what kvmtaint waited for in vain it
 * writes behind what came later.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "path_internal.h"

/* --- records --------------------------------------------------------------- */

uint64_t path_number(struct json_object *record, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(record, key, &value) ||
	    !json_object_is_type(value, json_type_int))
		return 0;
	return json_object_get_uint64(value);
}

const char *path_string(struct json_object *record, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(record, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

struct json_object *path_labels(struct json_object *record, const char *key)
{
	struct json_object *labels;

	return json_object_object_get_ex(record, key, &labels) &&
			       json_object_is_type(labels, json_type_array)
		       ? labels
		       : NULL;
}

const char *path_label_at(struct json_object *labels, size_t i)
{
	struct json_object *label = json_object_array_get_idx(labels, i);

	return json_object_is_type(label, json_type_string) ? json_object_get_string(label) : "";
}

bool path_has_label(struct json_object *record, const char *key, const char *label)
{
	struct json_object *labels = path_labels(record, key);

	for (size_t i = 0; labels && i < json_object_array_length(labels); i++)
		if (!strcmp(path_label_at(labels, i), label))
			return true;
	return false;
}

struct json_object *path_remote_cause(struct json_object *record, const char *label)
{
	struct json_object *cause;

	return path_has_label(record, "added", label) &&
			       json_object_object_get_ex(record, "remote_cause", &cause)
		       ? cause
		       : NULL;
}

/* The JSON value that a text begins with; taken: its bytes, 0: there is none. */
static struct json_object *parse(struct json_tokener *tokener, const char *text, size_t len,
				 size_t *taken)
{
	struct json_object *value;

	json_tokener_reset(tokener);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	value = json_tokener_parse_ex(tokener, text, len < INT_MAX ? len : INT_MAX);
	*taken = value ? json_tokener_get_parse_end(tokener) : 0;
	return value;
}

static bool is_record(struct json_object *value)
{
	return json_object_is_type(value, json_type_object) && path_number(value, "seq") &&
	       *path_string(value, "type");
}

/* --- runs ------------------------------------------------------------------ */

/* The index of a VM's run; room for it if it has none yet. -ENOMEM. */
static ssize_t index_of(struct path_file *file, struct json_object *vm, bool add)
{
	_cleanup_free_ char *key = NULL;
	struct json_object *index;
	struct path_run *grown;

	if (asprintf(&key, "%" PRIu64 " %s", path_number(vm, "pid"), path_string(vm, "name")) < 0) {
		key = NULL;
		return -ENOMEM;
	}
	if (json_object_object_get_ex(file->by_vm, key, &index))
		return json_object_get_int64(index);
	if (!add)
		return -ENOENT;
	grown = reallocarray(file->vms, file->vm_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	file->vms = grown;
	index = json_object_new_int64(file->vm_count);
	if (!index || json_object_object_add(file->by_vm, key, index)) {
		json_object_put(index);
		return -ENOMEM;
	}
	file->vms[file->vm_count] = (struct path_run){};
	return file->vm_count++;
}

/*
 * Whether another run begins: with its start, or without (it was cut, or is in an older
 * file). A record that comes late was made before those with higher numbers.
 */
static bool begins(const struct path_run *run, struct json_object *record)
{
	return !run->count || !strcmp(path_string(record, "type"), "start") ||
	       (path_number(record, "seq") <= run->highest &&
		strcmp(path_string(record, "time"), run->latest) > 0);
}

static int add_place(struct path_run *run, uint64_t seq, off_t at)
{
	size_t room = run->room ? 2 * run->room : 64;
	struct path_place *grown;

	if (run->count == run->room) {
		grown = reallocarray(run->places, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		run->places = grown;
		run->room = room;
	}
	run->places[run->count++] = (struct path_place){ .seq = seq, .at = at };
	return 0;
}

static int add_record(struct path_file *file, struct json_object *record, off_t at)
{
	const char *time = path_string(record, "time");
	uint64_t seq = path_number(record, "seq");
	struct json_object *vm = NULL;
	struct path_run *run;
	ssize_t index;

	json_object_object_get_ex(record, "vm", &vm);
	index = index_of(file, vm, true);
	if (index < 0)
		return index;
	run = &file->vms[index];
	if (begins(run, record)) {
		file->runs++;
		file->last = index;
		run->count = run->highest = 0;
		*run->latest = '\0';
	}
	if (seq > run->highest)
		run->highest = seq;
	if (strcmp(time, run->latest) > 0)
		snprintf(run->latest, sizeof(run->latest), "%s", time);
	return add_place(run, seq, at);
}

static int by_seq(const void *x, const void *y)
{
	const struct path_place *a = x, *b = y;

	return a->seq != b->seq ? (a->seq < b->seq ? -1 : 1) : a->at < b->at ? -1 : a->at > b->at;
}

/* By number; of two with the same the later line counts. */
static void sort_places(struct path_run *run)
{
	size_t kept = 0;

	qsort(run->places, run->count, sizeof(*run->places), by_seq);
	for (size_t i = 0; i < run->count; i++) {
		if (kept && run->places[kept - 1].seq == run->places[i].seq)
			kept--;
		run->places[kept++] = run->places[i];
	}
	run->count = kept;
}

/* --- the file -------------------------------------------------------------- */

/* The records of a line: one, or what stands whole behind a cut one. 0 or -ENOMEM. */
static int read_line(struct path_file *file, struct json_tokener *tokener, const char *line,
		     size_t len, off_t at)
{
	static const char head[] = "{\"seq\":"; /* in a string its quotes would be escaped */
	size_t from = 0, taken;
	struct json_object *value;
	bool clean = true;
	const char *next;
	int rc = 0;

	do {
		value = parse(tokener, line + from, len - from, &taken);
		if (is_record(value))
			rc = add_record(file, value, at + from);
		else
			clean = false;
		json_object_put(value);
		from += taken;
		while (taken && from < len && strchr(" \t\r\n", line[from]) && line[from])
			from++;
		if (!taken) {
			next = memmem(line + from + 1, len - from - 1, head, strlen(head));
			from = next ? (size_t)(next - line) : len;
		}
	} while (!rc && from < len);
	file->passed_over += !clean;
	return rc;
}

static int read_places(struct path_file *file, struct json_tokener *tokener, const char *name,
		       char *err, size_t err_len)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	ssize_t len;
	off_t at = 0;
	int rc = 0;

	while (!rc && (len = getline(&line, &size, file->file)) > 0 && line[len - 1] == '\n') {
		rc = read_line(file, tokener, line, len, at);
		at += len;
	}
	if (rc) {
		snprintf(err, err_len, "out of memory");
		return rc;
	}
	if (ferror(file->file)) {
		snprintf(err, err_len, "%s: %s", name, strerror(EIO));
		return -EIO;
	}
	if (file->passed_over && !file->runs) {
		snprintf(err, err_len, "%s: no line is a record of kvmtaint", name);
		return -EBADMSG;
	}
	for (size_t i = 0; i < file->vm_count; i++)
		sort_places(&file->vms[i]);
	return 0;
}

int path_open(struct path_file *file, const char *name, char *err, size_t err_len)
{
	struct json_tokener *tokener = json_tokener_new();
	struct stat st;
	int rc;

	*file = (struct path_file){ .by_vm = json_object_new_object() };
	file->file = fopen(name, "re");
	if (!file->file || fstat(fileno(file->file), &st)) {
		rc = -errno;
		snprintf(err, err_len, "%s: %s", name, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		rc = -EINVAL;
		snprintf(err, err_len, "%s: not a regular file", name);
	} else if (!tokener || !file->by_vm) {
		rc = -ENOMEM;
		snprintf(err, err_len, "out of memory");
	} else {
		rc = read_places(file, tokener, name, err, err_len);
	}
	if (tokener)
		json_tokener_free(tokener);
	if (rc)
		path_close(file);
	return rc;
}

void path_close(struct path_file *file)
{
	if (file->file)
		fclose(file->file);
	for (size_t i = 0; i < file->vm_count; i++)
		free(file->vms[i].places);
	free(file->vms);
	json_object_put(file->by_vm);
	*file = (struct path_file){};
}

struct path_run *path_last_run(struct path_file *file)
{
	return file->vm_count ? &file->vms[file->last] : NULL;
}

struct path_run *path_run_of(struct path_file *file, struct json_object *vm)
{
	ssize_t index = index_of(file, vm, false);

	return index < 0 ? NULL : &file->vms[index];
}

static int compare_places(const void *key, const void *at)
{
	uint64_t seq = *(const uint64_t *)key, other = ((const struct path_place *)at)->seq;

	return seq < other ? -1 : seq > other;
}

struct path_place *path_place(const struct path_run *run, uint64_t seq)
{
	return run && run->count ? bsearch(&seq, run->places, run->count, sizeof(*run->places),
					   compare_places)
				 : NULL;
}

struct json_object *path_read(struct path_file *file, const struct path_place *place)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *record = NULL;
	_cleanup_free_ char *line = NULL;
	size_t size = 0, taken;
	ssize_t len;

	if (tokener && !fseeko(file->file, place->at, SEEK_SET) &&
	    (len = getline(&line, &size, file->file)) > 0)
		record = parse(tokener, line, len, &taken);
	if (tokener)
		json_tokener_free(tokener);
	if (is_record(record) && path_number(record, "seq") == place->seq)
		return record;
	json_object_put(record);
	return NULL;
}

struct json_object *path_record(struct path_file *file, uint64_t seq)
{
	struct path_place *place = path_place(path_last_run(file), seq);

	return place ? path_read(file, place) : NULL;
}
