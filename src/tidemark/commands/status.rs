//! `status`.

use control::status::{ApplianceStatus, PoolState};

use super::iscsi::target_table;
use super::view::view_table;
use super::volume::volume_table;
use super::{Desk, Outcome, attachment};
use crate::output::Shown;
use crate::table::{sheet, size, time};

pub(super) async fn show(desk: &Desk) -> Outcome {
    let status: ApplianceStatus = desk.client.get("/status").await?;
    Ok((Shown::new(&status, text(&status))?, None))
}

fn text(status: &ApplianceStatus) -> String {
    let pool = &status.pool;
    let doors = status.doors.iter().map(|door| format!("{} {}", door.protocol, door.address));
    let doors: Vec<_> = doors.collect();
    let mut parts = vec![sheet(&[
        ("appliance", status.name.clone()),
        ("tidemarkd", format!("{}, process {}", status.version, status.pid)),
        ("started", time(status.started_ms, status.now_ms)),
        ("state directory", status.state_dir.clone()),
        ("doors", if doors.is_empty() { "none".into() } else { doors.join(", ") }),
        ("sessions", status.sessions.to_string()),
        ("jobs running", status.jobs_running.to_string()),
        ("pool", pool_word(&pool.state).into()),
        (
            "journal",
            format!("{} of {} in use", size(pool.journal_used_bytes), size(pool.journal_len)),
        ),
        ("preserved for marks", size(pool.preserved_bytes)),
        ("free", format!("{} of {}", size(pool.space_free_bytes), size(pool.space_total_bytes))),
        ("memory", size(pool.memory_bytes)),
    ])];
    parts.push(volume_table(&status.volumes));
    if !status.views.is_empty() {
        parts.push(view_table(&status.views, status.now_ms));
    }
    if !status.targets.is_empty() {
        parts.push(target_table(&status.targets));
    }
    if !status.attachments.is_empty() {
        let lines: Vec<_> = status.attachments.iter().map(attachment::text).collect();
        parts.push(lines.join("\n"));
    }
    let troubles = status.troubles.iter().map(|trouble| {
        let word = if trouble.is_failure { "FAILURE" } else { "warning" };
        format!("{word}: {}: {}", trouble.of, trouble.what)
    });
    let troubles: Vec<_> = troubles.collect();
    parts.push(if troubles.is_empty() { "all is well".into() } else { troubles.join("\n") });
    parts.join("\n\n")
}

fn pool_word(state: &PoolState) -> &'static str {
    match state {
        PoolState::Open => "open",
        PoolState::Poisoned { .. } => "stopped after a failure: reads only",
        PoolState::Closed => "closed",
    }
}
