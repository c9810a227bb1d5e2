//! When a policy runs: a pattern of wall-clock times in a named time zone, and which moments those are.
//!
//! A pattern knows nothing of zones: it is asked in civil time, and this file says what that is where clocks
//! are changed. Two rules, whatever the zone:
//!
//! - What recurs within every hour (an interval of an hour or less; cron with `*` for the hour) follows the
//!   passing of time: it runs at each moment at which the clock on the wall shows such a time. A day of 23
//!   hours has 23 hourly runs, one of 25 has 25.
//! - What names times of day (longer intervals; cron with anything else for the hour) runs once for each
//!   such time of each day. A time that comes twice counts at its first coming; times that do not come at
//!   all are made up for by one run at the moment of the jump.

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// Why a schedule makes no sense, with the way out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSchedule {
    /// Not an interval.
    #[error("{0:?} is no interval: write 1m to 60m, 1h to 24h, 1d or 1w")]
    Interval(String),
    /// An interval that does not come out even with the clock.
    #[error("{text} does not divide {whole}, so that it cannot keep to the clock: {near} would")]
    Uneven {
        /// The interval.
        text: String,
        /// What it ought to divide.
        whole: &'static str,
        /// The nearest that do.
        near: String,
    },
    /// Not a pattern.
    #[error(
        "{text:?} is no cron pattern: {why}; write minute, hour, day of month, month and day of week"
    )]
    Cron {
        /// The pattern.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// A pattern of days that never come.
    #[error(
        "{0:?} names a day that does not come within four years; `30 2 * * *` is daily at 02:30"
    )]
    Never(String),
    /// Not a zone.
    #[error("there is no time zone {0:?}; write a name such as Europe/Berlin or UTC")]
    Zone(String),
}

/// How a pattern is read where clocks are changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pace {
    /// Each moment at which the wall shows such a time.
    Passing,
    /// Once for each such time of a day.
    TimesOfDay,
}

/// A pattern of times in a zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    pattern: Crontab,
    pace: Pace,
    zone: TimeZone,
}

/// A zone by its name.
///
/// # Errors
/// `Zone`.
pub fn zone(name: &str) -> Result<TimeZone, BadSchedule> {
    TimeZone::get(name).map_err(|_| BadSchedule::Zone(name.chars().take(80).collect()))
}

/// The name of this machine's zone, or UTC where it has none.
pub fn local_zone() -> String {
    TimeZone::system().iana_name().unwrap_or("UTC").to_owned()
}

impl Schedule {
    /// Every so often, at times that come out even with the clock of the zone: `15m` is at :00, :15, :30
    /// and :45, `6h` at 00:00, 06:00, 12:00 and 18:00, `1d` at midnight, `1w` on Monday at midnight.
    ///
    /// # Errors
    /// `Interval`, `Uneven`.
    pub fn every(text: &str, zone: TimeZone) -> Result<Self, BadSchedule> {
        let bad = || BadSchedule::Interval(text.chars().take(80).collect());
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (digits, unit) = text.split_at(split);
        let count: u8 = digits.parse().ok().filter(|count| *count > 0).ok_or_else(bad)?;
        let (pattern, pace) = match (count, unit) {
            (60, "m") | (1, "h") => ("0 * * * *".to_owned(), Pace::Passing),
            (1..60, "m") => {
                check_even(text, count, 60, "m", "an hour")?;
                (format!("*/{count} * * * *"), Pace::Passing)
            }
            (24, "h") | (1, "d") => ("0 0 * * *".to_owned(), Pace::TimesOfDay),
            (2..24, "h") => {
                check_even(text, count, 24, "h", "a day")?;
                (format!("0 */{count} * * *"), Pace::TimesOfDay)
            }
            (1, "w") | (7, "d") => ("0 0 * * 1".to_owned(), Pace::TimesOfDay),
            _ => return Err(bad()),
        };
        Self::new(&pattern, pace, zone)
    }

    /// At the times of a pattern of five fields: minute, hour, day of month, month, day of week.
    ///
    /// # Errors
    /// `Cron`, `Never`.
    pub fn cron(text: &str, zone: TimeZone) -> Result<Self, BadSchedule> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let bad = |why: &str| BadSchedule::Cron {
            text: text.chars().take(80).collect(),
            why: why.to_owned(),
        };
        let [_, hour, day, _, weekday] = fields.as_slice() else {
            return Err(bad(&format!("it has {} fields, not 5", fields.len())));
        };
        // The library's own additions for days are not cron's.
        if has_addition(day) || has_addition(weekday) {
            return Err(bad("L, W and # are not known here"));
        }
        let pace = if *hour == "*" { Pace::Passing } else { Pace::TimesOfDay };
        Self::new(&fields.join(" "), pace, zone)
    }

    fn new(pattern: &str, pace: Pace, zone: TimeZone) -> Result<Self, BadSchedule> {
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let parsed = cronexpr::parse_crontab_with(pattern, options).map_err(|error| {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_matches(['^', ' ']);
            BadSchedule::Cron { text: pattern.chars().take(80).collect(), why: why.to_owned() }
        })?;
        let schedule = Self { pattern: parsed, pace, zone };
        match schedule.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(BadSchedule::Never(pattern.to_owned())),
        }
    }

    /// The first moment after this one at which it runs; `None` past the end of the calendar.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match self.pace {
            Pace::Passing => self.next_passing(after),
            Pace::TimesOfDay => self.next_of_day(after),
        }
    }

    /// Within each stretch of one offset, civil time passes like time.
    fn next_passing(&self, after: Timestamp) -> Option<Timestamp> {
        let mut offset = self.zone.to_offset(after);
        let mut from = offset.to_datetime(after);
        let mut stretch = after;
        loop {
            let found = offset.to_timestamp(self.next_civil(from)?).ok()?;
            let change = self.zone.following(stretch).next().map(|change| change.timestamp());
            match change.filter(|change| *change <= found) {
                None => return Some(found),
                Some(change) => {
                    stretch = change;
                    offset = self.zone.to_offset(change);
                    // The moment of the change itself may be one.
                    from = offset.to_datetime(change).checked_sub(1.second()).ok()?;
                }
            }
        }
    }

    fn next_of_day(&self, after: Timestamp) -> Option<Timestamp> {
        let mut civil = self.zone.to_datetime(after);
        loop {
            civil = self.next_civil(civil)?;
            let found = self.moment(civil)?;
            // In the second coming of an hour, times that had their moment in the first are passed over.
            if found > after {
                return Some(found);
            }
        }
    }

    /// When a time of day is; never earlier than that of an earlier time.
    fn moment(&self, civil: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
            AmbiguousOffset::Gap { before, .. } => {
                let past_it = before.to_timestamp(civil).ok()?.checked_add(1.second()).ok()?;
                self.zone.preceding(past_it).next().map(|change| change.timestamp())
            }
        }
    }

    fn next_civil(&self, after: DateTime) -> Option<DateTime> {
        let after = TimeZone::UTC.to_timestamp(after).ok()?;
        self.pattern.find_next(MakeTimestamp(after)).ok().map(|found| found.datetime())
    }
}

/// `L`, `15W`, `5L`, `5#3`, but not `JUL` or `WED`.
fn has_addition(field: &str) -> bool {
    field.contains('#')
        || field.split([',', '-', '/']).any(|item| {
            let item = item.trim_start_matches(|c: char| c.is_ascii_digit());
            matches!(item.to_ascii_uppercase().as_str(), "L" | "W" | "LW")
        })
}

fn check_even(
    text: &str,
    count: u8,
    of: u8,
    unit: &str,
    whole: &'static str,
) -> Result<(), BadSchedule> {
    if of.is_multiple_of(count) {
        return Ok(());
    }
    let below = (1..count).rev().find(|near| of.is_multiple_of(*near)).unwrap_or(1);
    let above = (count..of).find(|near| of.is_multiple_of(*near)).unwrap_or(of);
    let near = format!("{below}{unit} or {above}{unit}");
    Err(BadSchedule::Uneven { text: text.to_owned(), whole, near })
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
