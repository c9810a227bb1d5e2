//! The state directory: one per appliance, for its owner alone, held by one daemon at a time.
//!
//! ```text
//! DIR/                 0700
//!   pool/              the store's own files
//!   attachments/       a record per attached disk, for cleaning up after a crash
//!   iscsi-targets.toml  0600, targets, LUNs and who may log in
//!   iscsi-secrets.toml  0600, CHAP secrets, sealed
//!   secrets.key        0600, the key, unless the service manager gives one; secrets.id, by what it is known
//!   catalogue.sqlite   0600, users, tokens, what was done, policies and their runs, jobs, alerts, and which pool,
//!                      volumes and targets there were
//!   alerts.toml        0600, channels of alerts, their secrets sealed; silences
//!   audit.head         0600, the newest hash of the audit log
//!   api-certificate.pem, api-key.pem   0600, of the console
//!   policies.toml.taken, policy-runs.json.taken   what a version before kept of policies; not read
//!   tidemark.toml      configuration, if there is one
//!   tidemark.sock      0600, the API
//!   tidemarkd.lock     locked by the running daemon; holds its process id
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::ControlError;

/// How long a holder of the directory that lives may take to let go of it.
const LIVING_HOLDER: Duration = Duration::from_secs(1);
/// The same for one that has died: the kernel still ends its threads and its disks' requests, for seconds on
/// a slow machine, and whoever started this daemon may have seen only the first of them end.
const DEAD_HOLDER: Duration = Duration::from_secs(30);
/// How often it is looked whether the holder is gone.
const HOLDER_PAUSE: Duration = Duration::from_millis(20);

/// Bytes of a socket's path that every system takes (108 with the closing zero).
const SOCKET_PATH_LEN_MAX: usize = 100;

/// Where an appliance keeps everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

/// The right to use a state directory, until it is dropped.
#[derive(Debug)]
pub struct StateLock {
    file: File,
}

impl StateDir {
    /// The state directory at `path`, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a file is the appliance's own: whoever could make a disk of it would read passwords and put others in
    /// their place. Images of disks (`*.img`) may lie beside what is its own. The path has no links in it.
    pub fn is_own(&self, real: &Path) -> bool {
        let here = self.path.canonicalize().is_ok_and(|here| real.starts_with(here));
        let is_image = real.extension().is_some_and(|extension| extension == "img");
        let in_pool = self.pool().canonicalize().is_ok_and(|pool| real.starts_with(pool));
        in_pool || (here && !is_image)
    }

    /// The pool's directory.
    pub fn pool(&self) -> PathBuf {
        self.path.join("pool")
    }

    /// The directory of attachment records.
    pub fn attachments(&self) -> PathBuf {
        self.path.join("attachments")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.path.join("tidemark.toml")
    }

    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.path.join("tidemark.sock")
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("tidemarkd.lock")
    }

    /// Makes the directory where it is not there, for its owner alone, and takes it for this process.
    ///
    /// # Errors
    /// `StateInUse` where another daemon has it, or what the operating system says.
    pub fn take(&self) -> Result<StateLock, ControlError> {
        for dir in [self.path.clone(), self.pool(), self.attachments()] {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(|error| {
                ControlError::state(format!("make the directory {}", dir.display()), &error)
            })?;
        }
        let path = self.lock_file();
        let failed =
            |error: &std::io::Error| ControlError::state(format!("lock {}", path.display()), error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ControlError::StateInUse {
                    path: self.path.clone(),
                    pid: read_pid(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        write_pid(&mut file, Some(std::process::id())).map_err(|error| failed(&error))?;
        Ok(StateLock { file })
    }

    /// Takes the directory as [`StateDir::take`] does, and waits for a daemon that is on its way out.
    ///
    /// # Errors
    /// As [`StateDir::take`].
    pub async fn take_from_the_dying(&self) -> Result<StateLock, ControlError> {
        let patience = |pid: Option<u32>| match pid.is_none_or(is_alive) {
            true => LIVING_HOLDER,
            false => DEAD_HOLDER,
        };
        while_in_use(patience, || self.take()).await
    }

    /// The daemon that runs on this directory: `None` where there is none, `Some(None)` where there is
    /// one that has not said its process id.
    pub fn running(&self) -> Option<Option<u32>> {
        let mut file = File::open(self.lock_file()).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(read_pid(&mut file)),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }

    /// Whether others than the owner may enter it.
    pub fn is_open_to_others(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
    }

    /// Opens the API's socket for its owner alone, in the place of any that a dead daemon left. Needs
    /// the lock, so that no living one loses its own.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn bind_socket(
        &self,
        _lock: &StateLock,
    ) -> Result<std::os::unix::net::UnixListener, ControlError> {
        let at = ShortPath::of(&self.path)
            .map_err(|error| ControlError::state("open the state directory", &error))?;
        let fresh = at.join("tidemark.sock.new");
        let bound = || {
            remove_if_there(&fresh)?;
            let listener = std::os::unix::net::UnixListener::bind(&fresh)?;
            fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
            fs::rename(&fresh, at.join("tidemark.sock"))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        bound().map_err(|error: std::io::Error| {
            ControlError::state(format!("open the socket {}", self.socket().display()), &error)
        })
    }

    /// Connects to the API's socket.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn connect_socket(&self) -> std::io::Result<std::os::unix::net::UnixStream> {
        let at = ShortPath::of(&self.path)?;
        let stream = std::os::unix::net::UnixStream::connect(at.join("tidemark.sock"))?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    /// Removes the API's socket.
    pub fn remove_socket(&self, _lock: &StateLock) {
        if let Err(error) = remove_if_there(&self.socket()) {
            tracing::warn!(%error, "remove the API socket");
        }
    }
}

/// Tries again while something is in use, for as long as its holder, where it is known, deserves.
pub(crate) async fn while_in_use<T>(
    patience: impl Fn(Option<u32>) -> Duration,
    attempt: impl Fn() -> Result<T, ControlError>,
) -> Result<T, ControlError> {
    let mut waited = Duration::ZERO;
    loop {
        match attempt() {
            Err(ControlError::StateInUse { path, pid }) if waited < patience(pid) => {
                if waited.is_zero() {
                    tracing::info!(path = %path.display(), pid, "it is in use; waiting for its holder's end");
                }
            }
            done => return done,
        }
        tokio::time::sleep(HOLDER_PAUSE).await;
        waited += HOLDER_PAUSE;
    }
}

impl Drop for StateLock {
    fn drop(&mut self) {
        // The lock goes with the file; the number would only mislead.
        let _ = write_pid(&mut self.file, None);
    }
}

/// A directory by a path that is short enough for a socket in it, however deep it lies.
struct ShortPath {
    path: PathBuf,
    /// Keeps the path valid where it goes through this process's open files.
    _dir: Option<File>,
}

impl ShortPath {
    fn of(dir: &Path) -> std::io::Result<Self> {
        if dir.as_os_str().len() <= SOCKET_PATH_LEN_MAX - "/tidemark.sock.new".len() {
            return Ok(Self { path: dir.to_owned(), _dir: None });
        }
        let file = File::open(dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Self { path, _dir: Some(file) })
    }

    fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether the first thread of a process still runs; the others may outlive it for a moment.
fn is_alive(pid: u32) -> bool {
    let Ok(told) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name in brackets may hold anything.
    let state = told.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
    !matches!(state, Some('Z' | 'X'))
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File, pid: Option<u32>) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    match pid {
        Some(pid) => writeln!(file, "{pid}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_directory_is_for_its_owner_alone() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path().join("a/b"));
        let lock = state.take().unwrap();
        assert!(!state.is_open_to_others());
        let _listener = state.bind_socket(&lock).unwrap();
        let mode = fs::metadata(state.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_directory_is_held_once_and_the_holder_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path());
        assert_eq!(state.running(), None);
        let lock = state.take().unwrap();
        assert_eq!(state.running(), Some(Some(std::process::id())));
        let Err(ControlError::StateInUse { pid, .. }) = state.take() else {
            panic!("a second lock was given");
        };
        assert_eq!(pid, Some(std::process::id()));
        drop(lock);
        assert_eq!(state.running(), None);
        assert!(state.take().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_on_its_way_out_is_waited_for_and_a_living_one_only_briefly() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path());
        let mut lock = state.take().unwrap();
        let refused = state.take_from_the_dying().await;
        assert!(matches!(refused, Err(ControlError::StateInUse { .. })), "{refused:?}");

        // A zombie: it has ended, and nobody has asked how.
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        while is_alive(ended.id()) {
            std::thread::yield_now();
        }
        write_pid(&mut lock.file, Some(ended.id())).unwrap();
        let later = async {
            tokio::time::sleep(DEAD_HOLDER / 2).await;
            drop(lock);
        };
        let (taken, ()) = tokio::join!(state.take_from_the_dying(), later);
        assert!(taken.is_ok(), "{taken:?}");
        ended.wait().unwrap();
    }

    #[test]
    fn a_socket_opens_however_deep_the_directory_lies_and_over_one_that_was_left() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path().join("x".repeat(120)).join("y".repeat(120)));
        let lock = state.take().unwrap();
        drop(state.bind_socket(&lock).unwrap());
        assert!(state.connect_socket().is_err());
        let _listener = state.bind_socket(&lock).unwrap();
        state.connect_socket().unwrap();
        state.remove_socket(&lock);
        assert!(!state.socket().exists());
    }
}
