/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest addresses have types of their own, so that the compiler refuses to mix
 * them with each other and with host pointers.
 */
#ifndef KVMTAINT_TYPES_H
#define KVMTAINT_TYPES_H

#include <stdint.h>

typedef struct {
	uint64_t v;
} gva_t; /* guest virtual address */
typedef struct {
	uint64_t v;
} gpa_t; /* guest physical address */

#define GVA(x) ((gva_t){ (x) })
#define GPA(x) ((gpa_t){ (x) })

#endif
