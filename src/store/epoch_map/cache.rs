//! Pages of sorted runs in memory, shared by all maps of a pool, the least recently used dropped first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::units::BLOCK_LEN;

use super::page::Page;

/// Bytes that a cached page takes, with what belongs to it.
const PAGE_COST: u64 = BLOCK_LEN as u64 + 200;
const NONE: usize = usize::MAX;

/// A bounded cache of pages.
pub(crate) struct PageCache {
    pages_max: usize,
    owners: AtomicU64,
    list: Mutex<List>,
}

/// Which page of which owner.
type PageKey = (u64, u32);

/// A doubly linked list through slots, most recently used first. The map is only looked up in, so its
/// order never matters.
struct List {
    slots: Vec<Slot>,
    found: HashMap<PageKey, usize>,
    first: usize,
    last: usize,
}

struct Slot {
    key: PageKey,
    page: Arc<Page>,
    before: usize,
    after: usize,
}

impl PageCache {
    /// A cache that takes about this many bytes at most, and at least one page.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let pages_max = usize::try_from(bytes_max / PAGE_COST).unwrap_or(usize::MAX).max(1);
        let list = List { slots: Vec::new(), found: HashMap::new(), first: NONE, last: NONE };
        Self { pages_max, owners: AtomicU64::new(0), list: Mutex::new(list) }
    }

    /// A name under which one run keeps its pages; never given twice.
    pub(super) fn owner(&self) -> u64 {
        self.owners.fetch_add(1, Ordering::Relaxed)
    }

    /// The page, where it is cached.
    pub(super) fn get(&self, key: PageKey) -> Option<Arc<Page>> {
        let mut list = self.lock();
        let slot = *list.found.get(&key)?;
        list.unlink(slot);
        list.link_first(slot);
        Some(Arc::clone(&list.slots[slot].page))
    }

    /// Keeps the page, dropping the one that was not used for longest where there is no room.
    pub(super) fn put(&self, key: PageKey, page: Arc<Page>) {
        let mut list = self.lock();
        if list.found.contains_key(&key) {
            return;
        }
        let slot = if list.slots.len() < self.pages_max {
            list.slots.push(Slot { key, page, before: NONE, after: NONE });
            list.slots.len() - 1
        } else {
            let slot = list.last;
            list.unlink(slot);
            let old = std::mem::replace(&mut list.slots[slot].key, key);
            list.found.remove(&old);
            list.slots[slot].page = page;
            slot
        };
        list.found.insert(key, slot);
        list.link_first(slot);
    }

    /// Bytes that it takes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.lock().slots.len() as u64 * PAGE_COST
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn unlink(&mut self, slot: usize) {
        let Slot { before, after, .. } = self.slots[slot];
        match self.slots.get_mut(before) {
            Some(neighbour) => neighbour.after = after,
            None => self.first = after,
        }
        match self.slots.get_mut(after) {
            Some(neighbour) => neighbour.before = before,
            None => self.last = before,
        }
    }

    fn link_first(&mut self, slot: usize) {
        let first = self.first;
        self.slots[slot].before = NONE;
        self.slots[slot].after = first;
        match self.slots.get_mut(first) {
            Some(neighbour) => neighbour.before = slot,
            None => self.last = slot,
        }
        self.first = slot;
    }
}
