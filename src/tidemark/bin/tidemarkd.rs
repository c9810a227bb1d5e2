//! `tidemarkd`: the daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemark::daemon::main()
}
