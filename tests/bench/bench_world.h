/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The engine whole, on this machine: its programs for kvm_exit and kvm_entry, as they are
 * attached on a host, over the RAM image of a real guest. What the machine lacks, a
 * vCPU that left its guest at a trap, is made up: the engine's own idea of an AMD
 * host's types (bpf/host.bpf.h) stands for the host's, and a few words of a BPF map
 * for its struct kvm_vcpu and struct vmcb. All of it is in the cache; a host's may not be.
 */
#ifndef KVMTAINT_BENCH_WORLD_H
#define KVMTAINT_BENCH_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <bpf/btf.h>

#include "bench.h"
#include "bench.skel.h"
#include "tests/unit/replay_world.h"

#define SERIES	      "6.12"
#define HOST_TYPES    ".output/kvmtaint.bpf.o"
#define SVM_EXIT_INVD 0x76
#define SVM_EXIT_IO   0x7b
/* Words of bench.host at which its structures lie. */
#define AT_VCPU	    0
#define AT_VMCB	    64
#define AT_KVM	    96
#define AT_MEMSLOTS 112
#define AT_SLOT	    128

struct bench_world {
	struct world w;
	struct bench_bpf *skel;
	struct btf *types;
	struct bench *bench; /* shared with the programs */
	uint64_t vcpu; /* where the made-up one lies in the kernel */
};

#define die(...)                                                                                   \
	do {                                                                                       \
		fprintf(stderr, "bench: " __VA_ARGS__);                                            \
		fputc('\n', stderr);                                                               \
		exit(1);                                                                           \
	} while (0)

/* Byte offset of a member of one of the host's structures. */
static inline uint32_t offset_of(const struct btf *types, const char *type, const char *member)
{
	int id = btf__find_by_name_kind(types, type, BTF_KIND_STRUCT);
	const struct btf_type *t = id > 0 ? btf__type_by_id(types, id) : NULL;

	for (int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(types, btf_members(t)[i].name_off), member))
			return btf_member_bit_offset(t, i) / 8;
	die("no %s.%s in " HOST_TYPES, type, member);
}

static inline void host_set(struct bench_world *b, uint32_t at, uint32_t byte, uint64_t value,
			    size_t size)
{
	memcpy((char *)&b->bench->host[at] + byte, &value, size);
}

static inline void run_program(const struct bpf_program *prog, uint64_t vcpu)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &vcpu, .ctx_size_in = sizeof(vcpu));

	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &opts))
		die("cannot run %s: %s", bpf_program__name(prog), strerror(errno));
}

/* A vCPU of a VM with one memslot. */
static inline void make_up_host(struct bench_world *b)
{
	uint32_t vcpu = offset_of(b->types, "vcpu_svm", "vcpu"), arch, slot;
	uint64_t at;

	b->skel = bench_bpf__open_and_load();
	if (!b->skel)
		die("cannot load tests/bench/bench.bpf.c: %s", strerror(errno));
	b->bench = &b->skel->bss->bench;
	run_program(b->skel->progs.where, 0);
	at = b->bench->host_address;
	b->vcpu = at + AT_VCPU * 8;
	arch = vcpu + offset_of(b->types, "kvm_vcpu", "arch");
	b->bench->regs_at = AT_VCPU + (arch + offset_of(b->types, "kvm_vcpu_arch", "regs")) / 8;
	/* As hosts from 7.2 have it. */
	b->bench->rip_at = AT_VCPU + (arch + offset_of(b->types, "kvm_vcpu_arch___rip", "rip")) / 8;
	b->bench->gs_base_at = AT_VMCB + (offset_of(b->types, "vmcb", "save") +
					  offset_of(b->types, "vmcb_save_area", "gs") +
					  offset_of(b->types, "vmcb_seg", "base")) /
						 8;
	host_set(b, AT_VCPU, vcpu + offset_of(b->types, "kvm_vcpu", "kvm"), at + AT_KVM * 8, 8);
	host_set(b, AT_VCPU, offset_of(b->types, "vcpu_svm", "vmcb"), at + AT_VMCB * 8, 8);
	host_set(b, AT_KVM, offset_of(b->types, "kvm", "memslots"), at + AT_MEMSLOTS * 8, 8);
	slot = AT_SLOT * 8 + offset_of(b->types, "kvm_memory_slot", "gfn_node");
	host_set(b, AT_MEMSLOTS, offset_of(b->types, "kvm_memslots", "gfn_tree"), at + slot, 8);
	host_set(b, AT_MEMSLOTS, offset_of(b->types, "kvm_memslots", "generation"), 2, 8);
}

static inline void make_up_memory(struct bench_world *b)
{
	size_t count;
	const struct kt_slot *slots = guest_mem_slots(b->w.mem, &count);
	const char *type = "kvm_memory_slot";

	host_set(b, AT_SLOT, offset_of(b->types, type, "base_gfn"), slots[0].gfn, 8);
	host_set(b, AT_SLOT, offset_of(b->types, type, "npages"), slots[0].npages, 8);
	host_set(b, AT_SLOT, offset_of(b->types, type, "userspace_addr"), slots[0].hva, 8);
}

/* Why the vCPU left its guest. */
static inline void exit_reason(struct bench_world *b, uint32_t code)
{
	host_set(b, AT_VMCB,
		 offset_of(b->types, "vmcb", "control") +
			 offset_of(b->types, "vmcb_control_area", "exit_code"),
		 code, 4);
}

static inline void programs_are(struct bench_world *b, int on_exit, int on_entry)
{
	const int fds[BENCH_PROGRAMS] = { bpf_program__fd(b->skel->progs.nothing), on_exit,
					  on_entry };

	for (uint32_t i = 0; i < BENCH_PROGRAMS; i++)
		if (bpf_map_update_elem(bpf_map__fd(b->skel->maps.programs), &i, &fds[i], BPF_ANY))
			die("cannot fill the map of programs: %s", strerror(errno));
}

static inline void bench_world_open(struct bench_world *b, uint32_t objects)
{
	static struct vm_info vm;

	b->types = btf__parse(HOST_TYPES, NULL);
	if (!b->types)
		die("no types in " HOST_TYPES ": %s", strerror(errno));
	make_up_host(b);
	vm.pid = vm.tgid = getpid();
	vm.kvm = b->bench->host[AT_VCPU + offset_of(b->types, "kvm_vcpu", "kvm") / 8];
	b->w.objects_max = objects;
	b->w.vm = &vm;
	b->w.host_btf = HOST_TYPES;
	world_load(&b->w, SERIES);
	make_image_fresh(&b->w);
	make_tasks(&b->w);
	make_up_memory(b);
	exit_reason(b, SVM_EXIT_INVD);
	programs_are(b, bpf_program__fd(b->w.engine->skel->progs.on_kvm_exit),
		     bpf_program__fd(b->w.engine->skel->progs.on_kvm_entry));
}

/* --- events ----------------------------------------------------------------- */

#define CLEAN	0 /* tasks: BENCH_BATCH of these, as many managed ones, and children */
#define MANAGED 16
#define CHILD	32
#define LABEL	1

static inline void event(struct bench_world *b, int i, enum kt_hook hook, uint32_t who, uint64_t a0,
			 uint64_t a1, uint64_t a2)
{
	const struct guest_profile *p = b->w.profile;

	if (!p->hooks[hook].site.v)
		die("this guest has no hook %d", hook);
	b->bench->input[i] = (struct bench_event){
		.rip = p->hooks[hook].site.v + 5,
		/* By which "current" is read from the task's group_leader: itself. */
		.gs_base =
			task(&b->w, who) + p->guest.task_group_leader - p->guest.sym_current_task,
		.args = { a0, a1, a2 },
	};
}

static inline void manage_with(struct bench_world *b, const char *set, const void *key)
{
	struct {
		struct kt_managed managed;
		uint32_t judged_epoch;
		char rest[256];
	} value = { .managed = { .labels = LABEL, .told = LABEL, .own = LABEL, .since_ns = 1 },
		    .judged_epoch = b->w.engine->skel->data->policy_epoch };

	if (bpf_map_update_elem(engine_map_fd(b->w.engine, set), key, &value, BPF_ANY))
		die("cannot manage one of %s: %s", set, strerror(errno));
}

static inline uint64_t image_socket(struct bench_world *b, const char *name)
{
	struct world *w = &b->w;

	return peek(w, file_of(w, SERIES, w->holder, name) + w->profile->guest.file_private_data,
		    8);
}

/* Changes this process's private copy of the image. */
static inline void poke(struct bench_world *b, uint64_t gva, const void *value, size_t size)
{
	const struct kt_slot *slots;
	size_t count;
	uintptr_t at;
	gpa_t gpa;

	if (guest_translate(b->w.mem, &b->w.profile->guest, GVA(gva), &gpa))
		die("the image has no page at %#lx", gva);
	slots = guest_mem_slots(b->w.mem, &count);
	at = slots[0].hva + gpa.v;
	if (mprotect((void *)(at & ~4095UL), 8192, PROT_READ | PROT_WRITE))
		die("mprotect: %s", strerror(errno));
	memcpy((void *)at, value, size);
}

static inline uint64_t counter(struct bench_world *b, enum kt_counter which)
{
	uint64_t all[KT_COUNT_MAX];

	if (engine_counters(b->w.engine, all))
		die("cannot read the counters");
	return all[which];
}

/* A connection to another machine, as test_engine has it; returns its struct socket. */
static inline uint64_t remote_connection(struct bench_world *b)
{
	static const uint8_t address[4] = { 203, 0, 113, 9 };
	const struct kt_guest *g = &b->w.profile->guest;
	uint64_t socket = image_socket(b, "tcp4_client");
	uint64_t sk = peek(&b->w, socket + g->socket_sk, 8);
	uint32_t una = peek(&b->w, sk + g->tcp_snd_una, 4) + (1U << 30);

	poke(b, sk + g->skc_daddr, address, sizeof(address));
	poke(b, sk + g->tcp_snd_una, &una, sizeof(una));
	poke(b, sk + g->tcp_snd_nxt, &una, sizeof(una));
	return socket;
}

/* All of the image into memory: an absent page would stop this process, as it would a VMM. */
static inline void touch_image(struct bench_world *b)
{
	size_t count;
	const struct kt_slot *slots = guest_mem_slots(b->w.mem, &count);

	for (uint64_t page = 0; page < slots[0].npages; page++)
		(void)*(volatile char *)(uintptr_t)(slots[0].hva + page * 4096);
}

/* BENCH_BATCH managed processes. */
static inline void manage_processes(struct bench_world *b)
{
	for (uint32_t n = MANAGED; n < MANAGED + BENCH_BATCH; n++) {
		uint64_t signal = signal_of(&b->w, n);

		manage_with(b, "processes", &signal);
	}
}

#endif
