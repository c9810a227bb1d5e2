//! What changed since a mark, and between two.

use std::ops::Range;
use std::sync::Arc;

use base::name::Name;
use base::units::{Extent, Run};

use crate::dirty::Epochs;
use crate::error::StoreError;
use crate::image::joined;
use crate::pool::Pool;
use crate::status::{ChangedExtent, DiskRef};

/// Blocks that one look at the epoch map returns at most.
const SCAN_BLOCKS: usize = 16 * 1024;
/// Blocks that one answer about changes covers at most: bounds its memory and the time it takes.
const ANSWER_BLOCKS: u64 = 1 << 20;

impl Pool {
    /// Which parts of `extent` of a disk changed since one of its marks: from its start on without gaps,
    /// possibly not to its end.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownView`, `UnknownMark`; what the disks say.
    pub async fn changed(
        &self,
        of: &DiskRef,
        since: &Name,
        extent: Extent,
    ) -> Result<Vec<ChangedExtent>, StoreError> {
        let (number, sequences) = self.interval(of, since)?;
        let cover = extent.cover();
        let run = Run::new(cover.start, cover.blocks.min(ANSWER_BLOCKS));
        let changed = self.changed_blocks(number, run, sequences).await?;
        let mut out = Vec::new();
        let mut at = run.start;
        for part in changed {
            push(&mut out, Run::new(at, part.start - at), false, extent);
            push(&mut out, part, true, extent);
            at = part.end();
        }
        push(&mut out, Run::new(at, run.end() - at), false, extent);
        Ok(out)
    }

    /// The blocks that were written between two marks of a volume, in order.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`; what the disks say.
    pub async fn delta(
        &self,
        volume: &Name,
        from: &Name,
        to: &Name,
    ) -> Result<Vec<Run>, StoreError> {
        let mark = base::name::MarkRef { volume: volume.clone(), mark: to.clone() };
        let (number, sequences) = self.interval(&DiskRef::Mark(mark), from)?;
        self.changed_blocks(number, Run::new(0, u64::MAX / 4096), sequences).await
    }

    /// The sequences whose epochs lie between a mark and a disk of the same volume.
    fn interval(&self, of: &DiskRef, since: &Name) -> Result<(u32, Range<u64>), StoreError> {
        let core = self.lock();
        let (entry, end) = match of {
            DiskRef::Volume(name) | DiskRef::View(name) => (core.registry.named(name)?, u64::MAX),
            DiskRef::Mark(mark) => core.registry.mark(mark)?,
        };
        let since = base::name::MarkRef { volume: entry.name.clone(), mark: since.clone() };
        let (_, start) = core.registry.mark(&since)?;
        Ok((entry.number, start..end.max(start)))
    }

    async fn changed_blocks(
        &self,
        number: u32,
        run: Run,
        sequences: Range<u64>,
    ) -> Result<Vec<Run>, StoreError> {
        let (volume, mut blocks, rollback) = {
            let core = self.lock();
            let live = core.volumes.get(&number).ok_or(StoreError::Closed)?;
            let epochs = Epochs { from: sequences.start, below: sequences.end };
            let pieces = live.dirty.all(epochs).map(|piece| piece.run.intersect(run));
            let dirty: Vec<Run> = pieces.filter(|part| !part.is_empty()).collect();
            let entry = core.registry.get(number).ok_or(StoreError::Closed)?;
            (Arc::clone(&live.volume), dirty, entry.copying_rollback())
        };
        let mut intervals = vec![sequences.clone()];
        if let Some(rollback) = rollback.filter(|rollback| rollback.safety < sequences.end) {
            // What the rollback is going to copy differs already.
            intervals.push(rollback.to..rollback.safety);
        }
        for interval in intervals {
            let mut from = run.start;
            loop {
                let found = volume.history.changed(from, interval.clone(), SCAN_BLOCKS).await?;
                let Some(last) = found.last().copied() else { break };
                let within = found.into_iter().filter(|block| *block < run.end());
                blocks.extend(joined(within));
                from = last + 1;
                if from >= run.end() {
                    break;
                }
            }
        }
        blocks.sort_by_key(|run| run.start);
        Ok(merged(blocks))
    }
}

/// Overlapping and adjacent runs as one, of runs in order of their start.
fn merged(runs: Vec<Run>) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::new();
    for run in runs {
        match out.last_mut() {
            Some(last) if last.end() >= run.start => {
                last.blocks = last.end().max(run.end()) - last.start;
            }
            _ => out.push(run),
        }
    }
    out
}

fn push(out: &mut Vec<ChangedExtent>, run: Run, is_changed: bool, within: Extent) {
    let extent = run.extent().intersect(within);
    if !extent.is_empty() {
        out.push(ChangedExtent { extent, is_changed });
    }
}
