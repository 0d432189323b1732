/* SPDX-License-Identifier: GPL-2.0 */
/* The commands, one a file. Each tells its errors itself. */
#ifndef KVMTAINT_COMMANDS_H
#define KVMTAINT_COMMANDS_H

#include "options.h"

enum exit_status command_trace(const struct options *options);
enum exit_status command_probe(const struct options *options);
enum exit_status command_release(const struct options *options);
enum exit_status command_resume(const struct options *options);
enum exit_status command_path(const struct options *options);

#endif
