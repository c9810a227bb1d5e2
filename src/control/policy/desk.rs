//! The policies that are in force, and what came of their runs: in memory, so that they go on while the catalogue cannot
//! be used. Runs are written to it together, now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::id::Id;
use base::name::Name;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use super::kept::{Kept, Loaded, Runs};
use super::planner::Planner;
use super::rules::Policy;
use super::runs::{RUNS_MAX, RunOutcome, RunStatus};
use crate::appliance::Appliance;
use crate::catalogue::Catalogue;
use crate::error::ControlError;
use crate::status::Trouble;

/// The policies of an appliance, and their runs.
pub struct Policies {
    kept: Kept,
    book: Mutex<Book>,
    pub(super) planner: Mutex<Planner>,
    history: Mutex<History>,
    /// What is due may be due earlier now.
    pub(super) replanned: Notify,
    /// Names of marks that are being taken; held while a ledger is changed.
    pub(super) promised: tokio::sync::Mutex<BTreeSet<(Name, Name)>>,
    pub(super) going_on: Mutex<JoinSet<()>>,
    runner: Mutex<Option<JoinHandle<()>>>,
    /// Changes of the book happen one after another.
    pub(super) admin: tokio::sync::Mutex<()>,
    /// Held while runs are written.
    writing: tokio::sync::Mutex<()>,
}

/// What is in force.
struct Book {
    /// The policies, or why nobody knows them.
    policies: Result<BTreeMap<Name, Policy>, ControlError>,
    /// Policies that cannot be read, each with the reason.
    unreadable: BTreeMap<String, String>,
    /// Why the policies do not come from the catalogue.
    stands_in: Option<String>,
    /// What else a person should know.
    told: Option<String>,
}

/// The last runs, and how many of the newest of each policy are not written yet.
#[derive(Default)]
struct History {
    runs: Runs,
    unwritten: BTreeMap<Id, usize>,
}

impl Book {
    fn of(loaded: Result<Loaded, ControlError>) -> (Self, Runs) {
        match loaded {
            Ok(Loaded { policies, runs, unreadable, stands_in, told }) => {
                if let Some(why) = &stands_in {
                    tracing::error!(why, "policies are those of the catalogue's copy");
                }
                (Self { policies: Ok(policies), unreadable, stands_in, told }, runs)
            }
            Err(error) => {
                tracing::error!(%error, "no policy runs");
                let (unreadable, stands_in, told) = Default::default();
                (Self { policies: Err(error), unreadable, stands_in, told }, Runs::new())
            }
        }
    }

    /// Whether the catalogue may have more than this.
    fn is_wanting(&self) -> bool {
        self.stands_in.is_some() || matches!(self.policies, Err(ControlError::Catalogue { .. }))
    }
}

impl History {
    fn add(&mut self, id: Id, run: RunStatus) {
        let of = self.runs.entry(id).or_default();
        if of.len() >= RUNS_MAX {
            of.remove(0);
        }
        of.push(run);
        self.owe(id, 1);
    }

    /// Notes that so many of the newest runs are still to be written; more than are remembered never are.
    fn owe(&mut self, id: Id, count: usize) {
        let owed = self.unwritten.entry(id).or_default();
        *owed = (*owed + count).min(RUNS_MAX);
    }

    /// The runs of these policies that are not written; they count as written from now on.
    fn take_unwritten(&mut self, known: &BTreeSet<Id>) -> Vec<(Id, Vec<RunStatus>)> {
        self.runs.retain(|id, _| known.contains(id));
        let owed = std::mem::take(&mut self.unwritten);
        let runs = owed.into_iter().filter_map(|(id, count)| {
            let all = self.runs.get(&id)?;
            Some((id, all[all.len().saturating_sub(count)..].to_vec()))
        });
        runs.collect()
    }
}

impl Policies {
    /// The policies of a state directory. Where nothing tells which there are, everything else goes on without them.
    pub(crate) async fn open(dir: &Path, catalogue: Arc<Catalogue>) -> Self {
        let kept = Kept::new(dir, catalogue);
        let (book, runs) = Book::of(Self::load(&kept).await);
        Self {
            kept,
            book: Mutex::new(book),
            planner: Mutex::default(),
            history: Mutex::new(History { runs, ..History::default() }),
            replanned: Notify::new(),
            promised: tokio::sync::Mutex::default(),
            going_on: Mutex::default(),
            runner: Mutex::default(),
            admin: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Begins to run them.
    pub(crate) fn begin(&self, appliance: &Arc<Appliance>) {
        for policy in self.all().unwrap_or_default() {
            appliance.plan(&policy);
        }
        let runner = tokio::spawn(super::runner::run(Arc::downgrade(appliance)));
        *locked(&self.runner) = Some(runner);
    }

    /// Begins no more runs and waits for those that go on.
    pub(crate) async fn stop(&self) {
        let runner = locked(&self.runner).take();
        if let Some(runner) = runner {
            runner.abort();
            // It may be beginning one just now.
            let _ = runner.await;
        }
        let mut going_on = std::mem::take(&mut *locked(&self.going_on));
        while going_on.join_next().await.is_some() {}
        let _one_at_a_time = self.writing.lock().await;
        self.write_now().await;
    }

    /// What a person should look at.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        let of_all = |what: String, is_failure| Trouble { of: "policies".into(), what, is_failure };
        let book = locked(&self.book);
        let policies = match &book.policies {
            Ok(policies) => policies.values().cloned().collect::<Vec<_>>(),
            Err(error) => {
                let way_out = error.way_out().unwrap_or_default();
                return vec![of_all(format!("no policy runs: {error}; {way_out}"), true)];
            }
        };
        let mut all = Vec::new();
        all.extend(book.stands_in.as_ref().map(|why| {
            let what = format!(
                "they run as they were last copied, and cannot be changed, because the catalogue cannot be used: {why}; \
                 mend that, and it is taken up within a minute"
            );
            of_all(what, false)
        }));
        all.extend(book.told.clone().map(|what| of_all(what, false)));
        all.extend(book.unreadable.iter().map(|(name, why)| Trouble {
            of: format!("policy {name}"),
            what: format!(
                "it does not run, because it cannot be read: {why}; `policy rm {name}`, and make it anew"
            ),
            is_failure: true,
        }));
        drop(book);
        let failed = |policy: &Policy| {
            let what = self.last_run(policy.id)?.trouble()?;
            Some(Trouble { of: format!("policy {}", policy.rules.name), what, is_failure: false })
        };
        all.extend(policies.iter().filter_map(failed));
        all
    }

    pub(super) fn all(&self) -> Result<Vec<Policy>, ControlError> {
        let book = locked(&self.book);
        Ok(book.policies.as_ref().map_err(Clone::clone)?.values().cloned().collect())
    }

    pub(super) fn named(&self, name: &Name) -> Result<Policy, ControlError> {
        let book = locked(&self.book);
        let found = book.policies.as_ref().map_err(Clone::clone)?.get(name).cloned();
        found.ok_or_else(|| ControlError::Unknown {
            why: format!("there is no policy {name}"),
            way_out: "`policy ls` shows those that are there".into(),
        })
    }

    /// Whether something of this name is kept that cannot be read.
    pub(super) fn is_unreadable(&self, name: &Name) -> bool {
        locked(&self.book).unreadable.contains_key(name.as_str())
    }

    /// Keeps a policy, and has it in force.
    ///
    /// # Errors
    /// `Catalogue`; then all is as it was.
    pub(super) async fn keep(&self, policy: Policy) -> Result<(), ControlError> {
        let saved = policy.clone();
        self.in_the_catalogue(move |kept| kept.save(&saved)).await?;
        if let Ok(policies) = &mut locked(&self.book).policies {
            policies.insert(policy.rules.name.clone(), policy);
        }
        Ok(())
    }

    /// Forgets a policy.
    ///
    /// # Errors
    /// `Catalogue`; then all is as it was.
    pub(super) async fn forget(&self, name: &Name) -> Result<(), ControlError> {
        let gone = name.clone();
        self.in_the_catalogue(move |kept| kept.remove(gone.as_str())).await?;
        let mut book = locked(&self.book);
        book.unreadable.remove(name.as_str());
        if let Ok(policies) = &mut book.policies {
            policies.remove(name);
        }
        Ok(())
    }

    /// Changes what is kept; not while what is in force comes from elsewhere, since that may be older.
    async fn in_the_catalogue(
        &self,
        change: impl FnOnce(&Kept) -> Result<(), ControlError> + Send + 'static,
    ) -> Result<(), ControlError> {
        if let Some(why) = locked(&self.book).stands_in.clone() {
            return Err(ControlError::Catalogue { why });
        }
        on_a_thread(&self.kept, change).await
    }

    /// Looks again for what could not be read, and says whether it has come; what ran meanwhile is not forgotten.
    pub(super) async fn load_again(&self) -> bool {
        if !locked(&self.book).is_wanting() {
            return false;
        }
        let _admin = self.admin.lock().await;
        // What is being written while it is read would be in neither.
        let _one_at_a_time = self.writing.lock().await;
        let loaded = match Self::load(&self.kept).await {
            Ok(loaded) if loaded.stands_in.is_none() => loaded,
            _ => return false,
        };
        tracing::info!(policies = loaded.policies.len(), "policies are read from the catalogue");
        let (book, runs) = Book::of(Ok(loaded));
        *locked(&self.book) = book;
        let mut history = locked(&self.history);
        let before = std::mem::replace(&mut *history, History { runs, ..History::default() });
        for (id, count) in before.unwritten {
            let all = before.runs.get(&id).map_or(&[][..], Vec::as_slice);
            for run in &all[all.len().saturating_sub(count)..] {
                history.add(id, run.clone());
            }
        }
        true
    }

    async fn load(kept: &Kept) -> Result<Loaded, ControlError> {
        on_a_thread(kept, Kept::load).await
    }

    pub(super) fn record(&self, policy: &Policy, run: RunStatus) {
        if let RunOutcome::Failed { why, .. } = &run.outcome {
            tracing::error!(policy = %policy.rules.name, %why, "a policy took no mark");
        }
        locked(&self.history).add(policy.id, run);
    }

    /// Writes what came of runs, unless that is being done; what cannot be written is kept for the next time.
    pub(super) async fn write_runs(&self) {
        if let Ok(_one_at_a_time) = self.writing.try_lock() {
            self.write_now().await;
        }
    }

    async fn write_now(&self) {
        // Those that nobody can look up now may be known again later.
        let Ok(policies) = self.all() else { return };
        let known = policies.iter().map(|policy| policy.id).collect();
        let runs = locked(&self.history).take_unwritten(&known);
        if runs.is_empty() {
            return;
        }
        let counts: Vec<_> = runs.iter().map(|(id, runs)| (*id, runs.len())).collect();
        // The catalogue tells what is wrong with it by itself.
        if let Err(error) = on_a_thread(&self.kept, move |kept| kept.add_runs(&runs)).await {
            tracing::debug!(%error, "keep what came of the runs of policies");
            let mut history = locked(&self.history);
            counts.into_iter().for_each(|(id, count)| history.owe(id, count));
        }
    }

    pub(super) fn last_run(&self, id: Id) -> Option<RunStatus> {
        locked(&self.history).runs.get(&id)?.last().cloned()
    }

    /// The last runs of a policy, oldest first.
    pub(super) fn runs(&self, id: Id) -> Vec<RunStatus> {
        locked(&self.history).runs.get(&id).cloned().unwrap_or_default()
    }
}

/// Does what may wait for a disk on a thread for that.
async fn on_a_thread<T: Send + 'static>(
    kept: &Kept,
    work: impl FnOnce(&Kept) -> Result<T, ControlError> + Send + 'static,
) -> Result<T, ControlError> {
    let kept = kept.clone();
    tokio::task::spawn_blocking(move || work(&kept)).await.unwrap_or_else(|error| {
        Err(ControlError::State { what: "keep the policies".into(), why: error.to_string() })
    })
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
