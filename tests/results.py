# SPDX-License-Identifier: GPL-2.0
"""What each suite gave when it last ran, in .cache/results/matrix/: tests/run keeps it, a file for
each row (SUITE or SUITE@GUEST[+HOST]), and tests/matrix makes the table of them."""
import datetime
import hashlib
import json
import os
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(TOP, ".cache", "results", "matrix")
SOURCES = ["bpf", "user", "vmlinux-guest", "tests", "scripts", "shim", "Makefile"]
HOST = "6.12"  # where a row names a guest alone


def _git(*words):
    return subprocess.run(["git", *words], cwd=TOP, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def sources():
    """What the tests test, and the tests: {"sources": a sum, "commit": the last; + if changed}. No git: both None."""
    try:
        changed = _git("diff", "HEAD", "--", *SOURCES)
        state = hashlib.sha256(_git("ls-files", "-s", "--", *SOURCES) + _git("diff", "--", *SOURCES)).hexdigest()[:16]
        commit = _git("rev-parse", "--short=9", "HEAD").decode().strip() + "+" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return {"sources": None, "commit": None}
    return {"sources": state, "commit": commit}


def release(series):
    """The Debian kernel that stands for this series."""
    link = os.path.join(TOP, ".cache", "kernels", "by-series", series)
    return os.path.basename(os.path.realpath(link)) if os.path.exists(link) else series


def _path_of(row):
    return os.path.join(FOLDER, f"{row}.json")


def result_of(row):
    """What is kept of a row, or None."""
    try:
        with open(_path_of(row)) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def forget(row):
    """A row that runs has no result until it is through."""
    try:
        os.unlink(_path_of(row))
    except FileNotFoundError:
        pass


def keep(row, state, counts, channels, seconds):
    """Keeps what a row gave: counts are passed, failed, skipped; state is sources() when it began."""
    guest, _, host = row.partition("@")[2].partition("+")
    result = {"row": row, **state, "day": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
              "seconds": round(seconds), "guest": release(guest) if guest else "",
              "host": release(host or HOST) if guest else "",
              "passed": counts[0], "failed": counts[1], "skipped": counts[2], "channels": channels}
    os.makedirs(FOLDER, exist_ok=True)
    with open(_path_of(row), "w") as file:
        json.dump(result, file, indent=1)
