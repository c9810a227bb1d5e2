//! The way to the daemon: HTTP over the socket in the state directory, one connection a call.

use std::ops::ControlFlow;

use api::Problem;
use control::StateDir;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, LINK};
use hyper::{Method, Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::CliError;

/// Bytes of an answer: every mark of a full volume fits several times.
const ANSWER_LEN_MAX: usize = 64 << 20;

/// Entries of a list that are asked for at once: some hundred KiB of the longest ones.
const PAGE_LEN: usize = 500;

/// Bytes of a line of an answer that goes on: events are short.
const LINE_LEN_MAX: usize = 64 << 10;

/// A daemon that may be there.
#[derive(Clone, Debug)]
pub struct Client {
    state: StateDir,
}

impl Client {
    /// The daemon of this state directory.
    pub fn new(state: StateDir) -> Self {
        Self { state }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// `Unreachable`, or what the daemon says.
    pub async fn get<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Result<T, CliError> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// Asks for a list, a page at a time, until there is no more of it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: impl AsRef<str>,
    ) -> Result<Vec<T>, CliError> {
        let path = path.as_ref();
        let mut query = format!("?limit={PAGE_LEN}");
        let mut all = Vec::new();
        loop {
            let request = request(Method::GET, format!("{path}{query}"), None::<&()>)?;
            let response = self.send(request).await?;
            if !response.status().is_success() {
                return Err(problem_of(response).await);
            }
            let next = response.headers().get(LINK).and_then(|link| link.to_str().ok());
            let next = next.and_then(next_query).map(str::to_owned);
            all.extend(whole::<Vec<T>>(response).await?);
            match next {
                Some(next) if next != query => query = next,
                _ => return Ok(all),
            }
        }
    }

    /// Asks for something to be made or done.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: impl AsRef<str>,
        body: Option<&impl Serialize>,
    ) -> Result<T, CliError> {
        self.call(Method::POST, path, body).await
    }

    /// Asks for something to be changed.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: impl AsRef<str>,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// Asks for something to go.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete<T: DeserializeOwned>(&self, path: impl AsRef<str>) -> Result<T, CliError> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: impl AsRef<str>,
        body: Option<&impl Serialize>,
    ) -> Result<T, CliError> {
        let request = request(method, path, body)?;
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(problem_of(response).await);
        }
        whole(response).await
    }

    /// Follows the lines of an answer that goes on, until the daemon ends it (`Continue`) or `heard` wants no
    /// more (`Break`).
    ///
    /// # Errors
    /// As [`Client::get`], or what `heard` says.
    pub async fn follow(
        &self,
        path: impl AsRef<str>,
        mut heard: impl FnMut(&str) -> Result<ControlFlow<()>, CliError>,
    ) -> Result<ControlFlow<()>, CliError> {
        let response = self.send(request(Method::GET, path, None::<&()>)?).await?;
        if !response.status().is_success() {
            return Err(problem_of(response).await);
        }
        let mut body = response.into_body();
        let mut unread: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| CliError::Answer(error.to_string()))?;
            unread.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = unread.drain(..=end).collect();
                if heard(String::from_utf8_lossy(&line).trim_end())?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if unread.len() > LINE_LEN_MAX {
                return Err(CliError::Answer(format!(
                    "a line is longer than {LINE_LEN_MAX} bytes"
                )));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, CliError> {
        let stream = self.state.connect_socket().map_err(|error| self.unreachable(&error))?;
        let stream = tokio::net::UnixStream::from_std(stream)?;
        let broke = |error: hyper::Error| CliError::Unreachable {
            detail: format!("the daemon hung up before it answered: {error}"),
            way_out: "its log says why; `status` shows whether it runs".into(),
        };
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(broke)?;
        // Ends with the answer; its errors arrive at the request too.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(broke)
    }

    fn unreachable(&self, error: &std::io::Error) -> CliError {
        use std::io::ErrorKind;
        let dir = self.state.path().display();
        let start = format!("start it: tidemarkd --state {dir}; or name another with --state");
        let (detail, way_out) = match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                (format!("no tidemarkd runs on {dir}"), start)
            }
            ErrorKind::PermissionDenied => (
                format!("the tidemarkd on {dir} belongs to somebody else"),
                "ask as its owner, for example with sudo".into(),
            ),
            _ => (format!("connect to the tidemarkd on {dir}: {error}"), start),
        };
        CliError::Unreachable { detail, way_out }
    }
}

/// A whole answer.
async fn whole<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, CliError> {
    let body = Limited::new(response.into_body(), ANSWER_LEN_MAX).collect().await;
    let bytes = body.map_err(|error| CliError::Answer(error.to_string()))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| CliError::Answer(error.to_string()))
}

/// What the daemon says in place of an answer.
async fn problem_of(response: Response<Incoming>) -> CliError {
    whole::<Problem>(response).await.map_or_else(|error| error, CliError::from)
}

fn request(
    method: Method,
    path: impl AsRef<str>,
    body: Option<&impl Serialize>,
) -> Result<Request<Full<Bytes>>, CliError> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/api/v1{}", path.as_ref()))
        .header(HOST, "localhost");
    let bytes = match body {
        Some(body) => {
            request = request.header(CONTENT_TYPE, "application/json");
            serde_json::to_vec(body).map_err(|error| CliError::Answer(error.to_string()))?
        }
        None => Vec::new(),
    };
    request.body(Full::new(bytes.into())).map_err(|error| CliError::Answer(error.to_string()))
}

/// What stands after the path in the address of the next page.
fn next_query(link: &str) -> Option<&str> {
    let (address, relation) = link.strip_prefix('<')?.split_once('>')?;
    (relation.trim() == "; rel=\"next\"" && address.starts_with('?')).then_some(address)
}

/// One part of an address: everything that would end it, or end the address, is escaped.
pub fn part(text: &impl ToString) -> String {
    let mut escaped = String::new();
    for byte in text.to_string().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'@' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_address_never_ends_it() {
        assert_eq!(part(&"mail@monday"), "mail@monday");
        assert_eq!(part(&"view/a b?"), "view%2Fa%20b%3F");
    }

    #[test]
    fn the_next_page_is_where_the_answer_says() {
        assert_eq!(next_query("<?limit=5&cursor=61>; rel=\"next\""), Some("?limit=5&cursor=61"));
        assert_eq!(next_query("<?limit=5>; rel=\"first\""), None);
        assert_eq!(next_query("<https://elsewhere/>; rel=\"next\""), None);
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_said_to_be_so() {
        let client = Client::new(StateDir::new("/nonexistent/t"));
        let error = client.get::<()>("/status").await.unwrap_err();
        assert_eq!(error.exit_code(), crate::failure::UNREACHABLE);
        assert_eq!(error.to_string(), "no tidemarkd runs on /nonexistent/t");
        assert!(error.way_out().unwrap().contains("tidemarkd --state /nonexistent/t"));
    }
}
