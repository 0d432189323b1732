# SPDX-License-Identifier: GPL-2.0
"""Decides from kvmtaint's records what became of each channel. tests/channels/README.md
says what is asked of one; of what the channel itself claims this takes only whether its
bytes arrived, and what its carriers are to the guest."""
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


def same_file(target, own, channel):
    """Its path may be another one of the channel's folder: it was renamed, or is mounted twice."""
    if "number" in own:
        return target["inode"] == own["number"] and target.get("path", "").startswith("/SYSV")
    folder = f"/srv/runs/channels/{channel['index']}/"
    path, wanted = target.get("path", ""), own.get("path", "?")
    return (target["inode"] == own.get("inode") and target["dev"] == own.get("dev", target["dev"]) and
            (path == wanted or path.startswith(folder) and wanted.startswith(folder)))


def same_inode(target, own, _):
    return target["inode"] == own.get("inode", own.get("number"))


def same_disk(target, own, _):
    return target["dev"] == own.get("rdev")


# By kind: whether a record's carrier is what the channel says that its own is. A message and a
# FUSE connection have nothing by which the guest's processes know them.
SAME = {
    "file": same_file,
    "pipe": same_inode,
    "socket": same_inode,
    "disk": same_disk,
    "terminal": lambda target, own, _: f"/dev/{target['name']}" == own.get("path", "").replace("pts/", "pts"),
    "key": lambda target, own, _: target["serial"] == own.get("number"),
    # A child of the sender, or a process of its own that is named for this round.
    "process": lambda target, _, channel: target["pid"] == channel["heirs"][2] or target["comm"] == f"{channel['index']}.h2",
    "message": lambda *_: True,
    "fuse": lambda *_: True,
}
# The same of a leak's destination.
SAME_DESTINATION = {"filesystem": same_file, "device": same_disk}


def kinds_of(channel):
    return [kind for kind in channel["carrier"].split(",") if kind]


def carrier_of(record, following):
    """What the record's target is; None: nothing tells. A socket that nobody has accepted has no inode number (0), and
    by splice_file_to_pipe() a pipe's is not seen: who reads it then has it, but for a reader of the pipe that slept."""
    target, source = record["target"], following["source"]
    if target.get("inode") != 0 or "object" not in target or target["object"] != source.get("object"):
        return target
    return source if source["inode"] or record["flow"] != "splice" else None


def not_the_way(channel, way, receiver):
    """What is wrong with the way; "": it is the file, the sender, the carriers, the receiver, and nothing else."""
    if not is_the_way(channel, way, receiver):
        return "the way is " + say(way)
    first = 1 if "reads_source" in channel["flags"] else 2
    spreads = [record for record in way if record["type"] == "spread"][first:]
    for at, kind in enumerate(kinds_of(channel)):
        found = carrier_of(spreads[at], spreads[at + 1])
        own = channel["carriers"][at] if at < len(channel["carriers"]) else {}
        if found and not SAME[kind](found, own, channel):
            return f"another {kind}: {json.dumps(found)}, not {json.dumps(own)}"
    return ""


def is_the_way(channel, way, receiver):
    """Whether it goes by the file, the sender, carriers of these kinds, the receiver, and nothing else."""
    wanted = ["file"] + ([] if "reads_source" in channel["flags"] else ["process"]) + kinds_of(channel)
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


def leak_is(record, channel):
    for word in channel["leak"].split():
        path, value = word.split("=", 1)
        found = record
        for key in path.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        if str(found) != value:
            return False
    same = SAME_DESTINATION.get(record["kind"])
    return not same or same(record["destination"], (channel["carriers"] or [{}])[0], channel)


def leaks_of(channel, trace):
    return [record for record in trace.flows if record["type"] == "leak" and
            process_of(record, "actor") == channel["senders"][2]]


def receiver_of(channel):
    return channel["heirs"][2] if "heir" in channel["flags"] else channel["receivers"][0]


def spreads_to_receiver(channel, trace):
    return [record for record in trace.flows if record["type"] == "spread" and
            process_of(record, "target") == receiver_of(channel)]


def arrival(channel, trace):
    """Of a channel that was caught: the record that says so."""
    if "leak" not in channel["flags"]:
        return spreads_to_receiver(channel, trace)[0]
    return next(record for record in leaks_of(channel, trace)
                if leak_is(record, channel) and not not_the_way(channel, trace.way(record), None))


def judge_leak(channel, trace):
    leaks = leaks_of(channel, trace)
    fitting = [record for record in leaks if leak_is(record, channel)]
    if not fitting:
        return NO_LEAK + (f", but {len(leaks)} others: {json.dumps(leaks[0])[:300]}" if leaks else "")
    wrong = [not_the_way(channel, trace.way(record), None) for record in fitting]
    return "" if "" in wrong else wrong[0]


def sender_knew(channel, trace):
    """Whether the sender of the secret round was managed, where it was to be by itself."""
    return bool({"reads_source", "copies_source"} & set(channel["flags"])) or any(
        record["type"] == "spread" and process_of(record, "target") == channel["senders"][2] for record in trace.flows)


def judge_receiver(channel, trace):
    spreads = spreads_to_receiver(channel, trace)
    if "silent" in channel["flags"]:
        return f"the way is {say(trace.way(spreads[0]))}" if spreads else ""
    if not spreads:
        return NOT_JOINED
    if spreads[0]["previous"]:
        return "the receiver was not clean"
    return not_the_way(channel, trace.way(spreads[0]), receiver_of(channel))


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
