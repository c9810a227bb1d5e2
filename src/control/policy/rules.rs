//! A policy as a value: of what, when, and what stays; and what makes no sense in one.

use std::collections::BTreeSet;

use base::id::Id;
use base::limits::{KEPT_DAYS_MAX, VOLUMES_PER_GROUP_MAX};
use base::name::Name;
use base::size::ByteSize;
use base::span::{Span, SpanOrNone};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Grade;

use super::keep::Keep;
use super::schedule::{self, Schedule};
use crate::error::ControlError;

/// Policies of an appliance: a few for each of the volumes that one pool is meant for.
pub const POLICIES_MAX: usize = 4096;
/// Characters in a policy's name: leaves room for the moment in the names of its marks.
const NAME_LEN_MAX: usize = 40;
/// The least amount of changed data that triggers: below it, looking costs more than the mark.
const CHANGED_MIN: ByteSize = ByteSize(1 << 20);
/// The least time that passes: it is looked at once a minute.
const PASSED_MIN: Span = Span::minute();

/// What a person decides about a policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Its name; those of its marks begin with it.
    pub name: Name,
    /// The volumes or views that it marks at one instant; none where it has a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Name>,
    /// The group whose members it marks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Name>,
    /// How often: `15m`, `6h`, `1d`, `1w`, by the clock of its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// When: minute, hour, day of month, month, day of week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Also as soon as so many bytes have changed since its last mark, looked at once a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<ByteSize>,
    /// Also as soon as so much time has passed since its last run, looked at once a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<Span>,
    /// Whether a run is left out where nothing has changed since its last mark.
    #[serde(default)]
    pub skip_unchanged: bool,
    /// The time zone; that of this machine where none is named.
    #[serde(default = "schedule::local_zone")]
    pub zone: String,
    /// Which of its marks stay.
    pub keep: Keep,
    /// For how long each mark that it takes is locked: nobody removes it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Span>,
    /// How consistent its marks are said to be.
    #[serde(default)]
    pub grade: Grade,
    /// Whether it takes no marks of its own accord.
    #[serde(default)]
    pub is_paused: bool,
    /// Until when it takes none, milliseconds since 1970; it goes on by itself then, and makes up for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until_ms: Option<u64>,
}

/// A policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// What was decided.
    #[serde(flatten)]
    pub rules: Rules,
    /// Its identity, by which its marks are known.
    pub id: Id,
    /// When it was made or last changed, milliseconds since 1970: it makes up for nothing before.
    pub since_ms: u64,
}

/// What to change of a policy; what is left out stays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyChange {
    /// Other volumes, in the place of its volumes or its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<Name>>,
    /// A group, in the place of its volumes or its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Name>,
    /// Another interval, in the place of its times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// Another pattern, in the place of its times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Another amount of changed data; 0 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<ByteSize>,
    /// Another time that passes, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed: Option<SpanOrNone>,
    /// Whether a run is left out where nothing has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_unchanged: Option<bool>,
    /// Another time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Other numbers of marks, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// Another time for which marks that it takes from now on are locked, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<SpanOrNone>,
    /// Another grade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grade: Option<Grade>,
    /// Whether it pauses until somebody says otherwise; either ends a pause that has a date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_paused: Option<bool>,
    /// Until when it pauses, as `2027-03-01` or `2027-03-01T02:30` in its zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<String>,
}

/// The times of a policy that were found to make sense.
#[derive(Clone, Debug)]
pub struct Times {
    /// When it runs by the clock, if it does.
    pub schedule: Option<Schedule>,
    /// After which time since the last run it runs in any case.
    pub passed: Option<Span>,
    /// Its zone.
    pub zone: TimeZone,
}

impl Rules {
    /// Whether they make sense by themselves, and the times that they name.
    ///
    /// # Errors
    /// `Invalid`, with what would be right.
    pub fn check(&self) -> Result<Times, ControlError> {
        let name = &self.name;
        if name.as_str().len() > NAME_LEN_MAX {
            let why = format!("the policy name {name} is longer than {NAME_LEN_MAX} characters");
            return Err(invalid(why, "the names of its marks begin with it: choose a shorter one"));
        }
        self.check_volumes()?;
        self.check_spans()?;
        if self.changed.is_some_and(|amount| amount < CHANGED_MIN) {
            let why = format!("policy {name} would run at less than {CHANGED_MIN} of changed data");
            return Err(invalid(why, "name a larger amount, such as 1G"));
        }
        let zone = schedule::zone(&self.zone).map_err(|bad| times(name, &bad))?;
        let schedule = match (&self.every, &self.cron) {
            (Some(_), Some(_)) => {
                let why = format!("policy {name} has both an interval and a cron pattern");
                return Err(invalid(why, "keep one; two policies can have both"));
            }
            (Some(every), None) => Some(Schedule::every(every, zone.clone())),
            (None, Some(cron)) => Some(Schedule::cron(cron, zone.clone())),
            (None, None) if self.changed.is_none() && self.passed.is_none() => {
                let why = format!("nothing says when policy {name} runs");
                return Err(invalid(
                    why,
                    "name an interval, a cron pattern, an amount of changed data or a time that passes",
                ));
            }
            (None, None) => None,
        };
        let schedule = schedule.transpose().map_err(|bad| times(name, &bad))?;
        Ok(Times { schedule, passed: self.passed, zone })
    }

    fn check_spans(&self) -> Result<(), ControlError> {
        let name = &self.name;
        if self.passed.is_some_and(|passed| passed < PASSED_MIN) {
            let why = format!("policy {name} would run more often than it is looked at");
            return Err(invalid(why, "let a minute pass at least, such as 5m"));
        }
        let Some(lock) = self.lock else { return Ok(()) };
        if lock > Span::days(KEPT_DAYS_MAX) {
            let why = format!("policy {name} would lock its marks for {lock}");
            let way_out = format!("lock them for at most {KEPT_DAYS_MAX} days");
            return Err(invalid(why, &way_out));
        }
        if self.changed.is_some() {
            let why = format!(
                "policy {name} takes marks by changed data, and nobody knows how many those will be in {lock}"
            );
            let way_out =
                "make two policies: one by changed data, and one by the clock that locks its marks";
            return Err(invalid(why, way_out));
        }
        Ok(())
    }

    fn check_volumes(&self) -> Result<(), ControlError> {
        let name = &self.name;
        let distinct: BTreeSet<_> = self.volumes.iter().collect();
        let (why, way_out) = match (&self.group, self.volumes.len()) {
            (Some(_), 0) => return Ok(()),
            (Some(_), _) => {
                (format!("policy {name} names volumes and a group"), "name one or the other")
            }
            (None, 0) => (format!("policy {name} names no volume"), "name the volumes, or a group"),
            (None, count) if count > VOLUMES_PER_GROUP_MAX => (
                format!(
                    "policy {name} names {count} volumes, and one mark is of at most {VOLUMES_PER_GROUP_MAX}"
                ),
                "make several policies",
            ),
            (None, count) if count > distinct.len() => {
                (format!("policy {name} names a volume twice"), "name each once")
            }
            (None, _) => return Ok(()),
        };
        Err(invalid(why, way_out))
    }

    /// Them, changed; but for a pause with a date, which is read by the clock of the zone that they have then.
    pub fn changed_by(&self, change: PolicyChange) -> Self {
        let mut rules = self.clone();
        if let Some(volumes) = change.volumes {
            (rules.volumes, rules.group) = (volumes, None);
        }
        if let Some(group) = change.group {
            // Both in one change are refused by the check.
            rules.group = Some(group);
            if rules.volumes == self.volumes {
                rules.volumes.clear();
            }
        }
        if change.every.is_some() || change.cron.is_some() {
            (rules.every, rules.cron) = (change.every, change.cron);
        }
        if let Some(amount) = change.changed {
            rules.changed = (amount.0 > 0).then_some(amount);
        }
        rules.passed = change.passed.map_or(rules.passed, |passed| passed.0);
        rules.lock = change.lock.map_or(rules.lock, |lock| lock.0);
        rules.skip_unchanged = change.skip_unchanged.unwrap_or(rules.skip_unchanged);
        rules.zone = change.zone.unwrap_or(rules.zone);
        rules.keep = change.keep.unwrap_or(rules.keep);
        rules.grade = change.grade.unwrap_or(rules.grade);
        if let Some(is_paused) = change.is_paused {
            (rules.is_paused, rules.paused_until_ms) = (is_paused, None);
        }
        rules
    }

    /// Whether it takes no marks of its own accord at this moment.
    pub fn pauses(&self, now_ms: u64) -> bool {
        self.is_paused || self.paused_until_ms.is_some_and(|until| now_ms < until)
    }
}

fn times(name: &Name, bad: &schedule::BadSchedule) -> ControlError {
    invalid(format!("policy {name}: {bad}"), "`policy create --help` shows how times are written")
}

pub(super) fn invalid(why: String, way_out: &str) -> ControlError {
    ControlError::Invalid { why, way_out: way_out.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        toml::from_str(
            "name = 'mail'\nvolumes = ['mail']\nevery = '5m'\nzone = 'UTC'\nkeep = {last = 3}",
        )
        .unwrap()
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_named() {
        assert!(rules().check().is_ok());
        let with = |change: &dyn Fn(&mut Rules)| {
            let mut rules = rules();
            change(&mut rules);
            rules.check().unwrap_err().to_string()
        };
        let name = |text: &str| text.parse::<Name>().unwrap();
        assert!(with(&|r| r.volumes.clear()).contains("names no volume"));
        assert!(with(&|r| r.group = Some(name("all"))).contains("volumes and a group"));
        assert!(with(&|r| r.volumes.push(name("mail"))).contains("twice"));
        assert!(
            with(&|r| r.volumes = (0..65).map(|i| name(&format!("v{i}"))).collect()).contains("65")
        );
        assert!(with(&|r| r.cron = Some("0 0 * * *".into())).contains("both"));
        assert!(with(&|r| r.every = None).contains("nothing says when"));
        assert!(with(&|r| r.every = Some("7m".into())).contains("6m or 10m"));
        assert!(with(&|r| r.zone = "Berlin".into()).contains("Berlin"));
        assert!(with(&|r| r.changed = Some(ByteSize(4096))).contains("1M"));
        assert!(with(&|r| r.name = name(&"x".repeat(41))).contains("40"));
        let span = |text: &str| Some(text.parse::<Span>().unwrap());
        assert!(with(&|r| r.passed = span("59s")).contains("more often"));
        assert!(with(&|r| r.lock = span("11y")).contains("for 11y"));
        let both = with(&|r| (r.lock, r.changed) = (span("1d"), Some(ByteSize(1 << 30))));
        assert!(both.contains("nobody knows how many"), "{both}");
        let mut alone = rules();
        (alone.every, alone.passed, alone.lock) = (None, span("1h"), span("30d"));
        assert!(alone.check().is_ok());
    }

    #[test]
    fn a_change_puts_one_kind_of_times_and_targets_in_the_place_of_another() {
        let change = |text: &str| rules().changed_by(toml::from_str(text).unwrap());
        let changed = change("cron = '0 2 * * *'\ngroup = 'all'\nchanged = 0");
        assert_eq!((changed.every.as_ref(), changed.volumes.len()), (None, 0));
        assert!(changed.check().is_ok());
        assert!(change("group = 'all'\nvolumes = ['x']").check().is_err());
        assert_eq!(change(""), rules());
        let span = |text: &str| text.parse::<Span>().unwrap();
        let locking = change("lock = '30d'\npassed = '1h'");
        assert_eq!((locking.lock, locking.passed), (Some(span("30d")), Some(span("1h"))));
        let free = locking.changed_by(toml::from_str("lock = 'none'\npassed = 'none'").unwrap());
        assert_eq!(free, rules());
        assert!(toml::from_str::<PolicyChange>("evening = '5m'").is_err());
    }

    #[test]
    fn a_policy_reads_back_as_it_was_written() {
        let policy = Policy { rules: rules(), id: Id(7), since_ms: 5 };
        let text = toml::to_string(&policy).unwrap();
        assert_eq!(toml::from_str::<Policy>(&text).unwrap(), policy);
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
    }
}
