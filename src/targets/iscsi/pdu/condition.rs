//! iSCSI's own reasons to give a command up, as sense data.
//!
//! Source: RFC 7143 11.4.7.2.

/// Why a command was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Data came that nobody asked for.
    UnexpectedData,
    /// More or less data came than was asked for.
    WrongAmount,
    /// A piece of data is missing or out of place.
    Sequence,
}

impl Condition {
    /// ABORTED COMMAND, in the fixed format.
    pub const fn sense(self) -> [u8; 18] {
        let (code, qualifier) = match self {
            Self::UnexpectedData => (0x0c, 0x0c),
            Self::WrongAmount => (0x0c, 0x0d),
            Self::Sequence => (0x47, 0x05),
        };
        [0x70, 0, 0x0b, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0]
    }
}
