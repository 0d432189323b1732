# SPDX-License-Identifier: GPL-2.0
"""bench.json as Markdown, for people; each table says how its figures were got."""

BEGIN, END = "<!-- bench: made by tests/bench/run --readme from bench.json -->\n", "<!-- end of bench -->\n"

# The paper's tables 2 and 3, microseconds: without tracing, then traced (unmanaged, managed).
PAPER_CALLS = {"sendto": (12.92, 36.68, 47.10), "recvfrom": (12.42, 57.19, 62.00), "getpid": (0.015, 0.016, None)}
PAPER_LMBENCH = {"select_tcp": (2.08, 6.82), "unix": (7.24, 39.57), "udp": (13.33, 63.23), "tcp": (16.77, 60.50),
                 "tcp_connect": (80.33, 133.00)}
LMBENCH = {"syscall": "null system call (`lat_syscall null`)", "select_tcp": "select on 10 TCP (`lat_select`)",
           "unix": "AF_UNIX (`lat_unix`)", "udp": "UDP (`lat_udp`)", "tcp": "TCP (`lat_tcp`)",
           "tcp_connect": "TCP connect (`lat_connect`)"}

# Landau, Ben-Yehuda, Gordon, "SplitX: Split Guest/Hypervisor Execution on Multi-Core" (WIOV 2011), table 1: the
# direct cost of an exit under KVM, Xeon X5570 at 2.93 GHz.
EXIT_CYCLES, EXIT_GHZ = 2000, 2.93
EXIT_US = EXIT_CYCLES / EXIT_GHZ / 1000

# Call of the paper: what its exits are counted as, and the engine's events.
MODEL = {"sendto": ("udp_sendto", "udp_send"), "recvfrom": ("udp_recv", "udp_receive"), "getpid": ("getpid", None)}

WAYS = {"patch_unmanaged": "kvmtaint, `patch`, unmanaged", "patch_managed": "kvmtaint, `patch`, managed",
        "shim_unmanaged": "kvmtaint, `shim`, unmanaged", "shim_managed": "kvmtaint, `shim`, managed",
        "gdbstub": "breakpoints through QEMU's gdbstub at four of the functions", "audit": "auditd in the guest, the same calls",
        "ebpf": "a BPF program in the guest that counts system calls"}
LOADS = {"getpid": "getpid", "sendto_recvfrom": "UDP sendto + recv", "dd": "`dd bs=1`", "unix_ping_pong": "UNIX write + read",
         "compile": "gcc -c"}
EVENTS = {"read": "read of a file", "write": "write of a file", "pipe_read": "read of a pipe", "pipe_write": "write to a pipe",
          "unix_send": "UNIX send", "unix_receive": "UNIX receive", "tcp_send": "TCP send, received in the guest",
          "udp_send": "UDP send, received in the guest", "udp_receive": "UDP receive", "fork": "fork", "exit": "exit of a process",
          "first_touch": "first touch: the path is judged", "remote_send": "TCP send to another machine, with its record"}
RECORDED = {"fork_managed", "exit_managed", "remote_send_managed"}


def number(value):
    return f"{value:g}" if value is not None else "–"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(row) + " |" for row in rows]


def exits(bench):
    shim = bench["exits"].get("shim", {})
    rows = [[each["what"], number(each["unmanaged"]), number(each["managed"]),
             number(shim.get(name, {}).get("unmanaged")), number(shim.get(name, {}).get("managed"))]
            for name, each in bench["exits"]["patch"].items()]
    calls = [each["calls"] for trap in bench["exits"].values() for each in trap.values()]
    return ["#### Exits of one operation", "",
            f"Counted exactly, in the lab, on guest 6.12 (`tests/bench/run exits`): the exits of {min(calls)} to {max(calls):,} calls less those",
            "of none. With `patch` only hooked functions exit; with `shim` every system call does (`read` and `write` of a file seek",
            "back each time, a page fault needs a `madvise`).", "",
            *table(["operation", "`patch`, unmanaged", "managed", "`shim`, unmanaged", "managed"], rows), "",
            "`exec` is of the dynamically linked `/bin/true`: with `patch` each mapping of its libraries is an exit, no page fault is."]


def engine(bench):
    rows, unit = [], bench["read_user_ns"]
    for what, text in EVENTS.items():
        for who in "unmanaged", "managed":
            each = bench["engine_ns"].get(f"{what}_{who}")
            if each:
                record = " (makes a record)" if f"{what}_{who}" in RECORDED and what != "remote_send" else ""
                rows.append([f"{text}, {who}{record}", f"{each['p50']}", f"{each['p99']}", f"{each['p50'] / unit:.1f}"])
    events = min(each["events"] for each in bench["engine_ns"].values())
    growth = bench["growth"]
    grown = [[text, *(f"{value}" for value in growth[f"{name}_ns"]), f"{growth[name]:.2f}"]
             for name, text in {"files": "a file, any of a million", "processes": "a process, any of a million",
                                "sockets": "a socket, any of a million", "files_of_1000": "a file, one of 1,000 of them",
                                "processes_of_1000": "a process, one of 1,000 of them",
                                "sockets_of_1000": "a socket, one of 1,000 of them", "unmanaged": "a file in no set"}.items()]
    foreign = bench["foreign_exit"]
    return ["#### The engine", "",
            f"Timed natively, no emulator (`tests/bench/run engine`): the programs of `kvm_exit` and `kvm_entry`, whole, each of {events:,}",
            "events by itself, over a RAM image of guest 6.12 and a vCPU that is made up and in the cache. One unit is an",
            f"8-byte `bpf_probe_read_user` of the same run: {unit:g} ns. The exit itself is not in it. Targets: unmanaged 8 units,",
            "managed send 24.", "",
            *table(["event", "median, ns", "99th percentile, ns", "median, units"], rows), "",
            "Growth: the median where a million files, a million processes and a million sockets are managed, by that where ten are;",
            "pairs of a few thousand events, in turns. Target 1.3. Objects drawn from all of a million are in no cache: that is",
            "what a guest pays that touches a million managed objects at random.", "",
            *table(["the event is of", "10 managed, ns", "1,000,000 managed, ns", "ratio"], grown), "",
            "Exits that are no traps, timed natively, both programs together (target 15 ns): of another VM",
            f"{foreign['another_vm']:g} ns, of the traced VM for another reason {foreign['another_reason']:g} ns. Attached, what the kernel does to call",
            f"two programs comes to it: {foreign['attached']:g} ns, of which {foreign['attached_empty']:g} ns are those of two empty ones.", "",
            "Memory of the maps for 100,000 objects, as the kernel counts it: "
            + ", ".join(f"{name} {kib / 1024:.1f} MiB" for name, kib in bench["map_kib_per_100000"].items()) + "."]


def records(bench):
    rows = [[f"to a {to}", f"{each['without_loss']:,.0f}", f"{each['cpu_us']:g}", f"{each['beyond']['made']:,.0f}",
             f"{each['beyond']['written']:,.0f}", f"{each['beyond']['lost_a_second']:,.0f}"] for to, each in bench["records"].items()]
    return ["#### Records", "",
            "Natively (`tests/bench/run records`): leaks that the engine makes on one CPU, written as JSON by kvmtaint's own code on the",
            "other. Target 100,000 a second. Beyond it records are lost and counted, as `lost` records say; the guest is never held up.",
            "How many get out goes by what CPU time kvmtaint gets; a record takes it so much:", "",
            *table(["", "a second, none lost", "CPU time of a record, us", "beyond: made a second", "written", "lost, counted"], rows)]


def attach(bench):
    rows = [[size, *(f"{each[key]:g}" for key in ("attach_ms", "attach_ms_min", "attach_ms_max", "cpu_ms", "standstill_ms",
                                                  "standstill_ms_max")), f"{each['rss_kib'] / 1024:.0f}"]
            for size, each in bench["attach"].items()]
    return ["#### Start", "",
            "Timed natively (`tests/bench/run attach`), 15 times: from the start of kvmtaint to its `start` record, on a VM that has the RAM of",
            "a guest 6.12 and never runs; beyond 256 MiB the RAM behind that guest's is untouched. Targets: 1 s, 10 ms. CPU",
            "time is all of kvmtaint's, its end too.", "",
            *table(["guest", "attach, ms", "fastest", "slowest", "CPU time, ms", "guest stands still, ms", "longest", "peak memory, MiB"], rows)]


def lmbench(bench):
    rows, traps = [], ("patch", "shim")
    for load, calls in ("getpid", ["getpid"]), ("sendto_recvfrom", ["sendto", "recvfrom"]):
        before, *after = (sum(PAPER_CALLS[call][i] or PAPER_CALLS[call][1] for call in calls) for i in range(3))
        rows.append([LOADS[load], *(f"{bench['instead'][f'{trap}_{who}'][load]['ratio']:g}" for trap in traps
                                    for who in ("unmanaged", "managed")),
                     " / ".join(f"{each / before:.2f}" for each in after)])
    for row, each in bench["lmbench"].items():
        paper = PAPER_LMBENCH.get(row)
        rows.append([LMBENCH[row], *(f"{each[trap][key]:g}" for trap in traps for key in ("ratio", "managed_ratio")),
                     f"{paper[1] / paper[0]:.2f}" if paper else "–"])
    return ["#### The paper's tables again, and LMbench", "",
            "Ratios from the emulator, to the same program untraced just before: they stand for no real host, where an exit costs",
            "less by far against a system call (`tests/bench/run loads`; LMbench's own programs, in a guest with one vCPU).", "",
            *table(["", "`patch`, unmanaged", "managed", "`shim`, unmanaged", "managed", "the paper, on hardware (unmanaged / managed)"],
                   rows)]


def instead(bench):
    loads = [load for load in LOADS if any(load in each for each in bench["instead"].values())]
    rows = [[text, *(f"{bench['instead'][way][load]['ratio']:g}" if load in bench["instead"][way] else "–" for load in loads)]
            for way, text in WAYS.items() if way in bench["instead"]]
    return ["#### What people use instead", "",
            "Ratios from the emulator, to the same load untraced just before, by the clock outside the guest (`tests/bench/run loads`).", "",
            *table(["slow-down of", *(LOADS[load] for load in loads)], rows)]


def model(bench):
    rows = []
    for call, (operation, event) in MODEL.items():
        for at, who in (1, "unmanaged"), (2, "managed"):
            paper = PAPER_CALLS[call]
            if paper[at] is None:
                continue
            count = bench["exits"]["patch"][operation][who]
            ns = bench["engine_ns"][f"{event}_{who}"]["p50"] if event and count else 0
            rows.append([f"{call}, {who}", number(count), f"{count * EXIT_US:.2f}", f"{ns * count / 1000:.2f}",
                         f"{count * (EXIT_US + ns / 1000):.2f}", f"{paper[at] - paper[0]:.2f}"])
    return ["#### A model of real hardware", "",
            f"Not measured: the exits that were counted with `patch`, at the {EXIT_CYCLES:,} cycles (2.93 GHz) that Landau, Ben-Yehuda and Gordon",
            "(\"SplitX\", WIOV 2011, table 1) found for the direct cost of an exit under KVM, and the engine's median from above.",
            "What an exit does to the guest's caches, and KVM's own work to skip the instruction, are not in it.", "",
            *table(["what a call costs more", "exits", "exits, us", "engine, us", "sum, us", "the paper, measured, us"], rows)]


PARTS = {"exits": exits, "engine_ns": engine, "lmbench": lmbench, "instead": instead, "attach": attach, "records": records}


def all_of(bench):
    lines = []
    for key, part in PARTS.items():
        if key in bench:
            lines += [*part(bench), ""]
    if "exits" in bench and "engine_ns" in bench:
        lines += [*model(bench), ""]
    missing = [key for key in PARTS if key not in bench]
    if missing:
        lines += [f"Not measured in this file: {', '.join(missing)}.", ""]
    lines += [f"Measured on {', '.join(sorted(set(bench['days'].values())))}, {bench['cpus']} CPUs ({bench['cpu']})."]
    return lines


def write_readme(bench, path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise SystemExit("README.md: the marks of the measurements are missing")
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + "\n".join(all_of(bench)) + "\n" + END + after)
