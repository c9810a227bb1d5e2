//! One measurement: a cell on a contender, with what it cost.

use std::time::Duration;

use serde::Serialize;

use crate::Outcome;
use crate::api::Api;
use crate::cell::Cell;
use crate::client::Limit;
use crate::contender::{Server, Site, Who};
use crate::counters::{Counters, Reading};
use crate::fio;
use crate::house::now;
use crate::plan::Plan;
use crate::raw;
use crate::route::Route;
use crate::tally::Tally;

/// What one cell on one contender gave.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measure {
    /// The round, counted from 0.
    pub round: u32,
    /// The contender.
    pub who: &'static str,
    /// The cell.
    pub cell: &'static str,
    /// Reads and writes a second.
    pub rate: f64,
    /// Reads and writes.
    pub requests: u64,
    /// Bytes that the client wrote.
    pub bytes_written: u64,
    /// Latency that half of the requests stay under, in microseconds.
    pub p50_us: f64,
    /// Latency that 99 of 100 stay under.
    pub p99_us: f64,
    /// The longest time in which no write was answered, in milliseconds.
    pub stall_ms: f64,
    /// Processor time of the server for each request, while the load ran.
    pub cpu_us: f64,
    /// The same with the work that it did afterwards.
    pub cpu_after_us: f64,
    /// Bytes that reached the disk for each byte that the client wrote, the work afterwards included: the
    /// lower of the two counts that follow, since each of them can only be too high.
    pub bytes: f64,
    /// The same by the process's counter, which counts a whole folio of the page cache for each write.
    pub server_bytes: f64,
    /// The same by the disk's counter, where strangers count too.
    pub disk_bytes: f64,
    /// Bytes that the server read from the disk for each byte that the client read: less than 1 where the
    /// page cache answers.
    pub bytes_read: f64,
    /// Write requests of the disk for each request of the client.
    pub disk_writes: f64,
    /// Flushes of the disk for each flush of the client, while the load ran.
    pub disk_flushes: f64,
    /// FLUSHes that were asked for, for each read or write.
    pub flushes_asked: f64,
    /// Flushes of the disk for each read or write, while the load ran.
    pub flushes_done: f64,
    /// Processors that others kept busy meanwhile, kernel threads among them.
    pub strangers: f64,
    /// How long the server went on working afterwards, in seconds.
    pub settle_s: f64,
}

impl Measure {
    /// One line while the run goes on.
    pub fn line(&self, cell: &Cell) -> String {
        format!(
            "{} {:11} {:22} {:8.0}/s {:7.1} MB/s p99 {:6.0} us cpu {:5.1} {:5.1} us bytes {:4.2} flushes {:4.2} ({:5.3} a request) strangers {:4.2} settled {:.1} s",
            self.round,
            self.cell,
            self.who,
            self.rate,
            self.rate * f64::from(cell.len) / 1e6,
            self.p99_us,
            self.cpu_us,
            self.cpu_after_us,
            self.bytes,
            self.disk_flushes,
            self.flushes_done,
            self.strangers,
            self.settle_s,
        )
    }
}

/// How to measure.
#[derive(Clone, Debug)]
pub struct Method {
    /// Where.
    pub site: Site,
    /// The kernel's counters.
    pub counters: Counters,
    /// How long a cell runs.
    pub time: Duration,
    /// And after how many requests it ends at the latest, so that short runs do the same work each time.
    pub requests_max: fn(&Cell) -> u64,
}

/// Tidemark takes up work that it put off once it was left alone for 0.4 s; who did nothing for longer
/// than that has nothing left.
const QUIET: Duration = Duration::from_millis(600);
const LOOK: Duration = Duration::from_millis(50);
/// And is not waited for any longer than this.
const SETTLE_MAX: Duration = Duration::from_secs(120);

/// What is measured, as tables know it, and how to get at it.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The shape of the load.
    pub cell: &'a Cell,
    /// The round, counted from 0.
    pub round: u32,
    /// The name of the row.
    pub row: &'static str,
    /// The way to the disk.
    pub route: &'a Route,
}

impl Method {
    /// Measures one cell of one round.
    ///
    /// # Errors
    /// Where the contender fails.
    pub async fn measure(&self, turn: &Turn<'_>, server: &mut Server) -> Outcome<Measure> {
        let (cell, round) = (turn.cell, turn.round);
        let seed = u64::from(round) * 1000 + u64::from(cell.len) + cell.depth as u64;
        server.sync(&self.site)?;
        if cell.is_marked {
            server.mark(&self.site).await?;
        }
        let before = self.counters.read(server.pid())?;
        let (tally, p50_us, p99_us) = match server.who {
            Who::Raw if cell.is_grouped() => self.load_raw(cell, seed).await?,
            Who::Raw => self.raw(cell, seed)?,
            _ => {
                let mut tally = self.load(turn, server, seed).await?;
                let (p50_us, p99_us) = (tally.latency_us(0.5), tally.latency_us(0.99));
                (tally, p50_us, p99_us)
            }
        };
        let loaded = self.counters.read(server.pid())? - before;
        server.sync(&self.site)?;
        let settle_s = self.settle(server).await?.as_secs_f64();
        let settled = self.counters.read(server.pid())? - before;
        if cell.is_marked {
            server.unmark(&self.site)?;
        }
        let spent = Spent { loaded, settled };
        Ok(Measure { settle_s, p50_us, p99_us, ..spent.per_request(turn, server.who, &tally) })
    }

    fn raw(&self, cell: &Cell, seed: u64) -> Outcome<(Tally, f64, f64)> {
        let load = fio::Load { seed, time: self.time, requests_max: (self.requests_max)(cell) };
        let count = fio::run(cell, &self.site.file(), self.site.size, &load)?;
        let elapsed = Duration::from_secs_f64(count.requests as f64 / count.rate.max(1.0));
        let mut tally = Tally::of(count.requests, count.bytes_written, elapsed);
        tally.flushes = count.flushes;
        Ok((tally, count.p50_us, count.p99_us))
    }

    /// `fio` cannot flush after each so many writes when many are in flight, so this program does.
    async fn load_raw(&self, cell: &Cell, seed: u64) -> Outcome<(Tally, f64, f64)> {
        let mut plan = Plan::new(*cell, self.site.size, seed);
        let limit = Limit::time(self.time).requests((self.requests_max)(cell));
        let mut tally = raw::run(&self.site.file(), &mut plan, cell.depth, limit).await?;
        let (p50_us, p99_us) = (tally.latency_us(0.5), tally.latency_us(0.99));
        Ok((tally, p50_us, p99_us))
    }

    async fn load(&self, turn: &Turn<'_>, server: &mut Server, seed: u64) -> Outcome<Tally> {
        let cell = turn.cell;
        let mut whole = Tally::default();
        let requests_max = (self.requests_max)(cell);
        while whole.elapsed < self.time && whole.requests < requests_max {
            let mut client = turn.route.connect(server).await?;
            let mut plan = Plan::new(*cell, client.size(), seed + whole.requests);
            let requests = plan.once().unwrap_or(u64::MAX).min(requests_max - whole.requests);
            let limit = Limit::time(self.time - whole.elapsed).requests(requests);
            whole.join(client.run(&mut plan, cell.depth, limit).await?);
            client.close().await?;
            // Every place was written once: the next mark makes them first writes again.
            if cell.is_marked && whole.elapsed < self.time && whole.requests < requests_max {
                server.mark(&self.site).await?;
            }
        }
        Ok(whole)
    }

    /// Waits until Tidemark has done what it put off. Gives how long that took. The others put off
    /// nothing, once what they left in the page cache is synced.
    ///
    /// # Errors
    /// Where it is gone, or does not come to an end.
    pub async fn settle(&self, server: &Server) -> Outcome<Duration> {
        if server.who != Who::Tidemark {
            return Ok(Duration::ZERO);
        }
        let work = |reading: Reading| reading.server_bytes_written + reading.server_bytes_read;
        let (start, mut last_work) = (now(), now());
        let mut last = work(self.counters.read(server.pid())?);
        let api = Api::reached(&self.site.state()).await?;
        while now() - last_work < QUIET {
            tokio::time::sleep(LOOK).await;
            let this = work(self.counters.read(server.pid())?);
            // On a busy machine it may have been left alone for long and not have begun yet.
            let is_quiet_for_long = now() - last_work + LOOK >= QUIET;
            if this != last || (is_quiet_for_long && api.unapplied_bytes()? > 0) {
                (last, last_work) = (this, now());
            }
            if now() - start > SETTLE_MAX {
                return Err("Tidemark goes on working for minutes after the load has ended".into());
            }
        }
        Ok(last_work - start)
    }
}

/// What was spent on a load, until its end and until the server had settled.
struct Spent {
    loaded: Reading,
    settled: Reading,
}

impl Spent {
    fn per_request(&self, turn: &Turn<'_>, who: Who, tally: &Tally) -> Measure {
        let per = |spent: u64, count: u64| {
            if count == 0 { 0.0 } else { spent as f64 / count as f64 }
        };
        let (loaded, settled) = (&self.loaded, &self.settled);
        let known = loaded.server_cpu_us + loaded.client_cpu_us;
        let strangers = loaded.machine_cpu_us.saturating_sub(known) as f64 / 1e6;
        let seconds = loaded.at.as_secs_f64();
        let server_bytes = per(settled.server_bytes_written, tally.bytes_written);
        let disk_bytes = per(settled.disk_bytes_written, tally.bytes_written);
        Measure {
            round: turn.round,
            who: turn.row,
            cell: turn.cell.name,
            rate: tally.rate(),
            requests: tally.requests,
            bytes_written: tally.bytes_written,
            p50_us: 0.0,
            p99_us: 0.0,
            stall_ms: tally.stall.as_secs_f64() * 1e3,
            cpu_us: per(loaded.server_cpu_us, tally.requests),
            cpu_after_us: per(settled.server_cpu_us, tally.requests),
            bytes: if who == Who::Raw { disk_bytes } else { server_bytes.min(disk_bytes) },
            server_bytes,
            disk_bytes,
            bytes_read: per(loaded.server_bytes_read, tally.bytes_read),
            disk_writes: per(settled.disk_writes, tally.requests),
            disk_flushes: per(loaded.disk_flushes, tally.flushes),
            flushes_asked: per(tally.flushes, tally.requests),
            flushes_done: per(loaded.disk_flushes, tally.requests),
            strangers: strangers / seconds.max(1e-3),
            settle_s: 0.0,
        }
    }
}
