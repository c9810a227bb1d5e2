//! Making the journal stable, and before it what it tells of in berths: one flush at a time, shared by
//! everybody who waits. Whoever asks when nothing was answered since the last one began is served by that
//! one: at once, where it is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use disk::{Answer, Answers, DiskError, Op, Reply, Request};
use tokio::sync::oneshot;

use crate::pool::{Core, Pool, Waiter};

/// Who waits for which flush.
#[derive(Default)]
pub(crate) struct FlushState {
    /// Whether one is running.
    is_running: bool,
    /// The newest frame that the running one covers.
    covers: u64,
    /// The newest frame that those frames say was stable.
    tells: u64,
    /// Who is served by the running one.
    served: Vec<Waiter>,
    /// Who came after it had started.
    next: Vec<Waiter>,
}

/// Which flush serves somebody who asks now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Covered {
    /// One that is over: everything that was answered is stable.
    Last,
    /// The one that is running.
    Running,
    /// One that has to begin first.
    Next,
}

impl Pool {
    /// Has everything that was answered so far made stable, then tells `waiter`.
    pub(crate) fn flush_journal(&self, waiter: Waiter) {
        let mut core = self.lock();
        if let Some(why) = &core.poison {
            let error = DiskError::Poisoned(Arc::clone(why));
            drop(core);
            waiter.finish(Err(error));
            return;
        }
        match core.covered() {
            Covered::Last => {
                drop(core);
                waiter.finish(Ok(()));
            }
            Covered::Running => core.flush.served.push(waiter),
            Covered::Next => {
                core.flush.next.push(waiter);
                self.start_flush(core);
            }
        }
    }

    /// The same for several who wait.
    pub(crate) fn flush_journal_for(&self, waiters: Vec<Waiter>) {
        if waiters.is_empty() {
            return;
        }
        let mut core = self.lock();
        core.flush.next.extend(waiters);
        self.start_flush(core);
    }

    /// Everything that was answered so far is stable when this returns.
    ///
    /// # Errors
    /// `Poisoned` where the journal's disk failed, now or before.
    pub(crate) async fn flush(&self) -> Result<(), DiskError> {
        let (sender, receiver) = oneshot::channel();
        self.flush_journal(Waiter::Task(sender));
        receiver.await.unwrap_or(Err(DiskError::Closed))
    }

    fn start_flush(&self, mut core: std::sync::MutexGuard<'_, Core>) {
        if core.flush.is_running || core.flush.next.is_empty() {
            return;
        }
        core.flush.is_running = true;
        core.flush.covers = core.completed;
        core.flush.tells = core.completed_tells;
        core.flush.served = std::mem::take(&mut core.flush.next);
        let bases = std::mem::take(&mut core.unstable_bases);
        drop(core);
        if bases.is_empty() {
            return self.start_flush_of_journal();
        }
        let left = AtomicUsize::new(bases.len());
        let flushed: Arc<dyn Answers> = Arc::new(BasesFlushed { pool: self.shared(), left });
        for base in bases.into_values() {
            base.submit(vec![Request {
                op: Op::Flush,
                reply: Reply::new(Arc::clone(&flushed), 0),
            }]);
        }
    }

    fn start_flush_of_journal(&self) {
        let reply = Reply::new(Arc::new(Flushed(self.shared())), 0);
        self.journal.submit(vec![Request { op: Op::Flush, reply }]);
    }
}

impl Core {
    fn covered(&self) -> Covered {
        if !self.unstable_bases.is_empty() {
            Covered::Next
        } else if self.flush.is_running && self.flush.covers == self.completed {
            Covered::Running
        } else if self.durable >= self.completed {
            Covered::Last
        } else {
            Covered::Next
        }
    }
}

/// The flushes of the bases in which berths were written: the journal comes after them, so that no stable
/// frame tells of what is not stable.
struct BasesFlushed {
    pool: Arc<Pool>,
    left: AtomicUsize,
}

impl Answers for BasesFlushed {
    fn answer(&self, _ticket: u64, answer: Answer) {
        if let Err(error) = answer {
            self.pool.poison(&format!("flush a base: {error}"));
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let poison = self.pool.lock().poison.clone();
        match poison {
            Some(why) => Flushed(Arc::clone(&self.pool)).answer(0, Err(DiskError::Poisoned(why))),
            None => self.pool.start_flush_of_journal(),
        }
    }
}

struct Flushed(Arc<Pool>);

impl Answers for Flushed {
    fn answer(&self, _ticket: u64, answer: Answer) {
        let pool = &self.0;
        let outcome = answer.map(drop);
        if let Err(error) = &outcome {
            pool.poison(&format!("flush the journal: {error}"));
        }
        let mut core = pool.lock();
        if outcome.is_ok() {
            core.durable = core.durable.max(core.flush.covers);
            core.attested = core.attested.max(core.flush.tells);
        }
        core.flush.is_running = false;
        let mut served = std::mem::take(&mut core.flush.served);
        if outcome.is_err() {
            served.append(&mut core.flush.next);
        }
        drop(core);
        for waiter in served {
            waiter.finish(outcome.clone().map_err(poisoned));
        }
        let core = pool.lock();
        pool.start_flush(core);
    }
}

/// A failed flush is told as what it means: nothing more can be promised.
fn poisoned(error: DiskError) -> DiskError {
    match error {
        DiskError::Closed | DiskError::Poisoned(_) => error,
        other => DiskError::Poisoned(other.to_string().into()),
    }
}
