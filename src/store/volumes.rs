//! Volumes: making, adopting, releasing, growing, removing, and what they say of themselves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::id::Id;
use base::limits::{ATOMIC_WRITE_LEN_MAX, VOLUME_LEN_MAX, VOLUMES_PER_POOL_MAX};
use base::name::Name;
use base::size::ByteSize;
use base::units::{BLOCK_LEN, SECTOR_LEN};
use disk::{AnyDisk, Usage};
use tokio::sync::oneshot;

use crate::checkpoint::VolumePart;
use crate::checksum_table::sectors_for;
use crate::error::StoreError;
use crate::event::{Event, Kind, Policies};
use crate::kept::check_may_leave;
use crate::live_disk::LiveDisk;
use crate::open::{Names, Opener};
use crate::pool::{Core, Live, Pool, Waiter};
use crate::registry::VolumeEntry;
use crate::status::{
    PoolState, PoolStatus, RollbackStatus, VolumeKind, VolumeSettings, VolumeState, VolumeStatus,
};

impl Pool {
    /// Makes a thin volume. Its size is rounded up to whole blocks.
    ///
    /// # Errors
    /// `NameTaken`, `BadSize`, `Limit`; what the shelf says.
    pub async fn create_volume(
        &self,
        name: &Name,
        size: ByteSize,
    ) -> Result<VolumeStatus, StoreError> {
        let _admin = self.admin.lock().await;
        if size.0 == 0 || size.0 > VOLUME_LEN_MAX {
            let why = "it must be more than nothing and at most 64T";
            return Err(StoreError::BadSize { asked: size, why });
        }
        let sectors = size.0.next_multiple_of(BLOCK_LEN as u64) / SECTOR_LEN as u64;
        let entry = self.new_entry(name, Kind::Thin, sectors)?;
        let base = self.shelf.create(&Names::of(entry.id).base, sectors, Usage::Data)?;
        self.add_volume(entry, base).await?;
        self.volume(name)
    }

    /// Takes an existing file or block device as a volume, in place. Nothing in it changes until an
    /// initiator writes.
    ///
    /// # Errors
    /// `NameTaken`, `BadSize`, `Limit`; `Busy` where somebody else uses it; what the shelf says.
    pub async fn adopt_volume(&self, name: &Name, path: &Path) -> Result<VolumeStatus, StoreError> {
        let _admin = self.admin.lock().await;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let base = self.shelf.adopt(&path)?;
        let sectors = base.geometry().sectors;
        let len = sectors.saturating_mul(SECTOR_LEN as u64);
        if sectors == 0 || len > VOLUME_LEN_MAX {
            let why = "a disk to adopt has at least one sector and at most 64T";
            return Err(StoreError::BadSize { asked: ByteSize(len), why });
        }
        let text = path.to_str().ok_or_else(|| {
            StoreError::Limit(format!("the path {} is not text; rename it", path.display()))
        })?;
        let entry = self.new_entry(name, Kind::Adopted(text.to_owned()), sectors)?;
        self.add_volume(entry, base).await?;
        self.volume(name)
    }

    /// Drains the journal into an adopted disk and lets go of it; what is left is a plain disk with the
    /// current contents. Its marks go. Gives back where it lies.
    ///
    /// # Errors
    /// `UnknownVolume`, `NotAdopted`, `Busy` where marks have views or are locked; what the disks say.
    pub async fn release_volume(&self, name: &Name) -> Result<PathBuf, StoreError> {
        let admin = self.admin.lock().await;
        let (number, path) = {
            let core = self.lock_now();
            let entry = core.registry.named(name)?;
            let Kind::Adopted(path) = &entry.kind else {
                return Err(StoreError::NotAdopted(name.clone()));
            };
            check_may_leave(&core.registry, entry)?;
            if let Some(VolumeState::FailStop { reason }) =
                core.volumes.get(&entry.number).map(|live| &live.state)
            {
                return Err(StoreError::Poisoned(reason.as_str().into()));
            }
            if entry.copying_rollback().is_some() {
                let why = "a rollback is still being copied; wait until it is done".to_owned();
                return Err(StoreError::Busy { what: name.to_string(), why });
            }
            (entry.number, PathBuf::from(path))
        };
        self.set_leaving(number, true);
        if let Err(error) = self.drain(number).await {
            self.set_leaving(number, false);
            return Err(error);
        }
        let disks = self.forget_volume(number).await?;
        drop(admin);
        self.remove_disks(disks).await?;
        Ok(path)
    }

    /// Removes a volume with all its marks. An adopted disk is only let go of, with what was applied.
    ///
    /// # Errors
    /// `UnknownVolume`; `Busy` where marks have views or are locked.
    pub async fn remove_volume(&self, name: &Name) -> Result<(), StoreError> {
        let admin = self.admin.lock().await;
        let number = {
            let core = self.lock_now();
            let entry = core.registry.named(name)?;
            if entry.is_view() {
                return Err(StoreError::UnknownVolume(name.clone()));
            }
            check_may_leave(&core.registry, entry)?;
            entry.number
        };
        let disks = self.forget_volume(number).await?;
        drop(admin);
        self.remove_disks(disks).await
    }

    /// Makes a thin volume longer while it is in use; the new blocks read as zeroes. An adopted one takes
    /// the length that its disk has grown to.
    ///
    /// # Errors
    /// `UnknownVolume`, `Shrink`, `BadSize`; what the shelf says.
    pub async fn grow_volume(
        &self,
        name: &Name,
        size: ByteSize,
    ) -> Result<VolumeStatus, StoreError> {
        let _admin = self.admin.lock().await;
        let (volume, id, kind, now) = {
            let core = self.lock();
            let entry = core.registry.named(name)?;
            (entry.number, entry.id, entry.kind.clone(), entry.sectors)
        };
        if size.0 > VOLUME_LEN_MAX {
            return Err(StoreError::BadSize { asked: size, why: "a volume has at most 64T" });
        }
        let mut sectors = size.0.next_multiple_of(BLOCK_LEN as u64) / SECTOR_LEN as u64;
        if sectors < now {
            let now = ByteSize(now * SECTOR_LEN as u64);
            return Err(StoreError::Shrink { volume: name.clone(), now, asked: size });
        }
        if let Kind::Adopted(_) = kind {
            let there = self.base_of(volume)?.geometry().sectors;
            sectors = size.0 / SECTOR_LEN as u64;
            if there < sectors {
                let why = "the adopted disk itself must be made longer first";
                return Err(StoreError::BadSize { asked: size, why });
            }
        } else {
            self.shelf.grow(&Names::of(id).base, sectors)?;
        }
        let table = sectors_for(sectors.div_ceil(base::units::SECTORS_PER_BLOCK));
        let names = Names::of(id);
        for name in &names.sums {
            self.shelf.grow(name, table)?;
        }
        if !matches!(kind, Kind::Adopted(_)) {
            let cell_sectors = self.superblock.cell_blocks * base::units::SECTORS_PER_BLOCK;
            for name in &names.berths {
                self.shelf.grow(name, sectors_for(sectors.div_ceil(cell_sectors)))?;
            }
        }
        self.commit(Event::Grown { volume, sectors }, |_| ()).await?;
        self.volume(name)
    }

    /// Changes a volume's policies.
    ///
    /// # Errors
    /// `UnknownVolume`.
    pub async fn set_volume(
        &self,
        name: &Name,
        settings: VolumeSettings,
    ) -> Result<VolumeStatus, StoreError> {
        let _admin = self.admin.lock().await;
        let (volume, old) = {
            let core = self.lock();
            let entry = core.registry.named(name)?;
            (entry.number, entry.policies)
        };
        let policies = Policies {
            sync: settings.sync.unwrap_or(old.sync),
            when_marks_full: settings.when_marks_full.unwrap_or(old.when_marks_full),
            when_store_full: settings.when_store_full.unwrap_or(old.when_store_full),
        };
        self.commit(Event::PoliciesSet { volume, policies }, |_| ()).await?;
        self.volume(name)
    }

    /// All volumes, views left out, by name.
    pub fn volumes(&self) -> Vec<VolumeStatus> {
        let core = self.lock();
        let entries = core.registry.volumes().filter(|entry| !entry.is_view());
        let mut all: Vec<_> = entries.map(|entry| volume_status(&core, entry)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// One volume.
    ///
    /// # Errors
    /// `UnknownVolume`.
    pub fn volume(&self, name: &Name) -> Result<VolumeStatus, StoreError> {
        let core = self.lock();
        Ok(volume_status(&core, core.registry.named(name)?))
    }

    /// What a person should know, each with the way out, under a word for what it is: `damaged NAME`, `stall NAME`, and
    /// others of the pool as a whole.
    pub fn warnings(&self) -> Vec<(String, String)> {
        let core = self.lock();
        core.warnings.iter().map(|(key, text)| (key.clone(), text.clone())).collect()
    }

    /// The pool as a whole.
    pub fn status(&self) -> PoolStatus {
        let space = self.shelf.space().ok();
        let core = self.lock();
        let state = match (&core.poison, core.is_closed) {
            (Some(why), _) => PoolState::Poisoned { reason: why.to_string() },
            (None, true) => PoolState::Closed,
            (None, false) => PoolState::Open,
        };
        let views = core.registry.volumes().filter(|entry| entry.is_view()).count();
        let histories = core.volumes.values().map(|live| &live.volume.history);
        PoolStatus {
            id: self.superblock.pool,
            state,
            incarnation: self.superblock.incarnation,
            journal_len: core.ring.blocks * BLOCK_LEN as u64,
            journal_used_bytes: core.ring.used() * BLOCK_LEN as u64,
            space_free_bytes: space.map_or(0, |space| space.free),
            space_total_bytes: space.map_or(0, |space| space.total),
            preserved_bytes: histories.clone().map(|store| store.preserved_bytes()).sum(),
            preserved_limit: core.preserved.limit,
            reserve_bytes: histories.map(|store| store.reserve_bytes()).sum(),
            memory_bytes: Self::memory_bytes(&core),
            volumes: core.registry.len() - views,
            views,
            warnings: core.warnings.values().cloned().collect(),
        }
    }

    /// Commits an event: it is applied at once and stable when this returns.
    ///
    /// # Errors
    /// Why the pool takes no changes.
    pub(crate) async fn commit(
        &self,
        event: Event,
        then: impl FnOnce(&mut Core),
    ) -> Result<(), StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.append_event(self.lock(), event, Waiter::Task(sender), then)?;
        receiver.await.unwrap_or(Err(disk::DiskError::Closed))?;
        Ok(())
    }

    /// An entry for a new volume or view.
    ///
    /// # Errors
    /// `NameTaken`, `Limit`.
    pub(crate) fn new_entry(
        &self,
        name: &Name,
        kind: Kind,
        sectors: u64,
    ) -> Result<VolumeEntry, StoreError> {
        let core = self.lock();
        if core.registry.is_taken(name) {
            return Err(StoreError::NameTaken(name.to_string()));
        }
        if core.registry.len() >= VOLUMES_PER_POOL_MAX {
            return Err(StoreError::Limit(format!(
                "a pool holds at most {VOLUMES_PER_POOL_MAX} volumes and views; remove one first"
            )));
        }
        Ok(VolumeEntry {
            number: core.registry.next_number(),
            id: Id::fresh(&*self.world.rng),
            name: name.clone(),
            kind,
            sectors,
            created_ms: self.world.clock.wall_ms(),
            policies: Policies::default(),
            marks: std::collections::BTreeMap::new(),
            next_sequence: 1,
            rollback: None,
            is_promoting: false,
            notes: std::collections::BTreeMap::new(),
        })
    }

    /// Opens the disks of a new volume and commits it.
    pub(crate) async fn add_volume(
        &self,
        entry: VolumeEntry,
        base: AnyDisk,
    ) -> Result<(), StoreError> {
        let mut opener = Opener {
            shelf: &self.shelf,
            options: &self.options,
            superblock: &self.superblock,
            cache: &self.page_cache,
            patience: Duration::ZERO,
        };
        let volume = opener.assemble(&entry, base, &VolumePart::default()).await?;
        let live = Live::new(Arc::new(volume), VolumeState::Ready, 0);
        let event = Event::Created {
            volume: entry.number,
            id: entry.id,
            name: entry.name,
            kind: entry.kind,
            sectors: entry.sectors,
            created_ms: entry.created_ms,
        };
        let number = entry.number;
        self.commit(event, |core| {
            core.volumes.insert(number, live);
        })
        .await
    }

    /// Commits that a volume or view is gone; gives the names of the disks that nothing needs any more.
    pub(crate) async fn forget_volume(&self, number: u32) -> Result<Vec<String>, StoreError> {
        let mut disks = Vec::new();
        let mut upkeep = self.upkeep.lock().await;
        let mut gone = None;
        self.commit(Event::Removed { volume: number }, |core| gone = core.volumes.remove(&number))
            .await?;
        if let Some(live) = gone {
            let id = live.volume.id;
            for change in live.locked_waiting {
                change.answer(Err(disk::DiskError::Closed));
            }
            drop(live.volume);
            // Until a checkpoint knows that it is gone, replay must find its disks.
            self.checkpoint(&mut upkeep).await?;
            let own = format!("{id}.");
            disks = self.shelf.list()?;
            disks.retain(|name| name.starts_with(&own));
        }
        Ok(disks)
    }

    /// Removes disks, where nobody waits for it: a file system takes seconds for a large scattered one. What
    /// is left of them by a crash goes when the pool is opened.
    pub(crate) async fn remove_disks(&self, disks: Vec<String>) -> Result<(), StoreError> {
        let shelf = Arc::clone(&self.shelf);
        let removed = tokio::task::spawn_blocking(move || {
            disks.iter().try_for_each(|name| shelf.remove(name))
        });
        Ok(removed.await.unwrap_or(Err(disk::DiskError::Closed))?)
    }

    fn set_leaving(&self, number: u32, is_leaving: bool) {
        if let Some(live) = self.lock().volumes.get_mut(&number) {
            live.is_leaving = is_leaving;
        }
    }

    fn base_of(&self, number: u32) -> Result<AnyDisk, StoreError> {
        let core = self.lock();
        core.volumes
            .get(&number)
            .map(|live| Arc::clone(&live.volume.base))
            .ok_or(StoreError::Closed)
    }

    /// The live contents of a volume or view as a disk.
    pub(crate) fn live_disk(&self, number: u32) -> AnyDisk {
        Arc::new(LiveDisk { pool: self.shared(), number })
    }
}

fn volume_status(core: &Core, entry: &VolumeEntry) -> VolumeStatus {
    let live = core.volumes.get(&entry.number);
    let kind = match &entry.kind {
        Kind::Adopted(path) => VolumeKind::Adopted { path: path.clone() },
        Kind::Thin | Kind::View { .. } => VolumeKind::Thin,
    };
    let block = BLOCK_LEN as u64;
    VolumeStatus {
        name: entry.name.clone(),
        id: entry.id,
        kind,
        size: ByteSize(entry.sectors * SECTOR_LEN as u64),
        allocated_bytes: live.map_or(0, |live| live.allocated_blocks * block),
        preserved_bytes: live.map_or(0, |live| live.volume.history.preserved_bytes()),
        unapplied_bytes: live.map_or(0, |live| live.dirty.data_blocks() * block),
        marks: entry.marks.len(),
        state: live.map_or(VolumeState::Ready, |live| live.state.clone()),
        sync: entry.policies.sync,
        when_marks_full: entry.policies.when_marks_full,
        when_store_full: entry.policies.when_store_full,
        rollback: rollback_status(core, entry),
        atomic_write_len: ByteSize(ATOMIC_WRITE_LEN_MAX as u64),
        created_ms: entry.created_ms,
    }
}

/// The rollback of a volume that is still being copied.
pub(crate) fn rollback_status(core: &Core, entry: &VolumeEntry) -> Option<RollbackStatus> {
    let rollback = entry.copying_rollback()?;
    let (done_blocks, total_blocks) = core.volumes.get(&entry.number)?.copied;
    Some(RollbackStatus {
        to: entry.marks.get(&rollback.to)?.name.clone(),
        safety: entry.marks.get(&rollback.safety)?.name.clone(),
        done_blocks,
        total_blocks,
    })
}
