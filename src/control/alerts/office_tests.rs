//! An appliance in memory whose clock the test moves: what fires, who is told, what outlasts a restart and a catalogue
//! that does not work.

use base::clock::ManualClock;
use base::rng::SystemRng;
use base::size::ByteSize;
use disk::MemShelf;
use store::{Grade, World};
use tokio::net::UnixDatagram;

use super::super::channel::{Secret, SyslogWay};
use super::super::look::Pacer;
use super::super::rule::Severity;
use super::*;
use crate::config::{ApiConfig, Config, IscsiConfig, NbdConfig};
use crate::policy::rules::Rules;
use crate::{Site, StateDir};

const MINUTE: Duration = Duration::from_secs(60);
const START_MS: u64 = 1_795_600_800_000;

struct Bench {
    dir: tempfile::TempDir,
    shelf: Arc<MemShelf>,
    clock: Arc<ManualClock>,
    log: UnixDatagram,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::default();
        clock.set_wall_ms(START_MS);
        let dir = tempfile::tempdir().unwrap();
        let log = UnixDatagram::bind(dir.path().join("log")).unwrap();
        Self { dir, shelf: Arc::new(MemShelf::new()), clock: Arc::new(clock), log }
    }

    async fn start(&self) -> Arc<Appliance> {
        let state = StateDir::new(self.dir.path().join("state"));
        let lock = state.take().unwrap();
        let iscsi = IscsiConfig { listen: Some(Vec::new()), ..IscsiConfig::default() };
        let nbd = NbdConfig { listen: Vec::new(), ..NbdConfig::default() };
        let api = ApiConfig { listen: Some(Vec::new()), ..ApiConfig::default() };
        let mut config = Config { nbd, iscsi, api, ..Config::default() };
        config.pool.journal_size = Some("64M".parse().unwrap());
        let shelf = Arc::clone(&self.shelf) as Arc<dyn disk::Shelf>;
        let site = Site { state, lock, shelf, attachers: Vec::new() };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let world = World { clock, rng: Arc::new(SystemRng) };
        let office = Appliance::start_at(site, config, world).await.unwrap();
        // Only the test says when something is looked at and when a policy runs.
        office.policy_desk().stop().await;
        let watch = locked(&office.alerts().watch).take().unwrap();
        watch.abort();
        office
    }

    async fn restarted(&self, office: Arc<Appliance>) -> Arc<Appliance> {
        office.stop().await.unwrap();
        drop(office);
        self.start().await
    }

    /// With a volume that an hourly policy protects, and a channel to the log.
    async fn protected(&self) -> Arc<Appliance> {
        let office = self.start().await;
        office.create_volume(&name("mail"), ByteSize(1 << 20)).await.unwrap();
        let text =
            "name = 'hourly'\nvolumes = ['mail']\nevery = '1h'\nzone = 'UTC'\nkeep = {last = 3}";
        let rules: Rules = toml::from_str(text).unwrap();
        office.create_policy(rules).await.unwrap();
        office.alerts().add_channel(self.channel()).await.unwrap();
        office
    }

    fn channel(&self) -> NewChannel {
        let address = Some(self.dir.path().join("log").display().to_string());
        NewChannel {
            name: name("log"),
            to: Destination::Syslog { way: SyslogWay::Local, address },
            least: Severity::Warning,
            is_paused: false,
            secret: None,
        }
    }

    /// The next message that the log gets.
    async fn told(&self) -> String {
        let mut buffer = [0; 4096];
        let receiving = tokio::time::timeout(MINUTE, self.log.recv(&mut buffer));
        let len = receiving.await.expect("nothing was told").unwrap();
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        text.split('\u{feff}').nth(1).unwrap().to_owned()
    }

    /// Whether nothing was told, once all that was handed in is away.
    async fn is_quiet(&self, office: &Appliance) -> bool {
        while office.alerts().channels().unwrap().iter().any(|channel| channel.waiting > 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.log.try_recv(&mut [0; 4096]).is_err()
    }

    async fn pass(&self, office: &Appliance, by: Duration) {
        self.clock.advance(by);
        office.look_for_alerts(&mut Pacer::default()).await;
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_mark_that_is_too_old_is_told_acknowledged_and_over_when_there_is_another() {
    let bench = Bench::new();
    let office = bench.protected().await;
    bench.pass(&office, MINUTE * 100).await;
    assert!(office.alerts().list().is_empty());
    let mut events = office.events().listen().unwrap();
    bench.pass(&office, MINUTE * 60).await;
    let told = bench.told().await;
    assert!(told.starts_with("WARNING alert 1: mail: mail has no mark"), "{told}");
    assert!(told.contains("policy run hourly"), "{told}");
    assert_eq!(events.next().await.unwrap().kind, EventKind::Alert);
    let status = office.status();
    assert_eq!(status.alerts_open, 1);
    assert!(status.troubles.iter().any(|trouble| trouble.what.contains("has no mark")));
    let alert = office.alerts().acknowledge(1, "anna").await.unwrap();
    assert_eq!(alert.acknowledged.unwrap().by, "anna");
    bench.pass(&office, MINUTE * 60 * 30).await;
    assert!(bench.is_quiet(&office).await);
    office.take_mark(&[name("mail")], Some(name("now")), Grade::Crash).await.unwrap();
    bench.pass(&office, MINUTE).await;
    bench.pass(&office, MINUTE * 2).await;
    assert!(bench.told().await.starts_with("RESOLVED alert 1: mail:"));
    assert!(office.alerts().list().is_empty());
    let history = office.alerts().history(None, 10).unwrap();
    assert_eq!((history.len(), history[0].id, history[0].resolved_ms.is_some()), (1, 1, true));
    assert_eq!(office.alerts().show(1).unwrap(), history[0]);
    assert!(office.alerts().show(2).unwrap_err().to_string().contains("no alert 2"));
    office.stop().await.unwrap();
}

#[tokio::test]
async fn a_restart_tells_nothing_again_and_keeps_what_people_said() {
    let bench = Bench::new();
    let office = bench.protected().await;
    bench.pass(&office, MINUTE * 200).await;
    bench.told().await;
    let until = office.alerts().silence(1, "2027-01-01T00:00Z").await.unwrap().silenced_until_ms;
    assert!(until.is_some());
    assert!(office.alerts().silence(1, "2020-01-01").await.is_err());
    assert!(office.alerts().silence(9, "2027-01-01").await.is_err());
    let office = bench.restarted(office).await;
    bench.pass(&office, MINUTE * 10).await;
    let open = office.alerts().list();
    assert_eq!((open.len(), open[0].id, open[0].silenced_until_ms), (1, 1, until));
    assert!(bench.is_quiet(&office).await);
    let alert = office.alerts().unsilence(1).await.unwrap();
    assert_eq!(alert.silenced_until_ms, None);
    bench.pass(&office, MINUTE * 60 * 25).await;
    assert!(bench.told().await.contains("alert 1: mail"));
    office.stop().await.unwrap();
}

#[tokio::test]
async fn a_catalogue_that_is_locked_is_told_by_what_it_cannot_stop() {
    let bench = Bench::new();
    let office = bench.protected().await;
    bench.pass(&office, MINUTE).await;
    let file = bench.dir.path().join("state/catalogue.sqlite");
    let other = rusqlite::Connection::open(file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    bench.pass(&office, MINUTE * 200).await;
    assert!(bench.told().await.contains("mail has no mark"), "an alert waited for the catalogue");
    bench.pass(&office, MINUTE).await;
    let told = bench.told().await;
    assert!(told.contains("catalogue") && told.contains("locked"), "{told}");
    other.execute_batch("ROLLBACK").unwrap();
    // It works again once something was written, is seen to, and has done so for a while.
    for _ in 0..3 {
        bench.pass(&office, MINUTE).await;
    }
    let resolved = bench.told().await;
    assert!(resolved.starts_with("RESOLVED") && resolved.contains("catalogue"), "{resolved}");
    let (open, last) = office.alerts().record.open().unwrap();
    assert_eq!((open.len(), last), (1, 2), "what could not be written was written later");
    office.stop().await.unwrap();
}

#[tokio::test]
async fn channels_are_added_changed_and_removed_and_no_secret_is_shown() {
    let bench = Bench::new();
    let office = bench.start().await;
    let alerts = office.alerts();
    let hook = NewChannel {
        name: name("hook"),
        to: Destination::Webhook { url: "http://127.0.0.1:1/".into(), authority: None },
        secret: Some(Secret::new("opensesame-opensesame".into()).unwrap()),
        ..bench.channel()
    };
    let made = alerts.add_channel(hook.clone()).await.unwrap();
    assert!(made.has_secret && !serde_json::to_string(&made).unwrap().contains("sesame"));
    assert!(alerts.add_channel(hook.clone()).await.unwrap_err().to_string().contains("hook"));
    let test = alerts.test_channel(&name("hook")).await.unwrap();
    assert!(!test.is_delivered && test.said.contains("connect to 127.0.0.1"), "{test:?}");
    assert!(alerts.channels().unwrap()[0].failure.is_some());
    assert!(office.status().troubles.is_empty(), "a test in vain is no trouble of the appliance");
    let change = ChannelChange { to: Some(bench.channel().to), ..ChannelChange::default() };
    assert!(alerts.change_channel(&name("hook"), change).await.is_err());
    let paused = ChannelChange { is_paused: Some(true), ..ChannelChange::default() };
    assert!(alerts.change_channel(&name("hook"), paused.clone()).await.unwrap().is_paused);
    assert!(alerts.change_channel(&name("none"), paused).await.is_err());
    alerts.add_channel(bench.channel()).await.unwrap();
    let test = alerts.test_channel(&name("log")).await.unwrap();
    assert!(test.is_delivered && bench.told().await.starts_with("TEST alert 0: channel log:"));
    let office = bench.restarted(office).await;
    let names: Vec<_> =
        office.alerts().channels().unwrap().into_iter().map(|one| one.name.to_string()).collect();
    assert_eq!(names, ["hook", "log"]);
    office.alerts().remove_channel(&name("hook")).await.unwrap();
    assert!(office.alerts().remove_channel(&name("hook")).await.is_err());
    assert!(office.alerts().test_channel(&name("hook")).await.is_err());
    assert_eq!(office.alerts().channels().unwrap().len(), 1);
    office.stop().await.unwrap();
}

#[tokio::test]
async fn a_channel_is_told_what_is_bad_enough_for_it_and_not_of_itself() {
    let bench = Bench::new();
    let office = bench.protected().await;
    let critical = ChannelChange { least: Some(Severity::Critical), ..ChannelChange::default() };
    office.alerts().change_channel(&name("log"), critical).await.unwrap();
    bench.pass(&office, MINUTE * 200).await;
    assert_eq!(office.alerts().list()[0].told_ms, None);
    assert!(bench.is_quiet(&office).await);
    let all = ChannelChange { least: Some(Severity::Warning), ..ChannelChange::default() };
    office.alerts().change_channel(&name("log"), all).await.unwrap();
    bench.pass(&office, MINUTE).await;
    assert!(bench.told().await.contains("mail has no mark"));
    let deaf = |of: &str| Finding::warning(Rule::Channel, of, "it is deaf".into(), "look");
    office.alerts().take_in(vec![deaf("channel log"), deaf("channel other")], |_| false);
    assert!(bench.told().await.contains("channel other"));
    assert!(bench.is_quiet(&office).await, "it was told of itself");
    office.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_of_channels_that_is_damaged_is_a_trouble_and_alerts_are_still_seen() {
    let bench = Bench::new();
    let state = StateDir::new(bench.dir.path().join("state"));
    drop(state.take().unwrap());
    std::fs::write(bench.dir.path().join("state/alerts.toml"), "version = 7").unwrap();
    let office = bench.start().await;
    let troubles = office.status().troubles;
    assert!(troubles[0].of == "alerts" && troubles[0].what.contains("alerts.toml"), "{troubles:?}");
    bench.pass(&office, MINUTE).await;
    assert_eq!(office.alerts().list()[0].rule, Rule::Channel);
    assert!(office.alerts().channels().is_err());
    assert!(office.alerts().add_channel(bench.channel()).await.is_err());
    assert!(office.alerts().silence(1, "2027-01-01").await.is_err());
    office.stop().await.unwrap();
}

#[tokio::test]
async fn settings_decide_when_marks_are_too_old() {
    let bench = Bench::new();
    let office = bench.protected().await;
    let change = SettingsChange { mark_age_factor: Some(10), ..SettingsChange::default() };
    office.alerts().change_settings(change).await.unwrap();
    bench.pass(&office, MINUTE * 200).await;
    assert!(office.alerts().list().is_empty());
    let senseless = SettingsChange { mark_age_factor: Some(0), ..SettingsChange::default() };
    assert!(office.alerts().change_settings(senseless).await.is_err());
    assert_eq!(office.alerts().settings().mark_age_factor, 10);
    bench.pass(&office, MINUTE * 500).await;
    assert_eq!(office.alerts().list().len(), 1);
    office.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_foreseen_and_a_certificate_that_ends_are_told_too() {
    let bench = Bench::new();
    let office = bench.protected().await;
    office.alerts().set_certificate_end(Some(START_MS + 86_400_000));
    let free = office.pool().status().space_free_bytes;
    office.capacity_desk().pretend_growth(free / 2, START_MS).await;
    bench.pass(&office, MINUTE).await;
    let rules: Vec<_> = office.alerts().list().into_iter().map(|alert| alert.rule).collect();
    assert_eq!(rules, [Rule::Certificate, Rule::SpaceFills]);
    let told = [bench.told().await, bench.told().await].join("\n");
    assert!(told.contains("CRITICAL") && told.contains("likely none in"), "{told}");
    office.stop().await.unwrap();
}
