// SPDX-License-Identifier: GPL-2.0
/*
 * Tells user space that a CPU of the VM sets up its system calls: a kernel boots,
 * or a CPU comes up. Own object: it runs before there is a kernel to trace, and
 * between two kernels.
 *
 * What is written says little (a reboot without KASLR writes the same value), and
 * AMD does not intercept LSTAR: user space looks for itself. The kernel writes
 * EFER in head_64.S, and LSTAR and SYSENTER_EIP in syscall_init(); KVM sees all on
 * Intel, EFER alone on AMD. A FRED guest writes FRED_CONFIG alone.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MSR_SYSENTER_EIP 0x00000176
#define MSR_FRED_CONFIG	 0x000001d4
#define MSR_EFER	 0xc0000080
#define MSR_LSTAR	 0xc0000082

const volatile __u32 vmm_tgid = 0;

__u32 told = 0; /* user space has not looked since; it sets 0 before it does */
__u32 fred = 0; /* FRED_CONFIG was written; user space sets 0 */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} wakeups SEC(".maps");

SEC("raw_tp/kvm_msr")
int on_kvm_msr(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 msr = ctx->args[1];
	__u32 *wakeup;

	if (!ctx->args[0] || bpf_get_current_pid_tgid() >> 32 != vmm_tgid)
		return 0;
	if (msr != MSR_LSTAR && msr != MSR_SYSENTER_EIP && msr != MSR_FRED_CONFIG &&
	    msr != MSR_EFER)
		return 0;
	if (msr == MSR_FRED_CONFIG)
		fred = 1;
	/* One is enough: a guest that writes in a loop wakes nobody more often than he looks. */
	if (__sync_lock_test_and_set(&told, 1))
		return 0;
	wakeup = bpf_ringbuf_reserve(&wakeups, sizeof(*wakeup), 0);
	if (!wakeup)
		return 0;
	*wakeup = msr;
	bpf_ringbuf_submit(wakeup, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
