//! What the appliance tells about itself: plain values for people, CLI and API. Field names are part of
//! the API and stay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::TlsMode;
use crate::error::{ControlError, ErrorKind};

pub use crate::attachments::AttachmentStatus;
pub use crate::doors::{IscsiSession, Protocol, SessionStatus};
pub use crate::iscsi::book::Auth;
pub use crate::iscsi::names::{ChapUser, Initiator, IscsiName, Viewer};
pub use crate::iscsi::status::{
    ChapStatus, InitiatorStatus, LunStatus, PortalStatus, TargetStatus,
};
pub use crate::jobs::{JobKind, JobState, JobStatus};
pub use store::{DiskRef, Freed, MarkRequest, RemovalPreview};
pub use store::{
    Grade, GroupStatus, MarkStatus, MarkTally, MarksFullPolicy, PoolState, PoolStatus, Proof,
    RollbackStatus, ScrubFinding, ScrubReport, StoreFullPolicy, SyncPolicy, ViewStatus, VolumeKind,
    VolumeSettings, VolumeState, VolumeStatus,
};
pub use targets::scsi::AccessState;

/// The appliance as a whole.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ApplianceStatus {
    /// What the appliance is called.
    #[serde(default)]
    pub name: String,
    /// The program's version.
    pub version: String,
    /// The daemon's process id.
    pub pid: u32,
    /// When it was started, milliseconds since 1970.
    pub started_ms: u64,
    /// What its clock says now, milliseconds since 1970.
    pub now_ms: u64,
    /// The state directory.
    pub state_dir: String,
    /// The pool.
    pub pool: PoolStatus,
    /// The volumes.
    pub volumes: Vec<VolumeStatus>,
    /// The views.
    pub views: Vec<ViewStatus>,
    /// The iSCSI targets.
    pub targets: Vec<TargetStatus>,
    /// Where clients come in.
    pub doors: Vec<DoorStatus>,
    /// How many sessions there are.
    pub sessions: usize,
    /// What is attached to this host.
    pub attachments: Vec<AttachmentStatus>,
    /// How many jobs go on.
    pub jobs_running: usize,
    /// How many alerts are open.
    #[serde(default)]
    pub alerts_open: usize,
    /// What a person should look at, worst first.
    pub troubles: Vec<Trouble>,
}

/// A door.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DoorStatus {
    /// Which protocol.
    pub protocol: String,
    /// Where it listens, with the port that was really taken.
    pub address: String,
    /// Whether clients speak TLS.
    pub tls: TlsMode,
    /// The port group of an iSCSI portal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u16>,
    /// SHA-256 over the certificate of the console's door, as browsers show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// Something that a person should look at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// What has it: `pool`, a disk, `configuration`.
    pub of: String,
    /// What is wrong, and the way out.
    pub what: String,
    /// Whether something that should work does not.
    pub is_failure: bool,
}

/// An export.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExportStatus {
    /// The name by which clients ask for it.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// Whether it is the one for clients that name none.
    pub is_default: bool,
    /// How many sessions have it open.
    pub sessions: usize,
}

/// A rollback that was begun.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RollbackStarted {
    /// What the store does.
    #[serde(flatten)]
    pub rollback: RollbackStatus,
    /// The job that watches it.
    pub job: JobStatus,
    /// Sessions that are connected: their clients may hold old contents in their caches.
    pub sessions: usize,
}

/// Why something failed, as the API and jobs tell it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// `not-found`, `conflict`, `invalid`, `no-space`, `damaged`, `failed`, `unauthenticated`, `forbidden`,
    /// `too-many`; of a job also `interrupted`.
    pub code: String,
    /// What is wrong.
    pub detail: String,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

impl Failure {
    /// How this error is told.
    pub fn of(error: &ControlError) -> Self {
        Self {
            code: match error {
                ControlError::NotKnown { .. } => UNAUTHENTICATED.into(),
                ControlError::TooMany { .. } => TOO_MANY.into(),
                _ => code_of(error.kind()).into(),
            },
            detail: error.detail(),
            way_out: error.way_out(),
        }
    }
}

/// The word for a request of somebody who is not known.
pub const UNAUTHENTICATED: &str = "unauthenticated";
/// The word for a request of somebody who may not.
pub const FORBIDDEN: &str = "forbidden";
/// The word for too many requests.
pub const TOO_MANY: &str = "too-many";

/// The word for a kind of failure that machines can rely on.
pub fn code_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "not-found",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Invalid => "invalid",
        ErrorKind::NoSpace => "no-space",
        ErrorKind::Damaged => "damaged",
        ErrorKind::Failed => "failed",
    }
}

/// What a person should look at in this pool, these volumes and views.
pub fn troubles(pool: &PoolStatus, volumes: &[VolumeStatus], views: &[ViewStatus]) -> Vec<Trouble> {
    let mut all = Vec::new();
    if let PoolState::Poisoned { reason } = &pool.state {
        all.push(Trouble { of: "pool".into(), what: reason.clone(), is_failure: true });
    }
    let disks = volumes.iter().map(|volume| (volume.name.to_string(), &volume.state));
    let disks = disks.chain(views.iter().map(|view| (format!("view/{}", view.name), &view.state)));
    for (of, state) in disks {
        match state {
            VolumeState::Ready => {}
            VolumeState::ReadOnly { reason } | VolumeState::FailStop { reason } => {
                all.push(Trouble { of, what: reason.clone(), is_failure: true });
            }
        }
    }
    all.extend(pool.warnings.iter().map(|warning| Trouble {
        of: "pool".into(),
        what: warning.clone(),
        is_failure: false,
    }));
    all
}

#[cfg(test)]
pub(crate) mod tests {
    use base::size::ByteSize;

    use super::*;

    pub(crate) fn pool() -> PoolStatus {
        PoolStatus {
            id: base::id::Id(7),
            state: PoolState::Open,
            incarnation: 1,
            journal_len: 1 << 30,
            journal_used_bytes: 0,
            space_free_bytes: 1 << 40,
            space_total_bytes: 2 << 40,
            preserved_bytes: 0,
            preserved_limit: None,
            reserve_bytes: 0,
            memory_bytes: 0,
            volumes: 1,
            views: 0,
            warnings: Vec::new(),
        }
    }

    pub(crate) fn volume(name: &str, state: VolumeState) -> VolumeStatus {
        VolumeStatus {
            name: name.parse().unwrap(),
            id: base::id::Id(8),
            kind: VolumeKind::Thin,
            size: ByteSize(4 << 30),
            allocated_bytes: 0,
            preserved_bytes: 0,
            unapplied_bytes: 0,
            marks: 0,
            state,
            sync: SyncPolicy::default(),
            when_marks_full: MarksFullPolicy::default(),
            when_store_full: StoreFullPolicy::default(),
            rollback: None,
            atomic_write_len: ByteSize(128 << 10),
            created_ms: 0,
        }
    }

    #[test]
    fn a_volume_that_failed_is_a_trouble_and_comes_before_warnings() {
        let reason = "the base is gone; put it back".to_owned();
        let failed = volume("mail", VolumeState::FailStop { reason: reason.clone() });
        let pool = PoolStatus { warnings: vec!["little space".into()], ..pool() };
        let troubles = troubles(&pool, &[volume("ok", VolumeState::Ready), failed], &[]);
        let of: Vec<_> = troubles.iter().map(|trouble| trouble.of.as_str()).collect();
        assert_eq!(of, ["mail", "pool"]);
        assert_eq!((troubles[0].what.as_str(), troubles[1].is_failure), (reason.as_str(), false));
    }

    #[test]
    fn what_is_told_reads_back_as_it_was() {
        let told = volume("mail", VolumeState::ReadOnly { reason: "why".into() });
        let text = serde_json::to_string(&told).unwrap();
        let back: VolumeStatus = serde_json::from_str(&text).unwrap();
        assert_eq!((back.state, back.id), (told.state, told.id));
        let text = serde_json::to_string(&pool()).unwrap();
        assert_eq!(serde_json::from_str::<PoolStatus>(&text).unwrap().id, pool().id);
    }
}
