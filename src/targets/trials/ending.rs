//! Claims about how sessions end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::client::*;
use super::doubles::{Catalogue, Held};
use super::{connect, memory, serve, server, soon, until};

const GRACE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_client_that_leaves_has_its_writes_carried_out() {
    let disk = memory();
    let held = Held::new(disk.clone());
    let server = serve(held.clone());
    let mut client = connect(&server).await;
    client.go("mail").await;
    for n in 0..8u8 {
        client.send((WRITE, 0, u64::from(n) * 4096, 4096), &[n + 1; 4096]).await;
    }
    client.send((DISC, 0, 0, 0), b"").await;
    until(|| held.waiting() == 8).await;
    assert_eq!(server.sessions().len(), 1, "it waits for the disk");
    held.open();
    assert!(soon(client.is_closed()).await);
    let mut next = connect(&server).await;
    next.go("mail").await;
    for n in 0..8u8 {
        assert_eq!(next.read(u64::from(n) * 4096, 4096).await, [n + 1; 4096]);
    }
}

#[tokio::test]
async fn replies_still_go_to_a_client_that_only_stopped_sending() {
    let held = Held::new(memory());
    let server = serve(held.clone());
    let mut client = connect(&server).await;
    client.go("mail").await;
    let cookie = client.send((READ, 0, 0, 4096), b"").await;
    client.stream.shutdown().await.unwrap();
    until(|| held.waiting() == 1).await;
    held.open();
    assert_eq!(soon(client.finish(cookie)).await.unwrap().data, [0; 4096]);
    assert!(soon(client.is_closed()).await);
}

#[tokio::test]
async fn half_of_a_payload_is_not_written() {
    let server = serve(memory());
    for len in [8192u64, 1 << 20] {
        let mut client = connect(&server).await;
        client.go("mail").await;
        let (_, bytes) = client.encode((WRITE, 0, 0, len), &[9; 4096]);
        client.stream.write_all(&bytes).await.unwrap();
        drop(client);
        until(|| server.sessions().is_empty()).await;
    }
    let mut next = connect(&server).await;
    next.go("mail").await;
    assert_eq!(next.read(0, 8192).await, [0; 8192]);
}

#[tokio::test]
async fn what_is_no_request_ends_the_session_behind_the_last_reply() {
    let server = serve(memory());
    let mut client = connect(&server).await;
    client.go("mail").await;
    let (cookie, mut bytes) = client.encode((READ, 0, 0, 512), b"");
    bytes.extend([0x11; 28]);
    client.stream.write_all(&bytes).await.unwrap();
    assert_eq!(soon(client.finish(cookie)).await.unwrap().data, [0; 512]);
    assert!(soon(client.is_closed()).await);
}

#[tokio::test]
async fn shutdown_answers_what_was_asked_and_refuses_the_rest() {
    let held = Held::new(memory());
    let server = serve(held.clone());
    let mut client = connect(&server).await;
    client.go("mail").await;
    let early = client.send((READ, 0, 0, 4096), b"").await;
    until(|| held.waiting() == 1).await;
    let ending = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown(GRACE).await }
    });
    // Nobody else is let in any more; then what comes is refused.
    until(|| server.addresses().is_empty()).await;
    let late = loop {
        let late = client.send((READ, 0, 0, 4096), b"").await;
        until(|| held.waiting() > 1 || server.totals().counts.failures > 0).await;
        if server.totals().counts.failures > 0 {
            break late;
        }
    };
    assert_eq!(soon(client.finish(late)).await.unwrap().errno, ESHUTDOWN);
    assert!(!ending.is_finished(), "it waits for what was asked before");
    held.open();
    assert_eq!(soon(client.finish(early)).await.unwrap().data, [0; 4096]);
    assert!(soon(client.is_closed()).await);
    soon(ending).await.unwrap();
    assert!(server.sessions().is_empty());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever_for_a_disk() {
    let held = Held::new(memory());
    let server = serve(held.clone());
    let mut client = connect(&server).await;
    client.go("mail").await;
    client.send((READ, 0, 0, 4096), b"").await;
    until(|| held.waiting() == 1).await;
    soon(server.shutdown(Duration::from_millis(50))).await;
    assert_eq!(server.sessions().len(), 1);
    held.forget();
    until(|| server.sessions().is_empty()).await;
}

#[tokio::test]
async fn a_killed_session_hears_no_more_and_leaves_the_list() {
    let server = serve(memory());
    let (mut client, mut other) = (connect(&server).await, connect(&server).await);
    client.agree(Form::Structured).await;
    client.go("mail").await;
    other.go("mail").await;
    client.write(0, &[1; 1000]).await;
    client.read(0, 500).await;
    let [first, second] = &server.sessions()[..] else { panic!() };
    let mine = if first.replies == "structured" { first } else { second };
    assert_eq!((mine.peer.as_str(), mine.export.as_str()), ("a trial", "mail"));
    assert_eq!((mine.counts.requests, mine.counts.written_bytes), (2, 1000));
    assert_eq!((mine.counts.read_bytes, mine.counts.failures), (500, 0));
    assert!(server.kill(mine.id));
    assert!(soon(client.is_closed()).await);
    until(|| server.sessions().len() == 1).await;
    assert!(!server.kill(mine.id));
    other.read(0, 512).await;
    let totals = server.totals();
    assert_eq!((totals.sessions, totals.counts.requests), (2, 3));
}

#[tokio::test]
async fn an_export_is_let_go_when_its_last_request_was_answered() {
    let guard = Arc::new(());
    let held = Held::new(memory());
    let catalogue = Catalogue::default().with("mail", held.clone());
    let server = server(catalogue.with_guard("mail", guard.clone()));
    assert_eq!(Arc::strong_count(&guard), 2);
    let mut client = connect(&server).await;
    client.go("mail").await;
    client.send((WRITE, 0, 0, 4096), &[1; 4096]).await;
    until(|| held.waiting() == 1).await;
    drop(client);
    let mut other = connect(&server).await;
    for _ in 0..3 {
        other.option(OPT_LIST, b"").await.unwrap();
    }
    assert_eq!(Arc::strong_count(&guard), 3, "the write is still under way");
    held.open();
    until(|| Arc::strong_count(&guard) == 2).await;
}
