// SPDX-License-Identifier: GPL-2.0
/* Where the traps go: ftrace's NOPs at the start of the hooked functions. */
#include "profile_build.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SITE_LEN 5
#define PAD_LEN	 4

/*
 * Which NOP ftrace uses: up to 5.12 the kernel chose it by CPU model (removed by
 * commit a89dfde3dc3c), so that qemu64, kvm64 and old AMD guests have the K8 one.
 */
static const uint8_t nops[][SITE_LEN] = {
	{ 0x0f, 0x1f, 0x44, 0x00, 0x00 },
	{ 0x66, 0x66, 0x66, 0x66, 0x90 },
};

/* Never hooked and always traceable: their sites show the guest's NOP. */
static const char *const samples[] = { "vfs_read", "vfs_write", "kfree", "vfs_statx" };

static const uint8_t trap[SITE_LEN] = { 0x2e, 0x2e, 0x2e, 0x0f, 0x08 };

/* What may stand before the NOP: endbr64, or what sealing leaves of it. */
static const uint8_t landing_pads[][PAD_LEN] = {
	{ 0xf3, 0x0f, 0x1e, 0xfa },
	{ 0x66, 0x0f, 0x1f, 0x00 }, /* gen_endbr_poison(), arch/x86/include/asm/ibt.h: 6.12 */
	{ 0x0f, 0x1f, 0x40, 0xd6 }, /* the same in 6.18 and 7.3 */
};

static const struct {
	const char *names;
	const char *id;
	bool must;
} wanted[KT_HOOK_MAX] = {
#define MUST				     true
#define WHERE_PRESENT			     false
#define GUEST_HOOK(id, need, program, names) { names, #id, need },
#include "../vmlinux-guest/hooks.def"
#undef GUEST_HOOK
#undef MUST
#undef WHERE_PRESENT
};

/* Reads the site of a function. False when its memory cannot be read. */
static bool read_site(struct profile_build *build, gva_t function, struct profile_hook *hook)
{
	const struct kt_guest *guest = &build->profile->guest;
	uint8_t entry[PAD_LEN + SITE_LEN];
	size_t skip = 0;

	if (guest_read(build->mem, guest, function, entry, sizeof(entry)))
		return false;
	for (size_t i = 0; i < sizeof(landing_pads) / PAD_LEN; i++)
		if (!memcmp(entry, landing_pads[i], PAD_LEN))
			skip = PAD_LEN;
	hook->function = function;
	hook->site = GVA(function.v + skip);
	memcpy(hook->found, entry + skip, SITE_LEN);
	hook->is_trap = !memcmp(hook->found, trap, SITE_LEN);
	hook->foreign = !hook->is_trap && memcmp(hook->found, build->profile->nop, SITE_LEN);
	return !guest_translate(build->mem, guest, hook->site, &hook->site_gpa);
}

/* Learns the guest's NOP from functions that nobody has a reason to trace. */
static void learn_nop(struct profile_build *build)
{
	struct kallsyms_symbol symbol;
	struct profile_hook sample;

	memcpy(build->profile->nop, nops[0], SITE_LEN);
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		if (!kallsyms_find(build->profile->symbols, samples[i], &symbol, NULL) ||
		    !read_site(build, GVA(symbol.address), &sample))
			continue;
		for (size_t j = 0; j < sizeof(nops) / SITE_LEN; j++) {
			if (!memcmp(sample.found, nops[j], SITE_LEN)) {
				memcpy(build->profile->nop, nops[j], SITE_LEN);
				return;
			}
		}
	}
}

/* Names what stands at a foreign site. -EBUSY: a tool of the guest; -ENOSYS: no ftrace NOP. */
static int judge_foreign(const struct profile_build *build, const struct profile_hook *hook,
			 char *why, size_t why_len)
{
	struct kallsyms_symbol symbol = { .name = "?" };
	uint64_t target = 0;
	int32_t distance;

	memcpy(&distance, hook->found + 1, sizeof(distance));
	target = hook->site.v + SITE_LEN + distance;
	switch (hook->found[0]) {
	case 0xe8:
		kallsyms_at(build->profile->symbols, GVA(target), &symbol);
		if (!strcmp(symbol.name, "__fentry__") && symbol.address == target)
			break; /* CONFIG_FUNCTION_TRACER without CONFIG_DYNAMIC_FTRACE */
		snprintf(why, why_len,
			 "the guest's ftrace, kprobe, BPF or livepatch sits there (call to %s)",
			 target - build->profile->guest.text_gva < build->profile->guest.image_size
				 ? symbol.name
				 : "a trampoline");
		return -EBUSY;
	case 0xe9:
		snprintf(why, why_len, "an optimised kprobe of the guest sits there (jump)");
		return -EBUSY;
	case 0xcc:
		snprintf(why, why_len,
			 "a kprobe of the guest sits there, or it is just being patched");
		return -EBUSY;
	}
	snprintf(why, why_len,
		 "no ftrace NOP, but %02x %02x %02x %02x %02x (CONFIG_DYNAMIC_FTRACE?)",
		 hook->found[0], hook->found[1], hook->found[2], hook->found[3], hook->found[4]);
	return -ENOSYS;
}

/* Takes the first alternative whose site is free; else the first that exists. */
static int find_hook(struct profile_build *build, const char *names, struct profile_hook *out)
{
	uint32_t base = 0;
	int result = -ENOENT;

	for (;;) {
		struct profile_hook hook = { 0 };
		struct kallsyms_symbol symbol;
		uint32_t which;
		int err = profile_find_symbol(build->profile->symbols, names, &symbol, &which);

		if (err)
			return out->function.v ? 0 : result == -ENOENT ? err : result;
		if (!read_site(build, GVA(symbol.address), &hook))
			result = -EFAULT;
		hook.alternative = base + which;
		if (hook.site_gpa.v && (!out->function.v || !hook.foreign))
			*out = hook;
		if (out->function.v && !out->foreign)
			return 0;
		for (uint32_t i = 0; i <= which && names; i++)
			names = strchr(names, '|') ? strchr(names, '|') + 1 : NULL;
		if (!names)
			return out->function.v ? 0 : result;
		base += which + 1;
	}
}

int profile_hook_id(const char *id)
{
	for (int i = 0; i < KT_HOOK_MAX; i++)
		if (!strcmp(wanted[i].id, id))
			return i;
	return -ENOENT;
}

const char *profile_hook_name(size_t hook)
{
	return wanted[hook].id;
}

static int missing(struct profile_build *build, size_t i, int err)
{
	const struct profile_hook *hooks = build->profile->hooks;
	const char *reason = "the guest has no function";

	if (err == -ENOTUNIQ)
		reason = "the guest has several functions";
	else if (err == -EFAULT)
		reason = "the guest does not map";
	else if (!strncmp(wanted[i].names, "security_", 9))
		reason = hooks[KT_HOOK_file_permission].function.v
				 ? "CONFIG_SECURITY_NETWORK is off: no"
				 : "CONFIG_SECURITY is off: no";
	return profile_step(build, "hooks", -ENOSYS, "%s %s; not seen without it: %s", reason,
			    wanted[i].names, profile_unseen(build->profile, i));
}

int profile_hooks(struct profile_build *build)
{
	struct profile_hook *hooks = build->profile->hooks;
	unsigned int found = 0, trapped = 0;
	char why[120];

	learn_nop(build);
	profile_find_unseen(build);
	for (size_t i = 0; i < KT_HOOK_MAX; i++) {
		int err = find_hook(build, wanted[i].names, &hooks[i]);

		if (err == -ENOENT && !wanted[i].must)
			continue;
		if (err)
			return missing(build, i, err);
		found++;
		trapped += hooks[i].is_trap;
	}
	for (size_t i = 0; i < KT_HOOK_MAX; i++) {
		int err = hooks[i].foreign ? judge_foreign(build, &hooks[i], why, sizeof(why)) : 0;

		if (err && profile_has_lkrg(build)) /* it puts kprobes on what we hook */
			return profile_guards(build);
		if (err)
			return profile_step(build, "hooks", err, "%s: %s", wanted[i].id, why);
	}
	return profile_step(build, "hooks", 0, "%u of %u, %u with a trap of an earlier run", found,
			    KT_HOOK_MAX, trapped);
}
