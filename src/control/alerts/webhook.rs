//! Alerts by webhook: a POST of JSON over HTTPS or HTTP, signed, so that the receiver knows who sent it and when.
//!
//! The signature is HMAC-SHA256 over the timestamp, a dot and the body, under the channel's secret:
//!
//! ```text
//! x-tidemark-timestamp: 1795233753
//! x-tidemark-signature: sha256=HEXADECIMAL DIGITS
//! x-tidemark-delivery: the letter's number, the same when it is sent again
//! ```
//!
//! Answers lead nowhere: a redirect is a failure, and of a body only the beginning is read.
//!
//! Source: RFC 2104, RFC 9110.

use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::channel::Secret;
use super::courier::{Failed, shown};
use super::message::Letter;
use super::trust;

/// Bytes of the shortest secret: what is shorter can be found by trying, once a message was overheard.
pub(super) const KEY_LEN_MIN: usize = 16;
/// Characters of a URL.
const URL_LEN_MAX: usize = 500;
/// Bytes of an answer that are looked at: enough to say what is wrong.
const ANSWER_LEN_MAX: usize = 2048;

/// Where a webhook leads.
struct Place {
    is_tls: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

/// Whether a webhook can be sent there.
///
/// # Errors
/// In words, without what may be secret in it.
pub(super) fn check_url(url: &str) -> Result<(), String> {
    place(url).map(|_| ())
}

fn place(url: &str) -> Result<Place, String> {
    if url.len() > URL_LEN_MAX {
        return Err(format!("its URL has more than {URL_LEN_MAX} characters"));
    }
    let uri: Uri = url.parse().map_err(|_| "its URL cannot be read".to_owned())?;
    let is_tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(other) => return Err(format!("{other} is no scheme for a webhook")),
        None => return Err("its URL has no scheme".into()),
    };
    let authority = uri.authority().ok_or("its URL has no host")?;
    if authority.as_str().contains('@') {
        return Err("its URL holds a user or a password".into());
    }
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    if host.is_empty() {
        return Err("its URL has no host".into());
    }
    let port = match authority.port() {
        Some(_) => {
            authority.port_u16().filter(|port| *port > 0).ok_or("its URL has no such port")?
        }
        None if is_tls => 443,
        None => 80,
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Ok(Place { is_tls, host, port, authority: authority.as_str().to_owned(), path })
}

/// What a receiver computes again and compares.
fn signature(secret: &Secret, timestamp_s: u64, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes());
    let Ok(mut mac) = mac else { unreachable!("a key of HMAC may have any length") };
    mac.update(timestamp_s.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("sha256={}", crate::access::hex(&mac.finalize().into_bytes()))
}

/// Sends a letter, and says what the receiver answered.
///
/// # Errors
/// `Failed`: lasting where the receiver refuses it for good, with a status of 300 to 499 other than 408, 425 and 429.
pub(super) async fn send(
    url: &str,
    secret: &Secret,
    authority: Option<&str>,
    letter: &Letter,
    now_ms: u64,
) -> Result<String, Failed> {
    let place = place(url).map_err(Failed::for_good)?;
    let body = serde_json::to_vec(letter).map_err(|error| Failed::for_good(error.to_string()))?;
    let timestamp_s = now_ms / 1000;
    let request = Request::post(&place.path)
        .header(HOST, &place.authority)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("tidemarkd/", env!("CARGO_PKG_VERSION")))
        .header("x-tidemark-timestamp", timestamp_s)
        .header("x-tidemark-signature", signature(secret, timestamp_s, &body))
        .header("x-tidemark-delivery", &letter.id)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Failed::for_good(error.to_string()))?;
    let stream = TcpStream::connect((place.host.as_str(), place.port)).await;
    let stream = stream.map_err(|error| {
        Failed::for_now(format!("connect to {} port {}: {error}", place.host, place.port))
    })?;
    let answer = if place.is_tls {
        let config = trust::client(authority).map_err(Failed::for_good)?;
        let name = ServerName::try_from(place.host.clone())
            .map_err(|_| Failed::for_good(format!("{} is no name of a server", place.host)))?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        let stream = stream
            .map_err(|error| Failed::for_now(format!("speak TLS with {}: {error}", place.host)))?;
        exchange(stream, request).await
    } else {
        exchange(stream, request).await
    };
    judged(answer.map_err(|error| {
        Failed::for_now(format!("{} hung up before it answered: {error}", place.host))
    })?)
}

/// One request and the beginning of its answer.
async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Vec<u8>), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::Builder::new().handshake(TokioIo::new(stream)).await?;
    // Ends with this exchange, whichever way that ends.
    let mut work = tokio::task::JoinSet::new();
    work.spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    Ok((status, beginning(answer).await))
}

/// What an answer begins with. One that breaks off there has answered all the same.
async fn beginning(answer: Response<Incoming>) -> Vec<u8> {
    let mut body = answer.into_body();
    let mut read = Vec::new();
    while read.len() < ANSWER_LEN_MAX {
        let Some(Ok(frame)) = body.frame().await else { break };
        read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    read.truncate(ANSWER_LEN_MAX);
    read
}

fn judged((status, body): (StatusCode, Vec<u8>)) -> Result<String, Failed> {
    let said = shown(&format!("{status} {}", String::from_utf8_lossy(&body)));
    if status.is_success() {
        return Ok(said);
    }
    let passes = matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
    );
    let is_lasting = !passes && !status.is_server_error();
    let why = match status.is_redirection() {
        true => format!("it answered with a redirect, which is not followed: {said}"),
        false => format!("it answered {said}"),
    };
    Err(Failed { why, is_lasting })
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
pub(super) mod tests;
