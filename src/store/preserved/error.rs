//! What can go wrong with preserved blocks, as far as a caller can do something about it.

use std::sync::Arc;

use base::codec::CodecError;
use base::units::{Extent, SECTORS_PER_BLOCK};
use disk::DiskError;

use crate::epoch_map::MapError;

/// Why something could not be done with a preserved store.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum PreservedError {
    /// There is no room, and nothing was written. Give space back or use the reserve.
    #[error("preserve blocks: no room for another segment of {segment_bytes} bytes ({source})")]
    Full {
        /// Bytes of the segment that could not be made.
        segment_bytes: u64,
        /// What the shelf said.
        source: DiskError,
    },
    /// An earlier write or flush failed, so nothing is taken until the store is recovered again.
    #[error("the preserved store takes nothing more until it is opened again, because {0}")]
    Poisoned(Arc<str>),
    /// What must be there is not, or not whole.
    #[error("the preserved store is damaged: {0}")]
    Damaged(Arc<str>),
    /// The manifest cannot be.
    #[error("read the preserved store's manifest: {0}")]
    Manifest(#[from] CodecError),
    /// The epoch map could not be asked.
    #[error(transparent)]
    Map(#[from] Box<MapError>),
    /// A disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why a preserved block cannot be read. Others can.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StoreReadError {
    /// What is stored there is not what was preserved.
    #[error(
        "the preserved block {block} of mark sequence {sequence} is damaged (segment {segment}, sector {sector}): {why}"
    )]
    Damaged {
        /// Index of the block.
        block: u64,
        /// Sequence it was preserved under.
        sequence: u64,
        /// Segment in which it lies.
        segment: u32,
        /// Address of its first sector there.
        sector: u32,
        /// How that was found.
        why: &'static str,
    },
    /// The segment's disk refused.
    #[error("read the preserved block {block} of mark sequence {sequence}: {source}")]
    Disk {
        /// Index of the block.
        block: u64,
        /// Sequence it was preserved under.
        sequence: u64,
        /// What the disk said.
        source: DiskError,
    },
}

impl StoreReadError {
    /// As a front door tells it: exactly this block of the volume is damaged.
    pub(crate) fn into_medium(self) -> DiskError {
        let (Self::Damaged { block, .. } | Self::Disk { block, .. }) = &self;
        let extent = Extent::new(block.saturating_mul(SECTORS_PER_BLOCK), SECTORS_PER_BLOCK);
        DiskError::Medium { extent, why: self.to_string().into() }
    }
}
