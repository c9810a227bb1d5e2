# Growth of a LUN while it is mounted: the host grows the disk, a rescan shows it, ext4 grows.
#
# env: PORT IQN LUN      vm.sh: --hook grow_lun='...'
. /test/lib.sh
iscsi_up
iscsi_forget
write_and_hash() {
  dd if=/dev/urandom of=/mnt/kept bs=1M count=8 && sha256sum /mnt/kept >/tmp/sums && sync
}
has_grown() { [ "$(blockdev --getsize64 "$disk")" -gt "$size" ]; }
file_system_has_grown() { [ "$(df -B1 --output=size /mnt | tail -n 1)" -gt $((size - size / 8)) ]; }
fill_the_new_part() {
  dd if=/dev/zero of=/mnt/filler bs=1M count=$((size / 1048576)) && sync && sha256sum -c --quiet /tmp/sums
}

t "a node record" iscsi_node "$IQN" "$PORT"
t "login" iscsi_login "$IQN" "$PORT"
disk=$(iscsi_disk "$LUN" "$PORT")
size=$(blockdev --getsize64 "$disk")
t "mkfs.ext4" mkfs.ext4 -q -F "$disk"
t "mount" mount "$disk" /mnt
t "write" write_and_hash
t "the host grows the disk" hook grow_lun
t "rescan" iscsiadm -m session --rescan
t "the block device has grown" wait_for 20 has_grown
t "resize2fs, mounted" resize2fs "$disk"
t "the file system has grown" file_system_has_grown
t "write into the new part, the old data is there" fill_the_new_part
t "umount" umount /mnt
t "fsck" e2fsck -f -n "$disk"
t "logout" iscsi_logout "$IQN" "$PORT"
iscsi_forget
finish
