//! Giving space back: dead entries are found by a sweep, and their space is freed after a checkpoint.
//!
//! An entry is dead only where that is proven: no live mark is as old as its sequence, or the map knows
//! an older entry of the block that serves the same marks. What the map does not know is kept. Dead stays
//! dead: marks that are taken later have higher sequences, and an entry that proves another dead is
//! itself replaced only by one that proves it too. So a sweep may be repeated, and nothing it found needs
//! to be remembered over a crash: a segment stays flagged until its space was given back.

use base::units::Extent;
use disk::{Durability, Op, Reply, Request};

use super::chunk::ChunkHead;
use super::error::PreservedError;
use super::place::{Key, Place};
use super::segment::name_of;
use super::state::Sweeping;
use super::store::{PreservedStore, Ticket};
use super::tally::Tally;
use super::walk::HeadReader;
use crate::epoch_map::{EpochMap, LiveMarks};

/// Entries that are looked at before other tasks get a turn.
const ENTRIES_PER_TURN: usize = 1024;

/// What one sweep found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SweepReport {
    /// Index of the segment.
    pub segment: u32,
    /// How many entries were looked at.
    pub entries: u64,
    /// How many of them are dead.
    pub dead: u64,
    /// Bytes that can be given back after the next checkpoint.
    pub bytes: u64,
}

/// A chunk and which of its entries are dead.
struct Judged {
    start: u32,
    head: ChunkHead,
    dead: Vec<bool>,
}

impl PreservedStore {
    /// Says that a mark was deleted: entries under sequences from its own up to that of the next live
    /// mark (`u64::MAX` where there is none) may be dead now.
    pub(crate) fn mark_deleted(&self, sequence: u64, next_live_sequence: u64) {
        let mut state = self.state();
        let state = &mut *state;
        for (index, segment) in &mut state.segments {
            if segment.live.meets(&(sequence..next_live_sequence)) {
                segment.needs_sweep = true;
                if let Some(sweeping) = state.sweeping.get_mut(index) {
                    sweeping.is_outdated = true;
                }
            }
        }
    }

    /// Whether a sweep has something to do.
    #[cfg(test)]
    pub(crate) fn needs_sweep(&self) -> bool {
        self.next_to_sweep().is_some()
    }

    /// Sweeps one flagged segment: finds what is dead in it. `None` where nothing is left to do before
    /// the next checkpoint.
    ///
    /// `live` must hold every mark that is live now; the deletions it reflects become stable no later
    /// than the next checkpoint that is taken.
    ///
    /// # Errors
    /// `Damaged` where a head cannot be read, `Map` where the map cannot be asked, `Disk` where a disk
    /// refuses. The segment stays flagged.
    pub(crate) async fn sweep_step(
        &self,
        map: &EpochMap,
        live: &LiveMarks,
    ) -> Result<Option<SweepReport>, PreservedError> {
        let _turn = self.sweeper.lock().await;
        let Some(index) = self.next_to_sweep() else { return Ok(None) };
        // Recovery reads chunks that were not flushed; nothing of those may be given back.
        self.flush().await?;
        let used = {
            let mut state = self.state();
            state.sweeping.insert(index, Sweeping::default());
            state.segments.get(&index).map_or(0, |segment| segment.used)
        };
        let answer = self.judge_segment(index, used, (map, live)).await;
        match answer {
            Ok(judged) => {
                let report = self.note_judged(index, &judged);
                if report.dead > 0 {
                    map.compact_if_dead(self.live_entries());
                }
                Ok(Some(report))
            }
            Err(error) => {
                self.state().sweeping.remove(&index);
                Err(error)
            }
        }
    }

    /// Gives back what sweeps found before this manifest was made. Call it when the checkpoint that
    /// holds the manifest is stable.
    ///
    /// # Errors
    /// `Disk` where a disk or the shelf refuses. What was not given back is found again by a sweep, or
    /// removed at the next recovery.
    pub(crate) async fn commit_frees(&self, ticket: Ticket) -> Result<(), PreservedError> {
        let (ready, removed) = {
            let mut state = self.state();
            let is_ready = |sweeping: &Sweeping| sweeping.since < ticket.0;
            let ready: Vec<(u32, Vec<(u32, u32)>)> = state
                .sweeping
                .iter()
                .filter(|(_, sweeping)| is_ready(sweeping))
                .filter_map(|(index, sweeping)| Some((*index, sweeping.areas.clone()?)))
                .collect();
            let doomed = std::mem::take(&mut state.doomed);
            let (removed, kept): (Vec<_>, Vec<_>) =
                doomed.into_iter().partition(|(_, _, since)| *since < ticket.0);
            state.doomed = kept;
            (ready, removed)
        };
        for (index, _, _) in removed {
            self.handles.forget(index);
            self.shelf.remove(&name_of(self.volume, index))?;
        }
        for (index, areas) in ready {
            let answer = self.punch(index, &areas).await;
            let mut state = self.state();
            let sweeping = state.sweeping.remove(&index);
            answer?;
            if let Some(segment) = state.segments.get_mut(&index) {
                segment.punched = areas.iter().map(|(_, sectors)| sectors).sum();
                segment.needs_sweep = sweeping.is_some_and(|sweeping| sweeping.is_outdated);
            }
        }
        Ok(())
    }

    /// All heads of a segment with their starts, in order, up to `used` sectors.
    pub(crate) async fn heads_of(
        &self,
        index: u32,
        used: u32,
    ) -> Result<Vec<(u32, ChunkHead)>, PreservedError> {
        let mut reader = HeadReader::new(self.handles.get(index)?);
        let (mut heads, mut start) = (Vec::new(), 0);
        while start < used {
            let head = reader.head_at(start).await?.map_err(|why| {
                let what = format!("segment {index} has no chunk at sector {start}: {why}");
                PreservedError::Damaged(what.into())
            })?;
            if head.volume != self.volume {
                let what = format!("segment {index} holds a chunk of volume {}", head.volume);
                return Err(PreservedError::Damaged(what.into()));
            }
            let sectors = head.sectors();
            heads.push((start, head));
            start = start.saturating_add(sectors);
        }
        Ok(heads)
    }

    /// The segments in use, in the order of appending, each with the sectors that were appended to.
    pub(crate) fn segments(&self) -> Vec<(u32, u32)> {
        self.state().segments.iter().map(|(index, segment)| (*index, segment.used)).collect()
    }

    fn next_to_sweep(&self) -> Option<u32> {
        let state = self.state();
        let is_due = |(index, segment): &(&u32, &super::segment::Segment)| {
            segment.needs_sweep && !state.sweeping.contains_key(index)
        };
        state.segments.iter().find(is_due).map(|(index, _)| *index)
    }

    async fn judge_segment(
        &self,
        index: u32,
        used: u32,
        (map, live): (&EpochMap, &LiveMarks),
    ) -> Result<Vec<Judged>, PreservedError> {
        let heads = self.heads_of(index, used).await?;
        let mut entries: Vec<(Key, Place, usize, usize)> = Vec::new();
        for (chunk, (start, head)) in heads.iter().enumerate() {
            let places = head.places(index, *start).enumerate();
            entries.extend(places.map(|(entry, (key, place))| (key, place, chunk, entry)));
        }
        // In the order of the map, so that its pages are read once.
        entries.sort_by_key(|(key, ..)| *key);
        let judged = heads.into_iter().map(|(start, head)| Judged {
            start,
            dead: vec![false; head.entries.len()],
            head,
        });
        let mut judged: Vec<Judged> = judged.collect();
        for (turn, (key, place, chunk, entry)) in entries.into_iter().enumerate() {
            if turn % ENTRIES_PER_TURN == ENTRIES_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            judged[chunk].dead[entry] = is_dead(key, place, (map, live)).await?;
        }
        Ok(judged)
    }

    fn note_judged(&self, index: u32, judged: &[Judged]) -> SweepReport {
        let mut live = Tally::default();
        let mut areas = Vec::new();
        let mut report = SweepReport { segment: index, entries: 0, dead: 0, bytes: 0 };
        for chunk in judged {
            for (entry, is_dead) in chunk.head.entries.iter().zip(&chunk.dead) {
                report.entries += 1;
                report.dead += u64::from(*is_dead);
                if !is_dead {
                    live.add(entry.key.sequence, entry.sectors);
                }
            }
            areas.extend(areas_of(chunk));
        }
        report.bytes = areas.iter().map(|(_, n)| Extent::new(0, u64::from(*n)).bytes()).sum();
        let mut state = self.state();
        let state = &mut *state;
        if let (Some(segment), Some(sweeping)) =
            (state.segments.get_mut(&index), state.sweeping.get_mut(&index))
        {
            live.join(&sweeping.fresh);
            segment.live = live;
            sweeping.areas = Some(areas);
            sweeping.since = state.manifests;
        }
        report
    }

    /// Discards areas of a segment, and makes that stable.
    async fn punch(&self, index: u32, areas: &[(u32, u32)]) -> Result<(), PreservedError> {
        if areas.is_empty() {
            return Ok(());
        }
        let disk = self.handles.get(index)?;
        let (mut batch, mut answers) = (Vec::new(), Vec::new());
        for (start, sectors) in areas {
            let extent = Extent::new(u64::from(*start), u64::from(*sectors));
            let (reply, answer) = Reply::one();
            let op = Op::Discard { extent, durability: Durability::Volatile };
            batch.push(Request { op, reply });
            answers.push(answer);
        }
        disk.submit(batch);
        for answer in answers {
            answer.await.unwrap_or(Err(disk::DiskError::Closed))?;
        }
        Ok(disk.flush().await?)
    }
}

/// Whether this copy of an entry is proven dead.
async fn is_dead(
    key: Key,
    place: Place,
    (map, live): (&EpochMap, &LiveMarks),
) -> Result<bool, PreservedError> {
    if live.is_newer(key.sequence) {
        return Ok(false);
    }
    let Some(mark) = live.floor(key.sequence) else { return Ok(true) };
    let found = map.lookup(key.block, mark).await.map_err(Box::new)?;
    Ok(match found {
        Some((sequence, _)) if sequence < key.sequence => true,
        // A second copy of the same entry: the one that the map knows serves the marks.
        Some((sequence, other)) => {
            let is_later = (place.segment, place.sector) > (other.segment, other.sector);
            sequence == key.sequence && is_later
        }
        None => false,
    })
}

/// Whole blocks of a chunk in which everything is dead: first sector and how many. Never of its head.
fn areas_of(chunk: &Judged) -> Vec<(u32, u32)> {
    let mut areas = Vec::new();
    let mut sector = chunk.start + chunk.head.head_sectors();
    let mut dead_from = None;
    let mut close = |from: Option<u32>, end: u32| {
        let Some(from) = from else { return };
        let (from, end) = (from.next_multiple_of(8), end / 8 * 8);
        if from < end {
            areas.push((from, end - from));
        }
    };
    for (entry, is_dead) in chunk.head.entries.iter().zip(&chunk.dead) {
        if entry.sectors > 0 && !is_dead {
            close(dead_from.take(), sector);
        } else if *is_dead {
            dead_from.get_or_insert(sector);
        }
        sector += u32::from(entry.sectors);
    }
    // The filling behind the last extent goes with it.
    close(dead_from, sector.next_multiple_of(8));
    areas
}

#[cfg(test)]
mod tests {
    use base::id::Id;

    use super::*;
    use crate::preserved::Form;
    use crate::preserved::chunk::ChunkEntry;

    fn judged(entries: &[(u8, bool)]) -> Judged {
        let entry = |sectors| {
            let form = match sectors {
                0 => Form::Zero,
                8 => Form::Raw,
                _ => Form::Zstd,
            };
            ChunkEntry { key: Key::new(0, 0), checksum: 0, sectors, form }
        };
        let head = ChunkHead {
            volume: Id(1),
            incarnation: 0,
            number: 0,
            durable_below: 0,
            entries: entries.iter().map(|(sectors, _)| entry(*sectors)).collect(),
        };
        Judged { start: 16, head, dead: entries.iter().map(|(_, is_dead)| *is_dead).collect() }
    }

    #[test]
    fn only_whole_blocks_in_which_everything_is_dead_are_given_back() {
        // The head takes 16..24; sectors from 24 on.
        assert_eq!(areas_of(&judged(&[(8, true), (8, false)])), [(24, 8)]);
        assert_eq!(areas_of(&judged(&[(3, true), (5, true), (8, false)])), [(24, 8)]);
        assert_eq!(areas_of(&judged(&[(3, true), (5, false), (8, true)])), [(32, 8)]);
        assert_eq!(areas_of(&judged(&[(3, false), (5, true), (8, true)])), [(32, 8)]);
        assert_eq!(areas_of(&judged(&[(3, true)])), [(24, 8)]);
        assert_eq!(areas_of(&judged(&[(8, true), (0, false), (8, true)])), [(24, 16)]);
        assert_eq!(areas_of(&judged(&[(7, true), (7, false)])), []);
    }
}
