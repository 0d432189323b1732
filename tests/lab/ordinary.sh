# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1: the work of an ordinary guest ($IN/ordinary/*.sh) under the shipped policy.
# $OUT/steps has a line for each: its name, its status, the records before and after it.
set -u
kvmtaint --vm "$VMM" >"$OUT/records.jsonl" 2>"$OUT/kvmtaint.stderr" &
kvmtaint=$!
for ((i = 0; i < 600; i++)); do
	grep -q '"type":"start"' "$OUT/records.jsonl" && break
	kill -0 $kvmtaint || { cat "$OUT/kvmtaint.stderr"; exit 1; }
	sleep 0.1
done
guest 'mkdir -p /srv/public && seq 2000 | head -c 4096 >/srv/public/plain'
for script in "$IN"/ordinary/*.sh; do
	name=$(basename "$script" .sh)
	sleep 1
	before=$(wc -l <"$OUT/records.jsonl")
	{
		echo "export FILE=/srv/public/plain DIR=/srv/runs/$name"
		echo 'mkdir -p "$DIR" && cd "$DIR" || exit 1'
		cat "$script"
	} | guest -t 180 - >"$OUT/$name.output" 2>&1
	status=$?
	sleep 1
	echo "$name $status $before $(wc -l <"$OUT/records.jsonl")" | tee -a "$OUT/steps"
done
kill -INT $kvmtaint
wait $kvmtaint
echo "kvmtaint ended with status $?"
