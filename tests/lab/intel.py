#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""intel.py DIR: judges what scripts/lab-intel left in DIR. Lines as tests/run reads them."""
import json
import os
import sys

import jsonschema

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def verdict(name, good, why):
    print(f"ok {name}" if good else f"not ok {name}: {why}", flush=True)


def short(records):
    return [(each["type"], each.get("flow", each.get("event", each.get("reason")))) for each in records]


def path_of(leak, by_seq):
    """The kinds and names on the way to this leak."""
    way, record = [], by_seq.get(leak["cause"])
    while record:
        target = record["target"]
        way.append((target["kind"], target.get("path") or target.get("comm") or target.get("family")))
        record = by_seq.get(record["cause"])
    return way[::-1]


def main():
    folder = sys.argv[1]

    def text(name):
        with open(os.path.join(folder, name), errors="replace") as file:
            return file.read()

    console = text("l1.console")
    verdict("host-is-intel", "job: GenuineIntel kvm_intel" in console, "not in l1.console")
    with open(os.path.join(TOP, "user", "record.schema.json")) as file:
        schema = jsonschema.Draft202012Validator(json.load(file))
    records = [json.loads(line) for line in text("records.jsonl").splitlines()]
    by_seq = {each["seq"]: each for each in records}
    wrong = [error.message[:200] for each in records for error in schema.iter_errors(each)]
    verdict("records-fit-the-schema", records and not wrong, wrong[:1])
    verdict("no-gap", [each["seq"] for each in records] == list(range(1, len(records) + 1)),
            [each["seq"] for each in records])
    verdict("nothing-lost", not any(each["type"] == "lost" for each in records), short(records))
    leaks = [each for each in records if each["type"] == "leak"]
    verdict("one-leak", len(leaks) == 1, short(records))
    if leaks:
        way = path_of(leaks[0], by_seq)
        wanted = [("file", "/srv/secret/salaries"), ("process", "reader"), ("socket", "unix"),
                  ("process", "courier")]
        verdict("path-of-the-leak", way == wanted, way)
        end = leaks[0]["destination"]
        verdict("destination", (end["transport"], end.get("address"), end.get("port")) ==
                ("udp", "10.9.0.1", 9000), end)
        vcpus = {each["process"]["comm"]: each["vcpu"] for each in records if "process" in each}
        verdict("each-on-its-own-vcpu", (vcpus.get("reader"), vcpus.get("courier")) == (0, 1), vcpus)
    verdict("only-the-secret", all("public" not in json.dumps(each) for each in records), short(records))
    stop = records[-1] if records and records[-1]["type"] == "stop" else {"counters": {}}
    counters = stop["counters"]
    verdict("traps-are-exits-of-vmx", counters.get("traps", 0) > 20 and
            counters.get("exits", 0) > counters.get("traps", 0), counters)
    # With the shim the guest's own #DB count there too.
    if records and records[0].get("trap") == "patch":
        verdict("no-foreign-invd", counters.get("foreign_invd") == 0, counters)
    # What the guest sees of its own debugging, INT1 included, before and while traced.
    steps = [line.strip() for line in text("l2.console").splitlines() if line.startswith("l2: steps:")]
    verdict("guest-steps-itself", len(steps) == 2 and steps[0] == steps[1] and "stepped 80" in steps[0], steps)
    jumps = [line.strip() for line in text("l2.console").splitlines() if line.startswith("l2: jump:")]
    verdict("user-mode-calls-nothing", jumps == ["l2: jump: 2000 faults"] and counters.get("traps", 9999) < 2000,
            (jumps, counters))
    sink = text("sink")
    verdict("data-really-moved", "secret: what" in sink and sink.count("public: what") > 1, len(sink))
    verdict("guest-unharmed", "l2: did flow 3" in text("l2.console") and
            "BUG" not in text("l2.console") and "Oops" not in text("l2.console"), "see l2.console")
    print(f"# {counters.get('exits')} exits, {counters.get('traps')} traps")


main()
