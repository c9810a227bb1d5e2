//! An appliance in memory whose clock the test moves: what runs, what is missed, what is known after a restart.

use base::clock::ManualClock;
use base::rng::SystemRng;
use base::size::ByteSize;
use disk::MemShelf;
use store::{Grade, World};

use super::*;
use crate::config::{Config, IscsiConfig, NbdConfig};
use crate::marks::Hold;
use crate::policy::keep::Keep;
use crate::policy::rules::{PolicyChange, Rules};
use crate::{Site, StateDir};

#[path = "outage_tests.rs"]
mod outage;
#[path = "year_tests.rs"]
mod year;

const MINUTE: Duration = Duration::from_secs(60);
const START_MS: u64 = 1_795_600_800_000;

struct Bench {
    dir: tempfile::TempDir,
    shelf: Arc<MemShelf>,
    clock: Arc<ManualClock>,
    office: std::sync::Mutex<Weak<Appliance>>,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::default();
        clock.set_wall_ms(START_MS);
        let dir = tempfile::tempdir().unwrap();
        let office = std::sync::Mutex::default();
        Self { dir, shelf: Arc::new(MemShelf::new()), clock: Arc::new(clock), office }
    }

    async fn start(&self) -> Arc<Appliance> {
        let state = StateDir::new(self.dir.path().join("state"));
        let lock = state.take().unwrap();
        let iscsi = IscsiConfig { listen: Some(Vec::new()), ..IscsiConfig::default() };
        let nbd = NbdConfig { listen: Vec::new(), ..NbdConfig::default() };
        let mut config = Config { nbd, iscsi, ..Config::default() };
        config.pool.journal_size = Some("64M".parse().unwrap());
        let shelf = Arc::clone(&self.shelf) as Arc<dyn disk::Shelf>;
        let site = Site { state, lock, shelf, attachers: Vec::new() };
        let clock = Arc::clone(&self.clock) as Arc<dyn base::clock::Clock>;
        let world = World { clock, rng: Arc::new(SystemRng) };
        let office = Appliance::start_at(site, config, world).await.unwrap();
        *locked(&self.office) = Arc::downgrade(&office);
        office
    }

    /// Moves the clock, and lets what is due run to its end. Waits pass at once, as this runtime's time does.
    async fn pass(&self, by: Duration) {
        self.clock.advance(by);
        tokio::time::sleep(LOOK_INTERVAL * 2).await;
        let office = locked(&self.office).upgrade().unwrap();
        let desk = office.policy_desk();
        for policy in desk.all().unwrap() {
            while locked(&desk.planner).is_running(&policy.rules.name) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn rules(text: &str) -> Rules {
    toml::from_str(&format!("zone = 'Europe/Berlin'\n{text}")).unwrap()
}

fn names(office: &Appliance, volume: &str) -> Vec<String> {
    let marks = office.marks(&name(volume)).unwrap();
    marks.into_iter().map(|mark| mark.name.to_string()).collect()
}

fn outcomes(office: &Appliance, policy: &str) -> Vec<RunStatus> {
    office.policy_runs(&name(policy)).unwrap()
}

async fn with_volume(bench: &Bench) -> Arc<Appliance> {
    let office = bench.start().await;
    office.create_volume(&name("mail"), ByteSize(1 << 20)).await.unwrap();
    office
}

const FIVE: &str = "name = 'five'\nvolumes = ['mail']\nevery = '5m'\nkeep = {last = 3}";

#[tokio::test(start_paused = true)]
async fn marks_are_taken_thinned_and_known_after_a_restart() {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    office.take_mark(&[name("mail")], Some(name("by-hand")), Grade::Crash).await.unwrap();
    office.create_policy(rules(FIVE)).await.unwrap();
    for _ in 0..6 {
        bench.pass(MINUTE * 5).await;
    }
    let marks = names(&office, "mail");
    assert_eq!(marks[0], "by-hand");
    assert_eq!(marks.len(), 4, "{marks:?}");
    assert_eq!(marks[3], "five-20261125T103000Z");
    // Held and renamed, it is the policy's own all the same, and stays.
    let held = "mail@five-20261125T102000Z".parse().unwrap();
    office.set_held(&held, Hold::Held).await.unwrap();
    office.rename_mark(&held, &name("kept")).await.unwrap();
    let late = "mail@five-20261125T102500Z".parse().unwrap();
    office.rename_mark(&late, &name("renamed")).await.unwrap();
    office.stop().await.unwrap();
    drop(office);

    let office = bench.start().await;
    assert_eq!(office.policy(&name("five")).unwrap().marks, 3);
    for _ in 0..3 {
        bench.pass(MINUTE * 5).await;
    }
    let marks = names(&office, "mail");
    assert_eq!(marks.len(), 5, "{marks:?}");
    assert_eq!(marks[..2], ["by-hand", "kept"]);
    assert_eq!(outcomes(&office, "five").len(), 9);
    let free = "mail@kept".parse().unwrap();
    office.set_held(&free, Hold::Free).await.unwrap();
    bench.pass(MINUTE * 5).await;
    assert!(!names(&office, "mail").contains(&"kept".to_owned()));
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_stopped_daemon_missed_is_one_run_and_a_number() {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    office.create_policy(rules(FIVE)).await.unwrap();
    bench.pass(MINUTE * 5).await;
    office.stop().await.unwrap();
    drop(office);
    bench.clock.advance(MINUTE * 61);
    let office = bench.start().await;
    bench.pass(Duration::ZERO).await;
    let runs = outcomes(&office, "five");
    assert_eq!(runs.iter().map(|run| run.missed).collect::<Vec<_>>(), [0, 11]);
    assert_eq!(names(&office, "mail").len(), 2);
    // Set back by a day, it goes on from there.
    bench.clock.set_wall_ms(START_MS - 86_400_000);
    bench.pass(MINUTE).await;
    bench.pass(MINUTE * 5).await;
    assert_eq!(outcomes(&office, "five").len(), 3);
    assert_eq!(names(&office, "mail").len(), 3);
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pause_takes_no_marks_and_is_not_made_up_for() {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    office.create_policy(rules(FIVE)).await.unwrap();
    let pause = |is_paused| PolicyChange { is_paused: Some(is_paused), ..PolicyChange::default() };
    office.change_policy(&name("five"), pause(true)).await.unwrap();
    bench.pass(MINUTE * 60).await;
    assert_eq!(outcomes(&office, "five"), []);
    office.change_policy(&name("five"), pause(false)).await.unwrap();
    bench.pass(MINUTE).await;
    assert_eq!(outcomes(&office, "five"), []);
    let run = office.run_policy(&name("five")).await.unwrap();
    assert!(matches!(run.outcome, RunOutcome::Taken { .. }), "{run:?}");
    bench.pass(MINUTE * 5).await;
    assert_eq!(outcomes(&office, "five").len(), 2);
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pause_with_a_date_ends_by_itself_and_is_not_made_up_for() {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    office.create_policy(rules(FIVE)).await.unwrap();
    let change = |text: &str| toml::from_str::<PolicyChange>(text).unwrap();
    let until = START_MS + 3_600_000;
    let date = jiff::Timestamp::from_millisecond(until.try_into().unwrap()).unwrap();
    let pause = change(&format!("paused_until = '{date}'\nchanged = 1048576"));
    let paused = office.change_policy(&name("five"), pause).await.unwrap();
    assert_eq!(paused.policy.rules.paused_until_ms, Some(until));
    assert!(paused.next_ms > Some(until), "{paused:?}");
    let later = (date + jiff::ToSpan::hours(1)).to_string();
    let seen = office.preview_policy(&name("five"), &later).await.unwrap();
    assert_eq!(seen[0].outlook.runs, 12);
    bench.pass(MINUTE * 50).await;
    assert_eq!(outcomes(&office, "five"), [], "neither the time nor changes count");
    bench.pass(MINUTE * 12).await;
    bench.pass(MINUTE * 5).await;
    let runs = outcomes(&office, "five");
    let runs: Vec<_> = runs.iter().map(|run| (run.cause, run.missed)).collect();
    assert_eq!(runs, [(Cause::Changed, 0), (Cause::Schedule, 0)]);
    // Set back into the pause, it plans anew, and pauses all the same.
    bench.clock.set_wall_ms(START_MS + 60_000);
    bench.pass(MINUTE).await;
    bench.pass(MINUTE * 30).await;
    assert_eq!(outcomes(&office, "five").len(), 2);
    let gone_on = office.change_policy(&name("five"), change("is_paused = false")).await.unwrap();
    assert_eq!(gone_on.policy.rules.paused_until_ms, None);
    let passed = change("paused_until = '2020-01-01'");
    assert!(office.change_policy(&name("five"), passed).await.is_err());
    office.stop().await.unwrap();
}

async fn write(office: &Appliance, blocks: u64) {
    let disk = office.pool().disk(&"mail".parse().unwrap()).unwrap();
    let bytes = vec![7; usize::try_from(blocks * 4096).unwrap()];
    let payload = disk::Buffer::copy_of(&bytes).unwrap().freeze();
    disk.write(0, vec![payload], disk::Durability::Volatile).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn changed_data_triggers_and_nothing_changed_is_left_out() {
    let bench = Bench::new();
    let office = bench.start().await;
    office.create_volume(&name("mail"), ByteSize(8 << 20)).await.unwrap();
    let text = "name = 'p'\nvolumes = ['mail']\nevery = '1h'\nchanged = 1048576\nskip_unchanged = true\nkeep = {last = 9}";
    office.create_policy(rules(text)).await.unwrap();
    bench.pass(MINUTE * 2).await;
    let causes = || outcomes(&office, "p").iter().map(|run| run.cause).collect::<Vec<_>>();
    assert_eq!(causes(), [Cause::Changed], "without a mark of its own everything has changed");
    write(&office, 255).await;
    bench.pass(MINUTE * 2).await;
    assert_eq!(causes().len(), 1, "that was too little");
    write(&office, 256).await;
    bench.pass(MINUTE * 2).await;
    assert_eq!(causes(), [Cause::Changed, Cause::Changed]);
    bench.pass(MINUTE * 60).await;
    let runs = outcomes(&office, "p");
    assert_eq!(runs[2].outcome, RunOutcome::Unchanged);
    write(&office, 1).await;
    bench.pass(MINUTE * 60).await;
    assert!(matches!(outcomes(&office, "p")[3].outcome, RunOutcome::Taken { .. }));
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_or_is_not_there_is_refused_and_changes_nothing() {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    office.create_policy(rules(FIVE)).await.unwrap();
    for (text, says) in [
        (FIVE, "there is a policy five already"),
        ("name = 'p'\nvolumes = ['none']\nevery = '5m'\nkeep = {last = 3}", "no volume none"),
        ("name = 'p'\ngroup = 'none'\nevery = '5m'\nkeep = {last = 3}", "no group none"),
        ("name = 'p'\nvolumes = ['mail']\nevery = '5m'\nkeep = {last = 252}", "257 together"),
    ] {
        let error = office.create_policy(rules(text)).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    let more = Keep { last: 256, ..Keep::default() };
    let change = PolicyChange { keep: Some(more), ..PolicyChange::default() };
    assert!(office.change_policy(&name("five"), change).await.is_err());
    assert_eq!(office.policies().unwrap().len(), 1);
    assert_eq!(office.policy(&name("five")).unwrap().policy.rules, rules(FIVE));
    bench.pass(MINUTE * 5).await;
    office.remove_policy(&name("five")).await.unwrap();
    assert!(office.policy(&name("five")).is_err());
    assert_eq!(names(&office, "mail").len(), 1, "its marks stay");
    office.remove_volume(&name("mail"), Sessions::Respect).await.unwrap();
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_volume_gets_room_from_marks_of_its_policy_and_a_failed_run_is_told() {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    office.create_policy(rules(FIVE)).await.unwrap();
    for _ in 0..3 {
        bench.pass(MINUTE * 5).await;
    }
    for index in 0..253 {
        let mark = Some(name(&format!("m{index}")));
        office.take_mark(&[name("mail")], mark, Grade::Crash).await.unwrap();
    }
    bench.pass(MINUTE * 5).await;
    let run = outcomes(&office, "five").pop().unwrap();
    assert!(matches!(run.outcome, RunOutcome::Taken { .. }), "{run:?}");
    assert_eq!(run.removed, ["mail@five-20261125T100500Z".parse().unwrap()]);
    assert_eq!(names(&office, "mail").len(), 256);
    for mark in names(&office, "mail").iter().filter(|mark| mark.starts_with("five")) {
        let mark = MarkRef { volume: name("mail"), mark: name(mark) };
        office.set_held(&mark, Hold::Held).await.unwrap();
    }
    bench.pass(MINUTE * 5).await;
    let run = outcomes(&office, "five").pop().unwrap();
    assert!(matches!(run.outcome, RunOutcome::Failed { .. }), "{run:?}");
    assert_eq!(names(&office, "mail").len(), 256);
    let troubles = office.status().troubles;
    assert!(troubles.iter().any(|trouble| trouble.of == "policy five"), "{troubles:?}");
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_group_is_marked_at_one_instant_and_foreseen() {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    office.create_volume(&name("logs"), ByteSize(1 << 20)).await.unwrap();
    office.create_group(&name("all"), &[name("mail"), name("logs")]).await.unwrap();
    let text = "name = 'g'\ngroup = 'all'\ncron = '30 2 * * *'\nkeep = {daily = 7}";
    office.create_policy(rules(text)).await.unwrap();
    office.run_policy(&name("g")).await.unwrap();
    let group = |volume: &str| office.marks(&name(volume)).unwrap()[0].group;
    assert!(group("mail").is_some());
    assert_eq!(group("mail"), group("logs"));
    let seen = office.preview_policy(&name("g"), "2026-12-02").await.unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].outlook.runs, seen[0].outlook.marks.len()), (6, 7));
    let new = rules("name = 'n'\nvolumes = ['mail']\nevery = '1d'\nkeep = {last = 2}");
    let seen = office.preview_rules(new, "2026-12-02").await.unwrap();
    assert_eq!((seen[0].outlook.marks.len(), seen[0].foreign), (2, 1));
    let new = rules("name = 'n'\nvolumes = ['mail']\nevery = '1d'\nkeep = {last = 255}");
    assert!(office.preview_rules(new, "2026-12-02").await.is_err(), "it would not fit");
    assert_eq!(office.policies().unwrap().len(), 1);
    for (at, says) in
        [("yesterday", "no moment"), ("2026-01-01", "passed"), ("2036-01-01", "ahead")]
    {
        let error = office.preview_policy(&name("g"), at).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_mark_is_taken_when_time_has_passed_since_the_last_run_whatever_began_that() {
    let bench = Bench::new();
    let office = bench.start().await;
    office.create_volume(&name("mail"), ByteSize(8 << 20)).await.unwrap();
    let text = "name = 'p'\nvolumes = ['mail']\nchanged = 1048576\npassed = '1h'\nskip_unchanged = true\nkeep = {last = 9}";
    office.create_policy(rules(text)).await.unwrap();
    bench.pass(MINUTE * 2).await;
    let causes = || outcomes(&office, "p").iter().map(|run| run.cause).collect::<Vec<_>>();
    assert_eq!(causes(), [Cause::Passed], "it never ran");
    let next = office.policy(&name("p")).unwrap().next_ms;
    assert_eq!(next, Some(outcomes(&office, "p")[0].began_ms + 3_600_000));
    bench.pass(MINUTE * 30).await;
    write(&office, 256).await;
    bench.pass(MINUTE * 2).await;
    assert_eq!(causes(), [Cause::Passed, Cause::Changed]);
    bench.pass(MINUTE * 58).await;
    assert_eq!(causes().len(), 2, "the hour began anew");
    write(&office, 1).await;
    bench.pass(MINUTE * 3).await;
    assert_eq!(causes()[2..], [Cause::Passed]);
    assert_eq!(names(&office, "mail").len(), 3);
    bench.pass(MINUTE * 61).await;
    bench.pass(MINUTE).await;
    bench.pass(MINUTE * 5).await;
    let runs = outcomes(&office, "p");
    assert_eq!(runs.len(), 4, "what is left out counts as a run");
    assert_eq!(runs[3].outcome, RunOutcome::Unchanged);
    bench.clock.set_wall_ms(START_MS - 86_400_000);
    bench.pass(MINUTE * 2).await;
    assert_eq!(outcomes(&office, "p").len(), 5, "nobody knows how much time has passed");
    bench.pass(MINUTE * 5).await;
    assert_eq!(outcomes(&office, "p").len(), 5);
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_policy_locks_what_it_takes_and_is_refused_where_that_would_fill_the_volume() {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    let locking = |every: &str, lock: &str| {
        let text = format!(
            "name = 'l'\nvolumes = ['mail']\nevery = '{every}'\nlock = '{lock}'\nkeep = {{last = 2}}"
        );
        rules(&text)
    };
    for (rules, says) in
        [(locking("5m", "1d"), "because they are locked"), (locking("1h", "11y"), "for 11y")]
    {
        let error = office.create_policy(rules).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    office.create_policy(locking("5m", "1h")).await.unwrap();
    for _ in 0..15 {
        bench.pass(MINUTE * 5).await;
    }
    let marks = office.marks(&name("mail")).unwrap();
    assert_eq!(marks.len(), 12, "those of an hour");
    assert!(marks.iter().all(|mark| mark.is_locked));
    let held = locking("5m", "1h");
    let other = Rules { name: name("other"), keep: Keep { last: 243, ..Keep::default() }, ..held };
    let error = office.create_policy(Rules { lock: None, ..other }).await.unwrap_err().to_string();
    assert!(error.contains("promised 13 to other"), "{error}");
    let none = PolicyChange { lock: Some("none".parse().unwrap()), ..PolicyChange::default() };
    office.change_policy(&name("l"), none).await.unwrap();
    bench.pass(MINUTE * 5).await;
    assert_eq!(office.marks(&name("mail")).unwrap().iter().filter(|m| m.is_locked).count(), 11);
    let gone = office.remove_volume(&name("mail"), Sessions::End).await.unwrap_err();
    assert!(gone.to_string().contains("locked"), "{gone}");
    let seen = office.preview_policy(&name("l"), "2026-11-26").await.unwrap();
    assert_eq!(seen[0].outlook.marks.len(), 2);
    assert_eq!(seen[0].outlook.gone.len(), 12);
    office.stop().await.unwrap();
}
