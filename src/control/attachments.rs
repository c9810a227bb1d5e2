//! Disks attached to this host as block devices, and mounted where that was asked for.
//!
//! Each attachment has a record on disk before the host is changed, so that a daemon that died leaves
//! nothing that the next one cannot take away. An attached disk counts as used until it is detached.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::clock::Clock;
use base::name::Name;
use disk::{AnyDisk, SliceDisk};
use kernel_stubs::attach::choose;
use kernel_stubs::cleanup::cleanup;
use kernel_stubs::filesystem::{self, Found};
use kernel_stubs::mount::{MountHow, MountReport};
use kernel_stubs::{AttachError, AttachOptions, Attacher, Attachment};
use serde::{Deserialize, Serialize};
use store::{DiskRef, ErrorKind};

use crate::appliance::Appliance;
use crate::error::ControlError;
use crate::events::EventKind;
use crate::uses::{Use, User};

/// Characters of a disk's name that an attachment's own name shows before the rest is abbreviated.
const SHOWN_LEN_MAX: usize = 50;

/// What to attach, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttachPlan {
    /// Which disk. A view may also be called by its bare name.
    pub of: DiskRef,
    /// Where to mount its file system; without one it is only a block device.
    pub mount: Option<PathBuf>,
    /// Whether it takes no changes. Marks never do.
    pub is_read_only: bool,
    /// Attach this partition alone, counted from 1.
    pub partition: Option<u32>,
}

/// An attachment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AttachmentStatus {
    /// What is attached.
    pub of: DiskRef,
    /// Its block device.
    pub device: PathBuf,
    /// By which way.
    pub kind: String,
    /// Whether it takes no changes.
    pub is_read_only: bool,
    /// The partition that it is alone, counted from 1.
    pub partition: Option<u32>,
    /// Where its file system is mounted.
    pub mounted_at: Option<PathBuf>,
    /// Which file system that is.
    pub file_system: Option<String>,
    /// The options it is mounted with.
    pub mount_options: Option<String>,
    /// What people should know before they trust what they see.
    pub notes: Vec<String>,
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
}

struct Entry {
    attachment: Attachment,
    /// Ends with the attachment.
    _use: Use,
}

/// All attachments.
pub struct Attachments {
    records: PathBuf,
    clock: Arc<dyn Clock>,
    attachers: Vec<Arc<dyn Attacher>>,
    /// Held over a change of the host, so that two never mix.
    entries: tokio::sync::Mutex<BTreeMap<DiskRef, Entry>>,
    /// Whether the appliance ends.
    is_closing: AtomicBool,
    /// What there is, for those who only look.
    shown: Mutex<BTreeMap<DiskRef, AttachmentStatus>>,
}

impl Attachments {
    /// No attachments, with records in this directory and these ways to attach, best first.
    pub fn new(records: PathBuf, attachers: Vec<Arc<dyn Attacher>>, clock: Arc<dyn Clock>) -> Self {
        let (entries, shown) = (tokio::sync::Mutex::default(), Mutex::default());
        Self { records, clock, attachers, entries, is_closing: AtomicBool::new(false), shown }
    }

    /// Takes away what daemons that died have left attached. What cannot go yet stays on record and is
    /// tried again at the next start.
    pub async fn clean_up(&self) {
        for record in self.records_left() {
            let path = record.display();
            match cleanup(&record).await {
                Ok(cleaned) => {
                    for done in &cleaned.done {
                        tracing::info!(record = %path, "cleaned up after a crash: {done}");
                    }
                    for left in &cleaned.left {
                        tracing::warn!(record = %path, "left by a crash: {left}");
                    }
                }
                Err(error) => tracing::warn!(record = %path, %error, "clean up an attachment"),
            }
        }
    }

    fn records_left(&self) -> Vec<PathBuf> {
        let found = match fs::read_dir(&self.records) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(dir = %self.records.display(), %error, "list attachment records");
                return Vec::new();
            }
        };
        let paths = found.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
    }

    /// What is attached.
    pub fn list(&self) -> Vec<AttachmentStatus> {
        self.shown().values().cloned().collect()
    }

    /// Attaches a disk, and mounts it where that is asked for.
    async fn attach(
        &self,
        disk: AnyDisk,
        plan: &AttachPlan,
        entered: Use,
    ) -> Result<AttachmentStatus, ControlError> {
        let mut entries = self.entries.lock().await;
        if self.is_closing.load(Ordering::SeqCst) {
            return Err(store::StoreError::Closed.into());
        }
        let known = self.shown().get(&plan.of).map(|known| known.device.display().to_string());
        if let Some(device) = known {
            return Err(ControlError::AlreadyAttached { of: plan.of.clone(), device });
        }
        let failed = |error| attach_error(&format!("attach {}", plan.of), error);
        let disk = part_of(disk, plan.partition).await.map_err(failed)?;
        let attacher = choose(&self.attachers).map_err(failed)?;
        let name = name_of(&plan.of);
        let options = AttachOptions {
            record: self.records.join(format!("{name}.json")),
            is_read_only: plan.is_read_only || matches!(plan.of, DiskRef::Mark(_)),
            name,
        };
        let mut attachment = attacher.attach(disk, options).await.map_err(failed)?;
        let mounted = match &plan.mount {
            Some(dir) => {
                mount(&mut attachment, plan, dir, self.is_anything_mounted()).await.map(Some)
            }
            None => Ok(None),
        };
        let report = match mounted {
            Ok(report) => report,
            Err(error) => {
                if let Err(error) = attachment.detach().await {
                    tracing::warn!(disk = %plan.of, %error, "detach what could not be mounted");
                }
                return Err(error);
            }
        };
        let status = self.status_of(plan, &attachment, attacher.name(), report);
        tracing::info!(disk = %plan.of, device = %status.device.display(), mount = ?status.mounted_at, "attached");
        self.shown().insert(plan.of.clone(), status.clone());
        entries.insert(plan.of.clone(), Entry { attachment, _use: entered });
        Ok(status)
    }

    fn status_of(
        &self,
        plan: &AttachPlan,
        attachment: &Attachment,
        kind: &str,
        report: Option<MountReport>,
    ) -> AttachmentStatus {
        let mut status = AttachmentStatus {
            of: plan.of.clone(),
            device: attachment.device().to_owned(),
            kind: kind.into(),
            is_read_only: attachment.is_read_only(),
            partition: plan.partition,
            mounted_at: None,
            file_system: None,
            mount_options: None,
            notes: Vec::new(),
            since_ms: self.clock.wall_ms(),
        };
        if let Some(report) = report {
            status.mounted_at = Some(report.dir);
            status.file_system = Some(report.file_system);
            status.mount_options = Some(report.options);
            status.notes = report.notes;
        }
        status
    }

    async fn detach(&self, of: &DiskRef) -> Result<(), ControlError> {
        let mut entries = self.entries.lock().await;
        let entry = entries.get_mut(of).ok_or_else(|| ControlError::NotAttached(of.clone()))?;
        let detached = entry.attachment.detach().await;
        // A mount may be gone although its device is still in use.
        if entry.attachment.mounted_on().is_none()
            && let Some(status) = self.shown().get_mut(of)
        {
            status.mounted_at = None;
        }
        detached.map_err(|error| attach_error(&format!("detach {of}"), error))?;
        entries.remove(of);
        self.shown().remove(of);
        tracing::info!(disk = %of, "detached");
        Ok(())
    }

    /// Detaches everything, as far as nobody uses it, and lets nothing more be attached. What stays is taken away at
    /// the next start.
    pub async fn detach_all(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
        // What is being attached at this moment has the lock, and is seen here.
        let attached: Vec<_> = self.entries.lock().await.keys().cloned().collect();
        for of in attached {
            if let Err(error) = self.detach(&of).await {
                tracing::warn!(disk = %of, %error, "detach; the next start cleans up");
            }
        }
    }

    /// Has the block device of a disk take over its new length.
    pub(crate) async fn refresh_size(&self, of: &DiskRef) {
        if let Some(entry) = self.entries.lock().await.get_mut(of)
            && let Err(error) = entry.attachment.refresh_size().await
        {
            tracing::warn!(disk = %of, %error, "grow the attached device");
        }
    }

    fn is_anything_mounted(&self) -> bool {
        self.shown().values().any(|status| status.mounted_at.is_some())
    }

    fn shown(&self) -> MutexGuard<'_, BTreeMap<DiskRef, AttachmentStatus>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Appliance {
    /// Makes a block device of a disk on this host, and mounts it where that is asked for.
    ///
    /// # Errors
    /// `AlreadyAttached`, `Attach` where the host or the file system refuses, or what the store says.
    pub async fn attach(&self, mut plan: AttachPlan) -> Result<AttachmentStatus, ControlError> {
        plan.of = self.as_disk(plan.of);
        let disk = self.traffic().disk(&plan.of)?;
        let entered = self.uses().enter(&plan.of, User::Attachment)?;
        let attached = self.attachments().attach(disk, &plan, entered).await?;
        self.events().tell(EventKind::Attachment, &plan.of);
        Ok(attached)
    }

    /// Unmounts a disk and takes its block device away.
    ///
    /// # Errors
    /// `NotAttached`, or `Attach` where somebody uses it; then it stays.
    pub async fn detach(&self, of: &DiskRef) -> Result<(), ControlError> {
        let of = self.as_disk(of.clone());
        self.attachments().detach(&of).await?;
        self.events().tell(EventKind::Attachment, &of);
        Ok(())
    }

    /// A view that is called by its bare name is meant, where no volume has that name.
    pub(crate) fn as_disk(&self, of: DiskRef) -> DiskRef {
        match of {
            DiskRef::Volume(name) if self.pool().view(&name).is_ok() => DiskRef::View(name),
            other => other,
        }
    }
}

async fn mount(
    attachment: &mut Attachment,
    plan: &AttachPlan,
    dir: &Path,
    is_anything_mounted: bool,
) -> Result<MountReport, ControlError> {
    let is_live = matches!(plan.of, DiskRef::Volume(_));
    let how = MountHow {
        // A live volume is the copy where a mark or view of it was mounted first.
        is_copy: !is_live || is_anything_mounted,
        is_exec_allowed: is_live,
    };
    let what = format!("mount {} on {}", plan.of, dir.display());
    attachment.mount(dir, &how).await.map_err(|error| attach_error(&what, error))
}

/// The partition of this number alone, or all of it.
async fn part_of(disk: AnyDisk, number: Option<u32>) -> Result<AnyDisk, AttachError> {
    let Some(number) = number else { return Ok(disk) };
    let extent = match filesystem::on_disk(&disk).await? {
        Found::Partitions(table) => table.find(number).ok_or_else(|| {
            AttachError::Unmountable(format!("the disk holds {table}, and no partition {number}"))
        })?,
        found => {
            let why = format!("the disk holds {found} and no partition table");
            return Err(AttachError::Unmountable(why));
        }
    };
    let failed = |source| AttachError::Disk { what: "open the partition", source };
    Ok(Arc::new(SliceDisk::new(disk, extent).map_err(failed)?))
}

/// A name that no other disk's attachment has, and that people recognise.
///
/// # Panics
/// Never: the letters of names and hexadecimal digits make a name.
fn name_of(of: &DiskRef) -> Name {
    let text = of.to_string();
    if let Ok(name) = text.parse() {
        return name;
    }
    let shown = text.replace(['@', '/'], ".");
    let shown = &shown[..shown.len().min(SHOWN_LEN_MAX)];
    // FNV-1a: what the replaced and cut characters were.
    let sum = text
        .bytes()
        .fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{shown}-{sum:08x}").parse().expect("letters of names make a name")
}

fn attach_error(what: &str, error: AttachError) -> ControlError {
    let kind = match &error {
        AttachError::Busy { .. } => ErrorKind::Conflict,
        AttachError::MountPoint { .. } | AttachError::Unmountable(_) => ErrorKind::Invalid,
        AttachError::Record { .. } => ErrorKind::Damaged,
        AttachError::Unavailable(_) | AttachError::Disk { .. } | AttachError::Io { .. } => {
            ErrorKind::Failed
        }
    };
    ControlError::Attach { what: what.into(), why: error.to_string(), kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_attachments_are_names_and_differ() {
        let long = format!("{}@{}", "v".repeat(64), "m".repeat(64));
        let texts = ["mail", "mail@monday", "mail.monday", "view/mail", &long];
        let names: Vec<_> = texts.iter().map(|text| name_of(&text.parse().unwrap())).collect();
        assert_eq!(names[0].as_str(), "mail");
        assert!(names[1].as_str().starts_with("mail.monday-"));
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), texts.len());
    }
}
