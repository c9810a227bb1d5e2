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
    head: String,
    text: String,
}

impl Answer {
    /// A header of it, or nothing.
    pub fn header(&self, name: &str) -> String {
        let named = |line: &str| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        };
        self.head.lines().find_map(named).unwrap_or_default()
    }

    /// Its body, byte by byte.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Asks once. A body is sent as JSON, as it is.
pub fn ask(socket: &Path, method: &str, path: &str, body: &str) -> Answer {
    ask_as(socket, method, path, ("application/json", body))
}

/// Asks once with a body of this content type.
pub fn ask_as(socket: &Path, method: &str, path: &str, (kind, body): (&str, &str)) -> Answer {
    ask_with(socket, method, &format!("/api/v1{path}"), &[("Content-Type", kind)], body)
}

/// Asks once with these headers, at an address as it is.
pub fn ask_with(
    socket: &Path,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut stream = UnixStream::connect(socket).unwrap();
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         {headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    // A server that refuses early may hang up before it has read everything.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let answer = Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        content_type: String::new(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
        head: head.to_owned(),
        text: body.to_owned(),
    };
    Answer { content_type: answer.header("content-type"), ..answer }
}
