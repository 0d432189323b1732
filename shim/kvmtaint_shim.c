// SPDX-License-Identifier: GPL-2.0
/*
 * kvmtaint_shim: VM exits where a guest executes chosen addresses, with nothing
 * changed in the guest's memory and no exit to the VMM.
 *
 * KVM can run a guest with breakpoints of the VMM's own (KVM_SET_GUEST_DEBUG). The
 * shim sets the same state up in each vCPU, and puts a probe on the function of the
 * vendor's module that handles #DB exits: a hit of ours would end KVM_RUN there, and
 * goes back into the guest instead. Tracepoint programs see the exit on its way
 * (bpf/kvmtaint.bpf.c). The guest's own #DB is left to KVM as if nothing was armed.
 *
 * Who may touch what:
 * - the debug state of a vCPU: who holds vcpu->mutex, which its thread does all
 *   through KVM_RUN. It is made to return first, as if by a signal.
 * - armed_vms: walked under RCU (probe handlers run with preemption off), changed
 *   under armed_lock. An entry holds a reference on its VM, so that neither the VM
 *   nor the vendor's module goes away under it; it ends with the file it belongs to.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/kprobes.h>
#include <linux/kvm_host.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <asm/debugreg.h>
#include <asm/vmx.h>

#include "kvmtaint_shim.h"

/* A vCPU thread is in one #DB at a time; those that are preempted in it count too. */
#define PROBE_INSTANCES 4096
#define VCPUS_MAX	(PROBE_INSTANCES / 2) /* armed at once; the rest is for vCPUs that come later */

#define OURS		(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP)
#define DR6_NOT_OURS	(DR_STEP | DR_SWITCH | BIT(13) /* BD: access to a debug register */)

struct armed_vm {
	struct list_head node; /* of armed_vms */
	struct kvm *kvm;
	unsigned long address[KVM_NR_DB_REGS];
	unsigned long dr7;
	unsigned int vcpus; /* when it was armed */
	bool ending; /* arm no vCPU any more; armed_lock */
	struct rcu_head rcu;
};

/* An open file and what it has armed. */
struct shim_file {
	struct mutex lock;
	struct armed_vm *vm;
};

static LIST_HEAD(armed_vms);
static DEFINE_SPINLOCK(armed_lock);

static struct armed_vm *find_armed(struct kvm *kvm)
{
	struct armed_vm *vm;

	list_for_each_entry_rcu(vm, &armed_vms, node)
		if (vm->kvm == kvm)
			return vm;
	return NULL;
}

/* A gdbstub's breakpoints have the same guest_debug: the addresses tell. */
static bool is_armed(const struct kvm_vcpu *vcpu, const struct armed_vm *vm)
{
	return vcpu->guest_debug == OURS && vcpu->arch.guest_debug_dr7 == vm->dr7 &&
	       !memcmp(vcpu->arch.eff_db, vm->address, sizeof(vm->address));
}

static bool is_point(const struct armed_vm *vm, unsigned long address)
{
	int i;

	for (i = 0; i < KVM_NR_DB_REGS; i++)
		if (vm->address[i] == address && address)
			return true;
	return false;
}

/* --- a #DB exit ------------------------------------------------------------ */

/* From the vendor's handler of a #DB exit to its return. */
struct db_exit {
	struct kvm_vcpu *vcpu;
	const struct armed_vm *vm; /* stays: to disarm it takes the mutex of the vCPU */
	bool hidden;
};

static void set_state(struct kvm_vcpu *vcpu, const struct armed_vm *vm)
{
	memcpy(vcpu->arch.eff_db, vm->address, sizeof(vm->address));
	vcpu->arch.guest_debug_dr7 = vm->dr7;
	vcpu->guest_debug = OURS;
}

/*
 * Anywhere but at our addresses the #DB is none of ours: KVM must not know of any
 * debugging, so that it does what it does for such a guest (hands it on; skips INT1;
 * mends what STI and MOV SS leave; ends its own stepping to an NMI window).
 */
static int db_exit_entry(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct db_exit *exit = (struct db_exit *)instance->data;
	struct kvm_vcpu *vcpu = (struct kvm_vcpu *)regs_get_kernel_argument(regs, 0);
	struct armed_vm *vm = find_armed(vcpu->kvm);

	if (!vm || !is_armed(vcpu, vm))
		return 1; /* no return probe */
	exit->vcpu = vcpu;
	exit->vm = vm;
	exit->hidden = !is_point(vm, kvm_get_linear_rip(vcpu));
	if (exit->hidden)
		vcpu->guest_debug = 0;
	return 0;
}
NOKPROBE_SYMBOL(db_exit_entry);

static bool host_is_amd; /* by the probe that could be placed; probes_lock */

/*
 * The guest's privilege level, on Intel; its VMCS is the current one in a probe of the
 * handler of its exit.
 */
static unsigned int intel_cpl(void)
{
	unsigned long access;

	asm volatile("vmread %1, %0"
		     : "=rm"(access)
		     : "r"((unsigned long)GUEST_SS_AR_BYTES)
		     : "cc");
	return VMX_AR_DPL(access);
}

/*
 * At one of our addresses, and KVM would tell the VMM. A single step that ends there
 * came first: it is the guest's own when it has TF set (no instruction that clears TF
 * leads to the start of a function), else KVM's, to an NMI window. The breakpoint
 * itself follows after it.
 */
static void at_point(struct kvm_vcpu *vcpu, unsigned long dr6)
{
	if (!(dr6 & DR6_NOT_OURS))
		kvm_set_rflags(vcpu, kvm_get_rflags(vcpu) | X86_EFLAGS_RF);
	else if (!(dr6 & DR_STEP) || kvm_get_rflags(vcpu) & X86_EFLAGS_TF)
		kvm_queue_exception_p(vcpu, DB_VECTOR, (dr6 ^ DR6_ACTIVE_LOW) & ~DR_TRAP_BITS);
}

static int db_exit_return(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct db_exit *exit = (struct db_exit *)instance->data;
	struct kvm_vcpu *vcpu = exit->vcpu;
	struct kvm_run *run = vcpu->run;

	if (exit->hidden) {
		/* The addresses too: KVM may have emulated a MOV to DR0. */
		set_state(vcpu, exit->vm);
		return 0;
	}
	if ((int)regs_return_value(regs) || run->exit_reason != KVM_EXIT_DEBUG ||
	    run->debug.arch.exception != DB_VECTOR)
		return 0;
	at_point(vcpu, run->debug.arch.dr6);
	/*
	 * A breakpoint comes before the fault of the fetch (Intel SDM vol. 3, table 6-2):
	 * user mode that jumps there calls nothing. On AMD the programs see the level.
	 */
	if (!host_is_amd && intel_cpl())
		run->debug.arch.dr6 = 0;
	run->exit_reason = KVM_EXIT_UNKNOWN;
	regs_set_return_value(regs, 1); /* into the guest again */
	return 0;
}
NOKPROBE_SYMBOL(db_exit_return);

/* --- a vCPU's debug state -------------------------------------------------- */

static void clear_state(struct kvm_vcpu *vcpu)
{
	vcpu->guest_debug = 0;
	memcpy(vcpu->arch.eff_db, vcpu->arch.db, sizeof(vcpu->arch.db));
}

/*
 * DR7 as it follows from the state. AMD, in a nested guest: its VMCB has the nested
 * guest's own DR7, which the state knows nothing of; nested_svm_vmexit() computes that
 * of the guest.
 */
static void update_dr7(struct kvm_vcpu *vcpu)
{
	if (!host_is_amd || !(vcpu->arch.hflags & HF_GUEST_MASK))
		kvm_update_dr7(vcpu);
}

static int arm_loaded(struct kvm_vcpu *vcpu, const struct armed_vm *vm)
{
	if (vcpu->arch.guest_state_protected)
		return -EOPNOTSUPP;
	if (is_armed(vcpu, vm))
		return 0;
	if (vcpu->guest_debug)
		return -EBUSY;
	/* The guest is let at the debug registers themselves until its next exit. */
	if (vcpu->arch.switch_db_regs & KVM_DEBUGREG_WONT_EXIT)
		return -EAGAIN;
	set_state(vcpu, vm);
	update_dr7(vcpu);
	return 0;
}

static int disarm_loaded(struct kvm_vcpu *vcpu, const struct armed_vm *vm)
{
	if (is_armed(vcpu, vm)) {
		clear_state(vcpu);
		update_dr7(vcpu);
	}
	return 0;
}

/* Makes KVM_RUN return, again and again: the mutex may go to another waiter. */
struct kick {
	struct timer_list timer;
	struct kvm_vcpu *vcpu;
};

/* -EINTR without a signal: a task that has none finds nothing to do and goes on. */
static void kick_vcpu(struct timer_list *timer)
{
	struct kick *kick = from_timer(kick, timer, timer);
	struct task_struct *task;

	rcu_read_lock();
	task = pid_task(rcu_dereference(kick->vcpu->pid), PIDTYPE_PID);
	if (task)
		set_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL);
	rcu_read_unlock();
	kvm_vcpu_kick(kick->vcpu);
	mod_timer(timer, jiffies + 1);
}

/* killable: -EINTR when we are killed while we wait. */
static int lock_vcpu(struct kvm_vcpu *vcpu, bool killable)
{
	struct kick kick = { .vcpu = vcpu };
	int ret = 0;

	if (mutex_trylock(&vcpu->mutex))
		return 0;
	timer_setup_on_stack(&kick.timer, kick_vcpu, 0);
	mod_timer(&kick.timer, jiffies);
	if (killable)
		ret = mutex_lock_killable(&vcpu->mutex);
	else
		mutex_lock(&vcpu->mutex);
	del_timer_sync(&kick.timer);
	destroy_timer_on_stack(&kick.timer);
	return ret;
}

static int arm_vcpu(struct kvm_vcpu *vcpu, const struct armed_vm *vm)
{
	int ret = lock_vcpu(vcpu, true);

	if (ret)
		return ret;
	vcpu_load(vcpu);
	ret = arm_loaded(vcpu, vm);
	vcpu_put(vcpu);
	mutex_unlock(&vcpu->mutex);
	return ret;
}

/* Every vCPU's mutex is taken: none is in a #DB exit of ours any more. */
static void disarm_vcpu(struct kvm_vcpu *vcpu, const struct armed_vm *vm)
{
	lock_vcpu(vcpu, false);
	vcpu_load(vcpu);
	disarm_loaded(vcpu, vm);
	vcpu_put(vcpu);
	mutex_unlock(&vcpu->mutex);
}

/* --- probes ---------------------------------------------------------------- */

static DEFINE_MUTEX(probes_lock);
static unsigned int probes_users;

static struct kretprobe db_exit_probe;

/*
 * A vCPU is added to the VM. It has not run: the state is all there is to set, and
 * its first reset by INIT makes DR7 follow.
 */
static int postcreate(struct kprobe *probe, struct pt_regs *regs)
{
	struct kvm_vcpu *vcpu = (struct kvm_vcpu *)regs_get_kernel_argument(regs, 0);
	struct armed_vm *vm = find_armed(vcpu->kvm);
	unsigned long flags;

	if (!vm)
		return 0;
	spin_lock_irqsave(&armed_lock, flags);
	if (!vm->ending && !vcpu->guest_debug)
		set_state(vcpu, vm);
	spin_unlock_irqrestore(&armed_lock, flags);
	return 0;
}

static struct kprobe postcreate_probe;

static int place_db_exit_probe(const char *symbol)
{
	db_exit_probe = (struct kretprobe){
		.kp.symbol_name = symbol,
		.entry_handler = db_exit_entry,
		.handler = db_exit_return,
		.data_size = sizeof(struct db_exit),
		.maxactive = PROBE_INSTANCES,
	};
	return register_kretprobe(&db_exit_probe);
}

/*
 * The probes are there while a VM is armed: it keeps the vendor's module, which could
 * otherwise be replaced, and the probes with it. A host has one of the two.
 */
static int probes_get(void)
{
	int ret = 0;

	mutex_lock(&probes_lock);
	if (!probes_users) {
		ret = place_db_exit_probe("db_interception");
		host_is_amd = !ret;
		if (ret)
			ret = place_db_exit_probe("handle_exception_nmi");
		if (ret) {
			pr_err("KVM's handler of #DB cannot be probed: %d\n", ret);
			goto out;
		}
		postcreate_probe = (struct kprobe){
			.symbol_name = "kvm_arch_vcpu_postcreate",
			.pre_handler = postcreate,
		};
		ret = register_kprobe(&postcreate_probe);
		if (ret) {
			pr_err("kvm_arch_vcpu_postcreate() cannot be probed: %d\n", ret);
			unregister_kretprobe(&db_exit_probe);
			goto out;
		}
	}
	probes_users++;
out:
	mutex_unlock(&probes_lock);
	return ret;
}

static void probes_put(void)
{
	mutex_lock(&probes_lock);
	if (!--probes_users) {
		unregister_kprobe(&postcreate_probe);
		unregister_kretprobe(&db_exit_probe);
	}
	mutex_unlock(&probes_lock);
}

/* --- arming ---------------------------------------------------------------- */

/* What iterate_fd() finds of a process's VM. */
struct vm_search {
	struct mm_struct *mm;
	struct kvm *kvm; /* with a reference */
	unsigned int count;
};

static int look_at_file(const void *arg, struct file *file, unsigned int fd)
{
	struct vm_search *search = *(struct vm_search *const *)arg;
	struct kvm *kvm;

	if (!file_is_kvm(file))
		return 0;
	kvm = file->private_data;
	/* The file can be passed on; the VM is the process's that made it. */
	if (kvm->mm != search->mm || kvm == search->kvm)
		return 0;
	search->count++;
	if (!search->kvm && kvm_get_kvm_safe(kvm))
		search->kvm = kvm;
	return 0;
}

/* The VM of a process, with a reference, or an ERR_PTR(). */
static struct kvm *find_vm(pid_t nr)
{
	struct vm_search search = {}, *arg = &search;
	struct pid *pid = find_get_pid(nr);
	struct task_struct *task = get_pid_task(pid, PIDTYPE_PID);

	put_pid(pid);
	if (!task)
		return ERR_PTR(-ESRCH);
	task_lock(task);
	search.mm = task->mm;
	if (task->files && task->mm)
		iterate_fd(task->files, 0, look_at_file, &arg);
	task_unlock(task);
	put_task_struct(task);
	if (search.count == 1 && search.kvm)
		return search.kvm;
	if (search.kvm)
		kvm_put_kvm(search.kvm);
	return ERR_PTR(search.count > 1 ? -ENOTUNIQ : -ENODEV);
}

/* Takes vm up among the armed ones: from here on its hits are known, and new vCPUs armed. */
static int publish(struct armed_vm *vm)
{
	struct armed_vm *other;
	unsigned int vcpus;
	int ret = 0;

	spin_lock_irq(&armed_lock);
	vm->vcpus = vcpus = atomic_read(&vm->kvm->online_vcpus);
	list_for_each_entry(other, &armed_vms, node) {
		vcpus += other->vcpus;
		if (other->kvm == vm->kvm)
			ret = -EBUSY;
	}
	if (!ret && vcpus > VCPUS_MAX)
		ret = -ENOSPC;
	if (!ret)
		list_add_rcu(&vm->node, &armed_vms);
	spin_unlock_irq(&armed_lock);
	return ret;
}

static void free_vm(struct armed_vm *vm)
{
	probes_put();
	kvm_put_kvm(vm->kvm);
	kfree_rcu(vm, rcu);
}

/* KVM's own loop has no end where there are none yet. */
#define for_each_vcpu(i, vcpu, vm)                                                                 \
	if (!atomic_read(&(vm)->kvm->online_vcpus)) {                                              \
	} else                                                                                     \
		kvm_for_each_vcpu(i, vcpu, (vm)->kvm)

/* Hits are known until the last vCPU is disarmed. */
static void disarm_vm(struct armed_vm *vm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	spin_lock_irq(&armed_lock);
	vm->ending = true;
	spin_unlock_irq(&armed_lock);
	for_each_vcpu(i, vcpu, vm)
		disarm_vcpu(vcpu, vm);
	spin_lock_irq(&armed_lock);
	list_del_rcu(&vm->node);
	spin_unlock_irq(&armed_lock);
	free_vm(vm);
}

static int arm_vm(struct armed_vm *vm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;
	int ret = 0;

	for_each_vcpu(i, vcpu, vm) {
		ret = arm_vcpu(vcpu, vm);
		if (ret)
			break;
	}
	return ret;
}

static int take_addresses(struct armed_vm *vm, const struct kvmtaint_shim_arm *arm)
{
	unsigned int i;

	BUILD_BUG_ON(KVMTAINT_SHIM_POINTS != KVM_NR_DB_REGS);
	if (!arm->count || arm->count > KVMTAINT_SHIM_POINTS)
		return -EINVAL;
	vm->dr7 = DR7_FIXED_1;
	for (i = 0; i < arm->count; i++) {
		if ((s64)arm->address[i] >= 0)
			return -EINVAL;
		vm->address[i] = arm->address[i];
		vm->dr7 |= 2UL << (i * 2); /* globally enabled; condition and length 0: execution */
	}
	return 0;
}

static void shim_disarm(struct shim_file *shim)
{
	if (shim->vm)
		disarm_vm(shim->vm);
	shim->vm = NULL;
}

static int shim_arm(struct shim_file *shim, const struct kvmtaint_shim_arm *arm)
{
	struct armed_vm *vm;
	int ret;

	shim_disarm(shim);
	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return -ENOMEM;
	ret = take_addresses(vm, arm);
	if (ret)
		goto free;
	vm->kvm = find_vm(arm->pid);
	if (IS_ERR(vm->kvm)) {
		ret = PTR_ERR(vm->kvm);
		goto free;
	}
	ret = probes_get();
	if (ret) {
		kvm_put_kvm(vm->kvm);
		goto free;
	}
	ret = publish(vm);
	if (ret) {
		free_vm(vm);
		return ret;
	}
	ret = arm_vm(vm);
	if (ret) {
		disarm_vm(vm);
		return ret;
	}
	shim->vm = vm;
	return 0;
free:
	kfree(vm);
	return ret;
}

/* A vCPU that is in a #DB exit seems not to be armed: its mutex tells. */
static int shim_check(struct shim_file *shim, struct kvmtaint_shim_state *state)
{
	struct armed_vm *vm = shim->vm;
	struct kvm_vcpu *vcpu;
	unsigned long i;
	bool armed;

	if (!vm)
		return -ENOENT;
	for_each_vcpu(i, vcpu, vm) {
		armed = is_armed(vcpu, vm);
		if (!armed) {
			if (lock_vcpu(vcpu, true))
				return -EINTR;
			vcpu_load(vcpu);
			armed = is_armed(vcpu, vm);
			if (!armed && !arm_loaded(vcpu, vm)) {
				armed = true;
				state->rearmed++;
			}
			vcpu_put(vcpu);
			mutex_unlock(&vcpu->mutex);
		}
		state->vcpus++;
		state->armed += armed;
	}
	return 0;
}

/* --- the device ------------------------------------------------------------ */

static int shim_open(struct inode *inode, struct file *file)
{
	struct shim_file *shim;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	shim = kzalloc(sizeof(*shim), GFP_KERNEL_ACCOUNT);
	if (!shim)
		return -ENOMEM;
	mutex_init(&shim->lock);
	file->private_data = shim;
	return 0;
}

static int shim_release(struct inode *inode, struct file *file)
{
	struct shim_file *shim = file->private_data;

	shim_disarm(shim);
	kfree(shim);
	return 0;
}

static long shim_ioctl_locked(struct shim_file *shim, unsigned int request, void __user *arg)
{
	struct kvmtaint_shim_state state = {};
	struct kvmtaint_shim_arm arm;
	int ret;

	switch (request) {
	case KVMTAINT_SHIM_IOC_ARM:
		if (copy_from_user(&arm, arg, sizeof(arm)))
			return -EFAULT;
		return shim_arm(shim, &arm);
	case KVMTAINT_SHIM_IOC_DISARM:
		shim_disarm(shim);
		return 0;
	case KVMTAINT_SHIM_IOC_CHECK:
		ret = shim_check(shim, &state);
		if (!ret && copy_to_user(arg, &state, sizeof(state)))
			ret = -EFAULT;
		return ret;
	default:
		return -ENOTTY;
	}
}

static long shim_ioctl(struct file *file, unsigned int request, unsigned long arg)
{
	struct shim_file *shim = file->private_data;
	long ret;

	if (request == KVMTAINT_SHIM_IOC_VERSION)
		return KVMTAINT_SHIM_VERSION;
	if (mutex_lock_killable(&shim->lock))
		return -EINTR;
	ret = shim_ioctl_locked(shim, request, (void __user *)arg);
	mutex_unlock(&shim->lock);
	return ret;
}

static const struct file_operations shim_fops = {
	.owner = THIS_MODULE, /* an open file keeps the module */
	.open = shim_open,
	.release = shim_release,
	.unlocked_ioctl = shim_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice shim_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KVMTAINT_SHIM_NAME,
	.fops = &shim_fops,
	.mode = 0600,
};
module_misc_device(shim_device);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("VM exits at breakpoints in KVM guests, unseen by the VMM");
