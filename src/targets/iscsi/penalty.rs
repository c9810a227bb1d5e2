//! Wrong secrets become slow: each further wrong answer from one network is waited for longer.
//!
//! Right answers wait as well while wrong ones are remembered, so that no guesser learns from the time;
//! a right answer clears its user. What is remembered is bounded, and forgotten with time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::limits::{
    PENALTIES_MAX, PENALTY_FIRST, PENALTY_FREE_NETWORK, PENALTY_FREE_USER, PENALTY_MAX,
    PENALTY_MEMORY,
};
use crate::door::admission::Source;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    source: Source,
    /// One user, or all of them.
    user: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    wrong: u32,
    last: Duration,
}

/// Who answered wrong lately.
#[derive(Debug, Default)]
pub struct Penalties {
    entries: Mutex<HashMap<Key, Entry>>,
}

impl Penalties {
    /// Notes an answer that came at `now`; gives how long its answer has to wait.
    pub fn note(&self, source: Source, user: &str, is_right: bool, now: Duration) -> Duration {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| now.saturating_sub(entry.last) < PENALTY_MEMORY);
        let of_user = Key { source, user: Some(user.to_owned()) };
        let of_network = Key { source, user: None };
        let wrong = |entries: &HashMap<Key, Entry>, key: &Key| {
            entries.get(key).map_or(0, |entry| entry.wrong) + u32::from(!is_right)
        };
        let delay = delay_of(wrong(&entries, &of_user), PENALTY_FREE_USER)
            .max(delay_of(wrong(&entries, &of_network), PENALTY_FREE_NETWORK));
        if is_right {
            entries.remove(&of_user);
        } else {
            for key in [of_user, of_network] {
                make_room(&mut entries, &key);
                let entry = entries.entry(key).or_insert(Entry { wrong: 0, last: now });
                entry.wrong = entry.wrong.saturating_add(1);
                entry.last = now;
            }
        }
        delay
    }
}

/// The delay after so many wrong answers, of which some are free.
fn delay_of(wrong: u32, free: u32) -> Duration {
    match wrong.checked_sub(free) {
        None | Some(0) => Duration::ZERO,
        Some(costly) => PENALTY_FIRST.saturating_mul(1 << (costly - 1).min(16)).min(PENALTY_MAX),
    }
}

/// The one that is longest ago makes room for a new one.
fn make_room(entries: &mut HashMap<Key, Entry>, key: &Key) {
    if entries.len() < PENALTIES_MAX || entries.contains_key(key) {
        return;
    }
    let oldest = entries.iter().min_by_key(|(_, entry)| entry.last).map(|(key, _)| key.clone());
    if let Some(oldest) = oldest {
        entries.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn source(last: u8) -> Source {
        IpAddr::from([10, 0, 0, last]).into()
    }

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn wrong_answers_are_slower_each_time_up_to_a_limit() {
        let penalties = Penalties::default();
        let delays: Vec<_> =
            (0..8).map(|_| penalties.note(source(1), "mail", false, NOW).as_millis()).collect();
        assert_eq!(delays, [0, 250, 500, 1000, 2000, 3000, 3000, 3000]);
        assert!(penalties.note(source(2), "mail", false, NOW).is_zero(), "another network");
    }

    #[test]
    fn a_right_answer_waits_once_and_clears_its_user() {
        let penalties = Penalties::default();
        (0..3).for_each(|_| {
            penalties.note(source(1), "mail", false, NOW);
        });
        assert_eq!(penalties.note(source(1), "mail", true, NOW), Duration::from_millis(500));
        assert!(penalties.note(source(1), "mail", true, NOW).is_zero());
    }

    #[test]
    fn a_guesser_gains_nothing_by_other_names() {
        let penalties = Penalties::default();
        let last = (0..20).map(|n| penalties.note(source(1), &n.to_string(), false, NOW)).last();
        assert_eq!(last, Some(PENALTY_MAX));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten() {
        let penalties = Penalties::default();
        for n in 0..3000u32 {
            penalties.note(source(u8::try_from(n % 200).unwrap()), &n.to_string(), false, NOW);
        }
        assert_eq!(penalties.entries.lock().unwrap().len(), PENALTIES_MAX);
        let later = NOW + PENALTY_MEMORY;
        assert!(penalties.note(source(1), "mail", false, later).is_zero());
        assert_eq!(penalties.entries.lock().unwrap().len(), 2);
    }
}
