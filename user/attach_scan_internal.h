/* SPDX-License-Identifier: GPL-2.0 */
/* Between attach_scan.c (processes, descriptors) and attach_scan_mm.c (VMAs). */
#ifndef KVMTAINT_ATTACH_SCAN_INTERNAL_H
#define KVMTAINT_ATTACH_SCAN_INTERNAL_H

#include <stddef.h>
#include <string.h>

#include "attach_scan.h"

/* A set of pairs, a != 0: open addressing, at most half full. */
struct pair {
	uint64_t a, b;
};

struct pair_set {
	struct pair *slots;
	size_t size, count; /* size: a power of two, or 0 */
	uint64_t secret[2]; /* what the order of the slots depends on; another with each size */
};

bool pair_set_has(const struct pair_set *set, uint64_t a, uint64_t b);
/* 1: added; 0: was there; -ENOMEM, or -EIO where there is no randomness. */
int pair_set_add(struct pair_set *set, uint64_t a, uint64_t b);
void pair_set_clear(struct pair_set *set);

/* The bytes of a structure that hold all fields of interest: one read takes them. */
struct span {
	size_t from, len;
};

struct attach_walk {
	struct guest_mem *mem;
	const struct kt_guest *guest;
	attach_scan_fn fn;
	void *ctx;
	struct attach_scan_result *result;
	uint64_t reads_left;
	int end; /* what ends the whole scan: fn's value, or pair_set_add()'s; 0: go on */
	struct span task_span, vma_span;
	struct pair_set known; /* (leader, tgid) of all rounds */
	/* Of the process at hand. */
	uint64_t task;
	struct pair_set judged; /* (file, shared_writable) */
	struct pair_set nodes; /* maple nodes of one walk */
	uint64_t descriptors, mappings;
};

/* Guest virtual memory; false: not a kernel address, not readable, or no reads left. */
bool attach_read(struct attach_walk *walk, uint64_t gva, void *buf, size_t len);

/* Tells of file, once, if it is a regular one. False: it could not be read. */
bool attach_report(struct attach_walk *walk, uint64_t file, bool shared_writable);

/* Whether the offsets that attach_mm() uses can be; sets vma_span. */
bool attach_mm_layout(struct attach_walk *walk);

/* All VMAs of an mm_struct. False: not seen whole. */
bool attach_mm(struct attach_walk *walk, uint64_t mm);

/* Smallest span over count 8- or 16-byte fields; false: an offset is absent or above limit. */
bool span_over(struct span *span, const int32_t *offsets, size_t count, size_t limit);

/* Scalar at offset of a structure whose span was read to bytes. */
static inline uint64_t span_u64(const struct span *span, const char *bytes, int32_t offset)
{
	uint64_t value;

	memcpy(&value, bytes + (offset - span->from), sizeof(value));
	return value;
}

static inline uint32_t span_u32(const struct span *span, const char *bytes, int32_t offset)
{
	uint32_t value;

	memcpy(&value, bytes + (offset - span->from), sizeof(value));
	return value;
}

#endif
