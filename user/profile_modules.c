// SPDX-License-Identifier: GPL-2.0
/* What structures look like that may be a module's: vmlinux-guest/modules.def. */
#include "profile_build.h"

#include <bpf/btf.h>
#include <stdlib.h>
#include <string.h>

#define MODULES_MAX 1024 /* a desktop has 300 */
#define NAME_LEN    56 /* MODULE_NAME_LEN on 64 bits */
#define BTF_MAX	    (4U << 20) /* bytes, of one call; 6.18 has 340 KB of all that are asked for */

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

/* Whether the guest has what is asked of its list of modules. */
static bool has_list(const struct kt_guest *guest)
{
	return guest->sym_btf_modules && guest->btf_module_list != KT_ABSENT &&
	       guest->btf_module_btf != KT_ABSENT && guest->btf_data != KT_ABSENT &&
	       guest->btf_data_size != KT_ABSENT && guest->btf_name != KT_ABSENT;
}

/* The module whose place in the list is at. False: it cannot be read. */
static bool read_module(struct guest_mem *mem, const struct kt_guest *guest, uint64_t at,
			struct profile_module *out)
{
	uint64_t module = at - guest->btf_module_list, btf;

	*out = (struct profile_module){ .at = at };
	return !guest_read(mem, guest, GVA(module + guest->btf_module_btf), &btf, 8) &&
	       !guest_read(mem, guest, GVA(btf + guest->btf_name), out->name, NAME_LEN) &&
	       !guest_read(mem, guest, GVA(btf + guest->btf_data), &out->data, 8) &&
	       !guest_read(mem, guest, GVA(btf + guest->btf_data_size), &out->size, 4);
}

static bool is_same(const struct profile_module *a, const struct profile_module *b)
{
	return a->at == b->at && a->data == b->data && a->size == b->size &&
	       !strcmp(a->name, b->name);
}

/* What takes up the modules of one walk over the list. */
struct learning {
	struct guest_mem *mem;
	struct guest_profile *profile;
	struct btf *base; /* the kernel's own types */
	size_t left; /* bytes of BTF that may still be parsed */
	bool learned; /* something new */
	bool unfinished; /* something is left for the next walk */
};

static bool was_parsed(const struct guest_profile *profile, const struct profile_module *module)
{
	for (size_t i = 0; i < profile->parse_count; i++)
		if (is_same(&profile->parsed[i], module))
			return true;
	return false;
}

/* Whether there is something to learn from the module. */
static bool worth_parsing(struct guest_profile *profile, const struct profile_module *module)
{
	return module->size && module->size <= BTF_MAX &&
	       profile->parse_count < PROFILE_PARSES_MAX &&
	       is_unknown(&profile->modules, module->name) && !was_parsed(profile, module);
}

/* A module is in the list once its BTF is whole. */
static void parse(struct learning *l, const struct profile_module *module)
{
	struct guest_profile *profile = l->profile;
	struct guest_types *types = NULL;
	char why[120];
	void *blob = module->size <= l->left ? malloc(module->size) : NULL;

	if (!blob) {
		l->unfinished = true;
		return;
	}
	l->left -= module->size;
	if (guest_read(l->mem, &profile->guest, GVA(module->data), blob, module->size)) {
		/* It went meanwhile, or is forged: it counts, or it would be read for ever. */
		profile->parsed[profile->parse_count++] = (struct profile_module){ 0 };
		l->unfinished = true;
	} else {
		profile->parsed[profile->parse_count++] = *module;
		if (!guest_types_new_module(blob, module->size, l->base, &types, why, sizeof(why)))
			l->learned |= take(&profile->modules, types, module->name);
	}
	guest_types_free(types);
	free(blob);
}

/* The list from at on. False: it cannot be read to its end; if it has none, it was read. */
static bool walk(struct learning *l, uint64_t at)
{
	const struct kt_guest *guest = &l->profile->guest;
	struct profile_module module;

	for (unsigned int i = 0; at != guest->sym_btf_modules && i < MODULES_MAX; i++) {
		if (!read_module(l->mem, guest, at, &module) ||
		    guest_read(l->mem, guest, GVA(at), &at, 8))
			return false;
		if (worth_parsing(l->profile, &module))
			parse(l, &module);
	}
	return true;
}

/*
 * New modules come to the front of the list. It changes under the walk: what was not seen whole
 * is looked at again by the next call, and so is what would take too long: a VM may stand
 * meanwhile.
 */
static bool learn(struct guest_mem *mem, struct guest_profile *profile, struct btf *base)
{
	const struct kt_guest *guest = &profile->guest;
	struct learning l = { .mem = mem, .profile = profile, .base = base, .left = BTF_MAX };
	struct profile_module first;
	uint64_t at;

	if (!has_list(guest) || guest_read(mem, guest, GVA(guest->sym_btf_modules), &at, 8))
		return false;
	if (at == guest->sym_btf_modules)
		first = (struct profile_module){ .at = at };
	else if (!read_module(mem, guest, at, &first))
		return false;
	if (is_same(&first, &profile->newest_module))
		return false;
	if (walk(&l, at) && !l.unfinished)
		profile->newest_module = first;
	return l.learned;
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
