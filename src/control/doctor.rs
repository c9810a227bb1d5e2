//! Looks at what the daemon needs of this machine and says what is missing and what to do. Needs no
//! daemon and changes nothing, but for a file that it makes and removes in the state directory.

use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::clock::Clock;
use base::size::ByteSize;
use kernel_stubs::Availability;
use serde::{Deserialize, Serialize};

use crate::attachers::of_this_host;
use crate::config::{Config, Overrides};
use crate::error::ControlError;
use crate::inventory::{self, ForgottenPool, Told};
use crate::state::StateDir;

/// Free space below which a pool has no room for its journal.
const FREE_FAIL: u64 = 256 << 20;
/// Free space below which little can be preserved.
const FREE_WARN: u64 = 4 << 30;
/// Open files that a few hundred sessions and volumes need.
const OPEN_FILES_WARN: u64 = 4096;
/// Milliseconds since 1970 before which no clock that was ever set can be: the year 2025.
const EARLIEST_MS: u64 = 1_735_689_600_000;

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but less well, or something that may not be needed does not.
    Warn,
    /// The daemon cannot work so.
    Fail,
}

/// A check and how it ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

impl Check {
    fn ok(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Ok, found: found.into(), way_out: None }
    }

    fn warn(name: &str, found: impl Into<String>, way_out: impl Into<String>) -> Self {
        let way_out = Some(way_out.into());
        Self { name: name.into(), verdict: Verdict::Warn, found: found.into(), way_out }
    }

    fn fail(name: &str, found: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(name, found, way_out) }
    }
}

/// Looks at everything. Must be called within a runtime.
pub async fn examine(state: &StateDir, clock: &Arc<dyn Clock>) -> Vec<Check> {
    let mut checks = vec![daemon(state), permissions(state)];
    match existing(state.path()) {
        Some(dir) => checks.extend([free_space(&dir), direct_io(&dir)]),
        None => checks.push(Check::fail(
            "state directory",
            format!("no part of {} is there", state.path().display()),
            "choose a directory that can be made, with --state",
        )),
    }
    checks.extend([io_uring(), open_files(), time(state, &**clock)]);
    checks.extend([pool(state).await, iscsi(state), attaching(state, clock)]);
    checks
}

fn daemon(state: &StateDir) -> Check {
    let name = "daemon";
    match state.running() {
        Some(Some(pid)) => Check::ok(name, format!("runs as process {pid}")),
        Some(None) => Check::ok(name, "runs"),
        None => Check::warn(
            name,
            format!("none runs on {}", state.path().display()),
            format!("start one: tidemarkd --state {}", state.path().display()),
        ),
    }
}

fn permissions(state: &StateDir) -> Check {
    let name = "permissions";
    let dir = state.path().display();
    if !state.path().exists() {
        Check::ok(name, format!("{dir} will be made for its owner alone"))
    } else if state.is_open_to_others() {
        Check::warn(name, format!("others may enter {dir}"), format!("chmod 700 {dir}"))
    } else {
        Check::ok(name, format!("{dir} is for its owner alone"))
    }
}

/// The nearest directory above a path that is there.
fn existing(path: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(path).ok()?;
    whole.ancestors().find(|dir| dir.is_dir()).map(Path::to_owned)
}

fn free_space(dir: &Path) -> Check {
    let name = "free space";
    let space = match nix::sys::statvfs::statvfs(dir) {
        Ok(space) => space,
        Err(error) => {
            let found = format!("cannot be told: {error}");
            return Check::warn(name, found, format!("look at {}", dir.display()));
        }
    };
    let free = space.blocks_available().saturating_mul(space.fragment_size());
    let found = format!("{} where {} lies", ByteSize(free), dir.display());
    match free {
        ..FREE_FAIL => Check::fail(name, found, "make room, or choose another place with --state"),
        FREE_FAIL..FREE_WARN => Check::warn(name, found, "make room: marks need some to preserve"),
        FREE_WARN.. => Check::ok(name, found),
    }
}

fn direct_io(dir: &Path) -> Check {
    let name = "direct I/O";
    let path = dir.join(format!(".tidemark-doctor-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    if let Err(error) = made {
        return Check::fail(
            name,
            format!("{} cannot be written: {error}", dir.display()),
            "run as its owner, or choose another place with --state",
        );
    }
    let direct = {
        let flag = nix::fcntl::OFlag::O_DIRECT.bits();
        OpenOptions::new().read(true).write(true).custom_flags(flag).open(&path)
    };
    let removed = fs::remove_file(&path);
    match (direct, removed) {
        (Ok(_), Ok(())) => Check::ok(name, "the file system takes it"),
        (Err(error), _) => Check::warn(
            name,
            format!("the file system refuses it ({error}); the page cache is used instead"),
            "use ext4, XFS or btrfs for the state directory, which take it",
        ),
        (_, Err(error)) => {
            Check::warn(name, format!("{} stays: {error}", path.display()), "remove it by hand")
        }
    }
}

fn io_uring() -> Check {
    let name = "io_uring";
    if disk::file::uring_is_allowed() {
        return Check::ok(name, "this process may use it");
    }
    Check::warn(
        name,
        "this process may not use it; plain positional I/O is used instead, which is slower",
        "sysctl kernel.io_uring_disabled=0, and allow it in the container's seccomp profile",
    )
}

fn open_files() -> Check {
    let name = "open files";
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    match open_files_limit(&limits) {
        Some(limit) if limit < OPEN_FILES_WARN => Check::warn(
            name,
            format!("at most {limit}"),
            format!("ulimit -n {OPEN_FILES_WARN}, or LimitNOFILE= in the unit"),
        ),
        Some(limit) => Check::ok(name, format!("at most {limit}")),
        None => Check::ok(name, "no limit is known"),
    }
}

fn open_files_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn time(state: &StateDir, clock: &dyn Clock) -> Check {
    let name = "clock";
    let way_out = "set the clock, for example with chrony or systemd-timesyncd";
    let now = clock.wall_ms();
    let shown = crate::when::local(now);
    if now < EARLIEST_MS {
        return Check::fail(name, format!("it says {shown}, which cannot be"), way_out);
    }
    let last = fs::metadata(state.socket()).and_then(|meta| meta.modified()).ok();
    let last = last.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    match last.and_then(|at| u64::try_from(at.as_millis()).ok()) {
        Some(last) if last > now => Check::warn(
            name,
            format!("it says {shown}, before the daemon was started last"),
            way_out,
        ),
        _ => Check::ok(name, shown),
    }
}

/// Whether the pool is the one that the catalogue knows, and what of it is missing.
async fn pool(state: &StateDir) -> Check {
    let name = "pool";
    let dir = state.path().to_owned();
    let looked = tokio::task::spawn_blocking(move || inventory::peek_at(&dir)).await;
    let looked = match looked {
        Ok(looked) => looked,
        Err(error) => Err(ControlError::Catalogue { why: error.to_string() }),
    };
    let (known, missing) = match looked {
        Ok(Told { pool: Some(known), missing }) => (known, missing),
        Ok(_) => return Check::ok(name, "none is known yet"),
        Err(error) => {
            let found = format!("nothing tells which it should be: {error}");
            return Check::warn(name, found, "`status` tells what is wrong with the catalogue");
        }
    };
    if state.running().is_none() {
        let found = match inventory::pool_at(state).await {
            Ok(found) => found,
            Err(error) => {
                let way_out = error.way_out().unwrap_or_else(|| "look at it with `inspect`".into());
                return Check::fail(name, error.detail(), way_out);
            }
        };
        if found != Some(known) {
            let refusal = inventory::refusal(state, ForgottenPool::Known(known), found);
            let way_out = refusal.way_out().unwrap_or_default();
            return Check::fail(name, refusal.to_string(), way_out);
        }
    }
    match missing.first() {
        Some(first) => {
            let all: Vec<_> = missing.iter().map(|finding| finding.what.as_str()).collect();
            Check::warn(name, all.join("; "), first.way_out.clone().unwrap_or_default())
        }
        None => Check::ok(name, known.to_string()),
    }
}

fn iscsi(state: &StateDir) -> Check {
    let name = "iscsi";
    if let Err(error) = crate::iscsi::look(state.path()) {
        let way_out = error.way_out().unwrap_or_default();
        return Check::warn(name, format!("{error}; iSCSI stays closed"), way_out);
    }
    let config = match Config::load(state, &Overrides::default()) {
        Ok(config) => config.iscsi,
        Err(error) => {
            let way_out = error.way_out().unwrap_or_default();
            return Check::fail(name, error.to_string(), way_out);
        }
    };
    let portals = config.portals();
    let told: Vec<_> = portals.iter().map(|portal| portal.address.as_str()).collect();
    let told = if told.is_empty() { "listens nowhere".into() } else { told.join(", ") };
    if state.running().is_some() {
        return Check::ok(name, told);
    }
    for portal in &portals {
        if let Err(error) = TcpListener::bind(&portal.address) {
            let found = format!("nothing can listen on {}: {error}", portal.address);
            let way_out = "choose another place with --iscsi or iscsi.listen in the configuration";
            return Check::warn(name, found, way_out);
        }
    }
    Check::ok(name, told)
}

fn attaching(state: &StateDir, clock: &Arc<dyn Clock>) -> Check {
    let name = "attach";
    let ways = of_this_host(&state.attachments(), clock);
    let (mut usable, mut missing) = (Vec::new(), Vec::new());
    for way in &ways {
        match way.availability() {
            Availability::Yes => usable.push(way.name()),
            Availability::No(why) => missing.push(format!("{}: {why}", way.name())),
        }
    }
    if usable.is_empty() {
        let way_out = "do what is missing, or run as root; clients over NBD work without";
        return Check::warn(name, missing.join("; "), way_out);
    }
    Check::ok(name, format!("by {}", usable.join(" or by ")))
}

#[cfg(test)]
mod tests {
    use base::clock::ManualClock;

    use super::*;

    fn clock() -> Arc<dyn Clock> {
        Arc::new(ManualClock::default())
    }

    #[tokio::test]
    async fn what_is_wrong_with_the_clock_and_the_daemon_is_told_with_a_way_out() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path().join("none/yet"));
        let checks = examine(&state, &clock()).await;
        let by_name = |name: &str| checks.iter().find(|check| check.name == name).unwrap();
        assert_eq!(by_name("clock").verdict, Verdict::Fail);
        assert_eq!(by_name("daemon").verdict, Verdict::Warn);
        assert!(by_name("daemon").way_out.as_ref().unwrap().contains("tidemarkd --state"));
        assert!(checks.iter().all(|check| check.verdict == Verdict::Ok || check.way_out.is_some()));
    }

    #[tokio::test]
    async fn the_look_leaves_nothing_behind() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path());
        examine(&state, &clock()).await;
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_limit_of_open_files_is_the_soft_one() {
        let limits = "Max processes    1    2    processes\nMax open files   1024   4096   files\n";
        assert_eq!(open_files_limit(limits), Some(1024));
        assert_eq!(open_files_limit("Max open files  unlimited  unlimited files"), None);
        assert_eq!(open_files_limit(""), None);
    }
}
