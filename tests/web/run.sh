#!/bin/bash
# The console in a real browser, before a real daemon.
#
# usage: run.sh            env: TIDEMARK_BIN, KEEP (see ../peers/daemon.sh), CHROMIUM (default: chromium), SHOTS (a
#                          folder for pictures of all pages of a demo)
#
# Prints a line for each claim that was checked; the status is 0 only if all of them hold.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
chromium=$(command -v "${CHROMIUM:-chromium}") || { echo "skip: chromium is not installed: run tests/install.sh"; exit 77; }
for tool in node npm curl; do
  command -v "$tool" >/dev/null || { echo "skip: $tool is not installed"; exit 77; }
done
for folder in "$here" "$here/../../web"; do
  [ -d "$folder/node_modules" ] || (cd "$folder" && npm ci --no-audit --no-fund --silent) ||
    { echo "skip: npm cannot get the packages of $folder"; exit 77; }
done
# shellcheck source=tests/peers/daemon.sh
source "$here/../peers/daemon.sh"
daemon_start web
socket=$scratch/web/tidemark.sock
post() { curl --silent --show-error --fail --unix-socket "$socket" --json "$2" "http://tidemark/api/v1$1" >/dev/null; }

# said NAME SCRIPT: what sed finds in the lines that a daemon has said, once it has said it.
said() {
  local found
  for _ in $(seq 100); do
    found=$(sed -n "$2" "$scratch/$1.said" 2>/dev/null)
    [ -z "$found" ] || break
    sleep 0.1
  done
  echo "$found"
}

tidemark web volume create full --size 4G >/dev/null
# A file system for a view to be mounted, where this machine can attach and make one.
folder=
if device=$(tidemark web attach full 2>/dev/null | sed -n 's/^full is \(\S*\)$/\1/p') && [ -n "$device" ]; then
  ! mkfs.ext4 -q "$device" || folder=$scratch/mounted
  tidemark web detach full >/dev/null
fi
for n in $(seq 1 256); do
  grade=crash
  [ $((n % 12)) != 0 ] || grade=filesystem
  [ $((n % 48)) != 0 ] || grade=application
  post /marks "{\"volumes\": [\"full\"], \"name\": \"m$n\", \"grade\": \"$grade\"}"
done
truncate --size 64M "$scratch/old.img"
# A policy that cannot do what it should, for the page of alerts.
tidemark web volume create gone --size 64M >/dev/null
tidemark web policy create gone gone --every 1d --keep last=2 >/dev/null
tidemark web volume rm gone --yes >/dev/null
tidemark web policy run gone >/dev/null

node "$here/../../web/dev.mjs" "$scratch/web" 0 >"$scratch/proxy.log" 2>&1 &
proxy=$!
end_proxy() { kill "$proxy" 2>/dev/null; }
at_end end_proxy
for _ in $(seq 1 100); do
  address=$(sed -n 's/^console at //p' "$scratch/proxy.log")
  [ -z "$address" ] || break
  sleep 0.1
done
[ -n "$address" ] || { cat "$scratch/proxy.log" >&2; exit 1; }
failures=0
node "$here/suite.mjs" "$address" "$chromium" "$scratch/old.img" "$(cat "$scratch/web.pid")" ${folder:+"$folder"} || failures=1

# Over HTTPS, where people sign in.
https_port=$(free_port)
daemon_start signin --api "127.0.0.1:$https_port"
tidemark signin volume create mail --size 1G >/dev/null
tidemark signin mark take mail --name first >/dev/null
link=$(said signin 's/^ *\(https:.*setup.*\)$/\1/p')
node "$here/signin.mjs" "$link" "$chromium" "$here/../peers/restart.sh" "$scratch" signin || failures=1

# A new user's path, from the command of the README.
dd if=/dev/urandom of="$scratch/old.img" bs=1M count=16 status=none
daemon_start path --quickstart --api "127.0.0.1:$(free_port)"
link=$(said path 's/^ *\(https:.*setup.*\)$/\1/p')
node "$here/path.mjs" "$link" "$chromium" "$scratch/old.img" "127.0.0.1:$port" || failures=1

# Before a demo, with something on every page. It chooses its own ports, and says them.
began=$(date +%s%N)
exec {demo_out}< <(exec "$programs/tidemarkd" --demo --state "$scratch/demo" 2>"$scratch/demo.log")
daemons+=($!)
read -r -t 120 ready <&"$demo_out" || { tail -n 20 "$scratch/demo.log" >&2; exit 1; }
echo "result: the demo is ready after $((($(date +%s%N) - began) / 1000000)) ms"
cat <&"$demo_out" >"$scratch/demo.said" &
address=$(said demo 's/^Demo: \(https:[^ ]*\) .*/\1/p')
password=$(said demo 's/^Demo: .* with //p')
node "$here/demo.mjs" "$address" "$password" "$scratch/demo" "$chromium" "${SHOTS:-}" || failures=1
exit $failures
