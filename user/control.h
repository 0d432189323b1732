/* SPDX-License-Identifier: GPL-2.0 */
/* How another command talks to the kvmtaint that traces a VM: a socket beside its lock. */
#ifndef KVMTAINT_CONTROL_H
#define KVMTAINT_CONTROL_H

#include <stddef.h>
#include <sys/types.h>

#define CONTROL_LEN 256 /* bytes of a request or an answer, with its NUL */

/* Listens for VM pid; root alone may connect. A descriptor, or -errno with one line in err. */
int control_open(pid_t pid, char *err, size_t err_len);
void control_close(pid_t pid, int fd);

/*
 * Takes one request, if one waits, and sends the answer that fn writes to answer
 * (CONTROL_LEN bytes). A peer that does not speak at once is dropped.
 */
void control_serve(int fd, void (*fn)(void *ctx, const char *request, char *answer), void *ctx);

/* Asks the kvmtaint of VM pid. 0; -ENOENT: there is none; -errno. */
int control_ask(pid_t pid, const char *request, char answer[CONTROL_LEN]);

#endif
