//! How a request's answer finds its way back.
//!
//! A front door keeps one [`Answers`] for a whole session and numbers its requests with tickets, so that
//! a batch costs no allocation and no wake-up per request. Everyone else uses [`Reply::one`].

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::buffer::Buffer;
use crate::error::DiskError;
use crate::request::MapExtent;

/// What became of a request.
pub type Answer = Result<Done, DiskError>;

/// A request that was carried out.
#[derive(Debug)]
pub enum Done {
    /// The buffer of a read, filled.
    Read(Buffer),
    /// A write, with the durability that was asked for.
    Written,
    /// A discard.
    Discarded,
    /// A write of zeroes.
    Zeroed,
    /// A flush.
    Flushed,
    /// The extents of a map request, in order, without gaps from its start; they may end before it does
    /// but never cover nothing of a request that is not empty.
    Mapped(Vec<MapExtent>),
}

/// Somebody who waits for answers. Called from any thread, also from within `submit`; must not block.
pub trait Answers: Send + Sync {
    /// Takes the answer to the request with this ticket.
    fn answer(&self, ticket: u64, answer: Answer);
}

/// The way back for one request. Answers [`DiskError::Closed`] where it is dropped unused.
pub struct Reply {
    to: Option<Arc<dyn Answers>>,
    ticket: u64,
}

impl Reply {
    /// Answers `to` under this ticket.
    pub fn new(to: Arc<dyn Answers>, ticket: u64) -> Self {
        Self { to: Some(to), ticket }
    }

    /// A reply and the one place where its answer arrives.
    pub fn one() -> (Self, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        (Self::new(Arc::new(One(Mutex::new(Some(sender)))), 0), receiver)
    }

    /// Sends the answer.
    pub fn send(mut self, answer: Answer) {
        if let Some(to) = self.to.take() {
            to.answer(self.ticket, answer);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            to.answer(self.ticket, Err(DiskError::Closed));
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({})", self.ticket)
    }
}

struct One(Mutex<Option<oneshot::Sender<Answer>>>);

impl Answers for One {
    fn answer(&self, _ticket: u64, answer: Answer) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // The asker may have gone away; then nobody wants to know.
            let _ = sender.send(answer);
        }
    }
}
