//! A decorator that counts what a disk does and how long it takes.
//!
//! Counters only go up and are read without stopping anyone, so a reading is not of one instant.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::clock::Clock;
use base::units::Extent;

use crate::relay::Relay;
use crate::request::{Op, Request};
use crate::{AnyDisk, Disk, Geometry};

/// Classes of latency: the one with index `n` counts answers within 2^n microseconds that were not within
/// half of that; the last one everything slower.
pub const LATENCY_CLASSES: usize = 28;

/// Operations that are counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Discards and writes of zeroes.
    Zero,
    /// Flushes.
    Flush,
    /// Maps.
    Map,
}

/// What one kind of operation has come to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Requests that were answered.
    pub count: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Bytes of those that succeeded.
    pub bytes: u64,
    /// Time of all of them together.
    pub total: Duration,
    /// How many fell into each class of latency.
    pub latency: [u64; LATENCY_CLASSES],
}

impl Reading {
    /// The latency that this share of the requests stayed within, rounded up to the end of its class;
    /// zero where there were none.
    pub fn percentile(&self, per_mille: u64) -> Duration {
        let wanted = (self.latency.iter().sum::<u64>() * per_mille.min(1000)).div_ceil(1000);
        let mut seen = 0;
        for (class, count) in self.latency.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return Duration::from_micros(1 << class);
            }
        }
        Duration::ZERO
    }

    /// The latency that this share of the requests stayed within, as if those of a class were spread evenly over it;
    /// nothing where there were none.
    pub fn estimate(&self, per_mille: u64) -> Option<Duration> {
        let whole: u64 = self.latency.iter().sum();
        let wanted = whole as f64 * per_mille.min(1000) as f64 / 1000.0;
        let mut before = 0;
        for (class, &count) in self.latency.iter().enumerate() {
            if count > 0 && (before + count) as f64 >= wanted {
                let (from, to) =
                    (if class == 0 { 0 } else { 1_u64 << (class - 1) }, 1_u64 << class);
                let share = (wanted - before as f64) / count as f64;
                return Some(Duration::from_secs_f64(
                    (from as f64 + share * (to - from) as f64) / 1e6,
                ));
            }
            before += count;
        }
        None
    }

    /// What has come to it since an earlier reading of the same counters.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            count: self.count.saturating_sub(earlier.count),
            failed: self.failed.saturating_sub(earlier.failed),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            total: self.total.saturating_sub(earlier.total),
            latency: std::array::from_fn(|class| {
                self.latency[class].saturating_sub(earlier.latency[class])
            }),
        }
    }

    /// Adds what other counters have come to.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.failed += other.failed;
        self.bytes += other.bytes;
        self.total += other.total;
        for (mine, more) in self.latency.iter_mut().zip(other.latency) {
            *mine += more;
        }
    }
}

/// Counters of one kind of operation.
#[derive(Default)]
pub struct Counters {
    count: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    total_nanos: AtomicU64,
    latency: [AtomicU64; LATENCY_CLASSES],
}

impl Counters {
    /// What it has come to.
    pub fn read(&self) -> Reading {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Reading {
            count: get(&self.count),
            failed: get(&self.failed),
            bytes: get(&self.bytes),
            total: Duration::from_nanos(get(&self.total_nanos)),
            latency: std::array::from_fn(|class| get(&self.latency[class])),
        }
    }

    /// Counts an answer: the bytes of one that succeeded, nothing of one that failed; and how long it took.
    pub fn add(&self, bytes: Option<u64>, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        match bytes {
            Some(bytes) => self.bytes.fetch_add(bytes, Ordering::Relaxed),
            None => self.failed.fetch_add(1, Ordering::Relaxed),
        };
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.total_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.latency[class_of(took)].fetch_add(1, Ordering::Relaxed);
    }
}

/// The class of the smallest power of two of microseconds that is not less.
fn class_of(took: Duration) -> usize {
    let micros = took.as_nanos().div_ceil(1000);
    let class = micros.max(1).next_power_of_two().trailing_zeros() as usize;
    class.min(LATENCY_CLASSES - 1)
}

/// Counters of one disk, for every kind of operation.
#[derive(Default)]
pub struct Stats {
    kinds: [Counters; 5],
}

impl Stats {
    /// What one kind of operation has come to.
    pub fn read(&self, kind: Counted) -> Reading {
        self.kinds[kind as usize].read()
    }

    /// Counts an answer to one kind of operation, as [`Counters::add`] does.
    pub fn add(&self, kind: Counted, bytes: Option<u64>, took: Duration) {
        self.kinds[kind as usize].add(bytes, took);
    }
}

impl std::fmt::Debug for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |kind| self.read(kind).count;
        write!(f, "Stats({} reads, {} writes)", count(Counted::Read), count(Counted::Write))
    }
}

/// A disk whose requests are counted and timed.
pub struct StatsDisk {
    inner: AnyDisk,
    clock: Arc<dyn Clock>,
    stats: Arc<Stats>,
}

impl StatsDisk {
    /// Counts what `inner` does, by this clock.
    pub fn new(inner: AnyDisk, clock: Arc<dyn Clock>) -> Self {
        Self::with_stats(inner, clock, Arc::default())
    }

    /// Adds what `inner` does to these counters.
    pub fn with_stats(inner: AnyDisk, clock: Arc<dyn Clock>, stats: Arc<Stats>) -> Self {
        Self { inner, clock, stats }
    }

    /// Its counters, which live on after it.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }
}

impl Disk for StatsDisk {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn submit(&self, batch: Vec<Request>) {
        if batch.is_empty() {
            return;
        }
        let noted = |Request { op, reply }| {
            let note = (kind_of(&op), op.extent().map_or(0, Extent::bytes));
            (op, reply, note)
        };
        let (clock, stats, start) = (Arc::clone(&self.clock), self.stats(), self.clock.monotonic());
        let batch = batch.into_iter().map(noted).collect();
        self.inner.submit(Relay::lead(batch, move |(kind, bytes), answer| {
            let took = clock.monotonic().saturating_sub(start);
            stats.add(kind, answer.is_ok().then_some(bytes), took);
            answer
        }));
    }
}

fn kind_of(op: &Op) -> Counted {
    match op {
        Op::Read { .. } => Counted::Read,
        Op::Write { .. } => Counted::Write,
        Op::Discard { .. } | Op::WriteZeroes { .. } => Counted::Zero,
        Op::Flush => Counted::Flush,
        Op::Map { .. } => Counted::Map,
    }
}

#[cfg(test)]
mod tests {
    use base::clock::ManualClock;

    use super::*;
    use crate::sim::{Fault, OpKind, SimWorld, What};
    use crate::{Shelf, Usage};

    #[test]
    fn a_class_ends_at_a_power_of_two() {
        let classes =
            [0, 1, 2, 3, 4, 5, 1 << 60].map(|micros| class_of(Duration::from_micros(micros)));
        assert_eq!(classes, [0, 0, 1, 2, 2, 3, LATENCY_CLASSES - 1]);
        assert_eq!(class_of(Duration::from_nanos(1001)), 1);
    }

    #[test]
    fn an_estimate_lies_within_its_class_and_moves_with_the_share() {
        let counters = Counters::default();
        assert_eq!(counters.read().estimate(500), None);
        for _ in 0..100 {
            counters.add(Some(512), Duration::from_micros(100));
        }
        let read = counters.read();
        assert_eq!(read.estimate(500), Some(Duration::from_micros(96)));
        assert_eq!(read.estimate(1000), Some(Duration::from_micros(128)));
        counters.add(None, Duration::from_secs(1 << 40));
        assert!(counters.read().estimate(1000).unwrap() > Duration::from_secs(60));
    }

    #[test]
    fn what_came_since_and_what_is_added_make_the_whole() {
        let counters = Counters::default();
        counters.add(Some(512), Duration::from_micros(3));
        let before = counters.read();
        counters.add(Some(1024), Duration::from_micros(300));
        counters.add(None, Duration::from_micros(3));
        let mut sum = counters.read().since(&before);
        assert_eq!((sum.count, sum.failed, sum.bytes), (2, 1, 1024));
        sum.add(&before);
        assert_eq!(sum, counters.read());
    }

    #[tokio::test]
    async fn requests_are_counted_with_the_time_they_took() {
        let world = SimWorld::new(1);
        let clock = Arc::new(ManualClock::default());
        let inner = world.shelf().create("d", 64, Usage::Data).unwrap();
        let disk = StatsDisk::new(inner, Arc::clone(&clock) as Arc<dyn Clock>);
        let stats = disk.stats();
        let disk: AnyDisk = Arc::new(disk);
        world.add_fault(Fault::new("d", OpKind::Read, What::Slow).times(1));
        let slow = disk.read(Extent::new(0, 2));
        clock.advance(Duration::from_millis(3));
        world.settle();
        slow.await.unwrap();
        disk.read(Extent::new(0, 1)).await.unwrap();
        assert!(disk.read(Extent::new(64, 1)).await.is_err());
        let reads = stats.read(Counted::Read);
        assert_eq!((reads.count, reads.failed, reads.bytes), (3, 1, 3 * 512));
        assert_eq!(reads.total, Duration::from_millis(3));
        assert_eq!(reads.percentile(500), Duration::from_micros(1));
        assert_eq!(reads.percentile(1000), Duration::from_micros(4096));
        assert_eq!(stats.read(Counted::Flush).percentile(990), Duration::ZERO);
    }
}
