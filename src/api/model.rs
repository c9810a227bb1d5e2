//! What requests carry. Answers are the office's status types as they are.

use std::path::PathBuf;

use base::name::Name;
use base::size::ByteSize;
use base::span::Span;
use control::status::{
    AccessState, DiskRef, Grade, Initiator, MarksFullPolicy, StoreFullPolicy, SyncPolicy,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use control::alerts::channel::{ChannelChange, NewChannel};
pub use control::alerts::settings::SettingsChange;
pub use control::capacity::growth::{Growth, PreservedRule};
pub use control::iscsi::{LunChange, NewLun, NewSecret, NewTarget, TargetChange};
pub use control::policy::rules::{PolicyChange, Rules};

/// `POST /volumes`: a thin volume of a size, or one that adopts the disk at a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVolume {
    /// Its name.
    pub name: Name,
    /// Bytes of a thin volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// The disk to adopt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<PathBuf>,
}

/// `PATCH /volumes/{name}`: what is left out stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VolumeChange {
    /// A larger size, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// What an answer to a write promises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncPolicy>,
    /// What happens at the 257th mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_marks_full: Option<MarksFullPolicy>,
    /// What happens when there is no room to preserve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_store_full: Option<StoreFullPolicy>,
}

/// `POST /marks`: of one volume or view, or of several at one instant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMark {
    /// Which.
    pub volumes: Vec<Name>,
    /// Its name; without one, the moment in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// How consistent the caller has made the volumes.
    #[serde(default)]
    pub grade: Grade,
}

/// `POST /groups/{name}/marks`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewGroupMark {
    /// Its name; without one, the moment in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// How consistent the caller has made the volumes.
    pub grade: Grade,
}

/// `PATCH /volumes/{name}/marks/{mark}`: what is left out stays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MarkChange {
    /// Another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Whether it is kept from being thinned and removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_held: Option<bool>,
    /// For how long, where it is held from now on; without it and `hold_until`, until it is let go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_for: Option<Span>,
    /// Until when, instead: `2027-03-01`, or `2027-03-01T02:30`, in the zone of the appliance or with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_until: Option<String>,
}

/// `POST /volumes/{name}/marks/{mark}/lock`. Nobody can take it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLock {
    /// For how long from now.
    pub lock_for: Span,
}

/// What must stand after the question mark of a request that looks at a removal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkList {
    /// Names of marks, with commas between.
    pub marks: String,
}

/// `POST /volumes/{name}/rollback`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRollback {
    /// To which mark.
    pub mark: Name,
}

/// `POST /views`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewView {
    /// Its name.
    pub name: Name,
    /// The mark that it shows, as `VOLUME@MARK`.
    pub of: base::name::MarkRef,
}

/// `POST /groups`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// Its name.
    pub name: Name,
    /// Its members.
    pub volumes: Vec<Name>,
}

/// `POST /attachments`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAttachment {
    /// `VOLUME`, `VOLUME@MARK` or `view/VIEW`.
    pub of: DiskRef,
    /// Where to mount its file system; without one it is only a block device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<PathBuf>,
    /// Whether it takes no changes. Marks never do.
    #[serde(default)]
    pub is_read_only: bool,
    /// The partition to mount, counted from 1, where the disk has a partition table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
}

/// `POST /targets/{name}/initiators`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInitiator {
    /// An iSCSI name, or `any`.
    pub initiator: Initiator,
}

/// `PATCH /portals/{group}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupChange {
    /// The group's access state.
    pub state: AccessState,
}

/// What may stand after the question mark of a request that takes something away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Removal {
    /// Whether sessions that have it open are ended.
    pub force: bool,
}

/// What may stand after the question mark of a request that looks at the host.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct At {
    /// One disk or image alone, by its whole path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// What must stand after the question mark of a request that looks ahead.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// `2027-03-01`, `2027-03-01T02:30` in the zone of what is looked at, or with a zone, `2027-03-01T02:30Z`.
    pub at: String,
}

/// What may stand after the question mark of a request for what was measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DaysBack {
    /// How many days back.
    #[schemars(range(min = 1, max = 730))]
    pub days: u32,
}

impl Default for DaysBack {
    fn default() -> Self {
        Self { days: 30 }
    }
}

/// `POST /alerts/{id}/silence`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// `2027-03-01`, `2027-03-01T02:30` in the zone of the daemon's machine, or with a zone, `2027-03-01T02:30Z`.
    pub until: String,
}

/// The answer to a request that took something away.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// What is gone.
    pub removed: String,
}

/// `POST /session`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Who.
    pub user: Name,
    /// Their password.
    pub password: control::access::Password,
}

/// `POST /setup`: the first admin.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// What the daemon printed at its start.
    pub code: String,
    /// Who.
    pub user: Name,
    /// Their password.
    pub password: control::access::Password,
}

/// What may stand after the question mark of a list that is longer than an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Page {
    /// Entries older than the one with this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// How many, newest first.
    pub limit: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self { before: None, limit: 100 }
    }
}
