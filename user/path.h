/* SPDX-License-Identifier: GPL-2.0 */
/* The way from a secret to a record, from the records alone (`kvmtaint path`). */
#ifndef KVMTAINT_PATH_H
#define KVMTAINT_PATH_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A file of records, of which only the places are kept. */
struct path_file {
	FILE *file;
	struct path_place {
		uint64_t seq;
		off_t at;
	} * places; /* of the last run, by seq */
	size_t count;
	unsigned int runs; /* of kvmtaint, that appended to the file */
};

/*
 * Opens a regular file of JSON lines. 0, or -errno with one clear line in err. A
 * last line without its newline is still being written and passed over.
 */
int path_open(struct path_file *file, const char *name, char *err, size_t err_len);
void path_close(struct path_file *file);

/* The record with this number of the last run; NULL: there is none. Free with json_object_put(). */
struct json_object *path_record(struct path_file *file, uint64_t seq);

/* The files that other VMs' records are in, for what came from there. */
struct path_others {
	struct path_file *files;
	size_t count;
};

/*
 * How one label came to a record (spread, leak or gone): an array of records, the
 * policy's first, record seq last. Where it came from another VM the way goes on in the file
 * of others that has that VM's records. NULL: out of memory. *whole: whether it begins with
 * the policy; else a record on the way is missing or does not fit (lost, or no kvmtaint's).
 */
struct json_object *path_follow(struct path_file *file, const struct path_others *others,
				uint64_t seq, const char *label, bool *whole);

#endif
