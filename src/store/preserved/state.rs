//! What a preserved store knows while it is open: segments, positions, and frees that wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::units::SECTOR_LEN;

use super::chunk::ChunkHead;
use super::error::PreservedError;
use super::manifest::ScanFrom;
use super::segment::Segment;
use super::tally::Tally;

/// A segment that is being swept, or whose finds wait for a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Sweeping {
    /// What was appended to it since the sweep began.
    pub(super) fresh: Tally,
    /// What can be given back, once the sweep has ended: first sector and how many.
    pub(super) areas: Option<Vec<(u32, u32)>>,
    /// How many manifests had been made when it ended.
    pub(super) since: u64,
    /// Whether marks were deleted after it began.
    pub(super) is_outdated: bool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The segments in use; chunks are appended to the last.
    pub(super) segments: BTreeMap<u32, Segment>,
    /// Index and length of the segment that stands ready.
    pub(super) spare: Option<(u32, u32)>,
    /// The index of the next segment to be made. Never used before, not even by a removed one.
    pub(super) next_segment: u32,
    pub(super) next_chunk: u64,
    pub(super) durable_below: u64,
    pub(super) scan_from: ScanFrom,
    pub(super) sweeping: BTreeMap<u32, Sweeping>,
    /// Segments that no manifest lists any more, with how many had been made when they were dropped.
    pub(super) doomed: Vec<(u32, Segment, u64)>,
    /// How many manifests were made.
    pub(super) manifests: u64,
    pub(super) poison: Option<Arc<str>>,
    /// Whether an append has begun and not ended. If it was dropped midway, nobody knows what it wrote.
    pub(super) is_appending: bool,
}

impl State {
    /// # Errors
    /// `Poisoned` where nothing can be promised any more.
    pub(super) fn check(&self) -> Result<(), PreservedError> {
        match &self.poison {
            Some(why) => Err(PreservedError::Poisoned(Arc::clone(why))),
            None if self.is_appending => {
                Err(PreservedError::Poisoned("an append was given up halfway".into()))
            }
            None => Ok(()),
        }
    }

    /// The segment that chunks are appended to.
    pub(super) fn current(&self) -> Option<u32> {
        self.segments.last_key_value().map(|(index, _)| *index)
    }

    /// Counts a chunk that lies at `start` of a segment of this length.
    pub(super) fn count_chunk(&mut self, at: (u32, u32), sectors: u32, head: &ChunkHead) {
        let (index, start) = at;
        let segment = self.segments.entry(index).or_insert_with(|| Segment::empty(sectors));
        segment.used = segment.used.max(start.saturating_add(head.sectors()));
        let mut fresh = self.sweeping.get_mut(&index);
        for entry in &head.entries {
            segment.live.add(entry.key.sequence, entry.sectors);
            if let Some(sweeping) = &mut fresh {
                sweeping.fresh.add(entry.key.sequence, entry.sectors);
            }
        }
    }

    /// Takes segments out in which nothing is live and that recovery will not walk.
    pub(super) fn drop_dead_segments(&mut self) {
        let (current, walked_from) = (self.current(), self.scan_from.segment);
        let is_swept = |index: &u32| self.sweeping.get(index).is_none_or(|s| s.areas.is_some());
        let is_dead = |(index, segment): &(&u32, &Segment)| {
            Some(**index) != current
                && **index < walked_from
                && segment.live.entries() == 0
                && is_swept(index)
        };
        let dead: Vec<u32> =
            self.segments.iter().filter(is_dead).map(|(index, _)| *index).collect();
        for index in dead {
            self.sweeping.remove(&index);
            if let Some(segment) = self.segments.remove(&index) {
                self.doomed.push((index, segment, self.manifests));
            }
        }
    }

    pub(super) fn live_sectors(&self) -> u64 {
        self.segments.values().map(|segment| segment.live.sectors()).sum()
    }

    pub(super) fn stored_bytes(&self) -> u64 {
        let doomed = self.doomed.iter().map(|(_, segment, _)| segment);
        self.segments.values().chain(doomed).map(Segment::stored_bytes).sum()
    }

    pub(super) fn reserve_bytes(&self) -> u64 {
        self.spare.map_or(0, |(_, sectors)| u64::from(sectors) * SECTOR_LEN as u64)
    }
}
