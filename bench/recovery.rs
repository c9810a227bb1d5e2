//! The question: how soon does Tidemark serve again after SIGKILL under full load?

use serde::Serialize;
use serde_json::Value;

use crate::api::Api;
use crate::cell;
use crate::client::Limit;
use crate::contender::{Server, Site, Who};
use crate::house::now;
use crate::plan::Plan;
use crate::{Outcome, Settings};

/// One death and what came after it.
#[derive(Debug, Serialize)]
pub struct Recovery {
    round: u32,
    journal_mib: f64,
    back_s: f64,
    first_read_s: f64,
}

/// Fills the journal, kills the daemon, and waits for the first byte.
///
/// # Errors
/// Where Tidemark does not come back.
pub async fn ask(settings: &Settings, site: &Site) -> Outcome<Vec<Recovery>> {
    let mut server = Server::start(Who::Tidemark, site).await?;
    let (write, read) = (cell::named("write")?, cell::named("read")?);
    let mut recoveries = Vec::new();
    for round in 0..settings.rounds {
        let mut client = server.connect().await?;
        let mut plan = Plan::new(*write, client.size, round.into());
        let limit = Limit::time(settings.time());
        client.run(&mut plan, write.depth, limit).await?;
        let status: Value =
            serde_json::from_str(&Api::of(&site.state())?.ask("GET", "/status", "")?)?;
        let used =
            status["pool"]["journal_used_bytes"].as_f64().ok_or("no journal in the status")?;
        server.kill()?;
        let start = now();
        server.spawn(site).await?;
        let back = now() - start;
        let mut client = server.connect().await?;
        let mut plan = Plan::new(*read, client.size, round.into());
        client.run(&mut plan, 1, limit.requests(1)).await?;
        client.disconnect().await?;
        recoveries.push(Recovery {
            round,
            journal_mib: used / f64::from(1 << 20),
            back_s: back.as_secs_f64(),
            first_read_s: (now() - start).as_secs_f64(),
        });
        eprintln!("{:?}", recoveries.last());
    }
    server.stop().await?;
    Ok(recoveries)
}

/// The figures as Markdown.
pub fn markdown(recoveries: &[Recovery]) -> String {
    let mut text = String::from(
        "\n### After SIGKILL under load\n\n\
         | round | in the journal, MiB | serves again after, s | first read after, s |\n|---|---|---|---|\n",
    );
    for one in recoveries {
        let (round, journal, back, read) =
            (one.round, one.journal_mib, one.back_s, one.first_read_s);
        text += &format!("| {round} | {journal:.0} | {back:.2} | {read:.2} |\n");
    }
    text
}
