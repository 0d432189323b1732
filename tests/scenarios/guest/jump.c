// SPDX-License-Identifier: GPL-2.0
/*
 * jump: user mode goes where only the kernel may.
 *
 *   jump N ADDRESS...
 *
 * Calls each address N times, and prints how many of the calls ended in a page fault.
 */
#include "guest.h"

#include <setjmp.h>
#include <signal.h>

static sigjmp_buf back;
static volatile long faults;

static void on_fault(int signal)
{
	siglongjmp(back, signal);
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? atol(argv[1]) : 0;

	if (n < 1)
		die("usage: jump N ADDRESS...");
	signal(SIGSEGV, on_fault);
	for (int i = 2; i < argc; i++) {
		void (*call)(long, long, long) = (void *)strtoul(argv[i], NULL, 16);

		for (volatile long round = 0; round < n; round++) {
			if (sigsetjmp(back, 1) == SIGSEGV)
				faults++;
			else
				call(1, 2, 3);
		}
	}
	printf("%ld faults\n", faults);
	return 0;
}
