/* SPDX-License-Identifier: GPL-2.0 */
/* Guest physical memory: of a running VM, or of a RAM image on disk. */
#ifndef KVMTAINT_GUEST_MEM_H
#define KVMTAINT_GUEST_MEM_H

#include <stddef.h>
#include <sys/types.h>

#include "../bpf/kvmtaint.h"
#include "types.h"

struct guest_mem;

/*
 * Opens the RAM of a running VM through its memslots (sorted by gfn; copied).
 * Reads with process_vm_readv(2), which faults pages in and needs no mapping.
 * 0 or -errno; *out is unchanged on failure. Paired with guest_mem_close().
 */
int guest_mem_open_vm(pid_t pid, const struct kt_slot *slots, size_t count, struct guest_mem **out);

/*
 * The VM's memslots changed (hotplug, firmware that maps its ROM): these are they
 * now. 0 or -errno, and then mem is as it was.
 */
int guest_mem_update(struct guest_mem *mem, const struct kt_slot *slots, size_t count);

/*
 * Opens a raw RAM image: byte 0 of the file is guest physical address 0. The
 * file is mapped read-only (MAP_PRIVATE), so slots of it have host addresses.
 */
int guest_mem_open_image(const char *path, struct guest_mem **out);

void guest_mem_close(struct guest_mem *mem);

/* The slots behind mem, sorted by gfn; *count of them. Valid until update or close. */
const struct kt_slot *guest_mem_slots(const struct guest_mem *mem, size_t *count);

/* Reads len bytes at gpa; -EFAULT when any byte is outside RAM. */
int guest_mem_read(struct guest_mem *mem, gpa_t gpa, void *buf, size_t len);

/* Writes len bytes at gpa; same errors; -EROFS on an image. */
int guest_mem_write(struct guest_mem *mem, gpa_t gpa, const void *buf, size_t len);

/*
 * Reads the first len bytes (at most a page) of each of count pages from gfn on
 * into heads (count * len bytes). Pages that are not RAM, or that the VMM never
 * touched, read as zero and stay untouched. Shared memory of the VMM (memfd)
 * that the host has swapped out counts as untouched: pagemap does not show it.
 */
void guest_mem_read_heads(struct guest_mem *mem, uint64_t gfn, size_t count, void *heads,
			  size_t len);

/* Highest guest physical address + 1. */
uint64_t guest_mem_end(const struct guest_mem *mem);

#endif
