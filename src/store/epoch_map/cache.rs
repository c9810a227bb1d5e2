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
    #[cfg_attr(not(test), expect(dead_code, reason = "for the status of the pool"))]
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

#[cfg(test)]
mod tests {
    use base::id::Id;

    use super::super::page::{PageBuilder, PageName};
    use super::*;
    use crate::preserved::{Form, Key, Place};

    #[test]
    fn the_cache_drops_what_was_not_used_for_longest_and_stays_within_its_bound() {
        let name = PageName { volume: Id(1), run: 0, index: 0 };
        let mut builder = PageBuilder::default();
        let place = Place { segment: 0, sector: 0, checksum: 0, sectors: 0, form: Form::Zero };
        assert!(builder.push(Key::new(1, 1), place));
        let page = Arc::new(Page::decode(&builder.take(name).unwrap(), name).unwrap());
        let cache = PageCache::new(3 * PAGE_COST);
        let owners = [cache.owner(), cache.owner()];
        assert_ne!(owners[0], owners[1]);
        for index in 0..3 {
            cache.put((owners[0], index), Arc::clone(&page));
        }
        assert!(cache.get((owners[0], 0)).is_some());
        cache.put((owners[1], 0), Arc::clone(&page));
        cache.put((owners[1], 0), Arc::clone(&page));
        let held = |owner, index| cache.get((owner, index)).is_some();
        assert!(held(owners[0], 0) && held(owners[0], 2) && held(owners[1], 0));
        assert!(!held(owners[0], 1));
        assert_eq!(cache.memory_bytes(), 3 * PAGE_COST);
        for index in 0..1000 {
            cache.put((owners[1], index), Arc::clone(&page));
            assert!(held(owners[1], index));
        }
        assert_eq!(cache.memory_bytes(), 3 * PAGE_COST);
    }
}
