//! An appliance whose pool goes, is another, or has lost something.

use base::rng::SystemRng;
use base::size::ByteSize;
use disk::MemShelf;
use rusqlite::Connection;
use store::World;

use super::*;
use crate::config::{Config, IscsiConfig, NbdConfig};
use crate::iscsi::NewTarget;
use crate::volumes::Sessions;
use crate::{Site, StateDir};

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    async fn try_start(
        &self,
        shelf: &Arc<MemShelf>,
        forgotten: Option<&str>,
    ) -> Result<Arc<Appliance>, ControlError> {
        let state = StateDir::new(self.dir.path().join("state"));
        let lock = state.take_from_the_dying().await.unwrap();
        let iscsi = IscsiConfig { listen: Some(Vec::new()), ..IscsiConfig::default() };
        let nbd = NbdConfig { listen: Vec::new(), ..NbdConfig::default() };
        let mut config = Config { nbd, iscsi, ..Config::default() };
        config.pool.journal_size = Some("16M".parse().unwrap());
        config.pool.forgotten = forgotten.map(|pool| pool.parse().unwrap());
        let shelf = Arc::clone(shelf) as Arc<dyn disk::Shelf>;
        let site = Site { state, lock, shelf, attachers: Vec::new() };
        let clock = Arc::new(base::clock::SystemClock::default());
        Appliance::start_at(site, config, World { clock, rng: Arc::new(SystemRng) }).await
    }

    async fn start(&self, shelf: &Arc<MemShelf>) -> Arc<Appliance> {
        self.try_start(shelf, None).await.unwrap()
    }

    /// A shelf with a pool that has a volume, after a clean stop, and the pool's id.
    async fn served(&self) -> (Arc<MemShelf>, Id) {
        let shelf = Arc::new(MemShelf::new());
        let office = self.start(&shelf).await;
        office.create_volume(&name("mail"), ByteSize(1 << 20)).await.unwrap();
        let id = office.pool().status().id;
        end(office).await;
        (shelf, id)
    }

    /// Does something to the catalogue while no daemon runs.
    fn sql(&self, sql: &str) {
        let path = self.dir.path().join("state/catalogue.sqlite");
        Connection::open(path).unwrap().execute_batch(sql).unwrap();
    }
}

async fn end(office: Arc<Appliance>) {
    office.stop().await.unwrap();
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn refusal(started: Result<Arc<Appliance>, ControlError>) -> String {
    let error = started.err().expect("it was served");
    format!("{error}; {}", error.way_out().unwrap())
}

fn missing(office: &Appliance) -> Vec<String> {
    let findings = office.findings_of(&office.pool().status()).into_iter();
    findings.filter(|one| one.rule == Rule::Missing).map(|one| one.of).collect()
}

#[tokio::test]
async fn where_the_pool_is_gone_no_other_is_made_until_somebody_gives_it_up_by_its_name() {
    let bench = Bench::new();
    let (shelf, id) = bench.served().await;
    let empty = Arc::new(MemShelf::new());
    for forgotten in [None, Some("unknown"), Some("00000000000000000000000000000001")] {
        let said = refusal(bench.try_start(&empty, forgotten).await);
        assert!(said.contains(&format!("has the pool {id}, and there is none")), "{said}");
        assert!(said.contains("mount") && said.contains(&format!("--forget-pool {id}")), "{said}");
        assert!(disk::Shelf::list(&*empty).unwrap().is_empty(), "something was made");
    }
    let office = bench.start(&shelf).await;
    assert!(office.volume(&name("mail")).is_ok() && missing(&office).is_empty());
    end(office).await;
    let forgotten = id.to_string();
    let office = bench.try_start(&empty, Some(&forgotten)).await.unwrap();
    assert!(office.pool().volumes().is_empty() && missing(&office).is_empty());
    let fresh = office.pool().status().id;
    end(office).await;
    // Said again, it does nothing, and the first one is another one now.
    bench.try_start(&empty, Some(&forgotten)).await.unwrap().stop().await.unwrap();
    let said = refusal(bench.try_start(&shelf, Some(&forgotten)).await);
    assert!(said.contains(&fresh.to_string()) && said.contains(&id.to_string()), "{said}");
}

#[tokio::test]
async fn another_pool_is_not_served_for_the_one_that_is_known() {
    let bench = Bench::new();
    let (_, id) = bench.served().await;
    let (shelf, other) = Bench::new().served().await;
    let said = refusal(bench.try_start(&shelf, None).await);
    assert!(said.contains(&id.to_string()) && said.contains(&other.to_string()), "{said}");
    std::fs::write(bench.dir.path().join("state/pool/catalogue.sqlite"), "the other's").unwrap();
    let office = bench.try_start(&shelf, Some(&id.to_string())).await.unwrap();
    assert_eq!((office.pool().status().id, missing(&office)), (other, Vec::new()));
    end(office).await;
    let aside = bench.dir.path().join("state/pool/catalogue.sqlite.other-1");
    assert_eq!(std::fs::read_to_string(aside).unwrap(), "the other's");
    bench.start(&shelf).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_pool_that_is_gone_together_with_the_catalogue_is_not_replaced_either() {
    let bench = Bench::new();
    let (shelf, _) = bench.served().await;
    let state = bench.dir.path().join("state");
    std::fs::remove_file(state.join("catalogue.sqlite")).unwrap();
    std::fs::remove_file(state.join("pool/catalogue.sqlite")).unwrap();
    let said = refusal(bench.try_start(&Arc::new(MemShelf::new()), None).await);
    assert!(said.contains("has had a pool") && said.contains("--forget-pool unknown"), "{said}");
    bench.start(&shelf).await.stop().await.unwrap();
    // What was before the catalogue knew its pool is like that, too.
    bench.sql("DELETE FROM pool");
    let empty = Arc::new(MemShelf::new());
    assert!(refusal(bench.try_start(&empty, None).await).contains("has had a pool"));
    let office = bench.try_start(&empty, Some("unknown")).await.unwrap();
    assert!(missing(&office).is_empty(), "what is given up is not missing");
    end(office).await;
}

#[tokio::test]
async fn what_went_without_the_daemon_is_told_until_somebody_says_that_it_is_meant() {
    let bench = Bench::new();
    let (shelf, _) = bench.served().await;
    let row = |id: u32, name: &str, is_leaving: u32| {
        bench.sql(&format!(
            "INSERT INTO volume VALUES ('{id:032x}', '{name}', NULL, 4096, 7, {is_leaving}, NULL)"
        ));
    };
    row(7, "gone", 0);
    row(8, "removed", 1);
    bench.sql("INSERT INTO target VALUES ('away', 7, 0, NULL)");
    let office = bench.start(&shelf).await;
    assert_eq!(missing(&office), ["volume gone", "target away"]);
    let told = office.status().troubles;
    let gone = told.iter().find(|trouble| trouble.of == "volume gone").unwrap();
    assert!(gone.is_failure && gone.what.contains("4K") && gone.what.contains("alert ack"));
    let checks = crate::doctor::examine(
        office.state(),
        &(Arc::new(base::clock::SystemClock::default()) as Arc<dyn base::clock::Clock>),
    )
    .await;
    let pool = checks.iter().find(|check| check.name == "pool").unwrap();
    assert!(pool.found.contains("volume gone") && pool.way_out.is_some(), "{pool:?}");
    office.inventory().forget("volume mail").await.unwrap();
    office.inventory().forget("volume gone").await.unwrap();
    assert_eq!(missing(&office), ["target away"]);
    let new = NewTarget { name: name("away"), ..serde_json::from_str(r#"{"name":"x"}"#).unwrap() };
    office.create_target(new).await.unwrap();
    office.look_at_inventory().await;
    assert!(missing(&office).is_empty(), "it came back");
    end(office).await;
    let office = bench.start(&shelf).await;
    assert!(missing(&office).is_empty());
    end(office).await;
}

#[tokio::test]
async fn what_is_removed_here_is_not_missed_also_where_the_daemon_dies_over_it() {
    let bench = Bench::new();
    let (shelf, _) = bench.served().await;
    let office = bench.start(&shelf).await;
    let new = serde_json::from_str(r#"{"name":"t"}"#).unwrap();
    office.create_target(new).await.unwrap();
    office.create_volume(&name("logs"), ByteSize(1 << 20)).await.unwrap();
    office.look_at_inventory().await;
    office.remove_volume(&name("mail"), Sessions::Respect).await.unwrap();
    office.remove_target(&name("t"), Sessions::Respect).await.unwrap();
    // As after SIGKILL: what only a later look would have written is not there.
    office.inventory().state().is_stopped = true;
    end(office).await;
    let office = bench.start(&shelf).await;
    assert!(missing(&office).is_empty(), "{:?}", missing(&office));
    let known = office.inventory().state().known.clone().unwrap();
    assert_eq!((known.volumes.len(), known.targets.len()), (1, 0));
    end(office).await;
}
