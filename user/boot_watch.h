/* SPDX-License-Identifier: GPL-2.0 */
/* Wakes kvmtaint when a CPU of the VM sets up its system calls (bpf/boot.bpf.c). */
#ifndef KVMTAINT_BOOT_WATCH_H
#define KVMTAINT_BOOT_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_watch;

/* tgid: of the VMM, in the initial PID namespace. 0 or -errno with one clear line in err. */
int boot_watch_open(uint32_t tgid, struct boot_watch **out, char *err, size_t err_len);
void boot_watch_close(struct boot_watch *watch);

/* Readable when something was written since boot_watch_rearm(). */
int boot_watch_fd(const struct boot_watch *watch);

/* Takes what is there; nothing more comes before boot_watch_rearm(). */
void boot_watch_take(struct boot_watch *watch);

/* The same, and wakes again from now on: call it before looking at the VM. */
void boot_watch_rearm(struct boot_watch *watch);

/* A FRED guest, which leaves LSTAR alone, was seen since boot_watch_forget(). */
bool boot_watch_fred(const struct boot_watch *watch);
void boot_watch_forget(struct boot_watch *watch);

#endif
