/* SPDX-License-Identifier: GPL-2.0 */
/* The way from a secret to a record, from the records alone (`kvmtaint path`). */
#ifndef KVMTAINT_PATH_H
#define KVMTAINT_PATH_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* The last run of kvmtaint on one VM, of which only the places of its records are kept. */
struct path_run {
	struct path_place {
		uint64_t seq;
		off_t at;
		bool taken; /* by the walk that goes on */
	} * places; /* by seq, once the file is read */
	size_t count, room;
	uint64_t highest; /* seq */
	char latest[32]; /* time */
};

/* A file of records. Several kvmtaints may have appended to it, in turn or at once. */
struct path_file {
	FILE *file;
	struct path_run *vms; /* one for each VM */
	size_t vm_count;
	struct json_object *by_vm; /* index in vms by the VM's pid and name */
	size_t last; /* index of the run that began last */
	unsigned int runs; /* of all VMs */
	unsigned int passed_over; /* lines that are no record, or more than records */
};

/*
 * Opens a regular file of JSON lines. 0, or -errno with one clear line in err. Lines that
 * are no records are counted and passed over, but a record that follows a cut one on its
 * line is taken; -EBADMSG: no line is a record. A last line without its newline is still
 * being written, and is not counted.
 */
int path_open(struct path_file *file, const char *name, char *err, size_t err_len);
void path_close(struct path_file *file);

/*
 * The record with this number of the run that began last; NULL: there is none. Free with
 * json_object_put().
 */
struct json_object *path_record(struct path_file *file, uint64_t seq);

/* The files that other VMs' records are in, for what came from there. */
struct path_others {
	struct path_file *files;
	size_t count;
};

/*
 * Where a label stands for several of another VM, which of them a walk follows. All zero:
 * the first each time.
 */
struct path_choices {
	struct {
		unsigned int taken, of;
	} at[64];
	size_t count;
};

/* How one label came to a record. */
struct path_way {
	const char *label; /* the caller's */
	const char *first_label; /* its name in the first record: the caller's or of records */
	struct json_object *records; /* an array: the policy's first, the one asked for last */
	bool whole; /* it begins with the policy */
	bool vm_given; /* it does not, and ends at a VM that one of the files has a run of */
};

/*
 * How one label came to record seq (spread, leak or gone) of file's last run. Where it came
 * from another VM the way goes on in that VM's last run, in whichever of the files it is.
 * A way that is not whole lacks a record, or has one that does not fit (lost, or no
 * kvmtaint's). 0, or -ENOMEM. Free with json_object_put(way->records).
 */
int path_follow(struct path_file *file, const struct path_others *others, uint64_t seq,
		const char *label, struct path_choices *choices, struct path_way *way);

/* After a walk: the choices for another one; false: all were walked. */
bool path_next_choices(struct path_choices *choices);

#endif
