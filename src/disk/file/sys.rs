//! The system calls that the standard library does not offer, each as a safe function over a file.
#![expect(unsafe_code, reason = "system calls that the standard library does not offer")]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use super::vectors::Vectors;

/// Entries of a vectored call, the least that every Linux takes.
pub(crate) const VECTORS_MAX: usize = 1024;

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// What to do with a stretch of a file's space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Space {
    /// Take it, without touching content.
    Take,
    /// Give it back; it reads as zeroes.
    GiveBack,
    /// Take it, and let it read as zeroes.
    Zero,
}

/// Moves as many bytes as one call does between the file from `offset` on and what is left of `vectors`.
pub(crate) fn transfer(
    file: &File,
    direction: Direction,
    vectors: &Vectors,
    offset: u64,
) -> io::Result<usize> {
    let offset = offset_of(offset)?;
    let (list, count) = vectors.left();
    // A list is never longer than VECTORS_MAX.
    let count = libc::c_int::try_from(count).unwrap_or(libc::c_int::MAX);
    retried(|| {
        // SAFETY: `left` gives a list of `count` entries, each of which describes memory that whoever made
        // the vectors keeps alive, and for a read keeps to itself, until they are dropped.
        unsafe {
            match direction {
                Direction::Read => libc::preadv(file.as_raw_fd(), list, count, offset),
                Direction::Write => libc::pwritev(file.as_raw_fd(), list, count, offset),
            }
        }
    })
}

/// Lets the kernel begin to write dirty pages to the medium, without waiting for it. A hint: makes nothing
/// stable.
pub(crate) fn begin_writeback(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let (offset, len) = (offset_of(offset)?, offset_of(len)?);
    let flags = libc::SYNC_FILE_RANGE_WRITE;
    // SAFETY: takes no pointers.
    retried(|| unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) as isize })
        .map(drop)
}

/// `fallocate` without changing the length of the file.
pub(crate) fn fallocate(file: &File, space: Space, offset: u64, len: u64) -> io::Result<()> {
    let mode = libc::FALLOC_FL_KEEP_SIZE
        | match space {
            Space::Take => 0,
            Space::GiveBack => libc::FALLOC_FL_PUNCH_HOLE,
            Space::Zero => libc::FALLOC_FL_ZERO_RANGE,
        };
    let (offset, len) = (offset_of(offset)?, offset_of(len)?);
    // SAFETY: takes no pointers.
    retried(|| unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, len) as isize }).map(drop)
}

/// The first place from `offset` on that holds data, or `None` where only a hole is left.
pub(crate) fn next_data(file: &File, offset: u64) -> io::Result<Option<u64>> {
    seek(file, offset, libc::SEEK_DATA)
}

/// The first place from `offset` on that is a hole; the end of the file is one.
pub(crate) fn next_hole(file: &File, offset: u64) -> io::Result<Option<u64>> {
    seek(file, offset, libc::SEEK_HOLE)
}

fn seek(file: &File, offset: u64, whence: libc::c_int) -> io::Result<Option<u64>> {
    let offset = offset_of(offset)?;
    // SAFETY: takes no pointers. The file's own position is used by nobody.
    let found = unsafe { libc::lseek64(file.as_raw_fd(), offset, whence) };
    match u64::try_from(found) {
        Ok(found) => Ok(Some(found)),
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            error => Err(error),
        },
    }
}

/// Alignment that direct I/O wants: of memory, and of offsets and lengths. `None` where the file system
/// does not say.
pub(crate) fn direct_alignment(file: &File) -> Option<(u32, u32)> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: an empty path with AT_EMPTY_PATH names the descriptor itself; `found` has room for a statx.
    let result = unsafe {
        let (fd, flags) = (file.as_raw_fd(), libc::AT_EMPTY_PATH);
        libc::statx(fd, c"".as_ptr(), flags, libc::STATX_DIOALIGN, found.as_mut_ptr())
    };
    if result != 0 {
        return None;
    }
    // SAFETY: zeroed memory is a valid statx, and the kernel filled it.
    let found = unsafe { found.assume_init() };
    let is_told = found.stx_mask & libc::STATX_DIOALIGN != 0 && found.stx_dio_offset_align > 0;
    is_told.then_some((found.stx_dio_mem_align, found.stx_dio_offset_align))
}

const BLKROGET: libc::c_ulong = 0x125e;
const BLKSSZGET: libc::c_ulong = 0x1268;
const BLKPBSZGET: libc::c_ulong = 0x127b;
const BLKGETSIZE64: libc::c_ulong = 0x8008_1272;

/// What a block device is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockDevice {
    pub(crate) len: u64,
    pub(crate) logical_block_len: u32,
    pub(crate) physical_block_len: u32,
    pub(crate) is_read_only: bool,
}

/// Asks a block device.
pub(crate) fn block_device(file: &File) -> io::Result<BlockDevice> {
    let mut len = 0u64;
    let (mut logical, mut physical, mut read_only) = (0 as libc::c_int, 0u32, 0 as libc::c_int);
    let fd = file.as_raw_fd();
    // SAFETY: each of these requests writes one value of the type that it is given here.
    unsafe {
        retried(|| libc::ioctl(fd, BLKGETSIZE64 as _, &raw mut len) as isize)?;
        retried(|| libc::ioctl(fd, BLKSSZGET as _, &raw mut logical) as isize)?;
        retried(|| libc::ioctl(fd, BLKPBSZGET as _, &raw mut physical) as isize)?;
        retried(|| libc::ioctl(fd, BLKROGET as _, &raw mut read_only) as isize)?;
    }
    let logical_block_len = u32::try_from(logical).unwrap_or(512);
    let is_read_only = read_only != 0;
    Ok(BlockDevice { len, logical_block_len, physical_block_len: physical, is_read_only })
}

const FS_IOC_FIEMAP: libc::c_ulong = 0xc020_660b;
const FIEMAP_EXTENTS: u32 = 32;
const FIEMAP_EXTENT_LAST: u32 = 1;

/// Source: Linux, `include/uapi/linux/fiemap.h`, `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct FiemapExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved_64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// Source: Linux, `include/uapi/linux/fiemap.h`, `struct fiemap`.
#[repr(C)]
struct Fiemap {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
    extents: [FiemapExtent; FIEMAP_EXTENTS as usize],
}

/// Allocated stretches of a file, as offsets and lengths in bytes.
pub(crate) struct Allocated {
    pub(crate) stretches: Vec<(u64, u64)>,
    /// Where the answer ends: what lies behind was not looked at.
    pub(crate) end: u64,
}

/// Which parts of a file take space, from `offset` on, written or not.
pub(crate) fn allocated(file: &File, offset: u64, len: u64) -> io::Result<Allocated> {
    let mut map = Fiemap {
        start: offset,
        length: len,
        flags: 0,
        mapped_extents: 0,
        extent_count: FIEMAP_EXTENTS,
        reserved: 0,
        extents: [FiemapExtent::default(); FIEMAP_EXTENTS as usize],
    };
    // SAFETY: the request reads and writes a `fiemap` with room for `extent_count` extents behind it.
    unsafe {
        retried(|| libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP as _, &raw mut map) as isize)?;
    }
    let count = map.mapped_extents.min(FIEMAP_EXTENTS) as usize;
    let found = &map.extents[..count];
    let end = match found.last() {
        Some(last) if count == FIEMAP_EXTENTS as usize && last.flags & FIEMAP_EXTENT_LAST == 0 => {
            last.logical.saturating_add(last.length)
        }
        _ => offset.saturating_add(len),
    };
    let stretches = found.iter().map(|extent| (extent.logical, extent.length)).collect();
    Ok(Allocated { stretches, end })
}

fn offset_of(bytes: u64) -> io::Result<i64> {
    i64::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))
}

/// Calls until no signal got in the way.
fn retried(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        let result = call();
        if let Ok(count) = usize::try_from(result) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
