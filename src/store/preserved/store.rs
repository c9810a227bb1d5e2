//! The store itself: what it is made of, flush, checkpoint, and what it knows of its size.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::id::Id;
use base::units::{BLOCK_LEN, SECTOR_LEN};
use disk::{AnyDisk, Shelf};

use super::append::blocks_that_fit;
use super::error::PreservedError;
use super::extent::Encoder;
use super::handles::Handles;
use super::manifest::{Manifest, ScanFrom};
use super::segment::{SEGMENT_SECTORS_MAX, SEGMENT_SECTORS_MIN};
use super::state::State;

/// How a preserved store is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PreservedOptions {
    /// Bytes of a new segment.
    pub segment_len: u64,
    /// At which level blocks are compressed with zstd; not at all where `None`.
    pub compression_level: Option<i32>,
    /// How many segments are open at most while none is in use.
    pub open_segments_max: usize,
}

impl Default for PreservedOptions {
    fn default() -> Self {
        Self { segment_len: 64 << 20, compression_level: Some(1), open_segments_max: 64 }
    }
}

impl PreservedOptions {
    /// Sectors of a new segment: whole blocks, within what segments can be.
    pub(super) fn segment_sectors(&self) -> u32 {
        let sectors = self.segment_len / SECTOR_LEN as u64;
        let sectors = sectors.clamp(SEGMENT_SECTORS_MIN, SEGMENT_SECTORS_MAX) / 8 * 8;
        u32::try_from(sectors).unwrap_or(u32::MAX)
    }
}

/// Where a preserved store is and how it is kept.
pub(crate) struct PreservedSetup {
    /// Where its segments are.
    pub shelf: Arc<dyn Shelf>,
    /// Whose blocks it keeps.
    pub volume: Id,
    /// Which life of the pool this is: higher than in any earlier opening that may have written.
    pub incarnation: u64,
    /// How it is kept.
    pub options: PreservedOptions,
}

/// Names the manifest that was made, so that what it allows can be carried out once it is committed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Ticket(pub(super) u64);

/// The preserved blocks of one volume.
///
/// All methods may be called from several tasks. Appends, flushes and checkpoints take turns.
pub(crate) struct PreservedStore {
    pub(super) shelf: Arc<dyn Shelf>,
    pub(super) volume: Id,
    pub(super) incarnation: u64,
    pub(super) options: PreservedOptions,
    pub(super) handles: Handles,
    /// Whose turn it is to append or flush. Taken before `state`, held across waiting.
    pub(super) writer: tokio::sync::Mutex<Writer>,
    /// Whose turn it is to sweep.
    pub(super) sweeper: tokio::sync::Mutex<()>,
    pub(super) state: Mutex<State>,
}

/// What only the writer needs.
pub(super) struct Writer {
    pub(super) encoder: Encoder,
    /// Segments written since the last flush.
    pub(super) dirty: BTreeMap<u32, AnyDisk>,
}

impl PreservedStore {
    pub(super) fn with_state(setup: PreservedSetup, state: State) -> Self {
        let PreservedSetup { shelf, volume, incarnation, options } = setup;
        let encoder = Encoder::new(volume, options.compression_level);
        Self {
            handles: Handles::new(Arc::clone(&shelf), volume, options.open_segments_max),
            shelf,
            volume,
            incarnation,
            options,
            writer: tokio::sync::Mutex::new(Writer { encoder, dirty: BTreeMap::new() }),
            sweeper: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
        }
    }

    /// Makes everything that was appended so far stable.
    ///
    /// # Errors
    /// `Poisoned` after an earlier failure, `Disk` where the flush fails; then the store takes nothing
    /// more.
    pub(crate) async fn flush(&self) -> Result<(), PreservedError> {
        let mut writer = self.writer.lock().await;
        self.flush_in_turn(&mut writer).await
    }

    pub(super) async fn flush_in_turn(&self, writer: &mut Writer) -> Result<(), PreservedError> {
        self.state().check()?;
        let flushes: Vec<_> = writer.dirty.values().map(|disk| disk.flush()).collect();
        let mut answer = Ok(());
        for flush in flushes {
            answer = answer.and(flush.await);
        }
        let mut state = self.state();
        if let Err(error) = answer {
            state.poison = Some(format!("a flush of its segments failed: {error}").into());
            return Err(error.into());
        }
        writer.dirty.clear();
        state.durable_below = state.next_chunk;
        Ok(())
    }

    /// Where recovery may start once everything appended so far is in a durable run of the epoch map.
    ///
    /// Take the cut when everything appended has been inserted into the map, then write the map's
    /// memtable out, then call [`Self::advance`].
    pub(crate) fn cut(&self) -> ScanFrom {
        let state = self.state();
        let (segment, sector) = state
            .segments
            .last_key_value()
            .map_or((state.scan_from.segment, state.scan_from.sector), |(index, segment)| {
                (*index, segment.used)
            });
        ScanFrom { segment, sector, chunk: state.next_chunk, incarnation: self.incarnation }
    }

    /// Lets recovery start at this cut, from the next checkpoint on. An older cut changes nothing.
    pub(crate) fn advance(&self, cut: ScanFrom) {
        let mut state = self.state();
        if cut.chunk >= state.scan_from.chunk {
            state.scan_from = cut;
        }
    }

    /// Flushes, and tells what the checkpoint must keep. When the checkpoint is committed, pass the
    /// ticket to [`Self::commit_frees`].
    ///
    /// The marks in the same checkpoint must not be older than those that were given to sweeps before
    /// this call: take the manifest first, then the marks.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub(crate) async fn checkpoint(&self) -> Result<(Manifest, Ticket), PreservedError> {
        let mut writer = self.writer.lock().await;
        self.flush_in_turn(&mut writer).await?;
        let mut state = self.state();
        state.drop_dead_segments();
        state.manifests += 1;
        let manifest = Manifest {
            scan_from: state.scan_from,
            next_chunk: state.next_chunk,
            segments: state.segments.clone(),
        };
        Ok((manifest, Ticket(state.manifests)))
    }

    /// Stored bytes of the entries that are live, as far as sweeps know.
    pub(crate) fn preserved_bytes(&self) -> u64 {
        self.state().live_sectors() * SECTOR_LEN as u64
    }

    /// Stored bytes at most of live entries under any of these mark sequences: what the deletion of marks
    /// may free, given for each its sequence and that of the next mark.
    pub(crate) fn preserved_bytes_in(&self, sequences: &[Range<u64>]) -> u64 {
        let state = self.state();
        let sectors = state.segments.values().map(|segment| segment.live.sectors_in(sequences));
        sectors.sum::<u64>() * SECTOR_LEN as u64
    }

    /// The same of each of the live marks by itself, given all of their sequences in ascending order.
    pub(crate) fn preserved_bytes_by_mark(&self, marks: &[u64]) -> Vec<u64> {
        let mut sums = vec![0; marks.len()];
        for segment in self.state().segments.values() {
            segment.live.add_by_floor(marks, &mut sums);
        }
        sums.iter().map(|sectors| sectors * SECTOR_LEN as u64).collect()
    }

    /// How many entries are live, as far as sweeps know.
    pub(crate) fn live_entries(&self) -> u64 {
        self.state().segments.values().map(|segment| segment.live.entries()).sum()
    }

    /// Bytes that its segments take on the shelf, without the reserve.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the status of a volume"))]
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.state().stored_bytes()
    }

    /// Bytes of the reserve, zero where it is used up.
    pub(crate) fn reserve_bytes(&self) -> u64 {
        self.state().reserve_bytes()
    }

    /// Whether one append of this many bytes of content is sure to find room even if the shelf has none
    /// left, the reserve included.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for steps that must not begin what they cannot finish")
    )]
    pub(crate) fn can_take(&self, bytes: u64) -> bool {
        let state = self.state();
        let current = state.segments.last_key_value();
        let room = current.map_or(0, |(_, segment)| segment.sectors - segment.used);
        let spare = state.spare.map_or(0, |(_, sectors)| sectors);
        blocks_that_fit(room) + blocks_that_fit(spare) >= bytes.div_ceil(BLOCK_LEN as u64)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
