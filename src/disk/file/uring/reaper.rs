//! Who waits for the ring's event descriptor: a task of a runtime, or a thread.
#![expect(unsafe_code, reason = "watching a descriptor promises that it stays open")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use tokio::io::unix::AsyncFd;

use super::Shared;

/// Reaps one ring until it is stopped.
pub(super) struct Reaper {
    event: Arc<EventFd>,
    is_stopped: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Reaper {
    pub(super) fn start(
        shared: &Arc<Shared>,
        event: Arc<EventFd>,
        runtime: Option<&tokio::runtime::Handle>,
    ) -> io::Result<Self> {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let work = Work {
            shared: Arc::downgrade(shared),
            event: Arc::clone(&event),
            is_stopped: Arc::clone(&is_stopped),
        };
        let thread = match runtime {
            Some(runtime) => {
                let _context = runtime.enter();
                // SAFETY: the descriptor belongs to the event that is handed over with it, which is closed
                // only when the last handle of it is dropped.
                let watched = unsafe { AsyncFd::register(Arc::clone(&event)) };
                let watched = watched.map_err(|error| error.into_parts().1)?;
                runtime.spawn(work.watch(watched));
                None
            }
            None => {
                let builder = std::thread::Builder::new().name("disk-reaper".to_owned());
                Some(builder.spawn(move || work.wait())?)
            }
        };
        Ok(Self { event, is_stopped, thread: Mutex::new(thread) })
    }

    /// Ends it, and waits for its thread unless that is this one.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        // A full counter is as good a wake-up as any.
        let _ = self.event.write(1);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic there was reported there.
            let _ = thread.join();
        }
    }
}

struct Work {
    shared: Weak<Shared>,
    event: Arc<EventFd>,
    is_stopped: Arc<AtomicBool>,
}

impl Work {
    /// Reaps once. `false` where there is nothing to reap any more.
    fn reap(&self) -> bool {
        // Before reaping, so that what is done from here on wakes us again. It may have been read
        // already, by nobody else than an earlier round of this.
        let _ = self.event.read();
        match self.shared.upgrade() {
            Some(shared) if !self.is_stopped.load(Ordering::Acquire) => {
                shared.turn();
                true
            }
            _ => false,
        }
    }

    fn wait(self) {
        loop {
            let event: BorrowedFd<'_> = self.event.as_fd();
            let mut watched = [PollFd::new(event, PollFlags::POLLIN)];
            match poll(&mut watched, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => tracing::error!(%error, "wait for io_uring"),
            }
            if !self.reap() {
                return;
            }
        }
    }

    async fn watch(self, watched: AsyncFd<Arc<EventFd>>) {
        while let Ok(mut ready) = watched.readable().await {
            // Before the descriptor is read: an event in between makes it ready again.
            ready.clear_ready();
            if !self.reap() {
                return;
            }
        }
    }
}
