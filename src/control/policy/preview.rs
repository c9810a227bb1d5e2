//! What there will be at a date: a policy played forward from the marks that exist.
//!
//! It takes each run to be on time and to find something changed, the daemon to run all the time, and holds without
//! an end to stay. Runs that an amount of changed data would trigger are not foreseen.

use base::name::Name;
use base::span::Span;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keep::{Class, Keep, Stamp};
use super::rules::Times;

/// How far ahead one can look: a leap year and a day, so that a yearly mark is seen to come.
pub const AHEAD_DAYS_MAX: i64 = 367;
/// Marks beyond those that stay after which they are thinned: what is left does not depend on it.
const BATCH: usize = 4096;

/// A mark of the policy that exists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Existing {
    /// Its name.
    pub name: Name,
    /// When it was taken.
    pub at: Timestamp,
    /// Until when it stays whatever the policy says: always, where something keeps it that has no end.
    pub pinned_until: Option<Timestamp>,
}

/// A mark that there will be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Foreseen {
    /// When it was or will be taken, milliseconds since 1970.
    pub taken_ms: u64,
    /// Its name, where it exists already.
    pub name: Option<Name>,
    /// What it is kept for; nothing, where it is held or locked, or a view shows it.
    pub kept_for: Vec<Class>,
}

/// What there will be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Outlook {
    /// How many runs there are until then.
    pub runs: usize,
    /// The marks of the policy, oldest first.
    pub marks: Vec<Foreseen>,
    /// Those that exist now and will be gone.
    pub gone: Vec<Name>,
}

struct Mark {
    stamp: Stamp,
    existing: Option<Name>,
    pinned_until: Option<Timestamp>,
}

/// What is played forward.
#[derive(Clone, Copy, Debug)]
pub struct Play<'a> {
    /// When it runs.
    pub times: &'a Times,
    /// What stays.
    pub keep: &'a Keep,
    /// For how long each mark is locked.
    pub lock: Option<Span>,
    /// How many marks it may have.
    pub room: usize,
}

impl Play<'_> {
    /// The run after this one.
    fn next(&self, at: Timestamp) -> Option<Timestamp> {
        let by_clock = self.times.schedule.as_ref().and_then(|schedule| schedule.next_after(at));
        let by_time = self.times.passed.and_then(|passed| later(at, passed));
        by_clock.into_iter().chain(by_time).min()
    }

    /// The first run, where the last one was then.
    fn first(&self, now: Timestamp, last: Option<Timestamp>) -> Option<Timestamp> {
        let by_clock = self.times.schedule.as_ref().and_then(|schedule| schedule.next_after(now));
        let by_time = self
            .times
            .passed
            .map(|passed| last.and_then(|last| later(last, passed)).map_or(now, |at| at.max(now)));
        by_clock.into_iter().chain(by_time).min()
    }
}

fn later(at: Timestamp, by: Span) -> Option<Timestamp> {
    let by = SignedDuration::from_millis(i64::try_from(by.ms()).ok()?);
    at.checked_add(by).ok()
}

/// The marks of a policy at `date`, seen from `now`.
pub fn outlook(play: &Play<'_>, existing: Vec<Existing>, span: (Timestamp, Timestamp)) -> Outlook {
    let ((now, date), Play { times, keep, .. }) = (span, play);
    let names: Vec<Name> = existing.iter().map(|mark| mark.name.clone()).collect();
    let last = existing.last().map(|mark| mark.at);
    let known = existing.into_iter();
    let mut marks: Vec<Mark> = known
        .map(|mark| Mark {
            stamp: Stamp::new(mark.at, &times.zone),
            existing: Some(mark.name),
            pinned_until: mark.pinned_until,
        })
        .collect();
    let (mut runs, mut latest) = (0, now);
    // Where there is too little room, or marks are free one by one, each run decides; else only what comes
    // after it does.
    let is_free = play.lock.is_none() && keep.sum() + marks.len() < play.room;
    let limit = if is_free { BATCH } else { 0 };
    let next = |at: &Timestamp| play.next(*at);
    let all = std::iter::successors(play.first(now, last), next);
    for at in all.take_while(|at| *at <= date) {
        (runs, latest) = (runs + 1, at);
        let pinned_until = play.lock.and_then(|lock| later(at, lock));
        marks.push(Mark { stamp: Stamp::new(at, &times.zone), existing: None, pinned_until });
        if marks.len() > limit {
            thin(&mut marks, play, at);
        }
    }
    if runs > 0 {
        thin(&mut marks, play, latest);
    }
    let stamps: Vec<_> = marks.iter().map(|mark| mark.stamp).collect();
    let reasons = keep.reasons(&stamps);
    let marks: Vec<Foreseen> = marks
        .into_iter()
        .zip(reasons)
        .map(|(mark, reasons)| Foreseen {
            taken_ms: u64::try_from(mark.stamp.at.as_millisecond()).unwrap_or(0),
            name: mark.existing,
            kept_for: reasons.classes(),
        })
        .collect();
    let stays = |name: &Name| marks.iter().any(|mark| mark.name.as_ref() == Some(name));
    let gone = names.into_iter().filter(|name| !stays(name)).collect();
    Outlook { runs, marks, gone }
}

fn thin(marks: &mut Vec<Mark>, play: &Play<'_>, at: Timestamp) {
    let stamps: Vec<_> = marks.iter().map(|mark| mark.stamp).collect();
    let is_pinned = |mark: &Mark| mark.pinned_until.is_some_and(|until| at < until);
    let pinned: Vec<_> = marks.iter().map(is_pinned).collect();
    let mut going = play.keep.going(&stamps, &pinned, play.room).into_iter().peekable();
    let mut index = 0;
    marks.retain(|_| {
        let goes = going.next_if_eq(&index).is_some();
        index += 1;
        !goes
    });
}

#[cfg(test)]
mod tests {
    use jiff::{ToSpan, tz::TimeZone};

    use super::*;
    use crate::policy::schedule::Schedule;

    fn times(every: &str) -> Times {
        let schedule = Schedule::every(every, TimeZone::UTC).unwrap();
        Times { schedule: Some(schedule), passed: None, zone: TimeZone::UTC }
    }

    fn play<'a>(times: &'a Times, keep: &'a Keep) -> Play<'a> {
        Play { times, keep, lock: None, room: 256 }
    }

    fn existing(name: &str, at: &str, is_pinned: bool) -> Existing {
        let pinned_until = is_pinned.then_some(Timestamp::MAX);
        Existing { name: name.parse().unwrap(), at: at.parse().unwrap(), pinned_until }
    }

    #[test]
    fn a_look_ahead_tells_what_comes_what_stays_and_what_goes() {
        let keep = Keep { daily: 3, monthly: 2, ..Keep::default() };
        let marks = vec![
            existing("first", "2026-11-01T00:00:00Z", false),
            existing("held", "2026-11-09T00:00:00Z", true),
            existing("old", "2026-11-10T00:00:00Z", false),
        ];
        let span =
            ("2026-11-10T12:00:00Z".parse().unwrap(), "2026-11-20T12:00:00Z".parse().unwrap());
        let seen = outlook(&play(&times("1d"), &keep), marks, span);
        assert_eq!(seen.runs, 10);
        assert_eq!(seen.gone, ["old".parse().unwrap()]);
        let shown: Vec<_> = seen
            .marks
            .iter()
            .map(|mark| {
                let day = Timestamp::from_millisecond(mark.taken_ms.try_into().unwrap()).unwrap();
                (day.to_string()[..10].to_owned(), mark.kept_for.clone())
            })
            .collect();
        let day = |text: &str, classes: &[Class]| (text.to_owned(), classes.to_vec());
        assert_eq!(
            shown,
            [
                day("2026-11-01", &[Class::Monthly]),
                day("2026-11-09", &[]),
                day("2026-11-18", &[Class::Daily]),
                day("2026-11-19", &[Class::Daily]),
                day("2026-11-20", &[Class::Last, Class::Daily]),
            ]
        );
    }

    #[test]
    fn a_look_ahead_is_what_comes_about_run_by_run() {
        let keep = Keep { last: 5, hourly: 7, daily: 5, weekly: 3, monthly: 4, yearly: 1 };
        let times = times("5m");
        let start: Timestamp = "2027-12-20T00:00:00Z".parse().unwrap();
        for room in [256, 12] {
            let end = start + (24 * 45).hours();
            let play = Play { room, ..play(&times, &keep) };
            let all = outlook(&play, vec![], (start, end));
            let mut marks: Vec<Mark> = Vec::new();
            let mut at = start;
            while let Some(next) =
                times.schedule.as_ref().unwrap().next_after(at).filter(|next| *next <= end)
            {
                let stamp = Stamp::new(next, &times.zone);
                marks.push(Mark { stamp, existing: None, pinned_until: None });
                thin(&mut marks, &play, next);
                at = next;
            }
            let lived: Vec<_> = marks.iter().map(|mark| mark.stamp.at.as_millisecond()).collect();
            let seen: Vec<_> =
                all.marks.iter().map(|mark| i64::try_from(mark.taken_ms).unwrap()).collect();
            assert_eq!(seen, lived, "room for {room}");
            assert!(lived.len() > 10 && lived.len() <= room, "{}", lived.len());
        }
    }

    #[test]
    fn before_the_first_run_everything_is_as_it_is() {
        let marks = vec![
            existing("a", "2026-11-01T00:00:00Z", false),
            existing("b", "2026-11-01T01:00:00Z", false),
        ];
        let span =
            ("2026-11-10T12:00:00Z".parse().unwrap(), "2026-11-10T13:00:00Z".parse().unwrap());
        let keep = Keep { daily: 1, ..Keep::default() };
        let seen = outlook(&play(&times("1d"), &keep), marks, span);
        assert_eq!((seen.runs, seen.marks.len(), seen.gone.len()), (0, 2, 0));
    }

    #[test]
    fn locked_marks_stay_for_their_time_and_go_after_it() {
        let keep = Keep { last: 2, ..Keep::default() };
        let times = times("1d");
        let span =
            ("2026-11-10T12:00:00Z".parse().unwrap(), "2026-12-20T12:00:00Z".parse().unwrap());
        let marks = vec![
            Existing {
                pinned_until: Some("2026-12-20T00:00:00Z".parse().unwrap()),
                ..existing("ends", "2026-11-01T00:00:00Z", false)
            },
            Existing {
                pinned_until: Some("2026-12-20T00:00:01Z".parse().unwrap()),
                ..existing("stays", "2026-11-02T00:00:00Z", false)
            },
        ];
        let lock = Some("10d".parse().unwrap());
        let seen = outlook(&Play { lock, ..play(&times, &keep) }, marks, span);
        assert_eq!((seen.runs, seen.gone), (40, vec!["ends".parse().unwrap()]));
        assert_eq!(seen.marks.len(), 1 + 10, "those of the last ten days, and one before");
        assert_eq!(seen.marks[1].kept_for, []);
        assert_eq!(seen.marks[10].kept_for, [Class::Last]);
    }

    #[test]
    fn what_runs_when_time_has_passed_counts_from_its_last_run() {
        let keep = Keep { last: 9, ..Keep::default() };
        let passed = Some("90m".parse().unwrap());
        let span: (Timestamp, Timestamp) =
            ("2026-11-10T12:00:00Z".parse().unwrap(), "2026-11-10T18:00:00Z".parse().unwrap());
        let taken = |seen: Outlook| -> Vec<String> {
            let at = |mark: &Foreseen| {
                Timestamp::from_millisecond(mark.taken_ms.try_into().unwrap()).unwrap()
            };
            seen.marks.iter().map(|mark| at(mark).to_string()[11..16].to_owned()).collect()
        };
        let alone = Times { schedule: None, passed, zone: TimeZone::UTC };
        let marks = || vec![existing("a", "2026-11-10T11:00:00Z", false)];
        let seen = outlook(&play(&alone, &keep), marks(), span);
        assert_eq!(taken(seen), ["11:00", "12:30", "14:00", "15:30", "17:00"]);
        let seen = outlook(&play(&alone, &keep), vec![], span);
        assert_eq!(taken(seen)[..2], ["12:00", "13:30"], "at once, where it never ran");
        let both = Times { passed, ..times("4h") };
        let seen = outlook(&play(&both, &keep), marks(), span);
        assert_eq!(taken(seen), ["11:00", "12:30", "14:00", "15:30", "16:00", "17:30"]);
    }
}
