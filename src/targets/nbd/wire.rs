//! The words of the NBD protocol: magic numbers, codes, flags, and the fields they stand in.
//!
//! Everything is big-endian. Decoding is total: it takes any bytes, never panics, and allocates nothing.
//! Source: NBD protocol, "Values"; and its extension of extended headers.

/// First word of the greeting: `NBDMAGIC`.
pub const GREETING_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// Second word of the greeting, and the first of each option: `IHAVEOPT`.
pub const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
/// First word of each reply to an option.
pub const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// First word of a compact request.
pub const REQUEST_MAGIC: u32 = 0x2560_9513;
/// First word of an extended request.
pub const EXTENDED_REQUEST_MAGIC: u32 = 0x21e4_1c71;
/// First word of a simple reply.
pub const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// First word of a chunk of a structured reply.
pub const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;
/// First word of a chunk of an extended reply.
pub const EXTENDED_REPLY_MAGIC: u32 = 0x6e8a_278c;

/// Bytes of a compact request without its payload.
pub const REQUEST_LEN: usize = 28;
/// Bytes of an extended request without its payload.
pub const EXTENDED_REQUEST_LEN: usize = 32;
/// Bytes of an option without its data.
pub const OPTION_LEN: usize = 16;
/// Bytes of a string at most.
pub const STRING_LEN_MAX: usize = 4096;

/// Flags of the greeting, and of the client's answer to it.
pub mod handshake_flag {
    /// Options may be refused one by one.
    pub const FIXED_NEWSTYLE: u16 = 1;
    /// `EXPORT_NAME` is answered without padding.
    pub const NO_ZEROES: u16 = 1 << 1;
}

/// Flags of an export.
pub mod transmission_flag {
    /// Always set.
    pub const HAS_FLAGS: u16 = 1;
    /// Changes are refused.
    pub const READ_ONLY: u16 = 1 << 1;
    /// `FLUSH` is served.
    pub const SEND_FLUSH: u16 = 1 << 2;
    /// The flag FUA is obeyed.
    pub const SEND_FUA: u16 = 1 << 3;
    /// `TRIM` is served.
    pub const SEND_TRIM: u16 = 1 << 5;
    /// `WRITE_ZEROES` and its flag NO_HOLE are served.
    pub const SEND_WRITE_ZEROES: u16 = 1 << 6;
    /// The flag DF of `READ` is obeyed.
    pub const SEND_DF: u16 = 1 << 7;
    /// A flush on one connection covers all.
    pub const CAN_MULTI_CONN: u16 = 1 << 8;
    /// `CACHE` is served.
    pub const SEND_CACHE: u16 = 1 << 10;
    /// The flag FAST_ZERO of `WRITE_ZEROES` is obeyed.
    pub const SEND_FAST_ZERO: u16 = 1 << 11;
    /// `BLOCK_STATUS` takes a list of contexts as payload.
    pub const BLOCK_STATUS_PAYLOAD: u16 = 1 << 12;
}

/// Flags of a request.
pub mod command_flag {
    /// Stable when answered.
    pub const FUA: u16 = 1;
    /// Zeroes keep their space.
    pub const NO_HOLE: u16 = 1 << 1;
    /// One content chunk at most.
    pub const DF: u16 = 1 << 2;
    /// One extent for each context.
    pub const REQ_ONE: u16 = 1 << 3;
    /// Only if zeroing is faster than writing.
    pub const FAST_ZERO: u16 = 1 << 4;
    /// The length is that of a payload.
    pub const PAYLOAD_LEN: u16 = 1 << 5;
}

/// Flag of a reply chunk: the last of its reply.
pub const REPLY_FLAG_DONE: u16 = 1;

/// Kinds of reply chunks.
pub mod chunk {
    /// Nothing, the end of a reply.
    pub const NONE: u16 = 0;
    /// Bytes at an offset.
    pub const OFFSET_DATA: u16 = 1;
    /// Zeroes at an offset.
    pub const OFFSET_HOLE: u16 = 2;
    /// Extents of a context with 32-bit lengths.
    pub const BLOCK_STATUS: u16 = 5;
    /// Extents of a context with 64-bit lengths.
    pub const BLOCK_STATUS_EXT: u16 = 6;
    /// An error.
    pub const ERROR: u16 = (1 << 15) + 1;
    /// An error at an offset.
    pub const ERROR_OFFSET: u16 = (1 << 15) + 2;
}

/// Flags of an extent of `base:allocation`.
pub mod state_flag {
    /// Not allocated.
    pub const HOLE: u32 = 1;
    /// Reads as zeroes.
    pub const ZERO: u32 = 1 << 1;
}

/// What a client may ask to be told about an export.
pub mod info {
    /// Its length and flags; always told.
    pub const EXPORT: u16 = 0;
    /// Its canonical name.
    pub const NAME: u16 = 1;
    /// A line for people.
    pub const DESCRIPTION: u16 = 2;
    /// Which lengths and alignments it likes.
    pub const BLOCK_SIZE: u16 = 3;
}

/// An option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionCode {
    /// Open an export, without a way to refuse.
    ExportName,
    /// End.
    Abort,
    /// List the exports.
    List,
    /// Go on within TLS.
    StartTls,
    /// Describe an export.
    Info,
    /// Describe and open an export.
    Go,
    /// Use structured replies.
    StructuredReply,
    /// List contexts.
    ListMetaContext,
    /// Select contexts.
    SetMetaContext,
    /// Use extended headers.
    ExtendedHeaders,
    /// Anything else.
    Unknown(u32),
}

impl From<u32> for OptionCode {
    fn from(code: u32) -> Self {
        match code {
            1 => Self::ExportName,
            2 => Self::Abort,
            3 => Self::List,
            5 => Self::StartTls,
            6 => Self::Info,
            7 => Self::Go,
            8 => Self::StructuredReply,
            9 => Self::ListMetaContext,
            10 => Self::SetMetaContext,
            11 => Self::ExtendedHeaders,
            other => Self::Unknown(other),
        }
    }
}

/// A reply to an option that is no error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum OptionReply {
    /// Done.
    Ack = 1,
    /// One export of a list.
    Server = 2,
    /// One fact about an export.
    Info = 3,
    /// One context.
    MetaContext = 4,
}

/// A reply to an option that is an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum OptionError {
    /// The option is not known.
    Unsupported = 0x8000_0001,
    /// The option is known and not allowed.
    Policy = 0x8000_0002,
    /// The option makes no sense.
    Invalid = 0x8000_0003,
    /// TLS comes first.
    TlsRequired = 0x8000_0005,
    /// There is no such export.
    Unknown = 0x8000_0006,
    /// The server is ending.
    Shutdown = 0x8000_0007,
    /// The option or its reply is too large.
    TooBig = 0x8000_0009,
    /// Extended headers are in use already.
    ExtendedHeaders = 0x8000_000a,
}

/// Why a request was refused or failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Errno {
    /// Not allowed.
    Permission = 1,
    /// The disk failed.
    Io = 5,
    /// The request makes no sense.
    Invalid = 22,
    /// No room, or past the end.
    NoSpace = 28,
    /// Too long.
    Overflow = 75,
    /// Not faster than writing.
    NotSupported = 95,
    /// The server is ending.
    Shutdown = 108,
}

/// Takes big-endian fields from the front of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields in `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Takes `len` bytes, where there are so many.
    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (front, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*front)
    }

    /// Takes 16 bits.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes 32 bits.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes 64 bits.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Takes a string: 32 bits of length, then UTF-8 without NUL, not longer than the protocol allows.
    pub fn string(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.u32()?).ok()?;
        string(self.bytes(len)?)
    }

    /// How many bytes are left.
    pub const fn left(&self) -> usize {
        self.0.len()
    }
}

/// The string that `bytes` are, where the protocol allows it.
pub fn string(bytes: &[u8]) -> Option<&str> {
    let is_fine = bytes.len() <= STRING_LEN_MAX && !bytes.contains(&0);
    is_fine.then(|| std::str::from_utf8(bytes).ok()).flatten()
}

/// `text`, cut at a character so that it is no longer than `len` bytes.
pub fn cut(text: &str, len: usize) -> &str {
    let mut end = text.len().min(len);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Appends one reply to an option.
pub fn put_option_reply(out: &mut Vec<u8>, option: u32, code: u32, data: &[&[u8]]) {
    let len: usize = data.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&OPTION_REPLY_MAGIC.to_be_bytes());
    out.extend_from_slice(&option.to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    for part in data {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_string_stops_at_the_protocols_limits() {
        assert_eq!(Fields::new(b"\0\0\0\x03abcd").string(), Some("abc"));
        assert_eq!(Fields::new(b"\0\0\0\x04abc").string(), None);
        assert_eq!(Fields::new(b"\xff\xff\xff\xffabc").string(), None);
        assert_eq!(string(b"a\0b"), None);
        assert_eq!(string(b"\xff"), None);
        assert_eq!(string(&[b'n'; STRING_LEN_MAX + 1]), None);
        assert!(string(&[b'n'; STRING_LEN_MAX]).is_some());
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("mühle", 2), "m");
        assert_eq!(cut("mühle", 3), "mü");
        assert_eq!(cut("mühle", 99), "mühle");
    }

    proptest! {
        #[test]
        fn fields_take_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64), cuts in proptest::collection::vec(0u8..5, 0..20)) {
            let mut fields = Fields::new(&bytes);
            for cut in cuts {
                let before = fields.left();
                let taken = match cut {
                    0 => fields.u16().map(|_| 2),
                    1 => fields.u32().map(|_| 4),
                    2 => fields.u64().map(|_| 8),
                    3 => fields.string().map(|text| 4 + text.len()),
                    _ => fields.bytes(3).map(<[u8]>::len),
                };
                prop_assert!(taken.is_none_or(|taken| before - fields.left() == taken));
            }
        }
    }
}
