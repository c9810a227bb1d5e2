//! `initiator`.

use api::model::NewInitiator;
use control::status::InitiatorStatus;

use super::{address, targets};
use crate::args::iscsi::InitiatorCommand;
use crate::client::part;
use crate::commands::Desk;
use crate::failure::CliError;
use crate::output::Shown;
use crate::table::{numbers, table, words};

pub(crate) async fn run(desk: &Desk, command: InitiatorCommand) -> Result<Shown, CliError> {
    match command {
        InitiatorCommand::Allow { target, initiator } => {
            let path = format!("{}/initiators", address(&target));
            let new = NewInitiator { initiator };
            let all: Vec<InitiatorStatus> = desk.client.post(path, Some(&new)).await?;
            Shown::new(&all, format!("target {target} lets {} in", new.initiator))
        }
        InitiatorCommand::Deny { target, initiator } => {
            let path = format!("{}/initiators/{}", address(&target), part(&initiator));
            let all: Vec<InitiatorStatus> = desk.client.delete(path).await?;
            Shown::new(&all, format!("target {target} lets {initiator} in no more"))
        }
        InitiatorCommand::Ls { target } => {
            let mut all: Vec<InitiatorStatus> = Vec::new();
            for target in targets(desk, target.as_ref()).await? {
                let path = format!("{}/initiators", address(&target.name));
                all.extend(desk.client.get::<Vec<InitiatorStatus>>(path).await?);
            }
            Shown::new(&all, initiator_table(&all))
        }
    }
}

fn initiator_table(all: &[InitiatorStatus]) -> String {
    let columns = [words("TARGET"), words("INITIATOR"), numbers("SESSIONS")];
    let rows = all.iter().map(|one| {
        vec![one.target.to_string(), one.initiator.to_string(), one.sessions.to_string()]
    });
    let empty = "nobody is let in; `initiator allow TARGET IQN` lets one in";
    table(&columns, rows.collect(), empty)
}
