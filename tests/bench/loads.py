#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""In L1, with the shim's module loaded: how long LMbench's programs and some loads take in the
guest by each way of tracing it, and untraced just before, round after round. Writes
$OUT/loads.json: {"lmbench" or "loads": {row: {way: [[seconds of an operation, untraced], one
a round]}}}. The lab is an emulator on a machine that may have other work: of each the shortest
of some tries counts, and only what is compared with each other here says anything.

  loads.py SECONDS   no new round begins after so many"""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, "/run/lab")
from channel import Channel  # noqa: E402

VMM = os.environ["VMM"]
OUT, IN = os.environ["OUT"], os.environ["IN"]
END = time.monotonic() + float(sys.argv[1])
ROUNDS = 3
TRIES = 2
LEAST = 0.4  # seconds that a load takes at least, or it is made longer
SECRET = "read x </srv/secret/a; "

# By lmbench(8); few repetitions, and no look for what the clock costs: an emulator's time is dear.
LMBENCH_ENV = "export ENOUGH=10000 TIMING_O=0 LOOP_O=0;"
LMBENCH = {
    "syscall": "lat_syscall -N 1 null",
    "select_tcp": "lat_select -N 1 -n 10 tcp",
    "unix": "lat_unix -N 1",
    "udp": "lat_udp -s && lat_udp -N 1 localhost; s=$?; lat_udp -S localhost; (exit $s)",
    "tcp": "lat_tcp -s && lat_tcp -N 1 localhost; s=$?; lat_tcp -S localhost; (exit $s)",
    "tcp_connect": "lat_connect -s && lat_connect -N 1 localhost; s=$?; lat_connect -S localhost; (exit $s)",
}

# N operations of each; the first N that is tried.
LOADS = {
    "getpid": ("marked getpid {}", 2000),
    "sendto_recvfrom": ("marked udp-sendto {}", 200),
    "dd": ("dd if=/srv/bench/in of=/tmp/out bs=1 count={} 2>/dev/null", 200),
    "unix_ping_pong": ("marked unix-stream-write-read {}", 100),
    "compile": ("for ((i = 0; i < {}; i++)); do gcc -O1 -c /srv/bench/a.c -o /tmp/a.o; done", 1),
}
# Where a debugger stops: four, as the CPU has debug registers.
BROKEN_INTO = ["file_permission", "socket_sendmsg", "socket_recvmsg", "task_new"]
# What people use instead of us gets these alone.
INSTEAD = ["getpid", "dd", "unix_ping_pong", "compile"]

SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) { char line[100]; while (fgets(line, sizeof(line), stdin))
    printf("%zu %d\n", strlen(line), atoi(line)); return argc > 1 && !strcmp(argv[1], "-x"); }
"""

# In the guest: attaches the pinned program to sys_enter, by bpf(2): BPF_OBJ_GET, BPF_RAW_TRACEPOINT_OPEN.
ATTACH = r"""
import ctypes, signal
call = ctypes.CDLL(None, use_errno=True).syscall
def bpf(command, *words):
    attr = (ctypes.c_uint64 * 16)(*words)
    fd = call(321, command, attr, 128)
    assert fd >= 0, (command, ctypes.get_errno())
    return fd
path, name = ctypes.create_string_buffer(b"/sys/fs/bpf/tracer"), ctypes.create_string_buffer(b"sys_enter")
link = bpf(17, ctypes.addressof(name), bpf(7, ctypes.addressof(path)))
print("attached", flush=True)
signal.pause()
"""

# The calls that pass kvmtaint's hooks.
AUDITED = ("read write pread64 pwrite64 readv writev preadv pwritev sendto recvfrom sendmsg recvmsg sendmmsg "
           "recvmmsg sendfile splice mmap connect accept accept4 clone fork vfork execve rename unlink")

channel = Channel()
found = {"lmbench": {}, "loads": {}}


def say(text):
    print(f"# {text}", flush=True)


def guest(script, seconds=120):
    result = channel.run(script, contain=False, seconds=seconds)
    text = result.output.decode(errors="replace")
    if result.status:
        raise RuntimeError(f"{script[:80]}: status {result.status}: {text[-300:]}")
    return text


untraced = {}


def keep(kind, row, way, seconds):
    if way == "untraced":
        untraced[kind, row] = seconds
        return
    found[kind].setdefault(row, {}).setdefault(way, []).append([seconds, untraced[kind, row]])
    write()


def drop(way):
    """Takes out what was measured of a way that did not do what it should."""
    for row in found["loads"].values():
        row.pop(way, None)
    write()


def write():
    with open(f"{OUT}/loads.json", "w", encoding="ascii") as file:
        json.dump(found, file, indent=1)


# --- loads ---------------------------------------------------------------------


def once(command, count, managed):
    start = time.monotonic()
    guest("cd /tmp; " + (SECRET if managed else "") + command.format(count) + " >/dev/null", 300)
    return time.monotonic() - start


def operation(name, managed):
    """Seconds of one operation, by L1's clock: the guest's stands while a debugger holds it."""
    command, count = LOADS[name]
    nothing = min(once(command, 0, managed) for _ in range(TRIES))
    took = once(command, count, managed) - nothing
    # A compile is long enough, whatever disturbs one of the two.
    while took < LEAST and name != "compile":
        count *= max(2, min(20, int(1.2 * LEAST / max(took, 0.01))))
        took = once(command, count, managed) - nothing
    took = min([took] + [once(command, count, managed) - nothing for _ in range(TRIES - 1)])
    if took <= 0:
        raise RuntimeError(f"{name} takes no time")
    return took / count


def measure(way, managed, loads):
    for name in loads:
        seconds = operation(name, managed)
        keep("loads", name, way, seconds)
        say(f"{way:16} {name:16} {seconds * 1e6:12.1f} us")


def lmbench_once(command, managed):
    text = guest(f"cd /tmp; PATH=/tmp/lmbench:$PATH; {LMBENCH_ENV} {SECRET if managed else ''}{command}", 300)
    match = re.findall(r"([0-9.]+) microseconds", text)
    if not match:
        raise RuntimeError(f"{command}: {text}")
    return float(match[-1])


def lmbench(way, managed):
    for row, command in LMBENCH.items():
        took = min(lmbench_once(command, managed) for _ in range(TRIES))
        keep("lmbench", row, way, took / 1e6)
        say(f"{way:16} {row:16} {took:12.2f} us (LMbench)")


# --- ways ----------------------------------------------------------------------


@contextlib.contextmanager
def kvmtaint(trap):
    records = f"/tmp/records.{trap}"
    with open(records, "wb") as out, open(f"{records}.err", "wb") as err:
        process = subprocess.Popen(["kvmtaint", "--vm", VMM, "--trap", trap, "--secret", "lab=/srv/secret/"],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    while b'"type":"start"' not in open(records, "rb").read():
        if process.poll() is not None:
            raise RuntimeError(open(f"{records}.err").read())
        time.sleep(0.05)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


class Gdb:
    """
    A debugger at QEMU's gdbstub that stops at four functions that we would trap, and goes on at once. Hardware
    breakpoints: QEMU's TCG delivers the INT3 of others to the guest itself, past the intercept.
    """

    def __init__(self, sites):
        subprocess.run(["l2", "qmp", "human-monitor-command", '{"command-line": "gdbserver tcp:127.0.0.1:1234"}'],
                       check=True, capture_output=True)
        self.stub = socket.create_connection(("127.0.0.1", 1234), 10)
        self.stub.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stub.settimeout(30)
        self.pending, self.stops, self.sites = b"", 0, sites
        self.ask("QStartNoAckMode")
        self.stub.sendall(b"+")
        for site in sites:
            if self.ask(f"Z1,{site:x},1") != "OK":
                raise RuntimeError("the stub takes no breakpoint")
        self.ending = False
        self.send("c")
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def send(self, text):
        self.stub.sendall(f"${text}#{sum(text.encode()) & 255:02x}".encode())

    def take(self):
        while True:
            packet = re.search(rb"\$([^#]*)#..", self.pending)
            if packet:
                self.pending = self.pending[packet.end():]
                return packet[1].decode(errors="replace")
            data = self.stub.recv(4096)
            if not data:
                raise RuntimeError("the stub went away")
            self.pending += data

    def ask(self, text):
        """The answer; that the VM stopped may be told before."""
        self.send(text)
        while (said := self.take())[:1] == "T":
            pass
        return said

    def serve(self):
        while True:
            try:
                stop = self.take()
            except TimeoutError:
                continue
            if not stop.startswith("T05"):
                if self.ending:
                    return
                continue
            rip = int.from_bytes(bytes.fromhex(self.ask("g")[256:272]), "little")  # behind 16 registers
            if rip in self.sites:
                self.stops += 1
                self.send(f"c{rip + 5:x}")  # there is a NOP of five bytes
            else:
                self.send("c")

    def end(self):
        self.ending = True
        self.stub.sendall(b"\x03")
        self.thread.join(30)
        for site in self.sites:
            self.ask(f"z1,{site:x},1")
        self.send("D")
        time.sleep(0.5)
        self.stub.close()
        subprocess.run(["l2", "qmp", "human-monitor-command", '{"command-line": "gdbserver none"}'],
                       check=True, capture_output=True)


@contextlib.contextmanager
def gdbstub():
    probe = json.loads(subprocess.run(["kvmtaint", "probe", "--json", "--vm", VMM], check=True,
                                      capture_output=True).stdout)
    gdb = Gdb([int(hook["site"], 16) for hook in probe["hooks"] if hook["name"] in BROKEN_INTO])
    try:
        yield
    finally:
        gdb.end()
        say(f"gdbstub: {gdb.stops} stops")
    if not gdb.stops:
        raise RuntimeError("the debugger never stopped the guest")


AUDIT = r"""
mkdir -p /var/log/audit
pidof auditd >/dev/null || auditd
auditctl -D
auditctl -b 65536
rule=()
for call in $AUDITED; do
	auditctl -a always,exit -F arch=b64 -S $call && rule+=(-S $call)
done
auditctl -D
auditctl -a always,exit -F arch=b64 "${rule[@]}"
auditctl -e 1
auditctl -s
auditctl -l
auditctl -l | grep -q always,exit
"""


@contextlib.contextmanager
def audit():
    said = guest(f"AUDITED='{AUDITED}'\n{AUDIT}")
    lines = "cat /var/log/audit/audit.log 2>/dev/null | wc -l"
    before = int(guest(lines).split()[-1])
    try:
        yield
    finally:
        guest("auditctl -e 0; auditctl -D")
    grown = int(guest(lines).split()[-1]) - before
    say(f"audit: {grown} lines")
    if grown < 10000:
        raise RuntimeError(f"only {grown} lines of audit: {' '.join(said.split())[-600:]}")


@contextlib.contextmanager
def ebpf():
    guest("mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf; rm -f /sys/fs/bpf/tracer;"
          "bpftool prog load /tmp/lmbench/tracer.bpf.o /sys/fs/bpf/tracer;"
          f"cat >/tmp/attach <<'END'\n{ATTACH}\nEND\n"
          "setsid python3 /tmp/attach >/tmp/attach.log 2>&1 </dev/null & echo $! >/tmp/attach.pid\n"
          "for ((i = 0; i < 100; i++)); do grep -q attached /tmp/attach.log && break; sleep 0.1; done;"
          "grep attached /tmp/attach.log || { cat /tmp/attach.log; false; }")
    try:
        yield
    finally:
        guest("kill $(cat /tmp/attach.pid); rm -f /sys/fs/bpf/tracer")


def compare(way):
    """The loads by a way that people use instead. One that fails leaves the others."""
    measure("untraced", False, INSTEAD)
    try:
        with way():
            measure(way.__name__, False, INSTEAD)
    except (RuntimeError, OSError) as error:
        print(f"not ok loads-{way.__name__}: {error}", flush=True)
        drop(way.__name__)


def rounds():
    for command, count in LOADS.values():
        once(command, count, False)  # what it needs comes from the disk
    for number in range(ROUNDS):
        say(f"round {number + 1}")
        for trap in "patch", "shim":
            measure("untraced", False, LOADS)
            lmbench("untraced", False)
            with kvmtaint(trap):
                for managed in False, True:
                    way = f"{trap}_{'' if managed else 'un'}managed"
                    measure(way, managed, LOADS)
                    lmbench(way, managed)
        compare(ebpf)
        if time.monotonic() > END:
            break
    compare(gdbstub)
    compare(audit)  # last: every process born after is looked at on its way into the kernel


def main():
    guest("mkdir -p /srv/secret /srv/bench; echo x >/srv/secret/a; head -c 1000000 /dev/urandom >/srv/bench/in;"
          f"cat >/srv/bench/a.c <<'END'\n{SOURCE}\nEND\n"
          f"scp -rq root@10.9.0.1:{IN}/lmbench /tmp/lmbench; ls /tmp/lmbench")
    rounds()
    print("ok whole", flush=True)


main()
