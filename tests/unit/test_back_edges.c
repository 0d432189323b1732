// SPDX-License-Identifier: GPL-2.0
/*
 * What hosts of 6.1 ask of a program's loops and newer ones no longer do: a way back
 * to where the search for loops has been must be a jump's. An instruction that is
 * none and falls into the head of its loop makes them refuse the program ("back-edge
 * from insn"; check_cfg() and push_insn() with loop_ok in kernel/bpf/verifier.c).
 */
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <bpf/libbpf.h>

#include "boot.skel.h"
#include "user/engine_internal.h"
#include "vm.skel.h"

/* What is known of an instruction. */
enum { SEEN = 1, NEXT_DONE = 2, BRANCH_DONE = 4, DONE = 8 };

struct search {
	const struct bpf_insn *insns;
	size_t count, depth;
	uint8_t *state;
	uint32_t *stack;
	size_t refused; /* ways back that are no jumps */
	size_t loops; /* ways back that are */
};

/* Goes from one instruction to another; true: there is something new to look at. */
static bool step(struct search *s, uint32_t from, int64_t to, uint8_t edge, bool is_jump)
{
	if (s->state[from] & edge)
		return false;
	s->state[from] |= edge;
	assert_true(to >= 0 && (size_t)to < s->count);
	if (s->state[to] & DONE)
		return false;
	if (s->state[to] & SEEN) {
		s->loops += is_jump;
		if (!is_jump)
			print_error("instruction %u falls back to %u\n", from, (uint32_t)to);
		s->refused += !is_jump;
		return false;
	}
	s->state[to] = SEEN;
	s->stack[s->depth++] = to;
	return true;
}

static bool is_jump(const struct bpf_insn *insn)
{
	return BPF_CLASS(insn->code) == BPF_JMP || BPF_CLASS(insn->code) == BPF_JMP32;
}

/* The next instruction that at leads to and nobody has looked at; false: there is none. */
static bool visit(struct search *s, uint32_t at)
{
	const struct bpf_insn *insn = &s->insns[at];
	bool callback = insn->code == (BPF_LD | BPF_IMM | BPF_DW) &&
			insn->src_reg == BPF_PSEUDO_FUNC;

	if (callback)
		return step(s, at, (int64_t)at + 1, NEXT_DONE, false) ||
		       step(s, at, (int64_t)at + 1 + insn->imm, BRANCH_DONE, true);
	if (!is_jump(insn))
		return step(s, at, (int64_t)at + 1, NEXT_DONE, false);
	switch (BPF_OP(insn->code)) {
	case BPF_EXIT:
		return false;
	case BPF_CALL:
		return step(s, at, (int64_t)at + 1, NEXT_DONE, false) ||
		       (insn->src_reg == BPF_PSEUDO_CALL &&
			step(s, at, (int64_t)at + 1 + insn->imm, BRANCH_DONE, false));
	case BPF_JA:
		return step(s, at, (int64_t)at + 1 + insn->off, NEXT_DONE, true);
	default:
		return step(s, at, (int64_t)at + 1, NEXT_DONE, true) ||
		       step(s, at, (int64_t)at + 1 + insn->off, BRANCH_DONE, true);
	}
}

static struct search search(const struct bpf_insn *insns, size_t count)
{
	struct search s = { .insns = insns, .count = count };

	s.state = calloc(count, sizeof(*s.state));
	s.stack = calloc(count, sizeof(*s.stack));
	assert_true(s.state && s.stack);
	s.state[0] = SEEN;
	s.depth = 1;
	while (s.depth) {
		uint32_t at = s.stack[s.depth - 1];

		if (visit(&s, at))
			continue;
		s.state[at] |= DONE;
		s.depth--;
	}
	free(s.state);
	free(s.stack);
	return s;
}

/* All programs of an object that is loaded; how many of them have a loop. */
static size_t look_at(const struct bpf_object *object)
{
	struct bpf_program *program;
	size_t with_loops = 0;

	bpf_object__for_each_program(program, object)
	{
		struct search s;

		if (!bpf_program__autoload(program))
			continue;
		s = search(bpf_program__insns(program), bpf_program__insn_cnt(program));
		if (s.refused)
			fail_msg("%s: hosts of 6.1 refuse it", bpf_program__name(program));
		with_loops += s.loops > 0;
	}
	return with_loops;
}

static void no_program_has_a_loop_that_old_hosts_refuse(void **state)
{
	struct kvmtaint *engine = kvmtaint__open();
	struct boot *boot = boot__open_and_load();
	struct vm *vm = vm__open_and_load();

	assert_non_null(engine);
	/* Not every machine lets a program write to another's memory: tests/lab/verdicts.sh loads
	 * it. */
	bpf_program__set_autoload(engine->progs.handle_block, false);
	assert_int_equal(kvmtaint__load(engine), 0);
	assert_true(look_at(engine->obj) > 0);
	/* These two load only where KVM's types are. */
	if (boot)
		look_at(boot->obj);
	if (vm)
		look_at(vm->obj);
	kvmtaint__destroy(engine);
	boot__destroy(boot);
	vm__destroy(vm);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

/* clang's own layout of a loop: entered in its middle, its last instruction an addition. */
static void such_a_loop_is_found(void **state)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1, .imm = 0 },
		{ .code = BPF_JMP | BPF_JA, .off = 1 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 1, .imm = 1 },
		{ .code = BPF_JMP | BPF_JLT | BPF_K, .dst_reg = 1, .off = -2, .imm = 8 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	static const struct bpf_insn jumps[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1, .imm = 0 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 1, .imm = 1 },
		{ .code = BPF_JMP | BPF_JLT | BPF_K, .dst_reg = 1, .off = -2, .imm = 8 },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	assert_int_equal(search(insns, sizeof(insns) / sizeof(insns[0])).refused, 1);
	assert_int_equal(search(jumps, sizeof(jumps) / sizeof(jumps[0])).refused, 0);
	assert_int_equal(search(jumps, sizeof(jumps) / sizeof(jumps[0])).loops, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_program_has_a_loop_that_old_hosts_refuse),
		cmocka_unit_test(such_a_loop_is_found),
	};

	libbpf_set_print(quiet);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
