//! What the failures of a disk are called in sense data.

use base::units::SECTOR_LEN;
use disk::DiskError;

use super::sense::{Key, Sense};
use super::unit::LogicalUnit;

/// How a failure of the disk behind `unit` is told.
///
/// A disk that is poisoned still reads, so that DATA PROTECT tells the initiator what it needs: nothing
/// can be written here any more, and repeating it on another path does not help.
pub(super) fn sense(error: &DiskError, unit: &LogicalUnit) -> Sense {
    let per_block = u64::from(unit.settings().logical_block_len) / SECTOR_LEN as u64;
    match error {
        DiskError::Medium { extent, .. } => Sense {
            information: Some(extent.start / per_block),
            ..Sense::new(Key::MediumError, 0x11, 0x00)
        },
        DiskError::OutOfBounds { extent, capacity } => {
            Sense::out_of_range(extent.start.max(*capacity) / per_block)
        }
        DiskError::NoSpace(_) => Sense::new(Key::DataProtect, 0x27, 0x07),
        DiskError::ReadOnly => Sense::write_protected(),
        DiskError::Poisoned(_) => Sense::new(Key::DataProtect, 0x27, 0x01),
        DiskError::Closed | DiskError::NotFound(_) => Sense::not_ready(0x03),
        DiskError::Busy(_) => Sense::not_ready(0x00),
        DiskError::TooLarge { .. } | DiskError::Misaligned { .. } => Sense::cdb_byte(1),
        DiskError::Io { .. } => Sense::failure(),
    }
}
