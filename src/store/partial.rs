//! Changes that do not cover whole blocks: read the rest of the block, merge, write whole.
//!
//! The blocks are locked from the read until the merged write is journalled; other changes of them wait
//! for that, so that no sector that somebody else wrote meanwhile is lost.

use std::sync::Arc;

use base::units::{BLOCK_LEN, Extent, Run, SECTOR_LEN, SECTORS_PER_BLOCK};
use disk::{Buffer, DiskError, Keep, Payload};
use tokio::sync::oneshot;

use crate::append::{Change, What};
use crate::image::Point;
use crate::live_disk::sums_of;
use crate::pool::{Pool, Waiter};

/// Who wants to know when a change is done, and how safe it must be then.
pub(crate) struct Ask {
    pub waiter: Waiter,
    pub is_stable: bool,
}

impl Pool {
    /// Writes `data` over an extent that does not start or end on block boundaries.
    pub(crate) fn write_partial(&self, number: u32, extent: Extent, data: Vec<Payload>, ask: Ask) {
        let pool = self.shared();
        self.runtime.spawn(async move {
            let outcome = pool.merge(number, extent, &data).await;
            pool.finish(ask, outcome);
        });
    }

    /// Zeroes an extent that does not start or end on block boundaries.
    pub(crate) fn zero_partial(&self, number: u32, extent: Extent, keep: Keep, ask: Ask) {
        let pool = self.shared();
        self.runtime.spawn(async move {
            let outcome = pool.zero_with_edges(number, extent, keep).await;
            pool.finish(ask, outcome);
        });
    }

    fn finish(&self, ask: Ask, outcome: Result<(), DiskError>) {
        match outcome {
            Ok(()) if ask.is_stable => self.flush_journal(ask.waiter),
            outcome => ask.waiter.finish(outcome),
        }
    }

    async fn zero_with_edges(
        &self,
        number: u32,
        extent: Extent,
        keep: Keep,
    ) -> Result<(), DiskError> {
        let first = extent.start.next_multiple_of(SECTORS_PER_BLOCK).min(extent.end());
        let last = (extent.end() / SECTORS_PER_BLOCK * SECTORS_PER_BLOCK).max(first);
        let head = Extent::new(extent.start, first - extent.start);
        let tail = Extent::new(last, extent.end() - last);
        for edge in [head, tail] {
            if !edge.is_empty() {
                let zeroes = Buffer::for_sectors(edge.sectors)?.freeze();
                self.merge(number, edge, &[zeroes]).await?;
            }
        }
        let run = Extent::new(first, last - first).cover();
        if run.is_empty() {
            return Ok(());
        }
        self.journal_change(number, What::Zero { run, keep }).await
    }

    /// Journals one change and waits until it is done.
    pub(crate) async fn journal_change(&self, number: u32, what: What) -> Result<(), DiskError> {
        let (sender, receiver) = oneshot::channel();
        let waiter = Some(Waiter::Task(sender));
        self.append(vec![Change {
            volume: number,
            what,
            waiter,
            is_stable: false,
            is_owner: false,
        }]);
        receiver.await.unwrap_or(Err(DiskError::Closed))
    }

    async fn merge(&self, number: u32, extent: Extent, data: &[Payload]) -> Result<(), DiskError> {
        let run = extent.cover();
        self.lock_blocks(number, run).await?;
        let outcome = self.merge_locked(number, extent, data).await;
        self.unlock_blocks(number, run);
        outcome
    }

    async fn merge_locked(
        &self,
        number: u32,
        extent: Extent,
        data: &[Payload],
    ) -> Result<(), DiskError> {
        let run = extent.cover();
        let mut whole = Buffer::for_sectors(run.extent().sectors)?;
        let blocks = usize::try_from(run.blocks).unwrap_or(usize::MAX);
        let edges = if blocks == 1 { vec![0] } else { vec![0, blocks - 1] };
        for edge in edges {
            let bytes = &mut whole[edge * BLOCK_LEN..(edge + 1) * BLOCK_LEN];
            let block = Run::new(run.start + edge as u64, 1);
            self.read_run(number, Point::Live, block, bytes).await?;
        }
        let skip = extent.start - run.extent().start;
        let mut at = usize::try_from(skip).unwrap_or(0) * SECTOR_LEN;
        for payload in data {
            whole[at..at + payload.len()].copy_from_slice(payload);
            at += payload.len();
        }
        let data = vec![whole.freeze()];
        let what = What::Write { run, sums: sums_of(&data), data };
        let (sender, receiver) = oneshot::channel();
        let waiter = Some(Waiter::Task(sender));
        self.append(vec![Change {
            volume: number,
            what,
            waiter,
            is_stable: false,
            is_owner: true,
        }]);
        receiver.await.unwrap_or(Err(DiskError::Closed))
    }

    async fn lock_blocks(&self, number: u32, run: Run) -> Result<(), DiskError> {
        loop {
            let progress = self.progress.notified();
            {
                let mut core = self.lock();
                if core.is_closed {
                    return Err(DiskError::Closed);
                }
                if let Some(why) = &core.poison {
                    return Err(DiskError::Poisoned(Arc::clone(why)));
                }
                // What waits for room in the journal cannot be read yet, so it must go first.
                let waits = core.waiting.iter().any(|change| change.touches(number, run));
                let live = core.volumes.get_mut(&number).ok_or(DiskError::Closed)?;
                if !waits && !live.locked.iter().any(|other| !other.intersect(run).is_empty()) {
                    live.locked.push(run);
                    return Ok(());
                }
            }
            progress.await;
        }
    }

    fn unlock_blocks(&self, number: u32, run: Run) {
        let mut core = self.lock();
        let mut waiting = Vec::new();
        if let Some(live) = core.volumes.get_mut(&number) {
            if let Some(at) = live.locked.iter().position(|locked| *locked == run) {
                live.locked.swap_remove(at);
            }
            waiting = std::mem::take(&mut live.locked_waiting);
        }
        drop(core);
        if !waiting.is_empty() {
            self.append(waiting);
        }
        self.progress.notify_waiters();
    }
}
