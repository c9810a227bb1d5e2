//! Background work: apply, checkpoint, reclaim, and the copying of rollbacks and promotions.
//!
//! One task does all of it, a bounded step at a time. It waits until there is enough to do well, or until
//! the front doors have been quiet for a moment, so that applying many blocks at once is the rule.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::units::BLOCK_LEN;
use disk::DiskError;

use crate::checkpoint::{Checkpoint, VolumePart};
use crate::error::StoreError;
use crate::history::HistoryTicket;
use crate::journal::ring::Ring;
use crate::pool::{Core, Pool, Upkeep, Volume};

/// How long to wait for more before little is applied.
const QUIET: Duration = Duration::from_millis(200);
/// Steps of reclaiming at once while clients are busy.
const RECLAIM_STEPS: usize = 8;

impl Ring {
    /// Whether the journal is so full that it must be applied while clients are busy. Late, because what
    /// waits longer is overwritten more often and lies closer together: it costs less to apply, and a
    /// burst of writes shares the disk with nothing.
    pub(crate) fn is_filling(&self) -> bool {
        self.used() > self.blocks / 2
    }

    /// Whether it is empty enough again to leave off.
    fn is_eased(&self) -> bool {
        self.used() < self.blocks * 3 / 8
    }
}

/// What a checkpoint allows once it is committed.
type Allowed = Vec<(Arc<Volume>, HistoryTicket)>;

impl Pool {
    /// Does the background work until the pool is closed. Spawn it once.
    pub async fn run(self: Arc<Self>) {
        let mut seen = 0;
        loop {
            let _ = tokio::time::timeout(QUIET, self.work.notified()).await;
            self.note_lived().await;
            let (head, is_urgent, is_closed) = {
                let core = self.lock();
                let is_urgent =
                    core.ring.is_filling() || core.is_low_on_berths() || !core.waiting.is_empty();
                (core.ring.head, is_urgent, core.is_closed)
            };
            if is_closed {
                return;
            }
            let is_quiet = head == seen;
            seen = head;
            if is_urgent || is_quiet {
                self.work_off(is_quiet).await;
            } else if let Err(error) = self.reclaim_meanwhile().await {
                self.note_pause("space of removed marks does not come back", &error);
            }
        }
    }

    /// Works until little is left; all of it where nobody is waiting for the disk.
    async fn work_off(&self, everything: bool) {
        loop {
            match self.upkeep_step().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.note_pause("the journal is not being applied", &error);
                    return;
                }
            }
            let is_little = {
                let core = self.lock();
                core.waiting.is_empty() && core.ring.is_eased() && !core.is_low_on_berths()
            };
            if is_little && !everything {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Gives some of the space back that removed marks took, while clients are busy and nothing is applied.
    async fn reclaim_meanwhile(&self) -> Result<(), StoreError> {
        let mut upkeep = self.upkeep.lock().await;
        let mut was_reclaimed = false;
        for _ in 0..RECLAIM_STEPS {
            if !self.reclaim_step().await? {
                break;
            }
            was_reclaimed = true;
        }
        if was_reclaimed { self.checkpoint(&mut upkeep).await } else { Ok(()) }
    }

    /// Notes what stands still and why; logged once, though it is tried again several times a second.
    fn note_pause(&self, what: &str, error: &StoreError) {
        let text = format!("{what}: {error}");
        let before = self.lock().warnings.insert("upkeep".to_owned(), text.clone());
        if before.is_none_or(|before| before != text) {
            tracing::warn!(%error, "{what}");
        }
    }

    /// One bounded step of background work; false where there is nothing to do.
    ///
    /// # Errors
    /// What the disks say; a later step tries again, unless the pool or the volume was stopped.
    pub async fn upkeep_step(&self) -> Result<bool, StoreError> {
        let mut upkeep = self.upkeep.lock().await;
        self.look_at_space();
        self.unstall_idle();
        if let Some(why) = self.lock().poison.clone() {
            return Err(StoreError::Poisoned(why));
        }
        for number in self.shut_and_idle() {
            // A lock may have ended, or a hold been released: what kept the volume shut may go now.
            if self.make_space(number, &mut upkeep).await? {
                return Ok(true);
            }
        }
        let mut applied = 0;
        let mut trouble = None;
        for number in self.dirty_volumes() {
            match self.apply_step(number).await {
                Ok(blocks) => {
                    applied += blocks;
                    self.unstall(number);
                }
                Err(StoreError::NoSpace(what)) => {
                    if self.make_space(number, &mut upkeep).await? {
                        return Ok(true);
                    }
                    trouble = Some(StoreError::NoSpace(what));
                }
                // The other volumes go on.
                Err(error) => trouble = Some(error),
            }
        }
        upkeep.applied_blocks += applied;
        let is_due = {
            let core = self.lock();
            let blocks = core.ring.blocks;
            let is_over = core.volumes.values().any(|live| live.volume.sums.is_over_budget());
            let is_much = upkeep.applied_blocks * 16 > blocks || core.ring.used() * 2 > blocks;
            is_over || is_much || applied == 0 || core.is_low_on_berths()
        };
        upkeep.is_checkpoint_due |= applied == 0 && self.lock().wants_attesting();
        let has_changes = upkeep.applied_blocks > 0 || upkeep.is_checkpoint_due;
        if has_changes && is_due {
            self.checkpoint(&mut upkeep).await?;
            return Ok(true);
        }
        if applied > 0 {
            return Ok(true);
        }
        if let Some(error) = trouble {
            return Err(error);
        }
        if self.copy_step().await? {
            return Ok(true);
        }
        let was_reclaimed = self.reclaim_step().await?;
        upkeep.is_checkpoint_due |= was_reclaimed;
        if !was_reclaimed {
            self.note_durable();
        }
        Ok(was_reclaimed)
    }

    /// Applies and checkpoints until nothing of this volume is left in the journal.
    ///
    /// # Errors
    /// What the disks say.
    pub(crate) async fn drain(&self, number: u32) -> Result<(), StoreError> {
        let mut upkeep = self.upkeep.lock().await;
        loop {
            let is_dirty =
                self.lock().volumes.get(&number).is_some_and(|live| !live.dirty.is_empty());
            if !is_dirty {
                return self.checkpoint(&mut upkeep).await;
            }
            let applied = self.apply_step(number).await?;
            upkeep.applied_blocks += applied;
            if applied == 0 {
                self.checkpoint(&mut upkeep).await?;
            }
        }
    }

    fn dirty_volumes(&self) -> Vec<u32> {
        let core = self.lock();
        core.volumes
            .iter()
            .filter(|(number, live)| !live.dirty.is_empty() && core.is_able(**number))
            .map(|(number, _)| *number)
            .collect()
    }

    /// Makes the bases stable, writes a checkpoint and trims the journal.
    pub(crate) async fn checkpoint(&self, upkeep: &mut Upkeep) -> Result<(), StoreError> {
        self.stabilise_bases().await;
        let (checkpoint, allowed) = loop {
            let last_event = self.lock().last_event_frame;
            let (mut parts, allowed) = self.checkpoint_histories().await?;
            let first_frame = self.first_frame_to_keep().await?;
            let mut core = self.lock_now();
            // An event in between, the removal of a mark say, may not be in what was collected.
            if core.last_event_frame == last_event && last_event <= core.durable {
                let generation = upkeep.generation + 1;
                core.lived_noted_ms = core.registry.lived_ms();
                break (self.draft(&core, &mut parts, first_frame, generation), allowed);
            }
        };
        upkeep.slots.write(&*self.shelf, &checkpoint).await?;
        upkeep.generation = checkpoint.generation;
        upkeep.applied_blocks = 0;
        upkeep.is_checkpoint_due = false;
        let trimmed = {
            let mut core = self.lock();
            core.attested = core.attested.max(checkpoint.events_through);
            core.trim(checkpoint.first_frame, checkpoint.first_position)
        };
        drop(trimmed);
        for (volume, ticket) in allowed {
            if let Some(berths) = &volume.berths {
                berths.committed(checkpoint.first_frame);
            }
            volume.history.committed(ticket).await?;
        }
        self.lock().warnings.remove("upkeep");
        self.append_waiting();
        self.progress.notify_waiters();
        Ok(())
    }

    /// Makes stable what was written to bases and checksum tables. A volume for which that fails stops,
    /// and keeps its part of the journal.
    async fn stabilise_bases(&self) {
        let unstable: Vec<_> = {
            let core = self.lock();
            core.volumes
                .iter()
                .filter(|(number, live)| live.unstable_from.is_some() && core.is_able(**number))
                .map(|(_, live)| Arc::clone(&live.volume))
                .collect()
        };
        for volume in unstable {
            match stabilise(&volume).await {
                Ok(()) => {
                    let mut core = self.lock();
                    if let Some(live) = core.volumes.get_mut(&volume.number) {
                        live.unstable_from = None;
                    }
                }
                Err(error) => self.fail_volume(volume.number, &format!("flush the base: {error}")),
            }
        }
    }

    async fn checkpoint_histories(
        &self,
    ) -> Result<(BTreeMap<u32, VolumePart>, Allowed), StoreError> {
        let volumes: Vec<_> =
            self.lock().volumes.values().map(|live| Arc::clone(&live.volume)).collect();
        let mut parts = BTreeMap::new();
        let mut allowed = Vec::new();
        for volume in volumes {
            let (part, ticket) = volume.history.checkpoint().await?;
            parts.insert(volume.number, part);
            allowed.push((volume, ticket));
        }
        Ok((parts, allowed))
    }

    /// The first frame that replay needs, all before it being applied, or overwritten by frames that are
    /// stable. What overwrites a block while this looks may be lost with the power, and what it overwrote
    /// is then needed again: so the dirty indices are asked first, and what they know is made stable after.
    ///
    /// # Errors
    /// What flushing the journal gives.
    async fn first_frame_to_keep(&self) -> Result<u64, DiskError> {
        let (needed, next) = {
            let core = self.lock();
            let needed = core
                .volumes
                .values()
                .flat_map(|live| live.dirty.oldest_frame().into_iter().chain(live.unstable_from));
            (needed.min(), core.next_frame)
        };
        loop {
            self.flush().await?;
            if self.lock().durable + 1 >= next {
                return Ok(needed.unwrap_or(next));
            }
            tokio::task::yield_now().await;
        }
    }

    fn draft(
        &self,
        core: &Core,
        parts: &mut BTreeMap<u32, VolumePart>,
        first_frame: u64,
        generation: u64,
    ) -> Checkpoint {
        let here = (core.ring.head, self.superblock.incarnation);
        let (first_position, first_incarnation) =
            core.frame_positions.get(&first_frame).copied().unwrap_or(here);
        let mut volumes = BTreeMap::new();
        for entry in core.registry.volumes() {
            let mut part = parts.remove(&entry.number).unwrap_or_default();
            if let Some(live) = core.volumes.get(&entry.number) {
                part.allocated_blocks = live.allocated_blocks;
            }
            volumes.insert(entry.number, part);
        }
        Checkpoint {
            pool: self.superblock.pool,
            generation,
            events_through: core.durable,
            first_frame,
            first_position,
            first_incarnation,
            events: core.registry.to_events(),
            volumes,
        }
    }

    /// Gives space back that deleted marks took; false where there is nothing to do.
    pub(crate) async fn reclaim_step(&self) -> Result<bool, StoreError> {
        let volumes: Vec<_> = {
            let core = self.lock();
            core.volumes
                .iter()
                .filter(|(number, _)| core.is_able(**number))
                .filter_map(|(number, live)| {
                    let entry = core.registry.get(*number)?;
                    let marks: Vec<u64> = entry.marks.keys().copied().collect();
                    Some((Arc::clone(&live.volume), marks, entry.epoch()))
                })
                .collect()
        };
        let mut was_reclaimed = false;
        for (volume, marks, newest) in volumes {
            was_reclaimed |= volume.history.reclaim_step(marks, newest).await?;
        }
        Ok(was_reclaimed)
    }

    /// Bytes of memory in caches and indices.
    pub(crate) fn memory_bytes(core: &Core) -> u64 {
        let volumes: u64 = core
            .volumes
            .values()
            .map(|live| {
                let pieces = live.dirty.pieces() as u64 * 96;
                let berths = live.volume.berths.as_ref().map_or(0, |berths| berths.memory_bytes());
                let tables = live.volume.sums.memory_bytes() + berths;
                pieces + tables + live.volume.history.memory_bytes()
            })
            .sum();
        core.payloads.blocks() * BLOCK_LEN as u64 + volumes
    }
}

async fn stabilise(volume: &Volume) -> Result<(), DiskError> {
    volume.base.flush().await?;
    volume.sums.write_out().await?;
    match &volume.berths {
        Some(berths) => berths.write_out().await,
        None => Ok(()),
    }
}
