//! What can go wrong with an epoch map, as far as a caller can do something about it.

use std::sync::Arc;

use base::codec::CodecError;
use disk::DiskError;

use crate::preserved::PreservedError;

/// Why the map could not answer or take something.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum MapError {
    /// A run does not hold what was written. The map can be rebuilt from the preserved store.
    #[error("run {run} of the epoch map of volume {volume} is damaged in its {part}: {why}")]
    Damaged {
        /// Whose map, as 32 hexadecimal digits.
        volume: base::id::Id,
        /// Number of the run.
        run: u64,
        /// Which part of it.
        part: Arc<str>,
        /// How that was found.
        why: CodecError,
    },
    /// The manifest cannot be.
    #[error("read the epoch map's manifest: {0}")]
    Manifest(#[from] CodecError),
    /// The preserved store could not be read for a rebuild.
    #[error(transparent)]
    Preserved(#[from] Box<PreservedError>),
    /// A disk or the shelf refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
