//! `inspect`, `doctor`, `api`, `completions`: what needs no daemon.

use std::path::PathBuf;
use std::sync::Arc;

use base::clock::Clock;
use clap::CommandFactory;
use control::doctor::{Check, Verdict, examine};
use control::inspect::{Inspection, inspect as look};

use super::{Desk, Outcome};
use crate::args::{ApiCommand, Cli};
use crate::failure::{CliError, FAILED};
use crate::output::Shown;
use crate::table::{names, numbers, sheet, size, table, words};

pub(super) async fn inspect(desk: &Desk, path: Option<PathBuf>) -> Result<Shown, CliError> {
    let path = path.unwrap_or_else(|| desk.state.path().to_owned());
    let report = look(&path).await?;
    Shown::new(&report, report_text(&report))
}

fn report_text(report: &Inspection) -> String {
    let journal = &report.journal;
    let written = format!("{} in {} writes", size(journal.write_bytes), journal.writes);
    let mut lines = vec![
        ("pool", report.pool.clone()),
        ("opened", format!("{} times", report.incarnation)),
        ("checkpoint", format!("generation {}", report.checkpoint)),
        ("journal", size(report.journal_len)),
        ("frames to recover", format!("{} from {}", journal.frames, journal.first_frame)),
        ("of them", format!("{written}, {} of zeroes", journal.zeroes)),
        ("past it", format!("{} in {} writes", size(journal.berthed_bytes), journal.berthed)),
    ];
    if let Some(damage) = &report.checkpoint_damage {
        lines.push(("DAMAGE, checkpoint", damage.clone()));
    }
    if let Some(damage) = &journal.damage {
        lines.push(("DAMAGE, journal", damage.clone()));
    }
    let mut parts = vec![sheet(&lines)];
    if !journal.events.is_empty() {
        parts.push(format!("events to recover:\n  {}", journal.events.join("\n  ")));
    }
    let columns = [words("NAME"), words("ID"), words("BASE"), numbers("SECTORS"), words("MARKS")];
    let rows = report.volumes.iter().map(|volume| {
        let marks: Vec<_> =
            volume.marks.iter().map(|(sequence, name)| format!("{sequence} {name}")).collect();
        vec![
            volume.name.clone(),
            volume.id.clone(),
            volume.base.clone(),
            volume.sectors.to_string(),
            names(&marks),
        ]
    });
    parts.push(table(&columns, rows.collect(), "no volumes"));
    parts.join("\n\n")
}

pub(super) async fn doctor(desk: &Desk, clock: &Arc<dyn Clock>) -> Outcome {
    let checks = examine(&desk.state, clock).await;
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Fail).count();
    let found = (failed > 0).then(|| CliError::Found {
        detail: format!("{failed} of {} checks failed", checks.len()),
        exit_code: FAILED,
    });
    Ok((Shown::new(&checks, check_table(&checks))?, found))
}

fn check_table(checks: &[Check]) -> String {
    let columns = [words("CHECK"), words("VERDICT"), words("FOUND"), words("WAY OUT")];
    let rows = checks.iter().map(|check| {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        let way_out = check.way_out.clone().unwrap_or_default();
        vec![check.name.clone(), verdict.into(), check.found.clone(), way_out]
    });
    table(&columns, rows.collect(), "nothing was looked at")
}

pub(super) fn api(command: ApiCommand) -> Result<Shown, CliError> {
    match command {
        ApiCommand::Openapi => {
            let document = ::api::openapi::document();
            Shown::new(&document, format!("{document:#}"))
        }
    }
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<Shown, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tidemark", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Shown::new(&script, script.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_know_every_noun() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh] {
            let script = completions(shell).unwrap().human;
            for noun in ["volume", "mark", "view", "rollback", "doctor"] {
                assert!(script.contains(noun), "{shell}: {noun}");
            }
        }
    }
}
