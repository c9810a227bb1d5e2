//! An I_T nexus: where commands arrive.

use std::pin::Pin;

use super::command::{Begun, Command};
use super::response::Response;

/// How a command stands in the order of its task set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskAttribute {
    /// As `Simple`.
    Untagged,
    /// In any order.
    Simple,
    /// After all older, before all younger ones.
    Ordered,
    /// Before all that have not begun.
    HeadOfQueue,
    /// Within an auto contingent allegiance.
    Aca,
}

/// A task management function, but for ABORT TASK, which is the session's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskManagement {
    /// End the tasks of this nexus in the logical unit.
    AbortTaskSet,
    /// End an auto contingent allegiance.
    ClearAca,
    /// End the tasks of all nexuses in the logical unit.
    ClearTaskSet,
    /// Reset the logical unit.
    LunReset,
    /// Reset all logical units of the target.
    TargetWarmReset,
    /// The same; the session ends all connections of the target too.
    TargetColdReset,
}

/// What became of a task management function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ManagementOutcome {
    /// Done.
    Complete,
    /// The logical unit is not there.
    NoSuchLun,
    /// Not known here.
    Unsupported,
    /// Refused.
    Rejected,
}

/// What became of a task management function, later.
pub type Managed = Pin<Box<dyn Future<Output = ManagementOutcome> + Send>>;

/// An I_T nexus. Dropping the last handle ends it.
#[derive(Debug)]
pub struct Nexus {}

impl Nexus {
    /// Judges a command as it arrives, before any data is asked for. `lun` is the 8-byte LUN field as a
    /// big-endian number.
    pub fn begin(&self, _lun: u64, _cdb: &[u8], _attribute: TaskAttribute) -> Begun {
        Begun::Ended(Response::good())
    }

    /// The logical unit numbers that it sees.
    pub fn luns(&self) -> Vec<u16> {
        Vec::new()
    }

    /// Carries a task management function out.
    pub fn manage(&self, _function: TaskManagement, _lun: u64) -> Managed {
        Box::pin(async { ManagementOutcome::Unsupported })
    }

    /// Not yet.
    pub fn never(command: Command) -> Begun {
        Begun::Ready(command)
    }
}
