//! What can be asked of a disk.

use base::units::Extent;

use crate::Geometry;
use crate::answer::Reply;
use crate::buffer::{Buffer, Payload};
use crate::error::DiskError;

/// How safe a change must be when it is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Handed to the kernel: survives the end of the process, not the loss of power.
    Volatile,
    /// On stable storage: survives the loss of power (FUA).
    Stable,
}

/// What zeroed sectors keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nothing: their space may be given back, and they map as absent or zero.
    Nothing,
    /// Their space: a later write to them cannot fail for want of it, and they never map as absent.
    Space,
}

/// One operation.
#[derive(Debug)]
pub enum Op {
    /// Fill `buffer` from the sector `start` on.
    Read {
        /// Address of the first sector.
        start: u64,
        /// As many sectors as it holds are read.
        buffer: Buffer,
    },
    /// Write the payloads one after the other from the sector `start` on.
    Write {
        /// Address of the first sector.
        start: u64,
        /// Each a whole number of sectors.
        data: Vec<Payload>,
        /// How safe when answered.
        durability: Durability,
    },
    /// The content of `extent` is no longer wanted.
    Discard {
        /// Which sectors.
        extent: Extent,
        /// How safe when answered.
        durability: Durability,
    },
    /// Make `extent` read as zeroes.
    WriteZeroes {
        /// Which sectors.
        extent: Extent,
        /// Whether their space is kept.
        keep: Keep,
        /// How safe when answered.
        durability: Durability,
    },
    /// Make everything answered so far stable.
    Flush,
    /// Which parts of `extent` are data, zero or absent.
    Map {
        /// Which sectors.
        extent: Extent,
    },
}

impl Op {
    /// The sectors it touches, or `None` for a flush. The length of a write saturates.
    pub fn extent(&self) -> Option<Extent> {
        match self {
            Self::Read { start, buffer } => Some(Extent::new(*start, buffer.sectors())),
            Self::Write { start, data, .. } => {
                Some(Extent::new(*start, data.iter().map(Payload::sectors).sum()))
            }
            Self::Discard { extent, .. }
            | Self::WriteZeroes { extent, .. }
            | Self::Map { extent } => Some(*extent),
            Self::Flush => None,
        }
    }

    /// Whether it changes what the disk holds.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Discard { .. } | Self::WriteZeroes { .. })
    }

    /// Whether a disk of this geometry may carry it out.
    ///
    /// # Errors
    /// `OutOfBounds` where it does not lie within the disk, `ReadOnly` where it would change one that
    /// takes no changes.
    pub fn check(&self, geometry: &Geometry) -> Result<(), DiskError> {
        let capacity = geometry.sectors;
        match self.extent() {
            Some(extent) if !extent.fits(capacity) => {
                Err(DiskError::OutOfBounds { extent, capacity })
            }
            _ if self.is_change() && geometry.is_read_only => Err(DiskError::ReadOnly),
            _ => Ok(()),
        }
    }
}

/// An operation and the way back for its answer.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub op: Op,
    /// Where the answer goes.
    pub reply: Reply,
}

/// What a stretch of a disk holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapKind {
    /// Allocated, content unknown without reading.
    Data,
    /// Allocated, and reads as zeroes.
    Zero,
    /// Not allocated; reads as zeroes.
    Absent,
}

/// A stretch of a disk and what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapExtent {
    /// Which sectors.
    pub extent: Extent,
    /// What they hold.
    pub kind: MapKind,
}
