//! Attaching on a real kernel, from the command line: what a mail server's administrator does.
//!
//! Needs root, FUSE and loop devices, and `mkfs.ext4`; says loudly which is missing.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::process::Daemon;

/// What this machine lacks for these tests.
fn missing(daemon: &Daemon) -> Option<String> {
    let checks = daemon.json(&["doctor"]);
    let attach = checks.as_array().unwrap().iter().find(|check| check["name"] == "attach");
    let attach = attach.unwrap();
    if attach["verdict"] != "ok" {
        return Some(attach["found"].to_string());
    }
    let made = Command::new("mkfs.ext4").arg("-V").output();
    made.is_err().then(|| "there is no mkfs.ext4".into())
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
}

fn mounts() -> String {
    std::fs::read_to_string("/proc/self/mounts").unwrap()
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_file_deleted_on_a_mounted_volume_is_read_back_from_a_view_and_a_crash_leaves_no_mount() {
    let daemon = Daemon::start();
    if let Some(missing) = missing(&daemon) {
        eprintln!("SKIPPED, NOTHING WAS ATTACHED: {missing}");
        return;
    }
    let dir = daemon.state.parent().unwrap().to_owned();
    let (live, look) = (path(&dir, "live"), path(&dir, "look"));
    daemon.json(&["volume", "create", "mail", "--size", "256M"]);
    let attached = daemon.json(&["attach", "mail"]);
    run("mkfs.ext4", &["-q", attached["device"].as_str().unwrap()]);
    daemon.json(&["detach", "mail"]);
    let mounted = daemon.json(&["attach", "mail", "--mount", &live]);
    assert_eq!(mounted["mounted_at"], json!(live));
    let letter = dir.join("live/letter");
    std::fs::write(&letter, "Dear reader").unwrap();
    run("sync", &["-f", letter.to_str().unwrap()]);
    daemon.json(&["mark", "take", "mail", "--name", "noon"]);
    std::fs::remove_file(&letter).unwrap();
    run("sync", &["-f", &live]);

    daemon.json(&["view", "create", "look", "mail@noon"]);
    daemon.json(&["attach", "look", "--mount", &look]);
    assert_eq!(std::fs::read_to_string(dir.join("look/letter")).unwrap(), "Dear reader");
    assert!(!letter.exists());
    let busy = std::fs::File::open(dir.join("look/letter")).unwrap();
    let refused = daemon.tidemark(&["detach", "look"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    drop(busy);
    daemon.json(&["detach", "look"]);
    assert!(!dir.join("look").exists() && !mounts().contains(&look));

    daemon.signal(Signal::SIGKILL);
    let (_, _, temp) = daemon.ended();
    assert!(mounts().contains(&live));
    let daemon = Daemon::start_in(temp, &[]);
    assert!(!mounts().contains(&live), "{}", mounts());
    let status: Value = daemon.json(&["status"]);
    assert_eq!(status["attachments"], json!([]));
    daemon.json(&["attach", "mail", "--mount", &live]);
    daemon.stop();
    assert!(!mounts().contains(&live), "a clean stop left a mount");
}

#[test]
fn an_adopted_file_system_is_untouched_by_reading_and_checks_clean_after_writing() {
    let daemon = Daemon::start();
    if let Some(missing) = missing(&daemon) {
        eprintln!("SKIPPED, NOTHING WAS ATTACHED: {missing}");
        return;
    }
    let dir = daemon.state.parent().unwrap().to_owned();
    let (image, mail) = (path(&dir, "disk.img"), path(&dir, "mail"));
    std::fs::create_dir(&mail).unwrap();
    for number in 0..200u32 {
        let letter = format!("letter {number}\n").repeat(50 + number as usize * 7);
        std::fs::write(dir.join("mail").join(number.to_string()), letter).unwrap();
    }
    run("mkfs.ext4", &["-q", "-d", &mail, &image, "96M"]);
    let before = std::fs::read(&image).unwrap();

    daemon.json(&["volume", "adopt", "old", &image]);
    let attached = daemon.json(&["attach", "old"]);
    let read = std::fs::read(attached["device"].as_str().unwrap()).unwrap();
    assert!(read == before, "the volume reads otherwise than its image");
    daemon.json(&["detach", "old"]);
    daemon.json(&["volume", "release", "old"]);
    assert!(std::fs::read(&image).unwrap() == before, "reading changed the image");

    let live = path(&dir, "live");
    daemon.json(&["volume", "adopt", "old", &image]);
    daemon.json(&["attach", "old", "--mount", &live]);
    assert_eq!(std::fs::read_dir(&live).unwrap().count(), 201, "the letters and lost+found");
    daemon.json(&["mark", "take", "old", "--name", "noon"]);
    for number in 0..100u32 {
        std::fs::remove_file(dir.join("live").join(number.to_string())).unwrap();
    }
    std::fs::write(dir.join("live/new"), "a new letter").unwrap();
    daemon.json(&["detach", "old"]);
    daemon.json(&["volume", "release", "old", "--force"]);
    let _kept = daemon.stop();
    run("e2fsck", &["-f", "-n", &image]);
    let shown = Command::new("debugfs").args(["-R", "cat /new", &image]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "a new letter");
}
