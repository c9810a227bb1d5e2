//! Work that takes long: what runs, how far it is, how it ended.
//!
//! A job lives in this process. What must survive its end (a rollback, a promotion) goes on in the store
//! by itself; the job only watches it, and is there again after a restart.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::clock::Clock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::DiskRef;
use tokio::task::JoinHandle;

use crate::error::ControlError;
use crate::events::{EventKind, Events};
use crate::status::Failure;

/// Finished jobs that are remembered; the oldest go first.
const JOBS_KEPT_MAX: usize = 100;
/// How long jobs may take to notice that the daemon stops.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// What a job does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Reads everything and compares it with its checksums.
    Scrub,
    /// Drains what an adopted volume still has in the journal, and lets its disk go.
    Release,
    /// Copies the contents of a mark back.
    Rollback,
    /// Makes a view independent of its mark.
    Promote,
    /// Makes a volume larger, as its rule says.
    Grow,
}

impl std::fmt::Display for JobKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scrub => "scrub",
            Self::Release => "release",
            Self::Rollback => "rollback",
            Self::Promote => "promote",
            Self::Grow => "grow",
        })
    }
}

/// How a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It goes on.
    Running,
    /// It is through.
    Done,
    /// It ended before it was through.
    Failed,
    /// It was told to stop, and did.
    Cancelled,
}

/// A job.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JobStatus {
    /// Its number, unique while the daemon runs.
    pub id: u64,
    /// What it does.
    pub kind: JobKind,
    /// To what.
    pub of: DiskRef,
    /// How it is.
    pub state: JobState,
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes to do; 0 while that is not known.
    pub total_bytes: u64,
    /// When it was started, milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// What came of it: a scrub's report, the path that was released.
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<Failure>,
}

/// How far a job is: bytes done and bytes to do.
pub type Measure = Box<dyn Fn() -> (u64, u64) + Send + Sync>;

/// What stopping a job means.
pub enum Stop {
    /// It notices when this is called.
    By(Box<dyn Fn() + Send + Sync>),
    /// It cannot be stopped this way; what to do instead. When the daemon stops, it is waited for.
    Not(&'static str),
    /// It only watches what goes on by itself, and can be dropped; what to do to stop that.
    Watches(&'static str),
}

/// A job to be started.
pub struct JobPlan {
    /// What it does.
    pub kind: JobKind,
    /// To what.
    pub of: DiskRef,
    /// How far it is.
    pub measure: Measure,
    /// What stopping it means.
    pub stop: Stop,
}

enum Outcome {
    Running,
    Ended { at_ms: u64, result: Result<Value, ControlError>, progress: (u64, u64) },
}

struct Job {
    id: u64,
    plan: JobPlan,
    started_ms: u64,
    outcome: Mutex<Outcome>,
}

type Table = BTreeMap<u64, (Arc<Job>, JoinHandle<()>)>;

/// All jobs.
pub struct Jobs {
    clock: Arc<dyn Clock>,
    events: Events,
    next: AtomicU64,
    table: Mutex<Table>,
}

impl Jobs {
    /// No jobs yet.
    pub fn new(clock: Arc<dyn Clock>, events: Events) -> Self {
        Self { clock, events, next: AtomicU64::new(1), table: Mutex::default() }
    }

    /// Starts a job. Must be called within a runtime.
    ///
    /// # Errors
    /// `InUse` where the same is being done to the same already.
    pub fn start<W>(&self, plan: JobPlan, work: W) -> Result<JobStatus, ControlError>
    where
        W: Future<Output = Result<Value, ControlError>> + Send + 'static,
    {
        let mut table = self.table();
        if let Some((same, _)) = table.values().find(|(job, _)| job.is_running_as(&plan)) {
            return Err(ControlError::InUse {
                what: plan.of.to_string(),
                by: format!("job {}, a {}", same.id, plan.kind),
                way_out: format!("wait for it; `job show {}` shows how far it is", same.id),
            });
        }
        Ok(self.enter(&mut table, plan, work))
    }

    /// A job for something that has begun already, and so is never refused: a job that watched the same
    /// before may not have noticed yet that it is over. Must be called within a runtime.
    pub fn watch<W>(&self, plan: JobPlan, work: W) -> JobStatus
    where
        W: Future<Output = Result<Value, ControlError>> + Send + 'static,
    {
        self.enter(&mut self.table(), plan, work)
    }

    fn enter<W>(&self, table: &mut Table, plan: JobPlan, work: W) -> JobStatus
    where
        W: Future<Output = Result<Value, ControlError>> + Send + 'static,
    {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let outcome = Mutex::new(Outcome::Running);
        let job = Arc::new(Job { id, plan, started_ms: self.clock.wall_ms(), outcome });
        tracing::info!(job = id, kind = %job.plan.kind, of = %job.plan.of, "job started");
        let handle = tokio::spawn({
            let (job, clock, events) =
                (Arc::clone(&job), Arc::clone(&self.clock), self.events.clone());
            async move {
                run(Arc::clone(&job), clock, work).await;
                tell_end(&job, &events);
            }
        });
        self.events.tell(EventKind::Job, id);
        let status = job.status();
        table.insert(id, (job, handle));
        forget_old(table);
        status
    }

    /// All jobs, oldest first.
    pub fn list(&self) -> Vec<JobStatus> {
        self.table().values().map(|(job, _)| job.status()).collect()
    }

    /// One job.
    ///
    /// # Errors
    /// `UnknownJob`.
    pub fn get(&self, id: u64) -> Result<JobStatus, ControlError> {
        self.find(id).map(|job| job.status())
    }

    /// How many go on.
    pub fn running(&self) -> usize {
        self.table().values().filter(|(job, _)| job.is_running()).count()
    }

    /// Tells a job to stop; it does so soon after. No effect on one that has ended.
    ///
    /// # Errors
    /// `UnknownJob`, or `NotCancellable` with what to do instead.
    pub fn cancel(&self, id: u64) -> Result<JobStatus, ControlError> {
        let job = self.find(id)?;
        match &job.plan.stop {
            Stop::By(stop) if job.is_running() => stop(),
            Stop::Not(why) | Stop::Watches(why) if job.is_running() => {
                return Err(ControlError::NotCancellable { id, why: (*why).into() });
            }
            Stop::By(_) | Stop::Not(_) | Stop::Watches(_) => {}
        }
        Ok(job.status())
    }

    /// Stops all jobs and waits for them a while; those that only watch are dropped.
    pub async fn stop(&self) {
        let jobs = std::mem::take(&mut *self.table());
        for (job, handle) in jobs.values() {
            match &job.plan.stop {
                Stop::By(stop) => stop(),
                Stop::Not(_) => {}
                Stop::Watches(_) => handle.abort(),
            }
        }
        let all = async {
            for (_, handle) in jobs.into_values() {
                let _ = handle.await;
            }
        };
        if tokio::time::timeout(STOP_DEADLINE, all).await.is_err() {
            tracing::warn!("some jobs did not stop in time");
        }
    }

    fn find(&self, id: u64) -> Result<Arc<Job>, ControlError> {
        let found = self.table().get(&id).map(|(job, _)| Arc::clone(job));
        found.ok_or(ControlError::UnknownJob(id))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run<W>(job: Arc<Job>, clock: Arc<dyn Clock>, work: W)
where
    W: Future<Output = Result<Value, ControlError>> + Send + 'static,
{
    // In a task of its own, so that a panic ends the job and not its bookkeeping; and aborted with it.
    let mut task = tokio::task::JoinSet::new();
    task.spawn(work);
    let result = match task.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(_)) | None => Err(ControlError::State {
            what: format!("{} {}", job.plan.kind, job.plan.of),
            why: "the job broke off; the log says where".into(),
        }),
    };
    match &result {
        Ok(_) => tracing::info!(job = job.id, kind = %job.plan.kind, of = %job.plan.of, "job done"),
        Err(error) => {
            tracing::warn!(job = job.id, kind = %job.plan.kind, of = %job.plan.of, %error, "job ended");
        }
    }
    let progress = (job.plan.measure)();
    *job.outcome() = Outcome::Ended { at_ms: clock.wall_ms(), result, progress };
}

/// Tells that a job has ended, and what is otherwise now because of it.
fn tell_end(job: &Job, events: &Events) {
    events.tell(EventKind::Job, job.id);
    match job.plan.kind {
        JobKind::Scrub | JobKind::Grow => {}
        JobKind::Release | JobKind::Rollback => events.tell(EventKind::Volume, &job.plan.of),
        JobKind::Promote => {
            events.tell(EventKind::View, &job.plan.of);
            events.tell_all(EventKind::Volume);
        }
    }
}

fn forget_old(table: &mut Table) {
    let ended: Vec<u64> =
        table.iter().filter(|(_, (job, _))| !job.is_running()).map(|(id, _)| *id).collect();
    for id in ended.iter().take(ended.len().saturating_sub(JOBS_KEPT_MAX)) {
        table.remove(id);
    }
}

impl Job {
    fn is_running(&self) -> bool {
        matches!(*self.outcome(), Outcome::Running)
    }

    fn is_running_as(&self, plan: &JobPlan) -> bool {
        self.plan.kind == plan.kind && self.plan.of == plan.of && self.is_running()
    }

    fn status(&self) -> JobStatus {
        let mut status = JobStatus {
            id: self.id,
            kind: self.plan.kind,
            of: self.plan.of.clone(),
            state: JobState::Running,
            done_bytes: 0,
            total_bytes: 0,
            started_ms: self.started_ms,
            ended_ms: None,
            result: None,
            error: None,
        };
        let progress = match &*self.outcome() {
            Outcome::Running => (self.plan.measure)(),
            Outcome::Ended { at_ms, result, progress } => {
                status.ended_ms = Some(*at_ms);
                (status.state, status.result, status.error) = match result {
                    Ok(value) => (JobState::Done, Some(value.clone()), None),
                    Err(ControlError::Store(store::StoreError::Cancelled)) => {
                        (JobState::Cancelled, None, None)
                    }
                    Err(error) => (JobState::Failed, None, Some(Failure::of(error))),
                };
                *progress
            }
        };
        (status.done_bytes, status.total_bytes) = progress;
        if status.state == JobState::Done {
            status.done_bytes = status.total_bytes;
        }
        status
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use base::clock::ManualClock;
    use tokio::sync::watch;

    use super::*;
    use crate::error::ErrorKind;

    fn jobs() -> Jobs {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        Jobs::new(Arc::clone(&clock), Events::new(clock))
    }

    fn plan(stop: Stop) -> JobPlan {
        let of = "mail".parse().unwrap();
        JobPlan { kind: JobKind::Scrub, of, measure: Box::new(|| (3, 8)), stop }
    }

    async fn ended(jobs: &Jobs, id: u64) -> JobStatus {
        loop {
            let status = jobs.get(id).unwrap();
            if status.state != JobState::Running {
                return status;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_job_tells_how_far_it_is_and_what_came_of_it() {
        let jobs = jobs();
        let (go, mut gone) = watch::channel(false);
        let work = async move {
            let _ = gone.wait_for(|go| *go).await;
            Ok(Value::from("through"))
        };
        let id = jobs.start(plan(Stop::Not("no")), work).unwrap().id;
        let status = jobs.get(id).unwrap();
        assert_eq!(
            (status.state, status.done_bytes, status.total_bytes),
            (JobState::Running, 3, 8)
        );
        go.send_replace(true);
        let status = ended(&jobs, id).await;
        assert_eq!((status.state, status.done_bytes), (JobState::Done, 8));
        assert_eq!(status.result, Some(Value::from("through")));
    }

    #[tokio::test]
    async fn the_same_is_not_done_twice_at_once() {
        let jobs = jobs();
        let first = jobs.start(plan(Stop::Not("no")), std::future::pending()).unwrap();
        let error = jobs.start(plan(Stop::Not("no")), std::future::pending()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.way_out().unwrap().contains(&first.id.to_string()));
    }

    #[tokio::test]
    async fn what_has_begun_already_is_watched_beside_what_went_before() {
        let jobs = jobs();
        let first = jobs.watch(plan(Stop::Not("no")), std::future::pending());
        let second = jobs.watch(plan(Stop::Not("no")), std::future::pending());
        assert_ne!(first.id, second.id);
        assert_eq!(second.state, JobState::Running);
    }

    #[tokio::test]
    async fn a_cancelled_job_says_so_and_one_that_cannot_be_says_what_else() {
        let jobs = jobs();
        let (stop, mut stopped) = watch::channel(false);
        let work = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
            Err(store::StoreError::Cancelled.into())
        };
        let by = Stop::By(Box::new(move || {
            stop.send_replace(true);
        }));
        let id = jobs.start(plan(by), work).unwrap().id;
        jobs.cancel(id).unwrap();
        assert_eq!(ended(&jobs, id).await.state, JobState::Cancelled);
        let id = jobs.start(plan(Stop::Not("use undo")), std::future::pending()).unwrap().id;
        assert!(jobs.cancel(id).unwrap_err().to_string().contains("use undo"));
        assert!(matches!(jobs.cancel(999), Err(ControlError::UnknownJob(999))));
    }

    #[tokio::test]
    async fn a_job_that_panics_has_failed() {
        let jobs = jobs();
        let id = jobs.start(plan(Stop::Not("no")), async { panic!("on purpose") }).unwrap().id;
        let status = ended(&jobs, id).await;
        assert_eq!(status.state, JobState::Failed);
        assert!(status.error.unwrap().detail.contains("scrub mail"));
    }

    #[tokio::test]
    async fn only_so_many_ended_jobs_are_remembered() {
        let jobs = jobs();
        for _ in 0..JOBS_KEPT_MAX + 20 {
            let id = jobs.start(plan(Stop::Not("no")), async { Ok(Value::Null) }).unwrap().id;
            ended(&jobs, id).await;
        }
        assert!(jobs.list().len() <= JOBS_KEPT_MAX + 1);
    }
}
