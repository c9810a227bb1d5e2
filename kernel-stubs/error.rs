//! What can go wrong at the kernel's edges, as far as a caller can do something about it.

use std::path::{Path, PathBuf};

use disk::DiskError;

use crate::process::{Process, listed};

/// Why something could not be attached, mounted, taken off or cleaned up.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// This host offers no way to do it; the text says what was tried and what is missing.
    #[error("this host cannot attach block devices: {0}")]
    Unavailable(String),
    /// Somebody uses it.
    #[error("{what} is in use{}", listed(users))]
    Busy {
        /// The device or the directory.
        what: String,
        /// Who, as far as it could be found.
        users: Vec<Process>,
    },
    /// The directory cannot serve as a mount point.
    #[error("cannot mount on {}: {why}", path.display())]
    MountPoint {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What the disk holds cannot be mounted like this; the text names the way out.
    #[error("{0}")]
    Unmountable(String),
    /// The disk itself refused.
    #[error("{what}: {source}")]
    Disk {
        /// Verb and object.
        what: &'static str,
        /// Why.
        source: DiskError,
    },
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// Verb and object.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The record of an attachment cannot be understood.
    #[error("{}: not the record of an attachment: {why}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl AttachError {
    /// From an error of the operating system while doing `verb` with `path`.
    pub(crate) fn io(verb: &str, path: &Path, source: impl Into<std::io::Error>) -> Self {
        Self::Io { what: format!("{verb} {}", path.display()), source: source.into() }
    }
}
