//! Keeps commands that read, compare and then write alone with their sectors, on all paths.
//!
//! Ordinary reads and writes *share* the stripes of the disk that they touch, by counters and without a
//! lock; a command that must be alone waits until nobody shares its stripes, and keeps others out
//! until it has ended. A stripe stands for many places of the disk, so two that do not overlap may wait
//! for one another; that is rare, since hardly any command must be alone.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use base::units::Extent;
use tokio::sync::Notify;

const STRIPES: usize = 64;
const SECTORS_PER_STRIPE: u64 = 2048;

/// The stripes of a logical unit, one bit for each.
type Mask = u64;

/// Who is at work where.
#[derive(Debug)]
pub struct Ranges {
    sharing: [AtomicU32; STRIPES],
    alone_count: AtomicUsize,
    alone: Mutex<Vec<Mask>>,
    freed: Notify,
}

impl Default for Ranges {
    fn default() -> Self {
        Self {
            sharing: [const { AtomicU32::new(0) }; STRIPES],
            alone_count: AtomicUsize::new(0),
            alone: Mutex::new(Vec::new()),
            freed: Notify::new(),
        }
    }
}

/// The stripes that somebody shares or has for itself; to be given back to the same [`Ranges`].
#[derive(Debug)]
#[must_use]
pub struct Held(Mask);

fn mask(extent: Extent) -> Mask {
    if extent.is_empty() {
        return 0;
    }
    let first = extent.start / SECTORS_PER_STRIPE;
    let last = (extent.end() - 1) / SECTORS_PER_STRIPE;
    if last - first >= STRIPES as u64 - 1 {
        return Mask::MAX;
    }
    (first..=last).fold(0, |mask, stripe| mask | 1 << (stripe % STRIPES as u64))
}

impl Ranges {
    /// Shares the stripes of `extent`, unless somebody is alone with one of them.
    pub fn try_share(&self, extent: Extent) -> Option<Held> {
        let mask = mask(extent);
        self.count(mask, |counter| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        // Either whoever wants to be alone sees the counter, or this sees that somebody does.
        if self.alone_count.load(Ordering::SeqCst) == 0 || !self.is_alone(mask) {
            return Some(Held(mask));
        }
        self.unshare(Held(mask));
        None
    }

    /// Shares the stripes of `extent` as soon as nobody is alone with one of them.
    pub async fn share(&self, extent: Extent) -> Held {
        let mask = mask(extent);
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            // A try that fails wakes the others, so it is only made where it may succeed.
            if self.is_alone(mask) {
                freed.await;
            } else if let Some(held) = self.try_share(extent) {
                return held;
            }
        }
    }

    /// Ends sharing.
    pub fn unshare(&self, held: Held) {
        self.count(held.0, |counter| {
            counter.fetch_sub(1, Ordering::SeqCst);
        });
        if self.alone_count.load(Ordering::SeqCst) > 0 {
            self.freed.notify_waiters();
        }
    }

    /// Has the stripes of `extent` for itself, as soon as all others are gone from them. The place in the
    /// queue is given up where the future is dropped.
    pub async fn alone(&self, extent: Extent) -> Alone<'_> {
        let mask = mask(extent);
        let alone = loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.enter(mask) {
                break Alone { ranges: self, mask };
            }
            freed.await;
        };
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let mut sharing = 0;
            self.count(mask, |counter| sharing += counter.load(Ordering::SeqCst));
            if sharing == 0 {
                return alone;
            }
            freed.await;
        }
    }

    fn enter(&self, mask: Mask) -> bool {
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        if alone.iter().any(|other| other & mask != 0) {
            return false;
        }
        alone.push(mask);
        self.alone_count.fetch_add(1, Ordering::SeqCst);
        true
    }

    fn is_alone(&self, mask: Mask) -> bool {
        let alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        alone.iter().any(|other| other & mask != 0)
    }

    fn count(&self, mut mask: Mask, mut with: impl FnMut(&AtomicU32)) {
        while mask != 0 {
            with(&self.sharing[mask.trailing_zeros() as usize]);
            mask &= mask - 1;
        }
    }
}

/// Stripes that somebody has for itself until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Alone<'a> {
    ranges: &'a Ranges,
    mask: Mask,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let mut alone = self.ranges.alone.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = alone.iter().position(|mask| *mask == self.mask) {
            alone.swap_remove(at);
            self.ranges.alone_count.fetch_sub(1, Ordering::SeqCst);
        }
        drop(alone);
        self.ranges.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn an_extent_covers_its_stripes_and_no_more() {
        assert_eq!(mask(Extent::new(0, 0)), 0);
        assert_eq!(mask(Extent::new(2047, 1)), 1);
        assert_eq!(mask(Extent::new(2047, 2)), 3);
        assert_eq!(mask(Extent::new(63 * 2048, 2049)), 1 << 63 | 1);
        assert_eq!(mask(Extent::new(5, 1 << 40)), Mask::MAX);
    }

    #[tokio::test]
    async fn who_is_alone_keeps_the_others_out_and_waits_for_them() {
        let ranges = Arc::new(Ranges::default());
        let held = ranges.try_share(Extent::new(0, 8)).unwrap();
        let again = Arc::clone(&ranges);
        let alone = tokio::spawn(async move {
            let alone = again.alone(Extent::new(4, 8)).await;
            assert!(again.try_share(Extent::new(0, 1)).is_none());
            drop(alone);
        });
        while ranges.alone_count.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(ranges.try_share(Extent::new(0, 1)).is_none());
        assert!(!alone.is_finished());
        let elsewhere = ranges.try_share(Extent::new(4096, 1)).unwrap();
        ranges.unshare(elsewhere);
        ranges.unshare(held);
        let held = ranges.share(Extent::new(0, 1)).await;
        ranges.unshare(held);
        alone.await.unwrap();
        assert_eq!(ranges.alone_count.load(Ordering::SeqCst), 0);
    }
}
