# Sourced by the test scripts in the guest. HOST is the host's loopback as seen from there (10.0.2.2).
#
#   t NAME COMMAND...         runs the command and counts it; its output is shown when it fails
#   not COMMAND...            succeeds when the command fails
#   hook NAME                 runs the host's command given to vm.sh as --hook NAME=COMMAND; its output comes back
#   wait_for SECONDS COMMAND  polls until the command succeeds
#   finish                    the last line of a script
# shellcheck shell=bash
: >/tmp/passed
: >/tmp/failed

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

hook() {
  local answer
  answer=$(echo "hook $1" | nc -w 60 "$HOST" "$CONTROL_PORT")
  echo "$answer"
  [[ $answer == *"status 0"* ]]
}

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
