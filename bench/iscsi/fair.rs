//! Many sessions at once: what the slowest of them gets.

use serde::Serialize;
use tokio::task::LocalSet;

use crate::Outcome;
use crate::cell::Cell;
use crate::client::Limit;
use crate::initiator::{Portal, Session};
use crate::plan::Plan;

/// The name that this cell goes by.
pub const NAME: &str = "fair";
/// Sessions at once.
pub const SESSIONS: usize = 64;
/// Requests that each keeps in flight.
pub const DEPTH: usize = 2;

/// How many sessions shared one target.
#[derive(Clone, Debug, Serialize)]
pub struct Shares {
    /// The round, counted from 0.
    pub round: u32,
    /// The row.
    pub who: &'static str,
    /// Requests a second, all sessions together.
    pub rate: f64,
    /// What the slowest session got, of the mean.
    pub slowest: f64,
    /// What the fastest got.
    pub fastest: f64,
}

/// Loads a logical unit over many sessions at once: random reads of 4 KiB.
///
/// # Errors
/// Where the target does not answer well.
pub async fn measure(
    portal: &Portal,
    cell: &Cell,
    limit: Limit,
    round: u32,
    who: &'static str,
) -> Outcome<Shares> {
    // All are logged in before the first one begins.
    let mut sessions = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        sessions.push(Session::open(portal).await?);
    }
    let local = LocalSet::new();
    let mut running = Vec::with_capacity(SESSIONS);
    for (index, mut session) in sessions.into_iter().enumerate() {
        let mut plan = Plan::new(*cell, session.size, index as u64 + 1000 * u64::from(round));
        running.push(local.spawn_local(async move {
            let tally = session.run(&mut plan, DEPTH, limit).await?;
            session.close().await?;
            Outcome::Ok(tally.rate())
        }));
    }
    let all = async {
        let mut rates = Vec::with_capacity(SESSIONS);
        for session in running {
            rates.push(session.await??);
        }
        Outcome::Ok(rates)
    };
    let rates = local.run_until(all).await?;
    let rate: f64 = rates.iter().sum();
    let of_mean = |one: f64| one * rates.len() as f64 / rate.max(1e-6);
    let slowest = of_mean(rates.iter().copied().fold(f64::INFINITY, f64::min));
    let fastest = of_mean(rates.iter().copied().fold(0.0, f64::max));
    Ok(Shares { round, who, rate, slowest, fastest })
}
