//! Spans of time as people write them: `90s`, `15m`, `12h`, `30d`, `4w`, `10y`. A day has 24 hours, a year 365 days.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A span of time that reads and prints as people write it: whole seconds, at least one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    seconds: u64,
}

crate::text_schema!(
    Span,
    "Span",
    r"^[1-9][0-9]{0,8}[smhdwy]$",
    2..=10,
    "A span of time: 90s, 15m, 12h, 30d, 4w or 10y."
);

/// A span of time, or that there is none: `none`. For changes of what may be left as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpanOrNone(pub Option<Span>);

crate::text_schema!(
    SpanOrNone,
    "SpanOrNone",
    r"^(none|[1-9][0-9]{0,8}[smhdwy])$",
    2..=10,
    "A span of time such as 90s, 15m, 12h, 30d, 4w or 10y, or none."
);

/// Why a text is not a span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no span of time: write a number and a unit, such as 90s, 15m, 12h, 30d, 4w or 10y"
)]
pub struct BadSpan {
    text: String,
}

/// From the longest to the shortest.
const UNITS: [(char, u64); 6] =
    [('y', 365 * 86_400), ('w', 7 * 86_400), ('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];
/// Digits of a span: what the schema says, and more years than any clock counts.
const DIGITS_MAX: usize = 9;

impl Span {
    /// In milliseconds.
    pub const fn ms(self) -> u64 {
        self.seconds.saturating_mul(1000)
    }

    /// These milliseconds, rounded up to a second; at least one.
    pub const fn of_ms(ms: u64) -> Self {
        let seconds = ms.div_ceil(1000);
        Self { seconds: if seconds == 0 { 1 } else { seconds } }
    }

    /// One minute.
    pub const fn minute() -> Self {
        Self { seconds: 60 }
    }

    /// This many days; a second where that is none.
    pub const fn days(days: u32) -> Self {
        let seconds = days as u64 * 86_400;
        Self { seconds: if seconds == 0 { 1 } else { seconds } }
    }

    /// What is left of these milliseconds, in words that are not longer than it: `29 days`, `3 hours`.
    pub fn left(ms: u64) -> String {
        let seconds = ms.div_ceil(1000);
        let (count, unit) = match seconds {
            0..120 => (seconds, "second"),
            120..7200 => (seconds / 60, "minute"),
            7200..172_800 => (seconds / 3600, "hour"),
            _ => (seconds / 86_400, "day"),
        };
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {unit}{plural}")
    }
}

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan { text: text.chars().take(40).collect() };
        let trimmed = text.trim();
        let unit = trimmed.chars().next_back().ok_or_else(bad)?;
        let (_, len) = *UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        let digits = &trimmed[..trimmed.len() - unit.len_utf8()];
        if digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad());
        }
        let count: u64 = digits.parse().ok().filter(|count| *count > 0).ok_or_else(bad)?;
        Ok(Self { seconds: count * len })
    }
}

impl FromStr for SpanOrNone {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        match text.trim() {
            "none" => Ok(Self(None)),
            text => text.parse().map(|span| Self(Some(span))),
        }
    }
}

impl TryFrom<String> for SpanOrNone {
    type Error = BadSpan;

    fn try_from(text: String) -> Result<Self, BadSpan> {
        text.parse()
    }
}

impl From<SpanOrNone> for String {
    fn from(span: SpanOrNone) -> Self {
        span.0.map_or_else(|| "none".to_owned(), Self::from)
    }
}

impl fmt::Display for Span {
    /// In the largest unit that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, len): &&(char, u64)| self.seconds.is_multiple_of(*len);
        let (unit, len) = UNITS.iter().find(whole).copied().unwrap_or(('s', 1));
        write!(f, "{}{unit}", self.seconds / len)
    }
}

impl TryFrom<String> for Span {
    type Error = BadSpan;

    fn try_from(text: String) -> Result<Self, BadSpan> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print_as_people_write_them() {
        for (text, ms) in
            [("1s", 1000), ("15m", 900_000), ("30d", 2_592_000_000), ("2y", 63_072_000_000)]
        {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.ms(), span.to_string().as_str()), (ms, text));
        }
        assert_eq!("7d".parse::<Span>().unwrap().to_string(), "1w");
        assert_eq!("90m".parse::<Span>().unwrap().to_string(), "90m");
        assert_eq!(Span::days(30), "30d".parse().unwrap());
        for (text, span) in [("none", None), ("4w", Some(Span::days(28)))] {
            let read: SpanOrNone = text.parse().unwrap();
            assert_eq!((read.0, String::from(read).as_str()), (span, text));
        }
        for text in ["", "d", "0d", "-1d", "1.5h", "1x", "30 d", "1234567890s", "1ä"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_left_is_told_in_its_largest_unit() {
        for (ms, text) in [
            (1, "1 second"),
            (119_001, "2 minutes"),
            (7_199_000, "119 minutes"),
            (172_799_000, "47 hours"),
            (2_592_000_000, "30 days"),
        ] {
            assert_eq!(Span::left(ms), text);
        }
    }
}
