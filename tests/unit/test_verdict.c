// SPDX-License-Identifier: GPL-2.0
/*
 * Verdicts: which rule decides, what may be written to a guest, and how a send
 * would be stopped in five guest kernels. (That it then is stopped is tested in
 * the lab: hosts may forbid the program that writes.)
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <cmocka.h>

#include <bpf/libbpf.h>

#include "bpf/write_check.h"
#include "user/engine_internal.h"
#include "replay_world.h"

/* --- what may be written ---------------------------------------------------- */

static void a_write_stays_within_its_memslot_and_page(void **state)
{
	const struct kt_slot slot = { .gfn = 16, .npages = 2, .hva = 0x7f0000000000 };
	const struct {
		uint64_t hva;
		uint32_t size;
		uint32_t obstacle;
	} cases[] = {
		{ slot.hva, 8, 0 },
		{ slot.hva + 4096 - 8, 8, 0 },
		{ slot.hva + 8192 - 4, 4, 0 },
		{ 0, 8, KT_OBSTACLE_NOT_RAM },
		{ slot.hva - 8, 8, KT_OBSTACLE_NOT_RAM },
		{ slot.hva - 4, 8, KT_OBSTACLE_NOT_RAM },
		{ slot.hva + 4096 - 4, 8, KT_OBSTACLE_NOT_RAM }, /* into a page nobody walked to */
		{ slot.hva + 8192 - 4, 8, KT_OBSTACLE_NOT_RAM },
		{ slot.hva + 8192, 4, KT_OBSTACLE_NOT_RAM },
		{ ~0ULL - 3, 8, KT_OBSTACLE_NOT_RAM },
		{ ~0ULL, 1, KT_OBSTACLE_NOT_RAM },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(kt_write_check(&slot, cases[i].hva, cases[i].size, 1),
				 cases[i].obstacle);
	assert_int_equal(kt_write_check(&(struct kt_slot){ .hva = slot.hva }, slot.hva, 4, 1),
			 KT_OBSTACLE_NOT_RAM);
}

static void no_write_to_stale_logged_or_special_memslots(void **state)
{
	struct kt_slot slot = { .npages = 1, .hva = 0x10000 };

	assert_int_equal(kt_write_check(&slot, slot.hva, 8, 0), KT_OBSTACLE_STALE_MEMSLOT);
	slot.flags = 1; /* KVM_MEM_LOG_DIRTY_PAGES */
	assert_int_equal(kt_write_check(&slot, slot.hva, 8, 1), KT_OBSTACLE_DIRTY_LOG);
	for (slot.flags = 2; slot.flags; slot.flags <<= 1)
		assert_int_equal(kt_write_check(&slot, slot.hva, 8, 1), KT_OBSTACLE_READ_ONLY);
	slot.flags = 3;
	assert_int_equal(kt_write_check(&slot, slot.hva, 8, 1), KT_OBSTACLE_READ_ONLY);
}

/* --- one send ------------------------------------------------------------------ */

#define SIZE 777 /* bytes that the message has */

static const struct kt_sink_rule pause_all = { .labels = ~0ULL, .action = KT_VERDICT_PAUSED };

/* A managed process, task 0, with a connected UDP socket to 203.0.113.9 and a message to send. */
struct send {
	struct world w;
	uint64_t socket, msg;
	struct kt_record record; /* the leak */
	uint32_t leaks, others;
};

static int keep_leak(void *ctx, const struct kt_record *record, size_t len)
{
	struct send *s = ctx;

	if (record->type != KT_RECORD_LEAK && record->type != KT_RECORD_ALLOWED) {
		s->others++;
		return 0;
	}
	s->leaks++;
	memset(&s->record, 0, sizeof(s->record));
	memcpy(&s->record, record, len);
	return 0;
}

static bool open_send(struct send *s, const char *series, const struct kt_sink_rule *rules,
		      uint32_t count)
{
	static const uint8_t address[4] = { 203, 0, 113, 9 };
	const struct kt_guest *g;
	struct world *w = &s->w;
	uint64_t sk;
	uint32_t remote;

	*s = (struct send){ .w = { .sinks = rules, .sink_count = count } };
	if (!world_open(w, series))
		return false;
	/* Other tests have other rules, at the same address. */
	world_take();
	g = &w->profile->guest;
	s->socket =
		peek(w, file_of(w, series, w->holder, "udp_connected") + g->file_private_data, 8);
	sk = copy_of(w, peek(w, s->socket + g->socket_sk, 8));
	s->socket = copy_of(w, s->socket);
	set(w, s->socket + g->socket_sk, sk, 8);
	memcpy(&remote, address, sizeof(remote));
	set(w, sk + g->skc_daddr, remote, 4);
	s->msg = copy_of(w, w->bystander);
	memset((void *)(uintptr_t)(s->msg + w->moved), 0, OBJECT_SIZE);
	set(w, s->msg + g->msg_iter_count, SIZE, 8);
	manage(w, "processes", signal_of(w, 0), 1);
	return true;
}

static void send_it(struct send *s)
{
	const uint64_t args[4] = { s->socket, s->msg, SIZE };

	s->leaks = s->others = 0;
	assert_int_equal(run_hook_with(&s->w, 3, KT_HOOK_socket_sendmsg, task(&s->w, 0), args), 0);
	assert_true(engine_drain(s->w.engine, keep_leak, s) >= 0);
	assert_true(s->leaks <= 1);
}

static void close_send(struct send *s)
{
	world_free(&s->w);
}

/* The body runs on each of these guest kernels that has an image; on none: skipped. */
#define FOR_EACH_OF(list, s, rules, count)                                                         \
	for (size_t i_ = 0, seen_ = 0;                                                             \
	     i_ < sizeof(list) / sizeof((list)[0]) || (!seen_ && (skip(), false)); i_++)           \
		if (open_send(s, (list)[i_], rules, count) && ++seen_)
#define FOR_EACH_IMAGE(s, rules, count) FOR_EACH_OF(image_series, s, rules, count)
#define ON_ONE_IMAGE(s, rules, count)	FOR_EACH_OF(one_image, s, rules, count)
static const char *const one_image[] = { "6.12" };

static bool can_run(const struct bpf_program *prog)
{
	return bpf_program__fd(prog) >= 0;
}

/* Whether a program that is loaded calls bpf_probe_write_user(). */
static bool writes(const struct bpf_program *prog)
{
	const struct bpf_insn *insns = bpf_program__insns(prog);
	size_t count = bpf_program__insn_cnt(prog);

	assert_true(count);
	for (size_t i = 0; i < count; i++)
		if (insns[i].code == (BPF_JMP | BPF_CALL) && !insns[i].src_reg &&
		    insns[i].imm == BPF_FUNC_probe_write_user)
			return true;
	return false;
}

static void no_program_but_one_can_write(void **state)
{
	struct send s;
	struct bpf_program *prog;
	size_t loaded_count = 0;

	ON_ONE_IMAGE(&s, &pause_all, 1)
	{
		bpf_object__for_each_program(prog, s.w.engine->skel->obj)
		{
			if (!can_run(prog))
				continue;
			assert_false(writes(prog));
			loaded_count++;
		}
		assert_true(loaded_count > 10);
		assert_true(writes(s.w.engine->skel->progs.handle_block));
		close_send(&s);
	}
}

static void report_loads_nothing_that_writes_or_stops(void **state)
{
	struct send s;

	ON_ONE_IMAGE(&s, NULL, 0)
	{
		assert_false(can_run(s.w.engine->skel->progs.handle_block));
		assert_false(can_run(s.w.engine->skel->progs.handle_pause));
		assert_false(can_run(s.w.engine->skel->progs.handle_freeze));
		assert_false(can_run(s.w.engine->skel->progs.handle_bar));
		send_it(&s);
		assert_int_equal(s.leaks, 1);
		assert_int_equal(s.record.verdict, KT_VERDICT_REPORTED);
		close_send(&s);
	}
}

static void pause_loads_nothing_that_writes(void **state)
{
	struct send s;

	ON_ONE_IMAGE(&s, &pause_all, 1)
	{
		assert_false(can_run(s.w.engine->skel->progs.handle_block));
		assert_true(can_run(s.w.engine->skel->progs.handle_pause));
		close_send(&s);
	}
}

static uint64_t word(const struct send *s, int32_t offset, size_t size)
{
	return peek(&s->w, s->msg + offset, size);
}

/* The plan, carried out from outside as `kvmtaint resume` does, is what the kernel refuses. */
static void a_paused_send_can_be_stopped(void **state)
{
	struct send s;

	FOR_EACH_IMAGE(&s, &pause_all, 1)
	{
		const struct kt_guest *g = &s.w.profile->guest;
		struct kt_held *held;
		struct engine_hold hold;
		const struct kt_slot *slots;
		uint32_t vcpu = 0;
		size_t count;

		set(&s.w, s.msg + g->msg_namelen, 16, 4);
		send_it(&s);
		assert_int_equal(s.record.verdict, KT_VERDICT_PAUSED);
		assert_int_equal(s.record.obstacle, 0);
		assert_true(engine_next_hold(s.w.engine, &vcpu, &hold));
		assert_int_equal(hold.vcpu, 3);
		assert_int_equal(hold.seq, s.record.seq);
		assert_true(hold.leak && !hold.failed);
		assert_false(engine_next_hold(s.w.engine, &vcpu, &hold));
		held = &s.w.engine->held[3];
		slots = guest_mem_slots(s.w.mem, &count);
		assert_int_equal(held->write_count, 4);
		for (uint32_t i = 0; i < held->write_count; i++)
			assert_int_equal(kt_write_check(&slots[0], held->writes[i].hva,
							held->writes[i].size, 1),
					 0);
		assert_int_equal(word(&s, g->msg_iter_count, 8), SIZE);
		s.w.engine->pid = getpid();
		assert_int_equal(engine_release(s.w.engine, 3, true), 0);
		assert_int_equal(word(&s, g->msg_iter_count, 8), 0);
		assert_int_equal(word(&s, g->msg_control, 8), s.msg + g->msg_iter_count);
		assert_int_equal(word(&s, g->msg_controllen, 8), 16);
		assert_int_equal(word(&s, g->msg_namelen, 4), 0);
		vcpu = 0;
		assert_false(engine_next_hold(s.w.engine, &vcpu, &hold));
		assert_int_equal(s.w.engine->skel->bss->held_count, 0);
		close_send(&s);
	}
}

/* What changed while it stood is not written over: neither at all, nor in part. */
static void a_message_that_changed_is_left_alone(void **state)
{
	struct send s;

	ON_ONE_IMAGE(&s, &pause_all, 1)
	{
		const struct kt_guest *g = &s.w.profile->guest;

		send_it(&s);
		s.w.engine->pid = getpid();
		set(&s.w, s.msg + g->msg_controllen, 48, 8);
		assert_int_equal(engine_release(s.w.engine, 3, true), KT_OBSTACLE_CHANGED);
		assert_int_equal(word(&s, g->msg_iter_count, 8), SIZE);
		assert_int_equal(s.w.engine->held[3].state, KT_HELD_LEAK);
		assert_int_equal(engine_release(s.w.engine, 3, false), 0);
		/* And one that is not what the call said is not planned for. */
		set(&s.w, s.msg + g->msg_iter_count, SIZE + 1, 8);
		send_it(&s);
		assert_int_equal(s.record.verdict, KT_VERDICT_PAUSED);
		assert_int_equal(engine_release(s.w.engine, 3, true), KT_OBSTACLE_CHANGED);
		close_send(&s);
	}
}

static void stale_and_logged_memory_is_not_planned_for(void **state)
{
	struct send s;

	ON_ONE_IMAGE(&s, &pause_all, 1)
	{
		int cpus = libbpf_num_possible_cpus(), fd = engine_map_fd(s.w.engine, "memory");
		struct kt_memory *all = calloc(cpus, sizeof(*all));
		uint32_t zero = 0;

		s.w.engine->pid = getpid();
		s.w.engine->skel->bss->native_generation = 1;
		send_it(&s);
		assert_int_equal(engine_release(s.w.engine, 3, true), KT_OBSTACLE_STALE_MEMSLOT);
		assert_int_equal(engine_release(s.w.engine, 3, false), 0);
		assert_int_equal(bpf_map_lookup_elem(fd, &zero, all), 0);
		for (int cpu = 0; cpu < cpus; cpu++) {
			all[cpu].generation = 1;
			all[cpu].slots[0].flags = 1;
		}
		assert_int_equal(bpf_map_update_elem(fd, &zero, all, BPF_ANY), 0);
		send_it(&s);
		assert_int_equal(engine_release(s.w.engine, 3, true), KT_OBSTACLE_DIRTY_LOG);
		assert_int_equal(word(&s, s.w.profile->guest.msg_iter_count, 8), SIZE);
		free(all);
		close_send(&s);
	}
}

static void what_is_sent_without_a_message_cannot_be_stopped(void **state)
{
	struct send s;

	ON_ONE_IMAGE(&s, &pause_all, 1)
	{
		s.msg = 0;
		send_it(&s);
		assert_int_equal(s.record.verdict, KT_VERDICT_PAUSED);
		assert_int_equal(engine_release(s.w.engine, 3, true), KT_OBSTACLE_NO_MESSAGE);
		close_send(&s);
	}
}

static void the_first_touch_of_a_label_freezes_once(void **state)
{
	struct send s = { .w.pause_on_spread = true };
	struct engine_hold hold;
	uint32_t vcpu = 0;

	if (!world_open(&s.w, "6.12")) {
		skip();
		return;
	}
	world_take();
	for (uint32_t n = 0; n < 2; n++) {
		assert_int_equal(run_hook(&s.w, 7, KT_HOOK_file_permission, task(&s.w, n),
					  file_of(&s.w, "6.12", s.w.holder, "secret"), 4),
				 0);
		vcpu = 0;
		assert_int_equal(engine_next_hold(s.w.engine, &vcpu, &hold), n == 0);
		if (!n) {
			assert_int_equal(hold.vcpu, 7);
			assert_false(hold.leak);
			assert_int_equal(engine_release(s.w.engine, 7, true), 0);
		}
	}
	close_send(&s);
}

/* --- rules ------------------------------------------------------------------------ */

/* The verdict for two labels, a and b, that go to this destination, by these rules. */
static enum kt_verdict judged(const char *const *rules, enum kt_verdict fallback, uint64_t labels,
			      int family, const char *address, uint16_t port)
{
	const uint32_t kind = family ? KT_LEAK_REMOTE : KT_LEAK_CONSOLE;
	struct policy *policy = policy_new();
	const struct kt_sink_rule *sinks;
	struct kt_endpoint to = { .port = port, .family = family };
	enum kt_verdict verdict = KT_VERDICT_NONE;
	uint64_t words[2];
	char err[256] = "";
	uint32_t count;

	assert_int_equal(policy_add(policy, "a=/a", err, sizeof(err)), 0);
	assert_int_equal(policy_add(policy, "b=/b", err, sizeof(err)), 0);
	for (; *rules; rules++)
		if (policy_add_sink(policy, *rules, err, sizeof(err)))
			fail_msg("%s", err);
	if (policy_sinks(policy, fallback, &sinks, &count, err, sizeof(err)))
		fail_msg("%s", err);
	if (family)
		assert_int_equal(inet_pton(family, address, to.address), 1);
	memcpy(words, to.address, sizeof(words));
	/* As bpf/verdict.bpf.h goes through them. */
	for (uint32_t i = 0; i < count && labels; i++) {
		const struct kt_sink_rule *r = &sinks[i];

		if (!(r->labels & labels) || (r->leak_kind && r->leak_kind != kind) ||
		    (r->family && (r->family != to.family || (r->port && r->port != to.port) ||
				   ((words[0] ^ r->address[0]) & r->mask[0]) ||
				   ((words[1] ^ r->address[1]) & r->mask[1]))))
			continue;
		labels &= ~r->labels;
		if (r->action > verdict)
			verdict = r->action;
	}
	policy_free(policy);
	return count ? verdict : KT_VERDICT_REPORTED;
}

static void the_most_specific_rule_decides(void **state)
{
	static const char *const none[] = { NULL };
	static const char *const rules[] = {
		"allow *=10.0.0.0/8",	 "block a=10.1.0.0/16",
		"allow a=10.1.2.3:443",	 "pause a=10.1.2.3",
		"allow b=fd00::/8",	 "block b=[fd00::1]:22",
		"report b=192.0.2.0/24", "pause b",
		"allow a=console",	 NULL,
	};
	const enum kt_verdict block = KT_VERDICT_BLOCKED;

	assert_int_equal(judged(none, KT_VERDICT_REPORTED, 3, AF_INET, "10.0.0.1", 1),
			 KT_VERDICT_REPORTED);
	assert_int_equal(judged(none, block, 3, 0, NULL, 0), KT_VERDICT_BLOCKED);
	assert_int_equal(judged(rules, block, 1, AF_INET, "10.9.9.9", 1), KT_VERDICT_ALLOWED);
	assert_int_equal(judged(rules, block, 1, AF_INET, "10.1.9.9", 1), KT_VERDICT_BLOCKED);
	assert_int_equal(judged(rules, block, 1, AF_INET, "10.1.2.3", 443), KT_VERDICT_ALLOWED);
	assert_int_equal(judged(rules, block, 1, AF_INET, "10.1.2.3", 444), KT_VERDICT_PAUSED);
	assert_int_equal(judged(rules, block, 1, AF_INET, "11.0.0.1", 1), KT_VERDICT_BLOCKED);
	assert_int_equal(judged(rules, block, 2, AF_INET6, "fd00::2", 22), KT_VERDICT_ALLOWED);
	assert_int_equal(judged(rules, block, 2, AF_INET6, "fd00::1", 22), KT_VERDICT_BLOCKED);
	assert_int_equal(judged(rules, block, 2, AF_INET, "192.0.2.7", 1), KT_VERDICT_REPORTED);
	assert_int_equal(judged(rules, block, 2, 0, NULL, 0), KT_VERDICT_PAUSED);
	assert_int_equal(judged(rules, block, 1, 0, NULL, 0), KT_VERDICT_ALLOWED);
	/* Of several labels the strictest verdict. */
	assert_int_equal(judged(rules, block, 3, AF_INET, "10.9.9.9", 1), KT_VERDICT_ALLOWED);
	assert_int_equal(judged(rules, block, 3, AF_INET, "10.1.9.9", 1), KT_VERDICT_BLOCKED);
	assert_int_equal(judged(rules, block, 3, AF_INET, "192.0.2.7", 1), KT_VERDICT_BLOCKED);
	assert_int_equal(judged(rules, block, 3, AF_INET, "11.0.0.1", 1), KT_VERDICT_PAUSED);
}

/* The engine asks them as the test above does. */
static void the_engine_goes_by_the_rules(void **state)
{
	struct kt_sink_rule rules[2] = {
		{ .labels = ~0ULL, .family = AF_INET, .action = KT_VERDICT_ALLOWED },
		pause_all,
	};
	struct send s;

	inet_pton(AF_INET, "203.0.113.0", rules[0].address);
	rules[0].mask[0] = 0x00ffffff;
	ON_ONE_IMAGE(&s, rules, 2)
	{
		send_it(&s);
		assert_int_equal(s.leaks, 0);
		close_send(&s);
	}
	rules[0].port = 1;
	ON_ONE_IMAGE(&s, rules, 2)
	{
		send_it(&s);
		assert_int_equal(s.record.verdict, KT_VERDICT_PAUSED);
		close_send(&s);
	}
}

static void malformed_rules_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"allow",
		"allow ",
		"deny a=10.0.0.0/8",
		"allow =10.0.0.0/8",
		"allow a=",
		"allow a=10.0.0.0/33",
		"allow a=10.0.0.0/",
		"allow a=10.0.0/8",
		"allow a=10.0.0.0/8:0",
		"allow a=10.0.0.0/8:65536",
		"allow a=10.0.0.0/8:",
		"allow a=10.0.0.0/8:80x",
		"allow a=[fd00::/8",
		"allow a=[fd00::/8]80",
		"allow a=fd00::/129",
		"allow a=host.example:80",
	};
	struct policy *policy = policy_new();
	const struct kt_sink_rule *sinks;
	char err[512];
	uint32_t count;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err[0] = '\0';
		assert_true(policy_add_sink(policy, bad[i], err, sizeof(err)) < 0);
		assert_true(strlen(err) > 10 && !strchr(err, '\n'));
	}
	assert_int_equal(policy_add_sink(policy, "block nobody", err, sizeof(err)), 0);
	assert_int_equal(policy_sinks(policy, KT_VERDICT_REPORTED, &sinks, &count, err,
				      sizeof(err)),
			 -ENOENT);
	policy_free(policy);
}

static void a_policy_file_holds_both_kinds_of_rules(void **state)
{
	char path[] = "/tmp/kvmtaint-policy-XXXXXX", err[512] = "";
	FILE *f = fdopen(mkstemp(path), "w");
	struct policy *policy = policy_new();
	const struct kt_sink_rule *sinks;
	uint32_t count;

	fputs("# both\nhr=/srv/hr/\nallow=/srv/allow\nallow hr=10.0.0.0/8:443\nblock hr\n", f);
	fclose(f);
	assert_int_equal(policy_add_file(policy, path, err, sizeof(err)), 0);
	assert_string_equal(policy_label(policy, 1), "allow");
	assert_int_equal(
		policy_sinks(policy, KT_VERDICT_REPORTED, &sinks, &count, err, sizeof(err)), 0);
	assert_int_equal(count, 3);
	assert_int_equal(sinks[0].action, KT_VERDICT_ALLOWED);
	assert_int_equal(sinks[0].labels, 1);
	assert_int_equal(sinks[0].port, 443);
	assert_int_equal(sinks[1].action, KT_VERDICT_BLOCKED);
	assert_int_equal(sinks[2].action, KT_VERDICT_REPORTED);
	policy_free(policy);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_write_stays_within_its_memslot_and_page),
		cmocka_unit_test(no_write_to_stale_logged_or_special_memslots),
		cmocka_unit_test(no_program_but_one_can_write),
		cmocka_unit_test(report_loads_nothing_that_writes_or_stops),
		cmocka_unit_test(pause_loads_nothing_that_writes),
		cmocka_unit_test(a_paused_send_can_be_stopped),
		cmocka_unit_test(a_message_that_changed_is_left_alone),
		cmocka_unit_test(stale_and_logged_memory_is_not_planned_for),
		cmocka_unit_test(what_is_sent_without_a_message_cannot_be_stopped),
		cmocka_unit_test(the_first_touch_of_a_label_freezes_once),
		cmocka_unit_test(the_most_specific_rule_decides),
		cmocka_unit_test(the_engine_goes_by_the_rules),
		cmocka_unit_test(malformed_rules_are_refused),
		cmocka_unit_test(a_policy_file_holds_both_kinds_of_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
