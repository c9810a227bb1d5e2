//! One bounds-checked little-endian codec for everything that is written to a disk.
//!
//! A `Reader` never panics and never allocates from a length it read; a `Writer` appends to a vector.

/// The bytes ended, or held something that cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CodecError {
    /// The bytes ended before the field did.
    #[error("the bytes end at {len}, inside of a field that needs {wanted} more")]
    Short {
        /// Where the bytes end.
        len: usize,
        /// How many were missing.
        wanted: usize,
    },
    /// A field held a value that cannot be.
    #[error("the field {field} holds {value:#x}, which cannot be")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// What it held.
        value: u64,
    },
}

/// What counts up by ones stays below this: a thousand million a second take over a century.
const COUNTER_MAX: u64 = 1 << 62;

/// Takes fields from the front of a byte slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! read_int {
    ($name:ident, $int:ty) => {
        #[doc = concat!("Takes a little-endian `", stringify!($int), "`.\n\n# Errors\n`Short` where the bytes end before it does.")]
        pub fn $name(&mut self) -> Result<$int, CodecError> {
            const LEN: usize = size_of::<$int>();
            let mut raw = [0u8; LEN];
            raw.copy_from_slice(self.bytes(LEN)?);
            Ok(<$int>::from_le_bytes(raw))
        }
    };
}

impl<'a> Reader<'a> {
    /// A reader at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    read_int!(u8, u8);
    read_int!(u16, u16);
    read_int!(u32, u32);
    read_int!(u64, u64);
    read_int!(u128, u128);

    /// Takes a `u64` that only ever rises by ones: a sequence, a position, a number. Sums of a few of
    /// them do not overflow.
    ///
    /// # Errors
    /// `Short` where the bytes end; `Invalid` where it is beyond what any history reaches.
    pub fn counter(&mut self) -> Result<u64, CodecError> {
        let value = self.u64()?;
        if value < COUNTER_MAX {
            Ok(value)
        } else {
            Err(CodecError::Invalid { field: "counter", value })
        }
    }

    /// Takes `len` bytes.
    ///
    /// # Errors
    /// `Short` where fewer are left.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let left = &self.bytes[self.at..];
        if left.len() < len {
            return Err(CodecError::Short { len: self.bytes.len(), wanted: len - left.len() });
        }
        self.at += len;
        Ok(&left[..len])
    }

    /// Takes a text: a 16-bit length, then UTF-8.
    ///
    /// # Errors
    /// `Short` where the bytes end; `Invalid` where they are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, CodecError> {
        let len = self.u16()?;
        let raw = self.bytes(usize::from(len))?;
        std::str::from_utf8(raw)
            .map_err(|_| CodecError::Invalid { field: "text", value: u64::from(len) })
    }

    /// Takes `len` bytes that must be zero: reserved room.
    ///
    /// # Errors
    /// `Short` where the bytes end; `Invalid` where one is not zero.
    pub fn reserved(&mut self, len: usize) -> Result<(), CodecError> {
        match self.bytes(len)?.iter().find(|byte| **byte != 0) {
            None => Ok(()),
            Some(byte) => Err(CodecError::Invalid { field: "reserved", value: u64::from(*byte) }),
        }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }
}

/// Appends fields to a vector.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

macro_rules! write_int {
    ($name:ident, $int:ty) => {
        #[doc = concat!("Appends a little-endian `", stringify!($int), "`.")]
        pub fn $name(&mut self, value: $int) -> &mut Self {
            self.bytes.extend_from_slice(&value.to_le_bytes());
            self
        }
    };
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    write_int!(u8, u8);
    write_int!(u16, u16);
    write_int!(u32, u32);
    write_int!(u64, u64);
    write_int!(u128, u128);

    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends a text: a 16-bit length, then UTF-8. A longer text is cut at the last character that fits.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let mut end = text.len().min(usize::from(u16::MAX));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let len = u16::try_from(end).unwrap_or(u16::MAX);
        self.u16(len).bytes(&text.as_bytes()[..end])
    }

    /// Appends `len` zero bytes: reserved room.
    pub fn reserved(&mut self, len: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len() + len, 0);
        self
    }

    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Puts `value` over the four bytes at `at`, which must have been written.
    ///
    /// # Panics
    /// Where fewer than `at + 4` bytes were written.
    pub fn patch_u32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let mut writer = Writer::new();
        writer.u8(7).u16(300).u32(70_000).u64(1 << 40).u128(1 << 100).text("mühle").reserved(3);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8(), Ok(7));
        assert_eq!(reader.u16(), Ok(300));
        assert_eq!(reader.u32(), Ok(70_000));
        assert_eq!(reader.u64(), Ok(1 << 40));
        assert_eq!(reader.u128(), Ok(1 << 100));
        assert_eq!(reader.text(), Ok("mühle"));
        assert_eq!(reader.reserved(3), Ok(()));
        assert_eq!(reader.u8(), Err(CodecError::Short { len: bytes.len(), wanted: 1 }));
    }

    #[test]
    fn a_length_past_the_end_is_an_error() {
        assert!(Reader::new(&[255, 255, b'x']).text().is_err());
    }
}
