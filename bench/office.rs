//! The question: what does it cost to look after the appliance? How soon lists are answered where there is much to
//! list, what a thousand policies take of a processor, and what clients lose while somebody watches.

use std::fmt::Write;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use crate::api::Api;
use crate::cell;
use crate::client::Limit;
use crate::contender::Site;
use crate::counters::Counters;
use crate::house::now;
use crate::lab::{Lab, Load, micros};
use crate::plan::Area;
use crate::tally::quantile;
use crate::values::Values;
use crate::{Outcome, Settings};

/// Volumes, and marks of each, where there is much to list.
const VOLUMES: u32 = 200;
const MARKS: u32 = 256;
/// Volumes of one mark: as many as a group has.
const AT_ONCE: u32 = 50;
/// Bytes of a volume that is only listed.
const LISTED_SIZE: u64 = 16 << 20;
/// How often a list is asked for.
const CALLS: u32 = 300;
/// The goal of a list, in milliseconds by p99.
const LIST_GOAL_MS: f64 = 20.0;
/// Policies, and how often each runs.
const POLICIES: u32 = 1000;
const RUNS_A_SECOND: f64 = POLICIES as f64 / 3600.0;
/// How many of them are run by hand.
const RUNS: u32 = 200;
/// The goal of policies, in shares of a processor.
const POLICIES_GOAL: f64 = 0.01;
/// How long the daemon is looked at while it has nothing to do but look at its policies.
const REST: Duration = Duration::from_secs(20);
/// How often metrics are read, and how often a console that shows a page of volumes asks for it.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(5);
/// A load runs through at least two scrapes.
const WATCHED_MIN: Duration = Duration::from_secs(12);
/// The goal of being watched, as what is left of the speed.
const WATCHED_GOAL: f64 = 0.98;
/// What the console asks for on its first page.
const PAGES: [&str; 4] = ["/status", "/volumes", "/jobs", "/sessions"];

/// How soon one list is answered.
#[derive(Debug, Serialize)]
pub struct ListCost {
    path: String,
    bytes: usize,
    p50_ms: f64,
    p99_ms: f64,
}

/// What policies cost.
#[derive(Debug, Serialize)]
pub struct PolicyCost {
    /// Share of a processor while nothing is due: without policies, and with them.
    rest: [f64; 2],
    /// Processor time of a run, in milliseconds.
    run_ms: f64,
}

/// What is left of the speed of one cell while somebody watches.
#[derive(Debug, Serialize)]
pub struct Watched {
    cell: &'static str,
    round: u32,
    alone: f64,
    watched: f64,
}

/// All that this question gives.
#[derive(Debug, Default, Serialize)]
pub struct OfficeFigures {
    lists: Vec<ListCost>,
    policies: Option<PolicyCost>,
    watched: Vec<Watched>,
}

/// Measures what is asked for.
///
/// # Errors
/// Where Tidemark fails.
pub async fn ask(settings: &Settings, site: &Site) -> Outcome<OfficeFigures> {
    let mut figures = OfficeFigures::default();
    if settings.has_cell("watched") {
        let lab = Lab::open(settings, site).await?;
        figures.watched = watched(&lab, settings).await?;
        lab.close().await?;
    }
    if settings.has_cell("lists") {
        let lab = Lab::open(settings, site).await?;
        figures.lists = lists(&lab)?;
        lab.close().await?;
    }
    // After the lists, since the state stays: what they ask for is theirs alone.
    if settings.has_cell("policies") {
        let lab = Lab::open(settings, site).await?;
        figures.policies = Some(policies(&lab, site).await?);
        lab.close().await?;
    }
    Ok(figures)
}

fn lists(lab: &Lab) -> Outcome<Vec<ListCost>> {
    for volume in 0..VOLUMES {
        lab.api.create_volume(&format!("v{volume}"), LISTED_SIZE)?;
    }
    for mark in 0..MARKS {
        for first in (0..VOLUMES).step_by(AT_ONCE as usize) {
            let names: Vec<_> = (first..first + AT_ONCE).map(|n| format!("\"v{n}\"")).collect();
            let body = format!("{{\"volumes\": [{}], \"name\": \"m{mark}\"}}", names.join(","));
            lab.api.ask("POST", "/marks", &body)?;
        }
    }
    let api = "/api/v1";
    let paths = [
        "/volumes",
        "/volumes?limit=100",
        "/volumes/v7",
        "/volumes/v7/marks",
        "/status",
        "/exports",
    ]
    .map(|path| format!("{api}{path}"));
    let paths = paths.into_iter().chain(["/metrics".into()]);
    paths.map(|path| listed(&lab.api, path)).collect()
}

fn listed(api: &Api, path: String) -> Outcome<ListCost> {
    let mut took = Vec::new();
    let mut bytes = 0;
    for _ in 0..CALLS {
        let start = now();
        bytes = api.ask_at("GET", &path, "")?.len();
        took.push(micros(now() - start));
    }
    let [p50_ms, p99_ms] = [0.5, 0.99].map(|part| quantile(&mut took, part) / 1e3);
    let cost = ListCost { path, bytes, p50_ms, p99_ms };
    eprintln!("{cost:?}");
    Ok(cost)
}

async fn policies(lab: &Lab, site: &Site) -> Outcome<PolicyCost> {
    for volume in 0..VOLUMES {
        lab.api.create_volume(&format!("p{volume}"), LISTED_SIZE)?;
    }
    let counters = Counters::of(&site.dir)?;
    let pid = lab.server.pid();
    let share = async || -> Outcome<f64> {
        lab.settle().await?;
        let before = counters.read(pid)?;
        tokio::time::sleep(REST).await;
        let spent = counters.read(pid)? - before;
        Ok(spent.server_cpu_us as f64 / spent.at.as_micros() as f64)
    };
    let without = share().await?;
    for policy in 0..POLICIES {
        let volume = policy % VOLUMES;
        let body = format!(
            "{{\"name\": \"p{policy}\", \"volumes\": [\"p{volume}\"], \"every\": \"1h\", \
             \"changed\": 1073741824, \"keep\": {{\"hourly\": 24}}}}"
        );
        lab.api.ask("POST", "/policies", &body)?;
    }
    let with = share().await?;
    let before = counters.read(pid)?;
    for policy in 0..RUNS {
        lab.api.ask("POST", &format!("/policies/p{policy}/run"), "")?;
    }
    let spent = counters.read(pid)? - before;
    let run_ms = spent.server_cpu_us as f64 / 1e3 / f64::from(RUNS);
    let cost = PolicyCost { rest: [without, with], run_ms };
    eprintln!("{cost:?}");
    Ok(cost)
}

async fn watched(lab: &Lab, settings: &Settings) -> Outcome<Vec<Watched>> {
    let area: Area = lab.full("mail", settings.size.0).await?;
    let mut all = Vec::new();
    for round in 0..settings.rounds {
        for name in ["read", "write"] {
            let cell = *cell::named(name)?;
            let load = Load { export: "mail", cell, area, connections: 1, seed: round.into() };
            let limit = Limit::time(lab.time().max(WATCHED_MIN));
            // Who goes first has the quieter machine as often as not.
            let mut rates = [0.0; 2];
            for turn in 0..2 {
                let is_watched = (turn + round) % 2 == 1;
                lab.settle().await?;
                let watcher = is_watched.then(|| Watcher::start(&lab.api)).transpose()?;
                rates[usize::from(is_watched)] = lab.load(&load, limit).await?.rate();
                if let Some(watcher) = watcher {
                    watcher.stop()?;
                }
            }
            let [alone, watched] = rates;
            all.push(Watched { cell: cell.name, round, alone, watched });
            eprintln!("{:?}", all.last());
        }
    }
    Ok(all)
}

/// A monitoring system that reads metrics, and a console that follows events and shows a page.
struct Watcher {
    is_over: Arc<AtomicBool>,
    asking: JoinHandle<Result<(), String>>,
    following: JoinHandle<()>,
    stream: UnixStream,
}

impl Watcher {
    fn start(api: &Api) -> Outcome<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let stream = api.connect()?;
        let mut events = stream.try_clone()?;
        events.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        let following = std::thread::spawn(move || {
            let mut heard = [0; 4096];
            while matches!(events.read(&mut heard), Ok(1..)) {}
        });
        let (api, over) = (api.clone(), Arc::clone(&is_over));
        let asking = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let asked = api.ask_at("GET", "/metrics", "").and_then(|_| {
                    PAGES.iter().try_for_each(|page| api.ask("GET", page, "").map(drop))
                });
                asked.map_err(|error| error.to_string())?;
                std::thread::park_timeout(SCRAPE_INTERVAL);
            }
            Ok(())
        });
        Ok(Self { is_over, asking, following, stream })
    }

    fn stop(self) -> Outcome<()> {
        self.is_over.store(true, Ordering::Relaxed);
        self.asking.thread().unpark();
        self.asking.join().map_err(|_| "what asks broke off")??;
        self.stream.shutdown(std::net::Shutdown::Both)?;
        self.following.join().map_err(|_| "what follows events broke off")?;
        Ok(())
    }
}

/// The figures as Markdown, as far as they were measured.
pub fn markdown(figures: &OfficeFigures) -> String {
    let mut text = String::new();
    if !figures.lists.is_empty() {
        let _ = write!(
            text,
            "\n### Lists with {VOLUMES} volumes of {MARKS} marks each\n\n\
             | address | bytes | p50, ms | p99, ms | goal kept |\n|---|---|---|---|---|\n"
        );
        for ListCost { path, bytes, p50_ms, p99_ms } in &figures.lists {
            let is_kept = kept(*p99_ms < LIST_GOAL_MS);
            let _ = writeln!(text, "| {path} | {bytes} | {p50_ms:.2} | {p99_ms:.2} | {is_kept} |");
        }
        let _ = writeln!(text, "\nGoal: under {LIST_GOAL_MS} ms by p99.");
    }
    if let Some(cost) = &figures.policies {
        let (share, [without, with]) = (share_of(cost), cost.rest);
        let _ = writeln!(
            text,
            "\n### {POLICIES} policies, each once an hour\n\n\
             At rest the daemon took {:.3} % of a processor without them and {:.3} % with them; a run took {:.2} ms. \
             Together {:.3} % of a processor; goal under {:.0} %: {}.",
            without * 100.0,
            with * 100.0,
            cost.run_ms,
            share * 100.0,
            POLICIES_GOAL * 100.0,
            kept(share < POLICIES_GOAL)
        );
    }
    if !figures.watched.is_empty() {
        text += "\n### Speed while metrics are read each 5 s and a console is open\n\n\
                 | cell | alone | watched | ratio | goal kept |\n|---|---|---|---|---|\n";
        for name in ["read", "write"] {
            let of = || figures.watched.iter().filter(|one| one.cell == name);
            let spread = |value: fn(&Watched) -> f64| Values(of().map(value).collect()).spread();
            let (Some(alone), Some(watched), Some(ratio)) = (
                spread(|one| one.alone),
                spread(|one| one.watched),
                spread(|one| one.watched / one.alone),
            ) else {
                continue;
            };
            let is_kept = kept(ratio.median >= WATCHED_GOAL);
            let (alone, watched, ratio) = (alone.shown(0), watched.shown(0), ratio.shown(3));
            let _ = writeln!(text, "| {name} | {alone} | {watched} | {ratio} | {is_kept} |");
        }
        let _ = writeln!(text, "\nGoal: a ratio of {WATCHED_GOAL} at least.");
    }
    text
}

/// What policies take of a processor: while nothing is due, and the runs.
fn share_of(cost: &PolicyCost) -> f64 {
    let [without, with] = cost.rest;
    (with - without).max(0.0) + cost.run_ms / 1e3 * RUNS_A_SECOND
}

fn kept(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_that_is_missed_is_said_to_be() {
        let list = |p99_ms| ListCost { path: "/x".into(), bytes: 1, p50_ms: 1.0, p99_ms };
        let one = |watched| Watched { cell: "read", round: 0, alone: 100.0, watched };
        let figures = |p99_ms, run_ms, watched| OfficeFigures {
            lists: vec![list(p99_ms)],
            policies: Some(PolicyCost { rest: [0.001, 0.002], run_ms }),
            watched: vec![one(watched)],
        };
        let good = markdown(&figures(19.0, 1.0, 99.0));
        assert_eq!((good.matches("yes").count(), good.matches("| no |").count()), (3, 0), "{good}");
        let bad = markdown(&figures(21.0, 100.0, 97.0));
        assert!(!bad.contains("yes"), "{bad}");
    }
}
