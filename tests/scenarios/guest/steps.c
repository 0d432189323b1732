// SPDX-License-Identifier: GPL-2.0
/*
 * steps: what a guest's own debugging sees, to be compared with and without
 * breakpoints of the host's.
 *
 *   steps N
 *
 * A traced child is stepped through N system calls; the program steps itself by
 * TF through N instructions, and meets INT3 N times and INT1 once. Prints how
 * many traps of each kind came, and whether any was of a breakpoint.
 */
#include "guest.h"

#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>

#define DR6_BREAKPOINTS 0xf
#define TF		0x100

extern char calls_begin[], calls_end[];

/* n times a system call, in four instructions. */
static void calls(long n)
{
	asm volatile(".globl calls_begin, calls_end\n"
		     "calls_begin:\n"
		     "1:	mov $39, %%eax\n" /* getpid */
		     "	syscall\n"
		     "	dec %0\n"
		     "	jnz 1b\n"
		     "calls_end:\n"
		     : "+r"(n)
		     :
		     : "rax", "rcx", "r11", "memory");
}

/* Steps inside calls(), and how many of all steps showed a breakpoint in DR6. */
static void step_child(long n, long *inside, long *breakpoints)
{
	struct user_regs_struct regs;
	pid_t child = fork();
	int status;

	if (!child) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		calls(n);
		_exit(0);
	}
	waitpid(child, &status, 0);
	while (WIFSTOPPED(status)) {
		if (ptrace(PTRACE_GETREGS, child, 0, &regs))
			die("PTRACE_GETREGS");
		*inside += regs.rip >= (uintptr_t)calls_begin && regs.rip < (uintptr_t)calls_end;
		*breakpoints += ptrace(PTRACE_PEEKUSER, child, offsetof(struct user, u_debugreg[6]),
				       0) & DR6_BREAKPOINTS
					? 1
					: 0;
		if (ptrace(PTRACE_SINGLESTEP, child, 0, 0) || waitpid(child, &status, 0) != child)
			die("PTRACE_SINGLESTEP");
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		die("the child that was stepped ended with status %#x", status);
}

static volatile sig_atomic_t traced, int3, others;

static void on_trap(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	if (info->si_code == TRAP_TRACE)
		traced++;
	else if (info->si_code == SI_KERNEL)
		int3++;
	else
		others++;
}

/* n instructions and three more with TF set. */
static void step_oneself(long n)
{
	asm volatile("	sub $128, %%rsp\n" /* the red zone */
		     "	pushfq\n"
		     "	orq %1, (%%rsp)\n"
		     "	popfq\n"
		     "1:	dec %0\n"
		     "	jnz 1b\n"
		     "	pushfq\n"
		     "	andq %2, (%%rsp)\n"
		     "	popfq\n"
		     "	add $128, %%rsp\n"
		     : "+r"(n)
		     : "i"(TF), "i"(~TF)
		     : "cc", "memory");
}

/* How a child ends that executes INT1: QEMU's TCG has no such instruction. */
static int end_by_int1(void)
{
	int status;
	pid_t child = fork();

	if (!child) {
		signal(SIGTRAP, SIG_DFL);
		asm volatile(".byte 0xf1");
		_exit(0);
	}
	waitpid(child, &status, 0);
	return status;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	long n = argc == 2 ? atol(argv[1]) : 0, inside = 0, breakpoints = 0;

	if (n < 1)
		die("usage: steps N");
	step_child(n, &inside, &breakpoints);
	sigaction(SIGTRAP, &action, NULL);
	step_oneself(n);
	for (long i = 0; i < n; i++)
		asm volatile("int3");
	printf("stepped %ld, breakpoints %ld, by TF %d, INT3 %d, others %d, INT1 %#x\n", inside,
	       breakpoints, (int)traced, (int)int3, (int)others, end_by_int1());
	return 0;
}
