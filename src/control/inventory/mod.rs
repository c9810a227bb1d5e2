//! The inventory: which pool, volumes and targets there were when the appliance looked last, kept in the catalogue. So
//! it is seen when a pool is another one or gone, as where its disk is not mounted, and when something is missing.
//!
//! It decides nothing about what is there: the journal in the pool is the truth about volumes, and the book of targets
//! in its own file that about targets, because both must be served where the catalogue is not to be had. What is new
//! there is taken in here; what is not there any more, and went without the daemon, is told until somebody says that
//! it is meant.

mod known;
mod pool;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base::id::Id;
use base::name::Name;
use tokio::sync::Notify;

use crate::alerts::life::AlertStatus;
use crate::alerts::rule::{Finding, Rule};
use crate::appliance::Appliance;
use crate::catalogue::{Catalogue, on_a_thread, peek};
use crate::error::ControlError;
use crate::secrets::Vault;
use crate::state::StateDir;
use crate::status::PoolStatus;

use known::{Known, KnownVolume, Look, POLICIES, Seen, Thing};
pub use pool::{BadForgottenPool, ForgottenPool};
pub(crate) use pool::{pool_at, refusal};

/// How often is looked, besides whenever something comes or goes.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// What is known of pool, volumes and targets.
pub(crate) struct Inventory {
    catalogue: Arc<Catalogue>,
    /// Where the appliance lives.
    dir: StateDir,
    /// The pool that is given up.
    forgotten: Option<ForgottenPool>,
    /// Whether a daemon ran here before this one.
    has_past: bool,
    state: Mutex<State>,
    /// Held over a look.
    looking: tokio::sync::Mutex<()>,
    /// Something has come or gone.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// What the catalogue holds; nothing until it was read.
    known: Option<Known>,
    /// What is told while it cannot be written.
    unwritten: Option<Known>,
    /// What is being removed, and which volumes were.
    leaving: BTreeSet<Thing>,
    /// The pool that the catalogue is of, where that is not the one that is open.
    other_pool: Option<Id>,
    is_stopped: bool,
}

impl Inventory {
    /// That of a state directory, before its pool is opened.
    pub(crate) fn new(
        catalogue: Arc<Catalogue>,
        dir: &StateDir,
        forgotten: Option<ForgottenPool>,
    ) -> Self {
        let has_past = Vault::has_been_opened(dir.path());
        let (state, looking, changed) = Default::default();
        Self { catalogue, dir: dir.clone(), forgotten, has_past, state, looking, changed }
    }

    /// Compares what is known with what there is, and keeps what came of it. What cannot be kept is tried again at the
    /// next look.
    async fn look(&self, seen: Seen, now_ms: u64) {
        let _one_at_a_time = self.looking.lock().await;
        let (known, leaving, is_stopped) = {
            let state = self.state();
            (state.known.clone(), state.leaving.clone(), state.is_stopped)
        };
        if is_stopped {
            return;
        }
        let (before, look) = match known {
            Some(known) => (known, Look::Again),
            None => match self.read(&seen, now_ms).await {
                Ok(known) => (known, Look::First),
                // The catalogue tells what is wrong with it by itself.
                Err(error) => return tracing::debug!(%error, "read the inventory"),
            },
        };
        if let Some(other) = before.pool.filter(|known| *known != seen.pool) {
            if self.forgotten != Some(ForgottenPool::Known(other)) {
                self.state().other_pool = Some(other);
                return tracing::error!(known = %other, open = %seen.pool, "the catalogue is of another pool");
            }
            tracing::warn!(pool = %other, "a pool is forgotten, with its volumes");
        }
        let kept = Known { volumes: self.volumes_of(&before, &seen), ..before.clone() };
        let next = kept.after(&seen, &leaving, look, now_ms);
        if look == Look::First {
            for finding in next.findings() {
                tracing::error!(of = finding.of, "{}", finding.what);
            }
        }
        let written = self.write(before, next.clone()).await;
        let mut state = self.state();
        match written {
            Ok(()) => (state.known, state.unwritten) = (Some(next), None),
            Err(error) => {
                tracing::debug!(%error, "keep the inventory");
                state.unwritten = Some(next);
            }
        }
    }

    /// The volumes that are known of the pool that is open.
    fn volumes_of(&self, before: &Known, seen: &Seen) -> BTreeMap<Id, KnownVolume> {
        let is_of_this = match before.pool {
            Some(known) => known == seen.pool,
            None => self.forgotten != Some(ForgottenPool::Unknown),
        };
        if is_of_this { before.volumes.clone() } else { Default::default() }
    }

    /// What the catalogue knows, and whether it is one that should know more.
    async fn read(&self, seen: &Seen, now_ms: u64) -> Result<Known, ControlError> {
        let has_lost = self.has_past && self.catalogue.is_new();
        let (mut known, is_bare) = on_a_thread(&self.catalogue, move |catalogue| {
            catalogue.read(|database| Ok((rows::read(database)?, rows::has_no_policy(database)?)))
        })
        .await?;
        if has_lost && is_bare && known.pool.is_none() {
            // Written at once: what is known is compared with what comes after it.
            let lost = Known { pool: Some(seen.pool), ..known.clone() };
            let lost = Known { lost: [(POLICIES.to_owned(), now_ms)].into(), ..lost };
            self.write(known, lost.clone()).await?;
            known = lost;
        }
        Ok(known)
    }

    async fn write(&self, before: Known, next: Known) -> Result<(), ControlError> {
        if before == next {
            return Ok(());
        }
        on_a_thread(&self.catalogue, move |catalogue| {
            catalogue.change(|change| rows::write(change, &before, &next))
        })
        .await
    }

    /// Notes that something is about to be removed, so that it is not missed if the daemon ends meanwhile. Where that
    /// cannot be noted, it goes all the same.
    pub(crate) async fn leaves(&self, thing: Thing) {
        let _one_at_a_time = self.looking.lock().await;
        self.state().leaving.insert(thing.clone());
        let Some(before) = self.state().known.clone() else { return };
        let mut next = before.clone();
        let noted = match &thing {
            Thing::Volume(id) => next.volumes.get_mut(id).map(|volume| &mut volume.noted),
            Thing::Target(name) => next.targets.get_mut(name),
        };
        let Some(noted) = noted else { return };
        noted.is_leaving = true;
        match self.write(before, next.clone()).await {
            Ok(()) => self.state().known = Some(next),
            Err(error) => tracing::debug!(?thing, %error, "note what leaves"),
        }
    }

    /// Takes note that something came, went, or stays after all.
    pub(crate) fn settled(&self, stays: Option<Thing>) {
        if let Some(thing) = stays {
            self.state().leaving.remove(&thing);
        }
        self.changed.notify_one();
    }

    /// What is missing.
    pub(crate) fn findings(&self, pool: &PoolStatus) -> Vec<Finding> {
        let state = self.state();
        let known = state.unwritten.as_ref().or(state.known.as_ref());
        let mut all = known.map(Known::findings).unwrap_or_default();
        all.extend(state.other_pool.map(|other| {
            let what = format!("the catalogue is of pool {other}, and the one that is open is {}", pool.id);
            let way_out = format!(
                "stop tidemarkd and put the right one in its place; or start it with `--forget-pool {other}`"
            );
            known::missing("pool".into(), what, &way_out)
        }));
        all
    }

    /// Forgets something that is missing, because that is meant.
    ///
    /// # Errors
    /// `Catalogue`; then it is still told.
    async fn forget(&self, of: &str) -> Result<(), ControlError> {
        let _one_at_a_time = self.looking.lock().await;
        let Some(before) = self.state().known.clone() else { return Ok(()) };
        let Some(next) = before.without(of) else { return Ok(()) };
        self.write(before, next.clone()).await?;
        self.state().known = Some(next);
        tracing::info!(of, "what is missing is meant to be");
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the catalogue of a state directory tells, whether a daemon runs there or not.
#[derive(Default)]
pub(crate) struct Told {
    /// The pool that it is of.
    pub pool: Option<Id>,
    /// What is missing.
    pub missing: Vec<Finding>,
}

/// Looks into the catalogue of a state directory. Changes nothing. Blocks.
///
/// # Errors
/// `Catalogue` where that cannot be read.
pub(crate) fn peek_at(state: &Path) -> Result<Told, ControlError> {
    let known = peek(state, rows::read)?.unwrap_or_default();
    Ok(Told { pool: known.pool, missing: known.findings() })
}

/// Looks now and then, for as long as there is an appliance.
pub(crate) async fn watch(appliance: Weak<Appliance>) {
    let Some(changed) = appliance.upgrade().map(|office| Arc::clone(&office.inventory().changed))
    else {
        return;
    };
    loop {
        // Whatever comes of the wait, it is looked again.
        let _ = tokio::time::timeout(LOOK_INTERVAL, changed.notified()).await;
        let Some(office) = appliance.upgrade() else { return };
        office.look_at_inventory().await;
    }
}

impl Appliance {
    /// Compares what is known with what there is.
    pub(crate) async fn look_at_inventory(&self) {
        let targets = match self.iscsi().damage() {
            Some(_) => None,
            None => Some(self.target_names()),
        };
        let pool = self.pool();
        let seen = Seen { pool: pool.status().id, volumes: pool.volumes(), targets };
        self.inventory().look(seen, self.clock().wall_ms()).await;
    }

    /// Looks for the last time.
    pub(crate) async fn close_inventory(&self) {
        self.look_at_inventory().await;
        self.inventory().state().is_stopped = true;
    }

    /// Takes note that somebody knows of an alert; where it tells that something is missing, that is meant from now
    /// on, and no trouble any more.
    ///
    /// # Errors
    /// `Unknown` where it is not open, `Catalogue` where it cannot be kept that something is meant to be gone.
    pub async fn acknowledge_alert(&self, id: u64, by: &str) -> Result<AlertStatus, ControlError> {
        let open = self.alerts().list().into_iter().find(|alert| alert.id == id);
        if let Some(alert) = open.filter(|alert| alert.rule == Rule::Missing) {
            self.inventory().forget(&alert.of).await?;
        }
        self.alerts().acknowledge(id, by).await
    }

    fn target_names(&self) -> BTreeSet<Name> {
        self.targets().into_iter().map(|target| target.name).collect()
    }
}

pub(crate) use known::Thing as Leaving;

#[cfg(test)]
mod tests;
