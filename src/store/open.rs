//! Making a pool, opening it, and closing it.
//!
//! Opening reads the newest checkpoint, then the journal from where that says, and leaves what it finds
//! in the dirty index; nothing is applied before the first request is served. It is the same after a
//! clean stop, a crash, and a crash while opening.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::id::Id;
use base::units::{BLOCK_LEN, Extent, SECTORS_PER_BLOCK};
use disk::{AnyDisk, Buffer, DiskError, Durability, Shelf, Usage};
use tokio::sync::Notify;

use crate::berths::{self, Berths, CELLS_MAX};
use crate::checkpoint::{self, Checkpoint, Slots, VolumePart};
use crate::checksum_table::{ChecksumTable, sectors_for};
use crate::dirty::Dirty;
use crate::epoch_map::PageCache;
use crate::error::StoreError;
use crate::event::Kind;
use crate::flush::FlushState;
use crate::gone::GoneDisk;
use crate::history::HistorySetup;
use crate::journal::ring::Ring;
use crate::kept::Lived;
use crate::limit::PreservedLimit;
use crate::options::{PoolOptions, World};
use crate::payloads::Payloads;
use crate::pool::{Core, Live, Pool, Upkeep, Volume};
use crate::registry::{Registry, VolumeEntry};
use crate::replay::{Berthed, Replayed, replay};
use crate::status::VolumeState;
use crate::superblock::{self, CELL_BLOCKS_MAX, Superblock};

/// The name of the journal's disk on the shelf.
pub(crate) const JOURNAL: &str = "journal";
/// Blocks of the smallest journal, 1 MiB: several of the largest frames it may hold.
const JOURNAL_BLOCKS_MIN: u64 = 256;
/// How long opening a pool waits for disks that others hold.
const BUSY_PATIENCE: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(50);

impl Pool {
    /// Whether a shelf holds a pool, whole or not. What a crash left of making one is none.
    ///
    /// # Errors
    /// What the shelf says.
    pub async fn exists(shelf: &Arc<dyn Shelf>) -> Result<bool, StoreError> {
        match shelf.open(superblock::NAME, Usage::Log) {
            Ok(disk) => Ok(!is_unfinished(shelf, &disk).await),
            Err(DiskError::NotFound(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The identity of the pool that a shelf holds; nothing where [`Pool::exists`] says that there is none.
    ///
    /// # Errors
    /// `ForeignPool` or `Damaged` where no superblock can be read; what the shelf says.
    pub async fn identity(shelf: &Arc<dyn Shelf>) -> Result<Option<Id>, StoreError> {
        match shelf.open(superblock::NAME, Usage::Log) {
            Ok(disk) if is_unfinished(shelf, &disk).await => Ok(None),
            Ok(disk) => Ok(Some(superblock::read(&disk).await?.pool)),
            Err(DiskError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a pool on an empty shelf.
    ///
    /// # Errors
    /// `PoolExists`; `BadSize` where the journal would be too small; what the shelf says.
    pub async fn create(
        shelf: &Arc<dyn Shelf>,
        options: &PoolOptions,
        world: &World,
    ) -> Result<(), StoreError> {
        if Self::exists(shelf).await? {
            return Err(StoreError::PoolExists);
        }
        let journal_blocks = options.journal_len.0 / BLOCK_LEN as u64;
        if journal_blocks < JOURNAL_BLOCKS_MIN {
            let why = "a journal has at least 1M";
            return Err(StoreError::BadSize { asked: options.journal_len, why });
        }
        let cell_blocks = options.cell_len.0 / BLOCK_LEN as u64;
        if !cell_blocks.is_power_of_two() || cell_blocks > CELL_BLOCKS_MAX {
            let why = "a cell has a power of two of blocks, from 4K to 1M";
            return Err(StoreError::BadSize { asked: options.cell_len, why });
        }
        let pool = Id::fresh(&*world.rng);
        // A crash in an earlier attempt may have left parts; the superblock comes last and makes a pool.
        for name in shelf.list()? {
            shelf.remove(&name)?;
        }
        let journal = shelf.create(JOURNAL, journal_blocks * SECTORS_PER_BLOCK, Usage::Log)?;
        shelf.reserve(JOURNAL, Extent::new(0, journal_blocks * SECTORS_PER_BLOCK))?;
        fill(&journal).await?;
        let first = Checkpoint {
            pool,
            generation: 1,
            events_through: 0,
            first_frame: 1,
            first_position: 0,
            first_incarnation: 1,
            events: Registry::default().to_events(),
            volumes: BTreeMap::new(),
        };
        Slots::default().write(&**shelf, &first).await?;
        let superblock = Superblock {
            pool,
            incarnation: 0,
            journal_blocks,
            created_ms: world.clock.wall_ms(),
            segment_len: options.segment_len.0,
            cell_blocks,
        };
        superblock::create(&**shelf, &superblock).await
    }

    /// Opens a pool. Must be called within a runtime; `run` does the background work.
    ///
    /// # Errors
    /// `NoPool`, `ForeignPool`, `Damaged`; what the shelf says.
    pub async fn open(
        shelf: Arc<dyn Shelf>,
        options: PoolOptions,
        world: World,
    ) -> Result<Arc<Self>, StoreError> {
        let disk = match shelf.open(superblock::NAME, Usage::Log) {
            Ok(disk) if is_unfinished(&shelf, &disk).await => return Err(StoreError::NoPool),
            Ok(disk) => disk,
            Err(DiskError::NotFound(_)) => return Err(StoreError::NoPool),
            Err(error) => return Err(error.into()),
        };
        let mut superblock = superblock::read(&disk).await?;
        superblock.incarnation += 1;
        superblock::write(&disk, &superblock).await?;
        let found = checkpoint::read(&*shelf).await?;
        if found.checkpoint.pool != superblock.pool {
            return Err(StoreError::ForeignPool("its checkpoint is of another pool".to_owned()));
        }
        let slots = Slots::mend(&*shelf, &found).await;
        let checkpoint = found.checkpoint;
        let journal = shelf.open(JOURNAL, Usage::Log)?;
        if journal.geometry().sectors < superblock.journal_blocks * SECTORS_PER_BLOCK {
            return Err(StoreError::Damaged("the journal is shorter than it was made".to_owned()));
        }
        let replayed = replay(&shelf, &journal, &superblock, &checkpoint).await?;
        let mut core = core_of(&replayed, &superblock, &checkpoint);
        if let Some(damage) = found.damage {
            // A power cut while it was written leaves the same, so this is no alarm.
            tracing::warn!(damage, "a copy of the checkpoint was not whole and was written again");
        }
        let page_cache = Arc::new(PageCache::new(options.map_cache_len.0));
        let mut opener = Opener {
            shelf: &shelf,
            options: &options,
            superblock: &superblock,
            cache: &page_cache,
            patience: BUSY_PATIENCE,
        };
        opener.open_volumes(&mut core, replayed, &checkpoint).await?;
        opener.remove_orphans(&core, &journal).await?;
        let lived = Lived { before_ms: core.registry.lived_ms(), opened: world.clock.monotonic() };
        let pool = Arc::new_cyclic(|myself| Self {
            lived,
            shelf: Arc::clone(&shelf),
            options,
            world,
            superblock,
            journal,
            page_cache,
            core: Mutex::new(core),
            work: Notify::new(),
            progress: Notify::new(),
            batches: AtomicU64::new(0),
            runtime: tokio::runtime::Handle::current(),
            admin: tokio::sync::Mutex::new(()),
            upkeep: tokio::sync::Mutex::new(Upkeep {
                slots,
                generation: checkpoint.generation,
                applied_blocks: 0,
                is_checkpoint_due: true,
            }),
            myself: myself.clone(),
        });
        pool.look_at_space();
        Ok(pool)
    }

    /// Applies everything, writes a checkpoint and stops. Disks answer `Closed` afterwards. Where that
    /// does not work, the journal still holds what is missing in the bases.
    ///
    /// # Errors
    /// What kept it from applying everything.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.lock().is_closing = true;
        let drained = self.drain_all().await;
        let waiting = {
            let mut core = self.lock();
            core.is_closed = true;
            std::mem::take(&mut core.waiting)
        };
        for change in waiting {
            change.answer(Err(DiskError::Closed));
        }
        self.work.notify_one();
        self.progress.notify_waiters();
        drained
    }

    async fn drain_all(&self) -> Result<(), StoreError> {
        let numbers: Vec<u32> = self.lock().volumes.keys().copied().collect();
        let mut outcome = self.flush().await.map_err(StoreError::from);
        for number in numbers {
            let drained = self.drain(number).await;
            outcome = outcome.and(drained);
        }
        outcome
    }
}

/// Writes the whole journal once. Space that was only set aside is marked as written at the first write to
/// it, which every flush of the first round would wait for: file systems journal that mark.
async fn fill(journal: &AnyDisk) -> Result<(), DiskError> {
    let sectors = journal.geometry().sectors;
    let zeroes = Buffer::for_sectors(sectors.min(2048))?.freeze();
    let mut at = 0;
    while at < sectors {
        let part = zeroes.slice(0, zeroes.sectors().min(sectors - at));
        at += part.sectors();
        journal.write(at - part.sectors(), vec![part], Durability::Volatile).await?;
    }
    journal.flush().await
}

/// Whether this superblock was made but never written: a crash came while the pool was made. Then nothing
/// was ever committed to its checkpoint either.
async fn is_unfinished(shelf: &Arc<dyn Shelf>, superblock: &AnyDisk) -> bool {
    let read = superblock.read(Extent::new(0, superblock.geometry().sectors)).await;
    if !read.is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0)) {
        return false;
    }
    match checkpoint::read(&**shelf).await {
        Ok(found) => found.checkpoint.generation == 1,
        Err(_) => false,
    }
}

fn core_of(replayed: &Replayed, superblock: &Superblock, checkpoint: &Checkpoint) -> Core {
    let cursor = replayed.cursor;
    Core {
        registry: replayed.registry.clone(),
        volumes: BTreeMap::new(),
        ring: Ring {
            blocks: superblock.journal_blocks,
            head: cursor.position,
            tail: checkpoint.first_position,
        },
        next_frame: cursor.number,
        frames: BTreeMap::new(),
        completed: cursor.number - 1,
        // What was read back may still be on its way to stable storage, after a mere kill.
        durable: checkpoint.events_through,
        attested: checkpoint.events_through,
        completed_tells: checkpoint.events_through,
        noted_durable: checkpoint.events_through,
        frame_positions: replayed.frame_positions.clone(),
        last_event_frame: replayed.last_event_frame,
        flush: FlushState::default(),
        payloads: Payloads::default(),
        waiting: VecDeque::new(),
        poison: None,
        is_closing: false,
        is_closed: false,
        warnings: BTreeMap::new(),
        unstable_bases: BTreeMap::new(),
        lived_noted_ms: replayed.registry.lived_ms(),
        space_free: u64::MAX,
        preserved: PreservedLimit::default(),
    }
}

/// The shelf names of a volume's disks.
pub(crate) struct Names {
    /// The base, where it lies in the pool.
    pub base: String,
    /// The two copies of the checksum table.
    pub sums: [String; 2],
    /// The berths beside those in the base.
    pub spare: String,
    /// The two copies of the table of berths.
    pub berths: [String; 2],
}

impl Names {
    /// Those of the volume with this identity.
    pub fn of(id: Id) -> Self {
        let two = |what: &str| [format!("{id}.{what}-0"), format!("{id}.{what}-1")];
        let (base, spare) = (format!("{id}.base"), format!("{id}.spare"));
        Self { base, sums: two("sums"), spare, berths: two("berths") }
    }
}

/// Opens volumes.
pub(crate) struct Opener<'a> {
    pub shelf: &'a Arc<dyn Shelf>,
    pub options: &'a PoolOptions,
    pub superblock: &'a Superblock,
    pub cache: &'a Arc<PageCache>,
    /// How long it still waits for disks that others hold, over all volumes.
    pub patience: Duration,
}

impl Opener<'_> {
    /// Opens all volumes and views, and puts back what replay found of them.
    async fn open_volumes(
        &mut self,
        core: &mut Core,
        mut replayed: Replayed,
        checkpoint: &Checkpoint,
    ) -> Result<(), StoreError> {
        for entry in core.registry.volumes() {
            let part = checkpoint.volumes.get(&entry.number).cloned().unwrap_or_default();
            let mut live = self.open(entry, &part).await?;
            live.dirty = replayed.dirty.remove(&entry.number).unwrap_or_default();
            if let Some(told) = replayed.berthed.get(&entry.number) {
                live.note_berths(told);
                core.unstable_bases.insert(entry.number, Arc::clone(&live.volume.base));
            }
            live.check_berths();
            core.volumes.insert(entry.number, live);
        }
        for (number, sequence) in replayed.removed_marks {
            core.look_for_space_of(number, sequence);
        }
        Ok(())
    }

    /// Takes a disk over. One that is busy may still be held by a process that is on its way out, whose
    /// requests the kernel ends by and by; a volume in fail-stop for that would be an outage for nothing.
    async fn adopt(&mut self, path: &Path) -> Result<AnyDisk, DiskError> {
        loop {
            match self.shelf.adopt(path) {
                Err(DiskError::Busy(_)) if !self.patience.is_zero() => {
                    tracing::info!(path = %path.display(), "it is in use; waiting for its holder's end");
                    tokio::time::sleep(BUSY_PAUSE).await;
                    self.patience = self.patience.saturating_sub(BUSY_PAUSE);
                }
                done => return done,
            }
        }
    }

    /// Opens a volume. One whose base cannot be opened or is shorter than it was, or whose preserved blocks
    /// are damaged, comes up in fail-stop and does not keep the others from working.
    ///
    /// # Errors
    /// What the pool's own shelf says.
    pub async fn open(
        &mut self,
        entry: &VolumeEntry,
        part: &VolumePart,
    ) -> Result<Live, StoreError> {
        let mut state = VolumeState::Ready;
        let opened = match &entry.kind {
            Kind::Adopted(path) => self.adopt(Path::new(path)).await,
            Kind::Thin | Kind::View { .. } => {
                self.shelf.open(&Names::of(entry.id).base, Usage::Data)
            }
        };
        let base = opened.unwrap_or_else(|error| {
            let reason = format!(
                "its base cannot be opened: {error}; bring it back and start the daemon again"
            );
            state = VolumeState::FailStop { reason };
            Arc::new(GoneDisk::new(entry.sectors, error))
        });
        let there = base.geometry().sectors;
        let has_grown_in_crash = !matches!(entry.kind, Kind::Adopted(_)) && there < entry.sectors;
        if has_grown_in_crash {
            self.shelf.grow(&Names::of(entry.id).base, entry.sectors)?;
        } else if there < entry.sectors {
            let reason = format!(
                "its base has shrunk from {} to {there} sectors; bring back the whole disk and start the daemon again",
                entry.sectors
            );
            state = VolumeState::FailStop { reason };
        }
        let volume = self.assemble(entry, base, part).await?;
        if let Some(why) = volume.history.damage() {
            let reason = format!(
                "what its marks need is damaged: {why}; its live contents can still be read, copy them to another volume"
            );
            state = VolumeState::FailStop { reason };
        }
        Ok(Live::new(Arc::new(volume), state, part.allocated_blocks))
    }

    /// Puts a volume together over an open base.
    ///
    /// # Errors
    /// What the pool's own shelf says.
    pub async fn assemble(
        &mut self,
        entry: &VolumeEntry,
        base: AnyDisk,
        part: &VolumePart,
    ) -> Result<Volume, StoreError> {
        let names = Names::of(entry.id);
        let blocks = entry.sectors.div_ceil(SECTORS_PER_BLOCK);
        let copies = self.two_disks(&names.sums, sectors_for(blocks))?;
        let tag = u32::try_from(entry.id.0 & u128::from(u32::MAX)).unwrap_or(0);
        let setup = HistorySetup {
            shelf: self.shelf,
            options: self.options,
            cache: self.cache,
            segment_len: self.superblock.segment_len,
            incarnation: self.superblock.incarnation,
        };
        let history = setup.open(entry, part).await?;
        let berths = self.berths(entry, &names, &base, !tag).await?;
        let base = berths.as_ref().map_or(base, berths::berthed);
        Ok(Volume {
            number: entry.number,
            id: entry.id,
            base,
            berths,
            sums: ChecksumTable::new(tag, copies, self.options.checksum_cache_len.0),
            history,
            applied: AtomicU64::new(0),
        })
    }

    /// Opens a disk of the pool's own, or makes it with as many sectors as it should have at least.
    fn disk_of(&self, name: &str, sectors: u64) -> Result<AnyDisk, DiskError> {
        let disk = match self.shelf.open(name, Usage::Data) {
            Err(DiskError::NotFound(_)) => self.shelf.create(name, sectors, Usage::Data)?,
            opened => opened?,
        };
        if disk.geometry().sectors < sectors {
            self.shelf.grow(name, sectors)?;
        }
        Ok(disk)
    }

    fn two_disks(
        &self,
        [first, second]: &[String; 2],
        sectors: u64,
    ) -> Result<[AnyDisk; 2], DiskError> {
        Ok([self.disk_of(first, sectors)?, self.disk_of(second, sectors)?])
    }

    /// The berths of a volume over its base; none of an adopted one, which must be a plain disk when it is
    /// released.
    async fn berths(
        &self,
        entry: &VolumeEntry,
        names: &Names,
        base: &AnyDisk,
        tag: u32,
    ) -> Result<Option<Arc<Berths>>, StoreError> {
        let cell_blocks = self.superblock.cell_blocks;
        let cells = entry.sectors.div_ceil(SECTORS_PER_BLOCK * cell_blocks);
        if matches!(entry.kind, Kind::Adopted(_)) || cells > CELLS_MAX {
            return Ok(None);
        }
        let table = self.two_disks(&names.berths, sectors_for(cells))?;
        let spares = berths::spares_for(cells) * cell_blocks * SECTORS_PER_BLOCK;
        let spare = match self.shelf.open(&names.spare, Usage::Data) {
            Err(DiskError::NotFound(_)) => self.shelf.create(&names.spare, spares, Usage::Data)?,
            opened => opened?,
        };
        let table = ChecksumTable::new(tag, table, u64::MAX);
        let disks = [Arc::clone(base), spare];
        Ok(Some(Arc::new(Berths::open(cell_blocks, cells, disks, table).await?)))
    }

    /// Removes what belongs to volumes that are gone: a crash may have come between the two. After a mere
    /// kill the journal may say so and not be stable yet; the disks must not go before it is.
    async fn remove_orphans(&self, core: &Core, journal: &AnyDisk) -> Result<(), StoreError> {
        let mut orphans = self.shelf.list()?;
        orphans.retain(|name| {
            let owner = name.split_once('.').and_then(|(id, _)| id.parse::<Id>().ok());
            owner.is_some_and(|id| core.registry.volumes().all(|entry| entry.id != id))
        });
        if orphans.is_empty() {
            return Ok(());
        }
        for base in core.unstable_bases.values() {
            base.flush().await?;
        }
        journal.flush().await?;
        for name in orphans {
            self.shelf.remove(&name)?;
        }
        Ok(())
    }
}

impl Live {
    /// Notes which berths the journal tells of. A cell that lies in one of them already comes to another
    /// one until it is moored again: what the journal has of older layers is written in place first, and
    /// what a berth holds is nowhere else.
    fn note_berths(&self, told: &[Berthed]) {
        let Some(berths) = &self.volume.berths else { return };
        for Berthed { cell, berth, frame } in told {
            berths.note(*cell, *berth, *frame);
        }
        for Berthed { cell, berth, .. } in told {
            berths.vacate(*cell, *berth);
        }
    }

    /// Stops a volume of which berths are gone.
    fn check_berths(&mut self) {
        let berths = self.volume.berths.as_ref();
        if self.state == VolumeState::Ready && berths.is_some_and(|berths| berths.has_lost_some()) {
            let reason = "its disk of spare berths has lost its end; bring it back whole and start the daemon again, or copy what can be read to another volume".to_owned();
            self.state = VolumeState::FailStop { reason };
        }
    }

    /// A volume that was just opened.
    pub(crate) fn new(volume: Arc<Volume>, state: VolumeState, allocated_blocks: u64) -> Self {
        Self {
            volume,
            dirty: Dirty::default(),
            state,
            locked: Vec::new(),
            locked_waiting: Vec::new(),
            allocated_blocks,
            apply_cursor: 0,
            unstable_from: None,
            copied: (0, 0),
            is_pass_clean: true,
            stalled_since: None,
            is_on_reserve: false,
            is_leaving: false,
        }
    }
}
