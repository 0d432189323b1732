# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# In L1: a secret is shown in an interactive ssh login to L2, under each --terminals.
# Lines as tests/run reads them.
set -u
port=2222

verdict() { # NAME STATUS WHY
	if [ "$2" = 0 ]; then echo "ok $1"; else echo "not ok $1: $3"; fi
}

# seen NAME TEXT...: one record has all of these texts; unseen: none has.
seen() {
	has "${@:2}"
	verdict "$1" $? "no record has: ${*:2}"
}
unseen() {
	! has "${@:2}"
	verdict "$1" $? "$(found "${@:2}" | head -1 | cut -c1-300)"
}
has() { [ -n "$(found "$@")" ]; }
found() {
	local lines text
	lines=$(cat "$OUT/$mode.jsonl")
	for text; do
		lines=$(grep -F -- "$text" <<<"$lines")
	done
	echo "$lines"
}

# login: shows the secret at a shell's prompt, and lets that shell write a file later.
login() {
	{
		echo 'cat /srv/secret/shown'
		sleep 3
		echo "echo plain >/srv/after-$mode; exit"
		sleep 2
	} | ssh -tt -i /tmp/key -p $port -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
		-o LogLevel=ERROR root@10.9.0.2 >"$OUT/$mode.login" 2>&1
	grep -q 'a secret to be shown' "$OUT/$mode.login"
	verdict "$mode-login" $? "$(tail -1 "$OUT/$mode.login")"
}

trace() {
	kvmtaint --vm "$VMM" --secret lab=/srv/secret/ --terminals "$mode" >"$OUT/$mode.jsonl" 2>"$OUT/$mode.stderr" &
	tracer=$!
	for ((i = 0; i < 600; i++)); do
		grep -q '"type":"start"' "$OUT/$mode.jsonl" && return
		kill -0 $tracer || { cat "$OUT/$mode.stderr"; exit 1; }
		sleep 0.1
	done
}

guest 'mkdir -p /srv/secret && echo a secret to be shown >/srv/secret/shown
	ssh-keygen -q -t ed25519 -N "" -f /srv/hostkey && ssh-keygen -y -f /root/.ssh/id_ed25519 >/srv/allowed
	chmod 600 /srv/allowed'
guest 'cat /root/.ssh/id_ed25519' >/tmp/key
chmod 600 /tmp/key
# Its own session, so that it outlives the job that started it.
guest "setsid /usr/sbin/sshd -p $port -h /srv/hostkey -o AuthorizedKeysFile=/srv/allowed -o StrictModes=no -o UsePAM=no"

for mode in shown output both; do
	trace
	login
	seen "$mode-terminal" '"flow":"write"' '"target":{"kind":"terminal","name":"pts'
	case $mode in
	shown)
		unseen shown-nobody '"type":"spread"' '"source":{"kind":"terminal"'
		unseen shown-no-leak '"type":"leak"' ;;
	*)
		seen "$mode-sshd" '"source":{"kind":"terminal"' '"comm":"sshd"' '"flow":"read"'
		seen "$mode-leak" '"type":"leak"' '"comm":"sshd"' '"transport":"tcp","address":"10.9.0.1"' ;;
	esac
	case $mode in
	both) seen both-shell '"target":{"kind":"file"' "/srv/after-$mode" ;;
	*) unseen "$mode-shell-stays-clean" "/srv/after-$mode" ;;
	esac
	seen "$mode-gone" '"type":"gone"' '"target":{"kind":"terminal","name":"pts'
	kill -INT $tracer
	wait $tracer
	verdict "$mode-end" $? "$(tail -1 "$OUT/$mode.stderr")"
done
echo ok whole
