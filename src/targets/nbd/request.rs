//! What a request asks, and whether it may: decided from its header alone, before anything is allocated.
//!
//! Pure: a header and the terms of the session go in, a judgement comes out.
//! Source: NBD protocol, "Request message", "Request types", "Error values"; extended headers.

use base::units::{Extent, SECTOR_LEN};
use disk::{Durability, Keep};

use super::limits::{COMPACT_PAYLOAD_LEN_MAX, STATUS_CONTEXTS_MAX};
use super::wire::{
    EXTENDED_REQUEST_LEN, EXTENDED_REQUEST_MAGIC, Errno, Fields, REQUEST_LEN, REQUEST_MAGIC,
    command_flag as flag,
};

/// Which form requests have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// 28 bytes, lengths of 32 bits.
    Compact,
    /// 32 bytes, lengths of 64 bits.
    Extended,
}

impl Framing {
    /// Bytes of a header.
    pub const fn header_len(self) -> usize {
        match self {
            Self::Compact => REQUEST_LEN,
            Self::Extended => EXTENDED_REQUEST_LEN,
        }
    }
}

/// The header of a request, as it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Flags.
    pub flags: u16,
    /// What is asked.
    pub command: u16,
    /// What the reply must carry.
    pub cookie: u64,
    /// First byte.
    pub offset: u64,
    /// Bytes of the export, or of the payload.
    pub len: u64,
}

/// The bytes are no request: the session cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadMagic(pub u32);

impl Header {
    /// Decodes the header in front of `bytes`, or `None` where it is not all there yet.
    ///
    /// # Errors
    /// `BadMagic` where it is no header of this form.
    pub fn decode(framing: Framing, bytes: &[u8]) -> Result<Option<Self>, BadMagic> {
        let mut fields = Fields::new(bytes);
        let wanted = match framing {
            Framing::Compact => REQUEST_MAGIC,
            Framing::Extended => EXTENDED_REQUEST_MAGIC,
        };
        match fields.u32() {
            None => return Ok(None),
            Some(magic) if magic != wanted => return Err(BadMagic(magic)),
            Some(_) => {}
        }
        Ok(Self::decode_fields(framing, fields))
    }

    fn decode_fields(framing: Framing, mut fields: Fields<'_>) -> Option<Self> {
        Some(Self {
            flags: fields.u16()?,
            command: fields.u16()?,
            cookie: fields.u64()?,
            offset: fields.u64()?,
            len: match framing {
                Framing::Compact => u64::from(fields.u32()?),
                Framing::Extended => fields.u64()?,
            },
        })
    }
}

/// Bytes of an export: the first one and how many. Checked to lie within it, so sums do not overflow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteExtent {
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

const SECTOR: u64 = SECTOR_LEN as u64;

impl ByteExtent {
    /// The byte after the last one.
    pub const fn end(self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// Whether it starts and ends with sectors.
    pub const fn is_whole_sectors(self) -> bool {
        self.offset.is_multiple_of(SECTOR) && self.len.is_multiple_of(SECTOR)
    }

    /// The fewest sectors that hold it.
    pub const fn cover(self) -> Extent {
        let start = self.offset / SECTOR;
        Extent::new(start, self.end().div_ceil(SECTOR).saturating_sub(start))
    }

    /// The sectors that lie wholly within it, possibly none.
    pub const fn inner(self) -> Extent {
        let start = self.offset.div_ceil(SECTOR);
        Extent::new(start, (self.end() / SECTOR).saturating_sub(start))
    }

    /// How many bytes lie before it in its first sector.
    pub const fn head(self) -> usize {
        (self.offset % SECTOR) as usize
    }
}

/// What both sides agreed on, as far as it matters for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Which form requests have.
    pub framing: Framing,
    /// Whether reads are answered in chunks.
    pub has_chunks: bool,
    /// Whether contexts were selected.
    pub has_contexts: bool,
    /// Whether changes are refused.
    pub is_read_only: bool,
    /// Bytes of the export now.
    pub len: u64,
    /// Bytes of the largest payload that this client may send or ask for.
    pub payload_len_max: u64,
}

/// A request that may be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Send bytes.
    Read {
        /// Which.
        bytes: ByteExtent,
        /// Whether they must come in one chunk.
        is_unfragmented: bool,
    },
    /// Take bytes.
    Write {
        /// Which.
        bytes: ByteExtent,
        /// How safe when answered.
        durability: Durability,
    },
    /// Make stable what was answered.
    Flush,
    /// Forget bytes.
    Trim {
        /// Which.
        bytes: ByteExtent,
        /// How safe when answered.
        durability: Durability,
    },
    /// Make bytes zero.
    Zero {
        /// Which.
        bytes: ByteExtent,
        /// Whether their space is kept.
        keep: Keep,
        /// How safe when answered.
        durability: Durability,
    },
    /// Bytes will be read soon.
    Cache,
    /// Tell about extents.
    Status {
        /// Of which bytes.
        bytes: ByteExtent,
        /// Whether one extent for each context is wanted.
        is_one: bool,
    },
    /// Tell about extents, where length and contexts are in the payload.
    StatusOf {
        /// From which byte on.
        offset: u64,
        /// Whether one extent for each context is wanted.
        is_one: bool,
    },
}

/// A request that is answered with an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The error.
    pub errno: Errno,
    /// For people.
    pub why: &'static str,
}

/// What to do about a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Carry it out.
    Perform(Command),
    /// Take its payload, if any, and answer with an error.
    Refuse(Refusal),
    /// The client leaves.
    Disconnect,
    /// End the session: its payload is too large to be taken at all.
    Drop(&'static str),
}

/// A verdict, and how many bytes of payload follow the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// What to do.
    pub verdict: Verdict,
    /// Bytes of payload, which have to be taken in any case but `Drop`.
    pub payload_len: u64,
}

const READ: u16 = 0;
/// The code of a write.
pub const WRITE: u16 = 1;
const DISC: u16 = 2;
const FLUSH: u16 = 3;
const TRIM: u16 = 4;
const CACHE: u16 = 5;
const WRITE_ZEROES: u16 = 6;
const BLOCK_STATUS: u16 = 7;

/// Decides about a request.
pub fn judge(header: &Header, terms: &Terms) -> Judgement {
    let payload_len = payload_len(header, terms.framing);
    let drained_len_max = match terms.framing {
        Framing::Compact => COMPACT_PAYLOAD_LEN_MAX,
        Framing::Extended => terms.payload_len_max,
    };
    let verdict = if payload_len > drained_len_max {
        Verdict::Drop("the payload is too large to be taken")
    } else if header.command == DISC {
        Verdict::Disconnect
    } else {
        match command(header, terms, payload_len) {
            Ok(command) => Verdict::Perform(command),
            Err(refusal) => Verdict::Refuse(refusal),
        }
    };
    Judgement { verdict, payload_len }
}

fn payload_len(header: &Header, framing: Framing) -> u64 {
    let has_payload = match framing {
        Framing::Compact => header.command == WRITE,
        Framing::Extended => header.flags & flag::PAYLOAD_LEN != 0,
    };
    if has_payload { header.len } else { 0 }
}

const fn refuse<T>(errno: Errno, why: &'static str) -> Result<T, Refusal> {
    Err(Refusal { errno, why })
}

fn command(header: &Header, terms: &Terms, payload_len: u64) -> Result<Command, Refusal> {
    check_flags(header, terms)?;
    let bytes = ByteExtent { offset: header.offset, len: header.len };
    let has = |bit: u16| header.flags & bit != 0;
    let durability = if has(flag::FUA) { Durability::Stable } else { Durability::Volatile };
    match header.command {
        READ => {
            check_bounds(bytes, terms, Errno::Invalid)?;
            check_read_len(bytes.len, terms)?;
            Ok(Command::Read { bytes, is_unfragmented: has(flag::DF) })
        }
        WRITE => {
            check_writable(terms)?;
            if terms.framing == Framing::Extended && !has(flag::PAYLOAD_LEN) {
                return refuse(Errno::Invalid, "a write needs a payload");
            }
            check_bounds(bytes, terms, Errno::NoSpace)?;
            if payload_len > terms.payload_len_max {
                return refuse(Errno::Invalid, "the payload is larger than the maximum");
            }
            Ok(Command::Write { bytes, durability })
        }
        FLUSH if header.offset != 0 || header.len != 0 => {
            refuse(Errno::Invalid, "a flush has neither offset nor length")
        }
        FLUSH => Ok(Command::Flush),
        TRIM => {
            check_writable(terms)?;
            check_bounds(bytes, terms, Errno::Invalid)?;
            Ok(Command::Trim { bytes, durability })
        }
        CACHE => check_bounds(bytes, terms, Errno::Invalid).map(|()| Command::Cache),
        WRITE_ZEROES => {
            check_writable(terms)?;
            check_bounds(bytes, terms, Errno::NoSpace)?;
            let keep = if has(flag::NO_HOLE) { Keep::Space } else { Keep::Nothing };
            if has(flag::FAST_ZERO) && (keep == Keep::Space || !bytes.is_whole_sectors()) {
                return refuse(Errno::NotSupported, "zeroing this is no faster than writing it");
            }
            Ok(Command::Zero { bytes, keep, durability })
        }
        BLOCK_STATUS if !terms.has_contexts => {
            refuse(Errno::Invalid, "no metadata context was selected")
        }
        BLOCK_STATUS if has(flag::PAYLOAD_LEN) => {
            if payload_len > STATUS_PAYLOAD_LEN_MAX {
                return refuse(Errno::Invalid, "more contexts than can have been selected");
            }
            Ok(Command::StatusOf { offset: header.offset, is_one: has(flag::REQ_ONE) })
        }
        BLOCK_STATUS => {
            check_bounds(bytes, terms, Errno::Invalid)?;
            Ok(Command::Status { bytes, is_one: has(flag::REQ_ONE) })
        }
        _ => refuse(Errno::Invalid, "unknown command"),
    }
}

fn check_flags(header: &Header, terms: &Terms) -> Result<(), Refusal> {
    let is_extended = terms.framing == Framing::Extended;
    let own = match header.command {
        READ if terms.has_chunks => flag::DF,
        WRITE if is_extended => flag::PAYLOAD_LEN,
        WRITE_ZEROES => flag::NO_HOLE | flag::FAST_ZERO,
        BLOCK_STATUS if is_extended && terms.has_contexts => flag::REQ_ONE | flag::PAYLOAD_LEN,
        BLOCK_STATUS => flag::REQ_ONE,
        _ => 0,
    };
    if header.flags & !(own | flag::FUA) != 0 {
        return refuse(Errno::Invalid, "a flag that this command does not have");
    }
    Ok(())
}

const fn check_writable(terms: &Terms) -> Result<(), Refusal> {
    if terms.is_read_only {
        return refuse(Errno::Permission, "the export is read-only");
    }
    Ok(())
}

const fn check_bounds(bytes: ByteExtent, terms: &Terms, errno: Errno) -> Result<(), Refusal> {
    match bytes.offset.checked_add(bytes.len) {
        Some(end) if end <= terms.len => Ok(()),
        _ => refuse(errno, "past the end of the export"),
    }
}

const fn check_read_len(len: u64, terms: &Terms) -> Result<(), Refusal> {
    if len <= terms.payload_len_max {
        return Ok(());
    }
    let errno = if terms.has_chunks { Errno::Overflow } else { Errno::Invalid };
    refuse(errno, "longer than the maximum payload")
}

/// Bytes of the payload of a status request that names every context a session can have.
pub const STATUS_PAYLOAD_LEN_MAX: u64 = 8 + 4 * STATUS_CONTEXTS_MAX as u64;

/// The payload of a status request: how many bytes, and which contexts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusPayload {
    /// How many bytes of the export are asked about.
    pub len: u64,
    /// The contexts' numbers, each once, at least one.
    pub ids: Vec<u32>,
}

impl StatusPayload {
    /// Decodes it, or gives `None` where it makes no sense.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        if payload.len() as u64 > STATUS_PAYLOAD_LEN_MAX {
            return None;
        }
        let mut fields = Fields::new(payload);
        let len = fields.u64()?;
        let mut ids = Vec::new();
        while fields.left() > 0 {
            let id = fields.u32()?;
            if ids.contains(&id) {
                return None;
            }
            ids.push(id);
        }
        (!ids.is_empty()).then_some(Self { len, ids })
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
