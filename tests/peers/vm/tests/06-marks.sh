# A mark taken under an iSCSI load, and a view of it as another LUN of another initiator; both verified by fio.
#
# env: PORT IQN LUN VIEW_IQN VIEW_LUN (another number; maybe of the same target)
# vm.sh: --hook mark='...' --hook serve='...', which makes a view of the mark the LUN of the initiator `second` alone
. /test/lib.sh
iscsi_up
iscsi_forget
part=8388608
digest_of() { dd if="$1" bs=1M count=8 iflag=direct 2>/dev/null | sha256sum; }
load() { fio_verify load $part --filename="$disk" --bs=4k --iodepth=8 "$@"; }
# Every block says by its own checksum whether it is whole; which of its versions it is, the digests tell.
every_block_is_whole() {
  fio --name=look --filename="$1" --size=$part --rw=read --bs=4k --ioengine=libaio --iodepth=8 --direct=1 \
    --verify=crc32c --verify_fatal=1 --minimal --output=/tmp/fio.out
}
differ() { [ "$1" != "$2" ]; }
# It is logged in already, or tries in vain.
the_first_sees_none() {
  iscsi_node "$VIEW_IQN" "$PORT"
  iscsi_login "$VIEW_IQN" "$PORT"
  iscsiadm -m session --rescan
  DISK_WAIT=3 not iscsi_disk "$VIEW_LUN" "$PORT" $FIRST
}

t "a node record" iscsi_node "$IQN" "$PORT"
t "login" iscsi_login "$IQN" "$PORT"
disk=$(iscsi_disk "$LUN" "$PORT" $FIRST)
t "a first content, every block verified" load
before=$(digest_of "$disk")
load --rate_iops=,250 >/tmp/fio.load 2>&1 &
load=$!
sleep 3
t "a mark under the load" hook mark
t "the load still runs" kill -0 $load
t "the load ends well, every block verified" wait $load
after=$(digest_of "$disk")
t "a view of the mark is served" hook serve
t "the first initiator sees none of it" the_first_sees_none
t "a node record of the second initiator" iscsi_node "$VIEW_IQN" "$PORT" second
t "login of the second initiator" iscsi_login "$VIEW_IQN" "$PORT" second
view=$(iscsi_disk "$VIEW_LUN" "$PORT" $SECOND)
t "its disk appears" test -b "$view"
held=$(digest_of "$view")
t "every block of the view is whole" every_block_is_whole "$view"
t "the view is not of the load's begin" differ "$held" "$before"
t "the view is not of the load's end" differ "$held" "$after"
disk=$view
t "the view is written, every block verified" load
disk=$(iscsi_disk "$LUN" "$PORT" $FIRST)
t "the volume did not change by it" test "$(digest_of "$disk")" = "$after"
t "every block of the volume is whole" every_block_is_whole "$disk"
iscsi_forget
finish
