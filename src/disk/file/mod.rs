//! Files and block devices as disks.
//!
//! Two choices, independent of each other: whether bytes go through the page cache ([`Caching`]), and how
//! calls are made ([`EngineKind`]). A journal is appended to through the page cache from within `submit`;
//! data goes around it with io_uring, or where that is forbidden with positional calls on a few threads.
//!
//! Answers come from `submit` itself, from a worker, or from where io_uring's completions are reaped.
//! Dropping the disk waits until the kernel is done with every buffer, and lets go of the file's lock.

mod backing;
mod engine;
mod open;
mod positional;
mod sys;
#[cfg(test)]
mod tests;
mod transfer;
mod uring;
mod vectors;
mod workers;

use std::sync::Arc;

use base::units::Extent;

pub(crate) use backing::Backing;
use engine::Engine;
pub(crate) use open::{Opened, open_device, open_file};
use positional::{Calls, Positional};
use uring::Uring;

use crate::error::DiskError;
use crate::request::Request;
use crate::{Disk, Geometry};

/// Whether the page cache lies between the disk and the medium.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caching {
    /// Yes.
    PageCache,
    /// No, where the file system and the alignment of a request allow it.
    Direct,
}

/// How calls are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineKind {
    /// Positional calls from within `submit`.
    Inline,
    /// Positional calls on a few threads.
    Threads,
    /// io_uring; an error where the kernel forbids it.
    Uring,
}

/// How a file is opened and served.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// Whether through the page cache.
    pub caching: Caching,
    /// How calls are made.
    pub engine: EngineKind,
    /// Whether everything that would change it is refused.
    pub is_read_only: bool,
    /// The runtime that reaps io_uring's completions; without one a thread of the disk does. It must
    /// outlive the disk.
    pub runtime: Option<tokio::runtime::Handle>,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            caching: Caching::PageCache,
            engine: EngineKind::Threads,
            is_read_only: false,
            runtime: None,
        }
    }
}

/// A file or block device as a disk.
pub struct FileDisk {
    engine: Arc<dyn Engine>,
    /// Shelves grow it through this.
    backing: Arc<Backing>,
}

impl FileDisk {
    /// Opens a file of whole sectors, without locking it.
    ///
    /// # Errors
    /// `NotFound` where it is not there, `Misaligned` where its length is no whole number of sectors, or
    /// what the operating system says.
    pub fn open(path: &std::path::Path, options: &FileOptions) -> Result<Self, DiskError> {
        Self::serve(open_file(path, options)?, options)
    }

    /// Serves what was opened.
    pub(crate) fn serve(opened: Opened, options: &FileOptions) -> Result<Self, DiskError> {
        let backing = Arc::new(Backing::new(opened.parts));
        let plain = |calls| Arc::new(Positional::new(Arc::clone(&backing), calls));
        let engine: Arc<dyn Engine> = match options.engine {
            EngineKind::Inline => plain(Calls::Inline),
            EngineKind::Threads => plain(Calls::Aside),
            EngineKind::Uring => Uring::start(Arc::clone(&backing), options.runtime.as_ref())?,
        };
        Ok(Self { engine, backing })
    }

    pub(crate) fn backing(&self) -> &Arc<Backing> {
        &self.backing
    }

    /// Takes space for `extent` ahead of writes to it, stable when this returns.
    ///
    /// # Errors
    /// `OutOfBounds`, `NoSpace`, or what the operating system says.
    pub fn reserve(&self, extent: Extent) -> Result<(), DiskError> {
        let capacity = self.geometry().sectors;
        if !extent.fits(capacity) {
            return Err(DiskError::OutOfBounds { extent, capacity });
        }
        let reserved = self.backing.reserve(extent);
        reserved.map_err(|error| self.backing.error("reserve space of", extent, &error))?;
        self.backing.sync()
    }
}

/// Whether this process may use io_uring.
pub fn uring_is_allowed() -> bool {
    uring::is_allowed()
}

impl Disk for FileDisk {
    fn geometry(&self) -> Geometry {
        self.backing.geometry()
    }

    fn submit(&self, batch: Vec<Request>) {
        Arc::clone(&self.engine).submit(batch);
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        self.engine.close();
        self.backing.let_go();
    }
}

impl std::fmt::Debug for FileDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileDisk({})", self.backing.shown())
    }
}
