//! What each command does, one noun a file. A command asks the daemon and gives what is to be shown; it
//! prints nothing itself.

mod access;
mod alert;
mod attachment;
mod audit;
mod capacity;
mod door;
mod event;
mod group;
mod iscsi;
mod job;
mod local;
mod mark;
mod policy;
mod status;
mod traffic;
mod view;
mod volume;

use std::process::ExitCode;
use std::sync::Arc;

use base::clock::{Clock, SystemClock};
use clap::Parser;
use control::StateDir;
use serde_json::json;

use crate::args::{Cli, Command};
use crate::client::Client;
use crate::failure::{CliError, FAILED, USAGE};
use crate::output::Shown;

/// What every command has.
struct Desk {
    client: Client,
    state: StateDir,
    now_ms: u64,
    is_sure: bool,
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let is_json = cli.json;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: start: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let outcome = runtime.block_on(run(cli));
    let written = outcome.and_then(|(shown, found)| {
        shown.write(is_json)?;
        found.map_or(Ok(()), Err)
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.tell(is_json),
    }
}

/// Tells that a command makes no sense, or gives the help that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args().any(|arg| arg == "--json") {
        let error = json!({
            "code": "usage",
            "detail": error.to_string().trim_end(),
            "way_out": "see --help",
            "exit_code": USAGE,
        });
        eprintln!("{}", json!({ "error": error }));
    } else {
        // A reader that has gone away wants no help.
        let _ = error.print();
    }
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// What is shown, and what was found that the exit code must tell.
type Outcome = Result<(Shown, Option<CliError>), CliError>;

async fn run(cli: Cli) -> Outcome {
    let state = StateDir::new(cli.state);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let desk = Desk {
        client: Client::new(state.clone()),
        state,
        now_ms: clock.wall_ms(),
        is_sure: cli.yes,
    };
    let shown = match cli.command {
        Command::Status => return status::show(&desk).await,
        Command::Scrub { volume, no_wait } => return volume::scrub(&desk, &volume, no_wait).await,
        Command::Events => return event::follow(&desk, cli.json).await,
        Command::Doctor => return local::doctor(&desk, &clock).await,
        Command::Inspect { path } => local::inspect(&desk, path).await,
        Command::Alert(command) => return alert::run(&desk, command).await,
        Command::Audit(command) => return audit::run(&desk, command).await,
        Command::User(command) => access::users(&desk, command).await,
        Command::Token(command) => access::tokens(&desk, command).await,
        Command::Whoami => access::whoami(&desk).await,
        Command::Completions { shell } => local::completions(shell),
        Command::Volume(command) => volume::run(&desk, command).await,
        Command::Mark(command) => mark::run(&desk, command).await,
        Command::View(command) => view::run(&desk, command).await,
        Command::Group(command) => group::run(&desk, command).await,
        Command::Rollback { mark, wait } => volume::rollback(&desk, &mark, wait).await,
        Command::Undo { volume, wait } => volume::undo(&desk, &volume, wait).await,
        Command::Attach(args) => attachment::attach(&desk, args).await,
        Command::Detach { what } => attachment::detach(&desk, &what).await,
        Command::Attachment(command) => attachment::run(&desk, command).await,
        Command::Api(command) => local::api(command),
        Command::Export(command) => door::exports(&desk, command).await,
        Command::Target(command) => iscsi::target(&desk, command).await,
        Command::Lun(command) => iscsi::lun(&desk, command).await,
        Command::Initiator(command) => iscsi::initiator(&desk, command).await,
        Command::Chap(command) => iscsi::chap(&desk, command).await,
        Command::Portal(command) => iscsi::portal(&desk, command).await,
        Command::Session(command) => door::sessions(&desk, command).await,
        Command::Policy(command) => policy::run(&desk, command).await,
        Command::Capacity(command) => capacity::run(&desk, command).await,
        Command::Traffic { volume } => traffic::show(&desk, volume.as_ref()).await,
        Command::Job(command) => job::run(&desk, command).await,
    };
    Ok((shown?, None))
}
