//! Checksums: crc32c, salted by what kind of thing is summed, so that a valid piece of one kind is
//! never taken for another.

/// What a checksum covers. The salt goes into the sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// The content of one 4 KiB block. Unsalted: the sum of a block is the same wherever it lies, so
    /// that the journal's sums are the base's sums.
    Block = 0,
    /// A superblock.
    Superblock = 0x7375_7065,
    /// The head of a journal frame.
    JournalFrame = 0x6a72_6e6c,
    /// A checkpoint of the pool's metadata.
    Checkpoint = 0x6368_6b70,
    /// A sector of a checksum table.
    ChecksumSector = 0x7375_6d73,
    /// The head of a chunk in a preserved store.
    PreservedChunk = 0x7072_7376,
    /// The stored bytes of one preserved extent.
    PreservedExtent = 0x7072_6578,
    /// A page of a sorted run of the epoch map.
    MapPage = 0x6d61_7070,
    /// The foot of a sorted run of the epoch map.
    MapFoot = 0x6d61_7066,
    /// The kept history of capacity.
    CapacityHistory = 0x6361_7061,
}

/// The checksum of `bytes` as a thing of this kind.
pub fn of(kind: Kind, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(kind as u32, bytes)
}

/// The checksum of several pieces in a row, equal to that of their concatenation.
pub fn of_pieces<'a>(kind: Kind, pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    pieces.into_iter().fold(kind as u32, crc32c::crc32c_append)
}

/// The plain CRC32C of a stream that goes on: of what gave `sum`, followed by `bytes`. Protocols carry it.
pub fn append(sum: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(sum, bytes)
}
