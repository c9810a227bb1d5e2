//! Claims about who gets in, and how.

use super::super::doubles::{CLOSED, OPEN};
use super::super::pdu::wire::status;
use super::{connect, enter, memory, serve, soon, until};

#[tokio::test]
async fn a_session_begins_with_a_handle_and_is_listed() {
    let server = serve(&memory());
    let mut initiator = connect(&server);
    let answer =
        initiator.log_in(OPEN, &[("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C")]).await;
    assert_ne!(answer.head.half(14), 0, "it has a handle");
    initiator.settle().await;
    let sessions = server.sessions();
    assert_eq!(sessions.len(), 1);
    assert_eq!((sessions[0].target.as_str(), sessions[0].portal_group), (OPEN, 1));
    assert_eq!(
        (sessions[0].isid.as_str(), sessions[0].luns.as_slice()),
        ("800000000001", &[0][..])
    );
    assert!(sessions[0].parameters.has_data_digest);
}

#[tokio::test]
async fn whoever_is_refused_is_told_and_sent_away() {
    let server = serve(&memory());
    for (target, expected) in [(CLOSED, status::AUTHENTICATION), ("iqn.x", status::NOT_FOUND)] {
        let mut initiator = connect(&server);
        assert_eq!(initiator.log_in(target, &[]).await.head.half(36), expected);
        assert!(initiator.is_closed().await);
    }
    until(|| server.totals().turned_away == 2).await;
    assert_eq!(server.totals().sessions, 0);
}

#[tokio::test]
async fn a_handle_that_there_is_not_is_refused() {
    let server = serve(&memory());
    let mut initiator = connect(&server);
    initiator.isid |= 99;
    assert_eq!(initiator.log_in(OPEN, &[]).await.head.half(36), status::NO_SESSION);
    let mut first = enter(&server, &[]).await;
    let mut second = connect(&server);
    second.isid |= u64::from(server.sessions()[0].tsih);
    let pairs =
        b"InitiatorName=iqn.2026-11.org.example:host\0TargetName=iqn.2026-11.dev.tidemark:open\0";
    let head = super::super::pdu::Head::new(0x43, 0x87).with_lun(second.isid).with_half(20, 1);
    second.send(head, pairs).await;
    assert_eq!(second.next().await.head.half(36), status::TOO_MANY, "one connection a session");
    assert_eq!(first.ping(b"x").await.data, b"x", "the session is untouched");
}

#[tokio::test]
async fn a_login_of_the_same_ports_takes_the_old_sessions_place() {
    let server = serve(&memory());
    let mut old = enter(&server, &[]).await;
    let mut new = enter(&server, &[]).await;
    assert!(old.is_closed().await);
    assert_eq!(new.read(0, 1).await, [0; 512]);
    assert_eq!(server.sessions().len(), 1);
    let mut other = connect(&server);
    other.isid += 0x10000;
    other.log_in(OPEN, &[]).await;
    assert_eq!(server.sessions().len(), 2, "another port is another session");
    assert_eq!(new.ping(b"y").await.data, b"y");
}

#[tokio::test]
async fn a_discovery_is_told_targets_and_runs_no_commands() {
    let server = serve(&memory());
    let mut initiator = connect(&server);
    initiator.log_in("", &[]).await;
    let head = initiator.immediate(0x04, 0x80).without_ttt();
    initiator.send(head, b"SendTargets=All\0").await;
    let text = String::from_utf8(initiator.next().await.data).unwrap();
    assert!(text.contains(&format!("TargetName={OPEN}\0")) && text.contains(CLOSED));
    let head = initiator.command(0x80, 0, &[0; 6]);
    initiator.send(head, &[]).await;
    assert_eq!(initiator.next().await.head.opcode(), 0x3f);
    assert!(initiator.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_too_long_to_log_in_is_sent_away() {
    let server = serve(&memory());
    let mut initiator = connect(&server);
    assert!(soon(initiator.is_closed()).await);
    assert_eq!(server.totals().negotiating, 0);
}

#[tokio::test]
async fn lengths_of_a_stranger_cost_nothing() {
    let server = serve(&memory());
    for len in [8193, 0xff_ffff] {
        let mut initiator = connect(&server);
        let head = super::super::pdu::Head::new(0x43, 0x87).with_data_len(len);
        tokio::io::AsyncWriteExt::write_all(&mut initiator.stream, &head.0).await.unwrap();
        assert_eq!(initiator.next().await.head.half(36), status::INITIATOR_ERROR);
        assert!(initiator.is_closed().await);
    }
}
