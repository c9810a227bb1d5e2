//! A directory as a shelf: each disk is a sparse file in it.
//!
//! One process has it at a time, by a lock on a file in it. Names that begin with a dot are the shelf's
//! own: `.lock`, and `.new-NAME` while a disk is being made. A disk appears under its name only when its
//! length is stable, and what creates, grows or removes makes the directory stable too.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base::units::Extent;

use crate::AnyDisk;
use crate::adopt;
use crate::error::DiskError;
use crate::file::{self, Backing, Caching, EngineKind, FileDisk, FileOptions};
use crate::shelf::{Shelf, Space, Usage};

/// Bytes in the name of a disk: leaves room for a prefix within what file systems take.
const NAME_LEN_MAX: usize = 200;
const LOCK: &str = ".lock";

/// How data disks are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DataEngine {
    /// io_uring around the page cache where the kernel allows it, else threads through the page cache.
    #[default]
    Auto,
    /// io_uring, or an error.
    Uring,
    /// Positional calls on threads.
    Positional,
}

/// How a directory is used as a shelf.
#[derive(Clone, Debug, Default)]
pub struct DirectoryOptions {
    /// How data disks are served. Logs are always called inline.
    pub data_engine: DataEngine,
    /// The runtime that reaps io_uring's completions; without one each disk has a thread for it. It must
    /// outlive the disks.
    pub runtime: Option<tokio::runtime::Handle>,
}

/// A directory as a shelf.
#[derive(Debug)]
pub struct DirectoryShelf {
    path: PathBuf,
    /// For making it stable.
    directory: File,
    /// The lock; held while this lives.
    _lock: File,
    options: DirectoryOptions,
    /// Open disks by name, so that they learn of growth.
    open: Mutex<BTreeMap<String, Vec<Weak<Backing>>>>,
}

impl DirectoryShelf {
    /// Opens a directory, which is made where it is missing, and locks it.
    ///
    /// # Errors
    /// `Busy` where another process has it, or what the operating system says.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        Self::open_with(path, DirectoryOptions::default())
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As [`DirectoryShelf::open`].
    pub fn open_with(path: &Path, options: DirectoryOptions) -> Result<Self, DiskError> {
        let failed = |what: &str, error: &std::io::Error| {
            DiskError::io(format!("{what} {}", path.display()), error)
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| failed("create", &error))?;
        let path = path.canonicalize().map_err(|error| failed("find", &error))?;
        let directory = File::open(&path).map_err(|error| failed("open", &error))?;
        let lock = lock(&path)?;
        let shelf =
            Self { path, directory, _lock: lock, options, open: Mutex::new(BTreeMap::new()) };
        shelf.sweep()?;
        Ok(shelf)
    }

    /// Where it is, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what an interrupted creation left.
    fn sweep(&self) -> Result<(), DiskError> {
        for name in self.names()? {
            if name.starts_with(".new-") {
                self.do_with("remove", &name, |path| std::fs::remove_file(path))?;
            }
        }
        Ok(())
    }

    fn options_for(&self, usage: Usage) -> FileOptions {
        let (caching, engine) = match (usage, self.options.data_engine) {
            (Usage::Log, _) => (Caching::PageCache, EngineKind::Inline),
            (Usage::Data, DataEngine::Positional) => (Caching::PageCache, EngineKind::Threads),
            (Usage::Data, DataEngine::Uring) => (Caching::Direct, EngineKind::Uring),
            (Usage::Data, DataEngine::Auto) if file::uring_is_allowed() => {
                (Caching::Direct, EngineKind::Uring)
            }
            (Usage::Data, DataEngine::Auto) => (Caching::PageCache, EngineKind::Threads),
        };
        FileOptions { caching, engine, is_read_only: false, runtime: self.options.runtime.clone() }
    }

    fn open_disk(&self, name: &str, usage: Usage) -> Result<AnyDisk, DiskError> {
        let mut open = self.lock_open();
        let disk = FileDisk::open(&self.path.join(name), &self.options_for(usage))?;
        let handles = open.entry(name.to_owned()).or_default();
        handles.retain(|handle| handle.strong_count() > 0);
        handles.push(Arc::downgrade(disk.backing()));
        Ok(Arc::new(disk))
    }

    /// Makes a file of this length under its name, all of it stable.
    fn make(&self, name: &str, bytes: u64) -> Result<(), DiskError> {
        let new = format!(".new-{name}");
        self.do_with("create", &new, |path| {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
            file.set_len(bytes)?;
            file.sync_all()
        })?;
        let to = self.path.join(name);
        self.do_with("name", &new, |path| std::fs::rename(path, &to))?;
        self.sync()
    }

    fn names(&self) -> Result<Vec<String>, DiskError> {
        let failed =
            |error: &std::io::Error| DiskError::io(format!("list {}", self.path.display()), error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            // What is not a name of ours is none of ours.
            names.extend(entry.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync(&self) -> Result<(), DiskError> {
        let synced = self.directory.sync_all();
        synced.map_err(|error| DiskError::io(format!("flush {}", self.path.display()), &error))
    }

    fn do_with<T>(
        &self,
        verb: &str,
        name: &str,
        work: impl FnOnce(&Path) -> std::io::Result<T>,
    ) -> Result<T, DiskError> {
        let path = self.path.join(name);
        work(&path).map_err(|error| DiskError::io(format!("{verb} {}", path.display()), &error))
    }

    fn lock_open(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Weak<Backing>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf for DirectoryShelf {
    fn create(&self, name: &str, sectors: u64, usage: Usage) -> Result<AnyDisk, DiskError> {
        check_name(name)?;
        let bytes = bytes_of(sectors)?;
        {
            let _one_at_a_time = self.lock_open();
            if self.path.join(name).symlink_metadata().is_ok() {
                return Err(DiskError::Busy(name.into()));
            }
            if let Err(error) = self.make(name, bytes) {
                // The next opening sweeps it away where this fails.
                let _ = std::fs::remove_file(self.path.join(format!(".new-{name}")));
                return Err(error);
            }
        }
        self.open_disk(name, usage)
    }

    fn open(&self, name: &str, usage: Usage) -> Result<AnyDisk, DiskError> {
        check_name(name)?;
        self.open_disk(name, usage)
    }

    fn grow(&self, name: &str, sectors: u64) -> Result<(), DiskError> {
        check_name(name)?;
        let bytes = bytes_of(sectors)?;
        let open = self.lock_open();
        self.do_with("grow", name, |path| {
            let file = OpenOptions::new().write(true).open(path)?;
            if file.metadata()?.len() < bytes {
                file.set_len(bytes)?;
                file.sync_all()?;
            }
            Ok(())
        })?;
        let handles = open.get(name).into_iter().flatten().filter_map(Weak::upgrade);
        handles.for_each(|backing| backing.set_sectors(sectors));
        Ok(())
    }

    fn reserve(&self, name: &str, extent: Extent) -> Result<(), DiskError> {
        check_name(name)?;
        let options = FileOptions { engine: EngineKind::Inline, ..FileOptions::default() };
        FileDisk::open(&self.path.join(name), &options)?.reserve(extent)
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        check_name(name)?;
        self.lock_open().remove(name);
        match self.do_with("remove", name, |path| std::fs::remove_file(path)) {
            Ok(()) => self.sync(),
            Err(DiskError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn list(&self) -> Result<Vec<String>, DiskError> {
        let mut names = self.names()?;
        names.retain(|name| check_name(name).is_ok());
        Ok(names)
    }

    fn adopt(&self, path: &Path) -> Result<AnyDisk, DiskError> {
        let disk = adopt::adopt(path, &self.path, &self.options_for(Usage::Data))?;
        Ok(Arc::new(disk))
    }

    fn space(&self) -> Result<Space, DiskError> {
        let told = nix::sys::statvfs::fstatvfs(&self.directory).map_err(|errno| {
            let error = std::io::Error::from(errno);
            DiskError::io(format!("ask for the space of {}", self.path.display()), &error)
        })?;
        let block = told.fragment_size();
        Ok(Space {
            free: told.blocks_available().saturating_mul(block),
            total: told.blocks().saturating_mul(block),
        })
    }
}

/// Takes the lock of a directory, for as long as the file is open.
fn lock(directory: &Path) -> Result<File, DiskError> {
    let shown = directory.display();
    let failed = |error: &std::io::Error| DiskError::io(format!("lock {shown}"), error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(directory.join(LOCK)).map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // Only for the message: the lock decides, not what the file says.
            let _ = Read::take(&file, 32).read_to_string(&mut owner);
            let owner =
                owner.trim().parse::<u32>().map_or(String::new(), |pid| format!(", pid {pid}"));
            return Err(DiskError::Busy(format!("{shown} (another process{owner})").into()));
        }
        Err(std::fs::TryLockError::Error(error)) => return Err(failed(&error)),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|error| failed(&error))?;
    Ok(file)
}

/// Whether this may be the name of a disk: letters, digits, dots, dashes and underscores, and no dot first.
fn check_name(name: &str) -> Result<(), DiskError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_right = !name.is_empty()
        && name.len() <= NAME_LEN_MAX
        && !name.starts_with('.')
        && name.chars().all(is_plain);
    if is_right {
        return Ok(());
    }
    Err(DiskError::Io {
        what: format!("use {name:?} as the name of a disk").into(),
        errno: libc::EINVAL,
    })
}

fn bytes_of(sectors: u64) -> Result<u64, DiskError> {
    let max = i64::MAX as u64;
    sectors
        .checked_mul(512)
        .filter(|bytes| *bytes <= max)
        .ok_or(DiskError::TooLarge { len: sectors.saturating_mul(512), max })
}

#[cfg(test)]
mod tests;
