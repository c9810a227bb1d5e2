//! The life of an alert: it fires once for each rule and thing, lasts while the cause is there, can be acknowledged and
//! silenced, and resolves when the cause has been gone for a while. Pure: it is told what is wrong and what time it is,
//! and says what is to be told to people.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::message::{Notice, NoticeKind};
use super::rule::{Finding, Rule, Severity};
use crate::error::ControlError;

/// How long a cause must be gone: what comes and goes within it stays one alert, and one message.
pub(super) const CALM_MS: u64 = 60_000;
/// Alerts that are open at once: one for each of several thousand volumes, and a page that can still be read.
pub(super) const OPEN_MAX: usize = 1000;
/// Alerts that wait to be written down; the oldest go, which are history, while the catalogue does not work.
const UNWRITTEN_MAX: usize = 2 * OPEN_MAX;
/// Bytes of each text of an alert, so that a message of many still fits a mail.
const TEXT_LEN_MAX: usize = 1000;
/// Silences that are kept for things that have no open alert now.
pub(super) const SILENCES_MAX: usize = 1000;

/// Who has taken note of an alert, and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledged {
    /// The user, or `local`.
    pub by: String,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
}

/// An alert.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AlertStatus {
    /// Its number.
    pub id: u64,
    /// By which rule it fired.
    pub rule: Rule,
    /// What it is about: a disk, `pool`, `policy nightly`.
    pub of: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
    /// When it fired, milliseconds since 1970.
    pub first_ms: u64,
    /// When its cause was last seen, milliseconds since 1970.
    pub last_ms: u64,
    /// How often the cause came, while it was open.
    pub count: u64,
    /// When it resolved, milliseconds since 1970; none while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_ms: Option<u64>,
    /// Who has taken note of it; then it is not told again until it gets worse or resolves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
    /// Until when nothing is told of it, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced_until_ms: Option<u64>,
    /// When it was last told to channels, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_ms: Option<u64>,
}

/// Nothing is told of this thing by this rule for a while, whether it has an alert now or not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Silence {
    pub rule: Rule,
    pub of: String,
    pub until_ms: u64,
}

type Key = (Rule, String);

#[derive(Debug)]
struct Open {
    alert: AlertStatus,
    /// Since when the cause was not seen.
    gone_ms: Option<u64>,
}

/// All open alerts.
#[derive(Debug, Default)]
pub(super) struct Book {
    open: BTreeMap<Key, Open>,
    silences: BTreeMap<Key, u64>,
    last_id: u64,
    /// What is to be written down, by number.
    unwritten: BTreeMap<u64, AlertStatus>,
    /// What resolved and is still to be told.
    resolved: Vec<AlertStatus>,
    /// Whether alerts of an earlier run are still to be read.
    is_loaded: bool,
}

impl Book {
    /// With the silences that were kept.
    pub(super) fn new(silences: Vec<Silence>) -> Self {
        let silences = silences.into_iter().map(|one| ((one.rule, one.of), one.until_ms));
        Self { silences: silences.collect(), ..Self::default() }
    }

    /// Takes what was open when the daemon last ran, where that is not done yet. What has fired meanwhile keeps what
    /// it is, with the number and the age of the one that was there; others get numbers after `last_id`.
    pub(super) fn load(&mut self, earlier: Vec<AlertStatus>, last_id: u64) {
        if std::mem::replace(&mut self.is_loaded, true) {
            return;
        }
        self.unwritten.clear();
        self.last_id = last_id;
        let mut fresh = std::mem::take(&mut self.open);
        for old in earlier.into_iter().take(OPEN_MAX) {
            let key = (old.rule, old.of.clone());
            let open = match fresh.remove(&key) {
                Some(Open { alert: now, gone_ms }) => {
                    let told_ms = now.told_ms.or(old.told_ms);
                    let (rule, of) = key.clone();
                    let texts = (now.what, now.way_out, now.severity, now.last_ms);
                    let (what, way_out, severity, last_ms) = texts;
                    let alert =
                        AlertStatus { rule, of, what, way_out, severity, last_ms, told_ms, ..old };
                    Open { alert, gone_ms }
                }
                None => Open { alert: old, gone_ms: None },
            };
            self.open.insert(key, open);
        }
        for (key, mut open) in fresh {
            self.last_id += 1;
            open.alert.id = self.last_id;
            self.unwritten.insert(open.alert.id, open.alert.clone());
            self.open.insert(key, open);
        }
    }

    /// Whether alerts of an earlier run were taken.
    pub(super) const fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// Takes in what is wrong now. `is_over` says of one that must be seen to end whether it has. True where something
    /// changed that people see.
    pub(super) fn look(
        &mut self,
        findings: Vec<Finding>,
        is_over: impl Fn(&AlertStatus) -> bool,
        now_ms: u64,
    ) -> bool {
        let mut has_changed = false;
        let mut seen = BTreeSet::new();
        for finding in joined(findings) {
            let key = (finding.rule, finding.of.clone());
            has_changed |= self.found(&key, finding, now_ms);
            seen.insert(key);
        }
        let unseen: Vec<Key> =
            self.open.keys().filter(|key| !seen.contains(key)).cloned().collect();
        for key in unseen {
            has_changed |= self.missed(&key, &is_over, now_ms);
        }
        while self.unwritten.len() > UNWRITTEN_MAX {
            self.unwritten.pop_first();
        }
        has_changed
    }

    fn found(&mut self, key: &Key, finding: Finding, now_ms: u64) -> bool {
        let Some(Open { alert, gone_ms }) = self.open.get_mut(key) else {
            if self.open.len() >= OPEN_MAX {
                return false;
            }
            self.last_id += 1;
            let alert = AlertStatus {
                id: self.last_id,
                rule: finding.rule,
                of: finding.of,
                severity: finding.severity,
                what: cut(finding.what),
                way_out: finding.way_out.map(cut),
                first_ms: now_ms,
                last_ms: now_ms,
                count: 1,
                resolved_ms: None,
                acknowledged: None,
                silenced_until_ms: None,
                told_ms: None,
            };
            self.unwritten.insert(alert.id, alert.clone());
            self.open.insert(key.clone(), Open { alert, gone_ms: None });
            return true;
        };
        let before = alert.clone();
        alert.last_ms = now_ms;
        alert.what = cut(finding.what);
        alert.way_out = finding.way_out.map(cut);
        if gone_ms.take().is_some() {
            alert.count += 1;
        }
        if finding.severity > alert.severity {
            // What was noted, or told, was less than this.
            (alert.acknowledged, alert.told_ms) = (None, None);
        }
        alert.severity = finding.severity;
        let is_new = alert.count != before.count || alert.severity != before.severity;
        if is_new {
            self.unwritten.insert(alert.id, alert.clone());
        }
        is_new || alert.what != before.what
    }

    fn missed(&mut self, key: &Key, is_over: impl Fn(&AlertStatus) -> bool, now_ms: u64) -> bool {
        let Some(open) = self.open.get_mut(key) else { return false };
        if key.0.is_sticky() && !is_over(&open.alert) {
            return false;
        }
        // A clock that was set back must not keep an alert open until it has caught up.
        let since = (*open.gone_ms.get_or_insert(now_ms)).min(now_ms);
        open.gone_ms = Some(since);
        if now_ms - since < CALM_MS {
            return false;
        }
        let Some(Open { mut alert, .. }) = self.open.remove(key) else { return false };
        alert.resolved_ms = Some(now_ms);
        self.unwritten.insert(alert.id, alert.clone());
        self.resolved.push(alert);
        self.resolved.truncate(OPEN_MAX);
        true
    }

    /// What is to be told to people now: what fired or got worse, what lasts for another `repeat_ms` (0 for never), and
    /// what resolved after it was told.
    pub(super) fn due(&mut self, repeat_ms: u64, now_ms: u64) -> Vec<Notice> {
        let mut all = Vec::new();
        for alert in std::mem::take(&mut self.resolved) {
            if alert.told_ms.is_some() && !self.is_silenced(&alert, now_ms) {
                all.push(Notice { kind: NoticeKind::Resolved, alert });
            }
        }
        for Open { alert, gone_ms } in self.open.values() {
            let is_quiet = alert.acknowledged.is_some() || self.is_silenced(alert, now_ms);
            if is_quiet || gone_ms.is_some() {
                continue;
            }
            let kind = match alert.told_ms {
                None => NoticeKind::Fired,
                Some(at) if repeat_ms > 0 && now_ms.saturating_sub(at) >= repeat_ms => {
                    NoticeKind::Repeated
                }
                Some(_) => continue,
            };
            all.push(Notice { kind, alert: alert.clone() });
        }
        all
    }

    /// Takes note that these were handed to a channel.
    pub(super) fn told(&mut self, ids: &BTreeSet<u64>, now_ms: u64) {
        for Open { alert, .. } in self.open.values_mut().filter(|one| ids.contains(&one.alert.id)) {
            alert.told_ms = Some(now_ms);
            self.unwritten.insert(alert.id, alert.clone());
        }
    }

    /// The open alerts, worst and then newest first.
    pub(super) fn open(&self, now_ms: u64) -> Vec<AlertStatus> {
        let mut all: Vec<_> =
            self.open.values().map(|open| self.with_silence(&open.alert, now_ms)).collect();
        all.sort_by_key(|alert| {
            (std::cmp::Reverse(alert.severity), std::cmp::Reverse(alert.first_ms), alert.id)
        });
        all
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// Somebody has taken note of an alert.
    pub(super) fn acknowledge(
        &mut self,
        id: u64,
        by: &str,
        now_ms: u64,
    ) -> Result<AlertStatus, ControlError> {
        let alert = self.find(id)?;
        alert.acknowledged = Some(Acknowledged { by: by.to_owned(), at_ms: now_ms });
        let alert = alert.clone();
        self.unwritten.insert(alert.id, alert.clone());
        Ok(self.with_silence(&alert, now_ms))
    }

    /// Nothing is told of the thing of this alert until then; or again, where that has passed.
    pub(super) fn silence(
        &mut self,
        id: u64,
        until_ms: u64,
        now_ms: u64,
    ) -> Result<AlertStatus, ControlError> {
        let alert = self.find(id)?.clone();
        self.silences.retain(|_, until| *until > now_ms);
        let key = (alert.rule, alert.of.clone());
        if until_ms <= now_ms {
            self.silences.remove(&key);
        } else if self.silences.len() < SILENCES_MAX || self.silences.contains_key(&key) {
            self.silences.insert(key, until_ms);
        } else {
            return Err(ControlError::Conflict {
                why: format!("{SILENCES_MAX} things are silenced, which is the most"),
                way_out: "`alert unsilence` ends one; `alert ls` shows them".into(),
            });
        }
        Ok(self.with_silence(&alert, now_ms))
    }

    /// The silences that hold, to be kept.
    pub(super) fn silences(&self, now_ms: u64) -> Vec<Silence> {
        let holding = self.silences.iter().filter(|(_, until)| **until > now_ms);
        let silence = |((rule, of), until_ms): (&Key, &u64)| Silence {
            rule: *rule,
            of: of.clone(),
            until_ms: *until_ms,
        };
        holding.map(silence).collect()
    }

    /// What is to be written down; from now on it counts as written.
    pub(super) fn take_unwritten(&mut self) -> Vec<AlertStatus> {
        std::mem::take(&mut self.unwritten).into_values().collect()
    }

    /// What could not be written down after all; what changed since then is newer.
    pub(super) fn put_back(&mut self, rows: Vec<AlertStatus>) {
        for row in rows {
            self.unwritten.entry(row.id).or_insert(row);
        }
    }

    fn find(&mut self, id: u64) -> Result<&mut AlertStatus, ControlError> {
        let found = self.open.values_mut().find(|open| open.alert.id == id);
        found.map(|open| &mut open.alert).ok_or_else(|| ControlError::Unknown {
            why: format!("there is no open alert {id}"),
            way_out: "`alert ls` shows those that are open; `alert history` all others".into(),
        })
    }

    fn is_silenced(&self, alert: &AlertStatus, now_ms: u64) -> bool {
        self.silenced_until(alert, now_ms).is_some()
    }

    fn silenced_until(&self, alert: &AlertStatus, now_ms: u64) -> Option<u64> {
        let until = self.silences.get(&(alert.rule, alert.of.clone())).copied();
        until.filter(|until| *until > now_ms)
    }

    fn with_silence(&self, alert: &AlertStatus, now_ms: u64) -> AlertStatus {
        let silenced_until_ms = self.silenced_until(alert, now_ms);
        AlertStatus { silenced_until_ms, ..alert.clone() }
    }
}

/// One finding for each rule and thing: the worst, with what the others say behind it.
fn joined(findings: Vec<Finding>) -> Vec<Finding> {
    let mut all: BTreeMap<Key, Finding> = BTreeMap::new();
    for finding in findings {
        let key = (finding.rule, finding.of.clone());
        match all.get_mut(&key) {
            None => {
                all.insert(key, finding);
            }
            Some(first) => {
                first.severity = first.severity.max(finding.severity);
                first.what = format!("{}; also: {}", first.what, finding.what);
                first.way_out = first.way_out.take().or(finding.way_out);
            }
        }
    }
    all.into_values().collect()
}

/// The text on one line, and no longer than fits.
fn cut(text: String) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.len() <= TEXT_LEN_MAX {
        return text;
    }
    format!("{}…", &text[..text.floor_char_boundary(TEXT_LEN_MAX)])
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
