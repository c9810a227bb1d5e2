//! Retention against an oracle that looks at all marks that were ever taken and at printed dates.

use std::collections::{BTreeMap, BTreeSet};

use base::limits::MARKS_PER_VOLUME_MAX;
use jiff::ToSpan;
use proptest::prelude::*;

use super::*;
use crate::policy::schedule::{Schedule, zone};

const KEEP: Keep = Keep { last: 24, hourly: 36, daily: 14, weekly: 8, monthly: 14, yearly: 3 };

/// The marks that stay of all that were ever taken.
fn oracle(keep: &Keep, taken: &[Timestamp], zone: &TimeZone) -> BTreeSet<Timestamp> {
    let mut stay: BTreeSet<Timestamp> =
        taken.iter().rev().take(usize::from(keep.last).max(1)).copied().collect();
    for (format, count) in [
        ("%Y-%m-%d %H %:z", keep.hourly),
        ("%Y-%m-%d", keep.daily),
        ("%G-%V", keep.weekly),
        ("%Y-%m", keep.monthly),
        ("%Y", keep.yearly),
    ] {
        // By first mark rather than by its text: the text of an hour that comes twice sorts wrongly.
        let mut first: BTreeMap<String, Timestamp> = BTreeMap::new();
        for at in taken {
            let text = at.to_zoned(zone.clone()).strftime(format).to_string();
            let known = first.entry(text).or_insert(*at);
            *known = (*known).min(*at);
        }
        let firsts: BTreeSet<Timestamp> = first.into_values().collect();
        stay.extend(firsts.into_iter().rev().take(usize::from(count)));
    }
    stay
}

/// A simulated life of a volume with other marks and held ones beside those of the policy.
struct Life {
    zone: TimeZone,
    taken: Vec<Timestamp>,
    marks: Vec<Stamp>,
    /// What keeps a mark beside the policy: until when, or for good.
    kept: BTreeMap<Timestamp, Option<Timestamp>>,
    most: usize,
}

impl Life {
    fn run(&mut self, keep: &Keep, at: Timestamp, room: usize) {
        self.taken.push(at);
        self.marks.push(Stamp::new(at, &self.zone));
        self.most = self.most.max(self.marks.len());
        let pinned: Vec<_> = self.marks.iter().map(|mark| self.keeps(mark.at, at)).collect();
        let mut going = keep.going(&self.marks, &pinned, room).into_iter().peekable();
        let mut index = 0;
        self.marks.retain(|_| {
            let goes = going.next_if_eq(&index).is_some();
            index += 1;
            !goes
        });
    }

    fn keeps(&self, mark: Timestamp, now: Timestamp) -> bool {
        self.kept.get(&mark).is_some_and(|end| end.is_none_or(|end| now < end))
    }

    fn times(&self) -> BTreeSet<Timestamp> {
        self.marks.iter().map(|mark| mark.at).collect()
    }
}

fn live_a_year(name: &str) {
    let zone = zone(name).unwrap();
    let schedule = Schedule::every("5m", zone.clone()).unwrap();
    let (mut at, end): (Timestamp, Timestamp) =
        ("2027-12-28T00:00:00Z".parse().unwrap(), "2029-01-05T00:00:00Z".parse().unwrap());
    let beside = Beside { volume: "mail".into(), foreign: 20, ..Beside::default() };
    assert_eq!(KEEP.check_fit(&beside), Ok(()));
    let mut life = Life { zone, taken: vec![], marks: vec![], kept: BTreeMap::new(), most: 0 };
    let mut looks = 0;
    while at < end {
        at = schedule.next_after(at).unwrap();
        // A hold with an end every other day, one without every month, and a daily lock for ten days.
        match life.taken.len() {
            count if count % 577 == 5 => drop(life.kept.insert(at, Some(at + (24 * 30).hours()))),
            count if count % 9001 == 7 => drop(life.kept.insert(at, None)),
            count if count % 288 == 9 => drop(life.kept.insert(at, Some(at + (24 * 10).hours()))),
            _ => {}
        }
        life.run(&KEEP, at, MARKS_PER_VOLUME_MAX);
        // A number of runs that drifts through the day and sees the days of change at all hours.
        if life.taken.len().is_multiple_of(1999) {
            looks += 1;
            let mut expected = oracle(&KEEP, &life.taken, &life.zone);
            let kept = life.kept.keys().copied();
            expected.extend(kept.filter(|mark| life.keeps(*mark, at)));
            assert_eq!(life.times(), expected, "at {at} in {name}");
        }
    }
    assert!(looks > 50, "{looks}");
    assert!(life.taken.len() > 105_000, "{}", life.taken.len());
    assert!(life.most + beside.foreign <= MARKS_PER_VOLUME_MAX, "{}", life.most);
    let wall = |at: &Timestamp| at.to_zoned(life.zone.clone());
    let has = |date: &str| life.times().iter().any(|at| wall(at).date().to_string() == date);
    assert!(has("2028-01-01") && has("2028-12-01"), "the first of months stays");
}

#[test]
fn a_year_in_berlin_keeps_exactly_what_it_should() {
    live_a_year("Europe/Berlin");
}

#[test]
fn a_year_in_new_york_keeps_exactly_what_it_should() {
    live_a_year("America/New_York");
}

#[test]
fn a_year_on_lord_howe_keeps_exactly_what_it_should() {
    live_a_year("Australia/Lord_Howe");
}

#[test]
fn a_year_in_utc_keeps_exactly_what_it_should() {
    live_a_year("UTC");
}

#[test]
fn a_leap_day_is_a_day_and_the_hour_that_comes_twice_is_two() {
    let berlin = zone("Europe/Berlin").unwrap();
    let hourly = Schedule::every("1h", berlin.clone()).unwrap();
    let next = |at: &Timestamp| hourly.next_after(*at);
    let stamps = |from: &str, count: usize| -> Vec<Stamp> {
        let from: Timestamp = from.parse().unwrap();
        let runs = std::iter::successors(next(&from), next).take(count);
        runs.map(|at| Stamp::new(at, &berlin)).collect()
    };
    let keep = Keep { daily: 100, ..Keep::default() };
    let days = stamps("2028-02-27T22:59:00Z", 72);
    let firsts =
        keep.reasons(&days).iter().filter(|why| why.classes().contains(&Class::Daily)).count();
    assert_eq!(firsts, 3, "the 28th, the 29th and the 1st");
    let keep = Keep { hourly: 100, ..Keep::default() };
    let hours = stamps("2026-10-24T21:59:00Z", 25);
    let firsts =
        keep.reasons(&hours).into_iter().filter(|why| why.classes().contains(&Class::Hourly));
    assert_eq!(firsts.count(), 25);
}

#[test]
fn a_held_mark_never_goes_and_takes_room() {
    let zone = zone("UTC").unwrap();
    let start: Timestamp = "2028-02-28T12:00:00Z".parse().unwrap();
    let mut life = Life { zone, taken: vec![], marks: vec![], kept: BTreeMap::new(), most: 0 };
    for minute in 0..5000_i64 {
        let at = start + (minute * 5).minutes();
        if minute % 100 == 7 {
            life.kept.insert(at, None);
        }
        life.run(&KEEP, at, 110);
        let held = life.kept.keys().filter(|held| **held <= at);
        let times = life.times();
        assert!(held.clone().all(|held| times.contains(held)));
        assert!(times.contains(&at), "the newest stays");
        assert!(life.marks.len() <= 110.max(held.count() + 1), "{}", life.marks.len());
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_sum() {
    let beside = Beside { volume: "mail".into(), foreign: 100, locked: 0, policies: 50 };
    let error = KEEP.check_fit(&Beside { foreign: 157, ..beside.clone() }).unwrap_err().to_string();
    for part in [
        "24 last + 36 hourly",
        "= 99 marks",
        "mail has 157",
        "50 to other",
        "307 together",
        "keep 51 fewer",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(KEEP.check_fit(&Beside { foreign: 106, ..beside.clone() }), Ok(()), "256 in all");
    assert!(KEEP.check_fit(&Beside { foreign: 107, ..beside }).is_err());
    assert!(Keep::default().check_fit(&Beside::default()).is_err());
    let locked = Beside { locked: 200, ..Beside::default() };
    let error = KEEP.check_fit(&locked).unwrap_err().to_string();
    for part in ["176 more of which none can go", "276 together", "shorter time"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(
        KEEP.check_fit(&Beside { locked: 180, ..locked }),
        Ok(()),
        "the newest are kept anyway"
    );
}

#[test]
fn a_clock_that_was_ahead_or_behind_makes_no_mark_go() {
    let keep = Keep { daily: 3, ..Keep::default() };
    let days = ["2026-01-01", "2026-01-02", "2036-06-06", "2026-01-03"];
    let stamps: Vec<_> = days
        .iter()
        .map(|day| Stamp::new(format!("{day}T12:00:00Z").parse().unwrap(), &TimeZone::UTC))
        .collect();
    assert_eq!(keep.going(&stamps, &[], 256), [0], "the newest three days that have a mark");
    let again: Vec<_> = [stamps[3], stamps[1], stamps[3]].to_vec();
    assert_eq!(keep.going(&again, &[], 256), [0_usize; 0]);
}

proptest! {
    #[test]
    fn no_more_stay_than_there_is_room_for_and_pinned_ones_stay(
        gaps in prop::collection::vec(1..500_000_i64, 1..300),
        pins in prop::collection::vec(any::<bool>(), 300),
        counts in prop::array::uniform6(0..40_u16),
        room in 1..256_usize,
        pin_few: bool,
    ) {
        let [last, hourly, daily, weekly, monthly, yearly] = counts;
        let keep = Keep { last, hourly, daily, weekly, monthly, yearly };
        let zone = zone("Australia/Lord_Howe").unwrap();
        let mut at = Timestamp::from_second(1_800_000_000).unwrap();
        let times: Vec<_> = gaps.iter().map(|gap| { at += gap.seconds(); at }).collect();
        let stamps: Vec<_> = times.iter().map(|at| Stamp::new(*at, &zone)).collect();
        let pinned: Vec<bool> = (0..stamps.len()).map(|i| pins[i] && (!pin_few || i % 16 == 0)).collect();
        let going = keep.going(&stamps, &pinned, room);
        let staying = stamps.len() - going.len();
        let pinned_count = pinned.iter().filter(|pinned| **pinned).count();
        prop_assert!(staying <= room.max(pinned_count + 1));
        prop_assert!(going.iter().all(|index| !pinned[*index] && *index != stamps.len() - 1));
        let expected = oracle(&keep, &times, &zone);
        prop_assert!(expected.len() <= keep.sum().max(1));
        if expected.len() + pinned_count <= room {
            let gone: BTreeSet<_> = going.iter().map(|index| times[*index]).collect();
            for (index, at) in times.iter().enumerate() {
                prop_assert_eq!(!gone.contains(at), expected.contains(at) || pinned[index]);
            }
        }
    }
}
