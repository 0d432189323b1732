// SPDX-License-Identifier: GPL-2.0
/*
 * Loading the BPF engine: what is known of the host, the VM and the guest goes
 * into its constants and maps before the first program runs.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "engine.h"
#include "engine_internal.h"

/* The maps that operators look at. */
static const char *const pinned_maps[] = { "files", "processes", "sockets",   "pipes", "messages",
					   "keys",  "disks",	 "terminals", "fuse",  "counters" };

/* --- the host ------------------------------------------------------------ */

/* True when /proc/cpuinfo lists the flag. */
static bool cpu_has(const char *flag)
{
	_cleanup_free_ char *line = NULL;
	_cleanup_fclose_ FILE *f = fopen("/proc/cpuinfo", "re");
	size_t size = 0, len = strlen(flag);

	while (f && getline(&line, &size, f) > 0) {
		char *word, *save = NULL;

		if (strncmp(line, "flags", 5))
			continue;
		for (word = strtok_r(line, " \t\n", &save); word;
		     word = strtok_r(NULL, " \t\n", &save))
			if (strlen(word) == len && !memcmp(word, flag, len))
				return true;
		return false;
	}
	return false;
}

/* Address of a kernel symbol; 0 where kallsyms hides it. */
static uint64_t host_symbol(const char *wanted)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/kallsyms", "re");
	char line[256], name[128], type;
	unsigned long long address;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%llx %c %127s", &address, &type, name) == 3 &&
		    !strcmp(name, wanted))
			return address;
	return 0;
}

static void describe_host(struct engine *engine, const struct vm_info *vm, bool is_amd)
{
	struct kvmtaint *skel = engine->skel;

	skel->rodata->host_is_amd = is_amd;
	skel->rodata->host_levels = cpu_has("la57") ? 5 : 4;
	if (!vm)
		return;
	skel->rodata->vmm_tgid = vm->tgid;
	skel->rodata->vm_address = vm->kvm;
	/* Its value is read by BPF itself: /dev/mem and kcore may be off. */
	skel->rodata->host_direct_map_symbol = host_symbol("page_offset_base");
}

/* --- maps ---------------------------------------------------------------- */

static int fill_sites(struct engine *engine, enum trap_kind trap,
		      const struct guest_profile *profile)
{
	int fd = bpf_map__fd(engine->skel->maps.sites);
	struct breakpoint points[KT_BREAKPOINTS_MAX];
	size_t count = breakpoints_of(trap, profile, points);

	for (size_t i = 0; i < count; i++)
		if (bpf_map_update_elem(fd, &points[i].address.v, &points[i].site, BPF_ANY))
			return -errno;
	for (unsigned int h = 0; trap == TRAP_PATCH && h < KT_HOOK_MAX; h++) {
		struct kt_site site = { .hook = h, .alternative = profile->hooks[h].alternative };
		uint64_t gva = profile->hooks[h].site.v;

		if (gva && bpf_map_update_elem(fd, &gva, &site, BPF_ANY))
			return -errno;
	}
	return 0;
}

/* In the order of the map handlers. */
static const char *const handler_names[] = {
#define GUEST_HOOK(id, need, program, alternatives) "handle_" #program,
#include "../vmlinux-guest/hooks.def"
#undef GUEST_HOOK
	"handle_syscall",
	"handle_scan",
	"handle_walk",
	"handle_settle",
	"handle_block",
	"handle_pause",
	"handle_freeze",
	"handle_bar",
	"handle_syscall_actor",
	"handle_syscall_flows",
	"handle_syscall_objects",
	"handle_syscall_processes",
	"handle_syscall_send",
};

static bool is_led_to(size_t handler, enum trap_kind trap, const struct guest_profile *profile)
{
	if (handler < KT_HOOK_MAX)
		return trap != TRAP_SHIM && profile->hooks[handler].site.v;
	return trap == TRAP_SHIM ||
	       strncmp(handler_names[handler], "handle_syscall", strlen("handle_syscall"));
}

/* Leaves out the programs to which no trap leads; one may have several handlers. */
static void choose_handlers(struct kvmtaint *skel, enum trap_kind trap,
			    const struct guest_profile *profile)
{
	const size_t count = sizeof(handler_names) / sizeof(handler_names[0]);

	for (int led_to = 0; led_to <= 1; led_to++)
		for (size_t i = 0; i < count; i++)
			if (is_led_to(i, trap, profile) == led_to)
				bpf_program__set_autoload(bpf_object__find_program_by_name(
								  skel->obj, handler_names[i]),
							  led_to);
}

static int fill_handlers(struct engine *engine)
{
	int map = bpf_map__fd(engine->skel->maps.handlers);

	for (uint32_t i = 0; i < sizeof(handler_names) / sizeof(handler_names[0]); i++) {
		struct bpf_program *prog =
			bpf_object__find_program_by_name(engine->skel->obj, handler_names[i]);
		int fd;

		if (prog && !bpf_program__autoload(prog))
			continue;
		fd = prog ? bpf_program__fd(prog) : -ENOENT;
		if (fd < 0)
			return fd;
		if (bpf_map_update_elem(map, &i, &fd, BPF_ANY))
			return -errno;
	}
	return 0;
}

static int fill_dfa(struct engine *engine, const struct policy_dfa *dfa)
{
	int fd = bpf_map__fd(engine->skel->maps.dfa);
	struct {
		uint16_t next[256];
		uint64_t labels;
	} state;

	for (uint32_t s = 0; dfa && s < dfa->states; s++) {
		for (unsigned int byte = 0; byte < 256; byte++)
			state.next[byte] =
				dfa->transitions[(size_t)s * dfa->classes + dfa->class_of[byte]];
		state.labels = dfa->labels[s];
		if (bpf_map_update_elem(fd, &s, &state, BPF_ANY))
			return -errno;
	}
	return 0;
}

int engine_set_cpus(struct engine *engine, const uint64_t percpu_base[KT_VCPUS_MAX])
{
	int fd = bpf_map__fd(engine->skel->maps.vcpu_percpu);

	for (uint32_t i = 0; i < KT_VCPUS_MAX; i++) {
		if (percpu_base[i] == engine->percpu_base[i])
			continue;
		if (bpf_map_update_elem(fd, &i, &percpu_base[i], BPF_ANY))
			return -errno;
		engine->percpu_base[i] = percpu_base[i];
	}
	return 0;
}

void engine_set_modules(struct engine *engine, const struct kt_modules *modules)
{
	struct kt_modules *to = (struct kt_modules *)&engine->skel->bss->modules;
	struct kt_modules first = *modules;

	/* Programs are running: what they ask for before the others comes last. */
	first.ovl_inode = first.fuse_chan_conn = KT_ABSENT;
	*to = first;
	__sync_synchronize();
	to->ovl_inode = modules->ovl_inode;
	to->fuse_chan_conn = modules->fuse_chan_conn;
}

/*
 * Memslots for a run without a VM. With one, the engine takes its own snapshots
 * from KVM, at the first event of each CPU and whenever they change.
 */
static int fill_memory(struct engine *engine, struct guest_mem *mem)
{
	int fd = bpf_map__fd(engine->skel->maps.memory), cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct kt_memory *all = NULL;
	const struct kt_slot *slots;
	uint32_t zero = 0;
	size_t count;

	if (cpus < 0)
		return cpus;
	all = calloc(cpus, sizeof(*all));
	if (!all)
		return -ENOMEM;
	slots = guest_mem_slots(mem, &count);
	for (int cpu = 0; cpu < cpus; cpu++) {
		all[cpu].count = count;
		memcpy(all[cpu].slots, slots, count * sizeof(*slots));
	}
	return bpf_map_update_elem(fd, &zero, all, BPF_ANY) ? -errno : 0;
}

static int pin_maps(struct engine *engine)
{
	char path[600];

	if (!engine->pin_dir)
		return 0;
	if (mkdir(engine->pin_dir, 0700) && errno != EEXIST)
		return -errno;
	for (size_t i = 0; i < sizeof(pinned_maps) / sizeof(pinned_maps[0]); i++) {
		struct bpf_map *map =
			bpf_object__find_map_by_name(engine->skel->obj, pinned_maps[i]);
		int ret;

		snprintf(path, sizeof(path), "%s/%s", engine->pin_dir, pinned_maps[i]);
		/* A killed run leaves its maps behind. */
		unlink(path);
		ret = map ? bpf_map__pin(map, path) : -ENOENT;
		if (ret)
			return ret;
	}
	return 0;
}

static bool is_kept(const char *name)
{
	return !strcmp(name, "files") || !strcmp(name, "counters");
}

/* all: what outlives a guest kernel too. */
static void unpin_maps(const char *pin_dir, bool all)
{
	char path[600];

	if (!pin_dir)
		return;
	for (size_t i = 0; i < sizeof(pinned_maps) / sizeof(pinned_maps[0]); i++) {
		if (!all && is_kept(pinned_maps[i]))
			continue;
		snprintf(path, sizeof(path), "%s/%s", pin_dir, pinned_maps[i]);
		unlink(path);
	}
	if (all)
		rmdir(pin_dir);
}

/* --- load ---------------------------------------------------------------- */

static int fill_sinks(struct engine *engine, const struct engine_options *opt)
{
	int fd = bpf_map__fd(engine->skel->maps.sinks);

	for (uint32_t i = 0; i < opt->sink_count; i++)
		if (bpf_map_update_elem(fd, &i, &opt->sinks[i], BPF_ANY))
			return -errno;
	return 0;
}

/* Entry before exit: a trap that is seen must find someone to take it. */
static int attach(struct engine *engine)
{
	struct bpf_program *const programs[] = {
		engine->skel->progs.on_kvm_entry,
		engine->skel->progs.on_kvm_exit,
		engine->skel->progs.on_signal_generate,
	};

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		engine->links[i] = bpf_program__attach(programs[i]);
		if (!engine->links[i])
			return -errno;
	}
	return 0;
}

static int open_rings(struct engine *engine)
{
	struct epoll_event event = { .events = EPOLLIN };

	engine->records = ring_buffer__new(bpf_map__fd(engine->skel->maps.records),
					   engine_on_record, engine, NULL);
	engine->deferred = ring_buffer__new(bpf_map__fd(engine->skel->maps.deferred),
					    engine_on_deferred, engine, NULL);
	engine->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!engine->records || !engine->deferred || engine->epoll < 0 ||
	    epoll_ctl(engine->epoll, EPOLL_CTL_ADD, ring_buffer__epoll_fd(engine->records),
		      &event) ||
	    epoll_ctl(engine->epoll, EPOLL_CTL_ADD, ring_buffer__epoll_fd(engine->deferred),
		      &event))
		return -errno;
	return 0;
}

/* The sets are the hash maps that grow with what they hold, but for the readers' one. */
static void limit_sets(struct kvmtaint *skel, uint32_t objects)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, skel->obj)
		if (bpf_map__type(map) == BPF_MAP_TYPE_HASH && map != skel->maps.reader_slots &&
		    map != skel->maps.wires && bpf_map__map_flags(map) & BPF_F_NO_PREALLOC)
			bpf_map__set_max_entries(map, objects);
}

/* The maps and numbers of the engine before, into one that is not loaded yet. */
static int take_kept(struct kvmtaint *skel, const struct engine_kept *kept)
{
	int ret = 0;

	skel->bss->record_seq = kept->seq;
	skel->bss->overflow_labels[KT_KIND_FILE] = kept->overflow_labels;
	skel->bss->overflow_cause[KT_KIND_FILE] = kept->overflow_cause;
	/* Paths may name other files now: all verdicts are void. */
	skel->data->policy_epoch = kept->policy_epoch + 1;
	if (kept->files)
		ret = bpf_map__reuse_fd(skel->maps.files, kept->files);
	if (!ret && kept->counters)
		ret = bpf_map__reuse_fd(skel->maps.counters, kept->counters);
	return ret;
}

/*
 * Loads the engine with the maps that all VMs share; where that cannot be, with maps of
 * its own: then this VM is traced alone.
 */
static int load_shared(struct kvmtaint *skel, struct wires *wires)
{
	int alone = wires_load_begin(wires, skel->obj), ret = kvmtaint__load(skel), ended;

	ended = wires_load_end(wires, skel->obj, !ret);
	if (alone)
		fprintf(stderr,
			"kvmtaint: what this VM sends to other traced VMs is not followed: %s\n",
			alone == -EBUSY	   ? "64 are traced already"
			: alone == -EEXIST ? "they are traced by another version"
			: alone == -EWOULDBLOCK
				? "another kvmtaint that starts or ends does not go on"
				: strerror(-alone));
	if (ret || ended || alone)
		return ret ? ret : ended;
	skel->bss->wire_slot = wires->slot;
	skel->bss->wire_run = wires->run;
	skel->data->labels_used = wires_labels_used(wires);
	return 0;
}

/* Programs that write to the guest, or make it stand, are there only if a rule asks for it. */
static void choose_verdicts(struct kvmtaint *skel, const struct engine_options *opt)
{
	bool block = false, hold = opt->pause_on_spread;

	for (uint32_t i = 0; i < opt->sink_count; i++) {
		block |= opt->sinks[i].action == KT_VERDICT_BLOCKED;
		hold |= opt->sinks[i].action >= KT_VERDICT_BLOCKED;
	}
	skel->rodata->sink_count = opt->sink_count;
	skel->rodata->tell_allowed = opt->tell_allowed;
	skel->rodata->pause_on_spread = opt->pause_on_spread;
	skel->rodata->can_hold = hold;
	bpf_program__set_autoload(skel->progs.handle_block, block);
	bpf_program__set_autoload(skel->progs.handle_pause, hold);
	bpf_program__set_autoload(skel->progs.handle_freeze, hold);
	bpf_program__set_autoload(skel->progs.handle_bar, hold);
}

static void say_not_loaded(const struct kvmtaint *skel, int error, char *err, size_t err_len)
{
	/* The verifier's answer where bpf_probe_write_user() is not to be had: EINVAL. */
	if ((error == -EPERM || error == -EINVAL) &&
	    bpf_program__autoload(skel->progs.handle_block))
		snprintf(err, err_len,
			 "cannot load the BPF engine: %s; a host that lets no BPF program write"
			 " memory (lockdown) cannot block a send, but pause and report it",
			 strerror(-error));
	else
		snprintf(
			err, err_len,
			"cannot load the BPF engine: %s (run with --verbose for the verifier's words)",
			strerror(-error));
}

static int open_and_load(struct engine *engine, const struct engine_options *opt, char *err,
			 size_t err_len)
{
	LIBBPF_OPTS(bpf_object_open_opts, how, .btf_custom_path = opt->host_btf);
	struct kvmtaint *skel;
	int ret;

	skel = engine->skel = kvmtaint__open_opts(&how);
	if (!skel) {
		snprintf(err, err_len, "cannot open the BPF engine: %s", strerror(errno));
		return -errno;
	}
	describe_host(engine, opt->vm, opt->host_btf || cpu_has("svm"));
	skel->rodata->guest = opt->profile->guest;
	skel->bss->modules = profile_modules(opt->profile);
	skel->rodata->dfa_loaded = opt->dfa != NULL;
	for (uint32_t s = 0; opt->dfa && s < opt->dfa->states; s++)
		skel->rodata->all_labels |= opt->dfa->labels[s];
	skel->rodata->follow_arguments = opt->follow_arguments;
	skel->rodata->follow_terminals = opt->terminals;
	skel->rodata->trap_is_shim = opt->trap != TRAP_PATCH;
	skel->rodata->own_tgid = getpid();
	skel->rodata->system_calls = opt->trap == TRAP_SHIM;
	skel->rodata->ends_unseen = opt->trap != TRAP_PATCH;
	choose_handlers(skel, opt->trap, opt->profile);
	bpf_map__set_max_entries(skel->maps.dfa, opt->dfa ? opt->dfa->states : 1);
	if (opt->objects_max)
		limit_sets(skel, opt->objects_max);
	if (opt->readers_max) {
		bpf_map__set_max_entries(skel->maps.readers, opt->readers_max);
		bpf_map__set_max_entries(skel->maps.reader_slots, opt->readers_max);
		bpf_map__set_max_entries(skel->maps.free_slots, opt->readers_max);
	}
	choose_verdicts(skel, opt);
	if (!opt->vm) {
		bpf_program__set_autoload(skel->progs.on_kvm_entry, false);
		bpf_program__set_autoload(skel->progs.on_kvm_exit, false);
		bpf_program__set_autoload(skel->progs.on_signal_generate, false);
	}
	ret = opt->kept ? take_kept(skel, opt->kept) : 0;
	if (!ret)
		ret = opt->wires ? load_shared(skel, opt->wires) : kvmtaint__load(skel);
	if (ret)
		say_not_loaded(skel, ret, err, err_len);
	return ret;
}

static int set_up(struct engine *engine, const struct engine_options *opt, char *err,
		  size_t err_len)
{
	int ret = open_and_load(engine, opt, err, err_len);

	if (ret)
		return ret;
	if ((ret = fill_sites(engine, opt->trap, opt->profile)) || (ret = fill_handlers(engine)) ||
	    (ret = fill_dfa(engine, opt->dfa)) || (ret = fill_sinks(engine, opt)) ||
	    (ret = engine_set_cpus(engine, opt->profile->percpu_base)) ||
	    (!opt->vm && (ret = fill_memory(engine, opt->mem)))) {
		snprintf(err, err_len, "cannot fill the BPF engine's maps: %s", strerror(-ret));
		return ret;
	}
	ret = pin_maps(engine);
	if (ret) {
		snprintf(err, err_len, "cannot pin maps in %s: %s", engine->pin_dir,
			 strerror(-ret));
		return ret;
	}
	ret = open_rings(engine);
	if (ret) {
		snprintf(err, err_len, "cannot set up the ring buffers: %s", strerror(-ret));
		return ret;
	}
	ret = hold_open(engine);
	if (ret) {
		snprintf(err, err_len, "cannot map the table of vCPUs: %s", strerror(-ret));
		return ret;
	}
	if (!opt->vm)
		return 0;
	ret = guard_start(engine);
	if (ret) {
		snprintf(err, err_len, "cannot start the guard process: %s", strerror(-ret));
		return ret;
	}
	ret = attach(engine);
	if (ret)
		snprintf(err, err_len, "cannot attach to KVM's tracepoints: %s", strerror(-ret));
	return ret;
}

int engine_load(const struct engine_options *opt, struct engine **out, char *err, size_t err_len)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	int ret;

	if (!engine) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	engine->epoll = -1;
	engine->guard_pipe = -1;
	engine->pid = opt->vm ? opt->vm->pid : 0;
	engine->stop_if_orphaned = opt->stop_if_orphaned;
	if (opt->pin_dir)
		engine->pin_dir = strdup(opt->pin_dir);
	ret = set_up(engine, opt, err, err_len);
	if (ret) {
		engine_free(engine);
		return ret;
	}
	*out = engine;
	return 0;
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	for (size_t i = 0; i < sizeof(engine->links) / sizeof(engine->links[0]); i++)
		bpf_link__destroy(engine->links[i]);
	/* With no program left to stop the VM, let it go on if it waits. */
	if (engine->deferred)
		ring_buffer__consume(engine->deferred);
	guard_stop(engine);
	hold_close(engine);
	ring_buffer__free(engine->records);
	ring_buffer__free(engine->deferred);
	if (engine->epoll >= 0)
		close(engine->epoll);
	unpin_maps(engine->pin_dir, true);
	kvmtaint__destroy(engine->skel);
	free(engine->pin_dir);
	free(engine);
}

int engine_retire(struct engine *engine, struct engine_kept *kept)
{
	struct engine_kept next = {
		.files = dup(bpf_map__fd(engine->skel->maps.files)),
		.counters = dup(bpf_map__fd(engine->skel->maps.counters)),
	};
	int ret = next.files < 0 || next.counters < 0 ? -errno : 0;

	for (size_t i = 0; i < sizeof(engine->links) / sizeof(engine->links[0]); i++) {
		bpf_link__destroy(engine->links[i]);
		engine->links[i] = NULL;
	}
	next.seq = engine_next_seq(engine) - 1;
	next.overflow_labels = engine->skel->bss->overflow_labels[KT_KIND_FILE];
	next.overflow_cause = engine->skel->bss->overflow_cause[KT_KIND_FILE];
	next.policy_epoch = engine->skel->data->policy_epoch;
	if (!ret) {
		unpin_maps(engine->pin_dir, false);
		next.pin_dir = engine->pin_dir;
		engine->pin_dir = NULL;
	}
	engine_free(engine);
	free(kept->pin_dir);
	if (kept->files)
		close(kept->files);
	if (kept->counters)
		close(kept->counters);
	*kept = next;
	return ret;
}

void engine_kept_deinit(struct engine_kept *kept)
{
	if (kept->files)
		close(kept->files);
	if (kept->counters)
		close(kept->counters);
	unpin_maps(kept->pin_dir, true);
	free(kept->pin_dir);
	*kept = (struct engine_kept){};
}

int engine_map_fd(struct engine *engine, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(engine->skel->obj, name);

	return map ? bpf_map__fd(map) : -ENOENT;
}
