//! The question: how fast is Tidemark over NBD, beside its peers, the bare disk and the bare protocol?

use crate::cell::{CELLS, Cell};
use crate::contender::{self, Server, Site, Who};
use crate::counters::Counters;
use crate::measure::{Measure, Method};
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
                let measured = method.measure(cell, server, round).await;
                let measure = measured
                    .map_err(|error| format!("{} at {}: {error}", server.who.name(), cell.name))?;
                eprintln!("{}", line(cell, &measure));
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
fn smoke_requests(cell: &Cell) -> u64 {
    match (cell.depth, cell.len) {
        (1, _) => 1_000,
        (_, 4096) => 16_000,
        (_, len) => (64 << 20) / u64::from(len),
    }
}

fn line(cell: &Cell, measure: &Measure) -> String {
    format!(
        "{} {:11} {:22} {:8.0}/s {:7.1} MB/s p99 {:6.0} us cpu {:5.1} {:5.1} us bytes {:4.2} flushes {:4.2} ({:5.3} a request) strangers {:4.2} settled {:.1} s",
        measure.round,
        measure.cell,
        measure.who,
        measure.rate,
        measure.rate * f64::from(cell.len) / 1e6,
        measure.p99_us,
        measure.cpu_us,
        measure.cpu_after_us,
        measure.bytes,
        measure.disk_flushes,
        measure.flushes_done,
        measure.strangers,
        measure.settle_s,
    )
}
