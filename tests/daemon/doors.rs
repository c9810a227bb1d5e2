//! What clients at the door find, and what their presence keeps from happening.

use std::path::Path;

use control::status::{ExportStatus, Grade, VolumeStatus};
use control::volumes::Sessions;
use control::{ControlError, ErrorKind};

use super::nbd::Session;
use super::office::{Office, config, door};

/// Opens an export without holding up the appliance in the same runtime.
async fn open(socket: &Path, export: &str) -> Option<Session> {
    let (socket, export) = (socket.to_owned(), export.to_owned());
    tokio::task::spawn_blocking(move || Session::open(&socket, &export).unwrap()).await.unwrap()
}

async fn make(office: &Office, name: &str) -> VolumeStatus {
    let size = "16M".parse().unwrap();
    office.appliance.create_volume(&name.parse().unwrap(), size).await.unwrap()
}

async fn take(office: &Office, volume: &str, mark: &str) {
    let (volumes, mark) = ([volume.parse().unwrap()], mark.parse().unwrap());
    let taken = office.appliance.take_mark(&volumes, Some(mark), Grade::Crash);
    taken.await.unwrap();
}

async fn write(mut session: Session, byte: u8) -> Session {
    let done = move || {
        session.write(4096, &[byte; 4096]).unwrap().unwrap();
        session
    };
    tokio::task::spawn_blocking(done).await.unwrap()
}

async fn read(mut session: Session) -> (Session, Vec<u8>) {
    let done = move || {
        let data = session.read(4096, 4096).unwrap().unwrap();
        (session, data)
    };
    tokio::task::spawn_blocking(done).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_its_mark_and_a_view_are_exports_of_their_own() {
    let office = Office::start().await;
    make(&office, "mail").await;
    let volume = write(open(&office.door(), "mail").await.unwrap(), 1).await;
    assert_eq!((volume.len, volume.is_read_only), (16 << 20, false));
    take(&office, "mail", "monday").await;
    let volume = write(volume, 2).await;
    let (look, of) = ("look".parse().unwrap(), "mail@monday".parse().unwrap());
    office.appliance.create_view(&look, &of).await.unwrap();

    let mark = open(&office.door(), "mail@monday").await.unwrap();
    assert!(mark.is_read_only);
    let (_, seen) = read(mark).await;
    assert_eq!(seen, [1; 4096]);
    let view = write(open(&office.door(), "view/look").await.unwrap(), 3).await;
    let (_, seen) = read(view).await;
    assert_eq!(seen, [3; 4096]);
    let (_, seen) = read(volume).await;
    assert_eq!(seen, [2; 4096]);
    for other in ["look", "mail@none", "view/mail", "none", "a b", "mail@"] {
        assert!(open(&office.door(), other).await.is_none(), "{other}");
    }
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_names_nothing_gets_the_only_volume_or_the_chosen_one() {
    let office = Office::start().await;
    assert!(open(&office.door(), "").await.is_none());
    make(&office, "mail").await;
    assert!(open(&office.door(), "").await.is_some());
    make(&office, "logs").await;
    assert!(open(&office.door(), "").await.is_none());
    let mut chosen = config(vec![door(&office.dir, "nbd.sock")]);
    chosen.nbd.default_export = Some("logs".into());
    office.appliance.reload(chosen).await.unwrap();
    assert!(open(&office.door(), "").await.is_some());
    let exports: Vec<ExportStatus> = office.client.get("/exports").await.unwrap();
    let default: Vec<_> = exports.iter().filter(|export| export.is_default).collect();
    assert_eq!(default.len(), 1);
    assert_eq!(default[0].name, "logs");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_has_open_does_not_go_unless_it_is_forced() {
    let office = Office::start().await;
    make(&office, "mail").await;
    take(&office, "mail", "monday").await;
    let on_mark = open(&office.door(), "mail@monday").await.unwrap();
    let (mail, monday) = ("mail".parse().unwrap(), "mail@monday".parse().unwrap());
    let refused = office.appliance.remove_mark(&monday, Sessions::Respect).await.unwrap_err();
    assert!(matches!(refused, ControlError::InUse { .. }), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.way_out().unwrap().contains("session kill"));
    office.appliance.remove_mark(&monday, Sessions::End).await.unwrap();
    drop(on_mark);

    let on_volume = open(&office.door(), "mail").await.unwrap();
    let closing = tokio::task::spawn_blocking(move || on_volume.close().unwrap());
    office.appliance.remove_volume(&mail, Sessions::Respect).await.unwrap();
    closing.await.unwrap();
    assert!(open(&office.door(), "mail").await.is_none());
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_seen_and_can_be_ended() {
    let office = Office::start().await;
    make(&office, "mail").await;
    let mut session = write(open(&office.door(), "mail").await.unwrap(), 1).await;
    let sessions = office.appliance.sessions();
    assert_eq!(sessions.len(), 1);
    assert_eq!((sessions[0].export.as_str(), sessions[0].written_bytes), ("mail", 4096));
    office.appliance.end_session(sessions[0].id).unwrap();
    let read = tokio::task::spawn_blocking(move || session.read(0, 512));
    assert!(read.await.unwrap().is_err());
    assert!(matches!(office.appliance.end_session(999), Err(ControlError::UnknownSession(999))));
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_moves_doors_and_leaves_sessions_alone() {
    let office = Office::start().await;
    make(&office, "mail").await;
    let session = open(&office.door(), "mail").await.unwrap();
    let other = office.dir.path().join("other.sock");
    let moved = config(vec![door(&office.dir, "other.sock")]);
    let reloaded = office.appliance.reload(moved.clone()).await.unwrap();
    assert!(reloaded.needs_restart.is_empty() || reloaded.needs_restart[0].contains("journal"));
    assert!(open(&other, "mail").await.is_some());
    assert!(!office.door().exists());
    write(session, 1).await;

    let mut wrong = moved;
    wrong.nbd.tls = control::config::TlsMode::Required;
    wrong.nbd.certificate = Some("/nonexistent/c.pem".into());
    wrong.nbd.key = Some("/nonexistent/k.pem".into());
    let refused = office.appliance.reload(wrong).await.unwrap_err();
    assert!(refused.to_string().contains("/nonexistent/c.pem"), "{refused}");
    assert!(open(&other, "mail").await.is_some());
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_counts_the_clients_that_should_look_again() {
    let office = Office::start().await;
    make(&office, "mail").await;
    let session = write(open(&office.door(), "mail").await.unwrap(), 1).await;
    take(&office, "mail", "monday").await;
    let session = write(session, 2).await;
    let begun = office.appliance.rollback(&"mail@monday".parse().unwrap()).await.unwrap();
    assert_eq!(begun.sessions, 1);
    let (_, seen) = read(session).await;
    assert_eq!(seen, [1; 4096]);
    office.stop().await;
}
