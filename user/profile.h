/* SPDX-License-Identifier: GPL-2.0 */
/* The guest profile: what kernel runs in the VM and where everything is in it. */
#ifndef KVMTAINT_PROFILE_H
#define KVMTAINT_PROFILE_H

#include <stdbool.h>
#include <stdio.h>

#include "../bpf/kvmtaint.h"
#include "guest_mem.h"

struct kallsyms; /* user/kallsyms.h */
struct btf; /* libbpf */

/* One step of the profile, as `kvmtaint probe` prints it. */
struct profile_step {
	const char *name; /* "vmcoreinfo", "page tables", "kallsyms", ... */
	bool ok;
	char detail[200]; /* what was found, or what is wrong and what to do */
};

#define PROFILE_STEPS_MAX 32

/* Where a hook's trap goes. gva 0: this guest does not have the function. */
struct profile_hook {
	gva_t function;
	gva_t site; /* the 5-byte NOP, after endbr64 if there is one */
	gpa_t site_gpa;
	uint32_t alternative;
	uint8_t found[5]; /* the five bytes at site: the profile's NOP, or our own trap */
	bool is_trap; /* found[] is already our INVD, of a killed run */
	bool foreign; /* found[] is neither: guest ftrace, kprobe, livepatch... */
};

#define PROFILE_PARSES_MAX 64 /* of modules' types, in the life of one kernel */

/* A module as the guest lists it. Its place, and that of its types, may be another's later. */
struct profile_module {
	uint64_t at;
	uint64_t data; /* its BTF */
	uint32_t size; /* bytes */
	char name[60];
};

struct guest_profile {
	struct kt_guest guest;
	char release[65]; /* as uname -r */
	char build_id[41]; /* hex; "" where VMCOREINFO has none */
	uint8_t nop[5]; /* the NOP that this guest's ftrace leaves at every site */
	struct profile_hook hooks[KT_HOOK_MAX];
	bool unneeded[KT_HOOK_MAX]; /* what the hook shows this guest does not have, or shows
				       elsewhere */
	uint64_t kaslr_offset; /* bytes by which the image is moved up */
	uint64_t percpu_base[KT_VCPUS_MAX]; /* by APIC id; 0: no such CPU */
	uint32_t cpus;
	struct kt_modules modules; /* what is built in, and what profile_learn_modules() found */
	struct profile_module newest_module; /* in the guest's list, when all of that was seen */
	struct profile_module parsed[PROFILE_PARSES_MAX]; /* all 0: could not be read */
	size_t parse_count;
	struct profile_step steps[PROFILE_STEPS_MAX];
	size_t step_count;
	struct kallsyms *symbols;
	struct btf *types;
};

/*
 * Builds the profile of the guest in mem, from its RAM alone. 0; or -errno with
 * the step that failed as the last of steps (its detail is one clear line).
 * *out is set in both cases, so that `probe` can print what was reached; free
 * it with guest_profile_free(). Errors, each its own exit status in the README:
 *   -ENOENT       no Linux kernel in this RAM (not booted yet, or not Linux)
 *   -ENODATA      no BTF in the guest
 *   -ENOSYS       no ftrace NOPs, or no CONFIG_SECURITY(_NETWORK): hooks missing
 *   -EBUSY        a hook is in use by the guest's own ftrace, kprobe or livepatch
 *   -EPERM        LKRG guards the guest's text
 *   -EPROTO       anything else that does not add up (says which check)
 */
int guest_profile_build(struct guest_mem *mem, struct guest_profile **out);

/* What a vCPU's registers say about the kernel that runs; 0: not known. */
struct guest_cpu {
	uint64_t cr3;
	uint64_t lstar; /* MSR_LSTAR, where SYSCALL enters */
};

/*
 * The same, with a vCPU as witness (NULL: none). RAM also holds kernels that ran
 * before a reboot or kexec, and whatever guest users forge; only the vCPU proves
 * which one runs. Without it two complete kernels in RAM are -EPROTO.
 */
int guest_profile_build_for(struct guest_mem *mem, const struct guest_cpu *cpu,
			    struct guest_profile **out);
void guest_profile_free(struct guest_profile *profile);

/* The enum kt_hook whose id this is in vmlinux-guest/hooks.def; -ENOENT. */
int profile_hook_id(const char *id);
const char *profile_hook_name(size_t hook);

/* What is not seen for want of a hook; NULL: the guest has the function, or does without it. */
const char *profile_unseen(const struct guest_profile *profile, size_t hook);

/* Something that this guest lacks, and what is not seen for want of it. */
struct profile_gap {
	bool hook; /* of hooks.def; else a field or symbol of the guest */
	const char *name;
	const char *unseen;
};

/* The next of a profile that was built. *at: 0 at first, then as it was left. False: no more. */
bool profile_next_gap(const struct guest_profile *profile, size_t *at, struct profile_gap *gap);

/*
 * CPUs come and go: fills percpu_base (by APIC id) as the guest's own tables are
 * now. Number of CPUs, or -EPROTO: two claim one id, or it is too large.
 */
int guest_profile_cpus(struct guest_mem *mem, const struct guest_profile *profile,
		       uint64_t percpu_base[KT_VCPUS_MAX]);

/*
 * Modules come: takes positions that are not known yet from the BTF of those that are loaded
 * now. Whether there is something new; cheap where no module came since the last call. What would
 * take too long is left to the next call; all that real modules have is not.
 */
bool profile_learn_modules(struct guest_mem *mem, struct guest_profile *profile);

/* What is known of the modules' structures; what is not, as far as the releases agree. */
struct kt_modules profile_modules(const struct guest_profile *profile);

/* Guest virtual to physical by the guest's own tables; -EFAULT: not mapped. */
int guest_translate(struct guest_mem *mem, const struct kt_guest *guest, gva_t gva, gpa_t *out);

/* Reads guest virtual memory, across pages. 0 or -EFAULT. */
int guest_read(struct guest_mem *mem, const struct kt_guest *guest, gva_t gva, void *buf,
	       size_t len);

#endif
