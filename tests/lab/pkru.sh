# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1, whose CPU has protection keys: a guest process acts while it denies key 0,
# the key of all memory of the VMM. (No scan at attach: it uses the second road too.)
set -u
echo "# L1 is $(uname -r)"
grep -qw ospke /proc/cpuinfo || { echo "L1 has no protection keys"; exit 77; }
guest 'grep -qw ospke /proc/cpuinfo' || { echo "L2 has no protection keys"; exit 77; }
guest 'mkdir -p /srv/secret && seq 2000 >/srv/secret/a && sync'
kvmtaint --vm "$VMM" --no-scan --secret lab=/srv/secret/ >"$OUT/records.jsonl" 2>"$OUT/kvmtaint.stderr" &
kvmtaint=$!
for ((i = 0; i < 600; i++)); do
	grep -q '"type":"start"' "$OUT/records.jsonl" && break
	kill -0 $kvmtaint || { cat "$OUT/kvmtaint.stderr"; exit 1; }
	sleep 0.1
done
for ((i = 0; i < 20; i++)); do
	guest 'pkru /srv/secret/a 10.9.0.1 9000' || exit 1
done
sleep 1
kill -INT $kvmtaint
wait $kvmtaint
echo "kvmtaint ended with status $?"
