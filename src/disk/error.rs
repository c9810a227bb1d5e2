//! What can go wrong with a disk, as far as a caller can do something about it.

use std::sync::Arc;

use base::units::Extent;

/// Why a request was not carried out. Cheap to clone: one failure may have to be told to many.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DiskError {
    /// The request does not lie within the disk.
    #[error("sectors {} to {} lie past the end of the disk, which has {capacity}", extent.start, extent.end())]
    OutOfBounds {
        /// What was asked for.
        extent: Extent,
        /// How many sectors there are.
        capacity: u64,
    },
    /// The length is not a whole number of sectors.
    #[error("{len} bytes are not a whole number of 512-byte sectors")]
    Misaligned {
        /// Bytes.
        len: usize,
    },
    /// The disk takes no changes.
    #[error("the disk is read-only")]
    ReadOnly,
    /// There is no room for this.
    #[error("no space left: {0}")]
    NoSpace(Arc<str>),
    /// These sectors cannot be read, or do not hold what was written there. Others can.
    #[error("sectors {} to {} are damaged: {why}", extent.start, extent.end())]
    Medium {
        /// Exactly the damaged sectors, as far as is known.
        extent: Extent,
        /// How that was found.
        why: Arc<str>,
    },
    /// The operating system refused.
    #[error("{what}: {}", std::io::Error::from_raw_os_error(*errno))]
    Io {
        /// Verb and object.
        what: Arc<str>,
        /// The operating system's error number.
        errno: i32,
    },
    /// An earlier flush or write failed, so nothing can be promised until the disk is opened again.
    #[error("the disk takes no more changes until it is opened again, because {0}")]
    Poisoned(Arc<str>),
    /// The request is too large to be taken at once.
    #[error("{len} bytes are more than the {max} that one request may carry")]
    TooLarge {
        /// Bytes.
        len: u64,
        /// Bytes that are allowed.
        max: u64,
    },
    /// What was asked for is not here.
    #[error("{0} is not there")]
    NotFound(Arc<str>),
    /// Somebody else uses it.
    #[error("{0} is in use")]
    Busy(Arc<str>),
    /// The disk was closed before it answered.
    #[error("the disk was closed")]
    Closed,
}

impl DiskError {
    /// From an error of the operating system, with what was being done as verb and object.
    pub fn io(what: impl Into<Arc<str>>, error: &std::io::Error) -> Self {
        let what = what.into();
        match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Self::NoSpace(what),
            Some(libc::ENOENT) => Self::NotFound(what),
            Some(libc::EROFS) => Self::ReadOnly,
            Some(errno) => Self::Io { what, errno },
            None => Self::Io { what, errno: libc::EIO },
        }
    }
}
