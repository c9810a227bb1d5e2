//! Sizes as people write them: `10G`, `512k`, `4096`. Powers of 1024 throughout.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes that reads and prints as people write it.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Debug,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

/// Why a text is not a size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a size: write a number with an optional unit, such as 512M, 10G or 1.5T")]
pub struct BadSize {
    text: String,
}

const UNITS: [(char, u32); 6] = [('K', 10), ('M', 20), ('G', 30), ('T', 40), ('P', 50), ('E', 60)];

impl FromStr for ByteSize {
    type Err = BadSize;

    fn from_str(text: &str) -> Result<Self, BadSize> {
        let bad = || BadSize { text: text.to_owned() };
        let trimmed = text.trim();
        let digits_end =
            trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (digits, unit) = trimmed.split_at(digits_end);
        let shift = unit_shift(unit.trim()).ok_or_else(bad)?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole: u64 = whole.parse().map_err(|_| bad())?;
        let scale = 1u64 << shift;
        let bytes = whole.checked_mul(scale).ok_or_else(bad)?;
        let part = fraction_of(fraction, scale).ok_or_else(bad)?;
        bytes.checked_add(part).map(Self).ok_or_else(bad)
    }
}

fn unit_shift(unit: &str) -> Option<u32> {
    let upper = unit.to_ascii_uppercase();
    if upper.is_empty() || upper == "B" {
        return Some(0);
    }
    let (name, shift) = UNITS.iter().find(|(name, _)| upper.starts_with(*name))?;
    matches!(upper.strip_prefix(*name)?, "" | "B" | "IB").then_some(*shift)
}

fn fraction_of(digits: &str, scale: u64) -> Option<u64> {
    if digits.is_empty() {
        return Some(0);
    }
    let places = u32::try_from(digits.len()).ok().filter(|places| *places <= 9)?;
    let numerator: u64 = digits.parse().ok()?;
    u64::try_from(u128::from(numerator) * u128::from(scale) / u128::from(10u64.pow(places))).ok()
}

impl fmt::Display for ByteSize {
    /// The largest unit that leaves a number of at least one, with one decimal where it is not whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().rev().find(|(_, shift)| self.0 >= 1 << shift);
        let Some((name, shift)) = unit else {
            return write!(f, "{}B", self.0);
        };
        let whole = self.0 >> shift;
        let tenth = (u128::from(self.0 & ((1 << shift) - 1)) * 10) >> shift;
        if tenth == 0 { write!(f, "{whole}{name}") } else { write!(f, "{whole}.{tenth}{name}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("10G", 10 << 30), ("1.5T", 3 << 39), ("64 KiB", 65536)]
        {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "G", "-1", "1X", "99999999999E", "1.2.3G", "1KiBB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_in_the_largest_unit() {
        assert_eq!(ByteSize(10 << 30).to_string(), "10G");
        assert_eq!(ByteSize(1536).to_string(), "1.5K");
        assert_eq!(ByteSize(100).to_string(), "100B");
    }
}
