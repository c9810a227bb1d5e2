# The kernel's NBD client: file systems, trim, reconnection, several connections, data still there.
#
# env: PORT EXPORT [SIZE in bytes] [CONNECTIONS=2] [FILE_SYSTEMS="ext4 xfs"]      The export: at least 400 MiB.
. /test/lib.sh
modprobe nbd nbds_max=4
device=/dev/nbd0
queue=/sys/block/nbd0/queue

# connect [CONNECTIONS [BLOCK_SIZE]]
connect() {
  nbd-client -N "$EXPORT" "$HOST" "$PORT" $device -C "${1:-1}" -b "${2:-512}" -t 60 &&
    wait_for 10 sh -c "[ \$(blockdev --getsize64 $device) -gt 0 ]"
}
# The device is free again once nobody, such as udev, looks at it any more.
disconnect() { sync && nbd-client -d $device && wait_for 10 sh -c "! nbd-client -c $device" && udevadm settle -t 10; }
at_least_one() { [ "$(cat "$1")" -gt 0 ]; }
size_is() { [ "$(blockdev --getsize64 $device)" = "$1" ]; }
discarded_part_reads_zero() { cmp -n 1048576 $device /dev/zero 1048576 0; }

t "the list names the export" sh -c "nbd-client -l $HOST $PORT | grep -Ex '$EXPORT(:.*)?'"
t "connect" connect 1
[ -z "${SIZE:-}" ] || t "the size is right" size_is "$SIZE"
t "flush is offered (write cache on)" grep -q 'write back' $queue/write_cache
t "FUA is offered" grep -qx 1 $queue/fua
t "trim is offered" at_least_one $queue/discard_max_bytes
for type in ${FILE_SYSTEMS:-ext4 xfs}; do
  file_system_cycle $device "$type"
  t "$type: disconnect" disconnect
  t "$type: connect again" connect 1
  t "$type: mount" mount -t "$type" $device /mnt
  t "$type: the data is still there" files_are_whole
  t "$type: fstrim" fstrim -v /mnt
  t "$type: the data is there after fstrim" files_are_whole
  t "$type: umount" umount /mnt
  t "$type: the check finds nothing after fstrim" check_file_system $device "$type"
done
t "disconnect" disconnect
t "connect with ${CONNECTIONS:-2} connections" connect "${CONNECTIONS:-2}"
t "several connections: fio, every block verified" fio_verify raw 48M --filename=$device --bs=4k --iodepth=32
t "blkdiscard of 1 MiB" blkdiscard -o 1048576 -l 1048576 $device
t "the discarded part reads zero" discarded_part_reads_zero
t "disconnect" disconnect
t "connect with 4096-byte blocks" connect 1 4096
t "4096: read 32 MiB" dd if=$device of=/dev/null bs=1M count=32 iflag=direct
t "disconnect" disconnect
t "an export that is not there is refused" not nbd-client -N no-such-export "$HOST" "$PORT" /dev/nbd1
finish
