//! Keys and places: what an entry is called and where its bytes lie.

use base::codec::CodecError;

/// What an entry is called: the block, and the sequence of the mark that was newest when the block was
/// overwritten. Ordered by block, then by sequence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key {
    /// Index of the block in its volume.
    pub block: u64,
    /// Sequence of the mark.
    pub sequence: u64,
}

impl Key {
    /// The key of this block and mark sequence.
    pub(crate) const fn new(block: u64, sequence: u64) -> Self {
        Self { block, sequence }
    }
}

/// How the content of a block is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub(crate) enum Form {
    /// As it is: eight sectors.
    Raw = 1,
    /// A 16-bit length and a zstd frame, filled up with zeroes: one to seven sectors.
    Zstd = 2,
    /// All zeroes: a flag without data.
    Zero = 3,
    /// Never allocated, reads as zeroes: a flag without data.
    Absent = 4,
}

impl Form {
    /// The form with this number.
    ///
    /// # Errors
    /// `Invalid` where there is none.
    pub(crate) fn from_number(number: u8) -> Result<Self, CodecError> {
        match number {
            1 => Ok(Self::Raw),
            2 => Ok(Self::Zstd),
            3 => Ok(Self::Zero),
            4 => Ok(Self::Absent),
            _ => Err(CodecError::Invalid { field: "form", value: u64::from(number) }),
        }
    }

    /// Whether a block in this form can take this many sectors.
    pub(crate) fn fits(self, sectors: u8) -> bool {
        match self {
            Self::Raw => sectors == 8,
            Self::Zstd => (1..8).contains(&sectors),
            Self::Zero | Self::Absent => sectors == 0,
        }
    }
}

/// Where the bytes of an entry lie, and what they must sum to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Place {
    /// Index of the segment.
    pub segment: u32,
    /// Address of the first sector in the segment.
    pub sector: u32,
    /// crc32c over volume, block, sequence and the stored bytes.
    pub checksum: u32,
    /// How many sectors are stored.
    pub sectors: u8,
    /// In what form.
    pub form: Form,
}

const _: () = assert!(size_of::<Place>() == 16);
