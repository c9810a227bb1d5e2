//! Replies to requests, in the three forms they can have, appended to what waits to be sent.
//!
//! Source: NBD protocol, "Simple reply message", "Structured reply chunk message", "Extended reply chunk
//! message", "Structured reply types", "Error values".

use std::borrow::Cow;
use std::ops::Range;

use base::units::SECTOR_LEN;
use disk::{Buffer, DiskError};

use super::limits::{HOLE_LEN_MIN, MESSAGE_LEN_MAX};
use super::request::{ByteExtent, Header, Refusal};
use super::status::{ContextStatus, Descriptor};
use super::wire::{
    EXTENDED_REPLY_MAGIC, Errno, REPLY_FLAG_DONE, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC,
    chunk, cut,
};
use crate::door::outbox::Outbox;

/// Which form replies have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyForm {
    /// 16 bytes, and the data of a read.
    Simple,
    /// Chunks with headers of 20 bytes.
    Structured,
    /// Chunks with headers of 32 bytes.
    Extended,
}

/// Why a request failed, as the client is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The error.
    pub errno: Errno,
    /// For people.
    pub message: Cow<'static, str>,
    /// The first byte that is known to be damaged.
    pub offset: Option<u64>,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { errno: refusal.errno, message: refusal.why.into(), offset: None }
    }
}

impl Failure {
    /// The failure of a request for `bytes`, where it was for some; `past_end` is what it means there that
    /// the disk ends before them.
    pub fn of_disk(error: &DiskError, bytes: Option<ByteExtent>, past_end: Errno) -> Self {
        let errno = match error {
            DiskError::OutOfBounds { .. } => past_end,
            DiskError::Misaligned { .. } | DiskError::TooLarge { .. } => Errno::Invalid,
            DiskError::ReadOnly | DiskError::Poisoned(_) => Errno::Permission,
            DiskError::NoSpace(_) => Errno::NoSpace,
            DiskError::Closed => Errno::Shutdown,
            _ => Errno::Io,
        };
        let offset = match (error, bytes) {
            (DiskError::Medium { extent, .. }, Some(bytes)) => {
                let damaged = extent.start.saturating_mul(SECTOR_LEN as u64).max(bytes.offset);
                (damaged < bytes.end()).then_some(damaged)
            }
            _ => None,
        };
        Self { errno, message: error.to_string().into(), offset }
    }
}

impl ReplyForm {
    /// Replies that the request was carried out, without anything to tell. `has_chunks_only` is for
    /// commands whose replies are chunks wherever there are chunks.
    pub fn done(self, out: &mut Outbox, header: &Header, has_chunks_only: bool) {
        match self {
            Self::Structured if has_chunks_only => self.none(out, header),
            Self::Simple | Self::Structured => simple(out, header, 0),
            Self::Extended => self.none(out, header),
        }
    }

    /// Replies that the request failed.
    pub fn failed(self, out: &mut Outbox, header: &Header, failure: &Failure) {
        if self == Self::Simple {
            return simple(out, header, failure.errno as u32);
        }
        let message = cut(&failure.message, MESSAGE_LEN_MAX).as_bytes();
        let (kind, extra) = match failure.offset {
            Some(_) => (chunk::ERROR_OFFSET, 8),
            None => (chunk::ERROR, 0),
        };
        let len = 6 + message.len() + extra;
        out.head(|bytes| {
            self.chunk(bytes, header, (REPLY_FLAG_DONE, kind), len);
            bytes.extend_from_slice(&(failure.errno as u32).to_be_bytes());
            bytes.extend_from_slice(&u16::try_from(message.len()).unwrap_or(0).to_be_bytes());
            bytes.extend_from_slice(message);
            if let Some(offset) = failure.offset {
                bytes.extend_from_slice(&offset.to_be_bytes());
            }
        });
    }

    /// Replies with the data of a read: `bytes` of the export, some, which lie at their place within the
    /// sectors in `buffer`. Zeroes are told, not sent, where that is allowed and worth it.
    pub fn data(self, out: &mut Outbox, header: &Header, buffer: Buffer, read: Read) {
        let start = read.bytes.head();
        let end = usize::try_from(read.bytes.len).map_or(buffer.len(), |len| start + len);
        let place = start..end.min(buffer.len());
        match self {
            Self::Simple => {
                simple(out, header, 0);
                out.data(place);
            }
            Self::Structured | Self::Extended if read.is_unfragmented => {
                self.content(out, header, (read.bytes.offset, REPLY_FLAG_DONE), place);
            }
            Self::Structured | Self::Extended => {
                let mut parts =
                    parts(&buffer[place.clone()], read.bytes.offset).into_iter().peekable();
                while let Some(Part { bytes, is_zero }) = parts.next() {
                    let flags = if parts.peek().is_none() { REPLY_FLAG_DONE } else { 0 };
                    let offset = read.bytes.offset + bytes.start as u64;
                    if is_zero {
                        self.hole(out, header, (offset, flags), bytes.len());
                    } else {
                        let place = place.start + bytes.start..place.start + bytes.end;
                        self.content(out, header, (offset, flags), place);
                    }
                }
            }
        }
        out.end_data(buffer);
    }

    /// Replies with what contexts say, one chunk each; at least one.
    pub fn status(self, out: &mut Outbox, header: &Header, contexts: &[ContextStatus]) {
        for (index, ContextStatus { id, descriptors }) in contexts.iter().enumerate() {
            let flags = if index + 1 == contexts.len() { REPLY_FLAG_DONE } else { 0 };
            out.head(|bytes| match self {
                Self::Extended => {
                    let len = 8 + 16 * descriptors.len();
                    self.chunk(bytes, header, (flags, chunk::BLOCK_STATUS_EXT), len);
                    bytes.extend_from_slice(&id.to_be_bytes());
                    let count = u32::try_from(descriptors.len()).unwrap_or(u32::MAX);
                    bytes.extend_from_slice(&count.to_be_bytes());
                    for Descriptor { len, flags } in descriptors {
                        bytes.extend_from_slice(&len.to_be_bytes());
                        bytes.extend_from_slice(&u64::from(*flags).to_be_bytes());
                    }
                }
                Self::Simple | Self::Structured => {
                    let len = 4 + 8 * descriptors.len();
                    self.chunk(bytes, header, (flags, chunk::BLOCK_STATUS), len);
                    bytes.extend_from_slice(&id.to_be_bytes());
                    for Descriptor { len, flags } in descriptors {
                        // A compact request asks for fewer bytes than 32 bits can say.
                        let len = u32::try_from(*len).unwrap_or(u32::MAX);
                        bytes.extend_from_slice(&len.to_be_bytes());
                        bytes.extend_from_slice(&flags.to_be_bytes());
                    }
                }
            });
        }
    }

    fn none(self, out: &mut Outbox, header: &Header) {
        out.head(|bytes| self.chunk(bytes, header, (REPLY_FLAG_DONE, chunk::NONE), 0));
    }

    fn content(self, out: &mut Outbox, header: &Header, at: (u64, u16), place: Range<usize>) {
        let (offset, flags) = at;
        out.head(|bytes| {
            self.chunk(bytes, header, (flags, chunk::OFFSET_DATA), 8 + place.len());
            bytes.extend_from_slice(&offset.to_be_bytes());
        });
        out.data(place);
    }

    fn hole(self, out: &mut Outbox, header: &Header, at: (u64, u16), len: usize) {
        let (offset, flags) = at;
        out.head(|bytes| {
            self.chunk(bytes, header, (flags, chunk::OFFSET_HOLE), 12);
            bytes.extend_from_slice(&offset.to_be_bytes());
            bytes.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        });
    }

    /// The header of a chunk with these flags and of this kind, whose payload has `len` bytes.
    fn chunk(self, out: &mut Vec<u8>, header: &Header, (flags, kind): (u16, u16), len: usize) {
        let is_extended = self == Self::Extended;
        let magic = if is_extended { EXTENDED_REPLY_MAGIC } else { STRUCTURED_REPLY_MAGIC };
        out.extend_from_slice(&magic.to_be_bytes());
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&header.cookie.to_be_bytes());
        if is_extended {
            out.extend_from_slice(&header.offset.to_be_bytes());
            out.extend_from_slice(&(len as u64).to_be_bytes());
        } else {
            out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

fn simple(out: &mut Outbox, header: &Header, errno: u32) {
    out.head(|bytes| {
        bytes.extend_from_slice(&SIMPLE_REPLY_MAGIC.to_be_bytes());
        bytes.extend_from_slice(&errno.to_be_bytes());
        bytes.extend_from_slice(&header.cookie.to_be_bytes());
    });
}

/// A read that was carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    /// Which bytes of the export.
    pub bytes: ByteExtent,
    /// Whether they must be sent in one chunk.
    pub is_unfragmented: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Part {
    bytes: Range<usize>,
    is_zero: bool,
}

/// Blocks of the export are looked at for zeroes, so that a block is never told in two parts.
const ZERO_BLOCK_LEN: usize = 4096;

/// Divides data that starts at `offset` of the export into zeroes and others, consecutively.
fn parts(data: &[u8], offset: u64) -> Vec<Part> {
    let whole = |is_zero| vec![Part { bytes: 0..data.len(), is_zero }];
    if data.len() < 2 * HOLE_LEN_MIN {
        return whole(is_zero(data));
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut zero_start = None;
    let mut at = 0;
    while at < data.len() {
        let in_block = usize::try_from(offset % ZERO_BLOCK_LEN as u64).unwrap_or(0) + at;
        let end = (at + ZERO_BLOCK_LEN - in_block % ZERO_BLOCK_LEN).min(data.len());
        if is_zero(&data[at..end]) {
            zero_start.get_or_insert(at);
        } else if let Some(start) = zero_start.take() {
            push_zeroes(&mut parts, start..at);
        }
        at = end;
    }
    match zero_start {
        Some(0) => return whole(true),
        Some(start) => push_zeroes(&mut parts, start..data.len()),
        None => {}
    }
    let told = parts.last().map_or(0, |part| part.bytes.end);
    if told < data.len() {
        parts.push(Part { bytes: told..data.len(), is_zero: false });
    }
    parts
}

/// Appends zeroes, and before them the data that they follow, where they are worth it.
fn push_zeroes(parts: &mut Vec<Part>, zeroes: Range<usize>) {
    if zeroes.len() < HOLE_LEN_MIN {
        return;
    }
    let told = parts.last().map_or(0, |part| part.bytes.end);
    if told < zeroes.start {
        parts.push(Part { bytes: told..zeroes.start, is_zero: false });
    }
    parts.push(Part { bytes: zeroes, is_zero: true });
}

/// Whether all bytes are zero. Stops early, and looks at many bytes at a time.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
