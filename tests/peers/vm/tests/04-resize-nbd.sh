# Growth of an export: the host grows it while it is connected; a new connection sees the new size; ext4 grows into it.
# (The kernel's client learns the size at connection only.)
#
# env: PORT EXPORT      vm.sh: --hook grow='...'
. /test/lib.sh
modprobe nbd nbds_max=2
device=/dev/nbd0

connect() {
  nbd-client -N "$EXPORT" "$HOST" "$PORT" $device -b 512 &&
    wait_for 10 sh -c "[ \$(blockdev --getsize64 $device) -gt 0 ]"
}
write_and_hash() {
  mount $device /mnt && dd if=/dev/urandom of=/mnt/kept bs=1M count=8 &&
    sha256sum /mnt/kept >/tmp/sums && umount /mnt
}
has_grown() { [ "$(blockdev --getsize64 $device)" -gt "$size" ]; }
fill_the_new_part() {
  dd if=/dev/zero of=/mnt/filler bs=1M count=$((size / 1048576)) && sync && sha256sum -c --quiet /tmp/sums
}

t "connect" connect
size=$(blockdev --getsize64 $device)
t "mkfs.ext4" mkfs.ext4 -q -F $device
t "mount, write, umount" write_and_hash
t "the host grows the export while it is connected" hook grow
t "the old connection still reads" dd if=$device of=/dev/null bs=1M count=4 iflag=direct
t "disconnect" nbd-client -d $device
t "connect again" wait_for 10 connect
t "the block device has grown" has_grown
t "mount, resize2fs" sh -c "mount $device /mnt && resize2fs $device"
t "write into the new part" fill_the_new_part
t "umount, fsck" sh -c "umount /mnt && e2fsck -f -n $device"
t "disconnect" nbd-client -d $device
finish
