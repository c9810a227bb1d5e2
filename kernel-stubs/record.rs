//! The record of an attachment: what a successor needs in order to clean up after a crash.
//!
//! It is on disk before the first thing it speaks of is made, and goes when the last is gone. It holds
//! a token that nothing else on this host carries, so that clean-up touches only what is ours.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use base::id::Id;
use base::name::Name;
use base::rng::SystemRng;
use serde::{Deserialize, Serialize};

use crate::attach::Kind;
use crate::error::AttachError;
use crate::process;

/// The only format there is.
const VERSION: u32 = 1;
/// Bytes that a record may have: a few paths.
const RECORD_LEN_MAX: u64 = 64 * 1024;

/// What was attached, and how far that had come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttachRecord {
    /// The format.
    pub version: u32,
    /// The attachment's name.
    pub name: Name,
    /// Names the attachment to the kernel: 32 hexadecimal digits that nothing else has.
    pub token: String,
    /// By which way it was attached.
    pub kind: Kind,
    /// This start of the machine; nothing of a record outlives it.
    pub boot: String,
    /// The process that holds it.
    pub pid: u32,
    /// When that process started, in ticks since boot.
    pub pid_start: u64,
    /// Where the FUSE file system is mounted, for that way of attaching.
    pub fuse_dir: Option<PathBuf>,
    /// The block device, once there is one.
    pub device: Option<PathBuf>,
    /// Where it is mounted, once it is to be.
    pub mount: Option<MountRecord>,
}

/// A mount of an attachment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MountRecord {
    /// The mount point.
    pub dir: PathBuf,
    /// Whether the directory was made for this and goes with it.
    pub is_dir_ours: bool,
}

impl AttachRecord {
    /// A record of nothing yet, held by this process.
    pub(crate) fn fresh(name: Name, kind: Kind) -> Self {
        let pid = std::process::id();
        Self {
            version: VERSION,
            name,
            token: Id::fresh(&SystemRng).to_string(),
            kind,
            boot: boot(),
            pid,
            pid_start: process::start_of(pid).unwrap_or(0),
            fuse_dir: None,
            device: None,
            mount: None,
        }
    }

    /// Reads a record. What it says is checked before it is believed: see `cleanup`.
    ///
    /// # Errors
    /// `Record` where it is none, `Io` where it cannot be read.
    pub fn load(path: &Path) -> Result<Self, AttachError> {
        let bad = |why: String| AttachError::Record { path: path.to_owned(), why };
        let len = fs::metadata(path).map_err(|e| AttachError::io("read", path, e))?.len();
        if len > RECORD_LEN_MAX {
            return Err(bad(format!("{len} bytes are too many")));
        }
        let text = fs::read(path).map_err(|e| AttachError::io("read", path, e))?;
        let record: Self = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        if record.version != VERSION {
            return Err(bad(format!("its version is {}, not {VERSION}", record.version)));
        }
        // A token that many things carry would let clean-up take what is not ours.
        if record.token.parse::<Id>().is_err() {
            return Err(bad("its token is not 32 hexadecimal digits".to_owned()));
        }
        Ok(record)
    }

    /// Puts the record at `path`, whole or not at all, stable when this returns.
    ///
    /// # Errors
    /// `Io` where it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), AttachError> {
        let failed = |e: std::io::Error| AttachError::io("write", path, e);
        let text = serde_json::to_vec_pretty(self).map_err(|e| failed(e.into()))?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(failed)?;
        let beside = path.with_extension("new");
        let mut file = File::create(&beside).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&beside, path).map_err(failed)?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
    }

    /// Takes the record away; one that is not there is no error.
    ///
    /// # Errors
    /// `Io` where it cannot be removed.
    pub fn remove(path: &Path) -> Result<(), AttachError> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(AttachError::io("remove", path, e)),
            _ => Ok(()),
        }
    }

    /// Whether the machine has not been started again since.
    pub fn is_of_this_boot(&self) -> bool {
        self.boot == boot()
    }

    /// Whether the process that holds the attachment still runs.
    pub fn is_held(&self) -> bool {
        self.is_of_this_boot() && process::start_of(self.pid) == Some(self.pid_start)
    }
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AttachRecord {
        AttachRecord::fresh("mail".parse().unwrap(), Kind::FuseLoop)
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records/mail.json");
        let mut record = record();
        record.save(&path).unwrap();
        record.mount = Some(MountRecord { dir: "/mnt/a b".into(), is_dir_ours: true });
        record.save(&path).unwrap();
        assert_eq!(AttachRecord::load(&path).unwrap(), record);
        assert!(record.is_held());
        AttachRecord::remove(&path).unwrap();
        AttachRecord::remove(&path).unwrap();
        assert!(matches!(AttachRecord::load(&path), Err(AttachError::Io { .. })));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mail.json");
        let mut foreign = record();
        foreign.version = 2;
        foreign.save(&path).unwrap();
        assert!(AttachRecord::load(&path).unwrap_err().to_string().contains("version"));
        let mut foreign = record();
        foreign.token = String::new();
        foreign.save(&path).unwrap();
        assert!(AttachRecord::load(&path).unwrap_err().to_string().contains("token"));
        for text in ["", "{}", "[1]", "{\"version\":1", "\u{0}"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(AttachRecord::load(&path), Err(AttachError::Record { .. })));
        }
    }

    #[test]
    fn a_record_of_another_boot_or_process_is_not_held() {
        let mut other = record();
        other.boot = "another".to_owned();
        assert!(!other.is_held());
        let mut other = record();
        other.pid_start += 1;
        assert!(!other.is_held());
    }
}
