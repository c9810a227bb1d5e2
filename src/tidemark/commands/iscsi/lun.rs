//! `lun`.

use api::model::{LunChange, NewLun, Removed};
use control::status::LunStatus;

use super::{address, targets};
use crate::args::iscsi::{LunCommand, LunSet};
use crate::commands::Desk;
use crate::failure::CliError;
use crate::output::{Shown, confirm};
use crate::table::{names, numbers, table, words};

pub(crate) async fn run(desk: &Desk, command: LunCommand) -> Result<Shown, CliError> {
    match command {
        LunCommand::Map { target, disk, lun, read_only, removable, block_size, only } => {
            let new = NewLun {
                disk,
                lun,
                is_read_only: read_only,
                is_removable: removable,
                block_size: Some(block_size),
                only: only.into_iter().collect(),
            };
            let path = format!("{}/luns", address(&target));
            let mapped: LunStatus = desk.client.post(path, Some(&new)).await?;
            let how = if mapped.is_read_only { ", read-only" } else { "" };
            let human = format!("{} is LUN {} of target {target}{how}", mapped.disk, mapped.lun);
            Shown::new(&mapped, human)
        }
        LunCommand::Set(args) => set(desk, args).await,
        LunCommand::Unmap { target, lun, force } => {
            let path = format!("{}/luns/{lun}", address(&target));
            if force {
                let there: LunStatus = desk.client.get(&path).await?;
                let question =
                    format!("Take {} away from {} sessions?", there.disk, there.sessions);
                confirm(&question, desk.is_sure || there.sessions == 0)?;
            }
            let gone: Removed = desk.client.delete(format!("{path}?force={force}")).await?;
            Shown::new(&gone, format!("unmapped {}; the disk stays", gone.removed))
        }
        LunCommand::Ls { target } => {
            let all = targets(desk, target.as_ref()).await?;
            let luns: Vec<LunStatus> = all.into_iter().flat_map(|target| target.luns).collect();
            let name = target.map_or_else(|| "TARGET".into(), |name| name.to_string());
            let human = lun_table(&luns, &name);
            Shown::new(&luns, human)
        }
    }
}

async fn set(desk: &Desk, args: LunSet) -> Result<Shown, CliError> {
    let LunSet { target, lun, read_only, only, everyone } = args;
    let change = LunChange {
        is_read_only: read_only.map(Into::into),
        only: (everyone || !only.is_empty()).then(|| only.into_iter().collect()),
    };
    let path = format!("{}/luns/{lun}", address(&target));
    let changed: LunStatus = desk.client.patch(path, &change).await?;
    let human = lun_table(std::slice::from_ref(&changed), target.as_str());
    Shown::new(&changed, human)
}

/// LUNs, a line each.
pub(super) fn lun_table(luns: &[LunStatus], target: &str) -> String {
    let columns = [
        words("TARGET"),
        numbers("LUN"),
        words("DISK"),
        numbers("SIZE"),
        numbers("BLOCK"),
        words("MODE"),
        words("ONLY"),
        words("RESERVED"),
        numbers("SESSIONS"),
    ];
    let rows = luns.iter().map(|lun| {
        vec![
            lun.target.to_string(),
            lun.lun.to_string(),
            lun.disk.clone(),
            lun.size.to_string(),
            lun.block_size.to_string(),
            mode(lun),
            names(&lun.only),
            reserved(lun),
            lun.sessions.to_string(),
        ]
    });
    table(&columns, rows.collect(), &format!("no LUNs; `lun map {target} VOLUME` maps one"))
}

fn mode(lun: &LunStatus) -> String {
    let mut words = Vec::new();
    if !lun.is_ready {
        words.push("not ready");
    }
    words.push(if lun.is_read_only { "read-only" } else { "read-write" });
    if lun.is_removable {
        words.push("removable");
    }
    words.join(", ")
}

fn reserved(lun: &LunStatus) -> String {
    let held = lun.reservations.kind.as_ref().or(lun.reservations.reserved_by.as_ref());
    match (held, lun.reservations.registrations.len()) {
        (Some(held), _) => held.clone(),
        (None, 0) => "-".into(),
        (None, count) => format!("{count} registered"),
    }
}
