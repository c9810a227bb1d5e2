//! The waist of the house: everything that holds sectors is a [`Disk`].
//!
//! Six operations, handed down in batches and answered one by one: read, write, discard, write zeroes,
//! flush, map; and the geometry. Front doors above see nothing else, and nothing above this room opens,
//! reads or syncs a backing device.
//!
//! # The contract
//!
//! What every implementation promises, and the contract suite checks:
//!
//! 1. **Whole sectors.** Addresses and lengths count 512-byte sectors. A request whose buffer is not a
//!    whole number of sectors is refused with [`DiskError::Misaligned`].
//! 2. **Bounds.** A request past the capacity is refused with [`DiskError::OutOfBounds`] and changes
//!    nothing; never a panic. Zero length is legal anywhere up to the capacity, and succeeds.
//! 3. **Buffers travel.** A read's buffer goes down by value and comes back filled with the answer. A
//!    write's payloads are shared and immutable from the moment they are handed down.
//! 4. **Each request is answered exactly once**, in any order, possibly before `submit` returns. A
//!    request that is dropped answers [`DiskError::Closed`].
//! 5. **What was answered is seen** by every read handed down later, through any handle.
//! 6. **A volatile write that was answered has been handed to the kernel**: killing the process loses
//!    nothing that was answered. A stable write (FUA) survives power loss when it is answered.
//! 7. **Flush**: everything that was answered before the flush was handed down is stable when it answers.
//! 8. **Overlapping writes in flight are the caller's business**, except that one write of a block is
//!    never mixed with another within that block. A disk whose physical block is one sector promises
//!    this for a sector.
//! 9. **Discarded and zeroed sectors read as zeroes** at once. `Discard` may leave content where it does
//!    not fill a whole block of the implementation; `WriteZeroes` is exact.
//! 10. **After a failed flush the disk is poisoned**: reads go on, everything that would change it is
//!     refused with [`DiskError::Poisoned`] until it is opened again. A failed flush is never retried
//!     into success.

pub mod answer;
pub mod buffer;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod directory;
pub mod error;
pub mod file;
pub mod gather;
pub mod mem;
pub mod request;
pub mod shelf;
pub mod sim;
pub mod slice;
pub mod stats;

mod adopt;
mod relay;
mod spare;
mod sparse;

use std::sync::Arc;

use base::units::Extent;

pub use answer::{Answer, Answers, Done, Reply};
pub use buffer::{Buffer, Payload};
pub use directory::{DataEngine, DirectoryOptions, DirectoryShelf};
pub use error::DiskError;
pub use file::{Caching, EngineKind, FileDisk, FileOptions};
pub use mem::{MemDisk, MemShelf};
pub use request::{Durability, Keep, MapExtent, MapKind, Op, Request};
pub use shelf::{Shelf, Space, Usage};
pub use sim::{SimDisk, SimShelf, SimWorld};
pub use slice::SliceDisk;
pub use stats::{Stats, StatsDisk};

/// What a disk is like. Only the capacity may change while it is open, and only upwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// How many sectors of 512 bytes.
    pub sectors: u64,
    /// Bytes of a physical block: writes of whole ones need no reading. A power of two, 512 or more.
    pub physical_block_len: u32,
    /// Bytes of the largest write that power loss leaves whole or absent; 512 where nothing is promised.
    pub atomic_write_len: u32,
    /// Whether everything that would change it is refused.
    pub is_read_only: bool,
}

/// Something that holds sectors.
pub trait Disk: Send + Sync + 'static {
    /// What it is like now.
    fn geometry(&self) -> Geometry;

    /// Hands a batch down. The requests may be carried out in any order and at once; each is answered
    /// through its own [`Reply`]. Does not wait for the disk, but may take the time that handing to the
    /// kernel takes.
    fn submit(&self, batch: Vec<Request>);
}

/// The same operations, one at a time, as futures. What is submitted is submitted when the method is
/// called, not when the future is first polled.
impl dyn Disk {
    /// Reads `extent` into a fresh buffer.
    ///
    /// # Errors
    /// Whatever the disk answers: see [`DiskError`].
    pub fn read(&self, extent: Extent) -> impl Future<Output = Result<Buffer, DiskError>> + use<> {
        let buffer = Buffer::sectors_to_fill(extent.sectors);
        self.read_into(extent.start, buffer)
    }

    /// Reads into `buffer` from the sector `start`, as many sectors as it holds.
    ///
    /// # Errors
    /// Whatever the disk answers: see [`DiskError`].
    pub fn read_into(
        &self,
        start: u64,
        buffer: Result<Buffer, DiskError>,
    ) -> impl Future<Output = Result<Buffer, DiskError>> + use<> {
        let answer = buffer.map(|buffer| self.ask(Op::Read { start, buffer }));
        async move {
            match answer?.await? {
                Done::Read(buffer) => Ok(buffer),
                _ => Err(DiskError::Closed),
            }
        }
    }

    /// Writes `data` from the sector `start`.
    ///
    /// # Errors
    /// Whatever the disk answers: see [`DiskError`].
    pub fn write(
        &self,
        start: u64,
        data: Vec<Payload>,
        durability: Durability,
    ) -> impl Future<Output = Result<(), DiskError>> + use<> {
        self.ask_plain(Op::Write { start, data, durability })
    }

    /// Makes everything answered so far stable.
    ///
    /// # Errors
    /// Whatever the disk answers: see [`DiskError`]. After an error the disk is poisoned.
    pub fn flush(&self) -> impl Future<Output = Result<(), DiskError>> + use<> {
        self.ask_plain(Op::Flush)
    }

    /// Gives the space of `extent` back where that is possible.
    ///
    /// # Errors
    /// Whatever the disk answers: see [`DiskError`].
    pub fn discard(&self, extent: Extent) -> impl Future<Output = Result<(), DiskError>> + use<> {
        self.ask_plain(Op::Discard { extent, durability: Durability::Volatile })
    }

    /// Makes `extent` read as zeroes.
    ///
    /// # Errors
    /// Whatever the disk answers: see [`DiskError`].
    pub fn write_zeroes(
        &self,
        extent: Extent,
        keep: Keep,
    ) -> impl Future<Output = Result<(), DiskError>> + use<> {
        self.ask_plain(Op::WriteZeroes { extent, keep, durability: Durability::Volatile })
    }

    /// Tells which parts of `extent` are data, zero or absent; at least the first part of it.
    ///
    /// # Errors
    /// Whatever the disk answers: see [`DiskError`].
    pub fn map(
        &self,
        extent: Extent,
    ) -> impl Future<Output = Result<Vec<MapExtent>, DiskError>> + use<> {
        let answer = self.ask(Op::Map { extent });
        async move {
            match answer.await? {
                Done::Mapped(map) => Ok(map),
                _ => Err(DiskError::Closed),
            }
        }
    }

    fn ask(&self, op: Op) -> impl Future<Output = Answer> + use<> {
        let (reply, answer) = Reply::one();
        self.submit(vec![Request { op, reply }]);
        async move { answer.await.unwrap_or(Err(DiskError::Closed)) }
    }

    fn ask_plain(&self, op: Op) -> impl Future<Output = Result<(), DiskError>> + use<> {
        let answer = self.ask(op);
        async move { answer.await.map(drop) }
    }
}

/// A shared disk of any kind.
pub type AnyDisk = Arc<dyn Disk>;
