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
use crate::initiator::{Digests, Portal};
use crate::libiscsi::Libiscsi;
use crate::measure::{Measure, Method, Turn};
use crate::nbd::smoke_requests;
use crate::report::Report;
use crate::route::Route;
use crate::settings::Initiator;
use crate::{Outcome, Settings, tgt};

/// The target of Tidemark, by the name that it has there.
const TARGET: &str = "bench";
const TARGET_IQN: &str = "iqn.2026-11.dev.tidemark:bench";

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Measured {
    client: Initiator,
    cells: Vec<Measure>,
    fair: Vec<Shares>,
}

impl Measured {
    fn report(&self) -> Report<'_> {
        Report::of(&self.cells, &ROWS.map(|row| row.name), CELLS)
    }

    /// The section of the results that this belongs to.
    pub fn section(&self) -> &'static str {
        match self.client {
            Initiator::Own => "iscsi",
            Initiator::Libiscsi => "iscsi, through libiscsi",
        }
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
pub async fn ask(settings: &Settings, site: Site, client: Initiator) -> Outcome<Measured> {
    let requests_max = if settings.smoke { smoke_requests } else { |_: &Cell| u64::MAX };
    let counters = Counters::of(&site.dir)?;
    let method = Method { counters, time: settings.time(), requests_max, site };
    if !method.counters.has_disk() {
        eprintln!("note: the folder lies on no plain disk; its counters stay empty");
    }
    contender::prepare(&method.site)?;
    let libiscsi = match client {
        Initiator::Own => None,
        Initiator::Libiscsi => Some(Libiscsi::compiled(&method.site.dir)?),
    };
    let can_digest = |row: &Row| libiscsi.is_none() || row.digests == Digests::None;
    let is_wanted = |row: &Row| settings.has_contender(row.name) && can_digest(row);
    let rows: Vec<Row> = ROWS.into_iter().filter(is_wanted).collect();
    let mut contest = Contest { method, servers: Vec::new(), libiscsi };
    for who in [Who::Raw, Who::Tgt, Who::Tidemark] {
        if rows.iter().any(|row| row.who == who) {
            contest.start(who).await?;
        }
    }
    let mut measured = Measured { client, cells: Vec::new(), fair: Vec::new() };
    for round in 0..settings.rounds {
        for cell in CELLS.iter().filter(|cell| settings.has_cell(cell.name)) {
            for row in rows.iter().filter(|row| row.runs(cell)) {
                let measure = contest.measure(row, cell, round).await;
                let measure =
                    measure.map_err(|error| format!("{} at {}: {error}", row.name, cell.name))?;
                eprintln!("{}", measure.line(cell));
                measured.cells.push(measure);
            }
        }
        let is_shared = settings.has_cell(fair::NAME) && client == Initiator::Own;
        let sharers = rows.iter().filter(|row| [TIDEMARK.name, TGT.name].contains(&row.name));
        for row in sharers.filter(|_| is_shared) {
            let shares = contest.shares(row, round).await;
            let shares =
                shares.map_err(|error| format!("{} at {}: {error}", row.name, fair::NAME))?;
            eprintln!("{shares:?}");
            measured.fair.push(shares);
        }
    }
    for server in &mut contest.servers {
        server.stop().await?;
    }
    Ok(measured)
}

/// The servers that run, and how they are measured.
struct Contest {
    method: Method,
    servers: Vec<Server>,
    libiscsi: Option<Libiscsi>,
}

impl Contest {
    /// Starts a server, and waits until it serves over iSCSI and has settled.
    async fn start(&mut self, who: Who) -> Outcome<()> {
        let site = &self.method.site;
        let server = Server::start(who, site).await?;
        if who == Who::Tidemark {
            site.tidemark(&["target", "create", TARGET])?;
            site.tidemark(&["lun", "map", TARGET, VOLUME])?;
            site.tidemark(&["initiator", "allow", TARGET, "any"])?;
        }
        self.method.settle(&server).await?;
        self.servers.push(server);
        Ok(())
    }

    fn server(&mut self, row: &Row) -> Outcome<&mut Server> {
        let server = self.servers.iter_mut().find(|server| server.who == row.who);
        Ok(server.ok_or_else(|| format!("nobody serves {}", row.name))?)
    }

    fn portal(&mut self, row: &Row) -> Outcome<Portal> {
        let target = if row.who == Who::Tgt { tgt::TARGET } else { TARGET_IQN };
        let site = self.method.site.clone();
        Ok(Portal {
            address: self.server(row)?.iscsi(&site)?,
            target: target.to_owned(),
            lun: row.lun,
            digests: row.digests,
        })
    }

    async fn measure(&mut self, row: &Row, cell: &Cell, round: u32) -> Outcome<Measure> {
        let route = match (row.who, self.libiscsi.clone()) {
            // No server, no way to it.
            (Who::Raw, _) => Route::Nbd,
            (_, None) => Route::Iscsi(self.portal(row)?),
            (_, Some(program)) => Route::Libiscsi(self.portal(row)?, program),
        };
        let turn = Turn { cell, round, row: row.name, route: &route };
        let method = self.method.clone();
        method.measure(&turn, self.server(row)?).await
    }

    async fn shares(&mut self, row: &Row, round: u32) -> Outcome<Shares> {
        let portal = self.portal(row)?;
        let method = self.method.clone();
        self.server(row)?.sync(&method.site)?;
        let read = CELLS.iter().find(|cell| cell.name == "read").ok_or("no cell to share")?;
        fair::measure(&portal, read, Limit::time(method.time), round, row.name).await
    }
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
        Measured { client: Initiator::Own, cells: cells.collect(), fair: vec![shares] }
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
