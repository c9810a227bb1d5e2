//! What a record of the journal means for the dirty index: the same when it is written and when it is read
//! back.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::units::Run;

use crate::berths::Berth;
use crate::dirty::{Dirty, Piece, Source};
use crate::journal::frame::Record;
use crate::pool::Core;

impl Core {
    /// Notes a record that goes into this frame, its payload to this position.
    pub(crate) fn note(&mut self, record: &Record, frame: u64, position: u64) {
        let Some((volume, epoch)) = target_of(record) else { return };
        let Some(live) = self.volumes.get_mut(&volume) else { return };
        for piece in pieces_of(record, frame, position) {
            live.dirty.insert(epoch, piece);
        }
        if let (Record::Berthed { run, berths, .. }, Some(all)) = (record, &live.volume.berths) {
            self.unstable_bases.insert(volume, Arc::clone(&live.volume.base));
            for (cell, berth) in (run.start / all.cell_blocks()..).zip(berths.iter()) {
                all.note(cell, *berth, frame);
            }
        }
    }
}

/// The volume and epoch of a record of contents.
fn target_of(record: &Record) -> Option<(u32, u64)> {
    match record {
        Record::Write { volume, epoch, .. }
        | Record::Berthed { volume, epoch, .. }
        | Record::Zero { volume, epoch, .. } => Some((*volume, *epoch)),
        Record::Event(_) | Record::Padding(_) => None,
    }
}

/// The pieces of a record of contents whose payload starts at `position`.
fn pieces_of(record: &Record, frame: u64, position: u64) -> Vec<Piece> {
    match record {
        Record::Write { run, sums, .. } => {
            let source = Source::Data { position, sums: Arc::clone(sums), first: 0 };
            vec![Piece { run: *run, source, frame }]
        }
        Record::Berthed { run, berths, sums, .. } => berthed_pieces(*run, berths, sums, frame),
        Record::Zero { run, keep, .. } => {
            vec![Piece { run: *run, source: Source::Zero(*keep), frame }]
        }
        Record::Event(_) | Record::Padding(_) => Vec::new(),
    }
}

/// A piece for each row of neighbouring berths.
fn berthed_pieces(run: Run, berths: &[Berth], sums: &Arc<[u32]>, frame: u64) -> Vec<Piece> {
    let cell_blocks = run.blocks / (berths.len() as u64).max(1);
    let mut pieces: Vec<Piece> = Vec::new();
    for (index, berth) in (0..).zip(berths) {
        let part = Run::new(run.start + index * cell_blocks, cell_blocks);
        let at = berth.spot(cell_blocks);
        if let Some(Piece { run: row, source: Source::Berthed { at: start, .. }, .. }) =
            pieces.last_mut()
            && start.moved(row.start, part.start) == at
        {
            row.blocks += cell_blocks;
            continue;
        }
        let first = usize::try_from(index * cell_blocks).unwrap_or(usize::MAX);
        let source = Source::Berthed { at, sums: Arc::clone(sums), first };
        pieces.push(Piece { run: part, source, frame });
    }
    pieces
}

/// Notes a record that was read back.
pub(crate) fn note_in(
    dirty: &mut BTreeMap<u32, Dirty>,
    record: &Record,
    frame: u64,
    position: u64,
) {
    if let Some((volume, epoch)) = target_of(record) {
        let dirty = dirty.entry(volume).or_default();
        for piece in pieces_of(record, frame, position) {
            dirty.insert(epoch, piece);
        }
    }
}
