//! The question: what does a mark cost while the volume is written to, what do many of them cost, and what
//! becomes of one that is deleted?
//!
//! With 0, 1, 16 and 255 marks held, on a small volume and on a sparse large one: how long taking one more
//! takes under full load, how long writes wait around it, and how fast the live volume reads and takes
//! first writes. Then reads of views, and the deletion of a mark between others.

use std::fmt::Write;

use serde::Serialize;

use crate::cell;
use crate::client::Limit;
use crate::contender::Site;
use crate::deletion::{self, Deletion};
use crate::lab::{Lab, Load, micros};
use crate::marker::{Taken, stall_around};
use crate::payload::Content;
use crate::plan::Area;
use crate::tally::{Tally, quantile};
use crate::{Outcome, Settings};

/// How many marks are held while one more is taken and removed again, over and over.
const HELD: [u32; 4] = [0, 1, 16, 255];
/// Blocks that change between two marks that are held, so that each keeps some.
const CHANGES: u64 = 256;
/// The large volume, and how many blocks of it are written and used.
const LARGE: u64 = 1 << 40;
const LARGE_PLACES: u64 = 1 << 12;
/// The goals, in milliseconds: taking a mark, and the longest wait of writes around it.
const MARK_GOAL_MS: f64 = 5.0;
const STALL_GOAL_MS: f64 = 10.0;

/// A volume that is marked.
struct Subject {
    name: &'static str,
    about: String,
    area: Area,
}

/// The figures at one number of marks held.
#[derive(Debug, Serialize)]
pub struct MarkCost {
    round: u32,
    volume: String,
    held: u32,
    taken: usize,
    mark_ms: [f64; 3],
    stall_ms: [f64; 3],
    flush_ms: [f64; 2],
    first_rate: f64,
    read_rate: f64,
    read_p99_us: f64,
}

/// The speed of a view.
#[derive(Debug, Serialize)]
pub struct ViewReads {
    of: String,
    view_rate: f64,
    live_rate: f64,
}

/// All that this question gives.
#[derive(Debug, Serialize)]
pub struct MarkFigures {
    costs: Vec<MarkCost>,
    views: Vec<ViewReads>,
    deletions: Vec<Deletion>,
}

/// Measures at each number of marks.
///
/// # Errors
/// Where Tidemark fails.
pub async fn ask(settings: &Settings, site: &Site) -> Outcome<MarkFigures> {
    let lab = Lab::open(settings, site).await?;
    let (mut costs, mut views, mut deletions) = (Vec::new(), Vec::new(), Vec::new());
    if settings.has_cell("taking") {
        (costs, views) = taking(&lab, settings).await?;
    }
    let rounds = if settings.has_cell("deletion") { settings.rounds } else { 0 };
    for round in 0..rounds {
        deletions.push(deletion::measured(&lab, settings.size.0, round).await?);
        eprintln!("{:?}", deletions.last());
    }
    lab.close().await?;
    Ok(MarkFigures { costs, views, deletions })
}

async fn taking(lab: &Lab, settings: &Settings) -> Outcome<(Vec<MarkCost>, Vec<ViewReads>)> {
    let small = Subject {
        name: "small",
        about: settings.size.to_string(),
        area: Area::dense(0, settings.size.0, 4096),
    };
    let large = Subject {
        name: "large",
        about: "1T, sparse".to_owned(),
        area: Area::spread(LARGE, LARGE_PLACES),
    };
    lab.api.create_volume(small.name, settings.size.0)?;
    lab.api.create_volume(large.name, LARGE)?;
    let mut costs = Vec::new();
    for subject in [&small, &large] {
        lab.fill(subject.name, subject.area, Content::Random).await?;
        lab.settle().await?;
        costs.extend(costs_of(lab, settings, subject).await?);
    }
    let views = views_of(lab, &small).await?;
    lab.api.remove_volume(small.name)?;
    lab.api.remove_volume(large.name)?;
    Ok((costs, views))
}

async fn costs_of(lab: &Lab, settings: &Settings, subject: &Subject) -> Outcome<Vec<MarkCost>> {
    let load = |name: &str, seed: u32| -> Outcome<Load<'_>> {
        let (cell, seed) = (*cell::named(name)?, seed.into());
        Ok(Load { export: subject.name, cell, area: subject.area, connections: 1, seed })
    };
    let mut costs = Vec::new();
    let mut held = 0;
    for wanted in HELD {
        while held < wanted {
            lab.load(&load("write", held)?, Limit::time(lab.time()).requests(CHANGES)).await?;
            held += 1;
            lab.api.take_mark(subject.name, &format!("held-{held}"))?;
        }
        for round in 0..settings.rounds {
            // What was put off while the marks were taken is not what they cost.
            lab.settle().await?;
            let read = lab.load(&load("read", round)?, Limit::time(lab.time())).await?;
            let first = load("first", round * 1000 + held)?;
            let (taken, written) = lab.marked(subject.name, &first).await?;
            let mut flushed = lab.flushed(&first).await?;
            let mut cost = cost(&taken, &written, read);
            cost.flush_ms = [0.5, 0.99].map(|part| flushed.flush_us(part) / 1e3);
            (cost.round, cost.held, cost.volume) = (round, held, subject.about.clone());
            eprintln!("{cost:?}");
            costs.push(cost);
        }
    }
    lab.settle().await?;
    Ok(costs)
}

fn cost(taken: &[Taken], load: &Tally, mut read: Tally) -> MarkCost {
    let mut marks: Vec<u32> = taken.iter().map(|mark| micros(mark.took)).collect();
    let mut stalls: Vec<u32> = taken.iter().map(|mark| micros(stall_around(mark, load))).collect();
    MarkCost {
        round: 0,
        volume: String::new(),
        held: 0,
        taken: taken.len(),
        mark_ms: points_ms(&mut marks),
        stall_ms: points_ms(&mut stalls),
        flush_ms: [0.0; 2],
        first_rate: load.rate(),
        read_rate: read.rate(),
        read_p99_us: read.latency_us(0.99),
    }
}

/// Half, 99 of 100, and all stay under these.
fn points_ms(values_us: &mut [u32]) -> [f64; 3] {
    [0.5, 0.99, 1.0].map(|part| quantile(values_us, part) / 1e3)
}

/// Reads of a view of the oldest mark, of a middle one and of the newest, beside reads of the volume.
async fn views_of(lab: &Lab, subject: &Subject) -> Outcome<Vec<ViewReads>> {
    let newest = HELD[HELD.len() - 1];
    let mut figures = Vec::new();
    for mark in [1, newest / 2, newest] {
        let of = format!("held-{mark}");
        lab.api.create_view("looking", &format!("{}@{of}", subject.name))?;
        let cell = *cell::named("read")?;
        let live = Load {
            export: subject.name,
            cell,
            area: subject.area,
            connections: 1,
            seed: mark.into(),
        };
        let view = Load { export: "view/looking", ..live };
        let view_rate = lab.load(&view, Limit::time(lab.time())).await?.rate();
        let live_rate = lab.load(&live, Limit::time(lab.time())).await?.rate();
        lab.api.remove_view("looking")?;
        figures.push(ViewReads { of, view_rate, live_rate });
        eprintln!("{:?}", figures.last());
    }
    Ok(figures)
}

/// The figures as Markdown, as far as they were measured.
pub fn markdown(figures: &MarkFigures) -> String {
    let mut text = String::new();
    if !figures.costs.is_empty() {
        text += &taking_table(&figures.costs);
        text += &goals(&figures.costs);
        text += "\n### Reads of a view\n\n| view of | reads a second | of the volume | ratio |\n|---|---|---|---|\n";
        for ViewReads { of, view_rate, live_rate } in &figures.views {
            let ratio = view_rate / live_rate;
            let _ = writeln!(text, "| {of} | {view_rate:.0} | {live_rate:.0} | {ratio:.2} |");
        }
    }
    if !figures.deletions.is_empty() {
        text += &deletion::markdown(&figures.deletions);
    }
    text
}

fn taking_table(costs: &[MarkCost]) -> String {
    let mut text = String::from(
        "\n### Marks under load\n\n\
         | volume | held | round | taken | mark p50 / p99 / most, ms | a FLUSH then p50 / p99, ms | longest wait of writes around it p50 / p99 / most, ms | \
         first writes a second | reads a second | read p99, us |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for cost in costs {
        let [mark, stall] = [cost.mark_ms, cost.stall_ms]
            .map(|[half, most, all]| format!("{half:.2} / {most:.2} / {all:.2}"));
        let [half, most] = cost.flush_ms;
        let MarkCost { volume, held, round, taken, first_rate, read_rate, read_p99_us, .. } = cost;
        let _ = writeln!(
            text,
            "| {volume} | {held} | {round} | {taken} | {mark} | {half:.2} / {most:.2} | {stall} | {first_rate:.0} | {read_rate:.0} | {read_p99_us:.0} |"
        );
    }
    text
}

/// How many of the runs kept both goals.
fn goals(costs: &[MarkCost]) -> String {
    let count = |kept: fn(&MarkCost) -> bool| costs.iter().filter(|cost| kept(cost)).count();
    let marks = count(|cost| cost.mark_ms[1] < MARK_GOAL_MS);
    let stalls = count(|cost| cost.stall_ms[1] < STALL_GOAL_MS);
    let all = costs.len();
    format!(
        "\nGoals: a mark under {MARK_GOAL_MS} ms by p99, kept in {marks} of {all} rows; \
         writes wait under {STALL_GOAL_MS} ms by p99, kept in {stalls} of {all}.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_miss_a_goal_do_not_count_as_kept() {
        let row = |mark, stall| MarkCost {
            mark_ms: [1.0, mark, 99.0],
            stall_ms: [1.0, stall, 99.0],
            ..cost(&[], &Tally::default(), Tally::default())
        };
        let text = goals(&[row(4.9, 9.9), row(5.0, 3.0), row(1.0, 10.0)]);
        assert!(text.contains("5 ms by p99, kept in 2 of 3"), "{text}");
        assert!(text.contains("10 ms by p99, kept in 2 of 3"), "{text}");
    }
}
