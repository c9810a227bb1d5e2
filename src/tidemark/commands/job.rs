//! `job`.

use control::status::{JobState, JobStatus};

use super::Desk;
use super::volume::word;
use crate::args::JobCommand;
use crate::failure::CliError;
use crate::output::Shown;
use crate::table::{numbers, percent, sheet, size, table, time, words};

pub(super) async fn run(desk: &Desk, command: JobCommand) -> Result<Shown, CliError> {
    match command {
        JobCommand::Ls => {
            let jobs: Vec<JobStatus> = desk.client.list("/jobs").await?;
            Shown::new(&jobs, job_table(&jobs, desk.now_ms))
        }
        JobCommand::Show { id } => {
            let job: JobStatus = desk.client.get(format!("/jobs/{id}")).await?;
            Shown::new(&job, about(&job, desk.now_ms))
        }
        JobCommand::Cancel { id } => {
            let job: JobStatus = desk.client.delete(format!("/jobs/{id}")).await?;
            Shown::new(&job, format!("job {id}, the {} of {}, was told to stop", job.kind, job.of))
        }
    }
}

fn job_table(jobs: &[JobStatus], now_ms: u64) -> String {
    let columns = [
        numbers("ID"),
        words("KIND"),
        words("OF"),
        words("STATE"),
        numbers("DONE"),
        words("STARTED"),
    ];
    let rows = jobs.iter().map(|job| {
        vec![
            job.id.to_string(),
            job.kind.to_string(),
            job.of.to_string(),
            word(&job.state),
            match job.state {
                JobState::Done => percent(1, 1),
                _ => percent(job.done_bytes, job.total_bytes),
            },
            time(job.started_ms, now_ms),
        ]
    });
    table(&columns, rows.collect(), "no jobs")
}

fn about(job: &JobStatus, now_ms: u64) -> String {
    let done = format!("{} of {}", size(job.done_bytes), size(job.total_bytes));
    let mut lines = vec![
        ("id", job.id.to_string()),
        ("kind", job.kind.to_string()),
        ("of", job.of.to_string()),
        ("state", word(&job.state)),
        ("done", done),
        ("started", time(job.started_ms, now_ms)),
    ];
    if let Some(ended_ms) = job.ended_ms {
        lines.push(("ended", time(ended_ms, now_ms)));
    }
    if let Some(result) = job.result.as_ref().filter(|result| !result.is_null()) {
        lines.push(("result", result.to_string()));
    }
    if let Some(failure) = &job.error {
        lines.push(("error", failure.detail.clone()));
        lines.extend(failure.way_out.clone().map(|way_out| ("way out", way_out)));
    }
    sheet(&lines)
}
