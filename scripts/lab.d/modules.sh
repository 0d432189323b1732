# SPDX-License-Identifier: GPL-2.0
# Sourced. L1's kernel modules: the shim, and what makes its breakpoints work under TCG.
# shellcheck shell=bash

# build_modules SERIES DIR: both, built when a source is newer, into DIR.
build_modules() {
	local tree release built source name
	tree=$("$repo/scripts/kernel-headers" "$1")
	release=${tree##*/linux-headers-}
	built=$cache/modules/$release
	mkdir -p "$built" "$2"
	for source in "$repo/shim" "$lab/tcgdr"; do
		name=$(sed -n 's/^obj-m := \(.*\)[.]o$/\1/p' "$source/Kbuild")
		[ -e "$built/$name.ko" ] && [ -z "$(find "$source" -newer "$built/$name.ko" -print -quit)" ] || {
			rm -rf "$built/$name"
			cp -r "$source" "$built/$name"
			# shellcheck disable=SC2046 # words
			make -C "$tree" M="$built/$name" $(cat "$tree/options") modules >"$built/$name.log" 2>&1 ||
				die "$name cannot be built for $release, see .cache/modules/$release/$name.log"
			mv "$built/$name/$name.ko" "$built"
		}
		cp "$built/$name.ko" "$2"
	done
}
