# The kernel's iSCSI initiator: file systems, discard, logout and login, data still there; CHAP; digests.
#
# env: PORT IQN LUN [FILE_SYSTEMS="ext4 xfs"] [CHAP_IQN CHAP_LUN USER SECRET OWN_USER OWN_SECRET [CHAP_DIGESTS]]
# The LUN: at least 400 MiB. CHAP_DIGESTS: names of open-iscsi, one login with each.
. /test/lib.sh

appears() {
  disk=$(iscsi_disk "$LUN" "$PORT") && queue=/sys/block/${disk##*/}/queue
}
capacity_agrees() {
  local told
  told=$(sg_readcap -16 "$disk" | sed -n 's/.*Device size: \([0-9]*\) bytes.*/\1/p')
  [ "$(blockdev --getsize64 "$disk")" = "$told" ]
}
vpd_has() { sg_vpd -p "$1" "$disk" | grep -E "$2"; }
at_least_one() { [ "$(cat "$1")" -gt 0 ]; }
reads_zero() { dd if="$disk" bs=1M skip="$1" count=1 iflag=direct 2>/dev/null | cmp -n 1048576 - /dev/zero; }
cache_is_written_back() { grep -q 'write back' /sys/block/"${disk##*/}"/device/scsi_disk/*/cache_type; }
negotiated() {
  iscsiadm -m session -P 2 | grep -E "$1: *$2"
}

iscsi_up
iscsi_forget
t "discovery lists the target" sh -c "iscsiadm -m discovery -t sendtargets -p $HOST:$PORT | grep -F '$IQN'"
iscsi_forget
t "a node record" iscsi_node "$IQN" "$PORT"
t "login" iscsi_login "$IQN" "$PORT"
t "the disk appears" appears
t "READ CAPACITY(16) agrees with the block layer" capacity_agrees
t "READ CAPACITY(10)" sg_readcap "$disk"
t "INQUIRY" sg_inq "$disk"
t "VPD 83h has an identifier" vpd_has di 'NAA|EUI|T10'
t "VPD 80h" sg_vpd -p sn "$disk"
t "VPD B0h" sg_vpd -p bl "$disk"
t "VPD B2h says UNMAP" vpd_has lbpv 'LBPU\)?[:=] ?1'
t "REPORT LUNS" sg_luns "$disk"
t "MODE SENSE(10), caching page" sg_modes -p 8 "$disk"
t "the cache is known to be a write-back one" cache_is_written_back
t "discard is offered" at_least_one "$queue/discard_max_bytes"
for type in ${FILE_SYSTEMS:-ext4 xfs}; do
  file_system_cycle "$disk" "$type"
  t "$type: logout" iscsi_logout "$IQN" "$PORT"
  t "$type: login again" iscsi_login "$IQN" "$PORT"
  t "$type: the disk appears" appears
  t "$type: mount" mount -t "$type" "$disk" /mnt
  t "$type: the data is still there" files_are_whole
  t "$type: fstrim" fstrim -v /mnt
  t "$type: the data is there after fstrim" files_are_whole
  t "$type: umount" umount /mnt
  t "$type: the check finds nothing after fstrim" check_file_system "$disk" "$type"
done
t "fio, 32 in flight, every block verified" fio_verify raw 32M --filename="$disk" --bs=4k --iodepth=32
t "blkdiscard of 1 MiB" blkdiscard -o 1048576 -l 1048576 "$disk"
t "the discarded part reads zero" reads_zero 1
t "zeroing of 1 MiB" blkdiscard -z -o 2097152 -l 1048576 "$disk"
t "the zeroed part reads zero" reads_zero 2
t "logout" iscsi_logout "$IQN" "$PORT"

t "ask for digests" sh -c "iscsiadm -m node -T $IQN -p $HOST:$PORT -o update -n node.conn[0].iscsi.HeaderDigest \
  -v CRC32C && iscsiadm -m node -T $IQN -p $HOST:$PORT -o update -n node.conn[0].iscsi.DataDigest -v CRC32C"
if t "digests: login" iscsi_login "$IQN" "$PORT"; then
  t "digests: the header's is on" negotiated HeaderDigest CRC32C
  t "digests: the data's is on" negotiated DataDigest CRC32C
  t "digests: the disk appears" appears
  t "digests: fio, every block verified" fio_verify digests 8M --filename="$disk" --bsrange=4k-256k --iodepth=8
  t "digests: logout" iscsi_logout "$IQN" "$PORT"
fi

[ -n "${CHAP_IQN:-}" ] || finish
chap_set() { iscsi_set "$CHAP_IQN" "$PORT" "node.session.auth.$1" "$2"; }
chap_login() { iscsi_login "$CHAP_IQN" "$PORT"; }
chap_logout() { iscsi_logout "$CHAP_IQN" "$PORT"; }
chap_disk_reads() {
  dd if="$(iscsi_disk "$CHAP_LUN" "$PORT")" of=/dev/null bs=1M count=4 iflag=direct
}
iscsi_node "$CHAP_IQN" "$PORT" >/dev/null
t "CHAP: without it nobody is let in" not chap_login
chap_set authmethod CHAP >/dev/null
chap_set username "$USER" >/dev/null
chap_set password not-the-secret-x >/dev/null
t "CHAP: a wrong secret is refused" not chap_login
chap_set password "$SECRET" >/dev/null
for digest in ${CHAP_DIGESTS:-MD5}; do
  chap_set chap_algs "$digest" >/dev/null
  t "CHAP with $digest: login" chap_login
  t "CHAP with $digest: the disk reads" chap_disk_reads
  t "CHAP with $digest: logout" chap_logout
done
chap_set username_in "$OWN_USER" >/dev/null
chap_set password_in "$OWN_SECRET" >/dev/null
t "mutual CHAP: login" chap_login
t "mutual CHAP: logout" chap_logout
chap_set password_in not-its-secret-x >/dev/null
t "mutual CHAP: a target that cannot prove itself is left" not chap_login
iscsi_forget
finish
