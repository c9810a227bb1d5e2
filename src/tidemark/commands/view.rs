//! `view`.

use api::model::{NewView, Removed};
use base::name::Name;
use control::status::{JobStatus, ViewStatus, VolumeState};

use super::Desk;
use super::volume::state_word;
use crate::args::ViewCommand;
use crate::client::part;
use crate::failure::CliError;
use crate::output::{Shown, confirm};
use crate::progress::follow;
use crate::table::{numbers, percent, sheet, size, table, time, words};

pub(super) async fn run(desk: &Desk, command: ViewCommand) -> Result<Shown, CliError> {
    match command {
        ViewCommand::Create { view, of } => {
            let new = NewView { name: view, of };
            let made: ViewStatus = desk.client.post("/views", Some(&new)).await?;
            let (name, of) = (&made.name, &made.of);
            let human = format!("created view {name} of {of}; its NBD export is view/{name}");
            Shown::new(&made, human)
        }
        ViewCommand::Ls => {
            let views: Vec<ViewStatus> = desk.client.list("/views").await?;
            Shown::new(&views, view_table(&views, desk.now_ms))
        }
        ViewCommand::Show { view } => {
            let view: ViewStatus = desk.client.get(address(&view)).await?;
            Shown::new(&view, about(&view, desk.now_ms))
        }
        ViewCommand::Rm { view, force } => remove(desk, &view, force).await,
        ViewCommand::Promote { view, wait } => promote(desk, &view, wait).await,
    }
}

fn address(view: &Name) -> String {
    format!("/views/{}", part(view))
}

async fn remove(desk: &Desk, name: &Name, force: bool) -> Result<Shown, CliError> {
    let view: ViewStatus = desk.client.get(address(name)).await?;
    let written = size(view.allocated_bytes);
    confirm(&format!("Drop view {name} and the {written} written to it?"), desk.is_sure)?;
    let removed: Removed = desk.client.delete(format!("{}?force={force}", address(name))).await?;
    Shown::new(&removed, format!("dropped view {name}"))
}

async fn promote(desk: &Desk, name: &Name, wait: bool) -> Result<Shown, CliError> {
    let begun = desk.client.post(format!("{}/promote", address(name)), None::<&()>);
    let mut job: JobStatus = begun.await?;
    let human = if wait {
        job = follow(&desk.client, job).await?;
        format!("view {name} is a volume of its own now; its NBD export is {name}")
    } else {
        format!("promotion of {name} begun as job {}; `job ls` shows how far it is", job.id)
    };
    Shown::new(&job, human)
}

/// The views, a line each.
pub(super) fn view_table(views: &[ViewStatus], now_ms: u64) -> String {
    let columns = [
        words("NAME"),
        words("OF"),
        numbers("SIZE"),
        numbers("USED"),
        words("CREATED"),
        words("STATE"),
    ];
    let rows = views.iter().map(|view| {
        vec![
            view.name.to_string(),
            view.of.to_string(),
            view.size.to_string(),
            size(view.allocated_bytes),
            time(view.created_ms, now_ms),
            doing(view),
        ]
    });
    table(&columns, rows.collect(), "no views; `view create VIEW VOLUME@MARK` makes one")
}

fn doing(view: &ViewStatus) -> String {
    match (&view.state, &view.promotion) {
        (VolumeState::Ready, Some(copy)) => {
            format!("promoting, {}", percent(copy.done_blocks, copy.total_blocks))
        }
        (state, _) => state_word(state).into(),
    }
}

fn about(view: &ViewStatus, now_ms: u64) -> String {
    let mut lines = vec![
        ("name", view.name.to_string()),
        ("id", view.id.to_string()),
        ("of", view.of.to_string()),
        ("size", view.size.to_string()),
        ("used", size(view.allocated_bytes)),
        ("state", doing(view)),
        ("created", time(view.created_ms, now_ms)),
    ];
    if let VolumeState::ReadOnly { reason } | VolumeState::FailStop { reason } = &view.state {
        lines.push(("because", reason.clone()));
    }
    sheet(&lines)
}
