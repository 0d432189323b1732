/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The traps in the guest's text: INVD in place of ftrace's NOP at the start of a
 * hooked function. INVD always leads to a VM exit and KVM skips it like a NOP
 * (Intel SDM vol. 3, 26.1.2; AMD: KVM sets INTERCEPT_INVD). Five bytes for five
 * bytes, one instruction for one: no vCPU can stand inside.
 */
#ifndef KVMTAINT_TRAP_H
#define KVMTAINT_TRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest_mem.h"
#include "profile.h"

#define TRAP_LEN  5
#define TRAP_INVD "\x2e\x2e\x2e\x0f\x08" /* cs cs cs invd */
/* nopl 0(%rax,%rax,1); up to 5.12 a guest may have another one (struct guest_profile.nop) */
#define TRAP_NOP "\x0f\x1f\x44\x00\x00"

struct trap_site {
	char name[64]; /* guest function */
	gpa_t gpa;
	unsigned char found[TRAP_LEN]; /* by the last trap_verify() */
};

/* A VM's traps: where its memory is, who must stand still for a write. */
struct trap_set {
	pid_t pid; /* of the VMM */
	struct guest_mem *mem;
	char nop[TRAP_LEN]; /* what ftrace leaves at a site in this guest */
	struct trap_site sites[KT_SITES_MAX];
	size_t count;
};

/* The sites of every hook that the guest has. */
void trap_set_init(struct trap_set *set, pid_t pid, struct guest_mem *mem,
		   const struct guest_profile *profile);

/* The guest's name of the function that hook h traps; "" if it has none. */
const char *trap_hook_name(const struct guest_profile *profile, enum kt_hook h, char *buf,
			   size_t len);

/*
 * Plants all sites while the VMM stands still; *held_ns: for how long, in ns.
 * Traps of an earlier, killed run are taken over. 0; or -errno with one clear
 * line in err and the guest as it was:
 *   -EBUSY  the bytes of a site are neither the NOP nor our trap, or the VMM is traced
 *   -EFAULT a site cannot be read or written
 *   others  as standstill()
 */
int trap_plant(struct trap_set *set, uint64_t *held_ns, char *err, size_t err_len);

/*
 * Takes all traps out while the VMM stands still, where the bytes are exactly
 * ours; *removed (may be NULL) of them. Sites with other bytes, or that cannot
 * be read, are left as they are. 0 or -errno as trap_plant() (a site that cannot
 * be written does not keep the others in); -ESRCH, the VM is gone, is no harm.
 */
int trap_remove(struct trap_set *set, size_t *removed, uint64_t *held_ns, char *err,
		size_t err_len);

/*
 * Plants again where the guest's own NOP is; other sites are left as they are.
 * *planted of them. 0 or -errno as trap_plant().
 */
int trap_replant(struct trap_set *set, size_t *planted, char *err, size_t err_len);

/*
 * Takes down the bytes at each site, without stopping anyone. How many are not
 * our trap; or -EFAULT / -ESRCH.
 */
int trap_verify(struct trap_set *set);

bool trap_is_planted(const struct trap_site *site);
bool trap_is_nop(const struct trap_set *set, const struct trap_site *site);

#endif
