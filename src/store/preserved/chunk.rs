//! The head of a chunk: what is in it. Pure: bytes in, values out.
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 8 | magic `TMPRSCHK` |
//! | 8 | 2 | version, 1 |
//! | 10 | 2 | reserved |
//! | 12 | 4 | count of entries, 1 to 1024 |
//! | 16 | 16 | volume |
//! | 32 | 8 | incarnation of the pool that wrote it |
//! | 40 | 8 | number of the chunk |
//! | 48 | 8 | durable below: chunks with lower numbers were flushed before this one was written |
//! | 56 | 4 | sectors of the whole chunk, a multiple of eight |
//! | 60 | 4 | crc32c of the head but for this field, salted `PreservedChunk` |
//! | 64 | 32 | reserved: key and nonce for encryption |
//! | 96 | 40 each | entries |
//!
//! An entry: block (8), sequence (8), crc32c of the extent (4), stored sectors (1), form (1), reserved
//! (2), reserved for an authentication tag (16). The head is filled up with zeroes to whole blocks; the
//! stored extents follow in the order of the entries, each at the next sector; zeroes fill the chunk up
//! to whole blocks.

use base::checksum::{self, Kind};
use base::codec::{CodecError, Reader, Writer};
use base::id::Id;
use base::units::{BLOCK_LEN, SECTORS_PER_BLOCK};

use super::place::{Form, Key, Place};

const MAGIC: u64 = u64::from_le_bytes(*b"TMPRSCHK");
const VERSION: u16 = 1;
const FIXED_LEN: usize = 96;
const ENTRY_LEN: usize = 40;
const CHECKSUM_AT: usize = 60;

/// Sectors in a chunk: one MiB, so that a head costs little and one write stays moderate.
pub(super) const CHUNK_SECTORS_MAX: u32 = 2048;
/// Entries in a chunk: bounds the head where entries are flags without data.
pub(super) const CHUNK_ENTRIES_MAX: usize = 1024;

/// One entry as the head tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ChunkEntry {
    /// What it is called.
    pub key: Key,
    /// crc32c over volume, key and stored bytes.
    pub checksum: u32,
    /// How many sectors are stored.
    pub sectors: u8,
    /// In what form.
    pub form: Form,
}

/// The head of a chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ChunkHead {
    /// Whose blocks.
    pub volume: Id,
    /// Which life of the pool wrote it.
    pub incarnation: u64,
    /// Its number.
    pub number: u64,
    /// Chunks below this number were flushed before it was written.
    pub durable_below: u64,
    /// What is in it.
    pub entries: Vec<ChunkEntry>,
}

/// Sectors of a head with this many entries.
pub(super) fn head_sectors(entries: usize) -> u32 {
    let blocks = (FIXED_LEN + entries * ENTRY_LEN).div_ceil(BLOCK_LEN);
    u32::try_from(blocks * BLOCK_LEN / base::units::SECTOR_LEN).unwrap_or(u32::MAX)
}

/// Sectors of a chunk with this many entries and stored sectors.
pub(super) fn chunk_sectors(entries: usize, stored: u32) -> u32 {
    head_sectors(entries).saturating_add(stored).next_multiple_of(8)
}

impl ChunkHead {
    /// Sectors of its head.
    pub(crate) fn head_sectors(&self) -> u32 {
        head_sectors(self.entries.len())
    }

    /// Sectors of the whole chunk.
    pub(crate) fn sectors(&self) -> u32 {
        let stored = self.entries.iter().map(|entry| u32::from(entry.sectors)).sum();
        chunk_sectors(self.entries.len(), stored)
    }

    /// Its entries and where they lie, given where the chunk lies.
    pub(crate) fn places(&self, segment: u32, start: u32) -> impl Iterator<Item = (Key, Place)> {
        let mut sector = start.saturating_add(self.head_sectors());
        self.entries.iter().map(move |entry| {
            let ChunkEntry { key, checksum, sectors, form } = *entry;
            let place = Place { segment, sector, checksum, sectors, form };
            sector = sector.saturating_add(u32::from(sectors));
            (key, place)
        })
    }

    /// The bytes of the head, whole blocks.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(MAGIC).u16(VERSION).reserved(2);
        writer.u32(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        writer.u128(self.volume.0).u64(self.incarnation).u64(self.number);
        writer.u64(self.durable_below).u32(self.sectors()).u32(0).reserved(32);
        for entry in &self.entries {
            writer.u64(entry.key.block).u64(entry.key.sequence).u32(entry.checksum);
            writer.u8(entry.sectors).u8(entry.form as u8).reserved(18);
        }
        let fill = writer.len().next_multiple_of(BLOCK_LEN) - writer.len();
        writer.reserved(fill);
        let mut bytes = writer.into_bytes();
        let sum = head_checksum(&bytes);
        bytes[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// How many bytes the head that starts in `bytes` takes, from its fixed part alone.
    ///
    /// # Errors
    /// `Short` under 96 bytes, `Invalid` where this is no head.
    pub(crate) fn len_of(bytes: &[u8]) -> Result<usize, CodecError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.u64()?;
        if magic != MAGIC {
            return Err(CodecError::Invalid { field: "magic", value: magic });
        }
        let version = reader.u16()?;
        if version != VERSION {
            return Err(CodecError::Invalid { field: "version", value: u64::from(version) });
        }
        reader.reserved(2)?;
        let count = reader.u32()?;
        let entries = usize::try_from(count).ok().filter(|n| (1..=CHUNK_ENTRIES_MAX).contains(n));
        let entries =
            entries.ok_or(CodecError::Invalid { field: "entries", value: u64::from(count) })?;
        Ok((FIXED_LEN + entries * ENTRY_LEN).next_multiple_of(BLOCK_LEN))
    }

    /// Takes a head from the front of `bytes`.
    ///
    /// # Errors
    /// `Short` where the bytes end, `Invalid` where a field or the checksum is wrong.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let len = Self::len_of(bytes)?;
        let bytes = Reader::new(bytes).bytes(len)?;
        let mut reader = Reader::new(bytes);
        reader.bytes(16)?;
        let volume = Id(reader.u128()?);
        let (incarnation, number) = (reader.counter()?, reader.counter()?);
        let (durable_below, sectors) = (reader.counter()?, reader.u32()?);
        let sum = reader.u32()?;
        if sum != head_checksum(bytes) {
            return Err(CodecError::Invalid { field: "checksum", value: u64::from(sum) });
        }
        reader.reserved(32)?;
        let count = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        let entries = (0..count).map(|_| decode_entry(&mut reader)).collect::<Result<_, _>>()?;
        reader.reserved(reader.left())?;
        let head = Self { volume, incarnation, number, durable_below, entries };
        if head.sectors() != sectors || sectors > CHUNK_SECTORS_MAX {
            return Err(CodecError::Invalid { field: "sectors", value: u64::from(sectors) });
        }
        Ok(head)
    }
}

fn decode_entry(reader: &mut Reader<'_>) -> Result<ChunkEntry, CodecError> {
    let key = Key::new(reader.u64()?, reader.u64()?);
    let checksum = reader.u32()?;
    let sectors = reader.u8()?;
    let form = Form::from_number(reader.u8()?)?;
    reader.reserved(18)?;
    if !form.fits(sectors) {
        return Err(CodecError::Invalid { field: "stored sectors", value: u64::from(sectors) });
    }
    Ok(ChunkEntry { key, checksum, sectors, form })
}

fn head_checksum(bytes: &[u8]) -> u32 {
    let after = bytes.get(CHECKSUM_AT + 4..).unwrap_or_default();
    checksum::of_pieces(Kind::PreservedChunk, [&bytes[..CHECKSUM_AT], after])
}

const _: () = assert!(SECTORS_PER_BLOCK == 8);
