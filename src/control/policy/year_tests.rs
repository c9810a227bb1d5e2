//! A year of an appliance in memory: policies, one of which locks its marks, holds with an end and without, locks by
//! hand; a wall clock that is set ahead by ten years and back again, and restarts. An oracle that only counts the time
//! during which the daemon ran says which marks must be there.

use std::collections::BTreeMap;

use base::clock::Clock;
use base::id::Id;
use base::rng::{Rng, SeededRng};
use base::span::Span;

use super::*;

const STEP: Duration = Duration::from_secs(3 * 3600);
const STEP_MS: u64 = 3 * 3_600_000;
const DAY_MS: u64 = 86_400_000;
/// Days by which the policy `safe` locks its marks.
const LOCK_DAYS: u64 = 20;
/// Holds without an end that there may be: what is left must have room for the policies.
const HELD_MAX: usize = 20;

const THICK: &str = "name = 'thick'\nvolumes = ['mail']\nevery = '3h'\n\
    keep = {last = 8, daily = 14, weekly = 8, monthly = 12}";
const SAFE: &str =
    "name = 'safe'\nvolumes = ['mail']\ncron = '30 2 * * *'\nlock = '20d'\nkeep = {last = 3}";

/// What must be there, and how long the daemon has run.
struct Oracle {
    ran_ms: u64,
    /// Until when each mark is kept; for good, where there is no end.
    kept: BTreeMap<Id, Option<u64>>,
}

impl Oracle {
    fn keeps(&self, id: Id) -> bool {
        self.kept.get(&id).is_some_and(|end| end.is_none_or(|end| self.ran_ms < end))
    }

    /// Notes that something keeps a mark for so long from now.
    fn keep(&mut self, id: Id, for_ms: Option<u64>) {
        let end = for_ms.map(|span| self.ran_ms + span);
        let known = self.kept.entry(id).or_insert(end);
        *known = match (*known, end) {
            (Some(known), Some(end)) => Some(known.max(end)),
            _ => None,
        };
    }
}

struct Year {
    bench: Bench,
    /// There is none while it is down.
    office: Option<Arc<Appliance>>,
    oracle: Oracle,
    rng: SeededRng,
    refused: usize,
    most: usize,
}

impl Year {
    fn office(&self) -> &Arc<Appliance> {
        self.office.as_ref().unwrap()
    }

    fn marks(&self) -> Vec<MarkStatus> {
        self.office().marks(&name("mail")).unwrap()
    }

    fn reference(mark: &MarkStatus) -> MarkRef {
        MarkRef { volume: mark.volume.clone(), mark: mark.name.clone() }
    }

    async fn step(&mut self) {
        let before: Vec<Id> = self.marks().iter().map(|mark| mark.id).collect();
        let begun = self.oracle.ran_ms;
        self.bench.pass(STEP).await;
        self.oracle.ran_ms += STEP_MS;
        for mark in self.marks() {
            if mark.name.as_str().starts_with("safe") && !before.contains(&mark.id) {
                self.oracle.kept.insert(mark.id, Some(begun + LOCK_DAYS * DAY_MS));
            }
        }
        self.look();
    }

    /// What is kept is there, and there are never too many.
    fn look(&mut self) {
        let marks = self.marks();
        self.most = self.most.max(marks.len());
        assert!(marks.len() <= MARKS_PER_VOLUME_MAX, "{} marks", marks.len());
        for id in self.oracle.kept.keys().filter(|id| self.oracle.keeps(**id)) {
            let day = self.oracle.ran_ms / DAY_MS;
            assert!(marks.iter().any(|mark| mark.id == *id), "day {day}: a mark that is kept went");
        }
    }

    /// Holds or locks a mark, lets one go, or tries to remove one that is kept.
    async fn meddle(&mut self) {
        let marks = self.marks();
        let mark = &marks[usize::try_from(self.rng.below(marks.len() as u64)).unwrap()];
        let at = Self::reference(mark);
        let days = 1 + self.rng.below(30);
        let span: Span = format!("{days}d").parse().unwrap();
        let held = |mark: &&MarkStatus| mark.is_held && mark.held_until_ms.is_none();
        match self.rng.below(6) {
            0 if marks.iter().filter(held).count() < HELD_MAX => {
                self.office().set_held(&at, Hold::Held).await.unwrap();
                self.oracle.keep(mark.id, None);
            }
            1 if !mark.is_held && !mark.is_locked => {
                self.office().set_held(&at, Hold::For(span)).await.unwrap();
                self.oracle.keep(mark.id, Some(days * DAY_MS));
            }
            2 => {
                let locked = self.office().lock_mark(&at, span).await;
                match locked {
                    Ok(_) => self.oracle.keep(mark.id, Some(days * DAY_MS)),
                    Err(error) => {
                        let text = error.to_string();
                        assert!(text.contains("only be made longer"), "{text}");
                    }
                }
            }
            3 => {
                if let Some(mark) = marks.iter().find(held).filter(|mark| !mark.is_locked) {
                    self.office().set_held(&Self::reference(mark), Hold::Free).await.unwrap();
                    self.oracle.kept.remove(&mark.id);
                }
            }
            _ => {
                let is_kept = self.oracle.keeps(mark.id);
                let removed = self.office().remove_mark(&at, Sessions::End).await;
                assert!(removed.is_err() || !is_kept, "{at} is kept and could be removed");
                assert_eq!(removed.is_ok(), !mark.is_held && !mark.is_locked, "{at}: {removed:?}");
                self.refused += usize::from(is_kept);
                if marks.iter().any(|other| other.is_locked && other.id != mark.id) {
                    let gone = self.office().remove_volume(&name("mail"), Sessions::End).await;
                    assert!(gone.is_err(), "the volume has locked marks");
                }
            }
        }
    }

    /// The wall clock is wrong for three hours.
    async fn lie(&mut self, by_ms: i64) {
        let clock = Arc::clone(&self.bench.clock);
        let right = clock.wall_ms();
        clock.set_wall_ms(right.saturating_add_signed(by_ms));
        self.meddle().await;
        self.step().await;
        clock.set_wall_ms(right + STEP_MS);
        self.look();
    }

    /// The daemon ends, and is started again after a day.
    async fn restart(&mut self) {
        let office = self.office.take().unwrap();
        office.stop().await.unwrap();
        drop(office);
        self.bench.clock.advance(Duration::from_secs(86_400));
        self.office = Some(self.bench.start().await);
        self.look();
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_year_nothing_that_is_held_or_locked_goes_early_whatever_the_clock_says() {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    for policy in [THICK, SAFE] {
        office.create_policy(rules(policy)).await.unwrap();
    }
    let oracle = Oracle { ran_ms: 0, kept: BTreeMap::new() };
    let rng = SeededRng::new(2027);
    let office = Some(office);
    let mut year = Year { bench, office, oracle, rng, refused: 0, most: 0 };
    let ten_years = 3650 * i64::try_from(DAY_MS).unwrap();
    for step in 0..366 * 8 {
        year.step().await;
        match step % 487 {
            101 => year.lie(ten_years).await,
            202 => year.lie(-ten_years / 10).await,
            303 => year.restart().await,
            _ if step % 8 == 3 => year.meddle().await,
            _ => {}
        }
    }
    assert!(year.refused > 20 && year.most > 60, "{} {}", year.refused, year.most);
    let kept = year.oracle.kept.len();
    assert!(kept > 366, "{kept} marks were held or locked");
    let safe: Vec<_> = year.marks();
    let safe = safe.iter().filter(|mark| mark.name.as_str().starts_with("safe"));
    let stale = safe.filter(|mark| !year.oracle.keeps(mark.id) && !mark.is_held && !mark.is_locked);
    assert!(stale.count() <= 4, "what is free goes");
    year.office().stop().await.unwrap();
}
