//! Sparse content in memory: what a disk holds, block by block, with holes.
//!
//! Pages are shared between clones and copied when written, so that a clone costs its table and no
//! bytes. A block that was never written has no entry; one whose space is kept has one without a page.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::units::{BLOCK_LEN, Extent, Run, SECTOR_LEN, SECTORS_PER_BLOCK};

use crate::answer::{Answer, Done};
use crate::request::{Keep, MapExtent, MapKind, Op};

type Page = [u8; BLOCK_LEN];

#[derive(Clone, Debug)]
enum Slot {
    Zero,
    Data(Arc<Page>),
}

/// Content by block index. Knows no bounds: the disk around it checks them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sparse {
    slots: BTreeMap<u64, Slot>,
}

/// The piece of a block that an access touches: which block, and which of its bytes.
struct Piece {
    block: u64,
    from: usize,
    len: usize,
}

/// Cuts `sectors` sectors from `start` at block boundaries.
fn pieces(start: u64, sectors: u64) -> impl Iterator<Item = Piece> {
    let end = start.saturating_add(sectors);
    let mut at = start;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let block = at / SECTORS_PER_BLOCK;
        let first = at % SECTORS_PER_BLOCK;
        let count = (SECTORS_PER_BLOCK - first).min(end - at);
        at += count;
        Some(Piece { block, from: in_bytes(first), len: in_bytes(count) })
    })
}

/// The length in bytes of at most a block's worth of sectors.
fn in_bytes(sectors: u64) -> usize {
    usize::try_from(sectors).map_or(BLOCK_LEN, |sectors| sectors * SECTOR_LEN)
}

impl Sparse {
    /// Fills `bytes` from the sector `start` on.
    pub(crate) fn read(&self, start: u64, bytes: &mut [u8]) {
        let mut rest = bytes;
        for piece in pieces(start, (rest.len() / SECTOR_LEN) as u64) {
            let (now, later) = rest.split_at_mut(piece.len);
            match self.slots.get(&piece.block) {
                Some(Slot::Data(page)) => {
                    now.copy_from_slice(&page[piece.from..piece.from + piece.len]);
                }
                Some(Slot::Zero) | None => now.fill(0),
            }
            rest = later;
        }
    }

    /// Puts `bytes`, whole sectors, from the sector `start` on.
    pub(crate) fn write(&mut self, start: u64, bytes: &[u8]) {
        let mut rest = bytes;
        for piece in pieces(start, (bytes.len() / SECTOR_LEN) as u64) {
            let (now, later) = rest.split_at(piece.len);
            self.page_mut(piece.block)[piece.from..piece.from + piece.len].copy_from_slice(now);
            rest = later;
        }
    }

    /// Makes `extent` read as zeroes. Whole blocks lose their space unless it is kept.
    pub(crate) fn zero(&mut self, extent: Extent, keep: Keep) {
        let first_whole = extent.start.div_ceil(SECTORS_PER_BLOCK);
        let end_whole = extent.end() / SECTORS_PER_BLOCK;
        if first_whole < end_whole {
            match keep {
                Keep::Space => {
                    self.slots.extend((first_whole..end_whole).map(|block| (block, Slot::Zero)));
                }
                Keep::Nothing => self.forget(first_whole, end_whole),
            }
        }
        let head_end = (first_whole * SECTORS_PER_BLOCK).min(extent.end());
        let tail_start = (end_whole * SECTORS_PER_BLOCK).max(head_end);
        self.zero_partly(Extent::new(extent.start, head_end.saturating_sub(extent.start)), keep);
        self.zero_partly(Extent::new(tail_start, extent.end().saturating_sub(tail_start)), keep);
    }

    /// Takes space for every block that `extent` touches.
    pub(crate) fn reserve(&mut self, extent: Extent) {
        let run = cover(extent);
        for block in run.start..run.end() {
            self.slots.entry(block).or_insert(Slot::Zero);
        }
    }

    /// How many blocks take space.
    pub(crate) fn allocated(&self) -> u64 {
        self.slots.len() as u64
    }

    /// How many blocks that `extent` touches take no space yet.
    pub(crate) fn absent_in(&self, extent: Extent) -> u64 {
        let run = cover(extent);
        run.blocks - self.slots.range(run.start..run.end()).count() as u64
    }

    /// Makes every block that `extent` touches the same as in `other`, sharing its pages.
    pub(crate) fn share(&mut self, other: &Self, extent: Extent) {
        let run = cover(extent);
        if run.blocks > 1 {
            self.forget(run.start, run.end());
            let theirs = other.slots.range(run.start..run.end());
            self.slots.extend(theirs.map(|(&block, slot)| (block, slot.clone())));
        } else if run.blocks == 1 {
            match other.slots.get(&run.start) {
                Some(slot) => self.slots.insert(run.start, slot.clone()),
                None => self.slots.remove(&run.start),
            };
        }
    }

    /// What `extent` holds, merged, from its first sector to its last.
    pub(crate) fn map(&self, extent: Extent) -> Vec<MapExtent> {
        let run = cover(extent);
        let mut map: Vec<MapExtent> = Vec::new();
        let mut next = run.start;
        let mut push = |run: Run, kind: MapKind| {
            let part = run.extent().intersect(extent);
            match map.last_mut() {
                _ if part.is_empty() => {}
                Some(last) if last.kind == kind => last.extent.sectors += part.sectors,
                _ => map.push(MapExtent { extent: part, kind }),
            }
        };
        for (&block, slot) in self.slots.range(run.start..run.end()) {
            push(Run::new(next, block - next), MapKind::Absent);
            let kind = match slot {
                Slot::Zero => MapKind::Zero,
                Slot::Data(_) => MapKind::Data,
            };
            push(Run::new(block, 1), kind);
            next = block + 1;
        }
        push(Run::new(next, run.end() - next), MapKind::Absent);
        map
    }

    /// Carries an operation out whose bounds were checked. A flush has nothing to do.
    pub(crate) fn carry_out(&mut self, op: Op) -> Answer {
        Ok(match op {
            Op::Read { start, mut buffer } => {
                self.read(start, &mut buffer);
                Done::Read(buffer)
            }
            Op::Write { mut start, data, .. } => {
                for payload in data {
                    self.write(start, &payload);
                    start += payload.sectors();
                }
                Done::Written
            }
            Op::Discard { extent, .. } => {
                self.zero(extent, Keep::Nothing);
                Done::Discarded
            }
            Op::WriteZeroes { extent, keep, .. } => {
                self.zero(extent, keep);
                Done::Zeroed
            }
            Op::Flush => Done::Flushed,
            Op::Map { extent } => Done::Mapped(self.map(extent)),
        })
    }

    fn page_mut(&mut self, block: u64) -> &mut Page {
        let slot = self.slots.entry(block).or_insert(Slot::Zero);
        if let Slot::Zero = slot {
            *slot = Slot::Data(Arc::new([0; BLOCK_LEN]));
        }
        match slot {
            Slot::Data(page) => Arc::make_mut(page),
            Slot::Zero => unreachable!("a zero slot was given a page above"),
        }
    }

    /// Zeroes an extent that lies in one block and does not fill it.
    fn zero_partly(&mut self, extent: Extent, keep: Keep) {
        for piece in pieces(extent.start, extent.sectors) {
            match self.slots.get(&piece.block) {
                Some(Slot::Data(_)) => {
                    self.page_mut(piece.block)[piece.from..piece.from + piece.len].fill(0);
                }
                Some(Slot::Zero) => {}
                None if keep == Keep::Space => {
                    self.slots.insert(piece.block, Slot::Zero);
                }
                None => {}
            }
        }
    }

    /// Drops the entries of the blocks from `first` to before `end`.
    fn forget(&mut self, first: u64, end: u64) {
        let gone: Vec<u64> = self.slots.range(first..end).map(|(&block, _)| block).collect();
        for block in gone {
            self.slots.remove(&block);
        }
    }
}

/// The blocks an extent touches; none where it is empty.
fn cover(extent: Extent) -> Run {
    if extent.is_empty() {
        return Run::new(extent.start / SECTORS_PER_BLOCK, 0);
    }
    extent.cover()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(fill: u8) -> [u8; SECTOR_LEN] {
        [fill; SECTOR_LEN]
    }

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut one = Sparse::default();
        one.write(3, &sector(7));
        let two = one.clone();
        one.write(3, &sector(9));
        let mut bytes = sector(0);
        two.read(3, &mut bytes);
        assert_eq!(bytes, sector(7));
        one.read(3, &mut bytes);
        assert_eq!(bytes, sector(9));
    }

    #[test]
    fn zeroing_is_exact_and_frees_whole_blocks_only() {
        let mut sparse = Sparse::default();
        sparse.write(0, &[1; 4 * BLOCK_LEN]);
        sparse.zero(Extent::new(7, 10), Keep::Nothing);
        assert_eq!(sparse.allocated(), 3);
        let mut bytes = [9; 4 * BLOCK_LEN];
        sparse.read(0, &mut bytes);
        for (index, sector) in bytes.chunks(SECTOR_LEN).enumerate() {
            let wanted = u8::from(!(7..17).contains(&index));
            assert!(sector.iter().all(|byte| *byte == wanted), "sector {index}");
        }
    }

    #[test]
    fn sharing_makes_the_touched_blocks_the_same_and_no_other() {
        let (mut one, mut two) = (Sparse::default(), Sparse::default());
        one.write(0, &[1; 4 * BLOCK_LEN]);
        two.write(16, &[2; BLOCK_LEN]);
        one.share(&two, Extent::new(8, 9));
        let mut bytes = [9; 4 * BLOCK_LEN];
        one.read(0, &mut bytes);
        let firsts: Vec<u8> = bytes.chunks(BLOCK_LEN).map(|block| block[0]).collect();
        assert_eq!((firsts, one.allocated()), (vec![1, 0, 2, 1], 3));
        one.share(&two, Extent::new(0, 1));
        assert_eq!(one.allocated(), 2);
        one.share(&two, Extent::new(24, 0));
        assert_eq!(one.allocated(), 2);
    }

    #[test]
    fn zeroing_inside_one_block_leaves_its_ends() {
        let mut sparse = Sparse::default();
        sparse.write(8, &[1; BLOCK_LEN]);
        sparse.zero(Extent::new(10, 3), Keep::Nothing);
        let mut bytes = [9; BLOCK_LEN];
        sparse.read(8, &mut bytes);
        for (index, sector) in bytes.chunks(SECTOR_LEN).enumerate() {
            assert_eq!(sector[0], u8::from(!(2..5).contains(&index)), "sector {index}");
        }
    }

    #[test]
    fn the_map_names_data_zero_and_absent_without_gaps() {
        let mut sparse = Sparse::default();
        sparse.write(8, &sector(1));
        sparse.zero(Extent::new(16, 8), Keep::Space);
        let map = sparse.map(Extent::new(4, 30));
        let wanted = [
            (4, 4, MapKind::Absent),
            (8, 8, MapKind::Data),
            (16, 8, MapKind::Zero),
            (24, 10, MapKind::Absent),
        ];
        let wanted = wanted
            .map(|(start, sectors, kind)| MapExtent { extent: Extent::new(start, sectors), kind });
        assert_eq!(map, wanted);
        assert!(sparse.map(Extent::new(9, 0)).is_empty());
    }

    #[test]
    fn reserved_space_counts_once_and_reads_as_zeroes() {
        let mut sparse = Sparse::default();
        sparse.write(0, &sector(1));
        assert_eq!(sparse.absent_in(Extent::new(7, 2)), 1);
        sparse.reserve(Extent::new(7, 2));
        assert_eq!((sparse.allocated(), sparse.absent_in(Extent::new(7, 2))), (2, 0));
        let mut bytes = sector(9);
        sparse.read(8, &mut bytes);
        assert_eq!(bytes, sector(0));
    }
}
