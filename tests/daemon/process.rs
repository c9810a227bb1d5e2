//! The built programs: a daemon with a state directory of its own, and the command line beside it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// How long a process may take for what it was told.
const DEADLINE: Duration = Duration::from_secs(30);

/// The folder of the programs: that of `TIDEMARK_BIN`, or where this test was built, after they were
/// brought up to date.
pub fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        if let Some(dir) = std::env::var_os("TIDEMARK_BIN") {
            return dir.into();
        }
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--locked", "--workspace", "--bins"]);
        build.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
        if profile.file_name().is_some_and(|name| name == "release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "build the programs");
        profile
    })
}

/// A running daemon. Killed when it is dropped.
pub struct Daemon {
    child: Child,
    out: BufReader<ChildStdout>,
    /// The line that said it was ready.
    pub ready: String,
    /// Its state directory.
    pub state: PathBuf,
    /// Its door.
    pub door: PathBuf,
    dir: TempDir,
}

impl Daemon {
    /// Starts one on a fresh state directory and waits until it says that it is ready.
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// Starts one in a directory, with more arguments.
    pub fn start_in(dir: TempDir, arguments: &[&str]) -> Self {
        let (state, door) = (dir.path().join("state"), dir.path().join("nbd.sock"));
        let mut command = daemon(&state, &door);
        command.args(arguments);
        Self::run(command, dir)
    }

    /// Starts one in a directory whose configuration says where it listens.
    pub fn start_plain(dir: TempDir) -> Self {
        let mut command = Command::new(programs().join("tidemarkd"));
        command.arg("--state").arg(dir.path().join("state"));
        command
            .args(["--api", "none", "--journal-size", "16M", "--log", "warn"])
            .stdin(Stdio::null());
        Self::run(command, dir)
    }

    /// Starts a demo, with more arguments.
    pub fn start_demo(dir: TempDir, arguments: &[&str]) -> Self {
        let mut command = Command::new(programs().join("tidemarkd"));
        command.arg("--demo").args(arguments).stdin(Stdio::null());
        Self::run(command, dir)
    }

    fn run(mut command: Command, dir: TempDir) -> Self {
        let (state, door) = (dir.path().join("state"), dir.path().join("nbd.sock"));
        command.stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        out.read_line(&mut ready).unwrap();
        assert!(ready.starts_with("tidemarkd ready: "), "{ready:?}; {:?}", child.try_wait());
        Self { child, out, ready, state, door, dir }
    }

    /// Runs the command line on it.
    pub fn tidemark(&self, arguments: &[&str]) -> Said {
        tidemark(&self.state, arguments)
    }

    /// Runs the command line on it, which must succeed and give JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.tidemark(&[arguments, &["--json"]].concat());
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        serde_json::from_str(&said.out).unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads another line that it says.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits for its end. Gives how it ended, what else it said, and its directory.
    pub fn ended(mut self) -> (ExitStatus, String, TempDir) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        (status, rest, dir)
    }

    /// Stops it as a service manager does.
    pub fn stop(self) -> TempDir {
        self.signal(Signal::SIGTERM);
        let (status, rest, dir) = self.ended();
        assert!(status.success(), "{status}");
        assert_eq!(rest, "", "more than one line on the standard output");
        dir
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that starts a daemon.
pub fn daemon(state: &Path, door: &Path) -> Command {
    let mut command = Command::new(programs().join("tidemarkd"));
    command.arg("--state").arg(state).arg("--nbd").arg(format!("unix:{}", door.display()));
    // Tests run beside each other, and the usual port is one. Where portals are asked for, they count.
    command
        .args(["--iscsi", "none", "--api", "none", "--journal-size", "16M", "--log", "warn"])
        .stdin(Stdio::null());
    command
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the command line on a state directory.
pub fn tidemark(state: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(programs().join("tidemark"));
    command.arg("--state").arg(state).args(arguments).stdin(Stdio::null());
    command.output().unwrap().into()
}

/// Looks again and again until `look` finds something.
///
/// # Panics
/// Where it does not in time.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let found = runtime.block_on(async {
        let looking = async {
            loop {
                if let Some(found) = look() {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, looking).await
    });
    found.unwrap_or_else(|_| panic!("not in time: {what}"))
}
