//! Time, passed in, so that a test can hold it still or make it jump.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What time it is. Waiting is the runtime's business.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970 by the wall clock, which may jump; for people to read.
    fn wall_ms(&self) -> u64;
    /// Time since some fixed moment, which never goes back; for measuring.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    fn default() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn wall_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Mutex<(u64, Duration)>,
}

impl ManualClock {
    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        now.0 += u64::try_from(by.as_millis()).unwrap_or(0);
        now.1 += by;
    }

    /// Sets the wall clock alone, also backwards.
    pub fn set_wall_ms(&self, wall_ms: u64) {
        self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0 = wall_ms;
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> u64 {
        self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Duration {
        self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1
    }
}

/// The machine's clocks, with a wall clock that is behind until it is told to catch up. It goes on by itself, and is
/// only ever moved forward.
#[derive(Debug, Default)]
pub struct LateClock {
    machine: SystemClock,
    behind_ms: AtomicU64,
}

impl LateClock {
    /// A clock that starts so far in the past.
    pub fn behind(by: Duration) -> Self {
        let behind_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self { machine: SystemClock::default(), behind_ms: AtomicU64::new(behind_ms) }
    }

    /// Moves the wall clock forward to this moment, at most to the present; one that is past changes nothing.
    pub fn move_to(&self, wall_ms: u64) {
        let behind_ms = self.machine.wall_ms().saturating_sub(wall_ms);
        self.behind_ms.fetch_min(behind_ms, Ordering::SeqCst);
    }

    /// Moves the wall clock to the present, where it stays.
    pub fn catch_up(&self) {
        self.behind_ms.store(0, Ordering::SeqCst);
    }

    /// What the machine's own wall clock says: milliseconds since 1970.
    pub fn present_ms(&self) -> u64 {
        self.machine.wall_ms()
    }
}

impl Clock for LateClock {
    fn wall_ms(&self) -> u64 {
        self.machine.wall_ms().saturating_sub(self.behind_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_clock_is_moved_forward_alone_and_never_past_the_present() {
        let day = 24 * 60 * 60 * 1000;
        let clock = LateClock::behind(Duration::from_millis(3 * day));
        let start = clock.wall_ms();
        assert!(start <= clock.present_ms() - 3 * day);
        clock.move_to(start + day);
        let later = clock.wall_ms();
        assert!(later >= start + day && later < start + 2 * day);
        clock.move_to(start);
        assert!(clock.wall_ms() >= later);
        clock.move_to(clock.present_ms() + day);
        assert!(clock.wall_ms() <= clock.present_ms());
        assert!(clock.wall_ms() >= start + 3 * day);
        clock.catch_up();
        assert!(clock.wall_ms() >= start + 3 * day);
    }
}
