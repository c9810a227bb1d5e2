//! Where a pool keeps its disks: a directory, memory, or a simulated directory that loses power.

use std::path::Path;

use crate::AnyDisk;
use crate::error::DiskError;

/// How a disk on a shelf will be used, so that the shelf can open it accordingly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usage {
    /// Appended to and flushed all the time, read at recovery: a write is answered as soon as the kernel
    /// has it, from within `submit`.
    Log,
    /// Read and written at random in whole blocks, sparse: many requests in flight.
    Data,
}

/// Room on a shelf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Bytes that can still be taken.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Named disks in one place. Calls may wait for the operating system; they are rare.
pub trait Shelf: Send + Sync + 'static {
    /// Makes a disk of `sectors` sectors that read as zeroes. Its name and length are stable when this
    /// returns.
    ///
    /// # Errors
    /// `Busy` where the name is taken, `NoSpace`, or what the operating system says.
    fn create(&self, name: &str, sectors: u64, usage: Usage) -> Result<AnyDisk, DiskError>;

    /// Opens a disk that is there.
    ///
    /// # Errors
    /// `NotFound` where it is not, or what the operating system says.
    fn open(&self, name: &str, usage: Usage) -> Result<AnyDisk, DiskError>;

    /// Makes a disk longer; new sectors read as zeroes. Open handles see the new length. Stable when this
    /// returns.
    ///
    /// # Errors
    /// `NotFound` where it is not there, or what the operating system says.
    fn grow(&self, name: &str, sectors: u64) -> Result<(), DiskError>;

    /// Takes space for `extent` of a disk ahead of writes to it, so that those cannot fail for want of
    /// it.
    ///
    /// # Errors
    /// `NoSpace`, or what the operating system says.
    fn reserve(&self, name: &str, extent: base::units::Extent) -> Result<(), DiskError>;

    /// Removes a disk. After a crash it may be there again.
    ///
    /// # Errors
    /// What the operating system says; a disk that is not there is no error.
    fn remove(&self, name: &str) -> Result<(), DiskError>;

    /// The names of all disks, in order.
    ///
    /// # Errors
    /// What the operating system says.
    fn list(&self) -> Result<Vec<String>, DiskError>;

    /// Opens a disk that lies elsewhere, for this shelf's pool alone: a file or a block device, locked
    /// against any other user.
    ///
    /// # Errors
    /// `NotFound`, `Busy` where it is mounted or locked, or what the operating system says.
    fn adopt(&self, path: &Path) -> Result<AnyDisk, DiskError>;

    /// How much room there is.
    ///
    /// # Errors
    /// What the operating system says.
    fn space(&self) -> Result<Space, DiskError>;
}
