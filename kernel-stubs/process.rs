//! Who uses a device or a tree of files: asked of `/proc`, for messages to people.
//!
//! Links are only read, never followed: following one into a file system whose server is gone would
//! wait for it. What another user's processes hide stays hidden.

use std::fs;
use std::path::{Path, PathBuf};

/// Processes that a message names; the rest are counted.
const NAMED_MAX: usize = 8;

/// A running process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its short name.
    pub name: String,
}

/// The processes that have `device` open.
pub fn users_of_device(device: &Path) -> Vec<Process> {
    users(|link| link == device)
}

/// The processes with an open file, a working directory or a program below `dir`.
pub fn users_of_tree(dir: &Path) -> Vec<Process> {
    users(|link| link.starts_with(dir))
}

/// When the process started, in ticks since boot: tells it from a later one with the same number. `None`
/// where it does not run, or has ended and is not yet buried.
pub fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields after it count from 3. Source: proc(5).
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(22 - 3)?.parse().ok()
}

/// ` by NAME (PID), …` for a message, or nothing where nobody was found.
pub(crate) fn listed(users: &[Process]) -> String {
    if users.is_empty() {
        return String::new();
    }
    let named: Vec<String> =
        users.iter().take(NAMED_MAX).map(|user| format!("{} ({})", user.name, user.pid)).collect();
    let more = match users.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(" by {}{more}", named.join(", "))
}

fn users(is_wanted: impl Fn(&Path) -> bool) -> Vec<Process> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if links_of(&entry.path()).iter().any(|link| is_wanted(link)) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            found.push(Process { pid, name: name.trim().to_owned() });
        }
    }
    found.sort_by_key(|process| process.pid);
    found
}

fn links_of(process: &Path) -> Vec<PathBuf> {
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let fixed = ["cwd", "root", "exe"].map(|name| process.join(name));
    open.map(|entry| entry.path())
        .chain(fixed)
        .filter_map(|link| fs::read_link(link).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_names_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        assert_eq!(users_of_tree(&dir), []);
        let file = fs::File::create(dir.join("open")).unwrap();
        let users = users_of_tree(&dir);
        assert_eq!(users.len(), 1, "{users:?}");
        assert_eq!(users[0].pid, std::process::id());
        assert!(listed(&users).contains(&users[0].pid.to_string()));
        drop(file);
        assert_eq!(users_of_tree(&dir), []);
    }

    #[test]
    fn a_process_that_does_not_run_has_no_start() {
        assert!(start_of(std::process::id()).is_some());
        assert_eq!(start_of(u32::MAX), None);
    }

    #[test]
    fn many_users_are_counted_not_listed() {
        let users: Vec<Process> = (0..20).map(|pid| Process { pid, name: "p".into() }).collect();
        assert!(listed(&users).ends_with("and 12 more"));
        assert_eq!(listed(&[]), "");
    }
}
