//! A FUSE file system with one file, whose content is a disk.
//!
//! Requests go down to the disk as they come and are answered from wherever the disk answers, so none
//! waits for another. The page cache is bypassed: the file system on the loop device above has its own.
//! A punched hole reads as zeroes to the byte, as the loop driver relies on.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use base::units::{BLOCK_LEN, Extent, SECTOR_LEN};
use disk::{
    Answer, Answers, AnyDisk, Buffer, DiskError, Done, Durability, Geometry, Keep, Op, Reply,
    Request as DiskRequest,
};
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};

/// Bytes of the largest read or write that the kernel hands over at once; also its own usual limit.
const REQUEST_LEN_MAX: u32 = 1 << 20;
/// Requests that the kernel keeps in flight: twice the depth of a loop device.
const IN_FLIGHT_MAX: u16 = 256;
/// Nothing may be remembered: the disk may grow.
const REMEMBERED: Duration = Duration::ZERO;
const FILE: INodeNo = INodeNo(2);
const SECTOR: u64 = SECTOR_LEN as u64;

/// The file system.
pub struct DiskFile {
    disk: AnyDisk,
    name: String,
    is_read_only: bool,
    errors: Arc<AtomicU64>,
}

impl DiskFile {
    /// A file system with one file of this name.
    pub fn new(disk: AnyDisk, name: String, is_read_only: bool) -> Self {
        Self { disk, name, is_read_only, errors: Arc::new(AtomicU64::new(0)) }
    }

    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let geometry = self.geometry();
        let (kind, perm, sectors, nlink) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o500, 0, 2),
            FILE if self.is_read_only => (FileType::RegularFile, 0o400, geometry.sectors, 1),
            FILE => (FileType::RegularFile, 0o600, geometry.sectors, 1),
            _ => return None,
        };
        Some(FileAttr {
            ino: inode,
            size: sectors * SECTOR,
            blocks: sectors,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink,
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            rdev: 0,
            blksize: geometry.physical_block_len,
            flags: 0,
        })
    }

    /// Hands `ops` down at once; `way_back` gets its answer when all are answered.
    fn submit(&self, ops: Vec<Op>, way_back: WayBack) {
        stay_out_of_writeback();
        let state = JobState { left: ops.len(), error: None, data: None, way_back: Some(way_back) };
        let job = Arc::new(Job { state: Mutex::new(state), errors: Arc::clone(&self.errors) });
        let ask = |op| DiskRequest { op, reply: Reply::new(job.clone(), 0) };
        self.disk.submit(ops.into_iter().map(ask).collect());
    }
}

impl Filesystem for DiskFile {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Where a wish is refused, the kernel's own choice stands.
        let _ =
            config.add_capabilities(InitFlags::FUSE_ASYNC_DIO | InitFlags::FUSE_PARALLEL_DIROPS);
        let _ = config.set_max_write(REQUEST_LEN_MAX);
        let _ = config.set_max_background(IN_FLIGHT_MAX);
        let _ = config.set_congestion_threshold(IN_FLIGHT_MAX);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(FILE) {
            Some(attributes) if parent == INodeNo::ROOT && name == self.name.as_str() => {
                reply.entry(&REMEMBERED, &attributes, Generation(0));
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&REMEMBERED, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        // Times may be set, to no effect; a disk has no other attributes of its own.
        if mode.is_some() || uid.is_some() || gid.is_some() || size.is_some() {
            return reply.error(Errno::EPERM);
        }
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&REMEMBERED, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _request: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if inode != FILE {
            return reply.error(Errno::EISDIR);
        }
        if self.is_read_only && flags.acc_mode() != OpenAccMode::O_RDONLY {
            return reply.error(Errno::EROFS);
        }
        let direct = FopenFlags::FOPEN_DIRECT_IO
            | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES
            | FopenFlags::FOPEN_NOFLUSH;
        reply.opened(FileHandle(0), direct);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let end = offset.saturating_add(size.into()).min(self.geometry().sectors * SECTOR);
        if offset >= end {
            return reply.data(&[]);
        }
        let start = offset / SECTOR;
        let buffer = match Buffer::for_sectors(end.div_ceil(SECTOR) - start) {
            Ok(buffer) => buffer,
            Err(error) => return reply.error(errno_of(&error)),
        };
        // Both differences are bounded by the 32 bits of `size` and a sector.
        let skip = usize::try_from(offset - start * SECTOR).unwrap_or(0);
        let len = usize::try_from(end - offset).unwrap_or(0);
        self.submit(vec![Op::Read { start, buffer }], WayBack::Read { reply, skip, len });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if self.is_read_only {
            return reply.error(Errno::EROFS);
        }
        // A block device above writes whole sectors; nobody else has business here.
        if !offset.is_multiple_of(SECTOR) || !data.len().is_multiple_of(SECTOR_LEN) {
            return reply.error(Errno::EINVAL);
        }
        let Ok(len) = u32::try_from(data.len()) else { return reply.error(Errno::EINVAL) };
        let payload = match Buffer::copy_of(data) {
            Ok(buffer) => buffer.freeze(),
            Err(error) => return reply.error(errno_of(&error)),
        };
        let is_stable = flags.0 & libc::O_DSYNC != 0;
        let durability = if is_stable { Durability::Stable } else { Durability::Volatile };
        let op = Op::Write { start: offset / SECTOR, data: vec![payload], durability };
        self.submit(vec![op], WayBack::Write { reply, len });
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.submit(vec![Op::Flush], WayBack::Empty(reply));
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fallocate(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if self.is_read_only {
            return reply.error(Errno::EROFS);
        }
        let geometry = self.geometry();
        let is_whole = offset.is_multiple_of(SECTOR) && length.is_multiple_of(SECTOR);
        let extent = Extent::new(offset / SECTOR, length / SECTOR);
        if inode != FILE || !is_whole || !extent.fits(geometry.sectors) {
            return reply.error(Errno::EINVAL);
        }
        match ops_of_fallocate(mode, extent, &geometry) {
            Some(ops) if ops.is_empty() => reply.ok(),
            Some(ops) => self.submit(ops, WayBack::Empty(reply)),
            None => reply.error(Errno::EOPNOTSUPP),
        }
    }

    fn lseek(&self, _: &Request, _: INodeNo, _: FileHandle, _: i64, _: i32, reply: ReplyLseek) {
        // The kernel then takes the whole file for data.
        reply.error(Errno::ENOSYS);
    }

    fn statfs(&self, _request: &Request, _inode: INodeNo, reply: ReplyStatfs) {
        // The loop driver takes the block length as the granularity of discards.
        let geometry = self.geometry();
        let block_len = discard_len(&geometry);
        let blocks = geometry.sectors * SECTOR / u64::from(block_len);
        reply.statfs(blocks, 0, 0, 1, 0, block_len, 255, block_len);
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if inode != INodeNo::ROOT {
            return reply.error(Errno::ENOTDIR);
        }
        let entries = [
            (INodeNo::ROOT, FileType::Directory, "."),
            (INodeNo::ROOT, FileType::Directory, ".."),
            (FILE, FileType::RegularFile, self.name.as_str()),
        ];
        for ((inode, kind, name), next) in entries.into_iter().zip(1u64..) {
            if next > offset && reply.add(inode, next, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}

/// What a `fallocate` asks of the disk; `None` where it asks for something that disks do not do.
///
/// A punched hole must read as zeroes to the sector, and a discard may leave content where it does not
/// fill a block. So whole blocks are discarded, and what is left at the two ends is zeroed. Where blocks
/// do not start on the grid of 4 KiB, as in a part of a disk, a discard would be a guess: all is zeroed.
fn ops_of_fallocate(mode: i32, extent: Extent, geometry: &Geometry) -> Option<Vec<Op>> {
    let zero = |extent, keep| Op::WriteZeroes { extent, keep, durability: Durability::Volatile };
    let mode = mode & !libc::FALLOC_FL_KEEP_SIZE;
    match mode {
        libc::FALLOC_FL_PUNCH_HOLE => {
            let is_on_grid = geometry.physical_block_len as usize >= BLOCK_LEN;
            if !is_on_grid && !extent.is_empty() {
                return Some(vec![zero(extent, Keep::Nothing)]);
            }
            let block = u64::from(discard_len(geometry)) / SECTOR;
            let first = extent.start.next_multiple_of(block).min(extent.end());
            let end = (extent.end() - extent.end() % block).max(first);
            let before = Extent::new(extent.start, first - extent.start);
            let whole = Extent::new(first, end - first);
            let after = Extent::new(end, extent.end() - end);
            let discard = Op::Discard { extent: whole, durability: Durability::Volatile };
            let ops = [
                (before, zero(before, Keep::Nothing)),
                (whole, discard),
                (after, zero(after, Keep::Nothing)),
            ];
            let ops = ops.into_iter().filter(|(extent, _)| !extent.is_empty());
            Some(ops.map(|(_, op)| op).collect())
        }
        libc::FALLOC_FL_ZERO_RANGE if extent.is_empty() => Some(Vec::new()),
        libc::FALLOC_FL_ZERO_RANGE => Some(vec![zero(extent, Keep::Space)]),
        _ => None,
    }
}

fn discard_len(geometry: &Geometry) -> u32 {
    // The length of a block fits.
    geometry.physical_block_len.max(u32::try_from(BLOCK_LEN).unwrap_or(4096))
}

/// Marks the calling thread as one that writes back memory for others: memory that it asks for is never
/// waited for by writing to a device that it serves itself.
fn stay_out_of_writeback() {
    thread_local!(static IS_DONE: Cell<bool> = const { Cell::new(false) });
    if !IS_DONE.replace(true) {
        super::fuse_loop::become_io_flusher();
    }
}

/// How the kernel gets its answer.
enum WayBack {
    Read { reply: ReplyData, skip: usize, len: usize },
    Write { reply: ReplyWrite, len: u32 },
    Empty(ReplyEmpty),
}

/// One request of the kernel, on its way as one or more requests to the disk.
struct Job {
    state: Mutex<JobState>,
    errors: Arc<AtomicU64>,
}

struct JobState {
    left: usize,
    error: Option<DiskError>,
    data: Option<Buffer>,
    way_back: Option<WayBack>,
}

impl Answers for Job {
    fn answer(&self, _ticket: u64, answer: Answer) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(Done::Read(buffer)) => state.data = Some(buffer),
            Ok(_) => {}
            Err(error) => state.error = state.error.take().or(Some(error)),
        }
        state.left = state.left.saturating_sub(1);
        if state.left > 0 {
            return;
        }
        let (way_back, error, data) =
            (state.way_back.take(), state.error.take(), state.data.take());
        drop(state);
        if let Some(error) = &error {
            self.log(error);
        }
        if let Some(way_back) = way_back {
            way_back.send(error.as_ref(), data);
        }
    }
}

impl Job {
    /// The kernel passes only a number on, so the reason is logged here; ever more rarely, since a disk
    /// that fails may fail a million times.
    fn log(&self, error: &DiskError) {
        let count = self.errors.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(%error, count, "an attached disk failed a request");
        }
    }
}

impl WayBack {
    fn send(self, error: Option<&DiskError>, data: Option<Buffer>) {
        let errno = error.map(errno_of);
        match (self, errno) {
            (Self::Read { reply, .. }, Some(errno)) => reply.error(errno),
            (Self::Read { reply, skip, len }, None) => {
                match data.as_ref().and_then(|data| data.get(skip..skip + len)) {
                    Some(bytes) => reply.data(bytes),
                    None => reply.error(Errno::EIO),
                }
            }
            (Self::Write { reply, .. }, Some(errno)) => reply.error(errno),
            (Self::Write { reply, len }, None) => reply.written(len),
            (Self::Empty(reply), Some(errno)) => reply.error(errno),
            (Self::Empty(reply), None) => reply.ok(),
        }
    }
}

fn errno_of(error: &DiskError) -> Errno {
    match error {
        DiskError::OutOfBounds { .. } | DiskError::Misaligned { .. } => Errno::EINVAL,
        DiskError::TooLarge { .. } => Errno::EINVAL,
        DiskError::ReadOnly => Errno::EROFS,
        DiskError::NoSpace(_) => Errno::ENOSPC,
        DiskError::Io { errno, .. } => Errno::from_i32(*errno),
        DiskError::Medium { .. }
        | DiskError::Poisoned(_)
        | DiskError::NotFound(_)
        | DiskError::Busy(_)
        | DiskError::Closed => Errno::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry {
        sectors: 1000,
        physical_block_len: 4096,
        atomic_write_len: 512,
        is_read_only: false,
    };

    fn punched(start: u64, sectors: u64) -> Vec<(bool, Extent)> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let ops = ops_of_fallocate(mode, Extent::new(start, sectors), &GEOMETRY).unwrap();
        ops.iter().map(|op| (matches!(op, Op::Discard { .. }), op.extent().unwrap())).collect()
    }

    #[test]
    fn a_hole_discards_whole_blocks_and_zeroes_its_ends() {
        let extent = Extent::new;
        assert_eq!(punched(8, 16), [(true, extent(8, 16))]);
        assert_eq!(punched(9, 3), [(false, extent(9, 3))]);
        assert_eq!(punched(7, 2), [(false, extent(7, 1)), (false, extent(8, 1))]);
        assert_eq!(
            punched(3, 30),
            [(false, extent(3, 5)), (true, extent(8, 24)), (false, extent(32, 1))]
        );
        assert_eq!(punched(16, 0), []);
    }

    #[test]
    fn a_hole_off_the_grid_of_blocks_is_only_zeroed() {
        let part = Geometry { physical_block_len: 512, ..GEOMETRY };
        let ops = ops_of_fallocate(libc::FALLOC_FL_PUNCH_HOLE, Extent::new(8, 16), &part);
        assert!(matches!(ops.unwrap()[..], [Op::WriteZeroes { keep: Keep::Nothing, .. }]));
    }

    #[test]
    fn zeroed_space_is_kept_and_other_wishes_are_refused() {
        let ops = ops_of_fallocate(libc::FALLOC_FL_ZERO_RANGE, Extent::new(1, 2), &GEOMETRY);
        assert!(matches!(ops.unwrap()[..], [Op::WriteZeroes { keep: Keep::Space, .. }]));
        for mode in [0, libc::FALLOC_FL_COLLAPSE_RANGE, libc::FALLOC_FL_INSERT_RANGE] {
            assert!(ops_of_fallocate(mode, Extent::new(1, 2), &GEOMETRY).is_none());
        }
    }
}
