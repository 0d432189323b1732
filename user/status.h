/* SPDX-License-Identifier: GPL-2.0 */
/* Exit statuses: one for each thing that can be wrong, so that scripts can tell. */
#ifndef KVMTAINT_STATUS_H
#define KVMTAINT_STATUS_H

/* EXIT_STATUS(id, value, what) */
/* clang-format off */
#define EXIT_STATUSES(EXIT_STATUS) \
	EXIT_STATUS(OK, 0, "traced until a signal came or the VM ended; probe: ready to be traced") \
	EXIT_STATUS(INTERNAL, 1, "something failed that should not (no memory, an unknown error)") \
	EXIT_STATUS(USAGE, 2, "wrong command line") \
	EXIT_STATUS(NO_PROCESS, 3, "no such process") \
	EXIT_STATUS(NO_VM, 4, "the process runs no VM, or several") \
	EXIT_STATUS(ENCRYPTED, 5, "the guest's memory is encrypted or private (SEV, SEV-ES, SNP, TDX)") \
	EXIT_STATUS(HOST, 6, "the host kernel has no BTF, is too old, or refuses the programs") \
	EXIT_STATUS(PERMISSION, 7, "not root, or not allowed (lockdown, Yama)") \
	EXIT_STATUS(MEMSLOTS, 8, "the VM has more memslots than kvmtaint can follow") \
	EXIT_STATUS(LOCKED, 9, "another kvmtaint traces this VM") \
	EXIT_STATUS(HELD, 10, "the VMM cannot be held still: a debugger traces it, or it is stuck") \
	EXIT_STATUS(NO_KERNEL, 11, "no Linux kernel in the guest: not booted yet, or not Linux") \
	EXIT_STATUS(NO_BTF, 12, "the guest kernel has no BTF") \
	EXIT_STATUS(NO_HOOKS, 13, "the guest kernel lacks ftrace, CONFIG_SECURITY or" \
		    " CONFIG_SECURITY_NETWORK") \
	EXIT_STATUS(HOOK_IN_USE, 14, "the guest's own ftrace, kprobe or livepatch uses a hook") \
	EXIT_STATUS(LKRG, 15, "LKRG guards the guest kernel's text") \
	EXIT_STATUS(PROFILE, 16, "something else about the guest kernel does not add up") \
	EXIT_STATUS(POLICY, 17, "a secret or policy file is malformed, unreadable or too complex") \
	EXIT_STATUS(OUTPUT, 18, "--output cannot be written, or missed records (full disk)") \
	EXIT_STATUS(STDOUT, 19, "stdout is closed, or its reader stopped reading") \
	EXIT_STATUS(TRAPS, 20, "the traps could not be taken out; they are slow NOPs until" \
		    " `kvmtaint release`") \
	EXIT_STATUS(IMAGE, 21, "the RAM image cannot be read") \
	EXIT_STATUS(RECORDS, 22, "path: the records cannot be read, or lack what is asked for") \
	EXIT_STATUS(NO_SHIM, 23, "--trap shim: the module kvmtaint_shim is not loaded") \
	EXIT_STATUS(SHIM_VERSION, 24, "--trap shim: the loaded module is of another version") \
	EXIT_STATUS(SHIM_HOST, 25, "--trap shim: the module does not support this host's kernel") \
	EXIT_STATUS(SHIM_BUSY, 26, "--trap shim: the VM's debug registers are in use: a gdbstub, or" \
		    " another shim user") \
	EXIT_STATUS(NOT_PAUSED, 27, "resume: no kvmtaint has this VM paused") \
	EXIT_STATUS(UNSTOPPABLE, 28, "resume: what the VM stands before cannot be stopped; it stands" \
		    " on (--allow-once lets it leave)")
/* clang-format on */

enum exit_status {
#define EXIT_STATUS(id, value, what) STATUS_##id = value,
	EXIT_STATUSES(EXIT_STATUS)
#undef EXIT_STATUS
};

/* One line on stderr, "kvmtaint: ...", with control characters made visible; returns status. */
enum exit_status status_fail(enum exit_status status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* What an errno means that vm_find(), guest_profile_build(), standstill() or shim_*() returned. */
enum exit_status status_of_vm(int error);
enum exit_status status_of_profile(int error);
enum exit_status status_of_standstill(int error);
enum exit_status status_of_shim(int error);

#endif
