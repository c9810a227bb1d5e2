//! The past of one volume: its epoch map and its preserved store as one thing.

use std::ops::Range;
use std::sync::Arc;

use base::codec::{Reader, Writer};
use base::units::Run;
use disk::{DiskError, Payload, Shelf};

use crate::checkpoint::VolumePart;
use crate::epoch_map::{
    EpochMap, LiveMarks, MapError, MapManifest, MapOptions, MapSetup, MapTicket, MergeProgress,
    PageCache,
};
use crate::error::StoreError;
use crate::options::{Compression, PoolOptions};
use crate::preserved::{
    Key, Manifest, Place, Preserve, PreservedError, PreservedOptions, PreservedSetup,
    PreservedStore, Ticket,
};
use crate::registry::VolumeEntry;

/// Old blocks of a volume, and where they are. Where they could not be opened it only says why, and keeps
/// what the last checkpoint knew of them: one volume's damage must not keep the others from opening.
pub(crate) struct History(Result<Whole, Lost>);

/// One that could be opened.
struct Whole {
    map: EpochMap,
    preserved: PreservedStore,
}

/// One that could not.
struct Lost {
    why: Box<str>,
    part: VolumePart,
}

/// What a committed checkpoint allows to be carried out.
pub(crate) struct HistoryTicket(Option<(Ticket, MapTicket)>);

/// Where a history is kept.
pub(crate) struct HistorySetup<'a> {
    pub shelf: &'a Arc<dyn Shelf>,
    pub options: &'a PoolOptions,
    pub cache: &'a Arc<PageCache>,
    pub segment_len: u64,
    pub incarnation: u64,
}

impl HistorySetup<'_> {
    /// Opens the history of a volume from what a checkpoint says of it. Damage is told by
    /// [`History::damage`].
    ///
    /// # Errors
    /// What the shelf says.
    pub async fn open(
        &self,
        entry: &VolumeEntry,
        part: &VolumePart,
    ) -> Result<History, StoreError> {
        match self.open_whole(entry, part).await {
            Ok(whole) => Ok(History(Ok(whole))),
            Err(StoreError::Damaged(why)) => {
                tracing::error!(volume = %entry.name, why, "what marks need is damaged");
                Ok(History(Err(Lost { why: why.into(), part: part.clone() })))
            }
            Err(error) => Err(error),
        }
    }

    async fn open_whole(
        &self,
        entry: &VolumeEntry,
        part: &VolumePart,
    ) -> Result<Whole, StoreError> {
        let setup = PreservedSetup {
            shelf: Arc::clone(self.shelf),
            volume: entry.id,
            incarnation: self.incarnation,
            options: PreservedOptions {
                segment_len: self.segment_len,
                compression_level: match self.options.compression {
                    Compression::Off => None,
                    Compression::Zstd(level) => Some(level),
                },
                ..PreservedOptions::default()
            },
        };
        let manifest = match part.preserved.is_empty() {
            true => Manifest::default(),
            false => Manifest::decode(&mut Reader::new(&part.preserved))
                .map_err(|error| StoreError::Damaged(error.to_string()))?,
        };
        let (preserved, entries) = PreservedStore::recover(setup, &manifest).await?;
        let setup = MapSetup {
            shelf: Arc::clone(self.shelf),
            volume: entry.id,
            cache: Arc::clone(self.cache),
            options: MapOptions::default(),
        };
        let manifest = match part.map.is_empty() {
            true => MapManifest::default(),
            false => MapManifest::decode(&mut Reader::new(&part.map))
                .map_err(|error| StoreError::Damaged(error.to_string()))?,
        };
        let map = match EpochMap::open(setup.clone(), &manifest).await {
            Err(MapError::Damaged { .. }) => EpochMap::rebuild_from(setup, &preserved).await?,
            opened => opened?,
        };
        map.insert(&entries);
        Ok(Whole { map, preserved })
    }
}

impl History {
    /// Why it could not be opened, where it could not.
    pub fn damage(&self) -> Option<&str> {
        self.0.as_ref().err().map(|lost| &*lost.why)
    }

    fn whole(&self) -> Result<&Whole, StoreError> {
        self.0.as_ref().map_err(|lost| StoreError::Damaged(lost.why.to_string()))
    }

    /// The same, for a question about these blocks.
    fn whole_for(&self, asked: Run) -> Result<&Whole, DiskError> {
        let medium = |lost: &Lost| DiskError::Medium {
            extent: asked.extent(),
            why: lost.why.as_ref().into(),
        };
        self.0.as_ref().map_err(medium)
    }

    /// The entries of a run of blocks that a point with this sequence sees: for each block that of the
    /// lowest sequence that is not lower. In order of block.
    ///
    /// # Errors
    /// What the disks say.
    pub async fn lookup_run(
        &self,
        run: Run,
        sequence: u64,
    ) -> Result<Vec<(Key, Place)>, DiskError> {
        let found = self.whole_for(run)?.map.lookup_run(run, sequence).await;
        let hits = found.map_err(|error| error.into_medium(run))?;
        Ok(hits.into_iter().map(|hit| (Key::new(hit.block, hit.sequence), hit.place)).collect())
    }

    /// The blocks from `from` on that have an entry with one of these sequences: at most `limit` of them,
    /// ascending; none only where there are no more.
    ///
    /// # Errors
    /// What the disks say.
    pub async fn changed(
        &self,
        from: u64,
        sequences: Range<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, DiskError> {
        let mut from = from;
        let map = &self.whole_for(Run::new(from, 1))?.map;
        loop {
            let part = map.scan(from, sequences.clone(), limit).await;
            let part = part.map_err(|error| error.into_medium(Run::new(from, 1)))?;
            let mut blocks: Vec<u64> = part.hits.iter().map(|hit| hit.block).collect();
            blocks.dedup();
            match part.next {
                Some(next) if blocks.is_empty() => from = next,
                _ => return Ok(blocks),
            }
        }
    }

    /// All entries of at most about `limit` blocks from `from` on, and where to go on.
    ///
    /// # Errors
    /// What the disks say.
    pub async fn entries(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<(Key, Place)>, Option<u64>), DiskError> {
        let map = &self.whole_for(Run::new(from, 1))?.map;
        let part = map.scan(from, 0..u64::MAX, limit).await;
        let part = part.map_err(|error| error.into_medium(Run::new(from, 1)))?;
        let mut entries = Vec::new();
        for hit in part.hits {
            // The scan tells the first entry of each block; those of newer marks come after it.
            let mut next = Some((hit.sequence, hit.place));
            while let Some((sequence, place)) = next {
                entries.push((Key::new(hit.block, sequence), place));
                let found = map.lookup(hit.block, sequence.saturating_add(1)).await;
                next = found.map_err(|error| error.into_medium(Run::new(hit.block, 1)))?;
            }
        }
        Ok((entries, part.next))
    }

    /// The entries under these sequences from block `from` on, in order: about `limit` of them, and where to go on.
    ///
    /// # Errors
    /// What the disks say.
    pub async fn entries_under(
        &self,
        from: u64,
        sequences: Range<u64>,
        limit: usize,
    ) -> Result<(Vec<(Key, Place)>, Option<u64>), StoreError> {
        let part = self.whole()?.map.scan_all(from, sequences, limit).await?;
        let hits = part.hits.into_iter();
        Ok((hits.map(|hit| (Key::new(hit.block, hit.sequence), hit.place)).collect(), part.next))
    }

    /// Bytes at most of old blocks that lie under any of these sequences.
    pub fn preserved_bytes_in(&self, sequences: &[Range<u64>]) -> u64 {
        self.0.as_ref().map_or(0, |whole| whole.preserved.preserved_bytes_in(sequences))
    }

    /// Bytes at most of old blocks of which each of these marks, all that there are, is the last to need them.
    pub fn preserved_bytes_by_mark(&self, marks: &[u64]) -> Vec<u64> {
        let nothing = |_: &Lost| vec![0; marks.len()];
        self.0.as_ref().map_or_else(nothing, |w| w.preserved.preserved_bytes_by_mark(marks))
    }

    /// The blocks behind entries.
    ///
    /// # Errors
    /// `Medium` naming the first block that is not what was preserved.
    pub async fn read_many(&self, wanted: &[(Key, Place)]) -> Result<Vec<Payload>, DiskError> {
        let first = wanted.first().map_or(0, |(key, _)| key.block);
        let whole = self.whole_for(Run::new(first, 1))?;
        let blocks = whole.preserved.read_many(wanted).await;
        blocks.into_iter().map(|block| block.map_err(|error| error.into_medium())).collect()
    }

    /// Reads each block and tells what is wrong with it, where something is.
    ///
    /// # Errors
    /// `Damaged` where there is no place to read any from.
    pub async fn check_many(
        &self,
        wanted: &[(Key, Place)],
    ) -> Result<Vec<(Key, String)>, StoreError> {
        let blocks = self.whole()?.preserved.read_many(wanted).await;
        let bad = wanted.iter().zip(blocks);
        Ok(bad.filter_map(|((key, _), block)| Some((*key, block.err()?.to_string()))).collect())
    }

    /// Appends old blocks. They are neither stable nor found by lookups yet.
    ///
    /// # Errors
    /// `NoSpace` where there is no room: nothing was written then. What the disks say.
    pub async fn append(&self, items: Vec<Preserve>) -> Result<Vec<(Key, Place)>, StoreError> {
        Ok(self.whole()?.preserved.append(items).await?)
    }

    /// The same, using up the reserve where it has to.
    ///
    /// # Errors
    /// As [`History::append`].
    pub async fn append_from_reserve(
        &self,
        items: Vec<Preserve>,
    ) -> Result<Vec<(Key, Place)>, StoreError> {
        Ok(self.whole()?.preserved.append_from_reserve(items).await?)
    }

    /// Makes what was appended stable and lets lookups find it.
    ///
    /// # Errors
    /// What the disks say; the store takes nothing more then.
    pub async fn publish(&self, placed: &[(Key, Place)]) -> Result<(), StoreError> {
        let whole = self.whole()?;
        whole.preserved.flush().await?;
        whole.map.insert(placed);
        Ok(())
    }

    /// What a checkpoint must say of the history.
    ///
    /// # Errors
    /// What the disks say.
    pub async fn checkpoint(&self) -> Result<(VolumePart, HistoryTicket), StoreError> {
        let Whole { map, preserved } = match &self.0 {
            Ok(whole) => whole,
            Err(lost) => return Ok((lost.part.clone(), HistoryTicket(None))),
        };
        if map.wants_flush() {
            let cut = preserved.cut();
            match map.flush_memtable().await {
                Ok(()) => preserved.advance(cut),
                // A full shelf must not keep the journal from being trimmed: the entries stay in memory,
                // and recovery finds them in the preserved store.
                Err(MapError::Disk(DiskError::NoSpace(what))) => {
                    tracing::warn!(%what, "the epoch map stays in memory for now");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (manifest, frees) = preserved.checkpoint().await?;
        let mut bytes = Writer::new();
        manifest.encode(&mut bytes);
        let (manifest, merged) = map.manifest();
        let mut map_bytes = Writer::new();
        manifest.encode(&mut map_bytes);
        let part = VolumePart {
            allocated_blocks: 0,
            preserved: bytes.into_bytes(),
            map: map_bytes.into_bytes(),
        };
        Ok((part, HistoryTicket(Some((frees, merged)))))
    }

    /// Carries out what the checkpoint allows that is committed now.
    ///
    /// # Errors
    /// What the disks say.
    pub async fn committed(&self, ticket: HistoryTicket) -> Result<(), StoreError> {
        let (Ok(whole), Some((frees, merged))) = (&self.0, ticket.0) else { return Ok(()) };
        whole.preserved.commit_frees(frees).await?;
        Ok(whole.map.commit(merged)?)
    }

    /// Notes that the mark with this sequence is gone; `next` is that of the next newer one.
    pub fn mark_removed(&self, sequence: u64, next: u64) {
        if let Ok(whole) = &self.0 {
            whole.preserved.mark_deleted(sequence, next);
        }
    }

    /// One bounded step of looking for what no mark needs; false where there is nothing to do.
    ///
    /// # Errors
    /// What the disks say.
    pub async fn reclaim_step(&self, marks: Vec<u64>, newest: u64) -> Result<bool, StoreError> {
        let Ok(Whole { map, preserved }) = &self.0 else { return Ok(false) };
        let live = LiveMarks::new(marks, newest);
        if preserved.sweep_step(map, &live).await?.is_some() {
            return Ok(true);
        }
        Ok(!matches!(map.merge_step(&live).await?, MergeProgress::Idle))
    }

    /// Bytes that old blocks take which some mark needs.
    pub fn preserved_bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |whole| whole.preserved.preserved_bytes())
    }

    /// Bytes set aside so that copies in flight always finish.
    pub fn reserve_bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |whole| whole.preserved.reserve_bytes())
    }

    /// Bytes of memory that the map takes.
    pub fn memory_bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |whole| whole.map.memory_bytes())
    }
}

impl MapError {
    /// As a front door tells it: what these blocks held cannot be told.
    fn into_medium(self, asked: Run) -> DiskError {
        match self {
            Self::Disk(DiskError::Closed) => DiskError::Closed,
            other => DiskError::Medium { extent: asked.extent(), why: other.to_string().into() },
        }
    }
}

impl From<PreservedError> for StoreError {
    fn from(error: PreservedError) -> Self {
        match error {
            PreservedError::Full { .. } => Self::NoSpace(error.to_string().into()),
            PreservedError::Poisoned(why) => Self::Poisoned(why),
            PreservedError::Disk(error) => error.into(),
            PreservedError::Damaged(_) | PreservedError::Manifest(_) | PreservedError::Map(_) => {
                Self::Damaged(error.to_string())
            }
        }
    }
}

impl From<MapError> for StoreError {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Disk(error) => error.into(),
            MapError::Damaged { .. } | MapError::Manifest(_) | MapError::Preserved(_) => {
                Self::Damaged(error.to_string())
            }
        }
    }
}
