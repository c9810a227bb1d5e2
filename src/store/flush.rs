//! Making the journal stable: one flush at a time, shared by everybody who waits.

use std::sync::Arc;

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
    /// Who is served by the running one.
    served: Vec<Waiter>,
    /// Who came after it had started.
    next: Vec<Waiter>,
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
        core.flush.next.push(waiter);
        self.start_flush(core);
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
        core.flush.served = std::mem::take(&mut core.flush.next);
        drop(core);
        let reply = Reply::new(Arc::new(Flushed(self.shared())), 0);
        self.journal.submit(vec![Request { op: Op::Flush, reply }]);
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
