//! Bars for work that takes long. They go to the error stream, and only where that is a terminal.

use std::time::Duration;

use control::status::{JobState, JobStatus};
use indicatif::{ProgressBar, ProgressStyle};

use crate::client::Client;
use crate::failure::{CliError, exit_code_of};

/// How often the daemon is asked while a person watches.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Follows a job to its end.
///
/// # Errors
/// Why the job failed or that it was cancelled, or what the daemon says.
pub async fn follow(client: &Client, job: JobStatus) -> Result<JobStatus, CliError> {
    let bar = bar(&job);
    let mut job = job;
    while job.state == JobState::Running {
        bar.set_length(job.total_bytes);
        bar.set_position(job.done_bytes);
        tokio::time::sleep(POLL_INTERVAL).await;
        job = client.get(format!("/jobs/{}", job.id)).await?;
    }
    bar.finish_and_clear();
    match (job.state, &job.error) {
        (JobState::Failed, Some(failure)) => Err(CliError::Told(failure.clone())),
        (JobState::Failed, None) | (JobState::Cancelled, _) => Err(CliError::Found {
            detail: format!("the {} of {} was cancelled", job.kind, job.of),
            exit_code: exit_code_of("failed"),
        }),
        (JobState::Done | JobState::Running, _) => Ok(job),
    }
}

fn bar(job: &JobStatus) -> ProgressBar {
    let template = "{msg} [{bar:30}] {percent}% {bytes}/{total_bytes} {bytes_per_sec} eta {eta}";
    let bar = ProgressBar::new(job.total_bytes);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(format!("{} {}", job.kind, job.of));
    bar
}
