//! What may be done to alerts, their channels and settings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::clock::Clock;
use base::name::Name;
use jiff::tz::TimeZone;
use tokio::task::JoinHandle;

use super::channel::{
    CHANNELS_MAX, ChannelChange, ChannelStatus, ChannelTest, Destination, NewChannel,
};
use super::courier::{Courier, Failed, Pace, deliver};
use super::kept::{Kept, Place};
use super::life::{AlertStatus, Book};
use super::message::{Letter, Notice};
use super::record::Record;
use super::rule::{Finding, Rule};
use super::rules;
use super::settings::{Settings, SettingsChange};
use crate::appliance::Appliance;
use crate::catalogue::Catalogue;
use crate::error::ControlError;
use crate::events::{EventKind, Events};
use crate::status::PoolStatus;
use crate::when;

/// How long messages that wait may take to be brought away when the daemon stops.
const STOP_DEADLINE: Duration = Duration::from_secs(3);
/// How long somebody who tests a channel waits.
const TEST_DEADLINE: Duration = Duration::from_secs(15);
/// Days ahead of which something may be silenced: nothing is forgotten for longer.
const SILENCE_DAYS_MAX: i64 = 366;

/// What is seen now and then, and told until it is looked at again.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What was found at the last look.
    pub fast: Vec<Finding>,
    /// What was found at the last slow look.
    pub slow: Vec<Finding>,
    pub certificate_end_ms: Option<u64>,
    /// When the pool is likely full, milliseconds since 1970.
    pub full_at_ms: Option<u64>,
    /// What is wrong with the audit log, by the last time it was read.
    pub audit: Option<String>,
}

/// The alerts of an appliance, and the channels by which they are told.
pub struct Alerts {
    place: Place,
    pub(super) clock: Arc<dyn Clock>,
    events: Events,
    pub(super) record: Record,
    host: String,
    pace: Pace,
    pub(super) book: Mutex<Book>,
    kept: Mutex<Result<Kept, ControlError>>,
    couriers: Mutex<BTreeMap<Name, Courier>>,
    pub(super) seen: Mutex<Seen>,
    watch: Mutex<Option<JoinHandle<()>>>,
    /// Changes of the file happen one after another.
    admin: tokio::sync::Mutex<()>,
}

impl Alerts {
    /// Alerts with what is kept at this place, told in the name of `host`. Where that cannot be read, alerts are seen
    /// and told to nobody, which the status tells. Must be called within a runtime.
    pub(crate) fn open(
        place: Place,
        host: String,
        catalogue: Arc<Catalogue>,
        clock: Arc<dyn Clock>,
        events: Events,
    ) -> Self {
        let (kept, silences) = match place.load() {
            Ok((kept, silences)) => (Ok(kept), silences),
            Err(error) => {
                tracing::error!(%error, "alerts are told to nobody");
                (Err(error), Vec::new())
            }
        };
        let alerts = Self {
            place,
            clock,
            events,
            record: Record::new(catalogue),
            host,
            pace: Pace::default(),
            book: Mutex::new(Book::new(silences)),
            kept: Mutex::new(kept),
            couriers: Mutex::default(),
            seen: Mutex::default(),
            watch: Mutex::default(),
            admin: tokio::sync::Mutex::default(),
        };
        alerts.begin_couriers();
        alerts
    }

    /// Begins to look.
    pub(crate) fn begin(&self, appliance: &Arc<Appliance>) {
        let watch = tokio::spawn(super::look::watch(Arc::downgrade(appliance)));
        *locked(&self.watch) = Some(watch);
    }

    /// Looks no more; what waits to be told has a moment to go out.
    pub(crate) async fn stop(&self) {
        let watch = locked(&self.watch).take();
        if let Some(watch) = watch {
            watch.abort();
            // It may be writing something down just now.
            let _ = watch.await;
        }
        self.write_down().await;
        let couriers = std::mem::take(&mut *locked(&self.couriers));
        let mut ending = tokio::task::JoinSet::new();
        for courier in couriers.into_values() {
            ending.spawn(courier.end(STOP_DEADLINE));
        }
        while ending.join_next().await.is_some() {}
    }

    /// What is wrong that no other part of the appliance tells as a trouble.
    pub(crate) fn findings(&self, pool: &PoolStatus) -> Vec<Finding> {
        let (settings, now_ms) = (self.settings(), self.now());
        let seen = locked(&self.seen);
        let mut all = [seen.fast.clone(), seen.slow.clone()].concat();
        all.extend(rules::space(pool, &settings, seen.full_at_ms, now_ms));
        all.extend(rules::certificate(seen.certificate_end_ms, now_ms));
        all.extend(rules::audit(seen.audit.as_deref()));
        if let Err(error) = &*locked(&self.kept) {
            let way_out = error.way_out().unwrap_or_default();
            let what = format!("alerts are told to nobody: {error}");
            all.push(Finding::warning(Rule::Channel, "alerts", what, &way_out));
        }
        drop(seen);
        for courier in locked(&self.couriers).values() {
            let Some(why) = courier.trouble() else { continue };
            let name = &courier.channel().name;
            let what = format!("channel {name} does not deliver alerts: {why}");
            let way_out = format!(
                "`alert channel test {name}` tries it; `alert channel set {name}` changes it"
            );
            all.push(Finding::warning(Rule::Channel, of_channel(name), what, &way_out));
        }
        all
    }

    /// Takes note of when the console's certificate ends, milliseconds since 1970.
    pub fn set_certificate_end(&self, end_ms: Option<u64>) {
        locked(&self.seen).certificate_end_ms = end_ms;
    }

    /// How many alerts are open.
    pub fn count(&self) -> usize {
        locked(&self.book).count()
    }

    /// The open alerts, worst first.
    pub fn list(&self) -> Vec<AlertStatus> {
        locked(&self.book).open(self.now())
    }

    /// The alerts that resolved, with numbers below this one, newest first. Blocks.
    ///
    /// # Errors
    /// `Catalogue`.
    pub fn history(
        &self,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<AlertStatus>, ControlError> {
        self.record.history(before, most)
    }

    /// One alert, open or not. Blocks.
    ///
    /// # Errors
    /// `Unknown`, or `Catalogue`.
    pub fn show(&self, id: u64) -> Result<AlertStatus, ControlError> {
        let open = self.list().into_iter().find(|alert| alert.id == id);
        if let Some(alert) = open {
            return Ok(alert);
        }
        self.record.find(id)?.ok_or_else(|| ControlError::Unknown {
            why: format!("there is no alert {id}"),
            way_out: "`alert ls` shows those that are open; `alert history` all others".into(),
        })
    }

    /// Takes note that somebody knows of an alert: it is not told again until it gets worse or resolves.
    ///
    /// # Errors
    /// `Unknown` where it is not open.
    pub async fn acknowledge(&self, id: u64, by: &str) -> Result<AlertStatus, ControlError> {
        let alert = locked(&self.book).acknowledge(id, by, self.now())?;
        tracing::info!(alert = id, of = alert.of, by, "alert acknowledged");
        self.events.tell(EventKind::Alert, id);
        self.write_down().await;
        Ok(alert)
    }

    /// Tells nothing of what an alert is about until a moment: `2027-03-01`, `2027-03-01T02:30` in this machine's zone,
    /// or with a zone, `2027-03-01T02:30Z`.
    ///
    /// # Errors
    /// `Unknown` where it is not open, `Invalid` where the moment makes no sense, `State` where it cannot be kept.
    pub async fn silence(&self, id: u64, until: &str) -> Result<AlertStatus, ControlError> {
        let until_ms = when::moment(until, &TimeZone::system(), self.now(), SILENCE_DAYS_MAX)?;
        self.set_silence(id, until_ms).await
    }

    /// Tells again of what an alert is about.
    ///
    /// # Errors
    /// `Unknown` where it is not open, `State` where that cannot be kept.
    pub async fn unsilence(&self, id: u64) -> Result<AlertStatus, ControlError> {
        self.set_silence(id, 0).await
    }

    async fn set_silence(&self, id: u64, until_ms: u64) -> Result<AlertStatus, ControlError> {
        let _admin = self.admin.lock().await;
        let kept = locked(&self.kept).clone()?;
        let alert = locked(&self.book).silence(id, until_ms, self.now())?;
        self.events.tell(EventKind::Alert, id);
        self.save(kept).await?;
        Ok(alert)
    }

    /// From when on something is told, and how often again.
    pub fn settings(&self) -> Settings {
        locked(&self.kept).as_ref().map_or_else(|_| Settings::default(), |kept| kept.settings)
    }

    /// Changes that.
    ///
    /// # Errors
    /// `Invalid` where it makes no sense, `State` where it cannot be kept; then nothing changes.
    pub async fn change_settings(&self, change: SettingsChange) -> Result<Settings, ControlError> {
        let _admin = self.admin.lock().await;
        let mut kept = locked(&self.kept).clone()?;
        kept.settings = kept.settings.changed_by(change)?;
        let settings = kept.settings;
        self.save(kept).await?;
        Ok(settings)
    }

    /// The channels by name, without their secrets.
    ///
    /// # Errors
    /// `Conflict` where what was kept of them cannot be read.
    pub fn channels(&self) -> Result<Vec<ChannelStatus>, ControlError> {
        locked(&self.kept).as_ref().map_err(Clone::clone)?;
        Ok(locked(&self.couriers).values().map(Courier::status).collect())
    }

    /// Adds a channel, which tells from now on.
    ///
    /// # Errors
    /// `Invalid` where it makes no sense, `Conflict` where the name is taken or there are too many, `Secrets` where its
    /// secret cannot be sealed, `State` where it cannot be kept.
    pub async fn add_channel(&self, new: NewChannel) -> Result<ChannelStatus, ControlError> {
        let _admin = self.admin.lock().await;
        let mut kept = locked(&self.kept).clone()?;
        new.check()?;
        let name = new.name.clone();
        if kept.channels.contains_key(&name) {
            return Err(ControlError::Conflict {
                why: format!("there is a channel {name} already"),
                way_out: "choose another name, or change that one with `alert channel set`".into(),
            });
        }
        if kept.channels.len() >= CHANNELS_MAX {
            return Err(ControlError::Conflict {
                why: format!("there are {CHANNELS_MAX} channels, which is the most"),
                way_out: "remove one with `alert channel rm`, or name several addressees in one"
                    .into(),
            });
        }
        kept.channels.insert(name.clone(), new);
        self.save(kept).await?;
        self.channel(&name)
    }

    /// Changes a channel. What waited for it is lost.
    ///
    /// # Errors
    /// `Unknown`, or as [`Alerts::add_channel`]; then nothing changes.
    pub async fn change_channel(
        &self,
        name: &Name,
        change: ChannelChange,
    ) -> Result<ChannelStatus, ControlError> {
        let _admin = self.admin.lock().await;
        let mut kept = locked(&self.kept).clone()?;
        let channel = kept.channels.get(name).ok_or_else(|| unknown(name))?;
        let changed = match kept.locked.contains_key(name) && change.secret.is_none() {
            true => channel.changed_locked(change)?,
            false => channel.changed_by(change)?,
        };
        if changed.secret.is_some() {
            kept.locked.remove(name);
        }
        kept.channels.insert(name.clone(), changed);
        self.save(kept).await?;
        self.channel(name)
    }

    /// Removes a channel with its secret.
    ///
    /// # Errors
    /// `Unknown`, or `State` where that cannot be kept.
    pub async fn remove_channel(&self, name: &Name) -> Result<(), ControlError> {
        let _admin = self.admin.lock().await;
        let mut kept = locked(&self.kept).clone()?;
        kept.channels.remove(name).ok_or_else(|| unknown(name))?;
        kept.locked.remove(name);
        self.save(kept).await
    }

    /// Sends a test by a channel, also one that pauses, and waits for what the other side says.
    ///
    /// # Errors
    /// `Unknown`. A test in vain is no error but its outcome.
    pub async fn test_channel(&self, name: &Name) -> Result<ChannelTest, ControlError> {
        let mut kept = locked(&self.kept).clone()?;
        let channel = kept.channels.remove(name).ok_or_else(|| unknown(name))?;
        let letter = Letter::test(letter_id(), &self.host, name.as_str(), self.now());
        let began = self.clock.monotonic();
        let tried = match kept.locked.remove(name) {
            Some(locked) => Err(Failed::for_good(locked.why)),
            None => deliver(&channel, &letter, self.now(), TEST_DEADLINE).await,
        };
        let took = self.clock.monotonic().saturating_sub(began);
        let outcome = tried.as_ref().map(|_| ()).map_err(|failed| failed.why.clone());
        if let Some(courier) = locked(&self.couriers).get(name) {
            courier.tried(outcome, self.now());
        }
        Ok(ChannelTest {
            is_delivered: tried.is_ok(),
            said: tried.unwrap_or_else(|failed| failed.why),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn channel(&self, name: &Name) -> Result<ChannelStatus, ControlError> {
        locked(&self.couriers).get(name).map(Courier::status).ok_or_else(|| unknown(name))
    }

    /// Keeps this, and has the channels work as it says.
    async fn save(&self, kept: Kept) -> Result<(), ControlError> {
        let silences = locked(&self.book).silences(self.now());
        let (place, saved) = (self.place.clone(), kept.clone());
        let saving = tokio::task::spawn_blocking(move || place.save(&saved, silences));
        saving.await.map_err(|error| ControlError::State {
            what: "keep the channels of alerts".into(),
            why: error.to_string(),
        })??;
        *locked(&self.kept) = Ok(kept);
        self.begin_couriers();
        Ok(())
    }

    /// Opens secrets that could not be opened, where the key is here now; what waited for that is told.
    pub(crate) async fn open_again(&self) {
        let _admin = self.admin.lock().await;
        let Ok(mut kept) = locked(&self.kept).clone() else { return };
        if kept.locked.is_empty() {
            return;
        }
        let place = self.place.clone();
        let opening =
            tokio::task::spawn_blocking(move || place.open_again(&mut kept).then_some(kept));
        if let Ok(Some(kept)) = opening.await {
            *locked(&self.kept) = Ok(kept);
            self.begin_couriers();
        }
    }

    /// Has each channel work as it is now; those that have not changed go on.
    fn begin_couriers(&self) {
        let Kept { channels, locked: closed, .. } =
            locked(&self.kept).as_ref().map(Kept::clone).unwrap_or_default();
        let mut couriers = locked(&self.couriers);
        let gone = |name: &Name, courier: &Courier| {
            let lock = closed.get(name).map(|locked| locked.why.as_str());
            channels.get(name) != Some(courier.channel()) || lock != courier.lock()
        };
        let ended: Vec<Name> = couriers
            .iter()
            .filter(|(name, courier)| gone(name, courier))
            .map(|(name, _)| name.clone())
            .collect();
        for courier in ended.iter().filter_map(|name| couriers.remove(name)) {
            tokio::spawn(courier.end(Duration::ZERO));
        }
        for (name, channel) in channels {
            let lock = closed.get(&name).map(|locked| locked.why.clone());
            couriers.entry(name).or_insert_with(|| {
                let courier = Courier::begin(channel, Arc::clone(&self.clock), self.pace.clone());
                match lock {
                    Some(why) => courier.locked(why),
                    None => courier,
                }
            });
        }
    }

    /// Takes in what is wrong now, and tells people what they should know.
    pub(super) fn take_in(&self, findings: Vec<Finding>, is_over: impl Fn(&AlertStatus) -> bool) {
        let now_ms = self.now();
        let repeat_ms = u64::from(self.settings().repeat_hours) * 3_600_000;
        let (has_changed, due) = {
            let mut book = locked(&self.book);
            (book.look(findings, is_over, now_ms), book.due(repeat_ms, now_ms))
        };
        if !due.is_empty() {
            let told = self.tell(&due, now_ms);
            locked(&self.book).told(&told, now_ms);
        }
        if has_changed {
            self.events.tell_all(EventKind::Alert);
        }
    }

    /// Hands these to the channels that are for them, and gives the numbers of those that some channel took.
    fn tell(&self, notices: &[Notice], now_ms: u64) -> BTreeSet<u64> {
        let mut told = BTreeSet::new();
        for (name, courier) in locked(&self.couriers).iter() {
            let channel = courier.channel();
            let is_for_it = |notice: &&Notice| {
                let alert = &notice.alert;
                // That it does not deliver cannot be told by itself.
                let is_about_it = alert.rule == Rule::Channel && alert.of == of_channel(name);
                alert.severity >= channel.least && !is_about_it
            };
            let own: Vec<Notice> = notices.iter().filter(is_for_it).cloned().collect();
            if channel.is_paused || own.is_empty() {
                continue;
            }
            let ids: Vec<u64> = own.iter().map(|notice| notice.alert.id).collect();
            if courier.take(Letter::new(letter_id(), &self.host, now_ms, own)) {
                told.extend(ids);
            }
        }
        told
    }

    /// Writes down what has changed; what cannot be is tried again at the next look.
    pub(super) async fn write_down(&self) {
        let rows = {
            let mut book = locked(&self.book);
            if !book.is_loaded() {
                return;
            }
            book.take_unwritten()
        };
        if rows.is_empty() {
            return;
        }
        let (record, writing) = (self.record.clone(), rows.clone());
        let written = tokio::task::spawn_blocking(move || record.write(&writing)).await;
        if !matches!(written, Ok(Ok(()))) {
            // The catalogue tells what is wrong with it by itself.
            locked(&self.book).put_back(rows);
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.wall_ms()
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn of_channel(name: &Name) -> String {
    format!("channel {name}")
}

fn unknown(name: &Name) -> ControlError {
    ControlError::Unknown {
        why: format!("there is no channel {name}"),
        way_out: "`alert channel ls` shows those that are there".into(),
    }
}

fn letter_id() -> String {
    crate::access::hex(&base::rng::unguessable::<12>())
}

impl Destination {
    /// Where it leads, in a few words.
    pub fn place(&self) -> String {
        match self {
            Self::Mail { host, to, .. } => format!("{} by {host}", to.join(", ")),
            Self::Webhook { url, .. } => url.clone(),
            Self::Syslog { address, .. } => {
                address.clone().unwrap_or_else(|| "this machine's log".into())
            }
        }
    }
}

#[cfg(test)]
#[path = "office_tests.rs"]
mod tests;
