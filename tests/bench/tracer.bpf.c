// SPDX-License-Identifier: GPL-2.0
/*
 * What a tracer inside the guest costs, at its cheapest: each system call is counted by
 * thread group and number. (For the comparison in tests/bench/loads.py.)
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct call {
	__u32 tgid;
	__u32 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct call);
	__type(value, __u64);
} calls SEC(".maps");

SEC("raw_tp/sys_enter")
int on_sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct call call = { bpf_get_current_pid_tgid() >> 32, ctx->args[1] };
	__u64 *count = bpf_map_lookup_elem(&calls, &call), one = 1;

	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&calls, &call, &one, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
