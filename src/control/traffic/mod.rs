//! What clients do with disks, counted where every door and attachment gets one: reads, writes and flushes of each
//! volume and view, and how long they took; and how long marks take to be taken. Counters begin at 0 with the daemon.
//!
//! Marks are read-only and many; what is read of them is counted nowhere. The last minutes are also kept in steps, for
//! charts; see [`recent`].

pub mod recent;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::clock::Clock;
use base::name::Name;
use disk::{AnyDisk, StatsDisk};
use store::{DiskRef, Pool, StoreError};

use crate::appliance::Appliance;
use crate::error::ControlError;
use recent::{Recent, STEP, TrafficStatus};

pub use disk::stats::{Counted, Counters, LATENCY_CLASSES, Reading, Stats};

/// The counters of a pool.
pub struct Traffic {
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    disks: Mutex<BTreeMap<DiskRef, Arc<Stats>>>,
    marks: Counters,
    recent: Mutex<Recent>,
}

impl Traffic {
    /// Counts what is done with the disks of this pool.
    pub fn new(pool: Arc<Pool>, clock: Arc<dyn Clock>) -> Self {
        Self {
            pool,
            clock,
            disks: Mutex::default(),
            marks: Counters::default(),
            recent: Mutex::default(),
        }
    }

    /// The pool.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// A disk of the pool, for clients. What they do with it is counted, however often it is opened.
    ///
    /// # Errors
    /// What the store says.
    pub fn disk(&self, of: &DiskRef) -> Result<AnyDisk, StoreError> {
        let disk = self.pool.disk(of)?;
        if matches!(of, DiskRef::Mark(_)) {
            return Ok(disk);
        }
        let stats = Arc::clone(self.disks().entry(of.clone()).or_default());
        Ok(Arc::new(StatsDisk::with_stats(disk, Arc::clone(&self.clock), stats)))
    }

    /// What has been done with the disks that were ever opened and are still there.
    pub fn disks_read(&self) -> Vec<(DiskRef, Arc<Stats>)> {
        let mut disks = self.disks();
        disks.retain(|of, _| self.pool.id_of(of).is_ok());
        disks.iter().map(|(of, stats)| (of.clone(), Arc::clone(stats))).collect()
    }

    /// Measures the taking of a mark.
    pub(crate) async fn mark<T, E>(
        &self,
        taking: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let start = self.clock.monotonic();
        let taken = taking.await;
        let took = self.clock.monotonic().saturating_sub(start);
        self.marks.add(taken.is_ok().then_some(0), took);
        taken
    }

    /// How long taking marks took.
    pub fn marks_taken(&self) -> Reading {
        self.marks.read()
    }

    /// Measures step after step, for as long as it runs.
    pub(crate) async fn measure(&self) {
        let mut ticks = tokio::time::interval(STEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let disks = self.disks_read();
            self.recent().look(&disks, self.clock.monotonic(), self.clock.wall_ms());
        }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disks(&self) -> MutexGuard<'_, BTreeMap<DiskRef, Arc<Stats>>> {
        self.disks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Appliance {
    /// What clients did in the last minutes, with all disks together.
    pub fn recent_traffic(&self) -> TrafficStatus {
        self.traffic().recent().told(None, self.clock().wall_ms())
    }

    /// What clients did in the last minutes with a volume.
    ///
    /// # Errors
    /// `Store` where there is no such volume.
    pub fn recent_traffic_of(&self, volume: &Name) -> Result<TrafficStatus, ControlError> {
        let of = DiskRef::Volume(volume.clone());
        self.pool().id_of(&of)?;
        Ok(self.traffic().recent().told(Some(&of), self.clock().wall_ms()))
    }
}
