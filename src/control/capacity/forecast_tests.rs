//! Forecasts against what then happens: steady growth, noise, steps, deletions, weekends.

use proptest::prelude::*;

use super::*;
use crate::capacity::history::{Series, TIERS};

const GIB: u64 = 1 << 30;
const START_MS: u64 = 1_795_600_800_000;
const HOUR_MS: u64 = DAY_MS / 24;

/// What is known of a value after so many days of it, measured as the appliance does.
fn seen(days: u64, value: impl Fn(f64) -> u64) -> (Vec<Point>, u64) {
    let mut series = Series::default();
    let end_ms = START_MS + days * DAY_MS;
    for at_ms in (START_MS..=end_ms).step_by(usize::try_from(TIERS[0].0).unwrap()) {
        let used_bytes = value(super::days(at_ms - START_MS));
        series.add(Point { at_ms, used_bytes, ..Point::default() });
    }
    (series.since(end_ms.saturating_sub(Evidence::SPAN_MS)), end_ms)
}

fn forecast(days: u64, size: u64, value: impl Fn(f64) -> u64) -> Forecast {
    let (points, now_ms) = seen(days, value);
    let used = points.last().unwrap().used_bytes;
    Evidence::of(&points, |point| point.used_bytes).trend().forecast(used, size, now_ms)
}

/// Days from the end of history until the value reaches the size.
fn truth(days: u64, size: u64, value: impl Fn(f64) -> u64) -> f64 {
    let minutes = (0..).find(|minute| value(days as f64 + f64::from(*minute) / 1440.0) >= size);
    f64::from(minutes.unwrap()) / 1440.0
}

fn ahead(moment_ms: Option<u64>, days: u64) -> Option<f64> {
    moment_ms.map(|at| super::days(at - (START_MS + days * DAY_MS)))
}

fn grown(day: f64, per_day: f64) -> u64 {
    whole(50.0 * GIB as f64 + day * per_day).unsigned_abs()
}

/// Noise without chance: the same for the same moment, between -1 and 1.
fn noise(day: f64, seed: u64) -> f64 {
    let slot = whole(day * 1440.0).unsigned_abs() ^ (seed << 32);
    let mixed = slot.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
    mixed as f64 / f64::from(1 << 23) - 1.0
}

#[test]
fn before_a_day_of_history_nothing_is_said_but_when_there_will_be() {
    let (points, _) = seen(1, |day| grown(day, GIB as f64));
    let short = &points[..points.len() - 1];
    let now_ms = short.last().unwrap().at_ms;
    let told = Evidence::of(short, |point| point.used_bytes).trend().forecast(GIB, 2 * GIB, now_ms);
    assert_eq!(told.outlook, Outlook::NotEnoughHistory);
    assert_eq!((told.enough_ms, told.likely_ms), (Some(START_MS + DAY_MS), None));
    assert_eq!(told.days_to_full(now_ms), None);
    let few: Vec<_> = points.iter().step_by(100).copied().collect();
    assert_eq!(Evidence::of(&few, |point| point.used_bytes).trend().bytes_per_day(), None);
    assert_eq!(forecast(1, 100 * GIB, |day| grown(day, GIB as f64)).outlook, Outlook::Fills);
    assert_eq!(Evidence::default().trend(), Trend::default());
}

#[test]
fn what_stands_shrinks_or_creeps_is_never_full_and_what_is_full_is() {
    let stands = forecast(30, 100 * GIB, |_| GIB);
    assert_eq!((stands.outlook, stands.bytes_per_day), (Outlook::Never, Some(0)));
    assert_eq!(stands.days_to_full(0), Some(f64::INFINITY));
    let shrinks = forecast(30, 100 * GIB, |day| grown(day, -(GIB as f64)));
    assert_eq!(shrinks.outlook, Outlook::Never);
    assert_eq!((shrinks.bytes_per_day, shrinks.earliest_ms), (Some(-(GIB as i64)), None));
    assert_eq!(forecast(30, 100 * GIB, |day| grown(day, 1000.0)).outlook, Outlook::Never);
    let full = forecast(30, 50 * GIB, |day| grown(day, GIB as f64));
    assert_eq!((full.outlook, full.days_to_full(0)), (Outlook::Full, Some(0.0)));
}

#[test]
fn nights_and_weekends_are_within_the_range() {
    // Ten working hours on five days a week.
    let value = |day: f64| {
        let whole_days = whole(day.floor()).unsigned_abs();
        let worked = |days: u64| days / 7 * 5 + (days % 7).min(5);
        let today = if whole_days % 7 < 5 {
            ((day.fract() * 24.0 - 8.0) / 10.0).clamp(0.0, 1.0)
        } else {
            0.0
        };
        grown(worked(whole_days) as f64 + today, GIB as f64)
    };
    for days in [21, 24, 27, 30] {
        let told = forecast(days, 100 * GIB, value);
        let truth = truth(days, 100 * GIB, value);
        let [earliest, likely] =
            [told.earliest_ms, told.likely_ms].map(|at| ahead(at, days).unwrap());
        println!(
            "working hours, day {days}: full in {truth:.1} days; likely {likely:.1}, earliest {earliest:.1}, \
             latest {:.1?}",
            ahead(told.latest_ms, days)
        );
        assert!((likely - truth).abs() < truth * 0.25, "{likely} {truth}");
        assert!(earliest <= truth, "{earliest} {truth}");
        assert!(ahead(told.latest_ms, days).is_none_or(|latest| latest >= truth * 0.9));
    }
}

#[test]
fn a_restored_backup_or_a_removed_mark_does_not_tip_it() {
    for step in [20.0, -20.0] {
        let value = |day: f64| {
            grown(day, GIB as f64 / 4.0)
                + if day > 28.8 { whole(20.0 * GIB as f64).unsigned_abs() } else { 0 }
        };
        let removed =
            |day: f64| grown(day, GIB as f64 / 4.0) - if day > 28.8 { 20 * GIB } else { 0 };
        let (told, truth) = match step > 0.0 {
            true => (forecast(30, 100 * GIB, value), truth(30, 100 * GIB, value)),
            false => (forecast(30, 100 * GIB, removed), truth(30, 100 * GIB, removed)),
        };
        let likely = ahead(told.likely_ms, 30).unwrap();
        println!("a step of {step} GiB: full in {truth:.1} days; likely {likely:.1}");
        assert!((likely - truth).abs() < truth * 0.15, "{likely} {truth}");
    }
}

proptest! {
    #[test]
    fn steady_growth_is_found_within_a_day(
        days in 1..90u64, per_day in 1..4000u64, room in 1..400u64,
    ) {
        let per_day = per_day * (GIB / 1000);
        let value = |day: f64| grown(day, per_day as f64);
        let used = value(days as f64);
        let size = used + room * per_day;
        let told = forecast(days, size, value);
        let likely = ahead(told.likely_ms, days).unwrap();
        prop_assert!((likely - room as f64).abs() < 1.0, "{likely} {room}");
        prop_assert!(told.earliest_ms <= told.likely_ms);
        prop_assert!(told.latest_ms.unwrap() >= told.likely_ms.unwrap());
        // The range is narrow where nothing is uncertain.
        prop_assert!((ahead(told.latest_ms, days).unwrap() - room as f64).abs() < 1.0);
    }

    #[test]
    fn noise_moves_it_by_a_tenth_at_most_and_the_truth_is_in_the_range(
        days in 8..60u64, per_day in 1..8u64, seed in 0..1000u64,
    ) {
        let per_day = per_day as f64 * GIB as f64 / 4.0;
        let size = grown(days as f64 + 100.0, per_day);
        let value = |day: f64| {
            let noise = noise(day, seed) * per_day / 2.0;
            whole(grown(day, per_day) as f64 + noise).unsigned_abs()
        };
        let told = forecast(days, size, value);
        let likely = ahead(told.likely_ms, days).unwrap();
        prop_assert!((likely - 100.0).abs() < 10.0, "{likely}");
        prop_assert!(ahead(told.earliest_ms, days).unwrap() < 101.0);
        prop_assert!(ahead(told.latest_ms, days).is_none_or(|latest| latest > 99.0));
    }

    #[test]
    fn whatever_was_measured_the_moments_are_in_order(
        values in prop::collection::vec(0..u64::MAX, 2..200), size: u64,
    ) {
        let points: Vec<_> = (0..).zip(&values).map(|(n, used_bytes)| Point {
            at_ms: START_MS + n * HOUR_MS, used_bytes: *used_bytes, ..Point::default()
        }).collect();
        let now_ms = points.last().unwrap().at_ms;
        let told = Evidence::of(&points, |point| point.used_bytes)
            .trend().forecast(*values.last().unwrap(), size, now_ms);
        if let Some(likely) = told.likely_ms {
            prop_assert!(told.earliest_ms.is_some_and(|earliest| now_ms <= earliest && earliest <= likely));
            prop_assert!(told.latest_ms.is_none_or(|latest| latest >= likely));
        }
        prop_assert_eq!(told.outlook == Outlook::Fills, told.likely_ms.is_some());
    }
}
