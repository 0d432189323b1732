// SPDX-License-Identifier: GPL-2.0
/*
 * Times the engine's programs from within. A program that is tail called in a function of
 * another program comes back to it (x86-64, hosts from 5.10). So kvm_exit's and
 * kvm_entry's run here as a vCPU's thread runs them, on a vCPU that is made up.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

#include "bench.h"

typedef __u64 u64;
typedef __u32 u32;

/* x86 order of kvm_vcpu_arch.regs[] */
#define REG_RDX 2
#define REG_RSI 6
#define REG_RDI 7

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, BENCH_PROGRAMS);
	__type(key, u32);
	__type(value, u32);
} programs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, u64);
} some SEC(".maps");

struct bench bench = {};

static __noinline int tail_nothing(void *ctx)
{
	bpf_tail_call_static(ctx, &programs, BENCH_NOTHING);
	return 0;
}

static __noinline int tail_exit(void *ctx)
{
	bpf_tail_call_static(ctx, &programs, BENCH_EXIT);
	return 0;
}

static __noinline int tail_entry(void *ctx)
{
	bpf_tail_call_static(ctx, &programs, BENCH_ENTRY);
	return 0;
}

SEC("raw_tp")
int nothing(void *ctx)
{
	return 0;
}

static __always_inline void put(u32 at, u64 value)
{
	bench.host[at & (BENCH_WORDS - 1)] = value;
}

static __always_inline void stands_at(const struct bench_event *event)
{
	put(bench.regs_at + REG_RDI, event->args[0]);
	put(bench.regs_at + REG_RSI, event->args[1]);
	put(bench.regs_at + REG_RDX, event->args[2]);
	put(bench.rip_at, event->rip);
	put(bench.gs_base_at, event->gs_base);
}

/* Each event by itself. */
SEC("raw_tp")
int time_events(void *ctx)
{
	u64 from;

	for (u32 i = 0; i < BENCH_BATCH; i++) {
		stands_at(&bench.input[i]);
		from = bpf_ktime_get_ns();
		tail_exit(ctx);
		tail_entry(ctx);
		bench.ns[i] = bpf_ktime_get_ns() - from;
	}
	return 0;
}

/* The same without an engine: what the clock and two calls cost. */
SEC("raw_tp")
int time_nothing(void *ctx)
{
	u64 from;

	for (u32 i = 0; i < BENCH_BATCH; i++) {
		stands_at(&bench.input[i]);
		from = bpf_ktime_get_ns();
		tail_nothing(ctx);
		tail_nothing(ctx);
		bench.ns[i] = bpf_ktime_get_ns() - from;
	}
	return 0;
}

/* An exit that is no trap, in a row; and as often nothing. */
SEC("raw_tp")
int time_exits(void *ctx)
{
	u64 from = bpf_ktime_get_ns();

	for (u32 i = 0; i < BENCH_EXITS; i++) {
		tail_exit(ctx);
		tail_entry(ctx);
	}
	bench.ns[0] = bpf_ktime_get_ns() - from;
	return 0;
}

SEC("raw_tp")
int time_no_exits(void *ctx)
{
	u64 from = bpf_ktime_get_ns();

	for (u32 i = 0; i < BENCH_EXITS; i++) {
		tail_nothing(ctx);
		tail_nothing(ctx);
	}
	bench.ns[0] = bpf_ktime_get_ns() - from;
	return 0;
}

/* The unit, and what else an event is made of: BENCH_LOOP of each. */
SEC("raw_tp")
int time_units(void *ctx)
{
	u64 from, value = 0, sum = 0, key = 7, *found;

	from = bpf_ktime_get_ns();
	for (u32 i = 0; i < BENCH_LOOP; i++) {
		bpf_probe_read_user(&value, 8, (void *)(bench.user_address + i * 8));
		sum += value;
	}
	bench.ns[0] = bpf_ktime_get_ns() - from;
	from = bpf_ktime_get_ns();
	for (u32 i = 0; i < BENCH_LOOP; i++) {
		bpf_probe_read_kernel(&value, 8, (void *)bench.host_address);
		sum += value;
	}
	bench.ns[1] = bpf_ktime_get_ns() - from;
	from = bpf_ktime_get_ns();
	for (u32 i = 0; i < BENCH_LOOP; i++) {
		found = bpf_map_lookup_elem(&some, &key);
		if (found)
			sum += *found;
	}
	bench.ns[2] = bpf_ktime_get_ns() - from;
	bench.sum = sum;
	return 0;
}

SEC("raw_tp")
int where(void *ctx)
{
	bench.host_address = (u64)bench.host;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
