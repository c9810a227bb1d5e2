//! The ladder of a full store: what goes, in which order, when there is no room to preserve old blocks.
//!
//! A write is answered when it is in the journal, so a full store never fails one by itself; it keeps
//! apply from going on. The rungs: the oldest mark that nothing needs goes, as a normal durable removal,
//! and its space with it; where none may go, writes stall while the journal fills, for at most 30
//! seconds; then the volume turns read-only with a clear state, and what is in the journal is applied
//! from the reserve that was kept back for this. When there is room again, so is the volume.

use std::time::Duration;

use crate::error::StoreError;
use crate::event::Event;
use crate::kept::what_keeps_all;
use crate::marks::oldest_that_may_go;
use crate::pool::{Live, Pool, Upkeep, Waiter};
use crate::status::{StoreFullPolicy, VolumeState};

/// How long writes may stall before the volume turns read-only: below the time-outs of initiators.
const STALL_MAX: Duration = Duration::from_secs(30);

impl Pool {
    /// Takes a step up the ladder for a volume whose apply found no room. True where that made room, or
    /// may have.
    ///
    /// # Errors
    /// What keeps a mark from being removed or its space from coming back.
    pub(crate) async fn make_space(
        &self,
        number: u32,
        upkeep: &mut Upkeep,
    ) -> Result<bool, StoreError> {
        // Whoever makes a view now must not lose its mark.
        let Ok(_admin) = self.admin.try_lock() else {
            return Ok(false);
        };
        if self.drop_oldest(number).await? {
            self.checkpoint(upkeep).await?;
            while self.reclaim_step().await? {}
            self.checkpoint(upkeep).await?;
            return Ok(true);
        }
        Ok(self.stall(number))
    }

    async fn drop_oldest(&self, number: u32) -> Result<bool, StoreError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        if !self.begin_drop_oldest(number, Waiter::Task(sender))? {
            return Ok(false);
        }
        receiver.await.unwrap_or(Err(disk::DiskError::Closed))?;
        Ok(true)
    }

    /// Puts the removal into the order. Apart from the waiting, because the guard must not live across it.
    fn begin_drop_oldest(&self, number: u32, waiter: Waiter) -> Result<bool, StoreError> {
        let core = self.lock_now();
        let Some(entry) = core.registry.get(number) else { return Ok(false) };
        if entry.policies.when_store_full == StoreFullPolicy::ProtectMarks {
            return Ok(false);
        }
        let Some(sequence) = oldest_that_may_go(&core.registry, entry) else { return Ok(false) };
        let name = entry.marks.get(&sequence).map(|mark| mark.name.to_string());
        let mark = format!("{}@{}", entry.name, name.unwrap_or_default());
        let way_out = core.preserved.way_out();
        tracing::warn!(%mark, "the store is full: removing the oldest mark that may go");
        let event = Event::MarkRemoved { volume: number, sequence };
        self.append_event(core, event, waiter, |core| {
            let text = format!(
                "the store was full, so the mark {mark} was removed; {way_out}, or keep fewer marks"
            );
            core.warnings.insert("store full".to_owned(), text);
            core.look_for_space_of(number, sequence);
        })?;
        Ok(true)
    }

    /// Notes that a volume stalls; after the longest stall it turns read-only and its journalled part may
    /// use the reserve. True where that is so.
    fn stall(&self, number: u32) -> bool {
        let now = self.world.clock.monotonic();
        let mut core = self.lock_now();
        let Some(entry) = core.registry.get(number) else { return false };
        let (name, kept) = (entry.name.clone(), what_keeps_all(&core.registry, entry));
        let way_out = core.preserved.way_out();
        let Some(live) = core.volumes.get_mut(&number) else { return false };
        let since = *live.stalled_since.get_or_insert(now);
        if now.saturating_sub(since) < STALL_MAX {
            let text = format!(
                "{name} stalls: there is no room to preserve old blocks, and no mark may go{kept}; {way_out}, or release a hold"
            );
            core.warnings.insert(format!("stall {name}"), text);
            return false;
        }
        if live.state == VolumeState::Ready {
            tracing::error!(volume = %name, "no room to preserve old blocks: the volume is read-only");
            let reason = format!(
                "there is no room to preserve old blocks, and no mark may go{kept}; {way_out}, release a hold or remove a mark, and it takes writes again"
            );
            live.state = VolumeState::ReadOnly { reason };
        }
        let may_use_reserve = !live.is_on_reserve;
        live.is_on_reserve = true;
        may_use_reserve
    }

    /// Lets volumes go on that stalled and have nothing left to apply, once there is room: no apply would find it.
    pub(crate) fn unstall_idle(&self) {
        for number in self.stalled_and_idle(|_| true) {
            self.unstall(number);
        }
    }

    /// Volumes that take no writes for want of room, and have nothing left to apply.
    pub(crate) fn shut_and_idle(&self) -> Vec<u32> {
        self.stalled_and_idle(|live| matches!(live.state, VolumeState::ReadOnly { .. }))
    }

    fn stalled_and_idle(&self, which: impl Fn(&Live) -> bool) -> Vec<u32> {
        let core = self.lock();
        let stalled = core.volumes.iter().filter(|(_, live)| live.stalled_since.is_some());
        let idle = stalled.filter(|(_, live)| live.dirty.is_empty() && which(live));
        idle.map(|(number, _)| *number).collect()
    }

    /// After apply found room for a volume again.
    pub(crate) fn unstall(&self, number: u32) {
        let mut core = self.lock();
        let has_room = core.has_room_to_preserve(self.options.segment_len.0);
        let name = core.registry.get(number).map(|entry| entry.name.clone());
        let Some(live) = core.volumes.get_mut(&number) else { return };
        if live.stalled_since.is_none() || !has_room {
            return;
        }
        live.stalled_since = None;
        live.is_on_reserve = false;
        if matches!(live.state, VolumeState::ReadOnly { .. }) {
            live.state = VolumeState::Ready;
        }
        if let Some(name) = name {
            core.warnings.remove(&format!("stall {name}"));
        }
    }

    /// Looks at how much room there is where the pool lies.
    pub(crate) fn look_at_space(&self) {
        let space = match self.shelf.space() {
            Ok(space) => space,
            Err(error) => {
                tracing::warn!(%error, "the space where the pool lies is not known");
                return;
            }
        };
        self.look_at_preserved();
        self.lock().space_free = space.free;
    }
}
