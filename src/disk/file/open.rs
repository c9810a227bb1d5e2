//! Opening files and block devices, and finding out what they allow.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use base::units::SECTOR_LEN;

use super::backing::{Direct, Parts};
use super::{Caching, FileOptions, sys};
use crate::error::DiskError;

/// A file that is open and was looked at.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(super) parts: Parts,
}

impl Opened {
    /// The descriptor that locks are taken on.
    pub(crate) fn file(&self) -> &File {
        &self.parts.cached
    }
}

/// Opens a regular file of whole sectors.
pub(crate) fn open_file(path: &Path, options: &FileOptions) -> Result<Opened, DiskError> {
    let shown: Arc<str> = path.display().to_string().into();
    let failed = |error: io::Error| DiskError::io(format!("open {shown}"), &error);
    let cached = plain(options).open(path).map_err(failed)?;
    let metadata = cached.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(DiskError::Io {
            what: format!("open {shown} as a file").into(),
            errno: libc::EINVAL,
        });
    }
    let sectors = whole_sectors(metadata.len())?;
    let direct = open_direct(path, options, None);
    let block = u32::try_from(metadata.blksize()).unwrap_or(4096);
    let parts = Parts {
        shown,
        cached,
        claim: None,
        direct,
        sectors,
        physical_block_len: if block.is_power_of_two() { block.clamp(512, 4096) } else { 4096 },
        is_device: false,
        is_read_only: options.is_read_only,
    };
    Ok(Opened { parts })
}

/// Opens a block device for this process alone, as the kernel understands that.
pub(crate) fn open_device(path: &Path, options: &FileOptions) -> Result<Opened, DiskError> {
    let shown: Arc<str> = path.display().to_string().into();
    let failed = |error: io::Error| match error.raw_os_error() {
        Some(libc::EBUSY) => DiskError::Busy(Arc::clone(&shown)),
        _ => DiskError::io(format!("open {shown}"), &error),
    };
    // The claim of O_EXCL lasts as long as its descriptor. Reads and writes go through others: io_uring holds
    // on to those for a while after the last answer, and the device would be busy for whoever is next.
    let claim = plain(options).custom_flags(libc::O_EXCL).open(path).map_err(failed)?;
    let cached = plain(options).open(path).map_err(failed)?;
    let device = sys::block_device(&cached).map_err(failed)?;
    let sectors = whole_sectors(device.len)?;
    let parts = Parts {
        direct: open_direct(path, options, Some(device.logical_block_len)),
        shown,
        cached,
        claim: Some(claim),
        sectors,
        physical_block_len: device.physical_block_len.max(512),
        is_device: true,
        is_read_only: options.is_read_only || device.is_read_only,
    };
    Ok(Opened { parts })
}

fn plain(options: &FileOptions) -> OpenOptions {
    let mut open = OpenOptions::new();
    open.read(true).write(!options.is_read_only);
    open
}

fn whole_sectors(len: u64) -> Result<u64, DiskError> {
    if len.is_multiple_of(SECTOR_LEN as u64) {
        return Ok(len / SECTOR_LEN as u64);
    }
    Err(DiskError::Misaligned { len: usize::try_from(len).unwrap_or(usize::MAX) })
}

/// A second descriptor that goes around the page cache, where that was asked for and is possible.
fn open_direct(
    path: &Path,
    options: &FileOptions,
    logical_block_len: Option<u32>,
) -> Option<Direct> {
    if options.caching == Caching::PageCache {
        return None;
    }
    let opened = plain(options).custom_flags(libc::O_DIRECT).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "direct I/O is refused here; the page cache is used");
            return None;
        }
    };
    let (memory_align, offset_align) = match (sys::direct_alignment(&file), logical_block_len) {
        (Some(told), _) => told,
        (None, Some(logical)) => (logical, logical),
        // Where nobody says, whole blocks are right everywhere.
        (None, None) => (512, 4096),
    };
    Some(Direct { file, memory_align, offset_align })
}
