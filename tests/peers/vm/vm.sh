#!/bin/bash
# Boots Debian's kernel in an emulated machine and runs test scripts in it, one after the other, against servers on this
# machine's loopback, which the guest sees as 10.0.2.2.
#
# usage: vm.sh [options] SCRIPT [[options] SCRIPT]...
#   -e NAME=VALUE          environment of the scripts that follow (may be given again)
#   --hook NAME=COMMAND    a command of this host that the scripts may run (may be given again)
#   --path NAME=PORT       a path to a port of this host that the scripts may cut: the variable NAME holds the port that
#                          leads there (may be given again)
#   --timeout SECONDS      default 1500
#
# Prints 'score: SCRIPT: N passed, N failed' of each; the last line is the sum; the status is 0 only if none failed.
# env: TIDEMARK_VM_CACHE (see rootfs.sh); TIDEMARK_VM_CONSOLE=FILE keeps the whole console;
#      TIDEMARK_VM_ACCEL (default tcg: emulation, which works everywhere)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

variables=()
scripts=()
hooks=()
timeout=1500
overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT
mkdir -p "$overlay/test/scripts"

# add_script FILE: with the variables that were given before it.
add_script() {
  local folder
  folder=$overlay/test/scripts/$(printf '%02d' ${#scripts[@]})
  mkdir "$folder"
  cp "$1" "$folder/script"
  basename "$1" .sh >"$folder/name"
  [ ${#variables[@]} = 0 ] || printf 'export %s\n' "${variables[@]@Q}" >"$folder/env"
  scripts+=("$1")
}

while [ $# -gt 0 ]; do
  case $1 in
    -e) variables+=("$2") && shift 2 ;;
    --hook | --path) hooks+=("$1" "$2") && shift 2 ;;
    --timeout) timeout=$2 && shift 2 ;;
    -*) sed -n '2,16s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    *) add_script "$1" && shift ;;
  esac
done
[ ${#scripts[@]} -gt 0 ] || { echo "no test script was given" >&2; exit 2; }
cache=$("$here/rootfs.sh")
run=$(mktemp -d "$cache/run.XXXXXX")
children=()
clean_up() {
  local child
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  wait
  rm -rf "$run" "$overlay"
}
trap clean_up EXIT
trap 'exit 143' TERM INT

control_port=0
paths=()
if [ ${#hooks[@]} -gt 0 ]; then
  coproc HOOKS { exec python3 "$here/hooks.py" "${hooks[@]}"; }
  children+=("$HOOKS_PID")
  read -r -t 20 control_port told <&"${HOOKS[0]}" || { echo "hooks.py did not start" >&2; exit 1; }
  read -r -a paths <<<"$told"
fi

# The run's own files come as a second archive behind the cached initramfs.
cp "$here/lib.sh" "$overlay/test/lib.sh"
install -m 755 "$here/init" "$overlay/test/init"
printf 'export %s\n' HOST=10.0.2.2 CONTROL_PORT="$control_port" ${paths[@]+"${paths[@]}"} >"$overlay/test/env"
{
  cat "$cache/initramfs.cpio"
  (cd "$overlay" && find . | cpio -o -H newc --quiet)
} >"$run/initrd"

# Emulation alone behaves alike on every machine; a KVM that is itself virtual often does not work.
case ${TIDEMARK_VM_ACCEL:-tcg} in
  tcg) accelerator=tcg,thread=multi ;;
  *) accelerator=$TIDEMARK_VM_ACCEL ;;
esac
TMPDIR=$run timeout "$timeout" qemu-system-x86_64 -machine q35 -accel "$accelerator" -cpu max -smp 2 -m 1024 \
  -nodefaults -no-user-config -display none -no-reboot -kernel "$cache/vmlinuz" -initrd "$run/initrd" \
  -append "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off nokaslr random.trust_cpu=on" \
  -netdev user,id=net0 -device virtio-net-pci,netdev=net0,romfile= -device virtio-rng-pci \
  -drive "file=$cache/root.img,if=virtio,format=raw,snapshot=on,cache=unsafe" \
  -serial "file:$run/console" 2>"$run/emulator.log" &
emulator=$!
children+=("$emulator")
touch "$run/console"
tail -s 0.3 -n +1 -f --pid="$emulator" "$run/console" 2>/dev/null | sed -u 's/\r$//' |
  grep --line-buffered -a -E '^(ok|not ok|==|score:|   )|Kernel panic|Oops|BUG:' &
children+=($!)
follower=$!
status=0
wait "$emulator" || status=$?
wait "$follower" || true

[ -z "${TIDEMARK_VM_CONSOLE:-}" ] || cp "$run/console" "$TIDEMARK_VM_CONSOLE"
result=$(tr -d '\r' <"$run/console" | grep -a '^RESULT' | tail -n 1 || true)
if [ -z "$result" ]; then
  echo "the guest ended without a result (the emulator's status is $status; 124 is out of time)"
  tail -n 5 "$run/emulator.log"
  tail -n 15 "$run/console"
  echo "$(grep -ac '^ok ' "$run/console" || true) passed, 1 failed"
  exit 1
fi
if grep -aqE 'Kernel panic|Oops|BUG:' "$run/console"; then
  echo "not ok - the guest's kernel reports a fault"
  exit 1
fi
echo "${result#RESULT }"
[[ $result == *" 0 failed"* ]]
