// SPDX-License-Identifier: GPL-2.0
/* vm_find() on real processes; VMs are made where /dev/kvm allows (none is run). */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../user/vm.h"

#define PAGE 4096UL

/* A child that runs make() and then waits to be killed; -1: make() could not. */
static pid_t start(int (*make)(void *), void *arg)
{
	int ready[2];
	char ok = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ok = make(arg) == 0;
		if (write(ready[1], &ok, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &ok, 1), 1);
	close(ready[0]);
	close(ready[1]);
	if (ok)
		return pid;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return -1;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int make_nothing(void *arg)
{
	return 0;
}

static int make_file_called_kvm_vm(void *arg)
{
	char dir[] = "/tmp/kvmtaint-test-XXXXXX";

	if (!mkdtemp(dir) || chdir(dir) || open("kvm-vm", O_RDWR | O_CREAT, 0600) < 0)
		return -1;
	unlink("kvm-vm");
	return rmdir(dir);
}

struct shape {
	int slots;
	int vcpus;
	int vms;
};

static int make_vm(void *arg)
{
	const struct shape *shape = arg;
	int kvm = open("/dev/kvm", O_RDWR), vm = -1, i;
	char *ram;

	for (i = 0; i < shape->vms; i++)
		vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return -1;
	for (i = 0; i < shape->vcpus; i++)
		if (ioctl(vm, KVM_CREATE_VCPU, i * 2) < 0)
			return -1;
	ram = mmap(NULL, shape->slots * 2 * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* Slot ids and host addresses against the order of gfn, half above 4 GiB. */
	for (i = 0; i < shape->slots; i++) {
		struct kvm_userspace_memory_region r = {
			.slot = (i * 7919) % shape->slots,
			.guest_phys_addr = (i % 2 ? 4UL << 30 : 0) + i * 16 * PAGE,
			.memory_size = PAGE * (1 + i % 2),
			.userspace_addr = (uintptr_t)ram + (shape->slots - 1 - i) * 2 * PAGE,
		};

		if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r))
			return -1;
	}
	*(volatile char *)ram = 1;
	return 0;
}

static pid_t start_vm(struct shape shape)
{
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = start(make_vm, &shape);
	if (pid < 0)
		skip();
	return pid;
}

static void no_such_pid(void **state)
{
	struct vm_info vm;
	char err[256];
	pid_t pid = start(make_nothing, NULL);

	stop(pid);
	assert_int_equal(vm_find(pid, &vm, err, sizeof(err)), -ESRCH);
	assert_int_equal(vm_find(0, &vm, err, sizeof(err)), -ESRCH);
	assert_int_equal(vm_find(-1, &vm, err, sizeof(err)), -ESRCH);
	assert_non_null(strstr(err, "no process"));
}

static void process_without_vm(void **state)
{
	struct vm_info vm;
	char err[256];
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = start(make_nothing, NULL);
	assert_int_equal(vm_find(pid, &vm, err, sizeof(err)), -ENODEV);
	stop(pid);
}

static void file_called_kvm_vm_is_no_vm(void **state)
{
	struct vm_info vm;
	char err[256];
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = start(make_file_called_kvm_vm, NULL);
	assert_true(pid > 0);
	assert_int_equal(vm_find(pid, &vm, err, sizeof(err)), -ENODEV);
	stop(pid);
}

static void not_root(void **state)
{
	struct vm_info vm;
	char err[256] = "";
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = fork();
	if (!pid) {
		if (setuid(65534))
			_exit(2);
		_exit(vm_find(getppid(), &vm, err, sizeof(err)) != -EPERM || !strstr(err, "root"));
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void vm_of_four_slots(void **state)
{
	static struct vm_info vm;
	char err[256] = "";
	pid_t pid = start_vm((struct shape){ .slots = 4, .vcpus = 1, .vms = 1 });

	assert_int_equal(vm_find(pid, &vm, err, sizeof(err)), 0);
	stop(pid);
	assert_int_equal(vm.pid, pid);
	assert_true(vm.kvm > 1ULL << 63);
	assert_int_equal(vm.vcpus, 1);
	assert_int_equal(vm.vcpu_count, 1);
	assert_int_equal(vm.vcpu[0].id, 0);
	assert_int_equal(vm.memory.count, 4);
	assert_int_equal(vm.memory.slots[0].gfn, 0);
	assert_int_equal(vm.memory.slots[0].npages, 1);
	assert_int_equal(vm.memory.slots[1].gfn, 32);
	assert_int_equal(vm.memory.slots[2].gfn, (1UL << 20) + 16);
	assert_int_equal(vm.memory.slots[3].gfn, (1UL << 20) + 48);
	assert_int_equal(vm.memory.slots[3].npages, 2);
	assert_int_equal(vm.memory.slots[0].hva - vm.memory.slots[1].hva, 4 * PAGE);
	assert_true(vm.memory.generation);
	assert_string_equal(vm.name, "test_vm");
}

static void vm_of_as_many_slots_as_fit(void **state)
{
	static struct vm_info vm;
	char err[256] = "";
	pid_t pid = start_vm((struct shape){ .slots = KT_SLOTS_MAX, .vcpus = 3, .vms = 1 });
	uint32_t i;

	assert_int_equal(vm_find(pid, &vm, err, sizeof(err)), 0);
	stop(pid);
	assert_int_equal(vm.memory.count, KT_SLOTS_MAX);
	for (i = 1; i < vm.memory.count; i++)
		assert_true(vm.memory.slots[i].gfn > vm.memory.slots[i - 1].gfn);
	assert_int_equal(vm.vcpus, 3);
	assert_int_equal(vm.vcpu_count, 3);
	assert_int_equal(vm.vcpu[2].id, 4);
}

static void too_many_slots(void **state)
{
	static struct vm_info vm;
	char err[256];
	pid_t pid = start_vm((struct shape){ .slots = KT_SLOTS_MAX + 1, .vms = 1 });

	assert_int_equal(vm_find(pid, &vm, err, sizeof(err)), -E2BIG);
	stop(pid);
}

static void two_vms_in_one_process(void **state)
{
	static struct vm_info vm;
	char err[256];
	pid_t pid = start_vm((struct shape){ .slots = 1, .vms = 2 });

	assert_int_equal(vm_find(pid, &vm, err, sizeof(err)), -ENOTUNIQ);
	stop(pid);
}

static int make_child_of_vmm(void *arg)
{
	/* A forked child keeps the descriptors, but the guest's RAM is not there. */
	struct shape shape = { .slots = 1, .vms = 1 };
	pid_t child;

	if (make_vm(&shape))
		return -1;
	child = fork();
	while (!child)
		pause();
	*(pid_t *)arg = child;
	return 0;
}

static void inherited_vm_file_is_not_followed(void **state)
{
	static struct vm_info vm;
	pid_t *child = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char err[256] = "";
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = start(make_child_of_vmm, child);
	if (pid < 0)
		skip();
	assert_int_equal(vm_find(*child, &vm, err, sizeof(err)), -ENODEV);
	assert_non_null(strstr(err, "another process"));
	kill(*child, SIGKILL);
	stop(pid);
}

static void qemu_names(void **state)
{
	static const struct {
		const char *arg, *name;
	} cases[] = {
		{ "web1", "web1" },
		{ "web1,debug-threads=on", "web1" },
		{ "guest=db,debug-threads=on", "db" },
		{ "debug-threads=on,guest=a,,b", "a,b" },
	};
	char name[VM_NAME_LEN];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pid_t pid = fork();

		if (!pid) {
			execl("/bin/sh", "qemu-system-x86_64", "-c",
			      "read x </dev/zero; :", "-name", cases[i].arg, NULL);
			_exit(127);
		}
		/* execve() gives the new name first, and then the arguments. */
		do {
			usleep(1000);
			vm_read_name(pid, name, sizeof(name));
		} while (!strcmp(name, "test_vm") || !strcmp(name, "sh"));
		stop(pid);
		assert_string_equal(name, cases[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_such_pid),
		cmocka_unit_test(process_without_vm),
		cmocka_unit_test(file_called_kvm_vm_is_no_vm),
		cmocka_unit_test(not_root),
		cmocka_unit_test(vm_of_four_slots),
		cmocka_unit_test(vm_of_as_many_slots_as_fit),
		cmocka_unit_test(too_many_slots),
		cmocka_unit_test(two_vms_in_one_process),
		cmocka_unit_test(inherited_vm_file_is_not_followed),
		cmocka_unit_test(qemu_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
