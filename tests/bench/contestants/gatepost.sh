#!/bin/sh
# gatepost as it is run: a worker for each processor, delivery before the reply, no queue
set -eu
dir=$RIG_WORK/gatepost
case $1 in
features) echo "milter policy tls sync" ;;
start)
	rm -rf "$dir"; mkdir -p "$dir/spool"
	names=; n=0
	# A session and its filter are two open files, and a process may have 20000 where root cannot raise that.
	workers=$((RIG_SESSIONS * 2 / 15000 + 2)); [ $workers -ge "$(nproc)" ] || workers=$(nproc)
	{
		printf 'hostname = "rig.example"\nspool = "%s/spool"\nworkers = %s\nlog { level = %s }\ndns { enabled = false }\n' "$dir" "$workers" "${RIG_LOG:-warning}"
		[ -z "$RIG_TLS_CERT" ] || printf 'tls { certificate = "%s" key = "%s" }\n' "$RIG_TLS_CERT" "$RIG_TLS_KEY"
		for m in $RIG_MILTERS; do
			case $m in /*) at=unix:$m ;; *) at=inet:$m ;; esac
			printf 'milter m%s { socket = "%s" on_failure = tempfail }\n' $n "$at"
			names="$names${names:+, }\"m$n\""; n=$((n + 1))
		done
		[ -z "$RIG_POLICY" ] || printf 'policy p { socket = "inet:%s" }\n' "$RIG_POLICY"
		printf 'next_hop sink { %s = "%s" }\n' "$RIG_SINK_PROTO" "$RIG_SINK"
		printf 'listener mx { address = {"127.0.0.1:%s"} script = "mx.sieve" tls = %s }\n' "$RIG_PORT" \
			"$([ -n "$RIG_TLS_CERT" ] && echo offer || echo none)"
	} >"$dir/gatepost.conf"
	{
		echo 'require ["vnd.gatepost.mta"];'
		[ -z "$names" ] || echo "stage \"connect\" { milter [$names]; }"
		echo 'stage "rcpt" {'
		[ -z "$RIG_POLICY" ] || echo '	policy "p";'
		# as the peers' mynetworks: the clients here may relay
		echo '	if client "127.0.0.0/8" { deliver "sink"; }'
		echo '}'
	} >"$dir/mx.sieve"
	"$GATEPOST" -c "$dir/gatepost.conf" serve </dev/null 2>>"$dir/log" &
	echo $! >"$dir/pid"
	;;
stop)
	pid=$(cat "$dir/pid")
	kill "$pid" 2>/dev/null || true
	for i in $(seq 100); do kill -0 "$pid" 2>/dev/null || exit 0; sleep 0.1; done ;;
*)	echo "usage: $0 start|stop|features" >&2; exit 2 ;;
esac
