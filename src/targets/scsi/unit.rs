//! A logical unit: one for each disk, shared by all targets, LUNs, nexuses and paths that lead to it.

use std::pin::Pin;
use std::sync::Arc;

use disk::{AnyDisk, DiskError};

use super::identity::Identity;

/// What a logical unit is, for as long as it lives.
#[derive(Clone, Debug)]
pub struct UnitSettings {
    /// Who it is.
    pub identity: Identity,
    /// Bytes of a logical block: 512 or 4096.
    pub logical_block_len: u32,
    /// Whether its medium can be taken out.
    pub is_removable: bool,
}

/// Whether what was handed over is kept.
pub type Kept = Pin<Box<dyn Future<Output = Result<(), DiskError>> + Send>>;

/// Keeps the persistent reservations of a logical unit over restarts (APTPL).
pub trait Keeper: Send + Sync + 'static {
    /// Whether it can keep anything.
    fn can_keep(&self) -> bool;
    /// What was kept last.
    fn kept(&self) -> Option<Vec<u8>>;
    /// Keeps this, durably when it answers; `None` forgets.
    fn keep(&self, bytes: Option<Vec<u8>>) -> Kept;
}

/// A keeper that keeps nothing.
#[derive(Debug)]
pub struct NoKeeper;

impl Keeper for NoKeeper {
    fn can_keep(&self) -> bool {
        false
    }

    fn kept(&self) -> Option<Vec<u8>> {
        None
    }

    fn keep(&self, _bytes: Option<Vec<u8>>) -> Kept {
        Box::pin(async { Ok(()) })
    }
}

/// The reservations of a logical unit, for people to read.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct ReservationStatus {
    /// The type of the persistent reservation that is held, in the words of the standard.
    pub kind: Option<String>,
    /// Who holds it: the initiator ports' names. Empty where all registrants do.
    pub holders: Vec<String>,
    /// All that are registered.
    pub registrations: Vec<RegistrationStatus>,
    /// The PRgeneration counter.
    pub generation: u32,
    /// Whether they are kept over a restart.
    pub is_kept: bool,
    /// Who holds the unit by RESERVE(6) or RESERVE(10).
    pub reserved_by: Option<String>,
}

/// One registration.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct RegistrationStatus {
    /// The initiator port: its name, `,i,0x` and its ISID.
    pub initiator: String,
    /// The relative target port identifier that it came through.
    pub port: u16,
    /// The reservation key, as 16 hexadecimal digits.
    pub key: String,
}

/// A logical unit.
pub struct LogicalUnit {
    settings: UnitSettings,
}

impl std::fmt::Debug for LogicalUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogicalUnit({})", self.settings.identity.id)
    }
}

impl LogicalUnit {
    /// A logical unit in front of `disk`; without one it is not ready.
    pub fn new(
        settings: UnitSettings,
        _disk: Option<AnyDisk>,
        _keeper: Arc<dyn Keeper>,
    ) -> Arc<Self> {
        Arc::new(Self { settings })
    }

    /// Puts another disk behind it, or none.
    pub fn set_disk(&self, _disk: Option<AnyDisk>) {}

    /// What it is.
    pub fn settings(&self) -> &UnitSettings {
        &self.settings
    }

    /// How many logical blocks it has.
    pub fn capacity(&self) -> u64 {
        0
    }

    /// Who has reserved it, and who has registered.
    pub fn reservations(&self) -> ReservationStatus {
        ReservationStatus::default()
    }
}
