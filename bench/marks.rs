//! The question: what does a mark cost while the volume is written to, and what do many of them cost?
//!
//! With 0, 1, 16 and 255 marks held: how long taking one more takes under full load, how long writes wait
//! around it, and how fast the live volume reads and takes first writes.

use std::fmt::Write;
use std::sync::mpsc::{Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use serde::Serialize;

use crate::api::Api;
use crate::cell::{CELLS, Cell};
use crate::client::Limit;
use crate::contender::{Server, Site, VOLUME, Who};
use crate::counters::Counters;
use crate::house::now;
use crate::measure::Method;
use crate::plan::Plan;
use crate::tally::{Tally, quantile};
use crate::{Outcome, Settings};

/// How many marks are held while one more is taken and removed again, over and over.
const HELD: [u32; 4] = [0, 1, 16, 255];
/// The pause between two marks under load.
const BEAT: Duration = Duration::from_millis(50);
/// What still counts as around a mark.
const AFTERMATH: Duration = Duration::from_millis(20);
/// Blocks that change between two marks that are held, so that each keeps some.
const CHANGES: u64 = 256;

/// The figures at one number of marks held.
#[derive(Debug, Serialize)]
pub struct MarkCost {
    held: u32,
    taken: usize,
    mark_ms: [f64; 3],
    stall_ms: [f64; 3],
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
}

/// Measures at each number of marks.
///
/// # Errors
/// Where Tidemark fails.
pub async fn ask(settings: &Settings, site: &Site) -> Outcome<MarkFigures> {
    let counters = Counters::of(&site.dir)?;
    let method =
        Method { site: site.clone(), counters, time: settings.time(), requests_max: |_| u64::MAX };
    let mut server = Server::start(Who::Tidemark, site).await?;
    let api = Api::of(&site.state())?;
    let mut costs = Vec::new();
    let mut held = 0;
    for wanted in HELD {
        while held < wanted {
            run(&server, cell("write")?, held.into(), Limit::time(Duration::MAX).requests(CHANGES))
                .await?;
            held += 1;
            api.take_mark(VOLUME, &format!("held-{held}"))?;
        }
        // What was put off while the marks were taken is not what they cost.
        method.settle(&server).await?;
        let limit = Limit::time(method.time);
        let mut read = run(&server, cell("read")?, 1, limit).await?;
        let marker = Marker::start(api.clone());
        let load = run(&server, cell("first")?, u64::from(held) + 2, limit).await?;
        let taken = marker.stop()?;
        costs.push(cost(held, &taken, &load, &mut read));
        eprintln!("{:?}", costs.last());
    }
    method.settle(&server).await?;
    let views = views(settings, site, &server).await?;
    server.stop().await?;
    Ok(MarkFigures { costs, views })
}

/// Reads of a view of the oldest mark, of a middle one and of the newest, beside reads of the volume.
async fn views(settings: &Settings, site: &Site, server: &Server) -> Outcome<Vec<ViewReads>> {
    let newest = HELD[HELD.len() - 1];
    let limit = Limit::time(settings.time());
    let mut figures = Vec::new();
    for mark in [1, newest / 2, newest] {
        let of = format!("held-{mark}");
        site.tidemark(&["view", "create", "looking", &format!("{VOLUME}@{of}")])?;
        let mut client = server.connect_to("view/looking").await?;
        let read = cell("read")?;
        let mut plan = Plan::new(*read, client.size, mark.into());
        let of_view = client.run(&mut plan, read.depth, limit).await?.rate();
        client.disconnect().await?;
        let live = run(server, read, mark.into(), limit).await?.rate();
        site.tidemark(&["view", "rm", "looking"])?;
        figures.push(ViewReads { of, view_rate: of_view, live_rate: live });
        eprintln!("{:?}", figures.last());
    }
    Ok(figures)
}

fn cell(name: &str) -> Outcome<&'static Cell> {
    Ok(CELLS.iter().find(|cell| cell.name == name).ok_or("there is no such cell")?)
}

async fn run(server: &Server, cell: &Cell, seed: u64, limit: Limit) -> Outcome<Tally> {
    let mut client = server.connect().await?;
    let mut plan = Plan::new(*cell, client.size, seed);
    let tally = client.run(&mut plan, cell.depth, limit).await?;
    client.disconnect().await?;
    Ok(tally)
}

/// When a mark was asked for, and how long the answer took.
type Taken = (Duration, Duration);

/// A thread that takes a mark and removes it, again and again.
struct Marker {
    stop: Sender<()>,
    thread: JoinHandle<Result<Vec<Taken>, String>>,
}

impl Marker {
    fn start(api: Api) -> Self {
        let (stop, stopped) = channel::<()>();
        let thread = spawn(move || {
            let mut taken = Vec::new();
            while stopped.recv_timeout(BEAT).is_err() {
                let start = now();
                api.take_mark(VOLUME, "beat").map_err(|error| error.to_string())?;
                taken.push((start, now() - start));
                api.remove_mark(VOLUME, "beat").map_err(|error| error.to_string())?;
            }
            Ok(taken)
        });
        Self { stop, thread }
    }

    fn stop(self) -> Outcome<Vec<Taken>> {
        // A thread that failed has hung up; what it says counts.
        let _ = self.stop.send(());
        let ended = self.thread.join().map_err(|_| "the thread that takes marks panicked")?;
        Ok(ended?)
    }
}

fn cost(held: u32, taken: &[Taken], load: &Tally, read: &mut Tally) -> MarkCost {
    let mut marks: Vec<u32> = taken.iter().map(|(_, took)| micros(*took)).collect();
    let around = |(start, took): &Taken| {
        let (from, to) = (*start, *start + *took + AFTERMATH);
        let overlaps = |(end, len): &&(Duration, Duration)| {
            let end = load.started + *end;
            end >= from && end - *len <= to
        };
        micros(load.gaps.iter().filter(overlaps).map(|(_, len)| *len).max().unwrap_or_default())
    };
    let mut stalls: Vec<u32> = taken.iter().map(around).collect();
    MarkCost {
        held,
        taken: taken.len(),
        mark_ms: points_ms(&mut marks),
        stall_ms: points_ms(&mut stalls),
        first_rate: load.rate(),
        read_rate: read.rate(),
        read_p99_us: read.latency_us(0.99),
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// Half, 99 of 100, and all stay under these.
fn points_ms(values_us: &mut [u32]) -> [f64; 3] {
    [0.5, 0.99, 1.0].map(|part| quantile(values_us, part) / 1e3)
}

/// The figures as Markdown.
pub fn markdown(figures: &MarkFigures) -> String {
    let mut text = String::from(
        "\n### Marks under load\n\n\
         | held | taken | mark p50 / p99 / most, ms | longest wait of writes around it p50 / p99 / most, ms | \
         first writes a second | reads a second | read p99, us |\n|---|---|---|---|---|---|---|\n",
    );
    for cost in &figures.costs {
        let [mark, stall] = [cost.mark_ms, cost.stall_ms]
            .map(|[half, most, all]| format!("{half:.2} / {most:.2} / {all:.2}"));
        let (held, taken, first) = (cost.held, cost.taken, cost.first_rate);
        let (read, p99) = (cost.read_rate, cost.read_p99_us);
        let _ = writeln!(
            text,
            "| {held} | {taken} | {mark} | {stall} | {first:.0} | {read:.0} | {p99:.0} |"
        );
    }
    text += "\n### Reads of a view\n\n| view of | reads a second | of the volume | ratio |\n|---|---|---|---|\n";
    for ViewReads { of, view_rate, live_rate } in &figures.views {
        let ratio = view_rate / live_rate;
        let _ = writeln!(text, "| {of} | {view_rate:.0} | {live_rate:.0} | {ratio:.2} |");
    }
    text
}
