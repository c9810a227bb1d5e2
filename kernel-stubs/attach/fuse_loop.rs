//! FUSE and a loop device: the way to attach that every kernel has.
//!
//! The disk is the one file of a FUSE file system that this process serves, and a loop device makes a
//! block device of that file. The file carries the attachment's token as its name, so that the loop
//! device on it can be told from all others as long as either exists.
#![expect(unsafe_code, reason = "prctl has no safe form")]

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use disk::AnyDisk;
use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use nix::mount::{MntFlags, umount2};

use super::fuse_file::DiskFile;
use super::release::{until_gone, when_unused};
use super::{
    AttachOptions, Attacher, Attachment, Availability, Held, Kind, Pending, blocking, keep,
};
use crate::error::AttachError;
use crate::loop_device::{self, CONTROL};
use crate::mount_table;
use crate::record::AttachRecord;

/// What the table of mounts shows as the source of such a file system, before the token.
pub(crate) const SOURCE_PREFIX: &str = "tidemark:";

const FUSE: &str = "/dev/fuse";
/// Source: prctl(2).
const PR_SET_IO_FLUSHER: libc::c_int = 57;
/// Threads that take requests in; they do not wait for answers, so few are enough.
const THREADS: usize = 2;
/// Attaches by FUSE and a loop device.
#[derive(Debug)]
pub struct FuseLoop {
    run_dir: PathBuf,
}

impl FuseLoop {
    /// Attaches with its FUSE mounts below `run_dir`, which is made when needed.
    pub fn new(run_dir: impl Into<PathBuf>) -> Self {
        Self { run_dir: run_dir.into() }
    }
}

impl Attacher for FuseLoop {
    fn kind(&self) -> Kind {
        Kind::FuseLoop
    }

    fn name(&self) -> &'static str {
        "FUSE and a loop device"
    }

    fn availability(&self) -> Availability {
        if !nix::unistd::geteuid().is_root() {
            return Availability::No("only root can set up a loop device".to_owned());
        }
        for (path, module) in [(FUSE, "fuse"), (CONTROL, "loop")] {
            if let Err(e) = OpenOptions::new().read(true).write(true).open(path) {
                return Availability::No(format!("open {path}: {e}; try `modprobe {module}`"));
            }
        }
        Availability::Yes
    }

    fn attach(&self, disk: AnyDisk, options: AttachOptions) -> Pending<'_, Attachment> {
        Box::pin(async move {
            if let Availability::No(why) = self.availability() {
                return Err(AttachError::Unavailable(why));
            }
            options.check_free()?;
            let mut record = AttachRecord::fresh(options.name.clone(), Kind::FuseLoop);
            let fuse_dir = blocking("attach", {
                let run_dir = self.run_dir.clone();
                let name = options.name.clone();
                move || prepare(&run_dir, name.as_str())
            })
            .await?;
            record.fuse_dir = Some(fuse_dir.clone());
            let is_read_only = options.is_read_only || disk.geometry().is_read_only;
            let made = match record.save(&options.record) {
                Ok(()) => make(disk.clone(), &record, &fuse_dir, is_read_only).await,
                Err(error) => Err(error),
            };
            let held = match made {
                Ok(held) => held,
                Err(error) => return Err(undo(error, &fuse_dir, &options.record)),
            };
            record.device = Some(held.device.clone());
            let attachment = Attachment::new(Box::new(held), disk, record.clone(), &options);
            keep(attachment, &record, &options.record).await
        })
    }
}

/// The directory for the FUSE mount of `name`, made now: readable by root alone.
fn prepare(run_dir: &Path, name: &str) -> Result<PathBuf, AttachError> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder.recursive(true).create(run_dir).map_err(|e| AttachError::io("create", run_dir, e))?;
    // The table of mounts shows paths without links and dots.
    let dir = run_dir.canonicalize().map_err(|e| AttachError::io("find", run_dir, e))?.join(name);
    match builder.recursive(false).create(&dir) {
        Ok(()) => Ok(dir),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            // A crash between this directory and its record leaves it empty.
            let is_mounted = mount_table::on(&dir)?.is_some();
            if !is_mounted && fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_none()) {
                return Ok(dir);
            }
            Err(AttachError::Busy { what: dir.display().to_string(), users: Vec::new() })
        }
        Err(e) => Err(AttachError::io("create", &dir, e)),
    }
}

fn undo(error: AttachError, fuse_dir: &Path, record: &Path) -> AttachError {
    // What failed first is what the caller must know; a rest is named by the record, if one is left.
    match fs::remove_dir(fuse_dir) {
        Ok(()) => {
            if let Err(e) = AttachRecord::remove(record) {
                tracing::warn!(error = %e, "a record of nothing is left");
            }
        }
        Err(e) => tracing::warn!(dir = %fuse_dir.display(), error = %e, "a directory is left"),
    }
    error
}

async fn make(
    disk: AnyDisk,
    record: &AttachRecord,
    dir: &Path,
    is_read_only: bool,
) -> Result<HeldLoop, AttachError> {
    let session = {
        let file = DiskFile::new(disk, record.token.clone(), is_read_only);
        let config = config(&record.token, is_read_only);
        let dir = dir.to_owned();
        blocking("mount FUSE", move || {
            let failed = |e| AttachError::io("mount FUSE on", &dir, e);
            Session::new(file, &dir, &config).and_then(Session::spawn).map_err(failed)
        })
        .await?
    };
    let file = dir.join(&record.token);
    let attached = blocking("attach", move || loop_device::attach(&file, is_read_only)).await;
    match attached {
        Ok(device) => {
            let is_direct = loop_device::is_direct(&device);
            tracing::debug!(device = %device.display(), is_direct, "attached by FUSE and loop");
            Ok(HeldLoop {
                device,
                token: record.token.clone(),
                fuse_dir: dir.to_owned(),
                session: Some(session),
            })
        }
        Err(error) => {
            let dir = dir.to_owned();
            if let Err(e) = blocking("unmount FUSE", move || take_down(session, &dir)).await {
                tracing::warn!(error = %e, "a FUSE mount is left");
            }
            Err(error)
        }
    }
}

fn config(token: &str, is_read_only: bool) -> Config {
    let mut config = Config::default();
    config.acl = SessionACL::Owner;
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    config.mount_options = vec![
        MountOption::FSName(format!("{SOURCE_PREFIX}{token}")),
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::NoExec,
        if is_read_only { MountOption::RO } else { MountOption::RW },
    ];
    config
}

/// A loop device, and the file system that serves the file under it.
struct HeldLoop {
    device: PathBuf,
    token: String,
    fuse_dir: PathBuf,
    session: Option<BackgroundSession>,
}

impl Held for HeldLoop {
    fn device(&self) -> &Path {
        &self.device
    }

    fn refresh_size(&mut self) -> Pending<'_, ()> {
        let (device, file) = (self.device.clone(), self.fuse_dir.join(&self.token));
        Box::pin(blocking("resize", move || loop_device::refresh_size(&device, &file)))
    }

    fn release(&mut self) -> Pending<'_, ()> {
        Box::pin(async move {
            self.release_loop().await?;
            if let Some(session) = self.session.take() {
                let dir = self.fuse_dir.clone();
                blocking("unmount FUSE", move || take_down(session, &dir)).await?;
            }
            match fs::remove_dir(&self.fuse_dir) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    Err(AttachError::io("remove", &self.fuse_dir, e))
                }
                _ => Ok(()),
            }
        })
    }
}

impl HeldLoop {
    async fn release_loop(&self) -> Result<(), AttachError> {
        let is_there = |device: &Path| loop_device::is_backed_by(device, &self.token);
        if !is_there(&self.device) {
            return Ok(());
        }
        when_unused(&self.device, loop_device::release).await?;
        until_gone(&self.device, is_there).await
    }
}

/// Unmounts the FUSE file system and ends its threads.
fn take_down(session: BackgroundSession, dir: &Path) -> Result<(), AttachError> {
    match umount2(dir, MntFlags::UMOUNT_NOFOLLOW) {
        // Somebody unmounted it already.
        Ok(()) | Err(nix::errno::Errno::EINVAL) => {
            ended(session.join()).map_err(|e| AttachError::io("end FUSE on", dir, e))
        }
        // Somebody looks at the directory. The device is gone, so nothing is lost by letting them; the
        // threads end when they leave.
        Err(nix::errno::Errno::EBUSY) => umount2(dir, MntFlags::MNT_DETACH)
            .map_err(|e| AttachError::io("unmount FUSE from", dir, e)),
        Err(e) => Err(AttachError::io("unmount FUSE from", dir, e)),
    }
}

/// How a session that was unmounted ended.
///
/// The kernel tells late and of its own accord that the file was closed. A thread that takes this in at the
/// moment of the unmounting is told that the connection was aborted, which here is the end like any other.
fn ended(session: io::Result<()>) -> io::Result<()> {
    match session {
        Err(error) if error.kind() == ErrorKind::ConnectionAborted => Ok(()),
        ended => ended,
    }
}

/// Tells the kernel that the calling thread serves a block device of this host: what it allocates is not
/// reclaimed by writing back to devices, which might be the one it serves. For every thread that a disk's
/// requests pass through; threads started from it inherit this.
pub fn become_io_flusher() {
    // SAFETY: the request takes plain numbers and changes only the calling thread.
    if unsafe { libc::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) } != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, "a thread could not be made an I/O flusher");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_is_how_an_unmounted_session_may_end_and_nothing_else_is() {
        let told = |errno| ended(Err(io::Error::from_raw_os_error(errno)));
        assert!(told(libc::ECONNABORTED).is_ok());
        assert_eq!(told(libc::EIO).unwrap_err().raw_os_error(), Some(libc::EIO));
        assert!(ended(Ok(())).is_ok());
    }
}
