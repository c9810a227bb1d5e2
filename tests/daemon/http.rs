//! HTTP as bytes over a Unix socket: to see exactly what the API answers.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: Value,
}

/// Asks once. A body is sent as JSON, as it is.
pub fn ask(socket: &Path, method: &str, path: &str, body: &str) -> Answer {
    ask_as(socket, method, path, ("application/json", body))
}

/// Asks once with a body of this content type.
pub fn ask_as(socket: &Path, method: &str, path: &str, (kind, body): (&str, &str)) -> Answer {
    let mut stream = UnixStream::connect(socket).unwrap();
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // A server that refuses early may hang up before it has read everything.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
        line.map(|line| line[name.len()..].trim().to_owned()).unwrap_or_default()
    };
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        content_type: header("content-type:"),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}
