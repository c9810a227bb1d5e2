//! `tidemark`: the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidemark::commands::main()
}
