//! The history of jobs: what was begun and how it ended, kept in the catalogue over restarts. A job that went on when
//! the daemon ended has ended with it, and says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::params;

use crate::catalogue::{Catalogue, on_a_thread};
use crate::error::ControlError;
use crate::jobs::{JOBS_KEPT_MAX, JobKind, JobState, JobStatus};
use crate::status::Failure;

/// Bytes of a job that are kept: a scrub that found thousands of damaged places is kept without their list.
const STATUS_LEN_MAX: usize = 64 * 1024;
/// The word for a job that ended with the daemon.
const INTERRUPTED: &str = "interrupted";

/// Jobs of earlier days, and where those of today are kept.
#[derive(Default)]
pub struct Past {
    /// What is known of them, by number.
    pub(crate) jobs: BTreeMap<u64, JobStatus>,
    /// Nothing where the catalogue could not be read: numbers would be used twice.
    pub(crate) kept_in: Option<Arc<Catalogue>>,
}

impl Past {
    /// What the catalogue has of them.
    pub async fn of(catalogue: &Arc<Catalogue>, now_ms: u64) -> Self {
        match on_a_thread(catalogue, move |catalogue| load(catalogue, now_ms)).await {
            Ok(jobs) => Self { jobs, kept_in: Some(Arc::clone(catalogue)) },
            Err(error) => {
                tracing::warn!(%error, "the history of jobs begins anew, and is not kept");
                Self::default()
            }
        }
    }
}

/// Reads the jobs, and ends those that went on.
fn load(catalogue: &Catalogue, now_ms: u64) -> Result<BTreeMap<u64, JobStatus>, ControlError> {
    let texts: Vec<(u64, String)> = catalogue.read(|database| {
        let mut all = database.prepare("SELECT id, status FROM job ORDER BY id")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })?;
    let mut jobs = BTreeMap::new();
    for (id, text) in texts {
        match serde_json::from_str::<JobStatus>(&text) {
            Ok(job) if job.state == JobState::Running => {
                let ended = interrupted(job, now_ms);
                note(catalogue, &ended)?;
                jobs.insert(id, ended);
            }
            Ok(job) => {
                jobs.insert(id, job);
            }
            Err(error) => tracing::warn!(job = id, %error, "a job of the history cannot be read"),
        }
    }
    Ok(jobs)
}

/// Keeps what a job is now, and forgets the oldest. Blocks.
///
/// # Errors
/// `Catalogue`.
pub(crate) fn note(catalogue: &Catalogue, job: &JobStatus) -> Result<(), ControlError> {
    let written = |job: &JobStatus| {
        serde_json::to_string(job)
            .map_err(|error| ControlError::Catalogue { why: format!("write a job: {error}") })
    };
    let mut text = written(job)?;
    if text.len() > STATUS_LEN_MAX {
        text = written(&JobStatus { result: None, ..job.clone() })?;
    }
    catalogue.change(|change| {
        let sql = "INSERT INTO job (id, status) VALUES (?1, ?2) \
                   ON CONFLICT (id) DO UPDATE SET status = excluded.status";
        change.execute(sql, params![job.id, text])?;
        let sql = "DELETE FROM job WHERE id NOT IN (SELECT id FROM job ORDER BY id DESC LIMIT ?1)";
        change.execute(sql, [JOBS_KEPT_MAX])?;
        Ok(())
    })
}

/// A job that the end of the daemon has ended.
fn interrupted(job: JobStatus, now_ms: u64) -> JobStatus {
    let (state, way_out) = match job.kind {
        JobKind::Scrub => (JobState::Failed, format!("begin it again: `scrub {}`", job.of)),
        JobKind::Release => {
            let way_out = format!("begin it again: `volume release {}`", job.of);
            (JobState::Failed, way_out)
        }
        JobKind::Grow => (
            JobState::Failed,
            "its rule tries it again: `capacity show` tells what came of it".into(),
        ),
        // The job has ended, and what it watched has not.
        JobKind::Rollback | JobKind::Promote => {
            let way_out = "it goes on by itself: `job ls` shows the job that watches it now".into();
            (JobState::Cancelled, way_out)
        }
    };
    let error = Failure {
        code: INTERRUPTED.into(),
        detail: format!("the daemon ended during the {} of {}", job.kind, job.of),
        way_out: Some(way_out),
    };
    JobStatus { state, ended_ms: Some(now_ms), error: Some(error), ..job }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u64, kind: JobKind, state: JobState) -> JobStatus {
        JobStatus {
            id,
            kind,
            of: "mail".parse().unwrap(),
            state,
            done_bytes: 3,
            total_bytes: 8,
            started_ms: 5,
            ended_ms: None,
            result: Some(serde_json::json!({ "blocks_read": 3 })),
            error: None,
        }
    }

    #[tokio::test]
    async fn what_went_on_when_the_daemon_ended_says_that_it_was_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Arc::new(Catalogue::open(dir.path(), dir.path()));
        note(&catalogue, &job(1, JobKind::Scrub, JobState::Running)).unwrap();
        note(&catalogue, &job(1, JobKind::Scrub, JobState::Done)).unwrap();
        note(&catalogue, &job(2, JobKind::Scrub, JobState::Running)).unwrap();
        note(&catalogue, &job(3, JobKind::Rollback, JobState::Running)).unwrap();
        for _ in 0..2 {
            let past = Past::of(&catalogue, 77).await;
            let states: Vec<_> = past.jobs.values().map(|job| job.state).collect();
            assert_eq!(states, [JobState::Done, JobState::Failed, JobState::Cancelled]);
            let error = past.jobs[&2].error.clone().unwrap();
            assert_eq!((error.code.as_str(), past.jobs[&2].ended_ms), (INTERRUPTED, Some(77)));
            assert!(error.way_out.unwrap().contains("scrub mail"));
            assert!(past.jobs[&3].error.clone().unwrap().way_out.unwrap().contains("goes on"));
        }
    }

    #[tokio::test]
    async fn only_so_many_are_kept_and_none_is_too_long() {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Arc::new(Catalogue::open(dir.path(), dir.path()));
        for id in 1..=JOBS_KEPT_MAX as u64 + 5 {
            note(&catalogue, &job(id, JobKind::Scrub, JobState::Done)).unwrap();
        }
        let long = serde_json::json!("x".repeat(STATUS_LEN_MAX));
        let long = JobStatus { result: Some(long), ..job(500, JobKind::Scrub, JobState::Done) };
        note(&catalogue, &long).unwrap();
        let past = Past::of(&catalogue, 77).await;
        assert_eq!(past.jobs.len(), JOBS_KEPT_MAX);
        assert_eq!(past.jobs.keys().next(), Some(&7));
        assert_eq!(past.jobs[&500].result, None);
    }
}
