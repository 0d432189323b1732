# SPDX-License-Identifier: GPL-2.0
# Sourced after archive.sh. What the lab boots, made once under .cache/lab:
#
#	debian-12.ext4		unmodified Debian 12, the root of L1 and of L2
#	<release>.modules.ext4	a kernel's modules
#	<release>.cpio		busybox and the few modules that find the root
#	ssh/			the key of L2's root, which L1's sshd lets in
# shellcheck shell=bash

images=$cache/lab

# One image serves both levels: what L1 needs to be a KVM host, and what a
# guest's user may move data with.
l1_packages="qemu-system-x86 bpftool libbpf1 libjson-c5 libseccomp2 libelf1 zlib1g openssh-server
	openssh-sftp-server iproute2 procps kmod python3 python3-jsonschema socat nfs-kernel-server"
l2_packages="systemd openssh-client openssh-server openssh-sftp-server curl wget socat
	netcat-openbsd python3 procps psmisc lsof rsync iproute2 nftables kmod attr keyutils
	util-linux-extra e2fsprogs gzip less file strace xxd kexec-tools iputils-ping
	git openssl bind9-dnsutils gcc libc6-dev make cron bindfs fuse3 nfs-common xfsprogs
	btrfs-progs iptables conntrack auditd bsdutils"

# Modules that stand between the kernel and its root file system, the channel
# to the harness and the network. What a kernel has built in is passed over.
boot_modules="virtio_pci virtio_mmio virtio_blk ext4 virtio_net virtio_console virtio_rng af_packet"

# image DIR FILE [MIB]: an ext4 image of DIR, MIB larger than its content.
image() {
	local size
	size=$(du -sm --apparent-size "$1" | cut -f1)
	rm -f "$2.new"
	mke2fs -q -t ext4 -O ^has_journal,^metadata_csum -E lazy_itable_init=1,nodiscard -m 0 -b 4096 \
		-N $(($(find "$1" | wc -l) + 4096)) -d "$1" "$2.new" $((size + size / 8 + ${3:-8}))M >/dev/null
	mv "$2.new" "$2"
}

build_root() {
	local packages root=$images/root.new
	# shellcheck disable=SC2086 # one word per package
	packages=$(printf '%s\n' $l1_packages $l2_packages | sort -u | paste -sd,)
	if [ -e "$images/debian-12.ext4" ] && [ "$(cat "$images/debian-12.packages")" = "$packages" ]; then
		return
	fi
	echo "building the Debian 12 image" >&2
	rm -rf "$root"
	archive_sources bookworm bookworm-updates bookworm-security |
		mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
			--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' \
			--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
			bookworm "$root" - >"$images/mmdebstrap.log" 2>&1 ||
		die "mmdebstrap failed, see .cache/lab/mmdebstrap.log"
	mkdir -p "$root/srv/secret" "$root/srv/public"
	echo lab >"$root/etc/hostname"
	image "$root" "$images/debian-12.ext4" 1024
	echo "$packages" >"$images/debian-12.packages"
	rm -rf "$root"
}

build_key() {
	[ ! -e "$images/ssh/id_ed25519" ] || return 0
	mkdir -p "$images/ssh"
	ssh-keygen -q -t ed25519 -N '' -C lab -f "$images/ssh/id_ed25519"
	ssh-keygen -q -t ed25519 -N '' -C lab -f "$images/ssh/host_ed25519"
}

build_busybox() {
	[ -x "$images/busybox" ] || {
		archive_update
		archive_fetch "$images/busybox.new" busybox-static
		cp "$images/busybox.new/bin/busybox" "$images/busybox" 2>/dev/null ||
			cp "$images/busybox.new/usr/bin/busybox" "$images/busybox"
		rm -rf "$images/busybox.new"
	}
}

# modules_in_order DIR NAME...: the module files that these need, each after
# what it depends on itself.
modules_in_order() {
	local dir=$1 name
	shift
	for name in "$@"; do
		awk -v name="$name" '
			BEGIN { gsub("_", "[-_]", name) }
			$1 ~ "/" name "[.]ko[.a-z]*:$" {
				for (i = NF; i > 1; i--) print $i
				print substr($1, 1, length($1) - 1)
			}' "$dir/modules.dep"
	done | awk '!seen[$0]++'
}

# build_kernel SERIES: fetches it and makes its two images.
build_kernel() {
	local kernel release tree module plain
	kernel=$("$repo/scripts/guest-kernel" "$1")
	release=${kernel##*/}
	[ -e "$images/$release.modules.ext4" ] || image "$kernel/modules" "$images/$release.modules.ext4"
	[ ! -e "$images/$release.cpio" ] || return 0
	tree=$(mktemp -d "$images/tree.XXXXXX")
	chmod 755 "$tree"
	mkdir -p "$tree"/{bin,dev,proc,sys,root,modules}
	cp "$images/busybox" "$tree/bin/busybox"
	# shellcheck disable=SC2086 # one word per module
	modules_in_order "$kernel/modules" $boot_modules | while read -r module; do
		plain=${module##*/}
		plain=${plain%%.ko*}.ko
		case $module in
		*.xz) xz -dc "$kernel/modules/$module" ;;
		*.zst) zstd -qdc "$kernel/modules/$module" ;;
		*) cat "$kernel/modules/$module" ;;
		esac >"$tree/modules/$plain"
		echo "$plain" >>"$tree/modules/order"
	done
	archive_tree "$tree" >"$images/$release.cpio.new"
	mv "$images/$release.cpio.new" "$images/$release.cpio"
	rm -rf "$tree"
}

# archive_tree DIR: DIR as the kernel wants an initramfs; several may follow one another.
archive_tree() {
	(cd "$1" && find . | cpio --quiet -o -H newc -R 0:0)
}

# build_images [SERIES...]: everything that is missing.
build_images() {
	local series
	"$repo/scripts/deps" lab
	mkdir -p "$images" "$archive"
	(
		flock 9
		archive_update
		build_key
		build_busybox
		for series in "$@"; do
			build_kernel "$series"
		done
		build_root
	) 9>"$images/.lock"
}
