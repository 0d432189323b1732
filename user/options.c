// SPDX-License-Identifier: GPL-2.0
/* Options of all commands; each command takes its own. */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "profile.h"
#include "version.h"

const char *argp_program_version = "kvmtaint " KVMTAINT_VERSION;

enum {
	KEY_NO_DEFAULT = 256,
	KEY_DEFAULT,
	KEY_NO_SCAN,
	KEY_POLICY,
	KEY_IMAGE,
	KEY_JSON,
	KEY_WITHOUT_HOOK,
	KEY_MAX_OBJECTS,
	KEY_MAX_READERS,
	KEY_FOLLOW_ARGUMENTS,
	KEY_NO_WAIT,
	KEY_WITH,
	KEY_MAX_WIRES,
	KEY_TERMINALS,
	KEY_TRAP,
	KEY_SHIM_HOOK,
};

#define ROOM_MAX		     (1 << 26)

#define STATUS_TEXT(id, value, what) "  " #value "\t" what "\n"

/* clang-format off */
static const struct argp_option trace_options[] = {
	{ "vm", 'v', "PID", 0, "VMM process: QEMU, Firecracker, cloud-hypervisor, ...", 1 },
	{ "no-wait", KEY_NO_WAIT, NULL, 0, "Do not wait for a guest that has not booted yet", 1 },
	{ "trap", KEY_TRAP, "auto|patch|shim|shim-hooks", 0, "How the guest is made to exit: INVD in"
	  " its text (auto, patch), or breakpoints by the module kvmtaint_shim, where system calls"
	  " enter (shim) or on four hooks (shim-hooks)", 1 },
	{ "shim-hook", KEY_SHIM_HOOK, "ID", 0, "For --trap shim-hooks: one of the hooks, by its id in"
	  " vmlinux-guest/hooks.def. Up to 4; without any: file_permission, socket_sendmsg,"
	  " socket_recvmsg, task_new", 1 },
	{ NULL, 0, NULL, 0, "What is classified, in the guest:", 2 },
	{ "secret", 's', "[LABEL=]PATTERN", 0, "A file, a directory that ends in '/', or a glob"
	  " ('*', '?', '[...]'; '**' crosses directories); \"!PATTERN\" takes paths out. May be"
	  " repeated. Without any: the shipped list of credential stores", 2 },
	{ "policy", KEY_POLICY, "FILE", 0, "Such rules from FILE, one a line; '#' comments", 2 },
	{ "default-policy", KEY_DEFAULT, NULL, 0, "The shipped list too", 2 },
	{ "no-default-policy", KEY_NO_DEFAULT, NULL, 0, "Never the shipped list", 2 },
	{ "no-scan", KEY_NO_SCAN, NULL, 0, "Do not look for processes that had a classified file"
	  " open before kvmtaint came", 2 },
	{ "without-hook", KEY_WITHOUT_HOOK, "ID", 0, "For tests: plant no trap for this hook (an id of"
	  " vmlinux-guest/hooks.def), and miss what it catches. May be repeated", 2 },
	{ "follow-arguments", KEY_FOLLOW_ARGUMENTS, NULL, 0, "Reading /proc/PID/cmdline or environ"
	  " of a managed process is a flow too (ps reads them of all)", 2 },
	{ "terminals", KEY_TERMINALS, "shown|output|both", 0, "Of a terminal that a managed process"
	  " writes on: tell it (default); who reads the master of a pty becomes managed too; and who"
	  " reads what is typed", 2 },
	{ NULL, 0, NULL, 0, "Records:", 3 },
	{ "output", 'o', "FILE", 0, "Append the records to FILE too", 3 },
	{ "format", 'f', "json|text", 0, "One JSON object a line (default), or blocks to read", 3 },
	{ "quiet", 'q', NULL, 0, "No records on stdout", 3 },
	{ "verbose", 'V', NULL, 0, "Tell on stderr what is done", 3 },
	{ NULL, 0, NULL, 0, "Room (a full set is said, and what it cannot take counts as managed):", 4 },
	{ "max-objects", KEY_MAX_OBJECTS, "N", 0, "Objects that each managed set may hold", 4 },
	{ "max-wires", KEY_MAX_WIRES, "N", 0, "Connections and ports on which traced VMs of this host"
	  " send; the first kvmtaint's counts for all", 4 },
	{ "max-readers", KEY_MAX_READERS, "N", 0, "Guest threads that are known as readers", 4 },
	{}
};

static const struct argp_option probe_options[] = {
	{ "vm", 'v', "PID", 0, "VMM process", 1 },
	{ "image", KEY_IMAGE, "FILE", 0, "A raw image of a guest's RAM instead", 1 },
	{ "json", KEY_JSON, NULL, 0, "One JSON object", 1 },
	{ "verbose", 'V', NULL, 0, "Every hook too", 1 },
	{}
};

static const struct argp_option release_options[] = {
	{ "vm", 'v', "PID", 0, "VMM process", 1 },
	{ "verbose", 'V', NULL, 0, "Tell on stderr what is done", 1 },
	{}
};

static const struct argp_option path_options[] = {
	{ "json", KEY_JSON, NULL, 0, "One JSON object, with the records themselves", 1 },
	{ "with", KEY_WITH, "FILE", 0, "Another VM's records, for what came from there. May be"
	  " repeated", 1 },
	{}
};
/* clang-format on */

static void append(struct argp_state *state, const char ***list, size_t *count, const char *arg)
{
	const char **grown = reallocarray(*list, *count + 1, sizeof(*grown));

	if (!grown)
		argp_failure(state, STATUS_INTERNAL, ENOMEM, "options");
	*list = grown;
	grown[(*count)++] = arg;
}

static pid_t parse_pid(struct argp_state *state, const char *arg)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(arg, &end, 10);
	if (errno || *end || end == arg || pid <= 0 || pid > INT32_MAX)
		argp_error(state, "--vm needs the pid of a process, not '%s'", arg);
	return pid;
}

static uint32_t parse_room(struct argp_state *state, const char *name, const char *arg)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(arg, &end, 10);
	if (errno || *end || end == arg || n < 1 || n > ROOM_MAX)
		argp_error(state, "--%s needs a number from 1 to %d, not '%s'", name, ROOM_MAX,
			   arg);
	return n;
}

static enum kt_terminals parse_terminals(struct argp_state *state, const char *arg)
{
	static const char *const words[] = {
		[KT_TERMINALS_SHOWN] = "shown",
		[KT_TERMINALS_OUTPUT] = "output",
		[KT_TERMINALS_BOTH] = "both",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(arg, words[i]))
			return i;
	argp_error(state, "--terminals is shown, output or both, not '%s'", arg);
	return KT_TERMINALS_SHOWN;
}

static enum trap_kind parse_trap(struct argp_state *state, const char *arg)
{
	enum trap_kind kind;

	if (!strcmp(arg, "auto"))
		return TRAP_PATCH;
	for (kind = TRAP_PATCH; kind <= TRAP_SHIM_HOOKS; kind++)
		if (!strcmp(arg, trap_kind_name(kind)))
			return kind;
	argp_error(state, "--trap is auto, patch, shim or shim-hooks, not '%s'", arg);
	return TRAP_PATCH;
}

static void check(struct argp_state *state, const struct options *o)
{
	if (o->shim_hook_count && o->trap != TRAP_SHIM_HOOKS)
		argp_error(state, "--shim-hook needs --trap shim-hooks");
	if (o->shim_hook_count > KT_BREAKPOINTS_MAX)
		argp_error(state, "--shim-hook: a CPU has %d breakpoints", KT_BREAKPOINTS_MAX);
	if (o->image && o->pid)
		argp_error(state, "--vm and --image exclude each other");
	if (!o->image && !o->pid)
		argp_error(state, "--vm PID is missing");
	if (o->want_default && o->no_default)
		argp_error(state, "--default-policy and --no-default-policy exclude each other");
	if (o->no_default && !o->secret_count && !o->policy_file_count)
		argp_error(state, "nothing is classified: --no-default-policy needs --secret or"
				  " --policy");
	if (o->quiet && !o->output)
		argp_error(state, "--quiet needs --output");
}

static error_t take(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'v':
		o->pid = parse_pid(state, arg);
		break;
	case 's':
		append(state, &o->secrets, &o->secret_count, arg);
		break;
	case KEY_POLICY:
		append(state, &o->policy_files, &o->policy_file_count, arg);
		break;
	case KEY_DEFAULT:
		o->want_default = true;
		break;
	case KEY_NO_DEFAULT:
		o->no_default = true;
		break;
	case KEY_WITHOUT_HOOK:
		if (profile_hook_id(arg) < 0)
			argp_error(state, "--without-hook: no hook '%s'", arg);
		append(state, &o->without_hooks, &o->without_hook_count, arg);
		break;
	case KEY_TRAP:
		o->trap = parse_trap(state, arg);
		break;
	case KEY_SHIM_HOOK:
		if (profile_hook_id(arg) < 0)
			argp_error(state, "--shim-hook: no hook '%s'", arg);
		append(state, &o->shim_hooks, &o->shim_hook_count, arg);
		break;
	case KEY_NO_SCAN:
		o->no_scan = true;
		break;
	case KEY_FOLLOW_ARGUMENTS:
		o->follow_arguments = true;
		break;
	case KEY_TERMINALS:
		o->terminals = parse_terminals(state, arg);
		break;
	case 'o':
		o->output = arg;
		break;
	case 'f':
		if (strcmp(arg, "json") && strcmp(arg, "text"))
			argp_error(state, "--format is json or text, not '%s'", arg);
		o->format = arg[0] == 't' ? RECORD_TEXT : RECORD_JSON;
		break;
	case 'q':
		o->quiet = true;
		break;
	case 'V':
		o->verbose = true;
		break;
	case KEY_MAX_OBJECTS:
		o->objects_max = parse_room(state, "max-objects", arg);
		break;
	case KEY_MAX_READERS:
		o->readers_max = parse_room(state, "max-readers", arg);
		break;
	case KEY_MAX_WIRES:
		o->wires_max = parse_room(state, "max-wires", arg);
		break;
	case KEY_NO_WAIT:
		o->no_wait = true;
		break;
	case KEY_IMAGE:
		o->image = arg;
		break;
	case KEY_JSON:
		o->json = true;
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected '%s'", arg);
		break;
	case ARGP_KEY_END:
		check(state, o);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static error_t take_path(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	char *end;

	switch (key) {
	case KEY_JSON:
		o->json = true;
		break;
	case KEY_WITH:
		append(state, &o->with, &o->with_count, arg);
		break;
	case ARGP_KEY_ARG:
		if (!state->arg_num) {
			o->records = arg;
			break;
		}
		errno = 0;
		o->seq = strtoull(arg, &end, 10);
		if (state->arg_num > 1 || errno || *end || *arg < '0' || *arg > '9' || !o->seq)
			argp_error(state, "SEQ is the number of a record, not '%s'", arg);
		break;
	case ARGP_KEY_END:
		if (!o->seq)
			argp_error(state, "FILE and SEQ are missing");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* clang-format off */
static const struct {
	const char *word;
	char *name;		/* as the command's own help shows it */
	struct argp argp;
} commands[COMMAND_COUNT] = {
	[COMMAND_TRACE] = { NULL, NULL, { trace_options, take, NULL,
		"Follows classified data through the Linux guest of a KVM virtual machine.\v"
		"Other commands: `kvmtaint probe` tells what it sees of a guest, `kvmtaint"
		" release` takes out the traps of a killed run, `kvmtaint path` tells how a secret"
		" came to where a record saw it; each has --help.\n\n"
		"Exit status:\n" EXIT_STATUSES(STATUS_TEXT) } },
	[COMMAND_PROBE] = { "probe", (char *)"kvmtaint probe", { probe_options, take, NULL,
		"Tells step by step what kvmtaint sees of a guest's kernel, and touches nothing." } },
	[COMMAND_RELEASE] = { "release", (char *)"kvmtaint release", { release_options, take, NULL,
		"Takes the traps of a killed kvmtaint out of a guest." } },
	[COMMAND_PATH] = { "path", (char *)"kvmtaint path", { path_options, take_path, "FILE SEQ",
		"Prints, label by label, the whole way from a secret to record SEQ, from the records"
		" in FILE alone, and, where it came from another VM, in those --with." } },
};
/* clang-format on */

void options_parse(struct options *options, int argc, char **argv)
{
	int c;

	*options = (struct options){};
	argp_err_exit_status = STATUS_USAGE;
	for (c = COMMAND_TRACE + 1; c < COMMAND_COUNT; c++)
		if (argc > 1 && !strcmp(argv[1], commands[c].word))
			options->command = c;
	if (options->command != COMMAND_TRACE) {
		argv[1] = commands[options->command].name;
		argv++;
		argc--;
	}
	argp_parse(&commands[options->command].argp, argc, argv, 0, NULL, options);
}

void options_deinit(struct options *options)
{
	free(options->secrets);
	free(options->policy_files);
	free(options->without_hooks);
	free(options->with);
	free(options->shim_hooks);
}
