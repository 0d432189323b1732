// SPDX-License-Identifier: GPL-2.0
#include "guest_translate.h"

#include <errno.h>
#include <stdbool.h>

#include "profile.h"

/* Page-table entries: Intel SDM volume 3, 4.5; AMD APM volume 2, 5.3. */
#define ENTRY_PRESENT (1ULL << 0)
#define ENTRY_LARGE   (1ULL << 7) /* of a level 2 or 3 entry: a page of 2 MiB or 1 GiB */
#define ENTRY_ADDRESS 0x000ffffffffff000ULL
#define PAGE_SHIFT    12
#define LEVEL_BITS    9
#define PAGE_MASK     0xfffULL

static bool canonical(uint64_t gva, unsigned int levels)
{
	unsigned int unused = 64 - (PAGE_SHIFT + levels * LEVEL_BITS);

	return (uint64_t)((int64_t)(gva << unused) >> unused) == gva;
}

int guest_walk(struct guest_mem *mem, gpa_t pgd, unsigned int levels, gva_t gva, gpa_t *out)
{
	uint64_t entry, table = pgd.v;

	if ((levels != 4 && levels != 5) || !canonical(gva.v, levels))
		return -EFAULT;
	for (unsigned int level = levels; level; level--) {
		unsigned int shift = PAGE_SHIFT + (level - 1) * LEVEL_BITS;
		uint64_t index = gva.v >> shift & ((1 << LEVEL_BITS) - 1);
		uint64_t offset = gva.v & ((1ULL << shift) - 1);

		if (guest_mem_read(mem, GPA(table + index * 8), &entry, sizeof(entry)) ||
		    !(entry & ENTRY_PRESENT))
			return -EFAULT;
		if (level == 1 || (level <= 3 && (entry & ENTRY_LARGE))) {
			*out = GPA((entry & ENTRY_ADDRESS & ~((1ULL << shift) - 1)) + offset);
			return 0;
		}
		table = entry & ENTRY_ADDRESS;
	}
	return -EFAULT;
}

int guest_translate(struct guest_mem *mem, const struct kt_guest *guest, gva_t gva, gpa_t *out)
{
	if (gva.v - guest->text_gva < guest->image_size) {
		*out = GPA(gva.v - guest->text_gva + guest->text_gpa);
		return 0;
	}
	if (guest->direct_map && gva.v - guest->direct_map < guest->direct_map_size) {
		*out = GPA(gva.v - guest->direct_map);
		return 0;
	}
	return guest_walk(mem, GPA(guest->pgd_gpa), guest->levels, gva, out);
}

int guest_read(struct guest_mem *mem, const struct kt_guest *guest, gva_t gva, void *buf,
	       size_t len)
{
	char *at = buf;

	while (len) {
		size_t part = (PAGE_MASK + 1) - (gva.v & PAGE_MASK);
		gpa_t gpa;

		if (part > len)
			part = len;
		if (guest_translate(mem, guest, gva, &gpa) || guest_mem_read(mem, gpa, at, part))
			return -EFAULT;
		at += part;
		gva.v += part;
		len -= part;
	}
	return 0;
}
