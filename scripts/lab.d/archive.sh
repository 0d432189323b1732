# SPDX-License-Identifier: GPL-2.0
# Sourced. The Debian archive, through an apt of our own under .cache/apt: it
# knows the suites that hold test kernels, and leaves the machine's apt alone.
# The mirror is whatever this machine itself uses.
#
# Who sources this may set before: archive_name (another folder than apt), archive_suites and
# archive_components (main).
# shellcheck shell=bash

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$repo/.cache
archive=$cache/${archive_name:=apt}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# mirror: prints the address of the archive that the machine's own apt uses.
# mirror security: the same for security updates.
mirror() {
	local main security
	# shellcheck disable=SC2016 # apt's own variables
	read -r main security <<<"$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' \
		'Created-By: Packages' | awk '
			$1 ~ /^(bullseye|bookworm|trixie|stable)$/ { main = $2 }
			$1 ~ /-security$/ { security = $2 }
			END { print main, security }')"
	[ -n "$main" ] || die "the machine's apt has no Debian source"
	[ "${1-}" = security ] || { echo "$main"; return; }
	echo "${security:-${main%/}-security}"
}

# archive_sources SUITE...: prints a sources.list of these suites.
archive_sources() {
	local suite main security
	main=$(mirror)
	security=$(mirror security)
	for suite in "$@"; do
		case $suite in
		*-security) echo "deb [arch=amd64 signed-by=$keyring] $security $suite ${archive_components:-main}" ;;
		*) echo "deb [arch=amd64 signed-by=$keyring] $main $suite ${archive_components:-main}" ;;
		esac
	done
}

archive_options=(
	-o Dir::State="$archive/state" -o Dir::State::status="$archive/state/status"
	-o Dir::State::Lists="$archive/lists" -o Dir::Cache="$archive/cache"
	-o Dir::Etc::SourceList="$archive/sources.list" -o Dir::Etc::SourceParts=/dev/null
	-o APT::Architecture=amd64 -o Acquire::Languages=none -o APT::Sandbox::User=root
)

# archive_update: refreshes the package lists, at most once in six hours. A
# suite that the mirror does not have (any more) is left out.
archive_update() {
	local suites=${archive_suites:-bullseye bullseye-security bookworm bookworm-security bookworm-backports
		trixie trixie-security trixie-backports sid}
	[ -z "$(find "$archive/updated" -mmin -360 2>/dev/null)" ] || return 0
	mkdir -p "$archive/state" "$archive/lists/partial" "$archive/cache/archives/partial"
	: >>"$archive/state/status"
	# shellcheck disable=SC2086 # one word per suite
	archive_sources $suites >"$archive/sources.list"
	apt-get "${archive_options[@]}" -qq update >"$archive/update.log" 2>&1 ||
		echo "note: some suites could not be had, see .cache/$archive_name/update.log" >&2
	touch "$archive/updated"
}

# archive_fetch DIR PACKAGE...: downloads and unpacks packages into DIR.
archive_fetch() {
	local dir=$1 deb download
	shift
	download=$(mktemp -d "$archive/download.XXXXXX")
	(cd "$download" && apt-get "${archive_options[@]}" -qq download "$@") ||
		{ rm -rf "$download"; return 1; }
	mkdir -p "$dir"
	for deb in "$download"/*.deb; do
		dpkg-deb -x "$deb" "$dir"
	done
	rm -rf "$download"
}
