# The guest itself: the modules and tools that the other tests need.
. /test/lib.sh
for module in nbd loop ext4 xfs iscsi_tcp sd_mod sg dm_multipath dm_round_robin scsi_dh_alua; do
  t "modprobe $module" modprobe $module
done
for tool in nbd-client mkfs.ext4 mkfs.xfs xfs_repair e2fsck resize2fs fio fsfreeze fstrim blkdiscard blockdev \
  iscsiadm iscsid multipathd sg_persist sg_rtpg sg_vpd sg_luns dmsetup; do
  t "$tool is there" command -v $tool
done
t "fio runs" fio --name=x --filename=/tmp/x --size=1M --rw=write --ioengine=libaio --minimal
finish
