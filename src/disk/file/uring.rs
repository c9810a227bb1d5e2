//! The io_uring engine: one ring per file, whole batches in one system call, no thread per request.
//!
//! Whoever submits enters the kernel once for a batch and reaps what is already done. The rest is reaped
//! where the ring's event descriptor is watched: a task of a runtime, or a thread of this disk.
//!
//! Invariant: every buffer that the kernel knows is in the ring's table until the kernel has said that it
//! is done with it. The ring waits for that when it is dropped.

mod reaper;
mod ring;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::backing::Backing;
use super::engine::{Engine, Outstanding, aside, send};
use super::transfer::Plan;
use crate::answer::{Answer, Done, Reply};
use crate::error::DiskError;
use crate::gather::{self, Holding};
use crate::request::Request;
use reaper::Reaper;
use ring::Ring;

/// Whether this process may use io_uring: found out once, by trying.
pub(super) fn is_allowed() -> bool {
    use std::sync::OnceLock;
    static IS_ALLOWED: OnceLock<bool> = OnceLock::new();
    *IS_ALLOWED.get_or_init(|| match io_uring::IoUring::new(2) {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(%error, "io_uring is not to be had here; disks use positional calls");
            false
        }
    })
}

/// The io_uring engine of one file.
pub(super) struct Uring {
    shared: Arc<Shared>,
    reaper: Reaper,
    outstanding: Arc<Outstanding>,
}

/// What the submitters and the reaper share.
struct Shared {
    backing: Arc<Backing>,
    ring: Mutex<Ring>,
}

impl Shared {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the kernel what was started, collects what it has done, and sends the answers; what they lead
    /// to is told to the kernel at once when all are sent.
    fn turn(&self) {
        let answers = {
            let mut ring = self.ring();
            ring.enter();
            ring.reap();
            ring.enter();
            ring.take_answers()
        };
        if !answers.is_empty() {
            gather::together(|| send(answers));
        }
    }

    /// Waits for everything the kernel has, and takes nothing more.
    fn drain(&self) -> Vec<(Reply, Answer)> {
        let mut ring = self.ring();
        ring.drain();
        ring.take_answers()
    }
}

impl Holding for Shared {
    fn let_go(&self) {
        self.turn();
    }
}

impl Uring {
    /// Sets a ring up for a file.
    pub(super) fn start(
        backing: Arc<Backing>,
        runtime: Option<&tokio::runtime::Handle>,
    ) -> Result<Arc<Self>, DiskError> {
        let failed = |error: std::io::Error| {
            DiskError::io(format!("set io_uring up for {}", backing.shown()), &error)
        };
        let ring = Ring::new(Arc::clone(&backing)).map_err(failed)?;
        let event = ring.event();
        let shared = Arc::new(Shared { backing: Arc::clone(&backing), ring: Mutex::new(ring) });
        let reaper = Reaper::start(&shared, event, runtime).map_err(failed)?;
        Ok(Arc::new(Self { shared, reaper, outstanding: Arc::default() }))
    }
}

impl Uring {
    /// Tells the kernel about what was started: now, or at the end of the gathering that is open.
    fn go(&self) {
        if !gather::holds_back(&self.shared) {
            self.shared.turn();
        }
    }
}

impl Engine for Uring {
    fn backing(&self) -> &Backing {
        &self.shared.backing
    }

    fn outstanding(&self) -> &Arc<Outstanding> {
        &self.outstanding
    }

    fn submit(self: Arc<Self>, batch: Vec<Request>) {
        let plan = Plan::of(batch, &self.shared.backing);
        for request in plan.others {
            aside(Arc::clone(&self) as Arc<dyn Engine>, request);
        }
        {
            let mut ring = self.shared.ring();
            for reply in plan.flushes {
                ring.flush(reply, Done::Flushed);
            }
            plan.transfers.into_iter().for_each(|transfer| ring.transfer(transfer));
        }
        send(plan.answers);
        self.go();
    }

    fn flush_then(self: Arc<Self>, reply: Reply, done: Done) {
        self.shared.ring().flush(reply, done);
        self.go();
    }

    fn close(&self) {
        // Jobs aside first: they may still hand a flush to the ring.
        self.outstanding.wait();
        send(self.shared.drain());
        self.reaper.stop();
    }
}
