//! The pool: its state, and who may touch it.
//!
//! One lock holds everything that must change together: registry, dirty indices, ring, frames in flight.
//! It is held for moments and never across an await or a disk request. Contents move outside of it.
//! Background work (`run`) is one task, so that apply, checkpoints, copying and reclaim never race each
//! other; front doors race only with that one task, by the rules of `dirty` and `image`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::id::Id;
use base::units::Run;
use disk::{AnyDisk, Reply, Shelf};
use tokio::sync::{Notify, oneshot};

use crate::append::{Change, Frame};
use crate::berths::Berths;
use crate::checkpoint::Slots;
use crate::checksum_table::ChecksumTable;
use crate::dirty::Dirty;
use crate::epoch_map::PageCache;
use crate::error::StoreError;
use crate::flush::FlushState;
use crate::history::History;
use crate::journal::ring::Ring;
use crate::kept::Lived;
use crate::limit::PreservedLimit;
use crate::options::{PoolOptions, World};
use crate::payloads::Payloads;
use crate::registry::Registry;
use crate::status::VolumeState;
use crate::superblock::Superblock;

/// Where volumes, marks and views are kept.
pub struct Pool {
    pub(crate) shelf: Arc<dyn Shelf>,
    pub(crate) options: PoolOptions,
    pub(crate) world: World,
    pub(crate) superblock: Superblock,
    pub(crate) journal: AnyDisk,
    pub(crate) page_cache: Arc<PageCache>,
    pub(crate) lived: Lived,
    pub(crate) core: Mutex<Core>,
    /// Wakes the background task: there is something to apply, to trim or to reclaim.
    pub(crate) work: Notify,
    /// Tells everybody who waits that background work got somewhere.
    pub(crate) progress: Notify,
    /// Batches of requests that clients sent to volumes, views and marks.
    pub(crate) batches: AtomicU64,
    pub(crate) runtime: tokio::runtime::Handle,
    /// Serialises what changes the registry.
    pub(crate) admin: tokio::sync::Mutex<()>,
    /// Held by whoever applies, checkpoints or reclaims.
    pub(crate) upkeep: tokio::sync::Mutex<Upkeep>,
    pub(crate) myself: std::sync::Weak<Pool>,
}

/// What the background work keeps between its steps.
#[derive(Default)]
pub(crate) struct Upkeep {
    /// Where checkpoints go.
    pub slots: Slots,
    /// The generation of the last checkpoint.
    pub generation: u64,
    /// Blocks applied since the last checkpoint.
    pub applied_blocks: u64,
    /// Whether something must go into a checkpoint even though nothing was applied.
    pub is_checkpoint_due: bool,
}

/// Everything that changes together.
pub(crate) struct Core {
    pub registry: Registry,
    pub volumes: BTreeMap<u32, Live>,
    pub ring: Ring,
    pub next_frame: u64,
    /// Frames handed to the journal's disk and not yet done, or done after one that is not.
    pub frames: BTreeMap<u64, Frame>,
    /// The newest frame that is done together with all before it.
    pub completed: u64,
    /// The newest frame that `completed` says was stable.
    pub completed_tells: u64,
    /// The newest frame that is stable.
    pub durable: u64,
    /// The newest frame of which something stable says that it is stable: who opens the pool after a crash
    /// knows it of this one.
    pub attested: u64,
    /// The newest frame of which a later frame says that it is stable.
    pub noted_durable: u64,
    /// Where each frame lies that is still needed, and in which incarnation it was written.
    pub frame_positions: BTreeMap<u64, (u64, u64)>,
    /// The newest frame with an event.
    pub last_event_frame: u64,
    pub flush: FlushState,
    /// What was journalled of late, as far as memory allows.
    pub payloads: Payloads,
    /// Changes that wait for room in the journal.
    pub waiting: VecDeque<Change>,
    /// Why nothing may change any more.
    pub poison: Option<Arc<str>>,
    pub is_closing: bool,
    pub is_closed: bool,
    pub warnings: BTreeMap<String, String>,
    /// The bases, by volume, in which berths were written that the journal tells of since they were last made
    /// stable. Those of a volume that is gone are still here: frames before its removal tell of it.
    pub unstable_bases: BTreeMap<u32, AnyDisk>,
    /// The pool's own time when it was last made stable, or is about to be, in milliseconds.
    pub lived_noted_ms: u64,
    /// Bytes free on the shelf when last looked at.
    pub space_free: u64,
    /// What preserved blocks may take, and take.
    pub preserved: PreservedLimit,
}

/// The running part of one volume.
pub(crate) struct Live {
    pub volume: Arc<Volume>,
    pub dirty: Dirty,
    pub state: VolumeState,
    /// Blocks under read-modify-write; other changes of them wait.
    pub locked: Vec<Run>,
    pub locked_waiting: Vec<Change>,
    /// Blocks of the base that hold something.
    pub allocated_blocks: u64,
    /// Where the next apply step starts in the oldest layer.
    pub apply_cursor: u64,
    /// The lowest frame of which blocks were written to the base since that was last made stable.
    pub unstable_from: Option<u64>,
    /// How far the pass of a rollback or promotion got: the next block, and how many there are.
    pub copied: (u64, u64),
    /// Whether that pass found nothing to copy so far.
    pub is_pass_clean: bool,
    /// Since when apply finds no room, by the monotonic clock.
    pub stalled_since: Option<std::time::Duration>,
    /// Whether apply may use the reserve.
    pub is_on_reserve: bool,
    /// Whether new changes are refused because it is being released or removed.
    pub is_leaving: bool,
}

/// The disks of one volume.
pub(crate) struct Volume {
    pub number: u32,
    pub id: Id,
    pub base: AnyDisk,
    /// Where its cells lie, unless it was adopted.
    pub berths: Option<Arc<Berths>>,
    pub sums: ChecksumTable,
    pub history: History,
    /// Rises whenever apply has changed the base: tells a reader that what it saw may be old.
    pub applied: AtomicU64,
}

impl Core {
    /// Why a change of the pool must be refused now.
    pub fn refusal(&self) -> Option<StoreError> {
        if let Some(why) = &self.poison {
            return Some(StoreError::Poisoned(Arc::clone(why)));
        }
        self.is_closing.then_some(StoreError::Closed)
    }

    /// Whether a volume's base can be worked on.
    pub fn is_able(&self, number: u32) -> bool {
        let live = self.volumes.get(&number);
        live.is_some_and(|live| !matches!(live.state, VolumeState::FailStop { .. }))
    }

    /// Whether some volume has few berths left.
    pub fn is_low_on_berths(&self) -> bool {
        self.volumes.iter().any(|(number, live)| {
            let berths = live.volume.berths.as_ref();
            berths.is_some_and(|berths| berths.is_low()) && self.is_able(*number)
        })
    }

    /// Has the space looked for that only a removed mark needed.
    pub fn look_for_space_of(&self, number: u32, removed: u64) {
        let Some(entry) = self.registry.get(number) else { return };
        let next = entry.marks.range(removed..).next().map_or(u64::MAX, |(next, _)| *next);
        if let Some(live) = self.volumes.get(&number) {
            live.volume.history.mark_removed(removed, next);
        }
    }

    /// Blocks that must be kept free for what is in the journal and not yet in the bases.
    pub fn promised_blocks(&self) -> u64 {
        self.ring.used()
    }
}

impl Pool {
    /// The state. A panic in another thread leaves it as it was between two statements; all of them keep
    /// its invariants, so it is used on.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool as something that can be shared with tasks.
    ///
    /// # Panics
    /// Never while somebody can call this: a pool lives in an `Arc` only.
    pub(crate) fn shared(&self) -> Arc<Self> {
        self.myself.upgrade().expect("a pool that is used is alive")
    }

    /// Stops all changes for good, says why, and answers everybody who waits.
    pub(crate) fn poison(&self, why: &str) {
        let mut core = self.lock();
        if core.poison.is_some() {
            return;
        }
        let why: Arc<str> = why.into();
        tracing::error!(reason = %why, "the pool takes no more changes");
        core.poison = Some(Arc::clone(&why));
        let waiting = std::mem::take(&mut core.waiting);
        let locked: Vec<_> =
            core.volumes.values_mut().flat_map(|live| live.locked_waiting.drain(..)).collect();
        drop(core);
        for change in waiting.into_iter().chain(locked) {
            change.answer(Err(disk::DiskError::Poisoned(Arc::clone(&why))));
        }
        self.work.notify_one();
        self.progress.notify_waiters();
    }

    /// Puts a volume into fail-stop: reads go on, changes are refused.
    pub(crate) fn fail_volume(&self, number: u32, why: &str) {
        let mut core = self.lock();
        let Some(live) = core.volumes.get_mut(&number) else { return };
        if !matches!(live.state, VolumeState::FailStop { .. }) {
            tracing::error!(volume = number, reason = why, "the volume takes no more changes");
            let reason = format!(
                "{why}; check the disk below, then start the daemon again: it recovers from the journal"
            );
            live.state = VolumeState::FailStop { reason };
        }
        drop(core);
        self.progress.notify_waiters();
    }
}

/// Somebody who waits for a frame or a flush.
pub(crate) enum Waiter {
    /// A front door's request.
    Request(Reply, disk::Done),
    /// An operation of the pool.
    Task(oneshot::Sender<Result<(), disk::DiskError>>),
}

impl Waiter {
    /// Tells the outcome.
    pub fn finish(self, outcome: Result<(), disk::DiskError>) {
        match self {
            Self::Request(reply, done) => reply.send(outcome.map(|()| done)),
            Self::Task(sender) => {
                // Whoever asked may have gone away.
                let _ = sender.send(outcome);
            }
        }
    }
}
