//! A few threads that wait for the operating system so that nobody else has to.
//!
//! Shared by all disks of the process, started when first needed. Jobs never wait for other jobs, so any
//! number of threads from one up gets all of them done.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Threads: as many blocking calls at once as a disk without io_uring is worth.
const THREADS_MAX: usize = 8;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

#[derive(Default)]
struct Workers {
    state: Mutex<State>,
    has_job: Condvar,
}

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

fn workers() -> &'static Workers {
    static WORKERS: OnceLock<Workers> = OnceLock::new();
    WORKERS.get_or_init(Workers::default)
}

/// Runs a job soon, on another thread.
pub(crate) fn run(job: impl FnOnce() + Send + 'static) {
    let workers = workers();
    let mut state = workers.lock();
    state.jobs.push_back(Box::new(job));
    if state.idle < state.jobs.len() && state.threads < THREADS_MAX {
        let name = format!("disk-{}", state.threads);
        let spawned = std::thread::Builder::new().name(name).spawn(work);
        match spawned {
            Ok(_) => state.threads += 1,
            // Without a single thread nobody would ever do the job.
            Err(_) if state.threads == 0 => {
                let job = state.jobs.pop_back();
                drop(state);
                if let Some(job) = job {
                    job();
                }
                return;
            }
            Err(_) => {}
        }
    }
    drop(state);
    workers.has_job.notify_one();
}

/// Whether this thread is one of them, so that it must not wait for a job.
pub(crate) fn is_worker() -> bool {
    IS_WORKER.get()
}

fn work() {
    IS_WORKER.set(true);
    let workers = workers();
    loop {
        let mut state = workers.lock();
        let job = loop {
            if let Some(job) = state.jobs.pop_front() {
                break job;
            }
            state.idle += 1;
            state = workers.has_job.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        };
        drop(state);
        // A panic of somebody who takes an answer must not take the thread with it.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
            tracing::error!("a job of a disk panicked");
        }
    }
}

impl Workers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
