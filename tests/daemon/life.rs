//! The life of the daemon's process: start, reload, stop, crash, start again.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use super::nbd::Session;
use super::process::{Daemon, Said, daemon, until};

#[test]
fn it_says_one_line_when_it_answers_and_ends_clean_when_told_to() {
    let daemon = Daemon::start();
    let expected = format!(
        "tidemarkd ready: state {}, nbd unix:{}\n",
        daemon.state.display(),
        daemon.door.display()
    );
    assert_eq!(daemon.ready, expected);
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&daemon.state), 0o700);
    assert_eq!(mode(&daemon.state.join("tidemark.sock")), 0o600);
    daemon.json(&["volume", "create", "mail", "--size", "64M"]);
    let state = daemon.state.clone();
    let _dir = daemon.stop();
    assert!(!state.join("tidemark.sock").exists());
}

#[test]
fn a_free_port_is_taken_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_in(dir, &["--nbd", "127.0.0.1:0"]);
    let address = daemon.ready.trim_end().rsplit(' ').next().unwrap();
    assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{}", daemon.ready);
    std::net::TcpStream::connect(address).unwrap();
    daemon.stop();
}

#[test]
fn everything_is_there_again_after_a_stop_and_after_a_kill() {
    let daemon = Daemon::start();
    daemon.json(&["volume", "create", "mail", "--size", "64M"]);
    let mut session = Session::open(&daemon.door, "mail").unwrap().unwrap();
    session.write(0, &[1; 4096]).unwrap().unwrap();
    session.close().unwrap();
    daemon.json(&["mark", "take", "mail", "--name", "monday"]);
    let daemon = Daemon::start_in(daemon.stop(), &[]);
    let mut session = Session::open(&daemon.door, "mail").unwrap().unwrap();
    session.write(0, &[2; 4096]).unwrap().unwrap();
    daemon.signal(Signal::SIGKILL);
    let (_, _, dir) = daemon.ended();
    let daemon = Daemon::start_in(dir, &[]);
    for (export, byte) in [("mail", 2), ("mail@monday", 1)] {
        let mut session = Session::open(&daemon.door, export).unwrap().unwrap();
        assert_eq!(session.read(0, 4096).unwrap().unwrap(), [byte; 4096], "{export}");
    }
    daemon.stop();
}

#[test]
fn a_second_daemon_on_one_state_directory_is_told_who_the_first_one_is() {
    let first = Daemon::start();
    let door = first.door.with_file_name("second.sock");
    let said: Said = daemon(&first.state, &door).output().unwrap().into();
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.err.contains(&format!("process {}", first.pid())), "{said:?}");
    assert!(said.out.is_empty());
    first.json(&["status"]);
    first.stop();
}

/// The kernel ends the requests of a killed process after the process, and keeps what they use until then.
#[test]
fn a_disk_that_a_dead_daemon_still_holds_is_served_when_it_is_let_go() {
    let daemon = Daemon::start();
    let image = daemon.state.with_file_name("disk.img");
    let disk = std::fs::File::create(&image).unwrap();
    disk.set_len(8 << 20).unwrap();
    daemon.json(&["volume", "adopt", "old", image.to_str().unwrap()]);
    daemon.signal(Signal::SIGKILL);
    let (_, _, dir) = daemon.ended();
    let lock = std::fs::File::open(dir.path().join("state/tidemarkd.lock")).unwrap();
    for held in [&disk, &lock] {
        held.lock().unwrap();
    }
    let (first, second) = (Duration::from_millis(300), Duration::from_millis(900));
    let holders = [(lock, first), (disk, second)].map(|(held, pause)| {
        std::thread::spawn(move || {
            let (_never, wait) = std::sync::mpsc::channel::<()>();
            wait.recv_timeout(pause).unwrap_err();
            drop(held);
        })
    });
    let daemon = Daemon::start_in(dir, &[]);
    assert_eq!(daemon.json(&["volume", "show", "old"])["state"], json!("ready"));
    holders.into_iter().for_each(|holder| holder.join().unwrap());
    daemon.stop();
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_file_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("tidemark.toml"), "[nbd]\nlissten = []\n").unwrap();
    let said: Said = daemon(&state, &dir.path().join("x.sock")).output().unwrap().into();
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("tidemark.toml") && said.err.contains("lissten"), "{said:?}");
}

#[test]
fn an_address_that_is_taken_is_named_and_nothing_is_left() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut command = daemon(&state, &dir.path().join("x.sock"));
    let said: Said = command.args(["--nbd", &address]).output().unwrap().into();
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains(&address) && said.err.contains("--nbd"), "{said:?}");
    drop(taken);
    Daemon::start_in(dir, &["--nbd", &address]).stop();
}

#[test]
fn a_hang_up_reads_the_configuration_again() {
    let daemon = Daemon::start();
    daemon.json(&["volume", "create", "mail", "--size", "64M"]);
    daemon.json(&["volume", "create", "logs", "--size", "64M"]);
    let config = daemon.state.join("tidemark.toml");
    std::fs::write(&config, "[nbd]\ndefault_export = 'logs'\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    until("the default export changes", || {
        let exports = daemon.json(&["export", "ls"]);
        let mut defaults = exports.as_array().unwrap().iter();
        defaults.find(|export| export["is_default"] == json!(true) && export["name"] == "logs")?;
        Some(())
    });
    std::fs::write(&config, "[nbd]\nwrong = 1\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    std::fs::write(&config, "[nbd]\ndefault_export = 'mail'\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    until("a good configuration counts after a bad one", || {
        let exports = daemon.json(&["export", "ls"]);
        let mut defaults = exports.as_array().unwrap().iter();
        defaults.find(|export| export["is_default"] == json!(true) && export["name"] == "mail")?;
        Some(())
    });
    daemon.stop();
}

#[test]
fn a_quickstart_makes_a_volume_and_says_what_to_type_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start_in(dir, &["--quickstart"]);
    let first = daemon.line();
    assert!(first.contains("first volume"), "{first}");
    let lines: Vec<_> = std::iter::repeat_with(|| daemon.line())
        .take_while(|line| !line.starts_with("Ctrl-C"))
        .collect();
    assert!(lines.iter().any(|line| line.contains("tidemark mark take first")), "{lines:?}");
    assert_eq!(daemon.json(&["volume", "ls"])[0]["name"], json!("first"));
    daemon.stop();
}

#[test]
fn what_a_stopped_daemon_left_can_be_inspected() {
    let daemon = Daemon::start();
    daemon.json(&["volume", "create", "mail", "--size", "64M"]);
    daemon.json(&["mark", "take", "mail", "--name", "monday"]);
    let state = daemon.state.clone();
    let busy = daemon.tidemark(&["inspect"]);
    assert_eq!(busy.code, 4, "{busy:?}");
    let _dir = daemon.stop();
    let said = super::process::tidemark(&state, &["inspect", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["volumes"][0]["name"], json!("mail"));
    assert_eq!(report["volumes"][0]["marks"][0][1], json!("monday"));
}
