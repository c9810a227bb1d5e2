//! The journal's format: frames of records, and nothing else.
//!
//! A frame is a head of one or more 4 KiB blocks and the payload blocks of its write records, in record
//! order. Frames follow each other without a gap in the ring; one never crosses its end, a padding frame
//! fills what is left. Pure: bytes in, values out.
//!
//! ```text
//! offset  size  field
//!      0     8  magic "TIDEFRAM"
//!      8     2  version, 1
//!     10     2  blocks of the head
//!     12     4  how many records
//!     16    16  pool id
//!     32     8  frame number: rises by one from frame to frame, never used twice in one incarnation
//!     40     8  incarnation of the pool when it was written
//!     48     8  position: blocks since the journal began, never wraps
//!     56     4  blocks of payload after the head
//!     60     4  bytes of the head in use
//!     64     8  durable: the newest frame known to be stable when this one was written
//!     72     4  crc32c of the head's bytes in use with this field zero, salted as a journal frame
//!     76    20  reserved, zero
//!     96        records
//! ```
//!
//! A frame is valid where its number is the one expected, its incarnation not lower than that of the
//! frame before, and every checksum fits. The incarnation is what keeps a frame that was written before a
//! crash, but lost its predecessor in it, from being taken for a successor of frames written after.

use std::sync::Arc;

use base::checksum::{self, Kind};
use base::codec::{CodecError, Reader, Writer};
use base::id::Id;
use base::units::{BLOCK_LEN, Run};
use disk::Keep;

use crate::berths::Berth;

const MAGIC: u64 = u64::from_le_bytes(*b"TIDEFRAM");
const VERSION: u16 = 1;
const CRC_AT: usize = 72;
const FIXED_LEN: usize = 96;
/// Records that one frame may hold: bounds what a reader allocates.
pub const RECORDS_MAX: u32 = 4096;
/// Blocks of payload that one frame may hold, 4 MiB: bounds a reader's buffer.
pub const PAYLOAD_BLOCKS_MAX: u32 = 1024;
/// Blocks that one write record may hold, 1 MiB.
pub const RECORD_BLOCKS_MAX: u64 = 256;
/// Blocks of a head.
pub const HEAD_BLOCKS_MAX: u16 = 64;

/// What one frame says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHead {
    /// Whose journal.
    pub pool: Id,
    /// Its number.
    pub number: u64,
    /// The pool's incarnation.
    pub incarnation: u64,
    /// Blocks since the journal began.
    pub position: u64,
    /// The newest frame known to be stable when this one was written.
    pub durable: u64,
    /// Blocks of the head.
    pub head_blocks: u16,
    /// Blocks of payload.
    pub payload_blocks: u32,
}

impl FrameHead {
    /// The position of its first payload block.
    pub fn payload_position(&self) -> u64 {
        self.position + u64::from(self.head_blocks)
    }

    /// The position after its last block.
    pub fn end(&self) -> u64 {
        self.payload_position() + u64::from(self.payload_blocks)
    }
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// Blocks of a volume were written; the payload lies in the frame.
    Write {
        /// The volume's number.
        volume: u32,
        /// The sequence of its newest mark then.
        epoch: u64,
        /// Which blocks.
        run: Run,
        /// The checksum of each.
        sums: Arc<[u32]>,
    },
    /// Whole cells of a volume were written to berths; no payload lies in the frame.
    Berthed {
        /// The volume's number.
        volume: u32,
        /// The sequence of its newest mark then.
        epoch: u64,
        /// Which blocks.
        run: Run,
        /// The berth of each cell.
        berths: Arc<[Berth]>,
        /// The checksum of each block.
        sums: Arc<[u32]>,
    },
    /// Blocks of a volume read as zeroes from now on.
    Zero {
        /// The volume's number.
        volume: u32,
        /// The sequence of its newest mark then.
        epoch: u64,
        /// Which blocks.
        run: Run,
        /// Whether their space is kept.
        keep: Keep,
    },
    /// An event about volumes, marks and the rest, as `event` encodes it.
    Event(Vec<u8>),
    /// Fills the ring up to its end with this many further blocks.
    Padding(u32),
}

const KIND_WRITE: u8 = 1;
const KIND_ZERO: u8 = 2;
const KIND_EVENT: u8 = 3;
const KIND_PADDING: u8 = 4;
const KIND_BERTHED: u8 = 5;

impl Record {
    /// Blocks of payload that belong to it.
    pub fn payload_blocks(&self) -> u64 {
        match self {
            Self::Write { run, .. } => run.blocks,
            Self::Padding(blocks) => u64::from(*blocks),
            Self::Berthed { .. } | Self::Zero { .. } | Self::Event(_) => 0,
        }
    }

    /// Bytes that it takes in a head.
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Write { sums, .. } => 28 + 4 * sums.len(),
            Self::Berthed { berths, sums, .. } => 32 + 4 * (berths.len() + sums.len()),
            Self::Zero { .. } => 30,
            Self::Event(bytes) => 8 + bytes.len(),
            Self::Padding(_) => 8,
        }
    }

    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Write { volume, epoch, run, sums } => {
                writer.u8(KIND_WRITE).reserved(3).u32(*volume).u64(*epoch).u64(run.start);
                writer.u32(count_u32(sums.len()));
                for sum in sums.iter() {
                    writer.u32(*sum);
                }
            }
            Self::Berthed { volume, epoch, run, berths, sums } => {
                writer.u8(KIND_BERTHED).reserved(3).u32(*volume).u64(*epoch).u64(run.start);
                writer.u32(count_u32(berths.len())).u32(count_u32(sums.len()));
                for number in berths.iter().map(|berth| berth.raw()).chain(sums.iter().copied()) {
                    writer.u32(number);
                }
            }
            Self::Zero { volume, epoch, run, keep } => {
                writer.u8(KIND_ZERO).u8(u8::from(*keep == Keep::Space));
                writer.u32(*volume).u64(*epoch).u64(run.start).u64(run.blocks);
            }
            Self::Event(bytes) => {
                writer.u8(KIND_EVENT).reserved(3).u32(count_u32(bytes.len())).bytes(bytes);
            }
            Self::Padding(blocks) => {
                writer.u8(KIND_PADDING).reserved(3).u32(*blocks);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        match reader.u8()? {
            KIND_WRITE => {
                reader.reserved(3)?;
                let (volume, epoch, start) = (reader.u32()?, reader.counter()?, reader.u64()?);
                let blocks = u64::from(reader.u32()?);
                if blocks == 0 || blocks > RECORD_BLOCKS_MAX || start > u64::MAX / 4096 {
                    return Err(CodecError::Invalid { field: "blocks", value: blocks });
                }
                let sums: Result<Arc<[u32]>, _> = (0..blocks).map(|_| reader.u32()).collect();
                Ok(Self::Write { volume, epoch, run: Run::new(start, blocks), sums: sums? })
            }
            KIND_BERTHED => {
                reader.reserved(3)?;
                let (volume, epoch, start) = (reader.u32()?, reader.counter()?, reader.u64()?);
                let (cells, blocks) = (u64::from(reader.u32()?), u64::from(reader.u32()?));
                let is_whole = cells > 0 && blocks.is_multiple_of(cells);
                let is_aligned = is_whole && start.is_multiple_of(blocks / cells);
                if blocks == 0 || blocks > RECORD_BLOCKS_MAX || start > u64::MAX / 4096 {
                    return Err(CodecError::Invalid { field: "blocks", value: blocks });
                }
                if !is_aligned {
                    return Err(CodecError::Invalid { field: "cells", value: cells });
                }
                let berths: Result<Arc<[Berth]>, _> =
                    (0..cells).map(|_| reader.u32().map(Berth::from_raw)).collect();
                let sums: Result<Arc<[u32]>, _> = (0..blocks).map(|_| reader.u32()).collect();
                let run = Run::new(start, blocks);
                Ok(Self::Berthed { volume, epoch, run, berths: berths?, sums: sums? })
            }
            KIND_ZERO => {
                let keep = match reader.u8()? {
                    0 => Keep::Nothing,
                    1 => Keep::Space,
                    other => {
                        return Err(CodecError::Invalid { field: "keep", value: other.into() });
                    }
                };
                let (volume, epoch) = (reader.u32()?, reader.counter()?);
                let run = Run::new(reader.u64()?, reader.u64()?);
                if run.end() > u64::MAX / 4096 {
                    return Err(CodecError::Invalid { field: "run", value: run.start });
                }
                Ok(Self::Zero { volume, epoch, run, keep })
            }
            KIND_EVENT => {
                reader.reserved(3)?;
                let len = reader.u32()? as usize;
                Ok(Self::Event(reader.bytes(len)?.to_vec()))
            }
            KIND_PADDING => {
                reader.reserved(3)?;
                Ok(Self::Padding(reader.u32()?))
            }
            kind => Err(CodecError::Invalid { field: "record kind", value: kind.into() }),
        }
    }
}

fn count_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Blocks that a head with these records takes.
pub fn head_blocks(records: &[Record]) -> usize {
    let len: usize = records.iter().map(Record::encoded_len).sum();
    (FIXED_LEN + len).div_ceil(BLOCK_LEN)
}

/// The head's blocks, ready to be written. `head.head_blocks` and `head.payload_blocks` must fit the
/// records.
pub fn encode(head: &FrameHead, records: &[Record]) -> Vec<u8> {
    let used: usize = FIXED_LEN + records.iter().map(Record::encoded_len).sum::<usize>();
    let mut writer = Writer::new();
    writer.u64(MAGIC).u16(VERSION).u16(head.head_blocks).u32(count_u32(records.len()));
    writer.u128(head.pool.0).u64(head.number).u64(head.incarnation).u64(head.position);
    writer.u32(head.payload_blocks).u32(count_u32(used)).u64(head.durable).u32(0).reserved(20);
    for record in records {
        record.encode(&mut writer);
    }
    let mut bytes = writer.into_bytes();
    assert_eq!(bytes.len(), used, "a record's stated length is what it encodes to");
    let crc = checksum::of(Kind::JournalFrame, &bytes);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    bytes.resize(usize::from(head.head_blocks) * BLOCK_LEN, 0);
    bytes
}

/// How many blocks the head takes whose first block this is, where it may be a head at all.
pub fn peek_head_blocks(block: &[u8]) -> Option<u16> {
    let mut reader = Reader::new(block);
    let magic = reader.u64().ok()?;
    let version = reader.u16().ok()?;
    let blocks = reader.u16().ok()?;
    (magic == MAGIC && version == VERSION && (1..=HEAD_BLOCKS_MAX).contains(&blocks))
        .then_some(blocks)
}

/// Checks a head (not its payload) and takes it apart.
///
/// # Errors
/// `Short` or `Invalid`, naming the field that does not fit.
pub fn decode(bytes: &[u8]) -> Result<(FrameHead, Vec<Record>), CodecError> {
    let invalid = |field, value| CodecError::Invalid { field, value };
    let head_blocks = peek_head_blocks(bytes).ok_or(invalid("magic", 0))?;
    let mut reader = Reader::new(bytes);
    reader.bytes(12)?;
    let count = reader.u32()?;
    let pool = Id(reader.u128()?);
    let (number, incarnation, position) = (reader.counter()?, reader.counter()?, reader.counter()?);
    let (payload_blocks, used) = (reader.u32()?, reader.u32()? as usize);
    let durable = reader.counter()?;
    let crc = reader.u32()?;
    reader.reserved(20)?;
    if used < FIXED_LEN || used > usize::from(head_blocks) * BLOCK_LEN || used > bytes.len() {
        return Err(invalid("head length", used as u64));
    }
    let sum = checksum::of_pieces(
        Kind::JournalFrame,
        [&bytes[..CRC_AT], &[0; 4], &bytes[CRC_AT + 4..used]],
    );
    if sum != crc {
        return Err(invalid("crc", crc.into()));
    }
    if count > RECORDS_MAX {
        return Err(invalid("record count", count.into()));
    }
    let mut body = Reader::new(&bytes[FIXED_LEN..used]);
    let mut records = Vec::new();
    for _ in 0..count {
        records.push(Record::decode(&mut body)?);
    }
    let is_padding = matches!(records[..], [Record::Padding(_)]);
    let stated: u64 = records.iter().map(Record::payload_blocks).sum();
    if body.left() > 0 || stated != u64::from(payload_blocks) {
        return Err(invalid("payload blocks", payload_blocks.into()));
    }
    if payload_blocks > PAYLOAD_BLOCKS_MAX && !is_padding {
        return Err(invalid("payload blocks", payload_blocks.into()));
    }
    let head =
        FrameHead { pool, number, incarnation, position, durable, head_blocks, payload_blocks };
    Ok((head, records))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (FrameHead, Vec<Record>) {
        let records = vec![
            Record::Write { volume: 1, epoch: 2, run: Run::new(5, 2), sums: Arc::new([7, 8]) },
            Record::Zero { volume: 1, epoch: 2, run: Run::new(0, 1 << 30), keep: Keep::Space },
            Record::Berthed {
                volume: 1,
                epoch: 2,
                run: Run::new(4, 4),
                berths: Arc::new([Berth::home(9), Berth::spare(1)]),
                sums: Arc::new([1, 2, 3, 4]),
            },
            Record::Event(vec![1, 2, 3]),
        ];
        let head = FrameHead {
            pool: Id(9),
            number: 4,
            incarnation: 1,
            position: 77,
            durable: 3,
            head_blocks: 1,
            payload_blocks: 2,
        };
        (head, records)
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let (head, records) = sample();
        assert_eq!(head_blocks(&records), 1);
        assert_eq!(decode(&encode(&head, &records)), Ok((head, records)));
    }

    #[test]
    fn every_flipped_byte_in_use_is_detected() {
        let (head, records) = sample();
        let bytes = encode(&head, &records);
        let used = FIXED_LEN + records.iter().map(Record::encoded_len).sum::<usize>();
        for at in 0..used {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(decode(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_cut_head_is_an_error() {
        let (head, records) = sample();
        let bytes = encode(&head, &records);
        for len in 0..200 {
            let _ = decode(&bytes[..len]);
        }
        assert!(decode(&bytes[..100]).is_err());
    }
}
