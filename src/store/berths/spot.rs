//! Names of places: berths, and blocks in them.

use base::units::SECTORS_PER_BLOCK;

/// A berth of the spare disk has this bit.
const SPARE: u32 = 1 << 31;
/// Cells that a volume may have where they are to have berths.
pub const CELLS_MAX: u64 = 1 << 30;

/// A place for one cell: the home of some cell in the base, or one on the spare disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Berth(u32);

impl Berth {
    /// The home of a cell, of which there are fewer than [`CELLS_MAX`].
    pub fn home(cell: u64) -> Self {
        Self(u32::try_from(cell.min(CELLS_MAX)).unwrap_or(0))
    }

    /// A berth of the spare disk.
    pub fn spare(index: u64) -> Self {
        Self(Self::home(index).0 | SPARE)
    }

    /// As [`Berth::raw`] gives it.
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// As it stands on disks.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Its first block, where a berth has so many blocks.
    pub fn spot(self, cell_blocks: u64) -> Spot {
        Spot { is_spare: self.0 & SPARE != 0, block: u64::from(self.0 & !SPARE) * cell_blocks }
    }
}

/// A block of a berth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spot {
    /// Whether it lies on the spare disk.
    pub is_spare: bool,
    /// The block on its disk.
    pub block: u64,
}

impl Spot {
    /// The berth that it lies in, where a berth has so many blocks.
    pub fn berth(self, cell_blocks: u64) -> Berth {
        let index = self.block / cell_blocks;
        if self.is_spare { Berth::spare(index) } else { Berth::home(index) }
    }

    /// Its first sector on its disk.
    pub const fn sector(self) -> u64 {
        self.block * SECTORS_PER_BLOCK
    }

    /// The spot of what was written at `to` where this is the spot of what was written at `from`, by the
    /// same write.
    pub const fn moved(self, from: u64, to: u64) -> Self {
        let block = self.block.wrapping_add(to).wrapping_sub(from);
        Self { is_spare: self.is_spare, block }
    }
}
