//! The dirty index: which blocks of one volume sit in the journal and not yet in the base.
//!
//! Kept in layers, one per epoch, because a mark must still be readable whose writes are not applied yet:
//! the layers below a mark belong to it. Apply empties the oldest layer first, so that the base is always
//! the volume at the end of some epoch plus a part of the next. Within a layer pieces never overlap; a
//! later write takes the place of an earlier one. It holds no payloads, only where they lie in the journal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use base::checksum::{self, Kind as Sum};
use base::units::{BLOCK_LEN, Run};
use disk::Keep;

use crate::berths::Spot;

/// What a piece's blocks are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// Data in the journal.
    Data {
        /// Position in the journal of the first block's payload.
        position: u64,
        /// The checksums of the record that wrote them.
        sums: Arc<[u32]>,
        /// Where in `sums` the first block's stands.
        first: usize,
    },
    /// Data in berths that lie next to each other.
    Berthed {
        /// Where the first block lies.
        at: Spot,
        /// The checksums of the record that tells of them.
        sums: Arc<[u32]>,
        /// Where in `sums` the first block's stands.
        first: usize,
    },
    /// Zeroes.
    Zero(Keep),
}

impl Source {
    /// The checksum of the block `index` blocks after the first, where it is data.
    pub fn sum(&self, index: u64) -> Option<u32> {
        match self {
            Self::Data { sums, first, .. } | Self::Berthed { sums, first, .. } => {
                usize::try_from(index).ok().and_then(|index| sums.get(first + index)).copied()
            }
            Self::Zero(_) => None,
        }
    }

    /// The source of what starts `blocks` blocks later.
    fn skip(&self, blocks: u64) -> Self {
        match self {
            Self::Data { position, sums, first } => Self::Data {
                position: position + blocks,
                sums: Arc::clone(sums),
                first: first + usize::try_from(blocks).unwrap_or(usize::MAX),
            },
            Self::Berthed { at, sums, first } => Self::Berthed {
                at: at.moved(0, blocks),
                sums: Arc::clone(sums),
                first: first + usize::try_from(blocks).unwrap_or(usize::MAX),
            },
            Self::Zero(keep) => Self::Zero(*keep),
        }
    }
}

/// Contiguous blocks that one record wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Which blocks.
    pub run: Run,
    /// What they are.
    pub source: Source,
    /// The journal frame that holds the record.
    pub frame: u64,
}

impl Piece {
    /// The part of it that lies in `run`, where there is one.
    pub fn clip(&self, run: Run) -> Option<Self> {
        let part = self.run.intersect(run);
        (!part.is_empty()).then(|| Self {
            run: part,
            source: self.source.skip(part.start - self.run.start),
            frame: self.frame,
        })
    }

    /// Whether these blocks are what it must hold.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        bytes.chunks(BLOCK_LEN).enumerate().all(|(index, block)| {
            self.source.sum(index as u64) == Some(checksum::of(Sum::Block, block))
        })
    }
}

/// A cell that a record berthed, and what its berth holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mooring {
    /// Which cell.
    pub cell: u64,
    /// Its blocks.
    pub run: Run,
    /// Where.
    pub at: Spot,
    /// The frame of the record.
    pub frame: u64,
    sums: Arc<[u32]>,
    first: usize,
}

impl Mooring {
    /// The mooring of the cell `run`, all of which the record of `piece` berthed.
    fn of(piece: &Piece, cell: u64, run: Run) -> Option<Self> {
        let Source::Berthed { at, sums, first } = &piece.source else { return None };
        let first = (*first as u64 + run.start).checked_sub(piece.run.start)?;
        let at = at.moved(piece.run.start, run.start);
        let (frame, sums) = (piece.frame, Arc::clone(sums));
        Some(Self { cell, run, at, frame, sums, first: usize::try_from(first).ok()? })
    }

    /// The checksum of each block.
    pub fn sums(&self) -> &[u32] {
        let count = usize::try_from(self.run.blocks).unwrap_or(usize::MAX);
        self.sums.get(self.first..self.first.saturating_add(count)).unwrap_or(&[])
    }
}

#[derive(Clone, Debug)]
struct Layer {
    epoch: u64,
    pieces: BTreeMap<u64, Piece>,
}

impl Layer {
    /// Cuts `run` out of the layer.
    fn cut(&mut self, run: Run) {
        for piece in self.overlapping(run) {
            self.pieces.remove(&piece.run.start);
            let before = Run::new(piece.run.start, run.start.saturating_sub(piece.run.start));
            let after = Run::new(run.end(), piece.run.end().saturating_sub(run.end()));
            for rest in [before, after] {
                if let Some(kept) = piece.clip(rest) {
                    self.pieces.insert(kept.run.start, kept);
                }
            }
        }
    }

    fn overlapping(&self, run: Run) -> Vec<Piece> {
        let before = self.pieces.range(..run.start).next_back().map(|(_, piece)| piece);
        let from = self.pieces.range(run.start..run.end()).map(|(_, piece)| piece);
        before
            .filter(|piece| piece.run.end() > run.start)
            .into_iter()
            .chain(from)
            .cloned()
            .collect()
    }
}

/// Which layers count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Epochs {
    /// The lowest epoch that counts.
    pub from: u64,
    /// The first epoch that no longer counts.
    pub below: u64,
}

impl Epochs {
    /// All of them: the live volume.
    pub const ALL: Self = Self { from: 0, below: u64::MAX };

    /// Those that belong to the mark with this sequence.
    pub fn of_mark(sequence: u64) -> Self {
        Self { from: 0, below: sequence }
    }

    fn contains(self, epoch: u64) -> bool {
        (self.from..self.below).contains(&epoch)
    }
}

/// The dirty index of one volume.
#[derive(Clone, Debug, Default)]
pub struct Dirty {
    /// Oldest first, none empty.
    layers: VecDeque<Layer>,
}

impl Dirty {
    /// Notes that `piece` was written in `epoch`, which must not be lower than any before.
    pub fn insert(&mut self, epoch: u64, piece: Piece) {
        let is_new = self.layers.back().is_none_or(|layer| layer.epoch != epoch);
        if is_new {
            self.layers.push_back(Layer { epoch, pieces: BTreeMap::new() });
        }
        if let Some(layer) = self.layers.back_mut() {
            layer.cut(piece.run);
            layer.pieces.insert(piece.run.start, piece);
        }
    }

    /// The newest pieces within `run` among the layers of `epochs`, in order of address, clipped to it; and
    /// what none of them covers.
    pub fn lookup(&self, run: Run, epochs: Epochs) -> (Vec<Piece>, Vec<Run>) {
        let mut found = Vec::new();
        let mut gaps = vec![run];
        for layer in self.layers.iter().rev().filter(|layer| epochs.contains(layer.epoch)) {
            let mut rest = Vec::new();
            for gap in gaps {
                let mut at = gap.start;
                for piece in layer.overlapping(gap) {
                    let Some(piece) = piece.clip(gap) else { continue };
                    if piece.run.start > at {
                        rest.push(Run::new(at, piece.run.start - at));
                    }
                    at = piece.run.end();
                    found.push(piece);
                }
                if at < gap.end() {
                    rest.push(Run::new(at, gap.end() - at));
                }
            }
            gaps = rest;
            if gaps.is_empty() {
                break;
            }
        }
        found.sort_by_key(|piece| piece.run.start);
        (found, gaps)
    }

    /// Whether any block of `run` is in a layer of `epochs`.
    pub fn touches(&self, run: Run, epochs: Epochs) -> bool {
        self.layers
            .iter()
            .filter(|layer| epochs.contains(layer.epoch))
            .any(|layer| !layer.overlapping(run).is_empty())
    }

    /// The oldest layer's epoch and its pieces of at most `blocks_max` blocks in all, lowest address from
    /// `from` on first, none from a frame above `frame_max`. Zero pieces are cut to fit.
    pub fn oldest(&self, from: u64, blocks_max: u64, frame_max: u64) -> Option<(u64, Vec<Piece>)> {
        let layer = self.layers.front()?;
        let mut left = blocks_max;
        let mut picked = Vec::new();
        let before = layer.pieces.range(..from).next_back();
        let start = before.filter(|(_, piece)| piece.run.end() > from).map_or(from, |(at, _)| *at);
        for piece in layer.pieces.range(start..).map(|(_, piece)| piece) {
            if left == 0 {
                break;
            }
            if piece.frame > frame_max {
                continue;
            }
            if let Some(part) = piece.clip(Run::new(piece.run.start, left)) {
                left -= part.run.blocks;
                picked.push(part);
            }
        }
        Some((layer.epoch, picked))
    }

    /// Takes `piece` out of the layer of `epoch`, as far as it was not overwritten since.
    pub fn remove(&mut self, epoch: u64, piece: &Piece) {
        let Some(layer) = self.layers.iter_mut().find(|layer| layer.epoch == epoch) else {
            return;
        };
        for there in layer.overlapping(piece.run) {
            let clipped = there.clip(piece.run);
            let is_same = clipped.as_ref().is_some_and(|clipped| {
                piece.clip(clipped.run).is_some_and(|part| part == *clipped)
            });
            if let (true, Some(clipped)) = (is_same, clipped) {
                layer.cut(clipped.run);
            }
        }
        self.layers.retain(|layer| !layer.pieces.is_empty());
    }

    /// The cells that must be moored before these pieces of the oldest layer are applied: those that a
    /// record of this layer berthed, and of which a piece holds a block. Moored later, the berth would
    /// hide what was written meanwhile to the place that the cell had before.
    pub fn moorings(&self, pieces: &[Piece], cell_blocks: u64) -> Vec<Mooring> {
        let Some(layer) = self.layers.front() else { return Vec::new() };
        let mut cells = BTreeSet::new();
        for piece in pieces {
            let (first, last) =
                (piece.run.start / cell_blocks, (piece.run.end() - 1) / cell_blocks);
            match piece.source {
                Source::Berthed { .. } => cells.extend(first..=last),
                // No other piece of the layer lies in a cell that this one covers.
                Source::Data { .. } | Source::Zero(_) => cells.extend([first, last]),
            }
        }
        let mooring = |cell| {
            let run = Run::new(cell * cell_blocks, cell_blocks);
            let piece = layer
                .overlapping(run)
                .into_iter()
                .find(|piece| matches!(piece.source, Source::Berthed { .. }))?;
            Mooring::of(&piece, cell, run)
        };
        cells.into_iter().filter_map(mooring).collect()
    }

    /// The lowest frame that still holds a piece.
    pub fn oldest_frame(&self) -> Option<u64> {
        self.layers.iter().flat_map(|layer| layer.pieces.values()).map(|piece| piece.frame).min()
    }

    /// The lowest epoch with a piece.
    pub fn oldest_epoch(&self) -> Option<u64> {
        self.layers.front().map(|layer| layer.epoch)
    }

    /// Whether nothing is dirty.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// How many blocks of data are dirty, layers added up.
    pub fn data_blocks(&self) -> u64 {
        let pieces = self.layers.iter().flat_map(|layer| layer.pieces.values());
        pieces
            .filter(|piece| matches!(piece.source, Source::Data { .. }))
            .map(|piece| piece.run.blocks)
            .sum()
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> usize {
        self.layers.iter().map(|layer| layer.pieces.len()).sum()
    }

    /// All pieces of the layers of `epochs`, oldest layer first.
    pub fn all(&self, epochs: Epochs) -> impl Iterator<Item = &Piece> {
        self.layers
            .iter()
            .filter(move |layer| epochs.contains(layer.epoch))
            .flat_map(|layer| layer.pieces.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::berths::Berth;
    use proptest::prelude::*;

    fn data(start: u64, blocks: u64, position: u64) -> Piece {
        let sums = (0..blocks).map(|i| u32::try_from(position + i).unwrap()).collect();
        let source = Source::Data { position, sums, first: 0 };
        Piece { run: Run::new(start, blocks), source, frame: position }
    }

    #[test]
    fn a_mark_sees_the_layers_below_it() {
        let mut dirty = Dirty::default();
        dirty.insert(0, data(0, 4, 100));
        dirty.insert(1, data(1, 1, 200));
        let (live, gaps) = dirty.lookup(Run::new(0, 5), Epochs::ALL);
        assert_eq!(live.iter().map(|piece| piece.frame).collect::<Vec<_>>(), [100, 200, 100]);
        assert_eq!(gaps, [Run::new(4, 1)]);
        let (mark, _) = dirty.lookup(Run::new(1, 1), Epochs::of_mark(1));
        assert_eq!(mark[0].source.sum(0), Some(101));
    }

    #[test]
    fn what_was_overwritten_meanwhile_stays() {
        let mut dirty = Dirty::default();
        dirty.insert(0, data(0, 4, 100));
        let (_, taken) = dirty.oldest(0, 100, u64::MAX).unwrap();
        dirty.insert(0, data(2, 1, 200));
        dirty.remove(0, &taken[0]);
        let (left, _) = dirty.lookup(Run::new(0, 4), Epochs::ALL);
        assert_eq!(left, [data(2, 1, 200)]);
    }

    #[test]
    fn a_cell_is_moored_with_the_first_of_its_blocks_that_is_applied() {
        let berthed = |start: u64, blocks: u64| {
            let sums = (0..blocks).map(|i| u32::try_from(start + i).unwrap()).collect();
            let source = Source::Berthed { at: Berth::spare(1).spot(4), sums, first: 0 };
            Piece { run: Run::new(start, blocks), source, frame: 1 }
        };
        let mut dirty = Dirty::default();
        dirty.insert(0, berthed(8, 8));
        dirty.insert(0, data(9, 1, 200));
        let (_, picked) = dirty.oldest(9, 1, u64::MAX).unwrap();
        assert_eq!(picked, [data(9, 1, 200)]);
        let moorings = dirty.moorings(&picked, 4);
        assert_eq!(moorings.len(), 1);
        assert_eq!((moorings[0].cell, moorings[0].at), (2, Berth::spare(1).spot(4)));
        assert_eq!(moorings[0].sums(), [8, 9, 10, 11]);
        let (_, picked) = dirty.oldest(10, 6, u64::MAX).unwrap();
        let moorings = dirty.moorings(&picked, 4);
        assert_eq!(moorings.iter().map(|cell| cell.cell).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(moorings[1].at.berth(4), Berth::spare(2));
    }

    proptest! {
        #[test]
        fn lookups_agree_with_a_plain_model(
            writes in prop::collection::vec((0u64..3, 0u64..60, 1u64..20), 1..60),
        ) {
            let mut dirty = Dirty::default();
            let mut model: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
            let mut epoch = 0;
            for (number, (step, start, blocks)) in writes.into_iter().enumerate() {
                epoch += step / 2;
                let position = number as u64 * 100;
                dirty.insert(epoch, data(start, blocks, position));
                for index in 0..blocks {
                    model.entry(epoch).or_default().insert(start + index, position + index);
                }
            }
            for below in 0..=epoch + 1 {
                let (found, gaps) = dirty.lookup(Run::new(0, 80), Epochs::of_mark(below));
                let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
                for piece in found {
                    for index in 0..piece.run.blocks {
                        let sum = piece.source.sum(index).unwrap();
                        prop_assert_eq!(seen.insert(piece.run.start + index, sum.into()), None);
                    }
                }
                let mut wanted: BTreeMap<u64, u64> = BTreeMap::new();
                for (_, layer) in model.range(..below) {
                    wanted.extend(layer);
                }
                prop_assert_eq!(&seen, &wanted);
                let uncovered: u64 = gaps.iter().map(|gap| gap.blocks).sum();
                prop_assert_eq!(uncovered, 80 - wanted.len() as u64);
            }
        }
    }
}
