//! Open segments: opened when first needed, the least recently used closed again.
//!
//! A large preserved store has hundreds of segments, and an open disk may cost a descriptor and a ring,
//! so only a bounded number is open unless more are in use at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::id::Id;
use disk::{AnyDisk, DiskError, Shelf, Usage};

use super::segment;

pub(super) struct Handles {
    shelf: Arc<dyn Shelf>,
    volume: Id,
    open_max: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    disks: BTreeMap<u32, (AnyDisk, u64)>,
    uses: u64,
}

impl Handles {
    pub(super) fn new(shelf: Arc<dyn Shelf>, volume: Id, open_max: usize) -> Self {
        Self { shelf, volume, open_max: open_max.max(1), open: Mutex::default() }
    }

    /// The disk of this segment.
    ///
    /// # Errors
    /// What the shelf says when it opens it.
    pub(super) fn get(&self, index: u32) -> Result<AnyDisk, DiskError> {
        let mut open = self.lock();
        open.uses += 1;
        let now = open.uses;
        if let Some((disk, used)) = open.disks.get_mut(&index) {
            *used = now;
            return Ok(Arc::clone(disk));
        }
        let disk = self.shelf.open(&segment::name_of(self.volume, index), Usage::Data)?;
        open.put(index, Arc::clone(&disk), self.open_max);
        Ok(disk)
    }

    /// Remembers a disk that was just made.
    pub(super) fn put(&self, index: u32, disk: AnyDisk) {
        let mut open = self.lock();
        open.uses += 1;
        open.put(index, disk, self.open_max);
    }

    /// Closes the segment unless somebody else still uses it.
    pub(super) fn forget(&self, index: u32) {
        self.lock().disks.remove(&index);
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn put(&mut self, index: u32, disk: AnyDisk, open_max: usize) {
        while self.disks.len() >= open_max {
            let idle = self.disks.iter().filter(|(_, (disk, _))| Arc::strong_count(disk) == 1);
            let Some(oldest) = idle.min_by_key(|(_, (_, used))| *used).map(|(index, _)| *index)
            else {
                break;
            };
            self.disks.remove(&oldest);
        }
        self.disks.insert(index, (disk, self.uses));
    }
}
