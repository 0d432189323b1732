# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1, which has two NUMA nodes: its kernel takes access to the VMM's pages away,
# again and again, to see who uses them. Flows must not notice.
set -u
echo "# L1 is $(uname -r), $(find /sys/devices/system/node -name 'node[0-9]*' | wc -l) nodes," \
	"numa_balancing $(cat /proc/sys/kernel/numa_balancing)"
# With huge pages one access to any of 512 pages brings all of them back.
echo never >/sys/kernel/mm/transparent_hugepage/enabled
l2 stop && l2 start || exit 1
VMM=$(cat /run/l2/pid)
cd /sys/kernel/debug/sched/numa_balancing || exit 77
echo 50 >scan_delay_ms
echo 50 >scan_period_min_ms
echo 100 >scan_period_max_ms
echo 1024 >scan_size_mb
guest 'mkdir -p /srv/secret && seq 2000 >/srv/secret/a && sync'
kvmtaint --vm "$VMM" --no-scan --secret lab=/srv/secret/ >"$OUT/records.jsonl" 2>"$OUT/kvmtaint.stderr" &
kvmtaint=$!
for ((i = 0; i < 600; i++)); do
	grep -q '"type":"start"' "$OUT/records.jsonl" && break
	kill -0 $kvmtaint || { cat "$OUT/kvmtaint.stderr"; exit 1; }
	sleep 0.1
done
grep numa_ /proc/vmstat >"$OUT/vmstat.before"
guest -t 180 'race pipe 200 /tmp/list /srv/secret/a' || exit 1
guest 'cat /tmp/list' >"$OUT/pipe.list"
# What the guest itself has just touched KVM has faulted in again. The stacks of
# readers that sleep it has not (the host looks while a vCPU is busy), and the scan
# of a managed writer wants them.
for ((round = 0; round < 5; round++)); do
	guest 'cd /tmp && for i in 1 2 3 4 5 6 7 8; do
		mkfifo f$i; bash -c "echo slept \$\$ 1 >>list.slept; exec cat" <>f$i >/dev/null & done
		timeout 3 bash -c "while :; do :; done"
		for i in 1 2 3 4 5 6 7 8; do cat /srv/secret/a >f$i; done
		sleep 0.5; kill $(jobs -p); rm f?' >/dev/null 2>&1
done
guest "sed s/slept/cat/ /tmp/list.slept" >"$OUT/sleepers.list"
grep numa_ /proc/vmstat | diff "$OUT/vmstat.before" - | grep '^>'
sleep 1
kill -INT $kvmtaint
wait $kvmtaint
echo "kvmtaint ended with status $?"
