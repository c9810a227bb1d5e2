//! A SCSI target device: a name, and logical units under numbers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::alua::PortGroups;
use super::nexus::Nexus;
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
}

impl Target {
    /// A target without logical units, named by its iSCSI name.
    pub fn new(name: String, _groups: Arc<PortGroups>) -> Arc<Self> {
        Arc::new(Self { name })
    }

    /// Its iSCSI name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts a logical unit under a number from 0 to 16383, in place of what was there.
    pub fn map(&self, _lun: u16, _mapping: Mapping) {}

    /// Takes away what is under a number, and tells whether something was.
    pub fn unmap(&self, _lun: u16) -> bool {
        false
    }

    /// All numbers and what is under them.
    pub fn luns(&self) -> Vec<(u16, Mapping)> {
        Vec::new()
    }

    /// A new I_T nexus, or the same one again.
    pub fn join(
        self: &Arc<Self>,
        _initiator: InitiatorPort,
        _chap_user: Option<String>,
        _port: TargetPort,
    ) -> Arc<Nexus> {
        Arc::new(Nexus {})
    }
}
