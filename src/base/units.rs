//! Sectors and blocks: the two grids on which everything lies.
//!
//! A *sector* is 512 bytes and is what a front door addresses; a *block* is 4 KiB and is the unit of
//! preserving and of checksums. An *extent* is contiguous sectors, a *run* contiguous blocks. Both
//! grids start at zero, so a block is always eight whole sectors.

use serde::{Deserialize, Serialize};

/// Bytes in a sector.
pub const SECTOR_LEN: usize = 512;
/// Bytes in a block.
pub const BLOCK_LEN: usize = 4096;
/// Sectors in a block.
pub const SECTORS_PER_BLOCK: u64 = 8;

/// Contiguous sectors: the address of the first one and how many. May be empty.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Debug,
    Serialize,
    Deserialize,
    PartialOrd,
    Ord,
    schemars::JsonSchema,
)]
pub struct Extent {
    /// Address of the first sector (LBA).
    pub start: u64,
    /// How many sectors.
    pub sectors: u64,
}

impl Extent {
    /// The extent of `sectors` sectors from `start`.
    pub const fn new(start: u64, sectors: u64) -> Self {
        Self { start, sectors }
    }

    /// The address after the last sector, or `None` where it does not fit in 64 bits.
    pub const fn end_checked(self) -> Option<u64> {
        self.start.checked_add(self.sectors)
    }

    /// The address after the last sector, saturating at the end of the address space.
    pub const fn end(self) -> u64 {
        self.start.saturating_add(self.sectors)
    }

    /// Whether it holds no sector.
    pub const fn is_empty(self) -> bool {
        self.sectors == 0
    }

    /// Length in bytes, saturating.
    pub const fn bytes(self) -> u64 {
        self.sectors.saturating_mul(SECTOR_LEN as u64)
    }

    /// Whether all of it lies below `capacity` sectors.
    pub const fn fits(self, capacity: u64) -> bool {
        match self.end_checked() {
            Some(end) => end <= capacity,
            None => false,
        }
    }

    /// Whether it starts and ends on block boundaries.
    pub const fn is_block_aligned(self) -> bool {
        self.start.is_multiple_of(SECTORS_PER_BLOCK)
            && self.sectors.is_multiple_of(SECTORS_PER_BLOCK)
    }

    /// The smallest run of blocks that holds it; an empty one holds nothing, wherever it starts.
    pub const fn cover(self) -> Run {
        let first = self.start / SECTORS_PER_BLOCK;
        if self.sectors == 0 {
            return Run { start: first, blocks: 0 };
        }
        let last = self.end().div_ceil(SECTORS_PER_BLOCK);
        Run { start: first, blocks: last - first }
    }

    /// The part that lies in `other` too, possibly empty.
    pub fn intersect(self, other: Self) -> Self {
        let start = self.start.max(other.start);
        let end = self.end().min(other.end());
        Self { start, sectors: end.saturating_sub(start) }
    }
}

/// Contiguous blocks: the index of the first one and how many. May be empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, PartialOrd, Ord)]
pub struct Run {
    /// Index of the first block.
    pub start: u64,
    /// How many blocks.
    pub blocks: u64,
}

impl Run {
    /// The run of `blocks` blocks from `start`.
    pub const fn new(start: u64, blocks: u64) -> Self {
        Self { start, blocks }
    }

    /// The index after the last block, saturating.
    pub const fn end(self) -> u64 {
        self.start.saturating_add(self.blocks)
    }

    /// Whether it holds no block.
    pub const fn is_empty(self) -> bool {
        self.blocks == 0
    }

    /// Length in bytes, saturating.
    pub const fn bytes(self) -> u64 {
        self.blocks.saturating_mul(BLOCK_LEN as u64)
    }

    /// The sectors of these blocks.
    pub const fn extent(self) -> Extent {
        Extent {
            start: self.start.saturating_mul(SECTORS_PER_BLOCK),
            sectors: self.blocks.saturating_mul(SECTORS_PER_BLOCK),
        }
    }

    /// The part that lies in `other` too, possibly empty.
    pub fn intersect(self, other: Self) -> Self {
        let start = self.start.max(other.start);
        let end = self.end().min(other.end());
        Self { start, blocks: end.saturating_sub(start) }
    }

    /// It as successive runs of at most `blocks` blocks, which is not 0.
    pub fn parts(self, blocks: u64) -> impl Iterator<Item = Self> {
        let blocks = blocks.max(1);
        (0..self.blocks.div_ceil(blocks)).map(move |index| {
            let skipped = index * blocks;
            Self { start: self.start + skipped, blocks: blocks.min(self.blocks - skipped) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_falls_into_parts() {
        let parts: Vec<Run> = Run::new(5, 7).parts(3).collect();
        assert_eq!(parts, [Run::new(5, 3), Run::new(8, 3), Run::new(11, 1)]);
        assert_eq!(Run::new(5, 0).parts(3).count(), 0);
    }

    #[test]
    fn a_cover_holds_every_sector_and_no_block_more() {
        assert_eq!(Extent::new(7, 2).cover(), Run::new(0, 2));
        assert_eq!(Extent::new(8, 8).cover(), Run::new(1, 1));
        assert_eq!(Extent::new(9, 1).cover(), Run::new(1, 1));
    }

    #[test]
    fn the_cover_of_nothing_is_empty_inside_a_block_too() {
        assert!(Extent::new(8, 0).cover().is_empty());
        assert!(Extent::new(2, 0).cover().is_empty());
    }

    #[test]
    fn an_extent_past_the_address_space_does_not_fit() {
        assert!(!Extent::new(u64::MAX, 2).fits(u64::MAX));
        assert!(Extent::new(0, 0).fits(0));
    }
}
