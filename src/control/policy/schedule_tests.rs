//! Schedules against an oracle that walks through every minute and looks at the clock on the wall.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn runs(schedule: &Schedule, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let next = |at: &Timestamp| schedule.next_after(*at);
    std::iter::successors(next(&from), next).take_while(|run| *run <= to).collect()
}

/// Every minute after `from` up to `to` with what the wall shows then.
fn minutes(
    from: Timestamp,
    to: Timestamp,
    zone: &TimeZone,
) -> impl Iterator<Item = (Timestamp, DateTime)> {
    let first = from.as_second() / 60 + 1;
    (first..=to.as_second() / 60).map(move |minute| {
        let moment = Timestamp::from_second(minute * 60).unwrap();
        (moment, zone.to_datetime(moment))
    })
}

/// The first moment of each day at which the wall shows this time or a later one.
fn once_a_day(
    from: Timestamp,
    to: Timestamp,
    zone: &TimeZone,
    times: &[(i8, i8)],
) -> Vec<Timestamp> {
    let mut found = std::collections::BTreeMap::new();
    for (moment, wall) in minutes(from, to, zone) {
        for time in times {
            if (wall.hour(), wall.minute()) >= *time {
                found.entry((wall.date(), *time)).or_insert(moment);
            }
        }
    }
    let mut moments: Vec<_> = found.into_values().collect();
    moments.sort();
    moments.dedup();
    moments
}

#[test]
fn a_year_of_short_intervals_follows_the_wall_minute_by_minute() {
    for name in ZONES {
        let zone = zone(name).unwrap();
        let (from, to) = (at("2027-12-31T20:00:00Z"), at("2029-01-01T00:00:00Z"));
        for (text, step) in [("1m", 1), ("5m", 5), ("20m", 20), ("1h", 60), ("60m", 60)] {
            let schedule = Schedule::every(text, zone.clone()).unwrap();
            let shown =
                minutes(from, to, &zone).filter(|(_, wall)| wall.minute() % step.min(60) == 0);
            let expected = shown.filter(|(_, wall)| step < 60 || wall.minute() == 0);
            let expected: Vec<_> = expected.map(|(moment, _)| moment).collect();
            assert_eq!(runs(&schedule, from, to), expected, "{text} in {name}");
        }
    }
}

#[test]
fn a_year_of_times_of_day_has_each_once_a_day() {
    for name in ZONES {
        let zone = zone(name).unwrap();
        // From and to midnight, so that no day is cut.
        let midnight = |date: &str| {
            let date: jiff::civil::Date = date.parse().unwrap();
            date.to_zoned(zone.clone()).unwrap().timestamp()
        };
        let (from, to) = (midnight("2028-01-01"), midnight("2029-01-01"));
        let (after, last) = (from - 1.second(), to - 1.second());
        let six_hours = [(0, 0), (6, 0), (12, 0), (18, 0)];
        let two_hours: Vec<_> = (0..12).map(|index| (index * 2, 0)).collect();
        let cases: [(Schedule, &[(i8, i8)]); 6] = [
            (Schedule::cron("30 2 * * *", zone.clone()).unwrap(), &[(2, 30)]),
            (
                Schedule::cron("10,50 1,2 * * *", zone.clone()).unwrap(),
                &[(1, 10), (1, 50), (2, 10), (2, 50)],
            ),
            (Schedule::cron("0 3 * * *", zone.clone()).unwrap(), &[(3, 0)]),
            (Schedule::every("1d", zone.clone()).unwrap(), &[(0, 0)]),
            (Schedule::every("6h", zone.clone()).unwrap(), &six_hours),
            (Schedule::every("2h", zone.clone()).unwrap(), &two_hours),
        ];
        for (schedule, times) in &cases {
            let expected = once_a_day(from - 1.second(), last, &zone, times);
            assert_eq!(runs(schedule, after, last), expected, "{times:?} in {name}");
        }
    }
}

#[test]
fn a_daily_job_at_half_past_two_in_berlin_runs_once_on_both_days_of_change() {
    let schedule = Schedule::cron("30 2 * * *", zone("Europe/Berlin").unwrap()).unwrap();
    // The clock goes from 02:00 to 03:00 at 01:00 UTC.
    let spring = runs(&schedule, at("2026-03-28T12:00:00Z"), at("2026-03-30T12:00:00Z"));
    assert_eq!(spring, [at("2026-03-29T01:00:00Z"), at("2026-03-30T00:30:00Z")]);
    // It goes from 03:00 to 02:00 at 01:00 UTC.
    let autumn = runs(&schedule, at("2026-10-24T12:00:00Z"), at("2026-10-26T12:00:00Z"));
    assert_eq!(autumn, [at("2026-10-25T00:30:00Z"), at("2026-10-26T01:30:00Z")]);
}

#[test]
fn an_hourly_job_runs_23_and_25_times_on_the_days_of_change() {
    let berlin = zone("Europe/Berlin").unwrap();
    for schedule in [
        Schedule::every("1h", berlin.clone()).unwrap(),
        Schedule::cron("7 * * * *", berlin.clone()).unwrap(),
    ] {
        for (date, count) in [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)] {
            let date: jiff::civil::Date = date.parse().unwrap();
            let start =
                |date: jiff::civil::Date| date.to_zoned(berlin.clone()).unwrap().timestamp();
            let (from, to) =
                (start(date) - 1.second(), start(date.tomorrow().unwrap()) - 1.second());
            assert_eq!(runs(&schedule, from, to).len(), count, "{date}");
        }
    }
}

#[test]
fn weeks_begin_on_monday_and_a_leap_day_comes() {
    let weekly = Schedule::every("1w", zone("UTC").unwrap()).unwrap();
    assert_eq!(weekly.next_after(at("2026-11-26T13:00:00Z")), Some(at("2026-11-30T00:00:00Z")));
    let leap = Schedule::cron("0 12 29 FEB *", zone("UTC").unwrap()).unwrap();
    assert_eq!(leap.next_after(at("2026-01-01T00:00:00Z")), Some(at("2028-02-29T12:00:00Z")));
    let weekdays = Schedule::cron("0 12 * JUL MON,WED", zone("UTC").unwrap()).unwrap();
    assert_eq!(weekdays.next_after(at("2026-01-01T00:00:00Z")), Some(at("2026-07-01T12:00:00Z")));
}

#[test]
fn what_makes_no_sense_is_named_with_what_would() {
    let utc = || zone("UTC").unwrap();
    for (text, says) in [
        ("7m", "6m or 10m"),
        ("5h", "4h or 6h"),
        ("45m", "30m or 60m"),
        ("", "1m to 60m"),
        ("0m", "1m to 60m"),
        ("61m", "1m to 60m"),
        ("2d", "1m to 60m"),
        ("m", "1m to 60m"),
        ("99999999999h", "1m to 60m"),
    ] {
        let error = Schedule::every(text, utc()).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
    for (text, says) in [
        ("30 2 * *", "4 fields"),
        ("30 2 * * * UTC", "6 fields"),
        ("60 2 * * *", "60 2 * * *"),
        ("0 0 L * *", "not known here"),
        ("0 0 * * 5L", "not known here"),
        ("0 0 15W * *", "not known here"),
        ("0 0 * * 5#3", "not known here"),
        ("0 0 31 2 *", "four years"),
    ] {
        let error = Schedule::cron(text, utc()).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
    assert!(zone("Mars/Olympus").unwrap_err().to_string().contains("Mars/Olympus"));
}

proptest! {
    #[test]
    fn runs_go_forward_and_none_lies_between_a_moment_and_the_next(
        zone_index in 0..ZONES.len(),
        second in 1_700_000_000_i64..1_900_000_000,
        minute in 0..60_u8,
        hour in 0..24_u8,
        is_hourly: bool,
        skip in 1..5000_i64,
    ) {
        let zone = zone(ZONES[zone_index]).unwrap();
        let hour = if is_hourly { "*".to_owned() } else { hour.to_string() };
        let schedule = Schedule::cron(&format!("{minute} {hour} * * *"), zone).unwrap();
        let from = Timestamp::from_second(second).unwrap();
        let next = schedule.next_after(from).unwrap();
        prop_assert!(next > from);
        let within = from + skip.seconds();
        if within < next {
            prop_assert_eq!(schedule.next_after(within), Some(next));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}") {
        let _ = Schedule::every(&text, TimeZone::UTC);
        let _ = Schedule::cron(&text, TimeZone::UTC);
    }
}
