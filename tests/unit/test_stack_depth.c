// SPDX-License-Identifier: GPL-2.0
/*
 * What hosts of 6.1 ask of a program's stack: on no way of calls more than 8 frames and
 * 512 bytes, each frame rounded up to 32 (check_max_stack_depth() in kernel/bpf/verifier.c;
 * newer ones round up to 16 where there is a JIT).
 */
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/engine_internal.h"

#define FRAMES_MAX    8
#define STACK_MAX     512
#define FUNCTIONS_MAX 256
#define PROGRAMS_MAX  64

struct function {
	uint32_t start, end, depth; /* instructions; bytes */
};

struct calls {
	const struct bpf_insn *insns;
	struct function functions[FUNCTIONS_MAX];
	size_t count;
	uint32_t deepest, frames; /* the most that a way of calls takes */
	uint32_t at_hand[FRAMES_MAX], way[FRAMES_MAX]; /* depths: of a way, of the deepest */
};

static uint32_t function_at(const struct calls *c, uint32_t start)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (c->functions[i].start == start)
			return i;
	fail_msg("no function at instruction %u", start);
	return 0;
}

/* A call of a function of the program, or a helper that gets one to call back. */
static bool is_call(const struct bpf_insn *insn)
{
	return (insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL) ||
	       (insn->code == (BPF_LD | BPF_IMM | BPF_DW) && insn->src_reg == BPF_PSEUDO_FUNC);
}

static void find_functions(struct calls *c, const struct bpf_insn *insns, uint32_t count)
{
	bool *starts = calloc(count, sizeof(*starts));

	assert_non_null(starts);
	c->insns = insns;
	starts[0] = true;
	for (uint32_t i = 0; i < count; i++)
		if (is_call(&insns[i]))
			starts[i + 1 + insns[i].imm] = true;
	for (uint32_t i = 0; i < count; i++) {
		if (!starts[i])
			continue;
		assert_true(c->count < FUNCTIONS_MAX);
		if (c->count)
			c->functions[c->count - 1].end = i;
		c->functions[c->count++] = (struct function){ .start = i, .end = count };
	}
	free(starts);
}

/* The verifier says what each function takes, in their order: "stack depth 8+40+0". */
static void take_depths(struct calls *c, const char *log)
{
	const char *at = strstr(log, "stack depth ");

	assert_non_null(at);
	at += strlen("stack depth ");
	for (size_t i = 0; i < c->count; i++) {
		char *end;

		c->functions[i].depth = strtoul(at, &end, 10);
		assert_ptr_not_equal(at, end);
		assert_int_equal(*end, i + 1 < c->count ? '+' : '\n');
		at = end + 1;
	}
}

static void go_deeper(struct calls *c, uint32_t function, uint32_t stack, uint32_t frames)
{
	const struct function *f = &c->functions[function];

	stack += ((f->depth ? f->depth : 1) + 31) / 32 * 32;
	if (frames < FRAMES_MAX)
		c->at_hand[frames] = f->depth;
	frames++;
	if (frames > c->frames)
		c->frames = frames;
	if (frames > FRAMES_MAX)
		return;
	if (stack > c->deepest) {
		c->deepest = stack;
		memset(c->way, 0, sizeof(c->way));
		memcpy(c->way, c->at_hand, frames * sizeof(c->way[0]));
	}
	for (uint32_t i = f->start; i < f->end; i++)
		if (is_call(&c->insns[i]))
			go_deeper(c, function_at(c, i + 1 + c->insns[i].imm), stack, frames);
}

static struct calls measure(const struct bpf_insn *insns, size_t count, const char *log)
{
	struct calls c = { 0 };

	find_functions(&c, insns, count);
	take_depths(&c, log);
	go_deeper(&c, 0, 0, 0);
	return c;
}

/* To the verifier constants may have any value, so that nothing is left out. */
static void switch_all_on(struct kvmtaint *engine)
{
	assert_int_equal(bpf_map__set_map_flags(engine->maps.rodata, BPF_F_MMAPABLE), 0);
}

static void no_program_needs_more_stack_than_old_hosts_give(void **state)
{
	static char logs[PROGRAMS_MAX][1 << 20];
	struct kvmtaint *engine = kvmtaint__open();
	struct bpf_program *program;
	size_t at = 0, looked_at = 0;

	assert_non_null(engine);
	switch_all_on(engine);
	/* Not every machine lets a program write to another's memory, or has KVM's types. */
	bpf_program__set_autoload(engine->progs.handle_block, false);
	bpf_program__set_autoload(engine->progs.on_kvm_entry, false);
	bpf_object__for_each_program(program, engine->obj)
	{
		assert_true(at < PROGRAMS_MAX);
		bpf_program__set_log_level(program, 4);
		bpf_program__set_log_buf(program, logs[at++], sizeof(logs[0]));
	}
	assert_int_equal(bpf_object__load(engine->obj), 0);
	at = 0;
	bpf_object__for_each_program(program, engine->obj)
	{
		const char *log = logs[at++];
		struct calls c;

		if (!bpf_program__autoload(program))
			continue;
		c = measure(bpf_program__insns(program), bpf_program__insn_cnt(program), log);
		if (c.deepest > STACK_MAX || c.frames > FRAMES_MAX)
			fail_msg(
				"%s: %u bytes (%u+%u+%u+%u+%u+%u+%u+%u), %u frames: hosts of 6.1 refuse it",
				bpf_program__name(program), c.deepest, c.way[0], c.way[1], c.way[2],
				c.way[3], c.way[4], c.way[5], c.way[6], c.way[7], c.frames);
		looked_at++;
	}
	assert_true(looked_at > 10);
	kvmtaint__destroy(engine);
}

/* Two functions, the second called from the first: 40 and 8 bytes are 64 and 32. */
static void frames_are_summed_up(void **state)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct calls c =
		measure(insns, sizeof(insns) / sizeof(insns[0]), "stack depth 40+8\nprocessed");

	assert_int_equal(c.deepest, 96);
	assert_int_equal(c.frames, 2);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_program_needs_more_stack_than_old_hosts_give),
		cmocka_unit_test(frames_are_summed_up),
	};

	libbpf_set_print(quiet);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
