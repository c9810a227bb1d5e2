//! The question: how fast is Tidemark over iSCSI, beside tgt, the bare disk and the bare protocol?
//!
//! The daemons are started here, the initiator is this program's own, and all go over TCP on loopback.

mod fair;
mod lineup;
mod tables;

use serde::Serialize;

use self::fair::Shares;
use self::lineup::{CELLS, ROWS, Row, TGT, TIDEMARK};
use crate::cell::Cell;
use crate::check::{self, Bound};
use crate::client::Limit;
use crate::contender::{self, Server, Site, VOLUME, Who};
use crate::counters::Counters;
use crate::initiator::Portal;
use crate::measure::{Measure, Method, Turn};
use crate::nbd::smoke_requests;
use crate::report::Report;
use crate::route::Route;
use crate::{Outcome, Settings, tgt};

/// The target of Tidemark, by the name that it has there.
const TARGET: &str = "bench";
const TARGET_IQN: &str = "iqn.2026-11.dev.tidemark:bench";

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Measured {
    cells: Vec<Measure>,
    fair: Vec<Shares>,
}

impl Measured {
    fn report(&self) -> Report<'_> {
        Report::of(&self.cells, &ROWS.map(|row| row.name), CELLS)
    }

    /// Everything as Markdown.
    pub fn markdown(&self) -> String {
        tables::markdown(&self.report(), &self.fair)
    }

    /// What must hold on any machine and does not.
    pub fn complaints(&self) -> Vec<String> {
        let pairs = CELLS.iter().flat_map(|cell| ROWS.map(|row| (row, cell)));
        let pairs = pairs.filter(|(row, cell)| row.runs(cell));
        let expected: Vec<check::Expected> = pairs.map(|(row, cell)| (row.name, cell)).collect();
        let mut complaints = check::complaints_beyond(&self.report(), &expected, BOUNDS);
        let (sessions, name) = (fair::SESSIONS, fair::NAME);
        let starved = self
            .fair
            .iter()
            .filter(|shares| shares.who == TIDEMARK.name && shares.slowest < SLOWEST_LEAST);
        complaints.extend(starved.map(|shares| {
            format!("{name}: the slowest of {sessions} gets {:.2} of the mean", shares.slowest)
        }));
        complaints
    }
}

/// As over NBD, with what the protocol costs more.
const BOUNDS: &[Bound] = &[
    check::bytes("write", 4.0),
    check::bytes("swrite", 4.0),
    check::bytes("first", 7.0),
    check::writes("write", 1.5),
    check::writes("sync", 9.0),
    check::writes("swrite", 6.0),
    check::writes("first", 1.5),
    check::work("read", 80.0),
    check::work("write", 100.0),
    check::work("first", 180.0),
];
/// A session that gets less is not slow, but forgotten.
const SLOWEST_LEAST: f64 = 0.1;

/// Measures every cell on every contender, round by round. Contenders take turns within a cell, so that
/// what is compared was measured within seconds.
///
/// # Errors
/// Where one of them cannot be measured.
pub async fn ask(settings: &Settings, site: Site) -> Outcome<Measured> {
    let requests_max = if settings.smoke { smoke_requests } else { |_: &Cell| u64::MAX };
    let counters = Counters::of(&site.dir)?;
    let site = Site { doors: &["--iscsi", "127.0.0.1:0"], ..site };
    let method = Method { counters, time: settings.time(), requests_max, site };
    if !method.counters.has_disk() {
        eprintln!("note: the folder lies on no plain disk; its counters stay empty");
    }
    contender::prepare(&method.site)?;
    let rows: Vec<Row> = ROWS.into_iter().filter(|row| settings.has_contender(row.name)).collect();
    let mut servers = Vec::new();
    for who in [Who::Raw, Who::Tgt, Who::Tidemark] {
        if rows.iter().any(|row| row.who == who) {
            servers.push(started(who, &method).await?);
        }
    }
    let mut measured = Measured { cells: Vec::new(), fair: Vec::new() };
    for round in 0..settings.rounds {
        for cell in CELLS.iter().filter(|cell| settings.has_cell(cell.name)) {
            for row in rows.iter().filter(|row| row.runs(cell)) {
                let measure = one(&method, &mut servers, row, cell, round).await;
                let measure =
                    measure.map_err(|error| format!("{} at {}: {error}", row.name, cell.name))?;
                eprintln!("{}", measure.line(cell));
                measured.cells.push(measure);
            }
        }
        for row in rows.iter().filter(|row| [TIDEMARK.name, TGT.name].contains(&row.name)) {
            if settings.has_cell(fair::NAME) {
                let shares = shares(&method, &mut servers, row, round).await;
                let shares =
                    shares.map_err(|error| format!("{} at {}: {error}", row.name, fair::NAME))?;
                eprintln!("{shares:?}");
                measured.fair.push(shares);
            }
        }
    }
    for server in &mut servers {
        server.stop().await?;
    }
    Ok(measured)
}

/// A server that serves over iSCSI and has settled.
async fn started(who: Who, method: &Method) -> Outcome<Server> {
    let site = &method.site;
    let server = Server::start(who, site).await?;
    if who == Who::Tidemark {
        site.tidemark(&["target", "create", TARGET])?;
        site.tidemark(&["lun", "map", TARGET, VOLUME])?;
        site.tidemark(&["initiator", "allow", TARGET, "any"])?;
    }
    method.settle(&server).await?;
    Ok(server)
}

fn server_of<'a>(servers: &'a mut [Server], row: &Row) -> Outcome<&'a mut Server> {
    let server = servers.iter_mut().find(|server| server.who == row.who);
    Ok(server.ok_or_else(|| format!("nobody serves {}", row.name))?)
}

fn portal(row: &Row, server: &Server, site: &Site) -> Outcome<Portal> {
    let target = if row.who == Who::Tgt { tgt::TARGET } else { TARGET_IQN };
    Ok(Portal {
        address: server.iscsi(site)?,
        target: target.to_owned(),
        lun: row.lun,
        digests: row.digests,
    })
}

async fn one(
    method: &Method,
    servers: &mut [Server],
    row: &Row,
    cell: &Cell,
    round: u32,
) -> Outcome<Measure> {
    let server = server_of(servers, row)?;
    let route = match row.who {
        Who::Raw => Route::Nbd,
        _ => Route::Iscsi(portal(row, server, &method.site)?),
    };
    method.measure(&Turn { cell, round, row: row.name, route: &route }, server).await
}

async fn shares(method: &Method, servers: &mut [Server], row: &Row, round: u32) -> Outcome<Shares> {
    let server = server_of(servers, row)?;
    server.sync(&method.site)?;
    let portal = portal(row, server, &method.site)?;
    let read = CELLS.iter().find(|cell| cell.name == "read").ok_or("no cell to share")?;
    fair::measure(&portal, read, Limit::time(method.time), round, row.name).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Measured {
        let pairs = CELLS.iter().flat_map(|cell| ROWS.map(|row| (row, cell)));
        let measured = pairs.filter(|(row, cell)| row.runs(cell));
        let cells = measured.map(|(row, cell)| Measure {
            who: row.name,
            cell: cell.name,
            rate: 1000.0,
            disk_flushes: 1.0,
            ..Measure::default()
        });
        let shares = Shares { round: 0, who: TIDEMARK.name, rate: 9.0, slowest: 0.5, fastest: 1.5 };
        Measured { cells: cells.collect(), fair: vec![shares] }
    }

    #[test]
    fn a_sound_round_is_not_complained_about() {
        assert_eq!(sound().complaints(), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_forgotten_or_not_flushed_is_complained_about() {
        let mut measured = sound();
        measured.cells.retain(|one| one.cell != "first");
        measured.fair[0].slowest = 0.01;
        for one in measured.cells.iter_mut().filter(|one| one.cell == "sync") {
            one.disk_flushes = 0.2;
        }
        let found = measured.complaints();
        let count = |part: &str| found.iter().filter(|one| one.contains(part)).count();
        assert_eq!(count("first: no measurement of tidemark"), 1, "{found:?}");
        assert_eq!(count("fair: the slowest of 64 gets 0.01"), 1, "{found:?}");
        assert_eq!(count("flushes the disk 0.20"), ROWS.len() - 1, "all but null: {found:?}");
    }
}
