# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1: for each line of $IN/plan, "GROUP|HOOK,HOOK...|CHANNEL CHANNEL...", runs these
# channels in L2 under a kvmtaint without these hooks ("scan": without the scan at
# attach). What the channels said and the records arrive in $OUT/GROUP/.
set -u

# attach FOLDER [OPTION...]: starts kvmtaint and waits for its start record.
attach() {
	local folder=$1
	shift
	kvmtaint --vm "$VMM" --trap "$LAB_TRAP" --secret lab=/srv/secret/ --terminals both "$@" >"$folder/records.jsonl" 2>"$folder/kvmtaint.stderr" &
	kvmtaint=$!
	for ((i = 0; i < 1200; i++)); do
		! grep -q '"type":"start"' "$folder/records.jsonl" || return 0
		kill -0 $kvmtaint 2>/dev/null || return 1
		sleep 0.05
	done
	return 1
}

while IFS='|' read -r group hooks names; do
	folder=$OUT/$group
	mkdir -p "$folder"
	without=()
	for hook in ${hooks//,/ }; do
		if [ "$hook" = scan ]; then without+=(--no-scan); else without+=(--without-hook "$hook"); fi
	done
	guest -t 1800 "exec channels run $names" >"$folder/channels.jsonl" 2>"$folder/channels.stderr" &
	channels=$!
	# Some channels begin before kvmtaint does.
	for ((i = 0; i < 100; i++)); do
		! guest "test -e /srv/runs/channels/held" || break
		sleep 0.2
	done
	attach "$folder" "${without[@]}" || {
		echo "group $group: kvmtaint did not start: $(tail -1 "$folder/kvmtaint.stderr")"
		guest "pkill -x channels"
	}
	guest "touch /srv/runs/channels/attached"
	wait $channels
	echo "group $group: the channels ended with status $?"
	sleep 0.5
	kill -INT $kvmtaint 2>/dev/null
	wait $kvmtaint
	echo "group $group: kvmtaint ended with status $?"
	guest 'rm -rf /srv/runs/channels /srv/secret/channels /srv/public/channels; dmesg | tail -50' >"$folder/guest.dmesg"
done <"$IN/plan"
echo whole
