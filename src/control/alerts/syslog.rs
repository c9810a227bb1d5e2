//! Alerts by syslog: one message for each, to this machine's own log or to a log server.
//!
//! Source: RFC 5424; RFC 5426 (UDP); RFC 6587 3.4.1 (TCP, counted octets).

use std::path::Path;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};

use super::channel::SyslogWay;
use super::courier::Failed;
use super::message::{Letter, Notice, NoticeKind, line};
use super::rule::Severity;
use crate::when;

/// This machine's own log.
const LOCAL: &str = "/dev/log";
/// The facility `daemon`.
const FACILITY: u8 = 3;
/// Bytes of a message: what receivers must be able to take over UDP without splitting it (RFC 5424 6.1).
const MESSAGE_LEN_MAX: usize = 2048;

/// Whether there can be a log there.
///
/// # Errors
/// In words, and the way out.
pub(super) fn check_address(
    way: SyslogWay,
    address: Option<&str>,
) -> Result<(), (String, &'static str)> {
    match (way, address) {
        (SyslogWay::Local, None) => Ok(()),
        (SyslogWay::Local, Some(path)) if path.starts_with('/') && path.len() < 108 => Ok(()),
        (SyslogWay::Local, Some(_)) => {
            Err(("its address is no path of a socket".into(), "write it as /dev/log"))
        }
        (SyslogWay::Udp | SyslogWay::Tcp, Some(address)) if is_host_and_port(address) => Ok(()),
        (SyslogWay::Udp | SyslogWay::Tcp, _) => Err((
            "it names no log server".into(),
            "write it as HOST:PORT, such as log.example.org:514",
        )),
    }
}

fn is_host_and_port(text: &str) -> bool {
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    !host.is_empty()
        && host.len() <= 253
        && host.chars().all(fits)
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Sends a letter, a message for each of its alerts, and says what can be said of it.
///
/// # Errors
/// `Failed`, which passes.
pub(super) async fn send(
    way: SyslogWay,
    address: Option<&str>,
    letter: &Letter,
) -> Result<String, Failed> {
    let pid = std::process::id();
    let messages: Vec<_> =
        letter.notices.iter().map(|notice| message(letter, notice, pid)).collect();
    let place = address.unwrap_or(LOCAL);
    let sent = match way {
        SyslogWay::Local => to_socket(Path::new(place), &messages).await,
        SyslogWay::Udp => to_udp(place, &messages).await,
        SyslogWay::Tcp => to_tcp(place, &messages).await,
    };
    sent.map_err(|error| Failed::for_now(format!("send to {place}: {error}")))?;
    let count = messages.len();
    Ok(match way {
        SyslogWay::Udp => format!("{count} sent to {place}; UDP does not tell whether they arrive"),
        SyslogWay::Local | SyslogWay::Tcp => format!("{count} written to {place}"),
    })
}

async fn to_socket(path: &Path, messages: &[String]) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    match socket.connect(path) {
        Ok(()) => {
            for message in messages {
                socket.send(message.as_bytes()).await?;
            }
            Ok(())
        }
        // The socket of a stream says that it is of the wrong type.
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EPROTOTYPE as i32) => {
            let mut stream = UnixStream::connect(path).await?;
            for message in messages {
                // Programs that take streams here end each message with a zero.
                stream.write_all(message.as_bytes()).await?;
                stream.write_all(b"\0").await?;
            }
            stream.shutdown().await
        }
        Err(error) => Err(error),
    }
}

async fn to_udp(address: &str, messages: &[String]) -> std::io::Result<()> {
    let mut last = None;
    for peer in tokio::net::lookup_host(address).await? {
        let own = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(own).await?;
        match socket.connect(peer).await {
            Ok(()) => {
                for message in messages {
                    socket.send(message.as_bytes()).await?;
                }
                return Ok(());
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::Error::other("it has no address")))
}

async fn to_tcp(address: &str, messages: &[String]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    for message in messages {
        stream.write_all(format!("{} {message}", message.len()).as_bytes()).await?;
    }
    stream.shutdown().await
}

/// One message, with its head.
fn message(letter: &Letter, notice: &Notice, pid: u32) -> String {
    let severity = match (notice.kind, notice.alert.severity) {
        (NoticeKind::Resolved | NoticeKind::Test, _) => 5,
        (NoticeKind::Fired | NoticeKind::Repeated, Severity::Warning) => 4,
        (NoticeKind::Fired | NoticeKind::Repeated, Severity::Critical) => 2,
    };
    let priority = FACILITY * 8 + severity;
    let at = when::internet(letter.at_ms);
    let (host, version) = (printable(&letter.host, 255), letter.version);
    let rule = notice.alert.rule.word();
    let head = format!(
        "<{priority}>1 {at} {host} tidemarkd {pid} {rule} [origin software=\"tidemarkd\" swVersion=\"{version}\"] "
    );
    // What is not ASCII is said to be UTF-8 by the mark in front of it.
    let mut text = format!("{head}\u{feff}{}", line(notice));
    if text.len() > MESSAGE_LEN_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_LEN_MAX));
    }
    text
}

/// A field of the head: printable ASCII without spaces, or a dash.
fn printable(text: &str, len_max: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(len_max).collect();
    if kept.is_empty() { "-".into() } else { kept }
}

#[cfg(test)]
#[path = "syslog_tests.rs"]
mod tests;
