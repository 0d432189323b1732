# SPDX-License-Identifier: GPL-2.0
# Sourced after images.sh. One boot of L1 does one job: a script, the files it
# gets, and the folder in which its results arrive.
# shellcheck shell=bash

# What a job is; `lab` sets these from its options.
l1_kernel=6.12
l2_kernel=6.12
other_kernel=
second_kernel=	# of a second guest; empty: there is none
vcpus=2
l1_memory=4096
l2_memory=512
l2_args=
trap=patch	# how kvmtaint is to trap L2
l1_args=
storage=
with_l2=1
seconds=600	# that the job may take, after L1 has booted
programs=$repo/tests/scenarios/guest
channels=$repo/tests/channels/guest

# initramfs SERIES LEVEL: the cached part and the scripts as they are now.
initramfs() {
	local tree release
	release=$(basename "$(realpath "$cache/kernels/by-series/$1")")
	tree=$(mktemp -d "$run/tree.XXXXXX")
	mkdir -p "$tree/lab/ssh" "$tree/lab/dev"
	cp "$lab/both/init" "$tree/init"
	cp -r "$lab/$2/." "$tree/lab"
	ln -s /proc/self/fd "$tree/lab/dev/fd"
	ln -s /proc/self/fd/0 "$tree/lab/dev/stdin"
	ln -s /proc/self/fd/1 "$tree/lab/dev/stdout"
	ln -s /proc/self/fd/2 "$tree/lab/dev/stderr"
	rm -rf "$tree/lab/__pycache__"
	cp "$images/ssh"/host_ed25519.pub "$images/ssh"/id_ed25519.pub "$tree/lab/ssh"
	case $2 in
	l1) cp "$images/ssh/host_ed25519" "$tree/lab/ssh" ;;
	l2) cp "$images/ssh/id_ed25519" "$tree/lab/ssh" ;;
	esac
	cat "$images/$release.cpio" <(archive_tree "$tree")
	rm -rf "$tree"
}

# build_channels: the one program that all channels are linked into, static,
# built when a source is newer.
build_channels() {
	local program=$cache/programs/channels
	mkdir -p "$cache/programs"
	[ -e "$program" ] && [ -z "$(find "$channels" -newer "$program" -print -quit)" ] || {
		${CC:-gcc} -static -O2 -g -pthread -Wall -Wextra -Wshadow -Werror -o "$program.$$" "$channels"/*.c
		mv "$program.$$" "$program"
	}
}

# build_programs DIR: the guest's own test programs, static, built when a source
# is newer (NAME32.c: for 32 bits, without a C library); scripts go along as they are.
build_programs() {
	local source program newest options
	mkdir -p "$1" "$cache/programs"
	newest=$(find "$programs" -name '*.[ch]' -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -1 | cut -d' ' -f2-)
	for source in "$programs"/*; do
		program=$cache/programs/$(basename "${source%.*}")
		case $source in
		*.c)
			[ "$program" -nt "$newest" ] || {
				options=(-pthread)
				[[ $source != *32.c ]] || options=(-m32 -ffreestanding -nostdlib -fno-stack-protector -fno-pie)
				${CC:-gcc} -static -O2 "${options[@]}" -Wall -o "$program.$$" "$source"
				mv "$program.$$" "$program"
			}
			cp "$program" "$1" ;;
		*.sh | *.py) install -m 755 "$source" "$1/${program##*/}" ;;
		esac
	done
	build_channels
	cp "$cache/programs/channels" "$1"
}

# bundle_kvmtaint DIR: the built program and its libraries, but for the C
# library, which L1 has; nothing when it is not built.
bundle_kvmtaint() {
	local library
	[ -x "$repo/.output/kvmtaint" ] || return 0
	mkdir -p "$1/lib"
	cp "$repo/.output/kvmtaint" "$1/kvmtaint"
	[ ! -e "$repo/user/record.schema.json" ] || cp "$repo/user/record.schema.json" "$1"
	{ ldd "$repo/.output/kvmtaint" 2>/dev/null || true; } | awk '$3 ~ /^\// { print $3 }' |
		{ grep -E '/lib(bpf|json-c|seccomp|elf|z)[.]' || true; } |
		while read -r library; do
			cp -L "$library" "$1/lib"
		done
}

# job_disk SCRIPT FILE...: builds the job's disk in $run/job.ext4.
job_disk() {
	local script=$1 job=$run/job
	shift
	mkdir -p "$job/in" "$job/l2"
	cat "$script" >"$job/run"
	[ $# = 0 ] || cp -rL "$@" "$job/in"
	{
		printf '%s=%q\n' LAB_VCPUS "$vcpus" LAB_L2_MEMORY "$l2_memory" LAB_L2_ARGS "$l2_args" \
			LAB_STORAGE "$storage" LAB_L2 "$with_l2" LAB_SECOND "$second_kernel" LAB_TRAP "$trap" LAB_TIMEOUT "$seconds" LAB_TTY "$tty" LAB_KERNEL "$l2_kernel"
		[ -z "${job_env-}" ] || echo "$job_env"
	} >"$job/env"
	bundle_kvmtaint "$job/kvmtaint"
	[ "$trap" = patch ] || build_modules "$l1_kernel" "$job/modules"
	mkdir -p "$run/programs"
	build_programs "$run/programs"
	image "$run/programs" "$job/l2/programs.ext4" 2
	cp "$cache/kernels/by-series/$l2_kernel/vmlinuz" "$job/l2"
	initramfs "$l2_kernel" l2 >"$job/l2/initrd"
	[ -z "$other_kernel" ] || {
		cp "$cache/kernels/by-series/$other_kernel/vmlinuz" "$job/l2/other.vmlinuz"
		initramfs "$other_kernel" l2 >"$job/l2/other.initrd"
	}
	[ -z "$second_kernel" ] || {
		cp "$cache/kernels/by-series/$second_kernel/vmlinuz" "$job/l2/second.vmlinuz"
		initramfs "$second_kernel" l2 >"$job/l2/second.initrd"
	}
	image "$job" "$run/job.ext4"
	rm -rf "$job" "$run/programs"
}

# drive NAME FILE OPTIONS: L1 finds its disks by their serial.
drive() {
	printf '%s\n' -drive "if=none,id=$1,format=raw,file=$2,$3" -device "virtio-blk-pci,drive=$1,serial=$1"
}

# where_it_stands: an L1 that stands still says where, on its console.
where_it_stands() {
	/usr/bin/python3 - "$run/qmp" <<'END' || true
import socket, sys, time
qmp = socket.socket(socket.AF_UNIX)
qmp.connect(sys.argv[1])
qmp.sendall(b'{"execute": "qmp_capabilities"} {"execute": "inject-nmi"}')
time.sleep(5)
END
}

# heartbeat: sends L1 an interrupt a second. QEMU 7.2's TCG clears its note of a
# virtual interrupt at #VMEXIT without a lock, and so now and then drops a real
# one that comes at that moment (cs->interrupt_request in do_vmexit). When it
# was the timer of an L1 that then goes idle, L1 never wakes; the next interrupt
# of any kind delivers the one that was dropped.
heartbeat() {
	while sleep 1; do
		echo >&"$beat"
	done
}

# leave: at the end of a boot, however it comes.
leave() {
	[ -z "${emulator-}" ] || kill "$emulator" 2>/dev/null || true
	[ -z "${heart-}" ] || kill "$heart" 2>/dev/null || true
	rm -rf "$run" ${temporary:+"$temporary"}
}

# boot SCRIPT OUT [FILE...]: runs SCRIPT in a fresh L1; what it writes to $OUT
# there arrives in the folder OUT. Returns the script's status.
boot() {
	local script=$1 out=$2 l1 l2 second qemu status
	shift 2
	run=$(mktemp -d "$cache/run.XXXXXX")
	trap leave EXIT
	trap 'exit 143' INT TERM
	trap 'where_it_stands; exit 143' USR1
	mkdir -p "$out"
	tty=raw
	[ -z "${interactive-}" ] || tty=$(stty size)
	job_disk "$script" "$@"
	l1=$(basename "$(realpath "$cache/kernels/by-series/$l1_kernel")")
	l2=$(basename "$(realpath "$cache/kernels/by-series/$l2_kernel")")
	initramfs "$l1_kernel" l1 >"$run/initrd"
	truncate -s 4G "$run/out.tar"
	mapfile -t qemu < <(
		drive root "$images/debian-12.ext4" snapshot=on,cache=unsafe
		drive modules "$images/$l1.modules.ext4" readonly=on
		drive job "$run/job.ext4" readonly=on
		drive out "$run/out.tar" cache=unsafe
		drive l2-root "$images/debian-12.ext4" readonly=on
		drive l2-modules "$images/$l2.modules.ext4" readonly=on
		[ -z "$second_kernel" ] || {
			second=$(basename "$(realpath "$cache/kernels/by-series/$second_kernel")")
			drive second-modules "$images/$second.modules.ext4" readonly=on
		}
	)
	qemu+=(-nodefaults -no-user-config -display none -no-reboot -M q35 -m "$l1_memory" -smp 1
		-accel tcg,thread=single -cpu 'EPYC,+svm' -device virtio-rng-pci
		-kernel "$cache/kernels/by-series/$l1_kernel/vmlinuz" -initrd "$run/initrd"
		-append "console=ttyS0 loglevel=4 mitigations=off panic=-1 tsc=reliable unknown_nmi_panic"
		-serial "file:$out/l1.console" -device virtio-serial-pci -device virtconsole,chardev=job)
	# shellcheck disable=SC2206 # words
	qemu+=($l1_args)
	mkfifo "$run/beat.in" "$run/beat.out"
	exec {beat}<>"$run/beat.in"
	heartbeat </dev/null >/dev/null 2>&1 &
	heart=$!
	qemu+=(-chardev "pipe,id=beat,path=$run/beat" -device virtserialport,chardev=beat,name=beat)
	qemu+=(-chardev stdio,id=job,signal=off -qmp "unix:$run/qmp,server=on,wait=off")
	if [ -n "${interactive-}" ]; then
		TMPDIR=$run timeout --foreground -k 5 $((seconds + 120)) qemu-system-x86_64 "${qemu[@]}" 2>"$run/qemu.log"
	else
		TMPDIR=$run timeout -k 5 $((seconds + 120)) qemu-system-x86_64 "${qemu[@]}" </dev/null 2>"$run/qemu.log" &
		emulator=$!
		wait $emulator
	fi || echo "lab: QEMU of L1 ended with status $?" >&2
	emulator=
	kill "$heart" 2>/dev/null || true
	exec {beat}>&-
	grep -v 'TCG doesn.t support requested feature' "$run/qemu.log" >&2 || true
	if ! tar -C "$out" --no-same-owner -xf "$run/out.tar" 2>/dev/null; then
		echo "lab: L1 did not end by itself; the end of its console:" >&2
		tail -20 "$out/l1.console" >&2
		return 125
	fi
	status=$(cat "$out/.status")
	rm -f "$out/.status"
	return "$status"
}
