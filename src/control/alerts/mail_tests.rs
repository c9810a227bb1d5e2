//! Mail before a server on this host that speaks SMTP by hand.

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::super::message::NoticeKind;
use super::super::message::tests::{letter, notice};
use super::super::rule::Severity;
use super::super::trust;
use super::*;

/// How a server is disposed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Kind,
    /// Nobody's password is right.
    WrongPassword,
    /// It takes nothing just now, as one that greylists.
    Later,
    /// It takes nothing from this sender.
    Never,
    /// It does not offer STARTTLS.
    InTheClear,
}

/// What a server was told.
#[derive(Debug, Default)]
struct Heard {
    lines: Vec<String>,
    mail: String,
    was_encrypted: bool,
}

/// One conversation up to its end, or to STARTTLS.
async fn converse<S>(stream: S, mood: Mood, is_encrypted: bool, heard: &mut Heard) -> Option<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    if !is_encrypted || heard.lines.is_empty() {
        stream.write_all(b"220 localhost ESMTP\r\n").await.unwrap();
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        heard.lines.push(line.clone());
        let word = line.split([' ', ':']).next().unwrap().to_uppercase();
        let answer = match (word.as_str(), mood) {
            ("EHLO", Mood::InTheClear) => "250 localhost\r\n",
            ("EHLO", _) if !is_encrypted => "250-localhost\r\n250 STARTTLS\r\n",
            ("EHLO", _) => "250-localhost\r\n250 AUTH PLAIN LOGIN\r\n",
            ("STARTTLS", _) => {
                stream.write_all(b"220 go on\r\n").await.unwrap();
                return Some(stream.into_inner());
            }
            ("AUTH", Mood::WrongPassword) => "535 5.7.8 that is not the password\r\n",
            ("AUTH", _) => "235 welcome\r\n",
            ("MAIL", Mood::Never) => "550 5.7.1 not from you\r\n",
            ("RCPT", Mood::Later) => "451 4.7.1 greylisted, try again\r\n",
            ("DATA", _) => {
                stream.write_all(b"354 go on\r\n").await.unwrap();
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await.unwrap();
                    if line == ".\r\n" {
                        break;
                    }
                    heard.mail += &line;
                }
                heard.was_encrypted = is_encrypted;
                "250 2.0.0 queued as 4711\r\n"
            }
            ("QUIT", _) => "221 bye\r\n",
            _ => "250 ok\r\n",
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
}

/// A server for one client, and what it heard.
async fn server(mood: Mood, tls: MailTls) -> (u16, String, JoinHandle<Heard>) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let (acceptor, pem) = trust::tests::server();
    let work = tokio::spawn(async move {
        let mut heard = Heard::default();
        let (stream, _) = server.accept().await.unwrap();
        let stream = match tls {
            MailTls::Tls => Some(stream),
            MailTls::Starttls | MailTls::None => converse(stream, mood, false, &mut heard).await,
        };
        if let Some(stream) = stream
            && let Ok(stream) = acceptor.accept(stream).await
        {
            converse(stream, mood, true, &mut heard).await;
        }
        heard
    });
    (port, pem, work)
}

async fn sent(mood: Mood, tls: MailTls, is_trusted: bool) -> (Result<String, Failed>, Heard) {
    let (port, pem, work) = server(mood, tls).await;
    let secret = Secret::new("opensesame".into()).unwrap();
    let to = ["ops@example.org".to_owned(), "boss@example.org".to_owned()];
    let has_login = tls != MailTls::None;
    let post = Post {
        host: "localhost",
        port: Some(port),
        tls,
        user: has_login.then_some("tidemark"),
        secret: has_login.then_some(&secret),
        from: "tidemark@example.org",
        to: &to,
        authority: is_trusted.then_some(pem.as_str()),
    };
    let mut critical = notice(NoticeKind::Fired, "mail", Severity::Critical);
    critical.alert.what = "ümlaut\n.\nRCPT TO:<x@example.org>".into();
    let said = send(&post, &letter(vec![critical])).await;
    let heard = work.await.unwrap();
    (said, heard)
}

#[tokio::test]
async fn a_mail_goes_to_all_addressees_encrypted_and_after_a_login() {
    for tls in [MailTls::Starttls, MailTls::Tls] {
        let (said, heard) = sent(Mood::Kind, tls, true).await;
        assert_eq!(said.unwrap(), "250 2.0.0 queued as 4711", "{heard:?}");
        assert!(heard.was_encrypted);
        let lines = heard.lines.join("\n");
        for line in [
            "AUTH PLAIN",
            "MAIL FROM:<tidemark@example.org>",
            "RCPT TO:<ops@example.org>",
            "RCPT TO:<boss@example.org>",
        ] {
            assert!(lines.contains(line), "{tls:?}: {lines}");
        }
        assert!(!lines.contains("x@example.org"), "{lines}");
        for part in [
            "From: Tidemark <tidemark@example.org>",
            "Auto-Submitted: auto-generated",
            "Message-ID: <0a0b@example.org>",
        ] {
            assert!(heard.mail.contains(part), "{}", heard.mail);
        }
    }
}

#[tokio::test]
async fn without_tls_a_mail_goes_in_the_clear_and_without_a_login() {
    let (said, heard) = sent(Mood::InTheClear, MailTls::None, false).await;
    assert!(said.unwrap().starts_with("250"));
    assert!(!heard.lines.iter().any(|line| line.starts_with("AUTH")), "{heard:?}");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_no_use_to_try_again() {
    let (said, heard) = sent(Mood::WrongPassword, MailTls::Starttls, true).await;
    let failed = said.unwrap_err();
    assert!(failed.is_lasting && failed.why.contains("not the password"), "{failed:?}");
    assert!(!failed.why.contains("sesame") && heard.mail.is_empty());
}

#[tokio::test]
async fn a_server_that_greylists_is_tried_again_and_one_that_refuses_is_not() {
    let (said, _) = sent(Mood::Later, MailTls::Starttls, true).await;
    let failed = said.unwrap_err();
    assert!(!failed.is_lasting && failed.why.contains("greylisted"), "{failed:?}");
    let (said, _) = sent(Mood::Never, MailTls::Starttls, true).await;
    let failed = said.unwrap_err();
    assert!(failed.is_lasting && failed.why.contains("not from you"), "{failed:?}");
}

#[tokio::test]
async fn a_password_is_never_said_in_the_clear_or_to_a_stranger() {
    let (said, heard) = sent(Mood::InTheClear, MailTls::Starttls, true).await;
    assert!(said.is_err());
    assert!(!heard.lines.iter().any(|line| line.starts_with("AUTH")), "{heard:?}");
    for tls in [MailTls::Starttls, MailTls::Tls] {
        let (said, heard) = sent(Mood::Kind, tls, false).await;
        let failed = said.unwrap_err();
        assert!(!heard.lines.iter().any(|line| line.starts_with("AUTH")), "{heard:?}");
        assert!(!failed.why.contains("sesame"), "{failed:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    drop(server);
    let to = ["ops@example.org".to_owned()];
    let post = Post {
        host: "127.0.0.1",
        port: Some(port),
        tls: MailTls::None,
        user: None,
        secret: None,
        from: "tidemark@example.org",
        to: &to,
        authority: None,
    };
    let told = letter(vec![notice(NoticeKind::Fired, "mail", Severity::Critical)]);
    let failed = send(&post, &told).await.unwrap_err();
    assert!(!failed.is_lasting && failed.why.contains("refused"), "{failed:?}");
}
