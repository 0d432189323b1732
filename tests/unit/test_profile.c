// SPDX-License-Identifier: GPL-2.0
/* The guest profile, against what real kernels say about themselves. */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "guest_image.h"
#include "user/breakpoints.h"
#include "user/guest_translate.h"
#include "user/kallsyms.h"
#include "user/profile.h"
#include "user/profile_print.h"
#include "user/vmcoreinfo.h"

struct image {
	const char *series;
	bool opened;
	struct guest_mem *mem;
	struct guest_profile *profile;
	int err;
	double seconds;
};

/* Opens and profiles the image when its first test runs; skips where it is missing. */
static struct image *image_of(void **state)
{
	struct image *image = *state;
	struct timespec from, to;

	if (!image->opened) {
		image->opened = true;
		if (guest_mem_open_image(image_path(image->series, "ram.raw"), &image->mem))
			image->mem = NULL;
		clock_gettime(CLOCK_MONOTONIC, &from);
		if (image->mem)
			image->err = guest_profile_build(image->mem, &image->profile);
		clock_gettime(CLOCK_MONOTONIC, &to);
		image->seconds = to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9;
	}
	if (!image->mem)
		skip();
	return image;
}

static void test_complete(void **state)
{
	struct image *image = image_of(state);

	if (image->err)
		profile_print_text(image->profile, false, stderr);
	assert_int_equal(image->err, 0);
	print_message("             %s: %zu symbols, profile in %.0f ms\n", image->profile->release,
		      kallsyms_count(image->profile->symbols), image->seconds * 1e3);
}

static void test_release_and_cpus(void **state)
{
	struct image *image = image_of(state);
	char release[256];

	assert_true(image_fact(image->series, "release", release, sizeof(release)));
	assert_string_equal(image->profile->release, release);
	assert_int_equal(image->profile->cpus, image_number(image->series, "cpus"));
}

static void test_all_symbols(void **state)
{
	struct image *image = image_of(state);
	const struct kallsyms *symbols = image->profile->symbols;
	FILE *file = fopen(image_path(image->series, "kallsyms"), "r");
	char line[1024], name[600], type, module[64];
	unsigned long long address;
	size_t count = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		struct kallsyms_symbol symbol;

		if (sscanf(line, "%llx %c %599s %63s", &address, &type, name, module) != 3)
			continue; /* of a module, or of BPF */
		assert_true(count < kallsyms_count(symbols));
		symbol = kallsyms_symbol(symbols, count++);
		assert_string_equal(symbol.name, name);
		assert_int_equal(symbol.address, address);
		assert_int_equal(symbol.type, type);
	}
	fclose(file);
	assert_int_equal(count, kallsyms_count(symbols));
}

static void test_symbol_lookup(void **state)
{
	struct image *image = image_of(state);
	const struct kallsyms *symbols = image->profile->symbols;
	struct kallsyms_symbol found, at;
	size_t matches;

	for (size_t i = 0; i < kallsyms_count(symbols); i += 97) {
		struct kallsyms_symbol symbol = kallsyms_symbol(symbols, i);

		if (kallsyms_find(symbols, symbol.name, &found, &matches) && matches == 1)
			assert_int_equal(found.address, symbol.address);
		else
			assert_true(matches > 1);
		assert_true(kallsyms_at(symbols, GVA(symbol.address), &at));
		assert_int_equal(at.address, symbol.address);
	}
	assert_true(kallsyms_find(symbols, "security_file_permission", &found, NULL));
	assert_true(kallsyms_at(symbols, GVA(found.address + 7), &at));
	assert_string_equal(at.name, "security_file_permission");
	assert_false(kallsyms_find(symbols, "no_such_symbol_anywhere", &found, &matches));
	assert_int_equal(matches, 0);
}

/* Both roads to the tables, by address and by search, lead to the same symbols. */
static void test_search_finds_the_same(void **state)
{
	struct image *image = image_of(state);
	const struct kt_guest *guest = &image->profile->guest;
	struct vmcoreinfo info = { .stext = guest->text_gva,
				   .init_top_pgt = guest->sym_init_top_pgt };
	struct kallsyms_image where = { GVA(guest->text_gva), GPA(guest->text_gpa) };
	struct kallsyms *found = NULL;
	char why[200] = "";

	assert_int_equal(kallsyms_load(image->mem, &where, &info, &found, why, sizeof(why)), 0);
	assert_int_equal(kallsyms_count(found), kallsyms_count(image->profile->symbols));
	for (size_t i = 0; i < kallsyms_count(found); i += 101) {
		struct kallsyms_symbol a = kallsyms_symbol(found, i);
		struct kallsyms_symbol b = kallsyms_symbol(image->profile->symbols, i);

		assert_string_equal(a.name, b.name);
		assert_int_equal(a.address, b.address);
	}
	kallsyms_free(found);
}

/* A second, plain way from a path to an offset: the oracle for the quick one. */
static const struct btf_type *plain(const struct btf *btf, uint32_t id)
{
	const struct btf_type *type = btf__type_by_id(btf, id);

	while (type && (btf_is_mod(type) || btf_is_typedef(type)))
		type = btf__type_by_id(btf, type->type);
	return type;
}

static int32_t member_offset(const struct btf *btf, const struct btf_type *type, const char *path)
{
	const struct btf_member *members = btf_members(type);
	size_t len = strcspn(path, ".");

	for (int i = 0; i < btf_vlen(type); i++) {
		const char *name = btf__name_by_offset(btf, members[i].name_off);
		const struct btf_type *inner = plain(btf, members[i].type);
		int32_t here = btf_member_bit_offset(type, i) / 8, below;

		if (strlen(name) == len && !strncmp(name, path, len)) {
			if (!path[len])
				return here;
			below = member_offset(btf, inner, path + len + 1);
			return below < 0 ? below : here + below;
		}
		if (name[0] || !btf_is_composite(inner))
			continue;
		below = member_offset(btf, inner, path);
		if (below >= 0)
			return here + below;
	}
	return KT_ABSENT;
}

static int32_t oracle(const struct btf *btf, const char *alternatives, bool size)
{
	char copy[256], *save, name[64];

	snprintf(copy, sizeof(copy), "%s", alternatives);
	for (char *path = strtok_r(copy, "|", &save); path; path = strtok_r(NULL, "|", &save)) {
		size_t len = strcspn(path, ".");
		int32_t id, offset;

		snprintf(name, sizeof(name), "%.*s", (int)len, path);
		id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);
		if (id < 0)
			continue;
		if (size)
			return btf__type_by_id(btf, id)->size;
		offset = member_offset(btf, btf__type_by_id(btf, id), path + len + 1);
		if (offset >= 0)
			return offset;
	}
	return KT_ABSENT;
}

static void test_offsets(void **state)
{
	struct image *image = image_of(state);
	const struct kt_guest *guest = &image->profile->guest;
	struct btf *btf = btf__parse_raw(image_path(image->series, "btf"));

	assert_non_null(btf);
	assert_int_equal(btf__type_cnt(btf), btf__type_cnt(image->profile->types));
#define GUEST_FIELD(id, need, names) assert_int_equal(guest->id, oracle(btf, names, false));
#define GUEST_SIZE(id, need, names)  assert_int_equal(guest->id, oracle(btf, names, true));
#include "vmlinux-guest/fields.def"
#undef GUEST_FIELD
#undef GUEST_SIZE
	btf__free(btf);
}

/* The types of a module as the guest's own sysfs has them; NULL: it is built in, or has none. */
static struct btf *module_types(struct image *image, const char *module, struct btf *kernel)
{
	char name[32];

	snprintf(name, sizeof(name), "btf.%s", module);
	return btf__parse_raw_split(image_path(image->series, name), kernel);
}

static void test_module_positions(void **state)
{
	struct image *image = image_of(state);
	struct guest_profile *profile = image->profile;
	struct btf *kernel = btf__parse_raw(image_path(image->series, "btf")), *module;
	struct kt_modules known = profile->modules, told = profile_modules(profile), settled;
	bool has_any = false;

#define GUEST_MODULE_FIELD(id, from, names)                                                        \
	module = module_types(image, from, kernel);                                                \
	assert_int_equal(known.id, oracle(module ? module : kernel, names, false));                \
	has_any |= module != NULL;                                                                 \
	btf__free(module);
#include "vmlinux-guest/modules.def"
#undef GUEST_MODULE_FIELD
	assert_int_equal(has_any, strcmp(image->series, "5.10") != 0);
	/* Modules that come later. */
	memset(&profile->modules, 0xff, sizeof(known));
	assert_false(profile_learn_modules(image->mem, profile));
	settled = profile_modules(profile);
	profile->newest_module = (struct profile_module){ 0 };
	profile->parse_count = 0;
	assert_int_equal(profile_learn_modules(image->mem, profile), has_any);
	assert_false(profile_learn_modules(image->mem, profile));
#define GUEST_MODULE_FIELD(id, from, names)                                                        \
	if ((module = module_types(image, from, kernel)))                                          \
		assert_int_equal(profile->modules.id, known.id);                                   \
	btf__free(module);
#include "vmlinux-guest/modules.def"
#undef GUEST_MODULE_FIELD
	/* Where nothing tells, it is as it is. */
	assert_int_equal(settled.vsock_transport, told.vsock_transport);
	assert_int_equal(settled.vsock_local, told.vsock_local);
	assert_int_equal(settled.vsock_remote, told.vsock_remote);
	assert_int_equal(settled.vsock_connected, told.vsock_connected);
	assert_int_equal(told.ovl_inode == KT_ABSENT, !has_any);
	/* An overlayfs that is not like any of the releases. */
	profile->modules.ovl_upper = KT_ABSENT;
	assert_int_equal(profile_modules(profile).ovl_inode, KT_ABSENT);
	profile->modules = known;
	btf__free(kernel);
}

static void test_translation(void **state)
{
	struct image *image = image_of(state);
	const struct kt_guest *guest = &image->profile->guest;
	gpa_t top = GPA(guest->pgd_gpa), walked, shortcut;

	for (uint64_t at = 0; at < guest->image_size; at += 65521) {
		if (guest_walk(image->mem, top, guest->levels, GVA(guest->text_gva + at), &walked))
			continue; /* init code is gone */
		assert_int_equal(walked.v, guest->text_gpa + at);
		assert_int_equal(guest_translate(image->mem, guest, GVA(guest->text_gva + at),
						 &shortcut),
				 0);
		assert_int_equal(shortcut.v, walked.v);
	}
	for (uint64_t gpa = 16 << 20; gpa < guest_mem_end(image->mem); gpa += 1048573) {
		gva_t gva = GVA(guest->direct_map + gpa);

		if (guest_walk(image->mem, top, guest->levels, gva, &walked))
			continue;
		assert_int_equal(walked.v, gpa);
		assert_int_equal(guest_translate(image->mem, guest, gva, &shortcut), 0);
		assert_int_equal(shortcut.v, gpa);
	}
	assert_int_equal(guest_translate(image->mem, guest, GVA(0x1000), &walked), -EFAULT);
	assert_int_equal(guest_translate(image->mem, guest, GVA(1ULL << 60), &walked), -EFAULT);
}

static void test_current(void **state)
{
	struct image *image = image_of(state);
	const struct kt_guest *guest = &image->profile->guest;

	for (uint32_t cpu = 0; cpu < image->profile->cpus; cpu++) {
		char comm[KT_COMM_LEN + 1] = "";
		uint64_t task;
		uint32_t pid;
		uint8_t on_cpu; /* an int up to 6.18, a byte in 7.3 */
		gva_t current = GVA(image->profile->percpu_base[cpu] + guest->sym_current_task);

		assert_int_equal(guest_read(image->mem, guest, current, &task, 8), 0);
		assert_int_equal(guest_read(image->mem, guest, GVA(task + guest->task_comm), comm,
					    KT_COMM_LEN),
				 0);
		assert_int_equal(guest_read(image->mem, guest, GVA(task + guest->task_on_cpu),
					    &on_cpu, 1),
				 0);
		assert_int_equal(
			guest_read(image->mem, guest, GVA(task + guest->task_pid), &pid, 4), 0);
		assert_int_equal(on_cpu, 1);
		assert_true(comm[0]);
		for (char *c = comm; *c; c++)
			assert_true(isprint(*c));
		if (cpu == 1) {
			assert_string_equal(comm, "spinner");
			assert_int_equal(pid, image_number(image->series, "spinner.pid"));
		}
	}
}

static void test_percpu_base(void **state)
{
	struct image *image = image_of(state);
	const struct kt_guest *guest = &image->profile->guest;
	FILE *file = fopen(image_path(image->series, "registers"), "r");
	unsigned long long gs = 0;
	char line[256];
	uint64_t offset = 0;

	assert_non_null(file);
	/* CPU 0 idles, in kernel mode: its GS base is what the kernel adds to per-CPU symbols. */
	while (fgets(line, sizeof(line), file) && sscanf(line, "GS =%*x %llx", &gs) != 1)
		;
	fclose(file);
	assert_int_equal(guest_read(image->mem, guest, GVA(guest->sym_per_cpu_offset), &offset, 8),
			 0);
	assert_int_equal(image->profile->percpu_base[0], offset);
	assert_int_equal(image->profile->percpu_base[0], gs);
}

/* The task with that pid, by the list that starts at init_task; 0: none. */
static uint64_t find_task(struct image *image, uint32_t wanted)
{
	const struct kt_guest *guest = &image->profile->guest;
	uint64_t task = guest->sym_init_task, next;
	uint32_t pid;

	for (int i = 0; i < 1000; i++) {
		if (guest_read(image->mem, guest, GVA(task + guest->task_tasks), &next, 8))
			return 0;
		task = next - guest->task_tasks;
		if (guest_read(image->mem, guest, GVA(task + guest->task_pid), &pid, 4))
			return 0;
		if (pid == wanted)
			return task;
	}
	return 0;
}

static uint64_t pointer_at(struct image *image, uint64_t gva)
{
	uint64_t value = 0;

	assert_int_equal(guest_read(image->mem, &image->profile->guest, GVA(gva), &value, 8), 0);
	return value;
}

static void check_file(struct image *image, uint64_t task, const char *name)
{
	const struct kt_guest *guest = &image->profile->guest;
	uint64_t fdt, fd, file, inode, sb, ino;
	uint32_t dev;
	char key[64];

	fdt = pointer_at(image, pointer_at(image, task + guest->task_files) + guest->files_fdt);
	snprintf(key, sizeof(key), "%s.fd", name);
	fd = pointer_at(image, fdt + guest->fdt_fd) + 8 * image_number(image->series, key);
	file = pointer_at(image, fd);
	inode = pointer_at(image, file + guest->file_inode);
	ino = pointer_at(image, inode + guest->inode_ino);
	sb = pointer_at(image, inode + guest->inode_sb);
	assert_int_equal(guest_read(image->mem, guest, GVA(sb + guest->sb_dev), &dev, 4), 0);
	snprintf(key, sizeof(key), "%s.ino", name);
	assert_int_equal(ino, image_number(image->series, key));
	snprintf(key, sizeof(key), "%s.dev", name);
	assert_int_equal(dev, image_number(image->series, key));
}

static void test_files_of_a_process(void **state)
{
	static const char *const names[] = { "secret",	      "pipe_read",   "fifo",
					     "unix_stream_0", "tcp4_client", "udp_bound" };
	struct image *image = image_of(state);
	uint64_t task = find_task(image, image_number(image->series, "holder.pid"));
	char comm[KT_COMM_LEN];

	assert_int_not_equal(task, 0);
	assert_int_equal(guest_read(image->mem, &image->profile->guest,
				    GVA(task + image->profile->guest.task_comm), comm,
				    sizeof(comm)),
			 0);
	assert_string_equal(comm, "holder");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check_file(image, task, names[i]);
}

static void test_hooks(void **state)
{
	struct image *image = image_of(state);
	const struct guest_profile *profile = image->profile;
	uint8_t bytes[5];

#define MUST	      true
#define WHERE_PRESENT false
#define GUEST_HOOK(id, need, program, names)                                                       \
	if (need)                                                                                  \
		assert_int_not_equal(profile->hooks[KT_HOOK_##id].function.v, 0);
#include "vmlinux-guest/hooks.def"
#undef GUEST_HOOK
#undef MUST
#undef WHERE_PRESENT
	for (size_t i = 0; i < KT_HOOK_MAX; i++) {
		const struct profile_hook *hook = &profile->hooks[i];

		if (!hook->function.v)
			continue;
		assert_false(hook->foreign);
		assert_false(hook->is_trap);
		assert_int_equal(guest_mem_read(image->mem, hook->site_gpa, bytes, sizeof(bytes)),
				 0);
		assert_memory_equal(bytes, profile->nop, sizeof(bytes));
	}
}

/* Where the shim stops system calls. SYSCALL's entry begins with SWAPGS. */
static void test_entries(void **state)
{
	static const uint8_t swapgs[] = { 0x0f, 0x01, 0xf8 };
	struct image *image = image_of(state);
	const struct guest_profile *profile = image->profile;
	struct breakpoint points[KT_BREAKPOINTS_MAX];
	uint8_t code[16];

	assert_int_equal(breakpoints_of(TRAP_PATCH, profile, points), 0);
	assert_int_equal(breakpoints_of(TRAP_SHIM, profile, points), KT_ENTRY_MAX);
	for (uint32_t i = 0; i < KT_ENTRY_MAX; i++) {
		assert_int_equal(points[i].site.hook, KT_HOOK_SYSCALL);
		assert_int_equal(points[i].site.alternative, i);
		assert_true(points[i].address.v - profile->guest.text_gva <
			    profile->guest.image_size);
		for (uint32_t j = 0; j < i; j++)
			assert_true(points[j].address.v != points[i].address.v);
	}
	assert_int_equal(guest_read(image->mem, &profile->guest, points[KT_ENTRY_SYSCALL].address,
				    code, sizeof(code)),
			 0);
	assert_non_null(memmem(code, sizeof(code), swapgs, sizeof(swapgs)));
	assert_int_equal(breakpoints_of(TRAP_SHIM_HOOKS, profile, points), KT_BREAKPOINTS_MAX);
	assert_int_equal(points[0].address.v, profile->hooks[points[0].site.hook].function.v);
}

static uint64_t register_cr3(const char *series)
{
	FILE *file = fopen(image_path(series, "registers"), "r");
	unsigned long long cr3 = 0;
	char line[256], *at;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		at = strstr(line, "CR3=");
		if (at)
			cr3 = strtoull(at + 4, NULL, 16); /* of the last CPU: in user mode */
	}
	fclose(file);
	return cr3;
}

static void test_witness(void **state)
{
	struct image *image = image_of(state);
	struct guest_cpu cpu = { .cr3 = register_cr3(image->series) };
	struct kallsyms_symbol entry;
	struct guest_profile *profile;

	assert_int_equal(guest_profile_build_for(image->mem, &cpu, &profile), 0);
	guest_profile_free(profile);
	assert_true(kallsyms_find(image->profile->symbols, "entry_SYSCALL_64", &entry, NULL));
	cpu.lstar = entry.address;
	assert_int_equal(guest_profile_build_for(image->mem, &cpu, &profile), 0);
	guest_profile_free(profile);
	cpu.cr3 = 0x100000; /* of a process that is gone */
	assert_int_equal(guest_profile_build_for(image->mem, &cpu, &profile), 0);
	guest_profile_free(profile);
	cpu.lstar += 64;
	assert_int_equal(guest_profile_build_for(image->mem, &cpu, &profile), -EPROTO);
	guest_profile_free(profile);
	cpu.lstar = 0xffffffff80001000ULL; /* below the image */
	assert_int_equal(guest_profile_build_for(image->mem, &cpu, &profile), -ENOENT);
	guest_profile_free(profile);
	cpu.lstar = 0;
	cpu.cr3 = 0x100000;
	assert_int_equal(guest_profile_build_for(image->mem, &cpu, &profile), -ENOENT);
	guest_profile_free(profile);
}

/* What a guest lacks is told with what is lost by it, and only where something is. */
static void test_unseen(void **state)
{
	struct image *image = image_of(state);
	struct guest_profile *profile = image->profile;
	const bool sendpage = !strcmp(image->series, "5.10") || !strcmp(image->series, "6.1");
	struct profile_hook kept[KT_HOOK_MAX];
	char *text = NULL;
	size_t len;
	FILE *out;

	for (size_t h = 0; h < KT_HOOK_MAX; h++)
		assert_null(profile_unseen(profile, h));
	memcpy(kept, profile->hooks, sizeof(kept));
	memset(profile->hooks, 0, sizeof(kept));
	assert_string_equal(profile_unseen(profile, KT_HOOK_tee), "tee()");
	assert_null(profile_unseen(profile, KT_HOOK_splice_file_to_pipe));
	/* Where sockets have no ->sendpage() nothing is lost without the hook. */
	assert_int_equal(!!profile_unseen(profile, KT_HOOK_sock_sendpage), sendpage);
	for (size_t h = 0; h < KT_HOOK_MAX; h++)
		assert_int_equal(!profile_unseen(profile, h), profile->unneeded[h]);
	out = open_memstream(&text, &len);
	profile_print_text(profile, false, out);
	fclose(out);
	assert_non_null(strstr(text, "not in this guest; not seen: tee()\n"));
	free(text);
	memcpy(profile->hooks, kept, sizeof(kept));
}

static void assert_only_gap(const struct guest_profile *profile, const char *name,
			    const char *unseen)
{
	struct profile_gap gap;
	size_t at = 0;

	assert_true(profile_next_gap(profile, &at, &gap));
	assert_false(gap.hook);
	assert_string_equal(gap.name, name);
	assert_string_equal(gap.unseen, unseen);
	assert_false(profile_next_gap(profile, &at, &gap));
}

/* So is what a guest lacks that has the hook, but not what the handler looks for. */
static void test_unseen_fields(void **state)
{
	struct guest_profile *profile = image_of(state)->profile;
	struct kt_guest kept = profile->guest;
	struct profile_hook dump_emit = profile->hooks[KT_HOOK_dump_emit];
	struct profile_gap gap;
	struct json_object *json;
	size_t at = 0;

	assert_false(profile_next_gap(profile, &at, &gap));
	profile->guest.coredump_file = KT_ABSENT;
	assert_only_gap(profile, "coredump_params.file", "core dumps");
	json = profile_json(profile);
	assert_non_null(strstr(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN),
			       "{\"name\":\"coredump_params.file\",\"unseen\":\"core dumps\"}"));
	json_object_put(json);
	profile->guest = kept;
	profile->guest.sym_proc_mem_operations = 0;
	assert_only_gap(profile, "proc_mem_operations", "/proc/PID/mem");
	/* A hook that is not there has said it already. */
	profile->guest = kept;
	profile->guest.coredump_file = KT_ABSENT;
	profile->hooks[KT_HOOK_dump_emit] = (struct profile_hook){};
	at = 0;
	assert_true(profile_next_gap(profile, &at, &gap));
	assert_true(gap.hook);
	assert_false(profile_next_gap(profile, &at, &gap));
	profile->hooks[KT_HOOK_dump_emit] = dump_emit;
	profile->guest = kept;
}

static void test_json(void **state)
{
	struct image *image = image_of(state);
	struct json_object *object = profile_json(image->profile), *value;

	assert_true(json_object_object_get_ex(object, "ready", &value));
	assert_true(json_object_get_boolean(value));
	assert_true(json_object_object_get_ex(object, "hooks", &value));
	assert_int_equal(json_object_array_length(value), KT_HOOK_MAX);
	assert_true(json_object_object_get_ex(object, "steps", &value));
	assert_int_equal(json_object_array_length(value), image->profile->step_count);
	json_object_put(object);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void **state);
	} proofs[] = {
		{ "the profile is complete", test_complete },
		{ "release and CPU count are the guest's own", test_release_and_cpus },
		{ "every symbol equals the guest's /proc/kallsyms", test_all_symbols },
		{ "a symbol is found by name and by address", test_symbol_lookup },
		{ "the search finds the same symbols as VMCOREINFO", test_search_finds_the_same },
		{ "every offset equals that of the guest's sysfs BTF", test_offsets },
		{ "positions in structures of modules", test_module_positions },
		{ "shortcuts translate as the page tables do", test_translation },
		{ "current of each vCPU is the task that runs there", test_current },
		{ "the per-CPU base is the vCPU's GS base", test_percpu_base },
		{ "a process's open files have the inodes it saw", test_files_of_a_process },
		{ "every hook is found and holds ftrace's NOP", test_hooks },
		{ "the entries of system calls are found", test_entries },
		{ "what is not seen for want of a hook is told", test_unseen },
		{ "what is not seen for want of a field is told", test_unseen_fields },
		{ "a vCPU's CR3 and LSTAR tell the kernel that runs", test_witness },
		{ "the profile prints as JSON", test_json },
	};
	enum { PROOFS = sizeof(proofs) / sizeof(proofs[0]) };
	static struct CMUnitTest tests[IMAGE_COUNT * PROOFS];
	static struct image images[IMAGE_COUNT];
	static char names[IMAGE_COUNT * PROOFS][96];
	int failed;

	libbpf_set_print(quiet);
	for (size_t i = 0; i < IMAGE_COUNT * PROOFS; i++) {
		images[i / PROOFS].series = image_series[i / PROOFS];
		snprintf(names[i], sizeof(names[i]), "Linux %s: %s", image_series[i / PROOFS],
			 proofs[i % PROOFS].name);
		tests[i] = (struct CMUnitTest){ names[i], proofs[i % PROOFS].run, NULL, NULL,
						&images[i / PROOFS] };
	}
	failed = cmocka_run_group_tests_name("profile", tests, NULL, NULL);
	for (size_t i = 0; i < IMAGE_COUNT; i++) {
		guest_profile_free(images[i].profile);
		guest_mem_close(images[i].mem);
	}
	return failed;
}
