//! The machine and the programs on it: what they say of themselves.

use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use base::clock::{Clock, SystemClock};

use crate::Outcome;

/// Time since this program began, which never goes back.
pub fn now() -> Duration {
    static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::default);
    CLOCK.monotonic()
}

/// Runs a command to its end; gives what it said.
///
/// # Errors
/// Where it cannot be started or fails; with what it complained about.
pub fn said(mut command: Command) -> Outcome<String> {
    let program = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program}: {}: {}", output.status, complaint.trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// One line on the machine, one on the versions, for the head of a table.
pub fn facts(programs: &std::path::Path) -> Vec<(&'static str, String)> {
    let first = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments);
        let text = said(command).unwrap_or_default();
        text.lines().next().unwrap_or("unknown").trim().to_owned()
    };
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let find = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let machine = format!(
        "{processors} × {}, {} of memory, Linux {}",
        find(&read("/proc/cpuinfo"), "model name"),
        find(&read("/proc/meminfo"), "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim()
    );
    let tidemarkd = programs.join("tidemarkd");
    let versions = [
        first(&tidemarkd.display().to_string(), &["--version"]),
        first("fio", &["--version"]),
        first("nbdkit", &["--version"]),
        first("qemu-nbd", &["--version"]),
        format!("tgt {}", first("tgtd", &["--version"])),
    ];
    vec![
        ("date", first("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        ("commit", first("git", &["describe", "--always", "--dirty"])),
        ("machine", machine),
        ("versions", versions.join("; ")),
    ]
}
