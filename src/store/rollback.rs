//! Rollback: the live contents are those of a mark, at once; the copying follows.
//!
//! A safety mark comes first, so a rollback can be undone by rolling back to it. Until a block is copied
//! or overwritten it reads as in the mark; which blocks those are follows from the epoch map, so a crash
//! loses no progress and needs no list of it.

use std::sync::Arc;

use base::id::Id;
use base::name::{MarkRef, Name};
use base::units::{BLOCK_LEN, Run, SECTORS_PER_BLOCK};
use disk::{Buffer, Keep};
use tokio::sync::oneshot;

use crate::append::What;
use crate::dirty::Epochs;
use crate::error::StoreError;
use crate::event::{Event, MarkEntry};
use crate::image::Point;
use crate::kept::Kept;
use crate::live_disk::sums_of;
use crate::pool::{Pool, Waiter};
use crate::status::{Grade, Proof, RollbackStatus};

/// Changed blocks that one step looks at.
const COPY_BLOCKS: usize = 1024;

impl Pool {
    /// Makes a volume's contents those of one of its marks. Takes a safety mark of what is there now,
    /// and keeps all marks, also newer ones. Takes effect before this returns.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`; `Busy` where an earlier rollback is still being copied; `MarksFull`.
    pub async fn rollback(&self, to: &MarkRef) -> Result<RollbackStatus, StoreError> {
        let _admin = self.admin.lock().await;
        self.roll_back(to).await
    }

    /// Undoes the last rollback of a volume by rolling back to its safety mark.
    ///
    /// # Errors
    /// `UnknownVolume`, `NothingToUndo`; as [`Pool::rollback`].
    pub async fn undo_rollback(&self, volume: &Name) -> Result<RollbackStatus, StoreError> {
        let _admin = self.admin.lock().await;
        let safety = {
            let core = self.lock();
            let entry = core.registry.named(volume)?;
            let safety = entry.rollback.and_then(|rollback| entry.marks.get(&rollback.safety));
            safety.ok_or_else(|| StoreError::NothingToUndo(volume.clone()))?.name.clone()
        };
        self.roll_back(&MarkRef { volume: volume.clone(), mark: safety }).await
    }

    async fn roll_back(&self, to: &MarkRef) -> Result<RollbackStatus, StoreError> {
        self.make_room_for_a_mark(&to.volume).await?;
        let (sender, receiver) = oneshot::channel();
        let name = self.begin_rollback(to, Waiter::Task(sender))?;
        receiver.await.unwrap_or(Err(disk::DiskError::Closed))?;
        self.work.notify_one();
        let core = self.lock();
        let status = crate::volumes::rollback_status(&core, core.registry.named(&to.volume)?);
        let done =
            RollbackStatus { to: to.mark.clone(), safety: name, done_blocks: 0, total_blocks: 0 };
        Ok(status.unwrap_or(done))
    }

    /// Puts the rollback and its safety mark into the order; gives the name of that mark. Apart from
    /// the waiting, because the guard must not live across it.
    fn begin_rollback(&self, to: &MarkRef, waiter: Waiter) -> Result<Name, StoreError> {
        let taken_ms = self.world.clock.wall_ms();
        let core = self.lock();
        let (entry, sequence) = core.registry.mark(to)?;
        if entry.copying_rollback().is_some() {
            let why = "an earlier rollback is still being copied; wait until it is done".to_owned();
            return Err(StoreError::Busy { what: to.volume.to_string(), why });
        }
        crate::marks::check_markable(&core, entry)?;
        let name = safety_name(&to.mark, |name| entry.mark_named(name).is_some())?;
        let (volume, safety) = (entry.number, entry.next_sequence);
        let mark = MarkEntry {
            id: Id::fresh(&*self.world.rng),
            name: name.clone(),
            taken_ms,
            sectors: entry.sectors,
            grade: Grade::Crash,
            proof: Proof::Unverified,
            kept: Kept::default(),
            group: None,
        };
        let event = Event::RolledBack { volume, to: sequence, safety, mark };
        self.append_event(core, event, waiter, |core| {
            if let Some(live) = core.volumes.get_mut(&volume) {
                live.copied = (0, 0);
            }
        })?;
        Ok(name)
    }

    /// Copies a bounded part of what a rollback or a promotion must; false where there is none.
    ///
    /// # Errors
    /// What the disks say.
    pub(crate) async fn copy_step(&self) -> Result<bool, StoreError> {
        let next = {
            let core = self.lock();
            core.registry
                .volumes()
                .filter(|entry| core.is_able(entry.number))
                .find(|entry| entry.copying_rollback().is_some() || entry.is_promoting)
                .map(|entry| (entry.number, entry.copying_rollback(), entry.epoch()))
        };
        match next {
            Some((number, Some(rollback), _)) => {
                self.rollback_step(number, rollback.to, rollback.safety).await?;
                Ok(true)
            }
            Some((number, None, _)) => {
                self.promote_step(number).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Copies a bounded part of the blocks that differ between now and the mark. Everything older than the
    /// rollback is applied by now, because a step of copying comes only after all steps of applying.
    async fn rollback_step(&self, number: u32, to: u64, safety: u64) -> Result<(), StoreError> {
        let (volume, from) = {
            let core = self.lock();
            let Some(live) = core.volumes.get(&number) else { return Ok(()) };
            if live.dirty.oldest_epoch().is_some_and(|epoch| epoch < safety) {
                return Ok(());
            }
            (Arc::clone(&live.volume), live.copied.0)
        };
        let changed = volume.history.changed(from, to..safety, COPY_BLOCKS).await?;
        let Some(last) = changed.last().copied() else {
            return self.end_of_pass(number, Event::RollbackCopied { volume: number }).await;
        };
        let blocks = self.image_blocks(number, Point::Mark(to))?;
        let mut copies = Vec::new();
        for block in changed {
            let one = Run::new(block, 1);
            if !volume.history.lookup_run(one, safety).await?.is_empty() {
                continue;
            }
            let mut content = Buffer::zeroed(BLOCK_LEN)?;
            if block < blocks {
                self.read_run(number, Point::Mark(to), one, &mut content).await?;
            }
            copies.push((block, copy_of(one, content)));
        }
        let epochs = Epochs { from: safety, below: u64::MAX };
        self.journal_copies(number, copies, epochs, last + 1)
    }

    /// Journals copies and notes how far the pass is.
    ///
    /// # Errors
    /// Why the pool takes no changes.
    pub(crate) fn journal_copies(
        &self,
        number: u32,
        copies: Vec<(u64, What)>,
        epochs: Epochs,
        next: u64,
    ) -> Result<(), StoreError> {
        let (blocks, copies): (Vec<u64>, Vec<What>) = copies.into_iter().unzip();
        let dealt_with = self.append_copies(number, copies, epochs)?;
        let mut core = self.lock();
        let total = core.registry.get(number).map_or(0, |entry| entry.sectors / SECTORS_PER_BLOCK);
        if let Some(live) = core.volumes.get_mut(&number) {
            live.is_pass_clean &= blocks.is_empty();
            live.copied = (blocks.get(dealt_with).copied().unwrap_or(next), total);
        }
        Ok(())
    }

    /// After a pass over all blocks: where it found nothing left to copy, the copying is done; else there
    /// is another pass. What a pass copied must be applied, and preserved for marks taken meanwhile,
    /// before the volume may forget where it came from; the pass that finds nothing shows that it was.
    ///
    /// # Errors
    /// Why the pool takes no changes.
    pub(crate) async fn end_of_pass(&self, number: u32, done: Event) -> Result<(), StoreError> {
        let is_clean = {
            let mut core = self.lock();
            let Some(live) = core.volumes.get_mut(&number) else { return Ok(()) };
            live.copied.0 = 0;
            std::mem::replace(&mut live.is_pass_clean, true)
        };
        if is_clean { self.commit(done, |_| ()).await } else { Ok(()) }
    }
}

/// A free name for a safety mark.
///
/// # Errors
/// `Limit` where none can be found.
fn safety_name(to: &Name, is_taken: impl Fn(&Name) -> bool) -> Result<Name, StoreError> {
    let stem: String = format!("before-{to}").chars().take(56).collect();
    (0..10_000)
        .map(|n| if n == 0 { stem.clone() } else { format!("{stem}-{n}") })
        .filter_map(|text| text.parse().ok())
        .find(|name| !is_taken(name))
        .ok_or_else(|| StoreError::Limit("no name is free for the safety mark".to_owned()))
}

/// A copy of one block: a write, or zeroes where it holds nothing else.
pub(crate) fn copy_of(run: Run, content: Buffer) -> What {
    if content.iter().all(|byte| *byte == 0) {
        return What::Zero { run, keep: Keep::Nothing };
    }
    let data = vec![content.freeze()];
    What::Write { run, sums: sums_of(&data), data }
}
