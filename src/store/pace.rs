//! The pace of long work that nobody waits for: all that the disk gives while it is alone, and a small part
//! beside clients.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::pool::Pool;

/// How many times longer than it worked it rests where clients asked for something meanwhile.
const REST: u32 = 8;
/// The longest rest: what is done between two rests may have waited for the disk long enough itself.
const REST_MAX: Duration = Duration::from_millis(100);

/// How some long work gets on.
pub(crate) struct Pace {
    /// Batches of requests when it was last asked to give way.
    seen: u64,
    began: Duration,
    is_alone: bool,
}

impl Pace {
    /// Whether no client asked for anything of late.
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }
}

impl Pool {
    /// Notes that clients ask for something.
    pub(crate) fn note_requests(&self) {
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// The pace of work that begins now.
    pub(crate) fn pace(&self) -> Pace {
        let seen = self.batches.load(Ordering::Relaxed);
        Pace { seen, began: self.world.clock.monotonic(), is_alone: true }
    }

    /// Rests where clients asked for something since it was last called.
    pub(crate) async fn give_way(&self, pace: &mut Pace) {
        let seen = self.batches.load(Ordering::Relaxed);
        pace.is_alone = seen == pace.seen;
        pace.seen = seen;
        if pace.is_alone {
            tokio::task::yield_now().await;
        } else {
            let worked = self.world.clock.monotonic().saturating_sub(pace.began);
            tokio::time::sleep((worked * REST).min(REST_MAX)).await;
        }
        pace.began = self.world.clock.monotonic();
    }
}
