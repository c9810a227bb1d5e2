//! Which marks live, and which entries they need.

use crate::preserved::Key;

/// The marks of a volume that are live at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LiveMarks {
    /// Sequences, ascending.
    sequences: Vec<u64>,
    /// The highest sequence that was ever taken by then.
    newest: u64,
}

impl LiveMarks {
    /// The live marks by sequence, in any order, and the highest sequence ever given to a mark of the
    /// volume, live or not. Entries under higher sequences are newer than this list and are kept.
    pub(crate) fn new(mut sequences: Vec<u64>, newest: u64) -> Self {
        sequences.sort_unstable();
        sequences.dedup();
        Self { sequences, newest }
    }

    /// The newest live mark that is not newer than `sequence`: the last that an entry under it serves.
    pub(crate) fn floor(&self, sequence: u64) -> Option<u64> {
        let after = self.sequences.partition_point(|mark| *mark <= sequence);
        self.sequences.get(after.checked_sub(1)?).copied()
    }

    /// Whether an entry under `sequence` is newer than this list, which then says nothing about it.
    pub(crate) fn is_newer(&self, sequence: u64) -> bool {
        sequence > self.newest
    }
}

/// Decides in a stream of entries, sorted by key, which are needed.
///
/// Of the entries of a block that lie between two neighbouring live marks only the oldest is: the entry
/// `(b, s)` is dead where no live mark is as old as `s`, or where `m` is the newest that is and there is
/// an entry `(b, s')` with `m <= s' < s`. That such an entry is seen proves it, also where the stream
/// holds only a part of the map. That none is seen proves nothing, and the entry is kept.
pub(crate) struct Needed<'a> {
    live: &'a LiveMarks,
    /// The entry that was kept last.
    last: Option<Key>,
}

impl<'a> Needed<'a> {
    /// A decider that goes on where another stopped, possibly with a later list of marks.
    pub(crate) fn resume(live: &'a LiveMarks, last: Option<Key>) -> Self {
        Self { live, last }
    }

    /// Whether the entry is needed. Of two with the same key only the first is.
    pub(crate) fn keep(&mut self, key: Key) -> bool {
        if self.last.is_some_and(|last| last == key) {
            return false;
        }
        if !self.live.is_newer(key.sequence) {
            let Some(mark) = self.live.floor(key.sequence) else { return false };
            let serves = |last: Key| last.block == key.block && last.sequence >= mark;
            if self.last.is_some_and(serves) {
                return false;
            }
        }
        self.last = Some(key);
        true
    }

    /// The entry that was kept last.
    pub(super) fn last(&self) -> Option<Key> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(live: &[u64], newest: u64, sequences: &[u64]) -> Vec<u64> {
        let live = LiveMarks::new(live.to_vec(), newest);
        let mut needed = Needed::resume(&live, None);
        let keep = |s: &&u64| needed.keep(Key::new(7, **s));
        sequences.iter().filter(keep).copied().collect()
    }

    #[test]
    fn between_two_live_marks_only_the_oldest_entry_is_needed() {
        assert_eq!(kept(&[2, 5], 9, &[1, 2, 3, 4, 5, 6]), [2, 5]);
        assert_eq!(kept(&[2, 5], 9, &[3, 4, 7, 9]), [3, 7]);
        assert_eq!(kept(&[], 9, &[1, 2]), [] as [u64; 0]);
    }

    #[test]
    fn entries_newer_than_the_list_are_kept() {
        assert_eq!(kept(&[2], 4, &[2, 4, 5, 6]), [2, 5, 6]);
        assert_eq!(kept(&[], 4, &[3, 5]), [5]);
    }

    #[test]
    fn entries_of_other_blocks_prove_nothing() {
        let live = LiveMarks::new(vec![1], 9);
        let mut needed = Needed::resume(&live, None);
        assert!(needed.keep(Key::new(1, 3)));
        assert!(needed.keep(Key::new(2, 4)));
        assert!(!needed.keep(Key::new(2, 4)));
        assert!(!needed.keep(Key::new(2, 5)));
    }
}
