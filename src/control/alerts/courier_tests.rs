//! A channel at work before receivers that fail, hang, or are not there.

use base::clock::{ManualClock, SystemClock};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::super::channel::Secret;
use super::super::message::NoticeKind;
use super::super::message::tests::{letter, notice};
use super::super::rule::Severity;
use super::super::webhook::tests::request;
use super::*;

fn channel(url: &str) -> NewChannel {
    NewChannel {
        name: "hook".parse().unwrap(),
        to: Destination::Webhook { url: url.into(), authority: None },
        least: Severity::Warning,
        is_paused: false,
        secret: Some(Secret::new("opensesame-opensesame".into()).unwrap()),
    }
}

fn pace(tries: usize) -> Pace {
    let waits = vec![Duration::from_millis(5); tries - 1];
    Pace { waits, deadline: Duration::from_millis(500) }
}

fn told() -> Letter {
    letter(vec![notice(NoticeKind::Fired, "mail", Severity::Critical)])
}

fn courier(url: &str, tries: usize) -> Courier {
    Courier::begin(channel(url), Arc::new(SystemClock::default()), pace(tries))
}

/// A receiver that answers with these statuses in turn, and the numbers of the letters that came.
async fn receiver(statuses: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", server.local_addr().unwrap());
    let work = tokio::spawn(async move {
        let mut numbers = Vec::new();
        for status in statuses {
            let (mut stream, _) = server.accept().await.unwrap();
            let (head, _) = request(&mut stream).await;
            let number = head.split("x-tidemark-delivery: ").nth(1).unwrap();
            numbers.push(number.lines().next().unwrap().to_owned());
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        numbers
    });
    (url, work)
}

/// Until nothing waits.
async fn settled(courier: &Courier) -> ChannelStatus {
    for _ in 0..1000 {
        if courier.status().waiting == 0 {
            return courier.status();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it still waits: {:?}", courier.status())
}

#[tokio::test]
async fn a_receiver_that_fails_first_gets_the_same_letter_again() {
    let (url, work) = receiver(&["500 Oops", "503 Later", "200 OK"]).await;
    let courier = courier(&url, 3);
    assert!(courier.take(told()));
    let status = settled(&courier).await;
    assert_eq!((status.lost, status.failure), (0, None));
    assert!(status.delivered_ms.is_some() && courier.trouble().is_none());
    assert_eq!(work.await.unwrap(), ["0a0b"; 3]);
}

#[tokio::test]
async fn tries_have_an_end_and_then_it_is_a_trouble_until_one_is_taken() {
    let (url, work) = receiver(&["500 Oops", "500 Oops", "200 OK"]).await;
    let courier = courier(&url, 2);
    courier.take(told());
    let status = settled(&courier).await;
    assert_eq!(status.lost, 1);
    assert!(status.failure.unwrap().contains("500"), "{:?}", courier.trouble());
    assert!(courier.trouble().unwrap().contains("500"));
    courier.take(told());
    assert_eq!(settled(&courier).await.failure, None);
    assert_eq!((courier.trouble(), work.await.unwrap().len()), (None, 3));
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_tried_again() {
    let (url, work) = receiver(&["403 No"]).await;
    let courier = courier(&url, 5);
    courier.take(told());
    let status = settled(&courier).await;
    assert_eq!((status.lost, work.await.unwrap().len()), (1, 1));
}

#[tokio::test]
async fn a_peer_that_never_answers_is_given_up_in_time() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", server.local_addr().unwrap());
    let failed = deliver(&channel(&url), &told(), 0, Duration::from_millis(50)).await.unwrap_err();
    assert!(failed.why.contains("did not answer") && !failed.is_lasting, "{failed:?}");
}

#[tokio::test]
async fn whoever_hands_in_never_waits_and_a_full_queue_loses_what_is_newest() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", server.local_addr().unwrap());
    let courier = Courier::begin(
        channel(&url),
        Arc::new(ManualClock::default()),
        Pace { waits: Vec::new(), deadline: Duration::from_secs(60) },
    );
    assert!(courier.take(told()));
    // The first is on its way once somebody is called.
    let (_stream, _) = server.accept().await.unwrap();
    let taken = (0..QUEUE_MAX + 5).filter(|_| courier.take(told())).count();
    assert_eq!(taken, QUEUE_MAX);
    let status = courier.status();
    assert_eq!((status.waiting, status.lost), (QUEUE_MAX + 1, 5));
    assert!(courier.trouble().unwrap().contains("queue is full"));
    courier.end(Duration::from_millis(10)).await;
}

#[tokio::test]
async fn at_its_end_what_waits_is_still_brought_away() {
    let (url, work) = receiver(&["200 OK", "200 OK"]).await;
    let courier = courier(&url, 1);
    courier.take(told());
    courier.take(told());
    courier.end(Duration::from_secs(10)).await;
    assert_eq!(work.await.unwrap().len(), 2);
}

#[test]
fn what_the_other_side_says_is_one_line_that_has_an_end() {
    assert_eq!(shown("a\r\n\tb \u{1b}[31mc"), "a b [31mc");
    assert_eq!(shown(&"x".repeat(5000)).len(), SAID_LEN_MAX);
    assert_eq!(Failed::for_good("a\nb").why, "a b");
}
