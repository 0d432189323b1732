// SPDX-License-Identifier: GPL-2.0
/* Plants, verifies and removes the traps; never writes over bytes it does not know. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "standstill.h"
#include "trap.h"

#define fail(work, code, ...) (snprintf((work)->err, (work)->err_len, __VA_ARGS__), -(code))

/* What a standstill does; either way all sites are judged before one is written. */
struct trap_work {
	struct trap_set *set;
	const char *from, *to; /* bytes */
	bool take_what_fits; /* leave sites that are not as expected; else refuse all */
	size_t written;
	bool mine[KT_SITES_MAX]; /* found with the bytes of from */
	char *err;
	size_t err_len;
};

static const char *const hook_names[KT_HOOK_MAX] = {
#define GUEST_HOOK(id, need, program, names) [KT_HOOK_##id] = names,
#include "../vmlinux-guest/hooks.def"
#undef GUEST_HOOK
};

_Static_assert(KT_HOOK_MAX <= KT_SITES_MAX, "every hook needs a site");

const char *trap_hook_name(const struct guest_profile *profile, enum kt_hook h, char *buf,
			   size_t len)
{
	const char *name = hook_names[h];
	uint32_t skip = profile->hooks[h].alternative;

	buf[0] = '\0';
	if (!profile->hooks[h].function.v)
		return buf;
	while (skip-- && strchr(name, '|'))
		name = strchr(name, '|') + 1;
	snprintf(buf, len, "%.*s", (int)strcspn(name, "|"), name);
	return buf;
}

void trap_set_init(struct trap_set *set, pid_t pid, struct guest_mem *mem,
		   const struct guest_profile *profile)
{
	int h;

	*set = (struct trap_set){ .pid = pid, .mem = mem };
	memcpy(set->nop, profile->nop, TRAP_LEN);
	for (h = 0; h < KT_HOOK_MAX; h++) {
		struct trap_site *site = &set->sites[set->count];

		if (!profile->hooks[h].function.v)
			continue;
		trap_hook_name(profile, h, site->name, sizeof(site->name));
		site->gpa = profile->hooks[h].site_gpa;
		set->count++;
	}
}

static int judge_sites(struct trap_work *work)
{
	unsigned char found[TRAP_LEN];
	size_t i;

	for (i = 0; i < work->set->count; i++) {
		const struct trap_site *site = &work->set->sites[i];
		int rc = guest_mem_read(work->set->mem, site->gpa, found, TRAP_LEN);

		work->mine[i] = !rc && !memcmp(found, work->from, TRAP_LEN);
		if (work->mine[i] || work->take_what_fits)
			continue;
		if (rc)
			return fail(work, -rc, "cannot read guest memory at %s (gpa %#llx): %s",
				    site->name, (unsigned long long)site->gpa.v, strerror(-rc));
		if (!memcmp(found, work->to, TRAP_LEN))
			continue;
		return fail(work, EADDRINUSE,
			    "%s in the guest starts with %02x %02x %02x %02x %02x, not"
			    " with ftrace's NOP: the guest's own ftrace, kprobe or livepatch uses"
			    " it; end that first. Nothing was planted",
			    site->name, found[0], found[1], found[2], found[3], found[4]);
	}
	return 0;
}

static int write_site(struct trap_work *work, size_t i, const char *bytes)
{
	const struct trap_site *site = &work->set->sites[i];
	unsigned char now[TRAP_LEN];
	int rc = guest_mem_write(work->set->mem, site->gpa, bytes, TRAP_LEN);

	if (!rc)
		rc = guest_mem_read(work->set->mem, site->gpa, now, TRAP_LEN);
	if (!rc && memcmp(now, bytes, TRAP_LEN))
		rc = -EFAULT;
	if (rc)
		return fail(work, -rc, "cannot write guest memory at %s (gpa %#llx): %s",
			    site->name, (unsigned long long)site->gpa.v, strerror(-rc));
	return 0;
}

static void put_back(struct trap_work *work, size_t count)
{
	while (count-- > 0)
		if (work->mine[count])
			guest_mem_write(work->set->mem, work->set->sites[count].gpa, work->from,
					TRAP_LEN);
	work->written = 0;
}

/* With the VMM standing still. */
static int exchange_sites(void *ctx)
{
	struct trap_work *work = ctx;
	size_t i;
	int rc = judge_sites(work), one;

	if (rc)
		return rc;
	for (i = 0; i < work->set->count; i++) {
		if (!work->mine[i])
			continue;
		one = write_site(work, i, work->to);
		if (!one) {
			work->written++;
			continue;
		}
		rc = one;
		if (work->take_what_fits)
			continue;
		put_back(work, i);
		break;
	}
	return rc;
}

int trap_plant(struct trap_set *set, uint64_t *held_ns, char *err, size_t err_len)
{
	struct trap_work work = {
		.set = set,
		.from = set->nop,
		.to = TRAP_INVD,
		.err = err,
		.err_len = err_len,
	};

	return standstill(set->pid, exchange_sites, &work, held_ns, err, err_len);
}

int trap_remove(struct trap_set *set, size_t *removed, uint64_t *held_ns, char *err, size_t err_len)
{
	struct trap_work work = {
		.set = set,
		.from = TRAP_INVD,
		.to = set->nop,
		.take_what_fits = true,
		.err = err,
		.err_len = err_len,
	};
	int rc = standstill(set->pid, exchange_sites, &work, held_ns, err, err_len);

	if (removed)
		*removed = work.written;
	return rc;
}

int trap_replant(struct trap_set *set, size_t *planted, char *err, size_t err_len)
{
	struct trap_work work = {
		.set = set,
		.from = set->nop,
		.to = TRAP_INVD,
		.take_what_fits = true,
		.err = err,
		.err_len = err_len,
	};
	int rc = standstill(set->pid, exchange_sites, &work, NULL, err, err_len);

	*planted = work.written;
	return rc;
}

int trap_verify(struct trap_set *set)
{
	int wrong = 0, rc;
	size_t i;

	for (i = 0; i < set->count; i++) {
		struct trap_site *site = &set->sites[i];

		rc = guest_mem_read(set->mem, site->gpa, site->found, TRAP_LEN);
		if (rc)
			return rc;
		wrong += !trap_is_planted(site);
	}
	return wrong;
}

bool trap_is_planted(const struct trap_site *site)
{
	return !memcmp(site->found, TRAP_INVD, TRAP_LEN);
}

bool trap_is_nop(const struct trap_set *set, const struct trap_site *site)
{
	return !memcmp(site->found, set->nop, TRAP_LEN);
}
