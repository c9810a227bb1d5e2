# Sourced: what the suites need of a target, done by tgt (Debian's package of that name), to compare with.
# The functions are those of peer-tidemark.sh, as far as tgt has the like.
# shellcheck shell=bash
# shellcheck source=tests/peers/daemon.sh
source "$(dirname "${BASH_SOURCE[0]}")/../daemon.sh"
targets=()

peer_start() {
  command -v tgtd >/dev/null || { echo "skip: tgtd is not installed"; exit 77; }
  local first second
  first=$(free_port)
  second=$(free_port)
  tgt_control=$((first % 30000 + 1000))
  tgtd -f -C "$tgt_control" --iscsi "portal=127.0.0.1:$first" >"$scratch/tgtd.log" 2>&1 &
  daemons+=($!)
  echo $! >"$scratch/tgtd.pid"
  at_end tgt_clean_up
  for _ in $(seq 100); do
    admin --op show --mode sys >/dev/null 2>&1 && break
    sleep 0.1
  done
  admin --op new --mode portal --param "portal=127.0.0.1:$second"
  portal=127.0.0.1:$first
  portal2=127.0.0.1:$second
}

admin() { tgtadm -C "$tgt_control" --lld iscsi "$@"; }
# tgtd catches SIGTERM and goes on while it has targets.
tgt_clean_up() {
  kill -KILL "$(cat "$scratch/tgtd.pid")" 2>/dev/null || true
  rm -f "/var/run/tgtd/socket.$tgt_control" "/var/run/tgtd/socket.$tgt_control.lock"
}

iqn_of() { echo "iqn.2026-11.dev.tidemark.peer:$1"; }
disk_new() { truncate -s "$2" "$scratch/$1.img"; }

tid_of() {
  local at
  for at in "${!targets[@]}"; do
    if [ "${targets[$at]}" = "$1" ]; then echo $((at + 1)); fi
  done
}

target_new() {
  targets+=("$1")
  admin --op new --mode target --tid ${#targets[@]} -T "$(iqn_of "$1")"
  initiator_allow "$1" any
}

initiator_allow() {
  case $2 in
    any) admin --op bind --mode target --tid "$(tid_of "$1")" -I ALL ;;
    *) admin --op bind --mode target --tid "$(tid_of "$1")" -Q "$2" ;;
  esac
}

initiator_deny() {
  case $2 in
    any) admin --op unbind --mode target --tid "$(tid_of "$1")" -I ALL ;;
    *) admin --op unbind --mode target --tid "$(tid_of "$1")" -Q "$2" ;;
  esac
}

# LUN 0 is tgt's own: its LUNs are one higher than asked for, which `lun_shift` tells.
lun_shift=1
lun_map() {
  local tid lun=$(($3 + lun_shift)) disk=$2
  tid=$(tid_of "$1")
  shift 3
  case ${1:-} in
    --block-size) admin --op new --mode logicalunit --tid "$tid" --lun $lun -b "$scratch/$disk.img" --blocksize "$2" ;;
    *) admin --op new --mode logicalunit --tid "$tid" --lun $lun -b "$scratch/$disk.img" ;;
  esac
  admin --op update --mode logicalunit --tid "$tid" --lun $lun --params thin_provisioning=1
  case ${1:-} in
    --read-only) admin --op update --mode logicalunit --tid "$tid" --lun $lun --params readonly=1 ;;
    --removable) admin --op update --mode logicalunit --tid "$tid" --lun $lun --params removable=1 ;;
    --only) echo "tgt masks whole targets only" >&2; return 1 ;;
  esac
}

lun_unmap() { admin --op delete --mode logicalunit --tid "$(tid_of "$1")" --lun $(($2 + lun_shift)); }
chap_on() { :; }

chap_add() {
  admin --op new --mode account --user "$2" --password "$3"
  if [ "${4:-}" = --mutual ]; then
    admin --op bind --mode account --tid "$(tid_of "$1")" --user "$2" --outgoing
  else
    admin --op bind --mode account --tid "$(tid_of "$1")" --user "$2"
  fi
}

peer_is_well() { all_alive; }
