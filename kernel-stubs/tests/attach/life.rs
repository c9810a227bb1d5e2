//! The life of an attachment, by every way that this host has.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::units::Extent;
use disk::AnyDisk;
use kernel_stubs::mount::MountHow;
use kernel_stubs::mount_plan;
use kernel_stubs::partition;
use kernel_stubs::{AttachError, AttachRecord, Attachment, Kind};

use crate::support::{CountingDisk, Place, has, is_mounted, sh};

const PLAIN: MountHow = MountHow { is_copy: false, is_exec_allowed: true };
const COPY: MountHow = MountHow { is_copy: true, is_exec_allowed: false };
const MIB: u64 = 1 << 20;

async fn format(attachment: &Attachment, mkfs: &str) {
    let device = attachment.device().display().to_string();
    sh(&format!("{mkfs} {device}")).await;
}

/// The whole life of a file system: made, filled, synced, trimmed, taken off, and found whole again.
async fn lives_through_detach_and_attach(mkfs: &str, len: u64, fsck: &str) {
    for place in Place::all() {
        if !has(mkfs.split(' ').next().unwrap()) {
            continue;
        }
        let disk = CountingDisk::new(len);
        let mut attachment = place.attach("mail", &disk).await;
        format(&attachment, mkfs).await;
        let dir = place.mount_point("mnt");
        let report = attachment.mount(&dir, &PLAIN).await.unwrap();
        assert!(report.options.ends_with("nodev,nosuid"), "{}", report.options);
        let at = dir.display();
        sh(&format!(
            "cd {at}; for i in $(seq 100); do head -c $((i * 977)) /dev/urandom > f$i; done; \
         sha256sum f* > ../sums; sync -f ."
        ))
        .await;

        let flushes = disk.flushes.load(Ordering::SeqCst);
        sh(&format!("dd if=/dev/urandom of={at}/synced bs=4k count=3 conv=fsync 2>&1")).await;
        assert!(disk.flushes.load(Ordering::SeqCst) > flushes, "an fsync did not reach the disk");

        let before = disk.allocated();
        sh(&format!(
        "dd if=/dev/urandom of={at}/big bs=1M count=24 conv=fsync 2>&1; rm {at}/big; sync -f {at}"
    ))
    .await;
        assert!(disk.allocated() > before + 20 * MIB);
        let discarded = disk.discarded_bytes.load(Ordering::SeqCst);
        // XFS and btrfs let go of deleted files only after a while.
        for _ in 0..10 {
            sh(&format!("fstrim {at}")).await;
            if disk.allocated() < before + 8 * MIB {
                break;
            }
            sh(&format!("sync -f {at}")).await;
        }
        assert!(disk.discarded_bytes.load(Ordering::SeqCst) > discarded + 20 * MIB);
        assert!(disk.allocated() < before + 8 * MIB, "a trim gave nothing back");

        attachment.detach().await.unwrap();
        assert!(!dir.exists() && !place.record("mail").exists());

        let mut attachment = place.attach("mail", &disk).await;
        sh(&format!("{fsck} {}", attachment.device().display())).await;
        attachment.mount(&dir, &PLAIN).await.unwrap();
        sh(&format!("cd {at}; sha256sum -c --quiet ../sums")).await;
        attachment.detach().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ext4_lives_through_detach_and_attach() {
    lives_through_detach_and_attach("mkfs.ext4 -q", 256 * MIB, "e2fsck -fn").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_xfs_lives_through_detach_and_attach() {
    lives_through_detach_and_attach("mkfs.xfs -q", 512 * MIB, "xfs_repair -n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_btrfs_lives_through_detach_and_attach() {
    lives_through_detach_and_attach("mkfs.btrfs -q", 512 * MIB, "btrfs check --readonly").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_attached_a_moment_ago_is_let_go_of_without_an_error() {
    for place in Place::all() {
        let disk = CountingDisk::new(MIB);
        for _ in 0..50 {
            place.attach("mail", &disk).await.detach().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_carries_every_byte_and_takes_zeroes_and_holes() {
    for place in Place::all() {
        // An odd length: no whole number of blocks, nor of the largest request.
        let disk = CountingDisk::new(37 * MIB + 512 * 3);
        let mut attachment = place.attach("raw", &disk).await;
        let device = attachment.device().display().to_string();
        let file = place.dir.path().join("file").display().to_string();
        sh(&format!(
        "test $(blockdev --getsize64 {device}) = $((37 * 1048576 + 1536)); \
         test $(blockdev --getss {device}) = 512; test $(blockdev --getro {device}) = 0; \
         head -c $((37 * 1048576 + 1536)) /dev/urandom > {file}; \
         dd if={file} of={device} bs=1M conv=fsync 2>&1; cmp {file} {device}; \
         dd if={file} of={device} bs=512 skip=5 seek=70000 count=7 oflag=direct 2>&1; \
         dd if={file} of={file} bs=512 skip=5 seek=70000 count=7 conv=notrunc 2>&1; cmp {file} {device}"
    ))
    .await;
        // Unaligned ends of a hole, zeroes, and a hole that swallows the end.
        for (start, len) in
            [(512 * 3, 512 * 40), (4096, 8192), (20_000_256, 1_000_448), (36 << 20, MIB + 1536)]
        {
            let (start, len) = (start / 512 * 512, len / 512 * 512);
            sh(&format!(
            "blkdiscard -z -o {start} -l {len} {device}; \
             dd if=/dev/zero of={file} bs=512 seek={} count={} conv=notrunc 2>&1; cmp {file} {device}",
            start / 512,
            len / 512
        ))
        .await;
        }
        let before = disk.discarded_bytes.load(Ordering::SeqCst);
        sh(&format!("blkdiscard -o 4194304 -l 8388608 {device}")).await;
        assert_eq!(disk.discarded_bytes.load(Ordering::SeqCst) - before, 8 * MIB);
        attachment.detach().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_attachment_changes_nothing() {
    for place in Place::all() {
        let disk = CountingDisk::new(64 * MIB);
        let mut attachment = place.attach("mail", &disk).await;
        format(&attachment, "mkfs.ext4 -q").await;
        let dir = place.mount_point("mnt");
        attachment.mount(&dir, &PLAIN).await.unwrap();
        let at = dir.display().to_string();
        sh(&format!("echo kept > {at}/file; sync -f {at}")).await;
        // As a mark has it: taken while the file system is mounted, so its journal is not empty.
        let mark = disk.frozen();
        attachment.detach().await.unwrap();

        let mut attachment = place.attach("mark", &mark).await;
        assert!(attachment.is_read_only());
        let device = attachment.device().display().to_string();
        sh(&format!(
            "test $(blockdev --getro {device}) = 1; ! dd if=/dev/zero of={device} count=1 2>&1"
        ))
        .await;
        let report = attachment.mount(&dir, &COPY).await.unwrap();
        assert!(report.options.contains("ro,") && report.options.contains("noload"));
        assert_eq!(report.notes.len(), 1, "a journal that was not replayed is not mentioned");
        sh(&format!("ls {at}; ! touch {at}/new 2>&1")).await;
        attachment.detach().await.unwrap();

        // A disk that may be written to, attached read-only.
        let any: AnyDisk = disk.clone();
        let changes = disk.changes.load(Ordering::SeqCst);
        let mut attachment = place.attacher.attach(any, place.options("mail", true)).await.unwrap();
        attachment.mount(&dir, &PLAIN).await.unwrap();
        sh(&format!("test $(cat {at}/file) = kept")).await;
        attachment.detach().await.unwrap();
        assert_eq!(disk.changes.load(Ordering::SeqCst), changes);
        assert_eq!(mark.changes.load(Ordering::SeqCst), 0);
    }
}

fn kernel() -> mount_plan::Version {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    mount_plan::version_of(&release).unwrap()
}

/// Views and marks of a mounted volume, mounted beside it.
async fn copies_lie_beside_their_original(mkfs: &str, len: u64) {
    for place in Place::all() {
        if !has(mkfs.split(' ').next().unwrap()) {
            continue;
        }
        let disk = CountingDisk::new(len);
        let mut volume = place.attach("mail", &disk).await;
        format(&volume, mkfs).await;
        let dir = place.mount_point("volume");
        volume.mount(&dir, &PLAIN).await.unwrap();
        let at = dir.display().to_string();
        sh(&format!("echo one > {at}/file; sync -f {at}; fsfreeze -f {at}")).await;
        let (view, mark) = (disk.copied(), disk.frozen());
        sh(&format!("fsfreeze -u {at}; echo two > {at}/file; sync -f {at}")).await;

        let mut copies = Vec::new();
        for (name, copy) in [("view", view), ("mark", mark)] {
            let mut attachment = place.attach(name, &copy).await;
            let dir = place.mount_point(name);
            let mounted = attachment.mount(&dir, &COPY).await;
            copies.push(attachment);
            if mkfs.contains("btrfs") && kernel() < (6, 7) {
                let error = mounted.unwrap_err().to_string();
                assert!(error.contains("unmount the other"), "{error}");
                continue;
            }
            mounted.unwrap();
            sh(&format!("test $(cat {0}/file) = one; touch {at}/{name}", dir.display())).await;
        }
        if copies[0].mounted_on().is_some() {
            sh(&format!("echo three > {}/file", place.mount_point("view").display())).await;
        }
        sh(&format!("test $(cat {at}/file) = two")).await;
        for mut copy in copies {
            copy.detach().await.unwrap();
        }
        volume.detach().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_an_ext4_lie_beside_it() {
    copies_lie_beside_their_original("mkfs.ext4 -q", 64 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_an_xfs_lie_beside_it() {
    copies_lie_beside_their_original("mkfs.xfs -q", 512 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_btrfs_lie_beside_it() {
    copies_lie_beside_their_original("mkfs.btrfs -q", 256 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_use_stays_and_its_user_is_named() {
    for place in Place::all() {
        let disk = CountingDisk::new(64 * MIB);
        let mut attachment = place.attach("mail", &disk).await;
        format(&attachment, "mkfs.ext4 -q").await;
        let dir = place.mount_point("mnt");
        attachment.mount(&dir, &PLAIN).await.unwrap();
        let device = attachment.device().to_owned();

        let mut user =
            std::process::Command::new("sleep").arg("600").current_dir(&dir).spawn().unwrap();
        let error = attachment.detach().await.unwrap_err();
        user.kill().unwrap();
        user.wait().unwrap();
        assert!(
            matches!(&error, AttachError::Busy { users, .. } if users[0].pid == user.id()),
            "{error}"
        );
        assert!(error.to_string().contains("sleep"), "{error}");
        assert!(is_mounted(&dir) && place.record("mail").exists());

        // A second mount that Tidemark did not make keeps the device.
        attachment.unmount().await.unwrap();
        let other = place.mount_point("other");
        sh(&format!("mkdir {0}; mount {1} {0}", other.display(), device.display())).await;
        let error = attachment.detach().await.unwrap_err();
        assert!(error.to_string().contains("other"), "{error}");
        sh(&format!("echo still works > {0}/file; sync -f {0}; umount {0}", other.display())).await;

        // So does somebody who has it open.
        let file = device.clone();
        let mut user = std::process::Command::new("sleep")
            .arg("600")
            .stdin(std::fs::File::open(&file).unwrap())
            .spawn()
            .unwrap();
        let error = attachment.detach().await.unwrap_err();
        user.kill().unwrap();
        user.wait().unwrap();
        assert!(error.to_string().contains(&user.id().to_string()), "{error}");
        attachment.detach().await.unwrap();
        assert!(!place.record("mail").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_attached_once_at_a_time() {
    for place in Place::all() {
        let disk = CountingDisk::new(MIB);
        let mut first = place.attach("mail", &disk).await;
        let mut second = place.attach("other", &CountingDisk::new(MIB)).await;
        assert_ne!(first.device(), second.device());
        let any: AnyDisk = disk;
        let again = place.attacher.attach(any, place.options("mail", false)).await;
        assert!(matches!(again, Err(AttachError::Busy { .. })));
        let record = AttachRecord::load(&place.record("mail")).unwrap();
        assert_eq!(record.device.as_deref(), Some(first.device()));
        let held = kernel_stubs::cleanup::cleanup(&place.record("mail")).await;
        assert!(matches!(held, Err(AttachError::Busy { .. })), "what is held was cleaned up");
        first.detach().await.unwrap();
        first.detach().await.unwrap();
        second.detach().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_off_the_grid_of_blocks_is_a_device_of_its_own() {
    for place in Place::all() {
        let disk = CountingDisk::new(96 * MIB);
        // As old tools laid partitions out: at sector 63, up to an odd one.
        let mut table = vec![0xa5; 63 * 512];
        table[446..510].fill(0);
        table[446 + 4] = 0x83;
        table[446 + 8..446 + 12].copy_from_slice(&63u32.to_le_bytes());
        table[446 + 12..446 + 16].copy_from_slice(&170_001u32.to_le_bytes());
        table[510..512].copy_from_slice(b"\x55\xaa");
        disk.put(0, &table);
        let after = [0x5a; 512];
        disk.put(63 + 170_001, &after);
        let part = partition::open(disk.clone(), 1).await.unwrap();
        let options = place.options("mail", false);
        let mut attachment = place.attacher.attach(part.clone(), options).await.unwrap();
        format(&attachment, "mkfs.ext4 -q").await;
        let dir = place.mount_point("mnt");
        attachment.mount(&dir, &PLAIN).await.unwrap();
        sh(&format!(
            "cd {0}; for i in $(seq 60); do head -c $((i * 4999)) /dev/urandom > f$i; done; \
             sync -f .; rm f*[02468]; sync -f .; fstrim .; sha256sum f* > ../sums",
            dir.display()
        ))
        .await;
        attachment.detach().await.unwrap();

        let options = place.options("mail", true);
        let mut attachment = place.attacher.attach(part, options).await.unwrap();
        sh(&format!("e2fsck -fn {}", attachment.device().display())).await;
        attachment.mount(&dir, &PLAIN).await.unwrap();
        sh(&format!("cd {}; sha256sum -c --quiet ../sums", dir.display())).await;
        attachment.detach().await.unwrap();
        let any: AnyDisk = disk;
        assert_eq!(any.read(Extent::new(0, 63)).await.unwrap()[..], table[..]);
        assert_eq!(any.read(Extent::new(63 + 170_001, 1)).await.unwrap()[..], after[..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grown_disk_is_a_grown_device() {
    for place in Place::all() {
        if !has("mkfs.btrfs") {
            continue;
        }
        let disk = CountingDisk::new(256 * MIB);
        let mut attachment = place.attach("mail", &disk).await;
        format(&attachment, "mkfs.btrfs -q").await;
        let dir = place.mount_point("mnt");
        attachment.mount(&dir, &PLAIN).await.unwrap();
        disk.grow(512 * MIB);
        attachment.refresh_size().await.unwrap();
        let device = attachment.device().display().to_string();
        sh(&format!(
            "test $(blockdev --getsize64 {device}) = $((512 * 1048576)); \
         btrfs filesystem resize max {0}; test $(stat -f -c %b {0}) = 131072",
            dir.display()
        ))
        .await;
        attachment.detach().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_mounted_leaves_nothing_behind() {
    for place in Place::all() {
        let disk = CountingDisk::new(16 * MIB);
        let mut attachment = place.attach("mail", &disk).await;
        let dir = place.mount_point("mnt");
        let error = attachment.mount(&dir, &PLAIN).await.unwrap_err();
        assert!(error.to_string().contains("without mounting"), "{error}");
        assert!(!dir.exists());
        // A superblock, and nothing behind it.
        format(&attachment, "mkfs.ext4 -q").await;
        let device = attachment.device().display().to_string();
        sh(&format!("dd if=/dev/urandom of={device} bs=4k seek=1 count=4000 conv=fsync 2>&1"))
            .await;
        let error = attachment.mount(&dir, &PLAIN).await.unwrap_err();
        assert!(matches!(error, AttachError::Unmountable(_)), "{error}");
        assert!(!dir.exists() && attachment.mounted_on().is_none());
        attachment.detach().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_disk_reaches_whoever_writes_and_detach_still_works() {
    for place in Place::all() {
        let disk: Arc<CountingDisk> = CountingDisk::new(16 * MIB);
        let mut attachment = place.attach("mail", &disk).await;
        let device = attachment.device().display().to_string();
        disk.is_failing.store(true, Ordering::SeqCst);
        sh(&format!("! dd if=/dev/zero of={device} bs=4k count=1 oflag=direct 2>&1")).await;
        sh(&format!("! dd if={device} of=/dev/null bs=4k count=1 iflag=direct 2>&1")).await;
        let failed = attachment.detach().await;
        assert!(matches!(failed, Err(AttachError::Io { .. })), "a flush that failed was not told");
        disk.is_failing.store(false, Ordering::SeqCst);
        attachment.detach().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_outlives_the_usual_patience_of_the_kernel() {
    for place in Place::all() {
        // The loop driver has none; NBD's is 30 s where nothing else was said.
        if place.attacher.kind() != Kind::KernelNbd {
            continue;
        }
        let disk = CountingDisk::new(16 * MIB);
        let mut attachment = place.attach("mail", &disk).await;
        disk.is_stalled.store(true, Ordering::SeqCst);
        let device = attachment.device().display().to_string();
        let read = tokio::spawn(async move {
            sh(&format!("dd if={device} of=/dev/null bs=4k count=1 iflag=direct 2>&1")).await
        });
        tokio::time::sleep(std::time::Duration::from_secs(45)).await;
        assert!(!read.is_finished(), "a read was given up");
        disk.go_on();
        read.await.unwrap();
        attachment.detach().await.unwrap();
    }
}
