//! iSCSI from outside: the command line, the files that are kept, and other people's initiators.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::process::{Daemon, Said, until};

const SECRET: &str = "open sesame, open";
const OURS: &str = "iqn.2026-11.org.example:ours";
const THEIRS: &str = "iqn.2026-11.org.example:theirs";

fn start() -> Daemon {
    start_in(tempfile::tempdir().unwrap())
}

fn start_in(dir: tempfile::TempDir) -> Daemon {
    Daemon::start_in(dir, &["--iscsi", "127.0.0.1:0"])
}

fn portal(daemon: &Daemon) -> String {
    daemon.json(&["portal", "ls"])[0]["address"].as_str().unwrap().to_owned()
}

fn secret_file(daemon: &Daemon, text: &str) -> PathBuf {
    let path = daemon.state.with_file_name("secret");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn set_secret(daemon: &Daemon, arguments: &[&str], text: &str) -> Said {
    let path = secret_file(daemon, text);
    let file = ["--secret-file", path.to_str().unwrap()];
    daemon.tidemark(&[&["chap", "set"], arguments, &file].concat())
}

/// A volume under LUN 0 of a target that lets us in.
fn set_up(daemon: &Daemon) {
    daemon.json(&["volume", "create", "mail", "--size", "64M"]);
    daemon.json(&["target", "create", "mail", "--alias", "Mail"]);
    daemon.json(&["lun", "map", "mail", "mail"]);
    daemon.json(&["initiator", "allow", "mail", OURS]);
}

/// What libiscsi's tools say, or nothing where they are not installed, which is told loudly.
fn initiator(program: &str, name: &str, url: &str) -> Option<Said> {
    match Command::new(program).args(["--initiator-name", name, url]).output() {
        Ok(output) => Some(output.into()),
        Err(error) => {
            eprintln!("SKIPPED, NOBODY LOGGED IN: {program}: {error}; install libiscsi-bin");
            None
        }
    }
}

fn everything_below(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            all.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    all
}

#[test]
fn targets_luns_and_initiators_are_there_again_after_a_kill() {
    let daemon = start();
    set_up(&daemon);
    daemon.json(&["mark", "take", "mail", "--name", "monday"]);
    let only = "chap:anna";
    daemon.json(&["lun", "map", "mail", "mail@monday", "--lun", "300", "--only", only]);
    daemon.json(&["portal", "set", "1", "standby"]);
    let before = daemon.json(&["target", "ls"]);
    assert_eq!(before[0]["iqn"], json!("iqn.2026-11.dev.tidemark:mail"));
    assert_eq!(before[0]["luns"][1]["lun"], json!(300));
    assert_eq!(before[0]["luns"][1]["is_read_only"], json!(true));
    assert_eq!(before[0]["luns"][1]["only"], json!([only]));
    daemon.signal(Signal::SIGKILL);
    let (_, _, dir) = daemon.ended();
    let daemon = start_in(dir);
    assert_eq!(daemon.json(&["target", "ls"]), before);
    assert_eq!(daemon.json(&["portal", "ls"])[0]["state"], json!("standby"));
    daemon.json(&["mark", "rename", "mail@monday", "tuesday"]);
    assert_eq!(daemon.json(&["lun", "ls", "mail"])[1]["disk"], json!("mail@tuesday"));
    for (list, count) in [("lun", 2), ("initiator", 1), ("portal", 1), ("target", 1)] {
        let listed = daemon.json(&[list, "ls"]);
        assert_eq!(listed.as_array().map(Vec::len), Some(count), "{list}: {listed}");
        assert!(daemon.tidemark(&[list, "ls"]).out.lines().count() > count, "{list}");
    }
    daemon.stop();
}

#[test]
fn mistakes_are_named_with_the_way_out_and_their_exit_codes() {
    let daemon = start();
    set_up(&daemon);
    let cases: [(&[&str], i32, &str); 15] = [
        (&["target", "show", "none"], 3, "none"),
        (&["target", "create", "mail"], 4, "mail"),
        (&["target", "create", "x", "--iqn", "iqn.2026-11.dev.tidemark:mail"], 4, "mail"),
        (&["target", "create", "x", "--iqn", "wrong"], 2, "wrong"),
        (&["lun", "map", "mail", "none"], 3, "none"),
        (&["lun", "map", "none", "mail"], 3, "none"),
        (&["lun", "map", "mail", "mail", "--lun", "0"], 4, "LUN 0"),
        (&["lun", "map", "mail", "mail", "--lun", "16384"], 4, "16384"),
        (&["lun", "map", "mail", "mail", "--block-size", "4096"], 4, "512"),
        (&["lun", "unmap", "mail", "7"], 3, "LUN 7"),
        (&["initiator", "deny", "mail", THEIRS], 3, "theirs"),
        (&["portal", "set", "9", "standby"], 3, "port group 9"),
        (&["chap", "rm", "mail", "anna"], 3, "anna"),
        (&["volume", "rm", "mail"], 4, "LUN 0"),
        (&["chap", "set", "mail", "anna", "--secret-file", "/nonexistent"], 2, "/nonexistent"),
    ];
    for (arguments, code, named) in cases {
        let said = daemon.tidemark(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        assert!(said.err.contains(named) && said.out.is_empty(), "{arguments:?}: {said:?}");
    }
    let said = daemon.tidemark(&["volume", "rm", "mail"]);
    assert!(said.err.contains("way out: `lun unmap mail 0`"), "{said:?}");
    daemon.json(&["volume", "rm", "mail", "--force"]);
    assert_eq!(daemon.json(&["lun", "ls"]), json!([]));
    daemon.stop();
}

#[test]
fn a_secret_is_in_one_file_for_its_owner_alone_and_nowhere_else() {
    let daemon = start();
    set_up(&daemon);
    let own = "another sesame entirely";
    assert_eq!(set_secret(&daemon, &["mail", "anna"], SECRET).code, 0);
    assert_eq!(set_secret(&daemon, &["mail", "us", "--mutual"], own).code, 0);
    assert_eq!(set_secret(&daemon, &["--discovery", "finder"], SECRET).code, 0);
    let same = set_secret(&daemon, &["mail", "us", "--mutual"], SECRET);
    assert_eq!(same.code, 4, "one secret for both sides: {same:?}");
    let short = set_secret(&daemon, &["mail", "ben"], "short");
    assert!(short.code == 2 && !short.err.contains("short\n"), "{short:?}");
    let open = secret_file(&daemon, SECRET);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let path = open.to_str().unwrap();
    let refused = daemon.tidemark(&["chap", "set", "mail", "ben", "--secret-file", path]);
    assert!(refused.code == 2 && refused.err.contains("chmod 600"), "{refused:?}");
    std::fs::remove_file(open).unwrap();

    let users = daemon.json(&["chap", "ls", "mail"]);
    assert_eq!(users.as_array().unwrap().len(), 2, "{users}");
    for list in [&["status"][..], &["target", "ls"], &["target", "show", "mail"]] {
        for form in [&[][..], &["--json"]] {
            let said = daemon.tidemark(&[list, form].concat());
            assert!(!said.out.contains("sesame"), "{list:?}: {}", said.out);
        }
    }
    assert!(!users.to_string().contains("sesame"));
    let state = daemon.state.clone();
    let _dir = daemon.stop();
    for (path, bytes) in everything_below(&state) {
        let has_it = bytes.windows(6).any(|window| window == b"sesame");
        assert!(!has_it, "{}", path.display());
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.contains("secrets") {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}

#[test]
fn a_damaged_book_closes_iscsi_and_nothing_else() {
    let daemon = start();
    set_up(&daemon);
    let state = daemon.state.clone();
    let dir = daemon.stop();
    let book = state.join("iscsi-targets.toml");
    let good = std::fs::read_to_string(&book).unwrap();
    std::fs::write(&book, good.replace("block_size", "bloc_size")).unwrap();
    let daemon = start_in(dir);
    let status = daemon.json(&["status"]);
    let trouble = &status["troubles"][0];
    let what = trouble["what"].as_str().unwrap();
    assert!(what.contains("iscsi-targets.toml") && what.contains("bloc_size"), "{trouble}");
    assert_eq!(trouble["is_failure"], json!(true));
    assert_eq!(daemon.json(&["portal", "ls"]), json!([]));
    let refused = daemon.tidemark(&["target", "create", "other"]);
    assert_eq!(refused.code, 7, "{refused:?}");
    assert!(super::nbd::Session::open(&daemon.door, "mail").unwrap().is_some());
    std::fs::write(&book, good).unwrap();
    daemon.signal(Signal::SIGHUP);
    until("the book is read again", || {
        daemon.json(&["portal", "ls"]).as_array().filter(|all| !all.is_empty()).map(|_| ())
    });
    assert_eq!(daemon.json(&["lun", "ls"])[0]["disk"], json!("mail"));
    daemon.stop();
}

#[test]
fn without_the_key_of_secrets_only_chap_is_closed() {
    let daemon = start();
    set_up(&daemon);
    daemon.json(&["target", "create", "closed", "--auth", "chap"]);
    assert_eq!(set_secret(&daemon, &["closed", "anna"], SECRET).code, 0);
    let state = daemon.state.clone();
    let dir = daemon.stop();
    let key = state.join("secrets.key");
    std::fs::rename(&key, state.join("elsewhere")).unwrap();
    let daemon = start_in(dir);
    let status = daemon.json(&["status"]);
    let troubles = status["troubles"].as_array().unwrap();
    let told = troubles.iter().find(|trouble| trouble["of"] == "secrets").unwrap();
    assert!(told["what"].as_str().unwrap().contains("secrets.key"), "{told}");
    assert_eq!(told["is_failure"], json!(true));
    let discovery = format!("iscsi://{}", portal(&daemon));
    if let Some(said) =
        initiator("iscsi-inq", OURS, &format!("{discovery}/iqn.2026-11.dev.tidemark:mail/0"))
    {
        assert_eq!(said.code, 0, "a target without CHAP is closed: {said:?}");
    }
    for refused in [
        set_secret(&daemon, &["closed", "ben"], SECRET),
        daemon.tidemark(&["target", "rm", "closed"]),
    ] {
        assert!(refused.code != 0 && refused.err.contains("secrets.key"), "{refused:?}");
    }
    std::fs::rename(state.join("elsewhere"), &key).unwrap();
    daemon.signal(Signal::SIGHUP);
    until("the secrets are read again", || {
        let users = daemon.tidemark(&["--json", "chap", "ls", "closed"]);
        users.out.contains("anna").then_some(())
    });
    daemon.stop();
}

#[test]
fn portals_come_and_go_with_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let config = state.join("tidemark.toml");
    let nbd = format!("[nbd]\nlisten = ['unix:{}']\n", dir.path().join("nbd.sock").display());
    let portals =
        |listen: &str| std::fs::write(&config, format!("{nbd}[iscsi]\nlisten = {listen}\n"));
    portals("['127.0.0.1:0', '[::1]:0,2']").unwrap();
    let daemon = Daemon::start_plain(dir);
    assert_eq!(daemon.ready.matches(", iscsi ").count(), 2, "{}", daemon.ready);
    let groups = |daemon: &Daemon| -> Vec<Value> {
        let all = daemon.json(&["portal", "ls"]);
        all.as_array().unwrap().iter().map(|portal| portal["group"].clone()).collect()
    };
    assert_eq!(groups(&daemon), [json!(1), json!(2)]);
    portals("['127.0.0.1:0,7']").unwrap();
    daemon.signal(Signal::SIGHUP);
    until("the portals are others", || (groups(&daemon) == [json!(7)]).then_some(()));
    std::net::TcpStream::connect(portal(&daemon)).unwrap();
    daemon.stop();
}

#[test]
fn an_initiator_finds_what_it_may_see_and_is_sent_away_when_it_may_no_more() {
    let daemon = start();
    set_up(&daemon);
    let portal = portal(&daemon);
    let discovery = format!("iscsi://{portal}");
    let Some(found) = initiator("iscsi-ls", OURS, &discovery) else { return };
    assert!(found.code == 0 && found.out.contains("iqn.2026-11.dev.tidemark:mail"), "{found:?}");
    let stranger = initiator("iscsi-ls", THEIRS, &discovery).unwrap();
    assert!(!stranger.out.contains("tidemark"), "{stranger:?}");
    let disk = format!("{discovery}/iqn.2026-11.dev.tidemark:mail/0");
    let asked = initiator("iscsi-inq", OURS, &disk).unwrap();
    assert!(asked.code == 0 && asked.out.contains("TIDEMARK"), "{asked:?}");
    assert_ne!(initiator("iscsi-inq", THEIRS, &disk).unwrap().code, 0);
    daemon.json(&["initiator", "allow", "mail", "any"]);
    assert_eq!(initiator("iscsi-inq", THEIRS, &disk).unwrap().code, 0);
    daemon.json(&["initiator", "deny", "mail", "any"]);
    assert_ne!(initiator("iscsi-inq", THEIRS, &disk).unwrap().code, 0);
    daemon.stop();
}

#[test]
fn who_has_the_secret_comes_in_and_who_has_another_does_not() {
    let daemon = start();
    set_up(&daemon);
    daemon.json(&["target", "set", "mail", "--auth", "chap", "--chap-md5", "on"]);
    assert_eq!(set_secret(&daemon, &["mail", "anna"], "opensesame-opens").code, 0);
    let url = |user: &str| {
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        format!("iscsi://{user}{}/iqn.2026-11.dev.tidemark:mail/0", portal(&daemon))
    };
    let Some(said) = initiator("iscsi-inq", OURS, &url("anna%opensesame-opens")) else { return };
    assert_eq!(said.code, 0, "{said:?}");
    for wrong in ["", "anna%opensesame-wrong", "ben%opensesame-opens"] {
        assert_ne!(initiator("iscsi-inq", OURS, &url(wrong)).unwrap().code, 0, "{wrong}");
    }
    assert_ne!(initiator("iscsi-inq", THEIRS, &url("anna%opensesame-opens")).unwrap().code, 0);
    daemon.stop();
}
