//! From when on something is wrong, at both sides of each threshold.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::rule::Severity;
use super::*;
use crate::status::Failure;
use crate::status::tests::pool;

const START: u64 = 1_795_600_800_000 / DAY_MS * DAY_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;

fn protected(volume: &str, every: &str, since_ms: u64) -> Protection {
    Protection {
        volume: volume.parse().unwrap(),
        policy: format!("p-{every}").parse().unwrap(),
        schedule: Schedule::every(every, TimeZone::UTC).unwrap(),
        since_ms,
        has_mark: true,
    }
}

fn too_old(all: &[Protection], factor: u32, now_ms: u64) -> Vec<String> {
    let settings = Settings { mark_age_factor: factor, ..Settings::default() };
    marks(all, &settings, 0, now_ms).into_iter().map(|found| found.what).collect()
}

#[test]
fn a_mark_is_too_old_once_so_many_runs_have_brought_none() {
    let hourly = [protected("mail", "1h", START)];
    assert!(too_old(&hourly, 2, START + 2 * HOUR_MS + MARK_GRACE_MS).is_empty());
    let found = too_old(&hourly, 2, START + 2 * HOUR_MS + MARK_GRACE_MS + 1);
    assert!(found[0].contains("mail") && found[0].contains("2 h ago"), "{found:?}");
    assert_eq!(too_old(&hourly, 1, START + HOUR_MS + MARK_GRACE_MS + 1).len(), 1);
    let bare = Protection { has_mark: false, ..hourly[0].clone() };
    assert!(too_old(&[bare], 1, START + DAY_MS)[0].contains("has no mark"));
}

#[test]
fn of_several_policies_the_strictest_is_told_and_once() {
    let all = [protected("mail", "1d", START), protected("mail", "1h", START)];
    let found = too_old(&all, 1, START + 3 * DAY_MS);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("p-1h"), "{found:?}");
    assert!(too_old(&[all[0].clone()], 1, START + DAY_MS / 2).is_empty());
}

#[test]
fn a_daemon_that_was_down_may_make_up_for_what_it_missed_first() {
    let hourly = [protected("mail", "1h", START)];
    let now = START + 3 * DAY_MS;
    assert!(marks(&hourly, &Settings::default(), now, now).is_empty());
    assert_eq!(marks(&hourly, &Settings::default(), now, now + 1).len(), 1);
}

fn with_free(free_percent: u64) -> PoolStatus {
    PoolStatus { space_free_bytes: free_percent << 30, space_total_bytes: 100 << 30, ..pool() }
}

#[test]
fn little_room_is_a_warning_and_hardly_any_is_critical() {
    let settings = Settings::default();
    let seen = |free| space(&with_free(free), &settings, None, 0).map(|found| found.severity);
    assert_eq!(seen(16), None);
    assert_eq!((seen(15), seen(6)), (Some(Severity::Warning), Some(Severity::Warning)));
    assert_eq!((seen(5), seen(0)), (Some(Severity::Critical), Some(Severity::Critical)));
    let unknown = PoolStatus { space_total_bytes: 0, space_free_bytes: 0, ..pool() };
    assert_eq!(space(&unknown, &settings, None, 0), None);
}

#[test]
fn a_pool_that_will_soon_be_full_is_told_before_the_threshold() {
    let settings = Settings::default();
    let at = |full_at_ms| space(&with_free(40), &settings, Some(full_at_ms), START);
    assert_eq!(at(START + 8 * DAY_MS), None);
    assert!(at(START + 6 * DAY_MS).unwrap().what.contains("in 6 days"));
    assert!(at(START - DAY_MS).is_some());
}

fn job(id: u64, kind: JobKind, state: JobState, result: Option<Value>) -> JobStatus {
    let failure =
        Failure { code: "failed".into(), detail: "the disk is gone".into(), way_out: None };
    JobStatus {
        id,
        kind,
        of: "mail".parse().unwrap(),
        state,
        done_bytes: 0,
        total_bytes: 0,
        started_ms: START,
        ended_ms: (state != JobState::Running).then_some(START),
        result,
        error: (state == JobState::Failed).then_some(failure),
    }
}

#[test]
fn a_failed_job_is_told_until_the_same_succeeds_or_a_day_has_passed() {
    let failed = job(1, JobKind::Scrub, JobState::Failed, None);
    let found = jobs(std::slice::from_ref(&failed), START);
    assert_eq!((found.len(), found[0].of.as_str()), (1, "scrub mail"));
    assert!(found[0].what.contains("the disk is gone"), "{found:?}");
    assert!(jobs(std::slice::from_ref(&failed), START + JOB_TOLD_MS).is_empty());
    let then = |kind, state| jobs(&[failed.clone(), job(2, kind, state, None)], START).len();
    assert_eq!(then(JobKind::Scrub, JobState::Done), 0);
    assert_eq!(then(JobKind::Scrub, JobState::Running), 1);
    assert_eq!(then(JobKind::Scrub, JobState::Cancelled), 1);
    assert_eq!(then(JobKind::Release, JobState::Done), 1);
}

#[test]
fn only_a_scrub_that_finds_nothing_says_that_a_volume_is_whole() {
    let done = |damaged: Value| {
        job(1, JobKind::Scrub, JobState::Done, Some(json!({ "damaged": damaged })))
    };
    assert!(!is_scrubbed_whole(&[], "mail"));
    assert!(is_scrubbed_whole(&[done(json!([]))], "mail"));
    assert!(!is_scrubbed_whole(&[done(json!([]))], "logs"));
    assert!(!is_scrubbed_whole(&[done(json!([])), done(json!([{}]))], "mail"));
    let failed = job(2, JobKind::Scrub, JobState::Failed, None);
    assert!(!is_scrubbed_whole(&[failed], "mail"));
}

#[test]
fn a_certificate_is_told_of_a_month_before_its_end_and_urgently_in_the_last_week() {
    let left = |ms: u64| certificate(Some(START + ms), START).map(|found| found.severity);
    assert_eq!(left(30 * DAY_MS), None);
    assert_eq!(left(30 * DAY_MS - 1), Some(Severity::Warning));
    assert_eq!(left(7 * DAY_MS), Some(Severity::Warning));
    assert_eq!(left(7 * DAY_MS - 1), Some(Severity::Critical));
    assert!(certificate(Some(START), START + 1).unwrap().what.contains("ended at"));
    assert_eq!(certificate(None, START), None);
}

#[test]
fn a_broken_audit_log_is_a_failure() {
    assert_eq!(audit(None), None);
    let found = audit(Some("entry 2 is missing")).unwrap();
    assert!(found.is_failure && found.what.contains("entry 2"), "{found:?}");
}
