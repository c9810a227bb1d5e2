//! Messages of generic netlink: how the kernel's NBD client is told what to do.
//!
//! Pure, and free of allocation where it reads, since a child of a process with threads reads too. All
//! numbers are in the order of this machine's bytes.
//!
//! Source: netlink(7), `linux/netlink.h`, `linux/genetlink.h`.

use nix::errno::Errno;

/// The family that knows all others, and its number.
pub const CONTROL_FAMILY: u16 = 16;
/// The control family's request for a family, and the attributes of a family.
pub const CONTROL_GET_FAMILY: u8 = 3;
/// The number of a family.
pub const CONTROL_FAMILY_ID: u16 = 1;
/// The name of a family.
pub const CONTROL_FAMILY_NAME: u16 = 2;

const HEADER_LEN: usize = 16;
const GENERIC_HEADER_LEN: usize = 4;
const ATTRIBUTE_HEADER_LEN: usize = 4;
const FLAG_REQUEST: u16 = 0x1;
const FLAG_ACK: u16 = 0x4;
const TYPE_ERROR: u16 = 2;
const ATTRIBUTE_IS_NESTED: u16 = 0x8000;
const ATTRIBUTE_TYPE: u16 = 0x3fff;

/// A request under construction.
#[derive(Debug)]
pub struct Message(Vec<u8>);

impl Message {
    /// A request for `command` to `family`, to be acknowledged.
    pub fn new(family: u16, command: u8) -> Self {
        let mut bytes = Vec::with_capacity(256);
        // The length is set at the end; sequence and port number stay zero.
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&family.to_ne_bytes());
        bytes.extend_from_slice(&(FLAG_REQUEST | FLAG_ACK).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[command, 1, 0, 0]);
        Self(bytes)
    }

    /// Adds a number of 32 bits.
    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Adds a number of 64 bits.
    pub fn u64(self, kind: u16, value: u64) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Adds a text, which should not be longer than a line.
    pub fn text(self, kind: u16, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Adds an attribute made of the attributes that `fill` adds.
    pub fn nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.0.len();
        self = fill(self.attribute(kind | ATTRIBUTE_IS_NESTED, &[]));
        self.set_len(start);
        self
    }

    /// The request as it is sent.
    pub fn into_bytes(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        self.0
    }

    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.set_len(start);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Sets the length of the attribute that starts at `start` and reaches to the end.
    fn set_len(&mut self, start: usize) {
        let len = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    }
}

/// What one datagram of the kernel says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Said {
    /// The number in the attribute that was wanted, if it was there.
    pub value: Option<u32>,
    /// How the request ended, if this is the end.
    pub end: Option<Result<(), Errno>>,
}

/// Reads a datagram, looking for the number in the attribute `wanted`.
///
/// # Errors
/// `EBADMSG` where it is not made of whole messages.
pub fn read(datagram: &[u8], wanted: u16) -> Result<Said, Errno> {
    let mut said = Said::default();
    let mut rest = datagram;
    while !rest.is_empty() {
        let len = usize::try_from(u32_at(rest, 0)?).map_err(|_| Errno::EBADMSG)?;
        let kind = u16_at(rest, 4)?;
        let body = rest.get(HEADER_LEN..len).ok_or(Errno::EBADMSG)?;
        if kind == TYPE_ERROR {
            let errno = u32_at(body, 0)?.cast_signed().wrapping_neg();
            said.end = Some(if errno == 0 { Ok(()) } else { Err(Errno::from_raw(errno)) });
        } else if let Some(attributes) = body.get(GENERIC_HEADER_LEN..) {
            said.value = find(attributes, wanted)?.or(said.value);
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(said)
}

/// The number in the attribute of this kind.
fn find(attributes: &[u8], wanted: u16) -> Result<Option<u32>, Errno> {
    let mut rest = attributes;
    while rest.len() >= ATTRIBUTE_HEADER_LEN {
        let len = usize::from(u16_at(rest, 0)?);
        let value = rest.get(ATTRIBUTE_HEADER_LEN..len).ok_or(Errno::EBADMSG)?;
        if u16_at(rest, 2)? & ATTRIBUTE_TYPE == wanted {
            return match value.len() {
                2 => Ok(Some(u16_at(value, 0)?.into())),
                4 => Ok(Some(u32_at(value, 0)?)),
                _ => Err(Errno::EBADMSG),
            };
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(None)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Errno> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk).copied();
    found.map(u16::from_ne_bytes).ok_or(Errno::EBADMSG)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Errno> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk).copied();
    found.map(u32::from_ne_bytes).ok_or(Errno::EBADMSG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An answer as the kernel makes it: a message with attributes, then the acknowledgement.
    fn answered(errno: i32) -> Vec<u8> {
        let mut bytes = Message::new(33, 1).text(9, "odd").u32(1, 70_000).into_bytes();
        let mut end = Message::new(TYPE_ERROR, 0).into_bytes();
        end[HEADER_LEN..].copy_from_slice(&errno.to_ne_bytes());
        bytes.extend_from_slice(&end);
        bytes
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_request_has_the_bytes_that_the_kernel_expects() {
        let nested = |message: Message| message.nested(1, |message| message.u32(1, 7));
        let bytes = Message::new(0x21, 1).u64(2, 0x1_0000).nested(7, nested).into_bytes();
        #[rustfmt::skip]
        let wanted = [
            48, 0, 0, 0,  0x21, 0,  5, 0,  0, 0, 0, 0,  0, 0, 0, 0,
            1, 1, 0, 0,
            12, 0,  2, 0,  0, 0, 1, 0, 0, 0, 0, 0,
            16, 0,  7, 0x80,  12, 0,  1, 0x80,  8, 0,  1, 0,  7, 0, 0, 0,
        ];
        assert_eq!(bytes, wanted);
    }

    #[test]
    fn texts_are_padded_and_lengths_are_not() {
        let bytes = Message::new(16, 3).text(2, "nbd").u32(1, 1).into_bytes();
        assert_eq!(u16_at(&bytes, 20), Ok(8));
        let bytes = Message::new(16, 3).text(2, "nb").u32(1, 1).into_bytes();
        assert_eq!(u16_at(&bytes, 20), Ok(7));
        assert_eq!(find(&bytes[20..], 1), Ok(Some(1)));
    }

    #[test]
    fn an_answer_gives_its_number_and_its_end() {
        let said = read(&answered(0), 1).unwrap();
        assert_eq!(said, Said { value: Some(70_000), end: Some(Ok(())) });
        let said = read(&answered(-libc::EBUSY), 5).unwrap();
        assert_eq!(said, Said { value: None, end: Some(Err(Errno::EBUSY)) });
    }

    #[test]
    fn an_answer_that_ends_early_is_refused() {
        let whole = answered(0);
        for len in 1..whole.len() {
            let said = read(&whole[..len], 1);
            assert!(said.is_err() || said.unwrap().end.is_none(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_run_for_ever(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            len in 0..64u8,
        ) {
            let mut bytes = bytes;
            if bytes.len() > 4 {
                bytes[..4].copy_from_slice(&[len, 0, 0, 0]);
            }
            let _ = read(&bytes, 1);
        }
    }
}
