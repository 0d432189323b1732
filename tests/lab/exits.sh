# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1: attaches and lets tests/lab/exits.py count.
set -u
guest 'mkdir -p /srv/secret; echo x >/srv/secret/a'
kvmtaint --vm "$VMM" --secret lab=/srv/secret/ >/tmp/records 2>/tmp/stderr &
kvmtaint=$!
for ((i = 0; i < 600; i++)); do
	grep -q '"type":"start"' /tmp/records && break
	kill -0 $kvmtaint || { cat /tmp/stderr; exit 1; }
	sleep 0.1
done
python3 -u "$IN/exits.py"
status=$?
kill -INT $kvmtaint
wait $kvmtaint || { echo "not ok exits-detach: status $?"; exit 1; }
[ ! -e "/sys/fs/bpf/kvmtaint/$VMM" ] && echo "ok maps-gone" || echo "not ok maps-gone: the pins are still there"
[ $status != 0 ] || echo "ok whole"
exit $status
