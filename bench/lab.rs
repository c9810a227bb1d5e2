//! Tidemark alone, with volumes of any kind: loads on them and what they cost.

use std::time::Duration;

use serde::Serialize;
use tokio::task::LocalSet;

use crate::api::Api;
use crate::cell::{self, Cell};
use crate::client::Limit;
use crate::contender::{Server, Site, Who};
use crate::counters::{Counters, resident_bytes};
use crate::house::now;
use crate::marker::{Marker, Taken};
use crate::measure::Method;
use crate::payload::Content;
use crate::plan::{Area, Plan, Requests};
use crate::tally::{Tally, quantile};
use crate::{Outcome, Settings};

/// A daemon without volumes, and the means to measure it.
pub struct Lab {
    /// The daemon.
    pub server: Server,
    /// Its API.
    pub api: Api,
    method: Method,
}

/// A load of one cell.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// The export that it goes to.
    pub export: &'a str,
    /// Its shape.
    pub cell: Cell,
    /// The places that it visits.
    pub area: Area,
    /// How many clients share what is in flight; each has one request in flight at least.
    pub connections: usize,
    /// Where chance begins.
    pub seed: u64,
}

/// What a load gave and what it cost.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cost {
    /// Requests a second.
    pub rate: f64,
    /// Processor time of the daemon for each request, the work afterwards included, in microseconds.
    pub cpu_us: f64,
    /// Latency that half of the answers stay under, those to FLUSH included, in microseconds.
    pub p50_us: f64,
    /// Latency that 99 of 100 stay under.
    pub p99_us: f64,
    /// Memory of the daemon once it had done what it put off, in MiB.
    pub resident_mib: f64,
}

/// As often as marks are taken beside a load.
const FLUSHES_A_SECOND: f64 = 40.0;

impl Lab {
    /// Starts a daemon with a fresh pool.
    ///
    /// # Errors
    /// Where it does not come up.
    pub async fn open(settings: &Settings, site: &Site) -> Outcome<Self> {
        let counters = Counters::of(&site.dir)?;
        let site = site.clone();
        let server = Server::bare(Who::Tidemark, &site).await?;
        let api = Api::reached(&site.state()).await?;
        let method = Method { site, counters, time: settings.time(), requests_max: |_| u64::MAX };
        Ok(Self { server, api, method })
    }

    /// How long a cell runs.
    pub fn time(&self) -> Duration {
        self.method.time
    }

    /// Stops the daemon and starts it again. Gives how long it took until it served.
    ///
    /// # Errors
    /// Where it does not stop or does not come up.
    pub async fn restart(&mut self) -> Outcome<Duration> {
        self.server.stop().await?;
        let start = now();
        self.server.spawn(&self.method.site).await?;
        let took = now() - start;
        self.api = Api::reached(&self.method.site.state()).await?;
        Ok(took)
    }

    /// Waits until the daemon has done what it put off. Gives how long that took.
    ///
    /// # Errors
    /// Where it does not come to an end.
    pub async fn settle(&self) -> Outcome<Duration> {
        self.method.settle(&self.server).await
    }

    /// Memory that the daemon has in use, in MiB.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn resident_mib(&self) -> Outcome<f64> {
        let pid = self.server.pid().ok_or("there is no daemon to look at")?;
        Ok(resident_bytes(pid)? as f64 / f64::from(1 << 20))
    }

    /// A figure of a volume, by the name that it has in the API.
    ///
    /// # Errors
    /// Where there is no such volume or figure.
    pub fn figure(&self, volume: &str, name: &str) -> Outcome<f64> {
        let figure = self.api.look(&format!("/volumes/{volume}"))?[name].as_f64();
        Ok(figure.ok_or_else(|| format!("volume {volume} has no figure {name}"))?)
    }

    /// Runs a load of any kind over one connection.
    ///
    /// # Errors
    /// Where the daemon does not answer well.
    pub async fn run(
        &self,
        export: &str,
        requests: &mut impl Requests,
        depth: usize,
        limit: Limit,
    ) -> Outcome<Tally> {
        let mut client = self.server.connect_to(export).await?;
        let tally = client.run(requests, depth, limit).await?;
        client.disconnect().await?;
        Ok(tally)
    }

    /// Makes a volume and writes all of it. Gives its blocks.
    ///
    /// # Errors
    /// Where the daemon does not answer well.
    pub async fn full(&self, volume: &str, size: u64) -> Outcome<Area> {
        self.api.create_volume(volume, size)?;
        let area = Area::dense(0, size, 4096);
        self.fill(volume, area, Content::Random).await?;
        Ok(area)
    }

    /// Writes each place of an area once, in order, with content of this kind.
    ///
    /// # Errors
    /// Where the daemon does not answer well.
    pub async fn fill(&self, volume: &str, area: Area, content: Content) -> Outcome<()> {
        let len = if area.stride == 4096 { 1 << 20 } else { 4096 };
        let cell = Cell { len, ..*cell::named("swrite")? };
        let area = match len {
            4096 => area,
            len => Area::dense(area.start, area.places * area.stride, len),
        };
        let mut client = self.server.connect_to(volume).await?;
        client.write(content);
        let limit = Limit::time(Duration::MAX).requests(area.places);
        client.run(&mut Plan::over(cell, area, 1), 32, limit).await?;
        client.disconnect().await
    }

    /// Runs a load, over as many connections as it wants.
    ///
    /// # Errors
    /// Where the daemon does not answer well.
    pub async fn load(&self, load: &Load<'_>, limit: Limit) -> Outcome<Tally> {
        if load.connections == 1 {
            let mut plan = Plan::over(load.cell, load.area, load.seed);
            return self.run(load.export, &mut plan, load.cell.depth, limit).await;
        }
        let depth = (load.cell.depth / load.connections).max(1);
        let clients = LocalSet::new();
        let mut running = Vec::new();
        for index in 0..load.connections {
            let mut client = self.server.connect_to(load.export).await?;
            let seed = load.seed + 1000 * index as u64;
            let mut plan = Plan::over(load.cell, load.area, seed);
            running.push(clients.spawn_local(async move {
                let tally = client.run(&mut plan, depth, limit).await?;
                client.disconnect().await?;
                Outcome::Ok(tally)
            }));
        }
        let all = async {
            let mut whole = Tally::default();
            for client in running {
                whole.join_beside(client.await??);
            }
            Ok(whole)
        };
        clients.run_until(all).await
    }

    /// Runs a load for the time of a cell, waits until the work is done, and tells what it cost.
    ///
    /// # Errors
    /// Where the daemon does not answer well.
    pub async fn cost(&self, load: &Load<'_>) -> Outcome<Cost> {
        let pid = self.server.pid();
        let before = self.method.counters.read(pid)?;
        let mut tally = self.load(load, Limit::time(self.time())).await?;
        self.settle().await?;
        let resident_mib = self.resident_mib()?;
        let spent = self.method.counters.read(pid)? - before;
        Ok(Cost {
            rate: tally.rate(),
            cpu_us: spent.server_cpu_us as f64 / tally.requests.max(1) as f64,
            p50_us: tally.answer_us(0.5),
            p99_us: tally.answer_us(0.99),
            resident_mib,
        })
    }

    /// Takes marks of a volume, one after the other, while a load runs on it. Gives the marks and the load.
    ///
    /// # Errors
    /// Where the daemon does not answer well.
    pub async fn marked(&self, volume: &str, load: &Load<'_>) -> Outcome<(Vec<Taken>, Tally)> {
        let marker = Marker::start(self.api.clone(), volume);
        let tally = self.load(load, Limit::time(self.time())).await?;
        Ok((marker.stop()?, tally))
    }

    /// Sends a FLUSH every now and then, after one write each, over a connection of its own while a load
    /// runs: what a mark has to be held against, since it is as durable.
    ///
    /// # Errors
    /// Where the daemon does not answer well.
    pub async fn flushed(&self, load: &Load<'_>) -> Outcome<Tally> {
        let limit = Limit::time(self.time());
        let mut sync = Plan::over(*cell::named("sync")?, load.area, load.seed);
        let paced = limit.rate(FLUSHES_A_SECOND);
        let (loaded, flushed) =
            tokio::join!(self.load(load, limit), self.run(load.export, &mut sync, 1, paced));
        loaded.and(flushed)
    }

    /// What taking a mark costs while a load runs.
    ///
    /// # Errors
    /// Where the daemon does not answer well.
    pub async fn mark_cost(&self, volume: &str, load: &Load<'_>) -> Outcome<Cost> {
        let (taken, _) = self.marked(volume, load).await?;
        let mut took: Vec<u32> = taken.iter().map(|mark| micros(mark.took)).collect();
        self.settle().await?;
        let resident_mib = self.resident_mib()?;
        let (p50_us, p99_us) = (quantile(&mut took, 0.5), quantile(&mut took, 0.99));
        Ok(Cost { p50_us, p99_us, resident_mib, ..Cost::default() })
    }

    /// Stops the daemon.
    ///
    /// # Errors
    /// Where it does not end.
    pub async fn close(mut self) -> Outcome<()> {
        self.server.stop().await
    }
}

/// Whole microseconds.
pub fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
