// SPDX-License-Identifier: GPL-2.0
/* Where the kernel is: image, symbols, page tables, direct map. */
#include "profile_build.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "guest_translate.h"

/* arch/x86/include/asm/page_64_types.h, pgtable_64_types.h */
#define START_KERNEL_MAP     0xffffffff80000000ULL
#define PAGE_OFFSET_4_LEVELS 0xffff888000000000ULL
#define PAGE_OFFSET_5_LEVELS 0xff11000000000000ULL
#define IMAGE_MAX	     (1ULL << 30)
#define LARGE_PAGE	     (2ULL << 20)
#define PAGE_SIZE	     4096ULL
#define PHYSICAL_MAX	     (1ULL << 52)
#define NAME_LEN_MAX	     128
#define KERNEL_TOP	     511 /* index of the kernel image in a top-level table */

static gpa_t image_gpa(const struct vmcoreinfo *info, uint64_t gva)
{
	return GPA(gva - START_KERNEL_MAP + info->phys_base);
}

/* Whether the tables at cr3 share their uppermost entry, the kernel image, with top. */
static bool shares_kernel(struct guest_mem *mem, gpa_t top, uint64_t cr3)
{
	uint64_t ours = 0, theirs = 0;

	if (guest_mem_read(mem, GPA(top.v + KERNEL_TOP * 8), &ours, 8) ||
	    guest_mem_read(mem, GPA((cr3 & ~(PAGE_SIZE - 1)) + KERNEL_TOP * 8), &theirs, 8))
		return false;
	return (ours & ~0xfffULL) == (theirs & ~0xfffULL);
}

bool profile_plausible(struct guest_mem *mem, const struct vmcoreinfo *info,
		       const struct guest_cpu *cpu)
{
	gpa_t top = image_gpa(info, info->init_top_pgt), text = image_gpa(info, info->stext), got;

	if (info->stext < START_KERNEL_MAP || info->init_top_pgt < START_KERNEL_MAP ||
	    top.v % PAGE_SIZE || text.v >= guest_mem_end(mem))
		return false;
	if (guest_walk(mem, top, info->levels, GVA(info->stext), &got) || got.v != text.v ||
	    guest_walk(mem, top, info->levels, GVA(info->init_top_pgt), &got) || got.v != top.v)
		return false;
	if (!cpu)
		return true;
	if (cpu->lstar && cpu->lstar - info->stext >= IMAGE_MAX)
		return false;
	/* With page-table isolation the user's table is the page after the kernel's. */
	return !cpu->cr3 || shares_kernel(mem, top, cpu->cr3) ||
	       shares_kernel(mem, top, cpu->cr3 & ~PAGE_SIZE);
}

int profile_page_tables(struct profile_build *build)
{
	const struct vmcoreinfo *info = &build->info;
	struct kt_guest *guest = &build->profile->guest;
	uint64_t aligned = info->stext & ~(LARGE_PAGE - 1);

	build->profile->kaslr_offset = info->kernel_offset;
	guest->pgd_gpa = image_gpa(info, info->init_top_pgt).v;
	guest->levels = info->levels;
	build->image.gva = GVA(aligned);
	build->image.gpa = image_gpa(info, aligned);
	if (build->image.gpa.v % LARGE_PAGE)
		return profile_step(build, "page tables", -EPROTO,
				    "the kernel image at guest physical %#" PRIx64
				    " is not 2 MiB aligned",
				    build->image.gpa.v);
	return profile_step(build, "page tables", 0,
			    "init_top_pgt at guest physical %#" PRIx64
			    ", %u levels, KASLR +%#" PRIx64,
			    (uint64_t)guest->pgd_gpa, guest->levels, info->kernel_offset);
}

int profile_find_symbol(const struct kallsyms *symbols, const char *alternatives,
			struct kallsyms_symbol *out, uint32_t *which)
{
	char name[NAME_LEN_MAX];
	size_t matches, len;
	int err = -ENOENT;

	for (*which = 0;; ++*which, alternatives += len + 1) {
		len = strcspn(alternatives, "|");
		snprintf(name, sizeof(name), "%.*s", (int)len, alternatives);
		if (kallsyms_find(symbols, name, out, &matches))
			return 0;
		if (matches)
			err = -ENOTUNIQ;
		if (!alternatives[len])
			return err;
	}
}

enum { NEED_MUST, NEED_WHERE_PRESENT };

static const struct {
	const char *names;
	size_t at; /* in struct kt_guest */
	int need;
} wanted[] = {
#define GUEST_SYMBOL(id, need, names) { names, offsetof(struct kt_guest, sym_##id), NEED_##need },
#include "../vmlinux-guest/symbols.def"
#undef GUEST_SYMBOL
};

int profile_symbols(struct profile_build *build)
{
	struct guest_profile *profile = build->profile;
	struct kallsyms_symbol symbol;
	char why[120] = "";
	uint32_t which;
	int err;

	err = kallsyms_load(build->mem, &build->image, &build->info, &profile->symbols, why,
			    sizeof(why));
	if (err)
		return profile_step(build, "kallsyms", err, "%s", why);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		uint64_t address = 0;

		err = profile_find_symbol(profile->symbols, wanted[i].names, &symbol, &which);
		if (!err)
			address = symbol.address;
		else if (wanted[i].need == NEED_MUST)
			return profile_step(build, "kallsyms", -EPROTO,
					    "the guest has no %ssymbol %s",
					    err == -ENOTUNIQ ? "unique " : "", wanted[i].names);
		memcpy((char *)&profile->guest + wanted[i].at, &address, sizeof(address));
	}
	if (build->cpu && build->cpu->lstar &&
	    kallsyms_find(profile->symbols, "entry_SYSCALL_64", &symbol, NULL) &&
	    symbol.address != build->cpu->lstar)
		return profile_step(build, "kallsyms", -EPROTO,
				    "SYSCALL enters at %#" PRIx64 ", not at entry_SYSCALL_64: "
				    "another kernel runs",
				    build->cpu->lstar);
	return profile_step(build, "kallsyms", 0, "%zu symbols, addresses %s",
			    kallsyms_count(profile->symbols), kallsyms_encoding(profile->symbols));
}

/* The image must be one physical run: each of its large pages is looked at. */
int profile_image(struct profile_build *build)
{
	struct kt_guest *guest = &build->profile->guest;
	uint64_t size = guest->sym_end - guest->sym_text;
	gpa_t got;

	if (guest->sym_text - build->image.gva.v >= LARGE_PAGE || !size || size > IMAGE_MAX)
		return profile_step(build, "image", -EPROTO,
				    "_text %#" PRIx64 " and _end %#" PRIx64 " do not fit _stext",
				    (uint64_t)guest->sym_text, (uint64_t)guest->sym_end);
	for (uint64_t at = 0; at < size; at += LARGE_PAGE) {
		/* Freed parts (init code) may be unmapped. */
		if (guest_walk(build->mem, GPA(guest->pgd_gpa), guest->levels,
			       GVA(guest->sym_text + at), &got))
			continue;
		if (got.v != image_gpa(&build->info, guest->sym_text + at).v)
			return profile_step(build, "image", -EPROTO,
					    "the image is not contiguous at +%#" PRIx64, at);
	}
	guest->text_gva = guest->sym_text;
	guest->text_gpa = image_gpa(&build->info, guest->sym_text).v;
	guest->image_size = size;
	return profile_step(build, "image", 0,
			    "%#" PRIx64 " at guest physical %#" PRIx64 ", %" PRIu64 " KiB",
			    (uint64_t)guest->text_gva, (uint64_t)guest->text_gpa, size >> 10);
}

int profile_direct_map(struct profile_build *build)
{
	struct kt_guest *guest = &build->profile->guest;
	uint64_t base = guest->levels == 5 ? PAGE_OFFSET_5_LEVELS : PAGE_OFFSET_4_LEVELS;
	uint64_t end = 0;
	gpa_t got;

	if (guest->sym_page_offset_base &&
	    guest_read(build->mem, guest, GVA(guest->sym_page_offset_base), &base, sizeof(base)))
		base = 0;
	if (guest_walk(build->mem, GPA(guest->pgd_gpa), guest->levels, GVA(base + guest->text_gpa),
		       &got) ||
	    got.v != guest->text_gpa)
		return profile_step(build, "direct map", -EPROTO,
				    "page_offset_base %#" PRIx64 " does not map the kernel image",
				    base);
	if (!guest->sym_vmalloc_base ||
	    guest_read(build->mem, guest, GVA(guest->sym_vmalloc_base), &end, sizeof(end)) ||
	    end <= base)
		end = base + ((guest_mem_end(build->mem) + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1));
	guest->direct_map = base;
	guest->direct_map_size = end - base < PHYSICAL_MAX ? end - base : PHYSICAL_MAX;
	return profile_step(build, "direct map", 0, "%#" PRIx64 ", room for %" PRIu64 " GiB", base,
			    (uint64_t)guest->direct_map_size >> 30);
}
