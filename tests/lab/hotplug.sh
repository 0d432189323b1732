# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1: a VM that is given a CPU and memory while it is traced, and one that is set back to a
# snapshot. Lines as tests/run reads them.
set -u

verdict() { # NAME STATUS WHY
	if [ "$2" = 0 ]; then echo "ok $1"; else echo "not ok $1: $3"; fi
}

records() { grep -c "$1" /tmp/records; }

# leaks NAME COMMAND: a process that runs COMMAND's classified output into UDP is seen.
leaks() {
	local before end=$((SECONDS + 20))
	before=$(records '"type":"leak"')
	guest "$2 >/dev/udp/10.9.0.1/9000" >/tmp/said 2>&1
	until [ "$(records '"type":"leak"')" -gt "$before" ] || [ $SECONDS -ge $end ]; do sleep 0.1; done
	[ "$(records '"type":"leak"')" -gt "$before" ]
	verdict "$1" $? "no leak record: $(tail -1 /tmp/said) $(tail -1 /tmp/records | cut -c1-200)"
}

hmp() { l2 qmp human-monitor-command "{\"command-line\": \"$1\"}"; }

l2 stop
export LAB_L2_MACHINE=q35
# Snapshots go to the temporary qcow2 of the root disk.
LAB_VCPUS=1,maxcpus=2,sockets=2 LAB_L2_MEMORY=512,slots=2,maxmem=1G l2 start || { echo "not ok start: the VM did not start"; exit; }
guest 'mkdir -p /srv/secret; echo x >/srv/secret/a'
kvmtaint --verbose --trap "$LAB_TRAP" --vm "$(cat /run/l2/pid)" --secret lab=/srv/secret/ >/tmp/records 2>/tmp/stderr &
tracer=$!
for ((i = 0; i < 1200; i++)); do
	grep -q '"type":"start"' /tmp/records && break
	kill -0 $tracer || { echo "not ok attach: $(tail -1 /tmp/stderr)"; exit; }
	sleep 0.05
done
leaks before 'cat /srv/secret/a'

# --- a CPU more
echo "# device_add of a CPU: $(l2 qmp device_add '{"driver": "host-x86_64-cpu", "id": "cpu1", "socket-id": 1, "core-id": 0, "thread-id": 0}')"
guest 'for ((i = 0; i < 100; i++)); do [ -e /sys/devices/system/cpu/cpu1 ] && break; sleep 0.1; done
	echo 1 >/sys/devices/system/cpu/cpu1/online 2>/dev/null; nproc'
[ "$(guest nproc)" = 2 ]
verdict cpu-is-there $? "the guest has $(guest nproc) CPUs"
leaks cpu-added 'taskset -c 1 cat /srv/secret/a'

# --- memory more
l2 qmp object-add '{"qom-type": "memory-backend-ram", "id": "more", "size": 268435456}' >/dev/null
echo "# device_add of memory: $(l2 qmp device_add '{"driver": "pc-dimm", "id": "dimm", "memdev": "more"}')"
guest 'for ((i = 0; i < 100; i++)); do
		for each in /sys/devices/system/memory/memory*/state; do grep -q offline $each && echo online >$each; done
		[ "$(awk "/MemTotal/ { print \$2 }" /proc/meminfo)" -lt 600000 ] || break
		sleep 0.2
	done
	grep MemTotal /proc/meminfo' >/tmp/memory
[ "$(awk '{ print $2 }' /tmp/memory)" -gt 600000 ]
verdict memory-is-there $? "$(tail -1 /tmp/memory)"
# More than the 512 MiB that were there: what is read lies in the new memory, too.
guest 'mount -o size=600m -t tmpfs tmpfs /mnt; head -c 560M /dev/zero >/mnt/a' >/dev/null 2>&1
leaks memory-added 'cat /srv/secret/a'
guest 'umount /mnt'

# --- set back to a snapshot
guest 'cat /srv/secret/a >/srv/kept; sync'
hmp 'savevm one' | sed 's/^/# savevm: /'
# What is noticed is that the guest's clock goes back, and an idle guest's stands still.
guest 'timeout 6 bash -c "while :; do :; done"'
hmp 'loadvm one' | sed 's/^/# loadvm: /'
# QEMU resets the VM first. Where that takes long it is seen, and the kernel is armed anew.
for ((i = 0; i < 600; i++)); do
	[ "$(records '"event":"\(restored\|armed\)"')" = 0 ] || break
	sleep 0.1
done
[ "$(records '"event":"\(restored\|armed\)"')" -gt 0 ]
verdict restored-told $? "$(tail -1 /tmp/stderr)"
leaks restored-secret 'cat /srv/secret/a'
leaks restored-kept 'cat /srv/kept'

kill -0 $tracer
verdict still-traces $? "$(tail -1 /tmp/stderr)"
[ "$(records '"type":"lost"')" = 0 ]
verdict nothing-lost $? "$(grep '"lost"' /tmp/records | head -1 | cut -c1-300)"
kill -INT $tracer
wait $tracer
verdict detach $? "$(tail -1 /tmp/stderr)"
guest 'dmesg --level=emerg,alert,crit,err' >/tmp/dmesg
! grep -qE 'BUG|Oops|general protection|panic' /tmp/dmesg
verdict guest-unharmed $? "$(head -1 /tmp/dmesg)"
cp /tmp/records /tmp/stderr "$OUT"
echo "ok whole"
