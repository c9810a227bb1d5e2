//! What came of the runs of policies: plain values for people, CLI and API. Field names are part of the API and
//! stay.

use base::name::{MarkRef, Name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::preview::Outlook;
use super::rules::Policy;
use crate::status::Freed;

/// Runs of a policy that are remembered.
pub const RUNS_MAX: usize = 50;

/// Why a run began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It was time.
    Schedule,
    /// So much had changed.
    Changed,
    /// So much time had passed.
    Passed,
    /// Somebody asked for it.
    Asked,
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum RunOutcome {
    /// A mark was taken of all volumes.
    Taken {
        /// Its name.
        mark: Name,
    },
    /// Nothing had changed since the last mark.
    Unchanged,
    /// The run before it went on.
    Overlapped,
    /// No mark was taken.
    Failed {
        /// Why.
        why: String,
        /// What to do.
        way_out: Option<String>,
    },
}

/// One run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunStatus {
    /// Why it began.
    pub cause: Cause,
    /// When it was due, milliseconds since 1970.
    pub due_ms: u64,
    /// When it began.
    pub began_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// Runs before it that were missed, because the daemon did not run or the clock was moved; 1440 stands for
    /// that many or more.
    pub missed: u64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: RunOutcome,
    /// The marks that went.
    pub removed: Vec<MarkRef>,
    /// Marks that should have gone and could not, each with the reason.
    pub left: Vec<String>,
}

impl RunStatus {
    /// What a person should know about it, with the way out.
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.outcome {
            RunOutcome::Failed { why, way_out } => {
                let way_out = way_out.as_ref().map(|text| format!("; {text}")).unwrap_or_default();
                Some(format!("its last run took no mark: {why}{way_out}"))
            }
            RunOutcome::Overlapped => Some(
                "its last run was left out, because the one before it still went on; let it run less often".into(),
            ),
            RunOutcome::Taken { .. } | RunOutcome::Unchanged if self.missed > 0 => Some(format!(
                "its last run came late, and {} before it not at all; see why the daemon was down or the clock moved",
                self.missed
            )),
            RunOutcome::Taken { .. } | RunOutcome::Unchanged => None,
        }
    }
}

/// A policy and how it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PolicyStatus {
    /// The policy.
    #[serde(flatten)]
    pub policy: Policy,
    /// When it runs next, milliseconds since 1970.
    pub next_ms: Option<u64>,
    /// Whether a run goes on.
    pub is_running: bool,
    /// Its marks, all volumes together.
    pub marks: usize,
    /// Its last run.
    pub last_run: Option<RunStatus>,
}

/// What there will be of one volume.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct VolumeOutlook {
    /// The volume.
    pub volume: Name,
    /// The moment, milliseconds since 1970.
    pub at_ms: u64,
    /// Marks that are not this policy's; they stay.
    pub foreign: usize,
    /// What there will be.
    #[serde(flatten)]
    pub outlook: Outlook,
    /// Bytes that come back with those that will be gone, by what is there now.
    pub frees: Freed,
}
