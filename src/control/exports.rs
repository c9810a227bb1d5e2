//! What clients at the doors may open: volumes as `NAME`, marks as `NAME@MARK` and read-only, views as
//! `view/NAME`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use base::name::{MarkRef, Name};
use store::{DiskRef, ErrorKind, Grade, MarkStatus, Pool, StoreError, ViewStatus, VolumeStatus};
use targets::{Export, ExportError, ExportSummary, Exports};

use crate::contexts::DiskContexts;
use crate::error::ControlError;
use crate::status::ExportStatus;
use crate::traffic::Traffic;
use crate::uses::{User, Uses};
use crate::when;

/// The exports of a pool.
pub struct PoolExports {
    pool: Arc<Pool>,
    traffic: Arc<Traffic>,
    uses: Uses,
    default_export: RwLock<Option<String>>,
}

impl PoolExports {
    /// The exports of a pool; who opens one is written into `uses`, and what they do into `traffic`.
    pub fn new(traffic: Arc<Traffic>, uses: Uses, default_export: Option<String>) -> Self {
        let pool = Arc::clone(traffic.pool());
        Self { pool, traffic, uses, default_export: RwLock::new(default_export) }
    }

    /// Changes which export is meant by clients that name none.
    pub fn set_default(&self, name: Option<String>) {
        *self.default_export.write().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// At most so many of the exports, from behind the one of this name on, each with the number of sessions that have
    /// it open.
    ///
    /// # Errors
    /// `Invalid`: no export can have that name.
    pub fn status(
        &self,
        after: Option<&str>,
        most: usize,
        open: &[String],
    ) -> Result<Vec<ExportStatus>, ControlError> {
        let after = after.map(str::parse::<DiskRef>).transpose()?;
        let default = self.default_name();
        let told = self.behind(after).take(most).map(|export| ExportStatus {
            is_default: default.as_ref() == Some(&export.name),
            sessions: open.iter().filter(|name| **name == export.name).count(),
            name: export.name,
            description: export.description,
        });
        Ok(told.collect())
    }

    /// The exports behind this one in their order: volumes and views by name, each before its marks by theirs.
    fn behind(&self, after: Option<DiskRef>) -> impl Iterator<Item = ExportSummary> {
        let mut bases = BTreeMap::new();
        for volume in self.pool.volumes() {
            let description = about_volume(&volume);
            bases.insert(volume.name.clone(), (DiskRef::Volume(volume.name), description));
        }
        for view in self.pool.views() {
            let description = about_view(&view);
            bases.insert(view.name.clone(), (DiskRef::View(view.name), description));
        }
        let after = after.map(place);
        if let Some((base, _)) = &after {
            bases = bases.split_off(base);
        }
        let all = bases.into_iter().flat_map(|(name, (disk, description))| {
            let itself =
                ((name.clone(), None), ExportSummary { name: disk.to_string(), description });
            let marks = self.marks_of(&name);
            std::iter::once(itself)
                .chain(marks.map(move |(mark, export)| ((name.clone(), Some(mark)), export)))
        });
        let all = all.filter(move |(place, _)| after.as_ref().is_none_or(|after| place > after));
        all.map(|(_, export)| export)
    }

    fn describe(&self, disk: &DiskRef) -> Result<String, StoreError> {
        Ok(match disk {
            DiskRef::Volume(name) => about_volume(&self.pool.volume(name)?),
            DiskRef::Mark(of) => about_mark(&self.pool.mark(of)?),
            DiskRef::View(name) => about_view(&self.pool.view(name)?),
        })
    }

    /// The marks of a volume or view by name, as exports.
    fn marks_of(&self, volume: &Name) -> impl Iterator<Item = (Name, ExportSummary)> + use<> {
        let mut marks = self.pool.marks(volume).unwrap_or_default();
        marks.sort_by(|one, other| one.name.cmp(&other.name));
        marks.into_iter().map(|mark| {
            let description = about_mark(&mark);
            let of = MarkRef { volume: mark.volume, mark: mark.name.clone() };
            (mark.name, ExportSummary { name: of.to_string(), description })
        })
    }

    fn open_disk(&self, disk: &DiskRef) -> Result<Export, ControlError> {
        let description = self.describe(disk)?;
        let guard = self.uses.enter(disk, User::Session)?;
        let opened = self.traffic.disk(disk)?;
        let is_read_only = matches!(disk, DiskRef::Mark(_)) || opened.geometry().is_read_only;
        Ok(Export {
            name: disk.to_string(),
            description,
            disk: opened,
            is_read_only,
            contexts: Arc::new(DiskContexts::new(Arc::clone(&self.pool), disk.clone())),
            guard: Some(Box::new(guard)),
        })
    }
}

impl Exports for PoolExports {
    fn list(&self) -> Vec<ExportSummary> {
        self.behind(None).collect()
    }

    fn open(&self, name: &str) -> Result<Export, ExportError> {
        let disk: DiskRef = name.parse().map_err(|_| ExportError::Unknown)?;
        self.open_disk(&disk).map_err(|error| match error.kind() {
            ErrorKind::NotFound => ExportError::Unknown,
            ErrorKind::Conflict
            | ErrorKind::Invalid
            | ErrorKind::NoSpace
            | ErrorKind::Damaged
            | ErrorKind::Failed => ExportError::Unavailable(error.to_string()),
        })
    }

    fn default_name(&self) -> Option<String> {
        let chosen = self.default_export.read().unwrap_or_else(PoisonError::into_inner).clone();
        chosen.or_else(|| match self.pool.volumes().as_slice() {
            [only] => Some(only.name.to_string()),
            _ => None,
        })
    }
}

/// Where an export stands among all: its volume or view, and its mark if it is one.
fn place(disk: DiskRef) -> (Name, Option<Name>) {
    match disk {
        DiskRef::Volume(name) | DiskRef::View(name) => (name, None),
        DiskRef::Mark(of) => (of.volume, Some(of.mark)),
    }
}

fn about_volume(volume: &VolumeStatus) -> String {
    format!("volume {}, {}", volume.name, volume.size)
}

fn about_mark(mark: &MarkStatus) -> String {
    let (taken, grade) = (when::utc(mark.taken_ms), consistency(mark.grade));
    format!("mark {} of {}, taken {taken}, {grade}", mark.name, mark.volume)
}

fn about_view(view: &ViewStatus) -> String {
    format!("view {} of {}, {}", view.name, view.of, view.size)
}

fn consistency(grade: Grade) -> &'static str {
    match grade {
        Grade::Crash => "crash-consistent",
        Grade::Filesystem => "file-system-consistent",
        Grade::Application => "application-consistent",
    }
}
