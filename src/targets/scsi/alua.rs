//! Target port groups and their access states.

use std::sync::Arc;

/// How a target port group lets its logical units be accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
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

/// The target port groups of the appliance, shared by all targets.
#[derive(Debug, Default)]
pub struct PortGroups {}

impl PortGroups {
    /// These groups: each its identifier and its state.
    pub fn new(_groups: Vec<(u16, AccessState)>) -> Arc<Self> {
        Arc::new(Self {})
    }

    /// From now on these groups. Nexuses that are concerned are told.
    pub fn set(&self, _groups: Vec<(u16, AccessState)>) {}

    /// All groups.
    pub fn list(&self) -> Vec<(u16, AccessState)> {
        Vec::new()
    }

    /// The state of one.
    pub fn state(&self, _group: u16) -> AccessState {
        AccessState::Optimized
    }
}
