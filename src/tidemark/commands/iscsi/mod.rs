//! `target`, `lun`, `initiator`, `chap` and `portal`.

mod chap;
mod initiator;
mod lun;
mod portal;
mod target;

pub(super) use chap::run as chap;
pub(super) use initiator::run as initiator;
pub(super) use lun::run as lun;
pub(super) use portal::run as portal;
pub(super) use target::{run as target, target_table};

use base::name::Name;
use control::status::TargetStatus;

use super::Desk;
use crate::client::part;
use crate::failure::CliError;

fn address(target: &Name) -> String {
    format!("/targets/{}", part(target))
}

/// One target, or all of them.
async fn targets(desk: &Desk, target: Option<&Name>) -> Result<Vec<TargetStatus>, CliError> {
    match target {
        Some(name) => Ok(vec![desk.client.get(address(name)).await?]),
        None => desk.client.list("/targets").await,
    }
}
