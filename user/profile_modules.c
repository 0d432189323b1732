// SPDX-License-Identifier: GPL-2.0
/* What structures look like that may be a module's: vmlinux-guest/modules.def. */
#include "profile_build.h"

#include <bpf/btf.h>
#include <stdlib.h>
#include <string.h>

#define MODULES_MAX 4096
#define NAME_LEN    56 /* MODULE_NAME_LEN on 64 bits */
#define BTF_MAX	    (4U << 20) /* bytes of a module; those of 7.3 that are asked for have 50 KB */
#define PARSES_MAX  64 /* in the life of one kernel */

static const struct {
	const char *module, *names;
	size_t at; /* in struct kt_modules */
} wanted[] = {
#define GUEST_MODULE_FIELD(id, module, names) { module, names, offsetof(struct kt_modules, id) },
#include "../vmlinux-guest/modules.def"
#undef GUEST_MODULE_FIELD
};

#define WANTED (sizeof(wanted) / sizeof(wanted[0]))

static int32_t *position(struct kt_modules *modules, size_t i)
{
	return (int32_t *)((char *)modules + wanted[i].at);
}

/* Takes what types tell of the module; of all with name NULL. Whether they tell anything. */
static bool take(struct kt_modules *modules, struct guest_types *types, const char *name)
{
	bool told = false;

	for (size_t i = 0; i < WANTED; i++) {
		if (name && strcmp(wanted[i].module, name))
			continue;
		*position(modules, i) = guest_types_offset(types, wanted[i].names);
		told |= *position(modules, i) != KT_ABSENT;
	}
	return told;
}

/* Whether something of the module is wanted, and nothing known. */
static bool is_unknown(struct kt_modules *modules, const char *name)
{
	bool is_wanted = false;

	for (size_t i = 0; i < WANTED; i++) {
		if (strcmp(wanted[i].module, name))
			continue;
		if (*position(modules, i) != KT_ABSENT)
			return false;
		is_wanted = true;
	}
	return is_wanted;
}

/* The BTF of a module, whose struct btf is at btf; NULL: it cannot be read, or is nonsense. */
static struct guest_types *types_of(struct guest_mem *mem, const struct kt_guest *guest,
				    uint64_t btf, struct btf *base)
{
	struct guest_types *types = NULL;
	uint64_t data = 0;
	uint32_t size = 0;
	char why[120];
	void *blob;

	if (guest_read(mem, guest, GVA(btf + guest->btf_data), &data, 8) ||
	    guest_read(mem, guest, GVA(btf + guest->btf_data_size), &size, 4) || !size ||
	    size > BTF_MAX)
		return NULL;
	blob = malloc(size);
	if (!blob)
		return NULL;
	if (guest_read(mem, guest, GVA(data), blob, size) ||
	    guest_types_new_module(blob, size, base, &types, why, sizeof(why)))
		types = NULL;
	free(blob);
	return types;
}

/* A module is in the list once its BTF is whole. base: the kernel's own types. */
static bool learn(struct guest_mem *mem, struct guest_profile *profile, struct btf *base)
{
	const struct kt_guest *guest = &profile->guest;
	uint64_t head = guest->sym_btf_modules, at, btf;
	unsigned int count = 0;
	char name[NAME_LEN + 1] = "";
	bool learned = false;

	if (!head || guest->btf_module_list == KT_ABSENT || guest->btf_module_btf == KT_ABSENT ||
	    guest->btf_data == KT_ABSENT || guest->btf_data_size == KT_ABSENT ||
	    guest->btf_name == KT_ABSENT || guest_read(mem, guest, GVA(head), &at, 8) ||
	    at == profile->newest_module)
		return false;
	profile->newest_module = at;
	/* The list may be forged: of one name without end, anew each second, a ring without the
	 * head. */
	while (at != head && count++ < MODULES_MAX && profile->module_parses < PARSES_MAX) {
		uint64_t module = at - guest->btf_module_list;
		struct guest_types *types;

		if (guest_read(mem, guest, GVA(module + guest->btf_module_btf), &btf, 8) ||
		    guest_read(mem, guest, GVA(btf + guest->btf_name), name, NAME_LEN) ||
		    guest_read(mem, guest, GVA(at), &at, 8))
			break;
		if (!is_unknown(&profile->modules, name))
			continue;
		types = types_of(mem, guest, btf, base);
		learned |= types && take(&profile->modules, types, name);
		guest_types_free(types);
		profile->module_parses++;
	}
	return learned;
}

bool profile_learn_modules(struct guest_mem *mem, struct guest_profile *profile)
{
	return learn(mem, profile, profile->types);
}

int profile_module_types(struct profile_build *build)
{
	struct kt_modules *modules = &build->profile->modules;
	unsigned int known = 0;

	take(modules, build->types, NULL);
	learn(build->mem, build->profile, guest_types_btf(build->types));
	for (size_t i = 0; i < WANTED; i++)
		known += *position(modules, i) != KT_ABSENT;
	return profile_step(build, "modules", 0,
			    "%u of %zu positions in structures that modules may have", known,
			    WANTED);
}

struct kt_modules profile_modules(const struct guest_profile *profile)
{
	struct kt_modules modules = profile->modules;

	/* The order has been this since 5.5 (commit fe502c4a38d9). */
	if (modules.vsock_transport == KT_ABSENT || modules.vsock_local == KT_ABSENT ||
	    modules.vsock_remote == KT_ABSENT || modules.vsock_connected == KT_ABSENT) {
		modules.vsock_transport = profile->guest.sock_size;
		modules.vsock_local = modules.vsock_transport + 8;
		modules.vsock_remote = modules.vsock_local + 16;
		modules.vsock_connected = modules.vsock_remote + 32;
	}
	/* Not as one of the releases that are known. */
	if (modules.ovl_upper == KT_ABSENT ||
	    (modules.ovl_lower_inode == KT_ABSENT && modules.ovl_lower_dentry == KT_ABSENT &&
	     (modules.ovl_lower_entry == KT_ABSENT || modules.ovl_entry_stack == KT_ABSENT ||
	      modules.ovl_path_dentry == KT_ABSENT)))
		modules.ovl_inode = KT_ABSENT;
	return modules;
}
