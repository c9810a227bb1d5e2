#!/bin/bash
# Linux's own NBD client, in an emulated machine, against a real daemon.
#
# usage: run.sh      env: TIDEMARK_BIN, KEEP (see ../daemon.sh), TIDEMARK_VM_* (see vm.sh)
#
# Lines 'result: ...' hold the scores; the status is 0 only if nothing failed, 77 where no machine can be emulated.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/peers/daemon.sh
source "$here/../daemon.sh"
for tool in qemu-system-x86_64 cpio apt-get dpkg-deb mkfs.ext4 modprobe; do
  command -v $tool >/dev/null || { echo "skip: $tool is not installed: run tests/install.sh"; exit 77; }
done
"$here/rootfs.sh" >/dev/null || { echo "skip: the guest's system could not be assembled (see above)"; exit 77; }

failures=0
judge() {
  local name=$1 status=0
  shift
  "$here/vm.sh" "$@" | tee "$scratch/$name.out" || status=$?
  echo "result: $name: $(tail -n 1 "$scratch/$name.out")"
  [ $status = 0 ] || failures=$((failures + 1))
}

daemon_start appliance
tidemark appliance volume create mail --size 512M >/dev/null
tidemark appliance mark take mail --name empty >/dev/null
tidemark appliance volume create growing --size 256M >/dev/null

judge 00-boot "$here/tests/00-boot.sh"
judge 02-nbd -e PORT="$port" -e EXPORT=mail -e SIZE=$((512 << 20)) "$here/tests/02-nbd.sh"
judge 04-resize-nbd -e PORT="$port" -e EXPORT=growing \
  --hook grow="'$programs/tidemark' --state '$scratch/appliance' volume grow growing --size 384M" \
  "$here/tests/04-resize-nbd.sh"

for volume in mail growing; do
  tidemark appliance scrub $volume || failures=$((failures + 1))
done
all_alive || failures=$((failures + 1))
[ $failures = 0 ]
