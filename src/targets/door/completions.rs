//! Where the answers of one session's requests arrive, from any thread, and wake the session once.
//!
//! What a door waits for beside the disk's answers is its own: the type of an outcome is made from them.
//!
//! The session takes its waker back while it runs: what is answered from within `submit`, or while it
//! is at work anyway, wakes nobody.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use disk::{Answer, Answers};

/// A request that has ended.
#[derive(Debug)]
pub struct Completion<O> {
    /// Which one.
    pub ticket: u64,
    /// What became of it.
    pub outcome: O,
}

/// What the session has been told from outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Order {
    /// Nothing.
    #[default]
    Serve,
    /// Finish what was taken, refuse the rest, end.
    Close,
    /// End without another word to the client.
    Kill,
}

#[derive(Debug)]
struct State<O> {
    ended: Vec<Completion<O>>,
    order: Order,
    waker: Option<Waker>,
}

/// The answers of one session.
#[derive(Debug)]
pub struct Completions<O> {
    state: Mutex<State<O>>,
}

impl<O> Default for Completions<O> {
    fn default() -> Self {
        let state = State { ended: Vec::new(), order: Order::Serve, waker: None };
        Self { state: Mutex::new(state) }
    }
}

impl<O> Completions<O> {
    /// Takes what has ended since, appending to `ended`, and disarms the waker. Gives the order in force.
    pub fn take(&self, ended: &mut Vec<Completion<O>>) -> Order {
        let mut state = self.lock();
        state.waker = None;
        ended.append(&mut state.ended);
        state.order
    }

    /// Arms the waker, unless something has ended or was ordered since `seen`.
    pub fn arm(&self, seen: Order, waker: &Waker) -> bool {
        let mut state = self.lock();
        let is_quiet = state.ended.is_empty() && state.order == seen;
        if is_quiet {
            state.waker = Some(waker.clone());
        }
        is_quiet
    }

    /// Gives an order; a milder one than the one in force has no effect.
    pub fn order(&self, order: Order) {
        let mut state = self.lock();
        state.order = state.order.max(order);
        wake(state);
    }

    /// Notes that a request has ended.
    pub fn end(&self, ticket: u64, outcome: O) {
        let mut state = self.lock();
        state.ended.push(Completion { ticket, outcome });
        wake(state);
    }

    fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake<O>(mut state: MutexGuard<'_, State<O>>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<O: From<Answer> + Send> Answers for Completions<O> {
    fn answer(&self, ticket: u64, answer: Answer) {
        self.end(ticket, O::from(answer));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use disk::Done;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn many_answers_wake_once_and_none_while_the_session_runs() {
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&counter));
        let completions = Completions::<Answer>::default();
        completions.answer(1, Ok(Done::Flushed));
        assert!(!completions.arm(Order::Serve, &waker), "an answer is waiting");
        let mut ended = Vec::new();
        completions.take(&mut ended);
        assert!(completions.arm(Order::Serve, &waker));
        completions.answer(2, Ok(Done::Flushed));
        completions.answer(3, Ok(Done::Flushed));
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        completions.take(&mut ended);
        assert_eq!(ended.iter().map(|end| end.ticket).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(completions.arm(Order::Serve, &waker));
        completions.take(&mut ended);
        completions.answer(4, Ok(Done::Flushed));
        assert_eq!(counter.0.load(Ordering::Relaxed), 1, "it runs, so nobody has to wake it");
    }

    #[test]
    fn a_milder_order_does_not_undo_a_harder_one() {
        let completions = Completions::<Answer>::default();
        completions.order(Order::Kill);
        completions.order(Order::Close);
        assert_eq!(completions.take(&mut Vec::new()), Order::Kill);
        assert!(!completions.arm(Order::Serve, Waker::noop()), "the order was not seen yet");
    }
}
