//! Work that takes long: what runs, how far it is, how it ended.
//!
//! A job lives in this process, and what is told of it in the catalogue (`job_history`). What must survive its end (a
//! rollback, a promotion) goes on in the store by itself; the job only watches it, and after a restart another does.

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

use crate::catalogue::{Catalogue, on_a_thread};
use crate::error::ControlError;
use crate::events::{EventKind, Events};
use crate::job_history::{self, Past};
use crate::status::Failure;

/// Finished jobs that are remembered; the oldest go first.
pub const JOBS_KEPT_MAX: usize = 100;
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
    /// Its number.
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
    /// What came of it: a scrub's report, the path that was released. A very long one is not kept over a restart.
    pub result: Option<Value>,
    /// Why it failed; `interrupted` where the daemon ended meanwhile.
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
    /// Those of daemons before this one.
    past: Mutex<BTreeMap<u64, JobStatus>>,
    kept_in: Option<Arc<Catalogue>>,
}

impl Jobs {
    /// No jobs yet, beside those that were.
    pub fn new(clock: Arc<dyn Clock>, events: Events, past: Past) -> Self {
        let Past { jobs, kept_in } = past;
        let next = AtomicU64::new(jobs.keys().next_back().map_or(1, |last| last + 1));
        Self { clock, events, next, table: Mutex::default(), past: Mutex::new(jobs), kept_in }
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
        let status = job.status();
        let handle = tokio::spawn({
            let (job, clock, events) =
                (Arc::clone(&job), Arc::clone(&self.clock), self.events.clone());
            let (kept_in, begun) = (self.kept_in.clone(), status.clone());
            async move {
                // Beside the work, which waits for no disk of the catalogue; but before its end is noted.
                let begun = kept_in.clone().map(|kept_in| tokio::spawn(keep(kept_in, begun)));
                run(Arc::clone(&job), clock, work).await;
                tell_end(&job, &events);
                if let (Some(kept_in), Some(begun)) = (kept_in, begun) {
                    let _ = begun.await;
                    keep(kept_in, job.status()).await;
                }
            }
        });
        self.events.tell(EventKind::Job, id);
        table.insert(id, (job, handle));
        let kept = forget_old(table);
        let mut past = self.past();
        while past.len() + kept > JOBS_KEPT_MAX && past.pop_first().is_some() {}
        status
    }

    /// All jobs, oldest first.
    pub fn list(&self) -> Vec<JobStatus> {
        let past = self.past().values().cloned().collect::<Vec<_>>();
        past.into_iter().chain(self.table().values().map(|(job, _)| job.status())).collect()
    }

    /// One job.
    ///
    /// # Errors
    /// `UnknownJob`.
    pub fn get(&self, id: u64) -> Result<JobStatus, ControlError> {
        let past = self.past().get(&id).cloned();
        past.map_or_else(|| self.find(id).map(|job| job.status()), Ok)
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
        let past = self.past().get(&id).cloned();
        if let Some(ended) = past {
            return Ok(ended);
        }
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

    fn past(&self) -> MutexGuard<'_, BTreeMap<u64, JobStatus>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Keeps what a job is now.
async fn keep(kept_in: Arc<Catalogue>, job: JobStatus) {
    let id = job.id;
    let kept = on_a_thread(&kept_in, move |catalogue| job_history::note(catalogue, &job)).await;
    if let Err(error) = kept {
        tracing::warn!(job = id, %error, "keep a job in the history");
    }
}

/// Forgets the oldest of those that have ended; how many of them are left.
fn forget_old(table: &mut Table) -> usize {
    let ended: Vec<u64> =
        table.iter().filter(|(_, (job, _))| !job.is_running()).map(|(id, _)| *id).collect();
    for id in ended.iter().take(ended.len().saturating_sub(JOBS_KEPT_MAX)) {
        table.remove(id);
    }
    ended.len().min(JOBS_KEPT_MAX)
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
        Jobs::new(Arc::clone(&clock), Events::new(clock), Past::default())
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
    async fn jobs_are_there_again_after_a_restart_and_numbers_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Arc::new(Catalogue::open(dir.path(), dir.path()));
        let start = async || {
            let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
            let past = Past::of(&catalogue, 77).await;
            Jobs::new(Arc::clone(&clock), Events::new(clock), past)
        };
        let jobs = start().await;
        let done = jobs.start(plan(Stop::Not("no")), async { Ok(Value::from("through")) }).unwrap();
        ended(&jobs, done.id).await;
        jobs.stop().await;
        drop(jobs);
        let jobs = start().await;
        let all = jobs.list();
        assert_eq!((all.len(), &all[0].result), (1, &Some(Value::from("through"))), "{all:?}");
        assert_eq!(jobs.cancel(done.id).unwrap().state, JobState::Done);
        assert_eq!(jobs.running(), 0);
        let next = jobs.start(plan(Stop::Not("no")), std::future::pending()).unwrap();
        assert_eq!((next.id, jobs.get(next.id).unwrap().state), (done.id + 1, JobState::Running));
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
