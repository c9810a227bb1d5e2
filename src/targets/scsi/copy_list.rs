//! The parameter list of EXTENDED COPY(LID1): which units, and what is to be copied.
//!
//! Source: SPC-4 6.4.

use super::limits::{COPY_DESCRIPTORS_LEN_MAX, COPY_SEGMENTS_MAX, COPY_TARGETS_MAX};
use super::sense::{Key, Sense};

/// A segment descriptor: from blocks to blocks.
pub(super) const BLOCK_TO_BLOCK: u8 = 0x02;
/// The same with offsets, in bytes.
pub(super) const WITH_OFFSET: u8 = 0x0a;
/// A target descriptor: by a designator of VPD page 83h.
pub(super) const IDENTIFICATION: u8 = 0xe4;

const HEAD_LEN: usize = 16;
const TARGET_LEN: usize = 32;

/// Whether the result is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Remember {
    /// Under the list identifier.
    Under(u8),
    /// No.
    No,
}

/// A unit, as it is named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Named {
    /// The designator, where it is a binary one of the format NAA; nobody else's name is known here.
    pub naa: Option<[u8; 16]>,
}

/// Where the length of a segment is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Amount {
    /// In blocks of the source.
    SourceBlocks(u64),
    /// In blocks of the destination.
    DestinationBlocks(u64),
    /// In bytes.
    Bytes(u64),
}

/// A place in a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Which target descriptor.
    pub index: u16,
    /// The block.
    pub lba: u64,
    /// Bytes after its start.
    pub offset: u64,
}

/// A segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    /// Where it is described in the list.
    pub at: usize,
    /// Whence.
    pub from: Place,
    /// Where to.
    pub to: Place,
    /// How much.
    pub amount: Amount,
}

/// A whole list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CopyList {
    /// Whether the result is remembered.
    pub remember: Remember,
    /// The units.
    pub targets: Vec<Named>,
    /// The segments.
    pub segments: Vec<Segment>,
}

const fn illegal(asc: u8, ascq: u8) -> Sense {
    Sense::new(Key::IllegalRequest, asc, ascq)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

fn len_at(bytes: &[u8]) -> usize {
    usize::try_from(number(bytes)).unwrap_or(usize::MAX)
}

/// What a list says.
///
/// # Errors
/// PARAMETER LIST LENGTH ERROR, TOO MANY or UNSUPPORTED DESCRIPTORS, INLINE DATA LENGTH EXCEEDED, or INVALID
/// FIELD IN PARAMETER LIST.
pub(super) fn decode(list: &[u8]) -> Result<CopyList, Sense> {
    let head = list.get(..HEAD_LEN).ok_or_else(Sense::list_len)?;
    let (targets_len, segments_len) = (len_at(&head[2..4]), len_at(&head[8..12]));
    let inline_len = len_at(&head[12..16]);
    let descriptors_len = targets_len.saturating_add(segments_len);
    if descriptors_len > COPY_DESCRIPTORS_LEN_MAX as usize {
        return Err(Sense::list_len());
    }
    if descriptors_len.saturating_add(inline_len) != list.len() - HEAD_LEN {
        return Err(Sense::list_len());
    }
    if inline_len > 0 {
        return Err(illegal(0x26, 0x0b));
    }
    let remember = match head[1] >> 3 & 3 {
        0 => Remember::Under(head[0]),
        2 => Remember::No,
        3 if head[0] == 0 => Remember::No,
        _ => return Err(Sense::list_byte(1)),
    };
    let targets_end = HEAD_LEN + targets_len;
    let targets = targets(&list[HEAD_LEN..targets_end])?;
    let segments = segments(list, targets_end)?;
    Ok(CopyList { remember, targets, segments })
}

fn targets(list: &[u8]) -> Result<Vec<Named>, Sense> {
    if !list.len().is_multiple_of(TARGET_LEN) {
        return Err(Sense::list_len());
    }
    if list.len() / TARGET_LEN > usize::from(COPY_TARGETS_MAX) {
        // TOO MANY TARGET DESCRIPTORS
        return Err(illegal(0x26, 0x06));
    }
    list.chunks_exact(TARGET_LEN).map(target).collect()
}

fn target(bytes: &[u8]) -> Result<Named, Sense> {
    if bytes[0] != IDENTIFICATION || bytes[1] & 0x1f != 0 {
        // UNSUPPORTED TARGET DESCRIPTOR TYPE CODE
        return Err(illegal(0x26, 0x07));
    }
    let is_naa = bytes[4] & 0x0f == 1 && bytes[5] & 0x3f == 3 && bytes[7] == 16;
    let mut naa = [0; 16];
    naa.copy_from_slice(&bytes[8..24]);
    Ok(Named { naa: is_naa.then_some(naa) })
}

fn segments(list: &[u8], start: usize) -> Result<Vec<Segment>, Sense> {
    let mut all = Vec::new();
    let mut at = start;
    while at < list.len() {
        let head = list.get(at..at + 4).ok_or_else(Sense::list_len)?;
        let len = len_at(&head[2..4]) + 4;
        let known_len = match head[0] {
            BLOCK_TO_BLOCK => 28,
            WITH_OFFSET => 32,
            // UNSUPPORTED SEGMENT DESCRIPTOR TYPE CODE
            _ => return Err(illegal(0x26, 0x09)),
        };
        if len != known_len {
            return Err(Sense::list_byte(at + 2));
        }
        let bytes = list.get(at..at + len).ok_or_else(Sense::list_len)?;
        if all.len() == usize::from(COPY_SEGMENTS_MAX) {
            // TOO MANY SEGMENT DESCRIPTORS
            return Err(illegal(0x26, 0x08));
        }
        all.push(segment(at, bytes));
        at += len;
    }
    Ok(all)
}

fn segment(at: usize, bytes: &[u8]) -> Segment {
    let index = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let has_offset = bytes[0] == WITH_OFFSET;
    let offset = |at: usize| if has_offset { u64::from(index(at)) } else { 0 };
    let amount = match (has_offset, bytes[1] & 0x02 != 0) {
        (true, _) => Amount::Bytes(number(&bytes[8..12])),
        (false, false) => Amount::SourceBlocks(number(&bytes[10..12])),
        (false, true) => Amount::DestinationBlocks(number(&bytes[10..12])),
    };
    Segment {
        at,
        from: Place { index: index(4), lba: number(&bytes[12..20]), offset: offset(28) },
        to: Place { index: index(6), lba: number(&bytes[20..28]), offset: offset(30) },
        amount,
    }
}
