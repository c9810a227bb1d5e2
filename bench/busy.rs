//! The question: what is left of the foreground while everything else goes on beside it?
//!
//! Everything: marks are taken and deleted, a view is read by another client at a steady pace, and the
//! volume is scrubbed over and over. Each cell is measured alone and with all that within seconds.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use serde::Serialize;

use crate::api::Api;
use crate::cell::{self, Cell};
use crate::client::{Client, Limit};
use crate::contender::Site;
use crate::lab::{Lab, Load};
use crate::marker::Marker;
use crate::plan::{Area, Plan};
use crate::settings::Others;
use crate::tally::Tally;
use crate::values::Values;
use crate::{Outcome, Settings};

/// The cells of the foreground.
const CELLS: [&str; 4] = ["read", "write", "sync", "mail"];
/// The goals: what is left of the rate, and how many times p99 may grow.
const RATE_GOAL: f64 = 0.7;
const P99_GOAL: f64 = 3.0;
const VOLUME: &str = "busy";
/// Marks that are held while more are taken and deleted.
const HELD: u32 = 16;
/// Bytes that the reader of the view asks for at once, and how many such requests are in flight.
const VIEW_LEN: u32 = 64 << 10;
const VIEW_DEPTH: usize = 2;
/// The reader of the view looks this often whether it is told to stop.
const PIECE: Duration = Duration::from_millis(100);
/// The scrub is looked at this often.
const LOOK: Duration = Duration::from_millis(50);

/// One cell alone and beside everything else.
#[derive(Debug, Serialize)]
pub struct Foreground {
    round: u32,
    cell: &'static str,
    alone_rate: f64,
    busy_rate: f64,
    alone_p99_us: f64,
    busy_p99_us: f64,
    /// What the others got done meanwhile.
    marks: usize,
    view_mib_s: f64,
    scrubs: f64,
}

/// Measures each cell alone and beside everything else, round by round.
///
/// # Errors
/// Where Tidemark fails, or the scrub finds damage.
pub async fn ask(settings: &Settings, site: &Site, others: &Others) -> Outcome<Vec<Foreground>> {
    let lab = Lab::open(settings, site).await?;
    let whole = lab.full(VOLUME, settings.size.0).await?;
    let write =
        Load { export: VOLUME, cell: *cell::named("write")?, area: whole, connections: 1, seed: 1 };
    for held in 0..HELD {
        lab.api.take_mark(VOLUME, &format!("held-{held}"))?;
        lab.load(&write, Limit::time(lab.time()).requests(1024)).await?;
    }
    lab.api.create_view("beside", &format!("{VOLUME}@held-{}", HELD / 2))?;
    let mut measured = Vec::new();
    for round in 0..settings.rounds {
        for name in CELLS.iter().filter(|name| settings.has_cell(name)) {
            let cell = cell::named(name)?;
            measured.push(foreground(&lab, settings.size.0, cell, round, others).await?);
            eprintln!("{:?}", measured.last());
        }
    }
    lab.api.remove_view("beside")?;
    lab.close().await?;
    Ok(measured)
}

async fn foreground(
    lab: &Lab,
    size: u64,
    cell: &Cell,
    round: u32,
    others: &Others,
) -> Outcome<Foreground> {
    let area = Area::dense(0, size, cell.len);
    let load = Load { export: VOLUME, cell: *cell, area, connections: 1, seed: round.into() };
    lab.settle().await?;
    let mut alone = lab.load(&load, Limit::time(lab.time())).await?;
    lab.settle().await?;
    let marker = others.has("marks").then(|| Marker::start(lab.api.clone(), VOLUME));
    let scrubber = others.has("scrub").then(|| Beside::scrub(lab.api.clone()));
    let reader = match others.has("view") {
        true => Some(Beside::read(lab, others.view_mib).await?),
        false => None,
    };
    let mut busy = lab.load(&load, Limit::time(lab.time())).await?;
    let marks = marker.map(Marker::stop).transpose()?.map_or(0, |taken| taken.len());
    let scrubs = scrubber.map(Beside::stop).transpose()?.unwrap_or_default();
    let view_mib_s = reader.map(Beside::stop).transpose()?.unwrap_or_default();
    Ok(Foreground {
        round,
        cell: cell.name,
        alone_rate: alone.rate(),
        busy_rate: busy.rate(),
        alone_p99_us: alone.answer_us(0.99),
        busy_p99_us: busy.answer_us(0.99),
        marks,
        view_mib_s,
        scrubs,
    })
}

/// A thread that does something until it is told to stop, and tells how much it did.
struct Beside {
    is_over: Arc<AtomicBool>,
    // Hung up when this is dropped, which ends the waiting of the thread.
    _open: Sender<()>,
    thread: JoinHandle<Result<f64, String>>,
}

impl Beside {
    /// Scrubs the volume over and over; tells how many times.
    fn scrub(api: Api) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let (open, pause) = channel::<()>();
        let thread = spawn(move || {
            let mut scrubs = 0.0;
            let is_told = || {
                let _ = pause.recv_timeout(LOOK);
                over.load(Ordering::Acquire)
            };
            while !over.load(Ordering::Acquire) {
                scrubs += api.scrub(VOLUME, is_told).map_err(|error| error.to_string())?;
            }
            Ok(scrubs)
        });
        Self { is_over, _open: open, thread }
    }

    /// Reads the view at a pace, anywhere; tells how many MiB a second.
    async fn read(lab: &Lab, mib_s: f64) -> Outcome<Self> {
        // A connection belongs to the runtime that made it; this one only shows that the view is there.
        lab.server.connect_to("view/beside").await?.disconnect().await?;
        let socket = lab.server.socket().to_owned();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let (open, _) = channel::<()>();
        let thread = spawn(move || {
            let read = async {
                let cell = Cell { len: VIEW_LEN, ..*cell::named("read")? };
                let mut client = Client::connect(&socket, "view/beside").await?;
                let mut plan = Plan::new(cell, client.size, 1);
                let mut whole = Tally::default();
                let pace = mib_s * f64::from(1 << 20) / f64::from(VIEW_LEN);
                while !over.load(Ordering::Acquire) {
                    let limit = Limit::time(PIECE).rate(pace);
                    whole.join(client.run(&mut plan, VIEW_DEPTH, limit).await?);
                }
                client.disconnect().await?;
                Outcome::Ok(whole.rate() * f64::from(VIEW_LEN) / f64::from(1 << 20))
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime.block_on(read).map_err(|error| error.to_string())
        });
        Ok(Self { is_over, _open: open, thread })
    }

    fn stop(self) -> Outcome<f64> {
        self.is_over.store(true, Ordering::Release);
        let ended = self.thread.join().map_err(|_| "a thread beside the load panicked")?;
        Ok(ended?)
    }
}

/// The figures as Markdown.
pub fn markdown(measured: &[Foreground]) -> String {
    let mut text = String::from(
        "\n### The foreground beside marks, a view and a scrub\n\n\
         | cell | of its rate | goal | p99, times | goal | reached | alone, a second | p99 alone, us | \
         marks taken | view, MiB a second | scrubs |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for name in CELLS {
        let of = |figure: fn(&Foreground) -> f64| {
            let rounds = measured.iter().filter(|one| one.cell == name).map(figure);
            Values(rounds.collect()).spread()
        };
        let rates = of(|one| one.busy_rate / one.alone_rate);
        let p99s = of(|one| one.busy_p99_us / one.alone_p99_us);
        let (Some(rates), Some(p99s)) = (rates, p99s) else { continue };
        let is_reached = rates.median >= RATE_GOAL && p99s.median <= P99_GOAL;
        let reached = if is_reached { "yes" } else { "no" };
        let median = |figure| of(figure).map_or(0.0, |spread| spread.median);
        let (rate, p99) = (median(|one| one.alone_rate), median(|one| one.alone_p99_us));
        let (marks, view) = (median(|one| one.marks as f64), median(|one| one.view_mib_s));
        let scrubs = median(|one| one.scrubs);
        let (rates, p99s) = (rates.shown(2), p99s.shown(1));
        let _ = writeln!(
            text,
            "| {name} | {rates} | {RATE_GOAL} | {p99s} | {P99_GOAL} | {reached} | {rate:.0} | {p99:.0} | \
             {marks:.0} | {view:.0} | {scrubs:.1} |"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(round: u32, busy_rate: f64, busy_p99_us: f64) -> Foreground {
        Foreground {
            round,
            cell: "read",
            alone_rate: 100.0,
            busy_rate,
            alone_p99_us: 10.0,
            busy_p99_us,
            marks: 9,
            view_mib_s: 50.0,
            scrubs: 0.5,
        }
    }

    #[test]
    fn goals_are_reached_by_the_medians_of_both_ratios() {
        let text = markdown(&[round(0, 80.0, 20.0), round(1, 60.0, 40.0), round(2, 75.0, 25.0)]);
        let row = text.lines().last().unwrap();
        assert!(
            row.starts_with("| read | **0.75** [0.60-0.80] | 0.7 | **2.5** [2.0-4.0] | 3 | yes |")
        );
        for missed in [[round(0, 60.0, 20.0)], [round(0, 80.0, 31.0)]] {
            assert!(markdown(&missed).contains("| no |"), "{missed:?}");
        }
    }
}
