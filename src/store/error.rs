//! What the store refuses or could not do: each error names the thing and the way out.

use std::sync::Arc;

use base::id::Id;
use base::name::{BadMarkRef, BadName, MarkRef, Name};
use base::size::ByteSize;
use disk::DiskError;

/// Why the store did not do what it was asked to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No volume or view of this name.
    #[error("there is no volume {0}; `volume ls` shows those that are there")]
    UnknownVolume(Name),
    /// No mark of this name.
    #[error("there is no mark {0}; `mark ls {volume}` shows those that are there", volume = .0.volume)]
    UnknownMark(MarkRef),
    /// No view of this name.
    #[error("there is no view {0}; `view ls` shows those that are there")]
    UnknownView(Name),
    /// No volume or view of this identity.
    #[error("there is no volume with the identity {0}; `volume ls` shows those that are there")]
    UnknownId(Id),
    /// No group of this name.
    #[error("there is no group {0}; `group ls` shows those that are there")]
    UnknownGroup(Name),
    /// A text that should be a name is none.
    #[error(transparent)]
    BadName(#[from] BadName),
    /// A text that should name a mark does not.
    #[error(transparent)]
    BadMarkRef(#[from] BadMarkRef),
    /// Something has this name already.
    #[error("the name {0} is taken; choose another or remove the other one first")]
    NameTaken(String),
    /// The volume holds 256 marks and none may go.
    #[error(
        "{volume} holds {max} marks, which is the most; remove one, or let its policy thin marks that are neither held nor locked"
    )]
    MarksFull {
        /// The volume.
        volume: Name,
        /// How many it may hold.
        max: usize,
    },
    /// Something needs this mark.
    #[error("the mark {mark} cannot go: {by}")]
    MarkInUse {
        /// The mark.
        mark: MarkRef,
        /// Who needs it and what to do.
        by: String,
    },
    /// A lock would end earlier than the one that is there.
    #[error("the mark {mark} is locked for another {left}; a lock can only be made longer")]
    LockedLonger {
        /// The mark.
        mark: MarkRef,
        /// What is left of its lock, in words.
        left: String,
    },
    /// The volume is doing something that excludes this.
    #[error("{what} is busy: {why}")]
    Busy {
        /// What is busy.
        what: String,
        /// With what, and what to do.
        why: String,
    },
    /// Volumes do not shrink.
    #[error("{volume} has {now} and cannot shrink to {asked}; volumes only grow")]
    Shrink {
        /// The volume.
        volume: Name,
        /// Its size.
        now: ByteSize,
        /// The size that was asked for.
        asked: ByteSize,
    },
    /// A size that cannot be.
    #[error("{asked} is no size for a volume: {why}")]
    BadSize {
        /// The size that was asked for.
        asked: ByteSize,
        /// What a size must be.
        why: &'static str,
    },
    /// A limit of the product was reached.
    #[error("{0}")]
    Limit(String),
    /// There is no pool here.
    #[error("there is no pool here; start the daemon once to make one")]
    NoPool,
    /// There is a pool here already.
    #[error("there is a pool here already; it was left as it is")]
    PoolExists,
    /// What lies here is no pool of this format.
    #[error("this is no pool that can be opened: {0}")]
    ForeignPool(String),
    /// The pool's own structures are damaged.
    #[error(
        "the pool is damaged: {0}; nothing was changed. Restore the pool's directory from a copy, or read adopted disks directly"
    )]
    Damaged(String),
    /// Only adopted volumes can be released.
    #[error("{0} was not adopted, so there is nothing to release; `volume rm` removes it")]
    NotAdopted(Name),
    /// There is nothing to undo.
    #[error("{0} has no rollback to undo")]
    NothingToUndo(Name),
    /// There is no room.
    #[error("no space left: {0}")]
    NoSpace(Arc<str>),
    /// An earlier failure stopped the pool or the volume.
    #[error(
        "stopped after a failure: {0}. Check the disk below, then start the daemon again: it recovers from the journal"
    )]
    Poisoned(Arc<str>),
    /// The pool was closed.
    #[error("the pool is closed")]
    Closed,
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A disk below refused.
    #[error(transparent)]
    Disk(DiskError),
}

/// What kind of failure it is, for status codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// What was named is not there.
    NotFound,
    /// It is there, but something else excludes what was asked.
    Conflict,
    /// What was asked makes no sense.
    Invalid,
    /// There is no room.
    NoSpace,
    /// Something that is kept is damaged.
    Damaged,
    /// It did not work, and asking again may not help.
    Failed,
}

impl StoreError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownVolume(_)
            | Self::UnknownMark(_)
            | Self::UnknownView(_)
            | Self::UnknownGroup(_)
            | Self::UnknownId(_)
            | Self::NoPool
            | Self::NothingToUndo(_)
            | Self::Disk(DiskError::NotFound(_)) => ErrorKind::NotFound,
            Self::NameTaken(_)
            | Self::MarksFull { .. }
            | Self::MarkInUse { .. }
            | Self::LockedLonger { .. }
            | Self::Busy { .. }
            | Self::PoolExists
            | Self::Limit(_)
            | Self::NotAdopted(_)
            | Self::Disk(DiskError::Busy(_) | DiskError::ReadOnly) => ErrorKind::Conflict,
            Self::BadName(_)
            | Self::BadMarkRef(_)
            | Self::Shrink { .. }
            | Self::BadSize { .. }
            | Self::Disk(
                DiskError::OutOfBounds { .. }
                | DiskError::Misaligned { .. }
                | DiskError::TooLarge { .. },
            ) => ErrorKind::Invalid,
            Self::NoSpace(_) | Self::Disk(DiskError::NoSpace(_)) => ErrorKind::NoSpace,
            Self::ForeignPool(_) | Self::Damaged(_) | Self::Disk(DiskError::Medium { .. }) => {
                ErrorKind::Damaged
            }
            Self::Poisoned(_)
            | Self::Closed
            | Self::Cancelled
            | Self::Disk(DiskError::Io { .. } | DiskError::Poisoned(_) | DiskError::Closed) => {
                ErrorKind::Failed
            }
        }
    }
}

impl From<DiskError> for StoreError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::NoSpace(what) => Self::NoSpace(what),
            DiskError::Poisoned(why) => Self::Poisoned(why),
            other => Self::Disk(other),
        }
    }
}
