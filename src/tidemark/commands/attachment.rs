//! `attach`, `detach` and `attachment`.

use api::model::{NewAttachment, Removed};
use control::status::{AttachmentStatus, DiskRef};

use super::Desk;
use crate::args::{AttachArgs, AttachmentCommand};
use crate::client::part;
use crate::failure::CliError;
use crate::output::Shown;
use crate::table::{table, time, words};

pub(super) async fn attach(desk: &Desk, args: AttachArgs) -> Result<Shown, CliError> {
    let AttachArgs { what, mount, read_only, partition } = args;
    let mount = mount.map(std::path::absolute).transpose()?;
    let new = NewAttachment { of: what, mount, is_read_only: read_only, partition };
    let attached: AttachmentStatus = desk.client.post("/attachments", Some(&new)).await?;
    Shown::new(&attached, text(&attached))
}

pub(super) fn text(attached: &AttachmentStatus) -> String {
    let mut text = format!("{} is {}", attached.of, attached.device.display());
    if attached.is_read_only {
        text.push_str(", read-only");
    }
    if let Some(dir) = &attached.mounted_at {
        let kind = attached.file_system.as_deref().unwrap_or("file system");
        text.push_str(&format!(", its {kind} mounted on {}", dir.display()));
    }
    text
}

pub(super) async fn detach(desk: &Desk, what: &DiskRef) -> Result<Shown, CliError> {
    let gone: Removed = desk.client.delete(format!("/attachments/{}", part(what))).await?;
    Shown::new(&gone, format!("detached {}", gone.removed))
}

pub(super) async fn run(desk: &Desk, command: AttachmentCommand) -> Result<Shown, CliError> {
    match command {
        AttachmentCommand::Ls => {
            let all: Vec<AttachmentStatus> = desk.client.list("/attachments").await?;
            Shown::new(&all, attachment_table(&all, desk.now_ms))
        }
    }
}

fn attachment_table(all: &[AttachmentStatus], now_ms: u64) -> String {
    let columns =
        [words("OF"), words("DEVICE"), words("MODE"), words("MOUNTED ON"), words("SINCE")];
    let rows = all.iter().map(|one| {
        let mounted = one.mounted_at.as_ref().map(|dir| dir.display().to_string());
        vec![
            one.of.to_string(),
            one.device.display().to_string(),
            if one.is_read_only { "read-only" } else { "read-write" }.into(),
            mounted.unwrap_or_else(|| "-".into()),
            time(one.since_ms, now_ms),
        ]
    });
    table(&columns, rows.collect(), "nothing is attached; `attach VOLUME` makes a block device")
}
