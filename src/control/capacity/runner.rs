//! The one task that measures, and lets grow what must.

use std::sync::{Arc, Weak};
use std::time::Duration;

use base::id::Id;
use base::name::Name;
use base::size::ByteSize;
use serde_json::json;
use store::{DiskRef, PoolStatus, StoreError, VolumeStatus};

use super::candidates::{Blocked, Candidate, Step, Times, Why};
use super::history::{Point, Thing};
use super::office::{Capacity, Grower, locked, used};
use crate::appliance::Appliance;
use crate::audit::Deed;
use crate::catalogue::on_a_thread;
use crate::error::ControlError;
use crate::events::EventKind;
use crate::jobs::{JobKind, JobPlan, Stop};

/// How often it is looked whether something must grow. What was measured is kept less often.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// How often the history is written: what a killed daemon loses at most.
const SAVE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Looks, for as long as there is an appliance.
pub(super) async fn run(appliance: Weak<Appliance>) {
    let mut save_at = SAVE_INTERVAL;
    loop {
        let Some(office) = appliance.upgrade() else { return };
        look(&office).await;
        let monotonic = office.clock().monotonic();
        if monotonic >= save_at {
            save_at = monotonic + SAVE_INTERVAL;
            office.capacity_desk().save_history().await;
        }
        drop(office);
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Measures, and begins what must grow.
pub(super) async fn look(office: &Arc<Appliance>) {
    let desk = office.capacity_desk();
    let (pool, volumes) = (office.pool().status(), office.pool().volumes());
    let monotonic_ms = u64::try_from(office.clock().monotonic().as_millis()).unwrap_or(u64::MAX);
    let now = Times { monotonic_ms, wall_ms: office.clock().wall_ms() };
    if desk.take(monotonic_ms, &measured(&pool, &volumes, now.wall_ms)) {
        desk.learn().await;
    }
    let due = desk.due(&pool, &volumes, now);
    for (candidate, Blocked { text, .. }) in due.refused {
        tracing::warn!(of = %candidate.name, why = %text, "it does not grow");
        note(office, &candidate, "its rule says grow".into(), format!("no-space: {text}")).await;
    }
    for step in due.steps {
        match volume_of(&volumes, &step) {
            Some(name) => begin(office, name, step),
            None => {
                let outcome = grow_limit(office, step.to).await;
                tell(office, &step, &outcome).await;
            }
        }
    }
}

fn measured(pool: &PoolStatus, volumes: &[VolumeStatus], at_ms: u64) -> Vec<(Thing, Point)> {
    let point = |used_bytes, size_bytes, preserved_bytes| Point {
        at_ms,
        used_bytes,
        size_bytes,
        preserved_bytes,
    };
    let whole = point(used(pool), pool.space_total_bytes, pool.preserved_bytes);
    let journal = point(pool.journal_used_bytes, pool.journal_len, 0);
    let mut all = vec![(Thing::Pool, whole), (Thing::Journal, journal)];
    all.extend(volumes.iter().map(|one| {
        (Thing::Volume(one.id), point(one.allocated_bytes, one.size.0, one.preserved_bytes))
    }));
    all
}

fn volume_of(volumes: &[VolumeStatus], step: &Step) -> Option<Name> {
    let Grower::Volume(id) = step.of.grower else { return None };
    volumes.iter().find(|volume| volume.id == id).map(|volume| volume.name.clone())
}

impl Capacity {
    fn note_outcome(&self, step: &Step, failure: Option<&ControlError>) {
        let blocked = failure.map(|error| {
            let way_out = error.way_out().map(|text| format!("; {text}")).unwrap_or_default();
            let text = format!("it could not grow to {}: {}{way_out}", step.to, error.detail());
            Blocked { why: Why::Failed, text }
        });
        locked(&self.tries).entry(step.of.grower).or_default().blocked = blocked;
    }
}

/// Grows a volume, as a job.
fn begin(office: &Arc<Appliance>, name: Name, step: Step) {
    let plan = JobPlan {
        kind: JobKind::Grow,
        of: DiskRef::Volume(name.clone()),
        measure: Box::new(|| (0, 0)),
        stop: Stop::Not("a volume has grown in a moment"),
    };
    let working = Arc::clone(office);
    let started = office.jobs().start(plan, async move {
        let outcome = grow_volume(&working, &name, &step).await;
        tell(&working, &step, &outcome).await;
        outcome.map(|()| json!({ "size": step.to }))
    });
    if let Err(error) = started {
        tracing::warn!(%error, "let a volume grow");
    }
}

async fn grow_volume(
    office: &Arc<Appliance>,
    name: &Name,
    step: &Step,
) -> Result<(), ControlError> {
    let Grower::Volume(id) = step.of.grower else { return Ok(()) };
    let there = office.pool().volume(name)?;
    if there.id != id {
        return Err(StoreError::UnknownVolume(name.clone()).into());
    }
    // By hand it may be larger already.
    if there.size < step.to {
        office.grow_volume(name, step.to).await?;
    }
    note_grown(office, id).await;
    Ok(())
}

/// Keeps when it grew. Where that fails it has grown all the same.
async fn note_grown(office: &Arc<Appliance>, id: Id) {
    let grown_ms = office.clock().wall_ms();
    let changed = office.capacity_desk().change_rules(move |rules| {
        if let Some(rule) = rules.volumes.get_mut(&id) {
            rule.grown_ms = Some(grown_ms);
        }
    });
    if let Err(error) = changed.await {
        tracing::warn!(%error, "keep when a volume grew");
    }
}

/// Lets preserved blocks take more. It is kept before it is in force, as when a person says so.
async fn grow_limit(office: &Arc<Appliance>, to: ByteSize) -> Result<(), ControlError> {
    let grown_ms = office.clock().wall_ms();
    let desk = office.capacity_desk();
    desk.change_rules(move |rules| {
        if let Some(kept) = &mut rules.preserved {
            kept.limit = kept.limit.max(to);
            kept.grown_ms = Some(grown_ms);
        }
    })
    .await?;
    let kept = desk.rules()?.preserved;
    office.pool().set_preserved_limit(kept.map(|kept| kept.limit));
    office.events().tell_all(EventKind::Status);
    tracing::info!(limit = %to, "the limit of preserved blocks has grown");
    Ok(())
}

/// Writes down what came of a step.
async fn tell(office: &Arc<Appliance>, step: &Step, outcome: &Result<(), ControlError>) {
    office.capacity_desk().note_outcome(step, outcome.as_ref().err());
    let said = match outcome {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("failed: {error}"),
    };
    note(office, &step.of, json!({ "grow_to": step.to }).to_string(), said).await;
}

/// Writes into the audit log what a rule did, or could not do.
async fn note(office: &Arc<Appliance>, of: &Candidate, detail: String, outcome: String) {
    let object = match of.name.strip_prefix("volume ") {
        Some(volume) => format!("/volumes/{volume}"),
        None => "/capacity/preserved".to_owned(),
    };
    let deed = Deed {
        who: "tidemarkd".into(),
        role: String::new(),
        origin: "rule of growth".into(),
        operation: "GROW".into(),
        object,
        detail,
        outcome,
    };
    let noted = on_a_thread(office.audit(), move |audit| {
        audit.note(deed);
        Ok(())
    });
    if let Err(error) = noted.await {
        tracing::error!(%error, "audit");
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
