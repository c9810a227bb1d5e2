//! An appliance in memory whose clock the test moves, over months: it grows when it must, by its steps, no further than
//! it may; and what it foresees is held against what then happens.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::clock::ManualClock;
use base::rng::{Rng, SystemRng};
use base::units::Extent;
use disk::{AnyDisk, DiskError, MemShelf, Shelf, Space, Usage};
use store::World;

use super::*;
use crate::capacity::forecast::Outlook;
use crate::capacity::growth::{Growth, PreservedRule};
use crate::config::{Config, IscsiConfig, NbdConfig};
use crate::jobs::JobState;
use crate::{Site, StateDir};

const MIB: u64 = 1 << 20;
const HOUR: Duration = Duration::from_secs(3600);
const DAY_MS: u64 = 24 * 3_600_000;
const START_MS: u64 = 1_795_600_800_000;

/// A shelf on a file system as large as the test says.
struct Small {
    inner: MemShelf,
    total: AtomicU64,
    refuses_to_grow: AtomicBool,
}

impl Shelf for Small {
    fn create(&self, name: &str, sectors: u64, usage: Usage) -> Result<AnyDisk, DiskError> {
        self.inner.create(name, sectors, usage)
    }
    fn open(&self, name: &str, usage: Usage) -> Result<AnyDisk, DiskError> {
        self.inner.open(name, usage)
    }
    fn grow(&self, name: &str, sectors: u64) -> Result<(), DiskError> {
        if self.refuses_to_grow.load(Ordering::Relaxed) {
            return Err(DiskError::NoSpace("in the test".into()));
        }
        self.inner.grow(name, sectors)
    }
    fn reserve(&self, name: &str, extent: Extent) -> Result<(), DiskError> {
        self.inner.reserve(name, extent)
    }
    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.inner.remove(name)
    }
    fn list(&self) -> Result<Vec<String>, DiskError> {
        self.inner.list()
    }
    fn adopt(&self, path: &Path) -> Result<AnyDisk, DiskError> {
        self.inner.adopt(path)
    }
    fn space(&self) -> Result<Space, DiskError> {
        let Space { free, total } = self.inner.space()?;
        let room = self.total.load(Ordering::Relaxed);
        Ok(Space { free: room.saturating_sub(total - free), total: room })
    }
}

struct Bench {
    dir: tempfile::TempDir,
    shelf: Arc<Small>,
    clock: Arc<ManualClock>,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::default();
        clock.set_wall_ms(START_MS);
        let shelf = Small {
            inner: MemShelf::new(),
            total: AtomicU64::new(4096 * MIB),
            refuses_to_grow: AtomicBool::new(false),
        };
        let dir = tempfile::tempdir().unwrap();
        Self { dir, shelf: Arc::new(shelf), clock: Arc::new(clock) }
    }

    async fn start(&self) -> Arc<Appliance> {
        let state = StateDir::new(self.dir.path().join("state"));
        let lock = state.take().unwrap();
        let iscsi = IscsiConfig { listen: Some(Vec::new()), ..IscsiConfig::default() };
        let nbd = NbdConfig { listen: Vec::new(), ..NbdConfig::default() };
        let mut config = Config { nbd, iscsi, ..Config::default() };
        config.pool.journal_size = Some("16M".parse().unwrap());
        let shelf = Arc::clone(&self.shelf) as Arc<dyn Shelf>;
        let site = Site { state, lock, shelf, attachers: Vec::new() };
        let clock = Arc::clone(&self.clock) as Arc<dyn base::clock::Clock>;
        Appliance::start_at(site, config, World { clock, rng: Arc::new(SystemRng) }).await.unwrap()
    }

    /// Moves the clock, and looks; when this returns, what had to grow has grown.
    async fn pass(&self, office: &Arc<Appliance>, by: Duration) {
        self.clock.advance(by);
        look(office).await;
        while office.jobs().running() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn rule(grow_at: u8, by: u64, up_to: u64) -> Growth {
    Growth { grow_at, by: ByteSize(by * MIB), up_to: ByteSize(up_to * MIB) }
}

fn size(office: &Appliance, volume: &str) -> u64 {
    office.volume(&name(volume)).unwrap().size.0 / MIB
}

/// Fills these MiB.
async fn fill(office: &Appliance, volume: &str, mib: std::ops::Range<u64>) {
    for at in mib {
        write(office, volume, at * MIB, vec![7; 1 << 20]).await;
    }
    settle(office, volume).await;
}

async fn write(office: &Appliance, volume: &str, at: u64, bytes: Vec<u8>) {
    let disk = office.pool().disk(&volume.parse().unwrap()).unwrap();
    let payload = disk::Buffer::copy_of(&bytes).unwrap().freeze();
    disk.write(at / 512, vec![payload], disk::Durability::Volatile).await.unwrap();
}

/// Waits until everything is in the base, where it counts: also what went past the journal, once the pool is quiet.
async fn settle(office: &Appliance, volume: &str) {
    office.pool().disk(&volume.parse().unwrap()).unwrap().flush().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    while office.volume(&name(volume)).unwrap().unapplied_bytes > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Overwrites the first MiB with what no compression makes smaller.
async fn churn(office: &Appliance, volume: &str, mib: u64, turn: u64) {
    let rng = base::rng::SeededRng::new(turn);
    for at in 0..mib {
        let words = (0..1 << 17).flat_map(|_| rng.next_u64().to_le_bytes());
        write(office, volume, at * MIB, words.collect()).await;
    }
    settle(office, volume).await;
}

async fn audited(office: &Arc<Appliance>) -> Vec<(String, String)> {
    let entries = on_a_thread(office.audit(), |audit| audit.entries(None, 100)).await.unwrap();
    let own = entries.into_iter().filter(|entry| entry.who == "tidemarkd");
    own.map(|entry| (entry.detail, entry.outcome)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_volume_grows_at_its_threshold_by_one_step_at_a_time_up_to_its_cap() {
    let bench = Bench::new();
    let office = bench.start().await;
    office.create_volume(&name("mail"), ByteSize(20 * MIB)).await.unwrap();
    office.create_volume(&name("still"), ByteSize(20 * MIB)).await.unwrap();
    office.set_growth(&name("mail"), rule(80, 10, 35)).await.unwrap();
    fill(&office, "mail", 0..15).await;
    bench.pass(&office, HOUR).await;
    assert_eq!(size(&office, "mail"), 20, "75 % is not 80 %");
    fill(&office, "mail", 15..16).await;
    bench.pass(&office, HOUR).await;
    assert_eq!(size(&office, "mail"), 30, "exactly 80 %");
    // Even where it is due again at once, it waits: one step, then time to notice.
    fill(&office, "mail", 16..29).await;
    bench.pass(&office, Duration::from_secs(60)).await;
    assert_eq!(size(&office, "mail"), 30);
    bench.pass(&office, Duration::from_secs(600)).await;
    assert_eq!(size(&office, "mail"), 35, "the last step ends at the cap");
    fill(&office, "mail", 29..34).await;
    for _ in 0..48 {
        bench.pass(&office, HOUR).await;
    }
    assert_eq!((size(&office, "mail"), size(&office, "still")), (35, 20));
    let told = office.capacity();
    let trouble = told.volumes[0].growth.as_ref().unwrap().trouble.clone().unwrap();
    assert!(trouble.contains("up to 35M only") && trouble.contains("capacity set"), "{trouble}");
    assert!(office.status().troubles.iter().any(|one| one.of == "mail" && one.what == trouble));
    let jobs = office.jobs().list();
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| job.kind == JobKind::Grow && job.state == JobState::Done));
    let audited = audited(&office).await;
    let outcomes: Vec<_> = audited.iter().rev().map(|(_, outcome)| &outcome[..4]).collect();
    assert_eq!(outcomes, ["done", "done", "no-s"], "and not once an hour: {audited:?}");
    // A higher cap lets it go on, and the trouble is over.
    office.set_growth(&name("mail"), rule(80, 10, 100)).await.unwrap();
    bench.pass(&office, HOUR).await;
    bench.pass(&office, HOUR).await;
    assert_eq!(size(&office, "mail"), 45);
    assert!(office.status().troubles.iter().all(|one| one.of != "mail"));
    office.remove_growth(&name("mail")).await.unwrap();
    fill(&office, "mail", 34..45).await;
    bench.pass(&office, HOUR).await;
    assert_eq!(size(&office, "mail"), 45);
    assert!(office.remove_growth(&name("mail")).await.is_err());
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_grows_beyond_what_the_file_system_has_free() {
    let bench = Bench::new();
    let office = bench.start().await;
    for volume in ["a", "b"] {
        office.create_volume(&name(volume), ByteSize(20 * MIB)).await.unwrap();
        office.set_growth(&name(volume), rule(50, 100, 1000)).await.unwrap();
        fill(&office, volume, 0..10).await;
    }
    let taken = used(&office.pool().status());
    bench.shelf.total.store(taken + 99 * MIB, Ordering::Relaxed);
    for _ in 0..24 {
        bench.pass(&office, HOUR).await;
    }
    assert_eq!((size(&office, "a"), size(&office, "b")), (20, 20));
    let troubles = office.status().troubles;
    let blocked = troubles.iter().find(|one| one.of == "a").unwrap();
    assert!(blocked.what.contains("add space"), "{blocked:?}");
    assert_eq!(office.jobs().list().len(), 0);
    assert_eq!(audited(&office).await.len(), 2);
    // Room for one of the two: the other waits, whatever was promised meanwhile.
    bench.shelf.total.store(taken + 150 * MIB, Ordering::Relaxed);
    bench.pass(&office, HOUR).await;
    assert_eq!((size(&office, "a"), size(&office, "b")), (120, 20));
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_grow_is_told_and_tried_again_only_after_a_while() {
    let bench = Bench::new();
    let office = bench.start().await;
    office.create_volume(&name("mail"), ByteSize(20 * MIB)).await.unwrap();
    office.set_growth(&name("mail"), rule(50, 10, 100)).await.unwrap();
    fill(&office, "mail", 0..10).await;
    bench.shelf.refuses_to_grow.store(true, Ordering::Relaxed);
    bench.pass(&office, Duration::from_secs(60)).await;
    bench.pass(&office, Duration::from_secs(60)).await;
    let failed = office.jobs().list();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].state, JobState::Failed);
    let troubles = office.status().troubles;
    assert!(troubles.iter().any(|one| one.what.contains("could not grow to 30M")), "{troubles:?}");
    assert_eq!(size(&office, "mail"), 20);
    bench.shelf.refuses_to_grow.store(false, Ordering::Relaxed);
    // That the rules cannot be kept, since a folder is in their place, does not keep it from growing.
    let path = bench.dir.path().join("state/capacity.toml.new");
    std::fs::create_dir(&path).unwrap();
    bench.pass(&office, HOUR).await;
    assert_eq!(size(&office, "mail"), 30);
    std::fs::remove_dir(&path).unwrap();
    assert!(office.status().troubles.iter().all(|one| one.of != "mail"));
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn months_are_foreseen_within_hours_and_a_restart_forgets_nothing() {
    const STEP_HOURS: u64 = 2;
    const STEP_LEN: u64 = 128 << 10;
    let bench = Bench::new();
    let mut office = bench.start().await;
    office.create_volume(&name("mail"), ByteSize(100 * MIB)).await.unwrap();
    office.set_growth(&name("mail"), rule(90, 20, 120)).await.unwrap();
    let (mut worst, mut count, mut grown_at) = (0f64, 0, None);
    for step in 0..92 * 24 / STEP_HOURS {
        if step == 45 * 12 {
            office.stop().await.unwrap();
            drop(office);
            office = bench.start().await;
        }
        if step < 120 * MIB / STEP_LEN {
            write(&office, "mail", step * STEP_LEN, vec![7; 128 << 10]).await;
            settle(&office, "mail").await;
        }
        bench.pass(&office, HOUR * u32::try_from(STEP_HOURS).unwrap()).await;
        if grown_at.is_none() && size(&office, "mail") == 120 {
            grown_at = Some(step);
        }
        let forecasts = office.forecasts();
        let told = &forecasts.volumes[&name("mail")];
        if (step + 1) * STEP_HOURS < 24 {
            assert_eq!(told.outlook, Outlook::NotEnoughHistory, "step {step}");
        } else if grown_at.is_none() {
            let steps_left = 100 * MIB / STEP_LEN - (step + 1);
            let truth = (steps_left * STEP_HOURS) as f64 / 24.0;
            let likely = told.days_to_full(forecasts.now_ms).unwrap();
            worst = worst.max((likely - truth).abs());
            count += 1;
            assert_eq!(forecasts.days_to_full()[0].0, "volume mail");
        }
    }
    // 720 writes of 128 KiB are 90 of 100 MiB.
    assert_eq!(grown_at, Some(719));
    println!("the worst of {count} forecasts was wrong by {worst:.3} days");
    assert!(worst < 0.25, "{worst}");
    let points = office.capacity_history(Some(&name("mail")), 730).unwrap().points;
    let span = points.last().unwrap().at_ms - points[0].at_ms;
    assert!(span > 90 * DAY_MS, "from before the restart on: {}", span / DAY_MS);
    assert!(points.is_sorted_by(|a, b| a.at_ms < b.at_ms));
    assert!(office.capacity_history(None, 7).unwrap().points.len() > 80);
    assert!(office.capacity_history(None, 731).is_err());
    let told = office.capacity();
    let growth = told.volumes[0].growth.clone().unwrap();
    assert!(growth.grown_ms.is_some() && growth.trouble.is_some(), "at its cap: {growth:?}");
    assert_eq!(told.volumes[0].forecast.as_ref().unwrap().outlook, Outlook::Full);
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rules_that_make_no_sense_for_a_volume_are_refused_and_those_of_removed_ones_go() {
    let bench = Bench::new();
    let office = bench.start().await;
    office.create_volume(&name("mail"), ByteSize(100 * MIB)).await.unwrap();
    for (volume, growth, says) in [
        ("mail", rule(80, 10, 50), "beyond"),
        ("mail", rule(0, 10, 500), "85%"),
        ("nowhere", rule(80, 10, 500), "volume ls"),
    ] {
        let error = office.set_growth(&name(volume), growth).await.unwrap_err();
        assert!(error.way_out().unwrap().contains(says), "{error}");
    }
    office.set_growth(&name("mail"), rule(80, 10, 500)).await.unwrap();
    office.remove_volume(&name("mail"), crate::volumes::Sessions::Respect).await.unwrap();
    office.create_volume(&name("mail"), ByteSize(100 * MIB)).await.unwrap();
    assert_eq!(office.capacity().volumes[0].growth, None, "another volume of the same name");
    office.create_volume(&name("logs"), ByteSize(100 * MIB)).await.unwrap();
    office.set_growth(&name("logs"), rule(80, 10, 500)).await.unwrap();
    assert_eq!(office.capacity_desk().rules().unwrap().volumes.len(), 1);
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_preserved_blocks_grows_by_its_rule_and_is_in_force_after_a_restart() {
    let bench = Bench::new();
    let office = bench.start().await;
    office.create_volume(&name("mail"), ByteSize(64 * MIB)).await.unwrap();
    let limit = PreservedRule { limit: ByteSize(20 * MIB), growth: Some(rule(50, 10, 35)) };
    let told = office.limit_preserved(limit).await.unwrap();
    assert_eq!((told.limit, told.size_bytes), (Some(ByteSize(20 * MIB)), 20 * MIB));
    let mut turn = 0;
    let mut overwrite = async |office: &Appliance, mib: u64| {
        turn += 1;
        let mark = format!("m{turn}").parse().unwrap();
        office.take_mark(&[name("mail")], Some(mark), store::Grade::Crash).await.unwrap();
        churn(office, "mail", mib, turn).await;
    };
    overwrite(&office, 9).await;
    overwrite(&office, 9).await;
    bench.pass(&office, HOUR).await;
    assert_eq!(office.capacity().preserved.limit, Some(ByteSize(20 * MIB)), "9 of 20");
    overwrite(&office, 9).await;
    for expected in [30, 35, 35] {
        bench.pass(&office, HOUR).await;
        assert_eq!(office.capacity().preserved.limit, Some(ByteSize(expected * MIB)));
    }
    assert_eq!(office.volume(&name("mail")).unwrap().marks, 3, "no mark had to go");
    office.stop().await.unwrap();
    drop(office);

    let office = bench.start().await;
    assert_eq!(office.pool().status().preserved_limit, Some(ByteSize(35 * MIB)));
    // At its cap, the oldest marks go as in a full store, and it is told.
    overwrite(&office, 9).await;
    overwrite(&office, 9).await;
    overwrite(&office, 9).await;
    bench.pass(&office, HOUR).await;
    let status = office.status();
    assert!(status.pool.preserved_bytes <= 40 * MIB, "{}", status.pool.preserved_bytes);
    assert!(office.volume(&name("mail")).unwrap().marks < 6);
    let told = |of: &str, what: &str| {
        status.troubles.iter().any(|one| one.of == of && one.what.contains(what))
    };
    assert!(told("preserved store", "capacity set preserved"), "{:?}", status.troubles);
    assert!(told("pool", "raise the limit"), "{:?}", status.troubles);
    office.unlimit_preserved().await.unwrap();
    assert_eq!(office.capacity().preserved.limit, None);
    assert!(office.unlimit_preserved().await.is_err());
    for (limit, growth) in [(1000, None), (40 * MIB, Some(rule(80, 1, 20)))] {
        let bad = PreservedRule { limit: ByteSize(limit), growth };
        assert!(office.limit_preserved(bad).await.is_err());
    }
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rules_that_cannot_be_read_stop_nothing_but_growing() {
    let bench = Bench::new();
    bench.start().await.stop().await.unwrap();
    std::fs::write(bench.dir.path().join("state/capacity.toml"), "version = 9").unwrap();
    let office = bench.start().await;
    office.create_volume(&name("mail"), ByteSize(20 * MIB)).await.unwrap();
    assert!(office.set_growth(&name("mail"), rule(80, 10, 50)).await.is_err());
    bench.pass(&office, HOUR).await;
    let troubles = office.status().troubles;
    let named = troubles.iter().find(|one| one.of == "capacity").unwrap();
    assert!(named.is_failure && named.what.contains("capacity.toml"), "{named:?}");
    assert_eq!(office.capacity().volumes.len(), 1);
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn looking_after_two_hundred_volumes_costs_under_a_thousandth_of_a_processor() {
    const VOLUMES: u32 = 200;
    const LOOKS: u32 = 25;
    let bench = Bench::new();
    let office = bench.start().await;
    for number in 0..VOLUMES {
        let volume = name(&format!("v{number}"));
        office.create_volume(&volume, ByteSize(MIB)).await.unwrap();
        office.set_growth(&volume, rule(80, 1, 10)).await.unwrap();
    }
    // Two days of history, so that forecasts have all the points that there can be.
    for _ in 0..576 {
        bench.clock.advance(LOOK_INTERVAL * 5);
        let (pool, volumes) = (office.pool().status(), office.pool().volumes());
        let now = measured(&pool, &volumes, office.clock().wall_ms());
        assert!(office.capacity_desk().take(0, &now));
    }
    let watch = base::clock::SystemClock::default();
    let begun = base::clock::Clock::monotonic(&watch);
    for _ in 0..LOOKS {
        bench.pass(&office, LOOK_INTERVAL).await;
    }
    let each = (base::clock::Clock::monotonic(&watch) - begun) / LOOKS;
    let told = office.capacity();
    let known = told.volumes.iter().filter(|one| one.preserved_bytes_per_day == Some(0)).count();
    println!("a look at {known} volumes, a forecast at each fifth: {each:?}");
    assert_eq!(known, 200);
    assert!(each < LOOK_INTERVAL / 1000, "{each:?}");
    office.capacity_desk().save_history().await;
    let kept = std::fs::metadata(bench.dir.path().join("state/capacity-history")).unwrap().len();
    println!("two days of it are {kept} bytes on the disk");
    assert!(kept < 2_000_000, "{kept}");
    office.stop().await.unwrap();
}
