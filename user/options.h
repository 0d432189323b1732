/* SPDX-License-Identifier: GPL-2.0 */
/* The command line. */
#ifndef KVMTAINT_OPTIONS_H
#define KVMTAINT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "breakpoints.h"
#include "record.h"
#include "status.h"

enum command {
	COMMAND_TRACE,
	COMMAND_PROBE,
	COMMAND_RELEASE,
	COMMAND_RESUME,
	COMMAND_PATH,
	COMMAND_COUNT
};

struct options {
	enum command command;
	pid_t pid; /* 0: none given */
	const char *image; /* probe: a RAM image instead of a VM */
	const char **secrets; /* rules, in the order given; of argv */
	size_t secret_count;
	const char **policy_files;
	size_t policy_file_count;
	bool want_default, no_default;
	const char **sinks; /* rules for policy_add_sink(), malloc()ed */
	size_t sink_count;
	enum kt_verdict on_leak; /* NONE: not given */
	bool pause_on_spread;
	uint32_t pause_timeout; /* s; 0: never */
	bool timeout_allows;
	bool allow_once; /* resume */
	bool no_scan;
	bool no_wait;
	const char **without_hooks; /* ids of vmlinux-guest/hooks.def */
	size_t without_hook_count;
	enum trap_kind trap;
	const char **shim_hooks; /* ids, for TRAP_SHIM_HOOKS */
	size_t shim_hook_count;
	bool follow_arguments;
	enum kt_terminals terminals;
	const char *output;
	enum record_format format;
	bool quiet, verbose, json;
	const char *records; /* path: the file, and the record to explain */
	uint64_t seq;
	const char **with; /* path: other VMs' files */
	size_t with_count;
	uint32_t objects_max, readers_max, wires_max; /* 0: the engine's own */
};

/*
 * Parses argv; on a mistake tells on stderr and ends the process with
 * STATUS_USAGE. --help and --version end it with STATUS_OK. Free with
 * options_deinit(); strings stay argv's.
 */
void options_parse(struct options *options, int argc, char **argv);
void options_deinit(struct options *options);

#endif
