//! The demo: what it shows is really there, and nothing of it stays.

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::process::Daemon;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

#[test]
fn a_demo_shows_a_month_of_what_really_happened_and_can_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state").display().to_string();
    let mut demo = Daemon::start_demo(dir, &["--state", &state]);
    assert!(demo.ready.contains("https 127.0.0.1:"), "{}", demo.ready);
    let said: Vec<_> = (0..4).map(|_| demo.line()).collect();
    let said = said.join("\n");
    for part in ["Demo: https://127.0.0.1:", "anna (admin)", "victor (viewer)", "tide-", "stays in"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let now = demo.json(&["status"])["now_ms"].as_u64().unwrap();
    let marks = demo.json(&["mark", "ls", "mail"]);
    let taken = |mark: &Value| mark["taken_ms"].as_u64().unwrap();
    assert!(list(&marks).len() > 40, "{marks}");
    assert!(now - taken(&marks[0]) > 25 * DAY_MS, "{marks}");
    assert!(list(&marks).windows(2).all(|two| taken(&two[0]) <= taken(&two[1])));
    let held = list(&marks).iter().filter(|mark| mark["is_held"] == true);
    assert_eq!(held.map(|mark| &mark["name"]).collect::<Vec<_>>(), ["before-upgrade"]);
    let changed = demo.tidemark(&["scrub", "mail"]);
    assert_eq!(changed.code, 0, "{changed:?}");
    let runs = demo.json(&["policy", "runs", "mailserver"]);
    assert!(list(&runs).len() > 20 && list(&runs).iter().all(|run| run["missed"] == 0), "{runs}");
    assert_eq!(demo.json(&["audit", "verify"])["is_whole"], true);
    let audit = demo.json(&["audit", "ls"]).to_string();
    assert!(audit.contains("victor") && audit.contains("forbidden"), "{audit}");
    assert_eq!(list(&demo.json(&["user", "ls"])).len(), 4);
    let tokens = demo.json(&["token", "ls"]);
    assert_eq!(list(&tokens).len(), 1, "those of the history are gone: {tokens}");
    demo.signal(Signal::SIGTERM);
    let (status, _, dir) = demo.ended();
    assert!(status.success());
    let again = Daemon::start_demo(dir, &["--state", &state]);
    let kept = again.json(&["mark", "ls", "mail"]);
    // What removing it gives back may have grown since: the load goes on.
    for field in ["id", "name", "taken_ms", "sequence", "size", "group"] {
        assert_eq!(kept[0][field], marks[0][field], "{field}");
    }
}

#[test]
fn a_demo_goes_with_all_that_it_was() {
    let mut demo = Daemon::start_demo(tempfile::tempdir().unwrap(), &[]);
    let place = demo.ready.split(['\u{20}', ',']).nth(3).unwrap().to_owned();
    assert!(Path::new(&place).join("pool").is_dir(), "{place}");
    let said: Vec<_> = (0..4).map(|_| demo.line()).collect();
    assert!(said.join("\n").contains("removes everything"), "{said:?}");
    demo.signal(Signal::SIGTERM);
    let (status, ..) = demo.ended();
    assert!(status.success());
    assert!(!Path::new(&place).exists(), "{place}");
}
