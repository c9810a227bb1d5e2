//! Clean-up after a crash: takes away what the record of an attachment names and its holder left.
//!
//! Nothing is touched that is not ours: a loop device only if its backing file carries the record's
//! token, an NBD device only if it was connected with it, a FUSE mount only if its source does, a file system only if it lies on such a device.
//! Directories are removed only when they are empty. It can be run again at any time: what is gone
//! already is passed over, what cannot go yet is named, and the record stays until nothing is left.

use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use crate::attach::fuse_loop::SOURCE_PREFIX;
use crate::attach::release::until_gone;
use crate::attach::{Kind, blocking, nbd};
use crate::error::AttachError;
use crate::loop_device;
use crate::mount::{self, MountPoint};
use crate::mount_table;
use crate::process::{Process, listed, users_of_tree};
use crate::record::{AttachRecord, MountRecord};

/// What was cleaned up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cleanup {
    /// What was there and is gone, each as a sentence's end.
    pub done: Vec<String>,
    /// What is still there and why.
    pub left: Vec<String>,
}

impl Cleanup {
    /// Whether nothing is left.
    pub fn is_complete(&self) -> bool {
        self.left.is_empty()
    }
}

/// Cleans up what the record at `path` names, and removes the record when nothing is left.
///
/// # Errors
/// `Busy` where its holder still runs, `Record` where it is none, `Io` where the kernel refuses.
pub async fn cleanup(path: &Path) -> Result<Cleanup, AttachError> {
    let record = AttachRecord::load(path)?;
    if record.is_held() {
        let holder = Process { pid: record.pid, name: "its daemon".to_owned() };
        let what = format!("the attachment {}", record.name);
        return Err(AttachError::Busy { what, users: vec![holder] });
    }
    let mut cleanup = Cleanup::default();
    if record.is_of_this_boot() {
        for device in devices(&record) {
            clean_device(&record, &device, &mut cleanup).await?;
        }
        if let Some(dir) = record.fuse_dir.clone().filter(|_| cleanup.is_complete()) {
            clean_fuse(&record, dir, &mut cleanup).await?;
        }
    }
    if !cleanup.is_complete() {
        return Ok(cleanup);
    }
    if let Some(MountRecord { dir, is_dir_ours }) = &record.mount
        && mount_table::on(dir)?.is_none()
    {
        MountPoint { dir: dir.clone(), is_made: *is_dir_ours }.give_back();
    }
    if let Some(dir) = &record.fuse_dir
        && mount_table::on(dir)?.is_none()
        && fs::remove_dir(dir).is_ok()
    {
        cleanup.done.push(format!("removed {}", dir.display()));
    }
    AttachRecord::remove(path)?;
    Ok(cleanup)
}

/// The devices that carry the record's token.
fn devices(record: &AttachRecord) -> Vec<PathBuf> {
    match record.kind {
        Kind::FuseLoop => loop_device::backed_by(&record.token),
        Kind::KernelNbd => nbd::connected_as(&record.token),
        Kind::Double => Vec::new(),
    }
}

async fn clean_device(
    record: &AttachRecord,
    device: &Path,
    cleanup: &mut Cleanup,
) -> Result<(), AttachError> {
    if let Some(dir) = record.mount.as_ref().map(|mount| mount.dir.clone())
        && mount_table::of_device(device)?.contains(&dir)
    {
        let device = device.to_owned();
        let said = blocking("unmount", move || unmount_dead(&device, &dir)).await?;
        cleanup.done.push(said);
    }
    for dir in mount_table::of_device(device)? {
        let users = listed(&users_of_tree(&dir));
        cleanup.left.push(format!(
            "{} is still mounted on {}, which Tidemark did not do: unmount it{users}",
            device.display(),
            dir.display()
        ));
    }
    if !cleanup.is_complete() {
        return Ok(());
    }
    let (path, kind) = (device.to_owned(), record.kind);
    blocking("detach", move || match kind {
        Kind::KernelNbd => nbd::disconnect(&path).map_err(|e| AttachError::io("detach", &path, e)),
        Kind::FuseLoop | Kind::Double => loop_device::clear(&path),
    })
    .await?;
    match until_gone(device, |_| devices(record).iter().any(|one| one == device)).await {
        Ok(()) => cleanup.done.push(format!("detached {}", device.display())),
        Err(busy) => cleanup.left.push(format!("{busy}: it goes when they let go")),
    }
    Ok(())
}

/// Unmounts what lies on a dead device; its users keep their open files, which give errors.
fn unmount_dead(device: &Path, dir: &Path) -> Result<String, AttachError> {
    match mount::unmount(device, dir) {
        Ok(()) => Ok(format!("unmounted {}", dir.display())),
        Err(AttachError::Busy { users, .. }) => {
            mount::unmount_lazily(device, dir)?;
            Ok(format!("took {} away while it was in use{}", dir.display(), listed(&users)))
        }
        Err(error) => Err(error),
    }
}

async fn clean_fuse(
    record: &AttachRecord,
    dir: PathBuf,
    cleanup: &mut Cleanup,
) -> Result<(), AttachError> {
    let source = PathBuf::from(format!("{SOURCE_PREFIX}{}", record.token));
    if mount_table::on(&dir)?.is_none_or(|mount| mount.source != source) {
        return Ok(());
    }
    cleanup.done.push(format!("unmounted {}", dir.display()));
    blocking("unmount FUSE", move || {
        let failed = |e| AttachError::io("unmount FUSE from", &dir, e);
        match umount2(&dir, MntFlags::UMOUNT_NOFOLLOW) {
            // The loop device is gone, so whoever is there only looks.
            Err(Errno::EBUSY) => {
                umount2(&dir, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH).map_err(failed)
            }
            done => done.map_err(failed),
        }
    })
    .await
}
