/* SPDX-License-Identifier: GPL-2.0 */
/* What the benchmark's BPF programs and its user side share. */
#ifndef KVMTAINT_BENCH_H
#define KVMTAINT_BENCH_H

#include "bpf/kvmtaint.h"

/* Events of one run: 33 tail calls are allowed, an event takes up to 7. */
#define BENCH_BATCH 4
#define BENCH_LOOP  64 /* reads, lookups of one run of time_units */
#define BENCH_EXITS 16 /* of one run of time_exits: two tail calls each */
#define BENCH_WORDS 256 /* of the host that is made up */

/* Indices of the map programs. */
enum { BENCH_NOTHING, BENCH_EXIT, BENCH_ENTRY, BENCH_PROGRAMS };

struct bench_event {
	__u64 rip; /* behind the trap */
	__u64 gs_base; /* of the guest CPU */
	__u64 args[3];
};

struct bench {
	__u64 host[BENCH_WORDS]; /* the kernel memory of a KVM host that is made up */
	struct bench_event input[BENCH_BATCH];
	__u64 ns[BENCH_BATCH];
	__u64 host_address; /* of host, in this kernel */
	__u64 user_address; /* BENCH_LOOP words of the caller to read */
	__u64 sum;
	__u32 regs_at, rip_at, gs_base_at; /* where these lie in host: words */
	__u32 pad;
};

#endif
