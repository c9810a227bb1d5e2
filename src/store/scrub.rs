//! Scrub: reading everything a volume keeps and comparing it with its checksums.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::name::Name;
use base::units::{Run, SECTORS_PER_BLOCK};
use disk::DiskError;

use crate::berths::Berths;
use crate::checksum_table::{ChecksumTable, Code};
use crate::dirty::{Epochs, Piece, Source};
use crate::error::StoreError;
use crate::event::Kind;
use crate::image::{Point, first_misfit};
use crate::pool::{Pool, Volume};
use crate::status::{ScrubFinding, ScrubReport};

/// Blocks that are read at once.
const SCRUB_BLOCKS: u64 = 256;
/// The same beside clients, who wait for the disk behind them.
const SCRUB_BLOCKS_BESIDE: u64 = 32;
/// Entries of the past that are read at once.
const SCRUB_ENTRIES: usize = 64;
/// Pages of a table that are looked at while nothing is applied.
const SCRUB_PAGES: u64 = 64;
/// Damaged places that one report lists; the count goes on.
const FINDINGS_MAX: usize = 10_000;

/// How far a long operation is, and the wish that it stops.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    is_cancelled: AtomicBool,
}

impl Progress {
    /// Nothing done yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Units done so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Units to do; may grow.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Asks the operation to stop soon.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    fn step(&self, units: u64) -> Result<(), StoreError> {
        self.done.fetch_add(units, Ordering::Relaxed);
        if self.is_cancelled.load(Ordering::Relaxed) {
            return Err(StoreError::Cancelled);
        }
        Ok(())
    }
}

impl Pool {
    /// Reads the base of a volume or view, its checksum table and its preserved store, and compares all
    /// of it with the checksums. A damaged copy of the checksum table is restored from the other.
    ///
    /// # Errors
    /// `UnknownVolume`, `Cancelled`; what the disks say beyond damage.
    pub async fn scrub(&self, name: &Name, progress: &Progress) -> Result<ScrubReport, StoreError> {
        let (volume, kind, blocks) = {
            let core = self.lock();
            let entry = core.registry.named(name)?;
            let live = core.volumes.get(&entry.number).ok_or(StoreError::Closed)?;
            let blocks = entry.sectors.div_ceil(SECTORS_PER_BLOCK);
            (Arc::clone(&live.volume), entry.kind.clone(), blocks)
        };
        progress.total.store(blocks, Ordering::Relaxed);
        let mut report = ScrubReport::default();
        self.scrub_tables(name, &volume, blocks, &mut report).await?;
        let mut at = 0;
        let mut pace = self.pace();
        while at < blocks {
            let hole = volume.sums.hole_from(at).await?.min(blocks - at);
            let is_adopted = matches!(kind, Kind::Adopted(_));
            if hole > 0 {
                report.blocks_unverified += if is_adopted { hole } else { 0 };
                progress.step(hole)?;
                at += hole;
                continue;
            }
            let blocks_max = if pace.is_alone() { SCRUB_BLOCKS } else { SCRUB_BLOCKS_BESIDE };
            let run = Run::new(at, blocks_max.min(blocks - at));
            if is_adopted && let Ok(codes) = volume.sums.get(run).await {
                let unknown = codes.iter().filter(|code| **code == Code::Absent).count();
                report.blocks_unverified += unknown as u64;
            }
            self.scrub_base(name, &volume, run, &mut report).await?;
            progress.step(run.blocks)?;
            at = run.end();
            self.give_way(&mut pace).await;
        }
        if let Some(berths) = &volume.berths {
            self.scrub_new_berths(name, &volume, berths, &mut report).await?;
        }
        self.scrub_history(name, &volume, progress, &mut report).await?;
        self.note_findings(name, &report);
        Ok(report)
    }

    async fn scrub_tables(
        &self,
        name: &Name,
        volume: &Volume,
        blocks: u64,
        report: &mut ScrubReport,
    ) -> Result<(), StoreError> {
        let what = format!("the checksums of {name}");
        self.scrub_table(&what, &volume.sums, blocks, report).await?;
        let Some(berths) = &volume.berths else { return Ok(()) };
        let what = format!("the table of berths of {name}");
        let cells = blocks.div_ceil(berths.cell_blocks());
        self.scrub_table(&what, berths.table(), cells, report).await
    }

    async fn scrub_table(
        &self,
        what: &str,
        table: &ChecksumTable,
        entries: u64,
        report: &mut ScrubReport,
    ) -> Result<(), StoreError> {
        let mut pace = self.pace();
        for part in Run::new(0, ChecksumTable::pages_for(entries)).parts(SCRUB_PAGES) {
            // While nothing is written out: the two copies differ only where one is damaged.
            let upkeep = self.upkeep.lock().await;
            let mut repaired = 0;
            for page in part.start..part.end() {
                match table.check_page(page).await {
                    Ok(more) => repaired += more,
                    Err(DiskError::Medium { extent, why }) => {
                        let (place, why) = (what.to_owned(), why.to_string());
                        push(report, ScrubFinding { place, extent, why });
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if repaired > 0 {
                table.write_out().await?;
            }
            report.repaired += repaired;
            drop(upkeep);
            self.give_way(&mut pace).await;
        }
        Ok(())
    }

    /// Reads the berths that the journal tells of and where no cell is moored yet: what is in the journal
    /// itself is read when it is applied, this is not.
    async fn scrub_new_berths(
        &self,
        name: &Name,
        volume: &Volume,
        berths: &Berths,
        report: &mut ScrubReport,
    ) -> Result<(), StoreError> {
        let pieces: Vec<Piece> = {
            let core = self.lock();
            let Some(live) = core.volumes.get(&volume.number) else { return Ok(()) };
            let is_berthed = |piece: &&Piece| matches!(piece.source, Source::Berthed { .. });
            live.dirty.all(Epochs::ALL).filter(is_berthed).cloned().collect()
        };
        let parts_of = |piece: &Piece| {
            piece.run.parts(SCRUB_BLOCKS).filter_map(|part| piece.clip(part)).collect()
        };
        let mut pace = self.pace();
        for piece in pieces.iter().flat_map::<Vec<Piece>, _>(parts_of) {
            let Source::Berthed { at, .. } = piece.source else { continue };
            report.blocks_read += piece.run.blocks;
            self.give_way(&mut pace).await;
            let read = berths.read(at, piece.run.blocks).await;
            if read.is_ok_and(|read| piece.fits(&read)) {
                continue;
            }
            // Applied meanwhile perhaps; the way that readers go tells.
            for block in piece.run.start..piece.run.end() {
                let one = Run::new(block, 1);
                if let Some(why) = self.trouble_reading(volume.number, one).await {
                    let place = format!("the berths of {name}");
                    push(report, ScrubFinding { place, extent: one.extent(), why });
                }
            }
        }
        Ok(())
    }

    async fn scrub_base(
        &self,
        name: &Name,
        volume: &Volume,
        run: Run,
        report: &mut ScrubReport,
    ) -> Result<(), StoreError> {
        let Ok(codes) = volume.sums.get(run).await else {
            return Ok(());
        };
        let data = codes.iter().filter(|code| matches!(code, Code::Data(_))).count() as u64;
        report.blocks_read += data;
        if data == 0 {
            return Ok(());
        }
        let read = volume.read_base(run).await;
        if read.is_ok_and(|read| {
            let mut whole = read.to_vec();
            whole.resize(usize::try_from(run.bytes()).unwrap_or(0), 0);
            first_misfit(&codes, &whole).is_none()
        }) {
            return Ok(());
        }
        // Something does not fit, or moved meanwhile. Each block by the way that readers go tells which.
        for (index, code) in codes.iter().enumerate() {
            let one = Run::new(run.start + index as u64, 1);
            if !matches!(code, Code::Data(_)) {
                continue;
            }
            if let Some(why) = self.trouble_reading(volume.number, one).await {
                let place = format!("the base of {name}");
                push(report, ScrubFinding { place, extent: one.extent(), why });
            }
        }
        Ok(())
    }

    /// Why a block cannot be read now or at some mark, where it cannot: marks read the base also of
    /// blocks whose live contents are still in the journal.
    async fn trouble_reading(&self, number: u32, one: Run) -> Option<String> {
        let marks: Vec<u64> = {
            let core = self.lock();
            core.registry.get(number).map_or(Vec::new(), |e| e.marks.keys().copied().collect())
        };
        let points = std::iter::once(Point::Live).chain(marks.into_iter().map(Point::Mark));
        let mut block = vec![0; base::units::BLOCK_LEN];
        for point in points {
            match self.read_run(number, point, one, &mut block).await {
                // A mark may have gone meanwhile.
                Ok(()) | Err(DiskError::Closed | DiskError::OutOfBounds { .. }) => {}
                Err(error) => return Some(error.to_string()),
            }
        }
        None
    }

    async fn scrub_history(
        &self,
        name: &Name,
        volume: &Volume,
        progress: &Progress,
        report: &mut ScrubReport,
    ) -> Result<(), StoreError> {
        let mut from = 0;
        let mut pace = self.pace();
        loop {
            self.give_way(&mut pace).await;
            let (entries, next) = volume.history.entries(from, SCRUB_ENTRIES).await?;
            progress.total.fetch_add(entries.len() as u64, Ordering::Relaxed);
            report.blocks_read += entries.len() as u64;
            for some in entries.chunks(SCRUB_ENTRIES) {
                for (key, why) in volume.history.check_many(some).await? {
                    if !self.is_needed(volume, key.block, key.sequence).await? {
                        continue;
                    }
                    let place = format!("what marks of {name} keep, sequence {}", key.sequence);
                    let extent = Run::new(key.block, 1).extent();
                    push(report, ScrubFinding { place, extent, why });
                }
            }
            progress.step(entries.len() as u64)?;
            match next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    /// Whether some mark still sees this entry; the others may have been given back.
    async fn is_needed(
        &self,
        volume: &Volume,
        block: u64,
        sequence: u64,
    ) -> Result<bool, StoreError> {
        let newest = {
            let core = self.lock();
            core.registry.get(volume.number).and_then(|entry| entry.newest_mark_at(sequence))
        };
        let Some(mark) = newest else { return Ok(false) };
        let seen = volume.history.lookup_run(Run::new(block, 1), mark).await?;
        Ok(seen.first().is_some_and(|(key, _)| key.sequence == sequence))
    }

    fn note_findings(&self, name: &Name, report: &ScrubReport) {
        let mut core = self.lock();
        let key = format!("damaged {name}");
        if report.damaged.is_empty() {
            core.warnings.remove(&key);
            return;
        }
        let text = format!(
            "{name}: a scrub found {} damaged places; restore them from a mark that is whole, or from a copy",
            report.damaged.len()
        );
        core.warnings.insert(key, text);
    }
}

fn push(report: &mut ScrubReport, finding: ScrubFinding) {
    tracing::error!(place = %finding.place, extent = ?finding.extent, why = %finding.why, "damaged");
    if report.damaged.len() < FINDINGS_MAX {
        report.damaged.push(finding);
    }
}
