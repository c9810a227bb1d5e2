//! `target`.

use api::model::{NewTarget, Removed, TargetChange};
use control::status::{Auth, TargetStatus};

use super::address;
use super::lun::lun_table;
use crate::args::iscsi::{TargetCommand, TargetSet};
use crate::commands::Desk;
use crate::commands::volume::word;
use crate::failure::CliError;
use crate::output::{Shown, confirm};
use crate::table::{names, numbers, sheet, table, words};

pub(crate) async fn run(desk: &Desk, command: TargetCommand) -> Result<Shown, CliError> {
    match command {
        TargetCommand::Create { name, iqn, alias, auth, chap_md5 } => {
            let is_md5_allowed = chap_md5.into();
            let new = NewTarget { name, iqn, alias, auth: auth.into(), is_md5_allowed };
            let made: TargetStatus = desk.client.post("/targets", Some(&new)).await?;
            let human = format!(
                "created target {}, {}; it lets nobody in until `initiator allow {} IQN`",
                made.name, made.iqn, made.name
            );
            Shown::new(&made, human)
        }
        TargetCommand::Ls => {
            let all: Vec<TargetStatus> = desk.client.list("/targets").await?;
            Shown::new(&all, target_table(&all))
        }
        TargetCommand::Show { name } => {
            let target: TargetStatus = desk.client.get(address(&name)).await?;
            Shown::new(&target, about(&target))
        }
        TargetCommand::Set(TargetSet { name, alias, auth, chap_md5 }) => {
            let change = TargetChange {
                alias,
                auth: auth.map(Into::into),
                is_md5_allowed: chap_md5.map(Into::into),
            };
            let set: TargetStatus = desk.client.patch(address(&name), &change).await?;
            Shown::new(&set, format!("target {name}: {}", how(&set)))
        }
        TargetCommand::Rm { name, force } => {
            let target: TargetStatus = desk.client.get(address(&name)).await?;
            let question = format!("Remove target {name} with {} LUNs?", target.luns.len());
            confirm(&question, desk.is_sure)?;
            let path = format!("{}?force={force}", address(&name));
            let gone: Removed = desk.client.delete(path).await?;
            Shown::new(&gone, format!("removed target {name}; its disks stay"))
        }
    }
}

fn how(target: &TargetStatus) -> String {
    match (target.auth, target.is_md5_allowed) {
        (Auth::None, _) => "no authentication".into(),
        (Auth::Chap, false) => "CHAP with SHA-256 or SHA3-256".into(),
        (Auth::Chap, true) => "CHAP, with MD5 too".into(),
    }
}

/// The targets, a line each.
pub(crate) fn target_table(targets: &[TargetStatus]) -> String {
    let columns = [
        words("NAME"),
        words("IQN"),
        words("AUTH"),
        numbers("LUNS"),
        words("INITIATORS"),
        numbers("SESSIONS"),
    ];
    let rows = targets.iter().map(|target| {
        let initiators = match target.initiators.as_slice() {
            [] => "nobody".into(),
            few @ ([_] | [_, _]) => names(few),
            many => format!("{} of them", many.len()),
        };
        vec![
            target.name.to_string(),
            target.iqn.to_string(),
            word(&target.auth),
            target.luns.len().to_string(),
            initiators,
            target.sessions.to_string(),
        ]
    });
    table(&columns, rows.collect(), "no targets yet; `target create NAME` makes one")
}

fn about(target: &TargetStatus) -> String {
    let nobody = || format!("nobody; `initiator allow {} IQN` lets one in", target.name);
    let initiators =
        if target.initiators.is_empty() { nobody() } else { names(&target.initiators) };
    let alias = if target.alias.is_empty() { "-".into() } else { target.alias.clone() };
    let mutual = target.mutual_user.as_ref().map_or_else(|| "-".into(), ToString::to_string);
    let lines = sheet(&[
        ("name", target.name.to_string()),
        ("iqn", target.iqn.to_string()),
        ("alias", alias),
        ("authentication", how(target)),
        ("CHAP users", names(&target.chap_users)),
        ("its own CHAP name", mutual),
        ("lets in", initiators),
        ("sessions", target.sessions.to_string()),
    ]);
    format!("{lines}\n\n{}", lun_table(&target.luns, &target.name.to_string()))
}
