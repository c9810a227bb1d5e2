//! `tidemarkd`: the daemon.

#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Blocks come and go by the thousand on every thread, all of them aligned: of all that a request costs
/// outside the kernel, glibc's allocator was a fifth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidemark::daemon::main()
}
