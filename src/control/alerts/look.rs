//! The one task that looks at the appliance now and then: what is wrong becomes alerts.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::life::AlertStatus;
use super::office::{Alerts, locked};
use super::rule::{Finding, Rule, of_trouble};
use super::rules;
use crate::appliance::Appliance;
use crate::audit::Audit;
use crate::catalogue::on_a_thread;
use crate::status::{JobState, JobStatus};

/// How often is looked: soon enough that a person who has mended something sees it, and far below 1 % of a processor.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How often is looked at the ages of marks, which costs a little for each volume.
const SLOW_LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// How often the whole audit log is read.
const AUDIT_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// How long after a start runs that were missed may take to be made up for.
const SETTLE_MS: u64 = 120_000;

/// How long alerts of an earlier run are waited for.
const LOAD_DEADLINE: Duration = Duration::from_secs(3);

/// When what costs more is due next.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    slow_at: Duration,
    audit_at: Duration,
}

/// Looks, for as long as there is an appliance.
pub(super) async fn watch(appliance: Weak<Appliance>) {
    let mut pacer = Pacer::default();
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let Some(office) = appliance.upgrade() else { return };
        office.look_for_alerts(&mut pacer).await;
    }
}

impl Appliance {
    pub(super) async fn look_for_alerts(&self, pacer: &mut Pacer) {
        let desk = Arc::clone(self.alerts());
        let monotonic = self.clock().monotonic();
        self.look_fast(&desk);
        if monotonic >= pacer.slow_at {
            pacer.slow_at = monotonic + SLOW_LOOK_INTERVAL;
            self.look_slowly(&desk);
        }
        // Before anything is told, so that nothing is told twice; but a catalogue that hangs stops nothing.
        let _ = tokio::time::timeout(LOAD_DEADLINE, desk.load_earlier()).await;
        let (findings, jobs, disks) = (self.findings(), self.jobs().list(), self.disk_names());
        desk.take_in(findings, |alert| is_over(alert, &jobs, &disks, desk.now()));
        // From here on it may be waited for the catalogue: what is to be told is on its way.
        desk.write_down().await;
        if monotonic >= pacer.audit_at {
            pacer.audit_at = monotonic + AUDIT_INTERVAL;
            match on_a_thread(self.audit(), Audit::verify).await {
                Ok(verdict) => locked(&desk.seen).audit = verdict.finding,
                // The catalogue tells what is wrong with it by itself.
                Err(error) => tracing::warn!(%error, "read the audit log"),
            }
        }
    }

    fn look_fast(&self, desk: &Alerts) {
        let found = rules::jobs(&self.jobs().list(), desk.now());
        locked(&desk.seen).fast = found;
    }

    fn look_slowly(&self, desk: &Alerts) {
        let (settings, now_ms) = (desk.settings(), desk.now());
        let settled_ms = self.started_ms() + SETTLE_MS;
        let found = rules::marks(&self.protections(), &settings, settled_ms, now_ms);
        let full_at_ms = self.forecasts().pool.likely_ms;
        let mut seen = locked(&desk.seen);
        (seen.slow, seen.full_at_ms) = (found, full_at_ms);
    }

    /// All that is wrong now, whoever tells it.
    fn findings(&self) -> Vec<Finding> {
        let (pool, volumes, views) =
            (self.pool().status(), self.pool().volumes(), self.pool().views());
        let mut all = self.findings_of(&pool);
        let troubles = self.own_troubles(&pool, &volumes, &views).into_iter();
        // Warnings of the pool say more by their keys.
        let others = troubles.filter(|trouble| trouble.of != "pool" || trouble.is_failure);
        all.extend(others.map(|trouble| of_trouble(&trouble)));
        all.extend(self.pool().warnings().iter().map(|(key, text)| of_warning(key, text)));
        all
    }

    fn disk_names(&self) -> BTreeSet<String> {
        let volumes = self.pool().volumes().into_iter().map(|one| one.name.to_string());
        volumes.chain(self.pool().views().into_iter().map(|one| one.name.to_string())).collect()
    }
}

impl Alerts {
    /// Takes up what was open when the daemon last ran, as soon as the catalogue can be read.
    async fn load_earlier(&self) {
        if locked(&self.book).is_loaded() {
            return;
        }
        let record = self.record.clone();
        match tokio::task::spawn_blocking(move || record.open()).await {
            Ok(Ok((open, last_id))) => locked(&self.book).load(open, last_id),
            Ok(Err(error)) => tracing::debug!(%error, "read the alerts of an earlier run"),
            Err(error) => tracing::error!(%error, "read the alerts of an earlier run"),
        }
    }
}

/// What a warning of the pool is about.
fn of_warning(key: &str, text: &str) -> Finding {
    let (rule, of) = match key.split_once(' ') {
        Some(("damaged", name)) => (Rule::Damage, name),
        Some(("stall", name)) => (Rule::SpaceFills, name),
        _ => (Rule::Pool, "pool"),
    };
    let text = text.strip_prefix(&format!("{of}: ")).unwrap_or(text);
    let finding = Finding::of_text(rule, of.to_owned(), text, false);
    if rule == Rule::Pool { finding } else { finding.critical() }
}

/// Whether the end of something was seen: a scrub that found all whole, a job that succeeded; or nothing is left that
/// could have it.
fn is_over(alert: &AlertStatus, jobs: &[JobStatus], disks: &BTreeSet<String>, now_ms: u64) -> bool {
    match alert.rule {
        Rule::Damage => !disks.contains(&alert.of) || rules::is_scrubbed_whole(jobs, &alert.of),
        Rule::JobFailed => {
            let is_same = |job: &&JobStatus| format!("{} {}", job.kind, job.of) == alert.of;
            let last = jobs.iter().filter(is_same).rfind(|job| job.state != JobState::Running);
            last.is_some_and(|job| job.state == JobState::Done)
                || now_ms.saturating_sub(alert.last_ms) >= rules::JOB_TOLD_MS
                || now_ms.saturating_sub(alert.first_ms) >= rules::JOB_TOLD_MS
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::rule::Severity;

    #[test]
    fn a_warning_of_the_pool_is_of_the_volume_that_it_names() {
        let found =
            of_warning("damaged mail", "mail: a scrub found 2 damaged places; restore them");
        assert_eq!((found.rule, found.of.as_str()), (Rule::Damage, "mail"));
        assert_eq!(
            (found.what.as_str(), found.severity),
            ("a scrub found 2 damaged places", Severity::Critical)
        );
        let found = of_warning("stall mail", "mail stalls: there is no room; free space");
        assert_eq!((found.rule, found.of.as_str()), (Rule::SpaceFills, "mail"));
        let found = of_warning("store full", "the store was full; add space");
        assert_eq!((found.rule, found.severity), (Rule::Pool, Severity::Warning));
    }
}
