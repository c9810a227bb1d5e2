//! Taking a file or a block device over for one pool, so that nobody else writes to it meanwhile.
//!
//! A file is locked by an advisory lock, which other programs may ignore; so what the kernel itself does
//! with it, as a loop device, is looked for. A block device is claimed from the kernel, which refuses where
//! it is mounted or part of something else; the mount table is read only to say where.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use nix::sys::stat::{major, minor};

use crate::error::DiskError;
use crate::file::{FileDisk, FileOptions, open_device, open_file};

/// Opens the disk at `path` for the pool in the directory `pool`.
pub(crate) fn adopt(
    path: &Path,
    pool: &Path,
    options: &FileOptions,
) -> Result<FileDisk, DiskError> {
    let shown = path.display();
    let failed = |error: &std::io::Error| DiskError::io(format!("open {shown}"), error);
    let real = path.canonicalize().map_err(|error| failed(&error))?;
    let metadata = fs::metadata(&real).map_err(|error| failed(&error))?;
    if metadata.file_type().is_block_device() {
        let number = (major(metadata.rdev()), minor(metadata.rdev()));
        if let Some(place) = mounted_at(&mounts(), number) {
            return Err(DiskError::Busy(format!("{shown}, mounted at {place},").into()));
        }
        let opened = open_device(&real, options)?;
        lock(opened.file(), path)?;
        return FileDisk::serve(opened, options);
    }
    if real.starts_with(pool) {
        return Err(refusal(path, "it lies in the pool itself"));
    }
    if !metadata.is_file() {
        return Err(refusal(path, "it is neither a file nor a block device"));
    }
    if !metadata.len().is_multiple_of(512) {
        return Err(refusal(path, "its length is no whole number of 512-byte sectors"));
    }
    if let Some(device) = loop_device_of(&real, Path::new("/sys/block")) {
        return Err(DiskError::Busy(format!("{shown}, the backing of /dev/{device},").into()));
    }
    let opened = open_file(&real, options)?;
    lock(opened.file(), path)?;
    FileDisk::serve(opened, options)
}

fn lock(file: &fs::File, path: &Path) -> Result<(), DiskError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => {
            Err(DiskError::Busy(format!("{} (locked by its user)", path.display()).into()))
        }
        Err(fs::TryLockError::Error(error)) => {
            Err(DiskError::io(format!("lock {}", path.display()), &error))
        }
    }
}

fn refusal(path: &Path, why: &str) -> DiskError {
    let what: Arc<str> = format!("take {} over, because {why}", path.display()).into();
    DiskError::Io { what, errno: libc::EINVAL }
}

fn mounts() -> String {
    // Where it cannot be read, the kernel's own refusal is all there is.
    fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()
}

/// Where a block device is mounted, by the text of the mount table.
///
/// Source: `proc_pid_mountinfo(5)`: mount ID, parent ID, major:minor, root, mount point, and more. Blanks
/// in a mount point are written as octal numbers.
fn mounted_at(mounts: &str, (major, minor): (u64, u64)) -> Option<String> {
    let number = format!("{major}:{minor}");
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&number))?;
    let place = line.split(' ').nth(4)?;
    Some(place.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
}

/// The loop device that a file backs, by what the kernel tells under `block`.
fn loop_device_of(file: &Path, block: &Path) -> Option<String> {
    let devices = fs::read_dir(block).ok()?;
    let names = devices.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut loops = names.filter(|name| name.starts_with("loop"));
    loops.find(|name| {
        let told = fs::read_to_string(block.join(name).join("loop/backing_file"));
        told.is_ok_and(|told| Path::new(told.trim_end_matches('\n')) == file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Disk;

    #[test]
    fn the_mount_table_tells_where_a_device_is() {
        let table = "36 35 98:0 /mnt1 /mnt2 rw master:1 - ext3 /dev/root rw\n\
                     40 35 8:17 / /var/mail\\040spool rw - xfs /dev/sdb1 rw\n";
        assert_eq!(mounted_at(table, (8, 17)).as_deref(), Some("/var/mail spool"));
        assert_eq!(mounted_at(table, (8, 1)), None);
        assert_eq!(mounted_at("", (8, 1)), None);
    }

    #[test]
    fn a_file_behind_a_loop_device_is_found() {
        let block = tempfile::tempdir().unwrap();
        let looped = block.path().join("loop3/loop");
        fs::create_dir_all(&looped).unwrap();
        fs::create_dir_all(block.path().join("sda")).unwrap();
        fs::write(looped.join("backing_file"), "/images/mail.img\n").unwrap();
        let found = |path| loop_device_of(Path::new(path), block.path());
        assert_eq!(found("/images/mail.img").as_deref(), Some("loop3"));
        assert_eq!(found("/images/mail"), None);
    }

    #[test]
    fn a_file_is_adopted_by_one_and_free_again_when_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let (pool, path) = (directory.path().join("pool"), directory.path().join("mail.img"));
        fs::create_dir(&pool).unwrap();
        fs::write(&path, vec![7; 8192]).unwrap();
        let engines =
            [crate::EngineKind::Inline, crate::EngineKind::Threads, crate::EngineKind::Uring];
        for engine in engines {
            if engine == crate::EngineKind::Uring && !crate::file::uring_is_allowed() {
                continue;
            }
            let options = FileOptions { engine, ..FileOptions::default() };
            let disk = adopt(&path, &pool, &options).unwrap();
            assert_eq!(disk.geometry().sectors, 16);
            assert!(matches!(adopt(&path, &pool, &options), Err(DiskError::Busy(_))));
            drop(disk);
        }
        assert_eq!(fs::read(&path).unwrap(), vec![7; 8192]);
    }

    #[test]
    fn what_is_no_disk_is_refused_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let pool = directory.path().join("pool");
        fs::create_dir(&pool).unwrap();
        let refused = |path: &Path| {
            let real_pool = pool.canonicalize().unwrap();
            adopt(path, &real_pool, &FileOptions::default()).unwrap_err().to_string()
        };
        fs::write(pool.join("journal"), [0; 512]).unwrap();
        assert!(refused(&pool.join("journal")).contains("lies in the pool"));
        let odd = directory.path().join("odd");
        fs::write(&odd, [0; 700]).unwrap();
        assert!(refused(&odd).contains("whole number of 512-byte sectors"));
        assert!(refused(directory.path()).contains("neither a file nor a block device"));
        assert!(refused(&directory.path().join("none")).contains("is not there"));
    }
}
