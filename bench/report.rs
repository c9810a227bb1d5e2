//! Measurements as tables: medians with least and most over the rounds, and ratios within a round.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::cell::Cell;
use crate::measure::Measure;
use crate::values::Values;

/// Processors that others may take before ratios of speed suffer.
const QUIET_MOST: f64 = 0.3;

/// All measurements of one question, to be looked up by round, contender and cell.
pub struct Report<'a> {
    measures: BTreeMap<(&'a str, &'a str, u32), &'a Measure>,
    rows: Vec<&'static str>,
    cells: &'static [Cell],
}

impl<'a> Report<'a> {
    /// A report of these measurements, with rows and columns in these orders.
    pub fn of(measures: &'a [Measure], rows: &[&'static str], cells: &'static [Cell]) -> Self {
        let keyed = measures.iter().map(|one| ((one.who, one.cell, one.round), one));
        Self { measures: keyed.collect(), rows: rows.to_vec(), cells }
    }

    fn of_cell(&self, row: &'a str, cell: &Cell) -> impl Iterator<Item = &&'a Measure> {
        let key = move |round| (row, cell.name, round);
        self.measures.range(key(0)..=key(u32::MAX)).map(|(_, measure)| measure)
    }

    /// The rate of a row in one round.
    pub fn rate(&self, row: &str, cell: &Cell, round: u32) -> Option<f64> {
        self.measures.get(&(row, cell.name, round)).map(|measure| measure.rate)
    }

    /// The ratios of a row to what it is held against in the same round, where both were measured.
    pub fn ratios(
        &self,
        row: &'static str,
        cell: &Cell,
        to: impl Fn(u32) -> Option<f64>,
    ) -> Values {
        let of_round = |measure: &&'a Measure| Some(measure.rate / to(measure.round)?);
        Values(self.of_cell(row, cell).filter_map(of_round).collect())
    }

    /// One figure over the rounds.
    pub fn values(&self, row: &'static str, cell: &Cell, of: impl Fn(&Measure) -> f64) -> Values {
        Values(self.of_cell(row, cell).map(|measure| of(measure)).collect())
    }

    /// The median of one figure.
    pub fn figure(
        &self,
        row: &'static str,
        cell: &Cell,
        of: impl Fn(&Measure) -> f64,
    ) -> Option<f64> {
        self.values(row, cell, of).median()
    }

    /// A table for each figure that every question of this kind has.
    pub fn figures(&self) -> String {
        let figure = |of: fn(&Measure) -> f64, digits: usize| {
            move |row: &'static str, cell: &Cell| {
                self.figure(row, cell, of).map(|value| format!("{value:.digits$}"))
            }
        };
        let mut text = self.table("Requests a second", figure(|one| one.rate, 0));
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
        text += &self.table(
            "Bytes that the server read from the disk per byte that the client read",
            figure(|one| one.bytes_read, 2),
        );
        text += &self.table("Disk writes per request", figure(|one| one.disk_writes, 2));
        text += &self.table("Disk flushes per FLUSH", figure(|one| one.disk_flushes, 2));
        let asked = figure(|one| one.flushes_asked, 3);
        let done = figure(|one| one.flushes_done, 3);
        text += &self.table("Disk flushes per request, and FLUSHes asked for", |row, cell| {
            Some(format!("{} of {}", done(row, cell)?, asked(row, cell)?))
        });
        text += &self.table("Seconds of work afterwards", figure(|one| one.settle_s, 1));
        text += &self.table("Processors kept busy by others", figure(|one| one.strangers, 2));
        text
    }

    /// How much a run is worth, as a line of its head.
    pub fn noise(&self) -> String {
        let strangers = Values(self.measures.values().map(|one| one.strangers).collect());
        let busy = strangers.median().unwrap_or_default();
        let worth = if busy > QUIET_MOST {
            "a busy machine: counts and CPU hold, ratios of speed are rough"
        } else {
            "a quiet machine"
        };
        format!("- others kept {busy:.2} processors busy, by the median: {worth}\n")
    }

    /// A table with a row for each contender and a column for each cell that were measured.
    pub fn table(
        &self,
        title: &str,
        value: impl Fn(&'static str, &Cell) -> Option<String>,
    ) -> String {
        let measured = |cell: &&Cell| self.measures.keys().any(|(_, name, _)| *name == cell.name);
        let cells: Vec<&Cell> = self.cells.iter().filter(measured).collect();
        let mut text = format!("\n### {title}\n\n|  |");
        for cell in &cells {
            let _ = write!(text, " {} |", cell.name);
        }
        text += &format!("\n|{}\n", "---|".repeat(cells.len() + 1));
        for row in &self.rows {
            if !self.measures.keys().any(|(name, _, _)| name == row) {
                continue;
            }
            let _ = write!(text, "| {row} |");
            for cell in &cells {
                let is_measured = self.of_cell(row, cell).next().is_some();
                let shown = if is_measured { value(row, cell) } else { None };
                let _ = write!(text, " {} |", shown.unwrap_or_else(|| "–".to_owned()));
            }
            text.push('\n');
        }
        text
    }
}
