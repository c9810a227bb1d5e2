//! What was measured over iSCSI as tables: the goals with what was reached, then every figure.

use std::fmt::Write;

use super::fair::{self, Shares};
use super::lineup::{
    CELLS, CPU_GOALS, DIGESTS_GOAL, FAIR_GOAL, NULL, RAW, Row, TGT, TGT_DIGESTS, TIDEMARK,
    TIDEMARK_DIGESTS, UNMARKED,
};
use crate::cell::Cell;
use crate::report::Report;
use crate::values::Values;

/// Everything as Markdown.
pub fn markdown(report: &Report<'_>, fair: &[Shares]) -> String {
    let mut text = report.noise() + &goals(report, fair);
    for other in [TGT, RAW, NULL] {
        let title = format!("Ratio to {}", other.name);
        text += &report.table(&title, |row, cell| {
            let ratios = report.ratios(row, cell, |round| report.rate(other.name, cell, round));
            ratios.spread().map(|spread| spread.shown(2))
        });
    }
    text + &report.figures()
}

/// One line of the table of goals: what was reached is at least the goal, or at most.
struct Line {
    name: String,
    asks: String,
    held_against: &'static str,
    goal: f64,
    is_ceiling: bool,
    tgt: Values,
    tidemark: Values,
}

impl Line {
    fn shown(&self) -> Option<String> {
        let reached = self.tidemark.median()?;
        let is_met = if self.is_ceiling { reached <= self.goal } else { reached >= self.goal };
        let digits = if self.is_ceiling { 1 } else { 2 };
        let shown = |values: &Values| {
            values.spread().map_or_else(|| "–".to_owned(), |spread| spread.shown(digits))
        };
        Some(format!(
            "| {} | {} | {} | {} {:.digits$} | {} | {} | {} |\n",
            self.name,
            self.asks,
            self.held_against,
            if self.is_ceiling { "at most" } else { "at least" },
            self.goal,
            shown(&self.tgt),
            shown(&self.tidemark),
            if is_met { "yes" } else { "no" },
        ))
    }
}

fn goals(report: &Report<'_>, fair: &[Shares]) -> String {
    let mut lines: Vec<Line> = CELLS.iter().map(|cell| speed(report, cell)).collect();
    lines.extend(CPU_GOALS.iter().filter_map(|(name, goal)| work(report, name, *goal)));
    lines.extend(CELLS.iter().map(|cell| digests(report, cell)));
    lines.push(shares(fair));
    let mut text = String::from(
        "\n### Against the goals\n\n\
         | cell | asks | in | goal | tgt | tidemark | reached |\n|---|---|---|---|---|---|---|\n",
    );
    lines.iter().filter_map(Line::shown).for_each(|line| text += &line);
    if !fair.is_empty() {
        let (sessions, depth) = (fair::SESSIONS, fair::DEPTH);
        let _ = write!(text, "\n{sessions} sessions, {depth} reads of 4 KiB each in flight:\n\n");
        for who in [TGT.name, TIDEMARK.name] {
            let of = |figure: fn(&Shares) -> f64| {
                Values(fair.iter().filter(|one| one.who == who).map(figure).collect()).median()
            };
            if let (Some(rate), Some(slowest), Some(fastest)) =
                (of(|one| one.rate), of(|one| one.slowest), of(|one| one.fastest))
            {
                let _ = writeln!(
                    text,
                    "- {who}: {rate:.0} requests a second in all, the slowest session {slowest:.2} of the mean, the fastest {fastest:.2}"
                );
            }
        }
    }
    text
}

fn speed(report: &Report<'_>, cell: &Cell) -> Line {
    let unmarked = UNMARKED.iter().find(|(marked, _)| *marked == cell.name);
    let unmarked = unmarked.and_then(|(_, name)| CELLS.iter().find(|cell| cell.name == *name));
    let against = unmarked.unwrap_or(cell);
    let whose = if unmarked.is_some() { TIDEMARK } else { TGT };
    let ratios =
        |row: Row| report.ratios(row.name, cell, |round| report.rate(whose.name, against, round));
    Line {
        name: cell.name.to_owned(),
        asks: cell.about.to_owned(),
        held_against: if unmarked.is_some() { "its own rate without a mark" } else { "tgt's rate" },
        goal: cell.goal,
        is_ceiling: false,
        tgt: ratios(TGT),
        tidemark: ratios(TIDEMARK),
    }
}

fn work(report: &Report<'_>, name: &str, goal: f64) -> Option<Line> {
    let cell = CELLS.iter().find(|cell| cell.name == name)?;
    let of = |row: Row| report.values(row.name, cell, |measure| measure.cpu_us);
    Some(Line {
        name: format!("{name}, CPU"),
        asks: format!("{}: processor time of the server for each", cell.about),
        held_against: "us",
        goal,
        is_ceiling: true,
        tgt: of(TGT),
        tidemark: of(TIDEMARK),
    })
}

fn digests(report: &Report<'_>, cell: &Cell) -> Line {
    let of = |with: Row, without: Row| {
        report.ratios(with.name, cell, |round| report.rate(without.name, cell, round))
    };
    Line {
        name: format!("{}, digests", cell.name),
        asks: "CRC32C of header and data".to_owned(),
        held_against: "its own rate without",
        goal: DIGESTS_GOAL,
        is_ceiling: false,
        tgt: of(TGT_DIGESTS, TGT),
        tidemark: of(TIDEMARK_DIGESTS, TIDEMARK),
    }
}

fn shares(fair: &[Shares]) -> Line {
    let of = |row: Row| {
        let its = fair.iter().filter(|one| one.who == row.name);
        Values(its.map(|one| one.slowest).collect())
    };
    Line {
        name: fair::NAME.to_owned(),
        asks: format!("4 KiB random read, {} sessions: the slowest", fair::SESSIONS),
        held_against: "the mean of all",
        goal: FAIR_GOAL,
        is_ceiling: false,
        tgt: of(TGT),
        tidemark: of(TIDEMARK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measure;

    fn measure(row: Row, cell: &'static str, rate: f64, cpu_us: f64) -> Measure {
        Measure { who: row.name, cell, rate, cpu_us, ..Measure::default() }
    }

    #[test]
    fn goals_are_held_against_what_they_are_multiples_of() {
        let measures = [
            measure(TGT, "read", 100.0, 43.0),
            measure(TIDEMARK, "read", 180.0, 17.0),
            measure(TIDEMARK_DIGESTS, "read", 90.0, 19.0),
            measure(TGT, "write", 100.0, 45.0),
            measure(TIDEMARK, "write", 200.0, 30.0),
            measure(TIDEMARK, "first", 180.0, 40.0),
        ];
        let report = Report::of(&measures, &[TGT.name, TIDEMARK.name], CELLS);
        let text = goals(&report, &[]);
        let ends = |start: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("| {start} |")));
            line.unwrap_or_default().rsplit('|').skip(1).take(2).collect::<Vec<_>>().concat()
        };
        assert_eq!(ends("read"), " yes  **1.80** ", "{text}");
        assert_eq!(ends("write"), " no  **2.00** ");
        assert_eq!(ends("first"), " yes  **0.90** ");
        assert_eq!(ends("read, CPU"), " yes  **17.0** ");
        assert_eq!(ends("write, CPU"), " no  **30.0** ");
        assert_eq!(ends("read, digests"), " no  **0.50** ");
        assert_eq!(ends("mail"), "", "what was not measured is left out");
    }
}
