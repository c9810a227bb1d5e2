//! The arithmetic of the ring: where the next frame goes, and how much room is left.
//!
//! Positions count blocks since the journal began and never wrap; a block lies at its position modulo the
//! length of the ring.

use base::units::SECTORS_PER_BLOCK;

use crate::journal::frame::{HEAD_BLOCKS_MAX, PAYLOAD_BLOCKS_MAX};

/// Where a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// A padding frame that must be written first: its position and its blocks, the head included.
    pub padding: Option<(u64, u64)>,
    /// The position of the frame.
    pub position: u64,
}

/// The ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ring {
    /// How many blocks it has.
    pub blocks: u64,
    /// The position of the next frame.
    pub head: u64,
    /// The position of the first frame that is still needed.
    pub tail: u64,
}

impl Ring {
    /// Where a frame of `blocks` blocks goes, leaving `reserve` blocks free after it; `None` where there is
    /// no room. Moves the head.
    pub fn place(&mut self, blocks: u64, reserve: u64) -> Option<Placement> {
        let to_end = self.blocks - self.head % self.blocks;
        let skipped = if blocks > to_end { to_end } else { 0 };
        if skipped + blocks + reserve > self.free() {
            return None;
        }
        let padding = (skipped > 0).then_some((self.head, skipped));
        let position = self.head + skipped;
        self.head = position + blocks;
        Some(Placement { padding, position })
    }

    /// Blocks that are free.
    pub fn free(&self) -> u64 {
        self.blocks - self.used()
    }

    /// Blocks that are in use.
    pub fn used(&self) -> u64 {
        self.head - self.tail
    }

    /// The sector at which a position lies.
    pub fn sector(&self, position: u64) -> u64 {
        position % self.blocks * SECTORS_PER_BLOCK
    }

    /// Blocks of payload that one frame may carry here: a small ring takes small frames, so that several
    /// always fit.
    pub fn payload_blocks_max(&self) -> u64 {
        u64::from(PAYLOAD_BLOCKS_MAX).min(self.blocks / 4)
    }

    /// Blocks kept free of data, so that marks and deletions always find room.
    pub fn event_reserve(&self) -> u64 {
        (self.blocks / 16).min(4 * u64::from(HEAD_BLOCKS_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_never_crosses_the_end() {
        let mut ring = Ring { blocks: 10, head: 8, tail: 5 };
        let placed = ring.place(3, 0).unwrap();
        assert_eq!(placed, Placement { padding: Some((8, 2)), position: 10 });
        assert_eq!(ring.head, 13);
        assert_eq!(ring.place(3, 0), None, "only two blocks are free");
        assert_eq!(ring.place(2, 1), None, "one must stay free");
        assert!(ring.place(2, 0).is_some());
    }
}
