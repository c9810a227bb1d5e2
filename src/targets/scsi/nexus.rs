//! An I_T nexus: where commands and task management functions arrive.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use super::absent;
use super::attention::Attention;
use super::cdb::Cdb;
use super::command::Begun;
use super::judge::{Refusal, judge};
use super::lun;
use super::path::{Ends, Path};
use super::port::InitiatorPort;
use super::response::{Response, Status};
use super::target::{Mapping, Target};

/// How a command stands in the order of its task set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskAttribute {
    /// As `Simple`.
    Untagged,
    /// In any order.
    Simple,
    /// After all older, before all younger ones.
    Ordered,
    /// Before all that have not begun.
    HeadOfQueue,
    /// Within an auto contingent allegiance.
    Aca,
}

/// A task management function, but for ABORT TASK, which is the session's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskManagement {
    /// End the tasks of this nexus in the logical unit.
    AbortTaskSet,
    /// End an auto contingent allegiance.
    ClearAca,
    /// End the tasks of all nexuses in the logical unit.
    ClearTaskSet,
    /// Reset the logical unit.
    LunReset,
    /// Reset all logical units that this nexus sees.
    TargetWarmReset,
    /// The same; the session ends the connections of the target too.
    TargetColdReset,
}

/// What became of a task management function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ManagementOutcome {
    /// Done.
    Complete,
    /// The logical unit is not there.
    NoSuchLun,
    /// Not known here.
    Unsupported,
    /// Refused.
    Rejected,
}

/// What became of a task management function, later.
pub type Managed = Pin<Box<dyn Future<Output = ManagementOutcome> + Send>>;

/// An I_T nexus. Dropping the last handle ends it.
#[derive(Debug)]
pub struct Nexus {
    pub(super) ends: Arc<Ends>,
    target: Arc<Target>,
    chap_user: Option<String>,
    paths: RwLock<BTreeMap<u16, Arc<Path>>>,
}

impl Nexus {
    pub(super) fn new(target: Arc<Target>, ends: Ends, chap_user: Option<String>) -> Self {
        let paths = RwLock::default();
        Self { ends: Arc::new(ends), target, chap_user, paths }
    }

    /// Who it is at the far end.
    pub fn initiator(&self) -> &InitiatorPort {
        &self.ends.initiator
    }

    /// Judges a command as it arrives, before any data is asked for. `lun` is the 8-byte LUN field as a
    /// big-endian number.
    pub fn begin(&self, lun: u64, cdb: &[u8], attribute: TaskAttribute) -> Begun {
        let cdb = Cdb::new(cdb);
        let Some(path) = self.path(lun) else { return absent::begin(self, lun, &cdb) };
        match judge(self, path, &cdb, attribute) {
            Ok(command) => Begun::Ready(command),
            Err((_, Refusal::Conflict)) => Begun::Ended(Response::of(Status::ReservationConflict)),
            Err((path, Refusal::Sense(sense))) => Begun::Ended(path.refuse(sense)),
        }
    }

    /// The logical unit numbers that it sees.
    pub fn luns(&self) -> Vec<u16> {
        self.paths.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Carries a task management function out.
    pub fn manage(&self, function: TaskManagement, lun: u64) -> Managed {
        let outcome = |outcome| -> Managed { Box::pin(async move { outcome }) };
        let path = self.path(lun);
        let settling = match (function, path) {
            (TaskManagement::ClearAca, _) => return outcome(ManagementOutcome::Unsupported),
            (TaskManagement::TargetWarmReset | TaskManagement::TargetColdReset, _) => {
                self.paths().iter().flat_map(|path| path.unit.reset()).collect()
            }
            (_, None) => return outcome(ManagementOutcome::NoSuchLun),
            (TaskManagement::AbortTaskSet, Some(path)) => {
                path.abort_all();
                vec![path]
            }
            (TaskManagement::ClearTaskSet, Some(path)) => clear(&path),
            (TaskManagement::LunReset, Some(path)) => path.unit.reset(),
        };
        Box::pin(async move {
            for path in settling {
                path.settled().await;
            }
            ManagementOutcome::Complete
        })
    }

    fn path(&self, lun: u64) -> Option<Arc<Path>> {
        let number = lun::decode(lun)?;
        self.paths.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    /// All that it sees.
    pub(super) fn paths(&self) -> Vec<Arc<Path>> {
        self.paths.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether it sees a mapping.
    fn may_see(&self, mapping: &Mapping) -> bool {
        mapping.audience.has(&self.ends.initiator.name, self.chap_user.as_deref())
    }

    /// Looks at what the target has mapped, and tells whether what it sees has changed.
    pub(super) fn refresh(&self, luns: &BTreeMap<u16, Mapping>) {
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        let before: Vec<u16> = paths.keys().copied().collect();
        let mut is_changed = false;
        let mut now = BTreeMap::new();
        for (lun, mapping) in luns.iter().filter(|(_, mapping)| self.may_see(mapping)) {
            let same = paths.remove(lun).filter(|path| {
                Arc::ptr_eq(&path.unit, &mapping.unit) && path.is_read_only == mapping.is_read_only
            });
            let path = same.unwrap_or_else(|| {
                is_changed = true;
                let (ends, unit) = (Arc::clone(&self.ends), Arc::clone(&mapping.unit));
                let path = Path::new(ends, unit, mapping.is_read_only);
                mapping.unit.add_path(&path);
                path
            });
            now.insert(*lun, path);
        }
        is_changed |= before.len() != now.len();
        let gone = std::mem::replace(&mut *paths, now);
        for path in gone.into_values() {
            path.abort_all();
            path.unit.forget_nexus(self.ends.id);
        }
        if is_changed && !before.is_empty() {
            for path in paths.values() {
                path.raise(Attention::LunsChanged);
            }
        }
    }

    /// The numbers were told.
    pub(super) fn luns_were_told(&self) {
        for path in self.paths() {
            path.forget(Attention::LunsChanged);
        }
    }
}

/// Clears the task set of a unit, for all nexuses.
fn clear(own: &Arc<Path>) -> Vec<Arc<Path>> {
    let paths = own.unit.paths();
    for path in &paths {
        let was_running = path.abort_all();
        if was_running && !Arc::ptr_eq(path, own) {
            path.raise(Attention::CommandsCleared);
        }
    }
    paths
}

impl Drop for Nexus {
    fn drop(&mut self) {
        for path in self.paths() {
            path.abort_all();
            path.unit.forget_nexus(self.ends.id);
        }
        self.target.forget();
    }
}
