//! What was measured, and when: for each thing a ring of fine points and, for what lies further back, coarser ones.
//!
//! Values in, values out. A thing is known by its identity, so that a volume that is removed and made again under
//! its name begins anew. What a year of the finest points would tell, a point a day tells as well.

use std::collections::{BTreeMap, VecDeque};

use base::id::Id;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const MINUTE_MS: u64 = 60_000;
/// A day in milliseconds, as forecasts count it.
pub(crate) const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// How far apart the points of each tier are, and how many there are: two days to see what happened last night, 60
/// days for the slope of a month, two years for people. 2746 points of 32 bytes for each thing.
pub(super) const TIERS: [(u64, usize); 3] =
    [(5 * MINUTE_MS, 576), (60 * MINUTE_MS, 1440), (DAY_MS, 730)];

/// How long a clock may be behind the newest point before that counts as dated by a clock that was ahead. A clock
/// that is wrong for a moment after a start must not cost the history.
const BEHIND_MAX_MS: u64 = DAY_MS;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Thing {
    /// The file system where the pool lies.
    Pool,
    /// The journal.
    Journal,
    /// A volume.
    Volume(Id),
}

/// What something held at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Bytes in use: of the pool's file system, of the journal, or allocated of a volume.
    pub used_bytes: u64,
    /// Bytes that there were.
    pub size_bytes: u64,
    /// Bytes that preserved blocks took.
    pub preserved_bytes: u64,
}

/// The history of one thing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Series {
    pub(super) tiers: [VecDeque<Point>; TIERS.len()],
}

impl Series {
    /// Adds a point to each tier in which a step has passed. Points come in order.
    pub(super) fn add(&mut self, point: Point) {
        for (tier, (step, most)) in self.tiers.iter_mut().zip(TIERS) {
            let is_same = |last: &Point| last.at_ms / step == point.at_ms / step;
            if tier.back().is_some_and(is_same) {
                continue;
            }
            if tier.len() >= most {
                tier.pop_front();
            }
            tier.push_back(point);
        }
    }

    /// Its points since a moment, oldest first: of each time the finest that there are.
    pub(super) fn since(&self, from_ms: u64) -> Vec<Point> {
        let mut all = VecDeque::new();
        let mut end_ms = u64::MAX;
        for tier in &self.tiers {
            let older = tier.iter().rev().skip_while(|point| point.at_ms >= end_ms);
            for point in older.take_while(|point| point.at_ms >= from_ms) {
                all.push_front(*point);
            }
            end_ms = tier.front().map_or(end_ms, |first| first.at_ms.min(end_ms));
        }
        all.into()
    }

    fn newest_ms(&self) -> Option<u64> {
        self.tiers.iter().filter_map(|tier| Some(tier.back()?.at_ms)).max()
    }

    fn forget_after(&mut self, moment_ms: u64) {
        for tier in &mut self.tiers {
            tier.retain(|point| point.at_ms <= moment_ms);
        }
    }
}

/// The history of everything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct History {
    pub(super) series: BTreeMap<Thing, Series>,
    /// Since when, by the clock that never goes back, the wall clock is behind the newest point.
    behind_since_ms: Option<u64>,
}

impl History {
    pub(super) fn of(series: BTreeMap<Thing, Series>) -> Self {
        Self { series, behind_since_ms: None }
    }

    /// Takes what was measured now, where a finest step has passed; tells whether it did. What was not measured is
    /// gone, and so is its history.
    pub(super) fn take(&mut self, monotonic_ms: u64, now: &[(Thing, Point)]) -> bool {
        let Some(at_ms) = now.first().map(|(_, point)| point.at_ms) else { return false };
        let newest = self.series.values().filter_map(Series::newest_ms).max();
        if newest.is_some_and(|newest| newest > at_ms) {
            let since = *self.behind_since_ms.get_or_insert(monotonic_ms);
            if monotonic_ms.saturating_sub(since) < BEHIND_MAX_MS {
                return false;
            }
            tracing::warn!("the clock is behind what was measured: what seems to come is dropped");
            self.series.values_mut().for_each(|series| series.forget_after(at_ms));
        }
        self.behind_since_ms = None;
        let step = TIERS[0].0;
        if newest.is_some_and(|newest| newest <= at_ms && newest / step == at_ms / step) {
            return false;
        }
        self.series.retain(|thing, _| now.iter().any(|(there, _)| there == thing));
        for (thing, point) in now {
            self.series.entry(*thing).or_default().add(*point);
        }
        true
    }

    /// The points of a thing since a moment.
    pub(super) fn since(&self, thing: Thing, from_ms: u64) -> Vec<Point> {
        self.series.get(&thing).map(|series| series.since(from_ms)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_795_600_800_000;

    fn at(at_ms: u64, used_bytes: u64) -> Vec<(Thing, Point)> {
        let point = Point { at_ms, used_bytes, ..Point::default() };
        vec![(Thing::Pool, point), (Thing::Volume(Id(7)), point)]
    }

    #[test]
    fn three_years_stay_bounded_and_are_told_finest_first() {
        let mut history = History::default();
        let end = START_MS + 3 * 365 * DAY_MS;
        for at_ms in (START_MS..=end).step_by(usize::try_from(TIERS[0].0).unwrap()) {
            assert!(history.take(0, &at(at_ms, at_ms)));
        }
        let series = &history.series[&Thing::Pool];
        let lens = [0, 1, 2].map(|tier| series.tiers[tier].len());
        assert_eq!(lens, TIERS.map(|(_, most)| most));
        let all = history.since(Thing::Pool, 0);
        assert!(all.is_sorted_by(|a, b| a.at_ms < b.at_ms), "in order, and none twice");
        let gaps: Vec<_> = all.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms).collect();
        let finest = gaps.iter().filter(|gap| **gap == TIERS[0].0).count();
        assert!((575..=576).contains(&finest), "{finest}");
        assert!(gaps.iter().all(|gap| *gap <= DAY_MS));
        assert!((700..735).contains(&((end - all[0].at_ms) / DAY_MS)));
        let week = history.since(Thing::Pool, end - 7 * DAY_MS);
        assert!(week.iter().all(|point| point.at_ms >= end - 7 * DAY_MS) && week.len() > 690);
    }

    #[test]
    fn within_a_step_nothing_is_added_and_what_is_gone_is_forgotten() {
        let mut history = History::default();
        assert!(history.take(0, &at(START_MS, 1)));
        assert!(!history.take(0, &at(START_MS + 1000, 2)));
        let pool = at(START_MS + TIERS[0].0, 3)[..1].to_vec();
        assert!(history.take(0, &pool));
        assert_eq!(history.since(Thing::Volume(Id(7)), 0), []);
        assert_eq!(history.since(Thing::Pool, 0).len(), 2);
    }

    #[test]
    fn a_clock_that_is_wrong_for_a_while_costs_nothing_and_one_that_was_ahead_is_got_over() {
        let mut history = History::default();
        history.take(0, &at(START_MS, 1));
        history.take(0, &at(START_MS + DAY_MS, 2));
        assert!(!history.take(1000, &at(5, 3)), "behind by years");
        assert_eq!(history.since(Thing::Pool, 0).len(), 2);
        assert!(history.take(2000, &at(START_MS + 2 * DAY_MS, 4)), "right again");
        // It was ahead, and is right for good.
        assert!(!history.take(3000, &at(START_MS + DAY_MS, 5)));
        assert!(history.take(3000 + DAY_MS, &at(START_MS + DAY_MS + TIERS[0].0, 6)));
        let used: Vec<_> =
            history.since(Thing::Pool, 0).iter().map(|point| point.used_bytes).collect();
        assert_eq!(used, [1, 2, 6]);
    }
}
