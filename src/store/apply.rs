//! Apply: moving blocks from the journal to the base, after what they replace was preserved.
//!
//! One step takes a bounded part of a volume's oldest layer, in order of address, and goes through the
//! law's order: the journal's records are stable; old blocks that a mark needs are appended to the
//! preserved store and made stable; their entries are published in the epoch map; the new blocks are
//! written to the base; the table of checksums and the dirty index change in one moment. The base and the
//! table are made stable by the checkpoint that trims the journal.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::units::{Extent, Run};
use disk::gather::together;
use disk::{DiskError, Durability, Keep, Payload};

use crate::append::slice;
use crate::checksum_table::Code;
use crate::dirty::{Piece, Source};
use crate::error::StoreError;
use crate::event::Kind;
use crate::pool::{Pool, Volume};

/// Blocks from which on a discarded stretch is looked at before it is worked through.
const LONG_BLOCKS: u64 = 1024;

/// A part of a layer on its way to the base.
pub(crate) struct Step {
    pub volume: Arc<Volume>,
    pub epoch: u64,
    pub pieces: Vec<Piece>,
    /// The newest mark of the epoch: blocks that it does not have yet must be preserved for it.
    pub newest: Option<u64>,
    /// The rollback that is copying, where the epoch is one after it: the mark to which, and the safety
    /// mark.
    pub rollback: Option<(u64, u64)>,
    pub kind: Kind,
}

impl Pool {
    /// Applies a bounded part of one volume's oldest layer; tells how many blocks.
    ///
    /// # Errors
    /// What the disks say. The volume is put into fail-stop where its base or its preserved store failed.
    pub(crate) async fn apply_step(&self, number: u32) -> Result<u64, StoreError> {
        let step = match self.pick(number) {
            Some(step) => step,
            None => {
                self.flush().await?;
                let Some(step) = self.pick(number) else {
                    return Ok(0);
                };
                step
            }
        };
        let blocks = step.pieces.iter().map(|piece| piece.run.blocks).sum();
        let step = self.without_empty(number, step).await?;
        self.preserve(number, &step).await?;
        match self.write_base(&step).await {
            Ok(()) => {}
            Err(error) => {
                if !matches!(error, DiskError::Closed | DiskError::NoSpace(_)) {
                    self.fail_volume(number, &format!("write the base: {error}"));
                }
                return Err(error.into());
            }
        }
        self.settle(number, &step);
        Ok(blocks)
    }

    fn pick(&self, number: u32) -> Option<Step> {
        let mut core = self.lock();
        let durable = core.durable;
        let entry = core.registry.get(number)?;
        let (kind, copying) = (entry.kind.clone(), entry.copying_rollback());
        let live = core.volumes.get_mut(&number)?;
        let blocks_max = self.options.apply_blocks_max;
        let mut picked = live.dirty.oldest(live.apply_cursor, blocks_max, durable)?;
        if picked.1.is_empty() {
            picked = live.dirty.oldest(0, blocks_max, durable)?;
        }
        let (epoch, pieces) = picked;
        live.apply_cursor = pieces.last()?.run.end();
        let volume = Arc::clone(&live.volume);
        let rollback = copying.map(|r| (r.to, r.safety)).filter(|(_, safety)| *safety <= epoch);
        let newest = core.registry.get(number)?.newest_mark_at(epoch);
        Some(Step { volume, epoch, pieces, newest, rollback, kind })
    }

    /// Takes long stretches out of a step, and out of the dirty index, that are given back where nothing
    /// was ever written: there is nothing to preserve, to write or to note. The discard of a whole disk
    /// that every new file system begins with is done with one look.
    async fn without_empty(&self, number: u32, mut step: Step) -> Result<Step, DiskError> {
        if step.kind != Kind::Thin || step.rollback.is_some() {
            return Ok(step);
        }
        let mut kept = Vec::with_capacity(step.pieces.len());
        for piece in std::mem::take(&mut step.pieces) {
            let is_long = matches!(piece.source, Source::Zero(Keep::Nothing))
                && piece.run.blocks >= LONG_BLOCKS.min(self.options.apply_blocks_max);
            let empty = match is_long {
                true => step.volume.sums.hole_from(piece.run.start).await?,
                false => 0,
            };
            if empty < piece.run.blocks {
                kept.push(piece);
                continue;
            }
            // The step has only a part of a long piece; all of it that is empty goes at once.
            let whole = Piece { run: Run::new(piece.run.start, empty), ..piece };
            if let Some(live) = self.lock().volumes.get_mut(&number) {
                live.dirty.remove(step.epoch, &whole);
            }
        }
        step.pieces = kept;
        Ok(step)
    }

    /// Writes the pieces to the base.
    async fn write_base(&self, step: &Step) -> Result<(), DiskError> {
        let base = &step.volume.base;
        let capacity = Extent::new(0, base.geometry().sectors);
        let mut writes = Vec::new();
        for piece in &step.pieces {
            step.volume.sums.load(piece.run).await?;
            let there = piece.run.extent().intersect(capacity);
            match &piece.source {
                Source::Data { position, .. } => {
                    let payloads = self.piece_payloads(piece, *position).await?;
                    let payloads = slice(&payloads, 0, there.sectors);
                    writes.push((there, payloads));
                }
                Source::Zero(keep) => {
                    flush_writes(base, &mut writes).await?;
                    base.write_zeroes(there, *keep).await?;
                }
            }
        }
        flush_writes(base, &mut writes).await
    }

    /// The payload of a piece, checked where it comes from the journal's disk.
    async fn piece_payloads(
        &self,
        piece: &Piece,
        position: u64,
    ) -> Result<Vec<Payload>, DiskError> {
        let payloads = self.journal_payloads(position, piece.run.blocks).await?;
        let sums = crate::live_disk::sums_of(&payloads);
        let fits = (0..piece.run.blocks).zip(sums.iter());
        if fits.into_iter().all(|(index, sum)| piece.source.sum(index) == Some(*sum)) {
            return Ok(payloads);
        }
        let why = "the journal does not hold what was written to it".into();
        Err(DiskError::Medium { extent: piece.run.extent(), why })
    }

    /// The moment in which the base takes over from the journal.
    fn settle(&self, number: u32, step: &Step) {
        let mut core = self.lock();
        let Some(live) = core.volumes.get_mut(&number) else { return };
        let oldest = step.pieces.iter().map(|piece| piece.frame).min();
        live.unstable_from = live.unstable_from.into_iter().chain(oldest).min();
        for piece in &step.pieces {
            for index in 0..piece.run.blocks {
                let block = piece.run.start + index;
                let code = code_of(piece, index, &step.kind);
                let before = step.volume.sums.set(block, code);
                live.allocated_blocks += u64::from(code.is_allocated());
                live.allocated_blocks =
                    live.allocated_blocks.saturating_sub(u64::from(before.is_allocated()));
            }
            live.dirty.remove(step.epoch, piece);
        }
        step.volume.applied.fetch_add(1, Ordering::Release);
    }
}

/// Submits the collected writes, adjacent ones as one, and waits for all.
async fn flush_writes(
    base: &disk::AnyDisk,
    writes: &mut Vec<(Extent, Vec<Payload>)>,
) -> Result<(), DiskError> {
    const SECTORS_MAX: u64 = 2048;
    let mut merged: Vec<(Extent, Vec<Payload>)> = Vec::new();
    for (extent, payloads) in writes.drain(..) {
        match merged.last_mut() {
            Some((last, all))
                if last.end() == extent.start && last.sectors + extent.sectors <= SECTORS_MAX =>
            {
                last.sectors += extent.sectors;
                all.extend(payloads);
            }
            _ => merged.push((extent, payloads)),
        }
    }
    let write = |(extent, payloads): (Extent, Vec<Payload>)| {
        base.write(extent.start, payloads, Durability::Volatile)
    };
    let answers: Vec<_> = together(|| merged.into_iter().map(write).collect());
    let mut outcome = Ok(());
    for answer in answers {
        let answer = answer.await;
        if outcome.is_ok() {
            outcome = answer;
        }
    }
    outcome
}

fn code_of(piece: &Piece, index: u64, kind: &Kind) -> Code {
    match (&piece.source, kind) {
        (Source::Data { .. }, _) => Code::of_sum(piece.source.sum(index).unwrap_or(0)),
        (Source::Zero(Keep::Space), _) => Code::ZeroKept,
        (Source::Zero(Keep::Nothing), Kind::Thin) => Code::Absent,
        (Source::Zero(Keep::Nothing), Kind::View { .. } | Kind::Adopted(_)) => Code::Zero,
    }
}
