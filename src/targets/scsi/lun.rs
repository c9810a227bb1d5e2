//! The 8-byte LUN field, and REPORT LUNS' entries.
//!
//! Source: SAM-5 4.7.

use super::limits::LUN_MAX;

/// The well known logical unit REPORT LUNS.
pub const REPORT_LUNS: u64 = 0xc101 << 48;

/// The number in a LUN field of one level: peripheral device addressing of bus 0, or flat space addressing.
pub fn decode(field: u64) -> Option<u16> {
    let (first, rest) = (field >> 48, field & 0xffff_ffff_ffff);
    let number = u16::try_from(first).ok()?;
    match number >> 14 {
        _ if rest != 0 => None,
        0 if number <= 0xff => Some(number),
        1 => Some(number & LUN_MAX),
        _ => None,
    }
}

/// A number as a LUN field: flat space addressing from 256 on.
pub fn encode(number: u16) -> u64 {
    let first = if number <= 0xff { number } else { 0x4000 | number & LUN_MAX };
    u64::from(first) << 48
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back_as_they_were_written() {
        for number in [0, 1, 255, 256, 16383] {
            assert_eq!(decode(encode(number)), Some(number));
        }
        assert_eq!(encode(7), 0x0007 << 48);
        assert_eq!(encode(300), 0x412c << 48);
        assert_eq!(decode(0x4007 << 48), Some(7));
    }

    #[test]
    fn what_is_not_one_level_is_no_number() {
        assert_eq!(decode(0x0007_0001 << 32), None);
        assert_eq!(decode(0x0107 << 48), None);
        assert_eq!(decode(REPORT_LUNS), None);
    }
}
