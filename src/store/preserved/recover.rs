//! Recovery: the chunks that were appended after the last cut are found by walking their heads.
//!
//! A chunk belongs to the chain when it is this volume's, its number is exactly the next and its
//! incarnation is not lower than that of the chunk before. A chunk that was flushed is known to be
//! whole: the manifest says so, or a later head does. Of the others the extents are read, and the chain
//! ends before the first that is torn. Where the chain ends before a chunk that was flushed, the store is
//! damaged, and that is an error: a mark would silently lose blocks.

use std::collections::BTreeMap;

use base::id::Id;
use base::units::Extent;
use disk::{AnyDisk, Buffer, DiskError, Usage};

use super::chunk::{CHUNK_SECTORS_MAX, ChunkHead};
use super::error::PreservedError;
use super::extent;
use super::manifest::{Manifest, ScanFrom};
use super::place::{Key, Place};
use super::segment::{indices_in, name_of};
use super::state::State;
use super::store::{PreservedSetup, PreservedStore};
use super::walk::HeadReader;

/// A chunk of the chain and where it lies.
struct Found {
    segment: u32,
    start: u32,
    head: ChunkHead,
}

/// The segments on the shelf from the cut on.
struct Walker {
    volume: Id,
    segments: BTreeMap<u32, HeadReader>,
    disks: BTreeMap<u32, AnyDisk>,
}

impl PreservedStore {
    /// Opens a store as its manifest and its segments say; the empty manifest makes a new one.
    ///
    /// Returns the store and the entries that were appended after the manifest's cut, which belong into
    /// the epoch map's memtable. They are stable when this returns. Segments that belong to nothing are
    /// removed, but for one that becomes the spare.
    ///
    /// # Errors
    /// `Damaged` where a chunk that was flushed is not found whole; `Disk` where the shelf or a disk
    /// refuses.
    pub(crate) async fn recover(
        setup: PreservedSetup,
        manifest: &Manifest,
    ) -> Result<(Self, Vec<(Key, Place)>), PreservedError> {
        let listed = indices_in(setup.volume, &setup.shelf.list()?);
        let mut walker = Walker::open(&setup, manifest.scan_from, &listed)?;
        let mut chain = walker.walk(manifest.scan_from).await?;
        let attested = chain.iter().map(|found| found.head.durable_below);
        let durable_below = attested.fold(manifest.next_chunk, u64::max);
        walker.cut_torn(&mut chain, durable_below).await?;
        walker.check_end(manifest, &chain, durable_below).await?;
        walker.flush(&chain).await?;

        let mut state = State {
            segments: manifest.segments.clone(),
            scan_from: manifest.scan_from,
            next_chunk: manifest.scan_from.chunk + chain.len() as u64,
            ..State::default()
        };
        state.durable_below = state.next_chunk;
        let mut entries = Vec::new();
        for Found { segment, start, head } in &chain {
            if head.number >= manifest.next_chunk {
                let sectors = walker.segments.get(segment).map_or(0, HeadReader::sectors);
                state.count_chunk((*segment, *start), sectors, head);
            }
            entries.extend(head.places(*segment, *start));
        }
        let store = Self::with_state(setup, state);
        store.settle_leftovers(&listed)?;
        Ok((store, entries))
    }

    /// Removes segments that belong to nothing; the first after the last in use becomes the spare.
    ///
    /// What an earlier life wrote into the spare does no harm: a chunk there can follow in the chain
    /// only with the next number and an incarnation that is not lower, which this walk would have found.
    fn settle_leftovers(&self, listed: &[u32]) -> Result<(), PreservedError> {
        let mut guard = self.state();
        let state = &mut *guard;
        let last = state.current();
        let known = listed.iter().chain(state.segments.keys()).copied().max();
        let next = known.max(Some(state.scan_from.segment)).unwrap_or(0);
        state.next_segment = if known.is_none() && state.next_chunk == 0 {
            0
        } else {
            next.checked_add(1).ok_or_else(|| DiskError::NoSpace("segment numbers".into()))?
        };
        let is_leftover = |index: &&u32| !state.segments.contains_key(index);
        for index in listed.iter().filter(is_leftover) {
            let is_after = last.is_none_or(|last| *index > last);
            if state.spare.is_none() && is_after {
                state.spare = self.take_as_spare(*index);
            }
            if state.spare.is_none_or(|(spare, _)| spare != *index) {
                tracing::debug!(volume = %self.volume, segment = index, "remove a leftover segment");
                self.remove_segment(*index);
            }
        }
        Ok(())
    }

    /// The leftover with all of its space taken, where it has the right length and there is room.
    fn take_as_spare(&self, index: u32) -> Option<(u32, u32)> {
        let sectors = self.options.segment_sectors();
        let disk = self.handles.get(index).ok()?;
        let all = Extent::new(0, u64::from(sectors));
        let is_ready = disk.geometry().sectors == all.sectors
            && self.shelf.reserve(&name_of(self.volume, index), all).is_ok();
        is_ready.then_some((index, sectors))
    }
}

impl Walker {
    fn open(setup: &PreservedSetup, from: ScanFrom, listed: &[u32]) -> Result<Self, DiskError> {
        let mut walker =
            Self { volume: setup.volume, segments: BTreeMap::new(), disks: BTreeMap::new() };
        for index in listed.iter().filter(|index| **index >= from.segment) {
            let disk = setup.shelf.open(&name_of(setup.volume, *index), Usage::Data)?;
            walker.segments.insert(*index, HeadReader::new(disk.clone()));
            walker.disks.insert(*index, disk);
        }
        Ok(walker)
    }

    /// The chain of heads from the cut on.
    async fn walk(&mut self, from: ScanFrom) -> Result<Vec<Found>, DiskError> {
        let (mut segment, mut sector) = (from.segment, from.sector);
        let (mut number, mut incarnation) = (from.chunk, from.incarnation);
        let mut chain = Vec::new();
        let volume = self.volume;
        loop {
            let mut next = None;
            // Behind the last chunk of a segment the chain goes on at the front of a later one.
            for (index, reader) in self.segments.range_mut(segment..) {
                let start = if *index == segment { sector } else { 0 };
                let Ok(head) = reader.head_at(start).await? else { continue };
                let is_next = head.volume == volume
                    && head.number == number
                    && head.incarnation >= incarnation
                    && fits(reader.sectors(), start, &head);
                if is_next {
                    next = Some(Found { segment: *index, start, head });
                    break;
                }
            }
            let Some(found) = next else { return Ok(chain) };
            (segment, sector) = (found.segment, found.start + found.head.sectors());
            (number, incarnation) = (number + 1, found.head.incarnation);
            chain.push(found);
        }
    }

    /// Ends the chain before the first chunk that may not have been flushed and is not whole.
    async fn cut_torn(
        &self,
        chain: &mut Vec<Found>,
        durable_below: u64,
    ) -> Result<(), PreservedError> {
        for index in 0..chain.len() {
            if chain[index].head.number >= durable_below && !self.is_whole(&chain[index]).await? {
                chain.truncate(index);
                break;
            }
        }
        Ok(())
    }

    async fn is_whole(&self, found: &Found) -> Result<bool, PreservedError> {
        let Found { segment, start, head } = found;
        let Some(disk) = self.disks.get(segment) else { return Ok(false) };
        let extent = Extent::new(u64::from(*start), u64::from(head.sectors()));
        let chunk = disk.read(extent).await.map(Buffer::freeze)?;
        for (key, place) in head.places(*segment, *start) {
            let offset = u64::from(place.sector - start);
            let stored = chunk.slice(offset, u64::from(place.sectors));
            if extent::checksum_of(self.volume, key, &stored) != place.checksum {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks that no chunk that was flushed lies behind the end of the chain.
    ///
    /// The first chunk that is missing cannot be longer than a chunk can be, so a head behind it is
    /// found within that distance, or at the front of a later segment.
    async fn check_end(
        &mut self,
        manifest: &Manifest,
        chain: &[Found],
        durable_below: u64,
    ) -> Result<(), PreservedError> {
        let number = manifest.scan_from.chunk + chain.len() as u64;
        let from = manifest.scan_from;
        let (segment, start) = chain.last().map_or((from.segment, from.sector), |found| {
            (found.segment, found.start + found.head.sectors())
        });
        let damaged = || {
            let what = format!(
                "chunk {number} was flushed and is not whole (segment {segment}, sector {start})"
            );
            Err(PreservedError::Damaged(what.into()))
        };
        if number < durable_below {
            return damaged();
        }
        let volume = self.volume;
        let attests = |head: ChunkHead| head.volume == volume && head.durable_below > number;
        for (index, reader) in self.segments.range_mut(segment..) {
            let last = start.saturating_add(CHUNK_SECTORS_MAX).min(reader.sectors());
            let sectors = if *index == segment { start..last } else { 0..1 };
            for sector in sectors.step_by(8) {
                // What cannot be read here attests nothing.
                if let Ok(Ok(head)) = reader.head_at(sector).await
                    && attests(head)
                {
                    return damaged();
                }
            }
        }
        Ok(())
    }

    /// Makes stable what was found: it may be in the kernel's memory only, and others will build on it.
    async fn flush(&self, chain: &[Found]) -> Result<(), DiskError> {
        let mut last = None;
        for found in chain.iter().filter(|found| last.replace(found.segment) != Some(found.segment))
        {
            if let Some(disk) = self.disks.get(&found.segment) {
                disk.flush().await?;
            }
        }
        Ok(())
    }
}

fn fits(sectors: u32, start: u32, head: &ChunkHead) -> bool {
    start.checked_add(head.sectors()).is_some_and(|end| end <= sectors)
}
