# Persistent reservations between two initiators (two names, two sessions), as a cluster uses them; over the recovery of
# a session, and over a restart of the target (APTPL).
#
# env: PORT_A PORT_B (vm.sh: --path) IQN LUN [RESTART=1; vm.sh: --hook restart='...']
. /test/lib.sh
iscsi_up
iscsi_forget
persist() { sg_persist -n "$@"; }
# Takes the unit attentions that have gathered.
settle() {
  local disk
  for disk in "$@"; do
    sg_turs "$disk"
    sg_turs "$disk"
  done >/dev/null 2>&1
}
writes() {
  settle "$1"
  dd if=/dev/zero of="$1" bs=4096 count=1 seek=8 oflag=direct conv=notrunc,fsync
}
reads() {
  settle "$1"
  dd if="$1" of=/dev/null bs=4096 count=1 skip=8 iflag=direct
}
has_key() { persist -i -k "$1" | grep -qi "$2"; }
reservation_is_read() { persist -i -r "$1" | grep -qi "$2"; }
generation() { persist -i -k "$a" | sed -n 's/.*PR generation=\(0x[0-9a-f]*\).*/\1/p'; }
generation_rises() {
  local before
  before=$(generation)
  persist -o -G -K 0xa11 -S 0xa12 "$a" && persist -o -G -K 0xa12 -S 0xa11 "$a" && [ $(($(generation))) -gt $((before)) ]
}
no_keys() { persist -i -k "$a" | grep -qiE 'no registered|there are NO|0 registered'; }

t "a node record of a" iscsi_node "$IQN" "$PORT_A"
t "a node record of b, another initiator" iscsi_node "$IQN" "$PORT_B" second
t "login a" iscsi_login "$IQN" "$PORT_A"
t "login b" iscsi_login "$IQN" "$PORT_B" second
a=$(iscsi_disk "$LUN" "$PORT_A" $FIRST)
b=$(iscsi_disk "$LUN" "$PORT_B" $SECOND)
t "two disks" test -b "$a" -a -b "$b" -a "$a" != "$b"
t "report capabilities" persist -i -c "$a"
settle "$a" "$b"
t "register a" persist -o -G -S 0xa11 "$a"
t "register b" persist -o -G -S 0xb22 "$b"
t "a's key is read" has_key "$b" 0xa11
t "b's key is read" has_key "$a" 0xb22
t "read full status" persist -i -s "$a"
t "the generation rises with each registration" generation_rises

for type in 1 3 5 6 7 8; do
  t "type $type: a reserves" persist -o -R -K 0xa11 -T $type "$a"
  t "type $type: the reservation is read" reservation_is_read "$b" 'type'
  t "type $type: a writes" writes "$a"
  case $type in
    1)
      t "write exclusive: b may not write" not writes "$b"
      t "write exclusive: b reads" reads "$b"
      ;;
    3)
      t "exclusive access: b may not write" not writes "$b"
      t "exclusive access: b may not read" not reads "$b"
      ;;
    *)
      t "type $type: b, registered, writes" writes "$b"
      settle "$b"
      persist -o -G -K 0xb22 -S 0 "$b" >/dev/null
      t "type $type: b, not registered, may not write" not writes "$b"
      case $type in
        5 | 7) t "type $type: b, not registered, reads" reads "$b" ;;
        *) t "type $type: b, not registered, may not read" not reads "$b" ;;
      esac
      t "type $type: b registers again" persist -o -G -S 0xb22 "$b"
      ;;
  esac
  case $type in
    7 | 8) ;;
    *) t "type $type: b may not reserve" not persist -o -R -K 0xb22 -T $type "$b" ;;
  esac
  t "type $type: a wrong key is refused" not persist -o -R -K 0xdead -T $type "$a"
  t "type $type: a releases" persist -o -L -K 0xa11 -T $type "$a"
  settle "$a" "$b"
  # The kernel may have read a capacity of 0 while READ CAPACITY met a reservation.
  echo 1 >"/sys/block/${b##*/}/device/rescan"
  t "type $type: b writes after the release" writes "$b"
done

t "a reserves" persist -o -R -K 0xa11 -T 5 "$a"
t "b preempts a" persist -o -P -K 0xb22 -S 0xa11 -T 5 "$b"
settle "$a"
t "a, fenced, may not write" not writes "$a"
t "b writes" writes "$b"
t "a registers with ignore" persist -o -I -S 0xa11 "$a"
t "a preempts and aborts b" persist -o -A -K 0xa11 -S 0xb22 -T 5 "$a"
settle "$b"
t "b, fenced, may not write" not writes "$b"

# The session comes back with its ISID: the same I_T nexus.
t "cut a's path" path down PORT_A
sleep 1
t "mend it" path up PORT_A
t "the session recovers" wait_for 60 sg_turs "$a"
t "a's key is there" has_key "$a" 0xa11
t "a may still write" writes "$a"
t "b still may not" not writes "$b"

over_a_restart() {
  t "a registers with APTPL" persist -o -I -S 0xa11 -Z "$a"
  t "the host ends the target and starts it again" hook restart
  t "the session of a recovers" wait_for 90 reads "$a"
  t "the session of b recovers" wait_for 90 sg_turs "$b"
  settle "$a" "$b"
  t "a's key is there after the restart" has_key "$a" 0xa11
  t "the reservation is there after the restart" reservation_is_read "$a" 'Registrants only'
  t "a writes" writes "$a"
  t "b, still fenced, may not write" not writes "$b"
}
[ -z "${RESTART:-}" ] || over_a_restart
t "a clears" persist -o -C -K 0xa11 "$a"
t "no keys are left" no_keys
settle "$a" "$b"
t "b writes again" writes "$b"
t "logout" iscsiadm -m node -u
iscsi_forget
finish
