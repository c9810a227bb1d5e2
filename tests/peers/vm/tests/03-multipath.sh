# Two paths to one LUN under dm-multipath: one is cut under load, I/O goes on; it comes back; the other is cut. Then the
# target port groups change their state, and multipathd follows.
#
# env: PORT_A PORT_B (vm.sh: --path) IQN LUN [ALUA=1: the ports are in different groups; vm.sh: --hook b_optimized,
# b_non_optimized, b_standby, a_standby, a_optimized]
. /test/lib.sh
REPLACEMENT_TIMEOUT=3
iscsi_up
iscsi_forget
modprobe -a dm_multipath dm_round_robin dm_service_time scsi_dh_alua
cat >/etc/multipath.conf <<CONF
defaults {
  user_friendly_names yes
  find_multipaths no
  polling_interval 2
  max_polling_interval 2
  path_checker tur
  no_path_retry 20
  fast_io_fail_tmo 3
  path_grouping_policy group_by_prio
  failback immediate
  path_selector "round-robin 0"
}
blacklist {
  devnode "^(ram|loop|fd|vd|nbd)"
}
CONF

# Pings, so that a dead connection is noticed; not so often that a guest on a busy host takes a slow one for dead.
quick_node() {
  iscsi_node "$IQN" "$1" && iscsi_set "$IQN" "$1" "node.conn[0].timeo.noop_out_interval" 5 &&
    iscsi_set "$IQN" "$1" "node.conn[0].timeo.noop_out_timeout" 10
}
paths_say() { multipathd show paths raw format "$1"; }
serial_of() { sg_vpd -p sn -q "$1"; }
have_one_serial() { [ -n "$(serial_of "$a")" ] && [ "$(serial_of "$a")" = "$(serial_of "$b")" ]; }
map_is_there() {
  map=$(paths_say '%d %m' | awk -v disk="${a##*/}" '$1 == disk { print $2 }')
  [ -n "$map" ] && [ "$map" != "[orphan]" ] && [ -b "/dev/mapper/$map" ]
}
map_has_both() { [ "$(dmsetup table "$map" | grep -oE ' 8:[0-9]+' | sort -u | wc -l)" = 2 ]; }
active_is() { [ "$(paths_say '%d %t' | grep -E "^(${a##*/}|${b##*/}) " | grep -c ' active')" = "$1" ]; }
map_block() { dmsetup info -c --noheadings -o blkdevname "$map"; }
# moved [DISK]: sectors read and written so far, by the map or through one of its paths.
moved() {
  local block
  block=${1:-$(map_block)}
  awk '{ print $3 + $7 }' "/sys/block/${block##*/}/stat"
}
has_moved() { [ "$(moved "${2:-}")" -gt "$1" ]; }
moves_within() { wait_for "$1" has_moved "$(moved "${2:-}")" "${2:-}"; }
rests() {
  local before
  before=$(moved "$1")
  sleep 4
  ! has_moved "$before" "$1"
}

# Writes and verifies, over and over until load_ended_well: how long a step takes depends on the host.
load_on() {
  until [ -e /tmp/load.end ]; do
    fio_verify multipath 16M --filename="/dev/mapper/$map" --bs=4k --iodepth=8 --rate_iops=,250 --eta=never || return
  done
}
load() {
  rm -f /tmp/load.end
  load_on >/tmp/fio.load 2>&1 &
  load=$!
}
load_ended_well() {
  touch /tmp/load.end
  wait "$load" || { tail -n 5 /tmp/fio.load; return 1; }
}

t "a node record of path a" quick_node "$PORT_A"
t "a node record of path b" quick_node "$PORT_B"
t "login a" iscsi_login "$IQN" "$PORT_A"
t "login b" iscsi_login "$IQN" "$PORT_B"
a=$(iscsi_disk "$LUN" "$PORT_A")
b=$(iscsi_disk "$LUN" "$PORT_B")
t "two disks" test -b "$a" -a -b "$b" -a "$a" != "$b"
t "both paths tell one serial number" have_one_serial
multipathd -d -v1 >/tmp/multipathd.log 2>&1 &
daemon=$!
t "a map" wait_for 30 map_is_there
t "the map has both paths" wait_for 10 map_has_both

load
t "I/O runs" moves_within 30
t "cut path a" path down PORT_A
t "I/O goes on within 25 s" moves_within 25
t "one path is left" wait_for 40 active_is 1
t "path a comes back" path up PORT_A
t "two paths are active" wait_for 90 active_is 2
t "cut path b" path down PORT_B
t "I/O goes on within 25 s" moves_within 25
t "path b comes back" path up PORT_B
t "two paths are active" wait_for 90 active_is 2
t "fio ended well, every block verified" load_ended_well

groups_are_told() { [ "$(sg_rtpg -d "$a" | grep -ci 'target port group id')" = 2 ]; }
priority_is() { [ "$(paths_say '%d %p' | awk -v disk="${1##*/}" '$1 == disk { print $2 }')" = "$2" ]; }
kernel_says() { grep -qx "$2" "/sys/block/${1##*/}/device/access_state"; }
alua() {
  t "REPORT TARGET PORT GROUPS has two groups" groups_are_told
  t "both paths are optimized, one group" wait_for 20 priority_is "$b" 50
  load
  t "b becomes non-optimized" hook b_non_optimized
  t "b's priority is 10" wait_for 30 priority_is "$b" 10
  t "the kernel knows" wait_for 30 kernel_says "$b" active/non-optimized
  t "a's priority is 50" wait_for 30 priority_is "$a" 50
  t "I/O goes through a" moves_within 30 "$a"
  t "... and not through b" rests "$b"
  t "b becomes standby" hook b_standby
  t "b's priority is 1" wait_for 30 priority_is "$b" 1
  t "b takes no I/O" not dd if="$b" of=/dev/null bs=4k count=1 iflag=direct
  t "b becomes optimized" hook b_optimized
  t "b's priority is 50" wait_for 30 priority_is "$b" 50
  t "a becomes standby" hook a_standby
  t "I/O goes through b" moves_within 30 "$b"
  t "a becomes optimized" hook a_optimized
  t "a's priority is 50" wait_for 30 priority_is "$a" 50
  t "fio ended well, every block verified" load_ended_well
}
[ -z "${ALUA:-}" ] || alua
t "remove the map" sh -c "multipathd del map $map || dmsetup remove --retry $map"
kill $daemon
wait $daemon 2>/dev/null
t "logout" iscsiadm -m node -u
iscsi_forget
finish
