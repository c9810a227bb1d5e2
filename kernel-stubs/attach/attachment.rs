//! A disk that is attached, and perhaps mounted: the order of its steps, and its record.

use std::path::{Path, PathBuf};

use disk::AnyDisk;

use super::{Kind, Pending, blocking};
use crate::error::AttachError;
use crate::filesystem;
use crate::mount::{self, MountHow, MountPoint, MountReport};
use crate::mount_plan::{MountPlan, Origin};
use crate::record::{AttachRecord, MountRecord};

/// What one way of attaching holds while an attachment lasts.
pub trait Held: Send + Sync {
    /// The block device.
    fn device(&self) -> &Path;

    /// Takes the disk's length over after it grew.
    fn refresh_size(&mut self) -> Pending<'_, ()>;

    /// Flushes and takes the device off the host. What is done stays done when this fails or is called
    /// again.
    fn release(&mut self) -> Pending<'_, ()>;

    /// Mounts the device on a directory that is ready for it.
    fn mount(&self, dir: PathBuf, plan: MountPlan) -> Pending<'_, ()> {
        let device = self.device().to_owned();
        Box::pin(blocking("mount", move || mount::mount(&device, &dir, &plan)))
    }

    /// Unmounts the device from a directory.
    fn unmount(&self, dir: PathBuf) -> Pending<'_, ()> {
        let device = self.device().to_owned();
        Box::pin(blocking("unmount", move || mount::unmount(&device, &dir)))
    }
}

/// A disk that is attached to this host.
///
/// Dropping it leaves the device to the end of the process: what is attached may be in use.
pub struct Attachment {
    held: Box<dyn Held>,
    disk: AnyDisk,
    record: AttachRecord,
    record_path: PathBuf,
    is_read_only: bool,
}

impl Attachment {
    /// An attachment of what a way of attaching has just made; `record` is on disk already.
    pub(super) fn new(
        held: Box<dyn Held>,
        disk: AnyDisk,
        record: AttachRecord,
        options: &super::AttachOptions,
    ) -> Self {
        let is_read_only = options.is_read_only || disk.geometry().is_read_only;
        Self { held, disk, record, record_path: options.record.clone(), is_read_only }
    }

    /// The block device.
    pub fn device(&self) -> &Path {
        self.held.device()
    }

    /// Which way it is attached.
    pub fn kind(&self) -> Kind {
        self.record.kind
    }

    /// Whether the device refuses changes.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// What its record says.
    pub fn record(&self) -> &AttachRecord {
        &self.record
    }

    /// Where it is mounted by [`Attachment::mount`].
    pub fn mounted_on(&self) -> Option<&Path> {
        self.record.mount.as_ref().map(|mount| mount.dir.as_path())
    }

    /// Takes the disk's length over after it grew.
    ///
    /// # Errors
    /// `Io` where the kernel refuses.
    pub async fn refresh_size(&mut self) -> Result<(), AttachError> {
        self.held.refresh_size().await
    }

    /// Mounts the file system that the disk holds on `dir`: an empty directory, or one that is made now
    /// and removed again by [`Attachment::unmount`].
    ///
    /// # Errors
    /// `MountPoint` where `dir` cannot serve, `Unmountable` where the disk holds nothing that can be
    /// mounted so, `Busy` where it is mounted already, `Disk` or `Io` where that fails. Nothing is left.
    pub async fn mount(&mut self, dir: &Path, how: &MountHow) -> Result<MountReport, AttachError> {
        if let Some(there) = self.mounted_on() {
            let what = format!("{}, mounted on {},", self.device().display(), there.display());
            return Err(AttachError::Busy { what, users: Vec::new() });
        }
        let found = filesystem::on_disk(&self.disk).await?;
        let origin = Origin { is_read_only: self.is_read_only, is_copy: how.is_copy };
        let plan = mount::plan_here(&found, origin, how)?;
        let wanted = dir.to_owned();
        let point = blocking("prepare mount point", move || MountPoint::prepare(&wanted)).await?;
        let entry = MountRecord { dir: point.dir.clone(), is_dir_ours: point.is_made };
        self.record.mount = Some(entry);
        let mounted = match self.record.save(&self.record_path) {
            Ok(()) => self.held.mount(point.dir.clone(), plan.clone()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = mounted {
            self.record.mount = None;
            point.give_back();
            self.record.save(&self.record_path)?;
            return Err(error);
        }
        Ok(MountReport {
            dir: point.dir,
            file_system: found.to_string(),
            options: plan.to_string(),
            notes: plan.notes,
        })
    }

    /// Unmounts it, if it is mounted.
    ///
    /// # Errors
    /// `Busy` with the users that could be found; then it stays mounted. `Io` where that fails.
    pub async fn unmount(&mut self) -> Result<(), AttachError> {
        let Some(there) = self.record.mount.clone() else { return Ok(()) };
        self.held.unmount(there.dir.clone()).await?;
        MountPoint { dir: there.dir, is_made: there.is_dir_ours }.give_back();
        self.record.mount = None;
        self.record.save(&self.record_path)
    }

    /// Unmounts it, flushes it, takes the device off the host and its record away.
    ///
    /// # Errors
    /// `Busy` with the users that could be found; then the attachment stays, and this can be called
    /// again. `Io` where flushing or a step of it fails.
    pub async fn detach(&mut self) -> Result<(), AttachError> {
        self.unmount().await?;
        self.held.release().await?;
        AttachRecord::remove(&self.record_path)
    }
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attachment({} on {})", self.record.name, self.device().display())
    }
}
