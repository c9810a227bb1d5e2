//! Curves as tables and plots: how each figure of each line moves along an axis.

use std::fmt::Write;

use base::size::ByteSize;
use serde::Serialize;

use crate::lab::Cost;
use crate::plot::{Line, Panel, Plot};
use crate::values::{Spread, Values};

/// What grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Axis {
    /// The size of the volume, in bytes.
    Size,
    /// Marks held.
    Marks,
    /// Connections at once.
    Connections,
    /// Entries of the epoch map.
    Entries,
}

/// Which blocks a load goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span {
    /// Those of the volume.
    Live,
    /// Some that lie in a row.
    Near,
    /// Those of the oldest mark.
    Mark,
}

/// One load at one place of an axis.
#[derive(Debug, Serialize)]
pub struct Point {
    /// What grows.
    pub axis: Axis,
    /// How much of it there was.
    pub at: u64,
    /// The round, counted from 0.
    pub round: u32,
    /// The line in the plots.
    pub line: &'static str,
    /// What the load gave and cost.
    pub cost: Cost,
}

/// The lines in the order of tables and legends.
const LINES: [&str; 7] =
    ["read", "write", "sync", "mark", "read, in a row", "write, in a row", "read of a mark"];

/// A figure of a point, with its unit, and the digits that mean something.
struct Figure {
    title: &'static str,
    unit: &'static str,
    of: fn(&Cost) -> f64,
    digits: usize,
    /// Whether it says something of its own for each line; memory is the same for all.
    is_by_line: bool,
}

const fn figure(title: &'static str, unit: &'static str, of: fn(&Cost) -> f64) -> Figure {
    Figure { title, unit, of, digits: 0, is_by_line: true }
}

const FIGURES: [Figure; 4] = [
    figure("Requests", "a second", |cost| cost.rate),
    Figure {
        digits: 1,
        ..figure("CPU per request, the work afterwards included", "us", |cost| cost.cpu_us)
    },
    figure("Latency p99", "us", |cost| cost.p99_us),
    Figure { is_by_line: false, ..figure("Memory of the daemon", "MiB", |cost| cost.resident_mib) },
];

/// The lines whose memory is shown: after much work, and after little of it.
const MEMORY_LINES: [&str; 2] = ["write", "sync"];

impl Span {
    /// The line of a cell on these blocks.
    pub fn line(self, cell: &str) -> &'static str {
        match (self, cell) {
            (Self::Live, "write") => "write",
            (Self::Live, "sync") => "sync",
            (Self::Live, _) => "read",
            (Self::Near, "write") => "write, in a row",
            (Self::Near, _) => "read, in a row",
            (Self::Mark, _) => "read of a mark",
        }
    }
}

impl Axis {
    const ALL: [Self; 4] = [Self::Size, Self::Marks, Self::Connections, Self::Entries];

    fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Marks => "marks",
            Self::Connections => "connections",
            Self::Entries => "entries",
        }
    }

    fn section(self) -> &'static str {
        match self {
            Self::Size => "curves: size",
            Self::Marks => "curves: marks",
            Self::Connections => "curves: connections",
            Self::Entries => "curves: entries",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Size => "size of the volume, bytes",
            Self::Marks => "marks held",
            Self::Connections => "connections",
            Self::Entries => "entries of the epoch map",
        }
    }

    fn shown(self, at: u64) -> String {
        match self {
            Self::Size => ByteSize(at).to_string(),
            Self::Marks | Self::Connections => at.to_string(),
            Self::Entries if at >= 1_000_000 => format!("{} M", at / 1_000_000),
            Self::Entries => format!("{} k", at / 1000),
        }
    }
}

/// The values of one figure on one line, place by place; places without one are left out.
fn line_of(points: &[Point], axis: Axis, line: &str, figure: &Figure) -> Vec<(u64, Spread)> {
    if !figure.is_by_line && !MEMORY_LINES.contains(&line) {
        return Vec::new();
    }
    let values = |at: u64| {
        let here = points.iter().filter(|one| one.axis == axis && one.line == line && one.at == at);
        let values = here.map(|one| (figure.of)(&one.cost)).filter(|value| *value > 0.0);
        Values(values.collect()).spread()
    };
    places(points, axis).into_iter().filter_map(|at| Some((at, values(at)?))).collect()
}

fn places(points: &[Point], axis: Axis) -> Vec<u64> {
    let mut places: Vec<u64> =
        points.iter().filter(|one| one.axis == axis).map(|one| one.at).collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// The plots: for each curve that was measured its name and its SVG.
pub fn plots(points: &[Point]) -> Vec<(String, String)> {
    let measured = Axis::ALL.into_iter().filter(|axis| !places(points, *axis).is_empty());
    let plot = |axis: Axis| {
        let panels = FIGURES.iter().map(|figure| {
            let lines = LINES.iter().enumerate().map(|(look, name)| Line {
                name,
                look,
                points: line_of(points, axis, name, figure)
                    .into_iter()
                    .map(|(at, spread)| (at as f64, spread))
                    .collect(),
            });
            let title = format!("{}, {}", figure.title, figure.unit);
            Panel { title, lines: lines.filter(|line| !line.points.is_empty()).collect() }
        });
        let ticks = places(points, axis).into_iter().map(|at| (at as f64, axis.shown(at)));
        Plot { x_label: axis.label(), ticks: ticks.collect(), panels: panels.collect() }.svg()
    };
    measured.map(|axis| (format!("{}.svg", axis.name()), plot(axis))).collect()
}

/// For each curve that was measured the name of its section, and its figures as Markdown below the plot.
pub fn sections(points: &[Point]) -> Vec<(&'static str, String)> {
    let measured = Axis::ALL.into_iter().filter(|axis| !places(points, *axis).is_empty());
    measured.map(|axis| (axis.section(), markdown(points, axis))).collect()
}

fn markdown(points: &[Point], axis: Axis) -> String {
    let (name, label) = (axis.name(), axis.label());
    let mut text = format!("\n![{name}: {label}](curves/{name}.svg)\n");
    let places = places(points, axis);
    for figure in &FIGURES {
        let _ = write!(text, "\n### {}, {}\n\n|  |", figure.title, figure.unit);
        for at in &places {
            let _ = write!(text, " {} |", axis.shown(*at));
        }
        let _ = write!(text, " last / first |\n|{}\n", "---|".repeat(places.len() + 2));
        for name in LINES {
            text += &row(name, &places, &line_of(points, axis, name, figure), figure.digits);
        }
    }
    text
}

/// One line of a table; nothing of a line without values.
fn row(name: &str, places: &[u64], line: &[(u64, Spread)], digits: usize) -> String {
    if line.is_empty() {
        return String::new();
    }
    let at = |place: &u64| line.iter().find(|(at, _)| at == place).map(|(_, spread)| *spread);
    let mut text = format!("| {name} |");
    for place in places {
        let shown = at(place).map(|spread| spread.shown(digits));
        let _ = write!(text, " {} |", shown.unwrap_or_else(|| "–".to_owned()));
    }
    let ends = places.first().and_then(at).zip(places.last().and_then(at));
    let growth = ends.map(|(from, to)| format!("{:.2}", to.median / from.median));
    text + &format!(" {} |\n", growth.unwrap_or_else(|| "–".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: u64, round: u32, line: &'static str, rate: f64) -> Point {
        let cost = Cost { rate, p99_us: 5.0, ..Cost::default() };
        Point { axis: Axis::Size, at, round, line, cost }
    }

    fn points() -> Vec<Point> {
        vec![
            point(1 << 30, 0, "read", 100.0),
            point(1 << 30, 1, "read", 300.0),
            point(1 << 40, 0, "read", 50.0),
            point(1 << 40, 0, "mark", 0.0),
        ]
    }

    #[test]
    fn a_table_has_medians_place_by_place_and_the_growth() {
        let sections = sections(&points());
        let [("curves: size", text)] = &sections[..] else { panic!("{sections:?}") };
        assert!(text.contains("| 1G | 1T | last / first |"), "{text}");
        assert!(text.contains("| read | **200** [100-300] | **50** | 0.25 |"), "{text}");
        assert!(text.contains("| mark | – | **5** | – |"), "{text}");
    }

    #[test]
    fn each_curve_that_was_measured_has_a_plot() {
        let plots = plots(&points());
        assert_eq!(plots.len(), 1);
        assert_eq!(plots[0].0, "size.svg");
        assert!(plots[0].1.contains("size of the volume, bytes"));
    }
}
