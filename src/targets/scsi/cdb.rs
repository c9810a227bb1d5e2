//! A command descriptor block, and the fields that many commands have in common.
//!
//! Source: SPC-4 4.3, SBC-4 5.

use super::sense::Sense;

/// Bytes of the longest CDB that is known here.
pub const LEN_MAX: usize = 16;

/// A command descriptor block, padded with zeroes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cdb {
    bytes: [u8; LEN_MAX],
}

/// Contiguous logical blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blocks {
    /// The address of the first.
    pub lba: u64,
    /// How many.
    pub count: u64,
}

impl Cdb {
    /// The first bytes of what came.
    pub fn new(came: &[u8]) -> Self {
        let mut bytes = [0; LEN_MAX];
        let len = came.len().min(LEN_MAX);
        bytes[..len].copy_from_slice(&came[..len]);
        Self { bytes }
    }

    /// All bytes.
    pub const fn bytes(&self) -> &[u8; LEN_MAX] {
        &self.bytes
    }

    /// The operation code.
    pub const fn code(&self) -> u8 {
        self.bytes[0]
    }

    /// The byte at `at`, which is below 16.
    pub const fn byte(&self, at: usize) -> u8 {
        self.bytes[at]
    }

    /// Whether any of the bits of `mask` is set in the byte at `at`.
    pub const fn has(&self, at: usize, mask: u8) -> bool {
        self.bytes[at] & mask != 0
    }

    /// Two bytes from `at`.
    pub fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    /// Three bytes from `at`.
    pub fn u24(&self, at: usize) -> u32 {
        u32::from_be_bytes([0, self.bytes[at], self.bytes[at + 1], self.bytes[at + 2]])
    }

    /// Four bytes from `at`.
    pub fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) << 16 | u32::from(self.u16(at + 2))
    }

    /// Eight bytes from `at`.
    pub fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) << 32 | u64::from(self.u32(at + 4))
    }

    /// The blocks of a READ, WRITE, VERIFY or the like of 6, 10, 12 or 16 bytes; of 6, none means 256.
    pub fn blocks(&self) -> Blocks {
        match self.code() >> 5 {
            0 => Blocks {
                lba: u64::from(self.u24(1) & 0x1f_ffff),
                count: if self.bytes[4] == 0 { 256 } else { u64::from(self.bytes[4]) },
            },
            1 | 2 => Blocks { lba: u64::from(self.u32(2)), count: u64::from(self.u16(7)) },
            5 => Blocks { lba: u64::from(self.u32(2)), count: u64::from(self.u32(6)) },
            _ => Blocks { lba: self.u64(2), count: u64::from(self.u32(10)) },
        }
    }

    /// Where the count of [`Cdb::blocks`] stands.
    pub const fn count_at(&self) -> u8 {
        match self.bytes[0] >> 5 {
            0 => 4,
            1 | 2 => 7,
            5 => 6,
            _ => 10,
        }
    }
}

impl Blocks {
    /// That they lie below `capacity`.
    ///
    /// # Errors
    /// LOGICAL BLOCK ADDRESS OUT OF RANGE with the first address that does not.
    pub fn within(self, capacity: u64) -> Result<Self, Sense> {
        match self.lba.checked_add(self.count) {
            Some(end) if end <= capacity => Ok(self),
            _ => Err(Sense::out_of_range(self.lba.max(capacity))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_of_each_length_of_cdb() {
        let blocks = |bytes: &[u8]| Cdb::new(bytes).blocks();
        assert_eq!(blocks(&[0x08, 0x1f, 0xff, 0xff, 0, 0]), Blocks { lba: 0x1f_ffff, count: 256 });
        assert_eq!(blocks(&[0x28, 0, 0, 0, 1, 0, 0, 0, 2, 0]), Blocks { lba: 256, count: 2 });
        assert_eq!(blocks(&[0xa8, 0, 0, 0, 0, 5, 0, 0, 1, 0, 0, 0]), Blocks { lba: 5, count: 256 });
        let mut bytes = [0; 16];
        (bytes[0], bytes[2], bytes[13]) = (0x88, 1, 9);
        assert_eq!(blocks(&bytes), Blocks { lba: 1 << 56, count: 9 });
    }

    #[test]
    fn blocks_past_the_end_name_the_first_that_is_missing() {
        assert!(Blocks { lba: 10, count: 0 }.within(10).is_ok());
        let refused = Blocks { lba: 8, count: 3 }.within(10).unwrap_err();
        assert_eq!(refused.information, Some(10));
        let refused = Blocks { lba: u64::MAX, count: 2 }.within(10).unwrap_err();
        assert_eq!(refused.information, Some(u64::MAX));
    }
}
