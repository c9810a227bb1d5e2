#!/bin/bash
# Ends a daemon that daemon.sh started, and starts it again on the same state directory and the same ports.
#
# usage: restart.sh SCRATCH NAME [SIGNAL]      SIGNAL: KILL (default) or TERM
set -euo pipefail
scratch=$1 name=$2 signal=${3:-KILL}

is_gone() { [ ! -e "/proc/$1" ] || grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }

daemon=$(cat "$scratch/$name.pid")
kill -s "$signal" "$daemon"
for _ in $(seq 600); do
  is_gone "$daemon" && break
  sleep 0.1
done
is_gone "$daemon" || { echo "the daemon did not end" >&2; exit 1; }

mapfile -d '' -t command <"$scratch/$name.command"
setsid "${command[@]}" </dev/null >"$scratch/$name.ready" 2>>"$scratch/$name.log" &
echo $! >"$scratch/$name.pid"
for _ in $(seq 600); do
  grep -q ready "$scratch/$name.ready" && exit 0
  sleep 0.1
done
tail -n 20 "$scratch/$name.log" >&2
exit 1
