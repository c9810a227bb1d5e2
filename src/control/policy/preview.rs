//! What there will be at a date: a policy played forward from the marks that exist.
//!
//! It takes each run to be on time and to find something changed, and what is held now to stay so. Runs that
//! an amount of changed data would trigger are not foreseen.

use base::name::Name;
use jiff::Timestamp;
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
    /// Whether it stays whatever the policy says.
    pub is_pinned: bool,
}

/// A mark that there will be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Foreseen {
    /// When it was or will be taken, milliseconds since 1970.
    pub taken_ms: u64,
    /// Its name, where it exists already.
    pub name: Option<Name>,
    /// What it is kept for; nothing, where it is held or a view shows it.
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
    existing: Option<Existing>,
}

/// The marks of a policy at `date`, seen from `now`.
pub fn outlook(
    times: &Times,
    keep: &Keep,
    existing: Vec<Existing>,
    span: (Timestamp, Timestamp),
    room: usize,
) -> Outlook {
    let (now, date) = span;
    let names: Vec<Name> = existing.iter().map(|mark| mark.name.clone()).collect();
    let known = existing.into_iter();
    let mut marks: Vec<Mark> = known
        .map(|mark| Mark { stamp: Stamp::new(mark.at, &times.zone), existing: Some(mark) })
        .collect();
    let next = |at: &Timestamp| times.schedule.as_ref()?.next_after(*at);
    let mut runs = 0;
    // Where there is too little room, each run decides; else only what comes after it does.
    let limit = if keep.sum() + marks.len() < room { BATCH } else { 0 };
    for at in std::iter::successors(next(&now), next).take_while(|at| *at <= date) {
        runs += 1;
        marks.push(Mark { stamp: Stamp::new(at, &times.zone), existing: None });
        if marks.len() > limit {
            thin(&mut marks, keep, room);
        }
    }
    if runs > 0 {
        thin(&mut marks, keep, room);
    }
    let stamps: Vec<_> = marks.iter().map(|mark| mark.stamp).collect();
    let reasons = keep.reasons(&stamps);
    let marks: Vec<Foreseen> = marks
        .into_iter()
        .zip(reasons)
        .map(|(mark, reasons)| Foreseen {
            taken_ms: u64::try_from(mark.stamp.at.as_millisecond()).unwrap_or(0),
            name: mark.existing.map(|existing| existing.name),
            kept_for: reasons.classes(),
        })
        .collect();
    let stays = |name: &Name| marks.iter().any(|mark| mark.name.as_ref() == Some(name));
    let gone = names.into_iter().filter(|name| !stays(name)).collect();
    Outlook { runs, marks, gone }
}

fn thin(marks: &mut Vec<Mark>, keep: &Keep, room: usize) {
    let stamps: Vec<_> = marks.iter().map(|mark| mark.stamp).collect();
    let is_pinned = |mark: &Mark| mark.existing.as_ref().is_some_and(|mark| mark.is_pinned);
    let pinned: Vec<_> = marks.iter().map(is_pinned).collect();
    let mut going = keep.going(&stamps, &pinned, room).into_iter().peekable();
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
        Times { schedule: Some(schedule), zone: TimeZone::UTC }
    }

    fn existing(name: &str, at: &str, is_pinned: bool) -> Existing {
        Existing { name: name.parse().unwrap(), at: at.parse().unwrap(), is_pinned }
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
        let seen = outlook(&times("1d"), &keep, marks, span, 256);
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
            let all = outlook(&times, &keep, vec![], (start, end), room);
            let mut marks: Vec<Mark> = Vec::new();
            let mut at = start;
            while let Some(next) =
                times.schedule.as_ref().unwrap().next_after(at).filter(|next| *next <= end)
            {
                marks.push(Mark { stamp: Stamp::new(next, &times.zone), existing: None });
                thin(&mut marks, &keep, room);
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
        let seen = outlook(&times("1d"), &Keep { daily: 1, ..Keep::default() }, marks, span, 256);
        assert_eq!((seen.runs, seen.marks.len(), seen.gone.len()), (0, 2, 0));
    }
}
