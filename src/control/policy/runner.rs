//! The one task that begins runs when they are due, and what one run does.

use std::sync::{Arc, Weak};
use std::time::Duration;

use base::limits::MARKS_PER_VOLUME_MAX;
use base::name::{MarkRef, Name};
use base::units::{Extent, SECTOR_LEN};
use store::{MarkRequest, MarkStatus, StoreError};

use super::desk::{Policies, locked};
use super::keep::Stamp;
use super::ledger::note_kind;
use super::office::is_pinned;
use super::planner::{Due, SET_BACK_MS, timestamp};
use super::rules::Policy;
use super::runs::{Cause, RunOutcome, RunStatus};
use crate::appliance::Appliance;
use crate::error::ControlError;
use crate::volumes::Sessions;
use crate::when;

/// How soon it is seen that the clock was moved.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How often what came of runs is written: the runs of all policies within it are one commit.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// How often it is looked how much has changed.
const SLOW_LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// How long a run waits where the store is busy, and how often: until a full journal has room again.
const BUSY_WAIT: Duration = Duration::from_millis(500);
const BUSY_TRIES: u32 = 20;
/// Marks with the same second in their names, after which a run gives up on finding a free one.
const NAMES_MAX: usize = 100;

/// What became of marks that should go.
#[derive(Default)]
struct Thinned {
    removed: Vec<MarkRef>,
    /// Each with the reason.
    left: Vec<String>,
}

/// Begins what is due, for as long as there is an appliance.
pub(super) async fn run(appliance: Weak<Appliance>) {
    let (mut slow_look_at, mut write_at) = (Duration::ZERO, Duration::ZERO);
    loop {
        let Some(office) = appliance.upgrade() else { return };
        let desk = Arc::clone(office.policy_desk());
        let now_ms = office.clock().wall_ms();
        let due = locked(&desk.planner).due(now_ms);
        for due in due {
            begin(&office, due);
        }
        let monotonic = office.clock().monotonic();
        if monotonic >= slow_look_at {
            slow_look_at = monotonic + SLOW_LOOK_INTERVAL;
            look_at_changes(&office);
            look_for_policies(&office);
        }
        if monotonic >= write_at {
            write_at = monotonic + WRITE_INTERVAL;
            // Apart, since a catalogue that is locked must not make runs late.
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { desk.write_runs().await });
        }
        let next_ms = locked(&desk.planner).next_ms();
        let wait = next_ms.map(|next| Duration::from_millis(next.saturating_sub(now_ms)));
        drop(office);
        let wait = wait.map_or(LOOK_INTERVAL, |wait| wait.min(LOOK_INTERVAL));
        // Whatever comes of the wait, what is due is looked at again.
        let _ = tokio::time::timeout(wait, desk.replanned.notified()).await;
    }
}

fn begin(office: &Arc<Appliance>, due: Due) {
    let desk = office.policy_desk();
    let Ok(policy) = desk.named(&due.policy) else { return };
    let now_ms = office.clock().wall_ms();
    // A clock that was set back plans anew, and knows of no pause.
    if policy.rules.pauses(now_ms) {
        if !due.is_overlapping {
            locked(&desk.planner).ended(&due.policy);
        }
        return;
    }
    if due.is_overlapping {
        let run = RunStatus {
            cause: Cause::Schedule,
            due_ms: due.due_ms,
            began_ms: now_ms,
            ended_ms: now_ms,
            missed: due.missed,
            outcome: RunOutcome::Overlapped,
            removed: Vec::new(),
            left: Vec::new(),
        };
        tracing::warn!(policy = %due.policy, "a run was due while the one before it went on");
        desk.record(&policy, run);
        return;
    }
    let office = Arc::clone(office);
    spawn(desk, async move {
        office.run_begun(&policy, Cause::Schedule, due.due_ms, due.missed).await;
    });
}

/// Looks in the background at the policies that run when enough has changed or passed.
fn look_at_changes(office: &Arc<Appliance>) {
    let now_ms = office.clock().wall_ms();
    let policies = office.policy_desk().all().unwrap_or_default().into_iter();
    let looked_at: Vec<_> = policies
        .filter(|policy| policy.rules.changed.is_some() || policy.rules.passed.is_some())
        .filter(|policy| !policy.rules.pauses(now_ms))
        .collect();
    if looked_at.is_empty() {
        return;
    }
    let office = Arc::clone(office);
    spawn(Arc::clone(&office).policy_desk(), async move {
        for policy in looked_at {
            let now_ms = office.clock().wall_ms();
            let Some(cause) = office.cause_of(&policy, now_ms).await else { continue };
            // A run that goes on marks what has changed.
            if locked(&office.policy_desk().planner).begin(&policy.rules.name) {
                office.run_begun(&policy, cause, now_ms, 0).await;
            }
        }
    });
}

/// Looks in the background for policies that could not be read, and runs them once they can.
fn look_for_policies(office: &Arc<Appliance>) {
    let office = Arc::clone(office);
    tokio::spawn(async move {
        let desk = office.policy_desk();
        let before = desk.all().unwrap_or_default();
        if !desk.load_again().await {
            return;
        }
        let policies = desk.all().unwrap_or_default();
        for gone in before.iter().filter(|old| !policies.iter().any(|new| new.id == old.id)) {
            locked(&desk.planner).remove(&gone.rules.name);
        }
        policies.iter().for_each(|policy| office.plan(policy));
        desk.replanned.notify_one();
    });
}

fn spawn(desk: &Policies, work: impl Future<Output = ()> + Send + 'static) {
    let mut going_on = locked(&desk.going_on);
    while going_on.try_join_next().is_some() {}
    going_on.spawn(work);
}

impl Appliance {
    /// Begins what is due now and waits for all runs that go on. For whoever moves the clock, and must not move it
    /// past a run.
    pub async fn run_due(self: &Arc<Self>) {
        let desk = self.policy_desk();
        let due = locked(&desk.planner).due(self.clock().wall_ms());
        for due in due {
            begin(self, due);
        }
        let mut going_on = std::mem::take(&mut *locked(&desk.going_on));
        while going_on.join_next().await.is_some() {}
    }

    /// Why a policy runs now beside its times, where it does.
    async fn cause_of(&self, policy: &Policy, now_ms: u64) -> Option<Cause> {
        let is_time = |at: u64| at <= now_ms || self.was_set_back(policy, now_ms);
        if self.passes_at(policy).is_some_and(is_time) {
            return Some(Cause::Passed);
        }
        let amount = policy.rules.changed?.0;
        let changed = self.changed_since_last(policy, amount).await;
        changed.is_ok_and(|changed| changed >= amount).then_some(Cause::Changed)
    }

    /// When enough time has passed since the last run of a policy, milliseconds since 1970: in 1970, where it never
    /// ran and has no mark. `None` where that is not asked of it, or it pauses.
    pub(super) fn passes_at(&self, policy: &Policy) -> Option<u64> {
        let passed =
            policy.rules.passed.filter(|_| !policy.rules.pauses(self.clock().wall_ms()))?;
        Some(self.last_of(policy).map_or(0, |last| last.saturating_add(passed.ms())))
    }

    /// Whether the clock was set back since the last run, so that nobody knows how much time has passed.
    fn was_set_back(&self, policy: &Policy, now_ms: u64) -> bool {
        self.last_of(policy).is_some_and(|last| now_ms + SET_BACK_MS < last)
    }

    /// When a policy ran last, or else took its newest mark.
    fn last_of(&self, policy: &Policy) -> Option<u64> {
        let ran = self.policy_desk().last_run(policy.id).map(|run| run.began_ms);
        ran.or_else(|| {
            let volumes = self.volumes_of(&policy.rules).unwrap_or_default();
            let own = volumes.iter().filter_map(|volume| self.marks_of(volume, policy.id).ok());
            own.filter_map(|marks| marks.own.last().map(|mark| mark.taken_ms)).max()
        })
    }

    /// Carries out a run that the planner counts as begun, and tells it that it has ended.
    pub(super) async fn run_begun(
        &self,
        policy: &Policy,
        cause: Cause,
        due_ms: u64,
        missed: u64,
    ) -> RunStatus {
        let began_ms = self.clock().wall_ms();
        let mut thinned = Thinned::default();
        let mut tries = 0;
        let done = loop {
            match self.run_once(policy, cause, &mut thinned).await {
                Err(ControlError::Store(StoreError::Busy { .. })) if tries < BUSY_TRIES => {
                    tries += 1
                }
                done => break done,
            }
            tokio::time::sleep(BUSY_WAIT).await;
        };
        let outcome = done.unwrap_or_else(|error| RunOutcome::Failed {
            why: error.detail(),
            way_out: error.way_out(),
        });
        let ended_ms = self.clock().wall_ms();
        let Thinned { removed, left } = thinned;
        let run = RunStatus { cause, due_ms, began_ms, ended_ms, missed, outcome, removed, left };
        self.policy_desk().record(policy, run.clone());
        locked(&self.policy_desk().planner).ended(&policy.rules.name);
        run
    }

    async fn run_once(
        &self,
        policy: &Policy,
        cause: Cause,
        thinned: &mut Thinned,
    ) -> Result<RunOutcome, ControlError> {
        let is_by_time = matches!(cause, Cause::Schedule | Cause::Passed);
        let may_skip = policy.rules.skip_unchanged && is_by_time;
        if may_skip && self.changed_since_last(policy, 1).await? == 0 {
            return Ok(RunOutcome::Unchanged);
        }
        let volumes = self.volumes_of(&policy.rules)?;
        for volume in &volumes {
            if self.pool().mark_tally(volume)?.count >= MARKS_PER_VOLUME_MAX {
                self.thin(policy, volume, 1, thinned).await?;
            }
        }
        let mark = self.take_promised(policy, &volumes).await?;
        for volume in &volumes {
            self.thin(policy, volume, 0, thinned).await?;
        }
        Ok(RunOutcome::Taken { mark })
    }

    /// Notes whose the mark will be, then takes it.
    async fn take_promised(&self, policy: &Policy, volumes: &[Name]) -> Result<Name, ControlError> {
        let mut promised = self.policy_desk().promised.lock().await;
        let name = self.free_name(policy, volumes)?;
        for volume in volumes {
            let marks = self.pool().marks(volume)?;
            let mut ledger = self.ledger_of(volume)?;
            ledger.settle(&marks, |name| promised.contains(&(volume.clone(), name.clone())));
            ledger.promise(policy.id, &name, &marks);
            let id = self.pool().id_of(&self.disk_of(volume))?;
            self.pool().keep_note(id, note_kind(), Some(ledger.encode())).await?;
        }
        let keys = || volumes.iter().map(|volume| (volume.clone(), name.clone()));
        promised.extend(keys());
        drop(promised);
        let request = MarkRequest { name: name.clone(), grade: policy.rules.grade };
        let taken = self.take_mark_of(volumes, request, policy.rules.lock).await;
        let mut promised = self.policy_desk().promised.lock().await;
        for key in keys() {
            promised.remove(&key);
        }
        taken.map(|_| name)
    }

    fn free_name(&self, policy: &Policy, volumes: &[Name]) -> Result<Name, ControlError> {
        let base = format!("{}-{}", policy.rules.name, when::mark_name(self.clock().wall_ms()));
        let mut taken = Vec::new();
        for volume in volumes {
            taken.extend(self.pool().marks(volume)?.into_iter().map(|mark| mark.name));
        }
        let names = (1..=NAMES_MAX).filter_map(|number| match number {
            1 => base.parse::<Name>().ok(),
            _ => format!("{base}.{number}").parse().ok(),
        });
        let mut free = names.filter(|name| !taken.contains(name));
        free.next().ok_or_else(|| ControlError::Conflict {
            why: format!("there are {NAMES_MAX} marks called {base}"),
            way_out: "look at the clock of this machine, or rename some".into(),
        })
    }

    /// Removes what the policy keeps for nothing, with room left for `more` marks.
    async fn thin(
        &self,
        policy: &Policy,
        volume: &Name,
        more: usize,
        thinned: &mut Thinned,
    ) -> Result<(), ControlError> {
        let zone = policy.rules.check()?.zone;
        let marks = self.marks_of(volume, policy.id)?;
        let stamp = |mark: &MarkStatus| Stamp::new(timestamp(mark.taken_ms), &zone);
        let stamps: Vec<_> = marks.own.iter().map(stamp).collect();
        let pinned: Vec<_> = marks.own.iter().map(is_pinned).collect();
        let room = marks.room().saturating_sub(more);
        for index in policy.rules.keep.going(&stamps, &pinned, room) {
            let mark = MarkRef { volume: volume.clone(), mark: marks.own[index].name.clone() };
            match self.remove_mark(&mark, Sessions::Respect).await {
                Ok(()) => thinned.removed.push(mark),
                // The next run tries again.
                Err(error) => thinned.left.push(format!("{mark}: {}", error.detail())),
            }
        }
        Ok(())
    }

    /// Bytes that have changed in all its volumes since its last mark, counted up to `enough`. A volume
    /// without such a mark has changed enough.
    async fn changed_since_last(&self, policy: &Policy, enough: u64) -> Result<u64, ControlError> {
        let mut changed = 0;
        for volume in self.volumes_of(&policy.rules)? {
            let marks = self.marks_of(&volume, policy.id)?;
            let Some(last) = marks.own.last() else { return Ok(enough) };
            let disk = self.disk_of(&volume);
            let size = match self.pool().view(&volume) {
                Ok(view) => view.size,
                Err(_) => self.pool().volume(&volume)?.size,
            };
            let mut rest = Extent::new(0, size.0 / SECTOR_LEN as u64);
            while rest.sectors > 0 {
                let found = self.pool().changed(&disk, &last.name, rest).await?;
                let Some(end) = found.last().map(|part| part.extent.end()) else { break };
                let parts = found.iter().filter(|part| part.is_changed);
                changed += parts.map(|part| part.extent.sectors * SECTOR_LEN as u64).sum::<u64>();
                if changed >= enough {
                    return Ok(changed);
                }
                rest = Extent::new(end, rest.end().saturating_sub(end));
            }
        }
        Ok(changed)
    }
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
