//! Policies while their catalogue is locked, newer, damaged or gone.

use rusqlite::Connection;

use super::*;
use crate::error::ControlError;

fn file(bench: &Bench) -> std::path::PathBuf {
    bench.dir.path().join("state/catalogue.sqlite")
}

fn copy(bench: &Bench) -> std::path::PathBuf {
    bench.dir.path().join("state/pool/catalogue.sqlite")
}

fn of(office: &Appliance, what: &str) -> Vec<String> {
    let troubles = office.status().troubles.into_iter();
    troubles.filter(|trouble| trouble.of == what).map(|trouble| trouble.what).collect()
}

fn written(bench: &Bench) -> u64 {
    let other = Connection::open(file(bench)).unwrap();
    other.query_row("SELECT count(*) FROM policy_run", [], |row| row.get(0)).unwrap()
}

/// Another version's catalogue, and back.
fn set_version(bench: &Bench, version: u32) -> u32 {
    let other = Connection::open(file(bench)).unwrap();
    let before = other.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    other.pragma_update(None, "user_version", version).unwrap();
    before
}

#[tokio::test(start_paused = true)]
async fn a_catalogue_that_another_program_has_locked_stops_no_policy_and_gets_its_runs_later() {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    office.create_policy(rules(FIVE)).await.unwrap();
    bench.pass(MINUTE * 5).await;
    bench.pass(MINUTE).await;
    assert_eq!(written(&bench), 1);
    let other = Connection::open(file(&bench)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..3 {
        bench.pass(MINUTE * 5).await;
    }
    assert_eq!(names(&office, "mail").len(), 3);
    assert_eq!(outcomes(&office, "five").len(), 4);
    assert!(of(&office, "catalogue")[0].contains("locked"));
    let pause = PolicyChange { is_paused: Some(true), ..PolicyChange::default() };
    let refused = office.change_policy(&name("five"), pause).await.unwrap_err();
    assert!(matches!(refused, ControlError::Catalogue { .. }), "{refused}");
    assert!(!office.policy(&name("five")).unwrap().policy.rules.is_paused);
    let removed = office.remove_policy(&name("five")).await;
    assert!(removed.is_err() && office.policy(&name("five")).is_ok());
    other.execute_batch("ROLLBACK").unwrap();
    bench.pass(MINUTE).await;
    assert_eq!((written(&bench), of(&office, "catalogue")), (4, Vec::new()));
    let before = outcomes(&office, "five");
    office.stop().await.unwrap();
    drop(office);
    let office = bench.start().await;
    assert_eq!(outcomes(&office, "five"), before);
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn runs_that_cannot_be_written_for_days_are_bounded() {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    office.create_policy(rules(FIVE)).await.unwrap();
    office.policy_desk().stop().await;
    let other = Connection::open(file(&bench)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..70 {
        office.run_policy(&name("five")).await.unwrap();
    }
    office.policy_desk().write_runs().await;
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(written(&bench), 0);
    office.policy_desk().write_runs().await;
    assert_eq!((written(&bench), outcomes(&office, "five").len()), (50, 50));
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn policies_run_as_the_copy_has_them_until_the_catalogue_can_be_read() {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    office.create_policy(rules(FIVE)).await.unwrap();
    bench.pass(MINUTE * 5).await;
    office.stop().await.unwrap();
    drop(office);
    let version = set_version(&bench, 99);
    let office = bench.start().await;
    let told = of(&office, "policies");
    assert!(told[0].contains("last copied") && told[0].contains("newer"), "{told:?}");
    bench.pass(MINUTE * 5).await;
    assert_eq!(outcomes(&office, "five").len(), 2, "that which was copied, and a new one");
    assert!(office.create_policy(rules(&FIVE.replace("five", "more"))).await.is_err());
    set_version(&bench, version);
    for _ in 0..8 {
        bench.pass(MINUTE).await;
    }
    assert!(of(&office, "policies").is_empty() && of(&office, "catalogue").is_empty());
    assert_eq!(outcomes(&office, "five").len(), 3);
    office.create_policy(rules(&FIVE.replace("five", "more"))).await.unwrap();
    office.stop().await.unwrap();
    drop(office);
    let office = bench.start().await;
    assert_eq!((outcomes(&office, "five").len(), office.policies().unwrap().len()), (3, 2));
    office.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_catalogue_comes_back_from_the_copy_and_without_one_that_is_told_until_somebody_knows()
 {
    let bench = Bench::new();
    let office = with_volume(&bench).await;
    office.create_policy(rules(FIVE)).await.unwrap();
    bench.pass(MINUTE * 5).await;
    office.stop().await.unwrap();
    drop(office);
    std::fs::remove_file(file(&bench)).unwrap();
    let office = bench.start().await;
    bench.pass(MINUTE * 5).await;
    assert_eq!(outcomes(&office, "five").len(), 2);
    assert!(of(&office, "policies").is_empty());
    office.stop().await.unwrap();
    drop(office);
    std::fs::remove_file(file(&bench)).unwrap();
    std::fs::write(copy(&bench), "this is no database").unwrap();
    for _ in 0..2 {
        let office = bench.start().await;
        assert!(office.policies().unwrap().is_empty());
        assert_eq!(names(&office, "mail").len(), 2, "marks stay");
        let told = of(&office, "policies");
        assert!(told[0].contains("not known") && told[0].contains("policy create"), "{told:?}");
        office.stop().await.unwrap();
    }
    let office = bench.start().await;
    bench.pass(MINUTE).await;
    let alert = office.alerts().list().into_iter().find(|alert| alert.of == "policies").unwrap();
    office.acknowledge_alert(alert.id, "anna").await.unwrap();
    assert!(of(&office, "policies").is_empty());
    office.stop().await.unwrap();
    drop(office);
    let office = bench.start().await;
    assert!(of(&office, "policies").is_empty());
    office.stop().await.unwrap();
}
