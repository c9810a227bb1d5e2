//! What may be done to policies, and when.

use base::id::Id;
use base::limits::MARKS_PER_VOLUME_MAX;
use base::name::Name;
use jiff::Timestamp;
use store::{DiskRef, MarkStatus, StoreError};

use super::desk::locked;
use super::fit::most_locked;
use super::keep::Beside;
use super::ledger::{Ledger, note_kind};
use super::planner::timestamp;
use super::preview::{AHEAD_DAYS_MAX, Existing, Play, outlook};
use super::rules::{POLICIES_MAX, Policy, PolicyChange, Rules, invalid};
use super::runs::{Cause, PolicyStatus, RunStatus, VolumeOutlook};
use crate::appliance::Appliance;
use crate::error::ControlError;
use crate::status::Freed;
use crate::when;

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
    /// `Catalogue` or `Conflict` where what was kept of them cannot be read.
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
        Ok(self.policy_desk().runs(id))
    }

    /// Makes a policy. It runs from now on.
    ///
    /// # Errors
    /// `Invalid` where it makes no sense or does not fit, `Conflict` where the name is taken, `Catalogue` where it
    /// cannot be kept, or what the store says about its volumes.
    pub async fn create_policy(&self, rules: Rules) -> Result<PolicyStatus, ControlError> {
        let desk = self.policy_desk();
        let _admin = desk.admin.lock().await;
        let name = rules.name.clone();
        let all = desk.all()?;
        if all.iter().any(|policy| policy.rules.name == name) || desk.is_unreadable(&name) {
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
        if !desk.is_unreadable(name) {
            desk.named(name)?;
        }
        desk.forget(name).await?;
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
        policy.rules.check()?;
        self.check_fit(&policy)?;
        self.policy_desk().keep(policy.clone()).await?;
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
