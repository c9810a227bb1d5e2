//! `portal`.

use api::model::GroupChange;
use control::status::PortalStatus;

use crate::args::iscsi::PortalCommand;
use crate::commands::Desk;
use crate::commands::volume::word;
use crate::failure::CliError;
use crate::output::Shown;
use crate::table::{numbers, table, words};

pub(crate) async fn run(desk: &Desk, command: PortalCommand) -> Result<Shown, CliError> {
    match command {
        PortalCommand::Ls => {
            let all: Vec<PortalStatus> = desk.client.get("/portals").await?;
            Shown::new(&all, portal_table(&all))
        }
        PortalCommand::Set { group, access } => {
            let change = GroupChange { state: access.into() };
            let path = format!("/portals/{group}");
            let all: Vec<PortalStatus> = desk.client.patch(path, &change).await?;
            Shown::new(&all, format!("port group {group} is {} now", word(&change.state)))
        }
    }
}

fn portal_table(all: &[PortalStatus]) -> String {
    let columns = [words("ADDRESS"), numbers("GROUP"), words("STATE"), numbers("SESSIONS")];
    let rows = all.iter().map(|one| {
        vec![
            one.address.clone().unwrap_or_else(|| "-".into()),
            one.group.to_string(),
            word(&one.state),
            one.sessions.to_string(),
        ]
    });
    let empty = "no portals; --iscsi, or iscsi.listen in the configuration, opens one";
    table(&columns, rows.collect(), empty)
}
