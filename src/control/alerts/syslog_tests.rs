//! Messages as real sockets on this host receive them.

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};

use super::super::message::tests::{letter, notice};
use super::*;

fn two() -> Letter {
    letter(vec![
        notice(NoticeKind::Fired, "mail", Severity::Critical),
        notice(NoticeKind::Resolved, "logs", Severity::Critical),
    ])
}

#[test]
fn a_message_has_the_head_that_log_servers_read() {
    let letter = two();
    let text = message(&letter, &letter.notices[0], 42);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        text,
        format!(
            "<26>1 2026-11-21T04:02:33.000Z store1 tidemarkd 42 volume_failed [origin software=\"tidemarkd\" \
             swVersion=\"{version}\"] \u{feff}CRITICAL alert 7: mail: its base is gone; put it back"
        )
    );
    assert!(message(&letter, &letter.notices[1], 42).starts_with("<29>1 "));
    let mut long = two();
    long.host = "a b".into();
    long.notices[0].alert.what = "ü".repeat(MESSAGE_LEN_MAX);
    let text = message(&long, &long.notices[0], 42);
    assert!(text.len() <= MESSAGE_LEN_MAX && text.contains(" ab tidemarkd "), "{text}");
}

#[tokio::test]
async fn each_alert_is_a_datagram_to_the_local_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = UnixDatagram::bind(&path).unwrap();
    let said = send(SyslogWay::Local, path.to_str(), &two()).await.unwrap();
    assert!(said.starts_with("2 written to"), "{said}");
    for of in ["mail", "logs"] {
        let mut buffer = [0; 4096];
        let len = log.recv(&mut buffer).await.unwrap();
        let text = std::str::from_utf8(&buffer[..len]).unwrap();
        assert!(text.contains(&format!("alert 7: {of}:")), "{text}");
    }
}

#[tokio::test]
async fn a_local_log_that_takes_streams_gets_each_with_a_zero_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = UnixListener::bind(&path).unwrap();
    let reading = tokio::spawn(async move {
        let (mut stream, _) = log.accept().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        all
    });
    send(SyslogWay::Local, path.to_str(), &two()).await.unwrap();
    let all = reading.await.unwrap();
    let parts: Vec<_> = all.split(|byte| *byte == 0).collect();
    assert_eq!((parts.len(), parts[2].len()), (3, 0));
    assert!(parts[1].starts_with(b"<29>1 "));
}

#[tokio::test]
async fn a_log_server_gets_datagrams_or_counted_octets() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    let said = send(SyslogWay::Udp, Some(&address), &two()).await.unwrap();
    assert!(said.contains("does not tell"), "{said}");
    let mut buffer = [0; 4096];
    let len = server.recv(&mut buffer).await.unwrap();
    assert!(buffer[..len].starts_with(b"<26>1 "));

    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    let reading = tokio::spawn(async move {
        let (mut stream, _) = server.accept().await.unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        all
    });
    send(SyslogWay::Tcp, Some(&address), &two()).await.unwrap();
    let all = reading.await.unwrap();
    let (len, rest) = all.split_once(' ').unwrap();
    let (first, rest) = rest.split_at(len.parse().unwrap());
    assert!(first.starts_with("<26>1 ") && first.ends_with("put it back"), "{first}");
    let (len, second) = rest.split_once(' ').unwrap();
    assert_eq!(second.len(), len.parse::<usize>().unwrap());
}

#[tokio::test]
async fn a_log_that_is_not_there_is_said_to_be_so() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    drop(server);
    for (way, address) in [(SyslogWay::Local, "/nonexistent/log"), (SyslogWay::Tcp, &address)] {
        let failed = send(way, Some(address), &two()).await.unwrap_err();
        assert!(failed.why.contains(address) && !failed.is_lasting, "{failed:?}");
    }
}
