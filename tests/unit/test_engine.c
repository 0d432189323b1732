// SPDX-License-Identifier: GPL-2.0
/*
 * The BPF engine, run natively (BPF_PROG_TEST_RUN) over RAM images of real
 * guests: each test sends hooks through the engine as a vCPU would and looks at
 * the managed sets and the records. No VM and no lab are needed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "replay_world.h"

#define RECORDS_MAX 64

/* One image, one engine over it, and what its guest says of itself. */
struct stage {
	struct world world;
	const char *series;
	struct guest_mem *mem;
	struct guest_profile *profile;
	struct engine *engine;
	gva_t holder, bystander;
	struct kt_record records[RECORDS_MAX];
	size_t count;
	uint64_t fault; /* address of this process that the last hook could not read */
	bool taken; /* the world is no longer shared */
};

/* The number after "key=" in the image's facts; fails the test when absent. */
static uint64_t fact(const struct stage *w, const char *key)
{
	char value[64];

	if (!image_fact(w->series, key, value, sizeof(value)))
		fail_msg("no fact %s", key);
	return strtoull(value, NULL, 0);
}

/* --- the guest's memory --------------------------------------------------- */

static uint64_t word(const struct stage *w, uint64_t gva, size_t size)
{
	return peek(&w->world, gva, size);
}

/* Where this process has a guest byte mapped. */
static void *host_address(const struct stage *w, uint64_t gva)
{
	const struct kt_slot *slots;
	size_t count;
	gpa_t gpa;

	assert_int_equal(guest_translate(w->mem, &w->profile->guest, GVA(gva), &gpa), 0);
	slots = guest_mem_slots(w->mem, &count);
	assert_int_equal(count, 1);
	return (void *)(uintptr_t)(slots[0].hva + gpa.v);
}

/* Changes this process's private copy of the image. */
static void poke(const struct stage *w, uint64_t gva, const void *value, size_t size)
{
	uintptr_t at = (uintptr_t)host_address(w, gva);

	assert_int_equal(mprotect((void *)(at & ~4095UL), 8192, PROT_READ | PROT_WRITE), 0);
	memcpy((void *)at, value, size);
}

/* struct file behind a descriptor of the holder, by the name of its fact. */
static uint64_t holder_file(const struct stage *w, const char *name)
{
	return file_of(&w->world, w->series, w->holder.v, name);
}

static uint64_t holder_socket(const struct stage *w, const char *name)
{
	return word(w, holder_file(w, name) + w->profile->guest.file_private_data, 8);
}

static uint64_t sock_of(const struct stage *w, const char *name)
{
	return word(w, holder_socket(w, name) + w->profile->guest.socket_sk, 8);
}

/* --- running hooks --------------------------------------------------------- */

static int keep(void *ctx, const struct kt_record *record, size_t len)
{
	struct stage *w = ctx;

	assert_true(len <= sizeof(*record));
	assert_true(w->count < RECORDS_MAX);
	memset(&w->records[w->count], 0, sizeof(*record));
	memcpy(&w->records[w->count++], record, len);
	return 0;
}

/* Runs one hook with task as current, adding to the records; the enum kt_lost that came of it. */
static uint32_t once(struct stage *w, enum kt_hook hook, gva_t task, const uint64_t args[3])
{
	const struct kt_guest *g = &w->profile->guest;
	struct kt_deferred input = {
		.args = { args[0], args[1], args[2] },
		.site = w->profile->hooks[hook].site.v,
		/* A per-CPU base by which "current" is read from task->group_leader: itself. */
		.percpu_base = task.v + g->task_group_leader - g->sym_current_task,
	};

	assert_true(input.site);
	assert_int_equal(engine_replay(w->engine, &input, true), 0);
	assert_true(engine_drain(w->engine, keep, w) >= 0);
	w->fault = input.fault;
	return input.result;
}

/*
 * The same as the slow path does it: a page of the image that is not in memory
 * yet is brought in, but for the one that must stay absent.
 */
static uint32_t hook_without(struct stage *w, enum kt_hook hook, gva_t task, uint64_t a0,
			     uint64_t a1, uint64_t a2, uintptr_t absent)
{
	uint32_t result = 0;

	w->count = 0;
	for (int i = 0; i < 64; i++) {
		result = once(w, hook, task, (const uint64_t[3]){ a0, a1, a2 });
		if (result != KT_LOST_HOST_MEMORY || (w->fault & ~4095UL) == absent)
			break;
		(void)*(volatile char *)(uintptr_t)w->fault;
	}
	return result;
}

static uint32_t hook_result(struct stage *w, enum kt_hook hook, gva_t task, uint64_t a0,
			    uint64_t a1, uint64_t a2)
{
	return hook_without(w, hook, task, a0, a1, a2, 0);
}

static void hook(struct stage *w, enum kt_hook h, gva_t task, uint64_t a0, uint64_t a1, uint64_t a2)
{
	assert_int_equal(hook_result(w, h, task, a0, a1, a2), 0);
}

#define MAY_WRITE 2
#define MAY_READ  4

static void reads(struct stage *w, gva_t task, const char *file)
{
	hook(w, KT_HOOK_file_permission, task, holder_file(w, file), MAY_READ, 0);
}

static void writes(struct stage *w, gva_t task, const char *file)
{
	hook(w, KT_HOOK_file_permission, task, holder_file(w, file), MAY_WRITE, 0);
}

static uint64_t labels(struct stage *w, const char *set, uint64_t gva)
{
	return labels_of(&w->world, set, &gva);
}

static uint64_t process_labels(struct stage *w, gva_t task)
{
	return labels(w, "processes", word(w, task.v + w->profile->guest.task_signal, 8));
}

/* --- fixture --------------------------------------------------------------- */

static int set_up(void **state)
{
	struct stage *w = calloc(1, sizeof(*w));

	w->series = *state;
	*state = w;
	if (!world_open(&w->world, w->series))
		return 0;
	w->mem = w->world.mem;
	w->profile = w->world.profile;
	w->engine = w->world.engine;
	w->holder = GVA(w->world.holder);
	w->bystander = GVA(w->world.bystander);
	return 0;
}

static int tear_down(void **state)
{
	struct stage *w = *state;

	*state = (void *)w->series;
	if (w->taken) {
		w->world.engine = w->engine;
		world_free(&w->world);
	}
	free(w);
	return 0;
}

static struct stage *stage(void **state)
{
	struct stage *w = *state;

	if (!w->engine)
		skip();
	return w;
}

static void holder_knows(struct stage *w)
{
	reads(w, w->holder, "secret");
	assert_int_equal(process_labels(w, w->holder), 1);
}

/* --- tests ----------------------------------------------------------------- */

static void a_reader_of_a_named_file_becomes_managed(void **state)
{
	struct stage *w = stage(state);

	reads(w, w->holder, "secret");
	assert_int_equal(w->count, 2);
	assert_int_equal(w->records[0].type, KT_RECORD_SPREAD);
	assert_int_equal(w->records[0].flow, KT_FLOW_POLICY);
	assert_int_equal(w->records[0].target.kind, KT_KIND_FILE);
	assert_int_equal(w->records[0].target.ino, fact(w, "secret.ino"));
	assert_int_equal(w->records[0].path_len, strlen("/tmp/secret.txt"));
	assert_memory_equal(w->records[0].path, "/tmp/secret.txt", w->records[0].path_len);
	assert_int_equal(w->records[1].target.kind, KT_KIND_PROCESS);
	assert_int_equal(w->records[1].target.pid, fact(w, "holder.pid"));
	assert_int_equal(w->records[1].cause, w->records[0].seq);
	assert_int_equal(w->records[1].flow, KT_FLOW_READ);
	assert_int_equal(process_labels(w, w->holder), 1);
	reads(w, w->holder, "secret");
	assert_int_equal(w->count, 0);
}

static void a_clean_process_spreads_nothing(void **state)
{
	struct stage *w = stage(state);

	writes(w, w->bystander, "pipe_write");
	reads(w, w->bystander, "pipe_read");
	writes(w, w->bystander, "fifo");
	hook(w, KT_HOOK_socket_sendmsg, w->bystander, holder_socket(w, "tcp4_client"), 0, 10);
	hook(w, KT_HOOK_socket_recvmsg, w->bystander, holder_socket(w, "tcp4_server"), 0, 10);
	assert_int_equal(w->count, 0);
	assert_int_equal(process_labels(w, w->bystander), 0);
}

static void a_pipe_carries(void **state)
{
	struct stage *w = stage(state);

	holder_knows(w);
	writes(w, w->holder, "pipe_write");
	assert_int_equal(w->count, 1);
	assert_int_equal(w->records[0].target.kind, KT_KIND_PIPE);
	assert_int_equal(w->records[0].target.ino, fact(w, "pipe_read.ino"));
	reads(w, w->bystander, "pipe_read");
	assert_int_equal(w->count, 1);
	assert_int_equal(w->records[0].source.kind, KT_KIND_PIPE);
	assert_int_equal(process_labels(w, w->bystander), 1);
}

static void a_reader_that_waits_on_a_pipe_is_told(void **state)
{
	struct stage *w = stage(state);
	uint32_t one = 1;

	reads(w, w->bystander, "fifo");
	assert_int_equal(process_labels(w, w->bystander), 0);
	holder_knows(w);
	/* It runs on another CPU: whatever it did last, it may be in the read. */
	poke(w, w->bystander.v + w->profile->guest.task_on_cpu, &one, sizeof(one));
	writes(w, w->holder, "fifo");
	assert_int_equal(w->count, 2);
	assert_int_equal(w->records[1].target.kind, KT_KIND_PROCESS);
	assert_int_equal(w->records[1].target.pid, fact(w, "bystander.pid"));
	assert_int_equal(w->records[1].cause, w->records[0].seq);
	assert_int_equal(process_labels(w, w->bystander), 1);
}

static void a_thread_that_exited_is_no_reader(void **state)
{
	struct stage *w = stage(state);
	uint32_t one = 1;

	reads(w, w->bystander, "fifo");
	poke(w, w->bystander.v + w->profile->guest.task_on_cpu, &one, sizeof(one));
	hook(w, KT_HOOK_task_exit, w->bystander, w->bystander.v, 1, 0);
	holder_knows(w);
	writes(w, w->holder, "fifo");
	assert_int_equal(w->count, 1);
	assert_int_equal(process_labels(w, w->bystander), 0);
}

static void unix_stream_goes_to_its_peer(void **state)
{
	struct stage *w = stage(state);

	holder_knows(w);
	hook(w, KT_HOOK_socket_sendmsg, w->holder, holder_socket(w, "unix_stream_0"), 0, 10);
	assert_int_equal(labels(w, "sockets", sock_of(w, "unix_stream_1")), 1);
	assert_int_equal(labels(w, "sockets", sock_of(w, "unix_stream_0")), 0);
	hook(w, KT_HOOK_socket_recvmsg, w->bystander, holder_socket(w, "unix_stream_1"), 0, 10);
	assert_int_equal(process_labels(w, w->bystander), 1);
	assert_int_equal(w->records[0].source.kind, KT_KIND_SOCKET);
	assert_int_equal(w->records[0].source.ino, fact(w, "unix_stream_1.ino"));
}

static void unix_datagram_goes_where_the_kernel_asks(void **state)
{
	struct stage *w = stage(state);

	holder_knows(w);
	hook(w, KT_HOOK_unix_may_send, w->holder, holder_socket(w, "unix_dgram_0"),
	     holder_socket(w, "unix_named"), 0);
	assert_int_equal(labels(w, "sockets", sock_of(w, "unix_named")), 1);
	assert_int_equal(w->records[0].target.family, 1);
	assert_true(w->records[0].target.name_len > 0);
}

static void tcp_finds_the_receiver(void **state, const char *client, const char *server)
{
	struct stage *w = stage(state);

	holder_knows(w);
	hook(w, KT_HOOK_socket_sendmsg, w->holder, holder_socket(w, client), 0, 10);
	assert_int_equal(labels(w, "sockets", sock_of(w, server)), 1);
	assert_int_equal(w->count, 1);
	assert_int_equal(w->records[0].type, KT_RECORD_SPREAD);
	/* And the way back, with the route now known. */
	hook(w, KT_HOOK_socket_sendmsg, w->holder, holder_socket(w, server), 0, 10);
	assert_int_equal(labels(w, "sockets", sock_of(w, client)), 1);
	hook(w, KT_HOOK_socket_sendmsg, w->holder, holder_socket(w, client), 0, 10);
	assert_int_equal(w->count, 0);
}

static void tcp4_on_loopback_finds_the_receiver(void **state)
{
	tcp_finds_the_receiver(state, "tcp4_client", "tcp4_server");
}

static void tcp6_on_loopback_finds_the_receiver(void **state)
{
	tcp_finds_the_receiver(state, "tcp6_client", "tcp6_server");
}

static void udp_on_loopback_finds_the_receiver(void **state)
{
	struct stage *w = stage(state);

	holder_knows(w);
	hook(w, KT_HOOK_socket_sendmsg, w->holder, holder_socket(w, "udp_connected"), 0, 10);
	assert_int_equal(labels(w, "sockets", sock_of(w, "udp_bound")), 1);
	assert_int_equal(w->count, 1);
	/* And again, now by the one bucket that the port is hashed to. */
	hook(w, KT_HOOK_sk_free, w->holder, sock_of(w, "udp_bound"), 0, 0);
	assert_int_equal(labels(w, "sockets", sock_of(w, "udp_bound")), 0);
	hook(w, KT_HOOK_socket_sendmsg, w->holder, holder_socket(w, "udp_connected"), 0, 10);
	assert_int_equal(labels(w, "sockets", sock_of(w, "udp_bound")), 1);
}

/* Address translation changes what a sender is told, but no sequence number. */
static void tcp_finds_the_receiver_behind_a_translation(void **state)
{
	struct stage *w = stage(state);
	static const uint8_t address[4] = { 203, 0, 113, 9 };
	uint64_t sk = sock_of(w, "tcp4_client");

	poke(w, sk + w->profile->guest.skc_daddr, address, sizeof(address));
	holder_knows(w);
	hook(w, KT_HOOK_socket_sendmsg, w->holder, holder_socket(w, "tcp4_client"), 0, 77);
	assert_int_equal(labels(w, "sockets", sock_of(w, "tcp4_server")), 1);
	assert_int_equal(w->count, 1);
}

/* Gives a socket sequence numbers that no other end has. */
static void talks_to_nobody_here(struct stage *w, uint64_t sk)
{
	const struct kt_guest *g = &w->profile->guest;
	uint32_t una = (uint32_t)word(w, sk + g->tcp_snd_una, 4) + (1U << 30);

	poke(w, sk + g->tcp_snd_una, &una, sizeof(una));
	poke(w, sk + g->tcp_snd_nxt, &una, sizeof(una));
}

/* Destination address translation took the connection away from this host. */
static void tcp_to_this_host_without_a_receiver_is_unresolved(void **state)
{
	struct stage *w = stage(state);

	talks_to_nobody_here(w, sock_of(w, "tcp4_client"));
	holder_knows(w);
	for (int i = 0; i < 2; i++) {
		hook(w, KT_HOOK_socket_sendmsg, w->holder, holder_socket(w, "tcp4_client"), 0, 77);
		assert_int_equal(w->count, 1);
		assert_int_equal(w->records[0].type, KT_RECORD_LEAK);
		assert_int_equal(w->records[0].leak_kind, KT_LEAK_UNRESOLVED);
	}
	assert_int_equal(labels(w, "sockets", sock_of(w, "tcp4_server")), 0);
}

static void tcp_to_another_machine_is_a_leak(void **state)
{
	struct stage *w = stage(state);
	static const uint8_t address[4] = { 203, 0, 113, 9 };
	uint64_t sk = sock_of(w, "tcp4_client");

	poke(w, sk + w->profile->guest.skc_daddr, address, sizeof(address));
	talks_to_nobody_here(w, sk);
	holder_knows(w);
	for (int i = 0; i < 2; i++) {
		hook(w, KT_HOOK_socket_sendmsg, w->holder, holder_socket(w, "tcp4_client"), 0, 77);
		assert_int_equal(w->count, 1);
		assert_int_equal(w->records[0].type, KT_RECORD_LEAK);
		assert_int_equal(w->records[0].leak_kind, KT_LEAK_REMOTE);
		assert_int_equal(w->records[0].bytes, 77);
		assert_int_equal(w->records[0].target.remote.port, fact(w, "tcp4_server.port"));
		assert_memory_equal(w->records[0].target.remote.address, address, 4);
		assert_int_equal(w->records[0].target.local.port, fact(w, "tcp4_client.port"));
	}
}

static void loopback_without_a_receiver_is_unresolved(void **state)
{
	struct stage *w = stage(state);
	uint64_t sk = sock_of(w, "udp_connected");
	uint16_t port = htobe16(9);

	poke(w, sk + w->profile->guest.skc_dport, &port, sizeof(port));
	holder_knows(w);
	hook(w, KT_HOOK_socket_sendmsg, w->holder, holder_socket(w, "udp_connected"), 0, 10);
	assert_int_equal(w->count, 1);
	assert_int_equal(w->records[0].type, KT_RECORD_LEAK);
	assert_int_equal(w->records[0].leak_kind, KT_LEAK_UNRESOLVED);
}

static void a_child_inherits_and_leaves_at_exit(void **state)
{
	struct stage *w = stage(state);

	hook(w, KT_HOOK_task_new, w->holder, w->bystander.v, 0, 0);
	assert_int_equal(process_labels(w, w->bystander), 0);
	holder_knows(w);
	hook(w, KT_HOOK_task_new, w->holder, w->bystander.v, 0, 0);
	assert_int_equal(process_labels(w, w->bystander), 1);
	assert_int_equal(w->records[0].flow, KT_FLOW_FORK);
	/* A thread that is not the last leaves its process where it is. */
	hook(w, KT_HOOK_task_exit, w->bystander, w->bystander.v, 0, 0);
	assert_int_equal(process_labels(w, w->bystander), 1);
	hook(w, KT_HOOK_task_exit, w->bystander, w->bystander.v, 1, 0);
	assert_int_equal(process_labels(w, w->bystander), 0);
	assert_int_equal(w->records[0].type, KT_RECORD_GONE);
}

static void a_new_process_at_an_old_address_is_clean(void **state)
{
	struct stage *w = stage(state);

	holder_knows(w);
	hook(w, KT_HOOK_task_new, w->bystander, w->holder.v, 0, 0);
	assert_int_equal(process_labels(w, w->holder), 0);
}

static void released_sockets_and_pipes_leave(void **state)
{
	struct stage *w = stage(state);
	uint64_t pipe =
		word(w, holder_file(w, "pipe_read") + w->profile->guest.file_private_data, 8);

	holder_knows(w);
	writes(w, w->holder, "pipe_write");
	assert_int_equal(labels(w, "pipes", pipe), 1);
	hook(w, KT_HOOK_pipe_free, w->holder, pipe, 0, 0);
	assert_int_equal(labels(w, "pipes", pipe), 0);
	assert_int_equal(w->records[0].type, KT_RECORD_GONE);
	hook(w, KT_HOOK_socket_sendmsg, w->holder, holder_socket(w, "unix_stream_0"), 0, 10);
	hook(w, KT_HOOK_sk_free, w->holder, sock_of(w, "unix_stream_1"), 0, 0);
	assert_int_equal(labels(w, "sockets", sock_of(w, "unix_stream_1")), 0);
	assert_int_equal(w->records[0].type, KT_RECORD_GONE);
}

static void what_was_open_before_attach_counts(void **state)
{
	struct stage *w = stage(state);

	assert_int_equal(engine_before_attach(w->engine, w->bystander,
					      GVA(holder_file(w, "secret")), false, true),
			 0);
	assert_int_equal(process_labels(w, w->bystander), 1);
}

static void a_wild_guest_pointer_is_said_not_followed(void **state)
{
	struct stage *w = stage(state);

	assert_int_equal(hook_result(w, KT_HOOK_file_permission, w->holder, 0xdead000000000000ULL,
				     MAY_READ, 0),
			 KT_LOST_GUEST_MEMORY);
	assert_int_equal(hook_result(w, KT_HOOK_socket_recvmsg, w->holder, 0xffffffffffffff00ULL, 0,
				     0),
			 KT_LOST_GUEST_MEMORY);
}

static void a_page_that_is_not_there_asks_for_the_slow_path(void **state)
{
	struct stage *w = stage(state);
	uint64_t file = holder_file(w, "secret");
	void *page = (void *)((uintptr_t)host_address(w, file) & ~4095UL);

	assert_int_equal(mprotect(page, 4096, PROT_NONE), 0);
	assert_int_equal(hook_without(w, KT_HOOK_file_permission, w->holder, file, MAY_READ, 0,
				      (uintptr_t)page),
			 KT_LOST_HOST_MEMORY);
	assert_int_equal(process_labels(w, w->holder), 0);
	assert_int_equal(mprotect(page, 4096, PROT_READ), 0);
	hook(w, KT_HOOK_file_permission, w->holder, file, MAY_READ, 0);
	assert_int_equal(process_labels(w, w->holder), 1);
}

/* Runs file_permission on the CPU with this APIC id, of which the engine was not told. */
static uint32_t reads_on_new_cpu(struct stage *w, uint32_t apic_id)
{
	struct kt_deferred input = {
		.args = { holder_file(w, "secret"), MAY_READ },
		.site = w->profile->hooks[KT_HOOK_file_permission].site.v,
		.vcpu = apic_id,
	};

	for (int i = 0; i < 64; i++) {
		assert_int_equal(engine_replay(w->engine, &input, true), 0);
		if (input.result != KT_LOST_HOST_MEMORY)
			break;
		(void)*(volatile char *)(uintptr_t)input.fault;
	}
	w->count = 0;
	assert_true(engine_drain(w->engine, keep, w) >= 0);
	return input.result;
}

static void a_new_cpu_is_found_in_the_guests_own_table(void **state)
{
	struct stage *w = stage(state);
	const struct kt_guest *g = &w->profile->guest;
	gva_t spinner = { 0 };
	char comm[KT_COMM_LEN];

	for (uint32_t id = 0; id < KT_VCPUS_MAX; id++) {
		if (!w->profile->percpu_base[id])
			continue;
		spinner = GVA(word(w, w->profile->percpu_base[id] + g->sym_current_task, 8));
		assert_int_equal(guest_read(w->mem, g, GVA(spinner.v + g->task_comm), comm,
					    sizeof(comm)),
				 0);
		if (strcmp(comm, "spinner"))
			continue;
		assert_int_equal(reads_on_new_cpu(w, id), 0);
		assert_int_equal(process_labels(w, spinner), 1);
		assert_int_equal(reads_on_new_cpu(w, 77), KT_LOST_GUEST_MEMORY);
		return;
	}
	fail_msg("no CPU runs the spinner");
}

/* The next kernel's engine has no policy here: the file is managed by what was kept alone. */
static void of_a_guest_kernel_only_the_files_stay_managed(void **state)
{
	struct stage *w = stage(state);
	struct engine_kept kept = {};
	struct engine_options opt = { .profile = w->profile, .mem = w->mem, .kept = &kept };
	uint64_t named, last, counters[KT_COUNT_MAX];
	char err[512] = "";

	reads(w, w->holder, "secret");
	named = w->records[0].seq;
	writes(w, w->holder, "pipe_write");
	last = w->records[w->count - 1].seq;
	world_take();
	w->taken = true;
	assert_int_equal(engine_retire(w->engine, &kept), 0);
	assert_int_equal(kept.seq, last);
	w->engine = NULL;
	if (engine_load(&opt, &w->engine, err, sizeof(err)))
		fail_msg("%s", err);
	w->world.engine = w->engine;
	assert_int_equal(process_labels(w, w->holder), 0);
	reads(w, w->bystander, "pipe_read");
	assert_int_equal(w->count, 0);
	reads(w, w->bystander, "secret");
	assert_int_equal(process_labels(w, w->bystander), 1);
	assert_int_equal(w->count, 1);
	assert_int_equal(w->records[0].seq, last + 1);
	assert_int_equal(w->records[0].cause, named);
	assert_int_equal(engine_counters(w->engine, counters), 0);
	assert_true(counters[KT_COUNT_RECORDS] > last);
	engine_kept_deinit(&kept);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST(a_reader_of_a_named_file_becomes_managed),
		TEST(a_clean_process_spreads_nothing),
		TEST(a_pipe_carries),
		TEST(a_reader_that_waits_on_a_pipe_is_told),
		TEST(a_thread_that_exited_is_no_reader),
		TEST(unix_stream_goes_to_its_peer),
		TEST(unix_datagram_goes_where_the_kernel_asks),
		TEST(tcp4_on_loopback_finds_the_receiver),
		TEST(tcp6_on_loopback_finds_the_receiver),
		TEST(udp_on_loopback_finds_the_receiver),
		TEST(tcp_finds_the_receiver_behind_a_translation),
		TEST(tcp_to_this_host_without_a_receiver_is_unresolved),
		TEST(tcp_to_another_machine_is_a_leak),
		TEST(loopback_without_a_receiver_is_unresolved),
		TEST(a_child_inherits_and_leaves_at_exit),
		TEST(a_new_process_at_an_old_address_is_clean),
		TEST(released_sockets_and_pipes_leave),
		TEST(what_was_open_before_attach_counts),
		TEST(a_wild_guest_pointer_is_said_not_followed),
		TEST(a_page_that_is_not_there_asks_for_the_slow_path),
		TEST(a_new_cpu_is_found_in_the_guests_own_table),
		TEST(of_a_guest_kernel_only_the_files_stay_managed),
	};

	return run_on_all_images("engine", tests, sizeof(tests) / sizeof(tests[0]));
}
