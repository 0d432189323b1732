// SPDX-License-Identifier: GPL-2.0
/*
 * pkru: a flow while protection key 0 is denied.
 *
 *   pkru FILE ADDRESS PORT
 *
 * Reads FILE and sends what it read by UDP, each in a system call that is made
 * with PKRU denying key 0, which all memory of the host's VMM has. (A process can
 * live like that for a moment: code is fetched whatever PKRU says, the kernel's
 * own pages have no key, and the buffer has key 1.) Exit status 77: no PKU here.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define DENY_KEY_0	     1
#define RSEQ_SIGNATURE	     0x53053053 /* glibc's, for x86 */
#define RSEQ_SIZE	     32
#define RSEQ_FLAG_UNREGISTER 1

extern const ptrdiff_t __rseq_offset;

/* After a preemption the kernel would write to glibc's rseq area, which has key 0: SIGSEGV. */
static void leave_rseq(void)
{
	syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, RSEQ_SIZE,
		RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE);
}

/* One system call without key 0: no memory is touched between the two wrpkru. */
static long call_denied(long number, long a, void *b, long c)
{
	register long nr __asm__("r9") = number;
	register long third __asm__("r10") = c;
	register long result __asm__("r8");

	__asm__ volatile("mov %[deny], %%eax\n\t"
			 "xor %%ecx, %%ecx\n\t"
			 "xor %%edx, %%edx\n\t"
			 "wrpkru\n\t"
			 "mov %%r10, %%rdx\n\t"
			 "mov %%r9, %%rax\n\t"
			 "syscall\n\t"
			 "mov %%rax, %%r8\n\t"
			 "xor %%eax, %%eax\n\t"
			 "xor %%ecx, %%ecx\n\t"
			 "xor %%edx, %%edx\n\t"
			 "wrpkru"
			 : "=r"(result)
			 : "D"(a), "S"(b), "r"(nr), "r"(third), [deny] "i"(DENY_KEY_0)
			 : "rax", "rcx", "rdx", "r11", "memory");
	return result;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	char *buffer;
	int key, file, udp;
	long n;

	if (argc != 4) {
		fprintf(stderr, "usage: pkru FILE ADDRESS PORT\n");
		return 2;
	}
	set_comm("pkru");
	leave_rseq();
	key = pkey_alloc(0, 0);
	if (key < 0)
		return 77;
	buffer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffer == MAP_FAILED || pkey_mprotect(buffer, 4096, PROT_READ | PROT_WRITE, key))
		die("buffer");
	buffer[0] = 0;
	to.sin_addr.s_addr = inet_addr(argv[2]);
	to.sin_port = htons(atoi(argv[3]));
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	file = open(argv[1], O_RDONLY);
	if (udp < 0 || file < 0 || connect(udp, (struct sockaddr *)&to, sizeof(to)))
		die("%s, %s", argv[1], argv[2]);
	n = call_denied(SYS_read, file, buffer, 1000);
	if (n > 0)
		n = call_denied(SYS_write, udp, buffer, n);
	if (n <= 0) {
		errno = -n;
		die("a call without key 0");
	}
	return 0;
}
