#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""In L1: kvmtaint comes and goes, and is killed, while the guest works.

  lifecycle.py ATTACHES KILLS

The traps are those of $LAB_TRAP. Half of the kills are followed by an attach that takes
over, which is one of the ATTACHES, half by `kvmtaint release`; of the shim nothing is left
to take over. Everything is looked at from outside after each
of them: the guest's kernel text, the VM's threads, processes and pins that were left."""
import collections
import json
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, "/run/lab")
from channel import Channel  # noqa: E402
from records import Records  # noqa: E402

VMM = int(os.environ["VMM"])
PINS = f"/sys/fs/bpf/kvmtaint/{VMM}"
TRAP = bytes.fromhex("2e2e2e0f08")
KIND = os.environ["LAB_TRAP"]
PATCHES = KIND == "patch"
SHIM_USERS = "/sys/module/kvmtaint_shim/refcnt"
WARNINGS = "dmesg --level=emerg,alert,crit,err,warn"
# An emulator on a busy machine is slow, and the guest's clocks say so: that is no harm done.
with open("/run/lab/slow", encoding="ascii") as slow_file:
    SLOW = slow_file.read().splitlines()

channel = Channel()
with open("/job/kvmtaint/record.schema.json") as schema_file:
    schema = json.load(schema_file)
wrong = collections.defaultdict(list)  # test -> reasons


def guest(script, seconds=60):
    return channel.run(script, contain=False, seconds=seconds).output.decode(errors="replace")


def read(path):
    with open(path, errors="replace") as file:
        return file.read()


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Text:
    """The guest kernel's text, read from the VMM's memory as kvmtaint must leave it."""

    def __init__(self):
        probe = json.loads(subprocess.run(["kvmtaint", "probe", "--json", "--vm", str(VMM)],
                                          capture_output=True, check=True).stdout)
        ends = {line.split()[2]: int(line.split()[0], 16)
                for line in guest("grep -E ' (_text|_etext)$' /proc/kallsyms").splitlines()}
        start = int(probe["text"], 16)
        if ends["_text"] != start:
            raise RuntimeError(f"the text is at {ends['_text']:#x}, not {start:#x}")
        self.slots = [(int(slot["gpa"], 16), slot["pages"] << 12, int(slot["hva"], 16))
                      for slot in probe["vm"]["memslots"]]
        self.memory = os.open(f"/proc/{VMM}/mem", os.O_RDONLY)
        self.gpa, self.size = int(probe["text_physical"], 16), ends["_etext"] - start
        self.sites = [int(hook["site_physical"], 16) for hook in probe["hooks"] if "site" in hook]
        self.before = self.at(self.gpa, self.size)
        self.compared = 0

    def at(self, gpa, size):
        data = b""
        while len(data) < size:
            start, length, hva = next(slot for slot in self.slots if slot[0] <= gpa < slot[0] + slot[1])
            part = os.pread(self.memory, min(size - len(data), start + length - gpa), hva + gpa - start)
            data += part
            gpa += len(part)
        return data

    def planted(self):
        return sum(self.at(site, len(TRAP)) == TRAP for site in self.sites)

    def check(self, when):
        self.compared += 1
        now = self.at(self.gpa, self.size)
        if now != self.before:
            places = [hex(i) for i in range(self.size) if now[i] != self.before[i]]
            wrong["text"].append(f"{when}: {len(places)} bytes differ, at _text + {places[:5]}")


def standing():
    """Threads of the VMM that are stopped or traced."""
    found = []
    for thread in os.listdir(f"/proc/{VMM}/task"):
        try:
            state = read(f"/proc/{VMM}/task/{thread}/stat").rsplit(") ", 1)[1][0]
        except OSError:
            continue
        if state in "Tt":
            found.append(f"{thread} ({state})")
    return found


def running():
    """kvmtaint and its guard, whoever is there."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            comm = read(f"/proc/{pid}/comm").strip()
        except OSError:
            continue
        if comm.startswith("kvmtaint"):
            found.append(f"{comm} {pid}")
    return found


class Kvmtaint:
    number = 0

    def __init__(self, vmm=VMM, options=()):
        Kvmtaint.number += 1
        self.records = f"/tmp/records.{Kvmtaint.number}"
        self.since = time.monotonic()
        with open(self.records, "wb") as out, open(self.records + ".stderr", "wb") as err:
            self.process = subprocess.Popen(["kvmtaint", "--vm", str(vmm), "--trap", KIND, "--secret", "lab=/srv/secret/", *options],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            preexec_fn=be_ordinary)

    def alive(self):
        return self.process.poll() is None

    def wait_started(self):
        """Seconds until the start record; None: it ended before."""
        while self.alive():
            if '"type":"start"' in read(self.records):
                return time.monotonic() - self.since
            time.sleep(0.02)
        return None

    def wait(self, condition, pause=0.0005):
        while self.alive() and not condition():
            time.sleep(pause)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def said(self):
        return read(self.records + ".stderr").strip()[-300:]


def be_quick():
    """Of two programs on L1's only CPU, the one that watches comes first."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def be_ordinary():
    """Before the vCPUs, which would take two thirds of the CPU, but after the one that watches."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, 0, -15)


def check_left(when):
    if not wait_for(lambda: not running(), 5):
        wrong["left"].append(f"{when}: {', '.join(running())}")
    if not PATCHES and not wait_for(lambda: read(SHIM_USERS) == "0\n", 5):
        wrong["left"].append(f"{when}: the shim is in use")
    if standing():
        wrong["standing"].append(f"{when}: threads {', '.join(standing())}")


def check_records(run, when):
    records = Records(run.records, schema)
    records.poll()
    wrong["cycles"] += [f"{when}: {error}" for error in records.errors]
    kinds = [record["type"] for record in records.all]
    if kinds[:1] != ["start"] or kinds[-1:] != ["stop"]:
        wrong["cycles"].append(f"{when}: the records are {kinds[:5]} ... {kinds[-1:]}")


attach_seconds = []


def attach_and_detach(text, when):
    run = Kvmtaint()
    seconds = run.wait_started()
    if seconds is None:
        wrong["cycles"].append(f"{when}: status {run.process.wait()}: {run.said()}")
        return
    attach_seconds.append(seconds)
    # tests/lab/run takes a job from which nothing comes for one that hangs.
    print(f"# attached {len(attach_seconds)} times, now in {seconds:.1f} s", flush=True)
    if text.planted() != (len(text.sites) if PATCHES else 0):
        wrong["cycles"].append(f"{when}: {text.planted()} of {len(text.sites)} traps are planted")
    time.sleep(random.random() * 0.3)
    status = run.end()
    if status:
        wrong["cycles"].append(f"{when}: status {status}: {run.said()}")
    text.check(when)
    if os.path.exists(PINS):
        wrong["left"].append(f"{when}: {PINS}")
    check_left(when)
    check_records(run, when)


# Moments for a kill; the last three are hit by looking, whatever the machine's speed.

def any_time(run, text):
    time.sleep(random.random() * sum(attach_seconds) / len(attach_seconds))


def while_planting(run, text):
    run.wait(lambda: os.path.exists(f"{PINS}/counters"), 0.01)
    if random.random() < 0.5:
        run.wait(lambda: text.at(text.sites[0], len(TRAP)) == TRAP)
    else:
        run.wait(lambda: "TracerPid:\t0\n" not in read(f"/proc/{VMM}/status"), 0.003)
        time.sleep(random.random() * 0.004)


def while_tracing(run, text):
    run.wait_started()
    time.sleep(random.random() * 0.5)


def while_removing(run, text):
    run.wait_started()
    run.process.send_signal(signal.SIGINT)
    run.wait(lambda: text.at(text.sites[0], len(TRAP)) != TRAP)


if PATCHES:
    MOMENTS = any_time, while_planting, while_tracing, while_planting, while_removing
else:
    MOMENTS = any_time, while_tracing


def kill(text, number):
    """Kills one; returns what it left in the guest."""
    moment = MOMENTS[number % len(MOMENTS)]
    run = Kvmtaint()
    moment(run, text)
    run.kill()
    planted = text.planted()
    left = "no" if not planted else "all" if planted == len(text.sites) else "some"
    when = f"kill {number}, {moment.__name__.replace('_', ' ')}, {left} traps left"
    print(f"# {when}", flush=True)
    if not wait_for(lambda: not standing(), 3):
        wrong["standing"].append(f"{when}: threads {', '.join(standing())}")
    if number % 2:
        attach_and_detach(text, f"attach after {when}")
        return left
    done = subprocess.run(["kvmtaint", "release", "--vm", str(VMM)], capture_output=True, text=True,
                          preexec_fn=be_ordinary)
    if done.returncode or not done.stdout.startswith(f"{planted} traps taken out"):
        wrong["kills"].append(f"release after {when}: status {done.returncode}: {done.stdout}{done.stderr}")
    text.check(f"release after {when}")
    check_left(f"release after {when}")
    return left


def check_options():
    """What is said at start of a hook that is left out, and the room that the sets are given."""
    run = Kvmtaint(options=["--without-hook", "tee", "--max-objects", "40", "--max-readers", "70"])
    if run.wait_started() is None:
        wrong["options"].append(f"status {run.process.wait()}: {run.said()}")
        return
    for name, room in ("files", 40), ("processes", 40), ("fuse", 40):
        shown = json.loads(subprocess.run(["bpftool", "-j", "map", "show", "pinned", f"{PINS}/{name}"],
                                          check=True, capture_output=True).stdout)
        if shown["max_entries"] != room:
            wrong["options"].append(f"{name}: {shown}")
    readers = json.loads(subprocess.run(["bpftool", "-j", "map", "show", "name", "readers"],
                                        check=True, capture_output=True).stdout)
    if (readers if isinstance(readers, dict) else readers[0])["max_entries"] != 70:
        wrong["options"].append(f"readers: {readers}")
    start = json.loads(read(run.records).splitlines()[0])
    if {"hook": "tee", "unseen": "tee()"} not in start["missing"]:
        wrong["options"].append(f"missing: {start['missing']}")
    if run.end():
        wrong["options"].append(f"it ended badly: {run.said()}")
    if "no trap for tee in this guest; not seen: tee()" not in read(run.records + ".stderr"):
        wrong["options"].append(f"stderr: {run.said()}")


def say(name, test, why=None):
    reasons = [why] if why else wrong[test]
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    print(f"not ok {name}: {reasons[0]}{more}" if reasons else f"ok {name}", flush=True)


def main():
    attaches, kills = int(sys.argv[1]), int(sys.argv[2])
    random.seed(VMM)
    guest("mkdir -p /srv/load /srv/secret; echo x >/srv/secret/a\n"
          "setsid load /srv/load >/tmp/load.out 2>&1 </dev/null &")
    time.sleep(5)
    warnings = guest(WARNINGS).splitlines()
    text = Text()
    be_quick()
    for n in range(attaches - kills // 2):
        attach_and_detach(text, f"cycle {n}")
    if not attach_seconds:
        say(f"{attaches}-attach-detach-cycles", "cycles")
        return
    if PATCHES:
        check_options()
        say("options-are-taken-and-what-is-not-seen-is-said", "options")
    left = collections.Counter(kill(text, n) for n in range(kills))
    print(f"# attach: {min(attach_seconds):.1f} to {max(attach_seconds):.1f} s; kills left"
          f" {', '.join(f'{what} traps {count} times' for what, count in left.items())};"
          f" {text.size} bytes of text compared {text.compared} times")
    say(f"{attaches}-attach-detach-cycles", "cycles",
        None if wrong["cycles"] or len(attach_seconds) == attaches else f"{len(attach_seconds)} were done")
    say(f"{kills}-kills-taken-over-or-released", "kills")
    if PATCHES:
        say("kills-before-and-after-planting", "",
            None if left["no"] and left["all"] else f"what was left: {left}")
    say("text-identical-after-each", "text")
    say("vm-never-left-standing", "standing")
    say("nothing-left-behind", "left")
    new = [line for line in guest(WARNINGS).splitlines()
           if line not in warnings and not any(each in line for each in SLOW)]
    say("guest-dmesg-clean", "", " | ".join(new[:3]))
    said = guest("pkill -TERM -o -x load; for i in $(seq 300); do grep -qE 'OK|BAD' /tmp/load.out && break\n"
                 "sleep 0.1; done; cat /tmp/load.out").strip()
    print(f"# load: {said}")
    say("load-is-right", "", None if said.startswith("OK ") else said or "no answer")
    print("ok whole")


if __name__ == "__main__":
    main()
