//! The sequence numbers of a session: which commands may arrive, and what each answer says about that.
//!
//! Numbers are compared as RFC 1982 says: they go around.
//!
//! Source: RFC 7143 4.2.2.

use super::limits::COMMANDS_MAX;
use super::pdu::Head;
use super::pdu::wire::at;

/// What becomes of a numbered command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It is the next one.
    Next,
    /// Others come first.
    Early,
    /// It is outside the window, or was there already: nothing is said about it.
    Ignore,
}

/// How an answer is numbered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbering {
    /// It takes a number of its own.
    Counted,
    /// It tells the number that the next one takes.
    Telling,
    /// It has none.
    Unnumbered,
}

/// The sequence numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    exp_cmd_sn: u32,
    max_cmd_sn: u32,
    stat_sn: u32,
    /// Commands that may come beside those that are under way.
    free: u32,
}

/// How far `to` lies behind `from`.
const fn distance(from: u32, to: u32) -> u32 {
    to.wrapping_sub(from)
}

impl Window {
    /// That of a session whose first command has this number, and whose next answer has that one.
    pub const fn new(cmd_sn: u32, stat_sn: u32) -> Self {
        Self {
            exp_cmd_sn: cmd_sn,
            max_cmd_sn: cmd_sn.wrapping_add(COMMANDS_MAX - 1),
            stat_sn,
            free: COMMANDS_MAX,
        }
    }

    /// What becomes of a command with this number.
    pub const fn judge(&self, cmd_sn: u32) -> Arrival {
        match distance(self.exp_cmd_sn, cmd_sn) {
            0 if self.len() > 0 => Arrival::Next,
            early if early < self.len() => Arrival::Early,
            _ => Arrival::Ignore,
        }
    }

    /// How many commands may come.
    const fn len(&self) -> u32 {
        distance(self.exp_cmd_sn, self.max_cmd_sn).wrapping_add(1)
    }

    /// The number of the next command.
    pub const fn expected(&self) -> u32 {
        self.exp_cmd_sn
    }

    /// Whether a number is that of a command which has not come yet, and comes before `other`.
    pub const fn is_missing_before(&self, cmd_sn: u32, other: u32) -> bool {
        let far = distance(self.exp_cmd_sn, cmd_sn);
        far < self.len() && far < distance(self.exp_cmd_sn, other)
    }

    /// The next command has come.
    pub const fn advance(&mut self) {
        self.exp_cmd_sn = self.exp_cmd_sn.wrapping_add(1);
    }

    /// So many commands may come from now on. What was promised before is kept.
    pub const fn open(&mut self, free: u32) {
        self.free = if free > COMMANDS_MAX { COMMANDS_MAX } else { free };
    }

    /// Puts the numbers into an answer.
    #[must_use]
    pub fn stamp(&mut self, head: Head, numbering: Numbering) -> Head {
        if self.free > self.len() {
            self.max_cmd_sn = self.exp_cmd_sn.wrapping_add(self.free - 1);
        }
        let head =
            head.with_word(at::EXP_STAT_SN, self.exp_cmd_sn).with_word(at::CDB, self.max_cmd_sn);
        match numbering {
            Numbering::Unnumbered => head,
            Numbering::Telling => head.with_word(at::CMD_SN, self.stat_sn),
            Numbering::Counted => {
                let head = head.with_word(at::CMD_SN, self.stat_sn);
                self.stat_sn = self.stat_sn.wrapping_add(1);
                head
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(window: &mut Window) -> (u32, u32) {
        let head = window.stamp(Head::new(0x21, 0), Numbering::Counted);
        (head.word(28), head.word(32))
    }

    #[test]
    fn commands_outside_the_window_are_ignored() {
        let window = Window::new(u32::MAX - 1, 0);
        assert_eq!(window.judge(u32::MAX - 1), Arrival::Next);
        assert_eq!(window.judge(3), Arrival::Early);
        assert_eq!(window.judge(u32::MAX - 2), Arrival::Ignore);
        assert_eq!(window.judge((u32::MAX - 1).wrapping_add(COMMANDS_MAX)), Arrival::Ignore);
        let last = (u32::MAX - 1).wrapping_add(COMMANDS_MAX - 1);
        assert_eq!(window.judge(last), Arrival::Early);
    }

    #[test]
    fn a_full_session_promises_no_more_and_takes_nothing_back() {
        let mut window = Window::new(10, 0);
        let (_, max) = told(&mut window);
        window.open(0);
        for _ in 0..COMMANDS_MAX {
            assert_eq!(window.judge(window.expected()), Arrival::Next);
            window.advance();
            assert_eq!(told(&mut window).1, max);
        }
        assert_eq!(window.judge(window.expected()), Arrival::Ignore, "the window is closed");
        window.open(2);
        assert_eq!(told(&mut window), (10 + COMMANDS_MAX, max + 2));
        assert_eq!(window.judge(window.expected()), Arrival::Next);
    }

    #[test]
    fn only_counted_answers_take_a_number() {
        let mut window = Window::new(1, 100);
        let mut number = |numbering| window.stamp(Head::new(0x21, 0), numbering).word(24);
        assert_eq!(number(Numbering::Counted), 100);
        assert_eq!(number(Numbering::Telling), 101);
        assert_eq!(number(Numbering::Unnumbered), 0);
        assert_eq!(number(Numbering::Counted), 101);
    }

    #[test]
    fn a_command_is_missing_only_before_the_one_that_speaks_of_it() {
        let window = Window::new(10, 0);
        assert!(window.is_missing_before(10, 11) && window.is_missing_before(12, 14));
        assert!(!window.is_missing_before(9, 11) && !window.is_missing_before(11, 11));
        assert!(!window.is_missing_before(10 + COMMANDS_MAX, 9));
    }

    proptest! {
        #[test]
        fn the_end_of_the_window_never_goes_back(
            start in any::<u32>(), steps in proptest::collection::vec((any::<bool>(), 0u32..200), 1..300),
        ) {
            let mut window = Window::new(start, 0);
            let mut last = told(&mut window).1;
            for (comes, free) in steps {
                if comes && window.judge(window.expected()) == Arrival::Next {
                    window.advance();
                }
                window.open(free);
                let max = told(&mut window).1;
                prop_assert!(max.wrapping_sub(last) <= COMMANDS_MAX);
                prop_assert!(window.len() <= COMMANDS_MAX);
                last = max;
            }
        }
    }
}
