//! `group`.

use api::model::{NewGroup, NewGroupMark, Removed};
use control::status::{GroupStatus, MarkStatus};

use super::Desk;
use super::mark::taken_text;
use crate::args::GroupCommand;
use crate::client::part;
use crate::failure::CliError;
use crate::output::Shown;
use crate::table::{names, table, words};

pub(super) async fn run(desk: &Desk, command: GroupCommand) -> Result<Shown, CliError> {
    match command {
        GroupCommand::Create { name, volumes } => {
            let new = NewGroup { name, volumes };
            let made: GroupStatus = desk.client.post("/groups", Some(&new)).await?;
            let human = format!("created group {} of {}", made.name, names(&made.volumes));
            Shown::new(&made, human)
        }
        GroupCommand::Ls => {
            let groups: Vec<GroupStatus> = desk.client.list("/groups").await?;
            let rows =
                groups.iter().map(|group| vec![group.name.to_string(), names(&group.volumes)]);
            let empty = "no groups; `group create NAME VOLUME,VOLUME` makes one";
            let human = table(&[words("NAME"), words("VOLUMES")], rows.collect(), empty);
            Shown::new(&groups, human)
        }
        GroupCommand::Rm { name } => {
            let gone: Removed = desk.client.delete(format!("/groups/{}", part(&name))).await?;
            Shown::new(&gone, format!("removed group {name}; its volumes and their marks stay"))
        }
        GroupCommand::Mark { group, name, grade } => {
            let new = NewGroupMark { name, grade: grade.into() };
            let path = format!("/groups/{}/marks", part(&group));
            let taken: Vec<MarkStatus> = desk.client.post(path, Some(&new)).await?;
            Shown::new(&taken, taken_text(&taken))
        }
    }
}
