//! What must hold on any machine, however busy: nobody is fast by not flushing, and figures that hardly
//! move have not taken a large step.

use crate::cell::{CELLS, Cell};
use crate::contender::Who;
use crate::measure::Measure;
use crate::report::Report;

/// A figure of Tidemark in a cell, and the most that it may be.
struct Bound {
    cell: &'static str,
    what: &'static str,
    of: fn(&Measure) -> f64,
    most: f64,
}

const fn bytes(cell: &'static str, most: f64) -> Bound {
    Bound { cell, what: "bytes written per byte", of: |measure| measure.bytes, most }
}

const fn work(cell: &'static str, most: f64) -> Bound {
    let of = |measure: &Measure| measure.cpu_after_us;
    Bound { cell, what: "CPU per request in us, work afterwards included", of, most }
}

/// Twice what was measured when they were written, or what the goals allow where that is more: a bound
/// that fails was not missed by a little.
const BOUNDS: &[Bound] = &[
    bytes("write", 4.5),
    bytes("group", 5.0),
    bytes("sync", 8.0),
    bytes("swrite", 4.5),
    bytes("first", 7.0),
    bytes("sync+mark", 12.0),
    work("read", 120.0),
    work("write", 240.0),
];

/// A server that answers FLUSH and does not flush is at 0; one flush of the disk can answer one FLUSH at
/// a time at QD1, and strangers only add to it.
const FLUSHES_LEAST: f64 = 0.9;

/// What does not hold; nothing where all is well.
pub fn complaints(report: &Report<'_>) -> Vec<String> {
    let mut complaints = Vec::new();
    let missing =
        |who: Who, cell: &Cell| format!("{}: no measurement of {}", cell.name, who.name());
    for cell in CELLS {
        for who in Who::ALL.into_iter().filter(|who| who.runs(cell)) {
            match report.figure(who, cell, |measure| measure.rate) {
                Some(rate) if rate > 0.0 => {}
                _ => complaints.push(missing(who, cell)),
            }
            let flushes = report.figure(who, cell, |measure| measure.disk_flushes);
            let is_judged = cell.depth == 1 && who != Who::Null;
            if let Some(flushes) = flushes.filter(|flushes| is_judged && *flushes < FLUSHES_LEAST) {
                let (cell, who) = (cell.name, who.name());
                complaints
                    .push(format!("{cell}: {who} flushes the disk {flushes:.2} times a FLUSH"));
            }
        }
        for bound in BOUNDS.iter().filter(|bound| bound.cell == cell.name) {
            let figure = report.figure(Who::Tidemark, cell, bound.of);
            if let Some(figure) = figure.filter(|figure| *figure > bound.most) {
                let (cell, what, most) = (cell.name, bound.what, bound.most);
                complaints.push(format!("{cell}: {what}: {figure:.2}, at most {most:.2}"));
            }
        }
    }
    complaints
}
