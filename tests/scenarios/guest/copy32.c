// SPDX-License-Identifier: GPL-2.0
/*
 * copy32 int80|vdso FROM TO: a 32-bit process that copies a file's first 4096 bytes, by int 0x80
 * or by the vDSO, which takes SYSCALL on AMD and SYSENTER on Intel. Without a C library, of which
 * there is no 32-bit one here.
 */
#define AT_SYSINFO 32 /* arch/x86/include/uapi/asm/auxvec.h */

/* arch/x86/entry/syscalls/syscall_32.tbl */
enum { EXIT = 1, READ = 3, WRITE = 4, OPEN = 5 };

#define WRITE_ANEW 01101 /* O_WRONLY | O_CREAT | O_TRUNC */

static long vdso; /* __kernel_vsyscall; 0: int 0x80 */

static long call(long number, long a, long b, long c)
{
	long result;

	if (vdso)
		asm volatile("call *%[vdso]"
			     : "=a"(result)
			     : "a"(number), "b"(a), "c"(b), "d"(c), [vdso] "m"(vdso)
			     : "memory");
	else
		asm volatile("int $0x80"
			     : "=a"(result)
			     : "a"(number), "b"(a), "c"(b), "d"(c)
			     : "memory");
	return result;
}

static int copy(const char *from, const char *to)
{
	static char bytes[4096];
	long in = call(OPEN, (long)from, 0, 0), out = call(OPEN, (long)to, WRITE_ANEW, 0600);
	long size = call(READ, in, (long)bytes, sizeof(bytes));

	return in < 0 || out < 0 || size <= 0 || call(WRITE, out, (long)bytes, size) != size;
}

/* stack: argc, the arguments, 0, the environment, 0, and the auxiliary vector's pairs. */
void __attribute__((noreturn, used)) start(long *stack)
{
	char **argument = (char **)stack + 1;
	long *at = stack + 1 + stack[0] + 1;

	while (*at++)
		;
	if (stack[0] == 4 && argument[1][0] == 'v')
		while (*at && *at != AT_SYSINFO)
			at += 2;
	else
		at = 0;
	if (at)
		vdso = at[1];
	call(EXIT, stack[0] != 4 || (at && !vdso) || copy(argument[2], argument[3]), 0, 0);
	__builtin_unreachable();
}

asm(".globl _start\n"
    "_start:\n"
    "	mov %esp, %eax\n"
    "	and $-16, %esp\n"
    "	sub $12, %esp\n"
    "	push %eax\n"
    "	call start\n");
