# Sourced: what the suites need of a target, done by a real daemon. peer-tgt.sh has the same functions.
#
#   peer_start                            two portals, left in `portal` and `portal2` (host:port)
#   disk_new DISK SIZE                    a thin disk
#   target_new TARGET                     a target that lets everybody in; `iqn_of TARGET` is its full name
#   lun_map TARGET DISK LUN [OPTION...]   --read-only, --removable, --block-size N, --only INITIATOR
#   chap_on TARGET                        demands CHAP, MD5 allowed
#   chap_add TARGET USER SECRET [--mutual]
# shellcheck shell=bash
# shellcheck source=tests/peers/daemon.sh
source "$(dirname "${BASH_SOURCE[0]}")/../daemon.sh"

peer_start() {
  local second
  second=$(free_port)
  daemon_start appliance --iscsi "127.0.0.1:$second,2"
  portal=127.0.0.1:$iscsi_port
  portal2=127.0.0.1:$second
}

iqn_of() { echo "iqn.2026-11.dev.tidemark:$1"; }
disk_new() { tidemark appliance volume create "$1" --size "$2" >/dev/null; }
disk_grow() { tidemark appliance volume grow "$1" --size "$2" >/dev/null; }
lun_unmap() { tidemark appliance lun unmap "$1" "$2" --force >/dev/null; }
target_new() { tidemark appliance target create "$1" >/dev/null && initiator_allow "$1" any; }
initiator_allow() { tidemark appliance initiator allow "$1" "$2" >/dev/null; }
initiator_deny() { tidemark appliance initiator deny "$1" "$2" >/dev/null; }
chap_on() { tidemark appliance target set "$1" --auth chap --chap-md5 on >/dev/null; }

lun_map() {
  local target=$1 disk=$2 lun=$3
  shift 3
  tidemark appliance lun map "$target" "$disk" --lun "$lun" "$@" >/dev/null
}

chap_add() {
  local target=$1 user=$2
  (umask 077 && printf '%s\n' "$3" >"$scratch/secret")
  shift 3
  tidemark appliance chap set "$target" "$user" --secret-file "$scratch/secret" "$@" >/dev/null
}

peer_is_well() {
  local disk
  for disk in "$@"; do tidemark appliance scrub "$disk" >/dev/null || return 1; done
  all_alive
}
