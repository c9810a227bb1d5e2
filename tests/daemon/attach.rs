//! Attaching, by the API: what is allowed when, and what is left of it. The kernel's part is a double.

use api::model::{NewAttachment, Removed};
use base::units::SECTOR_LEN;
use control::attachments::AttachmentStatus;
use control::status::{ApplianceStatus, Grade};
use control::volumes::Sessions;
use control::{ControlError, ErrorKind};
use disk::{Buffer, Durability};
use tidemark::failure::CliError;

use super::office::Office;

async fn with_volume() -> Office {
    let office = Office::start().await;
    let size = "16M".parse().unwrap();
    office.appliance.create_volume(&"mail".parse().unwrap(), size).await.unwrap();
    office
}

/// The first bytes of an XFS: enough to be recognised.
async fn put_file_system(office: &Office) {
    let mut head = Buffer::zeroed(SECTOR_LEN).unwrap();
    head[..8].copy_from_slice(b"XFSB\0\0\x10\0");
    let disk = office.appliance.pool().disk(&"mail".parse().unwrap()).unwrap();
    disk.write(0, vec![head.freeze()], Durability::Volatile).await.unwrap();
}

async fn attach(office: &Office, new: NewAttachment) -> Result<AttachmentStatus, CliError> {
    office.client.post("/attachments", Some(&new)).await
}

fn plain(of: &str) -> NewAttachment {
    let of = of.parse().unwrap();
    NewAttachment { of, mount: None, is_read_only: false, partition: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_attached_neither_goes_nor_turns_back_until_it_is_detached() {
    let office = with_volume().await;
    let mail = "mail".parse().unwrap();
    office
        .appliance
        .take_mark(&[mail], Some("monday".parse().unwrap()), Grade::Crash)
        .await
        .unwrap();
    let attached = attach(&office, plain("mail")).await.unwrap();
    assert_eq!(office.double.attached(), std::slice::from_ref(&attached.device));
    let status: ApplianceStatus = office.client.get("/status").await.unwrap();
    assert_eq!(status.attachments, [attached]);

    let again = attach(&office, plain("mail")).await.unwrap_err();
    assert_eq!(again.exit_code(), 4, "{again}");
    let mail = "mail".parse().unwrap();
    let refused = office.appliance.remove_volume(&mail, Sessions::End).await.unwrap_err();
    assert!(refused.way_out().unwrap().contains("detach mail"), "{refused}");
    let monday = "mail@monday".parse().unwrap();
    let refused = office.appliance.rollback(&monday).await.unwrap_err();
    assert!(matches!(refused, ControlError::InUse { .. }), "{refused}");

    let _: Removed = office.client.delete("/attachments/mail").await.unwrap();
    assert!(office.double.attached().is_empty());
    office.appliance.rollback(&monday).await.unwrap();
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_answers_to_its_bare_name_and_a_mark_is_read_only() {
    let office = with_volume().await;
    let volumes = ["mail".parse().unwrap()];
    office
        .appliance
        .take_mark(&volumes, Some("monday".parse().unwrap()), Grade::Crash)
        .await
        .unwrap();
    let (look, of) = ("look".parse().unwrap(), "mail@monday".parse().unwrap());
    office.appliance.create_view(&look, &of).await.unwrap();
    let view = attach(&office, plain("look")).await.unwrap();
    assert_eq!((view.of.to_string().as_str(), view.is_read_only), ("view/look", false));
    let mark = attach(&office, plain("mail@monday")).await.unwrap();
    assert!(mark.is_read_only);
    let _: Removed = office.client.delete("/attachments/view%2Flook").await.unwrap();
    let _: Removed = office.client.delete("/attachments/mail@monday").await.unwrap();
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_is_refused_leaves_nothing_attached() {
    let office = with_volume().await;
    let dir = office.dir.path().join("mount");
    let new = NewAttachment { mount: Some(dir.clone()), ..plain("mail") };
    let refused = attach(&office, new.clone()).await.unwrap_err();
    assert_eq!(refused.exit_code(), 2, "{refused}");
    assert!(office.double.attached().is_empty() && !dir.exists());
    let refused = NewAttachment { partition: Some(1), ..plain("mail") };
    let refused = attach(&office, refused).await.unwrap_err();
    assert!(refused.to_string().contains("partition"), "{refused}");

    put_file_system(&office).await;
    let mounted = attach(&office, new).await.unwrap();
    assert_eq!(mounted.mounted_at.as_deref(), Some(dir.as_path()));
    assert!(mounted.file_system.unwrap().to_lowercase().contains("xfs"));
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_busy_stays_attached_and_can_be_detached_later() {
    let office = with_volume().await;
    put_file_system(&office).await;
    let dir = office.dir.path().join("mount");
    attach(&office, NewAttachment { mount: Some(dir), ..plain("mail") }).await.unwrap();
    office.double.set_busy(true);
    let busy = office.appliance.detach(&"mail".parse().unwrap()).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Conflict, "{busy}");
    assert_eq!(office.appliance.attachments().list().len(), 1);
    office.double.set_busy(false);
    office.appliance.detach(&"mail".parse().unwrap()).await.unwrap();
    assert!(office.appliance.attachments().list().is_empty());
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_detaches_everything() {
    let office = with_volume().await;
    attach(&office, plain("mail")).await.unwrap();
    let double = office.double.clone();
    office.stop().await;
    assert!(double.attached().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_neither_attached_nor_detached() {
    let office = with_volume().await;
    let refused = office.appliance.detach(&"mail".parse().unwrap()).await.unwrap_err();
    assert!(matches!(refused, ControlError::NotAttached(_)), "{refused}");
    let refused = attach(&office, plain("mail@none")).await.unwrap_err();
    assert_eq!(refused.exit_code(), 3, "{refused}");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_attached_any_more_once_the_appliance_ends() {
    let office = with_volume().await;
    attach(&office, plain("mail")).await.unwrap();
    office.appliance.attachments().detach_all().await;
    assert!(office.double.attached().is_empty());
    let refused = attach(&office, plain("mail")).await.unwrap_err();
    assert!(refused.to_string().contains("closed"), "{refused}");
    assert!(office.double.attached().is_empty());
    office.stop().await;
}
