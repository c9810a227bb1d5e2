//! When something will be full: pure, from what was measured and how much there is.
//!
//! The pace is the slope of Theil and Sen, the median of the slopes between all pairs of points: a restored backup or
//! a removed mark, a step among many points, does not tip it. It is taken over the last day, week and month, as far as
//! there is history. The last week tells what is likely, since it holds each day of the week once; the fastest and the
//! slowest pace that any of the three allows, each within the bounds that Sen gives for 90 %, tell the range.
//!
//! The rule: at least `POINTS_MIN` points that span at least a day, or there is no forecast. What stands or shrinks,
//! or would take longer than `HORIZON_DAYS`, is never full at this rate.
//!
//! Source: P. K. Sen, Estimates of the Regression Coefficient Based on Kendall's Tau, 1968.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::history::{DAY_MS, Point};

/// The windows whose paces count, in days. The second is the likely one.
const WINDOWS_DAYS: [u64; 3] = [1, 7, 30];
/// Points of a window that are compared: 1128 pairs, some tens of microseconds.
const POINTS_MAX: usize = 48;
/// Fewer points than these say nothing: half a day of one an hour.
const POINTS_MIN: usize = 12;
/// Who looks further ahead than ten years will have bought other disks by then.
const HORIZON_DAYS: f64 = 3650.0;
/// Standard deviations on either side that hold 90 % of a normal distribution.
const DEVIATIONS: f64 = 1.645;

/// What is to be expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    /// There is less than a day of history.
    #[default]
    NotEnoughHistory,
    /// It stands, shrinks, or grows so slowly that it is not full within ten years.
    Never,
    /// It will be full.
    Fills,
    /// It is full.
    Full,
}

/// When something will be full. Moments are milliseconds since 1970.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// What is to be expected.
    pub outlook: Outlook,
    /// The likely pace, in bytes a day; negative where it shrinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_day: Option<i64>,
    /// When it is full if the fastest of the recent paces goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest_ms: Option<u64>,
    /// When it is full if the pace of the last week goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely_ms: Option<u64>,
    /// When it is full if the slowest of the recent paces goes on; none where it never is then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_ms: Option<u64>,
    /// When there will be enough history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough_ms: Option<u64>,
}

impl Forecast {
    /// Days from `now_ms` until it is likely full: 0 where it is, infinite where it never is, none where there is not
    /// enough history.
    pub fn days_to_full(&self, now_ms: u64) -> Option<f64> {
        match self.outlook {
            Outlook::NotEnoughHistory => None,
            Outlook::Never => Some(f64::INFINITY),
            Outlook::Full => Some(0.0),
            Outlook::Fills => self.likely_ms.map(|at_ms| days(at_ms.saturating_sub(now_ms))),
        }
    }

    /// This one, or the other where that is full sooner. One without enough history says nothing.
    pub(super) fn sooner(self, other: &Self, now_ms: u64) -> Self {
        match (self.days_to_full(now_ms), other.days_to_full(now_ms)) {
            (Some(own), Some(others)) if others < own => other.clone(),
            (None, Some(_)) => other.clone(),
            (Some(_) | None, _) => self,
        }
    }
}

/// A pace in bytes a day, and within which bounds it is known.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Pace {
    slowest: f64,
    median: f64,
    fastest: f64,
}

/// The points that a forecast of a value looks at, few enough to be taken along: each the moment and the value.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    windows: Vec<Vec<(u64, u64)>>,
    first_ms: Option<u64>,
    is_enough: bool,
}

/// Where a value is going.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Trend {
    /// The likely pace, within the fastest and the slowest of all windows; none without enough history.
    pace: Option<Pace>,
    enough_ms: Option<u64>,
}

impl Evidence {
    /// How far back it looks.
    pub(super) const SPAN_MS: u64 = WINDOWS_DAYS[2] * DAY_MS;

    /// The evidence in these points, oldest first, of the value that `of` takes from each.
    pub(super) fn of(points: &[Point], of: impl Fn(&Point) -> u64) -> Self {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Self::default();
        };
        let span_ms = last.at_ms.saturating_sub(first.at_ms);
        let mut windows: Vec<Vec<(u64, u64)>> = Vec::new();
        for days in WINDOWS_DAYS {
            let from_ms = last.at_ms.saturating_sub(days * DAY_MS);
            let within = points.iter().filter(|point| point.at_ms >= from_ms);
            let within: Vec<_> = within.map(|point| (point.at_ms, of(point))).collect();
            windows.push(spread(&within));
            // A longer window holds nothing more.
            if span_ms <= days * DAY_MS {
                break;
            }
        }
        let is_enough = points.len() >= POINTS_MIN && span_ms >= DAY_MS;
        Self { windows, first_ms: Some(first.at_ms), is_enough }
    }

    /// Where the value is going. Takes some tens of microseconds.
    pub(super) fn trend(&self) -> Trend {
        let paces: Vec<_> = self.windows.iter().filter_map(|window| pace(window)).collect();
        let likely = paces.get(1).or(paces.first()).filter(|_| self.is_enough);
        let pace = likely.map(|likely| Pace {
            slowest: paces.iter().map(|pace| pace.slowest).fold(likely.median, f64::min),
            median: likely.median,
            fastest: paces.iter().map(|pace| pace.fastest).fold(likely.median, f64::max),
        });
        Trend { pace, enough_ms: self.first_ms.map(|first| first + DAY_MS) }
    }
}

impl Trend {
    /// When the value reaches `size`, seen at `now_ms`, when it is `used`.
    pub(super) fn forecast(&self, used: u64, size: u64, now_ms: u64) -> Forecast {
        let is_full = size > 0 && used >= size;
        let Some(pace) = self.pace else {
            let outlook = if is_full { Outlook::Full } else { Outlook::NotEnoughHistory };
            let enough_ms = self.enough_ms.filter(|_| !is_full);
            return Forecast { outlook, enough_ms, ..Forecast::default() };
        };
        let bytes_per_day = Some(whole(pace.median));
        if is_full {
            return Forecast { outlook: Outlook::Full, bytes_per_day, ..Forecast::default() };
        }
        let room = size.saturating_sub(used) as f64;
        let when = |pace: f64| {
            let days = room / pace;
            let is_near = pace > 0.0 && days <= HORIZON_DAYS;
            is_near.then(|| now_ms.saturating_add(whole(days * DAY_MS as f64).unsigned_abs()))
        };
        let likely_ms = when(pace.median);
        Forecast {
            outlook: if likely_ms.is_some() { Outlook::Fills } else { Outlook::Never },
            bytes_per_day,
            earliest_ms: when(pace.fastest),
            likely_ms,
            latest_ms: likely_ms.and(when(pace.slowest)),
            enough_ms: None,
        }
    }

    /// The likely pace in bytes a day; none without enough history.
    pub(super) fn bytes_per_day(&self) -> Option<i64> {
        self.pace.map(|pace| whole(pace.median))
    }
}

/// At most [`POINTS_MAX`] of these, evenly over the time that they span, the first and the last among them: where the
/// points of one half lie closer, it must not count for more.
fn spread(points: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let step = (last.0 - first.0).div_ceil(POINTS_MAX as u64 - 1).max(1);
    let mut chosen: Vec<(u64, u64)> = Vec::with_capacity(POINTS_MAX + 1);
    for point in points {
        let is_next = |last: &(u64, u64)| (point.0 - first.0) / step > (last.0 - first.0) / step;
        if chosen.last().is_none_or(is_next) {
            chosen.push(*point);
        }
    }
    if chosen.last() != Some(last) {
        chosen.push(*last);
    }
    chosen
}

/// The pace of these points; none where they are too few to have one.
fn pace(points: &[(u64, u64)]) -> Option<Pace> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, (at, value)) in points.iter().enumerate() {
        for (later, other) in &points[index + 1..] {
            let grown = *other as f64 - *value as f64;
            slopes.push(grown / days(later.saturating_sub(*at).max(1)));
        }
    }
    if slopes.is_empty() {
        return None;
    }
    slopes.sort_by(f64::total_cmp);
    let count = points.len() as f64;
    let variance = count * (count - 1.0) * (2.0 * count + 5.0) / 18.0;
    let half = (DEVIATIONS * variance.sqrt() / 2.0 + 1.0).min(slopes.len() as f64);
    let half = usize::try_from(whole(half)).unwrap_or(0);
    let middle = slopes.len() / 2;
    let median = if slopes.len() % 2 == 0 {
        f64::midpoint(slopes[middle - 1], slopes[middle])
    } else {
        slopes[middle]
    };
    Some(Pace {
        slowest: slopes[middle.saturating_sub(half)],
        median,
        fastest: slopes[(middle + half).min(slopes.len() - 1)],
    })
}

fn days(ms: u64) -> f64 {
    ms as f64 / DAY_MS as f64
}

/// The nearest whole number, at the ends of what there is where it lies beyond them.
#[expect(clippy::cast_possible_truncation, reason = "the cast stops at the ends, which is meant")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
#[path = "forecast_tests.rs"]
mod tests;
