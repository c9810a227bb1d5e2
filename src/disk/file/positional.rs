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
                    if transfer.direction == Direction::Write {
                        self.flushes().rhythm.wrote();
                    }
                    self.transfer(transfer);
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
