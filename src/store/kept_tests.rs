//! A pool in memory whose clock the test moves: what keeps marks, for how long, and what does not shorten it.

use std::sync::Arc;

use base::clock::{Clock, ManualClock};
use base::rng::SeededRng;
use disk::{MemShelf, Shelf};

use super::*;
use crate::event::MarkEntry;
use crate::status::{Grade, MarkRequest, MarksFullPolicy, Proof, VolumeSettings};
use crate::{PoolOptions, World};

const HOUR: Duration = Duration::from_secs(3600);
const TEN_YEARS_MS: u64 = 315_360_000_000;
const START_MS: u64 = 1_795_600_800_000;

struct Bench {
    shelf: Arc<MemShelf>,
    clock: Arc<ManualClock>,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::default();
        clock.set_wall_ms(START_MS);
        Self { shelf: Arc::new(MemShelf::new()), clock: Arc::new(clock) }
    }

    async fn open(&self) -> Arc<Pool> {
        let shelf = Arc::clone(&self.shelf) as Arc<dyn Shelf>;
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let world = World { clock, rng: Arc::new(SeededRng::new(5)) };
        let options = PoolOptions { journal_len: "8M".parse().unwrap(), ..PoolOptions::default() };
        if !Pool::exists(&shelf).await.unwrap() {
            Pool::create(&shelf, &options, &world).await.unwrap();
        }
        Pool::open(shelf, options, world).await.unwrap()
    }

    /// A pool with a volume and these marks of it.
    async fn with_marks(&self, marks: &[&str]) -> Arc<Pool> {
        let pool = self.open().await;
        pool.create_volume(&name("mail"), "1M".parse().unwrap()).await.unwrap();
        for mark in marks {
            take(&pool, mark).await.unwrap();
        }
        pool
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn of(mark: &str) -> MarkRef {
    MarkRef { volume: name("mail"), mark: name(mark) }
}

fn span(text: &str) -> Span {
    text.parse().unwrap()
}

async fn take(pool: &Pool, mark: &str) -> Result<Vec<MarkStatus>, StoreError> {
    let request = MarkRequest { name: name(mark), grade: Grade::Crash };
    pool.take_mark(&[name("mail")], request).await
}

fn says<T: std::fmt::Debug>(outcome: Result<T, StoreError>, part: &str) {
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains(part), "{part}: {error}");
}

#[tokio::test]
async fn a_locked_mark_stays_whatever_is_asked_for_until_its_time_has_passed() {
    let bench = Bench::new();
    let pool = bench.with_marks(&["a", "b"]).await;
    let locked = pool.lock_mark(&of("a"), span("24h")).await.unwrap();
    assert_eq!((locked.is_locked, locked.is_held), (true, false));
    assert_eq!(locked.locked_until_ms, Some(START_MS + 86_400_000));
    says(pool.remove_mark(&of("a")).await, "locked for another 24 hours");
    says(pool.lock_mark(&of("a"), span("23h")).await, "can only be made longer");
    assert!(pool.release_mark(&of("a")).await.unwrap().is_locked, "that is for holds");
    says(pool.remove_volume(&name("mail")).await, "its mark a is locked");
    pool.rename_mark(&of("a"), &name("c")).await.unwrap();
    pool.rename_mark(&of("b"), &name("a")).await.unwrap();
    pool.remove_mark(&of("a")).await.unwrap();
    says(pool.remove_mark(&of("c")).await, "locked");
    pool.rollback(&of("c")).await.unwrap();
    while pool.upkeep_step().await.unwrap() {}
    says(pool.remove_mark(&of("c")).await, "locked");
    says(pool.check_mark_may_go(&of("c")), "locked");
    says(pool.check_may_go(&name("mail")), "locked");
    for wall_ms in [START_MS + TEN_YEARS_MS, 0, START_MS] {
        bench.clock.set_wall_ms(wall_ms);
        says(pool.remove_mark(&of("c")).await, "locked for another 24 hours");
    }
    bench.clock.advance(HOUR * 23);
    pool.lock_mark(&of("c"), span("2h")).await.unwrap();
    bench.clock.advance(HOUR * 2 - Duration::from_millis(1));
    says(pool.remove_mark(&of("c")).await, "locked for another 1 second");
    bench.clock.advance(Duration::from_millis(1));
    assert!(!pool.mark(&of("c")).unwrap().is_locked);
    pool.remove_mark(&of("c")).await.unwrap();
    pool.remove_volume(&name("mail")).await.unwrap();
}

#[tokio::test]
async fn a_view_with_a_locked_mark_stays_and_takes_what_it_shows_with_it() {
    let bench = Bench::new();
    let pool = bench.with_marks(&["a"]).await;
    pool.create_view(&name("look"), &of("a")).await.unwrap();
    let request = MarkRequest { name: name("m"), grade: Grade::Crash };
    pool.take_locked_mark(&[name("look")], request, span("1d")).await.unwrap();
    says(pool.remove_view(&name("look")).await, "its mark m is locked");
    says(pool.remove_mark(&of("a")).await, "the view look shows it");
    pool.promote_view(&name("look")).await.unwrap();
    while pool.view(&name("look")).is_ok() {
        pool.upkeep_step().await.unwrap();
    }
    says(pool.remove_volume(&name("look")).await, "its mark m is locked");
    bench.clock.advance(HOUR * 24);
    pool.remove_volume(&name("look")).await.unwrap();
}

#[tokio::test]
async fn a_hold_ends_by_itself_and_a_full_volume_thins_what_is_free() {
    let bench = Bench::new();
    let names: Vec<String> = (0..256).map(|index| format!("m{index}")).collect();
    let marks: Vec<&str> = names.iter().map(String::as_str).collect();
    let pool = bench.with_marks(&marks).await;
    let thin = Some(MarksFullPolicy::Thin);
    let settings = VolumeSettings { when_marks_full: thin, ..VolumeSettings::default() };
    pool.set_volume(&name("mail"), settings).await.unwrap();
    pool.hold_mark(&of("m0"), Some(span("1h"))).await.unwrap();
    pool.lock_mark(&of("m1"), span("2h")).await.unwrap();
    for mark in &marks[2..] {
        pool.hold_mark(&of(mark), None).await.unwrap();
    }
    says(take(&pool, "x").await, "neither held nor locked");
    bench.clock.advance(HOUR);
    let free = pool.mark(&of("m0")).unwrap();
    assert_eq!((free.is_held, free.held_until_ms), (false, None));
    take(&pool, "x").await.unwrap();
    says(pool.mark(&of("m0")).map(|_| ()), "no mark");
    pool.remove_mark(&of("x")).await.unwrap();
    take(&pool, "y").await.unwrap();
    pool.hold_mark(&of("y"), None).await.unwrap();
    says(take(&pool, "z").await, "neither held nor locked");
    bench.clock.advance(HOUR);
    take(&pool, "z").await.unwrap();
    says(pool.mark(&of("m1")).map(|_| ()), "no mark");
    assert!(pool.mark(&of("m2")).unwrap().is_held, "a hold without an end has none");
}

#[tokio::test]
async fn time_counts_only_while_the_pool_is_open_and_survives_a_stop_to_the_millisecond() {
    let bench = Bench::new();
    let pool = bench.with_marks(&["a"]).await;
    pool.lock_mark(&of("a"), span("10h")).await.unwrap();
    bench.clock.advance(HOUR * 4);
    let upkeep = tokio::spawn(Arc::clone(&pool).run());
    pool.close().await.unwrap();
    upkeep.await.unwrap();
    drop(pool);
    bench.clock.advance(HOUR * 1000);
    let pool = bench.open().await;
    assert_eq!(pool.lived_ms(), 4 * 3_600_000);
    let end = pool.mark(&of("a")).unwrap().locked_until_ms.unwrap();
    assert_eq!(end, START_MS + (1004 + 6) * 3_600_000);
    bench.clock.advance(HOUR * 6 - Duration::from_millis(1));
    says(pool.remove_mark(&of("a")).await, "locked");
    bench.clock.advance(Duration::from_millis(1));
    pool.remove_mark(&of("a")).await.unwrap();
}

#[tokio::test]
async fn a_kill_costs_no_more_than_a_minute_and_only_where_something_waits() {
    let bench = Bench::new();
    let pool = bench.with_marks(&["a"]).await;
    let frames = |pool: &Pool| pool.lock().next_frame;
    let pass = async |by: Duration| {
        bench.clock.advance(by);
        pool.note_lived().await;
    };
    let idle = frames(&pool);
    pass(HOUR).await;
    assert_eq!(frames(&pool), idle, "nothing waits, so nothing is written");
    pool.lock_mark(&of("a"), span("10h")).await.unwrap();
    pass(HOUR).await;
    let noted = frames(&pool);
    pass(Duration::from_secs(59)).await;
    assert_eq!(frames(&pool), noted, "once a minute is enough");
    drop(pool);
    let pool = bench.open().await;
    assert_eq!(pool.lived_ms(), 2 * 3_600_000, "all but what came after the last note");
    bench.clock.advance(HOUR * 9 - Duration::from_secs(1));
    says(pool.remove_mark(&of("a")).await, "locked");
    bench.clock.advance(Duration::from_secs(1));
    pool.remove_mark(&of("a")).await.unwrap();
}

#[tokio::test]
async fn what_is_too_long_or_not_there_is_refused_and_changes_nothing() {
    let pool = Bench::new().with_marks(&["a"]).await;
    says(pool.lock_mark(&of("a"), span("11y")).await, "3660 days");
    says(pool.hold_mark(&of("a"), Some(span("99999d"))).await, "3660 days");
    says(pool.lock_mark(&of("b"), span("1d")).await, "no mark mail@b");
    let mark = pool.mark(&of("a")).unwrap();
    assert_eq!((mark.is_held, mark.is_locked), (false, false));
}

#[test]
fn what_keeps_a_mark_is_read_as_it_was_written_and_what_cannot_be_is_refused() {
    let entry = |kept| MarkEntry {
        id: base::id::Id(9),
        name: name("m"),
        taken_ms: 1,
        sectors: 8,
        grade: Grade::Crash,
        proof: Proof::Unverified,
        kept,
        group: None,
    };
    let ends = [None, Some(7)];
    for is_held in [false, true] {
        for (held_until, locked_until) in ends.iter().flat_map(|a| ends.iter().map(|b| (*a, *b))) {
            let kept = Kept { is_held, held_until: held_until.filter(|_| is_held), locked_until };
            let event = Event::MarkChanged { volume: 1, sequence: 2, mark: entry(kept) };
            assert_eq!(Event::decode(&event.encode()), Ok(event));
        }
    }
    let free = Event::MarkChanged { volume: 1, sequence: 2, mark: entry(Kept::default()) };
    let bytes = free.encode();
    let flags = bytes.len() - 33;
    for wrong in [2, 8, 255] {
        let mut bytes = bytes.clone();
        bytes[flags] = wrong;
        let refused = Event::decode(&bytes);
        assert!(matches!(refused, Err(CodecError::Invalid { field: "hold", .. })), "{refused:?}");
    }
    let lived = Event::Lived { ms: 12 };
    let mut registry = Registry::default();
    registry.apply(&lived);
    registry.apply(&Event::Lived { ms: 11 });
    assert!(registry.to_events().contains(&lived), "it never goes back");
}
