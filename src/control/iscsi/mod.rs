//! Disks as SCSI targets: who may log in to what, and which disk lies under which LUN.
//!
//! `book` and `secret` hold the rules and values, `kept` the two files, `units` the logical units; this file
//! holds what is in force now. A change is made to a copy of the book, written to disk, and only then in
//! force, at once and for running sessions too. Where the files are damaged nothing here works, and all else
//! does.

pub mod book;
mod kept;
pub mod names;
pub mod secret;
pub mod status;
mod units;

mod chap;
mod initiators;
mod luns;
mod portals;
mod serve;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ::targets::scsi::{Audience, Mapping, PortGroups, Target};
use base::name::Name;
use store::{DiskRef, Pool};

pub use chap::NewSecret;
pub use luns::{LunChange, NewLun};
pub use targets::{NewTarget, TargetChange};

use book::{Book, BookError, BookErrorKind, LunEntry};
use kept::Files;
use secret::Secrets;
use units::Units;

use crate::error::ControlError;
use crate::events::{EventKind, Events};
use crate::secrets::Vault;
use crate::traffic::Traffic;

/// Says what is wrong with the files of targets in a directory, and changes nothing.
///
/// # Errors
/// `Book`, naming the file and what is wrong in it.
pub fn look(dir: &Path) -> Result<(), ControlError> {
    kept::look(dir)
}

/// What is in force.
#[derive(Default)]
struct Current {
    book: Book,
    secrets: Secrets,
    targets: BTreeMap<Name, Arc<Target>>,
    /// Port groups that have a portal.
    groups: BTreeSet<u16>,
    /// Whether discovery takes CHAP with MD5.
    is_discovery_md5_allowed: bool,
    /// Why the files cannot be used.
    damage: Option<ControlError>,
    /// Why the secrets cannot be read. Then nobody comes in who must show one, and no secret is changed.
    locked: Option<ControlError>,
}

/// All targets.
pub struct Iscsi {
    pool: Arc<Pool>,
    events: Events,
    files: Files,
    units: Units,
    groups: Arc<PortGroups>,
    /// Held over a change, so that two never mix.
    changing: tokio::sync::Mutex<()>,
    current: RwLock<Current>,
}

impl Iscsi {
    /// What the files in this directory say of a pool; what clients do with its disks is counted in `traffic`.
    pub fn open(traffic: Arc<Traffic>, dir: &Path, vault: Arc<Vault>, events: Events) -> Self {
        let iscsi = Self {
            pool: Arc::clone(traffic.pool()),
            units: Units::new(traffic),
            events,
            files: Files::new(dir, vault),
            groups: PortGroups::new(Vec::new()),
            changing: tokio::sync::Mutex::default(),
            current: RwLock::default(),
        };
        iscsi.load();
        iscsi
    }

    /// Reads the files again, where they could not be used before.
    pub(crate) fn load_again(&self) {
        if self.damage().is_some() || self.locked().is_some() {
            self.files.look_for_key();
            self.load();
        }
    }

    fn load(&self) {
        match self.files.load() {
            Ok((book, secrets)) => {
                let mut current = self.write();
                current.damage = None;
                current.locked = secrets.as_ref().err().cloned();
                if let Some(error) = &current.locked {
                    tracing::error!(%error, "targets and discovery that ask for CHAP stay closed");
                }
                current.secrets = secrets.unwrap_or_default();
                self.put_in_force(&mut current, book);
            }
            Err(error) => {
                tracing::error!(%error, "iSCSI stays closed");
                self.write().damage = Some(error);
            }
        }
    }

    /// Why there are no targets, where the files cannot be used.
    pub(crate) fn damage(&self) -> Option<ControlError> {
        self.read().damage.clone()
    }

    /// Why nobody can show a secret.
    pub(crate) fn locked(&self) -> Option<ControlError> {
        self.read().locked.clone()
    }

    /// What a person should look at.
    pub(crate) fn troubles(&self) -> Vec<(String, String)> {
        let current = self.read();
        if let Some(damage) = &current.damage {
            let way_out = damage.way_out().unwrap_or_default();
            return vec![("iscsi".into(), format!("iSCSI is closed: {damage}; {way_out}"))];
        }
        let mut all = Vec::new();
        for (name, target) in &current.book.targets {
            let has_users =
                current.secrets.targets.get(name).is_some_and(|all| !all.users.is_empty());
            if target.auth == book::Auth::Chap && !has_users && current.locked.is_none() {
                let what =
                    format!("it asks for CHAP and has no user; `chap set {name} USER` makes one");
                all.push((format!("target {name}"), what));
            }
            for lun in target.luns.iter().filter(|lun| !self.units.is_ready(lun.id)) {
                let what = format!(
                    "its disk {} is missing or has failed; `lun unmap {name} {}` takes it away",
                    lun.disk, lun.lun
                );
                all.push((format!("target {name}, LUN {}", lun.lun), what));
            }
        }
        all
    }

    /// Looks which mapped disks have come, gone or failed since.
    pub(crate) fn refresh(&self) {
        self.units.refresh();
    }

    /// Changes book and secrets. When this returns the change is on disk and in force.
    ///
    /// # Errors
    /// What the change says, or `State` where it cannot be written; nothing has changed then.
    async fn change<T>(
        &self,
        edit: impl FnOnce(&mut Book, &mut Secrets) -> Result<T, BookError>,
    ) -> Result<T, ControlError> {
        let _one_at_a_time = self.changing.lock().await;
        let (mut book, mut secrets) = {
            let current = self.read();
            if let Some(damage) = &current.damage {
                return Err(damage.clone());
            }
            (current.book.clone(), current.secrets.clone())
        };
        let done = edit(&mut book, &mut secrets)?;
        let (is_book_new, is_secret_new) = {
            let current = self.read();
            let is_secret_new = current.secrets != secrets;
            // The secrets of a target that goes could not go with it, and would be those of the next of its name.
            let mut before = current.book.targets.keys();
            if let Some(locked) = &current.locked
                && (is_secret_new || before.any(|name| !book.targets.contains_key(name)))
            {
                return Err(locked.clone());
            }
            (current.book != book, is_secret_new)
        };
        let files = self.files.clone();
        let written = tokio::task::spawn_blocking(move || {
            if is_book_new {
                files.save_book(&book)?;
            }
            if is_secret_new {
                files.save_secrets(&secrets)?;
            }
            Ok::<_, ControlError>((book, secrets))
        });
        let (book, secrets) = match written.await {
            Ok(written) => written?,
            Err(error) => {
                let what = "write the book of targets".into();
                return Err(ControlError::State { what, why: error.to_string() });
            }
        };
        let unmapped = {
            let mut current = self.write();
            current.secrets = secrets;
            self.put_in_force(&mut current, book)
        };
        self.units.forget(unmapped).await;
        self.events.tell_all(EventKind::Target);
        Ok(done)
    }

    /// Makes targets, LUNs and groups what the book says; gives the disks that are mapped no more.
    fn put_in_force(&self, current: &mut Current, book: Book) -> Vec<base::id::Id> {
        current.targets.retain(|name, _| book.targets.contains_key(name));
        for (name, entry) in &book.targets {
            let before = current.book.targets.get(name).map_or(&[][..], |old| &old.luns);
            let groups = Arc::clone(&self.groups);
            let target = current
                .targets
                .entry(name.clone())
                .or_insert_with(|| Target::new(entry.iqn.to_string(), groups));
            let is_mapped: BTreeSet<_> = target.luns().iter().map(|(lun, _)| *lun).collect();
            for gone in is_mapped.iter().filter(|lun| !entry.luns.iter().any(|e| e.lun == **lun)) {
                target.unmap(*gone);
            }
            for lun in &entry.luns {
                if !is_mapped.contains(&lun.lun) || !before.contains(lun) {
                    target.map(lun.lun, self.mapping(lun));
                }
            }
        }
        let unmapped = self.units.retain(&book);
        current.book = book;
        self.set_groups(current);
        unmapped
    }

    fn mapping(&self, lun: &LunEntry) -> Mapping {
        let audience = match lun.only.is_empty() {
            true => Audience::All,
            false => Audience::Only(lun.only.iter().map(ToString::to_string).collect()),
        };
        Mapping { unit: self.units.of(lun), is_read_only: lun.is_read_only, audience }
    }

    fn set_groups(&self, current: &Current) {
        let states = current.groups.iter().map(|group| (*group, current.book.group_state(*group)));
        let states: Vec<_> = states.collect();
        if self.groups.list() != states {
            self.groups.set(states);
        }
    }

    /// What is said of a disk: its name now, or the one it had.
    fn name_of(&self, lun: &LunEntry) -> String {
        self.pool.locate(lun.id).map_or_else(|| lun.disk.clone(), |found| found.disk.to_string())
    }

    /// Where the disks that are meant lie: target, LUN, and which disk.
    pub(crate) fn mappings(
        &self,
        is_meant: impl Fn(&DiskRef) -> bool,
    ) -> Vec<(Name, u16, DiskRef)> {
        let mapped = self.read().book.mappings_of(|_| true);
        let named = mapped.into_iter().filter_map(|(target, lun, id)| {
            let disk = self.pool.locate(id)?.disk;
            Some((target, lun, disk))
        });
        named.filter(|(_, _, disk)| is_meant(disk)).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Current> {
        self.current.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<BookError> for ControlError {
    fn from(error: BookError) -> Self {
        let BookError { why, way_out, kind } = error;
        match kind {
            BookErrorKind::NotFound => Self::Unknown { why, way_out },
            BookErrorKind::Conflict => Self::Conflict { why, way_out },
        }
    }
}
