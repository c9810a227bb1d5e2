# Sourced by the test scripts in the guest. HOST is the host's loopback as seen from there (10.0.2.2).
#
#   t NAME COMMAND...         runs the command and counts it; its output is shown when it fails
#   not COMMAND...            succeeds when the command fails
#   hook NAME                 runs the host's command given to vm.sh as --hook NAME=COMMAND; its output comes back
#   path down|up NAME         cuts or mends the path given to vm.sh as --path NAME=PORT
#   wait_for SECONDS COMMAND  polls until the command succeeds
#   finish                    the last line of a script
# shellcheck shell=bash
touch /tmp/passed /tmp/failed

uptime_s() { cut -d. -f1 /proc/uptime; }

t() {
  local name=$1 started status ended
  shift
  started=$(cut -d' ' -f1 /proc/uptime)
  "$@" >/tmp/out 2>&1
  status=$?
  ended=$(cut -d' ' -f1 /proc/uptime)
  if [ $status = 0 ]; then
    echo "ok - $name ($(awk "BEGIN { printf \"%.1f\", $ended - $started }") s)"
    echo "$name" >>/tmp/passed
  else
    echo "not ok - $name (status $status)"
    echo "$name" >>/tmp/failed
    tail -n 12 /tmp/out | sed 's/^/      /'
  fi
  return $status
}

not() { ! "$@"; }

wait_for() {
  local end=$(($(uptime_s) + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(uptime_s)" -ge $end ] && return 1
    sleep 0.2
  done
}

control() {
  local answer
  answer=$(echo "$*" | nc -w 90 "$HOST" "$CONTROL_PORT")
  echo "$answer"
  [[ $answer == *"status 0"* ]]
}
hook() { control hook "$1"; }
path() { control path "$1" "$2"; }

finish() {
  [ ! -s /tmp/failed ]
  exit $?
}

# --- file systems on a device

make_file_system() {
  case $2 in
    ext4) mkfs.ext4 -q -F -E nodiscard "$1" ;;
    xfs) mkfs.xfs -q -f -K "$1" ;;
  esac
}

check_file_system() {
  case $2 in
    ext4) e2fsck -f -n "$1" ;;
    xfs) xfs_repair -n "$1" ;;
  esac
}

write_hashed_files() {
  local index
  mkdir -p /mnt/files
  for index in $(seq 1 40); do
    dd if=/dev/urandom of=/mnt/files/"$index" bs=1k count=$((index * 7)) 2>/dev/null || return 1
  done
  (cd /mnt/files && sha256sum -- * >/tmp/sums) && sync
}

files_are_whole() { (cd /mnt/files && sha256sum -c --quiet /tmp/sums); }

# fio_verify NAME SIZE ARGUMENT...: random writes, then every block read back and its checksum compared.
fio_verify() {
  local name=$1 size=$2
  shift 2
  fio --name="$name" --size="$size" --rw=randwrite --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 \
    --do_verify=1 --end_fsync=1 --minimal --output=/tmp/fio.out "$@"
}

# A new file system on the device, loaded, frozen once, unmounted and checked.
file_system_cycle() {
  local device=$1 type=$2
  t "$type: mkfs" make_file_system "$device" "$type" || return
  t "$type: mount" mount -t "$type" "$device" /mnt || return
  t "$type: fio, every block verified" fio_verify files 24M --directory=/mnt --bsrange=4k-64k --iodepth=16
  t "$type: files written and hashed" write_hashed_files
  t "$type: fsfreeze -f and -u" bash -c 'fsfreeze -f /mnt && fsfreeze -u /mnt'
  t "$type: umount" umount /mnt
  t "$type: the check finds nothing" check_file_system "$device" "$type"
}

# --- iSCSI, with the kernel's initiator

FIRST=iqn.2026-11.dev.tidemark.guest:first
SECOND=iqn.2026-11.dev.tidemark.guest:second

iscsi_up() {
  modprobe -a iscsi_tcp sd_mod sg
  [ -e /etc/iscsi/iscsid.conf ] || : >/etc/iscsi/iscsid.conf
  pidof iscsid >/dev/null || iscsid
  iscsiadm -m iface -I second >/dev/null 2>&1 || {
    iscsiadm -m iface -I second -o new && iscsiadm -m iface -I second -o update -n iface.initiatorname -v $SECOND
  } >/dev/null
}

# What discovery would write down, for the portal as it is seen from here. The interface `second` is another initiator.
# iscsi_node IQN PORT [INTERFACE]
iscsi_node() {
  iscsiadm -m node -o new -T "$1" -p "$HOST:$2" -I "${3:-default}" &&
    iscsi_set "$1" "$2" node.session.timeo.replacement_timeout "${REPLACEMENT_TIMEOUT:-120}" &&
    iscsi_set "$1" "$2" node.startup manual
}
iscsi_set() { iscsiadm -m node -T "$1" -p "$HOST:$2" -o update -n "$3" -v "$4"; }
iscsi_login() { iscsiadm -m node -T "$1" -p "$HOST:$2" -I "${3:-default}" --login && udevadm settle -t 10; }
iscsi_logout() { iscsiadm -m node -T "$1" -p "$HOST:$2" -I "${3:-default}" --logout; }
iscsi_forget() {
  iscsiadm -m node -u
  iscsiadm -m node -o delete
} >/dev/null 2>&1

# iscsi_disk LUN [PORT [INITIATOR]]: the disk of a session's LUN, waited for.
iscsi_disk() {
  wait_for "${DISK_WAIT:-20}" iscsi_disk_now "$@"
  iscsi_disk_now "$@"
}
iscsi_disk_now() {
  local session disk
  for session in /sys/class/iscsi_session/session*; do
    [ -z "${2:-}" ] ||
      [ "$(cat "$session"/device/connection*/iscsi_connection/connection*/persistent_port)" = "$2" ] || continue
    [ -z "${3:-}" ] || [ "$(cat "$session/initiatorname")" = "$3" ] || continue
    for disk in "$session"/device/target*/*:"$1"/block/sd*; do
      if [ -b "/dev/${disk##*/}" ]; then
        echo "/dev/${disk##*/}"
        return 0
      fi
    done
  done
  return 1
}
