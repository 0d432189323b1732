#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""In L1: what a host does to a guest's memory.

  host.py push-out PID SECONDS   swaps out the guest's RAM, every SECONDS, until SIGINT
  host.py push-out-once PID
  host.py traps PID              counts the 5-byte traps in the guest's RAM
  host.py unplant PID N          puts ftrace's NOP in place of the first N traps
"""
import ctypes
import os
import signal
import sys
import time

MADV_PAGEOUT = 21
SYS_PIDFD_OPEN, SYS_PROCESS_MADVISE = 434, 440
libc = ctypes.CDLL(None, use_errno=True)


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


def guest_ram(pid):
    """The largest writable mapping of the VMM."""
    best = (0, 0)
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            span, mode = line.split()[:2]
            start, end = (int(each, 16) for each in span.split("-"))
            if mode.startswith("rw") and end - start > best[1]:
                best = (start, end - start)
    return best


def push_out(pidfd, start, size):
    """Bytes that the kernel went through; it may do a part only."""
    done = 0
    while done < size:
        vector = Iovec(start + done, size - done)
        got = libc.syscall(SYS_PROCESS_MADVISE, pidfd, ctypes.byref(vector), 1, MADV_PAGEOUT, 0)
        if got <= 0:
            raise OSError(ctypes.get_errno(), "process_madvise")
        done += got
    return done


TRAP, NOP = b"\x2e\x2e\x2e\x0f\x08", b"\x0f\x1f\x44\x00\x00"


def traps(pid, unplant=0):
    """How many traps the guest's RAM holds; the first ones are taken out."""
    start, size = guest_ram(pid)
    found = 0
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for at in range(start, start + size, 1 << 20):
            memory.seek(at)
            piece = memory.read((1 << 20) + 4 if at + (1 << 20) < start + size else 1 << 20)
            index = piece.find(TRAP)
            while index >= 0:
                found += 1
                if found <= unplant:
                    memory.seek(at + index)
                    memory.write(NOP)
                index = piece.find(TRAP, index + 1)
    return found


def main():
    command, pid = sys.argv[1], int(sys.argv[2])
    if command in ("traps", "unplant"):
        print(traps(pid, int(sys.argv[3]) if command == "unplant" else 0))
        return
    pidfd = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
    start, size = guest_ram(pid)
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    while True:
        began = time.monotonic()
        push_out(pidfd, start, size)
        with open(f"/proc/{pid}/status") as status:
            left = [line.split()[1] for line in status if line.startswith(("VmRSS", "VmSwap"))]
        print(f"{time.monotonic() - began:.3f} s; kB in memory and swapped out: {' '.join(left)}", flush=True)
        if command != "push-out":
            break
        time.sleep(float(sys.argv[3]))


main()
