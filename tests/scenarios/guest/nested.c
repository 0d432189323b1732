// SPDX-License-Identifier: GPL-2.0
/*
 * nested: a VM of the guest's own, whose kernel executes an address of the host's choice.
 *
 *   nested ADDRESS N
 *
 * In 64-bit mode at CPL 0 it calls the function at linear ADDRESS (hexadecimal, of the
 * kernel's half) N times, and stops. Says how KVM_RUN returned, and how often the function
 * ran. Exit status 77: this guest makes no VMs.
 */
#include "guest.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define PAGE	 4096UL
#define MEMORY	 (16 * PAGE)
#define PML4	 (1 * PAGE)
#define LOW	 (2 * PAGE) /* page directory pointers, page directory: the first 2 MiB, as they are */
#define HIGH	 (4 * PAGE) /* and a page table: the function's page */
#define STACK	 (8 * PAGE)
#define CODE	 (8 * PAGE)
#define FUNCTION (9 * PAGE)

#define ENTRIES	 256 /* of CPUID, at most */
#define PRESENT	 3 /* and writable */
#define LARGE	 0x80

/* Bits of CR0, CR4 and EFER. */
#define CR0_PG_PE 0x80000001
#define CR4_PAE	  0x20
#define EFER_LONG 0x500 /* LMA, LME */

static uint8_t *memory;

static void set_entry(unsigned long table, uint64_t address, int level, uint64_t value)
{
	((uint64_t *)(memory + table))[address >> (12 + 9 * level) & 511] = value;
}

static void map(uint64_t address)
{
	set_entry(PML4, 0, 3, LOW | PRESENT);
	set_entry(LOW, 0, 2, (LOW + PAGE) | PRESENT);
	set_entry(LOW + PAGE, 0, 1, LARGE | PRESENT);
	set_entry(PML4, address, 3, HIGH | PRESENT);
	set_entry(HIGH, address, 2, (HIGH + PAGE) | PRESENT);
	set_entry(HIGH + PAGE, address, 1, (HIGH + 2 * PAGE) | PRESENT);
	set_entry(HIGH + 2 * PAGE, address, 0, FUNCTION | PRESENT);
}

static void write_code(uint64_t address, uint32_t n)
{
	/* mov $n, %rcx; mov $address, %rax; 1: call *%rax; dec %rcx; jnz 1b; hlt */
	uint8_t code[] = { 0x48, 0xc7, 0xc1, 0, 0,    0,    0,	  0x48, 0xb8, 0,    0,	  0,   0,
			   0,	 0,    0,    0, 0xff, 0xd0, 0x48, 0xff, 0xc9, 0x75, 0xf9, 0xf4 };

	memcpy(code + 3, &n, sizeof(n));
	memcpy(code + 9, &address, sizeof(address));
	memcpy(memory + CODE, code, sizeof(code));
	/* inc %rbx; ret */
	memcpy(memory + FUNCTION + address % PAGE, "\x48\xff\xc3\xc3", 4);
}

/* All that KVM has: without, there is no long mode. */
static void set_cpuid(int kvm, int vcpu)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + ENTRIES * sizeof(cpuid->entries[0]));

	cpuid->nent = ENTRIES;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) || ioctl(vcpu, KVM_SET_CPUID2, cpuid))
		die("KVM_SET_CPUID2");
	free(cpuid);
}

static void enter_long_mode(int vcpu)
{
	struct kvm_segment data = {
		.limit = -1, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1
	};
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs))
		die("KVM_GET_SREGS");
	sregs.cr3 = PML4;
	sregs.cr4 = CR4_PAE;
	sregs.cr0 |= CR0_PG_PE;
	sregs.efer = EFER_LONG;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cs = data;
	sregs.cs.selector = 8;
	sregs.cs.type = 11;
	sregs.cs.db = 0;
	sregs.cs.l = 1;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs))
		die("KVM_SET_SREGS");
}

int main(int argc, char **argv)
{
	struct kvm_userspace_memory_region slot = { .memory_size = MEMORY };
	struct kvm_regs regs = { .rip = CODE, .rsp = STACK, .rflags = 2 };
	int kvm = open("/dev/kvm", O_RDWR), vm, vcpu;
	uint64_t address = argc == 3 ? strtoull(argv[1], NULL, 16) : 0;
	struct kvm_run *run;

	if (!address)
		die("usage: nested ADDRESS N");
	if (kvm < 0)
		return 77;
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("memory");
	map(address);
	write_code(address, atol(argv[2]));
	slot.userspace_addr = (uintptr_t)memory;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
		die("KVM_CREATE_VM");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		die("KVM_CREATE_VCPU");
	run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED,
		   vcpu, 0);
	set_cpuid(kvm, vcpu);
	enter_long_mode(vcpu);
	if (run == MAP_FAILED || ioctl(vcpu, KVM_SET_REGS, &regs) || ioctl(vcpu, KVM_RUN, 0) ||
	    ioctl(vcpu, KVM_GET_REGS, &regs))
		die("KVM_RUN");
	printf("exit %u, calls %llu\n", run->exit_reason, regs.rbx);
	return 0;
}
