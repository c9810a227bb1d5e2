//! Which policies are due: next moments in a heap, and what was missed or is still going on.
//!
//! Pure: it is told what time it is and which runs have ended. What was missed, because the daemon was down or
//! the clock jumped, is made up for by one run at most and counted. A run that is due while the one before it
//! goes on is not begun, and told. After the clock was set back, moments count from where it is now.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use base::name::Name;
use jiff::Timestamp;

use super::schedule::Schedule;

/// A clock that is so much behind what was seen was set back: above what keeping time corrects at once.
pub(super) const SET_BACK_MS: u64 = 30_000;
/// Missed runs that are counted: a day of minutes. There may be more.
const MISSED_MAX: u64 = 1440;

/// A policy that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Due {
    /// Which.
    pub policy: Name,
    /// Since when, milliseconds since 1970.
    pub due_ms: u64,
    /// Runs before this one that did not happen; 1440 stands for that many or more.
    pub missed: u64,
    /// Whether the last run still goes on, so that this one must not begin.
    pub is_overlapping: bool,
}

#[derive(Debug)]
struct Entry {
    schedule: Option<Schedule>,
    next_ms: Option<u64>,
    is_running: bool,
}

/// The next moments of all policies.
#[derive(Debug, Default)]
pub struct Planner {
    entries: BTreeMap<Name, Entry>,
    /// May hold moments that count no more: an entry knows its own.
    heap: BinaryHeap<Reverse<(u64, Name)>>,
    seen_ms: u64,
}

impl Planner {
    /// Knows a policy from now on, or its new times. Moments after `done_ms` are due.
    pub fn set(&mut self, policy: &Name, schedule: Option<Schedule>, done_ms: u64) {
        let is_running = self.entries.get(policy).is_some_and(|entry| entry.is_running);
        let next_ms = schedule.as_ref().and_then(|schedule| next_after(schedule, done_ms));
        self.heap.extend(next_ms.map(|next| Reverse((next, policy.clone()))));
        self.entries.insert(policy.clone(), Entry { schedule, next_ms, is_running });
    }

    /// Forgets a policy.
    pub fn remove(&mut self, policy: &Name) {
        self.entries.remove(policy);
    }

    /// When the next one is due, milliseconds since 1970.
    pub fn next_ms(&mut self) -> Option<u64> {
        while let Some(Reverse((at, policy))) = self.heap.peek() {
            if self.entries.get(policy).and_then(|entry| entry.next_ms) == Some(*at) {
                return Some(*at);
            }
            self.heap.pop();
        }
        None
    }

    /// When this one is due, milliseconds since 1970.
    pub fn next_of(&self, policy: &Name) -> Option<u64> {
        self.entries.get(policy)?.next_ms
    }

    /// What is due now. Those that do not overlap count as running until they are said to have ended.
    pub fn due(&mut self, now_ms: u64) -> Vec<Due> {
        if now_ms + SET_BACK_MS < self.seen_ms {
            self.start_over(now_ms);
        }
        self.seen_ms = now_ms;
        let mut all = Vec::new();
        while self.next_ms().is_some_and(|next| next <= now_ms) {
            let Some(Reverse((due_ms, policy))) = self.heap.pop() else { break };
            let Some(entry) = self.entries.get_mut(&policy) else { continue };
            let (due_ms, missed) = entry.advance(due_ms, now_ms);
            self.heap.extend(entry.next_ms.map(|next| Reverse((next, policy.clone()))));
            let is_overlapping = std::mem::replace(&mut entry.is_running, true);
            all.push(Due { policy, due_ms, missed, is_overlapping });
        }
        all
    }

    /// Whether a run of this policy may begin that nobody planned; it counts as running then.
    pub fn begin(&mut self, policy: &Name) -> bool {
        let entry = self.entries.get_mut(policy);
        entry.is_some_and(|entry| !std::mem::replace(&mut entry.is_running, true))
    }

    /// A run has ended.
    pub fn ended(&mut self, policy: &Name) {
        if let Some(entry) = self.entries.get_mut(policy) {
            entry.is_running = false;
        }
    }

    /// Whether a run goes on.
    pub fn is_running(&self, policy: &Name) -> bool {
        self.entries.get(policy).is_some_and(|entry| entry.is_running)
    }

    fn start_over(&mut self, now_ms: u64) {
        self.heap.clear();
        for (policy, entry) in &mut self.entries {
            let schedule = entry.schedule.as_ref();
            entry.next_ms = schedule.and_then(|schedule| next_after(schedule, now_ms));
            self.heap.extend(entry.next_ms.map(|next| Reverse((next, policy.clone()))));
        }
    }
}

impl Entry {
    /// The last moment that has come, and how many came before it.
    fn advance(&mut self, first_ms: u64, now_ms: u64) -> (u64, u64) {
        let Some(schedule) = &self.schedule else { return (first_ms, 0) };
        let (mut due, mut missed) = (first_ms, 0);
        self.next_ms = next_after(schedule, due);
        while let Some(next) = self.next_ms.filter(|next| *next <= now_ms) {
            if missed == MISSED_MAX {
                self.next_ms = next_after(schedule, now_ms);
                break;
            }
            (due, missed) = (next, missed + 1);
            self.next_ms = next_after(schedule, due);
        }
        (due, missed)
    }
}

pub(super) fn timestamp(ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

fn next_after(schedule: &Schedule, ms: u64) -> Option<u64> {
    u64::try_from(schedule.next_after(timestamp(ms))?.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    const MINUTE: u64 = 60_000;
    const START: u64 = 1_800_000_000_000 / (60 * MINUTE) * (60 * MINUTE);

    fn planner(policies: &[(&str, &str)]) -> Planner {
        let mut planner = Planner::default();
        for (name, every) in policies {
            let schedule = Schedule::every(every, TimeZone::UTC).unwrap();
            planner.set(&name.parse().unwrap(), Some(schedule), START);
        }
        planner
    }

    fn due(planner: &mut Planner, now_ms: u64) -> Vec<(String, u64, u64, bool)> {
        let all = planner.due(now_ms).into_iter();
        all.map(|due| (due.policy.to_string(), due.due_ms - START, due.missed, due.is_overlapping))
            .collect()
    }

    #[test]
    fn each_is_due_at_its_moment_and_once() {
        let mut planner = planner(&[("a", "5m"), ("b", "15m")]);
        assert_eq!(planner.next_ms(), Some(START + 5 * MINUTE));
        assert_eq!(due(&mut planner, START + 5 * MINUTE - 1), []);
        assert_eq!(due(&mut planner, START + 5 * MINUTE), [("a".into(), 5 * MINUTE, 0, false)]);
        assert_eq!(due(&mut planner, START + 6 * MINUTE), []);
        planner.ended(&"a".parse().unwrap());
        assert_eq!(planner.next_ms(), Some(START + 10 * MINUTE));
    }

    #[test]
    fn what_was_missed_is_one_run_and_a_number() {
        let mut planner = planner(&[("a", "5m"), ("b", "15m")]);
        let all = due(&mut planner, START + 61 * MINUTE);
        assert_eq!(
            all,
            [("a".into(), 60 * MINUTE, 11, false), ("b".into(), 60 * MINUTE, 3, false)]
        );
        assert_eq!(planner.next_ms(), Some(START + 65 * MINUTE));
        planner.ended(&"a".parse().unwrap());
        let after_a_year = START + 366 * 1440 * MINUTE;
        let all = due(&mut planner, after_a_year);
        assert_eq!((all[0].2, all[1].2, all[1].3), (MISSED_MAX, MISSED_MAX, true));
        assert_eq!(planner.next_ms(), Some(after_a_year + 5 * MINUTE));
    }

    #[test]
    fn a_run_that_is_still_going_on_is_not_begun_again() {
        let mut planner = planner(&[("a", "5m")]);
        let name = "a".parse().unwrap();
        assert!(planner.begin(&name) && !planner.begin(&name));
        assert_eq!(due(&mut planner, START + 5 * MINUTE), [("a".into(), 5 * MINUTE, 0, true)]);
        planner.ended(&name);
        assert_eq!(due(&mut planner, START + 10 * MINUTE), [("a".into(), 10 * MINUTE, 0, false)]);
    }

    #[test]
    fn after_the_clock_was_set_back_runs_go_on_from_there() {
        let mut planner = planner(&[("a", "5m")]);
        due(&mut planner, START + 1000 * MINUTE);
        planner.ended(&"a".parse().unwrap());
        assert_eq!(due(&mut planner, START + 2 * MINUTE), []);
        assert_eq!(due(&mut planner, START + 5 * MINUTE), [("a".into(), 5 * MINUTE, 0, false)]);
    }

    #[test]
    fn a_change_or_a_removal_leaves_no_moment_behind() {
        let mut planner = planner(&[("a", "5m"), ("b", "5m")]);
        planner.remove(&"b".parse().unwrap());
        let hourly = Schedule::every("1h", TimeZone::UTC).unwrap();
        planner.set(&"a".parse().unwrap(), Some(hourly), START);
        assert_eq!(planner.next_ms(), Some(START + 60 * MINUTE));
        assert_eq!(due(&mut planner, START + 59 * MINUTE), []);
        planner.set(&"a".parse().unwrap(), None, START);
        assert_eq!(planner.next_ms(), None);
    }
}
