//! Targets in the office: what is mapped where, what that keeps from happening, and what is kept.

use control::iscsi::{LunChange, NewLun, NewTarget};
use control::status::{Auth, Grade, LunStatus};
use control::volumes::Sessions;
use control::{ControlError, ErrorKind};
use serde_json::json;

use super::http::{Answer, ask};
use super::office::Office;

async fn make(office: &Office, name: &str) {
    office.appliance.create_volume(&name.parse().unwrap(), "16M".parse().unwrap()).await.unwrap();
    let new = NewTarget {
        name: name.parse().unwrap(),
        iqn: None,
        alias: String::new(),
        auth: Auth::None,
        is_md5_allowed: false,
    };
    office.appliance.create_target(new).await.unwrap();
}

fn lun(disk: &str) -> NewLun {
    NewLun {
        disk: disk.parse().unwrap(),
        lun: None,
        is_read_only: false,
        is_removable: false,
        block_size: None,
        only: Default::default(),
    }
}

async fn map(office: &Office, disk: &str) -> Result<LunStatus, ControlError> {
    office.appliance.map_lun(&"mail".parse().unwrap(), lun(disk)).await
}

async fn take(office: &Office, mark: &str) {
    let (volumes, mark) = (["mail".parse().unwrap()], mark.parse().unwrap());
    office.appliance.take_mark(&volumes, Some(mark), Grade::Crash).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mapped_does_not_go_unless_it_is_forced_and_is_unmapped_then() {
    let office = Office::start().await;
    make(&office, "mail").await;
    take(&office, "monday").await;
    let (mail, monday) = ("mail".parse().unwrap(), "mail@monday".parse().unwrap());
    assert!(!map(&office, "mail").await.unwrap().is_read_only);
    assert!(map(&office, "mail@monday").await.unwrap().is_read_only);
    let refused = office.appliance.remove_mark(&monday, Sessions::Respect).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.way_out().unwrap().contains("lun unmap mail 1"), "{refused}");
    let refused = office.appliance.remove_volume(&mail, Sessions::Respect).await.unwrap_err();
    assert!(refused.way_out().unwrap().contains("lun unmap mail 0"), "{refused}");
    office.appliance.remove_mark(&monday, Sessions::End).await.unwrap();
    assert_eq!(office.appliance.target(&mail).unwrap().luns.len(), 1);
    office.appliance.remove_volume(&mail, Sessions::End).await.unwrap();
    assert!(office.appliance.target(&mail).unwrap().luns.is_empty());
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_keeps_its_lun_and_its_serial_number_when_it_is_promoted() {
    let office = Office::start().await;
    make(&office, "mail").await;
    take(&office, "monday").await;
    let look = "look".parse().unwrap();
    office.appliance.create_view(&look, &"mail@monday".parse().unwrap()).await.unwrap();
    let before = map(&office, "look").await.unwrap();
    assert_eq!(before.disk, "view/look");
    let refused = office.appliance.remove_view(&look, Sessions::Respect).await.unwrap_err();
    assert!(matches!(refused, ControlError::InUse { .. }), "{refused}");
    let job = office.appliance.promote_view(&look).await.unwrap();
    let done = async {
        while office.appliance.jobs().get(job.id).unwrap().ended_ms.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), done).await.unwrap();
    let after = office.appliance.lun(&"mail".parse().unwrap(), before.lun).unwrap();
    assert_eq!((after.disk.as_str(), &after.serial), ("look", &before.serial));
    assert!(after.is_ready);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_has_one_block_size_and_a_mark_takes_no_changes_under_any_lun() {
    let office = Office::start().await;
    make(&office, "mail").await;
    take(&office, "monday").await;
    let target = "mail".parse().unwrap();
    map(&office, "mail").await.unwrap();
    let large = NewLun { block_size: Some(4096), ..lun("mail") };
    let refused = office.appliance.map_lun(&target, large).await.unwrap_err();
    assert!(refused.to_string().contains("512"), "{refused}");
    let odd = NewLun { block_size: Some(1000), ..lun("mail@monday") };
    assert!(office.appliance.map_lun(&target, odd).await.is_err());
    let mark = map(&office, "mail@monday").await.unwrap();
    let writable = LunChange { is_read_only: Some(false), only: None };
    let refused = office.appliance.set_lun(&target, mark.lun, writable).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let locked = LunChange { is_read_only: Some(true), only: None };
    assert!(office.appliance.set_lun(&target, 0, locked).await.unwrap().is_read_only);
    for none in ["none", "mail@none", "view/none"] {
        let refused = map(&office, none).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{none}: {refused}");
    }
    office.stop().await;
}

async fn raw(office: &Office, method: &str, path: &str, body: &str) -> Answer {
    let (socket, method, path) = (office.socket(), method.to_owned(), path.to_owned());
    let body = body.to_owned();
    tokio::task::spawn_blocking(move || ask(&socket, &method, &path, &body)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_makes_changes_and_takes_away_and_never_gives_a_secret_back() {
    let office = Office::start().await;
    make(&office, "mail").await;
    let body = r#"{"user":"anna","secret":"open sesame, open"}"#;
    let mut answers = Vec::new();
    for (method, path, body, status) in [
        ("POST", "/targets/mail/luns", r#"{"disk":"mail","lun":3}"#, 201),
        ("PATCH", "/targets/mail/luns/3", r#"{"only":["chap:anna"]}"#, 200),
        ("POST", "/targets/mail/initiators", r#"{"initiator":"any"}"#, 201),
        ("POST", "/targets/mail/chap", body, 201),
        ("POST", "/discovery/chap", body, 201),
        ("GET", "/targets/mail/chap", "", 200),
        ("GET", "/discovery/chap", "", 200),
        ("PATCH", "/targets/mail", r#"{"alias":"Mail","auth":"chap"}"#, 200),
        ("GET", "/targets", "", 200),
        ("GET", "/targets/mail/luns/3", "", 200),
        ("GET", "/portals", "", 200),
        ("GET", "/status", "", 200),
        ("POST", "/targets/mail/chap", r#"{"user":"ben","secret":"sesame"}"#, 422),
        ("POST", "/targets/mail/chap", r#"{"user":"ben","secret":1,"x":"sesame"}"#, 422),
        ("POST", "/targets", r#"{"name":"x","secret":"sesame"}"#, 422),
        ("PATCH", "/portals/1", r#"{"state":"standby"}"#, 404),
        ("GET", "/targets/none", "", 404),
        ("GET", "/targets/mail/luns/99999", "", 400),
        ("DELETE", "/targets/mail/initiators/any", "", 200),
        ("DELETE", "/targets/mail/chap/anna", "", 200),
        ("DELETE", "/discovery/chap/anna", "", 200),
        ("DELETE", "/targets/mail/luns/3", "", 200),
        ("DELETE", "/targets/mail", "", 200),
    ] {
        let answer = raw(&office, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        assert!(!answer.body.to_string().contains("sesame"), "{answer:?}");
        if status >= 400 {
            assert_eq!(answer.content_type, "application/problem+json", "{answer:?}");
        }
        answers.push(answer.body);
    }
    assert_eq!(answers[0]["lun"], json!(3));
    assert_eq!(answers[1]["only"], json!(["chap:anna"]));
    assert_eq!(answers[5], json!([{ "target": "mail", "user": "anna", "is_mutual": false }]));
    assert_eq!(answers[8][0]["chap_users"], json!(["anna"]));
    office.stop().await;
}
