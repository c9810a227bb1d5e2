//! The kernel's NBD client: what can be told to it, and what it shows.
//!
//! Source: the kernel's `linux/nbd-netlink.h`, and `Documentation/ABI/testing/sysfs-block-nbd` for
//! `backend`.
#![expect(unsafe_code, reason = "a device is let go in a process apart")]

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::netlink::{self, Message};
use crate::apart;
use crate::error::AttachError;

const FAMILY: &str = "nbd";
const COMMAND_CONNECT: u8 = 1;
const COMMAND_DISCONNECT: u8 = 2;
const COMMAND_RECONFIGURE: u8 = 3;
const INDEX: u16 = 1;
const SIZE_BYTES: u16 = 2;
const BLOCK_SIZE_BYTES: u16 = 3;
const TIMEOUT: u16 = 4;
const SERVER_FLAGS: u16 = 5;
const SOCKETS: u16 = 7;
const BACKEND_IDENTIFIER: u16 = 10;
const SOCKET_ITEM: u16 = 1;
const SOCKET_FD: u16 = 1;
/// Seconds that the kernel waits for an answer before it gives a connection up: a day. A disk may be slow
/// for long, when its pool is full above all, and a server that has gone is noticed at once. Without a
/// number of ours, the kernel gives one of several connections up after 30 s.
const PATIENCE_S: u64 = 24 * 3600;
/// Bytes of the largest answer: the control family describes a family in less.
const ANSWER_LEN_MAX: usize = 8192;

/// The number by which the kernel knows the NBD family.
///
/// # Errors
/// `ENOENT` where the kernel has no NBD client, or its module is not loaded.
pub fn family() -> Result<u16, Errno> {
    let message = Message::new(netlink::CONTROL_FAMILY, netlink::CONTROL_GET_FAMILY)
        .text(netlink::CONTROL_FAMILY_NAME, FAMILY);
    let id = exchange(&message.into_bytes(), netlink::CONTROL_FAMILY_ID)?;
    id.and_then(|id| u16::try_from(id).ok()).ok_or(Errno::EBADMSG)
}

/// What a device is to be made of.
#[derive(Debug)]
pub struct Connect<'a> {
    /// Connections to one and the same export, negotiated.
    pub streams: &'a [UnixStream],
    /// The export's length.
    pub bytes: u64,
    /// The export's transmission flags.
    pub flags: u16,
    /// Names the attachment.
    pub token: &'a str,
}

/// Makes a block device and gives its path. The kernel keeps the connections; the caller may close its
/// own ends of them.
///
/// # Errors
/// What the kernel says.
pub fn connect(connect: &Connect<'_>) -> Result<PathBuf, Errno> {
    let sockets = |message| {
        connect.streams.iter().fold(message, |message: Message, stream| {
            // The descriptor of an open file is never negative.
            let fd = stream.as_raw_fd().unsigned_abs();
            message.nested(SOCKET_ITEM, |item| item.u32(SOCKET_FD, fd))
        })
    };
    // Without a timeout for dead connections, everything fails at once when the server has gone.
    let message = Message::new(family()?, COMMAND_CONNECT)
        .u64(SIZE_BYTES, connect.bytes)
        .u64(BLOCK_SIZE_BYTES, 512)
        .u64(TIMEOUT, PATIENCE_S)
        .u64(SERVER_FLAGS, connect.flags.into())
        .text(BACKEND_IDENTIFIER, connect.token)
        .nested(SOCKETS, sockets);
    let index = exchange(&message.into_bytes(), INDEX)?.ok_or(Errno::EBADMSG)?;
    Ok(PathBuf::from(format!("/dev/nbd{index}")))
}

/// Tells the kernel the new length of the device that was made with this token.
///
/// # Errors
/// What the kernel says.
pub fn resize(device: &Path, token: &str, bytes: u64) -> Result<(), Errno> {
    let message = Message::new(family()?, COMMAND_RECONFIGURE)
        .u32(INDEX, index_of(device).ok_or(Errno::ENODEV)?)
        .text(BACKEND_IDENTIFIER, token)
        .u64(SIZE_BYTES, bytes);
    exchange(&message.into_bytes(), INDEX).map(drop)
}

/// Flushes a device and disconnects it.
///
/// # Errors
/// `Busy` where somebody claims it for himself alone, as a mount does; `Io` where flushing fails or the
/// kernel refuses. Then it stays.
pub fn release(device: &Path) -> Result<(), AttachError> {
    let failed = |e: Errno| AttachError::io("detach", device, e);
    let path = CString::new(device.as_os_str().as_bytes()).map_err(|_| failed(Errno::EINVAL))?;
    let message = disconnect_message(device).map_err(failed)?;
    let work = || {
        // SAFETY: the path ends with a zero byte, and the descriptor is nobody else's.
        let file = unsafe {
            let flags = libc::O_RDONLY | libc::O_EXCL | libc::O_CLOEXEC;
            OwnedFd::from_raw_fd(Errno::result(libc::open(path.as_ptr(), flags))?)
        };
        // SAFETY: a system call on an open descriptor.
        Errno::result(unsafe { libc::fsync(file.as_raw_fd()) })?;
        exchange(&message, INDEX).map(|_| 0)
    };
    // SAFETY: `work` makes system calls on what was prepared here.
    match unsafe { apart::run(work) } {
        Ok(_) => Ok(()),
        Err(Errno::EBUSY) => {
            Err(AttachError::Busy { what: device.display().to_string(), users: Vec::new() })
        }
        Err(e) => Err(failed(e)),
    }
}

/// Disconnects a device whatever becomes of its users.
///
/// # Errors
/// What the kernel says.
pub fn disconnect(device: &Path) -> Result<(), Errno> {
    exchange(&disconnect_message(device)?, INDEX).map(drop)
}

/// Whether the device was made with this token.
pub fn is_connected_as(device: &Path, token: &str) -> bool {
    let Some(name) = device.file_name() else { return false };
    let backend = fs::read_to_string(Path::new("/sys/block").join(name).join("backend"));
    backend.is_ok_and(|backend| backend.trim_end() == token)
}

/// All devices that were made with this token.
pub fn connected_as(token: &str) -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("nbd"))
        .map(|name| Path::new("/dev").join(name))
        .filter(|device| is_connected_as(device, token))
        .collect()
}

fn disconnect_message(device: &Path) -> Result<Vec<u8>, Errno> {
    let index = index_of(device).ok_or(Errno::ENODEV)?;
    Ok(Message::new(family()?, COMMAND_DISCONNECT).u32(INDEX, index).into_bytes())
}

fn index_of(device: &Path) -> Option<u32> {
    device.file_name()?.to_str()?.strip_prefix("nbd")?.parse().ok()
}

/// Sends a request and waits for its end; gives the number in the attribute `wanted` of the answer.
/// Allocates nothing.
fn exchange(message: &[u8], wanted: u16) -> Result<Option<u32>, Errno> {
    // SAFETY: plain numbers; the descriptor is nobody else's.
    let socket = unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_GENERIC);
        OwnedFd::from_raw_fd(Errno::result(fd)?)
    };
    let fd = socket.as_raw_fd();
    // SAFETY: the pointer and the length are those of one slice.
    let sent = unsafe { libc::send(fd, message.as_ptr().cast(), message.len(), 0) };
    Errno::result(sent)?;
    let mut answer = [0u8; ANSWER_LEN_MAX];
    let mut value = None;
    loop {
        // SAFETY: the pointer and the length are those of one array.
        let len = unsafe { libc::recv(fd, answer.as_mut_ptr().cast(), ANSWER_LEN_MAX, 0) };
        let len = match Errno::result(len) {
            Err(Errno::EINTR) => continue,
            len => len?,
        };
        let datagram = answer.get(..len.unsigned_abs()).ok_or(Errno::EBADMSG)?;
        let said = netlink::read(datagram, wanted)?;
        value = said.value.or(value);
        match said.end {
            Some(Ok(())) => return Ok(value),
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_the_control_family_itself() {
        let message = Message::new(netlink::CONTROL_FAMILY, netlink::CONTROL_GET_FAMILY)
            .text(netlink::CONTROL_FAMILY_NAME, "nlctrl");
        let id = exchange(&message.into_bytes(), netlink::CONTROL_FAMILY_ID);
        assert_eq!(id, Ok(Some(netlink::CONTROL_FAMILY.into())));
    }

    #[test]
    fn a_family_that_is_not_there_is_not_found() {
        let message = Message::new(netlink::CONTROL_FAMILY, netlink::CONTROL_GET_FAMILY)
            .text(netlink::CONTROL_FAMILY_NAME, "no-such-family");
        let id = exchange(&message.into_bytes(), netlink::CONTROL_FAMILY_ID);
        assert_eq!(id, Err(Errno::ENOENT));
    }

    #[test]
    fn devices_are_known_by_their_names() {
        assert_eq!(index_of(Path::new("/dev/nbd12")), Some(12));
        for other in ["/dev/nbd", "/dev/nbd1p2", "/dev/loop1", "/"] {
            assert_eq!(index_of(Path::new(other)), None);
        }
    }
}
