//! Attaching: a disk becomes a block device of this host.
//!
//! An [`Attacher`] is one way to do it; [`choose`] picks the best one that this host offers. An
//! [`Attachment`] lasts until it is detached or its process ends; what a crash leaves is named by its
//! record and taken away by `cleanup`.

mod attachment;
pub mod double;
mod fuse_file;
pub mod fuse_loop;
pub mod nbd;
pub(crate) mod release;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use base::name::Name;
use disk::AnyDisk;
use serde::{Deserialize, Serialize};

pub use attachment::{Attachment, Held};

use crate::error::AttachError;
use crate::record::AttachRecord;

/// An answer that comes later.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, AttachError>> + Send + 'a>>;

/// A way to attach.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The kernel's NBD client.
    KernelNbd,
    /// A file of a FUSE file system, under a loop device.
    FuseLoop,
    /// Nothing but this process: for tests.
    Double,
}

/// Whether a way to attach works on this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Availability {
    /// It does, as far as can be known without trying.
    Yes,
    /// It does not; the text says what is missing.
    No(String),
}

/// What to attach a disk as.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    /// Names the attachment to people; one attachment has it at a time.
    pub name: Name,
    /// Refuse everything that would change the disk. A read-only disk is never attached otherwise.
    pub is_read_only: bool,
    /// Where the record is kept while the attachment lasts.
    pub record: PathBuf,
}

impl AttachOptions {
    /// Checks that nothing is attached, nor left from a crash, under this record.
    fn check_free(&self) -> Result<(), AttachError> {
        if self.record.exists() {
            let what = format!("the name {} (see {})", self.name, self.record.display());
            return Err(AttachError::Busy { what, users: Vec::new() });
        }
        Ok(())
    }
}

/// One way to attach disks.
pub trait Attacher: Send + Sync {
    /// Which way it is.
    fn kind(&self) -> Kind;

    /// What people call it.
    fn name(&self) -> &'static str;

    /// Whether it works on this host.
    fn availability(&self) -> Availability;

    /// Makes a block device of `disk`. The record is written before the first change to the host; when
    /// this fails, nothing is left of it.
    ///
    /// # Errors
    /// `Busy` where the name or the record is taken, `Unavailable`, `Disk` or `Io` where it fails.
    fn attach(&self, disk: AnyDisk, options: AttachOptions) -> Pending<'_, Attachment>;
}

/// All ways to attach to the kernel, the fastest first: `serve` serves NBD, and FUSE mounts lie below
/// `run_dir`.
pub fn all(serve: nbd::Serve, run_dir: PathBuf) -> [Arc<dyn Attacher>; 2] {
    [Arc::new(nbd::KernelNbd::new(serve)), Arc::new(fuse_loop::FuseLoop::new(run_dir))]
}

/// The first of `attachers` that works here.
///
/// # Errors
/// `Unavailable` with what each of them lacks.
pub fn choose(attachers: &[Arc<dyn Attacher>]) -> Result<Arc<dyn Attacher>, AttachError> {
    let mut missing = Vec::new();
    for attacher in attachers {
        match attacher.availability() {
            Availability::Yes => return Ok(Arc::clone(attacher)),
            Availability::No(why) => missing.push(format!("{}: {why}", attacher.name())),
        }
    }
    Err(AttachError::Unavailable(missing.join("; ")))
}

/// Writes the record of what is complete now, or takes it down again.
async fn keep(
    mut attachment: Attachment,
    record: &AttachRecord,
    path: &Path,
) -> Result<Attachment, AttachError> {
    match record.save(path) {
        Ok(()) => Ok(attachment),
        Err(error) => {
            attachment.detach().await?;
            Err(error)
        }
    }
}

/// Runs what waits for the kernel where it holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, AttachError> + Send + 'static,
) -> Result<T, AttachError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| {
        Err(AttachError::Io { what: what.to_owned(), source: std::io::Error::other(e) })
    })
}
