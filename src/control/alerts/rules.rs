//! What is wrong, from values alone: how old marks are, how full the pool's place is, which jobs failed, when the
//! certificate ends. What the appliance tells as a trouble anyway is not judged a second time here.

use std::collections::BTreeMap;

use base::name::Name;
use base::size::ByteSize;
use jiff::Timestamp;

use super::rule::{Finding, Rule};
use super::settings::Settings;
use crate::policy::Protection;
use crate::policy::schedule::Schedule;
use crate::status::{JobKind, JobState, JobStatus, PoolStatus};
use crate::when;

/// How long after the moment at which a mark was due it may be there: a run waits while the store is busy.
const MARK_GRACE_MS: u64 = 5 * MINUTE_MS;
/// How long a job that failed is told of.
pub(super) const JOB_TOLD_MS: u64 = DAY_MS;
/// When the end of a certificate is told of, in days: a month to order another, and a week that is urgent.
const CERTIFICATE_DAYS: (u64, u64) = (30, 7);
/// Within how many days a pool that will be full is told of: a week, in which there is time to buy disks.
const FORECAST_DAYS: u64 = 7;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// Volumes whose newest mark is older than their policy allows. `settled_ms` is when runs that were missed while the
/// daemon was down have been made up for.
pub(super) fn marks(
    protected: &[Protection],
    settings: &Settings,
    settled_ms: u64,
    now_ms: u64,
) -> Vec<Finding> {
    let mut worst: BTreeMap<&Name, (u64, Finding)> = BTreeMap::new();
    for one in protected {
        let Some(due_ms) = due_after(&one.schedule, one.since_ms, settings.mark_age_factor) else {
            continue;
        };
        if now_ms <= due_ms.saturating_add(MARK_GRACE_MS).max(settled_ms) {
            continue;
        }
        if worst.get(&one.volume).is_some_and(|(before, _)| *before <= due_ms) {
            continue;
        }
        let (volume, policy) = (&one.volume, &one.policy);
        let age = when::relative(one.since_ms, now_ms);
        let what = match one.has_mark {
            true => format!(
                "the newest mark of {volume} was taken {age}, which is older than policy {policy} allows"
            ),
            false => format!(
                "{volume} has no mark, though policy {policy} protects it since {}",
                when::utc(one.since_ms)
            ),
        };
        let way_out =
            format!("`policy runs {policy}` says why; `policy run {policy}` takes one now");
        let finding = Finding::warning(Rule::MarkTooOld, volume.as_str(), what, &way_out);
        worst.insert(volume, (due_ms, finding));
    }
    worst.into_values().map(|(_, finding)| finding).collect()
}

/// The moment of the `count`th run after this one.
fn due_after(schedule: &Schedule, since_ms: u64, count: u32) -> Option<u64> {
    let mut at = Timestamp::from_millisecond(i64::try_from(since_ms).ok()?).ok()?;
    for _ in 0..count {
        at = schedule.next_after(at)?;
    }
    u64::try_from(at.as_millisecond()).ok()
}

/// Whether there is too little room where the pool lies, now or soon: `full_at_ms` is when it is likely full, in
/// milliseconds since 1970.
pub(super) fn space(
    pool: &PoolStatus,
    settings: &Settings,
    full_at_ms: Option<u64>,
    now_ms: u64,
) -> Option<Finding> {
    let (free, total) = (pool.space_free_bytes, pool.space_total_bytes);
    if total == 0 {
        return None;
    }
    let used_percent = u128::from(total.saturating_sub(free)) * 100 / u128::from(total);
    let way_out = "add space or remove marks before it is full";
    let told = |what: String| Finding::warning(Rule::SpaceFills, "pool", what, way_out);
    let what =
        || format!("where the pool lies {used_percent} % is used and {} free", ByteSize(free));
    if used_percent >= u128::from(settings.space_critical_percent) {
        return Some(told(what()).critical());
    }
    if used_percent >= u128::from(settings.space_warning_percent) {
        return Some(told(what()));
    }
    let soon = full_at_ms.filter(|at| *at <= now_ms + FORECAST_DAYS * DAY_MS)?;
    let at = when::relative(soon.max(now_ms), now_ms);
    Some(told(format!("where the pool lies {} are free, and likely none {at}", ByteSize(free))))
}

/// Jobs that have failed of late, and did not succeed since.
pub(super) fn jobs(jobs: &[JobStatus], now_ms: u64) -> Vec<Finding> {
    let mut last: BTreeMap<(String, String), &JobStatus> = BTreeMap::new();
    let ended = jobs.iter().filter(|job| job.ended_ms.is_some());
    for job in ended.filter(|job| job.state != JobState::Cancelled) {
        last.insert((job.of.to_string(), job.kind.to_string()), job);
    }
    let failed = last.into_values().filter(|job| {
        job.state == JobState::Failed
            && job.ended_ms.is_some_and(|at| now_ms < at.saturating_add(JOB_TOLD_MS))
    });
    failed
        .map(|job| {
            let why = job.error.as_ref().map(|error| error.detail.clone()).unwrap_or_default();
            let what = format!("a {} of {} failed: {why}", job.kind, job.of);
            let id = job.id;
            let more = job.error.as_ref().and_then(|error| error.way_out.as_deref());
            let way_out = match more {
                Some(more) => format!("{more}; `job show {id}` shows it"),
                None => format!("`job show {id}` shows it; begin it again"),
            };
            Finding::warning(Rule::JobFailed, format!("{} {}", job.kind, job.of), what, &way_out)
        })
        .collect()
}

/// Whether the last scrub of this volume found it whole.
pub(super) fn is_scrubbed_whole(jobs: &[JobStatus], volume: &str) -> bool {
    let mut scrubs =
        jobs.iter().filter(|job| job.kind == JobKind::Scrub && job.of.to_string() == volume);
    let last = scrubs.rfind(|job| job.state == JobState::Done);
    let damaged = last.and_then(|job| job.result.as_ref()?.get("damaged")?.as_array());
    damaged.is_some_and(Vec::is_empty)
}

/// Whether the console's certificate ends soon, or has ended.
pub(super) fn certificate(end_ms: Option<u64>, now_ms: u64) -> Option<Finding> {
    let end_ms = end_ms?;
    let left_days = end_ms.saturating_sub(now_ms) / DAY_MS;
    let (warning, urgent) = CERTIFICATE_DAYS;
    if end_ms > now_ms && left_days >= warning {
        return None;
    }
    let at = when::utc(end_ms);
    let what = match end_ms <= now_ms {
        true => format!("the console's certificate ended at {at}, and browsers refuse it"),
        false => format!("the console's certificate ends at {at}, in {left_days} days"),
    };
    let way_out = "put a new one in its place, as api.certificate and api.key name it, and reload with SIGHUP; or \
                   remove api-certificate.pem in the state directory, and the daemon makes one";
    let finding = Finding::warning(Rule::Certificate, "console", what, way_out);
    Some(if left_days < urgent { finding.critical() } else { finding })
}

/// Whether the audit log is not what was written.
pub(super) fn audit(finding: Option<&str>) -> Option<Finding> {
    let what = format!("the audit log is not what was written: {}", finding?);
    let way_out = "find out who could write in the state directory; `audit verify` reads it all";
    let finding = Finding::warning(Rule::Audit, "audit log", what, way_out).critical();
    Some(Finding { is_failure: true, ..finding })
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
