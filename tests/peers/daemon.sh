# Sourced by the suites: starts real daemons in scratch state directories, and ends them whatever happens.
#
#   scratch                      a folder of this run, removed at the end (kept, and named, when KEEP=1)
#   daemon_start NAME [ARG...]   tidemarkd on the state directory $scratch/NAME, with an NBD door and an iSCSI door on
#                                free ports of 127.0.0.1, which it leaves in the variables `port` and `iscsi_port`
#                                lines that it says after the first go to $scratch/NAME.said
#   tidemark NAME COMMAND...     the command line on that state directory
#   at_end COMMAND               a command to run before the daemons are ended (may be given again)
#
# env: TIDEMARK_BIN, the folder of the programs (default: target/debug)
# shellcheck shell=bash
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
programs=${TIDEMARK_BIN:-$project/target/debug}
for program in tidemark tidemarkd; do
  [ -x "$programs/$program" ] || { echo "$programs/$program is missing: build the project first" >&2; exit 1; }
done
scratch=$(mktemp -d "${TMPDIR:-/tmp}/tidemark-suite.XXXXXX")
daemons=()
end_commands=()

at_end() { end_commands=("$1" ${end_commands[@]+"${end_commands[@]}"}); }

clean_up() {
  local command daemon file
  for command in ${end_commands[@]+"${end_commands[@]}"}; do $command || true; done
  # One that was started again is no child of this shell.
  for file in "$scratch"/*.pid; do
    [ ! -e "$file" ] || kill "$(cat "$file")" 2>/dev/null || true
  done
  for daemon in ${daemons[@]+"${daemons[@]}"}; do kill "$daemon" 2>/dev/null || true; done
  for daemon in ${daemons[@]+"${daemons[@]}"}; do wait "$daemon" 2>/dev/null || true; done
  for file in "$scratch"/*.pid; do
    [ ! -e "$file" ] || timeout 30 tail -s 0.1 --pid="$(cat "$file")" -f /dev/null || true
  done
  if [ "${KEEP:-}" = 1 ]; then echo "note: kept $scratch"; else rm -rf "$scratch"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tidemark() {
  local name=$1
  shift
  "$programs/tidemark" --state "$scratch/$name" "$@"
}

free_port() { "$project/tests/peers/ports.py"; }

daemon_start() {
  local name=$1 ready stdout
  shift
  port=$(free_port)
  iscsi_port=$(free_port)
  set -- "$programs/tidemarkd" --state "$scratch/$name" --nbd "127.0.0.1:$port" "$@" --iscsi "127.0.0.1:$iscsi_port"
  exec {stdout}< <(exec "$@" 2>"$scratch/$name.log")
  daemons+=($!)
  # What restart.sh needs to know.
  echo $! >"$scratch/$name.pid"
  printf '%s\0' "$@" >"$scratch/$name.command"
  if ! read -r -t 60 ready <&"$stdout"; then
    echo "tidemarkd did not become ready; the end of its log:" >&2
    tail -n 20 "$scratch/$name.log" >&2
    return 1
  fi
  echo "note: $ready"
  cat <&"$stdout" >"$scratch/$name.said" &
}

# all_alive: whether every daemon that was started still runs; the log's end otherwise.
all_alive() {
  local file
  for file in "$scratch"/*.pid; do
    kill -0 "$(cat "$file")" 2>/dev/null && continue
    echo "not ok - a daemon ended by itself:"
    tail -n 20 "$scratch"/*.log
    return 1
  done
}
