# The guest itself: the modules and tools that the other tests need.
. /test/lib.sh
for module in nbd loop ext4 xfs; do
  t "modprobe $module" modprobe $module
done
for tool in nbd-client mkfs.ext4 mkfs.xfs xfs_repair e2fsck resize2fs fio fsfreeze fstrim blkdiscard blockdev; do
  t "$tool is there" command -v $tool
done
t "fio runs" fio --name=x --filename=/tmp/x --size=1M --rw=write --ioengine=libaio --minimal
finish
