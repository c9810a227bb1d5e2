//! What may be done to policies, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::id::Id;
use base::limits::MARKS_PER_VOLUME_MAX;
use base::name::Name;
use jiff::Timestamp;
use store::{DiskRef, MarkStatus, StoreError};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use super::fit::most_locked;
use super::keep::Beside;
use super::kept::{Kept, Runs};
use super::ledger::{Ledger, note_kind};
use super::planner::{Planner, timestamp};
use super::preview::{AHEAD_DAYS_MAX, Existing, Play, outlook};
use super::rules::{POLICIES_MAX, Policy, PolicyChange, Rules, invalid};
use super::runs::{Cause, PolicyStatus, RUNS_MAX, RunOutcome, RunStatus, VolumeOutlook};
use crate::appliance::Appliance;
use crate::error::ControlError;
use crate::status::{Freed, Trouble};
use crate::when;

/// The policies of an appliance, and their runs.
pub struct Policies {
    kept: Kept,
    book: Mutex<Result<BTreeMap<Name, Policy>, ControlError>>,
    pub(super) planner: Mutex<Planner>,
    runs: Mutex<Runs>,
    pub(super) has_new_runs: AtomicBool,
    /// What is due may be due earlier now.
    pub(super) replanned: Notify,
    /// Names of marks that are being taken; held while a ledger is changed.
    pub(super) promised: tokio::sync::Mutex<BTreeSet<(Name, Name)>>,
    pub(super) going_on: Mutex<JoinSet<()>>,
    runner: Mutex<Option<JoinHandle<()>>>,
    /// Changes of the book happen one after another.
    admin: tokio::sync::Mutex<()>,
}

impl Policies {
    /// The policies of a state directory. Where they cannot be read, everything else goes on without them.
    pub(crate) fn open(dir: &Path) -> Self {
        let kept = Kept::new(dir);
        let book = kept.policies();
        if let Err(error) = &book {
            tracing::error!(%error, "no policy runs");
        }
        let runs = kept.runs();
        Self {
            kept,
            book: Mutex::new(book),
            planner: Mutex::default(),
            runs: Mutex::new(runs),
            has_new_runs: AtomicBool::new(false),
            replanned: Notify::new(),
            promised: tokio::sync::Mutex::default(),
            going_on: Mutex::default(),
            runner: Mutex::default(),
            admin: tokio::sync::Mutex::default(),
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
        self.save_runs().await;
    }

    /// What a person should look at.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        let policies = match self.all() {
            Ok(policies) => policies,
            Err(error) => {
                let way_out = error.way_out().unwrap_or_default();
                let what = format!("no policy runs: {error}; {way_out}");
                return vec![Trouble { of: "policies".into(), what, is_failure: true }];
            }
        };
        let failed = |policy: &Policy| {
            let what = self.last_run(policy.id)?.trouble()?;
            Some(Trouble { of: format!("policy {}", policy.rules.name), what, is_failure: false })
        };
        policies.iter().filter_map(failed).collect()
    }

    pub(super) fn all(&self) -> Result<Vec<Policy>, ControlError> {
        let book = locked(&self.book);
        Ok(book.as_ref().map_err(Clone::clone)?.values().cloned().collect())
    }

    pub(super) fn named(&self, name: &Name) -> Result<Policy, ControlError> {
        let book = locked(&self.book);
        let found = book.as_ref().map_err(Clone::clone)?.get(name).cloned();
        found.ok_or_else(|| ControlError::Unknown {
            why: format!("there is no policy {name}"),
            way_out: "`policy ls` shows those that are there".into(),
        })
    }

    /// Keeps the book changed so, whole or not at all.
    async fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<Name, Policy>),
    ) -> Result<(), ControlError> {
        let mut changed = locked(&self.book).clone()?;
        change(&mut changed);
        let kept = self.kept.clone();
        let saved = tokio::task::spawn_blocking(move || {
            kept.save_policies(changed.values()).map(|()| changed)
        });
        let changed = saved.await.map_err(|error| ControlError::State {
            what: "keep the policies".into(),
            why: error.to_string(),
        })??;
        *locked(&self.book) = Ok(changed);
        Ok(())
    }

    pub(super) fn record(&self, policy: &Policy, run: RunStatus) {
        if let RunOutcome::Failed { why, .. } = &run.outcome {
            tracing::error!(policy = %policy.rules.name, %why, "a policy took no mark");
        }
        let mut runs = locked(&self.runs);
        let of = runs.entry(policy.id).or_default();
        if of.len() >= RUNS_MAX {
            of.remove(0);
        }
        of.push(run);
        self.has_new_runs.store(true, Ordering::Relaxed);
    }

    pub(super) async fn save_runs(&self) {
        if !self.has_new_runs.swap(false, Ordering::Relaxed) {
            return;
        }
        let known: BTreeSet<Id> = self.all().unwrap_or_default().iter().map(|p| p.id).collect();
        let mut runs = locked(&self.runs).clone();
        runs.retain(|id, _| known.contains(id));
        let kept = self.kept.clone();
        let saved = tokio::task::spawn_blocking(move || kept.save_runs(&runs)).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, "keep the history of policies");
        }
    }

    pub(super) fn last_run(&self, id: Id) -> Option<RunStatus> {
        locked(&self.runs).get(&id)?.last().cloned()
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The marks of a volume: those of one policy, and how many others.
pub(super) struct Marks {
    pub own: Vec<MarkStatus>,
    pub foreign: usize,
}

impl Marks {
    /// How many the policy may have.
    pub(super) fn room(&self) -> usize {
        MARKS_PER_VOLUME_MAX.saturating_sub(self.foreign)
    }
}

impl Appliance {
    /// All policies by name.
    ///
    /// # Errors
    /// `Conflict` where what was kept of them cannot be read.
    pub fn policies(&self) -> Result<Vec<PolicyStatus>, ControlError> {
        Ok(self.policy_desk().all()?.into_iter().map(|policy| self.policy_status(policy)).collect())
    }

    /// One policy.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn policy(&self, name: &Name) -> Result<PolicyStatus, ControlError> {
        Ok(self.policy_status(self.policy_desk().named(name)?))
    }

    /// The last runs of a policy, oldest first.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn policy_runs(&self, name: &Name) -> Result<Vec<RunStatus>, ControlError> {
        let id = self.policy_desk().named(name)?.id;
        Ok(locked(&self.policy_desk().runs).get(&id).cloned().unwrap_or_default())
    }

    /// Makes a policy. It runs from now on.
    ///
    /// # Errors
    /// `Invalid` where it makes no sense or does not fit, `Conflict` where the name is taken, or what the store
    /// says about its volumes.
    pub async fn create_policy(&self, rules: Rules) -> Result<PolicyStatus, ControlError> {
        let desk = self.policy_desk();
        let _admin = desk.admin.lock().await;
        let name = rules.name.clone();
        let all = desk.all()?;
        if all.iter().any(|policy| policy.rules.name == name) {
            return Err(ControlError::Conflict {
                why: format!("there is a policy {name} already"),
                way_out: "choose another name, or change that one with `policy set`".into(),
            });
        }
        if all.len() >= POLICIES_MAX {
            let why = format!("there are {POLICIES_MAX} policies, and no more can be kept");
            return Err(invalid(why, "name several volumes or a group in one policy"));
        }
        let id = Id::fresh(self.rng());
        let policy = Policy { rules, id, since_ms: self.clock().wall_ms() };
        self.keep_policy(policy).await
    }

    /// Changes a policy. It runs as it is now from now on; its marks stay its own.
    ///
    /// # Errors
    /// `Unknown`, or as [`Appliance::create_policy`]; then it is as it was.
    pub async fn change_policy(
        &self,
        name: &Name,
        change: PolicyChange,
    ) -> Result<PolicyStatus, ControlError> {
        let desk = self.policy_desk();
        let _admin = desk.admin.lock().await;
        let Policy { rules, id, .. } = desk.named(name)?;
        let until = change.paused_until.clone();
        let mut rules = rules.changed_by(change);
        if let Some(until) = until {
            let (zone, now_ms) = (rules.check()?.zone, self.clock().wall_ms());
            rules.paused_until_ms = Some(when::moment(&until, &zone, now_ms, AHEAD_DAYS_MAX)?);
        }
        self.keep_policy(Policy { rules, id, since_ms: self.clock().wall_ms() }).await
    }

    /// Forgets a policy. Its marks stay, and nothing thins them any more.
    ///
    /// # Errors
    /// `Unknown`.
    pub async fn remove_policy(&self, name: &Name) -> Result<(), ControlError> {
        let desk = self.policy_desk();
        let _admin = desk.admin.lock().await;
        desk.named(name)?;
        desk.change(|book| {
            book.remove(name);
        })
        .await?;
        locked(&desk.planner).remove(name);
        tracing::info!(policy = %name, "policy removed");
        Ok(())
    }

    /// What there will be of each of its volumes at a moment: `2027-03-01`, `2027-03-01T02:30` in the policy's
    /// zone, or with a zone of its own as in `2027-03-01T02:30Z`.
    ///
    /// # Errors
    /// `Unknown`, `Invalid` where the moment cannot be read or lies too far ahead or behind; what the store says.
    pub async fn preview_policy(
        &self,
        name: &Name,
        at: &str,
    ) -> Result<Vec<VolumeOutlook>, ControlError> {
        self.look_ahead(self.policy_desk().named(name)?, at).await
    }

    /// What there would be of each of its volumes at a moment, were this policy made now. Changes nothing.
    ///
    /// # Errors
    /// As [`Appliance::create_policy`], but for the name, and as [`Appliance::preview_policy`].
    pub async fn preview_rules(
        &self,
        rules: Rules,
        at: &str,
    ) -> Result<Vec<VolumeOutlook>, ControlError> {
        let id = Id::fresh(self.rng());
        let policy = Policy { rules, id, since_ms: self.clock().wall_ms() };
        policy.rules.check()?;
        self.check_fit(&policy)?;
        self.look_ahead(policy, at).await
    }

    async fn look_ahead(
        &self,
        policy: Policy,
        at: &str,
    ) -> Result<Vec<VolumeOutlook>, ControlError> {
        let times = policy.rules.check()?;
        let now = timestamp(self.clock().wall_ms());
        let date =
            timestamp(when::moment(at, &times.zone, self.clock().wall_ms(), AHEAD_DAYS_MAX)?);
        let from = policy.rules.paused_until_ms.map_or(now, |until| timestamp(until).max(now));
        let mut seen = Vec::new();
        for volume in self.volumes_of(&policy.rules)? {
            let marks = self.marks_of(&volume, policy.id)?;
            let room = marks.room();
            let existing = marks.own.into_iter().map(|mark| Existing {
                pinned_until: pinned_until(&mark),
                at: timestamp(mark.taken_ms),
                name: mark.name,
            });
            seen.push((volume, marks.foreign, room, existing.collect::<Vec<_>>()));
        }
        let (keep, lock) = (policy.rules.keep, policy.rules.lock);
        let looked = tokio::task::spawn_blocking(move || {
            let seen = seen.into_iter().map(|(volume, foreign, room, existing)| {
                let play = Play { times: &times, keep: &keep, lock, room };
                VolumeOutlook {
                    volume,
                    at_ms: u64::try_from(date.as_millisecond()).unwrap_or(0),
                    foreign,
                    outlook: outlook(&play, existing, (from, date)),
                    frees: Freed::default(),
                }
            });
            seen.collect::<Vec<_>>()
        });
        let looked = looked.await.map_err(|error| ControlError::State {
            what: "look ahead".into(),
            why: error.to_string(),
        });
        let mut seen = looked?;
        for one in &mut seen {
            one.frees = self.pool().freed_without(&one.volume, &one.outlook.gone).await?;
        }
        Ok(seen)
    }

    /// Runs a policy now, also one that pauses, and waits for what comes of it.
    ///
    /// # Errors
    /// `Unknown`, `Conflict` where a run goes on. A run that takes no mark is no error but its outcome.
    pub async fn run_policy(&self, name: &Name) -> Result<RunStatus, ControlError> {
        let desk = self.policy_desk();
        let policy = desk.named(name)?;
        if !locked(&desk.planner).begin(name) {
            return Err(ControlError::Conflict {
                why: format!("a run of policy {name} goes on"),
                way_out: "wait until it has ended; `policy show` tells".into(),
            });
        }
        Ok(self.run_begun(&policy, Cause::Asked, self.clock().wall_ms(), 0).await)
    }

    async fn keep_policy(&self, policy: Policy) -> Result<PolicyStatus, ControlError> {
        let name = policy.rules.name.clone();
        policy.rules.check()?;
        self.check_fit(&policy)?;
        let kept = policy.clone();
        self.policy_desk()
            .change(|book| {
                book.insert(name, kept);
            })
            .await?;
        self.plan(&policy);
        self.policy_desk().replanned.notify_one();
        tracing::info!(policy = %policy.rules.name, "policy kept");
        Ok(self.policy_status(policy))
    }

    /// Has it run when it is due, from where it has come to.
    pub(super) fn plan(&self, policy: &Policy) {
        let desk = self.policy_desk();
        let times = policy.rules.check().ok().filter(|_| !policy.rules.is_paused);
        let last_due = desk.last_run(policy.id).map_or(0, |run| run.due_ms);
        let volumes = self.volumes_of(&policy.rules).unwrap_or_default();
        let own = volumes.iter().filter_map(|volume| self.marks_of(volume, policy.id).ok());
        let newest = own.filter_map(|marks| marks.own.last().map(|mark| mark.taken_ms)).max();
        let done_ms = policy.since_ms.max(last_due).max(newest.unwrap_or(0));
        // After a clock that was ahead, moments count from now.
        let done_ms = done_ms.min(self.clock().wall_ms());
        let done_ms = done_ms.max(policy.rules.paused_until_ms.unwrap_or(0));
        let schedule = times.and_then(|times| times.schedule);
        locked(&desk.planner).set(&policy.rules.name, schedule, done_ms);
    }

    fn check_fit(&self, policy: &Policy) -> Result<(), ControlError> {
        let now = timestamp(self.clock().wall_ms());
        let locked = locked_of(&policy.rules, now);
        let others = self.policy_desk().all()?;
        let others: Vec<_> = others.iter().filter(|other| other.id != policy.id).collect();
        for volume in self.volumes_of(&policy.rules)? {
            let ledger = self.ledger_of(&volume)?;
            let is_of_a_policy = |mark: &MarkStatus| {
                let of = ledger.policy_of(mark);
                of == Some(policy.id) || others.iter().any(|other| of == Some(other.id))
            };
            let marks = self.pool().marks(&volume)?;
            let foreign = marks.iter().filter(|mark| !is_of_a_policy(mark)).count();
            let covers = |other: &&&Policy| {
                self.volumes_of(&other.rules).is_ok_and(|volumes| volumes.contains(&volume))
            };
            let promised = others.iter().filter(covers).map(|other| most_of(&other.rules, now));
            let policies = promised.sum();
            let beside = Beside { volume: volume.to_string(), foreign, locked, policies };
            policy.rules.keep.check_fit(&beside).map_err(|no_fit| {
                let why = format!("policy {} does not fit: {no_fit}", policy.rules.name);
                invalid(why, "keep fewer, or remove marks or another policy of the volume")
            })?;
        }
        Ok(())
    }

    fn policy_status(&self, policy: Policy) -> PolicyStatus {
        let desk = self.policy_desk();
        let volumes = self.volumes_of(&policy.rules).unwrap_or_default();
        let own = volumes.iter().filter_map(|volume| self.marks_of(volume, policy.id).ok());
        let marks = own.map(|marks| marks.own.len()).sum();
        let by_time = self.passes_at(&policy);
        let planner = locked(&desk.planner);
        let name = &policy.rules.name;
        PolicyStatus {
            next_ms: planner.next_of(name).into_iter().chain(by_time).min(),
            is_running: planner.is_running(name),
            marks,
            last_run: desk.last_run(policy.id),
            policy,
        }
    }

    /// The volumes that a policy marks, as they are now.
    pub(super) fn volumes_of(&self, rules: &Rules) -> Result<Vec<Name>, ControlError> {
        let Some(group) = &rules.group else { return Ok(rules.volumes.clone()) };
        let found = self.groups().into_iter().find(|known| known.name == *group);
        let found = found.ok_or_else(|| StoreError::UnknownGroup(group.clone()))?;
        Ok(found.volumes)
    }

    pub(super) fn marks_of(&self, volume: &Name, policy: Id) -> Result<Marks, ControlError> {
        let ledger = self.ledger_of(volume)?;
        let all = self.pool().marks(volume)?;
        let count = all.len();
        let own: Vec<_> =
            all.into_iter().filter(|mark| ledger.policy_of(mark) == Some(policy)).collect();
        Ok(Marks { foreign: count - own.len(), own })
    }

    pub(super) fn ledger_of(&self, volume: &Name) -> Result<Ledger, ControlError> {
        let id = self.pool().id_of(&self.disk_of(volume))?;
        let Some(bytes) = self.pool().note(id, note_kind()) else { return Ok(Ledger::default()) };
        Ok(Ledger::decode(&bytes).unwrap_or_else(|error| {
            tracing::error!(%volume, %error, "which marks are of policies cannot be read: they count as others'");
            Ledger::default()
        }))
    }

    /// A volume or view by its name.
    pub(super) fn disk_of(&self, name: &Name) -> DiskRef {
        match self.pool().view(name) {
            Ok(_) => DiskRef::View(name.clone()),
            Err(_) => DiskRef::Volume(name.clone()),
        }
    }
}

/// Whether a mark stays whatever a policy says.
pub(super) fn is_pinned(mark: &MarkStatus) -> bool {
    pinned_until(mark).is_some()
}

/// Until when a mark stays whatever a policy says.
fn pinned_until(mark: &MarkStatus) -> Option<Timestamp> {
    if !mark.views.is_empty() || (mark.is_held && mark.held_until_ms.is_none()) {
        return Some(Timestamp::MAX);
    }
    mark.held_until_ms.max(mark.locked_until_ms).map(timestamp)
}

/// Marks of a policy that are locked at once, at most.
fn locked_of(rules: &Rules, now: Timestamp) -> usize {
    let (Some(lock), Ok(times)) = (rules.lock, rules.check()) else { return 0 };
    most_locked(&times, lock, now)
}

/// Marks that a policy may have, with the one that it takes.
fn most_of(rules: &Rules, now: Timestamp) -> usize {
    let locked = locked_of(rules, now).saturating_sub(usize::from(rules.keep.last));
    rules.keep.sum() + locked + 1
}
