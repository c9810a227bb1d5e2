//! Work in a process apart: whatever might wait for a device that this very process serves.
//!
//! A thread that waits for its own process cannot be killed: it waits for an answer that the dying
//! process no longer gives, and keeps the process, its files and its locks alive for ever. So mounting,
//! unmounting, flushing and opening such devices happens in a child that shares nothing with its parent.
//! When the parent dies, the device fails, and the child is free.
#![expect(
    unsafe_code,
    reason = "a child of a process with threads may only make bare system calls"
)]

use std::io::Read;

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

/// What a child says: the number that its work gave, and an error number or zero.
const SAID_LEN: usize = 8;

/// Runs `work` in a child and gives what it gave.
///
/// # Safety
/// `work` must be safe in the child of a process with threads: it makes system calls and computes, but
/// neither allocates nor locks nor panics. All files but the standard input are closed there.
///
/// # Errors
/// What `work` gave, or what the kernel says where no child could be made; `ECHILD` where the child
/// ended without a word.
pub unsafe fn run(work: impl FnOnce() -> Result<u32, Errno>) -> Result<u32, Errno> {
    let (mut from_child, to_parent) =
        std::io::pipe().map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
    // SAFETY: the child calls nothing but `speak`, which keeps to what the caller promised.
    match unsafe { fork() }? {
        ForkResult::Child => speak(to_parent, work),
        ForkResult::Parent { child } => {
            drop(to_parent);
            let mut said = [0; SAID_LEN];
            let heard = from_child.read_exact(&mut said);
            // How it ended says no more than what it said.
            let _ = waitpid(child, None);
            heard.map_err(|_| Errno::ECHILD)?;
            let (value, errno) = said.split_at(SAID_LEN / 2);
            let number = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
            match number(errno) {
                0 => Ok(number(value)),
                errno => Err(Errno::from_raw(errno.cast_signed())),
            }
        }
    }
}

/// The child's whole life.
fn speak(to_parent: std::io::PipeWriter, work: impl FnOnce() -> Result<u32, Errno>) -> ! {
    use std::os::fd::AsRawFd;
    let isolated = {
        // SAFETY: plain numbers; descriptors that Rust owns are closed, but nothing of Rust runs on.
        let moved = unsafe { libc::dup2(to_parent.as_raw_fd(), 0) };
        // SAFETY: as above.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, 1, u32::MAX, 0) };
        if moved < 0 || closed < 0 { Err(Errno::last()) } else { Ok(()) }
    };
    let (value, errno) = match isolated.and_then(|()| work()) {
        Ok(value) => (value, 0),
        Err(errno) => (0, errno as i32),
    };
    let mut said = [0; SAID_LEN];
    said[..4].copy_from_slice(&value.to_ne_bytes());
    said[4..].copy_from_slice(&errno.to_ne_bytes());
    // SAFETY: the array is as long as is said; zero is the pipe, unless it could not be moved there.
    unsafe {
        libc::write(0, said.as_ptr().cast(), SAID_LEN);
        libc::_exit(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_gives_its_number_or_its_error() {
        // SAFETY: both closures only give a value.
        unsafe {
            assert_eq!(run(|| Ok(70_000)), Ok(70_000));
            assert_eq!(run(|| Err(Errno::EXDEV)), Err(Errno::EXDEV));
        }
    }

    #[test]
    fn a_child_has_none_of_the_files_of_its_parent() {
        let file = tempfile::tempfile().unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        // SAFETY: one system call.
        let found = unsafe { run(|| Errno::result(libc::fcntl(fd, libc::F_GETFD)).map(|_| 0)) };
        assert_eq!(found, Err(Errno::EBADF));
        assert!(file.metadata().is_ok());
    }

    #[test]
    fn a_child_that_dies_is_an_error() {
        // SAFETY: one system call.
        let said = unsafe { run(|| libc::_exit(0)) };
        assert_eq!(said, Err(Errno::ECHILD));
    }
}
