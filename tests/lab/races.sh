# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1: readers against managed writers in the guest, on its two vCPUs, for as
# long as seconds allow; tests/suites/40-races compares the guest's own
# lists of readers with the records.
set -u
seconds=20
policy=()
for ((i = 0; i < 64; i++)); do
	policy+=(--secret "label$i=/srv/secret/$i")
done
guest "mkdir -p /srv/secret && for ((i = 0; i < 64; i++)); do
	head -c 4000 /dev/urandom | base64 >/srv/secret/\$i; done; sync"
kvmtaint --vm "$VMM" "${policy[@]}" >"$OUT/records.jsonl" 2>"$OUT/kvmtaint.stderr" &
kvmtaint=$!
for ((i = 0; i < 600; i++)); do
	grep -q '"type":"start"' "$OUT/records.jsonl" && break
	kill -0 $kvmtaint || exit 1
	sleep 0.1
done
for kind in pipe stream; do
	from=$SECONDS
	for ((run = 0; SECONDS - from < seconds; run++)); do
		guest -t 300 "race $kind 640 /tmp/list -b $((run % 2 ? 8 : 64)) /srv/secret/*" || exit 1
		guest 'cat /tmp/list' >>"$OUT/$kind.list"
	done
done
sleep 1
kill -INT $kvmtaint
wait $kvmtaint
echo "kvmtaint ended with status $?"
