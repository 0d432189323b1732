/* SPDX-License-Identifier: GPL-2.0 */
/* Page-table walks that guest_translate() (profile.h) is made of. */
#ifndef KVMTAINT_GUEST_TRANSLATE_H
#define KVMTAINT_GUEST_TRANSLATE_H

#include "guest_mem.h"

/*
 * Walks the tables whose top is at pgd (levels: 4 or 5), with no shortcut.
 * 0, or -EFAULT where gva is not canonical or not mapped.
 */
int guest_walk(struct guest_mem *mem, gpa_t pgd, unsigned int levels, gva_t gva, gpa_t *out);

#endif
