//! What the engines of a file's disk share: requests aside from reads and writes, and waiting for the
//! last answer.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::backing::Backing;
use super::workers;
use crate::answer::{Answer, Done, Reply};
use crate::request::{Durability, Keep, Op, Request};

/// How requests get to the kernel and answers back.
pub(crate) trait Engine: Send + Sync + 'static {
    /// The file.
    fn backing(&self) -> &Backing;

    /// What is on its way beside the engine's own requests.
    fn outstanding(&self) -> &Arc<Outstanding>;

    /// Takes a batch.
    fn submit(self: Arc<Self>, batch: Vec<Request>);

    /// Makes everything stable, then answers this.
    fn flush_then(self: Arc<Self>, reply: Reply, done: Done);

    /// Takes no more requests and waits for the kernel to be done with all of them.
    fn close(&self);
}

/// Carries out a discard, a write of zeroes or a map on another thread.
pub(crate) fn aside(engine: Arc<dyn Engine>, request: Request) {
    let busy = Outstanding::enter(engine.outstanding());
    workers::run(move || {
        let Request { op, reply } = request;
        let durability = match &op {
            Op::Discard { durability, .. } | Op::WriteZeroes { durability, .. } => *durability,
            _ => Durability::Volatile,
        };
        let answer = carry_out(engine.backing(), &op);
        match (answer, durability) {
            (Ok(done), Durability::Stable) => engine.flush_then(reply, done),
            (answer, _) => {
                // Whoever waits for the last job may expect the file to be closed after it.
                drop(engine);
                reply.send(answer);
            }
        }
        drop(busy);
    });
}

fn carry_out(backing: &Backing, op: &Op) -> Answer {
    let (verb, extent, result) = match op {
        Op::Discard { extent, .. } => {
            ("discard", extent, backing.zero(*extent, Keep::Nothing).map(|()| Done::Discarded))
        }
        Op::WriteZeroes { extent, keep, .. } => {
            ("write zeroes", extent, backing.zero(*extent, *keep).map(|()| Done::Zeroed))
        }
        Op::Map { extent } => ("map", extent, backing.map(*extent).map(Done::Mapped)),
        Op::Read { .. } | Op::Write { .. } | Op::Flush => {
            unreachable!("reads, writes and flushes are not carried out aside")
        }
    };
    result.map_err(|error| backing.error(verb, *extent, &error))
}

/// Sends answers.
pub(crate) fn send(answers: impl IntoIterator<Item = (Reply, Answer)>) {
    for (reply, answer) in answers {
        reply.send(answer);
    }
}

/// Counts jobs that are on their way, so that a disk can wait for its last one.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    counts: Mutex<Counts>,
    is_idle: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    jobs: usize,
    /// Who waits for the last job: mostly nobody, and waking nobody is a system call too.
    waiting: usize,
}

/// One job; over when dropped.
pub(crate) struct Busy(Arc<Outstanding>);

impl Outstanding {
    pub(crate) fn enter(outstanding: &Arc<Self>) -> Busy {
        outstanding.counts().jobs += 1;
        Busy(Arc::clone(outstanding))
    }

    /// Waits until no job is left; at once on a thread that jobs run on.
    pub(crate) fn wait(&self) {
        if workers::is_worker() {
            return;
        }
        let mut counts = self.counts();
        counts.waiting += 1;
        while counts.jobs > 0 {
            counts = self.is_idle.wait(counts).unwrap_or_else(PoisonError::into_inner);
        }
        counts.waiting -= 1;
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        counts.jobs -= 1;
        if counts.jobs == 0 && counts.waiting > 0 {
            self.0.is_idle.notify_all();
        }
    }
}
