//! `tidemarkd`: the daemon.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemark::daemon::main()
}
