//! The pages of a run that hold no entries: its fences, its filter, and its foot. Pure.
//!
//! A fence page holds the first keys of up to 252 pages, a filter page up to 63 lines:
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 4 | magic `TMFN` or `TMBL` |
//! | 4 | 2 | version, 1 |
//! | 6 | 2 | bytes of content, at most 4032 |
//! | 8 | 16 | volume |
//! | 24 | 8 | number of the run |
//! | 32 | 4 | index among the pages of its kind |
//! | 36 | 4 | crc32c of the page but for this field, salted `MapPage` |
//! | 40 | 24 | reserved |
//! | 64 | 4032 | content, filled up with zeroes |
//!
//! The foot is the last page:
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 4 | magic `TMFT` |
//! | 4 | 2 | version, 1 |
//! | 6 | 2 | reserved |
//! | 8 | 16 | volume |
//! | 24 | 8 | number of the run |
//! | 32 | 4 | pages of entries |
//! | 36 | 4 | crc32c of the page but for this field, salted `MapFoot` |
//! | 40 | 4 | fence pages |
//! | 44 | 4 | filter pages |
//! | 48 | 8 | entries |
//! | 56 | 16 | last key: block, sequence |
//! | 72 | 16 | lowest and highest sequence |
//! | 88 | 4008 | reserved |

use base::checksum::{self, Kind};
use base::codec::{CodecError, Reader, Writer};
use base::id::Id;
use base::units::BLOCK_LEN;

use super::page::PageName;
use crate::preserved::Key;

/// What a page without entries holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FrameKind {
    Fences,
    Filter,
}

impl FrameKind {
    fn magic(self) -> u32 {
        u32::from_le_bytes(match self {
            Self::Fences => *b"TMFN",
            Self::Filter => *b"TMBL",
        })
    }
}

const FOOT_MAGIC: u32 = u32::from_le_bytes(*b"TMFT");
const VERSION: u16 = 1;
const HEAD_LEN: usize = 64;
const CHECKSUM_AT: usize = 36;
/// Bytes of content in a page: a whole number of fences and of lines of the filter.
pub(super) const CONTENT_LEN: usize = BLOCK_LEN - HEAD_LEN;
/// Bytes of a fence.
pub(super) const FENCE_LEN: usize = 16;

/// A page with this content, which must fit.
pub(super) fn encode_frame(kind: FrameKind, name: PageName, content: &[u8]) -> Vec<u8> {
    assert!(content.len() <= CONTENT_LEN, "{} bytes in a page", content.len());
    let mut writer = Writer::new();
    writer.u32(kind.magic()).u16(VERSION);
    writer.u16(u16::try_from(content.len()).unwrap_or(u16::MAX));
    writer.u128(name.volume.0).u64(name.run).u32(name.index).u32(0).reserved(24);
    writer.bytes(content).reserved(CONTENT_LEN - content.len());
    seal(writer.into_bytes(), Kind::MapPage)
}

/// The content of a page.
///
/// # Errors
/// `Short` where the bytes end, `Invalid` where the checksum or a field is wrong or it is another page.
pub(super) fn decode_frame(
    bytes: &[u8],
    kind: FrameKind,
    name: PageName,
) -> Result<&[u8], CodecError> {
    let mut reader = Reader::new(bytes);
    let (magic, version, len) = (reader.u32()?, reader.u16()?, usize::from(reader.u16()?));
    let found = PageName { volume: Id(reader.u128()?), run: reader.u64()?, index: reader.u32()? };
    let sum = reader.u32()?;
    reader.reserved(24)?;
    let content = reader.bytes(CONTENT_LEN)?;
    check_seal(bytes, Kind::MapPage, sum)?;
    if magic != kind.magic() || version != VERSION || found != name {
        return Err(CodecError::Invalid { field: "owner", value: u64::from(magic) });
    }
    let (content, fill) = content
        .split_at_checked(len)
        .ok_or(CodecError::Invalid { field: "length", value: len as u64 })?;
    Reader::new(fill).reserved(fill.len())?;
    Ok(content)
}

/// What the foot of a run tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Foot {
    pub(super) volume: Id,
    pub(super) run: u64,
    pub(super) pages: u32,
    pub(super) fence_pages: u32,
    pub(super) filter_pages: u32,
    pub(super) entries: u64,
    pub(super) last: Key,
    pub(super) sequence_min: u64,
    pub(super) sequence_max: u64,
}

impl Foot {
    /// The foot as a page.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u32(FOOT_MAGIC).u16(VERSION).reserved(2);
        writer.u128(self.volume.0).u64(self.run).u32(self.pages).u32(0);
        writer.u32(self.fence_pages).u32(self.filter_pages).u64(self.entries);
        writer.u64(self.last.block).u64(self.last.sequence);
        writer.u64(self.sequence_min).u64(self.sequence_max);
        writer.reserved(BLOCK_LEN - writer.len());
        seal(writer.into_bytes(), Kind::MapFoot)
    }

    /// Takes a foot from its page.
    ///
    /// # Errors
    /// `Short` where the bytes end, `Invalid` where the checksum or a field is wrong.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let (magic, version) = (reader.u32()?, reader.u16()?);
        reader.reserved(2)?;
        let (volume, run) = (Id(reader.u128()?), reader.u64()?);
        let (pages, sum) = (reader.u32()?, reader.u32()?);
        let (fence_pages, filter_pages) = (reader.u32()?, reader.u32()?);
        let entries = reader.u64()?;
        let last = Key::new(reader.u64()?, reader.u64()?);
        let (sequence_min, sequence_max) = (reader.u64()?, reader.u64()?);
        reader.reserved(BLOCK_LEN - 88)?;
        check_seal(bytes, Kind::MapFoot, sum)?;
        if magic != FOOT_MAGIC || version != VERSION {
            return Err(CodecError::Invalid { field: "magic", value: u64::from(magic) });
        }
        let foot = Self {
            volume,
            run,
            pages,
            fence_pages,
            filter_pages,
            entries,
            last,
            sequence_min,
            sequence_max,
        };
        Ok(foot)
    }
}

fn seal(mut bytes: Vec<u8>, kind: Kind) -> Vec<u8> {
    let sum = checksum::of_pieces(kind, [&bytes[..CHECKSUM_AT], &bytes[CHECKSUM_AT + 4..]]);
    bytes[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn check_seal(bytes: &[u8], kind: Kind, sum: u32) -> Result<(), CodecError> {
    let (before, after) = (bytes.get(..CHECKSUM_AT), bytes.get(CHECKSUM_AT + 4..));
    let pieces = [before.unwrap_or_default(), after.unwrap_or_default()];
    if bytes.len() != BLOCK_LEN || checksum::of_pieces(kind, pieces) != sum {
        return Err(CodecError::Invalid { field: "checksum", value: u64::from(sum) });
    }
    Ok(())
}
