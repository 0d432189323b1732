#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""In L1, with the shim loaded: what it must do, and what it must leave alone. Looked at
from outside and from inside the guest; prints verdicts.

  shim.py CALLS    how many calls are counted"""
import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.environ["IN"])
import lifecycle  # noqa: E402
from lifecycle import VMM, Kvmtaint, Text, guest, read, wait_for  # noqa: E402

CALLS = int(sys.argv[1])
DEVICE = "/dev/kvmtaint_shim"
MODULE = "/job/modules/kvmtaint_shim.ko"
NO_SHIM, SHIM_VERSION, SHIM_BUSY, USAGE = 23, 24, 26, 2
VMM_EXITS = "/sys/kernel/tracing/events/kvm/kvm_userspace_exit"
EXITS_OF_ALL = "/sys/kernel/tracing/events/kvm/kvm_exit"
SVM_EXIT_DB = 65  # #DB, of the exceptions from 64 on
TRAPS = 1  # KT_COUNT_TRAPS
KVM_EXIT_HLT = 5
NESTED_CALLS = 10000

# Operation of `marked` -> exits of one call with the four default hooks.
EXITS = {"getpid": 0, "open-close": 0, "epoll": 0, "read": 1, "write": 1, "pipe": 2,
         "unix-stream": 2, "tcp": 2, "udp": 2}


def say(name, right, why=""):
    print(f"ok {name}" if right else f"not ok {name}: {why}", flush=True)


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def run(*options):
    return subprocess.run(["kvmtaint", "--no-wait", "--vm", str(VMM), *options], capture_output=True,
                          text=True, timeout=120, check=False)


def refused(name, status, words, *options):
    done = run("--trap", "shim-hooks", *options)
    said = done.stderr.strip()
    say(name, done.returncode == status and "\n" not in said and words in said and not done.stdout,
        f"status {done.returncode}: {said}")


def started(name, vmm=VMM):
    tracer = Kvmtaint(vmm)
    seconds = tracer.wait_started()
    say(name, seconds is not None, tracer.said())
    return tracer if seconds is not None else None


def ended(name, tracer):
    status = tracer.end()
    say(name, status == 0, f"status {status}: {tracer.said()}")


def records(tracer):
    return [json.loads(line) for line in read(tracer.records).splitlines()]


def traps():
    words = ["bpftool", "-j", "map", "lookup", "pinned", f"{lifecycle.PINS}/counters", "key",
             str(TRAPS), "0", "0", "0"]
    entry = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return sum(int("".join(byte[2:] for byte in reversed(cpu["value"])), 16) for cpu in entry["values"])


def exits_of(operation, calls, cpu):
    before = traps()
    guest(f"cd /srv && taskset -c {cpu} marked {operation} {calls} >/dev/null", 120)
    return traps() - before


def check_count(name, operation, cpu):
    """N marked calls give N exits: a run of N less one of none, once without a disturbance."""
    wanted, found = EXITS[operation] * CALLS, []
    for _ in range(3):
        found.append(exits_of(operation, CALLS, cpu) - exits_of(operation, 0, cpu))
        if found[-1] == wanted:
            break
    say(name, found[-1] == wanted, f"{CALLS} calls gave {found} exits, not {wanted}")


def check_counts():
    for operation in EXITS:
        check_count(f"exits-{operation}", operation, 0)


def check_cpus():
    """A CPU that the guest takes down and up again (INIT, SIPI) is armed as before."""
    online = "/sys/devices/system/cpu/cpu1/online"
    said = guest(f"echo 0 >{online} && echo 1 >{online} && cat {online}").strip()
    say("cpu-down-and-up", said == "1", said)
    check_count("exits-on-it", "read", 1)


def has_vm(pid):
    for fd in os.listdir(f"/proc/{pid}/fd"):
        # A descriptor may be closed since it was listed.
        with contextlib.suppress(FileNotFoundError):
            if "kvm-vm" in os.readlink(f"/proc/{pid}/fd/{fd}"):
                return True
    return False


def check_two_vms():
    """Another VM, whose guest has no disks: its kernel comes up, and that is all it needs."""
    second = subprocess.Popen(["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
                               "-M", "microvm,rtc=on,pit=off,pic=off", "-accel", "kvm", "-m", "256",
                               "-cpu", "host,-xsave,-avx,-avx2,-fma,-f16c", "-kernel", "/job/l2/vmlinuz",
                               "-initrd", "/job/l2/initrd", "-append", "rdinit=/init"])
    try:
        wait_for(lambda: has_vm(second.pid), 20)
        tracer = started("second-vm", second.pid)
        if tracer:
            look_at_both(tracer)
        say("second-vm-lives", second.poll() is None, "it ended")
    finally:
        second.kill()
        second.wait()
    check_count("exits-of-the-first-alone", "read", 0)


def look_at_both(tracer):
    def armed():
        return '"trap":"shim-hooks"' in read(tracer.records)
    say("two-vms-armed", wait_for(armed, 120) and read(lifecycle.SHIM_USERS) == "2\n", tracer.said())
    check_count("exits-of-the-first", "read", 0)
    ended("second-vm-disarmed", tracer)


def debug_exits():
    """#DB exits since the trigger was set, whoever they were of."""
    return sum(map(int, re.findall(rf"exit_reason: +{SVM_EXIT_DB} .*hitcount: +(\d+)", read(f"{EXITS_OF_ALL}/hist"))))


def nested(address, calls):
    """A guest of the guest calls a function at this address. What it says, and #DB exits meanwhile."""
    before = debug_exits()
    return guest(f"nested {address} {calls}", 120).strip(), debug_exits() - before


def check_nested(tracer):
    """A guest of the guest at the very addresses: it is none of ours."""
    write(f"{EXITS_OF_ALL}/trigger", "hist:keys=exit_reason")
    before = debug_exits()
    check_count("exits-of-no-nested-guest", "read", 0)
    say("debug-exits-are-seen", debug_exits() - before >= EXITS["read"] * CALLS, f"{debug_exits() - before}")
    for hook in records(tracer)[0]["hooks"]:
        said, exits = nested(hook["address"], NESTED_CALLS)
        # The guest's other processes read and write, too.
        say(f"nested-{hook['name']}", said == f"exit {KVM_EXIT_HLT}, calls {NESTED_CALLS}" and
            exits < NESTED_CALLS / 10, f"'{said}', {exits} exits")
    write(f"{EXITS_OF_ALL}/trigger", "!hist:keys=exit_reason")


def check_flow(tracer):
    guest("bash -c 'cat /srv/secret/a >/dev/udp/10.9.0.1/9000'")
    found = wait_for(lambda: any(r["type"] == "leak" for r in records(tracer)), 10)
    say("leak", found, f"{[r['type'] for r in records(tracer)]}")
    first = records(tracer)[0]
    say("start-record", first["trap"] == "shim-hooks" and len(first["hooks"]) == 4, f"{first}")
    say("nothing-lost", not any(r["type"] == "lost" for r in records(tracer)),
        f"{[r for r in records(tracer) if r['type'] == 'lost'][:1]}")


def warm_up():
    guest("cd /srv; echo x >/dev/udp/10.9.0.1/9000; taskset -c 1 true")
    for operation in EXITS:
        guest(f"cd /srv && marked {operation} 10 >/dev/null")


class Gdb:
    """The VMM's own debugger, as far as to set a breakpoint."""

    def __init__(self):
        # QEMU's monitor makes the stub; it stops the VM when somebody connects.
        subprocess.run(["l2", "qmp", "human-monitor-command",
                        '{"command-line": "gdbserver tcp:127.0.0.1:1234"}'], check=True, capture_output=True)
        self.stub = socket.create_connection(("127.0.0.1", 1234), 10)
        self.stub.settimeout(20)

    def send(self, text):
        self.stub.sendall(f"+${text}#{sum(text.encode()) & 255:02x}".encode())

    def ask(self, text):
        """Whether the answer was OK; others, to what happened before, may come first."""
        got = b""
        self.send(text)
        with contextlib.suppress(TimeoutError):
            while b"$OK#" not in got and b"$E" not in got:
                got += self.stub.recv(4096)
        return b"$OK#" in got


def main():
    guest("mkdir -p /srv/secret; echo x >/srv/secret/a")
    # A kernel patches its text itself, at the first use of this and that.
    warm_up()
    said = guest("modprobe kvm_amd; nested ffffffff80000000 1")
    say("guest-makes-vms", "calls 1" in said, said)
    steps = guest("steps 200")
    text = Text()

    subprocess.run(["rmmod", "kvmtaint_shim"], check=True)
    refused("module-not-loaded", NO_SHIM, "not loaded")
    os.mknod(DEVICE, stat.S_IFCHR | 0o600, os.makedev(1, 3))  # /dev/null's
    refused("not-the-shim", SHIM_VERSION, "not the shim's")
    os.unlink(DEVICE)
    subprocess.run(["insmod", MODULE], check=True)
    say("five-hooks", run("--trap", "shim-hooks", *["--shim-hook=task_new"] * 5).returncode == USAGE)

    write(f"{VMM_EXITS}/trigger", "hist:keys=reason")
    tracer = started("armed")
    if not tracer:
        return  # there is nothing to look at; no "ok whole"
    done = subprocess.run(["rmmod", "kvmtaint_shim"], capture_output=True, text=True, check=False)
    say("rmmod-while-armed", done.returncode != 0 and os.path.exists(DEVICE), "it was unloaded")
    say("text-while-armed", text.planted() == 0 and not lifecycle.wrong["text"], "a trap is in the text")
    text.check("while armed")
    say("guest-steps-itself", steps and guest("steps 200") == steps,
        f"{steps.strip()} before, {guest('steps 200').strip()} while armed")
    check_counts()
    check_cpus()
    check_nested(tracer)
    check_flow(tracer)
    check_two_vms()

    # Of all exits to a VMM meanwhile: some, but none for debugging (KVM_EXIT_DEBUG is 4).
    reasons = re.findall(r"reason: +(\d+) ", read(f"{VMM_EXITS}/hist"))
    say("no-exit-to-the-vmm", reasons and "4" not in reasons, f"reasons {reasons}")

    # The VMM's debugger comes while we are armed: its breakpoints win, and it is said.
    gdb = Gdb()
    say("gdb-breakpoint", gdb.ask("Z1,ffffffff00000000,1"), "the stub did not take it")
    gdb.send("c")
    say("gdb-takes-over", wait_for(lambda: any(r.get("reason") == "trap_changed" for r in records(tracer)), 10),
        "no lost record")
    ended("end-with-gdb", tracer)
    refused("gdb-in-use", SHIM_BUSY, "debug registers")
    gdb.stub.sendall(b"\x03")
    time.sleep(1)
    gdb.ask("D")
    gdb.stub.close()
    say("guest-lives", "alive" in guest("echo alive"))

    # The VM is killed while it is armed.
    tracer = started("armed-after-gdb")
    if not tracer:
        return
    guest("cat /srv/secret/a >/srv/b")
    text.check("armed again")
    say("text-identical", not lifecycle.wrong["text"], "; ".join(lifecycle.wrong["text"]))
    os.kill(VMM, signal.SIGKILL)
    status = tracer.process.wait(60)
    last = records(tracer)[-1]
    say("vm-killed", status == 0 and last.get("reason") == "vm_gone", f"status {status}: {last}")
    say("vm-killed-shim-free", wait_for(lambda: read(lifecycle.SHIM_USERS) == "0\n", 5), "the shim is in use")
    say("rmmod-afterwards", subprocess.run(["rmmod", "kvmtaint_shim"], check=False).returncode == 0)
    kernel = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    bad = [line for line in kernel.splitlines()
           if any(word in line for word in ("WARNING", "BUG", "Oops", "kvmtaint_shim:"))
           and "taint" not in line.replace("kvmtaint", "")]
    say("host-dmesg-clean", not bad, " | ".join(bad[:3]))
    print("ok whole")


main()
