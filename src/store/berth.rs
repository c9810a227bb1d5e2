//! The way of a large write past the journal: whole cells go to free berths, and the journal learns of them
//! when they are there.
//!
//! What is left at the ends of a long write goes into the journal beside that. A write that must be whole
//! or not there at all takes this way only where it is whole cells, so that one record tells of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base::limits::ATOMIC_WRITE_LEN_MAX;
use base::units::{BLOCK_LEN, Run, SECTORS_PER_BLOCK};
use disk::{Answer, Answers, DiskError, Payload, Reply};

use crate::append::{Change, What, index, slice};
use crate::berths::{Berth, Berths};
use crate::journal::frame::RECORD_BLOCKS_MAX;
use crate::pool::{Pool, Volume};
use crate::status::VolumeState;
use crate::superblock::CELL_BLOCKS_MAX;

/// A record tells of whole cells.
const _: () = assert!(RECORD_BLOCKS_MAX.is_multiple_of(CELL_BLOCKS_MAX));

/// A write on its way to berths.
struct Berthing {
    pool: Arc<Pool>,
    volume: Arc<Volume>,
    left: AtomicUsize,
    has_failed: AtomicBool,
    landing: Mutex<Option<Landing>>,
}

/// What is to be journalled when the berths are written.
struct Landing {
    change: Change,
    /// The cells within the change, as blocks.
    cells: Run,
    berths: Arc<[Berth]>,
}

impl Pool {
    /// Sends the whole cells of a write to berths, where there are enough; gives the write back where it
    /// must go through the journal.
    pub(crate) fn berth(&self, change: Change) -> Option<Change> {
        let What::Write { run, data, .. } = &change.what else { return Some(change) };
        let Some(cells) = cells_of(*run, self.superblock.cell_blocks) else { return Some(change) };
        let Some(volume) = self.berthing_volume(change.volume, *run) else { return Some(change) };
        let Some(berths) = volume.berths.clone() else { return Some(change) };
        let Some(taken) = berths.take(cells.blocks / berths.cell_blocks()) else {
            self.work.notify_one();
            return Some(change);
        };
        let skip = (cells.start - run.start) * SECTORS_PER_BLOCK;
        let data = slice(data, skip, cells.blocks * SECTORS_PER_BLOCK);
        let rows = rows_of(&taken, &berths);
        let landing = Landing { change, cells, berths: taken.into() };
        let berthing: Arc<dyn Answers> = Arc::new(Berthing {
            pool: self.shared(),
            volume,
            left: AtomicUsize::new(rows.len()),
            has_failed: AtomicBool::new(false),
            landing: Mutex::new(Some(landing)),
        });
        write_rows(&berths, &rows, &data, &berthing);
        if berths.is_low() {
            self.work.notify_one();
        }
        None
    }

    /// Takes the berths of a change back that the journal does not take.
    pub(crate) fn give_back_berths(&self, change: &Change) {
        let What::Berthed { berths, .. } = &change.what else { return };
        let core = self.lock();
        let live = core.volumes.get(&change.volume);
        if let Some(all) = live.and_then(|live| live.volume.berths.as_ref()) {
            all.give_back(berths);
        }
    }

    /// The volume, where it takes writes now and its shelf has room for what its cells leave behind.
    fn berthing_volume(&self, number: u32, run: Run) -> Option<Arc<Volume>> {
        let core = self.lock();
        let live = core.volumes.get(&number)?;
        let entry = core.registry.get(number)?;
        let promised = core.promised_blocks() * BLOCK_LEN as u64;
        let has_space = core.space_free >= run.bytes() + promised + 2 * self.options.segment_len.0;
        let is_due = run.bytes() >= self.options.berth_len.0 || core.ring.is_filling();
        let is_open =
            core.refusal().is_none() && live.state == VolumeState::Ready && !live.is_leaving;
        // While a rollback copies, what a block was is not only in the base.
        let is_plain = entry.copying_rollback().is_none();
        (is_due && is_open && is_plain && has_space).then(|| Arc::clone(&live.volume))
    }
}

/// The whole cells of a run, as blocks, where they may go past the journal.
fn cells_of(run: Run, cell_blocks: u64) -> Option<Run> {
    let start = run.start.next_multiple_of(cell_blocks);
    let end = run.end() / cell_blocks * cell_blocks;
    let cells = Run::new(start, end.saturating_sub(start));
    let is_atomic = run.bytes() <= ATOMIC_WRITE_LEN_MAX as u64;
    (!cells.is_empty() && (cells == run || !is_atomic)).then_some(cells)
}

/// Berths that lie next to each other: the first, and how many.
fn rows_of(taken: &[Berth], berths: &Berths) -> Vec<(Berth, u64)> {
    let blocks = berths.cell_blocks();
    let mut rows: Vec<(Berth, u64)> = Vec::new();
    for berth in taken {
        match rows.last_mut() {
            Some((first, count))
                if first.spot(blocks).moved(0, *count * blocks) == berth.spot(blocks) =>
            {
                *count += 1;
            }
            _ => rows.push((*berth, 1)),
        }
    }
    rows
}

fn write_rows(
    berths: &Berths,
    rows: &[(Berth, u64)],
    data: &[Payload],
    berthing: &Arc<dyn Answers>,
) {
    let cell_sectors = berths.cell_blocks() * SECTORS_PER_BLOCK;
    let mut at = 0;
    for (first, count) in rows {
        let sectors = count * cell_sectors;
        let reply = Reply::new(Arc::clone(berthing), 0);
        berths.write(first.spot(berths.cell_blocks()), slice(data, at, sectors), reply);
        at += sectors;
    }
}

impl Answers for Berthing {
    fn answer(&self, _ticket: u64, answer: Answer) {
        if let Err(error) = &answer {
            // Where there is no space, the journal has room that was set aside.
            if !matches!(error, DiskError::Closed | DiskError::NoSpace(_)) {
                tracing::warn!(volume = self.volume.number, %error, "a write past the journal failed");
            }
            self.has_failed.store(true, Ordering::Release);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let landing = self.landing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(landing), Some(berths)) = (landing, &self.volume.berths) else { return };
        if self.has_failed.load(Ordering::Acquire) {
            berths.give_back(&landing.berths);
            self.pool.append(vec![landing.change]);
        } else {
            self.pool.append(landing.changes(berths.cell_blocks()));
        }
    }
}

impl Landing {
    /// What the journal learns: the ends of the write with their payload, and where the cells between them
    /// are.
    fn changes(self, cell_blocks: u64) -> Vec<Change> {
        let Change { volume, what, waiter, is_stable, is_owner } = self.change;
        let What::Write { run, data, sums } = what else { return Vec::new() };
        let sums_of = |part: Run| -> Arc<[u32]> {
            let from = index(part.start - run.start);
            sums[from..from + index(part.blocks)].into()
        };
        let end = |part: Run| What::Write {
            run: part,
            data: slice(
                &data,
                (part.start - run.start) * SECTORS_PER_BLOCK,
                part.blocks * SECTORS_PER_BLOCK,
            ),
            sums: sums_of(part),
        };
        let before = Run::new(run.start, self.cells.start - run.start);
        let after = Run::new(self.cells.end(), run.end() - self.cells.end());
        let ends = [before, after].into_iter().filter(|part| !part.is_empty()).map(end);
        let mut all: Vec<What> = ends.collect();
        for part in self.cells.parts(RECORD_BLOCKS_MAX) {
            let first = index((part.start - self.cells.start) / cell_blocks);
            let berths = self.berths[first..first + index(part.blocks / cell_blocks)].into();
            all.push(What::Berthed { run: part, berths, sums: sums_of(part) });
        }
        let change = |what| Change { volume, what, waiter: None, is_stable, is_owner };
        let mut changes: Vec<Change> = all.into_iter().map(change).collect();
        if let Some(last) = changes.last_mut() {
            last.waiter = waiter;
        }
        changes
    }
}
