//! Measurements as tables: medians with least and most over the rounds, held against L and against raw.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::cell::{CELLS, Cell};
use crate::contender::Who;
use crate::measure::Measure;
use crate::values::Values;

/// Processors that others may take before ratios of speed suffer.
const QUIET_MOST: f64 = 0.3;

/// All measurements of one question, to be looked up by round, contender and cell.
pub struct Report<'a> {
    measures: BTreeMap<(&'a str, &'a str, u32), &'a Measure>,
}

impl<'a> Report<'a> {
    /// A report of these measurements.
    pub fn of(measures: &'a [Measure]) -> Self {
        let keyed = measures.iter().map(|one| ((one.who, one.cell, one.round), one));
        Self { measures: keyed.collect() }
    }

    fn of_cell(&self, who: Who, cell: &Cell) -> impl Iterator<Item = &&'a Measure> {
        let key = move |round| (who.name(), cell.name, round);
        self.measures.range(key(0)..=key(u32::MAX)).map(|(_, measure)| measure)
    }

    fn rate(&self, who: Who, cell: &Cell, round: u32) -> Option<f64> {
        self.measures.get(&(who.name(), cell.name, round)).map(|measure| measure.rate)
    }

    /// The rate that a contender is held against: the lower of the bare disk and the bare protocol.
    fn limit(&self, cell: &Cell, round: u32) -> Option<f64> {
        let raw = self.rate(Who::Raw, cell, round)?;
        Some(self.rate(Who::Null, cell, round).map_or(raw, |null| null.min(raw)))
    }

    fn ratios(&self, who: Who, cell: &Cell, to_limit: impl Fn(u32) -> Option<f64>) -> Values {
        let of_round = |measure: &&'a Measure| Some(measure.rate / to_limit(measure.round)?);
        Values(self.of_cell(who, cell).filter_map(of_round).collect())
    }

    /// The median ratio of a contender to L, where both were measured.
    pub fn ratio_to_limit(&self, who: Who, cell: &Cell) -> Option<f64> {
        self.ratios(who, cell, |round| self.limit(cell, round)).median()
    }

    /// The median of one figure.
    pub fn figure(&self, who: Who, cell: &Cell, of: impl Fn(&Measure) -> f64) -> Option<f64> {
        Values(self.of_cell(who, cell).map(|measure| of(measure)).collect()).median()
    }

    /// Everything as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = self.noise() + &self.goals();
        let ratio = |values: Values| values.spread().map(|spread| spread.shown(2));
        text += &self.table("Ratio to L", |who, cell| {
            ratio(self.ratios(who, cell, |round| self.limit(cell, round)))
        });
        text += &self.table("Ratio to raw", |who, cell| {
            ratio(self.ratios(who, cell, |round| self.rate(Who::Raw, cell, round)))
        });
        let figure = |of: fn(&Measure) -> f64, digits: usize| {
            move |who: Who, cell: &Cell| {
                self.figure(who, cell, of).map(|value| format!("{value:.digits$}"))
            }
        };
        text += &self.table("Requests a second", figure(|one| one.rate, 0));
        text += &self.table("Latency p99, us", figure(|one| one.p99_us, 0));
        text +=
            &self.table("Longest time without a write answered, ms", figure(|one| one.stall_ms, 1));
        text += &self.table("CPU of the server per request, us", figure(|one| one.cpu_us, 1));
        text +=
            &self.table("The same, with the work afterwards", figure(|one| one.cpu_after_us, 1));
        text += &self.table(
            "Bytes that reached the disk per byte of the client, work afterwards included",
            figure(|one| one.bytes, 2),
        );
        text += &self.table("Disk writes per request", figure(|one| one.disk_writes, 2));
        text += &self.table("Disk flushes per FLUSH", figure(|one| one.disk_flushes, 2));
        let asked = figure(|one| one.flushes_asked, 3);
        let done = figure(|one| one.flushes_done, 3);
        text += &self.table("Disk flushes per request, and FLUSHes asked for", |who, cell| {
            Some(format!("{} of {}", done(who, cell)?, asked(who, cell)?))
        });
        text += &self.table("Seconds of work afterwards", figure(|one| one.settle_s, 1));
        text += &self.table("Processors kept busy by others", figure(|one| one.strangers, 2));
        text
    }

    fn noise(&self) -> String {
        let strangers = Values(self.measures.values().map(|one| one.strangers).collect());
        let busy = strangers.median().unwrap_or_default();
        let worth = if busy > QUIET_MOST {
            "a busy machine: counts and CPU hold, ratios of speed are rough"
        } else {
            "a quiet machine"
        };
        format!("- others kept {busy:.2} processors busy, by the median: {worth}\n")
    }

    fn goals(&self) -> String {
        let mut text = String::from(
            "\n### Against the goals\n\n| cell | asks | goal | tidemark | reached |\n|---|---|---|---|---|\n",
        );
        for cell in CELLS {
            let Some(ratio) = self.ratio_to_limit(Who::Tidemark, cell) else { continue };
            let reached = if ratio >= cell.goal { "yes" } else { "no" };
            let (name, about, goal) = (cell.name, cell.about, cell.goal);
            let _ = writeln!(text, "| {name} | {about} | {goal:.2} | {ratio:.2} | {reached} |");
        }
        text
    }

    fn table(&self, title: &str, value: impl Fn(Who, &Cell) -> Option<String>) -> String {
        let measured = |cell: &&Cell| self.measures.keys().any(|(_, name, _)| *name == cell.name);
        let cells: Vec<&Cell> = CELLS.iter().filter(measured).collect();
        let mut text = format!("\n### {title}\n\n|  |");
        for cell in &cells {
            let _ = write!(text, " {} |", cell.name);
        }
        text += &format!("\n|{}\n", "---|".repeat(cells.len() + 1));
        for who in Who::ALL {
            if !self.measures.keys().any(|(name, _, _)| *name == who.name()) {
                continue;
            }
            let _ = write!(text, "| {} |", who.name());
            for cell in &cells {
                let shown =
                    if self.of_cell(who, cell).next().is_some() { value(who, cell) } else { None };
                let _ = write!(text, " {} |", shown.unwrap_or_else(|| "–".to_owned()));
            }
            text.push('\n');
        }
        text
    }
}
