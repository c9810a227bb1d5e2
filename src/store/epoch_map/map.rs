//! The map itself: memtable and runs, and how entries get in and out.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use base::id::Id;
use disk::{DiskError, Shelf};

use super::cache::PageCache;
use super::error::MapError;
use super::manifest::MapManifest;
use super::merge::MergeJob;
use super::run::{Run, name_of, numbers_in};
use super::writer::RunWriter;
use crate::preserved::{Key, Place};

/// Bytes of memory that an entry takes in a memtable: key, place, and its share of the tree's nodes.
const MEMTABLE_ENTRY_COST: u64 = 48;
/// Entries that are written into a run before other tasks get a turn.
const ENTRIES_PER_TURN: usize = 8192;

/// Entries in memory.
pub(super) type Memtable = BTreeMap<Key, Place>;

/// How an epoch map is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MapOptions {
    /// Entries in the memtable at which it wants to be written out.
    pub memtable_entries: usize,
    /// Runs up to which nothing has to be merged.
    pub runs_max: usize,
    /// Entries that one step of a merge reads.
    pub merge_entries_per_step: u64,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self { memtable_entries: 64 << 10, runs_max: 6, merge_entries_per_step: 64 << 10 }
    }
}

/// Where an epoch map is and how it is kept.
#[derive(Clone)]
pub(crate) struct MapSetup {
    /// Where its runs are.
    pub shelf: Arc<dyn Shelf>,
    /// Whose map it is.
    pub volume: Id,
    /// Where pages are kept, shared with other maps.
    pub cache: Arc<PageCache>,
    /// How it is kept.
    pub options: MapOptions,
}

/// Names the manifest that was made, so that what it allows can be carried out once it is committed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct MapTicket(u64);

/// The epoch map of one volume.
///
/// All methods may be called from several tasks. Questions are answered from what was inserted before
/// they were asked, whatever is written out or merged meanwhile.
pub(crate) struct EpochMap {
    pub(super) setup: MapSetup,
    pub(super) inner: RwLock<Inner>,
    /// Whose turn it is to write the memtable out.
    flusher: tokio::sync::Mutex<()>,
    /// The merge that is under way. Taken before `inner`, held across waiting.
    pub(super) merge: tokio::sync::Mutex<Option<MergeJob>>,
}

#[derive(Default)]
pub(super) struct Inner {
    /// Takes new entries.
    pub(super) active: Memtable,
    /// Is being written out.
    pub(super) frozen: Option<Arc<Memtable>>,
    /// Oldest first.
    pub(super) runs: Arc<Vec<Arc<Run>>>,
    pub(super) next_run: u64,
    /// Runs that no manifest names any more, with how many had been made when they were dropped.
    pub(super) doomed: Vec<(Arc<Run>, u64)>,
    /// How many manifests were made.
    pub(super) manifests: u64,
    /// Whether all runs are to be merged, so that dead entries go.
    pub(super) is_compaction_due: bool,
}

impl EpochMap {
    /// Opens a map as its manifest says; the empty manifest makes a new one. Runs on the shelf that the
    /// manifest does not name are removed.
    ///
    /// # Errors
    /// `Damaged` where a run is not what it was, `Disk` where the shelf or a disk refuses.
    pub(crate) async fn open(setup: MapSetup, manifest: &MapManifest) -> Result<Self, MapError> {
        let MapSetup { shelf, volume, cache, .. } = &setup;
        let mut runs = Vec::with_capacity(manifest.runs.len());
        for record in &manifest.runs {
            runs.push(Arc::new(Run::open(shelf.as_ref(), cache, *volume, record).await?));
        }
        let listed = numbers_in(*volume, &shelf.list()?);
        for number in &listed {
            if manifest.runs.iter().all(|record| record.number != *number) {
                tracing::debug!(%volume, run = number, "remove an orphaned run of the epoch map");
                shelf.remove(&name_of(*volume, *number))?;
            }
        }
        Ok(Self::with_runs(setup, runs, next_number(manifest.next_run, &listed)))
    }

    /// A map with these runs, whatever else is on the shelf.
    pub(super) fn with_runs(setup: MapSetup, runs: Vec<Arc<Run>>, next_run: u64) -> Self {
        let inner = Inner { runs: Arc::new(runs), next_run, ..Inner::default() };
        Self {
            setup,
            inner: RwLock::new(inner),
            flusher: tokio::sync::Mutex::new(()),
            merge: tokio::sync::Mutex::new(None),
        }
    }

    /// Takes entries. Of two with the same key the first that was taken counts.
    pub(crate) fn insert(&self, entries: &[(Key, Place)]) {
        let mut inner = self.write();
        for (key, place) in entries {
            inner.active.entry(*key).or_insert(*place);
        }
    }

    /// The entry of `block` with the smallest sequence that is not below `sequence`: its sequence and
    /// place. Waits only where a page must be read.
    ///
    /// # Errors
    /// `Damaged` where a page is not what it was, `Disk` where the disk refuses.
    pub(crate) async fn lookup(
        &self,
        block: u64,
        sequence: u64,
    ) -> Result<Option<(u64, Place)>, MapError> {
        let key = Key::new(block, sequence);
        let (runs, in_memory) = {
            let inner = self.read();
            let frozen = inner.frozen.as_deref().and_then(|table| first_from(table, key));
            let active = first_from(&inner.active, key);
            (Arc::clone(&inner.runs), smaller(frozen, active))
        };
        let mut best = None;
        for run in runs.iter() {
            // A later source counts only where its sequence is smaller still.
            let below = best.map_or(u64::MAX, |(sequence, _)| sequence);
            if sequence >= below {
                break;
            }
            if run.may_hold(&(block..block.saturating_add(1)), &(sequence..below)) {
                best = smaller(best, run.first_from(key).await?);
            }
        }
        Ok(smaller(best, in_memory))
    }

    /// Whether the memtable has grown to where it should be written out.
    pub(crate) fn wants_flush(&self) -> bool {
        self.read().active.len() >= self.setup.options.memtable_entries
    }

    /// Writes everything that was inserted so far into a durable run.
    ///
    /// # Errors
    /// `Disk` where the shelf or the disk refuses; the entries stay in memory then, and the next call
    /// tries again.
    pub(crate) async fn flush_memtable(&self) -> Result<(), MapError> {
        let _turn = self.flusher.lock().await;
        // One that could not be written earlier goes first.
        let is_pending = self.read().frozen.is_some();
        if is_pending {
            self.flush_frozen().await?;
        }
        {
            let mut inner = self.write();
            if inner.active.is_empty() {
                return Ok(());
            }
            inner.frozen = Some(Arc::new(std::mem::take(&mut inner.active)));
        }
        self.flush_frozen().await
    }

    async fn flush_frozen(&self) -> Result<(), MapError> {
        let Some(table) = self.read().frozen.clone() else { return Ok(()) };
        let mut writer = self.create_run(table.len() as u64)?;
        for (turn, (key, place)) in table.iter().enumerate() {
            if turn % ENTRIES_PER_TURN == ENTRIES_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            if let Err(error) = writer.push(*key, *place).await {
                writer.abandon();
                return Err(error.into());
            }
        }
        let run = writer.finish(&self.setup.cache).await?;
        let mut inner = self.write();
        inner.frozen = None;
        let runs = inner.runs.iter().cloned().chain(run.map(Arc::new));
        inner.runs = Arc::new(runs.collect());
        Ok(())
    }

    /// Begins a run under a fresh number.
    pub(super) fn create_run(&self, entries_max: u64) -> Result<RunWriter, DiskError> {
        let number = {
            let mut inner = self.write();
            inner.next_run += 1;
            inner.next_run - 1
        };
        RunWriter::create(&self.setup.shelf, self.setup.volume, number, entries_max)
    }

    /// What the checkpoint must keep. When the checkpoint is committed, pass the ticket to
    /// [`Self::commit`].
    pub(crate) fn manifest(&self) -> (MapManifest, MapTicket) {
        let mut inner = self.write();
        inner.manifests += 1;
        let runs = inner.runs.iter().map(|run| run.record()).collect();
        (MapManifest { next_run: inner.next_run, runs }, MapTicket(inner.manifests))
    }

    /// Removes the runs that the manifest did without. Call it when the checkpoint that holds the
    /// manifest is stable. A run that somebody still reads from goes at a later call.
    ///
    /// # Errors
    /// `Disk` where the shelf refuses; what stays is removed when the map is opened.
    pub(crate) fn commit(&self, ticket: MapTicket) -> Result<(), MapError> {
        let doomed = {
            let mut inner = self.write();
            let is_free =
                |(run, since): &(Arc<Run>, u64)| *since < ticket.0 && Arc::strong_count(run) == 1;
            let doomed = std::mem::take(&mut inner.doomed);
            let (doomed, kept): (Vec<_>, Vec<_>) = doomed.into_iter().partition(is_free);
            inner.doomed = kept;
            doomed
        };
        for (run, _) in doomed {
            let name = name_of(self.setup.volume, run.number());
            drop(run);
            self.setup.shelf.remove(&name)?;
        }
        Ok(())
    }

    /// How many entries there are, dead ones included.
    pub(crate) fn count(&self) -> u64 {
        let inner = self.read();
        let frozen = inner.frozen.as_ref().map_or(0, |table| table.len());
        let runs: u64 = inner.runs.iter().map(|run| run.entries()).sum();
        runs + (inner.active.len() + frozen) as u64
    }

    /// How many runs there are.
    #[cfg(test)]
    pub(crate) fn run_count(&self) -> usize {
        self.read().runs.len()
    }

    /// Bytes that its runs take on the shelf.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the status of a volume"))]
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.read().runs.iter().map(|run| run.stored_bytes()).sum()
    }

    /// Bytes that it takes in memory, without cached pages.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let inner = self.read();
        let frozen = inner.frozen.as_ref().map_or(0, |table| table.len());
        let tables = (inner.active.len() + frozen) as u64 * MEMTABLE_ENTRY_COST;
        tables + inner.runs.iter().map(|run| run.memory_bytes()).sum::<u64>()
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next number after all that were ever used, also by runs that came back after they were removed.
pub(super) fn next_number(next_run: u64, listed: &[u64]) -> u64 {
    listed.iter().fold(next_run, |next, number| next.max(number.saturating_add(1)))
}

fn first_from(table: &Memtable, key: Key) -> Option<(u64, Place)> {
    let (found, place) = table.range(key..=Key::new(key.block, u64::MAX)).next()?;
    Some((found.sequence, *place))
}

/// The one with the smaller sequence; `older` where they are equal.
fn smaller(older: Option<(u64, Place)>, newer: Option<(u64, Place)>) -> Option<(u64, Place)> {
    match (older, newer) {
        (Some(older), Some(newer)) if newer.0 < older.0 => Some(newer),
        (None, newer) => newer,
        (older, _) => older,
    }
}
