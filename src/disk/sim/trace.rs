//! The last steps of a simulated machine, for the message of a failed test.

use std::collections::VecDeque;
use std::fmt::Write as _;

use base::units::Extent;

/// Steps that are kept.
const KEPT: usize = 96;

/// One line of the trace. Holds no text of its own, because most traces are never read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) step: u64,
    pub(super) disk: usize,
    pub(super) verb: &'static str,
    pub(super) extent: Option<Extent>,
    pub(super) outcome: &'static str,
}

/// The last lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace(VecDeque<Line>);

impl Trace {
    pub(super) fn push(&mut self, line: Line) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// The lines as text, one each, with the names of the disks.
    pub(super) fn show<'a>(&self, name_of: impl Fn(usize) -> &'a str) -> String {
        let mut text = String::new();
        for line in &self.0 {
            let extent = line
                .extent
                .map_or(String::new(), |extent| format!(" {}+{}", extent.start, extent.sectors));
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{:>6} {} {}{extent}: {}",
                line.step,
                name_of(line.disk),
                line.verb,
                line.outcome
            );
        }
        text
    }
}
