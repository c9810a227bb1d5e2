//! Power cuts: at every step of short histories, at random steps of long ones, and again during recovery.
//!
//! After each cut the pool must open by itself and hold, in all volumes and marks at once, what the oracle
//! held after some operation that is not older than the last one answered as stable: a prefix of the
//! history, never a mixture. Then background work is let run to its end, and nothing may have changed.

mod create;
mod cut;
mod faults;
mod long;
mod overwritten;
mod removed;
mod short;
mod together;

use std::sync::atomic::{AtomicU64, Ordering};

/// How many crash points the long histories aim at, all tests together.
fn points_wanted() -> u64 {
    let text = std::env::var("TIDEMARK_CRASH_POINTS").unwrap_or_default();
    text.parse().unwrap_or(2_000)
}

/// Counts crash points that were recovered from and checked, and how many of them in recovery.
#[derive(Default)]
struct Tally {
    points: AtomicU64,
    nested: AtomicU64,
}

impl Tally {
    fn report(&self, what: &str) {
        let (points, nested) =
            (self.points.load(Ordering::Relaxed), self.nested.load(Ordering::Relaxed));
        println!(
            "result: {what}: {points} crash points recovered, {nested} of them during recovery"
        );
    }
}
