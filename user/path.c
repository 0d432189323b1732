// SPDX-License-Identifier: GPL-2.0
/*
 * `kvmtaint path FILE SEQ [--with FILE]`. A record's cause explains what its target got new;
 * so for one label the way goes by cause where the record added it, and by previous, to the
 * target's own earlier record, where it did not. A walk takes no record twice: so every one
 * ends, whatever the files say.
 */
#include "path.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "path_internal.h"
#include "record_json.h"

#define WAYS_MAX 64 /* of one label */

/* --- the way ------------------------------------------------------------- */

/* Where a walk is, and what the label is called there. */
struct walk {
	struct path_file *first;
	const struct path_others *others;
	struct path_file *file;
	struct path_run *run;
	const char *label;
	struct path_choices *choices;
	size_t chosen;
	bool vm_given; /* one of the files has a run of the VM that was last looked for */
};

/* All files of a walk; NULL: there are no more. */
static struct path_file *file_at(const struct walk *walk, size_t i)
{
	if (!i)
		return walk->first;
	return walk->others && i <= walk->others->count ? &walk->others->files[i - 1] : NULL;
}

static void forget_taken(const struct walk *walk)
{
	struct path_file *file;

	for (size_t i = 0; (file = file_at(walk, i)); i++)
		for (size_t k = 0; k < file->vm_count; k++)
			for (size_t n = 0; n < file->vms[k].count; n++)
				file->vms[k].places[n].taken = false;
}

/* A record of the run that the walk is in; NULL: there is none, or it was taken before. */
static struct json_object *take(const struct walk *walk, uint64_t seq)
{
	struct path_place *place = path_place(walk->run, seq);

	if (!place || place->taken)
		return NULL;
	place->taken = true;
	return path_read(walk->file, place);
}

bool path_is_send(const char *type)
{
	return !strcmp(type, "leak") || !strcmp(type, "allowed");
}

/* The number of the record before this one; 0: the policy explains it, or nothing does. */
static uint64_t step_back(struct json_object *record, const char *label)
{
	const char *type = path_string(record, "type");

	if (path_is_send(type) || !strcmp(type, "lost"))
		return path_number(record, "cause");
	if (!strcmp(type, "spread") && path_has_label(record, "added", label))
		return path_number(record, "cause");
	return path_number(record, "previous");
}

static unsigned int choose(struct walk *walk, unsigned int of)
{
	struct path_choices *choices = walk->choices;
	size_t at = walk->chosen;

	if (!choices || of < 2 || at == sizeof(choices->at) / sizeof(choices->at[0]))
		return 0;
	walk->chosen++;
	if (at == choices->count)
		choices->at[choices->count++].taken = 0;
	choices->at[at].of = of;
	return choices->at[at].taken;
}

bool path_next_choices(struct path_choices *choices)
{
	while (choices->count) {
		if (++choices->at[choices->count - 1].taken < choices->at[choices->count - 1].of)
			return true;
		choices->count--;
	}
	return false;
}

/*
 * What a label of a record here is called in the record there that it came from. Labels have
 * the same name in both VMs, but those that are not known here: each of them is `from:NAME`,
 * or, without room for that, all labels (bpf/wire.bpf.h, wire_labels()). NULL: nothing there
 * explains it.
 */
static const char *label_there(struct walk *walk, struct json_object *there,
			       struct json_object *here)
{
	struct json_object *labels = path_labels(there, "labels");
	size_t count = labels ? json_object_array_length(labels) : 0, i;
	unsigned int unknown = 0, chosen;

	if (path_has_label(there, "labels", walk->label))
		return walk->label;
	for (i = 0; i < count; i++)
		unknown += !path_has_label(here, "labels", path_label_at(labels, i));
	chosen = choose(walk, unknown);
	for (i = 0; i < count; i++)
		if (!path_has_label(here, "labels", path_label_at(labels, i)) && !chosen--)
			return path_label_at(labels, i);
	return NULL;
}

/*
 * The record of another VM that this cause names. It was made before the one that names it,
 * or the number is another run's; of several the latest.
 */
static struct json_object *cross_over(struct walk *walk, struct json_object *cause,
				      struct json_object *record)
{
	const char *now = path_string(record, "time"), *time, *label;
	struct json_object *vm, *other, *found = NULL;
	struct path_place *place, *taken = NULL;
	struct path_file *file;
	struct path_run *run;

	walk->vm_given = false;
	if (!json_object_object_get_ex(cause, "vm", &vm))
		return NULL;
	for (size_t i = 0; (file = file_at(walk, i)); i++) {
		run = path_run_of(file, vm);
		walk->vm_given = walk->vm_given || run;
		place = path_place(run, path_number(cause, "seq"));
		other = place && !place->taken ? path_read(file, place) : NULL;
		time = path_string(other, "time");
		if (!other || strcmp(time, now) >= 0 ||
		    (found && strcmp(time, path_string(found, "time")) <= 0)) {
			json_object_put(other);
			continue;
		}
		json_object_put(found);
		found = other;
		taken = place;
		walk->file = file;
		walk->run = run;
	}
	label = found ? label_there(walk, found, record) : NULL;
	if (!label) {
		json_object_put(found);
		return NULL;
	}
	taken->taken = true;
	walk->label = label;
	return found;
}

static bool is_first(struct json_object *record, const char *label)
{
	return !strcmp(path_string(record, "flow"), "policy") &&
	       path_has_label(record, "added", label);
}

static struct json_object *record_before(struct walk *walk, struct json_object *record)
{
	struct json_object *cause = path_remote_cause(record, walk->label);
	uint64_t before = step_back(record, walk->label);

	if (cause)
		return cross_over(walk, cause, record);
	return before && before < path_number(record, "seq") ? take(walk, before) : NULL;
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

int path_follow(struct path_file *file, const struct path_others *others, uint64_t seq,
		const char *label, struct path_choices *choices, struct path_way *way)
{
	struct walk walk = {
		.first = file,
		.others = others,
		.file = file,
		.run = path_last_run(file),
		.label = label,
		.choices = choices,
	};
	struct json_object *steps = json_object_new_array(), *record;

	*way = (struct path_way){ .label = label, .first_label = label };
	if (!steps)
		return -ENOMEM;
	forget_taken(&walk);
	record = take(&walk, seq);
	while (record && path_has_label(record, "labels", walk.label)) {
		json_object_array_add(steps, record);
		way->first_label = walk.label;
		way->whole = is_first(record, walk.label);
		record = way->whole ? NULL : record_before(&walk, record);
	}
	json_object_put(record);
	way->vm_given = walk.vm_given;
	way->records = reversed(steps);
	return way->records ? 0 : -ENOMEM;
}

/* --- the command --------------------------------------------------------- */

static void add_way(struct json_object *ways, const struct path_way *way)
{
	struct json_object *to = json_object_new_object();

	json_add_string(to, "label", way->label);
	if (strcmp(way->label, way->first_label))
		json_add_string(to, "first_label", way->first_label);
	json_object_object_add(to, "whole", json_object_new_boolean(way->whole));
	json_object_object_add(to, "records", json_object_get(way->records));
	json_object_array_add(ways, to);
}

/* What is asked for: a record of file, and the ways to it as JSON; NULL: as text. */
struct question {
	struct path_file *file;
	const struct path_others *others;
	const struct options *options;
	struct json_object *ways;
};

/* A label's way; where it stands for several of another VM, theirs. */
static enum exit_status tell_label(const struct question *question, const char *label)
{
	const struct options *options = question->options;
	enum exit_status status = STATUS_OK;
	struct path_choices choices = {};
	struct path_way way;
	bool more = true;

	for (int i = 0; more && i < WAYS_MAX; i++) {
		if (path_follow(question->file, question->others, options->seq, label, &choices,
				&way))
			return status_fail(STATUS_INTERNAL, "out of memory");
		if (!way.whole)
			status = STATUS_RECORDS;
		if (question->ways)
			add_way(question->ways, &way);
		else
			path_print_way(&way, question->file->vm_count > 1);
		json_object_put(way.records);
		more = path_next_choices(&choices);
	}
	if (more)
		status = status_fail(STATUS_RECORDS, "label %s stands for more than %d labels",
				     label, WAYS_MAX);
	return status;
}

/* All labels of the record, one after the other. */
static enum exit_status tell(const struct question *question, struct json_object *labels)
{
	const struct options *options = question->options;
	enum exit_status status = STATUS_OK, rc;
	struct json_object *all;

	for (size_t i = 0; i < json_object_array_length(labels); i++) {
		rc = tell_label(question, path_label_at(labels, i));
		if (rc == STATUS_INTERNAL)
			return rc;
		status = rc ? rc : status;
	}
	if (question->ways) {
		all = json_object_new_object();
		json_add_number(all, "seq", options->seq);
		json_object_object_add(all, "ways", json_object_get(question->ways));
		path_print_json(all);
		putchar('\n');
		json_object_put(all);
	}
	if (status)
		status_fail(status, "%s: records on the way are missing", options->records);
	return status;
}

/* The record that is asked for has a way. */
static enum exit_status answer(struct path_file *file, const struct path_others *others,
			       const struct options *options)
{
	struct json_object *record = path_record(file, options->seq);
	struct json_object *labels = path_labels(record, "labels");
	struct question question = { file, others, options, NULL };
	enum exit_status status;

	if (!record) {
		status =
			status_fail(STATUS_RECORDS, "%s: no record %" PRIu64 "%s", options->records,
				    options->seq,
				    file->runs > 1 ? " in the last of the runs that wrote it" : "");
	} else if (!labels || !strcmp(path_string(record, "type"), "start")) {
		status = status_fail(STATUS_RECORDS,
				     "%s: record %" PRIu64 " is a '%s': only to spread, leak and"
				     " gone does a path lead",
				     options->records, options->seq, path_string(record, "type"));
	} else {
		question.ways = options->json ? json_object_new_array() : NULL;
		status = tell(&question, labels);
		json_object_put(question.ways);
	}
	json_object_put(record);
	return status;
}

/* As path_open(), and tells what was passed over. */
static int open_file(struct path_file *file, const char *name, char *err, size_t err_len)
{
	int rc = path_open(file, name, err, err_len);

	if (!rc && file->passed_over)
		status_fail(STATUS_OK, "%s: lines that are cut or no record, passed over: %u", name,
			    file->passed_over);
	return rc;
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
		rc = open_file(&others->files[others->count], options->with[others->count], err,
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
	struct path_others others = {};
	enum exit_status status;
	struct path_file file;
	char err[400];

	if (open_file(&file, options->records, err, sizeof(err)))
		return status_fail(STATUS_RECORDS, "%s", err);
	if (open_others(&others, options, err, sizeof(err)))
		status = status_fail(STATUS_RECORDS, "%s", err);
	else
		status = answer(&file, &others, options);
	close_others(&others);
	path_close(&file);
	if (!status && (fflush(stdout) || ferror(stdout)))
		status = status_fail(STATUS_STDOUT, "cannot write to stdout: %s", strerror(errno));
	return status;
}
