//! What can be wrong, how bad it is, and one thing that is wrong now.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::Trouble;

/// How bad it is.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Everything works; a person should look within days.
    #[default]
    Warning,
    /// Something does not work, or will soon not.
    Critical,
}

impl Severity {
    /// All of them, from least to most.
    pub const ALL: [Self; 2] = [Self::Warning, Self::Critical];

    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What can be wrong.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The newest mark of a protected volume is older than its policy allows.
    MarkTooOld,
    /// There is, or will soon be, no room where the pool lies.
    SpaceFills,
    /// Contents do not fit their checksums.
    Damage,
    /// A volume or view refuses changes.
    VolumeFailed,
    /// The pool refuses changes, or its background work has ended.
    PoolFailed,
    /// The pool works, and a person should know something about it.
    Pool,
    /// A job has failed.
    JobFailed,
    /// A policy took no mark when it should have, or came late.
    Policy,
    /// The console's certificate expires.
    Certificate,
    /// The catalogue is damaged, locked or full.
    Catalogue,
    /// The audit log is not what was written.
    Audit,
    /// A channel does not deliver.
    Channel,
    /// The console is closed, or not as it should be.
    Console,
    /// A target, a LUN or the iSCSI door.
    Iscsi,
    /// A part of the configuration is not in force.
    Configuration,
    /// What was there when the daemon looked last is not there any more, and went without it.
    Missing,
    /// The test that somebody asked for.
    Test,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::MarkTooOld,
        Self::SpaceFills,
        Self::Damage,
        Self::VolumeFailed,
        Self::PoolFailed,
        Self::Pool,
        Self::JobFailed,
        Self::Policy,
        Self::Certificate,
        Self::Catalogue,
        Self::Audit,
        Self::Channel,
        Self::Console,
        Self::Iscsi,
        Self::Configuration,
        Self::Missing,
        Self::Test,
    ];

    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::MarkTooOld => "mark_too_old",
            Self::SpaceFills => "space_fills",
            Self::Damage => "damage",
            Self::VolumeFailed => "volume_failed",
            Self::PoolFailed => "pool_failed",
            Self::Pool => "pool",
            Self::JobFailed => "job_failed",
            Self::Policy => "policy",
            Self::Certificate => "certificate",
            Self::Catalogue => "catalogue",
            Self::Audit => "audit",
            Self::Channel => "channel",
            Self::Console => "console",
            Self::Iscsi => "iscsi",
            Self::Configuration => "configuration",
            Self::Missing => "missing",
            Self::Test => "test",
        }
    }

    /// Whether the end of it must be seen: that nothing speaks of it any more, as after a restart, is not enough.
    pub(super) const fn is_sticky(self) -> bool {
        matches!(self, Self::Damage | Self::JobFailed)
    }
}

impl FromStr for Rule {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|rule| rule.word() == text).ok_or(())
    }
}

/// Something that is wrong now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// By which rule.
    pub rule: Rule,
    /// What has it: a disk, `pool`, `policy nightly`.
    pub of: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// What a person can do about it.
    pub way_out: Option<String>,
    /// Whether something that should work does not.
    pub is_failure: bool,
}

impl Finding {
    /// A warning.
    pub(crate) fn warning(rule: Rule, of: impl Into<String>, what: String, way_out: &str) -> Self {
        let (of, way_out) = (of.into(), Some(way_out.to_owned()));
        Self { rule, of, severity: Severity::Warning, what, way_out, is_failure: false }
    }

    /// It, worse.
    pub(crate) fn critical(mut self) -> Self {
        self.severity = Severity::Critical;
        self
    }

    /// What is told with the way out in one text, as troubles have it.
    pub(super) fn of_text(rule: Rule, of: String, text: &str, is_failure: bool) -> Self {
        let (what, way_out) = match text.split_once("; ") {
            Some((what, way_out)) => (what.to_owned(), Some(way_out.to_owned())),
            None => (text.to_owned(), None),
        };
        let severity = if is_failure { Severity::Critical } else { Severity::Warning };
        Self { rule, of, severity, what, way_out, is_failure }
    }

    /// As the status tells it.
    pub(crate) fn trouble(&self) -> Trouble {
        let what = match &self.way_out {
            Some(way_out) => format!("{}; {way_out}", self.what),
            None => self.what.clone(),
        };
        Trouble { of: self.of.clone(), what, is_failure: self.is_failure }
    }
}

/// What a trouble of the status is as an alert: the list of what is wrong is one, whoever tells it.
pub(super) fn of_trouble(trouble: &Trouble) -> Finding {
    let rule = match trouble.of.as_str() {
        "pool" if trouble.is_failure => Rule::PoolFailed,
        "pool" => Rule::Pool,
        "catalogue" => Rule::Catalogue,
        "console" => Rule::Console,
        "configuration" => Rule::Configuration,
        "policies" => Rule::Policy,
        policy if policy.starts_with("policy ") => Rule::Policy,
        // A volume cannot be in trouble without having failed; LUNs and the door can.
        of if trouble.is_failure && !is_of_iscsi(of) => Rule::VolumeFailed,
        _ => Rule::Iscsi,
    };
    Finding::of_text(rule, trouble.of.clone(), &trouble.what, trouble.is_failure)
}

fn is_of_iscsi(of: &str) -> bool {
    of == "iscsi" || of.starts_with("target ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_of_the_status_becomes_what_an_alert_is_about() {
        let of = |of: &str, is_failure| {
            let what = "it is gone; put it back; look".to_owned();
            of_trouble(&Trouble { of: of.into(), what, is_failure })
        };
        let volume = of("mail", true);
        assert_eq!((volume.rule, volume.severity), (Rule::VolumeFailed, Severity::Critical));
        assert_eq!(volume.what, "it is gone");
        assert_eq!(volume.way_out.as_deref(), Some("put it back; look"));
        assert_eq!(volume.trouble().what, "it is gone; put it back; look");
        assert_eq!((of("pool", true).rule, of("pool", false).rule), (Rule::PoolFailed, Rule::Pool));
        assert_eq!(
            (of("iscsi", true).rule, of("policy x", false).rule),
            (Rule::Iscsi, Rule::Policy)
        );
    }

    #[test]
    fn a_rule_is_read_as_it_is_written_and_programs_see_the_same_word() {
        for rule in Rule::ALL {
            assert_eq!(rule.word().parse(), Ok(rule));
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.word());
        }
        assert_eq!("none".parse::<Rule>(), Err(()));
        for severity in Severity::ALL {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.word());
        }
    }
}
