#!/bin/bash
# Boots Debian's kernel in an emulated machine and runs a test script in it, against servers on this machine's
# loopback, which the guest sees as 10.0.2.2.
#
# usage: vm.sh [options] SCRIPT
#   -e NAME=VALUE          environment of the script (may be given again)
#   --hook NAME=COMMAND    a command of this host that the script may run (may be given again)
#   --timeout SECONDS      default 900
#
# The last line is 'N passed, N failed'; the status is 0 only if none failed.
# env: TIDEMARK_VM_CACHE (see rootfs.sh); TIDEMARK_VM_CONSOLE=FILE keeps the whole console;
#      TIDEMARK_VM_ACCEL (default tcg: emulation, which works everywhere)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

variables=()
hooks=()
timeout=900
while [ $# -gt 0 ]; do
  case $1 in
    -e) variables+=("$2") && shift 2 ;;
    --hook) hooks+=("$2") && shift 2 ;;
    --timeout) timeout=$2 && shift 2 ;;
    -*) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    *) break ;;
  esac
done
script=${1:?no test script was given}
cache=$("$here/rootfs.sh")
run=$(mktemp -d "$cache/run.XXXXXX")
children=()
clean_up() {
  local child
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  wait
  rm -rf "$run"
}
trap clean_up EXIT
trap 'exit 143' TERM INT

control_port=0
if [ ${#hooks[@]} -gt 0 ]; then
  coproc HOOKS { exec python3 "$here/hooks.py" "${hooks[@]}"; }
  children+=("$HOOKS_PID")
  read -r -t 20 control_port <&"${HOOKS[0]}" || { echo "hooks.py did not start" >&2; exit 1; }
fi

# The run's own files come as a second archive behind the cached initramfs.
mkdir -p "$run/overlay/test"
cp "$here/lib.sh" "$run/overlay/test/lib.sh"
cp "$script" "$run/overlay/test/script"
install -m 755 "$here/init" "$run/overlay/test/init"
for variable in HOST=10.0.2.2 CONTROL_PORT="$control_port" ${variables[@]+"${variables[@]}"}; do
  printf 'export %s=%q\n' "${variable%%=*}" "${variable#*=}"
done >"$run/overlay/test/env"
{
  cat "$cache/initramfs.cpio"
  (cd "$run/overlay" && find . | cpio -o -H newc --quiet)
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
  grep --line-buffered -a -E '^(ok|not ok|==|   )|Kernel panic|Oops|BUG:' &
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
