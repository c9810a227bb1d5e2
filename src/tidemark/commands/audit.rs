//! `audit`.

use control::audit::{AuditEntry, AuditVerdict};

use super::{Desk, Outcome};
use crate::args::access::AuditCommand;
use crate::failure::{CliError, DAMAGED};
use crate::output::Shown;
use crate::table::{numbers, table, time, words};

pub(super) async fn run(desk: &Desk, command: AuditCommand) -> Outcome {
    match command {
        AuditCommand::Ls { limit, before } => {
            let before = before.map(|number| format!("&before={number}")).unwrap_or_default();
            let path = format!("/audit?limit={limit}{before}");
            let entries: Vec<AuditEntry> = desk.client.get(path).await?;
            Ok((Shown::new(&entries, entry_table(&entries, desk.now_ms))?, None))
        }
        AuditCommand::Verify => {
            let verdict: AuditVerdict = desk.client.get("/audit/verify").await?;
            let human = format!("{} entries; the newest hash is {}", verdict.entries, verdict.head);
            let found = verdict.finding.clone();
            let found = found.map(|detail| CliError::Found { detail, exit_code: DAMAGED });
            Ok((Shown::new(&verdict, human)?, found))
        }
    }
}

fn entry_table(entries: &[AuditEntry], now_ms: u64) -> String {
    let columns = [
        numbers("NUMBER"),
        words("WHEN"),
        words("WHO"),
        words("FROM"),
        words("DID"),
        words("ASKED FOR"),
        words("OUTCOME"),
    ];
    let rows = entries.iter().map(|entry| {
        let method = entry.operation.split(' ').next().unwrap_or_default();
        vec![
            entry.number.to_string(),
            time(entry.at_ms, now_ms),
            entry.who.clone(),
            entry.origin.clone(),
            format!("{method} {}", entry.object),
            entry.detail.clone(),
            entry.outcome.clone(),
        ]
    });
    table(&columns, rows.collect(), "nothing was changed yet")
}
