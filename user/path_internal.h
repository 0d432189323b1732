/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of `kvmtaint path` share. */
#ifndef KVMTAINT_PATH_INTERNAL_H
#define KVMTAINT_PATH_INTERNAL_H

#include "path.h"

/* A record may be anything: what it lacks, or has of another type, is 0, "" or NULL. */
uint64_t path_number(struct json_object *record, const char *key);
const char *path_string(struct json_object *record, const char *key);
struct json_object *path_labels(struct json_object *record, const char *key);
const char *path_label_at(struct json_object *labels, size_t i);
bool path_has_label(struct json_object *record, const char *key, const char *label);

/* What another VM's kvmtaint says of how the record got the label; NULL: it is not from there. */
struct json_object *path_remote_cause(struct json_object *record, const char *label);

/* Data left, were to leave, or went where they may. */
bool path_is_send(const char *type);

/* The run that began last, or that of a record's "vm"; a record's place. NULL: none. */
struct path_run *path_last_run(struct path_file *file);
struct path_run *path_run_of(struct path_file *file, struct json_object *vm);
struct path_place *path_place(const struct path_run *run, uint64_t seq);

/* The record at its place; NULL: the file has changed. Free with json_object_put(). */
struct json_object *path_read(struct path_file *file, const struct path_place *place);

/* The way for people; name_vms: with the VM even if it is the same for all records. */
void path_print_way(const struct path_way *way, bool name_vms);

/* As JSON, in which no byte of a file reaches a terminal unescaped. */
void path_print_json(struct json_object *value);

#endif
