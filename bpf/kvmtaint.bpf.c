// SPDX-License-Identifier: GPL-2.0
/*
 * Entry points. kvm_entry, the last moment before the guest goes on, decides:
 * registers and guest memory are there on AMD and on Intel alike, and each exit
 * is taken once. Interrupts are off there, so nothing else on this CPU can come
 * between: at kvm_exit hosts from 7.0 run tracepoint programs preemptibly, and
 * skip one that another vCPU's thread is in the middle of. What user space runs
 * (BPF_PROG_TEST_RUN) cannot be preempted either: get_cpu() surrounds it
 * (bpf_prog_test_run_raw_tp()). So per-CPU scratch is safe in these, and is not
 * to be used at kvm_exit and kvm_msr.
 */
#include "carrier_file.bpf.h"
#include "carrier_pipe.bpf.h"
#include "carrier_socket.bpf.h"
#include "carrier_unix.bpf.h"
#include "carrier_inet.bpf.h"
#include "carrier_message.bpf.h"
#include "carrier_memory.bpf.h"
#include "carrier_key.bpf.h"
#include "carrier_xattr.bpf.h"
#include "carrier_core.bpf.h"
#include "carrier_tty.bpf.h"
#include "carrier_fuse.bpf.h"
#include "process.bpf.h"
#include "mapping.bpf.h"
#include "syscall.bpf.h"

/* --- the programs of the hooks -------------------------------------------- */

static __always_inline struct event *event_at_hand(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&events, &zero);
}

enum {
	HANDLER_SYSCALL = KT_HOOK_SYSCALL,
	HANDLER_SCAN,
	HANDLER_WALK,
	HANDLER_SETTLE,
	/* Of verdicts; absent where none can be asked for. */
	HANDLER_BLOCK,
	HANDLER_PAUSE,
	HANDLER_FREEZE,
	HANDLER_BAR,
	HANDLER_SYSCALL_ACTOR,
	HANDLER_SYSCALL_FLOWS,
	HANDLER_SYSCALL_OBJECTS,
	HANDLER_SYSCALL_PROCESSES,
	HANDLER_SYSCALL_SEND,
	HANDLER_MAX
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, HANDLER_MAX);
	__type(key, u32);
	__type(value, u32);
} handlers SEC(".maps");

/* All is known. */
static __always_inline void event_finish(void *ctx, struct event *e)
{
	if (can_hold && e->freeze)
		bpf_tail_call(ctx, &handlers, HANDLER_FREEZE);
	event_done(e);
}

/* The handler has ended. */
static __always_inline void event_end(void *ctx, struct event *e)
{
	if (can_hold && e->verdict)
		bpf_tail_call(ctx, &handlers,
			      e->verdict == KT_VERDICT_BLOCKED ? HANDLER_BLOCK : HANDLER_PAUSE);
	if (e->grown_count)
		bpf_tail_call(ctx, &handlers, HANDLER_SCAN);
	event_finish(ctx, e);
}

/* A round of the second half of an event in which something grew: its readers. */
SEC("raw_tp")
int handle_scan(void *ctx)
{
	struct event *e = event_at_hand();

	if (!e)
		return 0;
	pending_scan(e);
	if (!comes_again(e)) {
		if (e->told_at < e->grown_count)
			bpf_tail_call(ctx, &handlers, HANDLER_SCAN);
		else if (e->walk_at < e->grown_count)
			bpf_tail_call(ctx, &handlers, HANDLER_WALK);
		if (e->told_at < e->grown_count || e->walk_at < e->grown_count)
			event_fail(e, KT_LOST_WALK_BOUND, e->walk_at);
	}
	work_end(e);
	if (e->settling && !comes_again(e)) {
		wires_seen = e->wires_epoch;
		event_say_lost(e);
		work_reset(e);
		bpf_tail_call(ctx, &handlers, e->hook);
	}
	event_finish(ctx, e);
	return 0;
}

/* And those who share memory with it. */
SEC("raw_tp")
int handle_walk(void *ctx)
{
	struct event *e = event_at_hand();

	if (!e)
		return 0;
	mappings_walk(e);
	bpf_tail_call(ctx, &handlers, HANDLER_SCAN);
	event_fail(e, KT_LOST_WALK_BOUND, e->walk_at);
	work_end(e);
	event_finish(ctx, e);
	return 0;
}

/* Before an event's handler: what earlier ones could not settle, and what other VMs sent. */
SEC("raw_tp")
int handle_settle(void *ctx)
{
	struct event *e = event_at_hand();

	if (!e)
		return 0;
	e->settling = 1;
	actor_task(e);
	if (unsettled_count)
		bpf_for_each_map_elem(&unsettled, settle_step, &e, 0);
	wires_scan(e);
	bpf_tail_call(ctx, &handlers, HANDLER_SCAN);
	return 0;
}

/* The hooks of one program. */
enum hook_program { PROGRAM_flows, PROGRAM_sends, PROGRAM_processes, PROGRAM_objects };

static __always_inline void on_hook(struct event *e, const enum hook_program mine)
{
	switch (e->hook) {
#define GUEST_HOOK(id, need, program, names)                                                       \
	case KT_HOOK_##id:                                                                         \
		if (mine == PROGRAM_##program)                                                     \
			on_##id(e);                                                                \
		break;
#include "../vmlinux-guest/hooks.def"
#undef GUEST_HOOK
	default:
		break;
	}
}

/*
 * Handlers are programs of their own behind a tail call: the verifier looks at them
 * one by one, and each starts with a fresh stack. But it looks at what they call
 * again for each, so that hooks that do alike are in one.
 */
#define HOOK_PROGRAM(program)                                                                      \
	SEC("raw_tp") int handle_##program(void *ctx)                                              \
	{                                                                                          \
		struct event *e = event_at_hand();                                                 \
                                                                                                   \
		if (e) {                                                                           \
			on_hook(e, PROGRAM_##program);                                             \
			event_end(ctx, e);                                                         \
		}                                                                                  \
		return 0;                                                                          \
	}

HOOK_PROGRAM(flows)
HOOK_PROGRAM(sends)
HOOK_PROGRAM(processes)
HOOK_PROGRAM(objects)

/* --- and for each kind of system call ------------------------------------ */

/* The program of the call's kind; returns when there is none. */
static __always_inline void syscall_goes_on(void *ctx, struct event *e)
{
	switch (syscall_program(e)) {
	case SYSCALL_FLOWS:
		bpf_tail_call(ctx, &handlers, HANDLER_SYSCALL_FLOWS);
		break;
	case SYSCALL_OBJECTS:
		bpf_tail_call(ctx, &handlers, HANDLER_SYSCALL_OBJECTS);
		break;
	case SYSCALL_PROCESSES:
		bpf_tail_call(ctx, &handlers, HANDLER_SYSCALL_PROCESSES);
		break;
	default:
		break;
	}
	event_end(ctx, e);
}

SEC("raw_tp")
int handle_syscall(void *ctx)
{
	struct event *e = event_at_hand();

	if (!e || actor_is_kthread(e))
		return 0;
	on_syscall_entry(e);
	if (actor_is_new(e))
		bpf_tail_call(ctx, &handlers, HANDLER_SYSCALL_ACTOR);
	syscall_goes_on(ctx, e);
	return 0;
}

#define SYSCALL_PROGRAM(id, handler, next)                                                         \
	SEC("raw_tp") int handle_syscall_##id(void *ctx)                                           \
	{                                                                                          \
		struct event *e = event_at_hand();                                                 \
                                                                                                   \
		if (e) {                                                                           \
			handler(e);                                                                \
			next(ctx, e);                                                              \
		}                                                                                  \
		return 0;                                                                          \
	}

/* A call that is many has them looked at in rounds: a program has a greatest length. */
static __always_inline void syscall_is_many(void *ctx, struct event *e)
{
	if (e->goes_on && !comes_again(e))
		bpf_tail_call(ctx, &handlers,
			      e->row.kind == SYSCALL_SENDMMSG ? HANDLER_SYSCALL_SEND
							      : HANDLER_SYSCALL_FLOWS);
	event_end(ctx, e);
}

/* What goes out on a socket has a program of its own: it is the longest. */
static __always_inline void syscall_sends(void *ctx, struct event *e)
{
	if (e->sent_sk)
		bpf_tail_call(ctx, &handlers, HANDLER_SYSCALL_SEND);
	syscall_is_many(ctx, e);
}

SYSCALL_PROGRAM(actor, on_syscall_new_actor, syscall_goes_on)
SYSCALL_PROGRAM(flows, on_syscall_flow, syscall_sends)
SYSCALL_PROGRAM(objects, on_syscall_object, event_end)
SYSCALL_PROGRAM(processes, on_syscall_process, event_end)
SYSCALL_PROGRAM(send, on_syscall_send, syscall_is_many)

static __always_inline void event_reset(struct event *e)
{
	e->task = 0;
	e->signal = 0;
	e->mm = 0;
	e->task_flags = 0;
	e->failed = 0;
	e->failed_at = 0;
	e->slot.npages = 0;
	e->cause = 0;
	e->flow = 0;
	e->file = 0;
	e->dentry = 0;
	e->message = 0;
	e->verdict = 0;
	e->freeze = 0;
	e->mode = LIVE;
	work_reset(e);
}

/* Starts an event on this CPU; NULL: the address is no site of ours. */
static __always_inline struct event *event_begin(u64 address)
{
	struct event *e = event_at_hand();
	struct kt_site *site = bpf_map_lookup_elem(&sites, &address);

	if (!e || !site)
		return NULL;
	event_reset(e);
	e->site = address;
	e->hook = site->hook;
	e->alternative = site->alternative;
	return e;
}

/* The event's handler, after what earlier events could not settle. */
static __always_inline void event_run(void *ctx, struct event *e)
{
	memory_refresh(e);
	if (!e->percpu_base) {
		percpu_find(e);
		if (e->failed) {
			event_done(e);
			return;
		}
	}
	if (unsettled_count || wires_are_new())
		bpf_tail_call(ctx, &handlers, HANDLER_SETTLE);
	bpf_tail_call(ctx, &handlers, e->hook);
}

/* --- verdicts: loaded where one can be asked for --------------------------- */

/* The send is stopped; or, where that cannot be, the VM. */
SEC("raw_tp")
int handle_block(void *ctx)
{
	struct event *e = event_at_hand();
	u32 zero = 0;

	if (!e)
		return 0;
	if (!e->plan.obstacle && e->mode == REPLAY) {
		/* This thread has not the VMM's memory: user space does it, and says so. */
		bpf_map_update_elem(&asked, &zero, &e->record, BPF_ANY);
		hold(e, KT_HELD_ASKED, 0);
	} else {
		if (!e->plan.obstacle)
			e->plan.obstacle = plan_carry_out(e);
		if (e->plan.obstacle)
			bpf_tail_call(ctx, &handlers, HANDLER_PAUSE);
		e->record.obstacle = e->plan.obstacle;
		e->record.verdict = e->plan.obstacle ? KT_VERDICT_FAILED : KT_VERDICT_BLOCKED;
		record_out(e);
	}
	e->verdict = KT_VERDICT_NONE;
	event_end(ctx, e);
	return 0;
}

/* The VM stands before the send. The record says why it was not blocked, if it was to be. */
SEC("raw_tp")
int handle_pause(void *ctx)
{
	struct event *e = event_at_hand();
	u32 obstacle;

	if (!e)
		return 0;
	if (e->verdict == KT_VERDICT_BLOCKED)
		e->record.obstacle = e->plan.obstacle;
	e->record.verdict = KT_VERDICT_PAUSED;
	obstacle = hold(e, KT_HELD_LEAK, 0);
	if (obstacle) {
		e->record.verdict = KT_VERDICT_FAILED;
		e->record.obstacle = obstacle;
	}
	hold_said(e, record_out(e));
	e->verdict = KT_VERDICT_NONE;
	event_end(ctx, e);
	return 0;
}

/* The VM stands because of a spread, or a leak that nothing can stop: its record is out. */
SEC("raw_tp")
int handle_freeze(void *ctx)
{
	struct event *e = event_at_hand();

	if (!e)
		return 0;
	e->plan.write_count = 0;
	e->plan.obstacle = e->freeze_state == KT_HELD_LEAK ? KT_OBSTACLE_NO_MESSAGE
							   : KT_OBSTACLE_NONE;
	hold(e, e->freeze_state, e->freeze);
	e->freeze = 0;
	event_done(e);
	return 0;
}

/*
 * Somebody let a VMM go on whose vCPU is to stand. The signal comes by an interrupt
 * that waits for this CPU, so that the guest is left before its first instruction.
 */
SEC("raw_tp")
int handle_bar(void *ctx)
{
	stop_vm();
	return 0;
}

/* --- the tracepoints ----------------------------------------------------- */

static __always_inline bool is_our_vm(void)
{
	return bpf_get_current_pid_tgid() >> 32 == vmm_tgid;
}

SEC("raw_tp/kvm_exit")
int on_kvm_exit(struct bpf_raw_tracepoint_args *ctx)
{
	if (is_our_vm())
		count_preempted(KT_COUNT_EXITS);
	return 0;
}

/*
 * The site that vcpu stands at. KVM has skipped the INVD; a breakpoint stops the
 * vCPU before the instruction.
 */
static __always_inline struct event *event_of(struct kvm_vcpu *vcpu, u64 rip)
{
	if (!trap_is_shim)
		return event_begin(rip - 5);
	return host_debug_is_breakpoint(vcpu, rip) ? event_begin(rip) : NULL;
}

static __always_inline void take_arguments(struct event *e, const unsigned long *regs)
{
	if (e->hook == KT_HOOK_SYSCALL) {
		syscall_arguments(e, regs);
		return;
	}
	e->args[0] = regs[REG_RDI];
	e->args[1] = regs[REG_RSI];
	e->args[2] = regs[REG_RDX];
	e->args[3] = regs[REG_RCX];
	e->args[4] = regs[REG_R8];
	e->args[5] = regs[REG_R9];
}

static __always_inline void find_cpu(struct event *e, struct kvm_vcpu *vcpu, struct vmcb *vmcb)
{
	u32 apic = BPF_CORE_READ(vcpu, vcpu_id);
	u64 *base;

	e->vcpu = apic;
	e->percpu_base = e->hook == KT_HOOK_SYSCALL ? host_vcpu_kernel_gs_base(vmcb)
						    : host_vcpu_gs_base(vmcb);
	if (!e->percpu_base) {
		base = bpf_map_lookup_elem(&vcpu_percpu, &apic);
		e->percpu_base = base ? *base : 0;
	}
}

SEC("raw_tp/kvm_entry")
int on_kvm_entry(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvm_vcpu *vcpu = (void *)ctx->args[0];
	unsigned long regs[17];
	struct vmcb *vmcb;
	struct event *e;

	if (can_hold && held_count && is_our_vm() && is_held(BPF_CORE_READ(vcpu, vcpu_id)))
		bpf_tail_call(ctx, &handlers, HANDLER_BAR);
	if (!is_our_vm())
		return 0;
	vmcb = host_vmcb(vcpu);
	if (!(trap_is_shim ? host_exit_is_debug(vcpu, vmcb) : host_exit_is_invd(vcpu, vmcb)) ||
	    (u64)BPF_CORE_READ(vcpu, kvm) != vm_address)
		return 0;
	bpf_core_read(regs, sizeof(regs), &vcpu->arch.regs);
	if (host_vcpu_is_nested(vcpu) || host_vcpu_cpl(vmcb)) {
		count(KT_COUNT_NESTED);
		return 0;
	}
	e = event_of(vcpu, host_vcpu_rip(vcpu, regs));
	if (!e) {
		count(KT_COUNT_FOREIGN_INVD);
		return 0;
	}
	count(KT_COUNT_TRAPS);
	take_arguments(e, regs);
	find_cpu(e, vcpu, vmcb);
	event_run(ctx, e);
	return 0;
}

#define SEND_SIG_PRIV 1 /* in place of a siginfo: the kernel's own signals, BPF's too */

/*
 * raw_tp(sig, info, task, group, result). Who else stops the VMM, and lets it go
 * on? kill(2) comes with a siginfo up to 6.18, with 0 (SEND_SIG_NOINFO) in 7.3.
 */
SEC("raw_tp/signal_generate")
int on_signal_generate(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[2];
	int signal = ctx->args[0];

	if ((signal != SIGSTOP && signal != SIGCONT) || ctx->args[1] == SEND_SIG_PRIV ||
	    (u32)BPF_CORE_READ(task, tgid) != vmm_tgid ||
	    bpf_get_current_pid_tgid() >> 32 == own_tgid)
		return 0;
	stopped_by_others = signal == SIGSTOP;
	return 0;
}

/* --- run by user space --------------------------------------------------- */

/*
 * Runs one event outside a vCPU thread (BPF_PROG_TEST_RUN): the slow path, once
 * the page that was missing is there, and the native tests. args[0]: 1 when the
 * caller's own memory is the guest's, as in the tests; args[1]: the vCPU whose
 * event it is, which says where in replay_input it lies.
 */
SEC("raw_tp")
int replay(struct bpf_raw_tracepoint_args *ctx)
{
	struct kt_deferred *input;
	struct event *e;
	u32 vcpu = ctx->args[1] % KT_VCPUS_MAX;

	input = bpf_map_lookup_elem(&replay_input, &vcpu);
	if (!input)
		return 0;
	e = event_begin(input->site);
	if (!e)
		return 0;
	for (int i = 0; i < 6; i++)
		e->args[i] = input->args[i];
	e->syscall = input->syscall;
	e->percpu_base = input->percpu_base;
	e->vcpu = input->vcpu;
	e->mode = ctx->args[0] ? TEST : REPLAY;
	count(KT_COUNT_RETRIED);
	event_run(ctx, e);
	return 0;
}

/*
 * What happened before kvmtaint came: a process (args[1]: its task) has a file
 * (args[2]: struct file) open or mapped; args[3]: mapped shared and writable.
 * args[0] as for replay; the result goes to replay_input[0].
 */
SEC("raw_tp")
int before_attach(struct bpf_raw_tracepoint_args *ctx)
{
	struct event *e = event_at_hand();

	if (!e)
		return 0;
	event_reset(e);
	e->hook = KT_HOOK_NONE;
	e->site = 0;
	e->mode = ctx->args[0] ? TEST : REPLAY;
	e->task = ctx->args[1];
	e->vcpu = 0;
	memory_refresh(e);
	if (carrier_is_file(e, ctx->args[2]) == S_IFREG) {
		read_from(e, KT_FLOW_BEFORE_ATTACH);
		if (ctx->args[3])
			write_to_storage(e, KT_FLOW_BEFORE_ATTACH);
	}
	event_end(ctx, e);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
