//! What the appliance remembers beside its pool, from outside: over SIGKILL, without its catalogue, and without its pool.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Daemon, Said, daemon, tidemark, until};

const POLICY: [&str; 8] =
    ["policy", "create", "nightly", "mail", "--every", "1d", "--keep", "last=5"];

fn protected() -> Daemon {
    let daemon = Daemon::start();
    daemon.json(&["volume", "create", "mail", "--size", "64M"]);
    daemon.json(&POLICY);
    daemon
}

fn killed(daemon: Daemon) -> TempDir {
    daemon.signal(Signal::SIGKILL);
    daemon.ended().2
}

fn catalogue(state: &Path) -> PathBuf {
    state.join("catalogue.sqlite")
}

fn remove_catalogue(state: &Path) {
    for with in ["", "-wal", "-shm"] {
        let mut name = catalogue(state).into_os_string();
        name.push(with);
        // Only the first of them is always there.
        let _ = fs::remove_file(name);
    }
}

fn runs(daemon: &Daemon) -> usize {
    daemon.json(&["policy", "runs", "nightly"]).as_array().unwrap().len()
}

fn troubles(daemon: &Daemon, of: &str) -> Vec<String> {
    let status = daemon.json(&["status"]);
    let all = status["troubles"].as_array().unwrap().iter().filter(|one| one["of"] == json!(of));
    all.map(|one| one["what"].as_str().unwrap().to_owned()).collect()
}

fn check(state: &Path, name: &str) -> Value {
    let said = tidemark(state, &["doctor", "--json"]);
    let checks: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    checks.into_iter().find(|check| check["name"] == json!(name)).unwrap()
}

#[test]
fn policies_and_their_runs_outlive_a_kill_and_a_lost_catalogue() {
    let daemon = protected();
    daemon.json(&["policy", "run", "nightly"]);
    daemon.json(&["policy", "set", "nightly", "--keep", "last=6"]);
    let state = daemon.state.clone();
    until("the run is written", || {
        let other = Connection::open(catalogue(&state)).unwrap();
        let count = other.query_row("SELECT count(*) FROM policy_run", [], |row| row.get(0));
        (count == Ok(1)).then_some(())
    });
    let daemon = Daemon::start_in(killed(daemon), &[]);
    assert_eq!(daemon.json(&["policy", "show", "nightly"])["keep"]["last"], json!(6));
    assert_eq!(runs(&daemon), 1);
    daemon.json(&["policy", "run", "nightly"]);
    let dir = daemon.stop();
    remove_catalogue(&state);
    let daemon = Daemon::start_in(dir, &[]);
    assert_eq!(daemon.json(&["policy", "show", "nightly"])["keep"]["last"], json!(6));
    assert_eq!((runs(&daemon), troubles(&daemon, "policies")), (2, vec![]));
    assert!(troubles(&daemon, "catalogue")[0].contains("the copy in the pool took its place"));
    let dir = killed(daemon);
    remove_catalogue(&state);
    fs::remove_file(catalogue(&state.join("pool"))).unwrap();
    let daemon = Daemon::start_in(dir, &[]);
    assert_eq!(daemon.json(&["policy", "ls"]), json!([]));
    let told = troubles(&daemon, "policies");
    assert!(told[0].contains("not known"), "{told:?}");
    assert_eq!(daemon.json(&["mark", "ls", "mail"]).as_array().unwrap().len(), 2);
    daemon.stop();
}

#[test]
fn a_catalogue_that_another_process_has_locked_stops_no_policy() {
    let daemon = protected();
    let other = Connection::open(catalogue(&daemon.state)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let run = daemon.json(&["policy", "run", "nightly"]);
    assert_eq!(run["outcome"], json!("taken"), "{run}");
    assert_eq!(
        (runs(&daemon), daemon.json(&["mark", "ls", "mail"]).as_array().unwrap().len()),
        (1, 1)
    );
    let refused = daemon.tidemark(&["policy", "set", "nightly", "--keep", "last=6"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("catalogue") && refused.err.contains("locked"), "{refused:?}");
    let told = troubles(&daemon, "catalogue");
    assert!(told[0].contains("locked"), "{told:?}");
    other.execute_batch("ROLLBACK").unwrap();
    daemon.json(&["policy", "set", "nightly", "--keep", "last=6"]);
    let daemon = Daemon::start_in(daemon.stop(), &[]);
    assert_eq!(runs(&daemon), 1);
    assert_eq!(daemon.json(&["policy", "show", "nightly"])["keep"]["last"], json!(6));
    daemon.stop();
}

#[test]
fn what_an_earlier_version_kept_in_files_is_taken_in_once() {
    let daemon = Daemon::start();
    daemon.json(&["volume", "create", "mail", "--size", "64M"]);
    let state = daemon.state.clone();
    let dir = daemon.stop();
    let old = "version = 1\n[[policies]]\nname = 'old'\nvolumes = ['mail']\nevery = '1d'\nzone = 'UTC'\n\
               id = '00000000000000000000000000000007'\nsince_ms = 5\nkeep = {last = 3}\n";
    fs::write(state.join("policies.toml"), format!("{old}=")).unwrap();
    let daemon = Daemon::start_in(dir, &[]);
    let told = troubles(&daemon, "policies");
    assert!(told[0].contains("policies.toml") && told[0].contains("no policy runs"), "{told:?}");
    let dir = daemon.stop();
    fs::write(state.join("policies.toml"), old).unwrap();
    let daemon = Daemon::start_in(dir, &[]);
    assert_eq!(daemon.json(&["policy", "ls"])[0]["name"], json!("old"));
    assert!(!state.join("policies.toml").exists() && state.join("policies.toml.taken").exists());
    daemon.json(&["policy", "rm", "old", "--yes"]);
    let daemon = Daemon::start_in(killed(daemon), &[]);
    assert_eq!(daemon.json(&["policy", "ls"]), json!([]));
    assert_eq!(troubles(&daemon, "policies"), Vec::<String>::new());
    daemon.stop();
}

#[test]
fn where_the_disk_of_the_pool_is_not_mounted_no_other_pool_is_made() {
    let daemon = protected();
    let (state, door) = (daemon.state.clone(), daemon.door.clone());
    let id = daemon.json(&["status"])["pool"]["id"].as_str().unwrap().to_owned();
    assert_eq!(check(&state, "pool")["verdict"], json!("ok"));
    let dir = daemon.stop();
    let (pool, away) = (state.join("pool"), dir.path().join("away"));
    fs::rename(&pool, &away).unwrap();
    let start = |arguments: &[&str]| -> Said {
        daemon_command(&state, &door, arguments).output().unwrap().into()
    };
    for arguments in [&[][..], &["--quickstart"], &["--forget-pool", "unknown"]] {
        let said = start(arguments);
        assert_eq!(said.code, 4, "{said:?}");
        assert!(said.err.contains(&id) && said.err.contains("mount the disk"), "{said:?}");
        let left: Vec<_> = fs::read_dir(&pool).unwrap().flatten().collect();
        assert!(left.iter().all(|entry| entry.file_name() == ".lock"), "{left:?}");
    }
    assert_eq!(start(&["--forget-pool", "mine"]).code, 2);
    let found = check(&state, "pool");
    assert_eq!(found["verdict"], json!("fail"), "{found}");
    assert!(found["way_out"].as_str().unwrap().contains(&format!("--forget-pool {id}")), "{found}");
    fs::remove_dir_all(&pool).unwrap();
    fs::rename(&away, &pool).unwrap();
    let daemon = Daemon::start_in(dir, &[]);
    assert_eq!(daemon.json(&["volume", "ls"])[0]["name"], json!("mail"));
    let dir = daemon.stop();
    fs::rename(&pool, &away).unwrap();
    let daemon = Daemon::start_in(dir, &["--forget-pool", &id]);
    assert_eq!(daemon.json(&["volume", "ls"]), json!([]));
    assert_eq!(daemon.json(&["policy", "ls"])[0]["name"], json!("nightly"), "policies stay");
    let fresh = daemon.json(&["status"])["pool"]["id"].as_str().unwrap().to_owned();
    let dir = daemon.stop();
    fs::rename(&pool, dir.path().join("new")).unwrap();
    fs::rename(&away, &pool).unwrap();
    let said = start(&["--forget-pool", &id]);
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.err.contains(&id) && said.err.contains(&fresh), "{said:?}");
}

fn daemon_command(state: &Path, door: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = daemon(state, door);
    command.args(arguments);
    command
}

#[test]
fn a_volume_that_the_pool_has_lost_is_told_until_an_operator_says_that_it_is_meant() {
    let daemon = protected();
    let (state, away) = (daemon.state.clone(), daemon.state.with_file_name("away"));
    let dir = daemon.stop();
    // An older copy of the same pool comes back.
    assert!(
        std::process::Command::new("cp")
            .arg("-a")
            .arg(state.join("pool"))
            .arg(&away)
            .status()
            .unwrap()
            .success()
    );
    let daemon = Daemon::start_in(dir, &[]);
    daemon.json(&["volume", "create", "late", "--size", "64M"]);
    daemon.json(&["volume", "create", "removed", "--size", "64M"]);
    daemon.json(&["volume", "rm", "removed", "--yes"]);
    let dir = daemon.stop();
    fs::remove_dir_all(state.join("pool")).unwrap();
    fs::rename(&away, state.join("pool")).unwrap();
    assert_eq!(check(&state, "pool")["verdict"], json!("ok"), "nobody has looked yet");
    let daemon = Daemon::start_in(dir, &[]);
    let told = troubles(&daemon, "volume late");
    assert!(told[0].contains("not in the pool") && told[0].contains("alert ack"), "{told:?}");
    assert!(troubles(&daemon, "volume removed").is_empty());
    assert!(check(&state, "pool")["found"].as_str().unwrap().contains("volume late"));
    let id = until("the alert", || {
        let alerts = daemon.json(&["alert", "ls"]);
        let mut alerts = alerts.as_array().unwrap().iter();
        let alert = alerts.find(|alert| alert["rule"] == json!("missing"))?;
        assert_eq!(alert["severity"], json!("critical"), "{alert}");
        Some(alert["id"].to_string())
    });
    daemon.json(&["alert", "ack", &id]);
    assert!(troubles(&daemon, "volume late").is_empty());
    let daemon = Daemon::start_in(killed(daemon), &[]);
    assert!(troubles(&daemon, "volume late").is_empty());
    daemon.stop();
}
