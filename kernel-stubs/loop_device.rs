//! Loop devices: a file becomes a block device.
//!
//! The file is one that this process may serve itself, so nothing here waits for a loop device in this
//! process: see `apart`. For the same reason none is kept open. Partitions are not scanned.
//!
//! Source: loop(4) and the kernel's `linux/loop.h`.
#![expect(unsafe_code, reason = "loop devices are driven by ioctls in a process apart")]

use std::ffi::{CStr, CString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::apart;
use crate::error::AttachError;

/// The device that hands out loop devices.
pub const CONTROL: &str = "/dev/loop-control";

/// How often a free device is asked for, when others take it first.
const ATTEMPTS_MAX: usize = 64;

const FLAG_READ_ONLY: u32 = 1;
const FLAG_DIRECT_IO: u32 = 16;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_len: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_len: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopInfo>() == 232 && size_of::<LoopConfig>() == 304);

mod request {
    //! The requests of `linux/loop.h`.
    nix::ioctl_none_bad!(get_free, 0x4C82);
    nix::ioctl_write_ptr_bad!(configure, 0x4C0A, super::LoopConfig);
    nix::ioctl_none_bad!(clear_fd, 0x4C01);
    nix::ioctl_none_bad!(set_capacity, 0x4C07);
}

/// Makes the file at `backing` a block device with sectors of 512 bytes and gives its path; reads and
/// writes bypass the page cache of the file where its file system allows that.
///
/// # Errors
/// `Io` where the kernel refuses.
pub fn attach(backing: &Path, is_read_only: bool) -> Result<PathBuf, AttachError> {
    let failed = |e| AttachError::io("make a loop device of", backing, e);
    let file = c_path(backing).map_err(failed)?;
    let control = c_path(Path::new(CONTROL)).map_err(failed)?;
    // SAFETY: `attach_apart` makes system calls on what was prepared here.
    let number = unsafe { apart::run(|| attach_apart(&file, &control, is_read_only)) };
    number.map(|number| PathBuf::from(format!("/dev/loop{number}"))).map_err(failed)
}

/// Takes the length of the backing file over after it grew.
///
/// # Errors
/// `Io` where the kernel refuses.
pub fn refresh_size(device: &Path, backing: &Path) -> Result<(), AttachError> {
    let failed = |e| AttachError::io("resize", device, e);
    let path = c_path(device).map_err(failed)?;
    let file = c_path(backing).map_err(failed)?;
    let work = || {
        // Opening the file makes the kernel ask for its length anew.
        Descriptor::open(&file, libc::O_RDONLY)?;
        let device = Descriptor::open(&path, libc::O_RDONLY)?;
        // SAFETY: the request takes no argument.
        unsafe { request::set_capacity(device.0) }.map(|_| 0)
    };
    // SAFETY: `work` makes system calls on what was prepared here.
    unsafe { apart::run(work) }.map(drop).map_err(failed)
}

/// Flushes the device at `path` down to its backing file and tells it to go: at once, or when the last
/// who has it open closes it. One that has gone is no error.
///
/// # Errors
/// `Busy` where somebody claims it for himself alone, as a mount does; `Io` where flushing fails or the
/// kernel refuses. Then it stays.
pub fn release(path: &Path) -> Result<(), AttachError> {
    let failed = |e| AttachError::io("detach", path, e);
    let device = c_path(path).map_err(failed)?;
    let work = || {
        let device = Descriptor::open(&device, libc::O_RDONLY | libc::O_EXCL)?;
        // SAFETY: a system call on an open descriptor.
        Errno::result(unsafe { libc::fsync(device.0) })?;
        // SAFETY: the request takes no argument.
        unsafe { request::clear_fd(device.0) }.map(|_| 0)
    };
    // SAFETY: `work` makes system calls on what was prepared here.
    ended(path, unsafe { apart::run(work) })
}

/// Tells the device at `path` to go although what it was made of has gone.
///
/// # Errors
/// `Io` where the kernel refuses; a device that has gone is no error.
pub fn clear(path: &Path) -> Result<(), AttachError> {
    let device = c_path(path).map_err(|e| AttachError::io("detach", path, e))?;
    let work = || {
        let device = Descriptor::open(&device, libc::O_RDONLY)?;
        // SAFETY: the request takes no argument.
        unsafe { request::clear_fd(device.0) }.map(|_| 0)
    };
    // SAFETY: `work` makes system calls on what was prepared here.
    ended(path, unsafe { apart::run(work) })
}

/// Whether the loop device at `path` has a backing file of this name, in whatever directory.
pub fn is_backed_by(path: &Path, token: &str) -> bool {
    let backing = attribute(path, "backing_file").map(PathBuf::from);
    backing.is_some_and(|file| file.file_name().is_some_and(|name| name == token))
}

/// All loop devices with a backing file of this name.
pub fn backed_by(token: &str) -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("loop"))
        .map(|name| Path::new("/dev").join(name))
        .filter(|path| is_backed_by(path, token))
        .collect()
}

/// Whether reads and writes bypass the page cache of the backing file.
pub fn is_direct(path: &Path) -> bool {
    attribute(path, "dio").is_some_and(|value| value == "1")
}

fn attribute(path: &Path, name: &str) -> Option<String> {
    let file = Path::new("/sys/block").join(path.file_name()?).join("loop").join(name);
    fs::read_to_string(file).ok().map(|text| text.trim_end_matches('\n').to_owned())
}

fn ended(path: &Path, done: Result<u32, Errno>) -> Result<(), AttachError> {
    match done {
        Ok(_) | Err(Errno::ENXIO | Errno::ENOENT) => Ok(()),
        Err(Errno::EBUSY) => {
            Err(AttachError::Busy { what: path.display().to_string(), users: Vec::new() })
        }
        Err(e) => Err(AttachError::io("detach", path, e)),
    }
}

fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// An open file in a process apart.
struct Descriptor(libc::c_int);

impl Descriptor {
    fn open(path: &CStr, flags: libc::c_int) -> Result<Self, Errno> {
        // SAFETY: the path ends with a zero byte.
        Errno::result(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) }).map(Self)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the descriptor is open and nobody else's.
        unsafe {
            libc::close(self.0);
        }
    }
}

/// Gives the number of the device.
fn attach_apart(file: &CStr, control: &CStr, is_read_only: bool) -> Result<u32, Errno> {
    let access = if is_read_only { libc::O_RDONLY } else { libc::O_RDWR };
    let backing = Descriptor::open(file, access)?;
    let control = Descriptor::open(control, libc::O_RDWR)?;
    let config = config(&backing, is_read_only);
    for _ in 0..ATTEMPTS_MAX {
        // SAFETY: the request takes no argument.
        let number = unsafe { request::get_free(control.0) }?.unsigned_abs();
        let mut path = [0; 32];
        write!(&mut path[..], "/dev/loop{number}\0").map_err(|_| Errno::ENAMETOOLONG)?;
        let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::ENAMETOOLONG)?;
        let device = Descriptor::open(path, access)?;
        // SAFETY: the argument is the structure that the request wants, and lives through the call.
        match unsafe { request::configure(device.0, &raw const config) } {
            Ok(_) => return Ok(number),
            // Somebody else was given the same device and was faster.
            Err(Errno::EBUSY) => {}
            Err(e) => return Err(e),
        }
    }
    Err(Errno::EBUSY)
}

fn config(backing: &Descriptor, is_read_only: bool) -> LoopConfig {
    let read_only = if is_read_only { FLAG_READ_ONLY } else { 0 };
    LoopConfig {
        // The descriptor of an open file is never negative.
        fd: backing.0.unsigned_abs(),
        // Disks that were formatted elsewhere have sectors of 512 bytes.
        block_len: 512,
        info: LoopInfo {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_len: 0,
            flags: FLAG_DIRECT_IO | read_only,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    }
}
