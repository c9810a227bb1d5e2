//! The command line against a running daemon: what it prints, and how it ends.

use serde_json::{Value, json};

use super::process::{Daemon, tidemark};

#[test]
fn every_command_gives_a_table_to_people_and_stable_json_to_programs() {
    let daemon = Daemon::start();
    let made = daemon.json(&["volume", "create", "mail", "--size", "4G"]);
    assert_eq!((&made["name"], &made["size"]), (&json!("mail"), &json!(4u64 << 30)));
    daemon.json(&["volume", "create", "logs", "--size", "512M"]);
    let taken = daemon.json(&["mark", "take", "mail,logs", "--name", "monday"]);
    assert_eq!(taken.as_array().unwrap().len(), 2);
    daemon.json(&["view", "create", "look", "mail@monday"]);
    for (list, count) in [("volume", 2), ("view", 1), ("export", 5), ("session", 0), ("group", 0)] {
        let listed = daemon.json(&[list, "ls"]);
        assert_eq!(listed.as_array().map(Vec::len), Some(count), "{list}: {listed}");
    }
    let marks = daemon.json(&["mark", "ls", "mail"]);
    assert_eq!(marks[0]["name"], json!("monday"));
    assert_eq!(marks[0]["views"], json!(["look"]));
    let table = daemon.tidemark(&["volume", "ls"]).out;
    let heads: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heads, ["NAME", "KIND", "SIZE", "USED", "PRESERVED", "MARKS", "STATE"]);
    assert!(table.contains("4G") && table.contains("512M"), "{table}");
    let status = daemon.tidemark(&["status"]).out;
    assert!(status.contains("all is well") && status.contains("look"), "{status}");
    daemon.json(&["rollback", "mail@monday"]);
    daemon.json(&["undo", "mail", "--wait"]);
    let report = daemon.json(&["scrub", "mail"]);
    assert_eq!(report["damaged"], json!([]));
    daemon.json(&["view", "rm", "look"]);
    daemon.json(&["mark", "rm", "mail@monday"]);
    daemon.json(&["volume", "rm", "logs"]);
    assert_eq!(daemon.json(&["volume", "ls"]).as_array().unwrap().len(), 1);
    daemon.stop();
}

#[test]
fn rules_of_growth_are_set_shown_kept_and_taken_away() {
    let daemon = Daemon::start();
    daemon.json(&["volume", "create", "mail", "--size", "4G"]);
    let rule = ["--grow-at", "85%", "--by", "1G", "--up-to", "8G"];
    let set = daemon.json(&[&["capacity", "set", "volume", "mail"], &rule[..]].concat());
    assert_eq!(set["growth"]["grow_at"], json!(85));
    let limit = ["capacity", "set", "preserved", "--limit", "2G"];
    assert_eq!(daemon.json(&[&limit[..], &rule[..]].concat())["limit"], json!(2u64 << 30));
    let daemon = Daemon::start_in(daemon.stop(), &[]);
    let shown = daemon.tidemark(&["capacity", "show"]).out;
    for text in ["at 85% by 1G, up to 8G", "limit 2G", "not enough history", "journal"] {
        assert!(shown.contains(text), "{shown}");
    }
    let told = daemon.json(&["capacity", "show"]);
    let pool = &told["pool"];
    let parts = [
        "base_bytes",
        "preserved_bytes",
        "journal_bytes",
        "reserve_bytes",
        "other_bytes",
        "free_bytes",
    ];
    let sum: u64 = parts.iter().map(|part| pool[*part].as_u64().unwrap()).sum();
    assert!(sum >= pool["total_bytes"].as_u64().unwrap(), "{pool}");
    let history = daemon.json(&["capacity", "history"]);
    assert!(history["points"][0]["size_bytes"].as_u64() > Some(0), "{history}");
    daemon.json(&["capacity", "unset", "volume", "mail"]);
    daemon.json(&["capacity", "unset", "preserved"]);
    let said = daemon.tidemark(&["capacity", "unset", "volume", "mail"]);
    assert!(said.code == 3 && said.err.contains("capacity show"), "{said:?}");
    daemon.stop();
}

#[test]
fn failures_name_the_thing_and_the_way_out_and_have_their_exit_codes() {
    let daemon = Daemon::start();
    daemon.json(&["volume", "create", "mail", "--size", "64M"]);
    daemon.json(&["mark", "take", "mail", "--name", "monday"]);
    daemon.json(&["mark", "hold", "mail@monday"]);
    let cases: [(&[&str], i32, &str); 8] = [
        (&["volume", "show", "none"], 3, "none"),
        (&["mark", "rm", "mail@none"], 3, "mail@none"),
        (&["mark", "rm", "mail@monday"], 4, "mail@monday"),
        (&["mark", "take", "mail", "--name", "monday"], 4, "mail@monday"),
        (&["volume", "create", "mail", "--size", "1G"], 4, "mail"),
        (&["volume", "grow", "mail", "--size", "1M"], 2, "mail"),
        (&["volume", "create", "a/b", "--size", "1G"], 2, "a/b"),
        (&["volume", "adopt", "x", "/nonexistent/disk"], 3, "/nonexistent/disk"),
    ];
    for (arguments, code, named) in cases {
        let said = daemon.tidemark(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        assert!(said.err.contains(named) && said.out.is_empty(), "{arguments:?}: {said:?}");
        let said = daemon.tidemark(&[arguments, &["--json"]].concat());
        let told: Value = serde_json::from_str(&said.err).unwrap();
        assert_eq!(told["error"]["exit_code"], json!(code), "{arguments:?}: {said:?}");
        assert!(told["error"]["detail"].as_str().unwrap().contains(named), "{told}");
    }
    let said = daemon.tidemark(&["volume", "show", "none"]);
    assert!(said.err.contains("way out: `volume ls`"), "{said:?}");
    daemon.stop();
}

#[test]
fn without_a_daemon_it_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let said = tidemark(dir.path(), &["status"]);
    assert_eq!(said.code, 6, "{said:?}");
    assert!(said.err.contains("tidemarkd --state"), "{said:?}");
    let said = tidemark(dir.path(), &["status", "--json"]);
    let told: Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!(told["error"]["code"], json!("unreachable"));
}

#[test]
fn what_needs_no_daemon_works_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let said = tidemark(dir.path(), &["completions", "bash"]);
    assert!(said.code == 0 && said.out.contains("tidemark"), "{}", said.err);
    let said = tidemark(dir.path(), &["doctor", "--json"]);
    let checks: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    assert!(checks.len() >= 8, "{checks:?}");
    assert!(checks.iter().all(|check| check["verdict"] != "fail"), "{checks:?}");
    let said = tidemark(dir.path(), &["inspect"]);
    assert_eq!(said.code, 3, "{said:?}");
}

#[test]
fn files_of_the_appliance_and_what_is_no_disk_do_not_become_volumes() {
    let daemon = Daemon::start();
    let own = daemon.state.join("catalogue.sqlite");
    let link = daemon.state.with_file_name("link");
    std::os::unix::fs::symlink(&own, &link).unwrap();
    let uneven = daemon.state.with_file_name("uneven.img");
    std::fs::write(&uneven, [0; 700]).unwrap();
    let folder = daemon.state.with_file_name("folder");
    std::fs::create_dir(&folder).unwrap();
    for (path, why) in [
        (&own, "a file of the appliance itself"),
        (&link, "a file of the appliance itself"),
        (&uneven, "512-byte sectors"),
        (&folder, "neither a file nor a block device"),
    ] {
        let said = daemon.tidemark(&["volume", "adopt", "x", path.to_str().unwrap()]);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains(why) && said.err.contains("volume candidates"), "{said:?}");
    }
    let beside = daemon.state.join("spare.img");
    std::fs::File::create(&beside).unwrap().set_len(1 << 20).unwrap();
    daemon.json(&["volume", "adopt", "spare", beside.to_str().unwrap()]);
    daemon.stop();
}

#[test]
fn an_adopted_disk_is_released_with_what_was_written_to_it() {
    let daemon = Daemon::start();
    let disk = daemon.state.with_file_name("disk.img");
    let before: Vec<u8> = (0..1u32 << 20).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&disk, &before).unwrap();
    let path = disk.to_str().unwrap();
    let adopted = daemon.json(&["volume", "adopt", "old", path]);
    assert_eq!((&adopted["kind"], &adopted["path"]), (&json!("adopted"), &json!(path)));
    let mut session = super::nbd::Session::open(&daemon.door, "old").unwrap().unwrap();
    assert_eq!(session.read(0, 4096).unwrap().unwrap(), before[..4096]);
    session.write(8192, &[7; 4096]).unwrap().unwrap();
    session.close().unwrap();
    let released = daemon.tidemark(&["volume", "release", "old"]);
    assert_eq!(released.code, 0, "{released:?}");
    let mut after = before;
    after[8192..12288].fill(7);
    assert!(std::fs::read(&disk).unwrap() == after, "the released disk has other contents");
    assert_eq!(daemon.json(&["volume", "ls"]), json!([]));
    daemon.stop();
}
