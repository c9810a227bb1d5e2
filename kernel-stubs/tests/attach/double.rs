//! The double, and the choice between ways to attach: what stands above is tested on it.

use std::path::Path;
use std::sync::Arc;

use disk::AnyDisk;
use kernel_stubs::attach::choose;
use kernel_stubs::attach::double::Double;
use kernel_stubs::mount::MountHow;
use kernel_stubs::{AttachError, AttachOptions, AttachRecord, Attacher, Kind, partition};

use crate::support::CountingDisk;

const PLAIN: MountHow = MountHow { is_copy: false, is_exec_allowed: true };

fn options(dir: &Path) -> AttachOptions {
    let record = dir.join("records/mail.json");
    AttachOptions { name: "mail".parse().unwrap(), is_read_only: false, record }
}

/// A disk that starts like an XFS.
fn xfs() -> AnyDisk {
    let disk = CountingDisk::new(1 << 20);
    let mut head = vec![0; 512];
    head[..8].copy_from_slice(b"XFSB\x00\x00\x10\x00");
    disk.put(0, &head);
    disk
}

#[tokio::test]
async fn the_first_way_that_works_is_chosen_and_else_all_are_named() {
    let works: Arc<dyn Attacher> = Arc::new(Double::new());
    let not: Arc<dyn Attacher> = Arc::new(Double::unavailable("no module here"));
    let chosen = choose(&[Arc::clone(&not), Arc::clone(&works)]).unwrap();
    assert!(Arc::ptr_eq(&chosen, &works));
    let error = choose(&[Arc::clone(&not), not]).err().unwrap().to_string();
    assert_eq!(error.matches("no module here").count(), 2, "{error}");
}

#[tokio::test]
async fn a_double_keeps_the_order_and_the_record_of_a_real_one() {
    let dir = tempfile::tempdir().unwrap();
    let double = Double::new();
    let mut attachment = double.attach(xfs(), options(dir.path())).await.unwrap();
    let record = options(dir.path()).record;
    assert_eq!(AttachRecord::load(&record).unwrap().kind, Kind::Double);
    assert_eq!(double.attached(), [attachment.device()]);
    let again = double.attach(xfs(), options(dir.path())).await;
    assert!(matches!(again, Err(AttachError::Busy { .. })));

    let mount = dir.path().join("mnt");
    let how = MountHow { is_copy: true, is_exec_allowed: false };
    let report = attachment.mount(&mount, &how).await.unwrap();
    assert_eq!(report.options, "xfs nodev,nosuid,noexec,nouuid");
    assert_eq!(AttachRecord::load(&record).unwrap().mount.unwrap().dir, report.dir);
    let twice = attachment.mount(&mount, &PLAIN).await;
    assert!(matches!(twice, Err(AttachError::Busy { .. })));

    double.set_busy(true);
    assert!(matches!(attachment.detach().await, Err(AttachError::Busy { .. })));
    assert_eq!((double.attached().len(), double.mounted().len()), (1, 1));
    double.set_busy(false);
    attachment.detach().await.unwrap();
    assert!(double.attached().is_empty() && double.mounted().is_empty());
    assert!(!record.exists() && !mount.exists());
}

#[tokio::test]
async fn a_mount_point_that_cannot_serve_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let double = Double::new();
    let mut attachment = double.attach(xfs(), options(dir.path())).await.unwrap();
    let error = attachment.mount(dir.path(), &PLAIN).await.unwrap_err();
    assert!(matches!(error, AttachError::MountPoint { .. }), "{error}");
    assert_eq!(attachment.mounted_on(), None);
    assert!(double.mounted().is_empty());
    attachment.detach().await.unwrap();
}

#[tokio::test]
async fn a_partition_that_is_not_there_is_answered_with_what_is() {
    let disk = CountingDisk::new(1 << 20);
    let mut head = vec![0; 512];
    head[446 + 4] = 0x83;
    head[446 + 8..446 + 16].copy_from_slice(&[64, 0, 0, 0, 128, 0, 0, 0]);
    head[510..].copy_from_slice(b"\x55\xaa");
    disk.put(0, &head);
    let disk: AnyDisk = disk;
    assert_eq!(partition::locate(&disk, 1).await.unwrap().start, 64);
    let error = partition::locate(&disk, 2).await.unwrap_err().to_string();
    assert!(error.contains("no partition 2") && error.contains("1 ("), "{error}");
    let error = partition::locate(&xfs(), 1).await.unwrap_err().to_string();
    assert!(error.contains("xfs"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let mut attachment = Double::new().attach(disk, options(dir.path())).await.unwrap();
    let error = attachment.mount(&dir.path().join("mnt"), &PLAIN).await.unwrap_err();
    assert!(error.to_string().contains("name the partition"), "{error}");
}
