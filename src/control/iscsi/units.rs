//! The logical units: one for each disk that is mapped anywhere, whoever sees it and under which number,
//! so that reservations and atomic commands hold over all paths.
//!
//! A unit whose disk is missing or has failed stays, and is not ready. What a unit wants remembered over a
//! restart is a note of its volume; marks take no notes, and their units remember nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::id::Id;
use disk::{AnyDisk, DiskError};
use store::{DiskRef, Located, NoteKind, Pool, StoreError};
use targets::scsi::{Identity, Keeper, Kept, LogicalUnit, NoKeeper, UnitSettings};

use super::book::{Book, LunEntry};
use crate::traffic::Traffic;

/// What all logical units call themselves: a view that is promoted stays the disk that it was.
const PRODUCT: &str = "VIRTUAL DISK";

/// The number of the note of reservations.
const fn reservations() -> NoteKind {
    match NoteKind::new(0) {
        Some(kind) => kind,
        None => unreachable!(),
    }
}

struct Entry {
    unit: Arc<LogicalUnit>,
    /// Whether it has its disk.
    is_ready: bool,
}

/// All logical units.
pub(super) struct Units {
    pool: Arc<Pool>,
    traffic: Arc<Traffic>,
    entries: Mutex<BTreeMap<Id, Entry>>,
}

impl Units {
    pub(super) fn new(traffic: Arc<Traffic>) -> Self {
        Self { pool: Arc::clone(traffic.pool()), traffic, entries: Mutex::default() }
    }

    /// The unit of the disk that is mapped so, made where there is none yet.
    pub(super) fn of(&self, lun: &LunEntry) -> Arc<LogicalUnit> {
        let mut entries = self.entries();
        if let Some(entry) = entries.get(&lun.id) {
            return Arc::clone(&entry.unit);
        }
        let located = self.pool.locate(lun.id);
        let is_mark = match &located {
            Some(found) => matches!(found.disk, DiskRef::Mark(_)),
            None => lun.disk.contains('@'),
        };
        let keeper: Arc<dyn Keeper> = match is_mark {
            true => Arc::new(NoKeeper),
            false => Arc::new(NoteKeeper { pool: Arc::clone(&self.pool), of: lun.id }),
        };
        let settings = UnitSettings {
            identity: Identity { id: lun.id, product: PRODUCT.into() },
            logical_block_len: lun.block_size,
            is_removable: lun.is_removable,
        };
        let disk = self.disk_of(located);
        let is_ready = disk.is_some();
        let unit = LogicalUnit::new(settings, disk, keeper);
        entries.insert(lun.id, Entry { unit: Arc::clone(&unit), is_ready });
        unit
    }

    /// The unit of this disk, where it is mapped.
    pub(super) fn get(&self, id: Id) -> Option<Arc<LogicalUnit>> {
        self.entries().get(&id).map(|entry| Arc::clone(&entry.unit))
    }

    /// Whether the unit of this disk has it.
    pub(super) fn is_ready(&self, id: Id) -> bool {
        self.entries().get(&id).is_some_and(|entry| entry.is_ready)
    }

    /// Forgets units that nothing in this book leads to; gives their disks.
    pub(super) fn retain(&self, book: &Book) -> Vec<Id> {
        let mapped: BTreeSet<_> =
            book.targets.values().flat_map(|target| &target.luns).map(|lun| lun.id).collect();
        self.entries().extract_if(.., |id, _| !mapped.contains(id)).map(|(id, _)| id).collect()
    }

    /// Looks which disks have come, gone or failed since.
    pub(super) fn refresh(&self) {
        for (id, entry) in self.entries().iter_mut() {
            let located = self.pool.locate(*id);
            let is_able = located.as_ref().is_some_and(|found| found.failure.is_none());
            if is_able == entry.is_ready {
                continue;
            }
            let disk = self.disk_of(located);
            entry.is_ready = disk.is_some();
            match entry.is_ready {
                true => tracing::info!(disk = %id, "a mapped disk is there again"),
                false => tracing::warn!(disk = %id, "a mapped disk is gone or has failed"),
            }
            entry.unit.set_disk(disk);
        }
    }

    /// Forgets what a unit wanted remembered, when nothing leads to its disk any more.
    pub(super) async fn forget(&self, ids: Vec<Id>) {
        for id in ids {
            if self.pool.note(id, reservations()).is_some()
                && let Err(error) = self.pool.keep_note(id, reservations(), None).await
            {
                tracing::warn!(disk = %id, %error, "forget the reservations of a disk");
            }
        }
    }

    fn disk_of(&self, located: Option<Located>) -> Option<AnyDisk> {
        let found = located.filter(|found| found.failure.is_none())?;
        self.traffic.disk(&found.disk).ok()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Id, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what a unit wants remembered with its volume.
struct NoteKeeper {
    pool: Arc<Pool>,
    of: Id,
}

impl Keeper for NoteKeeper {
    fn can_keep(&self) -> bool {
        true
    }

    fn kept(&self) -> Option<Vec<u8>> {
        self.pool.note(self.of, reservations())
    }

    fn keep(&self, bytes: Option<Vec<u8>>) -> Kept {
        let (pool, of) = (Arc::clone(&self.pool), self.of);
        Box::pin(async move {
            pool.keep_note(of, reservations(), bytes).await.map_err(|error| match error {
                StoreError::Disk(error) => error,
                StoreError::Closed => DiskError::Closed,
                StoreError::NoSpace(why) => DiskError::NoSpace(why),
                StoreError::Busy { what, .. } => DiskError::Busy(what.into()),
                other => DiskError::Poisoned(other.to_string().into()),
            })
        })
    }
}
