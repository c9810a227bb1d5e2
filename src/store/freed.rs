//! What the removal of marks would give back.
//!
//! A preserved block is given back when no mark is left that needs it. Which those are follows from the epoch map
//! alone: it is asked which entries the marks need that there are, and which those need that would stay. Where that
//! would take too long the answer is a range, whose end the preserved store tells at once.
//!
//! What is in the journal and not applied yet is not preserved yet, so that it is not in any of these numbers. Space
//! comes back in whole blocks of the disk below.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use base::name::{MarkRef, Name};
use base::units::SECTOR_LEN;

use crate::epoch_map::{LiveMarks, Needed};
use crate::error::StoreError;
use crate::marks::obstacle;
use crate::pool::{Core, Pool, Volume};
use crate::registry::VolumeEntry;
use crate::status::{Freed, RemovalPreview};

/// Entries that are looked at for one answer: about a second's work.
const ENTRIES_MAX: usize = 2 << 20;
/// Entries that are looked at before other tasks get a turn.
const ENTRIES_PER_PART: usize = 8192;

/// Bytes that the removal of each mark of a volume by itself gives back at most, in the order of marks.
pub(crate) fn frees_most(core: &Core, entry: &VolumeEntry) -> Vec<u64> {
    let marks: Vec<u64> = entry.marks.keys().copied().collect();
    let live = core.volumes.get(&entry.number);
    live.map_or(vec![0; marks.len()], |live| live.volume.history.preserved_bytes_by_mark(&marks))
}

/// The marks of one volume of which some are to go.
struct Going {
    volume: std::sync::Arc<Volume>,
    there: LiveMarks,
    staying: LiveMarks,
    /// The sequences that decide: from the mark before the first that goes, or that itself where there is none, to
    /// the one after the last.
    around: Range<u64>,
    /// Of each mark that goes: its sequence, and that of the next one that is there.
    stretches: Vec<Range<u64>>,
}

impl Pool {
    /// What the removal of these marks would give back, all together but those that something keeps, and what that
    /// is. Changes nothing.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`; what the disks say.
    pub async fn preview_removal(&self, marks: &[MarkRef]) -> Result<RemovalPreview, StoreError> {
        let (mut free, mut obstacles) = (Vec::new(), Vec::new());
        {
            let core = self.lock_now();
            for mark in marks {
                let (entry, sequence) = core.registry.mark(mark)?;
                match obstacle(&core.registry, entry, sequence) {
                    Some(by) => obstacles.push(format!("the mark {mark} cannot go: {by}")),
                    None => free.push((entry.number, sequence)),
                }
            }
        }
        Ok(RemovalPreview { freed: self.freed_by(free).await?, obstacles })
    }

    /// What would come back if these marks of a volume were gone, all together, whatever keeps them now.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`; what the disks say.
    pub async fn freed_without(&self, volume: &Name, marks: &[Name]) -> Result<Freed, StoreError> {
        let gone: Result<Vec<_>, StoreError> = {
            let core = self.lock();
            let of = |mark: &Name| MarkRef { volume: volume.clone(), mark: mark.clone() };
            let at = |mark| core.registry.mark(&of(mark)).map(|(entry, at)| (entry.number, at));
            marks.iter().map(at).collect()
        };
        self.freed_by(gone?).await
    }

    async fn freed_by(&self, gone: Vec<(u32, u64)>) -> Result<Freed, StoreError> {
        let mut by_volume: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for (volume, sequence) in gone {
            by_volume.entry(volume).or_default().insert(sequence);
        }
        let all: Vec<Going> = {
            let core = self.lock();
            by_volume.iter().filter_map(|(number, gone)| going(&core, *number, gone)).collect()
        };
        let mut freed = Freed::default();
        let mut left = ENTRIES_MAX;
        for going in all {
            let of = going.freed(&mut left).await?;
            freed.least_bytes += of.least_bytes;
            freed.most_bytes += of.most_bytes;
        }
        Ok(freed)
    }
}

fn going(core: &Core, number: u32, gone: &BTreeSet<u64>) -> Option<Going> {
    let entry = core.registry.get(number)?;
    let volume = std::sync::Arc::clone(&core.volumes.get(&number)?.volume);
    let there: Vec<u64> = entry.marks.keys().copied().collect();
    let staying: Vec<u64> = there.iter().copied().filter(|mark| !gone.contains(mark)).collect();
    let next = |mark: u64| there.iter().copied().find(|other| *other > mark).unwrap_or(u64::MAX);
    let (first, last) = (*gone.first()?, *gone.last()?);
    let before = there.iter().rev().find(|mark| **mark < first).copied().unwrap_or(first);
    Some(Going {
        volume,
        around: before..next(last),
        stretches: gone.iter().map(|mark| *mark..next(*mark)).collect(),
        there: LiveMarks::new(there, entry.epoch()),
        staying: LiveMarks::new(staying, entry.epoch()),
    })
}

impl Going {
    /// What comes back, by looking at no more than `left` entries, of which those that were looked at go.
    async fn freed(&self, left: &mut usize) -> Result<Freed, StoreError> {
        let most_bytes = self.volume.history.preserved_bytes_in(&self.stretches);
        let (mut now, mut then) =
            (Needed::resume(&self.there, None), Needed::resume(&self.staying, None));
        let mut sectors = 0;
        let mut from = Some(0);
        while let Some(block) = from {
            if *left == 0 {
                let least_bytes = sectors * SECTOR_LEN as u64;
                return Ok(Freed { least_bytes, most_bytes: most_bytes.max(least_bytes) });
            }
            let limit = ENTRIES_PER_PART.min(*left);
            let part = self.volume.history.entries_under(block, self.around.clone(), limit).await?;
            for (key, place) in &part.0 {
                let is_needed = (now.keep(*key), then.keep(*key));
                if is_needed == (true, false) {
                    sectors += u64::from(place.sectors);
                }
            }
            *left = left.saturating_sub(part.0.len().max(1));
            from = part.1;
            tokio::task::yield_now().await;
        }
        let bytes = sectors * SECTOR_LEN as u64;
        Ok(Freed { least_bytes: bytes, most_bytes: bytes })
    }
}

#[cfg(test)]
#[path = "freed_tests.rs"]
mod tests;
