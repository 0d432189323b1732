# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1, with the shim's module loaded: what each operation costs in exits, by each trap.
set -u
guest 'mkdir -p /srv/secret; echo x >/srv/secret/a'
for trap in patch shim; do
	kvmtaint --vm "$VMM" --trap $trap --secret lab=/srv/secret/ >/tmp/records.$trap 2>/tmp/stderr &
	kvmtaint=$!
	for ((i = 0; i < 1200; i++)); do
		grep -q '"type":"start"' /tmp/records.$trap && break
		kill -0 $kvmtaint || { cat /tmp/stderr; exit 1; }
		sleep 0.1
	done
	mkdir -p "$OUT/$trap"
	OUT=$OUT/$trap python3 -u "$IN/exits.py" count || exit
	kill -INT $kvmtaint
	wait $kvmtaint || { echo "not ok exits-$trap: status $?"; exit 1; }
	if grep '"type":"lost"' /tmp/records.$trap; then
		echo "not ok exits-$trap: something was lost"
		exit 1
	fi
done
echo "ok whole"
