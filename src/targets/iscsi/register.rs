//! The sessions there are, and which of them gives way to a new one.
//!
//! Source: RFC 7143 6.3.1, 6.3.5, 11.12.6.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use super::pdu::wire::status;
use super::service::Shared;
use super::status::SessionStatus;
use crate::door::completions::Order;
use crate::door::tally::{Counts, Tally};
use crate::scsi::Nexus;

/// A session.
pub struct Entry {
    status: SessionStatus,
    cid: u16,
    shared: Arc<Shared>,
    nexus: Mutex<Weak<Nexus>>,
    /// Ends when the session has.
    ended: Option<watch::Receiver<()>>,
}

impl Entry {
    /// One of a session that is about to begin.
    pub fn of(status: SessionStatus, cid: u16, shared: Arc<Shared>) -> Self {
        Self { status, cid, shared, nexus: Mutex::default(), ended: None }
    }

    /// Whether both are sessions of one initiator port and one target port.
    fn is_like(&self, other: &SessionStatus) -> bool {
        let own = &self.status;
        let is_normal = !own.target.is_empty();
        is_normal
            && (&own.initiator, &own.isid) == (&other.initiator, &other.isid)
            && (&own.target, own.portal_group) == (&other.target, other.portal_group)
    }

    fn now(&self) -> SessionStatus {
        let nexus = lock(&self.nexus).upgrade();
        SessionStatus {
            counts: self.shared.tally.counts(),
            luns: nexus.map_or_else(Vec::new, |nexus| nexus.luns()),
            ..self.status.clone()
        }
    }
}

/// The sessions there are.
#[derive(Default)]
pub struct Register {
    entries: Mutex<BTreeMap<u64, Entry>>,
    last_tsih: Mutex<u16>,
    begun: AtomicU64,
    ended: Tally,
}

/// What became of a session that is about to begin.
pub enum Place {
    /// It has a place.
    Taken(Registered),
    /// It has none, for this reason.
    Refused(u16),
    /// When this one has ended it may be tried again.
    After(watch::Receiver<()>),
}

/// A session's place in the list, until it is dropped.
pub struct Registered {
    register: Arc<Register>,
    /// The session's number.
    pub id: u64,
    /// The target's part of its identity.
    pub tsih: u16,
    /// What it shares with those who watch it.
    pub shared: Arc<Shared>,
    _ended: watch::Sender<()>,
}

impl Register {
    /// Takes a place for a session. `tsih` is the session that the initiator means; a session of the same
    /// ports gives way.
    pub fn enter(self: &Arc<Self>, mut entry: Entry, tsih: u16, count_max: usize) -> Place {
        let mut entries = lock(&self.entries);
        let like = entries.values().find(|other| other.is_like(&entry.status));
        if tsih != 0 {
            match like {
                Some(old) if old.status.tsih != tsih => return Place::Refused(status::NO_SESSION),
                Some(old) if old.cid != entry.cid => return Place::Refused(status::TOO_MANY),
                Some(_) => {}
                None => return Place::Refused(status::NO_SESSION),
            }
        }
        if let Some(old) = like {
            tracing::info!(session = old.status.id, "a new login takes the session's place");
            old.shared.completions.order(Order::Kill);
            if let Some(ended) = &old.ended {
                return Place::After(ended.clone());
            }
        }
        if entries.len() >= count_max {
            return Place::Refused(status::NO_ROOM);
        }
        let is_taken = |tsih: u16| entries.values().any(|entry| entry.status.tsih == tsih);
        let mut last = lock(&self.last_tsih);
        *last = last.wrapping_add(1).max(1);
        while is_taken(*last) {
            *last = last.wrapping_add(1).max(1);
        }
        entry.status.tsih = *last;
        let (sender, receiver) = watch::channel(());
        entry.ended = Some(receiver);
        let registered = Registered {
            register: Arc::clone(self),
            id: entry.status.id,
            tsih: *last,
            shared: Arc::clone(&entry.shared),
            _ended: sender,
        };
        let SessionStatus { id, peer, initiator, target, .. } = &entry.status;
        tracing::info!(session = id, peer, initiator, target, "open iSCSI session");
        self.begun.fetch_add(1, Ordering::Relaxed);
        entries.insert(entry.status.id, entry);
        Place::Taken(registered)
    }

    /// The sessions there are, oldest first.
    pub fn statuses(&self) -> Vec<SessionStatus> {
        lock(&self.entries).values().map(Entry::now).collect()
    }

    /// Ends those for which `which` is true; gives how many.
    pub fn kill_where(&self, which: &dyn Fn(&SessionStatus) -> bool) -> usize {
        let entries = lock(&self.entries);
        let found = entries.values().filter(|entry| which(&entry.now()));
        found.map(|entry| entry.shared.completions.order(Order::Kill)).count()
    }

    /// Gives an order to all.
    pub fn order_all(&self, order: Order) {
        for entry in lock(&self.entries).values() {
            entry.shared.completions.order(order);
        }
    }

    /// How many have begun, and what all have done.
    pub fn totals(&self) -> (u64, Counts) {
        let sum = Tally::default();
        sum.add(&self.ended.counts());
        let mut in_flight = 0;
        for entry in lock(&self.entries).values() {
            let counts = entry.shared.tally.counts();
            in_flight += counts.in_flight;
            sum.add(&counts);
        }
        (self.begun.load(Ordering::Relaxed), Counts { in_flight, ..sum.counts() })
    }
}

impl Registered {
    /// The session has this nexus.
    pub fn sees(&self, nexus: &Arc<Nexus>) {
        if let Some(entry) = lock(&self.register.entries).get(&self.id) {
            *lock(&entry.nexus) = Arc::downgrade(nexus);
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.register.ended.add(&self.shared.tally.counts());
        lock(&self.register.entries).remove(&self.id);
        tracing::info!(session = self.id, "close iSCSI session");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
