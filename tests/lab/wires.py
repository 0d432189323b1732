#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""In L1: two guests, each with a kvmtaint of its own, and what goes from one to the other.

  wires.py [--long]

Receivers wait in the second guest, senders read a secret in the first; each receiver
stores what it got, and the way to that file must lead through both VMs' records. Lines as
tests/run reads them."""
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, "/run/lab")
import jsonschema  # noqa: E402
from channel import Channel  # noqa: E402

OUT = os.environ["OUT"]
PINS = "/sys/fs/bpf/kvmtaint/wires"
WAY = ["file", "process", "leak", "socket", "process", "file"]

# name, transport, address, port, the receiver's call, whether it waits in it, the label there
FLOWS = [
    ("tcp4", "tcp", "10.9.0.3", 7001, "recv", True, "lab"),
    ("tcp4-read", "tcp", "10.9.0.3", 7002, "read", True, "lab"),
    ("tcp4-queued", "tcp", "10.9.0.3", 7003, "recv", False, "lab"),
    ("tcp6", "tcp", "fd00:9::3", 7004, "recv", True, "lab"),
    ("udp4", "udp", "10.9.0.3", 7005, "recvfrom", True, "lab"),
    ("udp4-any-address", "udp", "10.9.0.3", 7006, "recvmsg", True, "lab"),
    ("udp4-queued", "udp", "10.9.0.3", 7007, "recvfrom", False, "lab"),
    ("udp6", "udp", "fd00:9::3", 7008, "recvmsg", True, "lab"),
    ("another-label", "tcp", "10.9.0.3", 7009, "recv", True, "from:lab-l2"),
]
LONG_FLOWS = [
    ("tcp4-fastopen", "tcp", "10.9.0.3", 7010, "recv", False, "lab"),
    ("tcp6-queued", "tcp", "fd00:9::3", 7011, "read", False, "lab"),
    ("tcp4-readv", "tcp", "10.9.0.3", 7012, "readv", True, "lab"),
    ("tcp4-recvmmsg", "tcp", "10.9.0.3", 7013, "recvmmsg", True, "lab"),
    ("tcp4-splice", "tcp", "10.9.0.3", 7014, "splice", True, "lab"),
    ("tcp4-peek", "tcp", "10.9.0.3", 7015, "peek", True, "lab"),
    ("udp6-queued", "udp", "fd00:9::3", 7016, "recvfrom", False, "lab"),
]
SLEEPS_IN = {"recv": "recvfrom", "peek": "recvfrom"}  # the system call, where it has another name
LISTENS_ON_ALL = {"udp4-any-address": "0.0.0.0"}
SEND_CALLS = {"tcp4-fastopen": "fastopen", "tcp4-splice": "sendfile", "tcp4-recvmmsg": "sendmsg"}
CLEAN = [("clean-tcp4", "tcp", "10.9.0.3", 7100), ("clean-udp4", "udp", "10.9.0.3", 7101)]

with open("/job/kvmtaint/record.schema.json") as schema_file:
    check = jsonschema.Draft202012Validator(json.load(schema_file))


def verdict(name, reason):
    print(f"not ok {name}: {reason}" if reason else f"ok {name}", flush=True)


class Vm:
    """A guest, and the kvmtaint that traces it."""

    def __init__(self, name, secrets):
        self.name, self.secrets, self.runs = name, secrets, 0
        self.channel = Channel(f"/run/{name}")
        with open(f"/run/{name}/pid") as file:
            self.pid = int(file.read())

    def guest(self, script, seconds=180):
        result = self.channel.run(script, contain=False, seconds=seconds)
        if result.status:
            verdict(f"{self.name}-script", f"status {result.status}: {result.output[-300:]!r}")
        return result.output.decode(errors="replace")

    def trace(self):
        self.runs += 1
        self.file = f"{OUT}/{self.name}.{self.runs}.jsonl"
        with open(self.file, "w") as out, open(f"{self.file}.stderr", "w") as err:
            self.process = subprocess.Popen(
                ["kvmtaint", "--vm", str(self.pid), *(f"--secret={rule}" for rule in self.secrets)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def armed(self, seconds=120):
        return wait_for(lambda: any(record["type"] == "start" for record in self.records()), seconds)

    def records(self):
        with open(self.file) as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(60)


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def wires():
    dump = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", f"{PINS}/wires"],
                          capture_output=True, text=True, check=True).stdout
    return [entry["formatted"]["value"] for entry in json.loads(dump)]


def stored(vm, name):
    """The record of the file that the receiver wrote; None: there is none."""
    return next((record for record in vm.records()
                 if record["type"] == "spread" and record["target"].get("path") == f"/root/got/{name}"),
                None)


def receive(name, transport, address, port, call):
    """What starts a receiver in a guest."""
    return (f"carrier recv {transport}:{LISTENS_ON_ALL.get(name, address)}/{port} --comm {name} --call {call}"
            f" --forward file:/root/got/{name} --ready /root/ready/{name}")


def send(name, transport, address, port, source):
    call = SEND_CALLS.get(name, "send")
    return f"carrier send {source} {transport}:{address}/{port} --comm s-{name} --call {call} --gate /root/go"


def exchange(sender, receiver, flows, clean, folder):
    """Moves a secret from VM to VM through each flow, clean bytes through the others."""
    waits = [receive(*flow[:5]) + ("" if flow[5] else f" --gate /root/{folder}-sent") + " & "
             + (f"blocked+=($!:{SLEEPS_IN.get(flow[4], flow[4])})" if flow[5] else ":")
             for flow in flows]
    waits += [receive(*flow, "recv") + " &" for flow in clean]
    names = " ".join(flow[0] for flow in flows + clean)
    receiver.guest("mkdir -p /root/got /root/ready\n" + "\n".join(waits) + f"""
        for name in {names}; do until [ -e /root/ready/$name ]; do sleep 0.1; done; done
        echo "${{blocked[@]}}" >/root/blocked""")
    sends = [send(*flow[:4], f"/srv/secret/{flow[0]}") + " &" for flow in flows]
    sends += [send(*flow, "-") + " &" for flow in clean]
    sender.guest(f"mkdir -p /srv/secret; for name in {names}; do head -c 4096 /dev/urandom >/srv/secret/$name; done\n"
                 "rm -f /root/go\n" + "\n".join(sends))
    receiver.guest('for each in $(cat /root/blocked); do carrier blocked ${each%:*} ${each#*:} || exit; done')
    sender.guest("touch /root/go; for ((i = 0; i < 300; i++)); do pgrep '^s-' >/dev/null || break; sleep 0.1; done")
    receiver.guest(f"""touch /root/{folder}-sent
        for ((i = 0; i < 300; i++)); do
            missing=
            for name in {names}; do [ -s /root/got/$name ] || missing+=" $name"; done
            [ -n "$missing" ] || exit 0
            sleep 0.1
        done
        echo "nothing came to$missing"; exit 1""")


def way(vm, other, record):
    """The way to a record through both VMs' files: (steps, whole)."""
    done = subprocess.run(["kvmtaint", "path", "--json", vm.file, str(record["seq"]), "--with", other.file],
                          capture_output=True, text=True)
    found = json.loads(done.stdout)["ways"][0]
    steps = [(step["vm"]["name"], step["type"] if step["type"] == "leak" else step["target"]["kind"])
             for step in found["records"]]
    return found, steps, found["whole"] and not done.returncode


def judge(name, port, label, receiver, sender):
    """Why the flow was not seen as it is; None: it was."""
    record = stored(receiver, name)
    if not record:
        return "its receiver's file is clean"
    if record["labels"] != [label]:
        return f"labels {record['labels']}"
    found, steps, whole = way(receiver, sender, record)
    expected = [(f"lab-{sender.name if at < 3 else receiver.name}", kind) for at, kind in enumerate(WAY)]
    if not whole or steps != expected:
        return f"the way is {steps}"
    leak, wire = found["records"][2], found["records"][3]
    if leak["destination"]["port"] != port or leak["kind"] != "remote":
        return f"the leak is {leak['kind']} to {leak['destination']}"
    if wire["flow"] != "wire" or wire["remote_cause"]["seq"] != leak["seq"]:
        return f"the socket's record is {json.dumps(wire)}"
    return None


def clean_names(vm, names):
    """What is managed in the VM of receivers that must not be."""
    return [record["target"] for record in vm.records() if record["type"] == "spread"
            and (record["target"].get("comm") in names or record["target"].get("path", "").split("/")[-1] in names)]


def well_formed(vm):
    for number, record in enumerate(vm.records(), 1):
        for error in check.iter_errors(record):
            return f"seq {record['seq']}: {error.message[:200]}"
        if record["seq"] != number:
            return f"line {number} has seq {record['seq']}"
        if record["type"] == "lost":
            return f"lost: {json.dumps(record)[:200]}"
    return None


def main():
    flows = FLOWS + (LONG_FLOWS if "--long" in sys.argv else [])
    first = Vm("l2", ["lab=/srv/secret/", "lab=!/srv/secret/another-label", "mine=/srv/secret/another-label"])
    second = Vm("l2b", ["lab=/srv/own/", "own=/srv/secret/"])
    first.trace()
    second.trace()
    verdict("both-are-traced", None if first.armed() and second.armed() else "no start record")

    exchange(first, second, flows, CLEAN, "first")
    time.sleep(1)
    for name, _, _, port, _, _, label in flows:
        verdict(name, judge(name, port, label, second, first))
    verdict("clean-neighbours", clean_names(second, [each[0] for each in CLEAN]))
    seq = str((stored(second, "tcp4") or {"seq": 1})["seq"])
    text = subprocess.run(["kvmtaint", "path", second.file, seq, "--with", first.file],
                          capture_output=True, text=True).stdout
    print("# " + text.replace("\n", "\n# "), flush=True)
    verdict("path-names-both-vms", None if "in VM lab-l2 " in text and "in VM lab-l2b " in text else text)
    alone = subprocess.run(["kvmtaint", "path", second.file, seq], capture_output=True, text=True)
    verdict("path-says-where-it-ends", None if alone.returncode == 22 and "from VM lab-l2 " in alone.stdout
            else f"status {alone.returncode}: {alone.stdout}")

    # The first kvmtaint is killed: its wires go with the next one, labels that are there stay.
    first.end(signal.SIGKILL)
    verdict("first-run", well_formed(first))
    before = {wire["run"] for wire in wires()}
    first.trace()
    verdict("traced-again", None if first.armed() else "no start record")
    left = [wire for wire in wires() if wire["run"] in before]
    verdict("wires-of-the-killed-run-are-gone", f"{len(left)} are left" if left else None)
    again = [("again", "tcp", "10.9.0.3", 7200, "recv", True, "lab")]
    exchange(first, second, again, [("clean-again", "tcp", "10.9.0.3", 7201)], "again")
    # And the other way round: a label that the other VM's policy does not have.
    exchange(second, first, [("answer", "tcp", "10.9.0.2", 7202, "recv", True, "from:lab-l2b")],
             [("clean-answer", "tcp", "10.9.0.2", 7203)], "answer")
    time.sleep(1)
    verdict("again", judge("again", 7200, "lab", second, first))
    verdict("answer", judge("answer", 7202, "from:lab-l2b", first, second))
    verdict("clean-again", clean_names(second, ["clean-again"]) + clean_names(first, ["clean-answer"]))

    verdict("first-ends", None if first.end(signal.SIGINT) == 0 else "not with status 0")
    verdict("its-wires-leave", None if all(wire["slot"] != 0 or wire["run"] in before for wire in wires())
            or not wires() else "some stay")
    verdict("second-ends", None if second.end(signal.SIGINT) == 0 else "not with status 0")
    verdict("nothing-stays-pinned", os.listdir(os.path.dirname(PINS)))
    for vm in (first, second):
        verdict(f"{vm.name}-records", well_formed(vm))
    print("ok whole")


main()
