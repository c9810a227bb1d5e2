//! What a checkpoint keeps of a preserved store.
//!
//! | size | meaning |
//! |---|---|
//! | 2 | version, 1 |
//! | 2 | reserved |
//! | 4 | scan from: segment |
//! | 4 | scan from: sector |
//! | 8 | scan from: number of the chunk there |
//! | 8 | scan from: lowest incarnation of the chunks there |
//! | 8 | next chunk: all chunks below it are stable |
//! | 4 | count of segments |
//! | each | index (4), sectors (4), used (4), punched (4), needs sweep (1), reserved (3), tally |
//!
//! A tally: count of buckets (2), then first sequence (8), last sequence (8), entries (4), sectors (4)
//! of each. The checkpoint that carries it has the magic and the checksum.

use std::collections::BTreeMap;

use base::codec::{CodecError, Reader, Writer};

use super::segment::Segment;

const VERSION: u16 = 1;

/// Where recovery starts to walk: everything before is in durable runs of the epoch map.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ScanFrom {
    /// Index of the segment.
    pub segment: u32,
    /// Address of the sector in it.
    pub sector: u32,
    /// The number that the chunk there has, or will have.
    pub chunk: u64,
    /// The lowest incarnation that the chunk there may have.
    pub incarnation: u64,
}

/// What a checkpoint keeps of a preserved store.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Manifest {
    pub(super) scan_from: ScanFrom,
    /// The number after the last chunk; everything below it is stable.
    pub(super) next_chunk: u64,
    pub(super) segments: BTreeMap<u32, Segment>,
}

impl Manifest {
    /// Appends it to a checkpoint.
    pub(crate) fn encode(&self, writer: &mut Writer) {
        let ScanFrom { segment, sector, chunk, incarnation } = self.scan_from;
        writer.u16(VERSION).reserved(2).u32(segment).u32(sector).u64(chunk).u64(incarnation);
        writer.u64(self.next_chunk);
        writer.u32(u32::try_from(self.segments.len()).unwrap_or(u32::MAX));
        for (index, segment) in &self.segments {
            writer.u32(*index);
            segment.encode(writer);
        }
    }

    /// Takes it from a checkpoint.
    ///
    /// # Errors
    /// `Short` where the bytes end, `Invalid` where a field holds what cannot be.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let version = reader.u16()?;
        if version != VERSION {
            return Err(CodecError::Invalid { field: "version", value: u64::from(version) });
        }
        reader.reserved(2)?;
        let (segment, sector) = (reader.u32()?, reader.u32()?);
        let (chunk, incarnation) = (reader.counter()?, reader.counter()?);
        let scan_from = ScanFrom { segment, sector, chunk, incarnation };
        let next_chunk = reader.counter()?;
        if chunk > next_chunk {
            return Err(CodecError::Invalid { field: "next chunk", value: next_chunk });
        }
        let mut segments = BTreeMap::new();
        for _ in 0..reader.u32()? {
            let index = reader.u32()?;
            if segments.last_key_value().is_some_and(|(last, _)| *last >= index) {
                return Err(CodecError::Invalid { field: "segment index", value: index.into() });
            }
            segments.insert(index, Segment::decode(reader)?);
        }
        Ok(Self { scan_from, next_chunk, segments })
    }
}
