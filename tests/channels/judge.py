# SPDX-License-Identifier: GPL-2.0
"""Decides from kvmtaint's records what became of each channel. tests/channels/README.md
says what is asked of one; nothing here looks at what the channel itself claims, but
for whether its bytes arrived."""
import json
import re
import sys

CAUGHT, MISSED, FALSE, ABSENT, UNCLEAR = "caught", "missed", "false", "absent", "unclear"
NOT_JOINED, NO_LEAK = "the receiver did not join", "no such leak record"
NO_SENDER = "its sender was not managed: it shows nothing"
COMM = re.compile(r"([0-9]+)\.(c|r|f|s[123]|h[123])$")


class Verdict:
    def __init__(self, channel, word, why=""):
        self.name, self.channel, self.word, self.why = channel["name"], channel, word, why

    def __str__(self):
        return f"{self.word:6} {self.name}{': ' if self.why else ''}{self.why}"


def lines(path):
    """The JSON objects of a file, one a line; a last line may have been cut."""
    found = []
    try:
        with open(path, errors="replace") as file:
            for line in file:
                try:
                    found.append(json.loads(line))
                except ValueError:
                    print(f"# {path}: not JSON: {line.strip()[:200]}", file=sys.stderr)
    except FileNotFoundError:
        pass
    return found


class Trace:
    """The records of one run of kvmtaint."""

    def __init__(self, path):
        self.records = lines(path)
        self.by_seq = {record["seq"]: record for record in self.records}
        self.flows = [record for record in self.records if record["type"] in ("spread", "leak")]

    def errors(self):
        """What is wrong with the records as a whole."""
        found = [f"lost: {json.dumps(record)[:300]}" for record in self.records if record["type"] == "lost"]
        seqs = [record["seq"] for record in self.records]
        if seqs != list(range(1, len(seqs) + 1)):
            found.append("seq has gaps")
        if not self.records or self.records[0]["type"] != "start" or self.records[-1]["type"] != "stop":
            found.append("the records do not go from start to stop")
        return found

    def way(self, record):
        """The records that led to this one, itself last."""
        way = []
        while record and len(way) < 1000:
            way.append(record)
            record = self.by_seq.get(record["cause"])
        return way[::-1]


def process_of(record, key):
    """The pid of the record's source, target or actor, when that is a process."""
    if key == "actor":
        return record.get("process", {}).get("pid")
    side = record.get(key, {})
    return side.get("pid") if side.get("kind") == "process" else None


def say(way):
    """The way as text: what joined, in its order."""
    words = []
    for record in way:
        target = record.get("target", {})
        kind = target.get("kind", record["type"])
        words.append(f"{kind} {target['comm']}" if kind == "process" else kind)
    return " -> ".join(words) or "nothing"


def is_policy(record):
    return record["type"] == "spread" and record["flow"] == "policy"


def is_named(record, trace):
    """The policy names a file, and so the disk or image that it is on: whoever touched it first did nothing."""
    return is_policy(record) or (record["type"] == "spread" and record["flow"] == "stored" and
                                 record["cause"] in trace.by_seq and is_policy(trace.by_seq[record["cause"]]))


def not_secret(channel, trace):
    """Flows of the unmanaged rounds: there must be none."""
    senders, heirs, receivers = channel["senders"], channel["heirs"], channel["receivers"]
    clean = {pid for pid in (senders[1], senders[3], heirs[1], heirs[3], receivers[1]) if pid}
    joined = min((record["seq"] for record in trace.flows
                  if process_of(record, "target") in (senders[2], heirs[2] or -1)), default=None)
    for record in trace.flows:
        if is_named(record, trace):
            continue
        comm = COMM.match(record.get("process", {}).get("comm", ""))
        if comm and int(comm[1]) == channel["index"] and comm[2] in ("c", "f", "s1", "s3", "h1", "h3"):
            return record
        if clean & {process_of(record, key) for key in ("source", "target", "actor")}:
            return record
        if process_of(record, "target") == receivers[0] and receivers[0] and senders[2] and (
                "reads_source" not in channel["flags"] and (joined is None or record["seq"] < joined)):
            return record
    return None


def is_the_way(channel, way, receiver):
    """Whether it is the file, the sender, the carriers, the receiver, and nothing else."""
    kinds = [kind for kind in channel["carrier"].split(",") if kind]
    wanted = ["file"] + ([] if "reads_source" in channel["flags"] else ["process"]) + kinds
    if receiver:
        wanted.append("process")
    found = [record["target"]["kind"] for record in way if record["type"] == "spread"]
    if found != wanted or not is_policy(way[0]):
        return False
    if not way[0]["target"].get("path", "").endswith(f"/{channel['index']}.h2"):
        return False
    if "reads_source" not in channel["flags"]:
        senders = {channel["senders"][2]} | ({channel["heirs"][2]} if "copies_source" in channel["flags"] else set())
        if process_of(way[1], "target") not in senders:
            return False
    return not receiver or process_of(way[-1], "target") == receiver


def leak_is(record, wanted):
    for word in wanted.split():
        path, value = word.split("=", 1)
        found = record
        for key in path.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        if str(found) != value:
            return False
    return True


def judge_leak(channel, trace):
    leaks = [record for record in trace.flows if record["type"] == "leak" and
             process_of(record, "actor") == channel["senders"][2]]
    fitting = [record for record in leaks if leak_is(record, channel["leak"])]
    if not fitting:
        return NO_LEAK + (f", but {len(leaks)} others: {json.dumps(leaks[0])[:300]}" if leaks else "")
    for record in fitting:
        if is_the_way(channel, trace.way(record), None):
            return ""
    return "the way is " + say(trace.way(fitting[0]))


def sender_knew(channel, trace):
    """Whether the sender of the secret round was managed, where it was to be by itself."""
    return bool({"reads_source", "copies_source"} & set(channel["flags"])) or any(
        record["type"] == "spread" and process_of(record, "target") == channel["senders"][2] for record in trace.flows)


def judge_receiver(channel, trace):
    receiver = channel["heirs"][2] if "heir" in channel["flags"] else channel["receivers"][0]
    spreads = [record for record in trace.flows if record["type"] == "spread" and
               process_of(record, "target") == receiver]
    if "silent" in channel["flags"]:
        return f"the way is {say(trace.way(spreads[0]))}" if spreads else ""
    if not spreads:
        return NOT_JOINED
    if spreads[0]["previous"]:
        return "the receiver was not clean"
    if is_the_way(channel, trace.way(spreads[0]), receiver):
        return ""
    return "the way is " + say(trace.way(spreads[0]))


def judge(channel, trace):
    """The verdict on one channel that the guest's program has run."""
    if channel["status"] == "absent":
        return Verdict(channel, ABSENT, channel["why"])
    if channel["status"] != "ran":
        return Verdict(channel, MISSED, f"it did not work: {channel['why']}")
    record = not_secret(channel, trace)
    if record:
        return Verdict(channel, FALSE, f"seq {record['seq']}, {say(trace.way(record))}")
    if "silent" in channel["flags"] and not sender_knew(channel, trace):
        return Verdict(channel, MISSED, NO_SENDER)
    if "leak" in channel["flags"]:
        why = judge_leak(channel, trace)
    else:
        why = judge_receiver(channel, trace)
    if why and "silent" in channel["flags"]:
        return Verdict(channel, FALSE, why)
    return Verdict(channel, MISSED if why else CAUGHT, why)


def judge_mutant(channel, trace, hooks):
    """The verdict on a channel that ran with these hooks off: missed, when that is for want of them alone."""
    verdict = judge(channel, trace)
    if verdict.word != MISSED:
        return verdict
    # Others there may be: a file that is opened on NFS gives one of the kernel's own request.
    if not verdict.why.startswith((NOT_JOINED, NO_LEAK)):
        verdict.word = UNCLEAR
    # With both hooks off that show the source being read, nobody knows of it.
    elif not sender_knew(channel, trace) and not {"mmap_file", "file_permission"} <= set(hooks):
        verdict.word, verdict.why = UNCLEAR, NO_SENDER
    return verdict


def strangers(channels, trace):
    """Flows of processes that belong to no channel: nothing else runs in the guest."""
    found = set()
    ours = {pid for channel in channels for key in ("senders", "heirs", "receivers") for pid in channel[key]}
    for record in trace.flows:
        comm = record.get("process", {}).get("comm", "")
        pid = process_of(record, "actor")
        if COMM.match(comm):
            ours.add(pid)
        elif pid not in ours and not is_named(record, trace):
            found.add(f"{comm} ({pid})")
    return sorted(found)


def judge_all(wanted, folder, judged=judge):
    """wanted: what `channels list` says. Returns (verdicts, what is wrong as a whole)."""
    trace = Trace(f"{folder}/records.jsonl")
    ran = {channel["name"]: channel for channel in lines(f"{folder}/channels.jsonl")}
    verdicts = []
    for channel in wanted:
        if channel["name"] in ran:
            verdicts.append(judged(ran[channel["name"]], trace))
        else:
            verdicts.append(Verdict(channel, MISSED, "it did not run to its end"))
    return verdicts, trace.errors() + [f"flows of a stranger: {each}" for each in strangers(ran.values(), trace)]
