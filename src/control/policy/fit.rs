//! How many marks a policy that locks them has at once, which nothing can thin.

use std::collections::VecDeque;

use base::limits::MARKS_PER_VOLUME_MAX;
use base::span::Span;
use jiff::{SignedDuration, Timestamp};

use super::rules::Times;
use super::schedule::Schedule;

/// Runs that are looked at: some days of the densest schedule, and all of a year's of one that is worth a lock.
const RUNS_MAX: usize = 2048;
/// How far ahead runs are looked at beyond the lock: a leap year and a day.
const AHEAD: SignedDuration = SignedDuration::from_hours(367 * 24);

/// The most marks by these times that are locked at once, seen from `now`; all that a volume can hold and more
/// count as one more than that.
pub(super) fn most_locked(times: &Times, lock: Span, now: Timestamp) -> usize {
    let by_clock = times.schedule.as_ref().map_or(0, |schedule| most_runs(schedule, lock, now));
    let by_time = times.passed.map_or(0, |passed| lock.ms().div_ceil(passed.ms()));
    let by_time = usize::try_from(by_time).unwrap_or(usize::MAX);
    by_clock.saturating_add(by_time).min(MARKS_PER_VOLUME_MAX + 1)
}

/// The most runs in any stretch of this length.
fn most_runs(schedule: &Schedule, span: Span, now: Timestamp) -> usize {
    let span = SignedDuration::from_millis(i64::try_from(span.ms()).unwrap_or(i64::MAX));
    let end = now.saturating_add(span).and_then(|end| end.saturating_add(AHEAD));
    let end = end.unwrap_or(Timestamp::MAX);
    let next = |at: &Timestamp| schedule.next_after(*at);
    let runs = std::iter::successors(next(&now), next).take(RUNS_MAX);
    let (mut locked, mut most) = (VecDeque::new(), 0);
    for at in runs.take_while(|at| *at <= end) {
        while locked.front().is_some_and(|first| at.duration_since(*first) >= span) {
            locked.pop_front();
        }
        locked.push_back(at);
        most = most.max(locked.len());
        if most > MARKS_PER_VOLUME_MAX {
            break;
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn times(every: Option<&str>, cron: Option<&str>, passed: Option<&str>) -> Times {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let every = every.map(|text| Schedule::every(text, zone.clone()).unwrap());
        let cron = cron.map(|text| Schedule::cron(text, zone.clone()).unwrap());
        let passed = passed.map(|text| text.parse().unwrap());
        Times { schedule: every.or(cron), passed, zone }
    }

    #[test]
    fn the_busiest_stretch_counts() {
        let now = "2026-11-26T12:00:00Z".parse().unwrap();
        let most = |times: &Times, lock: &str| most_locked(times, lock.parse().unwrap(), now);
        assert_eq!(most(&times(Some("1h"), None, None), "7d"), 168);
        assert_eq!(most(&times(Some("5m"), None, None), "30d"), 257);
        assert_eq!(most(&times(Some("1d"), None, None), "30d"), 31, "days of 23 hours are shorter");
        assert_eq!(most(&times(None, Some("0 0 1 1 *"), None), "10y"), 10);
        assert_eq!(most(&times(None, Some("*/5 0 1 7 *"), None), "1h"), 12, "half a year ahead");
        assert_eq!(most(&times(None, None, Some("1h")), "90m"), 2);
        assert_eq!(most(&times(Some("1d"), None, Some("1h")), "2d"), 3 + 48);
    }
}
