//! What a command ends with: status, sense data, data-in.

use disk::Buffer;

/// A SCSI status code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Status {
    /// Done.
    Good = 0x00,
    /// Not done, or done with a remark: see the sense data.
    CheckCondition = 0x02,
    /// Done, and the condition holds (PRE-FETCH).
    ConditionMet = 0x04,
    /// Try again later.
    Busy = 0x08,
    /// Another nexus has reserved the logical unit.
    ReservationConflict = 0x18,
    /// There is no room for another task.
    TaskSetFull = 0x28,
    /// An auto contingent allegiance is there.
    AcaActive = 0x30,
    /// Ended by another nexus.
    TaskAborted = 0x40,
}

/// Bytes for the initiator.
#[derive(Debug)]
pub enum DataIn {
    /// None.
    None,
    /// These.
    Bytes(Vec<u8>),
    /// The first `len` bytes of `buffer`.
    Buffer {
        /// What was read.
        buffer: Buffer,
        /// Bytes of it that are data.
        len: usize,
    },
}

impl DataIn {
    /// How many bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::Buffer { len, .. } => *len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a command ends with.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: Status,
    /// The sense data; empty unless the status is CHECK CONDITION.
    pub sense: Vec<u8>,
    /// The data.
    pub data: DataIn,
    /// Whether it was aborted: then no response is sent.
    pub is_aborted: bool,
}

impl Response {
    /// Done, without data.
    pub const fn good() -> Self {
        Self { status: Status::Good, sense: Vec::new(), data: DataIn::None, is_aborted: false }
    }
}

impl Response {
    /// Done, with data.
    pub fn with(data: DataIn) -> Self {
        Self { data, ..Self::good() }
    }

    /// A status without sense data.
    pub fn of(status: Status) -> Self {
        Self { status, ..Self::good() }
    }

    /// CHECK CONDITION with this sense data.
    pub fn check(sense: Vec<u8>) -> Self {
        Self { status: Status::CheckCondition, sense, ..Self::good() }
    }

    /// Aborted: no response is sent.
    pub fn aborted() -> Self {
        Self { is_aborted: true, ..Self::of(Status::TaskAborted) }
    }

    /// The same, unless the command was aborted.
    #[must_use]
    pub(super) fn unless(self, is_aborted: bool) -> Self {
        if is_aborted { Self::aborted() } else { self }
    }
}
