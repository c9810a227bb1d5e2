//! Webhooks before a receiver on this host that speaks HTTP by hand, and checks the signature as receivers should.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::message::NoticeKind;
use super::super::message::tests::{letter, notice};
use super::super::rule::Severity;
use super::*;

const NOW_MS: u64 = 1_795_233_753_999;

fn secret() -> Secret {
    Secret::new("opensesame-opensesame".into()).unwrap()
}

/// Reads one whole request: its head in small letters, and its body.
pub(in super::super) async fn request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut read = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let len = stream.read(&mut buffer).await.unwrap();
        assert!(len > 0, "it ended early: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..len]);
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(read[..end].to_vec()).unwrap().to_lowercase();
        let len = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        let body = read[end + 4..].to_vec();
        if body.len() == len.parse::<usize>().unwrap() {
            return (head, body);
        }
    }
}

/// A receiver that answers each request with the next of these, and gives what it was sent.
async fn receiver(
    answers: Vec<String>,
) -> (String, tokio::task::JoinHandle<Vec<(String, Vec<u8>)>>) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?team=ops", server.local_addr().unwrap());
    let work = tokio::spawn(async move {
        let mut all = Vec::new();
        for answer in answers {
            let (mut stream, _) = server.accept().await.unwrap();
            all.push(request(&mut stream).await);
            // One that is told enough hangs up.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        all
    });
    (url, work)
}

fn answer(status: &str, more: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\n\r\n{body}", body.len())
}

async fn sent(url: &str) -> Result<String, Failed> {
    let letter = letter(vec![notice(NoticeKind::Fired, "mail", Severity::Critical)]);
    send(url, &secret(), None, &letter, NOW_MS).await
}

#[tokio::test]
async fn what_is_sent_is_json_that_the_receiver_knows_to_be_ours() {
    let (url, work) = receiver(vec![answer("200 OK", "", "thank you")]).await;
    assert_eq!(sent(&url).await.unwrap(), "200 OK thank you");
    let (head, body) = work.await.unwrap().remove(0);
    assert!(head.starts_with("post /hook?team=ops http/1.1\r\n"), "{head}");
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("{name}: {head}")).to_owned()
    };
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(
        (header("x-tidemark-delivery"), header("x-tidemark-timestamp")),
        ("0a0b".into(), "1795233753".into())
    );
    let signed = [b"1795233753.", &body[..]].concat();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"opensesame-opensesame").unwrap();
    mac.update(&signed);
    let expected = crate::access::hex(&mac.finalize().into_bytes());
    assert_eq!(header("x-tidemark-signature"), format!("sha256={expected}"));
    let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(told["notices"][0]["kind"], "fired");
    assert_eq!(told["notices"][0]["alert"]["severity"], "critical");
    assert!(!String::from_utf8_lossy(&body).contains("sesame"));
}

/// HMAC-SHA256, test case 2 of RFC 4231, through the same door.
#[test]
fn the_signature_is_the_one_of_the_standard() {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
    mac.update(b"what do ya want for nothing?");
    let digits = crate::access::hex(&mac.finalize().into_bytes());
    assert_eq!(digits, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_ne!(signature(&secret(), 1, b"x"), signature(&secret(), 2, b"x"));
    assert_ne!(signature(&secret(), 1, b"1.x"), signature(&secret(), 11, b"x"));
}

#[tokio::test]
async fn an_answer_decides_whether_it_is_worth_trying_again() {
    for (status, is_lasting) in [
        ("500 Oops", false),
        ("503 Later", false),
        ("429 Slowly", false),
        ("408 Too slow", false),
        ("400 Bad", true),
        ("401 Who", true),
        ("404 Where", true),
    ] {
        let (url, _work) = receiver(vec![answer(status, "", "no <b>\r\n\u{7}")]).await;
        let failed = sent(&url).await.unwrap_err();
        assert_eq!(failed.is_lasting, is_lasting, "{status}: {failed:?}");
        assert!(failed.why.contains(&status[..3]) && failed.why.ends_with("no <b>"), "{failed:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("location: http://{}/\r\n", trap.local_addr().unwrap());
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let (url, _work) = receiver(vec![answer(status, &location, "")]).await;
        let failed = sent(&url).await.unwrap_err();
        assert!(failed.is_lasting && failed.why.contains("not followed"), "{failed:?}");
    }
    let came = tokio::time::timeout(std::time::Duration::from_millis(50), trap.accept()).await;
    assert!(came.is_err(), "somebody followed");
}

#[tokio::test]
async fn of_an_answer_without_end_only_the_beginning_is_read() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", server.local_addr().unwrap());
    let work = tokio::spawn(async move {
        let (mut stream, _) = server.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").await.unwrap();
        let mut written = 0_usize;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {
            written += 4096;
            assert!(written < 64 << 20, "it reads on and on");
        }
    });
    let said = sent(&url).await.unwrap();
    assert!(said.starts_with("200 OK xxx") && said.len() <= 310, "{said}");
    work.await.unwrap();
}

#[tokio::test]
async fn who_hangs_up_or_is_not_there_is_named_and_tried_again() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", server.local_addr().unwrap());
    let work = tokio::spawn(async move {
        let (mut stream, _) = server.accept().await.unwrap();
        request(&mut stream).await;
    });
    let failed = sent(&url).await.unwrap_err();
    assert!(failed.why.contains("hung up") && !failed.is_lasting, "{failed:?}");
    work.await.unwrap();
    let failed = sent(&url).await.unwrap_err();
    assert!(failed.why.contains("connect to 127.0.0.1") && !failed.is_lasting, "{failed:?}");
}

#[tokio::test]
async fn over_https_the_receiver_must_be_who_it_says() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", server.local_addr().unwrap().port());
    let (acceptor, pem) = super::super::trust::tests::server();
    let work = tokio::spawn(async move {
        let mut taken = 0;
        for _ in 0..2 {
            let (stream, _) = server.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 16 * 1024];
            if stream.read(&mut buffer).await.unwrap_or(0) == 0 {
                continue;
            }
            taken += 1;
            stream.write_all(answer("204 Taken", "", "").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        taken
    });
    let failed = sent(&url).await.unwrap_err();
    assert!(failed.why.contains("TLS") && !failed.why.contains("sesame"), "{failed:?}");
    let letter = letter(vec![notice(NoticeKind::Fired, "mail", Severity::Critical)]);
    let said = send(&url, &secret(), Some(&pem), &letter, NOW_MS).await.unwrap();
    assert!(said.starts_with("204"), "{said}");
    assert_eq!(work.await.unwrap(), 1, "nothing was said to one who was not trusted");
}
