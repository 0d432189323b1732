# SPDX-License-Identifier: GPL-2.0
"""kvmtaint's records: reading them as they come, checking them, and asking whether
they are what a scenario expects."""
import json
import re
import subprocess
import time

import jsonschema

QUIET = 0.25  # seconds without a new record: nothing more will come


class Records:
    """All records that kvmtaint wrote to a file so far."""

    def __init__(self, path, schema):
        self.path = path
        self.file = open(path)
        self.validator = schema and jsonschema.Draft202012Validator(schema)
        self.all = []
        self.by_seq = {}
        self.pending = ""
        self.errors = []

    def poll(self):
        """Takes what is new; returns whether there was anything."""
        data = self.file.read()
        *lines, self.pending = (self.pending + data).split("\n")
        for line in lines:
            self._take(line)
        return bool(data)

    def _take(self, line):
        try:
            record = json.loads(line)
            seq = record["seq"]
        except (ValueError, KeyError, TypeError):
            self.errors.append(f"not a record: {line[:200]}")
            return
        if self.all and seq != self.all[-1]["seq"] + 1:
            self.errors.append(f"seq {seq} follows {self.all[-1]['seq']}")
        self.all.append(record)
        self.by_seq[seq] = record
        if self.validator:
            for error in self.validator.iter_errors(record):
                where = ".".join(map(str, error.absolute_path)) or "record"
                self.errors.append(f"seq {seq} against the schema: {where}: {error.message[:200]}")

    def settle(self, longest=20):
        """Waits until no record has come for a while."""
        end = time.monotonic() + longest
        quiet_since = time.monotonic()
        while time.monotonic() < min(end, quiet_since + QUIET):
            if self.poll():
                quiet_since = time.monotonic()
            time.sleep(0.05)

    def wait_for(self, kind, alive, seconds):
        """Waits for a record of this type while alive(); returns whether it came."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            running = alive()
            self.poll()
            if any(record.get("type") == kind for record in self.all):
                return True
            if not running:
                return False
            time.sleep(0.05)
        return False

    def chain(self, record):
        """The kinds on the causal path that ends in this record."""
        kinds = []
        while record and len(kinds) < 1000:
            kinds.append(record.get("target", {}).get("kind") if record["type"] == "spread"
                         else record["type"])
            record = self.by_seq.get(record.get("cause"))
        return kinds[::-1]


ABSENT = object()


def look_up(record, dotted):
    for key in dotted.split("."):
        if isinstance(record, list) and key.isdigit() and int(key) < len(record):
            record = record[int(key)]
        elif isinstance(record, dict) and key in record:
            record = record[key]
        else:
            return ABSENT
    return record


def matches(record, wanted, variables):
    """wanted: dotted path -> value; a string that starts with ~ is a regular
    expression, null means that the path must not be there."""
    for path, value in wanted.items():
        found = look_up(record, path)
        if value is None:
            if found is not ABSENT and found is not None:
                return False
        elif isinstance(value, str):
            for name, text in variables.items():
                value = value.replace("$" + name, re.escape(text) if value.startswith("~") else text)
            if value.startswith("~"):
                if found is ABSENT or not re.search(value[1:], str(found)):
                    return False
            elif found != value:
                return False
        elif found != value or isinstance(found, bool) != isinstance(value, bool):
            return False
    return True


def judge_paths(wanted, records, record):
    """Whether `kvmtaint path` goes back by these ways, one for each label: why not, if not."""
    done = subprocess.run(["kvmtaint", "path", "--json", records.path, str(record["seq"])],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        return [f"kvmtaint path {record['seq']}: status {done.returncode}: {done.stdout[:200]}"]
    found = {}
    for way in json.loads(done.stdout)["ways"]:
        targets = [each.get("target", {"kind": each["type"]}) for each in way["records"]]
        found[way["label"]] = [f"{each['kind']} {each.get('path', '')}".strip() for each in targets]
    return [] if found == wanted else [f"the paths are {found}, not {wanted}"]


def judge_secret(scenario, slice_, records, variables):
    """Returns the reasons why this slice is not what the scenario expects."""
    reasons = []
    unused = list(slice_)
    for wanted in scenario["expect"]:
        hits = [record for record in unused if matches(record, wanted, variables)]
        if not hits:
            reasons.append(f"no record {json.dumps(wanted)}")
            continue
        hit = hits[0]
        if wanted is scenario["expect"][-1] and scenario["chain"]:
            chains = [records.chain(record) for record in hits]
            if scenario["chain"] not in chains:
                reasons.append(f"chain is {chains[0]}, not {scenario['chain']}")
            else:
                hit = hits[chains.index(scenario["chain"])]
        if wanted is scenario["expect"][-1] and scenario["paths"]:
            reasons += judge_paths(scenario["paths"], records, hit)
        unused.remove(hit)
    for wanted in scenario["forbid"]:
        for record in slice_:
            if matches(record, wanted, variables):
                reasons.append(f"forbidden: seq {record['seq']} {json.dumps(wanted)}")
    return reasons


def judge_silent(slice_):
    """Returns the reasons why this slice is not silent."""
    return [f"not silent: seq {record['seq']} {record['type']}"
            for record in slice_ if record.get("type") in ("spread", "leak")]
