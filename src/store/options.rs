//! What can be chosen when a pool is made or opened.

use std::sync::Arc;

use base::clock::{Clock, SystemClock};
use base::rng::{Rng, SystemRng};
use base::size::ByteSize;
use serde::{Deserialize, Serialize};

/// How preserved blocks are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As they are.
    Off,
    /// Compressed with zstd at this level wherever that saves a sector.
    Zstd(i32),
}

/// Choices for a pool. Those about lengths of structures count when the pool is made.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Bytes of the journal; at least 1 MiB. Counts when the pool is made.
    pub journal_len: ByteSize,
    /// Bytes of a segment of a preserved store.
    pub segment_len: ByteSize,
    /// Bytes of a cell, a power of two from 4 KiB to 1 MiB: whole ones are written past the journal.
    /// Counts when the pool is made.
    pub cell_len: ByteSize,
    /// Bytes of a write from which on its whole cells always go past the journal. Shorter writes do while the
    /// journal fills, and go through it otherwise: it takes a burst faster than the disk.
    pub berth_len: ByteSize,
    /// How preserved blocks are stored.
    pub compression: Compression,
    /// Bytes of payloads kept in memory until they are applied.
    pub payload_cache_len: ByteSize,
    /// Bytes of checksums kept in memory.
    pub checksum_cache_len: ByteSize,
    /// Bytes of epoch map pages kept in memory.
    pub map_cache_len: ByteSize,
    /// Blocks that one step of apply takes at most.
    pub apply_blocks_max: u64,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            journal_len: ByteSize(1 << 30),
            segment_len: ByteSize(64 << 20),
            cell_len: ByteSize(64 << 10),
            berth_len: ByteSize(256 << 10),
            compression: Compression::Zstd(1),
            payload_cache_len: ByteSize(128 << 20),
            checksum_cache_len: ByteSize(64 << 20),
            map_cache_len: ByteSize(64 << 20),
            apply_blocks_max: 8192,
        }
    }
}

/// Where time and chance come from.
#[derive(Clone)]
pub struct World {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
}

impl World {
    /// The machine's own.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock::default()), rng: Arc::new(SystemRng) }
    }
}
