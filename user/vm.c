// SPDX-License-Identifier: GPL-2.0
/* Finds the VM of a process with a BPF iterator over its open files. */
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../bpf/vm.h"
#include "cleanup.h"
#include "vm.h"
#include "vm.skel.h"

#define SCAN_TRIES	       20
#define SCAN_PAUSE_US	       10000
#define HYGON_EBX	       0x6f677948 /* "Hygo"; <cpuid.h> of GCC 12 lacks it */
#define GENERATION_IN_PROGRESS (1ULL << 63) /* KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS */

/* Every early return of this file: one line for the operator, and its errno. */
#define fail(code, ...) (snprintf(err, err_len, __VA_ARGS__), -(code))

struct vm_finder {
	struct vm *skel;
};

/* Zen's vendor string or Hygon's: the two that kvm_amd serves. */
static bool host_is_amd(void)
{
	unsigned int eax, ebx = 0, ecx, edx;

	if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx))
		return false;
	return ebx == signature_AMD_ebx || ebx == HYGON_EBX;
}

/* The thread group of pid, as /proc tells; -errno. */
static int read_tgid(pid_t pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[256];
	int tgid;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %d", &tgid) == 1)
			return tgid;
	return -ESRCH;
}

static int check_process(pid_t pid, char *err, size_t err_len)
{
	int tgid;

	if (pid <= 0 || (kill(pid, 0) && errno == ESRCH))
		return fail(ESRCH, "no process has pid %d; give the pid of the VMM", pid);
	tgid = read_tgid(pid);
	if (tgid < 0)
		return fail(ESRCH, "process %d went away", pid);
	if (tgid != pid)
		return fail(ESRCH, "%d is a thread of process %d; give --vm %d", pid, tgid, tgid);
	return 0;
}

static int check_host(char *err, size_t err_len)
{
	struct utsname host;
	int major = 0, minor = 0;

	if (geteuid() != 0)
		return fail(EPERM, "must run as root, to load BPF programs and read guest memory");
	uname(&host);
	sscanf(host.release, "%d.%d", &major, &minor);
	if (major < 6 || (major == 6 && minor < 1))
		return fail(ENOSYS, "host kernel %s is too old: kvmtaint needs 6.1 or newer",
			    host.release);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return fail(ENOSYS,
			    "host kernel %s has no BTF (/sys/kernel/btf/vmlinux): boot one"
			    " built with CONFIG_DEBUG_INFO_BTF",
			    host.release);
	return 0;
}

static int load(struct vm *skel, char *err, size_t err_len)
{
	int rc;

	if (!skel)
		return fail(errno, "cannot open the VM discovery program: %s", strerror(errno));
	skel->rodata->host_is_amd = host_is_amd();
	rc = vm__load(skel);
	if (rc == -EPERM || rc == -EACCES)
		return fail(EPERM, "not allowed to load BPF programs (missing capabilities, or the"
				   " kernel is locked down for confidentiality)");
	if (rc)
		return fail(ENOSYS,
			    "this host kernel refuses the VM discovery program (%s): its KVM"
			    " is unknown to this kvmtaint; --verbose shows why",
			    strerror(-rc));
	return 0;
}

int vm_finder_open(struct vm_finder **out, char *err, size_t err_len)
{
	struct vm_finder *finder;
	int rc = check_host(err, err_len);

	if (rc)
		return rc;
	finder = calloc(1, sizeof(*finder));
	if (!finder)
		return fail(ENOMEM, "out of memory");
	finder->skel = vm__open();
	rc = load(finder->skel, err, err_len);
	if (rc) {
		vm_finder_close(finder);
		return rc;
	}
	*out = finder;
	return 0;
}

void vm_finder_close(struct vm_finder *finder)
{
	if (!finder)
		return;
	vm__destroy(finder->skel);
	free(finder);
}

/* Runs the iterator over the files of pid once. */
static int run_scan(struct vm *skel, pid_t pid)
{
	union bpf_iter_link_info info = { .task.pid = pid };
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));
	_cleanup_close_ int fd = -1;
	struct bpf_link *link;
	char byte;
	int rc = 0;

	memset(&skel->bss->scan, 0, sizeof(skel->bss->scan));
	link = bpf_program__attach_iter(skel->progs.find_vm, &opts);
	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0)
		rc = -errno;
	/* The program prints nothing: the first read runs it over all files. */
	else
		while ((rc = read(fd, &byte, 1)) > 0 || (rc < 0 && errno == EAGAIN))
			;
	if (rc < 0)
		rc = -errno;
	bpf_link__destroy(link);
	return rc;
}

static const char *protection(const struct kt_vm_scan *scan)
{
	switch (scan->vm_type) {
	case KT_VM_DEFAULT:
		break;
	case KT_VM_SW_PROTECTED:
		return "software-protected, its memory is private";
	case KT_VM_SEV:
		return "encrypted (AMD SEV)";
	case KT_VM_SEV_ES:
		return "encrypted (AMD SEV-ES)";
	case KT_VM_SNP:
		return "encrypted (AMD SEV-SNP)";
	case KT_VM_TDX:
		return "encrypted (Intel TDX)";
	default:
		return "of a kind that this kvmtaint does not know";
	}
	if (scan->sev_es)
		return "encrypted (AMD SEV-ES)";
	return scan->sev ? "encrypted (AMD SEV)" : NULL;
}

static int judge_scan(const struct kt_vm_scan *scan, pid_t pid, char *err, size_t err_len)
{
	if (scan->no_kvm)
		return fail(ENOSYS,
			    "the BTF of this host's KVM is missing"
			    " (/sys/kernel/btf/kvm): install a kernel whose modules have BTF");
	if (!scan->kvm && scan->foreign)
		return fail(ENODEV,
			    "process %d only holds another process's VM; give the pid of"
			    " the VMM that created it",
			    pid);
	if (!scan->kvm)
		return fail(ENODEV,
			    "process %d runs no KVM guest; give the pid of the VMM"
			    " (QEMU, Firecracker, cloud-hypervisor, ...)",
			    pid);
	if (scan->vms > 1)
		return fail(ENOTUNIQ, "process %d runs %u VMs; kvmtaint follows VMMs that run one",
			    pid, scan->vms);
	if (protection(scan))
		return fail(ENOTSUP, "the guest of process %d is %s: the host cannot read it", pid,
			    protection(scan));
	if (scan->memory.overflow)
		return fail(E2BIG, "the VM of process %d has more than %d memslots", pid,
			    KT_SLOTS_MAX);
	return 0;
}

static bool is_torn(const struct kt_vm_scan *scan)
{
	return scan->broken || (scan->memory.generation & GENERATION_IN_PROGRESS) ||
	       scan->memory.generation != scan->generation_after;
}

static void fill(struct vm_info *out, pid_t pid, const struct kt_vm_scan *scan)
{
	out->pid = pid;
	out->tgid = scan->tgid;
	out->kvm = scan->kvm;
	out->vcpus = scan->created_vcpus;
	out->vcpu_count = scan->vcpus;
	memcpy(out->vcpu, scan->vcpu, sizeof(out->vcpu));
	out->knows_lstar = scan->knows_lstar;
	out->memory = scan->memory;
}

int vm_finder_look(struct vm_finder *finder, pid_t pid, struct vm_info *out, char *err,
		   size_t err_len)
{
	const struct kt_vm_scan *scan = &finder->skel->bss->scan;
	int rc, tries;

	for (tries = 0; tries < SCAN_TRIES; tries++) {
		rc = run_scan(finder->skel, pid);
		if (rc == -ESRCH)
			return fail(ESRCH, "process %d went away", pid);
		if (rc)
			return fail(-rc, "cannot look into the files of process %d: %s", pid,
				    strerror(-rc));
		rc = judge_scan(scan, pid, err, err_len);
		if (rc && !is_torn(scan))
			return rc;
		if (!is_torn(scan))
			break;
		usleep(SCAN_PAUSE_US);
	}
	if (tries == SCAN_TRIES)
		return fail(EAGAIN, "the memory layout of process %d kept changing; try again",
			    pid);
	fill(out, pid, scan);
	return 0;
}

int vm_find(pid_t pid, struct vm_info *out, char *err, size_t err_len)
{
	struct vm_finder *finder;
	int rc = check_process(pid, err, err_len);

	if (!rc)
		rc = vm_finder_open(&finder, err, err_len);
	if (rc)
		return rc;
	rc = vm_finder_look(finder, pid, out, err, err_len);
	if (!rc)
		vm_read_name(pid, out->name, sizeof(out->name));
	vm_finder_close(finder);
	return rc;
}

const struct kt_vcpu *vm_first_witness(const struct vm_info *vm)
{
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpu[i].lstar)
			return &vm->vcpu[i];
	return NULL;
}
