//! A basic header segment: 48 bytes, read and written by the places of its fields.
//!
//! Source: RFC 7143 11.2.1.

use super::wire::{HEADER_LEN, IMMEDIATE, NO_TAG, OPCODE_MASK, at, flag};

/// A basic header segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head(pub [u8; HEADER_LEN]);

impl Head {
    /// One of a target, with these flags and no tags.
    pub fn new(opcode: u8, flags: u8) -> Self {
        let mut head = Self([0; HEADER_LEN]);
        head.0[at::OPCODE] = opcode;
        head.0[at::FLAGS] = flags;
        head
    }

    /// The one at the front of `bytes`, where there are enough of them.
    pub fn first_of(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|bytes| Self(*bytes))
    }

    /// Its operation code.
    pub const fn opcode(&self) -> u8 {
        self.0[at::OPCODE] & OPCODE_MASK
    }

    /// Whether it asks for immediate delivery.
    pub const fn is_immediate(&self) -> bool {
        self.0[at::OPCODE] & IMMEDIATE != 0
    }

    /// Its flags.
    pub const fn flags(&self) -> u8 {
        self.0[at::FLAGS]
    }

    /// Whether it is the last of its kind.
    pub const fn is_final(&self) -> bool {
        self.flags() & flag::FINAL != 0
    }

    /// Bytes of the additional header segments.
    pub fn ahs_len(&self) -> usize {
        usize::from(self.0[at::AHS_LEN]) * 4
    }

    /// Bytes of data, without what fills up the last word.
    pub fn data_len(&self) -> usize {
        let [_, high, middle, low] = self.bytes(at::DATA_LEN - 1);
        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
    }

    /// The logical unit number, as a number.
    pub fn lun(&self) -> u64 {
        u64::from_be_bytes(self.bytes(at::LUN))
    }

    /// The initiator task tag.
    pub fn itt(&self) -> u32 {
        self.word(at::ITT)
    }

    /// The target transfer tag, or what stands there.
    pub fn ttt(&self) -> u32 {
        self.word(at::TTT)
    }

    /// CmdSN.
    pub fn cmd_sn(&self) -> u32 {
        self.word(at::CMD_SN)
    }

    /// ExpStatSN.
    pub fn exp_stat_sn(&self) -> u32 {
        self.word(at::EXP_STAT_SN)
    }

    /// The bytes at a place.
    pub fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.0[at..at + N]);
        bytes
    }

    /// The word at a place.
    pub fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.bytes(at))
    }

    /// The half word at a place.
    pub fn half(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.bytes(at))
    }

    /// With a byte at a place.
    #[must_use]
    pub const fn with_byte(mut self, at: usize, byte: u8) -> Self {
        self.0[at] = byte;
        self
    }

    /// With a half word at a place.
    #[must_use]
    pub fn with_half(mut self, at: usize, half: u16) -> Self {
        self.0[at..at + 2].copy_from_slice(&half.to_be_bytes());
        self
    }

    /// With a word at a place.
    #[must_use]
    pub fn with_word(mut self, at: usize, word: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&word.to_be_bytes());
        self
    }

    /// With a logical unit number.
    #[must_use]
    pub fn with_lun(mut self, lun: u64) -> Self {
        self.0[at::LUN..at::LUN + 8].copy_from_slice(&lun.to_be_bytes());
        self
    }

    /// With an initiator task tag.
    #[must_use]
    pub fn with_itt(self, itt: u32) -> Self {
        self.with_word(at::ITT, itt)
    }

    /// With a target transfer tag.
    #[must_use]
    pub fn with_ttt(self, ttt: u32) -> Self {
        self.with_word(at::TTT, ttt)
    }

    /// With a target transfer tag that means none.
    #[must_use]
    pub fn without_ttt(self) -> Self {
        self.with_ttt(NO_TAG)
    }

    /// With so many bytes of data.
    ///
    /// # Panics
    /// Where they are more than three bytes can say: what is sent is cut to less.
    #[must_use]
    pub fn with_data_len(mut self, len: usize) -> Self {
        let len = u32::try_from(len).ok().filter(|len| *len < 1 << 24);
        let bytes = len.expect("a data segment has less than 16 MiB").to_be_bytes();
        self.0[at::DATA_LEN..at::DATA_LEN + 3].copy_from_slice(&bytes[1..]);
        self
    }
}

/// Bytes that fill up the last word of `len`.
pub const fn padding(len: usize) -> usize {
    len.wrapping_neg() % 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_where_they_were_written() {
        let head = Head::new(0x25, 0x81)
            .with_data_len(0x0001_0203)
            .with_lun(0x0001_0203_0405_0607)
            .with_itt(7)
            .with_ttt(9)
            .with_word(at::CMD_SN, 11);
        assert_eq!((head.opcode(), head.flags(), head.data_len()), (0x25, 0x81, 0x0001_0203));
        assert_eq!((head.lun(), head.itt(), head.ttt()), (0x0001_0203_0405_0607, 7, 9));
        assert_eq!(head.cmd_sn(), 11);
        assert_eq!(head.0[5..8], [1, 2, 3]);
        assert!(head.is_final() && !head.is_immediate());
    }

    #[test]
    fn a_segment_fills_whole_words() {
        assert_eq!([0, 1, 2, 3, 4].map(padding), [0, 3, 2, 1, 0]);
    }
}
