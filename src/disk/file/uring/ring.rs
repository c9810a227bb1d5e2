//! One ring: what is in flight, what waits for room, and what the kernel says about it.
//!
//! All of it is used under one lock. Answers are collected, never sent from here.
#![expect(unsafe_code, reason = "the kernel reads and writes buffers behind the compiler's back")]

use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use io_uring::{IoUring, opcode, squeue, types};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::answer::{Answer, Done, Reply};
use crate::error::DiskError;
use crate::file::backing::Backing;
use crate::file::sys::Direction;
use crate::file::transfer::{Failed, Transfer};
use crate::request::Durability;

/// Entries of the submission queue: more in flight than any single device makes use of. The completion
/// queue has room for twice as many, and no more than this are ever in flight, so it cannot overflow.
const DEPTH: u32 = 256;

/// Places of the descriptors among the ring's registered files.
const CACHED: types::Fixed = types::Fixed(0);
const DIRECT: types::Fixed = types::Fixed(1);

enum InFlight {
    Transfer(Transfer),
    /// A flush, and everybody whom it answers.
    Flush(Vec<(Reply, Done)>),
}

/// One ring and everything the kernel knows through it.
pub(super) struct Ring {
    ring: IoUring,
    backing: Arc<Backing>,
    event: Arc<EventFd>,
    /// By the number that the kernel hands back. Should waiting for the kernel ever panic, this leaks
    /// rather than frees what the kernel may still write to.
    in_flight: ManuallyDrop<Vec<Option<InFlight>>>,
    free: Vec<usize>,
    /// What waits for a place, oldest first.
    overflow: VecDeque<InFlight>,
    /// Whether a flush is in flight or waits for a place.
    is_flushing: bool,
    /// Who waits for the next flush.
    next_flush: Vec<(Reply, Done)>,
    answers: Vec<(Reply, Answer)>,
    is_closed: bool,
}

impl Ring {
    pub(super) fn new(backing: Arc<Backing>) -> io::Result<Self> {
        let ring = IoUring::builder().setup_clamp().build(DEPTH)?;
        let cached = backing.cached().as_raw_fd();
        let direct = backing.direct().map_or(cached, |direct| direct.file.as_raw_fd());
        ring.submitter().register_files(&[cached, direct])?;
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        let places = DEPTH.min(ring.params().sq_entries()) as usize;
        Ok(Self {
            ring,
            backing,
            event: Arc::new(event),
            in_flight: ManuallyDrop::new((0..places).map(|_| None).collect()),
            free: (0..places).rev().collect(),
            overflow: VecDeque::new(),
            is_flushing: false,
            next_flush: Vec::new(),
            answers: Vec::new(),
            is_closed: false,
        })
    }

    /// The descriptor that becomes readable when something is done.
    pub(super) fn event(&self) -> Arc<EventFd> {
        Arc::clone(&self.event)
    }

    /// Takes a transfer.
    pub(super) fn transfer(&mut self, transfer: Transfer) {
        self.start(InFlight::Transfer(transfer));
    }

    /// Takes a flush. Joins the next one where one is in flight: that one may have begun too early.
    pub(super) fn flush(&mut self, reply: Reply, done: Done) {
        self.next_flush.push((reply, done));
        self.start_flush();
    }

    /// The answers that have gathered.
    pub(super) fn take_answers(&mut self) -> Vec<(Reply, Answer)> {
        std::mem::take(&mut self.answers)
    }

    /// Tells the kernel about everything that was started.
    pub(super) fn enter(&mut self) {
        while !self.ring.submission().is_empty() {
            match self.ring.submit() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The kernel is short of memory or completions wait: whatever is in flight ends and is
                // reaped, and reaping enters again.
                Err(error) if self.is_anything_known_to_the_kernel() => {
                    tracing::debug!(disk = self.backing.shown(), %error, "io_uring takes no more now");
                    return;
                }
                Err(error) => {
                    tracing::warn!(disk = self.backing.shown(), %error, "io_uring takes nothing");
                    std::thread::yield_now();
                }
            }
        }
    }

    /// Collects what is done, and starts what waited for room.
    pub(super) fn reap(&mut self) {
        loop {
            let done: Vec<(u64, i32)> = {
                let completion = self.ring.completion();
                completion.map(|entry| (entry.user_data(), entry.result())).collect()
            };
            if done.is_empty() {
                return;
            }
            for (place, result) in done {
                self.finish(place, result);
            }
            while !self.free.is_empty() {
                let Some(next) = self.overflow.pop_front() else { break };
                self.start(next);
            }
        }
    }

    /// Waits until the kernel is done with everything. What waits for room answers `Closed`.
    pub(super) fn drain(&mut self) {
        self.is_closed = true;
        let waiting = std::mem::take(&mut self.overflow);
        waiting.into_iter().for_each(|waiting| self.refuse(waiting));
        while self.free.len() < self.in_flight.len() {
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(disk = self.backing.shown(), %error, "waiting for io_uring");
                    std::thread::yield_now();
                }
            }
            self.reap();
        }
        // The ring itself goes away some time after it is closed; the files it holds must not wait for
        // that. Fails where they were let go before.
        let _ = self.ring.submitter().unregister_files();
    }

    fn is_anything_known_to_the_kernel(&mut self) -> bool {
        let told = self.in_flight.len() - self.free.len();
        told > self.ring.submission().len()
    }

    fn start_flush(&mut self) {
        if !self.is_flushing && !self.next_flush.is_empty() {
            let waiting = std::mem::take(&mut self.next_flush);
            match self.backing.poison() {
                Some(poison) => self.answer_all(waiting, &Err(poison)),
                None => {
                    self.is_flushing = true;
                    self.start(InFlight::Flush(waiting));
                }
            }
        }
    }

    fn start(&mut self, what: InFlight) {
        if self.is_closed {
            self.refuse(what);
            return;
        }
        let Some(place) = self.free.pop() else {
            self.overflow.push_back(what);
            return;
        };
        self.in_flight[place] = Some(what);
        self.push(place);
    }

    /// Puts what lies in a place into the submission queue.
    fn push(&mut self, place: usize) {
        let entry = match &self.in_flight[place] {
            Some(InFlight::Transfer(transfer)) => entry_of(transfer, &self.backing),
            Some(InFlight::Flush(_)) => {
                opcode::Fsync::new(CACHED).flags(types::FsyncFlags::DATASYNC).build()
            }
            None => return,
        };
        let entry = entry.user_data(place as u64);
        // SAFETY: the memory an entry points to is owned by `in_flight[place]`, which is taken out only
        // when the kernel has answered for this place, or when the ring is gone; its vectors are heap
        // memory that stays where it is. There is room, because there are no more places than entries.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        assert!(pushed.is_ok(), "there are as many entries as places");
    }

    fn finish(&mut self, place: u64, result: i32) {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let slot = self.in_flight.get_mut(place).and_then(Option::take);
        let what =
            slot.unwrap_or_else(|| panic!("io_uring answered for place {place}, which is free"));
        let result = match usize::try_from(result) {
            Ok(count) => Ok(count),
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        };
        match what {
            InFlight::Transfer(transfer) => self.finish_transfer(place, transfer, result),
            InFlight::Flush(waiting) => {
                self.free.push(place);
                self.is_flushing = false;
                let result = result.map(drop).map_err(|error| self.backing.sync_failed(&error));
                self.answer_all(waiting, &result);
                self.start_flush();
            }
        }
    }

    fn finish_transfer(&mut self, place: usize, mut transfer: Transfer, result: io::Result<usize>) {
        match transfer.progress(result, &self.backing) {
            Ok(false) => {
                self.in_flight[place] = Some(InFlight::Transfer(transfer));
                self.push(place);
            }
            Ok(true) => {
                self.free.push(place);
                self.answers.extend(transfer.succeed());
            }
            Err(error) => {
                self.free.push(place);
                match transfer.fail(&self.backing, &error) {
                    Failed::Answers(answers) => self.answers.extend(answers),
                    Failed::Apart(transfers) => {
                        transfers.into_iter().for_each(|transfer| self.transfer(transfer));
                    }
                }
            }
        }
    }

    fn answer_all(&mut self, waiting: Vec<(Reply, Done)>, result: &Result<(), DiskError>) {
        let answers =
            waiting.into_iter().map(|(reply, done)| (reply, result.clone().map(|()| done)));
        self.answers.extend(answers);
    }

    fn refuse(&mut self, what: InFlight) {
        match what {
            InFlight::Transfer(transfer) => self.answers.extend(transfer.close()),
            InFlight::Flush(waiting) => self.answer_all(waiting, &Err(DiskError::Closed)),
        }
    }
}

fn entry_of(transfer: &Transfer, backing: &Backing) -> squeue::Entry {
    let (list, count) = transfer.vectors().left();
    // No list is longer than VECTORS_MAX.
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let file = if transfer.is_direct(backing) { DIRECT } else { CACHED };
    match transfer.direction {
        Direction::Read => opcode::Readv::new(file, list, count).offset(transfer.offset()).build(),
        Direction::Write => {
            let flags = match transfer.durability {
                Durability::Volatile => 0,
                Durability::Stable => libc::RWF_DSYNC,
            };
            opcode::Writev::new(file, list, count).offset(transfer.offset()).rw_flags(flags).build()
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.drain();
        // Nothing is in there any more.
        drop(std::mem::take(&mut *self.in_flight));
        crate::file::engine::send(self.take_answers());
    }
}
