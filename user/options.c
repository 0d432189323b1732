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
	KEY_ON_LEAK,
	KEY_ON_SPREAD,
	KEY_ALLOW,
	KEY_PAUSE_TIMEOUT,
	KEY_ON_TIMEOUT,
	KEY_ALLOW_ONCE,
};

#define ROOM_MAX		     (1 << 26)
#define TIMEOUT_MAX		     (1 << 30) /* seconds */

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
	{ NULL, 0, NULL, 0, "What becomes of it at the border of the guest:", 3 },
	{ "on-leak", KEY_ON_LEAK, "[LABEL=]report|block|pause", 0, "When it is about to leave: report it"
	  " (default), stop the send, or stop the VM before it. May be repeated", 3 },
	{ "allow", KEY_ALLOW, "LABEL=CIDR[:PORT]", 0, "Where a label ('*' for all) may go: no leak."
	  " IPv6 with a port as [CIDR]:PORT. May be repeated; policy files hold such rules too", 3 },
	{ "on-spread", KEY_ON_SPREAD, "report|pause", 0, "When a process takes a label that none had:"
	  " pause stops the VM at this first touch", 3 },
	{ "pause-timeout", KEY_PAUSE_TIMEOUT, "SECONDS", 0, "A paused VM goes on by itself after so long"
	  " (default: never)", 3 },
	{ "on-timeout", KEY_ON_TIMEOUT, "block|allow", 0, "What it stood before is then stopped (default),"
	  " or leaves. Also when kvmtaint ends", 3 },
	{ NULL, 0, NULL, 0, "Records:", 4 },
	{ "output", 'o', "FILE", 0, "Append the records to FILE too", 4 },
	{ "format", 'f', "json|text", 0, "One JSON object a line (default), or blocks to read", 4 },
	{ "quiet", 'q', NULL, 0, "No records on stdout", 4 },
	{ "verbose", 'V', NULL, 0, "Tell on stderr what is done, and a record of each allowed send", 4 },
	{ NULL, 0, NULL, 0, "Room (a full set is said, and what it cannot take counts as managed):", 5 },
	{ "max-objects", KEY_MAX_OBJECTS, "N", 0, "Objects that each managed set may hold", 5 },
	{ "max-wires", KEY_MAX_WIRES, "N", 0, "Connections and ports on which traced VMs of this host"
	  " send; the first kvmtaint's counts for all", 5 },
	{ "max-readers", KEY_MAX_READERS, "N", 0, "Guest threads that are known as readers", 5 },
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

static const struct argp_option resume_options[] = {
	{ "vm", 'v', "PID", 0, "VMM process", 1 },
	{ "allow-once", KEY_ALLOW_ONCE, NULL, 0, "What it stands before leaves. Without: it is stopped", 1 },
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

static uint32_t parse_number(struct argp_state *state, const char *name, const char *arg, long max)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(arg, &end, 10);
	if (errno || *end || end == arg || n < 1 || n > max)
		argp_error(state, "--%s needs a number from 1 to %ld, not '%s'", name, max, arg);
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

/* A rule as policy_add_sink() wants it: "ACTION LABEL...". */
static void append_rule(struct argp_state *state, struct options *o, const char *action, size_t len,
			const char *what)
{
	char *rule;

	if (asprintf(&rule, "%.*s %s", (int)len, action, what) < 0)
		argp_failure(state, STATUS_INTERNAL, ENOMEM, "options");
	append(state, &o->sinks, &o->sink_count, rule);
}

/* "ACTION" for all, or "LABEL=ACTION". */
static void parse_on_leak(struct argp_state *state, struct options *o, char *arg)
{
	char *equals = strrchr(arg, '=');
	const char *word = equals ? equals + 1 : arg;
	enum kt_verdict action = policy_action(word, strlen(word));

	if (action < KT_VERDICT_REPORTED)
		argp_error(state, "--on-leak is report, block or pause, not '%s'", word);
	if (!equals) {
		o->on_leak = action;
		return;
	}
	*equals = '\0';
	append_rule(state, o, word, strlen(word), arg);
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
		o->objects_max = parse_number(state, "max-objects", arg, ROOM_MAX);
		break;
	case KEY_MAX_READERS:
		o->readers_max = parse_number(state, "max-readers", arg, ROOM_MAX);
		break;
	case KEY_MAX_WIRES:
		o->wires_max = parse_number(state, "max-wires", arg, ROOM_MAX);
		break;
	case KEY_NO_WAIT:
		o->no_wait = true;
		break;
	case KEY_ON_LEAK:
		parse_on_leak(state, o, arg);
		break;
	case KEY_ALLOW:
		append_rule(state, o, "allow", strlen("allow"), arg);
		break;
	case KEY_ON_SPREAD:
		if (strcmp(arg, "report") && strcmp(arg, "pause"))
			argp_error(state, "--on-spread is report or pause, not '%s'", arg);
		o->pause_on_spread = arg[0] == 'p';
		break;
	case KEY_PAUSE_TIMEOUT:
		o->pause_timeout = parse_number(state, "pause-timeout", arg, TIMEOUT_MAX);
		break;
	case KEY_ON_TIMEOUT:
		if (strcmp(arg, "block") && strcmp(arg, "allow"))
			argp_error(state, "--on-timeout is block or allow, not '%s'", arg);
		o->timeout_allows = arg[0] == 'a';
		break;
	case KEY_ALLOW_ONCE:
		o->allow_once = true;
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
		" release` takes out the traps of a killed run, `kvmtaint resume` lets a paused VM go on,"
		" `kvmtaint path` tells how a secret came to where a record saw it; each has --help.\n\n"
		"Exit status:\n" EXIT_STATUSES(STATUS_TEXT) } },
	[COMMAND_PROBE] = { "probe", (char *)"kvmtaint probe", { probe_options, take, NULL,
		"Tells step by step what kvmtaint sees of a guest's kernel, and touches nothing." } },
	[COMMAND_RELEASE] = { "release", (char *)"kvmtaint release", { release_options, take, NULL,
		"Takes the traps of a killed kvmtaint out of a guest." } },
	[COMMAND_RESUME] = { "resume", (char *)"kvmtaint resume", { resume_options, take, NULL,
		"Lets a VM go on that kvmtaint paused." } },
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
	for (size_t i = 0; i < options->sink_count; i++)
		free((char *)options->sinks[i]);
	free(options->sinks);
	free(options->secrets);
	free(options->policy_files);
	free(options->without_hooks);
	free(options->with);
	free(options->shim_hooks);
}
