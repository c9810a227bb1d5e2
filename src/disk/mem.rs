//! Disks in memory: sparse, with the semantics of the contract, gone when the last handle is.
//!
//! For tests, and for pools that are meant to be forgotten. What is written is as stable as it will ever
//! be at once, so a flush has nothing to do. Nothing here ever fails or loses anything: that is what
//! `sim` is for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base::units::{BLOCK_LEN, Extent};

use crate::error::DiskError;
use crate::request::Request;
use crate::shelf::{Shelf, Space, Usage};
use crate::sparse::Sparse;
use crate::{AnyDisk, Disk, Geometry};

/// Bytes a shelf in memory claims to have: enough for anything, since memory is not counted here.
const TOTAL: u64 = 1 << 62;

/// A disk in memory.
#[derive(Debug)]
pub struct MemDisk {
    state: Mutex<State>,
    is_read_only: bool,
}

#[derive(Debug)]
struct State {
    sectors: u64,
    content: Sparse,
}

impl MemDisk {
    /// A disk of this many sectors, all absent.
    pub fn new(sectors: u64) -> Self {
        Self {
            state: Mutex::new(State { sectors, content: Sparse::default() }),
            is_read_only: false,
        }
    }

    /// A disk that holds these bytes, rounded up to whole sectors with zeroes.
    pub fn holding(bytes: &[u8]) -> Self {
        let mut content = Sparse::default();
        let mut sectors = 0;
        for block in bytes.chunks(BLOCK_LEN) {
            let mut page = [0; BLOCK_LEN];
            page[..block.len()].copy_from_slice(block);
            content.write(sectors, &page);
            sectors += (block.len() as u64).div_ceil(base::units::SECTOR_LEN as u64);
        }
        Self { state: Mutex::new(State { sectors, content }), is_read_only: false }
    }

    /// The same content, taking no changes.
    pub fn into_read_only(self) -> Self {
        Self { is_read_only: true, ..self }
    }

    /// Makes it longer. A shorter length changes nothing.
    pub fn grow(&self, sectors: u64) {
        let mut state = self.lock();
        state.sectors = state.sectors.max(sectors);
    }

    /// Bytes that its content takes, in whole blocks.
    pub fn allocated_bytes(&self) -> u64 {
        self.lock().content.allocated() * BLOCK_LEN as u64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemDisk {
    fn geometry(&self) -> Geometry {
        Geometry {
            sectors: self.lock().sectors,
            physical_block_len: 4096,
            atomic_write_len: 512,
            is_read_only: self.is_read_only,
        }
    }

    fn submit(&self, batch: Vec<Request>) {
        for Request { op, reply } in batch {
            let answer =
                op.check(&self.geometry()).and_then(|()| self.lock().content.carry_out(op));
            reply.send(answer);
        }
    }
}

/// A shelf in memory.
#[derive(Debug, Default)]
pub struct MemShelf {
    state: Mutex<ShelfState>,
}

#[derive(Debug, Default)]
struct ShelfState {
    disks: BTreeMap<String, Arc<MemDisk>>,
    elsewhere: BTreeMap<PathBuf, Elsewhere>,
}

#[derive(Debug)]
struct Elsewhere {
    disk: Arc<MemDisk>,
    adopted: Weak<Adopted>,
}

/// The handle of an adopted disk: while it lives, nobody else gets one.
#[derive(Debug)]
struct Adopted(Arc<MemDisk>);

impl Disk for Adopted {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }

    fn submit(&self, batch: Vec<Request>) {
        self.0.submit(batch);
    }
}

impl MemShelf {
    /// An empty shelf.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a disk where `adopt` finds it under this path.
    pub fn register(&self, path: impl Into<PathBuf>, disk: Arc<MemDisk>) {
        let elsewhere = Elsewhere { disk, adopted: Weak::new() };
        self.lock().elsewhere.insert(path.into(), elsewhere);
    }

    fn lock(&self) -> MutexGuard<'_, ShelfState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Result<Arc<MemDisk>, DiskError> {
        self.lock().disks.get(name).cloned().ok_or_else(|| DiskError::NotFound(name.into()))
    }
}

impl Shelf for MemShelf {
    fn create(&self, name: &str, sectors: u64, _usage: Usage) -> Result<AnyDisk, DiskError> {
        let mut state = self.lock();
        if state.disks.contains_key(name) {
            return Err(DiskError::Busy(name.into()));
        }
        let disk = Arc::new(MemDisk::new(sectors));
        state.disks.insert(name.to_owned(), Arc::clone(&disk));
        Ok(disk)
    }

    fn open(&self, name: &str, _usage: Usage) -> Result<AnyDisk, DiskError> {
        Ok(self.find(name)?)
    }

    fn grow(&self, name: &str, sectors: u64) -> Result<(), DiskError> {
        self.find(name)?.grow(sectors);
        Ok(())
    }

    fn reserve(&self, name: &str, extent: Extent) -> Result<(), DiskError> {
        let disk = self.find(name)?;
        let mut state = disk.lock();
        if !extent.fits(state.sectors) {
            return Err(DiskError::OutOfBounds { extent, capacity: state.sectors });
        }
        state.content.reserve(extent);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.lock().disks.remove(name);
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>, DiskError> {
        Ok(self.lock().disks.keys().cloned().collect())
    }

    fn adopt(&self, path: &Path) -> Result<AnyDisk, DiskError> {
        let shown = path.display().to_string();
        let mut state = self.lock();
        let Some(elsewhere) = state.elsewhere.get_mut(path) else {
            return Err(DiskError::NotFound(shown.into()));
        };
        if elsewhere.adopted.strong_count() > 0 {
            return Err(DiskError::Busy(shown.into()));
        }
        let adopted = Arc::new(Adopted(Arc::clone(&elsewhere.disk)));
        elsewhere.adopted = Arc::downgrade(&adopted);
        Ok(adopted)
    }

    fn space(&self) -> Result<Space, DiskError> {
        let taken: u64 = self.lock().disks.values().map(|disk| disk.allocated_bytes()).sum();
        Ok(Space { free: TOTAL.saturating_sub(taken), total: TOTAL })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Buffer, Durability};

    #[tokio::test]
    async fn what_is_written_is_read_through_another_handle() {
        let shelf = MemShelf::new();
        let one = shelf.create("data-1", 64, Usage::Data).unwrap();
        let payload = Buffer::copy_of(&[5; 1024]).unwrap().freeze();
        one.write(3, vec![payload], Durability::Volatile).await.unwrap();
        let two = shelf.open("data-1", Usage::Data).unwrap();
        assert_eq!(two.read(Extent::new(3, 2)).await.unwrap()[..], [5; 1024]);
    }

    #[tokio::test]
    async fn past_the_end_is_refused_until_it_has_grown() {
        let shelf = MemShelf::new();
        let disk = shelf.create("data-1", 8, Usage::Data).unwrap();
        let past = disk.read(Extent::new(8, 1)).await;
        assert!(matches!(past, Err(DiskError::OutOfBounds { capacity: 8, .. })));
        shelf.grow("data-1", 16).unwrap();
        assert_eq!(disk.geometry().sectors, 16);
        assert_eq!(disk.read(Extent::new(8, 1)).await.unwrap()[..], [0; 512]);
    }

    #[tokio::test]
    async fn a_read_only_disk_takes_no_change() {
        let disk: AnyDisk = Arc::new(MemDisk::holding(&[3; 700]).into_read_only());
        assert_eq!(disk.geometry().sectors, 2);
        let refused = disk.discard(Extent::new(0, 1)).await;
        assert!(matches!(refused, Err(DiskError::ReadOnly)));
        assert_eq!(disk.read(Extent::new(1, 1)).await.unwrap()[187..190], [3, 0, 0]);
    }

    #[test]
    fn an_adopted_disk_has_one_user_at_a_time() {
        let shelf = MemShelf::new();
        shelf.register("/disks/mail", Arc::new(MemDisk::new(8)));
        let path = Path::new("/disks/mail");
        let first = shelf.adopt(path).unwrap();
        assert!(matches!(shelf.adopt(path), Err(DiskError::Busy(_))));
        drop(first);
        assert!(shelf.adopt(path).is_ok());
        assert!(matches!(shelf.adopt(Path::new("/none")), Err(DiskError::NotFound(_))));
    }

    #[test]
    fn names_are_taken_once_and_listed_in_order() {
        let shelf = MemShelf::new();
        shelf.create("b", 8, Usage::Log).unwrap();
        shelf.create("a", 8, Usage::Log).unwrap();
        assert!(matches!(shelf.create("a", 8, Usage::Log), Err(DiskError::Busy(_))));
        assert_eq!(shelf.list().unwrap(), ["a", "b"]);
        shelf.remove("a").unwrap();
        shelf.remove("a").unwrap();
        assert!(matches!(shelf.open("a", Usage::Log), Err(DiskError::NotFound(_))));
    }
}
