//! Apply: moving blocks from the journal to the base, after what they replace was preserved.
//!
//! One step takes a bounded part of a volume's oldest layer, in order of address, and goes through the
//! law's order: the journal's records are stable; old blocks that a mark needs are appended to the
//! preserved store and made stable; their entries are published in the epoch map; cells that were written
//! to berths are moored there; the other new blocks are written to the base; the table of checksums and the
//! dirty index change in one moment. The base and the table are made stable by the checkpoint that trims the
//! journal.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::units::{Extent, Run};
use disk::gather::together;
use disk::{DiskError, Durability, Keep, Payload};

use crate::append::slice;
use crate::checksum_table::Code;
use crate::dirty::{Mooring, Piece, Source};
use crate::error::StoreError;
use crate::event::Kind;
use crate::pool::{Core, Live, Pool, Volume};

/// Blocks from which on a discarded stretch is looked at before it is worked through.
const LONG_BLOCKS: u64 = 1024;

/// A part of a layer on its way to the base.
pub(crate) struct Step {
    pub volume: Arc<Volume>,
    pub epoch: u64,
    pub pieces: Vec<Piece>,
    /// The cells that come to other berths with it.
    pub moorings: Vec<Mooring>,
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
        let Some(step) = self.pick_flushed(number).await? else { return Ok(0) };
        let blocks = step.pieces.iter().map(|piece| piece.run.blocks).sum();
        let step = self.without_empty(number, step).await?;
        self.preserve(number, &step).await?;
        self.moor(number, &step).await?;
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

    /// What can be applied, with flushes where nothing can without.
    async fn pick_flushed(&self, number: u32) -> Result<Option<Step>, DiskError> {
        let mut step = self.pick(number);
        if step.is_none() {
            self.flush().await?;
            step = self.pick(number);
        }
        if step.is_none() {
            self.note_durable();
            self.flush().await?;
            step = self.pick(number);
        }
        Ok(step)
    }

    fn pick(&self, number: u32) -> Option<Step> {
        let mut core = self.lock();
        let frame_max = core.applicable_frame(number);
        let entry = core.registry.get(number)?;
        let (kind, copying) = (entry.kind.clone(), entry.copying_rollback());
        let live = core.volumes.get_mut(&number)?;
        let blocks_max = self.options.apply_blocks_max;
        let mut picked = live.dirty.oldest(live.apply_cursor, blocks_max, frame_max)?;
        if picked.1.is_empty() {
            picked = live.dirty.oldest(0, blocks_max, frame_max)?;
        }
        let (epoch, pieces) = picked;
        live.apply_cursor = pieces.last()?.run.end();
        let volume = Arc::clone(&live.volume);
        let moorings = match &volume.berths {
            Some(berths) => live.dirty.moorings(&pieces, berths.cell_blocks()),
            None => Vec::new(),
        };
        let rollback = copying.map(|r| (r.to, r.safety)).filter(|(_, safety)| *safety <= epoch);
        let newest = core.registry.get(number)?.newest_mark_at(epoch);
        Some(Step { volume, epoch, pieces, moorings, newest, rollback, kind })
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

    /// Moors cells at the berths that were written for them. What their former berths held is preserved, and
    /// all their blocks are in the dirty index until they are settled: nobody misses what is left behind.
    async fn moor(&self, number: u32, step: &Step) -> Result<(), DiskError> {
        let Some(berths) = step.volume.berths.as_ref().filter(|_| !step.moorings.is_empty()) else {
            return Ok(());
        };
        for mooring in &step.moorings {
            step.volume.sums.load(mooring.run).await?;
            berths.load(mooring.cell).await?;
        }
        let mut core = self.lock();
        let Some(live) = core.volumes.get_mut(&number) else { return Ok(()) };
        for mooring in &step.moorings {
            // Where it is moored there already, some of its blocks may have been written since.
            if !berths.moor(mooring.cell, mooring.at.berth(berths.cell_blocks())) {
                continue;
            }
            let oldest = live.unstable_from.map_or(mooring.frame, |from| from.min(mooring.frame));
            live.unstable_from = Some(oldest);
            for (block, sum) in (mooring.run.start..).zip(mooring.sums()) {
                live.note_code(block, Code::of_sum(*sum));
            }
        }
        step.volume.applied.fetch_add(1, Ordering::Release);
        Ok(())
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
                Source::Berthed { .. } => {}
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
                live.note_code(block, code_of(piece, index, &step.kind));
            }
            live.dirty.remove(step.epoch, piece);
        }
        step.volume.applied.fetch_add(1, Ordering::Release);
    }
}

impl Core {
    /// The newest frame of which a volume's pieces may be applied. Replay looks into berths that frames tell
    /// of unless it knows that they were stable; nothing may be written over them before that.
    fn applicable_frame(&self, number: u32) -> u64 {
        let berths = self.volumes.get(&number).and_then(|live| live.volume.berths.as_ref());
        let is_in_use = berths.is_some_and(|berths| berths.is_in_use());
        if is_in_use { self.attested } else { self.durable }
    }

    /// Whether something that is stable cannot be applied because nothing says so: the journal has no room
    /// for a frame that does.
    pub fn wants_attesting(&self) -> bool {
        self.attested < self.durable
            && self.volumes.iter().any(|(number, live)| {
                let oldest = live.dirty.oldest_frame();
                oldest.is_some_and(|oldest| {
                    oldest <= self.durable && oldest > self.applicable_frame(*number)
                })
            })
    }
}

impl Live {
    /// Notes what the base holds in a block from now on.
    fn note_code(&mut self, block: u64, code: Code) {
        let before = self.volume.sums.set(block, code);
        self.allocated_blocks += u64::from(code.is_allocated());
        self.allocated_blocks =
            self.allocated_blocks.saturating_sub(u64::from(before.is_allocated()));
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
        (Source::Data { .. } | Source::Berthed { .. }, _) => {
            Code::of_sum(piece.source.sum(index).unwrap_or(0))
        }
        (Source::Zero(Keep::Space), _) => Code::ZeroKept,
        (Source::Zero(Keep::Nothing), Kind::Thin) => Code::Absent,
        (Source::Zero(Keep::Nothing), Kind::View { .. } | Kind::Adopted(_)) => Code::Zero,
    }
}
