/* SPDX-License-Identifier: GPL-2.0 */
/* The guest kernel's types: the BTF that lies in its own image. */
#ifndef KVMTAINT_GUEST_TYPES_H
#define KVMTAINT_GUEST_TYPES_H

#include <stddef.h>
#include <stdint.h>

struct btf; /* libbpf */
struct guest_types;

/*
 * Takes the BTF blob of len bytes (copied), which may be hostile: the whole
 * header is validated before libbpf sees it. 0; -ENODATA with one line in why.
 * Paired with guest_types_free().
 */
int guest_types_new(const void *blob, size_t len, struct guest_types **out, char *why,
		    size_t why_len);

/*
 * The same of a module's BTF, which goes on from the kernel's own; of it only the module's
 * structs are found. base must live longer.
 */
int guest_types_new_module(const void *blob, size_t len, struct btf *base, struct guest_types **out,
			   char *why, size_t why_len);
void guest_types_free(struct guest_types *types);

/* Gives up the libbpf object, for the caller to btf__free(). */
struct btf *guest_types_detach(struct guest_types *types);
struct btf *guest_types_btf(const struct guest_types *types);

/*
 * Offset in bytes of the first of alternatives that exists, each of the form
 * "struct.member[.member...]" and separated by '|'. Anonymous structs and unions
 * are descended into. KT_ABSENT (-1): none, or it is a bit field within a byte.
 */
int32_t guest_types_offset(struct guest_types *types, const char *alternatives);

/* Size in bytes of the first struct or union of alternatives; KT_ABSENT: none. */
int32_t guest_types_size(struct guest_types *types, const char *alternatives);

/* Size in bytes of a per-CPU variable's type; KT_ABSENT: not in the BTF. */
int32_t guest_types_variable_size(struct guest_types *types, const char *name);

#endif
