//! What becomes of an alert, step by step, by a clock that the test moves.

use std::time::Duration;

use base::clock::{Clock, ManualClock};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const CALM: Duration = Duration::from_millis(CALM_MS);
const REPEAT_MS: u64 = 24 * 3_600_000;

struct Scene {
    clock: ManualClock,
    book: Book,
}

fn finding(rule: Rule, of: &str, severity: Severity) -> Finding {
    let warning = Finding::warning(rule, of, format!("{of} is not well"), "look at it");
    Finding { severity, ..warning }
}

fn old_mark() -> Finding {
    finding(Rule::MarkTooOld, "mail", Severity::Warning)
}

impl Scene {
    fn new() -> Self {
        let clock = ManualClock::default();
        clock.set_wall_ms(1_795_600_800_000);
        Self { clock, book: Book::default() }
    }

    fn look(&mut self, findings: &[Finding]) -> bool {
        self.book.look(findings.to_vec(), |_| false, self.clock.wall_ms())
    }

    /// What is told now, and counts as told from then on.
    fn tell(&mut self) -> Vec<(NoticeKind, String)> {
        let now = self.clock.wall_ms();
        let due = self.book.due(REPEAT_MS, now);
        self.book.told(&due.iter().map(|notice| notice.alert.id).collect(), now);
        due.into_iter().map(|notice| (notice.kind, notice.alert.of)).collect()
    }

    fn only(&self) -> AlertStatus {
        let open = self.book.open(self.clock.wall_ms());
        assert_eq!(open.len(), 1, "{open:?}");
        open.into_iter().next().unwrap()
    }
}

#[test]
fn what_lasts_is_one_alert_and_one_message() {
    let mut scene = Scene::new();
    assert!(scene.look(&[old_mark()]));
    assert_eq!(scene.tell(), [(NoticeKind::Fired, "mail".into())]);
    let first = scene.only();
    for _ in 0..5 {
        scene.clock.advance(HOUR);
        assert!(!scene.look(&[old_mark()]), "nothing changed that people see");
        assert_eq!(scene.tell(), []);
    }
    let now = scene.only();
    assert_eq!((now.id, now.first_ms, now.count), (first.id, first.first_ms, 1));
    assert_eq!(now.last_ms, first.last_ms + 5 * 3_600_000);
}

#[test]
fn it_is_told_again_after_so_many_hours_and_never_where_that_is_wanted() {
    let mut scene = Scene::new();
    scene.look(&[old_mark()]);
    scene.tell();
    scene.clock.advance(HOUR * 24);
    scene.look(&[old_mark()]);
    assert!(scene.book.due(0, scene.clock.wall_ms()).is_empty());
    assert_eq!(scene.tell(), [(NoticeKind::Repeated, "mail".into())]);
    scene.clock.advance(HOUR * 23);
    assert_eq!(scene.tell(), []);
}

#[test]
fn it_resolves_by_itself_once_the_cause_was_gone_for_a_while() {
    let mut scene = Scene::new();
    scene.look(&[old_mark()]);
    scene.tell();
    assert!(!scene.look(&[]));
    scene.clock.advance(CALM - Duration::from_millis(1));
    assert!(!scene.look(&[]));
    assert_eq!(scene.tell(), []);
    scene.clock.advance(Duration::from_millis(1));
    assert!(scene.look(&[]));
    assert_eq!(scene.book.count(), 0);
    assert_eq!(scene.tell(), [(NoticeKind::Resolved, "mail".into())]);
    assert_eq!(scene.tell(), []);
    let written = scene.book.take_unwritten();
    assert_eq!(written[0].resolved_ms, Some(scene.clock.wall_ms()));
}

#[test]
fn a_cause_that_comes_and_goes_stays_one_alert_that_counts() {
    let mut scene = Scene::new();
    scene.look(&[old_mark()]);
    scene.tell();
    for _ in 0..3 {
        scene.look(&[]);
        scene.clock.advance(CALM / 2);
        assert!(scene.look(&[old_mark()]));
        assert_eq!(scene.tell(), []);
    }
    assert_eq!(scene.only().count, 4);
}

#[test]
fn what_nobody_was_told_of_resolves_without_a_word() {
    let mut scene = Scene::new();
    scene.look(&[old_mark()]);
    scene.look(&[]);
    scene.clock.advance(CALM);
    scene.look(&[]);
    assert_eq!((scene.book.count(), scene.tell()), (0, Vec::new()));
}

#[test]
fn an_acknowledged_alert_is_quiet_until_it_gets_worse_or_resolves() {
    let mut scene = Scene::new();
    let little = finding(Rule::SpaceFills, "pool", Severity::Warning);
    scene.look(std::slice::from_ref(&little));
    scene.tell();
    let now = scene.clock.wall_ms();
    let alert = scene.book.acknowledge(scene.only().id, "anna", now).unwrap();
    assert_eq!(alert.acknowledged, Some(Acknowledged { by: "anna".into(), at_ms: now }));
    scene.clock.advance(HOUR * 48);
    scene.look(std::slice::from_ref(&little));
    assert_eq!(scene.tell(), []);
    let hardly = finding(Rule::SpaceFills, "pool", Severity::Critical);
    assert!(scene.look(std::slice::from_ref(&hardly)));
    assert_eq!(scene.tell(), [(NoticeKind::Fired, "pool".into())]);
    assert_eq!((scene.only().acknowledged, scene.only().count), (None, 1));
    assert!(scene.look(&[little]), "better is a change, and no message");
    assert_eq!(scene.tell(), []);
    let id = scene.only().id;
    scene.book.acknowledge(id, "anna", now).unwrap();
    scene.look(&[]);
    scene.clock.advance(CALM);
    scene.look(&[]);
    assert_eq!(scene.tell(), [(NoticeKind::Resolved, "pool".into())]);
    assert!(
        scene.book.acknowledge(id, "anna", now).unwrap_err().to_string().contains(&id.to_string())
    );
}

#[test]
fn a_silence_is_of_the_thing_and_ends_at_its_date() {
    let mut scene = Scene::new();
    scene.look(&[old_mark()]);
    let until = scene.clock.wall_ms() + 3_600_000;
    let alert = scene.book.silence(scene.only().id, until, scene.clock.wall_ms()).unwrap();
    assert_eq!((alert.silenced_until_ms, scene.tell()), (Some(until), Vec::new()));
    scene.look(&[]);
    scene.clock.advance(CALM);
    scene.look(&[]);
    scene.look(&[old_mark()]);
    assert_eq!(scene.tell(), [], "another alert of the same thing is silenced too");
    let kept = scene.book.silences(scene.clock.wall_ms());
    let mut again = Book::new(kept);
    again.look(vec![old_mark()], |_| false, scene.clock.wall_ms());
    assert!(again.due(REPEAT_MS, scene.clock.wall_ms()).is_empty(), "also after a restart");
    scene.clock.advance(HOUR);
    scene.look(&[old_mark()]);
    assert_eq!(scene.tell(), [(NoticeKind::Fired, "mail".into())]);
    assert!(scene.book.silences(scene.clock.wall_ms()).is_empty());
}

#[test]
fn a_silence_can_be_ended_before_its_time() {
    let mut scene = Scene::new();
    scene.look(&[old_mark()]);
    let (id, now) = (scene.only().id, scene.clock.wall_ms());
    scene.book.silence(id, now + 1000, now).unwrap();
    let alert = scene.book.silence(id, 0, now).unwrap();
    assert_eq!((alert.silenced_until_ms, scene.tell().len()), (None, 1));
}

#[test]
fn damage_lasts_until_its_end_is_seen() {
    let mut scene = Scene::new();
    scene.look(&[finding(Rule::Damage, "mail", Severity::Critical)]);
    for _ in 0..3 {
        scene.clock.advance(HOUR);
        assert!(!scene.look(&[]));
    }
    let now = scene.clock.wall_ms();
    scene.book.look(Vec::new(), |alert| alert.of == "mail", now);
    scene.book.look(Vec::new(), |alert| alert.of == "mail", now + CALM_MS);
    assert_eq!(scene.book.count(), 0);
}

#[test]
fn several_findings_of_one_thing_are_one_alert_that_says_all() {
    let mut scene = Scene::new();
    let other =
        Finding { what: "another".into(), ..finding(Rule::Pool, "pool", Severity::Critical) };
    scene.look(&[finding(Rule::Pool, "pool", Severity::Warning), other]);
    let alert = scene.only();
    assert_eq!(alert.severity, Severity::Critical);
    assert_eq!(alert.what, "pool is not well; also: another");
}

#[test]
fn alerts_of_an_earlier_run_go_on_and_are_not_told_again() {
    let mut scene = Scene::new();
    scene.look(&[old_mark(), finding(Rule::Damage, "logs", Severity::Critical)]);
    scene.tell();
    let earlier = scene.book.take_unwritten();
    scene.book = Book::default();
    // The catalogue was locked at first: what fired meanwhile is told, and keeps its place.
    scene.clock.advance(HOUR);
    scene.look(&[old_mark(), finding(Rule::Catalogue, "catalogue", Severity::Warning)]);
    scene.book.load(earlier.clone(), 40);
    assert!(scene.book.is_loaded());
    assert_eq!(scene.tell(), [(NoticeKind::Fired, "catalogue".into())]);
    let open = scene.book.open(scene.clock.wall_ms());
    let ids: Vec<_> = open.iter().map(|alert| (alert.of.as_str(), alert.id)).collect();
    let old = |of: &str| earlier.iter().find(|alert| alert.of == of).unwrap().id;
    assert_eq!(ids, [("logs", old("logs")), ("catalogue", 41), ("mail", old("mail"))]);
    assert_eq!(open[2].first_ms, earlier[0].first_ms.min(earlier[1].first_ms));
}

#[test]
fn what_could_not_be_written_down_is_kept_unless_it_is_newer_already() {
    let mut scene = Scene::new();
    scene.look(&[old_mark()]);
    let rows = scene.book.take_unwritten();
    scene.book.acknowledge(rows[0].id, "anna", 5).unwrap();
    scene.book.put_back(rows);
    let rows = scene.book.take_unwritten();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].acknowledged.is_some());
    assert!(scene.book.take_unwritten().is_empty());
}

#[test]
fn only_so_many_are_open_and_texts_have_an_end() {
    let mut scene = Scene::new();
    let many = (0..OPEN_MAX + 5)
        .map(|n| finding(Rule::VolumeFailed, &format!("v{n}"), Severity::Critical));
    scene.look(&many.collect::<Vec<_>>());
    assert_eq!(scene.book.count(), OPEN_MAX);
    let mut scene = Scene::new();
    let what = format!("a\nb{}", "ü".repeat(TEXT_LEN_MAX));
    scene.look(&[Finding { what, ..old_mark() }]);
    let text = scene.only().what;
    assert!(text.starts_with("a b") && text.ends_with('…') && text.len() <= TEXT_LEN_MAX + 3);
}

#[test]
fn a_clock_that_is_set_back_keeps_nothing_open() {
    let mut scene = Scene::new();
    scene.look(&[old_mark()]);
    scene.look(&[]);
    scene.clock.set_wall_ms(1_000_000);
    scene.look(&[]);
    scene.clock.advance(CALM);
    assert!(scene.look(&[]));
    assert_eq!(scene.book.count(), 0);
}
