//! The plain engine: positional calls, in the caller's thread or on the workers.
//!
//! Flushes that arrive while one runs share the next one, which covers everything answered before any of
//! them was handed down. A flush runs on the workers, so that nobody is kept waiting who does not wait
//! for it; but where one caller writes and flushes in turn, as a mail server does, and the medium is quick,
//! it runs in that caller's thread: waking a worker and being woken by it would cost a third of the time
//! that the medium takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::clock::{Clock, SystemClock};

use super::backing::Backing;
use super::engine::{Engine, Outstanding, aside, send};
use super::transfer::{Failed, Plan, Transfer};
use super::workers;
use crate::answer::{Done, Reply};
use crate::error::DiskError;
use crate::file::sys::Direction;
use crate::request::{Durability, Request};

/// Where positional calls are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Calls {
    /// From within `submit`: for the page cache, which answers faster than a thread wakes up.
    Inline,
    /// On the workers: for calls that wait for the medium.
    Aside,
}

#[derive(Default)]
struct Flushes {
    is_running: bool,
    waiting: Vec<(Reply, Done)>,
    rhythm: Rhythm,
    fresh: Fresh,
}

/// Bytes that were written since the last flush and that the kernel was not told to write to the medium: all
/// that changed lies between these two.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Fresh {
    start: u64,
    end: u64,
}

/// Bytes that may gather in the page cache before the kernel is told to write them out. Left to itself it
/// lets gigabytes gather, and the next flush waits for all of them.
const FRESH_LEN_MAX: u64 = 1 << 20;

impl Fresh {
    const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Notes a write; gives what should go to the medium now: all that there is where somebody is about to
    /// flush it. Frames of several clients come in any order, so what lies near counts as one.
    fn wrote(&mut self, start: u64, len: u64, is_awaited: bool) -> Option<Self> {
        let before = *self;
        let written = Self { start, end: start + len };
        let both = Self { start: before.start.min(start), end: before.end.max(written.end) };
        if before.len() > 0 && both.len() > FRESH_LEN_MAX + before.len().max(len) {
            *self = written;
            return Some(before);
        }
        *self = if before.len() > 0 { both } else { written };
        (is_awaited || self.len() >= FRESH_LEN_MAX).then(|| std::mem::take(self))
    }
}

/// How writes and flushes have followed each other.
#[derive(Default)]
struct Rhythm {
    /// Writes since the last flush.
    writes: u32,
    /// How many flushes in a row came each after one write at most.
    turns: u32,
    /// How long the last flush took.
    last: Duration,
}

/// Turns after which writing and flushing in turn is taken for a habit.
const HABIT_TURNS: u32 = 8;
/// How long a caller's thread may be kept: others that it serves wait as long.
const QUICK: Duration = Duration::from_millis(2);

impl Rhythm {
    fn wrote(&mut self) {
        self.writes = self.writes.saturating_add(1);
    }

    fn flushed(&mut self) {
        self.turns = if self.writes <= 1 { self.turns.saturating_add(1) } else { 0 };
        self.writes = 0;
    }

    /// Whether somebody writes and flushes in turn, nobody else does anything, and it is soon done.
    fn is_in_quick_turns(&self) -> bool {
        self.turns >= HABIT_TURNS && self.last < QUICK
    }
}

/// The plain engine.
pub(crate) struct Positional {
    backing: Arc<Backing>,
    calls: Calls,
    flushes: Mutex<Flushes>,
    outstanding: Arc<Outstanding>,
    /// Tells how long flushes take.
    clock: SystemClock,
}

impl Positional {
    pub(crate) fn new(backing: Arc<Backing>, calls: Calls) -> Self {
        let flushes = Mutex::new(Flushes::default());
        let clock = SystemClock::default();
        Self { backing, calls, flushes, outstanding: Arc::default(), clock }
    }

    fn flushes(&self) -> MutexGuard<'_, Flushes> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is written; gives what should go to the medium after it.
    fn note(&self, transfer: &Transfer) -> Option<Fresh> {
        if transfer.direction != Direction::Write {
            return None;
        }
        let mut flushes = self.flushes();
        flushes.rhythm.wrote();
        let is_awaited = flushes.rhythm.is_in_quick_turns();
        let (start, len) = (transfer.offset(), transfer.vectors().bytes() as u64);
        flushes.fresh.wrote(start, len, is_awaited)
    }

    /// Has the kernel begin to write. A little in this thread, which is quicker than another wakes up; much
    /// on the workers, because it may wait for the medium's queue.
    fn begin_writeback(&self, fresh: Fresh) {
        if fresh.len() < FRESH_LEN_MAX {
            return self.backing.begin_writeback(fresh.start, fresh.len());
        }
        let busy = Outstanding::enter(&self.outstanding);
        let backing = Arc::clone(&self.backing);
        workers::run(move || {
            backing.begin_writeback(fresh.start, fresh.len());
            drop(backing);
            drop(busy);
        });
    }

    fn transfer(self: &Arc<Self>, transfer: Transfer) {
        let mut waiting = vec![transfer];
        while let Some(mut transfer) = waiting.pop() {
            let is_stable =
                transfer.direction == Direction::Write && transfer.durability == Durability::Stable;
            match transfer.run(&self.backing) {
                Ok(()) if is_stable => {
                    for (reply, answer) in transfer.succeed() {
                        match answer {
                            Ok(done) => Arc::clone(self).flush_then(reply, done),
                            Err(error) => reply.send(Err(error)),
                        }
                    }
                }
                Ok(()) => send(transfer.succeed()),
                Err(error) => match transfer.fail(&self.backing, &error) {
                    Failed::Answers(answers) => send(answers),
                    Failed::Apart(transfers) => waiting.extend(transfers),
                },
            }
        }
    }

    /// Flushes for those who wait for it; false where nobody does.
    fn flush_once(&self) -> bool {
        let waiting = {
            let mut flushes = self.flushes();
            if flushes.waiting.is_empty() {
                flushes.is_running = false;
                return false;
            }
            std::mem::take(&mut flushes.waiting)
        };
        let began = self.clock.monotonic();
        let result: Result<(), DiskError> = self.backing.sync();
        self.flushes().rhythm.last = self.clock.monotonic().saturating_sub(began);
        for (reply, done) in waiting {
            reply.send(result.clone().map(|()| done));
        }
        true
    }

    /// Flushes on the workers until nobody waits for it.
    fn flush_aside(self: Arc<Self>) {
        let busy = Outstanding::enter(&self.outstanding);
        workers::run(move || {
            while self.flush_once() {}
            drop(self);
            drop(busy);
        });
    }

    /// Flushes once in this thread, and goes on aside where others have come to wait.
    fn flush_here(self: Arc<Self>) {
        let busy = Outstanding::enter(&self.outstanding);
        self.flush_once();
        let mut flushes = self.flushes();
        flushes.is_running = !flushes.waiting.is_empty();
        let goes_on = flushes.is_running;
        drop(flushes);
        if goes_on {
            self.flush_aside();
        }
        drop(busy);
    }
}

impl Engine for Positional {
    fn backing(&self) -> &Backing {
        &self.backing
    }

    fn outstanding(&self) -> &Arc<Outstanding> {
        &self.outstanding
    }

    fn submit(self: Arc<Self>, batch: Vec<Request>) {
        let plan = Plan::of(batch, &self.backing);
        // Before anything of this batch is answered, so that it covers no less than it must.
        for reply in plan.flushes {
            Arc::clone(&self).flush_then(reply, Done::Flushed);
        }
        for request in plan.others {
            aside(Arc::clone(&self) as Arc<dyn Engine>, request);
        }
        send(plan.answers);
        for transfer in plan.transfers {
            match self.calls {
                Calls::Inline => {
                    let fresh = self.note(&transfer);
                    self.transfer(transfer);
                    if let Some(fresh) = fresh {
                        self.begin_writeback(fresh);
                    }
                }
                Calls::Aside => {
                    let busy = Outstanding::enter(&self.outstanding);
                    let engine = Arc::clone(&self);
                    workers::run(move || {
                        engine.transfer(transfer);
                        drop(engine);
                        drop(busy);
                    });
                }
            }
        }
    }

    fn flush_then(self: Arc<Self>, reply: Reply, done: Done) {
        let mut flushes = self.flushes();
        flushes.waiting.push((reply, done));
        flushes.rhythm.flushed();
        flushes.fresh = Fresh::default();
        let is_here = self.calls == Calls::Inline && flushes.rhythm.is_in_quick_turns();
        if std::mem::replace(&mut flushes.is_running, true) {
            return;
        }
        drop(flushes);
        if is_here {
            self.flush_here();
        } else {
            self.flush_aside();
        }
    }

    fn close(&self) {
        self.outstanding.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::{FRESH_LEN_MAX, Fresh};

    fn span(start: u64, end: u64) -> Option<Fresh> {
        Some(Fresh { start, end })
    }

    #[test]
    fn what_gathers_goes_to_the_medium_by_and_by() {
        let mut fresh = Fresh::default();
        assert_eq!(fresh.wrote(0, 8192, false), None);
        assert_eq!(fresh.wrote(8192, 4096, true), span(0, 12288), "it is awaited");
        assert_eq!(fresh.wrote(12288, FRESH_LEN_MAX / 2, false), None);
        let next = 12288 + FRESH_LEN_MAX / 2;
        let whole = span(12288, 12288 + FRESH_LEN_MAX);
        assert_eq!(fresh.wrote(next, FRESH_LEN_MAX / 2, false), whole);
        assert_eq!(fresh.wrote(1 << 30, 3 << 20, true), span(1 << 30, (1 << 30) + (3 << 20)));
    }

    #[test]
    fn writes_out_of_order_gather_and_what_lies_apart_does_not() {
        let mut fresh = Fresh::default();
        for start in [8192, 0, 4096, 16384] {
            assert_eq!(fresh.wrote(start, 4096, false), None);
        }
        assert_eq!(fresh.wrote(1 << 30, 4096, false), span(0, 20480));
        assert_eq!(
            fresh.wrote((1 << 30) - 4096, 4096, true),
            span((1 << 30) - 4096, (1 << 30) + 4096)
        );
    }
}
