//! What is told of alerts, in words for people and as JSON for programs. Pure.

use serde::Serialize;

use super::life::AlertStatus;
use super::rule::{Rule, Severity};
use crate::when;

/// Alerts of one message; the others are counted, and stand in the console.
const NOTICES_MAX: usize = 100;
/// Characters of a subject: what mail programs show of one.
const SUBJECT_LEN_MAX: usize = 120;

/// Why something is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// It fired, or got worse.
    Fired,
    /// It lasts.
    Repeated,
    /// It is over.
    Resolved,
    /// Somebody tries the channel.
    Test,
}

impl NoticeKind {
    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Repeated => "repeated",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

/// One thing that is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Notice {
    /// Why.
    pub kind: NoticeKind,
    /// Of which alert.
    pub alert: AlertStatus,
}

/// A message: what is told at one moment to one channel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Letter {
    /// Its number, the same when it is sent again, so that a receiver knows it.
    pub id: String,
    /// The machine that tells it.
    pub host: String,
    /// The program's version.
    pub version: &'static str,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What is told.
    pub notices: Vec<Notice>,
    /// How many more there are.
    pub more: usize,
}

impl Letter {
    /// A letter with these notices, as many as fit.
    pub(super) fn new(id: String, host: &str, at_ms: u64, mut notices: Vec<Notice>) -> Self {
        let more = notices.len().saturating_sub(NOTICES_MAX);
        notices.truncate(NOTICES_MAX);
        let version = env!("CARGO_PKG_VERSION");
        Self { id, host: host.to_owned(), version, at_ms, notices, more }
    }

    /// One that tells nothing but that it came.
    pub(super) fn test(id: String, host: &str, channel: &str, at_ms: u64) -> Self {
        let alert = AlertStatus {
            id: 0,
            rule: Rule::Test,
            of: format!("channel {channel}"),
            severity: Severity::Warning,
            what: format!("this is a test of channel {channel}; nothing is wrong"),
            way_out: None,
            first_ms: at_ms,
            last_ms: at_ms,
            count: 1,
            resolved_ms: None,
            acknowledged: None,
            silenced_until_ms: None,
            told_ms: None,
        };
        Self::new(id, host, at_ms, vec![Notice { kind: NoticeKind::Test, alert }])
    }

    /// What it is about, in one line.
    pub(super) fn subject(&self) -> String {
        let what = match self.notices.as_slice() {
            [one] if self.more == 0 => {
                format!("{}: {}: {}", label(one), one.alert.of, one.alert.what)
            }
            all => {
                let open = all.iter().filter(|one| one.kind != NoticeKind::Resolved).count();
                let critical = all.iter().filter(|one| is_critical(one)).count();
                let resolved = all.len() - open;
                let mut parts = Vec::new();
                if open > 0 {
                    let more = if self.more > 0 { " and more" } else { "" };
                    parts.push(format!("{open} alerts{more}, {critical} critical"));
                }
                if resolved > 0 {
                    parts.push(format!("{resolved} resolved"));
                }
                parts.join(", ")
            }
        };
        let subject = format!("[tidemark {}] {what}", self.host);
        if subject.chars().count() <= SUBJECT_LEN_MAX {
            return subject;
        }
        let kept: String = subject.chars().take(SUBJECT_LEN_MAX - 1).collect();
        format!("{kept}…")
    }

    /// All of it, for people.
    pub(super) fn text(&self) -> String {
        let mut parts: Vec<String> = self.notices.iter().map(paragraph).collect();
        if self.more > 0 {
            parts.push(format!("... and {} more; `tidemark alert ls` shows them all.", self.more));
        }
        let (host, at) = (&self.host, when::utc(self.at_ms));
        parts.push(format!("-- \ntidemarkd {} on {host}, {at}", self.version));
        parts.join("\n\n")
    }
}

fn is_critical(notice: &Notice) -> bool {
    notice.kind != NoticeKind::Resolved && notice.alert.severity == Severity::Critical
}

/// `CRITICAL`, `RESOLVED`: what is to be seen first.
fn label(notice: &Notice) -> &'static str {
    match (notice.kind, notice.alert.severity) {
        (NoticeKind::Resolved, _) => "RESOLVED",
        (NoticeKind::Test, _) => "TEST",
        (NoticeKind::Fired | NoticeKind::Repeated, Severity::Critical) => "CRITICAL",
        (NoticeKind::Fired | NoticeKind::Repeated, Severity::Warning) => "WARNING",
    }
}

fn paragraph(notice: &Notice) -> String {
    let alert = &notice.alert;
    let mut lines = vec![format!("{}: {}", label(notice), alert.of), format!("  {}", alert.what)];
    if notice.kind != NoticeKind::Resolved {
        lines.extend(alert.way_out.iter().map(|way_out| format!("  Way out: {way_out}")));
    }
    let since = when::utc(alert.first_ms);
    match (notice.kind, alert.resolved_ms) {
        (NoticeKind::Test, _) => return lines.join("\n"),
        (_, Some(at)) => lines.push(format!("  From {since} to {}", when::utc(at))),
        (_, None) => lines.push(format!("  Since {since}")),
    }
    lines.push(format!("  Alert {}, rule {}, {}", alert.id, alert.rule.word(), times(alert.count)));
    lines.join("\n")
}

fn times(count: u64) -> String {
    if count == 1 { "came once".to_owned() } else { format!("came {count} times") }
}

/// One notice on one line, as logs have it.
pub(super) fn line(notice: &Notice) -> String {
    let alert = &notice.alert;
    let way_out = alert.way_out.as_ref().filter(|_| notice.kind != NoticeKind::Resolved);
    let way_out = way_out.map(|way_out| format!("; {way_out}")).unwrap_or_default();
    let id = alert.id;
    format!("{} alert {id}: {}: {}{way_out}", label(notice), alert.of, alert.what)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn notice(kind: NoticeKind, of: &str, severity: Severity) -> Notice {
        let resolved_ms = (kind == NoticeKind::Resolved).then_some(1_795_233_853_000);
        let alert = AlertStatus {
            id: 7,
            rule: Rule::VolumeFailed,
            of: of.into(),
            severity,
            what: "its base is gone".into(),
            way_out: Some("put it back".into()),
            first_ms: 1_795_233_753_000,
            last_ms: 1_795_233_753_000,
            count: 2,
            resolved_ms,
            acknowledged: None,
            silenced_until_ms: None,
            told_ms: None,
        };
        Notice { kind, alert }
    }

    pub(in super::super) fn letter(notices: Vec<Notice>) -> Letter {
        Letter::new("0a0b".into(), "store1", 1_795_233_753_000, notices)
    }

    #[test]
    fn one_alert_is_told_whole_and_its_subject_says_what_it_is() {
        let told = letter(vec![notice(NoticeKind::Fired, "mail", Severity::Critical)]);
        assert_eq!(told.subject(), "[tidemark store1] CRITICAL: mail: its base is gone");
        let text = told.text();
        for part in [
            "CRITICAL: mail\n  its base is gone\n  Way out: put it back\n",
            "  Since 2026-11-21 04:02:33 UTC\n",
            "  Alert 7, rule volume_failed, came 2 times",
            "on store1, 2026-11-21 04:02:33 UTC",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn what_is_over_says_from_when_to_when_and_no_way_out() {
        let told = letter(vec![notice(NoticeKind::Resolved, "mail", Severity::Critical)]);
        let text = told.text();
        assert!(text.contains("RESOLVED: mail"), "{text}");
        assert!(text.contains("From 2026-11-21 04:02:33 UTC to 2026-11-21 04:04:13 UTC"), "{text}");
        assert!(!text.contains("put it back"), "{text}");
        assert_eq!(line(&told.notices[0]), "RESOLVED alert 7: mail: its base is gone");
    }

    #[test]
    fn many_are_one_message_that_counts_them_and_has_an_end() {
        let of = |kind, severity| notice(kind, "mail", severity);
        let three = vec![
            of(NoticeKind::Fired, Severity::Critical),
            of(NoticeKind::Repeated, Severity::Warning),
            of(NoticeKind::Resolved, Severity::Critical),
        ];
        let told = letter(three);
        assert_eq!(told.subject(), "[tidemark store1] 2 alerts, 1 critical, 1 resolved");
        let many = vec![of(NoticeKind::Fired, Severity::Warning); NOTICES_MAX + 3];
        let told = letter(many);
        assert_eq!((told.notices.len(), told.more), (NOTICES_MAX, 3));
        assert!(told.subject().contains("and more") && told.text().contains("and 3 more"));
    }

    #[test]
    fn a_subject_is_no_longer_than_programs_show() {
        let mut long = notice(NoticeKind::Fired, "mail", Severity::Warning);
        long.alert.what = "ü".repeat(500);
        assert_eq!(letter(vec![long]).subject().chars().count(), SUBJECT_LEN_MAX);
    }
}
