//! An I_T_L nexus: one nexus, and one logical unit under one number.
//!
//! Here is what a nexus has yet to be told, what it was told of the capacity and of the access state, and
//! which of its commands are running. What belongs to the unit as a whole is in `unit`.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::alua::{AccessState, PortGroups};
use super::attention::{Attention, Attentions};
use super::port::{InitiatorPort, TargetPort};
use super::response::{DataIn, Response};
use super::sense::{Format, Sense};
use super::unit::LogicalUnit;

/// The two ends of a nexus.
#[derive(Debug)]
pub struct Ends {
    /// A number of its own: two nexuses of one name, one after the other, are told apart by it.
    pub id: u64,
    /// The initiator port.
    pub initiator: InitiatorPort,
    /// The target port.
    pub port: TargetPort,
    /// The target's name.
    pub target: String,
    /// The port groups of the appliance.
    pub groups: Arc<PortGroups>,
}

/// An I_T_L nexus.
#[derive(Debug)]
pub struct Path {
    /// Whence.
    pub ends: Arc<Ends>,
    /// Where to.
    pub unit: Arc<LogicalUnit>,
    /// Whether nothing is changed on this way.
    pub is_read_only: bool,
    attentions: Mutex<Attentions>,
    has_attention: AtomicBool,
    capacity_told: AtomicU64,
    access_version: AtomicU64,
    /// What reservations allow, and by which version of them.
    pub rights: AtomicU64,
    round: AtomicU64,
    running: [AtomicUsize; 2],
    ended: Notify,
    /// Which sanitize was asked after, and how often.
    polls: Mutex<(u32, u32)>,
}

impl Path {
    /// A new one, which is told that it is. The caller makes it known to the unit.
    pub fn new(ends: Arc<Ends>, unit: Arc<LogicalUnit>, is_read_only: bool) -> Arc<Self> {
        let mut attentions = Attentions::default();
        attentions.raise(Attention::PowerOn);
        Arc::new(Self {
            capacity_told: AtomicU64::new(unit.capacity()),
            access_version: AtomicU64::new(ends.groups.version()),
            ends,
            unit,
            is_read_only,
            attentions: Mutex::new(attentions),
            has_attention: AtomicBool::new(true),
            rights: AtomicU64::new(0),
            round: AtomicU64::new(0),
            running: Default::default(),
            ended: Notify::new(),
            polls: Mutex::default(),
        })
    }

    fn attentions(&self) -> MutexGuard<'_, Attentions> {
        self.attentions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has happened that is to be told here.
    pub fn raise(&self, attention: Attention) {
        self.attentions().raise(attention);
        self.has_attention.store(true, Ordering::Release);
    }

    /// This need not be told any more.
    pub fn forget(&self, attention: Attention) {
        let mut attentions = self.attentions();
        attentions.forget(attention);
        self.has_attention.store(!attentions.is_empty(), Ordering::Release);
    }

    /// What is to be told next, as it is told.
    pub fn take_attention(&self) -> Option<Attention> {
        self.look_at_groups();
        if !self.has_attention.load(Ordering::Acquire) {
            return None;
        }
        let mut attentions = self.attentions();
        let taken = attentions.take();
        self.has_attention.store(!attentions.is_empty(), Ordering::Release);
        taken
    }

    fn look_at_groups(&self) {
        let version = self.ends.groups.version();
        if self.access_version.swap(version, Ordering::Relaxed) != version {
            self.raise(Attention::AccessStateChanged);
        }
    }

    /// The capacity, in logical blocks, as it is now; a change is told by the next command.
    pub fn see_capacity(&self, blocks: u64) {
        if self.capacity_told.load(Ordering::Relaxed) != blocks
            && self.capacity_told.swap(blocks, Ordering::Relaxed) != blocks
        {
            self.raise(Attention::CapacityChanged);
        }
    }

    /// Counts a question after the end of a sanitize; gives how many there were.
    pub fn count_poll(&self, sanitize: u32) -> u32 {
        let mut polls = self.polls.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, count) = *polls;
        *polls = (sanitize, if of == sanitize { count.saturating_add(1) } else { 1 });
        polls.1
    }

    /// How this way may be used.
    pub fn access(&self) -> AccessState {
        self.ends.groups.state(self.ends.port.group)
    }

    /// The format of sense data.
    pub fn format(&self) -> Format {
        self.unit.sense_format()
    }

    /// CHECK CONDITION.
    pub fn refuse(&self, sense: Sense) -> Response {
        Response::check(sense.encode(self.format()))
    }

    /// GOOD with data, or CHECK CONDITION.
    pub fn respond(&self, made: Result<DataIn, Sense>) -> Response {
        match made {
            Ok(data) => Response::with(data),
            Err(sense) => self.refuse(sense),
        }
    }

    /// The number of times that all commands were aborted.
    pub fn round(&self) -> u64 {
        self.round.load(Ordering::SeqCst)
    }

    /// Aborts all commands that have begun, and tells whether one was running.
    pub fn abort_all(&self) -> bool {
        let round = self.round.fetch_add(1, Ordering::SeqCst);
        self.running_in(round).load(Ordering::SeqCst) > 0
    }

    /// Waits until those that were running when all were aborted last have ended.
    pub async fn settled(&self) {
        let aborted = self.running_in(self.round().wrapping_sub(1));
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if aborted.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }

    fn running_in(&self, round: u64) -> &AtomicUsize {
        &self.running[usize::from(!round.is_multiple_of(2))]
    }
}

/// A command that is running; dropped when it has ended.
#[derive(Debug)]
pub struct Running {
    path: Arc<Path>,
    round: u64,
}

impl Running {
    /// One more. Whoever aborts all commands afterwards waits for it.
    pub fn new(path: Arc<Path>) -> Self {
        loop {
            let round = path.round();
            let running = Self { path: Arc::clone(&path), round };
            path.running_in(round).fetch_add(1, Ordering::SeqCst);
            if path.round() == round {
                return running;
            }
        }
    }

    /// Where it runs.
    pub const fn path(&self) -> &Arc<Path> {
        &self.path
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.path.running_in(self.round).fetch_sub(1, Ordering::SeqCst) == 1
            && self.path.round() != self.round
        {
            self.path.ended.notify_waiters();
        }
    }
}
