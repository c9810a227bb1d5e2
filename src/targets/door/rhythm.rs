//! How one client writes and flushes, and whether it is about to flush.
//!
//! A mail server that waits for each of its messages writes some blocks, waits, flushes, waits, and so on.
//! Who knows that begins the flush when the last of the writes was answered: the medium works while the
//! answer and the next request are on their way, which take as long as the medium does.

/// Turns after which a client is known to go on as it did.
const HABIT_TURNS: u32 = 8;
/// Writes of one turn: more of them take so long that nothing is gained.
const WRITES_MAX: u32 = 16;

/// The rhythm of one client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rhythm {
    /// Writes since the last flush.
    writes: u32,
    /// Writes of each of the last turns.
    usual: u32,
    /// Turns in a row that were alike.
    turns: u32,
    /// Whether the flush that is expected was begun.
    has_begun: bool,
}

impl Rhythm {
    /// Notes a request for a change.
    pub fn wrote(&mut self) {
        self.writes = self.writes.saturating_add(1);
        if self.has_begun || self.writes > WRITES_MAX {
            // It was expected to flush.
            self.turns = 0;
        }
    }

    /// Notes a request for a flush.
    pub fn flushed(&mut self) {
        let is_alike = self.writes > 0 && self.writes == self.usual;
        self.turns = if is_alike { self.turns.saturating_add(1) } else { 0 };
        self.usual = self.writes;
        self.writes = 0;
        self.has_begun = false;
    }

    /// Whether a client that waits for nothing is about to flush: then the flush may begin. True once a turn.
    pub fn begins_flush(&mut self) -> bool {
        let is_due = self.turns >= HABIT_TURNS && self.writes == self.usual && !self.has_begun;
        self.has_begun |= is_due;
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_turns(turns: u32, writes: u32) -> Rhythm {
        let mut rhythm = Rhythm::default();
        for _ in 0..turns {
            (0..writes).for_each(|_| rhythm.wrote());
            rhythm.flushed();
        }
        rhythm
    }

    #[test]
    fn a_flush_begins_once_a_turn_after_as_many_writes_as_usual() {
        let mut rhythm = after_turns(HABIT_TURNS + 1, 2);
        rhythm.wrote();
        assert!(!rhythm.begins_flush(), "one of two");
        rhythm.wrote();
        assert!(rhythm.begins_flush());
        assert!(!rhythm.begins_flush(), "it has begun");
        rhythm.flushed();
        (0..2).for_each(|_| rhythm.wrote());
        assert!(rhythm.begins_flush());
    }

    #[test]
    fn who_has_no_habit_or_gives_it_up_is_not_expected_to_flush() {
        let mut young = after_turns(HABIT_TURNS, 1);
        young.wrote();
        assert!(!young.begins_flush());
        let mut changed = after_turns(2 * HABIT_TURNS, 1);
        changed.wrote();
        assert!(changed.begins_flush());
        changed.wrote();
        changed.flushed();
        changed.wrote();
        assert!(!changed.begins_flush());
        let mut bulk = after_turns(2 * HABIT_TURNS, WRITES_MAX + 1);
        (0..=WRITES_MAX).for_each(|_| bulk.wrote());
        assert!(!bulk.begins_flush());
    }
}
