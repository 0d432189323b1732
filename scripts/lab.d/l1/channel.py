# SPDX-License-Identifier: GPL-2.0
"""The way from L1 into L2: requests go over a virtio port to L2's agent, what
commands print comes back through another port into a file in L1."""
import fcntl
import json
import os
import select
import time
from dataclasses import dataclass

RUN = f"/run/{os.environ.get('L2', 'l2')}"  # l2b: of the second guest
CHANNELS = 4


@dataclass
class Result:
    status: int  # as a shell shows it; 124: timed out
    output: bytes


class Channel:
    """One of the agent's channels, ours until this object goes."""

    def __init__(self, run=RUN):
        self.lock = self.number = None
        for number in range(CHANNELS):
            lock = open(f"{run}/lock.{number}", "w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            self.lock, self.number = lock, number
            break
        else:
            raise RuntimeError(f"all {CHANNELS} channels to the guest are in use")
        self.requests = os.open(f"{run}/agent.{self.number}.in", os.O_RDWR)
        self.replies = os.open(f"{run}/agent.{self.number}.out", os.O_RDWR | os.O_NONBLOCK)
        self.output = open(f"{run}/output.{self.number}", "rb")
        self.pending = b""

    def run(self, script, *, env=None, directory="/root", seconds=60, contain=True, show=None,
            grace=30):
        """Runs a bash script in L2. contain: everything it started is killed
        at its end, and directory is made for it and removed after it. The
        agent must answer within seconds and grace."""
        identity = time.monotonic_ns()
        request = {"id": identity, "script": script, "env": env or {}, "directory": directory,
                   "seconds": seconds, "contain": contain}
        self.output.seek(0, os.SEEK_END)
        os.write(self.requests, json.dumps(request).encode() + b"\n")
        output = b""
        deadline = time.monotonic() + seconds + grace
        while True:
            reply = self._reply(0.2)
            data = self.output.read()
            output += data
            if data and show:
                show(data)
            if reply and reply["id"] == identity:
                return Result(reply["status"], output)
            if time.monotonic() > deadline:
                raise TimeoutError("the guest's agent does not answer")

    def _reply(self, seconds):
        if b"\n" not in self.pending:
            if not select.select([self.replies], [], [], seconds)[0]:
                return None
            self.pending += os.read(self.replies, 65536)
        line, newline, rest = self.pending.partition(b"\n")
        if not newline:
            return None
        self.pending = rest
        try:
            return json.loads(line)
        except ValueError:
            return None
