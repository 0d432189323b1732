/* SPDX-License-Identifier: GPL-2.0 */
/* The bpffs directory where a VM's maps are pinned, for bpftool. */
#ifndef KVMTAINT_PIN_DIR_H
#define KVMTAINT_PIN_DIR_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Makes way for the directory of VMM pid and writes its path to buf: bpffs is
 * mounted where it is not, what a dead run left there is removed (the caller
 * holds the VM's lock). The directory itself is the engine's to make. 0, or
 * -errno with one clear line in err.
 */
/* The directory of what all VMs' engines share; it is made once a trace begins. */
#define PIN_SHARED "/sys/fs/bpf/kvmtaint/wires"

int pin_dir_prepare(pid_t pid, char *buf, size_t len, char *err, size_t err_len);

#endif
