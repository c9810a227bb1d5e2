//! `chap`.

use api::model::{NewSecret, Removed};
use base::name::Name;
use control::status::{ChapStatus, ChapUser, Failure};

use super::address;
use crate::args::iscsi::{ChapCommand, ChapOf};
use crate::client::part;
use crate::commands::Desk;
use crate::failure::CliError;
use crate::output::Shown;
use crate::secret;
use crate::table::{table, words, yes};

pub(crate) async fn run(desk: &Desk, command: ChapCommand) -> Result<Shown, CliError> {
    match command {
        ChapCommand::Set { of, secret_file, mutual } => {
            let (target, user) = whose(&of)?;
            // Who is not there is told before anybody types a secret.
            let _: Vec<ChapStatus> = desk.client.get(accounts(target.as_ref())).await?;
            let secret = secret::read(secret_file.as_deref(), user.as_str())?;
            let new = NewSecret { user, secret, is_mutual: mutual };
            let all: Vec<ChapStatus> =
                desk.client.post(accounts(target.as_ref()), Some(&new)).await?;
            let human = format!("set the secret of {} for {}", new.user, place(target.as_ref()));
            Shown::new(&all, human)
        }
        ChapCommand::Rm { of } => {
            let (target, user) = whose(&of)?;
            let path = format!("{}/{}", accounts(target.as_ref()), part(&user));
            let gone: Removed = desk.client.delete(path).await?;
            Shown::new(&gone, format!("removed CHAP user {user} of {}", place(target.as_ref())))
        }
        ChapCommand::Ls { target, discovery: _ } => {
            let all: Vec<ChapStatus> = desk.client.get(accounts(target.as_ref())).await?;
            let rows = all.iter().map(|one| vec![one.user.to_string(), yes(one.is_mutual)]);
            let empty = format!("{} has no CHAP users", place(target.as_ref()));
            let human = table(&[words("USER"), words("MUTUAL")], rows.collect(), &empty);
            Shown::new(&all, human)
        }
    }
}

fn whose(of: &ChapOf) -> Result<(Option<Name>, ChapUser), CliError> {
    of.resolve().map_err(|detail| {
        let way_out = Some("`chap --help` shows both forms".into());
        CliError::Told(Failure { code: "invalid".into(), detail, way_out })
    })
}

fn accounts(target: Option<&Name>) -> String {
    target.map_or_else(|| "/discovery/chap".into(), |name| format!("{}/chap", address(name)))
}

fn place(target: Option<&Name>) -> String {
    target.map_or_else(|| "discovery".into(), |name| format!("target {name}"))
}
