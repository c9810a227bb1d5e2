//! Target port groups and their access states, and what a state lets through.
//!
//! A relative target port identifier, a portal group tag and a target port group are one number, so that
//! a group has exactly one port of each target.
//!
//! Source: SPC-4 5.15.2, 6.37.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::command::Plan;
use super::command_table::Entry;
use super::judge::Asked;
use super::sense::Sense;

/// How a target port group lets its logical units be accessed.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum AccessState {
    /// Everything, at full speed.
    Optimized,
    /// Everything, perhaps slower.
    NonOptimized,
    /// Only what does not touch the medium.
    Standby,
    /// Less than that.
    Unavailable,
    /// The group is not there for now.
    Offline,
    /// On its way to another state.
    Transitioning,
}

impl AccessState {
    const fn code(self) -> u8 {
        match self {
            Self::Optimized => 0x0,
            Self::NonOptimized => 0x1,
            Self::Standby => 0x2,
            Self::Unavailable => 0x3,
            Self::Offline => 0xe,
            Self::Transitioning => 0xf,
        }
    }

    /// Whether it lets a command through.
    ///
    /// # Errors
    /// NOT READY, with what it is in for.
    pub(super) fn admit(self, entry: &Entry) -> Result<(), Sense> {
        let (is_admitted, ascq) = match self {
            Self::Optimized | Self::NonOptimized => return Ok(()),
            Self::Standby => (entry.is_allowed_in_standby(), 0x0b),
            Self::Unavailable => (entry.is_always_accessible(), 0x0c),
            Self::Offline => (entry.is_always_accessible(), 0x12),
            Self::Transitioning => (entry.is_always_accessible(), 0x0a),
        };
        if is_admitted { Ok(()) } else { Err(Sense::not_ready(ascq)) }
    }
}

/// The target port groups of the appliance, shared by all targets.
#[derive(Debug, Default)]
pub struct PortGroups {
    groups: RwLock<Vec<(u16, AccessState)>>,
    version: AtomicU64,
    /// Whether one is not optimized.
    is_special: std::sync::atomic::AtomicBool,
}

impl PortGroups {
    /// These groups: each its identifier and its state.
    pub fn new(groups: Vec<(u16, AccessState)>) -> Arc<Self> {
        let all = Self::default();
        all.set(groups);
        Arc::new(all)
    }

    /// From now on these groups. Every nexus is told where something is not as it was.
    pub fn set(&self, mut groups: Vec<(u16, AccessState)>) {
        groups.sort_by_key(|(group, _)| *group);
        groups.dedup_by_key(|(group, _)| *group);
        let mut held = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        if *held == groups {
            return;
        }
        let is_special = groups.iter().any(|(_, state)| *state != AccessState::Optimized);
        self.is_special.store(is_special, Ordering::Release);
        *held = groups;
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// All groups.
    pub fn list(&self) -> Vec<(u16, AccessState)> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The state of one; optimized where it is not known.
    pub fn state(&self, group: u16) -> AccessState {
        if !self.is_special.load(Ordering::Acquire) {
            return AccessState::Optimized;
        }
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        let known = groups.iter().find(|(known, _)| *known == group);
        known.map_or(AccessState::Optimized, |(_, state)| *state)
    }

    /// Rises whenever something changes.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// States that are supported: all but the logical block dependent one.
const SUPPORTED: u8 = 0b1100_1111;

/// REPORT TARGET PORT GROUPS.
///
/// # Errors
/// INVALID FIELD IN CDB for an unknown parameter data format.
pub(super) fn report(asked: &Asked) -> Result<Plan, Sense> {
    let is_extended = match asked.cdb.byte(1) >> 5 {
        0 => false,
        1 => true,
        _ => return Err(Sense::cdb_bit(1, 7)),
    };
    Ok(Plan::answer(u64::from(asked.cdb.u32(6)), move |run| {
        let mut groups = run.path.ends.groups.list();
        let own = run.path.ends.port.group;
        if !groups.iter().any(|(group, _)| *group == own) {
            groups.push((own, AccessState::Optimized));
        }
        Ok(report_bytes(&groups, is_extended))
    }))
}

fn report_bytes(groups: &[(u16, AccessState)], is_extended: bool) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    if is_extended {
        bytes.extend_from_slice(&[0x10, 0, 0, 0]);
    }
    for (group, state) in groups {
        bytes.extend_from_slice(&[state.code(), SUPPORTED]);
        bytes.extend_from_slice(&group.to_be_bytes());
        // Changed by hand or by the appliance itself, never by an initiator: implicit.
        bytes.extend_from_slice(&[0, 0x02, 0, 1]);
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&group.to_be_bytes());
    }
    let len = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_header_and_one_port_for_each_group() {
        let bytes = report_bytes(&[(1, AccessState::Optimized), (2, AccessState::Standby)], false);
        assert_eq!(bytes[..4], [0, 0, 0, 24]);
        assert_eq!(bytes[4..16], [0, 0xcf, 0, 1, 0, 2, 0, 1, 0, 0, 0, 1]);
        assert_eq!((bytes[16], bytes[19], bytes[27]), (2, 2, 2));
        let bytes = report_bytes(&[(1, AccessState::Offline)], true);
        assert_eq!(bytes[..9], [0, 0, 0, 16, 0x10, 0, 0, 0, 0x0e]);
    }

    #[test]
    fn the_version_rises_only_with_a_change() {
        let groups = PortGroups::new(vec![(1, AccessState::Optimized)]);
        let version = groups.version();
        groups.set(vec![(1, AccessState::Optimized)]);
        assert_eq!(groups.version(), version);
        groups.set(vec![(1, AccessState::Standby)]);
        assert!(groups.version() > version);
        assert_eq!(groups.state(1), AccessState::Standby);
        assert_eq!(groups.state(9), AccessState::Optimized);
    }
}
