# common.sh - sourced by the peers' scripts. Works inside one private root.
#   root      this peer's root, unpacked by fetch.sh
#   spool     its queue directory, as seen inside the root
set -eu
: "${RIG_PREFIX:?}" "${RIG_PORT:=2525}" "${RIG_SINK:=127.0.0.1:2590}"
: "${RIG_SINK_PROTO:=smtp}" "${RIG_MILTERS:=}" "${RIG_POLICY:=}" "${RIG_SESSIONS:=100}"
: "${RIG_TLS_CERT:=}" "${RIG_TLS_KEY:=}" "${RIG_QUEUE:=disk}"
sink_host=${RIG_SINK%:*}
sink_port=${RIG_SINK##*:}

need_root() { # PEER
	root=$RIG_PREFIX/$1
	[ -e "$root/.complete" ] || { echo "no $root: run peers/fetch.sh $1" >&2; exit 1; }
}

# Runs a command inside the root; with RIG_QUEUE=tmpfs its spool is a fresh
# tmpfs, in a mount name space which ends with the command's last process.
inside() {
	if [ "$RIG_QUEUE" = tmpfs ]; then
		unshare -m sh -c 'mount -t tmpfs -o size=4g,mode=755 rig "$1$2" || exit 1
			[ -z "$3" ] || chroot "$1" sh -c "$3" || exit 1
			root=$1; shift 3; exec chroot "$root" "$@"' sh "$root" "$spool" "$make_spool" "$@"
	else
		[ -z "$make_spool" ] || chroot "$root" sh -c "$make_spool"
		chroot "$root" "$@"
	fi
}

# Moves a milter's UNIX socket into the root (Sendmail wants no link) and prints
# its path there.
socket_inside() { # PATH
	mkdir -p "$root/run"
	mv -f "$1" "$root/run/${1##*/}"
	echo "/run/${1##*/}"
}

install_tls() {
	[ -n "$RIG_TLS_CERT" ] || return 0
	cp "$RIG_TLS_CERT" "$root/etc/rig.crt"
	(umask 077 && cp "$RIG_TLS_KEY" "$root/etc/rig.key")
}

stop_by_pidfile() { # FILE, inside the root; waits up to 10 s
	[ -s "$root$1" ] || return 0
	pid=$(head -n 1 "$root$1" | tr -dc 0-9)
	kill "$pid" 2>/dev/null || true
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.5
	done
	rm -f "$root$1"
}
