#!/bin/bash
# Linux's own NBD client and iSCSI initiator, in an emulated machine, against a real daemon.
#
# usage: run.sh      env: TIDEMARK_BIN, KEEP (see ../daemon.sh), TIDEMARK_VM_* (see vm.sh)
#
# Lines 'result: ...' hold the scores; the status is 0 only if nothing failed, 77 where no machine can be emulated.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/peers/iscsi/peer-tidemark.sh
source "$here/../iscsi/peer-tidemark.sh"
for tool in qemu-system-x86_64 cpio apt-get dpkg-deb mkfs.ext4 modprobe; do
  command -v $tool >/dev/null || { echo "skip: $tool is not installed: run tests/install.sh"; exit 77; }
done
"$here/rootfs.sh" >/dev/null || { echo "skip: the guest's system could not be assembled (see above)"; exit 77; }

failures=0
# judge NAME ARGUMENT...: one guest, with these arguments of vm.sh.
judge() {
  local name=$1 status=0
  shift
  "$here/vm.sh" "$@" | tee "$scratch/$name.out" || status=$?
  sed -n 's/^score: /result: /p' "$scratch/$name.out"
  echo "result: guest $name: $(tail -n 1 "$scratch/$name.out")"
  [ $status = 0 ] || failures=$((failures + 1))
}

# command_line ARGUMENT...: a command of the command line, as a hook.
command_line() { printf '%q ' "$programs/tidemark" --state "$scratch/appliance" "$@"; }

peer_start
tidemark appliance volume create mail --size 512M >/dev/null
tidemark appliance mark take mail --name empty >/dev/null
tidemark appliance volume create growing --size 256M >/dev/null
judge nbd "$here/tests/00-boot.sh" \
  -e PORT="$port" -e EXPORT=mail -e SIZE=$((512 << 20)) "$here/tests/02-nbd.sh" \
  -e EXPORT=growing --hook "grow=$(command_line volume grow growing --size 384M)" "$here/tests/04-resize-nbd.sh"

first=${portal##*:}
second=${portal2##*:}
disk_new files 512M
disk_new paths 64M
disk_new swelling 256M
disk_new reserved 16M
disk_new marked 64M
disk_new guarded 16M
target_new guest
lun_map guest files 0
lun_map guest paths 1
lun_map guest swelling 2
lun_map guest reserved 3
lun_map guest marked 4
target_new guarded
lun_map guarded guarded 0
chap_on guarded
chap_add guarded reader a-secret-of-16-b
chap_add guarded appliance another-secret-b --mutual
states=()
for state in optimized non-optimized standby; do
  states+=(--hook "a_${state/-/_}=$(command_line portal set 1 $state)")
  states+=(--hook "b_${state/-/_}=$(command_line portal set 2 $state)")
done
serve="$(command_line view create looking marked@during) &&
  $(command_line lun map guest view/looking --lun 7 --only iqn.2026-11.dev.tidemark.guest:second)"
judge iscsi -e IQN="$(iqn_of guest)" -e PORT="$first" \
  -e LUN=0 -e CHAP_IQN="$(iqn_of guarded)" -e CHAP_LUN=0 -e USER=reader -e SECRET=a-secret-of-16-b \
  -e OWN_USER=appliance -e OWN_SECRET=another-secret-b -e CHAP_DIGESTS="MD5 SHA256 SHA3-256" \
  "$here/tests/01-iscsi.sh" \
  --path PORT_A="$first" --path PORT_B="$second" "${states[@]}" -e LUN=1 -e ALUA=1 "$here/tests/03-multipath.sh" \
  --hook grow_lun="$(command_line volume grow swelling --size 384M)" -e LUN=2 "$here/tests/04-resize-iscsi.sh" \
  --hook restart="$(printf '%q ' "$here/../restart.sh" "$scratch" appliance KILL)" \
  -e LUN=3 -e RESTART=1 "$here/tests/05-persistent-reservations.sh" \
  --hook mark="$(command_line mark take marked --name during)" --hook serve="$serve" \
  -e LUN=4 -e VIEW_IQN="$(iqn_of guest)" -e VIEW_LUN=7 "$here/tests/06-marks.sh"

peer_is_well mail growing files paths swelling reserved marked || failures=$((failures + 1))
[ $failures = 0 ]
