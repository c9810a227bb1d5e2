//! An open file or block device: its descriptors, its length, whether it is poisoned.
//!
//! One file may be open twice, through the page cache and around it; each transfer picks the descriptor
//! that its alignment allows. Both are the same inode, so one `fdatasync` makes both stable.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use base::units::{Extent, SECTOR_LEN};

use super::sys::{self, Space};
use crate::error::DiskError;
use crate::request::{Keep, MapExtent, MapKind};
use crate::{Buffer, Geometry};

/// Stretches that one map answer may have: keeps it well under the size of any reply that carries it.
const MAP_STRETCHES_MAX: usize = 256;
/// Bytes of zeroes that are written at once where the file system cannot zero by itself.
const ZEROES_LEN: usize = 1 << 20;

/// A descriptor that goes around the page cache.
#[derive(Debug)]
pub(crate) struct Direct {
    pub(crate) file: File,
    /// What memory must be a multiple of.
    pub(crate) memory_align: u32,
    /// What offsets and lengths must be a multiple of.
    pub(crate) offset_align: u32,
}

/// What a backing is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) shown: Arc<str>,
    pub(crate) cached: File,
    /// What keeps a block device from others. Only through this one may its space be given back or zeroed.
    pub(crate) claim: Option<File>,
    pub(crate) direct: Option<Direct>,
    pub(crate) sectors: u64,
    pub(crate) physical_block_len: u32,
    pub(crate) is_device: bool,
    pub(crate) is_read_only: bool,
}

/// An open file or block device.
#[derive(Debug)]
pub(crate) struct Backing {
    parts: Parts,
    claim: RwLock<Option<File>>,
    sectors: AtomicU64,
    poison: OnceLock<Arc<str>>,
}

impl Backing {
    pub(crate) fn new(mut parts: Parts) -> Self {
        let claim = RwLock::new(parts.claim.take());
        Self { claim, sectors: AtomicU64::new(parts.sectors), parts, poison: OnceLock::new() }
    }

    /// Leaves the file to others, although a thread that just answered may hold this a moment longer.
    pub(crate) fn let_go(&self) {
        // Whoever comes next claims it before he locks it.
        let _ = self.cached().unlock();
        *self.claim.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Its path, for people.
    pub(crate) fn shown(&self) -> &str {
        &self.parts.shown
    }

    pub(crate) fn geometry(&self) -> Geometry {
        Geometry {
            sectors: self.sectors.load(Ordering::Acquire),
            physical_block_len: self.parts.physical_block_len,
            atomic_write_len: 512,
            is_read_only: self.parts.is_read_only,
        }
    }

    pub(crate) fn set_sectors(&self, sectors: u64) {
        self.sectors.fetch_max(sectors, Ordering::AcqRel);
    }

    pub(crate) fn cached(&self) -> &File {
        &self.parts.cached
    }

    pub(crate) fn direct(&self) -> Option<&Direct> {
        self.parts.direct.as_ref()
    }

    /// Why it takes no more changes, where it does not.
    pub(crate) fn poison(&self) -> Option<DiskError> {
        self.poison.get().map(|why| DiskError::Poisoned(Arc::clone(why)))
    }

    /// Takes no more changes from now on. The first reason stays.
    pub(crate) fn set_poison(&self, error: &DiskError) {
        let why: Arc<str> = format!("{}: {error}", self.shown()).into();
        if self.poison.set(Arc::clone(&why)).is_ok() {
            tracing::error!(disk = self.shown(), %error, "the disk takes no more changes");
        }
    }

    /// What an error of the operating system means to whoever asked. A read that fails means damage.
    pub(crate) fn error(&self, verb: &str, extent: Extent, error: &io::Error) -> DiskError {
        let is_damage =
            matches!(error.raw_os_error(), Some(libc::EIO | libc::EILSEQ | libc::ENODATA))
                || error.kind() == io::ErrorKind::UnexpectedEof;
        if verb == "read" && is_damage {
            let why = format!("read {}: {error}", self.shown());
            return DiskError::Medium { extent, why: why.into() };
        }
        DiskError::io(format!("{verb} {}", self.shown()), error)
    }

    /// Makes everything stable that was written before. Poisons where that fails.
    pub(crate) fn sync(&self) -> Result<(), DiskError> {
        if let Some(poison) = self.poison() {
            return Err(poison);
        }
        self.parts.cached.sync_data().map_err(|error| self.sync_failed(&error))
    }

    /// Lets the kernel begin to write so many bytes from an offset on to the medium, so that the next sync
    /// has less to wait for. Does nothing where that is not to be had.
    pub(crate) fn begin_writeback(&self, offset: u64, len: u64) {
        // What goes wrong is told by the sync that follows, and only once: so this does not wait, which would
        // take that answer from it.
        let _ = sys::begin_writeback(self.cached(), offset, len);
    }

    /// What a failed sync means: poison.
    pub(crate) fn sync_failed(&self, error: &io::Error) -> DiskError {
        let error = DiskError::io(format!("flush {}", self.shown()), error);
        self.set_poison(&error);
        error
    }

    /// Takes space ahead of writes.
    pub(crate) fn reserve(&self, extent: Extent) -> io::Result<()> {
        if extent.is_empty() || self.parts.is_device {
            return Ok(());
        }
        sys::fallocate(self.cached(), Space::Take, extent.start * 512, extent.bytes())
    }

    /// Makes an extent read as zeroes.
    pub(crate) fn zero(&self, extent: Extent, keep: Keep) -> io::Result<()> {
        if extent.is_empty() {
            return Ok(());
        }
        let ways: &[Space] = match keep {
            Keep::Nothing => &[Space::GiveBack, Space::Zero],
            Keep::Space => &[Space::Zero],
        };
        let claim = self.claim.read().unwrap_or_else(PoisonError::into_inner);
        let file = claim.as_ref().unwrap_or(self.cached());
        for way in ways {
            match sys::fallocate(file, *way, extent.start * 512, extent.bytes()) {
                Err(error) if is_unsupported(&error) => {}
                result => return result,
            }
        }
        self.write_zeroes_by_hand(extent)
    }

    /// Tells what an extent holds. May end before the extent does.
    pub(crate) fn map(&self, extent: Extent) -> io::Result<Vec<MapExtent>> {
        let mut map = Map { extent, all: Vec::new() };
        if extent.is_empty() {
            return Ok(map.all);
        }
        let end = extent.end() * 512;
        let mut at = extent.start * 512;
        if self.parts.is_device {
            map.push(end, MapKind::Data);
        }
        while at < end && map.all.len() < MAP_STRETCHES_MAX && !self.parts.is_device {
            let data = match sys::next_data(self.cached(), at) {
                Ok(data) => data.unwrap_or(end).min(end),
                // A file system that knows no holes.
                Err(error) if is_unsupported(&error) => at,
                Err(error) => return Err(error),
            };
            if data > at {
                at = self.map_hole(&mut map, at, data);
                if at < data {
                    break;
                }
                continue;
            }
            let hole = match sys::next_hole(self.cached(), at) {
                Ok(hole) => hole.unwrap_or(end).min(end),
                Err(error) if is_unsupported(&error) => end,
                Err(error) => return Err(error),
            };
            map.push(hole, MapKind::Data);
            at = hole;
        }
        Ok(map.all)
    }

    /// Tells which parts of a hole take space all the same. Returns where it stopped.
    fn map_hole(&self, map: &mut Map, from: u64, to: u64) -> u64 {
        let Ok(allocated) = sys::allocated(self.cached(), from, to - from) else {
            // Not known, so nothing is claimed about its space.
            map.push(to, MapKind::Zero);
            return to;
        };
        for (start, len) in allocated.stretches {
            map.push(start.min(to), MapKind::Absent);
            map.push(start.saturating_add(len).min(to), MapKind::Zero);
        }
        let end = allocated.end.min(to);
        map.push(end, MapKind::Absent);
        end
    }

    /// Zeroes where the file system cannot by itself.
    pub(super) fn write_zeroes_by_hand(&self, extent: Extent) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let zeroes =
            Buffer::zeroed(ZEROES_LEN).map_err(|error| io::Error::other(error.to_string()))?;
        let step = (ZEROES_LEN / SECTOR_LEN) as u64;
        let mut at = extent.start;
        while at < extent.end() {
            let now = Extent::new(at, step.min(extent.end() - at));
            let len = usize::try_from(now.bytes()).unwrap_or(ZEROES_LEN);
            self.cached().write_all_at(&zeroes[..len], at * 512)?;
            at = now.end();
        }
        Ok(())
    }
}

/// A map that grows from the start of an extent.
struct Map {
    extent: Extent,
    all: Vec<MapExtent>,
}

impl Map {
    /// What lies between the end so far and this byte is of this kind. The byte is rounded down to a
    /// sector for holes and up for data, so that no sector with data is called zero.
    fn push(&mut self, end: u64, kind: MapKind) {
        let start = self.all.last().map_or(self.extent.start, |last| last.extent.end());
        let end = match kind {
            MapKind::Data => end.div_ceil(512),
            MapKind::Zero | MapKind::Absent => end / 512,
        };
        let end = end.min(self.extent.end());
        if end <= start {
            return;
        }
        match self.all.last_mut() {
            Some(last) if last.kind == kind => last.extent.sectors += end - start,
            _ => self.all.push(MapExtent { extent: Extent::new(start, end - start), kind }),
        }
    }
}

/// Whether the kernel or the file system does not know how.
fn is_unsupported(error: &io::Error) -> bool {
    let unknown = [libc::EOPNOTSUPP, libc::ENOSYS, libc::EINVAL, libc::ENODEV, libc::ENOTTY];
    error.raw_os_error().is_some_and(|errno| unknown.contains(&errno))
}
