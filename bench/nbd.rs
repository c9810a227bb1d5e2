//! The question: how fast is Tidemark over NBD, beside its peers, the bare disk and the bare protocol?

use std::fmt::Write;

use crate::cell::{CELLS, Cell};
use crate::contender::{self, Server, Site, Who};
use crate::counters::Counters;
use crate::measure::{Measure, Method, Turn};
use crate::report::Report;
use crate::route::Route;
use crate::values::Values;
use crate::{Outcome, Settings};

/// Measures every cell on every contender, round by round. Contenders take turns within a cell, so that
/// what is compared was measured within seconds.
///
/// # Errors
/// Where one of them cannot be measured.
pub async fn ask(settings: &Settings, site: Site) -> Outcome<Vec<Measure>> {
    let requests_max = if settings.smoke { smoke_requests } else { |_: &Cell| u64::MAX };
    let counters = Counters::of(&site.dir)?;
    let method = Method { counters, time: settings.time(), requests_max, site };
    if !method.counters.has_disk() {
        eprintln!("note: the folder lies on no plain disk; its counters stay empty");
    }
    contender::prepare(&method.site)?;
    let mut servers = Vec::new();
    for who in Who::ALL.into_iter().filter(|who| settings.has_contender(who.name())) {
        let server = Server::start(who, &method.site).await?;
        method.settle(&server).await?;
        servers.push(server);
    }
    let mut measures = Vec::new();
    for round in 0..settings.rounds {
        for cell in CELLS.iter().filter(|cell| settings.has_cell(cell.name)) {
            for server in servers.iter_mut().filter(|server| server.who.runs(cell)) {
                let row = server.who.name();
                let turn = Turn { cell, round, row, route: &Route::Nbd };
                let measured = method.measure(&turn, server).await;
                let measure = measured
                    .map_err(|error| format!("{} at {}: {error}", server.who.name(), cell.name))?;
                eprintln!("{}", measure.line(cell));
                measures.push(measure);
            }
        }
    }
    for server in &mut servers {
        server.stop().await?;
    }
    Ok(measures)
}

/// What one cell of a smoke test takes: enough that what a cell costs by itself, a mark or a checkpoint,
/// is small beside what its requests cost.
pub fn smoke_requests(cell: &Cell) -> u64 {
    match (cell.depth, cell.len) {
        (1, _) => 1_000,
        (_, 4096) => 16_000,
        (_, len) => (64 << 20) / u64::from(len),
    }
}

/// A report of what was measured.
pub fn report(measures: &[Measure]) -> Report<'_> {
    Report::of(measures, &Who::ALL.map(Who::name), CELLS)
}

/// Everything as Markdown.
pub fn markdown(report: &Report<'_>) -> String {
    let mut text = report.noise() + &goals(report);
    let ratio = |values: Values| values.spread().map(|spread| spread.shown(2));
    text += &report.table("Ratio to L", |who, cell| {
        ratio(report.ratios(who, cell, |round| limit(report, cell, round)))
    });
    text += &report.table("Ratio to raw", |who, cell| {
        ratio(report.ratios(who, cell, |round| report.rate(Who::Raw.name(), cell, round)))
    });
    text + &report.figures()
}

/// The rate that a contender is held against: the lower of the bare disk and the bare protocol.
fn limit(report: &Report<'_>, cell: &Cell, round: u32) -> Option<f64> {
    let raw = report.rate(Who::Raw.name(), cell, round)?;
    Some(report.rate(Who::Null.name(), cell, round).map_or(raw, |null| null.min(raw)))
}

fn goals(report: &Report<'_>) -> String {
    let mut text = String::from(
        "\n### Against the goals\n\n| cell | asks | goal | tidemark | reached |\n|---|---|---|---|---|\n",
    );
    for cell in CELLS {
        let tidemark = Who::Tidemark.name();
        let ratios = report.ratios(tidemark, cell, |round| limit(report, cell, round));
        let Some(ratio) = ratios.median() else { continue };
        let reached = if ratio >= cell.goal { "yes" } else { "no" };
        let (name, about, goal) = (cell.name, cell.about, cell.goal);
        let _ = writeln!(text, "| {name} | {about} | {goal:.2} | {ratio:.2} | {reached} |");
    }
    text
}
