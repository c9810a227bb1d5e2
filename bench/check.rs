//! What must hold on any machine, however busy: nobody is fast by not flushing, and figures that hardly
//! move have not taken a large step.

use crate::cell::{CELLS, Cell};
use crate::contender::Who;
use crate::measure::Measure;
use crate::report::Report;

/// A figure of Tidemark in a cell, and the most that it may be.
#[derive(Clone, Copy)]
pub struct Bound {
    cell: &'static str,
    what: &'static str,
    of: fn(&Measure) -> f64,
    most: f64,
}

/// At most so many bytes to the disk for each byte of the client.
pub const fn bytes(cell: &'static str, most: f64) -> Bound {
    Bound { cell, what: "bytes written per byte", of: |measure| measure.bytes, most }
}

/// At most so much processor time of the server, in microseconds.
pub const fn work(cell: &'static str, most: f64) -> Bound {
    let of = |measure: &Measure| measure.cpu_after_us;
    Bound { cell, what: "CPU per request in us, work afterwards included", of, most }
}

/// At most so many writes of the disk.
pub const fn writes(cell: &'static str, most: f64) -> Bound {
    let of = |measure: &Measure| measure.disk_writes;
    Bound { cell, what: "writes of the disk per request", of, most }
}

/// Two to four times what was measured when they were written: a bound that fails was not missed by a
/// little. The cells at QD1 write so few bytes that strangers would decide; each of their
/// requests writes often enough.
const BOUNDS: &[Bound] = &[
    bytes("write", 4.0),
    bytes("group", 5.0),
    bytes("swrite", 4.0),
    bytes("first", 7.0),
    writes("write", 1.5),
    writes("group", 2.0),
    writes("sync", 9.0),
    writes("swrite", 6.0),
    writes("first", 1.5),
    work("read", 60.0),
    work("write", 80.0),
    work("first", 160.0),
];

/// A server that answers FLUSH and does not flush is at 0; one flush of the disk can answer one FLUSH at
/// a time at QD1, and strangers only add to it.
const FLUSHES_LEAST: f64 = 0.9;

/// A row and a cell that must have been measured.
pub type Expected = (&'static str, &'static Cell);

/// What does not hold over NBD; nothing where all is well.
pub fn complaints(report: &Report<'_>) -> Vec<String> {
    let pairs = CELLS.iter().flat_map(|cell| Who::ALL.map(|who| (who, cell)));
    let pairs = pairs.filter(|(who, cell)| who.runs(cell));
    let expected: Vec<Expected> = pairs.map(|(who, cell)| (who.name(), cell)).collect();
    complaints_beyond(report, &expected, BOUNDS)
}

/// What was not measured, does not flush, or is beyond a bound.
pub fn complaints_beyond(
    report: &Report<'_>,
    expected: &[Expected],
    bounds: &[Bound],
) -> Vec<String> {
    let mut complaints = Vec::new();
    for (row, cell) in expected {
        let name = cell.name;
        match report.figure(row, cell, |measure| measure.rate) {
            Some(rate) if rate > 0.0 => {}
            _ => complaints.push(format!("{name}: no measurement of {row}")),
        }
        let flushes = report.figure(row, cell, |measure| measure.disk_flushes);
        let is_judged = cell.depth == 1 && !row.starts_with("null");
        if let Some(flushes) = flushes.filter(|flushes| is_judged && *flushes < FLUSHES_LEAST) {
            complaints.push(format!("{name}: {row} flushes the disk {flushes:.2} times a FLUSH"));
        }
        let tidemark = bounds.iter().filter(|_| *row == Who::Tidemark.name());
        for bound in tidemark.filter(|bound| bound.cell == name) {
            let figure = report.figure(row, cell, bound.of);
            if let Some(figure) = figure.filter(|figure| *figure > bound.most) {
                let (what, most) = (bound.what, bound.most);
                complaints.push(format!("{name}: {what}: {figure:.2}, at most {most:.2}"));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a round without a fault gives.
    fn sound() -> Vec<Measure> {
        let pairs = CELLS.iter().flat_map(|cell| Who::ALL.map(|who| (who, cell)));
        let measured = pairs.filter(|(who, cell)| who.runs(cell));
        let good = |(who, cell): (Who, &Cell)| Measure {
            who: who.name(),
            cell: cell.name,
            rate: 1000.0,
            disk_flushes: 1.0,
            ..Measure::default()
        };
        measured.map(good).collect()
    }

    fn complaints_after(change: impl FnOnce(&mut Vec<Measure>)) -> Vec<String> {
        let mut measures = sound();
        change(&mut measures);
        complaints(&crate::nbd::report(&measures))
    }

    fn one<'a>(measures: &'a mut [Measure], who: Who, cell: &str) -> &'a mut Measure {
        let wanted = |one: &&mut Measure| one.who == who.name() && one.cell == cell;
        measures.iter_mut().find(wanted).unwrap()
    }

    #[test]
    fn a_sound_round_is_not_complained_about() {
        assert_eq!(complaints_after(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn a_cell_that_was_not_measured_is_complained_about() {
        let found =
            complaints_after(|all| all.retain(|one| one.cell != "sync" || one.who != "tidemark"));
        assert_eq!(found, ["sync: no measurement of tidemark"]);
    }

    #[test]
    fn a_flush_that_does_not_reach_the_disk_is_complained_about() {
        for who in [Who::Tidemark, Who::NbdkitFile] {
            let found = complaints_after(|all| one(all, who, "sync").disk_flushes = 0.1);
            assert!(
                matches!(&found[..], [only] if only.contains("flushes the disk 0.10")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_large_step_is_complained_about() {
        let found = complaints_after(|all| one(all, Who::Tidemark, "write").bytes = 4.5);
        assert!(matches!(&found[..], [only] if only.contains("bytes written per byte: 4.50")));
        let found = complaints_after(|all| one(all, Who::Tidemark, "sync").disk_writes = 9.5);
        assert!(matches!(&found[..], [only] if only.contains("per request: 9.50")), "{found:?}");
        let found = complaints_after(|all| one(all, Who::Tidemark, "read").cpu_after_us = 90.0);
        assert!(matches!(&found[..], [only] if only.contains("CPU per request")), "{found:?}");
    }
}
