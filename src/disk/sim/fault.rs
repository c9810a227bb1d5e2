//! Faults by rule: which requests to which disks go wrong, and how.

use base::rng::{Rng, SeededRng};
use base::units::Extent;

use crate::request::Op;

/// Which requests a fault is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpKind {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Discards.
    Discard,
    /// Writes of zeroes.
    WriteZeroes,
    /// Flushes.
    Flush,
    /// Maps.
    Map,
    /// Writes, discards and writes of zeroes.
    Change,
    /// Creating, growing, reserving, removing and adopting. Only `Error` and `NoSpace` strike these.
    Shelf,
    /// All.
    Any,
}

impl OpKind {
    /// The kind of one operation.
    pub(super) fn of(op: &Op) -> Self {
        match op {
            Op::Read { .. } => Self::Read,
            Op::Write { .. } => Self::Write,
            Op::Discard { .. } => Self::Discard,
            Op::WriteZeroes { .. } => Self::WriteZeroes,
            Op::Flush => Self::Flush,
            Op::Map { .. } => Self::Map,
        }
    }

    fn holds(self, kind: Self) -> bool {
        let is_change = matches!(kind, Self::Write | Self::Discard | Self::WriteZeroes);
        self == Self::Any || self == kind || (self == Self::Change && is_change)
    }
}

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// Nothing is done and an error is answered: `Medium` for a read, `Io` for anything else. A flush that
    /// fails poisons the handle; what it should have covered may be covered by a flush of a later handle.
    Error,
    /// As `Error` for a flush, and what it should have covered never becomes stable, though later flushes
    /// succeed: an operating system that dropped the dirty pages. No difference for other requests.
    ErrorForGood,
    /// There is no room: nothing is done and `NoSpace` is answered.
    NoSpace,
    /// A change does its first so many sectors, then answers an error.
    Short {
        /// Sectors that are done.
        sectors: u64,
    },
    /// A change does some of its sectors, by chance, then answers an error.
    Torn,
    /// A change or flush is answered as done, but was not done.
    Lost,
    /// A read or change goes so many sectors further than asked, around the end of the disk.
    Misdirected {
        /// Sectors off the mark.
        by: u64,
    },
    /// A read has one bit wrong, which one by chance. The medium is not changed.
    Flipped,
    /// It is carried out when [`SimWorld::pump`](super::SimWorld::pump) finds nothing else to do.
    Slow,
    /// It is not carried out and never answered while the world lasts.
    Silent,
}

/// A rule: what goes wrong with which requests. Without further say it strikes all of them.
#[derive(Clone, Debug)]
pub struct Fault {
    disk: String,
    kind: OpKind,
    what: What,
    extent: Option<Extent>,
    skip: u64,
    times: u64,
    per_mille: u64,
}

impl Fault {
    /// `what` for requests of `kind` to the disks whose name fits `disk`, where `*` fits anything.
    pub fn new(disk: &str, kind: OpKind, what: What) -> Self {
        Self {
            disk: disk.to_owned(),
            kind,
            what,
            extent: None,
            skip: 0,
            times: u64::MAX,
            per_mille: 1000,
        }
    }

    /// Only requests that touch this extent.
    pub fn within(self, extent: Extent) -> Self {
        Self { extent: Some(extent), ..self }
    }

    /// Only after so many requests that it would have struck.
    pub fn after(self, count: u64) -> Self {
        Self { skip: count, ..self }
    }

    /// Only so many times, then never again.
    pub fn times(self, count: u64) -> Self {
        Self { times: count, ..self }
    }

    /// Only in so many of a thousand cases, by the chance of the world.
    pub fn per_mille(self, chance: u64) -> Self {
        Self { per_mille: chance, ..self }
    }

    /// Whether it strikes this request, which is counted where it might have.
    pub(super) fn strikes(
        &mut self,
        disk: &str,
        kind: OpKind,
        extent: Option<Extent>,
        rng: &SeededRng,
    ) -> Option<What> {
        let touches = match (self.extent, extent) {
            (Some(mine), Some(extent)) => !mine.intersect(extent).is_empty(),
            (Some(_), None) => false,
            (None, _) => true,
        };
        if self.times == 0 || !touches || !self.kind.holds(kind) || !fits(&self.disk, disk) {
            return None;
        }
        if self.per_mille < 1000 && rng.below(1000) >= self.per_mille {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.saturating_sub(u64::from(self.times != u64::MAX));
        Some(self.what)
    }
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| fits(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_what_its_stars_leave_open() {
        assert!(fits("*", "") && fits("*", "journal") && fits("journal", "journal"));
        assert!(fits("base-*", "base-1") && fits("*-1", "base-1") && fits("b*e*1", "base-1"));
        assert!(!fits("base", "base-1") && !fits("base-*2", "base-1") && !fits("", "x"));
    }

    #[test]
    fn a_rule_skips_then_strikes_so_often() {
        let rng = SeededRng::new(1);
        let mut fault = Fault::new("*", OpKind::Change, What::Error).after(1).times(2);
        let mut strike = |kind| fault.strikes("d", kind, None, &rng).is_some();
        let struck = [OpKind::Write, OpKind::Read, OpKind::Discard, OpKind::Write, OpKind::Write]
            .map(&mut strike);
        assert_eq!(struck, [false, false, true, true, false]);
    }

    #[test]
    fn a_rule_within_an_extent_leaves_the_rest_alone() {
        let rng = SeededRng::new(1);
        let mut fault = Fault::new("*", OpKind::Any, What::Error).within(Extent::new(8, 8));
        let mut strike =
            |start| fault.strikes("d", OpKind::Read, Some(Extent::new(start, 4)), &rng).is_some();
        assert_eq!([0, 4, 5, 15, 16].map(&mut strike), [false, false, true, true, false]);
    }
}
