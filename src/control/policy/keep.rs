//! Which marks stay: grandfather, father, son, by the calendar of a zone.
//!
//! The first mark of a period is the one that stands for it. What a mark is kept for is known when it is
//! taken then, and the marks that come later do not change it. Of each kind of period the newest that have a
//! mark count, so that neither a pause nor a moved clock makes old marks go: only new ones push them out.
//! An hour that comes twice is two hours; weeks begin on Monday.

use base::limits::MARKS_PER_VOLUME_MAX;
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil::DateTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many marks of each kind stay.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// The newest ones, whenever they were taken.
    pub last: u16,
    /// The first of an hour.
    pub hourly: u16,
    /// The first of a day.
    pub daily: u16,
    /// The first of a week.
    pub weekly: u16,
    /// The first of a month.
    pub monthly: u16,
    /// The first of a year.
    pub yearly: u16,
}

/// What a mark is kept for.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// It is one of the newest.
    Last,
    /// It is the first of an hour.
    Hourly,
    /// It is the first of a day.
    Daily,
    /// It is the first of a week.
    Weekly,
    /// It is the first of a month.
    Monthly,
    /// It is the first of a year.
    Yearly,
}

const PERIODS: [Class; 5] =
    [Class::Hourly, Class::Daily, Class::Weekly, Class::Monthly, Class::Yearly];

/// A mark as far as this file is concerned: when it was taken, and in which periods that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// When it was taken.
    pub at: Timestamp,
    periods: [i64; PERIODS.len()],
}

impl Stamp {
    /// A mark that was taken then, by the calendar of this zone.
    pub fn new(at: Timestamp, zone: &TimeZone) -> Self {
        let offset = zone.to_offset(at);
        let wall: DateTime = offset.to_datetime(at);
        let date = wall.date();
        let day = date.duration_since(jiff::civil::Date::ZERO).as_hours() / 24;
        let into_week = i64::from(date.weekday().to_monday_zero_offset());
        let month = i64::from(date.year()) * 12 + i64::from(date.month());
        // With its offset in it, an hour that comes twice is two.
        let hour =
            (day * 24 + i64::from(wall.hour())) << 20 | i64::from(offset.seconds() + 100_000);
        Self { at, periods: [hour, day, day - into_week, month, i64::from(date.year())] }
    }
}

impl Keep {
    /// Marks that stay at most, where no mark is kept for two reasons.
    pub fn sum(&self) -> usize {
        Class::ALL.iter().map(|class| usize::from(self.count(*class))).sum()
    }

    /// How many of a class.
    pub fn count(&self, class: Class) -> u16 {
        match class {
            Class::Last => self.last,
            Class::Hourly => self.hourly,
            Class::Daily => self.daily,
            Class::Weekly => self.weekly,
            Class::Monthly => self.monthly,
            Class::Yearly => self.yearly,
        }
    }

    /// How many of a class, to be changed.
    pub fn count_mut(&mut self, class: Class) -> &mut u16 {
        match class {
            Class::Last => &mut self.last,
            Class::Hourly => &mut self.hourly,
            Class::Daily => &mut self.daily,
            Class::Weekly => &mut self.weekly,
            Class::Monthly => &mut self.monthly,
            Class::Yearly => &mut self.yearly,
        }
    }

    /// What each of these marks is kept for, in the order in which they were taken; one that is kept for
    /// nothing may go. The newest always stays.
    pub fn reasons(&self, marks: &[Stamp]) -> Vec<Reasons> {
        let mut reasons = vec![Reasons::default(); marks.len()];
        let newest = usize::from(self.last).max(1);
        for mark in reasons.iter_mut().rev().take(newest) {
            mark.add(Class::Last);
        }
        for (index, class) in PERIODS.into_iter().enumerate() {
            let count = usize::from(self.count(class));
            for first in firsts(marks, index, count) {
                reasons[first].add(class);
            }
        }
        reasons
    }

    /// Which of these marks go, so that at most `room` stay: those that are kept for nothing; where more
    /// stay than there is room for, first those that stand for the shortest periods, and of these the
    /// oldest. Pinned ones stay and take room; so does the newest.
    pub fn going(&self, marks: &[Stamp], pinned: &[bool], room: usize) -> Vec<usize> {
        let reasons = self.reasons(marks);
        let is_pinned = |index: usize| pinned.get(index).copied().unwrap_or(false);
        let (mut going, staying): (Vec<usize>, Vec<usize>) =
            (0..marks.len()).partition(|index| reasons[*index].is_empty() && !is_pinned(*index));
        let surplus = staying.len().saturating_sub(room);
        let older = staying.len().saturating_sub(1);
        let mut may_go: Vec<usize> =
            staying.into_iter().take(older).filter(|index| !is_pinned(*index)).collect();
        may_go.sort_by_key(|index| (reasons[*index].longest(), *index));
        going.extend(may_go.into_iter().take(surplus));
        going.sort_unstable();
        going
    }

    /// Whether this fits beside what else a volume has.
    ///
    /// # Errors
    /// The sum that does not, in words.
    pub fn check_fit(&self, beside: &Beside) -> Result<(), NoFit> {
        if self.sum() == 0 {
            return Err(NoFit(
                "it keeps no mark: say how many, such as last 12 and daily 7".into(),
            ));
        }
        // Of the newest it keeps some in any case, and those are the ones that are locked.
        let locked = beside.locked.saturating_sub(usize::from(self.last));
        let needed = self.sum() + locked + 1 + beside.foreign + beside.policies;
        if needed <= MARKS_PER_VOLUME_MAX {
            return Ok(());
        }
        let parts = Class::ALL.iter().filter(|class| self.count(**class) > 0);
        let parts: Vec<_> =
            parts.map(|class| format!("{} {}", self.count(*class), class.word())).collect();
        Err(NoFit(format!(
            "it keeps up to {} = {} marks{} and needs 1 more while a new one is taken, {} has {} marks of others \
             and promised {} to other policies: {needed} together, and a volume holds {MARKS_PER_VOLUME_MAX}; \
             keep {} fewer{}",
            parts.join(" + "),
            self.sum(),
            if locked > 0 {
                format!(", {locked} more of which none can go because they are locked")
            } else {
                String::new()
            },
            beside.volume,
            beside.foreign,
            beside.policies,
            needed - MARKS_PER_VOLUME_MAX,
            if locked > 0 { ", or lock them for a shorter time" } else { "" },
        )))
    }
}

/// What a volume has beside the marks of one policy.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Beside {
    /// Its name.
    pub volume: String,
    /// Marks that no policy took.
    pub foreign: usize,
    /// Marks of the policy that are locked at one time, at most.
    pub locked: usize,
    /// Marks that other policies may keep of it, each with the one that it takes.
    pub policies: usize,
}

/// Why a policy does not fit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoFit(pub String);

impl Class {
    /// All of them, from the shortest period to the longest.
    pub const ALL: [Self; 6] =
        [Self::Last, Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }
}

/// What one mark is kept for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reasons(u8);

impl Reasons {
    fn add(&mut self, class: Class) {
        self.0 |= 1 << class as u8;
    }

    /// Whether it may go.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Them, from the shortest period to the longest.
    pub fn classes(self) -> Vec<Class> {
        Class::ALL.into_iter().filter(|class| self.0 & 1 << *class as u8 != 0).collect()
    }

    fn longest(self) -> Option<Class> {
        Class::ALL.into_iter().rfind(|class| self.0 & 1 << *class as u8 != 0)
    }
}

/// The first marks of the newest `count` periods of one kind.
fn firsts(marks: &[Stamp], period: usize, count: usize) -> Vec<usize> {
    // A moved clock can lead back into a period that was left.
    let mut seen: Vec<(i64, usize)> = Vec::with_capacity(count.min(marks.len()));
    for (index, mark) in marks.iter().enumerate().rev() {
        let key = mark.periods[period];
        match seen.iter().rposition(|(known, _)| *known == key) {
            Some(known) => seen[known].1 = index,
            None if seen.len() < count => seen.push((key, index)),
            None => {}
        }
    }
    seen.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
#[path = "keep_tests.rs"]
mod tests;
