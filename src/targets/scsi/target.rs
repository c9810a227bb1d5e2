//! A SCSI target device: a name, and logical units under numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::alua::PortGroups;
use super::limits::LUN_MAX;
use super::nexus::Nexus;
use super::path::Ends;
use super::port::{InitiatorPort, TargetPort};
use super::unit::LogicalUnit;

/// Who sees a logical unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Everyone who may enter the target.
    All,
    /// These: initiator names in lower case, and CHAP users after `chap:`.
    Only(BTreeSet<String>),
}

impl Audience {
    /// Whether an initiator that entered as this user, or as none, is among them.
    pub fn has(&self, initiator: &str, chap_user: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => {
                names.contains(initiator)
                    || chap_user.is_some_and(|user| names.contains(&format!("chap:{user}")))
            }
        }
    }
}

/// A logical unit under a number of a target.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The logical unit.
    pub unit: Arc<LogicalUnit>,
    /// Whether it takes no changes through this number.
    pub is_read_only: bool,
    /// Who sees it.
    pub audience: Audience,
}

/// A SCSI target device.
#[derive(Debug)]
pub struct Target {
    name: String,
    groups: Arc<PortGroups>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    luns: BTreeMap<u16, Mapping>,
    nexuses: Vec<Weak<Nexus>>,
}

/// The number of the next nexus of this process: no two ever have the same.
static NEXT_NEXUS: AtomicU64 = AtomicU64::new(1);

impl Target {
    /// A target without logical units, named by its iSCSI name.
    pub fn new(name: String, groups: Arc<PortGroups>) -> Arc<Self> {
        Arc::new(Self { name, groups, state: Mutex::default() })
    }

    /// Its iSCSI name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a logical unit under a number from 0 to 16383, in place of what was there. A higher number
    /// changes nothing.
    pub fn map(&self, lun: u16, mapping: Mapping) {
        if lun <= LUN_MAX {
            self.change(|luns| luns.insert(lun, mapping));
        }
    }

    /// Takes away what is under a number, and tells whether something was.
    pub fn unmap(&self, lun: u16) -> bool {
        self.change(|luns| luns.remove(&lun)).is_some()
    }

    /// All numbers and what is under them.
    pub fn luns(&self) -> Vec<(u16, Mapping)> {
        self.lock().luns.iter().map(|(lun, mapping)| (*lun, mapping.clone())).collect()
    }

    /// Changes the numbers, and lets all nexuses look. A nexus that ends meanwhile is let go after the
    /// lock is.
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<u16, Mapping>) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state.luns);
        let nexuses: Vec<Arc<Nexus>> = state.nexuses.iter().filter_map(Weak::upgrade).collect();
        for nexus in &nexuses {
            nexus.refresh(&state.luns);
        }
        drop(state);
        changed
    }

    /// A new I_T nexus, or the same one again: registrations belong to the names of its ends.
    pub fn join(
        self: &Arc<Self>,
        initiator: InitiatorPort,
        chap_user: Option<String>,
        port: TargetPort,
    ) -> Arc<Nexus> {
        let ends = Ends {
            id: NEXT_NEXUS.fetch_add(1, Ordering::Relaxed),
            initiator,
            port,
            target: self.name.clone(),
            groups: Arc::clone(&self.groups),
        };
        let nexus = Arc::new(Nexus::new(Arc::clone(self), ends, chap_user));
        let mut state = self.lock();
        nexus.refresh(&state.luns);
        state.nexuses.push(Arc::downgrade(&nexus));
        drop(state);
        nexus
    }

    /// Forgets nexuses that have ended.
    pub(super) fn forget(&self) {
        self.lock().nexuses.retain(|nexus| nexus.strong_count() > 0);
    }
}
