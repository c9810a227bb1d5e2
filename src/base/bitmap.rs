//! A bitmap over block indices that costs memory only where bits are set.
//!
//! Bits lie in pages of 32,768 (4 KiB each), kept in an ordered map; a page that becomes empty stays
//! until `clear`. Invariant: `count` is the number of set bits.

use std::collections::BTreeMap;

use bitvec::prelude::*;

const PAGE_BITS: u64 = 32_768;

/// A set of block indices.
#[derive(Clone, Debug, Default)]
pub struct Bitmap {
    pages: BTreeMap<u64, BitBox<u64, Lsb0>>,
    count: u64,
}

impl Bitmap {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `index` is in the set.
    pub fn contains(&self, index: u64) -> bool {
        self.pages.get(&(index / PAGE_BITS)).is_some_and(|page| page[offset(index)])
    }

    /// Puts `index` into the set; true where it was not there.
    pub fn insert(&mut self, index: u64) -> bool {
        let page = self.pages.entry(index / PAGE_BITS).or_insert_with(empty_page);
        let is_new = !page.replace(offset(index), true);
        self.count += u64::from(is_new);
        is_new
    }

    /// Takes `index` out of the set; true where it was there.
    pub fn remove(&mut self, index: u64) -> bool {
        let Some(page) = self.pages.get_mut(&(index / PAGE_BITS)) else {
            return false;
        };
        let was_there = page.replace(offset(index), false);
        self.count -= u64::from(was_there);
        was_there
    }

    /// Empties the set and gives its memory back.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.count = 0;
    }

    /// How many indices are in the set.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The indices in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.pages
            .iter()
            .flat_map(|(page, bits)| bits.iter_ones().map(move |bit| page * PAGE_BITS + bit as u64))
    }

    /// Bytes of memory that the bits take.
    pub fn memory_bytes(&self) -> u64 {
        self.pages.len() as u64 * PAGE_BITS / 8
    }
}

fn empty_page() -> BitBox<u64, Lsb0> {
    bitbox![u64, Lsb0; 0; 32_768]
}

fn offset(index: u64) -> usize {
    (index % PAGE_BITS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_bit_costs_one_page() {
        let mut bitmap = Bitmap::new();
        assert!(bitmap.insert(1 << 40));
        assert!(!bitmap.insert(1 << 40));
        assert!(bitmap.contains(1 << 40));
        assert_eq!(bitmap.memory_bytes(), 4096);
        assert!(bitmap.remove(1 << 40));
        assert_eq!(bitmap.count(), 0);
    }
}
