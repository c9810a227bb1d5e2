//! Claims about how sessions end.

use std::sync::Arc;
use std::time::Duration;

use super::super::pdu::wire::at;
use super::{EAGER, enter, memory, serve, until};
use crate::trials::doubles::Held;

#[tokio::test]
async fn a_logout_is_answered_and_closes() {
    let server = serve(&memory());
    let mut initiator = enter(&server, EAGER).await;
    for (reason, cid, expected) in [(1, 9, 1), (2, 0, 2)] {
        let head = initiator.numbered(0x06, 0x80 | reason).with_half(at::TTT, cid);
        initiator.send(head, &[]).await;
        assert_eq!(initiator.next().await.head.0[at::RESPONSE], expected);
    }
    let answer = initiator.log_out().await;
    assert_eq!((answer.head.opcode(), answer.head.0[at::RESPONSE]), (0x26, 0));
    assert!(initiator.is_closed().await);
    until(|| server.sessions().is_empty()).await;
}

#[tokio::test]
async fn a_logout_waits_for_what_the_disk_has() {
    let held = Held::new(memory());
    let server = serve(&(Arc::clone(&held) as disk::AnyDisk));
    let mut initiator = enter(&server, EAGER).await;
    let head = initiator.transfer(true, 0, 1);
    initiator.send(head, &[7; 512]).await;
    until(|| held.waiting() == 1).await;
    let ping = initiator.immediate(0x00, 0x80).without_ttt();
    let logout = initiator.numbered(0x06, 0x80);
    let both = [initiator.encode(ping, &[]), initiator.encode(logout, &[])].concat();
    tokio::io::AsyncWriteExt::write_all(&mut initiator.stream, &both).await.unwrap();
    assert_eq!(initiator.next().await.head.opcode(), 0x20, "what came with it is answered");
    assert_eq!(server.sessions().len(), 1);
    held.open();
    assert_eq!(initiator.next().await.head.opcode(), 0x26);
    assert!(initiator.is_closed().await);
}

#[tokio::test]
async fn shutdown_asks_for_a_logout_and_serves_until_then() {
    let server = serve(&memory());
    let mut initiator = enter(&server, EAGER).await;
    let ending = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown(Duration::from_secs(20)).await }
    });
    let asked = initiator.next().await;
    assert_eq!((asked.head.opcode(), asked.head.0[at::DATA_SN]), (0x32, 1));
    assert_eq!(initiator.write(0, &[5; 512]).await, 0);
    assert_eq!(initiator.log_out().await.head.opcode(), 0x26);
    super::soon(ending).await.unwrap();
    assert!(server.sessions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_leave_is_sent_away() {
    let server = serve(&memory());
    let mut initiator = enter(&server, EAGER).await;
    server.shutdown(Duration::from_secs(2)).await;
    assert_eq!(initiator.next().await.head.opcode(), 0x32);
    assert!(initiator.is_closed().await);
    assert!(server.sessions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_initiator_is_asked_and_given_up() {
    let server = serve(&memory());
    let mut initiator = enter(&server, EAGER).await;
    for _ in 0..3 {
        let ping = initiator.receive().await.unwrap().head;
        assert_eq!((ping.opcode(), ping.itt()), (0x20, u32::MAX));
        let pong = initiator.immediate(0x00, 0x80).with_itt(u32::MAX).with_ttt(ping.ttt());
        initiator.send(pong, &[]).await;
    }
    assert_eq!(initiator.receive().await.unwrap().head.opcode(), 0x20);
    assert!(initiator.receive().await.is_none(), "it did not answer");
}

#[tokio::test]
async fn a_killed_session_is_gone() {
    let server = serve(&memory());
    let mut initiator = enter(&server, EAGER).await;
    let id = server.sessions()[0].id;
    assert!(server.kill(id) && !server.kill(id + 1));
    assert!(initiator.is_closed().await);
    until(|| server.sessions().is_empty()).await;
}
