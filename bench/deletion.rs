//! What becomes of a mark that is deleted from between two others: how long the answer takes, when its
//! space is back, and what a load beside it notices.
//!
//! The load is held to a pace, as a mail server is: what a server at its limit puts off says little.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::spawn;
use std::time::Duration;

use serde::Serialize;

use crate::Outcome;
use crate::api::Api;
use crate::cell;
use crate::client::Limit;
use crate::house::now;
use crate::lab::Lab;
use crate::payload::Content;
use crate::plan::{Area, Plan};
use crate::tally::Tally;

/// Requests a second of the load, and how many are in flight at most.
const PACE: f64 = 2000.0;
const DEPTH: usize = 8;
/// How long the space is waited for while the load runs, and after it has ended.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the space is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// The load runs in pieces of this length, and ends with the piece in which the space is back.
const PIECE: Duration = Duration::from_millis(250);
/// The share of the space that counts as back.
const BACK: f64 = 0.9;

/// One deletion.
#[derive(Debug, Serialize)]
pub struct Deletion {
    round: u32,
    /// What only that mark needed.
    freed_mib: f64,
    /// Until the deletion was answered.
    returns_ms: f64,
    /// Until the space was back, counted from the deletion; nothing where it did not come.
    back_s: Option<f64>,
    /// Whether the load still ran then.
    is_back_under_load: bool,
    /// p99 of the load alone, and between deletion and space.
    alone_p99_us: f64,
    beside_p99_us: f64,
    /// The longest time without a write answered, alone and beside.
    alone_stall_ms: f64,
    beside_stall_ms: f64,
}

/// When it was answered and when the space was back, counted from the deletion.
struct Times {
    returns: Duration,
    back: Option<Duration>,
}

/// Deletes the middle one of three marks that keep an eighth of the volume each.
///
/// # Errors
/// Where Tidemark fails.
pub async fn measured(lab: &Lab, size: u64, round: u32) -> Outcome<Deletion> {
    let volume = "deletion";
    lab.api.create_volume(volume, size)?;
    // The last eighth is the load's.
    let kept = Area::dense(0, size / 8, 4096);
    let used = Area::dense(size / 8 * 7, size / 8, 4096);
    lab.fill(volume, kept, Content::Random).await?;
    lab.fill(volume, used, Content::Random).await?;
    for mark in ["older", "middle", "newer"] {
        lab.api.take_mark(volume, mark)?;
        lab.fill(volume, kept, Content::Random).await?;
    }
    // All that the load changes is preserved before, so that what is preserved only falls.
    lab.fill(volume, used, Content::Random).await?;
    lab.settle().await?;
    let write = cell::named("write")?;
    let mut plan = Plan::over(*write, used, round.into());
    let paced = Limit::time(lab.time()).rate(PACE);
    let mut alone = lab.run(volume, &mut plan, DEPTH, paced).await?;
    let before = lab.figure(volume, "preserved_bytes")?;
    let freed = (kept.places * kept.stride) as f64;
    let is_over = Arc::new(AtomicBool::new(false));
    let load_ended = Arc::new(AtomicBool::new(false));
    let watch = Watch { api: lab.api.clone(), wanted: before - freed * BACK };
    let (over, ended) = (Arc::clone(&is_over), Arc::clone(&load_ended));
    let deleter = spawn(move || {
        let times = watch.delete(volume, &ended).map_err(|error| error.to_string());
        over.store(true, Ordering::Release);
        times
    });
    let start = now();
    let mut beside = Tally::default();
    while !is_over.load(Ordering::Acquire) && now() - start < PATIENCE {
        let paced = Limit::time(PIECE).rate(PACE);
        beside.join(lab.run(volume, &mut plan, DEPTH, paced).await?);
    }
    let is_back_under_load = is_over.load(Ordering::Acquire);
    load_ended.store(true, Ordering::Release);
    let times = deleter.join().map_err(|_| "the thread that deletes a mark panicked")??;
    lab.api.remove_volume(volume)?;
    Ok(Deletion {
        round,
        freed_mib: freed / f64::from(1 << 20),
        returns_ms: times.returns.as_secs_f64() * 1e3,
        back_s: times.back.map(|back| back.as_secs_f64()),
        is_back_under_load,
        alone_p99_us: alone.latency_us(0.99),
        beside_p99_us: beside.latency_us(0.99),
        alone_stall_ms: alone.stall.as_secs_f64() * 1e3,
        beside_stall_ms: beside.stall.as_secs_f64() * 1e3,
    })
}

/// Deletes and looks for the space.
struct Watch {
    api: Api,
    /// Preserved bytes that are left when the space is back.
    wanted: f64,
}

impl Watch {
    fn delete(&self, volume: &str, load_ended: &AtomicBool) -> Outcome<Times> {
        let start = now();
        self.api.remove_mark(volume, "middle")?;
        let returns = now() - start;
        let (_never, pause) = channel::<()>();
        let mut quiet_since = None;
        loop {
            let shown = self.api.look(&format!("/volumes/{volume}"))?;
            if shown["preserved_bytes"].as_f64().is_some_and(|bytes| bytes <= self.wanted) {
                return Ok(Times { returns, back: Some(now() - start) });
            }
            if load_ended.load(Ordering::Acquire) {
                let since = *quiet_since.get_or_insert_with(now);
                if now() - since > PATIENCE {
                    return Ok(Times { returns, back: None });
                }
            }
            // Nothing ever comes, so this only waits.
            let _ = pause.recv_timeout(LOOK);
        }
    }
}

/// The figures as Markdown.
pub fn markdown(deletions: &[Deletion]) -> String {
    let mut text = format!(
        "\n### Deletion of a middle mark, beside {PACE} writes a second\n\n\
         | round | its space, MiB | returns after, ms | space back after, s | while the load ran | \
         load p99 alone / meanwhile, us | longest wait alone / meanwhile, ms |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for one in deletions {
        let back = one.back_s.map_or("not seen".to_owned(), |back| format!("{back:.2}"));
        let when = if one.is_back_under_load { "yes" } else { "no" };
        let Deletion { round, freed_mib, returns_ms, alone_p99_us, beside_p99_us, .. } = one;
        let (alone_ms, beside_ms) = (one.alone_stall_ms, one.beside_stall_ms);
        let _ = writeln!(
            text,
            "| {round} | {freed_mib:.0} | {returns_ms:.2} | {back} | {when} | {alone_p99_us:.0} / {beside_p99_us:.0} | {alone_ms:.1} / {beside_ms:.1} |"
        );
    }
    text
}
