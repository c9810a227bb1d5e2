//! `attach` and `detach`.

use api::model::{NewAttachment, Removed};
use control::status::{AttachmentStatus, DiskRef};

use super::Desk;
use crate::args::AttachArgs;
use crate::client::part;
use crate::failure::CliError;
use crate::output::Shown;

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
