//! Mounting: mount points, and the two system calls.
//!
//! The calls are made in a process apart, since the device may be served by this one: see `apart`.
#![expect(unsafe_code, reason = "mounts are made in a process apart")]

use std::ffi::{CString, OsStr};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::MsFlags;

use crate::apart;
use crate::error::AttachError;
use crate::filesystem::Found;
use crate::mount_plan::{Host, MountPlan, Origin, plan, version_of};
use crate::mount_table;
use crate::process;

/// What the caller decides about a mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MountHow {
    /// What is mounted is a view or a mark: a copy of something that may be mounted beside it.
    pub is_copy: bool,
    /// Programs on it may be run.
    pub is_exec_allowed: bool,
}

/// What a mount came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountReport {
    /// The mount point, without links.
    pub dir: PathBuf,
    /// What was found on the disk.
    pub file_system: String,
    /// The type and options it is mounted with.
    pub options: String,
    /// What people should know before they trust what they see.
    pub notes: Vec<String>,
}

/// Decides how to mount `found` on this host.
///
/// # Errors
/// `Unmountable` where it cannot be, with the way out.
pub fn plan_here(found: &Found, origin: Origin, how: &MountHow) -> Result<MountPlan, AttachError> {
    let release = nix::sys::utsname::uname().ok();
    let release = release.as_ref().and_then(|name| name.release().to_str());
    let is_fsid_mounted = match found {
        Found::Btrfs(btrfs) => Path::new("/sys/fs/btrfs").join(uuid(&btrfs.fsid)).exists(),
        _ => false,
    };
    let kernel = release.and_then(version_of).unwrap_or((0, 0));
    let mut plan = plan(found, origin, Host { kernel, is_fsid_mounted })?;
    if !how.is_exec_allowed {
        plan.flags |= MsFlags::MS_NOEXEC;
    }
    Ok(plan)
}

/// A directory that is ready to be mounted on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountPoint {
    /// The directory, without links.
    pub dir: PathBuf,
    /// It was made for this.
    pub is_made: bool,
}

impl MountPoint {
    /// Finds `dir` empty, or makes it.
    ///
    /// # Errors
    /// `MountPoint` where it is no directory, is not empty, is mounted on already, or cannot be made.
    pub fn prepare(dir: &Path) -> Result<Self, AttachError> {
        let bad = |why: String| AttachError::MountPoint { path: dir.to_owned(), why };
        let is_made = match fs::create_dir(dir) {
            Ok(()) => true,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => false,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(bad("the directory above it does not exist".to_owned()));
            }
            Err(e) => return Err(bad(e.to_string())),
        };
        let real = dir.canonicalize().map_err(|e| bad(e.to_string()))?;
        if let Some(there) = mount_table::on(&real)? {
            return Err(bad(format!("{} is mounted there", there.source.display())));
        }
        match fs::read_dir(&real).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Ok(Self { dir: real, is_made }),
            Ok(false) => Err(bad("it is not empty".to_owned())),
            Err(e) if e.kind() == ErrorKind::NotADirectory => {
                Err(bad("it is not a directory".to_owned()))
            }
            Err(e) => Err(bad(e.to_string())),
        }
    }

    /// Removes the directory if it was made for this and nobody put anything there.
    pub fn give_back(&self) {
        if !self.is_made {
            return;
        }
        if let Err(error) = fs::remove_dir(&self.dir) {
            tracing::debug!(dir = %self.dir.display(), %error, "a mount point is left");
        }
    }
}

/// Mounts `device` on `dir` as planned.
///
/// # Errors
/// `Busy` where it is mounted already, `Unmountable` where the file system refuses, `Io` otherwise.
pub fn mount(device: &Path, dir: &Path, plan: &MountPlan) -> Result<(), AttachError> {
    let failed = |e: Errno| AttachError::Io {
        what: format!("mount {} on {}", device.display(), dir.display()),
        source: e.into(),
    };
    let source = c_text(device.as_os_str()).map_err(failed)?;
    let target = c_text(dir.as_os_str()).map_err(failed)?;
    let kind = c_text(plan.kind.as_ref()).map_err(failed)?;
    let data = c_text(plan.data.join(",").as_ref()).map_err(failed)?;
    let flags = plan.flags.bits();
    let work = || {
        // SAFETY: all pointers are to text that ends with a zero byte and outlives the call.
        let done = unsafe {
            let data = data.as_ptr().cast();
            libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data)
        };
        Errno::result(done).map(|_| 0)
    };
    // SAFETY: `work` makes a system call on what was prepared here.
    match unsafe { apart::run(work) } {
        Ok(_) => Ok(()),
        Err(Errno::EBUSY) => {
            Err(AttachError::Busy { what: device.display().to_string(), users: Vec::new() })
        }
        Err(e) => Err(refused(plan, e).unwrap_or_else(|| failed(e))),
    }
}

/// What the answers of file systems mean, where that can be told.
fn refused(plan: &MountPlan, error: Errno) -> Option<AttachError> {
    let why = match error {
        Errno::ENODEV => format!("this kernel has no {} (try `modprobe {}`)", plan.kind, plan.kind),
        Errno::EINVAL if plan.kind == "xfs" && !plan.data.contains(&"nouuid") => {
            "XFS refuses it: it is damaged, or a file system of the same identity is mounted; \
             if that is so, mount it as a copy"
                .to_owned()
        }
        Errno::EINVAL | Errno::EUCLEAN | Errno::EIO => {
            format!("{} refuses it ({error}): the kernel log says why", plan.kind)
        }
        _ => return None,
    };
    Some(AttachError::Unmountable(why))
}

/// Unmounts `device` from `dir`. Where it is not mounted there, nothing is done.
///
/// # Errors
/// `Busy` where it is used, or something else is mounted above or below it; `Io` otherwise.
pub fn unmount(device: &Path, dir: &Path) -> Result<(), AttachError> {
    match take_off(device, dir, libc::UMOUNT_NOFOLLOW)? {
        Ok(()) => Ok(()),
        Err(Errno::EBUSY) => {
            let below = mount_table::all()?
                .into_iter()
                .find(|mount| mount.dir != dir && mount.dir.starts_with(dir));
            let what = match below {
                Some(below) => format!("{} (see {})", dir.display(), below.dir.display()),
                None => dir.display().to_string(),
            };
            Err(AttachError::Busy { what, users: process::users_of_tree(dir) })
        }
        Err(e) => Err(AttachError::io("unmount", dir, e)),
    }
}

/// Takes `device` out of the tree at `dir` at once; its users keep what they have open.
///
/// # Errors
/// `Busy` where something else is mounted above it, `Io` otherwise.
pub fn unmount_lazily(device: &Path, dir: &Path) -> Result<(), AttachError> {
    take_off(device, dir, libc::UMOUNT_NOFOLLOW | libc::MNT_DETACH)?
        .map_err(|e| AttachError::io("unmount", dir, e))
}

fn take_off(
    device: &Path,
    dir: &Path,
    flags: libc::c_int,
) -> Result<Result<(), Errno>, AttachError> {
    match mount_table::on(dir)? {
        None => return Ok(Ok(())),
        Some(there) if there.source == device => {}
        Some(there) => {
            let ours = mount_table::of_device(device)?.iter().any(|mounted| mounted == dir);
            if !ours {
                return Ok(Ok(()));
            }
            let what = format!("{}, under {},", dir.display(), there.source.display());
            return Err(AttachError::Busy { what, users: Vec::new() });
        }
    }
    let target = match c_text(dir.as_os_str()) {
        Ok(target) => target,
        Err(e) => return Ok(Err(e)),
    };
    // SAFETY: the pointer is to text that ends with a zero byte and outlives the call.
    let work = || Errno::result(unsafe { libc::umount2(target.as_ptr(), flags) }).map(|_| 0);
    // SAFETY: `work` makes a system call on what was prepared here.
    Ok(unsafe { apart::run(work) }.map(drop))
}

fn c_text(text: &OsStr) -> Result<CString, Errno> {
    CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL)
}

/// Eight, four, four, four and twelve digits.
fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_mount_point_is_made_and_goes_again() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("mail");
        let point = MountPoint::prepare(&wanted).unwrap();
        assert!(point.is_made && wanted.is_dir());
        point.give_back();
        assert!(!wanted.exists());
    }

    #[test]
    fn an_empty_directory_of_another_stays() {
        let dir = tempfile::tempdir().unwrap();
        let point = MountPoint::prepare(dir.path()).unwrap();
        assert!(!point.is_made);
        point.give_back();
        assert!(dir.path().is_dir());
    }

    #[test]
    fn what_is_not_an_empty_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        let why = |path: &Path| MountPoint::prepare(path).unwrap_err().to_string();
        assert!(why(dir.path()).contains("not empty"));
        assert!(why(&dir.path().join("file")).contains("not a directory"));
        assert!(why(&dir.path().join("a/b")).contains("above it"));
        assert!(why(Path::new("/proc")).contains("mounted there"));
    }

    #[test]
    fn an_identity_has_the_usual_form() {
        assert_eq!(uuid(&[0xab; 16]), "abababab-abab-abab-abab-abababababab");
    }
}
