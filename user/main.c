// SPDX-License-Identifier: GPL-2.0
/* kvmtaint: follows classified data through a KVM guest, from outside. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"

static enum exit_status (*const commands[COMMAND_COUNT])(const struct options *) = {
	[COMMAND_TRACE] = command_trace,     [COMMAND_PROBE] = command_probe,
	[COMMAND_RELEASE] = command_release, [COMMAND_RESUME] = command_resume,
	[COMMAND_PATH] = command_path,
};

static int say_nothing(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

/* libbpf's debug level is thousands of lines. */
static int say_what_matters(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, args);
}

/*
 * A missing descriptor 0 to 2 would be taken by the next file that is opened,
 * and records or errors would go there. Whether stdout was missing.
 */
static bool fill_standard_files(void)
{
	bool no_stdout = fcntl(STDOUT_FILENO, F_GETFD) < 0 && errno == EBADF;
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
	return no_stdout;
}

int main(int argc, char **argv)
{
	bool no_stdout = fill_standard_files();
	struct options options;
	enum exit_status status;

	signal(SIGPIPE, SIG_IGN);
	options_parse(&options, argc, argv);
	libbpf_set_print(options.verbose ? say_what_matters : say_nothing);
	if (no_stdout && !options.quiet)
		status = status_fail(STATUS_STDOUT,
				     "stdout is closed; give it a reader, or --output"
				     " FILE --quiet");
	else
		status = commands[options.command](&options);
	options_deinit(&options);
	return status;
}
