//! What the store tells about itself: plain values for people, CLI and API.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base::id::Id;
use base::name::{MarkRef, Name};
use base::size::ByteSize;
use base::units::Extent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// How consistent a mark is: what the quiesce really reached.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Grade {
    /// As after a loss of power at that instant.
    #[default]
    Crash = 0,
    /// The file system was frozen.
    Filesystem = 1,
    /// The application was quiesced.
    Application = 2,
}

/// Whether a view of the mark was opened and checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Proof {
    /// Nobody looked yet.
    #[default]
    Unverified = 0,
    /// It was looked at and is whole.
    Verified = 1,
    /// It was looked at and is not.
    Failed = 2,
}

/// What an answer to a write promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum SyncPolicy {
    /// It survives the end of the process; a flush makes it survive the loss of power.
    #[default]
    Volatile = 0,
    /// It survives the loss of power.
    Always = 1,
}

/// What happens when a mark is asked for and the volume has 256.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum MarksFullPolicy {
    /// It is refused.
    #[default]
    Refuse = 0,
    /// The oldest mark that may go goes.
    Thin = 1,
}

/// What happens when there is no room left to preserve old blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum StoreFullPolicy {
    /// The oldest mark that may go goes; writes go on.
    #[default]
    DropOldest = 0,
    /// No mark goes; writes stall and are then refused.
    ProtectMarks = 1,
}

/// Something that can be opened as a disk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DiskRef {
    /// The live contents of a volume: `NAME`.
    Volume(Name),
    /// A mark, read-only: `NAME@MARK`.
    Mark(MarkRef),
    /// A view: `view/NAME`.
    View(Name),
}

base::text_schema!(
    DiskRef,
    "DiskRef",
    r"^(view/[A-Za-z0-9][A-Za-z0-9._-]{0,63}|[A-Za-z0-9][A-Za-z0-9._-]{0,63}(@[A-Za-z0-9][A-Za-z0-9._-]{0,63})?)$",
    1..=129,
    "Something that can be opened as a disk: VOLUME, VOLUME@MARK or view/VIEW."
);

impl FromStr for DiskRef {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        if let Some(view) = text.strip_prefix("view/") {
            return Ok(Self::View(view.parse()?));
        }
        if text.contains('@') {
            return Ok(Self::Mark(text.parse()?));
        }
        Ok(Self::Volume(text.parse()?))
    }
}

impl fmt::Display for DiskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(name) => write!(f, "{name}"),
            Self::Mark(mark) => write!(f, "{mark}"),
            Self::View(name) => write!(f, "view/{name}"),
        }
    }
}

impl TryFrom<String> for DiskRef {
    type Error = StoreError;

    fn try_from(text: String) -> Result<Self, StoreError> {
        text.parse()
    }
}

impl From<DiskRef> for String {
    fn from(of: DiskRef) -> Self {
        of.to_string()
    }
}

/// What is asked for when a mark is taken.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MarkRequest {
    /// Its name, unique in each volume.
    pub name: Name,
    /// How consistent it is.
    #[serde(default)]
    pub grade: Grade,
}

/// Settings of a volume to change; what is left out stays.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeSettings {
    /// What an answer to a write promises.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncPolicy>,
    /// What happens at the 257th mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_marks_full: Option<MarksFullPolicy>,
    /// What happens when there is no room to preserve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_store_full: Option<StoreFullPolicy>,
}

/// Whether the pool as a whole works.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PoolState {
    /// It works.
    Open,
    /// A flush or write of the journal failed: reads go on, changes are refused.
    Poisoned {
        /// What failed, and the way out.
        reason: String,
    },
    /// It was closed.
    Closed,
}

/// The pool as a whole.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PoolStatus {
    /// Its identity.
    pub id: Id,
    /// Whether it works.
    #[serde(flatten)]
    pub state: PoolState,
    /// How often it was opened.
    pub incarnation: u64,
    /// Bytes of the journal.
    pub journal_len: u64,
    /// Bytes of the journal that are not applied and trimmed yet.
    pub journal_used_bytes: u64,
    /// Bytes that can still be taken where the pool lies.
    pub space_free_bytes: u64,
    /// Bytes where the pool lies.
    pub space_total_bytes: u64,
    /// Bytes that preserved blocks take, all volumes together.
    pub preserved_bytes: u64,
    /// Bytes that they may take; none for as much as there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserved_limit: Option<ByteSize>,
    /// Bytes set aside so that copies in flight always finish.
    pub reserve_bytes: u64,
    /// Bytes of memory in the caches and indices.
    pub memory_bytes: u64,
    /// How many volumes.
    pub volumes: usize,
    /// How many views.
    pub views: usize,
    /// What a person should know, each with the way out.
    pub warnings: Vec<String>,
}

/// Whether a volume works.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum VolumeState {
    /// It works.
    Ready,
    /// It answers reads and refuses changes.
    ReadOnly {
        /// Why, and the way out.
        reason: String,
    },
    /// Its base failed: it answers what reads it can and refuses changes.
    FailStop {
        /// What failed, and the way out.
        reason: String,
    },
}

/// What a volume's base is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum VolumeKind {
    /// In the pool, taking only the space that was written.
    Thin,
    /// A disk that existed before, used in place.
    Adopted {
        /// Where it lies.
        path: String,
    },
}

/// How far a rollback's copying is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RollbackStatus {
    /// The mark to which.
    pub to: Name,
    /// The mark of what was there before; rolling back to it undoes the rollback.
    pub safety: Name,
    /// Blocks looked at so far.
    pub done_blocks: u64,
    /// Blocks to look at.
    pub total_blocks: u64,
}

/// A volume.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct VolumeStatus {
    /// Its name.
    pub name: Name,
    /// Its identity.
    pub id: Id,
    /// What its base is.
    #[serde(flatten)]
    pub kind: VolumeKind,
    /// Its size.
    pub size: ByteSize,
    /// Bytes of its base that hold something.
    pub allocated_bytes: u64,
    /// Bytes that its preserved blocks take.
    pub preserved_bytes: u64,
    /// Bytes that are in the journal and not yet in the base: how far the base is behind.
    pub unapplied_bytes: u64,
    /// How many marks it has.
    pub marks: usize,
    /// Whether it works.
    #[serde(flatten)]
    pub state: VolumeState,
    /// What an answer to a write promises.
    pub sync: SyncPolicy,
    /// What happens at the 257th mark.
    pub when_marks_full: MarksFullPolicy,
    /// What happens when there is no room to preserve.
    pub when_store_full: StoreFullPolicy,
    /// The rollback whose contents are still being copied.
    pub rollback: Option<RollbackStatus>,
    /// Bytes of a write that power loss leaves whole or absent.
    pub atomic_write_len: ByteSize,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
}

/// A mark.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MarkStatus {
    /// Its volume.
    pub volume: Name,
    /// Its name.
    pub name: Name,
    /// Its identity, the same at every site.
    pub id: Id,
    /// Its ordinal in the volume.
    pub sequence: u64,
    /// When it was taken, milliseconds since 1970.
    pub taken_ms: u64,
    /// The volume's size then.
    pub size: ByteSize,
    /// How consistent it is.
    pub grade: Grade,
    /// Whether a view of it was checked.
    pub proof: Proof,
    /// Whether a hold keeps it from being thinned and removed.
    pub is_held: bool,
    /// When the hold ends by itself, milliseconds since 1970: by the clock on the wall as it is now, if the daemon
    /// runs until then. It ends never earlier than what was asked for, whatever that clock says.
    pub held_until_ms: Option<u64>,
    /// Whether a lock keeps it, which nobody can take back.
    pub is_locked: bool,
    /// When the lock ends, told in the same way.
    pub locked_until_ms: Option<u64>,
    /// Bytes that its removal gives back at most; a preview of the removal tells exactly.
    pub frees_most_bytes: u64,
    /// The views of it.
    pub views: Vec<Name>,
    /// What the marks taken together with it share.
    pub group: Option<Id>,
}

/// What the marks of a volume come to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MarkTally {
    /// How many there are.
    pub count: usize,
    /// How many of them a hold keeps.
    pub held: usize,
    /// When the newest of each grade was taken, milliseconds since 1970.
    pub newest_ms: BTreeMap<Grade, u64>,
    /// The same of those of which a view was checked and found whole.
    pub newest_verified_ms: BTreeMap<Grade, u64>,
}

/// Bytes that come back, as far as that is known; exactly, where both are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Freed {
    /// At least so many.
    pub least_bytes: u64,
    /// At most so many.
    pub most_bytes: u64,
}

/// What the removal of marks would do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RemovalPreview {
    /// What it would give back of the preserved blocks, by those of them that may go.
    #[serde(flatten)]
    pub freed: Freed,
    /// What keeps the others, each with the way out.
    pub obstacles: Vec<String>,
}

/// A view.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ViewStatus {
    /// Its name.
    pub name: Name,
    /// Its identity.
    pub id: Id,
    /// The mark that it shows.
    pub of: MarkRef,
    /// Its size.
    pub size: ByteSize,
    /// Bytes that its own writes take.
    pub allocated_bytes: u64,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// Whether it works.
    #[serde(flatten)]
    pub state: VolumeState,
    /// How far its promotion is, where one is going on.
    pub promotion: Option<CopyProgress>,
}

/// How far a copy is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CopyProgress {
    /// Blocks done.
    pub done_blocks: u64,
    /// Blocks to do.
    pub total_blocks: u64,
}

/// A named set of volumes that are marked at one instant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GroupStatus {
    /// Its name.
    pub name: Name,
    /// Its members.
    pub volumes: Vec<Name>,
}

/// What a scrub found.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ScrubReport {
    /// Blocks that were read and compared with their checksums.
    pub blocks_read: u64,
    /// Blocks that have no checksum yet: of an adopted disk, never written through here. Their sums are
    /// noted now.
    pub blocks_unverified: u64,
    /// What does not hold what was written there.
    pub damaged: Vec<ScrubFinding>,
    /// Copies that were damaged and restored from another.
    pub repaired: u64,
}

/// Something damaged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ScrubFinding {
    /// The volume's base, or the mark that needs the extent.
    pub place: String,
    /// Which sectors.
    pub extent: Extent,
    /// How that was found.
    pub why: String,
}

/// A stretch of a disk that changed since a mark, or did not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChangedExtent {
    /// Which sectors.
    pub extent: Extent,
    /// Whether a block of it was written.
    pub is_changed: bool,
}
