//! What the appliance knows of its capacity, and what may be done about it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::id::Id;
use base::name::Name;
use store::{PoolStatus, VolumeKind, VolumeStatus};
use tokio::task::JoinHandle;

use super::candidates::Blocked;
use super::forecast::{Evidence, Forecast, Trend};
use super::growth::{Growth, PreservedRule, invalid};
use super::history::{DAY_MS, History, Point, Thing};
use super::kept::{Kept, KeptLimit, KeptRule, RuleBook, encode};
use super::told::{
    CapacityHistory, CapacityStatus, Forecasts, GrowthStatus, PoolCapacity, PreservedCapacity,
    VolumeCapacity,
};
use crate::appliance::Appliance;
use crate::catalogue::on_a_thread;
use crate::error::ControlError;
use crate::events::EventKind;
use crate::status::Trouble;

/// How far back one may look: as far as the coarsest points go.
pub const HISTORY_DAYS_MAX: u32 = 730;
/// Points of one answer: more than a chart has columns to draw them in.
const POINTS_TOLD_MAX: usize = 600;

/// The capacity of an appliance: what was measured, where it goes, and the rules by which it grows.
pub struct Capacity {
    kept: Kept,
    history: Mutex<History>,
    trends: Mutex<Trends>,
    rules: Mutex<Result<RuleBook, ControlError>>,
    /// What keeps something from growing though its rule says so, and when it was last tried.
    pub(super) tries: Mutex<BTreeMap<Grower, Try>>,
    has_new_points: AtomicBool,
    runner: Mutex<Option<JoinHandle<()>>>,
    /// Changes of the rules happen one after another.
    admin: tokio::sync::Mutex<()>,
}

/// What can grow by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Grower {
    /// The limit of preserved blocks.
    Preserved,
    /// A volume.
    Volume(Id),
}

/// The last try at growing something.
#[derive(Clone, Debug, Default)]
pub(super) struct Try {
    /// When, by the clock that never goes back; none before the first.
    pub at_ms: Option<u64>,
    pub blocked: Option<Blocked>,
}

/// Where each value goes.
#[derive(Default)]
struct Trends {
    used: BTreeMap<Thing, Trend>,
    preserved: BTreeMap<Thing, Trend>,
}

impl Capacity {
    /// The capacity of a state directory. Where its rules cannot be read, everything else goes on without them.
    pub(crate) fn open(dir: &Path) -> Self {
        let kept = Kept::new(dir);
        let rules = kept.rules();
        if let Err(error) = &rules {
            tracing::error!(%error, "nothing grows by itself");
        }
        let history = History::of(kept.history());
        Self {
            kept,
            history: Mutex::new(history),
            trends: Mutex::default(),
            rules: Mutex::new(rules),
            tries: Mutex::default(),
            has_new_points: AtomicBool::new(false),
            runner: Mutex::default(),
            admin: tokio::sync::Mutex::default(),
        }
    }

    /// Begins to look, with the limit in force that was kept.
    pub(crate) fn begin(&self, appliance: &Arc<Appliance>) {
        let kept = self.rules().ok().and_then(|rules| rules.preserved);
        appliance.pool().set_preserved_limit(kept.map(|kept| kept.limit));
        let runner = tokio::spawn(super::runner::run(Arc::downgrade(appliance)));
        *locked(&self.runner) = Some(runner);
    }

    /// Looks no more, and keeps what was measured.
    pub(crate) async fn stop(self: &Arc<Self>) {
        let runner = locked(&self.runner).take();
        if let Some(runner) = runner {
            runner.abort();
            let _ = runner.await;
        }
        self.save_history().await;
    }

    /// What a person should look at.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        let rules = match self.rules() {
            Ok(rules) => rules,
            Err(error) => {
                let way_out = error.way_out().unwrap_or_default();
                let what = format!("nothing grows by itself: {error}; {way_out}");
                return vec![Trouble { of: "capacity".into(), what, is_failure: true }];
            }
        };
        let volumes = rules.volumes.values();
        let volumes = volumes.map(|rule| (rule.name.to_string(), Grower::Volume(rule.id)));
        let all = std::iter::once(("preserved store".to_owned(), Grower::Preserved)).chain(volumes);
        let blocked =
            |(of, grower)| Some(Trouble { of, what: self.trouble_of(grower)?, is_failure: false });
        all.filter_map(blocked).collect()
    }

    pub(super) fn rules(&self) -> Result<RuleBook, ControlError> {
        locked(&self.rules).clone()
    }

    /// Keeps the rules changed so, whole or not at all.
    pub(super) async fn change_rules(
        self: &Arc<Self>,
        change: impl FnOnce(&mut RuleBook) + Send + 'static,
    ) -> Result<(), ControlError> {
        let _admin = self.admin.lock().await;
        let mut rules = self.rules()?;
        change(&mut rules);
        on_a_thread(self, move |desk| {
            desk.kept.save_rules(&rules)?;
            *locked(&desk.rules) = Ok(rules);
            Ok(())
        })
        .await
    }

    /// Takes what was measured; tells whether a step had passed, so that there is something new to learn.
    pub(super) fn take(&self, monotonic_ms: u64, now: &[(Thing, Point)]) -> bool {
        let is_new = locked(&self.history).take(monotonic_ms, now);
        if is_new {
            self.has_new_points.store(true, Ordering::Relaxed);
        }
        is_new
    }

    /// As if the pool had grown by so many bytes a day, for two days until this moment.
    #[cfg(test)]
    pub(crate) async fn pretend_growth(self: &Arc<Self>, bytes_per_day: u64, until_ms: u64) {
        const STEP_MS: u64 = 300_000;
        const STEPS: u64 = 2 * 288;
        *locked(&self.history) = History::default();
        for step in 1..=STEPS {
            let at_ms = until_ms - (STEPS - step) * STEP_MS;
            let used_bytes = bytes_per_day / 288 * step;
            let point = Point { at_ms, used_bytes, size_bytes: u64::MAX, preserved_bytes: 0 };
            self.take(step * STEP_MS, &[(Thing::Pool, point)]);
        }
        self.learn().await;
    }

    /// Learns from what was measured where everything goes.
    pub(super) async fn learn(self: &Arc<Self>) {
        let learnt = on_a_thread(self, |desk| {
            let things: Vec<_> = locked(&desk.history).series.keys().copied().collect();
            let mut trends = Trends::default();
            for thing in things {
                // Who asks for the history meanwhile waits for one thing at most.
                let (used, preserved) = {
                    let history = locked(&desk.history);
                    let newest = history.since(thing, 0).last().map_or(0, |point| point.at_ms);
                    let points = history.since(thing, newest.saturating_sub(Evidence::SPAN_MS));
                    (
                        Evidence::of(&points, |point| point.used_bytes),
                        Evidence::of(&points, |point| point.preserved_bytes),
                    )
                };
                trends.used.insert(thing, used.trend());
                trends.preserved.insert(thing, preserved.trend());
            }
            *locked(&desk.trends) = trends;
            Ok(())
        });
        if let Err(error) = learnt.await {
            tracing::error!(%error, "forecast when capacity is full");
        }
    }

    /// Keeps what was measured, where there is something new.
    pub(super) async fn save_history(self: &Arc<Self>) {
        if !self.has_new_points.swap(false, Ordering::Relaxed) {
            return;
        }
        let saved = on_a_thread(self, |desk| {
            let bytes = encode(&locked(&desk.history).series);
            desk.kept.save_history(&bytes)
        });
        if let Err(error) = saved.await {
            tracing::warn!(%error, "keep the history of capacity");
        }
    }

    fn trouble_of(&self, grower: Grower) -> Option<String> {
        let tries = locked(&self.tries);
        tries.get(&grower)?.blocked.as_ref().map(|blocked| blocked.text.clone())
    }

    fn trend_of(&self, thing: Thing) -> Trend {
        locked(&self.trends).used.get(&thing).copied().unwrap_or_default()
    }

    fn preserved_per_day(&self, thing: Thing) -> Option<i64> {
        locked(&self.trends).preserved.get(&thing)?.bytes_per_day()
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is in use where the pool lies.
pub(super) fn used(pool: &PoolStatus) -> u64 {
    pool.space_total_bytes.saturating_sub(pool.space_free_bytes)
}

impl Appliance {
    /// What is taken, when it will be full, and what grows by itself.
    pub fn capacity(&self) -> CapacityStatus {
        let (pool, volumes) = (self.pool().status(), self.pool().volumes());
        let now_ms = self.clock().wall_ms();
        let thin = volumes.iter().filter(|volume| volume.kind == VolumeKind::Thin);
        let views = self.pool().views();
        let base_bytes = thin.map(|volume| volume.allocated_bytes).sum::<u64>()
            + views.iter().map(|view| view.allocated_bytes).sum::<u64>();
        let known = [base_bytes, pool.preserved_bytes, pool.journal_len, pool.reserve_bytes];
        let trend = self.capacity_desk().trend_of(Thing::Pool);
        let forecast = trend.forecast(used(&pool), pool.space_total_bytes, now_ms);
        let preserved = self.preserved_capacity(&pool, &forecast, now_ms);
        CapacityStatus {
            now_ms,
            pool: PoolCapacity {
                total_bytes: pool.space_total_bytes,
                free_bytes: pool.space_free_bytes,
                base_bytes,
                preserved_bytes: pool.preserved_bytes,
                journal_bytes: pool.journal_len,
                reserve_bytes: pool.reserve_bytes,
                other_bytes: used(&pool).saturating_sub(known.iter().sum()),
                forecast,
            },
            preserved,
            volumes: volumes.into_iter().map(|volume| self.capacity_of(volume, now_ms)).collect(),
        }
    }

    /// When everything will be full.
    pub fn forecasts(&self) -> Forecasts {
        let CapacityStatus { now_ms, pool, preserved, volumes } = self.capacity();
        let volumes = volumes.into_iter().filter_map(|one| Some((one.name, one.forecast?)));
        Forecasts {
            now_ms,
            pool: pool.forecast,
            preserved: preserved.forecast,
            volumes: volumes.collect(),
        }
    }

    /// What was measured in the last so many days: of a volume, or where none is named of the pool's file system.
    ///
    /// # Errors
    /// `Invalid` where that is further back than history goes, or what the store says: `UnknownVolume`.
    pub fn capacity_history(
        &self,
        volume: Option<&Name>,
        days: u32,
    ) -> Result<CapacityHistory, ControlError> {
        if !(1..=HISTORY_DAYS_MAX).contains(&days) {
            let why = format!("there is no history of {days} days");
            return Err(invalid(why, "choose from 1 day to 730"));
        }
        let thing = match volume {
            Some(name) => Thing::Volume(self.pool().volume(name)?.id),
            None => Thing::Pool,
        };
        let from_ms = self.clock().wall_ms().saturating_sub(u64::from(days) * DAY_MS);
        let points = locked(&self.capacity_desk().history).since(thing, from_ms);
        let step = points.len().div_ceil(POINTS_TOLD_MAX).max(1);
        // Counted from the newest, which is always among them.
        let mut points: Vec<_> = points.into_iter().rev().step_by(step).collect();
        points.reverse();
        Ok(CapacityHistory { points })
    }

    /// Sets the rule by which a thin volume grows.
    ///
    /// # Errors
    /// `Invalid` where it makes no sense for this volume, `Conflict` where the rules cannot be read, `State` where they
    /// cannot be kept; what the store says.
    pub async fn set_growth(
        &self,
        name: &Name,
        growth: Growth,
    ) -> Result<VolumeCapacity, ControlError> {
        growth.check()?;
        let volume = self.pool().volume(name)?;
        if volume.kind != VolumeKind::Thin || self.pool().view(name).is_ok() {
            let why = format!("{name} does not grow by itself: it is no thin volume");
            return Err(invalid(why, "make the disk below longer, then `volume grow`"));
        }
        if growth.up_to < volume.size {
            let why = format!("{name} has {} already, more than {}", volume.size, growth.up_to);
            return Err(invalid(why, "choose a size beyond that to grow up to"));
        }
        let there: Vec<Id> = self.pool().volumes().iter().map(|volume| volume.id).collect();
        let (id, kept_name) = (volume.id, name.clone());
        let changed = self.capacity_desk().change_rules(move |rules| {
            // Those of volumes that are gone go with the next change.
            let volumes = &mut rules.volumes;
            volumes.retain(|id, _| there.contains(id));
            let grown_ms = volumes.get(&id).and_then(|rule| rule.grown_ms);
            volumes.insert(id, KeptRule { id, name: kept_name, grown_ms, growth });
        });
        changed.await?;
        locked(&self.capacity_desk().tries).remove(&Grower::Volume(id));
        self.events().tell(EventKind::Volume, name);
        tracing::info!(volume = %name, ?growth, "volume grows by itself");
        Ok(self.capacity_of(self.pool().volume(name)?, self.clock().wall_ms()))
    }

    /// Forgets the rule by which a volume grows; it stays as large as it is.
    ///
    /// # Errors
    /// `Unknown` where it has none, or as [`Appliance::set_growth`].
    pub async fn remove_growth(&self, name: &Name) -> Result<(), ControlError> {
        let id = self.pool().volume(name)?.id;
        if !self.capacity_desk().rules()?.volumes.contains_key(&id) {
            return Err(ControlError::Unknown {
                why: format!("{name} has no rule to grow by"),
                way_out: "`capacity show` shows those that are there".into(),
            });
        }
        self.capacity_desk()
            .change_rules(move |rules| {
                rules.volumes.remove(&id);
            })
            .await?;
        locked(&self.capacity_desk().tries).remove(&Grower::Volume(id));
        self.events().tell(EventKind::Volume, name);
        tracing::info!(volume = %name, "volume grows by itself no more");
        Ok(())
    }

    fn preserved_capacity(
        &self,
        pool: &PoolStatus,
        of_pool: &Forecast,
        now_ms: u64,
    ) -> PreservedCapacity {
        let desk = self.capacity_desk();
        let trend = locked(&desk.trends).preserved.get(&Thing::Pool).copied().unwrap_or_default();
        let most = pool.preserved_bytes.saturating_add(pool.space_free_bytes);
        let limit = pool.preserved_limit;
        let of_limit = limit.map(|limit| trend.forecast(pool.preserved_bytes, limit.0, now_ms));
        let kept = locked(&desk.rules).as_ref().ok().and_then(|rules| rules.preserved.clone());
        let growth = kept.and_then(|kept| {
            let trouble = desk.trouble_of(Grower::Preserved);
            Some(GrowthStatus::of(kept.growth?, kept.grown_ms, trouble))
        });
        PreservedCapacity {
            used_bytes: pool.preserved_bytes,
            size_bytes: limit.map_or(most, |limit| limit.0.min(most)),
            limit,
            growth,
            bytes_per_day: trend.bytes_per_day(),
            // They share the room with everything else: it is full for them when that is, if not at their limit before.
            forecast: match of_limit {
                Some(of_limit) => of_limit.sooner(of_pool, now_ms),
                None => of_pool.clone(),
            },
        }
    }

    /// Limits what preserved blocks may take, with the rule by which the limit grows.
    ///
    /// # Errors
    /// `Invalid` where it makes no sense, `Conflict` where the rules cannot be read, `State` where they cannot be kept.
    pub async fn limit_preserved(
        &self,
        rule: PreservedRule,
    ) -> Result<PreservedCapacity, ControlError> {
        rule.check()?;
        let PreservedRule { limit, growth } = rule;
        self.keep_limit(Some(KeptLimit { grown_ms: None, limit, growth })).await?;
        tracing::info!(%limit, ?growth, "preserved blocks are limited");
        Ok(self.capacity().preserved)
    }

    /// Lets preserved blocks take as much as there is.
    ///
    /// # Errors
    /// `Unknown` where they have no limit, or as [`Appliance::limit_preserved`].
    pub async fn unlimit_preserved(&self) -> Result<(), ControlError> {
        if self.capacity_desk().rules()?.preserved.is_none() {
            return Err(ControlError::Unknown {
                why: "preserved blocks have no limit".into(),
                way_out: "`capacity set preserved --limit SIZE` sets one".into(),
            });
        }
        self.keep_limit(None).await?;
        tracing::info!("preserved blocks are limited no more");
        Ok(())
    }

    async fn keep_limit(&self, kept: Option<KeptLimit>) -> Result<(), ControlError> {
        let limit = kept.as_ref().map(|kept| kept.limit);
        self.capacity_desk().change_rules(move |rules| rules.preserved = kept).await?;
        self.pool().set_preserved_limit(limit);
        locked(&self.capacity_desk().tries).remove(&Grower::Preserved);
        self.events().tell_all(EventKind::Status);
        Ok(())
    }

    fn capacity_of(&self, volume: VolumeStatus, now_ms: u64) -> VolumeCapacity {
        let desk = self.capacity_desk();
        let thing = Thing::Volume(volume.id);
        let forecast = (volume.kind == VolumeKind::Thin)
            .then(|| desk.trend_of(thing).forecast(volume.allocated_bytes, volume.size.0, now_ms));
        let rules = locked(&desk.rules);
        let rule = rules.as_ref().ok().and_then(|rules| rules.volumes.get(&volume.id));
        let growth = rule.map(|rule| {
            let trouble = desk.trouble_of(Grower::Volume(volume.id));
            GrowthStatus::of(rule.growth, rule.grown_ms, trouble)
        });
        drop(rules);
        VolumeCapacity {
            preserved_bytes_per_day: desk.preserved_per_day(thing),
            name: volume.name,
            kind: volume.kind,
            size: volume.size,
            allocated_bytes: volume.allocated_bytes,
            preserved_bytes: volume.preserved_bytes,
            marks: volume.marks,
            forecast,
            growth,
        }
    }
}
