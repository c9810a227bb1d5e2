//! The plain engine: positional calls, in the caller's thread or on the workers.
//!
//! Flushes never run in the caller's thread. Those that arrive while one runs share the next one, which
//! covers everything answered before any of them was handed down.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
}

/// The plain engine.
pub(crate) struct Positional {
    backing: Arc<Backing>,
    calls: Calls,
    flushes: Mutex<Flushes>,
    outstanding: Arc<Outstanding>,
}

impl Positional {
    pub(crate) fn new(backing: Arc<Backing>, calls: Calls) -> Self {
        let flushes = Mutex::new(Flushes::default());
        Self { backing, calls, flushes, outstanding: Arc::default() }
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

    /// Flushes until nobody waits for it.
    fn flush_all(&self) {
        loop {
            let waiting = {
                let mut flushes = self.flushes();
                if flushes.waiting.is_empty() {
                    flushes.is_running = false;
                    return;
                }
                std::mem::take(&mut flushes.waiting)
            };
            let result: Result<(), DiskError> = self.backing.sync();
            for (reply, done) in waiting {
                reply.send(result.clone().map(|()| done));
            }
        }
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
                Calls::Inline => self.transfer(transfer),
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
        if !std::mem::replace(&mut flushes.is_running, true) {
            let busy = Outstanding::enter(&self.outstanding);
            let engine = Arc::clone(&self);
            drop(flushes);
            workers::run(move || {
                engine.flush_all();
                drop(engine);
                drop(busy);
            });
        }
    }

    fn close(&self) {
        self.outstanding.wait();
    }
}
