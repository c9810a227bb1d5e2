//! The daemon: from its arguments to its last word.

mod args;
mod demo;
mod log;
mod run;

use std::process::ExitCode;

use control::{Config, ControlError, StateDir};

use crate::failure::{CliError, FAILED};
use args::DaemonArgs;
use demo::Demo;

/// The whole program.
///
/// One line on the standard output says that it is ready; the log goes to the error stream. Exit codes
/// are those of the command line: 0 after a clean stop, 4 where another daemon has the state directory,
/// and 1 where it was stopped at once by a second signal.
pub fn main() -> ExitCode {
    let args = DaemonArgs::from_command_line();
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => CliError::from(error).tell(false),
    }
}

fn start(args: &DaemonArgs) -> Result<(), ControlError> {
    let demo = match args.demo {
        true => Some(Demo::at(args.named_state.as_deref())?),
        false => None,
    };
    let state = StateDir::new(demo.as_ref().map_or(&*args.state, Demo::path));
    let ended = live(args, state, demo.as_ref());
    if let Some(demo) = &demo {
        demo.clear();
    }
    ended
}

fn live(args: &DaemonArgs, state: StateDir, demo: Option<&Demo>) -> Result<(), ControlError> {
    let overrides = args.overrides();
    let config = Config::load(&state, &overrides)?;
    if args.check_config {
        return Ok(());
    }
    let level = log::start(args.log_format, config.log.level.as_deref())?;
    control::open_files::raise();
    // Two at least, since one may wait for the journal's disk for a client that waits for it too.
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(|error| ControlError::state("start the runtime", &error))?;
    let run = run::Run { state, overrides, level, is_quickstart: args.quickstart, demo };
    runtime.block_on(run.live(config))
}

/// Ends the process at once: what was answered is in the journal, and the next start recovers it.
fn end_at_once() -> ! {
    std::process::exit(i32::from(FAILED))
}
