#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""In L1, with kvmtaint attached: counts the VM exits of guest operations, exactly, and
looks at the pinned maps with bpftool. Writes $OUT/exits.json, prints verdicts.
exits.py count: the table alone."""
import json
import os
import re
import subprocess
import sys

PINS = f"/sys/fs/bpf/kvmtaint/{os.environ['VMM']}"
TRAPS = 1  # KT_COUNT_TRAPS
TRIES = 3
# Else only counted (tests/bench/run): with another trap there is no limit.
LIMITS = sys.argv[1:] != ["count"]

# Operation: (what one call of `marked` is, calls, highest number of exits; None: published only)
OPERATIONS = {
    "getpid": ("getpid", 1000, 0),
    "open-close": ("open + close", 1000, 0),
    "stat": ("stat", 1000, 0),
    "epoll": ("epoll_wait", 1000, 0),
    "select": ("select", 1000, 0),
    "ioctl": ("ioctl of a terminal", 1000, 0),
    "udp-connect": ("connect (UDP)", 1000, 0),
    "read": ("read of a file", 1000, 1),
    "write": ("write of a file", 1000, 1),
    "pread": ("pread of a file", 1000, 1),
    "uring-read": ("read of a file by io_uring", 1000, 1),
    "pipe": ("pipe: write + read", 1000, 2),
    "unix-stream": ("UNIX stream: send + recv", 1000, 2),
    "unix-stream-write-read": ("UNIX stream: write + read", 1000, 4),
    "unix-seqpacket": ("UNIX seqpacket: send + recv", 1000, 2),
    "unix-dgram-sendto": ("UNIX datagram: sendto + recv", 1000, 3),
    "tcp": ("TCP: send + recv", 1000, 2),
    "tcp-write-read": ("TCP: write + read", 1000, 4),
    "udp": ("UDP: send + recv", 1000, 2),
    "udp-sendto": ("UDP: sendto + recv", 1000, 2),
    "udp6": ("UDP over IPv6: send + recv", 1000, 2),
    "pipe-read-empty": ("pipe: read", 1000, 1),
    "unix-stream-peek": ("UNIX stream: recv", 1000, 1),
    "unix-stream-read-empty": ("UNIX stream: read", 1000, 2),
    "unix-dgram-peek": ("UNIX datagram: recv", 1000, 1),
    "tcp-peek": ("TCP: recv", 1000, 1),
    "tcp-read-empty": ("TCP: read", 1000, 2),
    "udp-peek": ("UDP: recv", 1000, 1),
    "tcp-socket-close": ("TCP: socket + close", 500, None),
    "tcp-connect-accept": ("TCP: socket, connect, accept, close twice", 500, None),
    "mmap": ("mmap of a file + munmap", 1000, None),
    "mmap-anonymous": ("anonymous mmap + munmap, with its page fault", 1000, None),
    "pipe-close": ("pipe + close of both ends", 1000, None),
    "unix-socket-close": ("UNIX socket + close", 1000, None),
    "create-unlink": ("create + unlink", 500, None),
    "rename": ("rename", 500, None),
    "mq": ("POSIX message queue: send + receive", 1000, 2),
    "msg": ("System V message: msgsnd + msgrcv", 1000, 2),
    "getxattr": ("getxattr of security.*", 1000, 1),
    "get-acl": ("getxattr of an ACL", 1000, None),
    "symlink": ("symlink + readlink + unlink", 500, None),
    "pty": ("pty: write + read", 1000, 2),
    "page-fault": ("page fault", 1000, None),
    "fork": ("fork + exit + wait", 200, None),
    "exec": ("fork + exec + exit + wait", 100, None),
}

# What no row does alone: the first row less so many times the second; highest number of exits.
DIFFERENCES = {
    "pipe: write": ("pipe", 1, "pipe-read-empty", 1),
    "UNIX stream: send": ("unix-stream", 1, "unix-stream-peek", 1),
    "UNIX stream: write": ("unix-stream-write-read", 1, "unix-stream-read-empty", 2),
    "UNIX datagram: sendto": ("unix-dgram-sendto", 1, "unix-dgram-peek", 2),
    "TCP: send": ("tcp", 1, "tcp-peek", 1),
    "TCP: write": ("tcp-write-read", 1, "tcp-read-empty", 2),
    "TCP: connect + accept": ("tcp-connect-accept", 2, "tcp-socket-close", 0),
    "UDP: send": ("udp", 1, "udp-peek", 1),
    "UDP: sendto": ("udp-sendto", 1, "udp-peek", 1),
}


def bpftool(*words):
    return json.loads(subprocess.run(["bpftool", "-j", *words], check=True, capture_output=True).stdout)


def traps():
    entry = bpftool("map", "lookup", "pinned", f"{PINS}/counters", "key", str(TRAPS), "0", "0", "0")
    return sum(int("".join(byte[2:] for byte in reversed(cpu["value"])), 16) for cpu in entry["values"])


def guest(command):
    return subprocess.run(["guest", "-t", "120", command], capture_output=True, text=True, check=False)


def cost(command, calls, managed):
    """Exits of one call: a run of `calls` less a run of none. Both are the same each time, so
    a whole number comes out; what does not was disturbed by the guest's own business."""
    def once(n):
        line = f"marked {command} {n} >/dev/null"
        if managed:
            line = f"bash -c 'read x </srv/secret/a; {line}; exit $?'"
        before = traps()
        done = guest("cd /srv && " + line)
        if done.returncode:
            raise RuntimeError(f"marked {command} {n}: {done.stdout}{done.stderr}")
        return traps() - before
    found = []
    for _ in range(TRIES):
        found.append((once(calls) - once(0)) / calls)
        if found[-1].is_integer():
            return found[-1]
    return min(found)


def publish(table, what, unmanaged, managed, calls):
    table[what] = {"unmanaged": round(unmanaged, 2), "managed": round(managed, 2), "calls": calls}
    print(f"# {what:46} {unmanaged:8.2f} {managed:8.2f}", flush=True)


def judge(name, unmanaged, managed, most):
    if not LIMITS:
        return
    # A background process of the guest may add a few in thousands of calls.
    right = max(unmanaged, managed) <= most + 0.05
    print(f"ok exits-{name}" if right else
          f"not ok exits-{name}: {unmanaged:.2f} unmanaged, {managed:.2f} managed, not {most}")


def check_exits():
    table = {}
    found = {}
    for name, (what, calls, most) in OPERATIONS.items():
        calls = calls if LIMITS else max(100, calls // 2)
        try:
            found[name] = unmanaged, managed = cost(name, calls, False), cost(name, calls, True)
        except RuntimeError as error:
            print(f"not ok exits-{name}: {error}" if LIMITS and most is not None else f"# {error}")
            continue
        publish(table, what, unmanaged, managed, calls)
        if most is not None:
            judge(name, unmanaged, managed, most)
    for what, (whole, times, part, most) in DIFFERENCES.items():
        if whole in found and part in found:
            unmanaged, managed = (w - times * p for w, p in zip(found[whole], found[part]))
            publish(table, what, unmanaged, managed, OPERATIONS[whole][1])
            judge(re.sub("[^a-z]+", "-", what.lower()) + "-alone", unmanaged, managed, most)
        elif LIMITS:
            print(f"not ok exits-{whole}: not counted")
    with open(f"{os.environ['OUT']}/exits.json", "w") as file:
        json.dump(table, file, indent=1)


def formatted(name):
    return [entry["formatted"] for entry in bpftool("map", "dump", "pinned", f"{PINS}/{name}")]


def say(name, good, why):
    print(f"ok {name}" if good else f"not ok {name}: {why}")


def check_maps():
    guest("cat >/tmp/hold <<'END'\n"
          "import ctypes, os, socket, sys, time\n"
          "open('/srv/secret/a').read()\n"
          "open('/srv/copy', 'w').write('x')\n"
          "r, w = os.pipe(); os.write(w, b'x')\n"
          "a, b = socket.socketpair(); a.send(b'x')\n"
          "call = ctypes.CDLL(None).syscall\n"
          "call(248, b'user', b'held', b'x', 1, -4)\n"
          "call(69, call(68, 0, 0o600), (ctypes.c_long * 2)(1, 0), 8, 0)\n"
          "open('/tmp/held', 'w').write(f'{os.getpid()} {os.fstat(r).st_ino} {os.fstat(b.fileno()).st_ino} "
          "{os.stat(\"/srv/copy\").st_ino}')\n"
          "time.sleep(1000)\nEND\n"
          "setsid python3 /tmp/hold >/dev/null 2>&1 </dev/null & for i in $(seq 100); do [ -s /tmp/held ] && break; sleep 0.1; done")
    pid, pipe, socket, copy = (int(word) for word in guest("cat /tmp/held").stdout.split())
    found = [each["value"] for each in formatted("processes") if each["value"]["pid"] == pid]
    say("maps-process", found and "".join(map(str, found[0]["comm"])).find("python3") >= 0 and
        found[0]["managed"]["labels"] == 1, f"no process {pid}: {formatted('processes')}")
    # A file that was unlinked while open stays in the set; its number may be in use again.
    found = ["".join(each["value"]["name"]) for each in formatted("files") if each["key"]["ino"] == copy]
    say("maps-file", "copy" in found, f"no file with inode {copy} is called copy, but: {found}")
    say("maps-pipe", any(each["value"]["ino"] == pipe for each in formatted("pipes")), f"no pipe {pipe}")
    say("maps-socket", any(each["value"]["ino"] == socket and each["value"]["family"] == 1
                           for each in formatted("sockets")), f"no socket {socket}")
    keys = ["".join(each["value"]["description"]) for each in formatted("keys")]
    say("maps-key", "held" in keys, f"no key is called held, but: {keys}")
    say("maps-message", any(each["value"]["managed"]["labels"] == 1 for each in formatted("messages")), "no message")
    text = subprocess.run(["bpftool", "map", "dump", "pinned", f"{PINS}/processes"], check=True,
                          capture_output=True, text=True).stdout
    with open(f"{os.environ['OUT']}/processes.dump", "w") as file:
        file.write(text)
    say("maps-text", '"comm"' in text and '"labels"' in text, "no field names in bpftool's dump")


check_exits()
if LIMITS:
    check_maps()
