// SPDX-License-Identifier: GPL-2.0
/*
 * Two VMs, each with an engine of its own, natively over two copies of one RAM image:
 * one end of its connections sends in VM "a", the other receives in VM "b".
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "replay_world.h"

#define MAY_READ      4
#define TCP_TIME_WAIT 6 /* include/net/tcp_states.h */
#define KEPT_MAX      64
#define PID_A	      1001
#define PID_B	      1002
#define OUTSIDE	      0x097100cbU /* 203.0.113.9, as in memory */

struct vm {
	struct world w;
	struct wires wires;
	const char *series;
	struct kt_record records[KEPT_MAX]; /* since the last look */
	size_t count;
	struct engine_snapshot loaded;
};

static struct pair {
	struct vm a, b;
	const char *series;
	uint32_t room;
	bool spent; /* one has left */
	char dir[64];
} * pair;

static const char *series_list[] = { "5.10", "6.1", "6.12", "6.18", "7" };

/* --- a guest --------------------------------------------------------------- */

/* Changes this process's private copy of an image. */
static void poke(struct vm *vm, uint64_t gva, uint64_t value, size_t size)
{
	memcpy(private_byte(&vm->w, gva), &value, size);
}

static uint64_t socket_of(struct vm *vm, const char *name)
{
	return holders_socket(&vm->w, vm->series, name);
}

static uint64_t sock_of(struct vm *vm, const char *name)
{
	return peek(&vm->w, socket_of(vm, name) + vm->w.profile->guest.socket_sk, 8);
}

static int keep(void *ctx, const struct kt_record *record, size_t len)
{
	struct vm *vm = ctx;

	assert_true(len >= offsetof(struct kt_record, path));
	if (vm->count < KEPT_MAX)
		memcpy(&vm->records[vm->count++], record, offsetof(struct kt_record, path));
	return 0;
}

static void hook(struct vm *vm, enum kt_hook which, uint64_t current, uint64_t a0, uint64_t a1)
{
	assert_int_equal(run_hook(&vm->w, 0, which, current, a0, a1), 0);
	vm->count = 0;
	assert_true(engine_drain(vm->w.engine, keep, vm) >= 0);
}

static void reads(struct vm *vm, uint64_t current, const char *file)
{
	hook(vm, KT_HOOK_file_permission, current, file_of(&vm->w, vm->series, vm->w.holder, file),
	     MAY_READ);
}

static void sends(struct vm *vm, const char *socket)
{
	hook(vm, KT_HOOK_socket_sendmsg, vm->w.holder, socket_of(vm, socket), 0);
}

static void receives(struct vm *vm, uint64_t current, const char *socket)
{
	hook(vm, KT_HOOK_socket_recvmsg, current, socket_of(vm, socket), 0);
}

static uint64_t process_labels(struct vm *vm, uint64_t at)
{
	uint64_t signal = peek(&vm->w, at + vm->w.profile->guest.task_signal, 8);

	return labels_of(&vm->w, "processes", &signal);
}

static uint64_t socket_labels(struct vm *vm, const char *name)
{
	uint64_t sk = sock_of(vm, name);

	return labels_of(&vm->w, "sockets", &sk);
}

/* The record of this type and flow among the last; fails the test where there is none. */
static const struct kt_record *the(struct vm *vm, enum kt_record_type type, enum kt_flow flow)
{
	for (size_t i = 0; i < vm->count; i++)
		if (vm->records[i].type == type &&
		    (type != KT_RECORD_SPREAD || vm->records[i].flow == flow))
			return &vm->records[i];
	fail_msg("no record of type %d", type);
	return NULL;
}

/* Its other end is not in this guest any more. */
static void is_elsewhere(struct vm *vm, const char *name)
{
	poke(vm, sock_of(vm, name) + vm->w.profile->guest.skc_state, TCP_TIME_WAIT, 1);
}

/* --- two of them ------------------------------------------------------------ */

static void start(struct pair *p, struct vm *vm, pid_t pid, const char *name)
{
	vm->series = p->series;
	vm->wires.dir = p->dir;
	vm->wires.pid = pid;
	vm->wires.name = name;
	vm->w.wires = &vm->wires;
	world_load(&vm->w, p->series);
}

static void stop(struct vm *vm)
{
	snapshot_free(&vm->loaded);
	world_free(&vm->w);
	wires_leave(&vm->wires);
}

static void part(struct pair *p)
{
	if (!p)
		return;
	stop(&p->b);
	stop(&p->a);
	/* The last one takes everything along. */
	assert_int_equal(access(p->dir, F_OK), -1);
	free(p);
}

static struct pair *load(const char *series, const char *rule_b, uint32_t room)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct statfs fs;

	assert_non_null(p);
	if (statfs("/sys/fs/bpf", &fs) || fs.f_type != BPF_FS_MAGIC)
		assert_int_equal(mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700"), 0);
	snprintf(p->dir, sizeof(p->dir), "/sys/fs/bpf/kvmtaint-test-%d", getpid());
	p->series = series;
	p->room = p->a.wires.max = room;
	p->b.w.rule = rule_b;
	start(p, &p->a, PID_A, "a");
	start(p, &p->b, PID_B, "b");
	snapshot_take(&p->a.loaded, p->a.w.engine);
	snapshot_take(&p->b.loaded, p->b.w.engine);
	return p;
}

/* Two VMs in which nothing has happened; tests share what was loaded. */
static struct pair *pair_of(void **state, const char *rule_b, uint32_t room)
{
	if (access(image_path(*state, "ram.raw"), R_OK))
		skip();
	if (pair && !pair->spent && pair->series == *state && pair->b.w.rule == rule_b &&
	    pair->room == room) {
		snapshot_restore(&pair->a.loaded, pair->a.w.engine);
		snapshot_restore(&pair->b.loaded, pair->b.w.engine);
	} else {
		part(pair);
		pair = load(*state, rule_b, room);
	}
	make_image_fresh(&pair->a.w);
	make_image_fresh(&pair->b.w);
	/* What is sent in a is received in b alone. */
	is_elsewhere(&pair->a, "tcp4_server");
	is_elsewhere(&pair->a, "tcp6_server");
	return pair;
}

static void a_knows(struct pair *p)
{
	reads(&p->a, p->a.w.holder, "secret");
	assert_int_equal(process_labels(&p->a, p->a.w.holder), 1);
}

static void a_connection_brings_labels_and_its_leak_as_cause(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);
	const struct kt_record *wire;
	uint64_t leak, bystander = p->b.w.bystander;

	a_knows(p);
	sends(&p->a, "tcp4_client");
	leak = the(&p->a, KT_RECORD_LEAK, 0)->seq;
	receives(&p->b, bystander, "tcp4_server");
	assert_int_equal(socket_labels(&p->b, "tcp4_server"), 1);
	assert_int_equal(process_labels(&p->b, bystander), 1);
	wire = the(&p->b, KT_RECORD_SPREAD, KT_FLOW_WIRE);
	assert_int_equal(wire->source.kind, KT_KIND_VM);
	assert_int_equal(wire->source.pid, PID_A);
	assert_string_equal(wire->source.name, "a");
	assert_int_equal(wire->source.ino, leak);
	assert_int_equal(wire->cause, 0);
	assert_int_equal(the(&p->b, KT_RECORD_SPREAD, KT_FLOW_RECEIVE)->cause, wire->seq);
	/* Once is enough. */
	receives(&p->b, bystander, "tcp4_server");
	assert_int_equal(p->b.count, 0);
}

/* Who opened the connection counts a byte more: the numbers fit the other way round, too. */
static void the_end_that_listened_may_send(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);
	const struct kt_guest *g = &p->a.w.profile->guest;

	poke(&p->a, sock_of(&p->a, "tcp6_server") + g->skc_state, 1, 1);
	is_elsewhere(&p->a, "tcp6_client");
	a_knows(p);
	sends(&p->a, "tcp6_server");
	the(&p->a, KT_RECORD_LEAK, 0);
	receives(&p->b, p->b.w.bystander, "tcp6_client");
	assert_int_equal(process_labels(&p->b, p->b.w.bystander), 1);
}

/* NAT between the two: no address and no port is what the other end knows. */
static void a_translated_connection_is_the_same(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);
	const struct kt_guest *g = &p->a.w.profile->guest;
	uint64_t client = sock_of(&p->a, "tcp4_client"), server = sock_of(&p->b, "tcp4_server");

	poke(&p->a, client + g->skc_daddr, OUTSIDE, 4);
	poke(&p->a, client + g->skc_dport, htons(8443), 2);
	poke(&p->b, server + g->skc_daddr, OUTSIDE, 4);
	poke(&p->b, server + g->skc_dport, htons(61000), 2);
	a_knows(p);
	sends(&p->a, "tcp4_client");
	assert_int_equal(the(&p->a, KT_RECORD_LEAK, 0)->target.remote.port, 8443);
	receives(&p->b, p->b.w.bystander, "tcp4_server");
	assert_int_equal(process_labels(&p->b, p->b.w.bystander), 1);
}

/*
 * The data may be there, read and passed on before b has an event; that its
 * reader sleeps in something else by then clears it of nothing.
 */
static void a_reader_that_waited_is_found_at_the_next_event(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);
	uint64_t bystander = p->b.w.bystander;

	receives(&p->b, bystander, "tcp4_server");
	assert_int_equal(p->b.count, 0);
	a_knows(p);
	sends(&p->a, "tcp4_client");
	assert_int_equal(process_labels(&p->b, bystander), 0);
	reads(&p->b, p->b.w.holder, "pipe_read");
	assert_int_equal(process_labels(&p->b, bystander), 1);
	assert_int_equal(process_labels(&p->b, p->b.w.holder), 0);
	/* Who had that event has nothing to do with it. */
	assert_false(the(&p->b, KT_RECORD_SPREAD, KT_FLOW_RECEIVE)->flags & KT_RECORD_HAS_ACTOR);
}

static void its_own_next_event_finds_it_too(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);
	uint64_t bystander = p->b.w.bystander;

	receives(&p->b, bystander, "tcp4_server");
	a_knows(p);
	sends(&p->a, "tcp4_client");
	/* It would be judged clean if its read were over before its labels came. */
	reads(&p->b, bystander, "pipe_read");
	assert_int_equal(process_labels(&p->b, bystander), 1);
}

static void other_connections_stay_clean(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);
	uint64_t bystander = p->b.w.bystander;

	receives(&p->b, p->b.w.holder, "tcp6_server");
	a_knows(p);
	sends(&p->a, "tcp4_client");
	receives(&p->b, bystander, "tcp6_server");
	receives(&p->b, bystander, "tcp4_client");
	receives(&p->b, bystander, "udp_bound");
	assert_int_equal(process_labels(&p->b, bystander), 0);
	assert_int_equal(process_labels(&p->b, p->b.w.holder), 0);
}

static void a_clean_sender_gives_nothing(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);

	sends(&p->a, "tcp4_client");
	receives(&p->b, p->b.w.bystander, "tcp4_server");
	assert_int_equal(p->a.count + p->b.count, 0);
	assert_int_equal(p->a.wires.state->epoch, 0);
	assert_int_equal(p->a.wires.state->count, 0);
}

static void a_datagram_goes_by_address_and_port(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);
	const struct kt_guest *g = &p->a.w.profile->guest;
	uint64_t bound = sock_of(&p->b, "udp_bound");

	poke(&p->a, sock_of(&p->a, "udp_connected") + g->skc_daddr, OUTSIDE, 4);
	receives(&p->b, p->b.w.bystander, "udp_bound");
	a_knows(p);
	sends(&p->a, "udp_connected");
	assert_int_equal(the(&p->a, KT_RECORD_LEAK, 0)->target.remote.port,
			 image_number(p->a.series, "udp_bound.port"));
	/* Another address of the same port. */
	receives(&p->b, p->b.w.bystander, "udp_bound");
	assert_int_equal(process_labels(&p->b, p->b.w.bystander), 0);
	poke(&p->b, bound + g->skc_rcv_saddr, OUTSIDE, 4);
	receives(&p->b, p->b.w.bystander, "udp_bound");
	assert_int_equal(process_labels(&p->b, p->b.w.bystander), 1);
}

static void a_label_that_is_not_known_gets_the_vms_name(void **state)
{
	struct pair *p = pair_of(state, "own=/tmp/secret.txt", 0);
	char name[KT_LABEL_LEN];

	a_knows(p);
	sends(&p->a, "tcp4_client");
	receives(&p->b, p->b.w.bystander, "tcp4_server");
	assert_int_equal(process_labels(&p->b, p->b.w.bystander), 2);
	assert_true(wires_label(&p->b.wires, 1, name));
	assert_string_equal(name, "from:a");
	/* The next one of that VM is the same. */
	sends(&p->a, "tcp6_client");
	receives(&p->b, p->b.w.holder, "tcp6_server");
	assert_int_equal(process_labels(&p->b, p->b.w.holder), 2);
}

/* A device list and an address list that end nowhere; who reads from a port reads by each. */
static void forge_addresses(struct vm *vm, const char *socket)
{
	const struct kt_guest *g = &vm->w.profile->guest;
	uint64_t sk = sock_of(vm, socket), net = peek(&vm->w, sk + g->skc_net, 8);
	uint64_t device = copy_of(&vm->w, vm->w.bystander);
	uint64_t in = copy_of(&vm->w, vm->w.bystander), address = copy_of(&vm->w, vm->w.bystander);

	set(&vm->w, device + g->netdev_list, device + g->netdev_list, 8);
	set(&vm->w, device + g->netdev_ip_ptr, in, 8);
	set(&vm->w, in + g->in_device_ifa_list, address, 8);
	set(&vm->w, address + g->ifa_next, address, 8);
	poke(vm, net + g->net_dev_base_head, device + g->netdev_list, 8);
	poke(vm, sk + g->skc_rcv_saddr, 0, 4);
	poke(vm, sk + g->inet_saddr, 0, 4);
}

static double cpu_ms(void)
{
	struct timespec now;

	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* Without a bound that is for all of them together this takes seconds. */
static void readers_by_forged_addresses_cost_no_more(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);
	double ms;

	make_tasks(&p->b.w);
	forge_addresses(&p->b, "udp_bound");
	for (uint32_t n = 0; n < POOL; n++)
		receives(&p->b, task(&p->b.w, n), "udp_bound");
	poke(&p->a, sock_of(&p->a, "udp_connected") + p->a.w.profile->guest.skc_daddr, OUTSIDE, 4);
	a_knows(p);
	sends(&p->a, "udp_connected");
	ms = cpu_ms();
	reads(&p->b, p->b.w.holder, "pipe_read");
	ms = cpu_ms() - ms;
	if (ms > 500)
		fail_msg("%.1f ms", ms);
	assert_int_equal(the(&p->b, KT_RECORD_LOST, 0)->lost, KT_LOST_WALK_BOUND);
}

static void a_full_map_is_said_and_fails_closed(void **state)
{
	struct pair *p = pair_of(state, NULL, 1);
	const struct kt_guest *g = &p->b.w.profile->guest;
	const struct kt_record *lost;

	a_knows(p);
	sends(&p->a, "tcp4_client");
	sends(&p->a, "tcp6_client");
	lost = the(&p->a, KT_RECORD_LOST, 0);
	assert_int_equal(lost->lost, KT_LOST_WIRE_FULL);
	assert_int_equal(lost->labels, 1);
	assert_int_equal(lost->cause, the(&p->a, KT_RECORD_LEAK, 0)->seq);
	/* Once for these labels. */
	sends(&p->a, "tcp6_client");
	assert_int_equal(p->a.count, 1);
	/* Whatever comes from outside may be it; what b sends to itself is not. */
	receives(&p->b, p->b.w.bystander, "tcp4_client");
	assert_int_equal(process_labels(&p->b, p->b.w.bystander), 0);
	poke(&p->b, sock_of(&p->b, "tcp4_client") + g->skc_daddr, OUTSIDE, 4);
	receives(&p->b, p->b.w.bystander, "tcp4_client");
	assert_int_equal(process_labels(&p->b, p->b.w.bystander), 1);
}

static void a_freed_receiver_takes_the_wire_along(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);

	a_knows(p);
	sends(&p->a, "tcp4_client");
	assert_int_equal(p->b.wires.state->count, 1);
	hook(&p->b, KT_HOOK_sk_free, p->b.w.bystander, sock_of(&p->b, "tcp4_server"), 0);
	assert_int_equal(p->b.wires.state->count, 0);
	receives(&p->b, p->b.w.bystander, "tcp4_server");
	assert_int_equal(process_labels(&p->b, p->b.w.bystander), 0);
}

static void wires_end_with_their_vm_and_labels_stay(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);

	a_knows(p);
	sends(&p->a, "tcp4_client");
	sends(&p->a, "tcp6_client");
	receives(&p->b, p->b.w.bystander, "tcp4_server");
	assert_int_equal(p->b.wires.state->count, 2);
	p->spent = true;
	wires_leave(&p->a.wires);
	assert_int_equal(p->b.wires.state->count, 0);
	assert_int_equal(process_labels(&p->b, p->b.w.bystander), 1);
	receives(&p->b, p->b.w.holder, "tcp6_server");
	assert_int_equal(process_labels(&p->b, p->b.w.holder), 0);
}

static void what_a_killed_one_left_is_swept(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);
	struct kt_wire_vm vm;

	a_knows(p);
	sends(&p->a, "tcp4_client");
	wires_tick(&p->b.wires);
	assert_int_equal(p->b.wires.state->count, 1);
	assert_int_equal(bpf_map_lookup_elem(p->b.wires.vms, &p->a.wires.slot, &vm), 0);
	p->spent = true;
	vm.owner_start++;
	assert_int_equal(bpf_map_update_elem(p->b.wires.vms, &p->a.wires.slot, &vm, BPF_ANY), 0);
	wires_tick(&p->b.wires);
	assert_int_equal(p->b.wires.state->count, 0);
	assert_int_equal(p->b.wires.state->taken, 1ULL << p->b.wires.slot);
}

/* With nobody else there is nobody to tell. */
static void one_vm_alone_makes_no_wires(void **state)
{
	struct pair *p = pair_of(state, NULL, 0);

	p->spent = true;
	wires_leave(&p->b.wires);
	a_knows(p);
	sends(&p->a, "tcp4_client");
	the(&p->a, KT_RECORD_LEAK, 0);
	assert_int_equal(p->a.wires.state->count, 0);
	assert_int_equal(p->a.wires.state->epoch, 0);
}

#define TEST(name)                                                                                 \
	{                                                                                          \
#name, name, NULL, NULL, NULL                                                      \
	}

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST(a_connection_brings_labels_and_its_leak_as_cause),
		TEST(the_end_that_listened_may_send),
		TEST(a_translated_connection_is_the_same),
		TEST(a_reader_that_waited_is_found_at_the_next_event),
		TEST(its_own_next_event_finds_it_too),
		TEST(other_connections_stay_clean),
		TEST(a_clean_sender_gives_nothing),
		TEST(a_datagram_goes_by_address_and_port),
		TEST(a_label_that_is_not_known_gets_the_vms_name),
		TEST(readers_by_forged_addresses_cost_no_more),
		TEST(a_full_map_is_said_and_fails_closed),
		TEST(a_freed_receiver_takes_the_wire_along),
		TEST(wires_end_with_their_vm_and_labels_stay),
		TEST(what_a_killed_one_left_is_swept),
		TEST(one_vm_alone_makes_no_wires),
	};
	const size_t count = sizeof(tests) / sizeof(tests[0]);
	int failed = 0;

	/* All of it on one kernel, what depends on the kernel on each. */
	for (size_t i = 0; i < sizeof(series_list) / sizeof(series_list[0]); i++) {
		bool whole = !strcmp(series_list[i], "6.12");

		failed += run_on_images("wires", &series_list[i], 1, tests, whole ? count : 2);
	}
	part(pair);
	return failed;
}
