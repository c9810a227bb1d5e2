//! The preserved store: where old blocks go when a block of the base is first overwritten after a mark.
//!
//! One per volume. Entries are appended in *chunks* (a head that says what is in it, then the stored
//! extents) to *segments*, which are disks of a fixed length on the pool's shelf. What is appended is
//! never changed; it is only given back when no mark needs it. It is not an index: [`crate::epoch_map`]
//! finds an entry by block and mark sequence, and this room finds the bytes by [`Place`].
//!
//! Invariants:
//! - Chunk numbers rise by one in the order of appending, over all segments; the incarnation in a chunk
//!   never falls. So the valid chunks after a known place form one chain, and a chunk that an earlier
//!   life of the pool left behind is never taken for a part of it.
//! - A chunk below `durable_below` is on stable storage.
//! - A block is read only through its checksum, which binds volume, block and sequence.
//! - One spare segment, with all of its space taken, stands ready: the reserve that is never lent out.

mod append;
mod chunk;
mod error;
mod extent;
mod handles;
mod manifest;
mod place;
mod read;
mod recover;
mod segment;
mod spare;
mod state;
mod store;
mod sweep;
mod tally;
mod walk;

#[cfg(test)]
mod tests;

pub(crate) use chunk::ChunkHead;
pub(crate) use error::PreservedError;
pub(crate) use extent::{Content, Preserve};
pub(crate) use manifest::Manifest;
pub(crate) use place::{Form, Key, Place};
pub(crate) use store::{PreservedOptions, PreservedSetup, PreservedStore, Ticket};
