//! The epoch map: `(block, mark sequence) -> place in the preserved store`, the only answer to every
//! question about the past. One per volume.
//!
//! Entries go into a memtable and from there into immutable sorted runs on the pool's shelf; runs are
//! merged in tiers. This is a small log-structured map of our own, and not a library, for three reasons:
//! it must run on the `Disk` trait, so that the simulated disk can cut its power at every step; it writes
//! some 13 bytes for an entry where a general store writes key, value and framing; and whether an entry
//! is still needed is decided by the marks while it is merged, which no library lets a caller say
//! without a look-up for each entry.
//!
//! It is not the authority: everything in it is also in the heads of the preserved store's chunks, from
//! which [`EpochMap::rebuild_from`] makes it anew. The memtable is never part of a checkpoint; recovery of
//! the preserved store brings it back.
//!
//! Invariants:
//! - Keys are unique in a run and sorted. Where two sources hold the same key, the older one counts.
//! - Entries that are *dead* may be there or not: no question about a live mark is answered by one.
//! - A page is used only after its checksum and its structure were checked; damage is an error.
//! - A run that a committed checkpoint names is not removed before a later one without it is committed.

mod bloom;
mod cache;
mod error;
mod frame;
mod live;
mod manifest;
mod map;
mod merge;
mod page;
mod range;
mod rebuild;
mod run;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use cache::PageCache;
pub(crate) use error::MapError;
pub(crate) use live::{LiveMarks, Needed};
pub(crate) use manifest::MapManifest;
pub(crate) use map::{EpochMap, MapOptions, MapSetup, MapTicket};
pub(crate) use merge::MergeProgress;
pub(crate) use page::{Page, PageName};
