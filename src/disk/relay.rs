//! Passing answers on through a decorator, with one allocation for a whole batch.

use std::sync::{Arc, Mutex, PoisonError};

use crate::answer::{Answer, Answers, Reply};
use crate::request::{Op, Request};

/// Takes the answers of one batch, does something to each, and passes it on.
pub(crate) struct Relay<T, F> {
    waiting: Mutex<Vec<Option<(Reply, T)>>>,
    pass: F,
}

impl<T, F> Relay<T, F>
where
    T: Send + 'static,
    F: Fn(T, Answer) -> Answer + Send + Sync + 'static,
{
    /// The batch with its replies led through `pass`, which is given what was noted for the request.
    pub(crate) fn lead(batch: Vec<(Op, Reply, T)>, pass: F) -> Vec<Request> {
        let mut waiting = Vec::with_capacity(batch.len());
        let mut ops = Vec::with_capacity(batch.len());
        for (op, reply, note) in batch {
            ops.push(op);
            waiting.push(Some((reply, note)));
        }
        let relay: Arc<dyn Answers> = Arc::new(Self { waiting: Mutex::new(waiting), pass });
        let request = |(ticket, op)| Request { op, reply: Reply::new(Arc::clone(&relay), ticket) };
        (0u64..).zip(ops).map(request).collect()
    }
}

impl<T, F> Answers for Relay<T, F>
where
    T: Send,
    F: Fn(T, Answer) -> Answer + Send + Sync,
{
    fn answer(&self, ticket: u64, answer: Answer) {
        let index = usize::try_from(ticket).unwrap_or(usize::MAX);
        let entry = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.get_mut(index).and_then(Option::take)
        };
        if let Some((reply, note)) = entry {
            reply.send((self.pass)(note, answer));
        }
    }
}
